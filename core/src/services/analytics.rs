//! What happens, how often, with which properties and by how many users.

mod funnel;
mod sketch;
mod top;

use core::fmt;

use crate::monitoring::metrics::{Stats, Summary};
use crate::text::Text;
use crate::time::{Duration, Instant};

pub use self::funnel::{Funnel, FunnelError, Snapshot as FunnelSnapshot, Stage};
pub use self::sketch::{Sketch, hash};
pub use self::top::{Ranked, Top};

/// Names an event or a metric.
pub type Name = Text<24>;

/// The property that says whose event it is. It is counted as a user and not among the properties.
pub const USER: &str = "user";

/// What an [`Analytics`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How long a window is; not zero.
    pub window: Duration,
}

impl Config {
    /// An hour.
    pub const DEFAULT: Self = Self { window: Duration::from_secs(3_600) };

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

/// A key of an event's property and its value, cut to 12 and 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Property {
    /// What is told: `page`.
    pub key: Text<12>,
    /// What it is: `/about`.
    pub value: Text<20>,
}

/// How often an event has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Event {
    /// Its name.
    pub name: Name,
    /// How often in all.
    pub total: u64,
    /// How often in the window that is under way.
    pub window: u32,
    /// How often in the whole window before it.
    pub last_window: u32,
}

/// Counts events with their properties and users, and keeps statistics of metrics (the seed's `AnalyticsCollector`).
///
/// For what people do with a product: which commands, which pages, by how many. For what the program does, a
/// [`Collector`](crate::monitoring::metrics::Collector) keeps series; for the way from one event to another, feed a
/// [`Funnel`] beside it. On hosts `daur_std::services::analytics` keeps the events too.
///
/// A name has up to 24 bytes and is cut there.
///
/// # Rules
/// 1. The first `EVENTS` names are counted by name, exactly; all others together, as `other`. The counts sum up to `total`.
/// 2. The first window begins with the first event, each other one where the one before it ended. It turns with the first event or
///    [`poll`](Analytics::poll) after that; if a whole window has gone by until then, the next one begins there, and the last is
///    empty. No total is lost by it, and a clock that steps back turns nothing.
/// 3. The most frequent `PROPERTIES` pairs of key and value are told, by the bounds of [`Top`].
/// 4. The property [`USER`] counts users: how many different ones in all, in this window and in the last, by the error of a
///    [`Sketch`] of so many `REGISTERS`.
/// 5. The first `METRICS` metrics have exact statistics; a value of another is refused and counted, as is an event without a name.
///
/// # Cost
/// `Analytics<4, 4, 2, 64>`: 936 bytes of RAM and 6,252 of flash on thumbv6m (image `analytics`), of which the statistics' deviation is
/// a good part. O(`EVENTS` + `PROPERTIES`) comparisons an event and its properties.
///
/// # Sharing
/// Behind a [`crate::shared::Shared`].
///
/// # Example
/// ```
/// use daur_core::services::analytics::{Analytics, Config};
/// use daur_core::time::Instant;
///
/// let mut analytics: Analytics<4, 4, 2, 64> = Analytics::new(Config::DEFAULT);
/// let now = Instant::from_secs(1);
/// analytics.track_event("open", &[("user", "alice"), ("page", "status")], now);
/// analytics.track_event("open", &[("user", "bob"), ("page", "status")], now);
/// analytics.track_event("close", &[("user", "bob")], now);
/// analytics.track_metric("items", 3, now).unwrap();
///
/// assert_eq!(analytics.event("open").unwrap().total, 2);
/// assert_eq!(analytics.snapshot().users, 2);
/// assert_eq!(analytics.properties().next().unwrap().item.value, "status");
/// assert_eq!(analytics.metric_stats("items").unwrap().max, 3);
/// ```
///
/// # References
/// Metwally, Agrawal, El Abbadi 2005 (Space-Saving); Ertl, "New cardinality estimation algorithms for `HyperLogLog` sketches", 2017.
#[doc(alias = "AnalyticsCollector")]
#[derive(Clone, Debug)]
pub struct Analytics<const EVENTS: usize, const PROPERTIES: usize, const METRICS: usize, const REGISTERS: usize> {
    config: Config,
    total: u64,
    other: u64,
    refused: u32,
    windows: u32,
    window_began: Instant,
    events: [Option<Event>; EVENTS],
    properties: Top<Property, PROPERTIES>,
    metrics: [Option<(Name, Stats<i64>)>; METRICS],
    users: Sketch<REGISTERS>,
    users_now: Sketch<REGISTERS>,
    users_before: u64,
}

/// Says that a metric found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// There are as many metrics as places.
    Full,
    /// It has no name.
    NoName,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "there are as many metrics as places",
            Self::NoName => "it has no name",
        })
    }
}

impl core::error::Error for Refused {}

/// The figures over all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Events counted.
    pub total: u64,
    /// Those of them that are not counted by name.
    pub other: u64,
    /// Names that are counted.
    pub names: u32,
    /// Metrics that are kept.
    pub metrics: u32,
    /// Values of metrics without a place, and events and metrics without a name.
    pub refused: u32,
    /// How often the window has turned.
    pub windows: u32,
    /// When the one under way began.
    pub window_began: Instant,
    /// Different users, about.
    pub users: u64,
    /// Different users in the window under way, about.
    pub users_window: u64,
    /// Different users in the window before it, about.
    pub users_last_window: u64,
    /// Properties counted.
    pub properties: u64,
}

impl<const EVENTS: usize, const PROPERTIES: usize, const METRICS: usize, const REGISTERS: usize>
    Analytics<EVENTS, PROPERTIES, METRICS, REGISTERS>
{
    /// Nothing counted.
    ///
    /// # Panics
    /// At compile time, in a `static` or `const`, if the config is invalid.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "the window is zero");
        Self::unchecked(config)
    }

    /// Nothing counted, with a config read at run time.
    ///
    /// # Errors
    /// [`ConfigError`] says which field is out of range.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self::unchecked(config)),
            Err(error) => Err(error),
        }
    }

    const fn unchecked(config: Config) -> Self {
        Self {
            config,
            total: 0,
            other: 0,
            refused: 0,
            windows: 0,
            window_began: Instant::ZERO,
            events: [None; EVENTS],
            properties: Top::new(),
            metrics: [None; METRICS],
            users: Sketch::new(),
            users_now: Sketch::new(),
            users_before: 0,
        }
    }

    /// Counts the event `name`, its properties, and the user among them.
    pub fn track_event(&mut self, name: &str, properties: &[(&str, &str)], now: Instant) {
        self.poll(now);
        if name.is_empty() {
            self.refused = self.refused.saturating_add(1);
            return;
        }
        if self.total == 0 {
            self.window_began = now;
        }
        self.total = self.total.saturating_add(1);
        match self.place(Name::cut(name)) {
            Some(event) => {
                event.total = event.total.saturating_add(1);
                event.window = event.window.saturating_add(1);
            }
            None => self.other = self.other.saturating_add(1),
        }
        for (key, value) in properties {
            if *key == USER {
                self.users.insert(value.as_bytes());
                self.users_now.insert(value.as_bytes());
            } else {
                self.properties.record(Property { key: Text::cut(key), value: Text::cut(value) });
            }
        }
        self.invariants();
    }

    /// The event's place: its own, or the first that is free.
    fn place(&mut self, name: Name) -> Option<&mut Event> {
        let mine = |slot: &&mut Option<Event>| slot.as_ref().is_none_or(|event| event.name == name);
        let slot = self.events.iter_mut().find(mine)?;
        Some(slot.get_or_insert(Event { name, total: 0, window: 0, last_window: 0 }))
    }

    /// Adds `value` to the statistics of the metric `name`.
    ///
    /// # Errors
    /// [`Refused`]: it has no name, or there is no place for another metric. Counted.
    pub fn track_metric(&mut self, name: &str, value: i64, now: Instant) -> Result<(), Refused> {
        let refused = if name.is_empty() { Refused::NoName } else { Refused::Full };
        let wanted = Name::cut(name);
        let mine = |slot: &&mut Option<(Name, Stats<i64>)>| slot.as_ref().is_none_or(|(known, _)| *known == wanted);
        match self.metrics.iter_mut().find(mine) {
            Some(slot) if !name.is_empty() => {
                match slot {
                    Some((_, stats)) => stats.record(value, now),
                    None => *slot = Some((wanted, Stats::new(value, now))),
                }
                Ok(())
            }
            _ => {
                self.refused = self.refused.saturating_add(1);
                Err(refused)
            }
        }
    }

    /// Turns the window if it is over.
    pub fn poll(&mut self, now: Instant) {
        let gone = now.since(self.window_began);
        if self.total == 0 || gone < self.config.window {
            return;
        }
        let next = gone < self.config.window.times(2);
        for event in self.events.iter_mut().flatten() {
            event.last_window = if next { event.window } else { 0 };
            event.window = 0;
        }
        self.users_before = if next { self.users_now.estimate() } else { 0 };
        self.users_now = Sketch::new();
        self.window_began = if next { self.window_began + self.config.window } else { now };
        self.windows = self.windows.saturating_add(1);
    }

    /// When the window is over.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        (self.total > 0).then(|| self.window_began + self.config.window)
    }

    /// The events that are counted by name, in the order of their first time.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().flatten()
    }

    /// The event `name`, if it is counted by name.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&Event> {
        let name = Name::cut(name);
        self.events().find(|event| event.name == name)
    }

    /// The properties, the most frequent first.
    pub fn properties(&self) -> impl Iterator<Item = &Ranked<Property>> {
        self.properties.iter()
    }

    /// The statistics of the metric `name`.
    #[must_use]
    pub fn metric_stats(&self, name: &str) -> Option<Summary<i64>> {
        let name = Name::cut(name);
        self.metrics().find(|(known, _)| **known == name).map(|(_, stats)| stats.summary())
    }

    /// The metrics and what is known of each, in the order of their first time.
    pub fn metrics(&self) -> impl Iterator<Item = (&Name, &Stats<i64>)> {
        self.metrics.iter().flatten().map(|(name, stats)| (name, stats))
    }

    /// Different users, as a sketch that can be merged with those of others.
    #[must_use]
    pub const fn users(&self) -> &Sketch<REGISTERS> {
        &self.users
    }

    /// The figures over all events.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Snapshot {
            total: self.total,
            other: self.other,
            names: count(self.events().count()),
            metrics: count(self.metrics().count()),
            refused: self.refused,
            windows: self.windows,
            window_began: self.window_began,
            users: self.users.estimate(),
            users_window: self.users_now.estimate(),
            users_last_window: self.users_before,
            properties: self.properties.total(),
        }
    }

    fn invariants(&self) {
        debug_assert_eq!(self.events().map(|event| event.total).fold(self.other, u64::saturating_add), self.total);
    }
}

impl<const EVENTS: usize, const PROPERTIES: usize, const METRICS: usize, const REGISTERS: usize> Default
    for Analytics<EVENTS, PROPERTIES, METRICS, REGISTERS>
{
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}
