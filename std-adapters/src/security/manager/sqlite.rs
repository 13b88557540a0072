//! The stores in SQLite as a manager asks them.

use std::sync::{Mutex, PoisonError};

use daur_core::security::token::Claims;
use daur_core::time::UnixTime;

use super::{Account, BoxError, Revocations, Sink, Stamped, UserStore};
use crate::security::audit::AuditLog;
use crate::security::revoked::{self, Revoked};
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

impl Revocations for Mutex<Revoked> {
    fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError> {
        match self.lock().unwrap_or_else(PoisonError::into_inner).check(claims) {
            Ok(()) => Ok(false),
            Err(revoked::Error::Revoked) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn revoke(&self, claims: &Claims, now: UnixTime) -> Result<bool, BoxError> {
        Ok(self.lock().unwrap_or_else(PoisonError::into_inner).revoke(claims, now)?)
    }
}

impl Sink for Mutex<AuditLog> {
    /// On disk when it returns.
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).append(events)?;
        Ok(())
    }
}
