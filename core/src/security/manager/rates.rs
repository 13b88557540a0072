//! So many per second for each name, in places that are there from the start.

use crate::reliability::limiter::{Config, ConfigError, Gcra, Limited, Quota};
use crate::security::keys::HmacKey;
use crate::time::Instant;

/// Limits `N` names at a time; the others share what one of them may.
///
/// A name that is rested gives its place to another, which loses nothing. One that is not keeps it: then a new name
/// passes by the shared allowance, which fails closed and locks nobody out for good.
pub(super) struct Rates<const N: usize> {
    quota: Quota,
    key: HmacKey,
    slots: [(u64, Gcra); N],
    rest: Gcra,
    pub(super) refused: u64,
    pub(super) crowded: u64,
}

impl<const N: usize> Rates<N> {
    pub(super) fn try_new(limit: Config, key: HmacKey) -> Result<Self, ConfigError> {
        let quota = Quota::try_new(limit)?;
        Ok(Self { quota, key, slots: [(0, Gcra::NEW); N], rest: Gcra::NEW, refused: 0, crowded: 0 })
    }

    pub(super) fn check(&mut self, name: &str, now: Instant) -> Result<(), Limited> {
        let tag = self.key.tag(&[name.as_bytes()]);
        let hash = tag.first_chunk().copied().map_or(0, u64::from_be_bytes);
        // An unused place is one of the hash 0 that is rested: it serves a name of that hash as well as any other.
        let place = match self.slots.iter().position(|(known, _)| *known == hash) {
            Some(place) => Some(place),
            None => self.slots.iter().position(|(_, state)| state.is_idle(now)),
        };
        let checked = match place.and_then(|place| self.slots.get_mut(place)) {
            Some(slot) => {
                if slot.0 != hash {
                    *slot = (hash, Gcra::NEW);
                }
                slot.1.check(&self.quota, now)
            }
            None => {
                self.crowded = self.crowded.saturating_add(1);
                self.rest.check(&self.quota, now)
            }
        };
        self.refused = self.refused.saturating_add(u64::from(checked.is_err()));
        checked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use std::format;

    fn rates() -> Rates<2> {
        let limit = Config { rate: 1, period: Duration::from_secs(1), burst: 2 };
        Rates::try_new(limit, HmacKey::new(b"seed")).unwrap()
    }

    #[test]
    fn each_name_has_its_own_allowance() {
        let (mut rates, now) = (rates(), Instant::from_secs(10));
        for name in ["a", "b"] {
            assert!(rates.check(name, now).is_ok() && rates.check(name, now).is_ok());
            assert_eq!(rates.check(name, now), Err(Limited { retry_at: Instant::from_secs(11) }));
        }
        assert!(rates.check("a", Instant::from_secs(11) - Duration::from_nanos(1)).is_err());
        assert!(rates.check("a", Instant::from_secs(11)).is_ok());
        assert_eq!(rates.refused, 3);
    }

    #[test]
    fn names_beyond_the_places_share_one_allowance_and_take_nobodys() {
        let (mut rates, now) = (rates(), Instant::from_secs(10));
        assert!(rates.check("a", now).is_ok() && rates.check("b", now).is_ok());
        let passed = (0..100).filter(|n| rates.check(&format!("new-{n}"), now).is_ok()).count();
        assert_eq!((passed, rates.crowded), (2, 100));
        assert!(rates.check("a", now).is_ok(), "a known name still has its own");
        // Both are rested then: their places are free.
        assert!(rates.check("c", Instant::from_secs(20)).is_ok() && rates.check("d", Instant::from_secs(20)).is_ok());
        assert_eq!(rates.crowded, 100);
    }
}
