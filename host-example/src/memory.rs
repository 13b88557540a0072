//! How short memory is, and who gives some back when it is.
//!
//! # Rules
//! 1. Of the machine's memory, the control group's limit and `limit`, that counts of which the smallest part is left.
//! 2. From `elevated` per cent on, results in memory and the last good outputs keep half of what they may, from
//!    `critical` on a tenth; what they drop is in the file still, or is made anew. It is told on the dashboard.
//! 3. When there has been room for a while, they grow back step by step.

use std::fmt;
use std::sync::Arc;

use daur_core::performance::memory::{self as machine, Band, Bands, Level, Shrink, shrinkers};
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::StdClock;
use daur_std::performance::memory::{self, MemoryOptimizer, Provider};
use serde::Serialize;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Who tells how much memory is used: the system, or a test.
#[derive(Clone, Default)]
pub struct Figures(Option<Arc<dyn Provider>>);

impl Figures {
    /// Those of `provider`.
    pub fn of(provider: impl Provider + 'static) -> Self {
        Self(Some(Arc::new(provider)))
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a provider" } else { "the system" })
    }
}

/// Says when memory is short, and how fast things grow back.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of resident memory that this process may use; `None` for the limits of the system alone.
    pub limit: Option<u64>,
    /// Per cent from which on memory is getting short; left ten below. Default 80.
    pub elevated: u8,
    /// Per cent from which on it is about to run out; left seven below. Default 92.
    pub critical: u8,
    /// From one reading to the next. Default 5 s; a fifth of that while memory is short.
    pub period: Duration,
    /// How long there must be room before a level is left. Default 10 s.
    pub dwell: Duration,
    /// How long after that anything grows back. Default 30 s.
    pub calm: Duration,
    /// From one step of that to the next: a tenth. Default 5 s.
    pub pace: Duration,
    /// Who tells the figures.
    pub figures: Figures,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limit: None,
            elevated: 80,
            critical: 92,
            period: Duration::from_secs(5),
            dwell: Duration::from_secs(10),
            calm: Duration::from_secs(30),
            pace: Duration::from_secs(5),
            figures: Figures::default(),
        }
    }
}

impl Config {
    fn machine(&self) -> memory::Config {
        let band = |percent: u8, below: u16| {
            let enter = u16::from(percent) * 10;
            Band { enter, leave: enter.saturating_sub(below) }
        };
        memory::Config {
            monitor: machine::Config {
                used: Bands { elevated: band(self.elevated, 100), critical: band(self.critical, 70) },
                dwell: self.dwell,
                interval: self.period,
                interval_short: Duration::from_nanos(self.period.as_nanos() / 5),
                ..machine::Config::DEFAULT
            },
            shrinkers: shrinkers::Config { calm: self.calm, pace: self.pace, ..shrinkers::Config::DEFAULT },
            limit: self.limit,
        }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.limit == Some(0) {
            return Err("`limit` is 0; leave it out for none".into());
        }
        for (key, percent) in [("elevated", self.elevated), ("critical", self.critical)] {
            if !(11..=100).contains(&percent) {
                return Err(format!("`{key}` is {percent}; it must be from 11 to 100"));
            }
        }
        if self.critical < self.elevated {
            return Err(format!("`critical`, {}, is below `elevated`, {}", self.critical, self.elevated));
        }
        if self.period < PERIOD_MIN {
            return Err(format!("`period` is {}; it must be {PERIOD_MIN} at least", self.period));
        }
        Ok(())
    }
}

/// A reading costs a tenth of a millisecond.
const PERIOD_MIN: Duration = Duration::from_millis(10);

/// Watches the memory.
#[derive(Clone)]
pub struct Memory {
    optimizer: MemoryOptimizer,
    period: Duration,
    began: Instant,
}

/// Shows how short memory is.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// `normal`, `elevated` or `critical`.
    #[serde(serialize_with = "word")]
    pub level: Level,
    /// For how long.
    pub level_ms: u64,
    /// What is used of the limit that counts.
    pub used: Option<u64>,
    /// That limit.
    pub limit: Option<u64>,
    /// In thousandths of it.
    pub used_permille: Option<u64>,
    /// Thousandths of the last ten seconds in which work stood still for want of memory, where that is known.
    pub pressure_permille: Option<u16>,
    /// Bytes given back since the start, as those who gave them say.
    pub freed: u64,
    /// Times that the allocator was asked to give back.
    pub trims: u32,
    /// Changes of the level.
    pub changes: u32,
    /// Readings that failed.
    pub failures: u32,
    /// Who gives back, those first who are asked first.
    pub shrinkers: Vec<Shrinker>,
}

/// Shows one who gives back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shrinker {
    /// Its name.
    pub name: &'static str,
    /// What of a thousand it may keep now.
    pub keep_permille: u16,
    /// Times that it was asked.
    pub asked: u32,
    /// Bytes that it gave back.
    pub freed: u64,
}

fn word<S: serde::Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(level)
}

impl Memory {
    /// Watches, as long as it is [polled](Self::poll).
    ///
    /// # Errors
    /// An invalid config.
    pub fn new(config: &Config) -> Result<Self, Error> {
        config.validate()?;
        let builder = MemoryOptimizer::builder(config.machine());
        let builder = match config.figures.0.clone() {
            None => builder,
            Some(provider) => builder.provider(move || provider.sample()),
        };
        Ok(Self { optimizer: builder.build()?, period: config.period, began: StdClock.now() })
    }

    /// Has `shrink` give back when memory is short: those of a lower `cost` first.
    ///
    /// # Errors
    /// That there are too many.
    pub fn register(
        &self,
        name: &'static str,
        cost: u8,
        shrink: impl Shrink + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let registered = self.optimizer.register(name, cost, shrink).map_err(|error| error.to_string())?;
        registered.keep();
        Ok(())
    }

    /// Reads and acts, if that is due. Blocks.
    ///
    /// # Errors
    /// Why nothing could be read.
    pub fn poll(&self) -> Result<(), String> {
        self.optimizer.poll().error.map_or(Ok(()), |error| Err(error.to_string()))
    }

    /// When that is due next.
    #[must_use]
    pub fn poll_at(&self) -> Instant {
        let (now, period) = (StdClock.now(), self.period);
        self.optimizer.poll_at().unwrap_or(now + period).min(now + period).max(now + PERIOD_MIN)
    }

    /// How short memory is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (shown, now) = (self.optimizer.snapshot(), StdClock.now());
        let reading = shown.monitor.reading;
        let usage = reading.map(|reading| reading.usage).filter(|usage| usage.limit > 0);
        let mut shrinkers = shown.by;
        shrinkers.sort_by_key(|one| one.cost);
        let show = |one: shrinkers::Shrinker| Shrinker {
            name: one.name,
            keep_permille: one.keep.as_permille(),
            asked: one.asked,
            freed: one.freed,
        };
        Snapshot {
            level: shown.monitor.level,
            level_ms: shown.monitor.lasted(now).min(now - self.began).as_millis(),
            used: usage.map(|usage| usage.used),
            limit: usage.map(|usage| usage.limit),
            used_permille: usage.and_then(|usage| usage.used.saturating_mul(1_000).checked_div(usage.limit)),
            pressure_permille: reading.and_then(|reading| reading.pressure),
            freed: shown.shrinkers.freed,
            trims: shown.trims,
            changes: shown.monitor.changes,
            failures: shown.monitor.failures,
            shrinkers: shrinkers.into_iter().map(show).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let wrong = |config: Config| config.validate().unwrap_err();
        assert_eq!(Config::default().validate(), Ok(()));
        assert!(Memory::new(&Config { elevated: 11, critical: 11, ..Config::default() }).is_ok());
        assert!(Memory::new(&Config { elevated: 100, critical: 100, ..Config::default() }).is_ok());
        assert!(wrong(Config { limit: Some(0), ..Config::default() }).contains("`limit`"));
        assert!(wrong(Config { elevated: 101, ..Config::default() }).contains("`elevated`"));
        assert!(wrong(Config { critical: 79, ..Config::default() }).contains("`critical`, 79, is below"));
        assert!(wrong(Config { period: Duration::ZERO, ..Config::default() }).contains("`period`"));
    }

    #[test]
    fn it_reads_the_system_if_nobody_else_tells() {
        let memory = Memory::new(&Config::default()).unwrap();
        assert_eq!((memory.snapshot().level, memory.snapshot().used), (Level::Normal, None));
        assert!(memory.optimizer.poll().error.is_none());
        let shown = memory.snapshot();
        assert!(shown.used.is_some_and(|used| used > 1 << 20) && shown.limit > shown.used, "{shown:?}");
    }
}
