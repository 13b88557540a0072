//! The schemes of `security::password` as a manager asks them.

use super::{BoxError, Checked, Passwords};
use crate::security::password::Scheme;

/// Checks passwords by a [`Scheme`]: Argon2id, or another that still reads what was stored before.
///
/// The manager sees to turns by itself, so a [`Hasher`](crate::security::password::Hasher) is not needed.
#[derive(Clone, Copy, Debug)]
pub struct ByScheme<S>(pub S);

impl<S: Scheme> Passwords for ByScheme<S> {
    fn check(&self, password: &str, stored: Option<&str>) -> Result<Checked, BoxError> {
        let Some(stored) = stored else {
            self.0.dummy(password);
            return Ok(Checked { matches: false, rehash: None });
        };
        let matches = self.0.verify(password, stored)?;
        let rehash = if matches && self.0.needs_rehash(stored) { Some(self.0.hash(password)?) } else { None };
        Ok(Checked { matches, rehash })
    }
}
