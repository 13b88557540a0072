//! How an executor is made.

use super::{Config, ConfigError, Executor};
use crate::reliability::breaker::{Breaker, CountWindow, Mode, Window};
use crate::reliability::budget::Budget;
use crate::reliability::bulkhead::{self, Bulkhead};

impl Executor {
    /// An executor whose breaker is closed. `seed` decides the retries' jitter: the device's id, an
    /// entropy source.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Executor::try_new`].
    #[must_use]
    pub const fn new(config: Config, seed: u64) -> Self {
        Self::of(config, Breaker::new(config.breaker), seed)
    }

    /// An executor whose breaker is closed, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config, seed: u64) -> Result<Self, ConfigError> {
        match config.validate() {
            // Not a second time what can fail: `config.breaker` has just been checked.
            Ok(()) => Ok(Self::of_parts(config, Breaker::new(config.breaker), seed)),
            Err(error) => Err(error),
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
        Self::of(config, Breaker::windowed(config.breaker, window), seed)
    }

    /// An executor whose breaker opens by a rate of failures, if both configs are valid.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`Window::validate`] say.
    pub fn try_windowed(config: Config, window: Window, seed: u64) -> Result<Self, ConfigError> {
        config.validate()?;
        match Breaker::try_windowed(config.breaker, window) {
            Ok(breaker) => Ok(Self::of_parts(config, breaker, seed)),
            Err(error) => Err(ConfigError::Breaker(error)),
        }
    }
}

impl<M: Mode, const WAITING: usize> Executor<M, WAITING> {
    /// An executor around `breaker`, of any mode; `config.breaker` is left alone.
    ///
    /// ```
    /// use daur_core::reliability::breaker::{self, Breaker, Consecutive};
    /// use daur_core::reliability::bulkhead;
    /// use daur_core::reliability::executor::{Config, Executor};
    ///
    /// const CONFIG: Config = Config {
    ///     bulkhead: Some(bulkhead::Config { max_concurrent: 4, max_waiting: 8, max_wait: None }),
    ///     ..Config::DEFAULT
    /// };
    /// let executor: Executor<Consecutive, 8> = Executor::of(CONFIG, Breaker::new(breaker::Config::DEFAULT), 7);
    /// # assert_eq!(executor.snapshot().bulkhead.running, 0);
    /// ```
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Executor::try_of`].
    #[must_use]
    pub const fn of(config: Config, breaker: Breaker<M>, seed: u64) -> Self {
        assert!(config.validate_for(WAITING).is_ok(), "invalid executor::Config: see Config::validate");
        Self::of_parts(config, breaker, seed)
    }

    /// An executor around `breaker`, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate_for`] says for `WAITING` places.
    pub fn try_of(config: Config, breaker: Breaker<M>, seed: u64) -> Result<Self, ConfigError> {
        config.validate_for(WAITING)?;
        Ok(Self::of_parts(config, breaker, seed))
    }

    /// An executor of a config that has been checked.
    const fn of_parts(config: Config, breaker: Breaker<M>, seed: u64) -> Self {
        Self {
            breaker,
            bulkhead: Bulkhead::of(match config.bulkhead {
                Some(config) => config,
                None => bulkhead::Config { max_concurrent: u32::MAX, max_waiting: 0, max_wait: None },
            }),
            budget: match config.budget {
                Some(config) => Some(Budget::new(config)),
                None => None,
            },
            retry: config.retry,
            total_timeout: config.total_timeout,
            attempt_timeout: config.attempt_timeout,
            open_wait: config.open_wait,
            seed,
            runs: 0,
            succeeded: 0,
            retries: 0,
            waker: None,
        }
    }
}
