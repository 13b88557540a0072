//! What goes wrong, how often, and what it said the last times.

use core::fmt;

use crate::text::Text;
use crate::time::{Duration, Instant};

/// What an [`Errors`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// The window over which [`Errors::recent`] counts; not zero.
    pub window: Duration,
}

impl Config {
    /// A minute.
    pub const DEFAULT: Self = Self { window: Duration::from_secs(60) };

    /// Checks the config.
    ///
    /// # Errors
    /// [`ConfigError`] says which field is out of range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.window.is_zero() { Err(ConfigError::NoWindow) } else { Ok(()) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says what is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// The window is zero.
    NoWindow,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoWindow => f.write_str("the window is zero; allowed is any longer time"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Counts errors by kind, keeps the last ones with their messages, and tells which kinds are most
/// frequent (the seed's `ErrorTracker`).
///
/// `KINDS` kinds are counted at a time. While no more than that occur, every total is exact; beyond
/// it the table is a Space-Saving summary: a new kind takes the place of the rarest one and inherits
/// its count as the bound of its error.
///
/// A kind has up to `KIND` bytes and a message up to `MESSAGE`, and both are cut there: kinds that begin with the same
/// `KIND` bytes are one kind. With `LAST` 0 no message is kept.
///
/// # Rules
/// 1. The counts of all kinds in the table sum up to the total.
/// 2. Every kind that makes up more than a `KINDS`-th of all errors is in the table.
/// 3. A kind's true count is at most `count` and at least `count - overestimate`.
/// 4. The last `LAST` errors are kept, the newest first.
/// 5. `recent` counts the errors of the last window, the older ones of them estimated by their share.
/// 6. A clock that steps backwards makes no kind younger than it was, and counts like any other.
///
/// # Cost
/// `Errors<4, 4>`: 664 bytes of RAM and 2,228 of flash on thumbv6m (image `errors`). O(`KINDS`) comparisons a record.
///
/// # Sharing
/// Behind a [`crate::shared::Shared`].
///
/// # Example
/// ```
/// use daur_core::monitoring::errors::{self, Errors};
/// use daur_core::time::Instant;
///
/// let mut errors: Errors<4, 8> = Errors::new(errors::Config::DEFAULT);
/// errors.record("i2c", "no acknowledge from 0x76", Instant::from_secs(1));
/// errors.record("i2c", "bus is busy", Instant::from_secs(2));
/// errors.record("flash", "page 3 is worn out", Instant::from_secs(3));
///
/// assert_eq!(errors.total(), 3);
/// assert_eq!(errors.kind("i2c").unwrap().count, 2);
/// assert_eq!(errors.top().next().unwrap().kind, "i2c");
/// assert_eq!(errors.last().next().unwrap().message, "page 3 is worn out");
/// ```
///
/// # References
/// Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams", 2005.
#[doc(alias = "ErrorTracker")]
#[derive(Clone, Debug)]
pub struct Errors<const KINDS: usize, const LAST: usize, const KIND: usize = 16, const MESSAGE: usize = 48> {
    config: Config,
    total: u64,
    kinds: [Option<Kind<KIND>>; KINDS],
    replaced: u64,
    last: [Option<Error<KIND, MESSAGE>>; LAST],
    /// Where the next error goes.
    next: usize,
    /// When the present window began; the one before it is `previous`.
    window_began: Instant,
    in_window: u64,
    previous: u64,
}

/// How often a kind of error has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Kind<const KIND: usize = 16> {
    /// Its name.
    pub kind: Text<KIND>,
    /// How often, at most.
    pub count: u64,
    /// By how much `count` may be too high; 0 if it is exact.
    pub overestimate: u64,
    /// When it was first seen since it is in the table.
    pub first_at: Instant,
    /// When it was last seen.
    pub last_at: Instant,
}

/// One error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Error<const KIND: usize = 16, const MESSAGE: usize = 48> {
    /// What kind it is of.
    pub kind: Text<KIND>,
    /// What it said.
    pub message: Text<MESSAGE>,
    /// When it was recorded.
    pub at: Instant,
}

/// The figures over all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot<const KIND: usize = 16, const MESSAGE: usize = 48> {
    /// Errors recorded.
    pub total: u64,
    /// Errors in the last window, about.
    pub recent: u64,
    /// Kinds in the table.
    pub kinds: usize,
    /// How often a kind has taken the place of another; 0 means that all counts are exact.
    pub replaced: u64,
    /// The latest error.
    pub last: Option<Error<KIND, MESSAGE>>,
}

impl<const KINDS: usize, const LAST: usize, const KIND: usize, const MESSAGE: usize>
    Errors<KINDS, LAST, KIND, MESSAGE>
{
    /// A tracker that has seen nothing.
    ///
    /// # Panics
    /// At compile time, in a `static` or `const`, if the config is invalid.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(KINDS > 0, "at least one kind is counted");
        assert!(config.validate().is_ok(), "the window is zero");
        Self::unchecked(config)
    }

    /// A tracker that has seen nothing, with a config read at run time.
    ///
    /// # Errors
    /// [`ConfigError`] says which field is out of range.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        const { assert!(KINDS > 0, "at least one kind is counted") };
        match config.validate() {
            Ok(()) => Ok(Self::unchecked(config)),
            Err(error) => Err(error),
        }
    }

    const fn unchecked(config: Config) -> Self {
        Self {
            config,
            total: 0,
            kinds: [None; KINDS],
            replaced: 0,
            last: [None; LAST],
            next: 0,
            window_began: Instant::ZERO,
            in_window: 0,
            previous: 0,
        }
    }

    /// Counts an error of `kind` and keeps its `message`.
    pub fn record(&mut self, kind: &str, message: &str, now: Instant) {
        let kind = Text::cut(kind);
        self.total = self.total.saturating_add(1);
        self.turn_window(now);
        self.in_window = self.in_window.saturating_add(1);
        self.count(kind, now);
        if let Some(place) = self.last.get_mut(self.next) {
            *place = Some(Error { kind, message: Text::cut(message), at: now });
            self.next = if self.next + 1 < LAST { self.next + 1 } else { 0 };
        }
        self.invariants();
    }

    /// Space-Saving.
    fn count(&mut self, kind: Text<KIND>, now: Instant) {
        let fresh = Kind { kind, count: 1, overestimate: 0, first_at: now, last_at: now };
        // The kind itself, else a free place (which counts as rarer than any kind), else the rarest.
        let mut rarest: Option<&mut Option<Kind<KIND>>> = None;
        for slot in &mut self.kinds {
            match slot {
                Some(known) if known.kind == kind => {
                    known.count = known.count.saturating_add(1);
                    known.last_at = known.last_at.max(now);
                    return;
                }
                _ => {
                    let count = |slot: &Option<Kind<KIND>>| slot.as_ref().map_or(0, |kind| kind.count);
                    if rarest.as_ref().is_none_or(|rarest| count(slot) < count(rarest)) {
                        rarest = Some(slot);
                    }
                }
            }
        }
        let Some(slot) = rarest else { return };
        let inherited = slot.as_ref().map_or(0, |kind| kind.count);
        self.replaced = self.replaced.saturating_add(u64::from(slot.is_some()));
        *slot = Some(Kind { count: inherited.saturating_add(1), overestimate: inherited, ..fresh });
    }

    /// Lets windows that have passed go.
    fn turn_window(&mut self, now: Instant) {
        let window = self.config.window;
        let gone = now.since(self.window_began);
        if gone < window {
            return;
        }
        if gone < window.times(2) {
            self.previous = self.in_window;
            self.window_began += window;
        } else {
            self.previous = 0;
            self.window_began = now;
        }
        self.in_window = 0;
    }

    /// Errors recorded.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Errors of the last window, about: those of the present one, and of the one before it the share
    /// that is not over yet.
    #[must_use]
    pub fn recent(&self, now: Instant) -> u64 {
        let mut turned = (self.window_began, self.in_window, self.previous);
        let window = self.config.window;
        let gone = now.since(turned.0);
        if gone >= window.times(2) {
            return 0;
        }
        if gone >= window {
            turned = (turned.0 + window, 0, self.in_window);
        }
        let left = (window - now.since(turned.0)).as_nanos();
        let share = u128::from(turned.2).saturating_mul(u128::from(left)).checked_div(u128::from(window.as_nanos()));
        turned.1.saturating_add(u64::try_from(share.unwrap_or(0)).unwrap_or(u64::MAX))
    }

    /// The count of one kind, if it is in the table.
    #[must_use]
    pub fn kind(&self, kind: &str) -> Option<&Kind<KIND>> {
        let kind: Text<KIND> = Text::cut(kind);
        self.kinds.iter().flatten().find(|known| known.kind == kind)
    }

    /// The kinds in the table, the most frequent first.
    pub fn top(&self) -> impl Iterator<Item = &Kind<KIND>> {
        let mut before: Option<(u64, usize)> = None;
        core::iter::from_fn(move || {
            // The next in order of falling count, then of rising place: a selection sort, one step a call.
            let ranked = self.kinds.iter().enumerate().filter_map(|(place, kind)| Some((kind.as_ref()?, place)));
            let rest = ranked.filter(|(kind, place)| {
                before.is_none_or(|(count, at)| kind.count < count || (kind.count == count && *place > at))
            });
            let (kind, place) = rest.min_by_key(|(kind, place)| (core::cmp::Reverse(kind.count), *place))?;
            before = Some((kind.count, place));
            Some(kind)
        })
    }

    /// The last errors, the newest first.
    pub fn last(&self) -> impl Iterator<Item = &Error<KIND, MESSAGE>> {
        self.last.iter().rev().cycle().skip(LAST.saturating_sub(self.next)).take(LAST).flatten()
    }

    /// The figures over all kinds.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot<KIND, MESSAGE> {
        Snapshot {
            total: self.total,
            recent: self.recent(now),
            kinds: self.kinds.iter().flatten().count(),
            replaced: self.replaced,
            last: self.last().next().copied(),
        }
    }

    fn invariants(&self) {
        debug_assert_eq!(self.kinds.iter().flatten().map(|kind| kind.count).sum::<u64>(), self.total);
        debug_assert!(self.kinds.iter().flatten().all(|kind| kind.overestimate < kind.count));
    }
}

impl<const KINDS: usize, const LAST: usize, const KIND: usize, const MESSAGE: usize> Default
    for Errors<KINDS, LAST, KIND, MESSAGE>
{
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn totals_are_exact_while_all_kinds_fit() {
        let mut errors: Errors<3, 2> = Errors::default();
        for kind in ["a", "b", "a", "c", "a", "b"] {
            errors.record(kind, "", at(1));
        }
        let top: Vec<_> = errors.top().map(|kind| (kind.kind.as_str(), kind.count, kind.overestimate)).collect();
        assert_eq!(top, [("a", 3, 0), ("b", 2, 0), ("c", 1, 0)]);
        assert_eq!((errors.total(), errors.snapshot(at(1)).replaced), (6, 0));
    }

    #[test]
    fn a_new_kind_takes_the_rarest_ones_place_and_its_count_as_error_bound() {
        let mut errors: Errors<2, 2> = Errors::default();
        for (n, kind) in ["a", "a", "a", "b", "b", "c"].into_iter().enumerate() {
            errors.record(kind, "", at(n as u64));
        }
        assert!(errors.kind("b").is_none());
        let c = errors.kind("c").unwrap();
        assert_eq!((c.count, c.overestimate, c.first_at), (3, 2, at(5)));
        assert_eq!(errors.snapshot(at(5)).replaced, 1);
    }

    #[test]
    fn the_last_errors_come_newest_first() {
        let mut errors: Errors<1, 3> = Errors::default();
        let last = |errors: &Errors<1, 3>| errors.last().map(|error| error.at.as_millis() / 1000).collect::<Vec<_>>();
        assert_eq!(last(&errors), [] as [u64; 0]);
        for (n, expected) in [(1, &[1][..]), (2, &[2, 1]), (3, &[3, 2, 1]), (4, &[4, 3, 2]), (5, &[5, 4, 3])] {
            errors.record("k", "m", at(n));
            assert_eq!(last(&errors), expected);
        }
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let mut errors: Errors<1, 1> = Errors::default();
        errors.record("a kind that is far too long", &"ö".repeat(40), at(0));
        let error = errors.last().next().unwrap();
        assert_eq!((error.kind.as_str(), error.message.len()), ("a kind that is f", 48));
        assert!(errors.kind("a kind that is far too long").is_some());
    }

    #[test]
    fn recent_errors_fade_as_the_window_passes() {
        let mut errors: Errors<1, 1> = Errors::default();
        for second in 0..60 {
            errors.record("k", "", at(second));
        }
        assert_eq!(errors.recent(at(59)), 60);
        assert_eq!(errors.recent(at(90)), 30);
        assert_eq!(errors.recent(at(120)), 0);
        assert_eq!(errors.recent(Instant::MAX), 0);
        assert_eq!(errors.recent(at(0)), 60, "a clock that steps back changes nothing");
        errors.record("k", "", at(75));
        assert_eq!(errors.recent(at(75)), 46);
        errors.record("k", "", at(10_000));
        assert_eq!(errors.recent(at(10_000)), 1);
    }

    #[test]
    fn rule_6_a_clock_that_steps_back_makes_no_kind_younger() {
        let mut errors: Errors<2, 2> = Errors::default();
        for second in [100, 40, 70] {
            errors.record("k", "", at(second));
        }
        let kind = errors.kind("k").unwrap();
        assert_eq!((kind.count, kind.first_at, kind.last_at), (3, at(100), at(100)));
        assert_eq!(errors.last().map(|error| error.at).collect::<Vec<_>>(), [at(70), at(40)]);
        assert_eq!((errors.recent(at(40)), errors.recent(at(100))), (3, 3));
    }

    #[test]
    fn without_a_place_for_messages_kinds_are_counted_all_the_same() {
        let mut errors: Errors<1, 0, 4, 0> = Errors::default();
        for kind in ["a", "bcdef", "bcdeg"] {
            errors.record(kind, "nobody keeps this", at(1));
        }
        assert_eq!((errors.last().count(), errors.total(), errors.kind("bcde").unwrap().count), (0, 3, 3));
        assert_eq!(errors.snapshot(at(1)).last, None);
    }

    #[test]
    fn a_window_of_no_time_is_refused() {
        let config = Config { window: Duration::ZERO };
        assert_eq!(Errors::<1, 1, 16, 48>::try_new(config).unwrap_err(), ConfigError::NoWindow);
    }
}
