//! How a machine is doing: its figures, how bad each of them is, and where it is heading.

mod config;
mod idle;
mod sample;
mod trend;

pub use config::{Config, ConfigError, Threshold};
pub use idle::Idle;
pub use sample::{Field, ResetCause, Sample};
pub use trend::Trend;

pub use crate::performance::memory::Level;

use crate::time::{Duration, Instant};

/// Judges the figures of a machine, and tells where they are heading (the seed's `SystemMonitor`).
///
/// Somebody else reads them: the host's monitor asks the operating system, a device fills a [`Sample`] with what it
/// knows. What is done about a process that is short of memory is for
/// [`performance::memory`](crate::performance::memory); this tells all figures alike, and does nothing.
///
/// # Rules
/// 1. A field's level is entered when every sample for [`Config::rise`] has lain at or above it; from normal to
///    critical in one step.
/// 2. A level is left when every sample for [`Config::fall`] has lain below it by more than its
///    [`hysteresis`](Threshold::hysteresis).
/// 3. In between a level stays what it is, for ever.
/// 4. A field that a sample does not tell keeps its level; a reading that failed changes nothing but its count.
/// 5. The level of the machine is that of its worst field.
/// 6. The trend is a least-squares line through the last `N` points, one each [`Config::trend_every`]; with fewer than two it is
///    unknown, not flat.
/// 7. A clock that steps backwards neither enters nor leaves a level.
///
/// # Cost
/// `System<8>`: 1,472 bytes, `System<0>` 704 (a sample is 176 of them). A sample costs two comparisons a field, a division for
/// each share; a trend is worked out when it is asked for. `N` is at most 64.
///
/// # Sharing
/// Behind a [`Shared`](crate::shared::Shared).
///
/// # Example
/// ```
/// use daur_core::monitoring::system::{Config, Field, Level, Sample, System};
/// use daur_core::time::{Duration, Instant};
///
/// let mut system: System = System::new(Config { rise: Duration::from_secs(10), ..Config::DEFAULT });
/// let hot = Sample { cpu_permille: Some(970), temperature_mc: Some(41_500), ..Sample::EMPTY };
/// assert_eq!(system.update(&hot, Instant::from_secs(5)).iter().count(), 0, "a burst is no trouble");
/// let change = *system.update(&hot, Instant::from_secs(15)).iter().next().unwrap();
/// assert_eq!((change.field, change.from, change.to), (Field::Cpu, Level::Normal, Level::Critical));
/// assert_eq!((system.level(), system.level_of(Field::Temperature)), (Level::Critical, Level::Normal));
/// ```
#[doc(alias = "SystemMonitor")]
#[derive(Clone, Debug)]
pub struct System<const N: usize = 8> {
    config: Config,
    sample: Sample,
    at: Option<Instant>,
    poll_at: Instant,
    fields: [Judged; Field::COUNT],
    trends: [Trend<N>; Field::COUNT],
    /// When the last points of the trends were taken.
    trended_at: Option<Instant>,
    samples: u32,
    failures: u32,
    changes: u32,
}

/// What is remembered of one field.
#[derive(Clone, Copy, Debug)]
struct Judged {
    elevated: Switch,
    critical: Switch,
    since: Instant,
}

/// One level of one field: on or off, and since when the samples have said otherwise.
#[derive(Clone, Copy, Debug)]
struct Switch {
    is_on: bool,
    otherwise: Option<Instant>,
}

impl Switch {
    const OFF: Self = Self { is_on: false, otherwise: None };

    fn take(&mut self, value: i32, enter: i32, leave: i32, config: &Config, now: Instant) {
        let says_on = if self.is_on { value >= leave } else { value >= enter };
        if says_on == self.is_on {
            self.otherwise = None;
            return;
        }
        let began = *self.otherwise.get_or_insert(now);
        let wait = if self.is_on { config.fall } else { config.rise };
        if now >= began && now.since(began) >= wait {
            *self = Self { is_on: says_on, otherwise: None };
        }
    }
}

impl Judged {
    const fn level(&self) -> Level {
        match (self.critical.is_on, self.elevated.is_on) {
            (true, _) => Level::Critical,
            (false, true) => Level::Elevated,
            (false, false) => Level::Normal,
        }
    }
}

/// Tells that a field's level has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Change {
    /// Which field.
    pub field: Field,
    /// Its level before.
    pub from: Level,
    /// Its level now.
    pub to: Level,
    /// Its value: thousandths, or thousandths of a degree.
    pub value: i32,
}

/// The changes that one sample has brought, at most one a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes([Option<Change>; Field::COUNT]);

impl Changes {
    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().flatten()
    }
}

impl IntoIterator for Changes {
    type Item = Change;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Change>, { Field::COUNT }>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

impl<const N: usize> System<N> {
    /// A system of which nothing is known: all is normal.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(system) => system,
            Err(_) => panic!("invalid system::Config: see Config::validate"),
        }
    }

    /// A system of which nothing is known, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        Ok(Self {
            config,
            sample: Sample::EMPTY,
            at: None,
            poll_at: Instant::ZERO,
            fields: [Judged { elevated: Switch::OFF, critical: Switch::OFF, since: Instant::ZERO }; Field::COUNT],
            trends: [Trend::NEW; Field::COUNT],
            trended_at: None,
            samples: 0,
            failures: 0,
            changes: 0,
        })
    }

    /// Takes a sample, and tells which levels have changed.
    pub fn update(&mut self, sample: &Sample, now: Instant) -> Changes {
        self.samples = self.samples.wrapping_add(1);
        self.sample = *sample;
        self.at = Some(now);
        self.poll_at = now.after(self.config.interval);
        let is_point = self.trended_at.is_none_or(|last| now.since(last) >= self.config.trend_every);
        if is_point {
            self.trended_at = Some(now);
        }
        let mut changes = [None; Field::COUNT];
        let all = self.fields.iter_mut().zip(&mut self.trends).zip(Field::ALL).zip(&mut changes);
        for (((judged, trend), field), change) in all {
            if let Some(amount) = sample.amount(field).filter(|_| is_point) {
                trend.push(amount, now);
            }
            let Some(value) = sample.value(field) else { continue };
            let from = judged.level();
            let threshold = self.config.threshold(field);
            let leave = |enter: i32| enter.saturating_sub(threshold.hysteresis);
            judged.elevated.take(value, threshold.elevated, leave(threshold.elevated), &self.config, now);
            judged.critical.take(value, threshold.critical, leave(threshold.critical), &self.config, now);
            let to = judged.level();
            if to != from {
                judged.since = now;
                self.changes = self.changes.saturating_add(1);
                *change = Some(Change { field, from, to, value });
            }
        }
        Changes(changes)
    }

    /// Notes that the figures could not be read: all stays, the next reading is due as after any other.
    pub fn on_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.poll_at = now.after(self.config.interval);
    }

    /// When the next sample is due; at once before the first.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        Some(self.poll_at)
    }

    /// The level of the worst field.
    #[must_use]
    pub fn level(&self) -> Level {
        self.fields.iter().map(Judged::level).max().unwrap_or_default()
    }

    /// The level of one field.
    #[must_use]
    pub fn level_of(&self, field: Field) -> Level {
        self.fields.get(field as usize).map(Judged::level).unwrap_or_default()
    }

    /// By how much [`Sample::amount`] of a field grows in an hour, if it goes on as of late.
    #[must_use]
    pub fn per_hour(&self, field: Field) -> Option<i64> {
        self.trends.get(field as usize)?.per_hour()
    }

    /// How long until memory, disk or stack is used up, if it goes on as of late. `None` if that is not foreseeable: the
    /// use does not grow, or nobody knows of how much.
    #[must_use]
    pub fn lasts(&self, field: Field) -> Option<Duration> {
        let per_hour = u64::try_from(self.per_hour(field)?).ok()?;
        let seconds = self.sample.usage(field)?.free().saturating_mul(3_600).checked_div(per_hour)?;
        Some(Duration::from_secs(seconds))
    }

    /// The last sample, if there was one.
    #[must_use]
    pub const fn sample(&self) -> Option<&Sample> {
        if self.at.is_some() { Some(&self.sample) } else { None }
    }

    /// The config.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut fields = Field::ALL.map(|field| FieldSnapshot {
            field,
            level: Level::Normal,
            since: Instant::ZERO,
            value: self.sample.value(field),
            per_hour: None,
        });
        for ((shown, judged), trend) in fields.iter_mut().zip(&self.fields).zip(&self.trends) {
            shown.level = judged.level();
            shown.since = judged.since;
            shown.per_hour = trend.per_hour();
        }
        Snapshot {
            level: self.level(),
            at: self.at,
            sample: self.sample,
            fields,
            samples: self.samples,
            failures: self.failures,
            changes: self.changes,
        }
    }
}

impl<const N: usize> Default for System<N> {
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}

/// Shows a [`System`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// That of the worst field.
    pub level: Level,
    /// When the last sample was taken.
    pub at: Option<Instant>,
    /// The last sample.
    pub sample: Sample,
    /// Every field, in the order of [`Field::ALL`].
    pub fields: [FieldSnapshot; Field::COUNT],
    /// Samples taken.
    pub samples: u32,
    /// Readings that failed.
    pub failures: u32,
    /// Changes of level.
    pub changes: u32,
}

/// Shows one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FieldSnapshot {
    /// Which.
    pub field: Field,
    /// How bad it is.
    pub level: Level,
    /// Since when; the clock's start if it has never changed.
    pub since: Instant,
    /// What is judged: thousandths, or thousandths of a degree. `None` if the last sample did not tell.
    pub value: Option<i32>,
    /// By how much its amount grows in an hour.
    pub per_hour: Option<i64>,
}

#[cfg(test)]
mod tests;
