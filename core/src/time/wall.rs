//! Wall time on a device that has none of its own.

use core::fmt;

use super::{Duration, Instant, UnixTime};

/// Bounds what a [`Wall`] may be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Nothing before it is believed: whoever says so does not know the time, or counts in other units.
    pub earliest: UnixTime,
    /// Nothing after it is believed.
    pub latest: UnixTime,
    /// A moment that has passed no longer ago than this is no contradiction, since two clocks never agree.
    pub slack: Duration,
    /// Once the time is known, the farthest that one setting may move it. A step too far cannot be taken back.
    pub max_step: Duration,
}

impl Config {
    /// From 2025 to 2100, a second of slack, a year at most.
    pub const DEFAULT: Self = Self {
        earliest: UnixTime::from_secs(1_735_689_600),
        latest: UnixTime::from_secs(4_102_444_800),
        slack: Duration::from_secs(1),
        max_step: Duration::from_secs(366 * 86_400),
    };

    /// Checks the values.
    ///
    /// # Errors
    /// [`ConfigError`] if no moment lies between `earliest` and `latest`.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.earliest.as_millis() > self.latest.as_millis() { Err(ConfigError) } else { Ok(()) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says that a [`Config`] cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ConfigError;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`earliest` must not be after `latest`")
    }
}

impl core::error::Error for ConfigError {}

/// Says why a [`Wall`] was not set. It tells the time as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetError {
    /// Before the config's `earliest`.
    TooEarly {
        /// That moment.
        earliest: UnixTime,
    },
    /// After the config's `latest`.
    TooLate {
        /// That moment.
        latest: UnixTime,
    },
    /// It would go back.
    Behind {
        /// What time it is.
        unix: UnixTime,
    },
    /// It would go forward by more than the config's `max_step`.
    TooFar {
        /// What time it is.
        unix: UnixTime,
    },
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooEarly { earliest } => write!(f, "no time before {} ms is believed", earliest.as_millis()),
            Self::TooLate { latest } => write!(f, "no time after {} ms is believed", latest.as_millis()),
            Self::Behind { unix } => write!(f, "time goes forward only, and it is {} ms already", unix.as_millis()),
            Self::TooFar { unix } => write!(f, "too far from the present, {} ms", unix.as_millis()),
        }
    }
}

impl core::error::Error for SetError {}

/// Tells wall time after somebody has told it, and only forward.
///
/// For a device without a clock that outlives a reset: what it is told once, it counts on by its monotonic clock.
/// It stands where a host has its [`WallClock`](super::WallClock), and its `Option<UnixTime>` goes wherever wall time
/// is needed: [`Keys::verify`](crate::security::token::Keys::verify), which refuses a token with `exp` while it is
/// `None`, and the audit's records. Who may set it is the caller's to judge: by a signed command, never by anybody
/// on the line.
///
/// # Rules
/// 1. Until it is set there is no time; it is never assumed.
/// 2. What it tells never goes back, whatever it is set to and whatever `now` does.
/// 3. What is before `earliest`, after `latest` or farther than `max_step` from a known time is refused and changes
///    nothing.
/// 4. A moment that has passed is refused as [`SetError::Behind`]; within `slack` it is accepted and changes nothing.
///
/// # Cost
/// 64 bytes of RAM on a Cortex-M, 32 of them the config; 378 of flash on thumbv7em beside the division of 64 bits that
/// whoever counts milliseconds links (1,380 with it). A reading is one such division.
///
/// # Errors
/// [`SetError`].
///
/// # Sharing
/// One owner's, beside the keys whose tokens it judges.
///
/// # Example
/// ```
/// use daur_core::time::wall::{Config, SetError, Wall};
/// use daur_core::time::{Instant, UnixTime};
///
/// let mut wall = Wall::new(Config::DEFAULT);
/// assert_eq!(wall.unix(Instant::from_secs(7)), None);
///
/// let told = UnixTime::from_secs(1_800_000_000);
/// assert_eq!(wall.set(told, Instant::from_secs(10)), Ok(told));
/// let later = UnixTime::from_secs(1_800_000_005);
/// assert_eq!(wall.unix(Instant::from_secs(15)), Some(later));
/// let past = UnixTime::from_secs(1_800_000_001);
/// assert_eq!(wall.set(past, Instant::from_secs(15)), Err(SetError::Behind { unix: later }));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    config: Config,
    /// What it was set to, and when.
    set: Option<(UnixTime, Instant)>,
    /// The latest `now` since then, which a clock that steps back does not undo.
    latest: Instant,
}

/// Tells how a [`Wall`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// What it was set to last; `None` while the time is not known.
    pub set_to: Option<UnixTime>,
    /// When that was; [`Instant::ZERO`] before.
    pub set_at: Instant,
}

impl Wall {
    /// One that has been told nothing.
    ///
    /// # Panics
    /// If the config is invalid: in a `static`, that is an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "no moment lies between the earliest and the latest");
        Self { config, set: None, latest: Instant::ZERO }
    }

    /// One with a config read at run time.
    ///
    /// # Errors
    /// [`ConfigError`] if the config is invalid.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self { config, set: None, latest: Instant::ZERO }),
            Err(error) => Err(error),
        }
    }

    /// It is `unix`; gives what time it tells from now on.
    ///
    /// # Errors
    /// [`SetError`], which tells the bound or the present.
    #[inline(never)]
    pub fn set(&mut self, unix: UnixTime, now: Instant) -> Result<UnixTime, SetError> {
        let Config { earliest, latest, slack, max_step } = self.config;
        if unix < earliest {
            return Err(SetError::TooEarly { earliest });
        }
        if unix > latest {
            return Err(SetError::TooLate { latest });
        }
        if let Some(known) = self.unix(now) {
            let (told, new) = (known.as_millis(), unix.as_millis());
            if new <= told {
                return if told - new <= slack.as_millis() { Ok(known) } else { Err(SetError::Behind { unix: known }) };
            }
            if new - told > max_step.as_millis() {
                return Err(SetError::TooFar { unix: known });
            }
        } else {
            self.latest = now;
        }
        self.set = Some((unix, self.latest));
        Ok(unix)
    }

    /// What time it is; `None` while nobody has told.
    #[inline(never)]
    pub fn unix(&mut self, now: Instant) -> Option<UnixTime> {
        let (unix, at) = self.set?;
        self.latest = self.latest.max(now);
        Some(UnixTime::from_millis(unix.as_millis().saturating_add(self.latest.since(at).as_millis())))
    }

    /// How it stands.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        match self.set {
            Some((unix, at)) => Snapshot { set_to: Some(unix), set_at: at },
            None => Snapshot { set_to: None, set_at: Instant::ZERO },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::string::ToString;

    const T0: Instant = Instant::from_secs(10);
    const TOLD: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn after(millis: u64) -> UnixTime {
        UnixTime::from_millis(TOLD.as_millis() + millis)
    }

    fn set() -> Wall {
        let mut wall = Wall::new(Config::DEFAULT);
        assert_eq!(wall.set(TOLD, T0), Ok(TOLD));
        wall
    }

    #[test]
    fn rule_1_until_it_is_set_there_is_no_time() {
        let mut wall = Wall::new(Config::DEFAULT);
        assert_eq!([Instant::ZERO, T0, Instant::MAX].map(|now| wall.unix(now)), [None; 3]);
        assert_eq!(wall.snapshot(), Snapshot { set_to: None, set_at: Instant::ZERO });
        // A refusal does not set it, and the moment that was asked about before it was is not held against it.
        assert!(wall.set(UnixTime::from_secs(0), T0).is_err());
        assert_eq!(wall.unix(T0), None);
        assert_eq!(wall.set(TOLD, T0), Ok(TOLD));
        assert_eq!(wall.unix(T0 + Duration::from_millis(1)), Some(after(1)));
        assert_eq!(wall.snapshot(), Snapshot { set_to: Some(TOLD), set_at: T0 });
    }

    #[test]
    fn rule_2_what_it_tells_never_goes_back() {
        let mut wall = set();
        let at = |millis| T0 + Duration::from_millis(millis);
        assert_eq!(wall.unix(at(500)), Some(after(500)));
        assert_eq!(wall.unix(at(400)), Some(after(500)));
        assert_eq!(wall.unix(Instant::ZERO), Some(after(500)));
        // Set while the clock stands behind: counted from the latest moment, so that no time is counted twice.
        assert_eq!(wall.set(after(600), at(100)), Ok(after(600)));
        assert_eq!(wall.unix(at(500)), Some(after(600)));
        assert_eq!(wall.unix(at(501)), Some(after(601)));
        // Up to the end of all clocks.
        let end = wall.unix(Instant::MAX).unwrap();
        assert!(end > Config::DEFAULT.latest);
        assert_eq!(wall.unix(at(0)), Some(end));
    }

    #[test]
    fn rule_3_what_cannot_be_is_refused_and_changes_nothing() {
        let Config { earliest, latest, .. } = Config::DEFAULT;
        let past = |unix: UnixTime| UnixTime::from_millis(unix.as_millis() - 1);
        let next = |unix: UnixTime| UnixTime::from_millis(unix.as_millis() + 1);
        for known in [false, true] {
            let mut wall = if known { set() } else { Wall::new(Config::DEFAULT) };
            let before = wall.unix(T0);
            // Seconds taken for milliseconds, and microseconds.
            for unix in [UnixTime::from_millis(0), UnixTime::from_millis(1_800_000_000), past(earliest)] {
                assert_eq!(wall.set(unix, T0), Err(SetError::TooEarly { earliest }));
            }
            let micros = UnixTime::from_millis(1_800_000_000_000_000);
            for unix in [UnixTime::from_millis(u64::MAX), micros, next(latest)] {
                assert_eq!(wall.set(unix, T0), Err(SetError::TooLate { latest }));
            }
            assert_eq!(wall.unix(T0), before);
        }
        for unix in [earliest, latest] {
            assert_eq!(Wall::new(Config::DEFAULT).set(unix, T0), Ok(unix));
        }
        let year = Config::DEFAULT.max_step.as_millis();
        let mut wall = set();
        assert_eq!(wall.set(after(year + 1), T0), Err(SetError::TooFar { unix: TOLD }));
        assert_eq!(wall.unix(T0), Some(TOLD));
        assert_eq!(wall.set(after(year), T0), Ok(after(year)));
        // From the present, not from what was set.
        let later = T0 + Duration::from_secs(60);
        assert_eq!(wall.set(after(2 * year + 60_000), later), Ok(after(2 * year + 60_000)));
    }

    #[test]
    fn rule_4_a_moment_that_has_passed_is_refused_but_for_the_slack() {
        let mut wall = set();
        let now = T0 + Duration::from_secs(5);
        let slack = Config::DEFAULT.slack.as_millis();
        assert_eq!(wall.set(after(4_999 - slack), now), Err(SetError::Behind { unix: after(5_000) }));
        assert_eq!(wall.set(after(5_000 - slack), now), Ok(after(5_000)));
        assert_eq!(wall.set(after(5_000), now), Ok(after(5_000)));
        assert_eq!(wall.unix(now), Some(after(5_000)));
        assert_eq!(wall.snapshot().set_at, T0);
        assert_eq!(wall.set(after(5_001), now), Ok(after(5_001)));
        let strict = Config { slack: Duration::ZERO, ..Config::DEFAULT };
        let mut wall = Wall::try_new(strict).unwrap();
        assert_eq!(wall.set(TOLD, T0), Ok(TOLD));
        assert_eq!(wall.set(TOLD, T0), Ok(TOLD));
        assert_eq!(wall.set(UnixTime::from_millis(TOLD.as_millis() - 1), T0), Err(SetError::Behind { unix: TOLD }));
    }

    #[test]
    fn whatever_is_set_whenever_it_goes_forward_and_keeps_pace_with_a_clock_that_does() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut wall = Wall::new(Config { max_step: Duration::from_secs(3_600), ..Config::DEFAULT });
            let mut told = None;
            let mut now = T0;
            for _ in 0..200 {
                now = match rng.at_most(9) {
                    0 => Instant::from_nanos(rng.next_u64() >> 8),
                    1 => now - Duration::from_millis(rng.at_most(5_000)),
                    _ => now + Duration::from_nanos(rng.at_most(3_000_000_000)),
                };
                let before = wall.unix(now);
                assert!(before >= told, "seed {seed}: {told:?} {before:?}");
                if rng.at_most(2) == 0 {
                    let unix = match rng.at_most(3) {
                        0 => UnixTime::from_millis(rng.next_u64()),
                        _ => after(rng.at_most(10_000_000)),
                    };
                    match wall.set(unix, now) {
                        Ok(time) => assert_eq!((wall.unix(now), time >= unix), (Some(time), true), "seed {seed}"),
                        Err(_) => assert_eq!(wall.unix(now), before, "seed {seed}"),
                    }
                }
                told = wall.unix(now);
                // Whole milliseconds, and none lost between readings.
                let ahead = now + Duration::from_millis(250);
                if let (Some(unix), Snapshot { set_to: Some(set_to), set_at }) = (told, wall.snapshot())
                    && wall.latest == now
                {
                    let mut copy = wall;
                    assert_eq!(copy.unix(ahead).unwrap().as_millis() - unix.as_millis(), 250, "seed {seed}");
                    let since = now.since(set_at).as_millis();
                    assert_eq!(unix.as_millis(), set_to.as_millis() + since, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_config_without_a_moment_is_refused_and_refusals_tell_what_is_needed() {
        let upside_down = Config { earliest: after(1), latest: TOLD, ..Config::DEFAULT };
        assert_eq!(Wall::try_new(upside_down).err(), Some(ConfigError));
        assert!(ConfigError.to_string().contains("earliest"));
        let unix = TOLD;
        for error in [
            SetError::TooEarly { earliest: unix },
            SetError::TooLate { latest: unix },
            SetError::Behind { unix },
            SetError::TooFar { unix },
        ] {
            assert!(error.to_string().contains("1800000000000 ms"), "{error}");
        }
    }
}
