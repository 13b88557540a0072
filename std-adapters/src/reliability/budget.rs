//! A retry budget for all threads and tasks of a process.
//!
//! The rules are [`daur_core::reliability::budget`]'s.
//!
//! # Example
//! ```
//! use daur_std::core::reliability::budget::Config;
//! use daur_std::core::reliability::retry::{self, Class};
//! use daur_std::reliability::budget::SharedBudget;
//! use daur_std::reliability::retry::{Never, retry_blocking_with};
//!
//! /// What all requests to one upstream retry from.
//! static UPSTREAM: SharedBudget = SharedBudget::new(Config::ratio(20));
//!
//! let gave_up = retry_blocking_with(retry::Config::DEFAULT, &UPSTREAM, &Never, |_| Class::Transient, || {
//!     Err::<(), _>("down")
//! });
//! // One first try funds a fifth of a retry.
//! assert_eq!(gave_up.unwrap_err().reason, retry::Reason::Budget);
//! assert_eq!(UPSTREAM.snapshot().refused, 1);
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};

use daur_core::reliability::budget::{Budget, Config, ConfigError, Exhausted, Funds, Snapshot};

/// Shares a [`Budget`] between threads and tasks.
///
/// Name it in a `static`, or keep it in an `Arc` and hand out `&*arc`. A
/// [`StdShared`](crate::shared::StdShared) of a budget would do as well, but reads a clock at every
/// step, which a budget has no use for.
///
/// # Rules
/// 1. However many threads ask at once, it funds exactly what one would get.
/// 2. A retry whose guard is dropped before [`Funded::made`] is given back.
/// 3. A panic of a caller's locks nobody out.
///
/// # Cost
/// 40 bytes of RAM; a step is one uncontended lock.
///
/// # Errors
/// [`Exhausted`].
///
/// # Sharing
/// `Send` and `Sync`. Nothing is held between steps: a dropped future leaves nothing locked, and the
/// runners of [`retry`](super::retry) give its retry back.
#[derive(Debug)]
pub struct SharedBudget(Mutex<Budget>);

impl SharedBudget {
    /// A budget as `config` begins it.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`SharedBudget::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self(Mutex::new(Budget::new(config)))
    }

    /// A budget as `config` begins it, if that is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match Budget::try_new(config) {
            Ok(budget) => Ok(Self(Mutex::new(budget))),
            Err(error) => Err(error),
        }
    }

    /// Pays for a retry; the guard gives it back unless the retry is made.
    ///
    /// # Errors
    /// [`Exhausted`] if nothing pays; do not retry.
    pub fn try_retry(&self) -> Result<Funded<'_>, Exhausted> {
        self.lock().try_retry().map(|()| Funded(Some(self)))
    }

    /// A call is made for the first time.
    pub fn on_first_try(&self) {
        self.lock().on_first_try();
    }

    /// The last of so many calls of one run succeeded.
    pub fn on_success(&self, attempts: u32) {
        self.lock().on_success(attempts);
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot()
    }

    /// Between two verbs the machine is whole, and none of them panics.
    fn lock(&self) -> MutexGuard<'_, Budget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Funds for SharedBudget {
    fn on_first_try(&self) {
        self.lock().on_first_try();
    }

    fn try_retry(&self) -> Result<(), Exhausted> {
        self.lock().try_retry()
    }

    fn on_success(&self, attempts: u32) {
        self.lock().on_success(attempts);
    }

    fn cancel_retry(&self) {
        self.lock().cancel_retry();
    }
}

/// For the runners, which take their funds by value; what derefs to a budget serves the layers.
impl Funds for &SharedBudget {
    fn on_first_try(&self) {
        Funds::on_first_try(*self);
    }

    fn try_retry(&self) -> Result<(), Exhausted> {
        Funds::try_retry(*self)
    }

    fn on_success(&self, attempts: u32) {
        Funds::on_success(*self, attempts);
    }

    fn cancel_retry(&self) {
        Funds::cancel_retry(*self);
    }
}

/// A retry that is paid for; dropped, it goes back to the budget.
#[derive(Debug)]
#[must_use = "dropped, it gives the retry back"]
pub struct Funded<'a>(Option<&'a SharedBudget>);

impl Funded<'_> {
    /// The retry is made: nothing goes back.
    pub fn made(mut self) {
        self.0 = None;
    }
}

impl Drop for Funded<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.lock().cancel_retry();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn rule_1_many_threads_get_exactly_what_one_would() {
        let budget = SharedBudget::new(Config::Ratio { percent: 60, max_saved: 100_000 });
        let made: u32 = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..5_000 {
                            budget.on_first_try();
                        }
                    })
                })
                .collect();
            tries.into_iter().for_each(|tries| tries.join().unwrap());
            let retries: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..5_000).filter(|_| budget.try_retry().map(Funded::made).is_ok()).count()))
                .collect();
            retries.into_iter().map(|retries| u32::try_from(retries.join().unwrap()).unwrap()).sum()
        });
        assert_eq!(made, 12_000);
        assert_eq!((budget.snapshot().funded, budget.snapshot().refused), (12_000, 8_000));
    }

    #[test]
    fn rule_2_a_guard_that_is_dropped_gives_the_retry_back() {
        let budget = SharedBudget::new(Config::TokenBucket { capacity: 5, retry_cost: 5, first_try_gain: 1 });
        drop(budget.try_retry().unwrap());
        assert_eq!(budget.snapshot().funded, 0);
        budget.try_retry().unwrap().made();
        assert_eq!(budget.try_retry().unwrap_err(), Exhausted);
    }

    #[test]
    fn rule_3_a_panic_of_a_callers_locks_nobody_out() {
        let budget = SharedBudget::new(Config::DEFAULT);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _funded = budget.try_retry();
            panic!("the caller's");
        }));
        assert!(panicked.is_err());
        assert_eq!(budget.snapshot().retries_left(), 100, "and the retry was given back");
    }
}
