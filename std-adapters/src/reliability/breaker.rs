//! A breaker for many threads, whose closed path costs one atomic load.

use std::fmt;
use std::sync::atomic::AtomicU64;

mod gate;
#[cfg(all(test, daur_loom))]
mod loom;

use daur_core::reliability::breaker::{
    Any, Breaker, Config, ConfigError, Consecutive, Event, Mode, ModeConfig, Open, Permit, Snapshot, State,
};
use daur_core::reliability::executor::Failure;
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;
use daur_core::time::{Clock, Instant};

use crate::clock::StdClock;
use crate::rng::os_seed;
use crate::shared::StdShared;
use gate::Gate;

/// What a host reads from its config: windows of up to 1,024 calls or 60 buckets.
pub type HostMode = Any<32, 60>;

/// Shares a [`Breaker`] between threads and tasks (the seed's `CircuitBreaker`, with its `call`).
///
/// For one thing that is called from many places. With retries and time limits around it, use the
/// [`executor`](super::executor) instead.
///
/// # Rules
/// 1. The machine behind the lock is the one truth. Beside it stands a word that says whether a
///    permit, or a success, would change anything; while not, neither takes the lock or reads the clock.
/// 2. A call that panics, and a future that is dropped, give their permit back and record nothing.
/// 3. A mode that times calls costs one reading of the clock at admission, still without the lock; the
///    report takes the lock.
/// 4. `Ok` is a success. An `Err` is what the classifier says: [`Class::Ignored`] gives the permit
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
    gate: Gate<StdShared<Breaker<M>, C>>,
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

impl SharedBreaker<HostMode> {
    /// A closed breaker of the mode that a config names, by the operating system's clock, if both
    /// configs are valid. What jitter its open wait has, the operating system decides.
    ///
    /// # Errors
    /// What [`Config::validate`] and [`ModeConfig::validate`] say.
    pub fn try_any(config: Config, mode: ModeConfig) -> Result<Self, ConfigError> {
        Ok(Self::of(Breaker::try_any(config, mode, os_seed())?, StdClock))
    }
}

impl<M: Mode, C> SharedBreaker<M, C> {
    /// Shares `breaker`, which lives by `clock`.
    pub const fn of(breaker: Breaker<M>, clock: C) -> Self {
        Self { gate: Gate { word: AtomicU64::new(0), machine: StdShared::with_clock(breaker, clock) } }
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
        let permit = self.try_acquire()?;
        Ok(Guard { breaker: self, permit: Some(permit) })
    }

    /// As [`admit`](Self::admit), for whoever keeps the permit without a borrow of the breaker and
    /// hands it back in every case: to [`on_success`](Self::on_success), or through
    /// [`with`](Shared::with) to [`Breaker::on_failure`] or [`Breaker::cancel`].
    ///
    /// # Errors
    /// [`Open`] if the call must not be made.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Open> {
        self.gate.admit(|| self.gate.machine.clock().now())
    }

    /// Reports that the call with this permit succeeded; tells the change of state that this made.
    #[inline]
    pub fn on_success(&self, permit: Permit) -> Option<Event> {
        self.gate.on_success(permit)
    }

    /// Whether a call would be refused now whatever others do meanwhile, and until when. Changes and
    /// counts nothing and holds no place; a half-open breaker refuses nobody here.
    pub fn refuses(&self) -> Option<Open> {
        if self.gate.admits() {
            return None;
        }
        let shown = self.snapshot();
        match shown.state {
            State::Open | State::ForcedOpen => shown.retry_at.map(|retry_at| Open { retry_at }),
            State::HalfOpen | State::Closed | State::Disabled | State::MetricsOnly => None,
        }
    }

    /// Makes `call` if the breaker admits it; every `Err` counts as a failure.
    ///
    /// # Errors
    /// [`Failure::Error`] with the call's, or [`Failure::Open`].
    #[inline]
    pub fn call<T, E>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, Failure<E>> {
        self.call_classified(|_| Class::Transient, call)
    }

    /// As [`call`](Self::call), with a say in what counts.
    ///
    /// # Errors
    /// [`Failure::Error`] with the call's, or [`Failure::Open`].
    #[inline]
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
        self.snapshot().state
    }

    /// Copies out what is worth showing at this moment. Looking changes nothing, so that no
    /// [`Event::HalfOpened`] is lost to a dashboard: the call that makes the change is told of it.
    #[doc(alias = "get_state")]
    pub fn snapshot(&self) -> Snapshot {
        self.with(|breaker, now| breaker.snapshot_at(now))
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

    /// Admits every call and counts without opening, until [`reset`](Self::reset) or another manual state.
    pub fn metrics_only(&self) {
        self.with(Breaker::metrics_only);
    }
}

impl<M: Mode, C: Clock> Shared for SharedBreaker<M, C> {
    type Machine = Breaker<M>;

    fn with<R>(&self, f: impl FnOnce(&mut Breaker<M>, Instant) -> R) -> R {
        self.gate.with(f)
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
    /// [`Event::HalfOpened`] if this admission was the one that turned the breaker half-open.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        self.permit.as_ref().and_then(Permit::event)
    }

    /// Reports a success; tells the change of state that this made.
    #[inline]
    pub fn on_success(mut self) -> Option<Event> {
        let permit = self.permit.take()?;
        self.breaker.gate.on_success(permit)
    }

    /// Reports a failure; tells the change of state that this made.
    pub fn on_failure(mut self) -> Option<Event> {
        let permit = self.permit.take()?;
        self.breaker.gate.on_failure(permit)
    }

    /// Reports what a call gave.
    #[inline]
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
    #[inline]
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.gate.cancel(permit);
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
    use daur_core::reliability::breaker::{Cause, CountWindow, Opens, Slow, SlowCalls, Window};
    use daur_core::time::Duration;
    use std::sync::atomic::{AtomicU32, Ordering};

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
        let before = breaker.gate.machine.clock().0.load(Ordering::SeqCst);
        for _ in 0..100 {
            breaker.call(|| Ok::<_, ()>(())).unwrap();
        }
        assert_eq!(breaker.gate.machine.clock().0.load(Ordering::SeqCst), before);
        // After a failure, one success has something to change, and the next has not.
        breaker.call(|| Err::<(), _>(())).unwrap_err();
        for _ in 0..100 {
            breaker.call(|| Ok::<_, ()>(())).unwrap();
        }
        assert_eq!(breaker.gate.machine.clock().0.load(Ordering::SeqCst), before + 2);
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
    fn rule_3_only_a_mode_that_times_calls_reads_the_clock_at_admission() {
        let readings = |mode: ModeConfig| {
            let breaker = Breaker::<Any<1, 1>>::try_any(Config::DEFAULT, mode, 7).unwrap();
            let breaker = SharedBreaker::of(breaker, Counting::default());
            breaker.reset();
            let read = || breaker.gate.machine.clock().0.load(Ordering::SeqCst);
            let before = read();
            let guard = breaker.admit().unwrap();
            let admitted = read() - before;
            guard.on_success();
            (admitted, read() - before)
        };
        let window = Opens::CountWindow(Window { calls: 10, ..Window::DEFAULT });
        assert_eq!(readings(ModeConfig::DEFAULT), (0, 0));
        assert_eq!(readings(ModeConfig { opens: window, ..ModeConfig::DEFAULT }), (0, 1));
        let timed = ModeConfig { opens: window, slow: Some(SlowCalls::DEFAULT), ..ModeConfig::DEFAULT };
        assert_eq!(readings(timed), (1, 2));
    }

    #[test]
    fn rule_3_a_call_is_timed_from_its_admission_without_the_lock() {
        const PAIR: Window = Window { calls: 2, failure_pct: 100, min_calls: 2 };
        const SLOW: SlowCalls = SlowCalls { slow_call: Duration::from_secs(2), slow_pct: 100 };
        let clock = ManualClock::new(Instant::from_secs(1));
        let mode = Slow::<CountWindow<1>>::of_calls(PAIR, SLOW);
        let breaker = SharedBreaker::of(Breaker::with_mode(Config::DEFAULT, mode), &clock);
        for _ in 0..10 {
            let guard = breaker.admit().unwrap();
            clock.advance(SLOW.slow_call);
            assert_eq!(guard.on_success(), None, "exactly that long is not slow");
        }
        for expected in [None, Some(Event::Opened { cause: Cause::SlowCalls })] {
            let guard = breaker.admit().unwrap();
            clock.advance(SLOW.slow_call + Duration::from_nanos(1));
            assert_eq!(guard.on_success(), expected);
        }
        assert_eq!(breaker.state(), State::Open);
    }

    #[test]
    fn rule_4_an_ignored_error_counts_neither_way() {
        let breaker = SharedBreaker::of(Breaker::new(Config { failures: 1, ..Config::DEFAULT }), Instant::ZERO);
        for _ in 0..3 {
            assert_eq!(breaker.call_classified(|_| Class::Ignored, || Err::<(), _>(7)), Err(Failure::Error(7)));
        }
        assert_eq!(breaker.state(), State::Closed);
    }
}
