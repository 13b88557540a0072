//! Ends calls in time: deadlines, and the limits of a run and of each of its attempts.

use core::fmt;

use crate::time::{Duration, Instant};

/// Says how long calls may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// All attempts and the waits between them; above zero.
    pub total: Option<Duration>,
    /// One attempt; above zero. One that is longer than `total` is cut to it.
    pub attempt: Option<Duration>,
}

impl Config {
    /// No limit.
    pub const DEFAULT: Self = Self { total: None, attempt: None };

    /// One limit, for what is attempted once.
    #[must_use]
    pub const fn total(limit: Duration) -> Self {
        Self { total: Some(limit), attempt: None }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        match (self.total, self.attempt) {
            (Some(Duration::ZERO), _) => Err(ConfigError::NoTotal),
            (_, Some(Duration::ZERO)) => Err(ConfigError::NoAttempt),
            _ => Ok(()),
        }
    }

    /// `self`, checked by the compiler where it stands in a `const` or `static`.
    ///
    /// # Panics
    /// If it is invalid: in a `const`, an error of the compiler. A config that is read at run time
    /// goes to [`Config::validate`].
    #[must_use]
    pub const fn checked(self) -> Self {
        assert!(self.validate().is_ok(), "invalid timeout::Config: see Config::validate");
        self
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `total` is zero.
    NoTotal,
    /// `attempt` is zero.
    NoAttempt,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTotal => "timeout: `total` is zero; leave it out for no limit",
            Self::NoAttempt => "timeout: `attempt` is zero; leave it out for no limit",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TimedOut {
    /// That of one attempt: another one may be made.
    Attempt,
    /// That of all of them, or of a run around this one: none may.
    Total,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempt => "the attempt took too long",
            Self::Total => "the total time was over",
        })
    }
}

impl core::error::Error for TimedOut {}

/// Marks when something must be over; the moment itself no longer belongs to it.
///
/// A plain value to hand on: what is called within a call takes the caller's deadline and nests its
/// own in it with [`Deadline::within`].
///
/// # Example
/// ```
/// use daur_core::reliability::timeout::Deadline;
/// use daur_core::time::{Duration, Instant};
///
/// let now = Instant::from_secs(100);
/// let request = Deadline::after(Duration::from_secs(5), now);
/// let query = request.within(Duration::from_secs(60), now);
/// assert_eq!(query, request); // never later than what it is nested in
/// assert_eq!(query.remaining(now + Duration::from_secs(2)), Some(Duration::from_secs(3)));
/// assert!(query.is_over(Instant::from_secs(105)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Deadline(Instant);

impl Deadline {
    /// One that never comes.
    pub const NEVER: Self = Self(Instant::MAX);

    /// One that has been reached, at whatever moment.
    const OVER: Self = Self(Instant::ZERO);

    /// The deadline `at`; [`Instant::MAX`] never comes.
    #[must_use]
    pub const fn at(at: Instant) -> Self {
        Self(at)
    }

    /// The deadline `limit` after `now`.
    #[must_use]
    pub const fn after(limit: Duration, now: Instant) -> Self {
        Self(now.after(limit))
    }

    /// The deadline of a part that may take `limit` from `now` on: never later than the whole's.
    #[must_use]
    pub const fn within(self, limit: Duration, now: Instant) -> Self {
        self.earlier(Self::after(limit, now))
    }

    /// The earlier of two.
    #[must_use]
    pub const fn earlier(self, other: Self) -> Self {
        if other.0.as_nanos() < self.0.as_nanos() { other } else { self }
    }

    /// The moment, if it comes.
    #[must_use]
    pub const fn moment(self) -> Option<Instant> {
        if self.0.as_nanos() == u64::MAX { None } else { Some(self.0) }
    }

    /// What is left: zero when it is over, `None` if it never comes.
    #[must_use]
    pub const fn remaining(self, now: Instant) -> Option<Duration> {
        match self.moment() {
            Some(at) => Some(at.since(now)),
            None => None,
        }
    }

    /// Whether it is over.
    #[must_use]
    pub const fn is_over(self, now: Instant) -> bool {
        match self.moment() {
            Some(at) => now.as_nanos() >= at.as_nanos(),
            None => false,
        }
    }
}

impl From<Option<Instant>> for Deadline {
    fn from(at: Option<Instant>) -> Self {
        at.map_or(Self::NEVER, Self)
    }
}

/// Keeps the time of one run: how long all of it may take, and how long each attempt.
///
/// It interrupts nothing: whoever drives it waits for the call and for [`Timeout::poll_at`], whichever
/// comes first. For a single call a [`Deadline`] is enough; the [`executor`](super::executor) keeps
/// time itself.
///
/// # Rules
/// 1. A limit is over exactly at its end, not a nanosecond before.
/// 2. An attempt ends at its own limit or at the total's, whichever is earlier, and the answer says
///    which; if both come together, the total's.
/// 3. No attempt starts at or after the end of the total.
/// 4. A nested run is over no later than the one around it.
/// 5. What is over stays over, even if the clock steps back; nor is more left than the limit was.
/// 6. A limit of zero is refused by [`Config::validate`].
///
/// # Cost
/// 40 bytes of RAM and 352 of flash on thumbv6m (image `timeout`). Every verb is a few 64-bit additions
/// and comparisons, O(1).
///
/// # Errors
/// [`TimedOut`].
///
/// # Sharing
/// Each run has its own. Dropping it at any time loses nothing.
///
/// # Example
/// ```
/// use daur_core::reliability::timeout::{Config, TimedOut, Timeout};
/// use daur_core::time::{Duration, Instant};
///
/// const CONFIG: Config =
///     Config { total: Some(Duration::from_secs(5)), attempt: Some(Duration::from_secs(2)) }.checked();
/// let start = Instant::from_secs(100);
/// let mut timeout = Timeout::new(CONFIG, start);
///
/// timeout.start_attempt(start)?;
/// assert_eq!(timeout.poll_at(), Some(Instant::from_secs(102)));
/// assert_eq!(timeout.poll(Instant::from_secs(102)), Err(TimedOut::Attempt));
///
/// timeout.start_attempt(Instant::from_secs(104))?;
/// assert_eq!(timeout.poll(Instant::from_secs(105)), Err(TimedOut::Total));
/// # Ok::<(), TimedOut>(())
/// ```
#[doc(alias("TimeLimiter", "deadline"))]
#[derive(Clone, Debug)]
pub struct Timeout {
    /// `Duration::MAX` if there is none: a deadline after that never comes.
    attempt_limit: Duration,
    started: Instant,
    total: Deadline,
    attempt: Deadline,
    over: bool,
}

impl Timeout {
    /// A run that begins now.
    #[must_use]
    pub const fn new(config: Config, now: Instant) -> Self {
        Self::nested(config, Deadline::NEVER, now)
    }

    /// A run that begins now inside of another one.
    #[must_use]
    pub const fn nested(config: Config, outer: Deadline, now: Instant) -> Self {
        let total = match config.total {
            Some(limit) => outer.within(limit, now),
            None => outer,
        };
        let attempt_limit = match config.attempt {
            Some(limit) => limit,
            None => Duration::MAX,
        };
        Self { attempt_limit, started: now, total, attempt: Deadline::NEVER, over: false }
    }

    /// An attempt starts: when it must be over.
    ///
    /// # Errors
    /// [`TimedOut::Total`] if none may start any more.
    pub fn start_attempt(&mut self, now: Instant) -> Result<Deadline, TimedOut> {
        self.attempt = Deadline::NEVER;
        self.poll(now)?;
        // Never before the start, so that a clock that has stepped back leaves no more than the limit.
        self.attempt = Deadline::after(self.attempt_limit, now);
        Ok(self.attempt.earlier(self.total))
    }

    /// The attempt is over; its limit no longer matters.
    pub fn end_attempt(&mut self) {
        self.attempt = Deadline::NEVER;
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// [`TimedOut`] if a limit is reached.
    pub fn poll(&mut self, now: Instant) -> Result<(), TimedOut> {
        self.over |= self.total.is_over(now);
        if self.over {
            return Err(TimedOut::Total);
        }
        if self.attempt.is_over(now) {
            // Latched, so that a step back does not bring the attempt to life again.
            self.attempt = Deadline::OVER;
            return Err(TimedOut::Attempt);
        }
        Ok(())
    }

    /// The moment at which [`Timeout::poll`] says something else, if it comes.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        // What is over for the attempt stays so until the total is, too.
        match (self.over, self.attempt) {
            (true, _) => None,
            (false, Deadline::OVER) => self.total.moment(),
            (false, _) => self.deadline().moment(),
        }
    }

    /// When what is under way must be over: the attempt, or the run while there is none.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.attempt.earlier(self.total)
    }

    /// What is left of the whole run; `None` if it has no limit.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        if self.over {
            return Some(Duration::ZERO);
        }
        self.total.remaining(now.max(self.started))
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot { started: self.started, total: self.total, attempt: self.attempt, over: self.over }
    }
}

/// Shows a [`Timeout`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// When the run began.
    pub started: Instant,
    /// When the run must be over.
    pub total: Deadline,
    /// When the attempt under way must be.
    pub attempt: Deadline,
    /// Whether the run is over.
    pub over: bool,
}
