//! The stores in SQLite as a manager asks them.

use std::sync::{Mutex, PoisonError};

use daur_core::security::token::Claims;
use daur_core::time::UnixTime;

use super::{Account, BoxError, Revocations, Sink, Stamped, UserStore};
use crate::security::audit::AuditLog;
use crate::security::revoked::{self, Revoked};
use crate::security::users::{self, Users};

impl UserStore for Mutex<Users> {
    fn find(&self, name: &str) -> Result<Option<Account>, BoxError> {
        let account = self.lock().unwrap_or_else(PoisonError::into_inner).account(name)?;
        Ok(account.filter(|account| !account.disabled).map(|users::Account { user, tokens_from, .. }| Account {
            phc: user.phc,
            permissions: user.permissions,
            tokens_from,
        }))
    }

    fn rehash(&self, name: &str, old: &str, phc: &str) -> Result<(), BoxError> {
        Ok(self.lock().unwrap_or_else(PoisonError::into_inner).set_phc(name, old, phc)?)
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

    fn revoke_before(&self, user: Option<&str>, iat: u64) -> Result<(), BoxError> {
        let mut store = self.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match user {
            Some(user) => store.revoke_user(user, iat),
            None => store.revoke_all_before(iat),
        }?)
    }
}

impl Sink for Mutex<AuditLog> {
    /// On disk when it returns.
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        self.lock().unwrap_or_else(PoisonError::into_inner).append(events)?;
        Ok(())
    }
}
