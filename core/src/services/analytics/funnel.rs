//! How many of those who do one thing then do another.

use core::fmt;

use super::sketch::hash;
use crate::time::{Duration, Instant};

/// Counts the users who come from one event to another within a time.
///
/// Feed it the two events of each user; which they are is the caller's to know. `USERS` of them can be under way at a time.
///
/// # Rules
/// 1. A user enters with the first event and converts with the second, if that comes at most `within` after the latest first
///    one. A second event of somebody who is not under way changes nothing.
/// 2. Who is under way and enters again is not counted twice; their time begins anew.
/// 3. `entered` is the sum of `converted`, `expired`, `forgotten` and `waiting`: when all places are taken, who entered longest ago
///    is forgotten, so the true conversions are at most `converted + forgotten`.
/// 4. A clock that steps back expires nobody.
///
/// # Cost
/// 24 bytes for each of the `USERS`; `Funnel<8>`: 232 bytes of RAM and 1,376 of flash on thumbv6m (image `funnel`). O(`USERS`) an event.
///
/// # Example
/// ```
/// use daur_core::services::analytics::{Funnel, Stage};
/// use daur_core::time::{Duration, Instant};
///
/// let mut bought: Funnel<16> = Funnel::new(Duration::from_secs(60));
/// bought.track(Stage::First, b"alice", Instant::from_secs(0));
/// bought.track(Stage::First, b"bob", Instant::from_secs(1));
/// assert!(bought.track(Stage::Second, b"alice", Instant::from_secs(60)));
/// assert!(!bought.track(Stage::Second, b"bob", Instant::from_secs(62)));
/// let shown = bought.snapshot();
/// assert_eq!((shown.entered, shown.converted, shown.expired), (2, 1, 1));
/// ```
#[derive(Clone, Debug)]
pub struct Funnel<const USERS: usize> {
    within: Duration,
    users: [Option<Entry>; USERS],
    entered: u64,
    converted: u64,
    expired: u64,
    forgotten: u64,
}

/// Somebody on the way, by the hash of their name.
#[derive(Clone, Copy, Debug)]
struct Entry {
    user: u64,
    at: Instant,
}

/// Which of a funnel's two events it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stage {
    /// The one that users enter with.
    First,
    /// The one that they convert with.
    Second,
}

/// Says that a funnel's time is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FunnelError;

impl fmt::Display for FunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time within which users convert is zero; allowed is any longer time")
    }
}

impl core::error::Error for FunnelError {}

/// How far users came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Times that somebody entered.
    pub entered: u64,
    /// Of these, came to the second event in time.
    pub converted: u64,
    /// Did not.
    pub expired: u64,
    /// Were under way when others took their places.
    pub forgotten: u64,
    /// Are under way.
    pub waiting: u64,
}

impl<const USERS: usize> Funnel<USERS> {
    /// A funnel that nobody has entered.
    ///
    /// # Panics
    /// At compile time, in a `static` or `const`, if the time is zero.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        assert!(!within.is_zero(), "the time within which users convert is zero");
        Self::unchecked(within)
    }

    /// A funnel that nobody has entered, with a time read at run time.
    ///
    /// # Errors
    /// [`FunnelError`] if the time is zero.
    pub const fn try_new(within: Duration) -> Result<Self, FunnelError> {
        if within.is_zero() { Err(FunnelError) } else { Ok(Self::unchecked(within)) }
    }

    const fn unchecked(within: Duration) -> Self {
        const { assert!(USERS > 0, "at least one user is under way at a time") };
        Self { within, users: [None; USERS], entered: 0, converted: 0, expired: 0, forgotten: 0 }
    }

    /// One of the two events of `user`. Says whether they converted.
    pub fn track(&mut self, stage: Stage, user: &[u8], now: Instant) -> bool {
        self.poll(now);
        let user = hash(user);
        let under_way = self.users.iter_mut().find(|slot| slot.as_ref().is_some_and(|entry| entry.user == user));
        match (stage, under_way) {
            (Stage::First, Some(slot)) => *slot = Some(Entry { user, at: now }),
            (Stage::First, None) => self.enter(Entry { user, at: now }),
            (Stage::Second, Some(slot)) => {
                *slot = None;
                self.converted = self.converted.saturating_add(1);
                self.invariants();
                return true;
            }
            (Stage::Second, None) => {}
        }
        self.invariants();
        false
    }

    fn enter(&mut self, entry: Entry) {
        self.entered = self.entered.saturating_add(1);
        // A free place, else that of who entered longest ago: `None` is less than any moment.
        let place = self.users.iter_mut().min_by_key(|slot| slot.as_ref().map(|entry| entry.at));
        if let Some(place) = place {
            self.forgotten = self.forgotten.saturating_add(u64::from(place.is_some()));
            *place = Some(entry);
        }
    }

    /// Lets go whose time is over.
    pub fn poll(&mut self, now: Instant) {
        for slot in &mut self.users {
            if slot.as_ref().is_some_and(|entry| now.since(entry.at) > self.within) {
                *slot = None;
                self.expired = self.expired.saturating_add(1);
            }
        }
    }

    /// When the next one is let go.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        let after = self.within + Duration::from_nanos(1);
        self.users.iter().flatten().map(|entry| entry.at + after).min()
    }

    /// How far users came.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            entered: self.entered,
            converted: self.converted,
            expired: self.expired,
            forgotten: self.forgotten,
            waiting: self.users.iter().flatten().count() as u64,
        }
    }

    fn invariants(&self) {
        debug_assert!({
            let Snapshot { entered, converted, expired, forgotten, waiting } = self.snapshot();
            entered == u64::MAX || entered == converted + expired + forgotten + waiting
        });
    }
}
