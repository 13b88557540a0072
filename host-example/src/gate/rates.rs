//! How often each user and each address may ask.

use std::hash::Hash;

use daur_core::reliability::limiter::{self, Limiter};
use daur_core::shared::Shared;
use daur_std::reliability::keyed::{self, KeyedLimiter, OnFull};
use daur_std::shared::StdShared;

use crate::problem::{Code, Problem};

/// Keys of one limiter's table; beyond them all share one allowance.
const TABLE: usize = 4096;

/// Shows one limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Requests that were refused.
    pub refused: u64,
    /// Of them, those who found no place in the table and none in what is left for such.
    pub crowded: u64,
    /// Keys that have used up something.
    pub busy: usize,
    /// Keys that have a place.
    pub keys: usize,
    /// Places.
    pub capacity: usize,
}

/// One allowance per key, in memory that is taken once.
pub(super) struct Rates<K: ?Sized> {
    each: KeyedLimiter<K>,
    /// A full table fails closed, but locks nobody out: whoever finds no place shares one allowance with the others
    /// who find none.
    rest: StdShared<Limiter>,
}

impl<K: Hash + ?Sized> Rates<K> {
    pub(super) fn new(limit: limiter::Config) -> Result<Self, keyed::limiter::ConfigError> {
        let config = keyed::limiter::Config { limit, capacity: TABLE, on_full: OnFull::Refuse };
        let rest = Limiter::try_new(limit).map_err(keyed::limiter::ConfigError::Limit)?;
        Ok(Self { each: KeyedLimiter::try_new(config)?, rest: StdShared::new(rest) })
    }

    pub(super) fn limits(&self) -> Limits {
        let each = self.each.snapshot();
        let crowded = self.rest.with(|rest, _| u64::from(rest.snapshot().refused));
        let keyed::limiter::Snapshot { limited, busy, keys, capacity, .. } = each;
        Limits { refused: limited + crowded, crowded, busy, keys, capacity }
    }

    pub(super) fn check(&self, key: &K, refusal: &'static str) -> Result<(), Problem> {
        let checked = match self.each.check(key) {
            Err(keyed::limiter::Refused::Full { .. }) => {
                self.rest.with(|rest, now| rest.check(now).map_err(|limited| limited.retry_at - now))
            }
            checked => checked.map_err(|refused| refused.retry_at() - self.each.now()),
        };
        checked.map_err(|wait| Problem::new(Code::RateLimited, refusal).retry_after(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daur_core::time::Duration;

    #[test]
    fn a_flood_of_keys_takes_no_more_memory_and_shares_one_allowance() {
        let limit = limiter::Config { rate: 1, period: Duration::from_secs(3_600), burst: 1 };
        let rates: Rates<usize> = Rates::new(limit).unwrap();
        let passed = (0..4 * TABLE).filter(|key| rates.check(key, "").is_ok()).count();
        // Each of those with a place, and one of the rest.
        assert_eq!(passed, rates.each.snapshot().keys + 1);
        assert!((TABLE..2 * TABLE).contains(&passed), "{passed}");
        let refused = rates.check(&0, "").unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
    }
}
