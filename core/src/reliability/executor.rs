//! Makes a call the careful way: retry, breaker and time limits in one.

use core::fmt;

mod run;

pub use run::{Execution, Failure, Guard, Run};

use super::breaker::{self, Any, Breaker, Consecutive, CountWindow, Event, Mode, ModeConfig, Permit, Window};
use super::retry::{self, Class, Decision, Reason, Retry};
use crate::time::{Duration, Instant};

/// Says how calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How failed calls are tried again.
    pub retry: retry::Config,
    /// When calls stop being made at all.
    pub breaker: breaker::Config,
    /// How long one run may take with all its calls and waits. Only a runner that can interrupt a
    /// call cuts one short at the end; each makes no further one.
    pub total_timeout: Option<Duration>,
    /// How long one call may take. A runner that can interrupt a call does, and reports a failure.
    pub attempt_timeout: Option<Duration>,
    /// How long one run may wait in all for an open breaker to admit it. Zero gives up at once.
    pub open_wait: Duration,
}

impl Config {
    /// The defaults of retry and breaker, no time limits, no waiting for an open breaker.
    pub const DEFAULT: Self = Self {
        retry: retry::Config::DEFAULT,
        breaker: breaker::Config::DEFAULT,
        total_timeout: None,
        attempt_timeout: None,
        open_wait: Duration::ZERO,
    };

    /// Checks the parts.
    ///
    /// # Errors
    /// The first part's error.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if let Err(error) = self.retry.validate() {
            return Err(ConfigError::Retry(error));
        }
        if let Err(error) = self.breaker.validate() {
            return Err(ConfigError::Breaker(error));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which part of a [`Config`] is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `retry` is.
    Retry(retry::ConfigError),
    /// `breaker` is.
    Breaker(breaker::ConfigError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(error) => error.fmt(f),
            Self::Breaker(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Says why a run ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// The retry rules ended it.
    Retry(Reason),
    /// The breaker was open for longer than the run may wait.
    Open {
        /// When the breaker admits again.
        retry_at: Instant,
    },
    /// `total_timeout` was over.
    TimedOut,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(reason) => reason.fmt(f),
            Self::Open { .. } => f.write_str("the circuit breaker is open"),
            Self::TimedOut => f.write_str("the total time was over"),
        }
    }
}

/// Says whether to make the call.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Admit {
    /// Make it, and report its outcome with the permit.
    Go {
        /// To be handed back with the outcome.
        permit: Permit,
        /// When to interrupt the call.
        deadline: Option<Instant>,
    },
    /// Not yet: wait, then ask again.
    Wait {
        /// Until when.
        until: Instant,
    },
    /// No more.
    Stop(Cause),
}

/// Says how it goes on after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Next {
    /// Wait, then ask [`Executor::admit`] again.
    Retry {
        /// Until when.
        at: Instant,
    },
    /// No more.
    Stop(Cause),
}

/// Composes retry, breaker and time limits around one kind of call (`ResilientExecutor`).
///
/// One value for each thing that is called: its breaker is shared by all runs, each run has its own
/// retry. It makes no call and no wait itself: the runners in [`hal`](crate::hal) and `daur-std` do,
/// in these steps:
///
/// ```text
/// start -> admit -+-> Go    call ---+-> on_success               the end
///            ^    |                 +-> on_failure -+-> Stop     the end
///            |    |                                 +-> Retry    wait, admit again
///            |    +-> Stop                                       the end
///            +--------Wait    wait, admit again
/// ```
///
/// # Rules
/// 1. From the outside in: total timeout, retry, breaker, attempt timeout. Every attempt asks the
///    breaker; a refusal is no attempt.
/// 2. An open breaker is not retried in a hot loop: the run waits until `retry_at` if that is within
///    its `open_wait` and its time, else it stops with [`Cause::Open`].
/// 3. A failure of class `Ignored` gives the permit back; `Permanent` counts and ends the run.
/// 4. No call starts at or after the end of `total_timeout`; `deadline` is the earlier of the
///    attempt's and the run's end.
/// 5. A cancelled call gives its permit back and records nothing.
///
/// # Cost
/// 232 bytes with its breaker, a [`Run`] 168; 2.2 KB of flash on thumbv6m, breaker and retry
/// included. Every step is O(1) but for the retry's wait.
///
/// # Errors
/// [`Failure`] in [`Execution::result`], with the [`Cause`] beside it.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared); each step is one `with`, the call is outside of it.
/// Whoever may be cancelled while a call runs must then hand the permit to [`Executor::cancel`]; the
/// runners do it on drop.
///
/// # Example
/// ```
/// use daur_core::reliability::executor::{Admit, Config, Executor, Next};
/// use daur_core::reliability::retry::Class;
/// use daur_core::time::Instant;
///
/// let mut executor = Executor::new(Config::DEFAULT, 7);
/// let now = Instant::ZERO;
/// let mut run = executor.start(now);
/// let Admit::Go { permit, .. } = executor.admit(&mut run, now) else { unreachable!() };
/// // The call is made, and fails.
/// let Next::Retry { at } = executor.on_failure(&mut run, permit, Class::Transient, now) else { unreachable!() };
/// let Admit::Go { permit, .. } = executor.admit(&mut run, at) else { unreachable!() };
/// // The second one succeeds.
/// executor.on_success(&mut run, permit, at);
/// assert_eq!(run.attempts(), 2);
/// ```
#[doc(alias = "ResilientExecutor")]
#[derive(Clone, Debug)]
pub struct Executor<M: Mode = Consecutive> {
    breaker: Breaker<M>,
    retry: retry::Config,
    total_timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    open_wait: Duration,
    seed: u64,
    runs: u32,
    succeeded: u32,
    retries: u32,
}

impl Executor {
    /// An executor whose breaker is closed. `seed` decides the retries' jitter: the device's id, an
    /// entropy source.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Executor::try_new`].
    #[must_use]
    pub const fn new(config: Config, seed: u64) -> Self {
        match Self::try_new(config, seed) {
            Ok(executor) => executor,
            Err(_) => panic!("invalid executor::Config: see Config::validate"),
        }
    }

    /// An executor whose breaker is closed, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config, seed: u64) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        match Breaker::try_new(config.breaker) {
            Ok(breaker) => Ok(Self::of_breaker(config, breaker, seed)),
            Err(error) => Err(ConfigError::Breaker(error)),
        }
    }
}

impl<const WORDS: usize> Executor<CountWindow<WORDS>> {
    /// An executor whose breaker opens by a rate of failures.
    ///
    /// # Panics
    /// If a config is invalid: in a `static` or `const`, an error of the compiler. Configs that are
    /// read at run time go to [`Executor::try_windowed`].
    #[must_use]
    pub const fn windowed(config: Config, window: Window, seed: u64) -> Self {
        match Self::try_windowed(config, window, seed) {
            Ok(executor) => executor,
            Err(_) => panic!("invalid executor::Config or breaker::Window: see their validate"),
        }
    }

    /// An executor whose breaker opens by a rate of failures, if both configs are valid.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`Window::validate`] say.
    pub const fn try_windowed(config: Config, window: Window, seed: u64) -> Result<Self, ConfigError> {
        if let Err(error) = config.validate() {
            return Err(error);
        }
        match Breaker::try_windowed(config.breaker, window) {
            Ok(breaker) => Ok(Self::of_breaker(config, breaker, seed)),
            Err(error) => Err(ConfigError::Breaker(error)),
        }
    }
}

impl<const WORDS: usize, const BUCKETS: usize> Executor<Any<WORDS, BUCKETS>> {
    /// An executor whose breaker is of any mode, as a config that is read at run time says.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`ModeConfig::validate`] say.
    pub fn try_any(config: Config, mode: ModeConfig, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        let breaker = Breaker::try_any(config.breaker, mode, seed).map_err(ConfigError::Breaker)?;
        Ok(Self::of_breaker(config, breaker, seed))
    }
}

/// 2^64 divided by the golden ratio: seeds that follow each other by it are all different and far apart.
const SEED_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl<M: Mode> Executor<M> {
    const fn of_breaker(config: Config, breaker: Breaker<M>, seed: u64) -> Self {
        Self {
            breaker,
            retry: config.retry,
            total_timeout: config.total_timeout,
            attempt_timeout: config.attempt_timeout,
            open_wait: config.open_wait,
            seed,
            runs: 0,
            succeeded: 0,
            retries: 0,
        }
    }

    /// Replaces the seed of the runs to come: where it is not known yet when a `static` is made.
    pub const fn reseed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Begins a run.
    pub fn start(&mut self, now: Instant) -> Run {
        self.runs = self.runs.saturating_add(1);
        self.seed = self.seed.wrapping_add(SEED_STEP);
        Run {
            retry: Retry::new(self.retry, self.seed, now),
            started: now,
            not_before: now,
            open_wait: self.open_wait,
            attempts: 0,
            refused: 0,
            event: None,
        }
    }

    /// Whether the run may make its next call now.
    pub fn admit(&mut self, run: &mut Run, now: Instant) -> Admit {
        let end = self.end_of(run);
        if end.is_some_and(|end| now >= end) {
            return Admit::Stop(Cause::TimedOut);
        }
        if now < run.not_before {
            return Admit::Wait { until: run.not_before };
        }
        match self.breaker.try_acquire(now) {
            Ok(permit) => {
                run.event = permit.event();
                self.retries = self.retries.saturating_add(u32::from(run.attempts > 0));
                run.attempts = run.attempts.saturating_add(1);
                let deadline = Instant::earliest(end, self.attempt_timeout.map(|limit| now + limit));
                Admit::Go { permit, deadline }
            }
            Err(breaker::Open { retry_at }) => self.wait_for_breaker(run, retry_at, now),
        }
    }

    fn wait_for_breaker(&self, run: &mut Run, retry_at: Instant, now: Instant) -> Admit {
        run.refused = run.refused.saturating_add(1);
        let wait = retry_at - now;
        let in_time = Instant::earliest(self.end_of(run), self.retry.max_elapsed.map(|limit| run.started + limit))
            .is_none_or(|end| retry_at < end);
        // Forced open, it says no moment that comes: whoever waited for it would miss that it is lifted.
        if !in_time || wait > run.open_wait || retry_at == Instant::MAX {
            return Admit::Stop(Cause::Open { retry_at });
        }
        // Used up even if somebody else takes the place at `retry_at`, so that a run's waiting ends.
        run.open_wait = run.open_wait - wait;
        run.not_before = retry_at;
        Admit::Wait { until: retry_at }
    }

    /// The call succeeded: the run is over.
    pub fn on_success(&mut self, run: &mut Run, permit: Permit, now: Instant) {
        self.succeeded = self.succeeded.saturating_add(1);
        run.event = self.breaker.on_success(permit, now);
    }

    /// The call failed: how it goes on.
    pub fn on_failure(&mut self, run: &mut Run, permit: Permit, class: Class, now: Instant) -> Next {
        run.event = match class {
            Class::Transient | Class::TransientAfter(_) | Class::Permanent => self.breaker.on_failure(permit, now),
            Class::Ignored => {
                self.breaker.cancel(permit, now);
                None
            }
        };
        match run.retry.on_failure(class, now) {
            Decision::Stop { reason } => Next::Stop(Cause::Retry(reason)),
            Decision::Retry { after } => {
                let at = now + after;
                if self.end_of(run).is_some_and(|end| at >= end) {
                    return Next::Stop(Cause::TimedOut);
                }
                run.not_before = at;
                Next::Retry { at }
            }
        }
    }

    /// The call was cancelled: nothing is recorded.
    pub fn cancel(&mut self, permit: Permit, now: Instant) {
        self.breaker.cancel(permit, now);
    }

    /// The breaker: for its state, its manual states, its `poll`.
    pub const fn breaker(&mut self) -> &mut Breaker<M> {
        &mut self.breaker
    }

    /// Does what time alone does to the breaker.
    pub fn poll(&mut self, now: Instant) -> Option<Event> {
        self.breaker.poll(now)
    }

    /// The moment at which [`Executor::poll`] has something to do.
    #[must_use]
    pub const fn poll_at(&self) -> Option<Instant> {
        self.breaker.poll_at()
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { runs: self.runs, succeeded: self.succeeded, retries: self.retries, breaker: self.breaker.snapshot() }
    }

    fn end_of(&self, run: &Run) -> Option<Instant> {
        self.total_timeout.map(|limit| run.started + limit)
    }
}

/// Shows an [`Executor`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Runs begun.
    pub runs: u32,
    /// Runs that a call's success ended.
    pub succeeded: u32,
    /// Calls after the first of a run.
    pub retries: u32,
    /// Its breaker.
    pub breaker: breaker::Snapshot,
}
