//! How breakers are made, one constructor a mode.

use super::{
    Any, Backoff, Breaker, Config, ConfigError, Consecutive, CountWindow, Mode, ModeConfig, Span, State, TimeWindow,
    Window,
};
use crate::time::Instant;

impl Breaker {
    /// A closed breaker.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Breaker::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(breaker) => breaker,
            Err(_) => panic!("invalid breaker::Config: see Config::validate"),
        }
    }

    /// A closed breaker, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self::of_mode(config, Consecutive::new(config.failures))),
            Err(error) => Err(error),
        }
    }
}

impl<const WORDS: usize> Breaker<CountWindow<WORDS>> {
    /// A closed breaker that opens by a rate of failures; `config.failures` is left alone.
    ///
    /// # Panics
    /// If a config is invalid: in a `static` or `const`, an error of the compiler. Configs that are
    /// read at run time go to [`Breaker::try_windowed`].
    #[must_use]
    pub const fn windowed(config: Config, window: Window) -> Self {
        match Self::try_windowed(config, window) {
            Ok(breaker) => breaker,
            Err(_) => panic!("invalid breaker::Config or breaker::Window: see their validate"),
        }
    }

    /// A closed breaker that opens by a rate of failures, if both configs are valid.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`Window::validate`] say.
    pub const fn try_windowed(config: Config, window: Window) -> Result<Self, ConfigError> {
        match (config.validate(), CountWindow::try_new(window)) {
            (Ok(()), Ok(mode)) => Ok(Self::of_mode(config, mode)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl<const BUCKETS: usize> Breaker<TimeWindow<BUCKETS>> {
    /// A closed breaker that opens by the latest time's rate of failures; `config.failures` is left alone.
    ///
    /// # Panics
    /// If a config is invalid: in a `static` or `const`, an error of the compiler. Configs that are
    /// read at run time go to [`Breaker::try_time_windowed`].
    #[must_use]
    pub const fn time_windowed(config: Config, span: Span) -> Self {
        match Self::try_time_windowed(config, span) {
            Ok(breaker) => breaker,
            Err(_) => panic!("invalid breaker::Config or breaker::Span: see their validate"),
        }
    }

    /// A closed breaker that opens by the latest time's rate of failures, if both configs are valid.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`Span::validate`] say.
    pub const fn try_time_windowed(config: Config, span: Span) -> Result<Self, ConfigError> {
        match (config.validate(), TimeWindow::try_new(span)) {
            (Ok(()), Ok(mode)) => Ok(Self::of_mode(config, mode)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

impl<const WORDS: usize, const BUCKETS: usize> Breaker<Any<WORDS, BUCKETS>> {
    /// A closed breaker of the mode that a config names, if both configs are valid. `seed` decides the
    /// jitter of the open wait.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`ModeConfig::validate`] say.
    pub fn try_any(config: Config, mode: ModeConfig, seed: u64) -> Result<Self, ConfigError> {
        Self::try_with_mode(config, Any::try_new(mode, config.failures, seed)?)
    }

    /// Replaces the seed of the open waits to come.
    pub const fn reseed(&mut self, seed: u64) {
        self.mode.reseed(seed);
    }
}

impl<M: Mode> Breaker<Backoff<M>> {
    /// Replaces the seed of the open waits to come: where it is not known yet when a `static` is made.
    pub const fn reseed(&mut self, seed: u64) {
        self.mode.reseed(seed);
    }
}

impl<M: Mode> Breaker<M> {
    /// A closed breaker of any mode; `config.failures` is left alone.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Breaker::try_with_mode`].
    #[must_use]
    pub const fn with_mode(config: Config, mode: M) -> Self {
        assert!(config.validate().is_ok(), "invalid breaker::Config: see Config::validate");
        Self::of_mode(config, mode)
    }

    /// A closed breaker of any mode, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_with_mode(config: Config, mode: M) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::of_mode(config, mode))
    }

    const fn of_mode(config: Config, mode: M) -> Self {
        Self {
            mode,
            recovery_timeout: config.recovery_timeout,
            recovery_timeout_max: match config.recovery_timeout_max {
                Some(max) => max,
                None => config.recovery_timeout,
            },
            probe_lease: config.probe_lease,
            until: Instant::ZERO,
            generation: 0,
            probes: config.probes,
            success_threshold: config.success_threshold,
            out: 0,
            succeeded: 0,
            failed: 0,
            opened: 0,
            refused: 0,
            late: 0,
            state: State::Closed,
            streak: 0,
        }
    }
}
