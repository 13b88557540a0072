//! The schemes of `security::password` as a manager asks them.

use super::{BoxError, Checked, Passwords};
use crate::security::password::{self, Error, Scheme, Verified};

/// Checks passwords by a [`Scheme`]: Argon2id, or another that still reads what was stored before.
///
/// The manager sees to turns by itself, so a [`Hasher`](crate::security::password::Hasher) is not needed.
#[derive(Clone, Copy, Debug)]
pub struct ByScheme<S>(pub S);

impl<S: Scheme> Passwords for ByScheme<S> {
    fn check(&self, given: &str, stored: Option<&str>) -> Result<Checked, BoxError> {
        match password::verify(&self.0, given, stored) {
            Ok(Verified { matches, rehash }) => Ok(Checked { matches, rehash }),
            // It took as long as any other.
            Err(Error::Stored { why: _why }) => {
                #[cfg(feature = "tracing")]
                tracing::error!(error = _why, "a stored hash cannot be used");
                Ok(Checked { matches: false, rehash: None })
            }
            Err(error) => Err(error.into()),
        }
    }
}
