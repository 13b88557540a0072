//! The machine that tells the level.

use super::Level;
use super::config::{Band, Config, ConfigError};
use super::usage::{Reading, Usage};
use crate::time::{Duration, Instant};

/// Tells that the level has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Change {
    /// The level before.
    pub from: Level,
    /// The level now.
    pub to: Level,
    /// The reading that changed it.
    pub reading: Reading,
}

/// Tells how short memory is, without flapping.
///
/// Somebody else reads how much is used ([`Usage`]): of a process on a host, of a pool or a stack on a device. What is
/// to be done about it is for [`Shrinkers`](super::Shrinkers). (The seed's `MemoryOptimizer` only measures.)
///
/// # Rules
/// 1. A level is entered with the first reading at or above its `enter`, of the use or of the pressure; from normal to
///    critical in one step.
/// 2. A level is left when every reading for `dwell` has lain below its `leave`, of the use and of the pressure; one step
///    at a time, each with a `dwell` of its own.
/// 3. Within its band a level stays what it is, for ever.
/// 4. Pressure alone raises the level, and alone it holds it.
/// 5. A reading that knows neither a limit nor a pressure says nothing; one that failed changes nothing but its count.
/// 6. A clock that steps backwards leaves no level.
///
/// # Cost
/// 136 bytes of RAM and 1,800 of flash on thumbv6m (image `memory`). A reading is at most eight multiplications and
/// comparisons, no division.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared). A reading is all there is: nothing to cancel.
///
/// # Example
/// ```
/// use daur_core::performance::memory::{Config, Level, Monitor, Usage};
/// use daur_core::time::Instant;
///
/// let mut monitor = Monitor::new(Config::DEFAULT);
/// let change = monitor.update(Usage::new(850, 1_000), Instant::from_secs(1)).unwrap();
/// assert_eq!((change.from, change.to), (Level::Normal, Level::Elevated));
/// assert_eq!(monitor.poll_at(), Some(Instant::from_secs(2)));
///
/// // Back below 80 % is not enough: it is left below 70 %, after 10 s there.
/// assert_eq!(monitor.update(Usage::new(750, 1_000), Instant::from_secs(2)), None);
/// assert_eq!(monitor.update(Usage::new(650, 1_000), Instant::from_secs(3)), None);
/// assert!(monitor.update(Usage::new(650, 1_000), Instant::from_secs(13)).is_some());
/// assert_eq!(monitor.level(), Level::Normal);
/// ```
///
/// # References
/// Linux, *PSI: Pressure Stall Information*; Kubernetes, *Node-pressure Eviction*, whose thresholds have no second end
/// and which waits out flapping instead.
#[doc(alias("MemoryOptimizer", "get_memory_usage"))]
#[derive(Clone, Debug)]
pub struct Monitor {
    config: Config,
    level: Level,
    since: Instant,
    /// From when on every reading has lain below the level's `leave`.
    calm: Option<Instant>,
    reading: Reading,
    at: Option<Instant>,
    poll_at: Instant,
    peak: u64,
    readings: u32,
    failures: u32,
    changes: u32,
}

impl Monitor {
    /// A monitor that has seen nothing: the level is normal.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(monitor) => monitor,
            Err(_) => panic!("invalid memory::Config: see Config::validate"),
        }
    }

    /// A monitor that has seen nothing, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        Ok(Self {
            config,
            level: Level::Normal,
            since: Instant::ZERO,
            calm: None,
            reading: Reading { usage: Usage::new(0, 0), pressure: None },
            at: None,
            poll_at: Instant::ZERO,
            peak: 0,
            readings: 0,
            failures: 0,
            changes: 0,
        })
    }

    /// Takes a reading: a [`Usage`], or a [`Reading`] where the pressure is known too. Tells a change of level.
    pub fn update(&mut self, reading: impl Into<Reading>, now: Instant) -> Option<Change> {
        self.take(reading.into(), now)
    }

    fn take(&mut self, reading: Reading, now: Instant) -> Option<Change> {
        self.readings = self.readings.wrapping_add(1);
        self.reading = reading;
        self.at = Some(now);
        self.peak = self.peak.max(reading.usage.used);
        let change = self.judge(reading, now);
        self.schedule(now);
        change
    }

    /// Notes that memory could not be read: the level stays, the next reading is due as after any other.
    pub fn on_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.schedule(now);
    }

    fn judge(&mut self, reading: Reading, now: Instant) -> Option<Change> {
        if reading.usage.limit == 0 && reading.pressure.is_none() {
            return None;
        }
        let entered = self.entered(reading);
        if entered > self.level {
            return Some(self.go(entered, reading, now));
        }
        let held = self.held();
        if held >= self.level {
            self.calm = None;
            return None;
        }
        let calm = *self.calm.get_or_insert(now);
        if now < calm || now.since(calm) < self.config.dwell {
            return None;
        }
        let lower = if self.level == Level::Critical { Level::Elevated } else { Level::Normal };
        let change = self.go(lower, reading, now);
        if held < lower {
            self.calm = Some(now);
        }
        Some(change)
    }

    /// The highest level that is entered: what the use or the pressure reaches.
    fn entered(&self, reading: Reading) -> Level {
        let Config { used, pressure, .. } = self.config;
        let reaches = |used: Band, pressure: Band| reading.reaches(used.enter, pressure.enter);
        highest(reaches(used.critical, pressure.critical), reaches(used.elevated, pressure.elevated))
    }

    /// The highest level that is not left.
    fn held(&self) -> Level {
        let Config { used, pressure, .. } = self.config;
        let reaches = |used: Band, pressure: Band| self.reading.reaches(used.leave, pressure.leave);
        highest(reaches(used.critical, pressure.critical), reaches(used.elevated, pressure.elevated))
    }

    fn go(&mut self, to: Level, reading: Reading, now: Instant) -> Change {
        let from = core::mem::replace(&mut self.level, to);
        self.since = now;
        self.calm = None;
        self.changes = self.changes.saturating_add(1);
        Change { from, to, reading }
    }

    fn schedule(&mut self, now: Instant) {
        let short = self.level != Level::Normal;
        self.poll_at = now.after(if short { self.config.interval_short } else { self.config.interval });
    }

    /// The level.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The last reading, if there was one.
    #[must_use]
    pub const fn reading(&self) -> Option<Reading> {
        if self.at.is_some() { Some(self.reading) } else { None }
    }

    /// When the next reading is due; at once before the first.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        Some(self.poll_at)
    }

    /// Bytes that had better be given back: what lies above where elevated is left. All ([`u64::MAX`]) while critical or
    /// pressure holds; 0 when the level is normal.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        let held = self.held();
        let pressed = self.reading.pressure.is_some_and(|pressed| pressed >= self.config.pressure.elevated.leave);
        match self.level {
            Level::Normal => 0,
            Level::Elevated | Level::Critical if pressed => u64::MAX,
            Level::Critical if held == Level::Critical => u64::MAX,
            Level::Elevated | Level::Critical => self.reading.usage.above(self.config.used.elevated.leave),
        }
    }

    /// Whether the level is normal, and use and pressure lie below where elevated would be left: who gave back may
    /// take again.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.level == Level::Normal && self.held() == Level::Normal
    }

    /// Tells one reading from the next.
    pub(super) const fn readings(&self) -> u32 {
        self.readings
    }

    /// The config.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot {
            level: self.level,
            since: self.since,
            reading: self.reading(),
            at: self.at,
            peak: self.peak,
            readings: self.readings,
            failures: self.failures,
            changes: self.changes,
        }
    }
}

const fn highest(critical: bool, elevated: bool) -> Level {
    match (critical, elevated) {
        (true, _) => Level::Critical,
        (false, true) => Level::Elevated,
        (false, false) => Level::Normal,
    }
}

/// Shows a [`Monitor`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// The level.
    pub level: Level,
    /// Since when; the clock's start if it has never changed.
    pub since: Instant,
    /// The last reading that did not fail.
    pub reading: Option<Reading>,
    /// When that was.
    pub at: Option<Instant>,
    /// The most bytes that were ever in use.
    pub peak: u64,
    /// Readings that did not fail.
    pub readings: u32,
    /// Readings that failed.
    pub failures: u32,
    /// Changes of level.
    pub changes: u32,
}

impl Snapshot {
    /// How long the level has lasted at `now`.
    #[must_use]
    pub const fn lasted(&self, now: Instant) -> Duration {
        now.since(self.since)
    }
}
