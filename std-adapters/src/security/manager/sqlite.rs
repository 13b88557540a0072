//! The stores in SQLite as a manager asks them.

use std::sync::{Mutex, PoisonError};

use super::{Account, BoxError, Sink, Stamped, UserStore};
use crate::security::audit::AuditLog;
use crate::security::users::Users;

impl UserStore for Mutex<Users> {
    fn find(&self, name: &str) -> Result<Option<Account>, BoxError> {
        let user = self.lock().unwrap_or_else(PoisonError::into_inner).find(name)?;
        Ok(user.map(|user| Account { phc: user.phc, permissions: user.permissions }))
    }

    fn rehash(&self, name: &str, phc: &str) -> Result<(), BoxError> {
        Ok(self.lock().unwrap_or_else(PoisonError::into_inner).set_phc(name, phc)?)
    }
}

impl Sink for Mutex<AuditLog> {
    /// On disk when it returns.
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).append(events)?;
        Ok(())
    }
}
