//! A lockout for each user.

use std::collections::HashMap;

use daur_core::security::lockout::{Config, Locked, Lockout, Snapshot};
use daur_core::time::Instant;

/// Locks the names of users who exist: however many there are, each has a place of its own.
///
/// Nobody else's name may come in here, so that no flood of invented ones makes it grow. What it knows it keeps in
/// memory: whoever can restart the server need not guess passwords.
pub(super) struct Lockouts {
    config: Config,
    key: [u8; 32],
    /// Of those who have failed lately.
    each: HashMap<String, Lockout<1>>,
    /// What those counted who are not in the table any more.
    refused: u64,
    locks: u64,
}

impl Lockouts {
    pub(super) fn new(config: Config, key: [u8; 32]) -> Self {
        Self { config, key, each: HashMap::new(), refused: 0, locks: 0 }
    }

    pub(super) fn check(&mut self, user: &str, now: Instant) -> Result<(), Locked> {
        self.each.get_mut(user).map_or(Ok(()), |lockout| lockout.check(user, now))
    }

    pub(super) fn on_failure(&mut self, user: &str, now: Instant) -> Option<Locked> {
        let new = || Lockout::new(self.config, &self.key);
        self.each.entry(user.to_owned()).or_insert_with(new).on_failure(user, now)
    }

    pub(super) fn on_success(&mut self, user: &str, now: Instant) {
        if let Some(lockout) = self.each.get_mut(user) {
            lockout.on_success(user, now);
        }
        self.forget(now);
    }

    /// Gives back the places of those who have been at peace for long enough.
    pub(super) fn poll(&mut self, now: Instant) {
        self.each.values_mut().for_each(|lockout| lockout.poll(now));
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        let (refused, locks) = (&mut self.refused, &mut self.locks);
        self.each.retain(|_, lockout| {
            let counted = lockout.snapshot(now);
            if counted.tracked == 0 {
                *refused += counted.refused;
                *locks += counted.locks;
            }
            counted.tracked > 0
        });
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        let none = Snapshot {
            tracked: 0,
            locked: 0,
            capacity: u32::MAX,
            refused: self.refused,
            locks: self.locks,
            overflowed: 0,
        };
        self.each.values().map(|lockout| lockout.snapshot(now)).fold(none, |all, one| Snapshot {
            tracked: all.tracked.saturating_add(one.tracked),
            locked: all.locked.saturating_add(one.locked),
            refused: all.refused + one.refused,
            locks: all.locks + one.locks,
            ..all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn every_user_has_a_place_however_many_there_are() {
        let mut lockouts = Lockouts::new(Config::DEFAULT, [7; 32]);
        let users: Vec<String> = (0..5_000).map(|n| format!("user{n}")).collect();
        for _ in 0..2 {
            assert!(users.iter().all(|user| lockouts.on_failure(user, at(1)).is_none()));
        }
        for user in &users {
            let locked = lockouts.on_failure(user, at(2)).unwrap();
            assert_eq!(lockouts.check(user, at(31)), Err(locked));
        }
        assert!(lockouts.check("another", at(31)).is_ok());
        let shown = lockouts.snapshot(at(31));
        assert_eq!((shown.tracked, shown.locked, shown.locks, shown.refused), (5_000, 5_000, 5_000, 5_000));
    }

    #[test]
    fn places_come_back_and_what_was_counted_stays() {
        let mut lockouts = Lockouts::new(Config::DEFAULT, [7; 32]);
        for user in ["ada", "ada", "ada", "bob"] {
            lockouts.on_failure(user, at(1));
        }
        assert!(lockouts.check("ada", at(2)).is_err());
        lockouts.on_success("bob", at(2));
        assert_eq!(lockouts.each.len(), 1);
        lockouts.poll(at(1 + 30 + 900));
        let shown = lockouts.snapshot(at(931));
        assert_eq!((lockouts.each.len(), shown.tracked, shown.locks, shown.refused), (0, 0, 1, 1));
        // A success while it is locked opens nothing.
        for _ in 0..3 {
            lockouts.on_failure("eve", at(1_000));
        }
        lockouts.on_success("eve", at(1_001));
        assert!(lockouts.check("eve", at(1_001)).is_err());
    }
}
