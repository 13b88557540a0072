//! What a layer must know of requests and responses.

use daur_core::security::token::Claims;
use daur_core::time::Instant;

use super::Denied;

/// A request that may bear a token.
pub trait Bearing {
    /// The token; `None` if there is none.
    fn token(&self) -> Option<&str>;

    /// Where it comes from, for the audit.
    fn source(&self) -> &str {
        ""
    }

    /// Told whose request it is, once it is admitted.
    fn admitted(&mut self, claims: Claims);
}

/// A response that can say no.
pub trait Answer {
    /// The response to who was denied at the moment `now`.
    fn denied(denied: Denied, now: Instant) -> Self;
}
