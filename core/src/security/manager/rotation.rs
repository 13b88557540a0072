//! Keys that follow each other.

use super::{At, Audit, Manager, What};
use crate::security::audit::{Event, Outcome};
use crate::security::keys::{KeyError, Kid, Role};
use crate::text::Text;

impl<const KEYS: usize, const REVOKED: usize, const NAMES: usize> Manager<'_, KEYS, REVOKED, NAMES> {
    /// Takes one more key, by decision of `actor`; one that signs makes the present one verify only.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    pub fn add_key(
        &mut self,
        kid: Option<Kid>,
        secret: &[u8],
        role: Role,
        actor: &str,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<(), KeyError> {
        let added = self.keys.add(kid, secret, role);
        key_event("added ", kid.as_ref(), added, actor, audit, at)
    }

    /// Forgets a key, by decision of `actor`: what it has signed is refused from now on.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    pub fn retire_key(
        &mut self,
        kid: Option<Kid>,
        actor: &str,
        audit: &mut impl Audit,
        at: &At<'_>,
    ) -> Result<(), KeyError> {
        let retired = self.keys.retire(kid);
        key_event("retired ", kid.as_ref(), retired, actor, audit, at)
    }
}

fn key_event(
    done: &str,
    kid: Option<&Kid>,
    result: Result<(), KeyError>,
    actor: &str,
    audit: &mut impl Audit,
    at: &At<'_>,
) -> Result<(), KeyError> {
    let mut detail = Text::<128>::cut(done);
    detail.push(kid.map_or("the key without a name", Kid::as_str));
    let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Failure };
    audit.record(&Event { detail, ..Event::new(What::KeyRotation, outcome, actor, at.source, "") }, at);
    result
}
