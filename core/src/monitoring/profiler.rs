//! How long operations take, how many are under way, and which were the slowest.

use core::future::{Future, poll_fn};
use core::pin::pin;

use super::histogram::{Cells, Histogram, Snapshot as Distribution, Window};
use crate::shared::Shared;
use crate::time::{Duration, Instant};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// It did not.
    Error,
    /// It was dropped before its end: a cancelled future, a panic.
    Abandoned,
}

impl<T, E> From<&Result<T, E>> for Outcome {
    fn from(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Success } else { Self::Error }
    }
}

/// An operation under way: hand it back to [`Profiler::finish`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an operation that is not finished stays in flight"]
pub struct Span {
    op: &'static str,
    place: usize,
    began: Instant,
}

impl Span {
    /// The operation.
    #[must_use]
    pub const fn op(&self) -> &'static str {
        self.op
    }

    /// When it began.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }
}

/// One slow operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Slow {
    /// The operation.
    pub op: &'static str,
    /// How long it took.
    pub took: Duration,
    /// When it ended.
    pub at: Instant,
}

/// One operation's figures; those of `time` are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// The operation.
    pub op: &'static str,
    /// Calls under way.
    pub in_flight: u32,
    /// Calls that failed.
    pub errors: u64,
    /// Calls that were dropped before their end; they are not in `time`.
    pub abandoned: u64,
    /// The time that futures spent being polled, of those that were measured with [`measured`].
    pub polled: Duration,
    /// How long the calls took.
    pub time: Distribution,
}

/// Measures up to `OPS` named operations (the seed's `PerformanceProfiler` and `PerformanceMonitor`).
///
/// `L` are the cells of the histogram each operation has: [`Auto<160>`](super::histogram::Auto)'s unless you say otherwise.
///
/// # Rules
/// 1. A call is in flight from `start` to `finish`.
/// 2. An abandoned call is counted, and not measured: its time says nothing about the operation.
/// 3. Operations beyond `OPS` are measured together under the name of [`Profiler::OTHER`].
/// 4. The `SLOWEST` slowest calls are kept, the slowest first; of equal ones the earlier.
/// 5. Calls within calls, of the same operation too, are calls of their own: each is measured whole.
///
/// # Cost
/// `Profiler<2, 2, Window<u32, 64>>`: 1,080 bytes of RAM and 5,516 of flash on thumbv6m (image `profiler`). O(`OPS`) a `start`, O(`SLOWEST`) a `finish`.
///
/// # Sharing
/// Behind a [`Shared`]; [`time`] gives a guard, [`measured`] wraps a future. Both are cancel safe:
/// dropped, they end the call as abandoned.
///
/// # Example
/// ```
/// use daur_core::monitoring::profiler::{Outcome, Profiler};
/// use daur_core::time::{Duration, Instant};
///
/// let mut profiler: Profiler<4, 4> = Profiler::new();
/// let span = profiler.start("read", Instant::from_millis(10));
/// profiler.finish(span, Outcome::Success, Instant::from_millis(12));
/// profiler.measure("read", Duration::from_millis(4), Instant::from_millis(20));
///
/// let read = profiler.snapshot("read").unwrap();
/// assert_eq!((read.time.count, read.in_flight, read.time.max), (2, 0, Some(4_000_000)));
/// assert_eq!(profiler.slowest().next().unwrap().took, Duration::from_millis(4));
/// ```
#[doc(alias("PerformanceProfiler", "PerformanceMonitor"))]
#[derive(Clone, Debug)]
pub struct Profiler<const OPS: usize, const SLOWEST: usize, L = Window<u32, 160>> {
    ops: [Option<Op<L>>; OPS],
    /// Made when it is needed, so that an empty profiler is all zeros: a `static` one then takes no flash.
    other: Option<Op<L>>,
    slowest: [Option<Slow>; SLOWEST],
}

#[derive(Clone, Debug)]
struct Op<L> {
    name: &'static str,
    in_flight: u32,
    errors: u64,
    abandoned: u64,
    polled: Duration,
    time: Histogram<L>,
}

impl<L: Cells> Op<L> {
    const fn new(name: &'static str) -> Self {
        Self { name, in_flight: 0, errors: 0, abandoned: 0, polled: Duration::ZERO, time: Histogram::EMPTY }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            op: self.name,
            in_flight: self.in_flight,
            errors: self.errors,
            abandoned: self.abandoned,
            polled: self.polled,
            time: self.time.snapshot(),
        }
    }
}

impl<const OPS: usize, const SLOWEST: usize, L: Cells> Profiler<OPS, SLOWEST, L> {
    /// The name under which operations are measured that the table has no room for.
    pub const OTHER: &'static str = "other";

    /// Nothing measured.
    #[must_use]
    pub const fn new() -> Self {
        Self { ops: [const { None }; OPS], other: None, slowest: [None; SLOWEST] }
    }

    /// The place of an operation, made if there is room; `OPS` is that of all others.
    fn place(&mut self, op: &'static str) -> usize {
        for (place, slot) in self.ops.iter_mut().enumerate() {
            match slot {
                Some(known) if known.name == op => return place,
                Some(_) => {}
                // Who is called so shares that place from the start.
                None if op == Self::OTHER => return OPS,
                None => {
                    *slot = Some(Op::new(op));
                    return place;
                }
            }
        }
        OPS
    }

    /// The place that a span was given; if that is another operation's, the span is another profiler's.
    fn of(&mut self, span: &Span) -> &mut Op<L> {
        let is_its = matches!(self.ops.get(span.place), Some(Some(op)) if op.name == span.op);
        self.at(if is_its { span.place } else { OPS })
    }

    fn at(&mut self, place: usize) -> &mut Op<L> {
        match self.ops.get_mut(place) {
            Some(Some(op)) => op,
            _ => self.other.get_or_insert_with(|| Op::new(Self::OTHER)),
        }
    }

    /// A call of `op` begins.
    pub fn start(&mut self, op: &'static str, now: Instant) -> Span {
        let place = self.place(op);
        let entry = self.at(place);
        entry.in_flight = entry.in_flight.saturating_add(1);
        Span { op, place, began: now }
    }

    /// The call ends.
    #[expect(clippy::needless_pass_by_value, reason = "a span ends once")]
    pub fn finish(&mut self, span: Span, outcome: Outcome, now: Instant) {
        let took = now.since(span.began);
        let op = self.of(&span);
        op.in_flight = op.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Abandoned => {
                op.abandoned = op.abandoned.saturating_add(1);
                return;
            }
            Outcome::Error => op.errors = op.errors.saturating_add(1),
            Outcome::Success => {}
        }
        op.time.record(took.as_nanos());
        self.rank(Slow { op: span.op, took, at: now });
    }

    /// Notes that a future of `span`'s call was being polled for `time`.
    pub fn polled(&mut self, span: &Span, time: Duration) {
        let op = self.of(span);
        op.polled = op.polled + time;
    }

    /// Records a call that somebody else has timed.
    #[doc(alias = "record")]
    pub fn measure(&mut self, op: &'static str, took: Duration, now: Instant) {
        let place = self.place(op);
        self.at(place).time.record(took.as_nanos());
        self.rank(Slow { op, took, at: now });
    }

    /// Puts `slow` where it belongs among the slowest, and lets the last of them go.
    fn rank(&mut self, slow: Slow) {
        let mut falling = slow;
        for slot in &mut self.slowest {
            match slot {
                Some(kept) if kept.took >= falling.took => {}
                Some(kept) => core::mem::swap(kept, &mut falling),
                None => {
                    *slot = Some(falling);
                    return;
                }
            }
        }
    }

    /// One operation's figures, if it was ever started.
    #[must_use]
    #[doc(alias = "get_performance_stats")]
    pub fn snapshot(&self, op: &str) -> Option<Snapshot> {
        self.snapshots().find(|snapshot| snapshot.op == op)
    }

    /// The figures of every operation; those that share a place come last, if there are any.
    pub fn snapshots(&self) -> impl Iterator<Item = Snapshot> + '_ {
        self.ops.iter().flatten().chain(&self.other).map(Op::snapshot)
    }

    /// The histogram of one operation, in nanoseconds.
    #[must_use]
    pub fn histogram(&self, op: &str) -> Option<&Histogram<L>> {
        self.ops.iter().flatten().chain(&self.other).find(|known| known.name == op).map(|op| &op.time)
    }

    /// The slowest calls, the slowest first.
    pub fn slowest(&self) -> impl Iterator<Item = &Slow> {
        self.slowest.iter().flatten()
    }

    /// Forgets the slowest calls, so that the next ones are those since now.
    pub fn clear_slowest(&mut self) {
        self.slowest = [None; SLOWEST];
    }
}

impl<const OPS: usize, const SLOWEST: usize, L: Cells> Default for Profiler<OPS, SLOWEST, L> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a guard needs of a profiler, so that it need not know how large it is.
pub trait Profile {
    /// [`Profiler::start`].
    fn start(&mut self, op: &'static str, now: Instant) -> Span;
    /// [`Profiler::finish`].
    fn finish(&mut self, span: Span, outcome: Outcome, now: Instant);
    /// [`Profiler::polled`].
    fn polled(&mut self, span: &Span, time: Duration);
}

impl<const OPS: usize, const SLOWEST: usize, L: Cells> Profile for Profiler<OPS, SLOWEST, L> {
    fn start(&mut self, op: &'static str, now: Instant) -> Span {
        self.start(op, now)
    }

    fn finish(&mut self, span: Span, outcome: Outcome, now: Instant) {
        self.finish(span, outcome, now);
    }

    fn polled(&mut self, span: &Span, time: Duration) {
        self.polled(span, time);
    }
}

/// Ends a call when it goes out of scope: as abandoned, unless [`Guard::finish`] said how.
#[derive(Debug)]
#[must_use = "dropped at once, it measures nothing"]
pub struct Guard<S: Shared<Machine: Profile>> {
    profiler: S,
    span: Option<Span>,
}

/// Starts a call of `op`; the guard ends it.
///
/// # Example
/// ```
/// use daur_core::monitoring::profiler::{self, Outcome, Profiler};
/// use daur_core::shared::Shared;
/// # use std::sync::Mutex;
/// # struct Mine(Mutex<Profiler<4, 4>>);
/// # impl Shared for Mine {
/// #     type Machine = Profiler<4, 4>;
/// #     fn with<R>(&self, f: impl FnOnce(&mut Self::Machine, daur_core::time::Instant) -> R) -> R {
/// #         f(&mut self.0.lock().unwrap(), daur_core::time::Instant::from_secs(1))
/// #     }
/// # }
/// # let shared = Mine(Mutex::new(Profiler::new()));
/// let call = profiler::time(&shared, "read");
/// let result: Result<u8, ()> = Ok(7);
/// call.finish(Outcome::from(&result));
/// assert_eq!(shared.with(|profiler, _| profiler.snapshot("read").unwrap().time.count), 1);
/// ```
pub fn time<S: Shared<Machine: Profile>>(profiler: S, op: &'static str) -> Guard<S> {
    let span = profiler.with(|profiler, now| profiler.start(op, now));
    Guard { profiler, span: Some(span) }
}

impl<S: Shared<Machine: Profile>> Guard<S> {
    /// Ends the call.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(span) = self.span.take() {
            self.profiler.with(|profiler, now| profiler.finish(span, outcome, now));
        }
    }
}

impl<S: Shared<Machine: Profile>> Drop for Guard<S> {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned);
    }
}

/// Runs `future` as a call of `op`, and measures both the time it takes and the time it is polled.
/// `outcome` reads from what it returned how it ended.
pub async fn measured<S: Shared<Machine: Profile>, F: Future>(
    profiler: S,
    op: &'static str,
    future: F,
    outcome: impl FnOnce(&F::Output) -> Outcome,
) -> F::Output {
    let guard = time(profiler, op);
    let mut future = pin!(future);
    let output = poll_fn(|context| {
        let began = guard.profiler.with(|_, now| now);
        let polled = future.as_mut().poll(context);
        if let Some(span) = &guard.span {
            guard.profiler.with(|profiler, now| profiler.polled(span, now.since(began)));
        }
        polled
    })
    .await;
    guard.finish(outcome(&output));
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::{Cell, RefCell};
    use core::task::{Context, Poll, Waker};
    use std::vec::Vec;

    const fn ms(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// A profiler whose clock goes on by a millisecond at every look.
    struct Ticking(RefCell<Profiler<2, 2>>, Cell<u64>);

    impl Shared for Ticking {
        type Machine = Profiler<2, 2>;
        fn with<R>(&self, f: impl FnOnce(&mut Self::Machine, Instant) -> R) -> R {
            self.1.set(self.1.get() + 1);
            f(&mut self.0.borrow_mut(), ms(self.1.get()))
        }
    }

    impl Ticking {
        fn new() -> Self {
            Self(RefCell::new(Profiler::new()), Cell::new(0))
        }

        fn of(&self, op: &str) -> Snapshot {
            self.0.borrow().snapshot(op).unwrap()
        }
    }

    #[test]
    fn a_call_is_in_flight_from_start_to_finish() {
        let mut profiler: Profiler<2, 2> = Profiler::new();
        let (one, two) = (profiler.start("a", ms(0)), profiler.start("a", ms(1)));
        assert_eq!(profiler.snapshot("a").unwrap().in_flight, 2);
        profiler.finish(two, Outcome::Error, ms(3));
        profiler.finish(one, Outcome::Success, ms(4));
        let a = profiler.snapshot("a").unwrap();
        assert_eq!(
            (a.in_flight, a.errors, a.time.count, a.time.min, a.time.max),
            (0, 1, 2, Some(2_000_000), Some(4_000_000))
        );
    }

    #[test]
    fn an_abandoned_call_is_counted_and_not_measured() {
        let shared = Ticking::new();
        drop(time(&shared, "a"));
        let a = shared.of("a");
        assert_eq!((a.in_flight, a.abandoned, a.time.count), (0, 1, 0));
    }

    #[test]
    fn operations_without_a_place_are_measured_together() {
        let mut profiler: Profiler<1, 4> = Profiler::new();
        for op in ["a", "b", "c"] {
            profiler.measure(op, Duration::from_millis(5), ms(5));
        }
        let all: Vec<_> = profiler.snapshots().map(|op| (op.op, op.time.count)).collect();
        assert_eq!(all, [("a", 1), ("other", 2)]);
        assert_eq!(profiler.slowest().map(|slow| slow.op).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn the_slowest_calls_are_kept_slowest_first() {
        let mut profiler: Profiler<1, 3> = Profiler::new();
        for millis in [5, 1, 9, 3, 7, 2] {
            profiler.measure("a", Duration::from_millis(millis), ms(0));
        }
        assert_eq!(profiler.slowest().map(|slow| slow.took.as_nanos() / 1_000_000).collect::<Vec<_>>(), [9, 7, 5]);
        profiler.clear_slowest();
        assert_eq!(profiler.slowest().count(), 0);
    }

    #[test]
    fn a_future_is_measured_by_the_wall_and_by_its_polls() {
        let shared = Ticking::new();
        let pending = Cell::new(2);
        let work = poll_fn(|_| match pending.replace(pending.get() - 1) {
            0 => Poll::Ready(Err::<(), ()>(())),
            _ => Poll::Pending,
        });
        let mut future = pin!(measured(&shared, "a", work, |result| Outcome::from(result)));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(future.as_mut().poll(&mut context).is_pending());
            shared.1.set(shared.1.get() + 100);
        }
        assert!(future.as_mut().poll(&mut context).is_ready());
        let a = shared.of("a");
        // Three polls of a tick each; the wall also saw the 200 ms between them.
        assert_eq!((a.polled, a.errors, a.time.max), (Duration::from_millis(3), 1, Some(207_000_000)));
    }

    #[test]
    fn a_future_dropped_half_way_ends_its_call() {
        let shared = Ticking::new();
        {
            let mut future = pin!(measured(&shared, "a", core::future::pending::<()>(), |()| Outcome::Success));
            assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert_eq!(shared.of("a").in_flight, 1);
        }
        assert_eq!((shared.of("a").in_flight, shared.of("a").abandoned), (0, 1));
    }

    #[test]
    fn a_clock_that_steps_back_measures_zero() {
        let mut profiler: Profiler<1, 1> = Profiler::new();
        let span = profiler.start("a", ms(5));
        assert_eq!((span.op(), span.began()), ("a", ms(5)));
        profiler.finish(span, Outcome::Success, ms(1));
        assert_eq!(profiler.histogram("a").unwrap().max(), Some(0));
    }
}
