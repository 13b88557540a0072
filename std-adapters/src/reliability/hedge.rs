//! Makes a slow call a second time, and takes whichever answers first.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use daur_core::reliability::budget::Funds;
use daur_core::reliability::bulkhead::Refused;
use daur_core::time::{Clock, Duration};
use serde::{Deserialize, Serialize};

use super::bulkhead::SharedBulkhead;

/// Says when the second call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long the first call may take before the second is made beside it; more than 0. Take what
    /// 95 of 100 calls stay below: then 5 of 100 are made twice.
    pub delay: Duration,
}

impl Config {
    /// After 100 ms.
    pub const DEFAULT: Self = Self { delay: Duration::from_millis(100) };

    /// Checks the field.
    ///
    /// # Errors
    /// [`ConfigError::NoDelay`] if `delay` is 0.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.delay.is_zero() { Err(ConfigError::NoDelay) } else { Ok(()) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `delay` is 0.
    NoDelay,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDelay => f.write_str("hedge: `delay` is 0, which would make every call twice"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Makes a call that takes long a second time, and takes the first success (on tokio).
///
/// For calls that may be made twice, to where a slow answer is rare and has nothing to do with the
/// call: another replica is quick meanwhile. It shortens the slowest calls; for those that fail use
/// [`retry`](super::retry). Within an [`executor`](super::executor), both are one attempt.
///
/// # Rules
/// 1. The second call is made once the first has taken `delay`, never before, and never a third.
/// 2. The first success is the answer, and the other call is dropped before it is given.
/// 3. A failure within `delay` is the answer: nothing was slow. Later, a failure waits for the other
///    call, and the later error is the answer if both fail.
/// 4. Dropped, it drops both.
/// 5. A second call that finds no place, or that no budget pays for, is not made; the first goes on.
///
/// # Cost
/// 40 bytes; nothing is allocated. A call that answers within `delay` costs a timer.
///
/// # Errors
/// The call's own.
///
/// # Sharing
/// `&self` everywhere; cancel-safe by rule 4.
///
/// # Example
/// ```
/// use daur_std::reliability::hedge::{Config, Hedge};
///
/// static REPLICAS: Hedge = Hedge::new(Config::DEFAULT);
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # runtime.block_on(async {
/// let mut calls = 0;
/// let answer = REPLICAS.call(|| {
///     calls += 1;
///     let slow = calls == 1;
///     async move {
///         if slow {
///             std::future::pending::<()>().await;
///         }
///         Ok::<_, &str>(42)
///     }
/// });
/// assert_eq!(answer.await, Ok(42));
/// assert_eq!(REPLICAS.snapshot().won, 1);
/// # });
/// ```
///
/// # References
/// J. Dean and L. Barroso, *The Tail at Scale*, 2013.
#[doc(alias = "ResilientExecutor")]
#[derive(Debug)]
pub struct Hedge {
    delay: Duration,
    calls: AtomicU64,
    hedged: AtomicU64,
    won: AtomicU64,
    withheld: AtomicU64,
}

impl Hedge {
    /// A hedge that has counted nothing.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Hedge::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(hedge) => hedge,
            Err(_) => panic!("invalid hedge::Config: see Config::validate"),
        }
    }

    /// A hedge that has counted nothing, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self {
                delay: config.delay,
                calls: AtomicU64::new(0),
                hedged: AtomicU64::new(0),
                won: AtomicU64::new(0),
                withheld: AtomicU64::new(0),
            }),
            Err(error) => Err(error),
        }
    }

    /// Awaits `call`, and a second one beside it if it takes long.
    ///
    /// # Errors
    /// The call's own, by rule 3.
    pub async fn call<T, E, F>(&self, call: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.race((), || Some(()), call).await.0
    }

    /// As [`Hedge::call`], where each of the two takes a place of `bulkhead`, until it is over. The first
    /// waits for one, the second is made only if one is free.
    ///
    /// # Errors
    /// `Err` if the bulkhead refused the first call; within, the call's own.
    pub async fn call_within<T, E, F, C, const WAITING: usize>(
        &self,
        bulkhead: &SharedBulkhead<WAITING, C>,
        call: impl FnMut() -> F,
    ) -> Result<Result<T, E>, Refused>
    where
        F: Future<Output = Result<T, E>>,
        C: Clock,
    {
        let place = bulkhead.acquire().await?;
        Ok(self.race(place, || bulkhead.try_acquire().ok(), call).await.0)
    }

    /// As [`Hedge::call`], where `funds` pay for the second call as for a retry: it is load that others
    /// have to bear.
    ///
    /// # Errors
    /// The call's own, by rule 3.
    pub async fn call_funded<T, E, F>(&self, funds: &impl Funds, call: impl FnMut() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        funds.on_first_try();
        let (answer, calls) = self.race((), || funds.try_retry().ok(), call).await;
        if answer.is_ok() {
            funds.on_success(calls);
        }
        answer
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            calls: read(&self.calls),
            hedged: read(&self.hedged),
            won: read(&self.won),
            withheld: read(&self.withheld),
        }
    }

    /// The answer, and how many calls it took. The first call holds `held` meanwhile; `allow` gives what
    /// the second one holds, or says that it must not be made.
    async fn race<T, E, F, H, G>(
        &self,
        held: H,
        allow: impl FnOnce() -> Option<G>,
        mut call: impl FnMut() -> F,
    ) -> (Result<T, E>, u32)
    where
        F: Future<Output = Result<T, E>>,
    {
        let count = |count: &AtomicU64| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        count(&self.calls);
        let mut first = pin!(call());
        if let Ok(answer) = tokio::time::timeout(self.delay.into(), &mut first).await {
            return (answer, 1);
        }
        let Some(second_held) = allow() else {
            count(&self.withheld);
            return (first.await, 1);
        };
        count(&self.hedged);
        let mut second = pin!(call());
        let (answer, second_won) = tokio::select! {
            biased;
            answer = &mut first => match answer {
                Ok(value) => (Ok(value), false),
                Err(_) => {
                    drop(held);
                    (second.await, true)
                }
            },
            answer = &mut second => match answer {
                Ok(value) => (Ok(value), true),
                Err(_) => {
                    drop(second_held);
                    (first.await, false)
                }
            },
        };
        if second_won && answer.is_ok() {
            count(&self.won);
        }
        (answer, 2)
    }
}

/// Shows a [`Hedge`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// First calls.
    pub calls: u64,
    /// Second calls.
    pub hedged: u64,
    /// Second calls whose success was the answer.
    pub won: u64,
    /// Second calls that were not made, for want of a place or a budget.
    pub withheld: u64,
}
