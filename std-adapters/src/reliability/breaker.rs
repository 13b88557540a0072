//! A breaker for many threads, whose closed path costs one atomic load.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use daur_core::reliability::breaker::{
    Breaker, Config, ConfigError, Consecutive, Event, Mode, Open, Permit, Snapshot, State,
};
use daur_core::reliability::executor::Failure;
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;
use daur_core::time::{Clock, Instant};

use crate::clock::StdClock;
use crate::shared::StdShared;

/// Shares a [`Breaker`] between threads and tasks (the seed's `CircuitBreaker`, with its `call`).
///
/// For one thing that is called from many places. With retries and time limits around it, use the
/// [`executor`](super::executor) instead.
///
/// # Rules
/// 1. The machine behind the lock is the one truth. Beside it stands a word that says whether a
///    permit, or a success, would change anything; while not, neither takes the lock or reads the clock.
/// 2. A call that panics, and a future that is dropped, give their permit back and record nothing.
/// 3. `Ok` is a success. An `Err` is what the classifier says: [`Class::Ignored`] gives the permit
///    back, all others count.
///
/// # Cost
/// The breaker, a mutex and 8 bytes. Closed and without failures: two atomic loads a call.
///
/// # Sharing
/// `&self` everywhere; cancel-safe by rule 2.
///
/// # Example
/// ```
/// use daur_std::core::reliability::breaker::Config;
/// use daur_std::core::reliability::executor::Failure;
/// use daur_std::reliability::breaker::SharedBreaker;
///
/// static UPSTREAM: SharedBreaker = SharedBreaker::new(Config { failures: 2, ..Config::DEFAULT });
///
/// for _ in 0..2 {
///     assert_eq!(UPSTREAM.call(|| Err::<(), _>("down")), Err(Failure::Error("down")));
/// }
/// assert!(matches!(UPSTREAM.call(|| Ok::<_, &str>(())), Err(Failure::Open { .. })));
/// ```
#[doc(alias = "CircuitBreaker")]
pub struct SharedBreaker<M: Mode = Consecutive, C = StdClock> {
    /// [`Word`], written under the lock only.
    word: AtomicU64,
    machine: StdShared<Breaker<M>, C>,
}

/// The machine's `Fast`, packed: the generation above, two flags below. Zero, which every breaker
/// starts with, allows no short cut.
struct Word;

impl Word {
    const ADMITS: u64 = 1;
    const SUCCESS_CHANGES_NOTHING: u64 = 2;
    const GENERATION_SHIFT: u32 = 2;

    fn of<M: Mode>(breaker: &Breaker<M>) -> u64 {
        let fast = breaker.fast();
        (u64::from(fast.generation) << Self::GENERATION_SHIFT)
            | if fast.admits { Self::ADMITS } else { 0 }
            | if fast.success_changes_nothing { Self::SUCCESS_CHANGES_NOTHING } else { 0 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a generation was put in")]
    const fn generation(word: u64) -> u32 {
        (word >> Self::GENERATION_SHIFT) as u32
    }
}

impl SharedBreaker {
    /// A closed breaker by the operating system's clock.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static`, an error of the compiler. A config that is read at run
    /// time goes to [`SharedBreaker::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self::of(Breaker::new(config), StdClock)
    }

    /// A closed breaker by the operating system's clock, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::of(Breaker::try_new(config)?, StdClock))
    }
}

impl<M: Mode, C> SharedBreaker<M, C> {
    /// Shares `breaker`, which lives by `clock`.
    pub const fn of(breaker: Breaker<M>, clock: C) -> Self {
        Self { word: AtomicU64::new(0), machine: StdShared::with_clock(breaker, clock) }
    }
}

impl<M: Mode, C: Clock> SharedBreaker<M, C> {
    /// Asks to make one call.
    ///
    /// # Errors
    /// [`Open`] if it must not be made.
    #[doc(alias = "can_execute")]
    #[inline]
    pub fn admit(&self) -> Result<Guard<'_, M, C>, Open> {
        let word = self.word.load(Ordering::Acquire);
        let permit = if word & Word::ADMITS == 0 {
            self.with(Breaker::try_acquire)?
        } else {
            Permit::of_generation(Word::generation(word))
        };
        Ok(Guard { breaker: self, permit: Some(permit) })
    }

    /// Makes `call` if the breaker admits it; every `Err` counts as a failure.
    ///
    /// # Errors
    /// [`Failure::Error`] with the call's, or [`Failure::Open`].
    pub fn call<T, E>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, Failure<E>> {
        self.call_classified(|_| Class::Transient, call)
    }

    /// As [`call`](Self::call), with a say in what counts.
    ///
    /// # Errors
    /// [`Failure::Error`] with the call's, or [`Failure::Open`].
    pub fn call_classified<T, E>(
        &self,
        classify: impl FnOnce(&E) -> Class,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Failure<E>> {
        let guard = self.admit().map_err(|Open { retry_at }| Failure::Open { retry_at })?;
        guard.settle(call(), classify)
    }

    /// Awaits `call` if the breaker admits it; every `Err` counts as a failure.
    ///
    /// # Errors
    /// [`Failure::Error`] with the call's, or [`Failure::Open`].
    pub async fn call_async<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, Failure<E>> {
        self.call_async_classified(|_| Class::Transient, call).await
    }

    /// As [`call_async`](Self::call_async), with a say in what counts.
    ///
    /// # Errors
    /// [`Failure::Error`] with the call's, or [`Failure::Open`].
    pub async fn call_async_classified<T, E>(
        &self,
        classify: impl FnOnce(&E) -> Class,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure<E>> {
        let guard = self.admit().map_err(|Open { retry_at }| Failure::Open { retry_at })?;
        guard.settle(call.await, classify)
    }

    /// What the breaker does with calls at this moment.
    pub fn state(&self) -> State {
        self.with(|breaker, now| {
            breaker.poll(now);
            breaker.state()
        })
    }

    /// Copies out what is worth showing.
    #[doc(alias = "get_state")]
    pub fn snapshot(&self) -> Snapshot {
        self.with(|breaker, now| {
            breaker.poll(now);
            breaker.snapshot()
        })
    }

    /// Closes the breaker and forgets failures and manual states.
    pub fn reset(&self) {
        self.with(Breaker::reset);
    }

    /// Refuses every call until [`reset`](Self::reset) or another manual state.
    pub fn force_open(&self) {
        self.with(Breaker::force_open);
    }

    /// Admits every call and counts nothing until [`reset`](Self::reset) or another manual state.
    pub fn force_closed(&self) {
        self.with(Breaker::force_closed);
    }
}

impl<M: Mode, C: Clock> Shared for SharedBreaker<M, C> {
    type Machine = Breaker<M>;

    fn with<R>(&self, f: impl FnOnce(&mut Breaker<M>, Instant) -> R) -> R {
        self.machine.with(|breaker, now| {
            // No short cut while the machine changes; a panic of `f` leaves it at that.
            self.word.store(0, Ordering::Release);
            let answer = f(breaker, now);
            self.word.store(Word::of(breaker), Ordering::Release);
            answer
        })
    }
}

impl<M: Mode, C> fmt::Debug for SharedBreaker<M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBreaker").finish_non_exhaustive()
    }
}

/// Keeps the permit of one call; dropped without a report, it gives it back and records nothing.
#[must_use = "dropped, it cancels the call"]
pub struct Guard<'a, M: Mode = Consecutive, C: Clock = StdClock> {
    breaker: &'a SharedBreaker<M, C>,
    permit: Option<Permit>,
}

impl<M: Mode, C: Clock> Guard<'_, M, C> {
    /// Reports a success; tells the change of state that this made.
    #[inline]
    pub fn on_success(mut self) -> Option<Event> {
        let permit = self.permit.take()?;
        let word = self.breaker.word.load(Ordering::Acquire);
        if word & Word::SUCCESS_CHANGES_NOTHING != 0 && Word::generation(word) == permit.generation() {
            return None;
        }
        self.breaker.with(|breaker, now| breaker.on_success(permit, now))
    }

    /// Reports a failure; tells the change of state that this made.
    pub fn on_failure(mut self) -> Option<Event> {
        let permit = self.permit.take()?;
        self.breaker.with(|breaker, now| breaker.on_failure(permit, now))
    }

    /// Reports what a call gave.
    fn settle<T, E>(self, result: Result<T, E>, classify: impl FnOnce(&E) -> Class) -> Result<T, Failure<E>> {
        match result {
            Ok(value) => {
                self.on_success();
                Ok(value)
            }
            Err(error) => {
                // For an ignored one the guard is dropped, which gives the permit back.
                if classify(&error) != Class::Ignored {
                    self.on_failure();
                }
                Err(Failure::Error(error))
            }
        }
    }
}

impl<M: Mode, C: Clock> Drop for Guard<'_, M, C> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.with(|breaker, now| breaker.cancel(permit, now));
        }
    }
}

impl<M: Mode, C: Clock> fmt::Debug for Guard<'_, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("permit", &self.permit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use daur_core::time::Duration;
    use std::sync::atomic::AtomicU32;

    /// Counts how often it is read.
    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Clock for Counting {
        fn now(&self) -> Instant {
            self.0.fetch_add(1, Ordering::SeqCst);
            Instant::from_secs(1)
        }
    }

    #[test]
    fn rule_1_closed_and_healthy_it_takes_no_lock_and_reads_no_clock() {
        let breaker = SharedBreaker::of(Breaker::new(Config::DEFAULT), Counting::default());
        breaker.admit().unwrap().on_success();
        let before = breaker.machine.clock().0.load(Ordering::SeqCst);
        for _ in 0..100 {
            breaker.call(|| Ok::<_, ()>(())).unwrap();
        }
        assert_eq!(breaker.machine.clock().0.load(Ordering::SeqCst), before);
        // After a failure, one success has something to change, and the next has not.
        breaker.call(|| Err::<(), _>(())).unwrap_err();
        for _ in 0..100 {
            breaker.call(|| Ok::<_, ()>(())).unwrap();
        }
        assert_eq!(breaker.machine.clock().0.load(Ordering::SeqCst), before + 2);
    }

    #[test]
    fn rule_1_the_short_cut_ends_with_the_state_that_gave_it() {
        let clock = ManualClock::new(Instant::from_secs(1));
        let breaker = SharedBreaker::of(Breaker::new(Config { failures: 1, ..Config::DEFAULT }), &clock);
        let late = breaker.admit().unwrap();
        breaker.call(|| Err::<(), _>(())).unwrap_err();
        assert_eq!(breaker.admit().unwrap_err().retry_at, Instant::from_secs(61));
        late.on_success();
        assert_eq!(breaker.state(), State::Open);
        assert_eq!(breaker.snapshot().late, 1);
        clock.set(Instant::from_secs(61));
        breaker.call(|| Ok::<_, ()>(())).unwrap();
        assert_eq!(breaker.state(), State::Closed);
        breaker.force_open();
        assert_eq!(breaker.admit().unwrap_err().retry_at, Instant::MAX);
        breaker.force_closed();
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn rule_2_a_panic_gives_the_probe_back() {
        let clock = ManualClock::new(Instant::from_secs(1));
        let breaker = SharedBreaker::of(Breaker::new(Config { failures: 1, ..Config::DEFAULT }), &clock);
        breaker.call(|| Err::<(), _>(())).unwrap_err();
        clock.advance(Duration::from_secs(60));
        let panics = std::panic::AssertUnwindSafe(|| breaker.call(|| -> Result<(), ()> { panic!("the caller's") }));
        assert!(std::panic::catch_unwind(panics).is_err());
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.call(|| Ok::<_, ()>(())).unwrap();
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn rule_3_an_ignored_error_counts_neither_way() {
        let breaker = SharedBreaker::of(Breaker::new(Config { failures: 1, ..Config::DEFAULT }), Instant::ZERO);
        for _ in 0..3 {
            assert_eq!(breaker.call_classified(|_| Class::Ignored, || Err::<(), _>(7)), Err(Failure::Error(7)));
        }
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn two_threads_are_never_admitted_for_one_probe() {
        for _ in 0..200 {
            let clock = ManualClock::new(Instant::from_secs(1));
            let breaker = SharedBreaker::of(Breaker::new(Config { failures: 1, ..Config::DEFAULT }), &clock);
            breaker.call(|| Err::<(), _>(())).unwrap_err();
            clock.advance(Duration::from_secs(60));
            let barrier = std::sync::Barrier::new(2);
            let admitted: usize = std::thread::scope(|scope| {
                let probe = || {
                    barrier.wait();
                    breaker.admit().ok()
                };
                let (a, b) = (scope.spawn(probe), scope.spawn(probe));
                let guards = [a.join().unwrap(), b.join().unwrap()];
                guards.iter().flatten().count()
            });
            assert_eq!(admitted, 1);
        }
    }
}
