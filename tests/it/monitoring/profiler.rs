use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use daur_core::monitoring::histogram::Window;
use daur_core::monitoring::profiler::{Guard, Outcome, Profiler, Snapshot, measured, time};
use daur_core::shared::Shared;
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// A profiler whose clock a test sets.
struct Manual<const OPS: usize>(Mutex<Profiler<OPS, 4>>, AtomicU64);

impl<const OPS: usize> Shared for Manual<OPS> {
    type Machine = Profiler<OPS, 4>;
    fn with<R>(&self, f: impl FnOnce(&mut Self::Machine, Instant) -> R) -> R {
        f(&mut self.0.lock().unwrap(), ms(self.1.load(Ordering::SeqCst)))
    }
}

impl<const OPS: usize> Manual<OPS> {
    const fn new() -> Self {
        Self(Mutex::new(Profiler::new()), AtomicU64::new(0))
    }

    fn pass(&self, millis: u64) {
        self.1.fetch_add(millis, Ordering::SeqCst);
    }

    fn of(&self, op: &str) -> Snapshot {
        self.with(|profiler, _| profiler.snapshot(op).unwrap())
    }
}

const OPS: [&str; 5] = ["a", "b", "c", "d", "other"];

#[derive(Clone, Debug)]
enum Step {
    Start(usize),
    /// Ends one of those under way, in any order.
    Finish(usize, Outcome),
    Measure(usize, u64),
    Polled(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
    let outcome = prop_oneof![Just(Outcome::Success), Just(Outcome::Error), Just(Outcome::Abandoned)];
    let step = prop_oneof![
        (0..OPS.len()).prop_map(Step::Start),
        (0_usize..9, outcome).prop_map(|(which, outcome)| Step::Finish(which, outcome)),
        (0..OPS.len(), 0_u64..500).prop_map(|(op, took)| Step::Measure(op, took)),
        (0_usize..9, 0_u64..50).prop_map(|(which, time)| Step::Polled(which, time)),
    ];
    prop::collection::vec((step, 0_u64..200), 0..120)
}

#[derive(Default, Debug, PartialEq, Clone)]
struct Model {
    in_flight: u32,
    errors: u64,
    abandoned: u64,
    polled: u64,
    times: Vec<u64>,
}

proptest! {
    /// Two places for five names: the first two that come get them, the rest are "other".
    #[test]
    fn a_profiler_does_what_a_list_would(steps in steps()) {
        let mut profiler: Profiler<2, 3> = Profiler::new();
        let (mut known, mut model): (Vec<&str>, HashMap<&str, Model>) = (Vec::new(), HashMap::new());
        let (mut spans, mut all, mut now) = (Vec::new(), Vec::new(), 0);
        let mut name = |op: &'static str| {
            if op != "other" && !known.contains(&op) && known.len() < 2 {
                known.push(op);
            }
            if known.contains(&op) { op } else { "other" }
        };
        for (step, passed) in steps {
            now += passed;
            match step {
                Step::Start(op) => {
                    model.entry(name(OPS[op])).or_default().in_flight += 1;
                    spans.push((OPS[op], now, profiler.start(OPS[op], ms(now))));
                }
                Step::Finish(which, outcome) if !spans.is_empty() => {
                    let (op, began, span) = spans.swap_remove(which % spans.len());
                    profiler.finish(span, outcome, ms(now));
                    let model = model.entry(name(op)).or_default();
                    model.in_flight -= 1;
                    match outcome {
                        Outcome::Abandoned => { model.abandoned += 1; continue; }
                        Outcome::Error => model.errors += 1,
                        Outcome::Success => {}
                    }
                    model.times.push(now - began);
                    all.push(now - began);
                }
                Step::Measure(op, took) => {
                    profiler.measure(OPS[op], Duration::from_millis(took), ms(now));
                    model.entry(name(OPS[op])).or_default().times.push(took);
                    all.push(took);
                }
                Step::Polled(which, time) if !spans.is_empty() => {
                    let (op, _, span) = &spans[which % spans.len()];
                    profiler.polled(span, Duration::from_millis(time));
                    model.entry(name(op)).or_default().polled += time;
                }
                Step::Finish(..) | Step::Polled(..) => {}
            }
        }
        for (op, model) in &model {
            let found = profiler.snapshot(op).unwrap();
            let nanos = |millis: u64| millis * 1_000_000;
            prop_assert_eq!(found.in_flight, model.in_flight);
            prop_assert_eq!((found.errors, found.abandoned), (model.errors, model.abandoned));
            prop_assert_eq!(found.polled, Duration::from_millis(model.polled));
            prop_assert_eq!(found.time.count, model.times.len() as u64);
            prop_assert_eq!(found.time.min, model.times.iter().min().copied().map(nanos));
            prop_assert_eq!(found.time.max, model.times.iter().max().copied().map(nanos));
            prop_assert_eq!(found.time.mean(), (!model.times.is_empty())
                .then(|| nanos(model.times.iter().sum::<u64>()) / model.times.len() as u64));
        }
        prop_assert_eq!(profiler.snapshots().count(), model.len());
        all.sort_unstable_by(|a, b| b.cmp(a));
        let slowest: Vec<_> = profiler.slowest().map(|slow| slow.took.as_millis()).collect();
        prop_assert_eq!(slowest, all.into_iter().take(3).collect::<Vec<_>>());
    }
}

#[test]
fn percentiles_are_those_of_the_calls() {
    let mut profiler: Profiler<1, 0> = Profiler::new();
    for millis in 1..=1_000 {
        profiler.measure("a", Duration::from_millis(millis), ms(millis));
    }
    let time = profiler.snapshot("a").unwrap().time;
    // 160 buckets for three decades: a few percent.
    for (found, wanted) in [(time.p50, 500), (time.p95, 950), (time.p99, 990)] {
        let millis = found.unwrap() / 1_000_000;
        assert!(millis.abs_diff(wanted) * 20 <= wanted, "{millis} for {wanted}");
    }
}

#[test]
fn recursion_is_measured_call_by_call() {
    fn down(profiler: &Manual<2>, depth: u32) -> u32 {
        let call = time(profiler, "down");
        profiler.pass(1);
        let below = if depth > 0 { down(profiler, depth - 1) } else { 0 };
        assert_eq!(profiler.of("down").in_flight, 5 - depth);
        call.finish(Outcome::Success);
        below + 1
    }
    let profiler = Manual::new();
    assert_eq!(down(&profiler, 4), 5);
    let found = profiler.of("down");
    assert_eq!((found.time.count, found.in_flight, found.time.min, found.time.max), (5, 0, Some(1_000_000), Some(5_000_000)));
}

#[test]
fn operations_within_operations_are_measured_whole() {
    let profiler: Manual<1> = Manual::new();
    let outer = time(&profiler, "outer");
    profiler.pass(2);
    // No place is left for it.
    let inner = time(&profiler, "inner");
    profiler.pass(3);
    // The outer one ends first.
    outer.finish(Outcome::Success);
    profiler.pass(5);
    inner.finish(Outcome::Error);
    assert_eq!(profiler.of("outer").time.max, Some(5_000_000));
    let other = profiler.of("other");
    assert_eq!((other.time.max, other.errors, other.in_flight), (Some(8_000_000), 1, 0));
    assert_eq!(profiler.with(|profiler, _| profiler.slowest().next().unwrap().op), "inner", "the slowest keep their names");
}

#[test]
fn a_guard_may_end_on_another_thread() {
    static PROFILER: Manual<2> = Manual::new();
    let guard: Guard<&'static Manual<2>> = time(&PROFILER, "moved");
    PROFILER.pass(7);
    let left = time(&PROFILER, "moved");
    std::thread::spawn(move || {
        guard.finish(Outcome::Success);
        drop(left);
    })
    .join()
    .unwrap();
    let found = PROFILER.of("moved");
    assert_eq!((found.time.count, found.abandoned, found.in_flight, found.time.max), (1, 1, 0, Some(7_000_000)));
}

#[test]
fn a_panic_abandons_the_call() {
    let profiler: Manual<2> = Manual::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _call = time(&profiler, "panics");
        panic!("the body's");
    }));
    assert!(panicked.is_err());
    assert_eq!((profiler.of("panics").abandoned, profiler.of("panics").in_flight), (1, 0));
}

/// Ready at its third poll, each of which takes 2 ms.
fn work<'a>(profiler: &'a Manual<2>, mut polls: u32) -> impl Future<Output = Result<u8, ()>> + 'a {
    poll_fn(move |_| {
        profiler.pass(2);
        polls -= 1;
        if polls == 0 { Poll::Ready(Err(())) } else { Poll::Pending }
    })
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_has_a_wall_time_and_a_polled_time() {
    let profiler: Manual<2> = Manual::new();
    let mut future = pin!(measured(&profiler, "later", work(&profiler, 3), |result| Outcome::from(result)));
    profiler.pass(1_000); // not polled yet, so not begun
    assert!(poll(future.as_mut()).is_pending());
    profiler.pass(50);
    assert!(poll(future.as_mut()).is_pending());
    profiler.pass(50);
    assert!(poll(future.as_mut()).is_ready());
    let found = profiler.of("later");
    assert_eq!((found.time.max, found.polled), (Some(106_000_000), Duration::from_millis(6)));
    assert_eq!((found.errors, found.abandoned, found.in_flight), (1, 0, 0));
}

#[test]
fn a_future_within_a_future_counts_in_both() {
    let profiler: Manual<2> = Manual::new();
    let inner = measured(&profiler, "inner", work(&profiler, 2), |_| Outcome::Success);
    let mut future = pin!(measured(&profiler, "outer", inner, |_| Outcome::Success));
    assert!(poll(future.as_mut()).is_pending());
    assert!(poll(future.as_mut()).is_ready());
    assert_eq!((profiler.of("inner").polled, profiler.of("outer").polled), (Duration::from_millis(4), Duration::from_millis(4)));
}

#[test]
fn a_future_that_panics_or_is_dropped_abandons_its_call() {
    let profiler: Manual<2> = Manual::new();
    {
        let mut dropped = pin!(measured(&profiler, "later", work(&profiler, 9), |_| Outcome::Success));
        assert!(poll(dropped.as_mut()).is_pending());
    }
    let mut panics = Box::pin(measured(&profiler, "later", poll_fn(|_| -> Poll<()> { panic!("the future's") }), |()| Outcome::Success));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(panics.as_mut()))).is_err());
    drop(panics);
    let found = profiler.of("later");
    assert_eq!((found.abandoned, found.in_flight, found.time.count), (2, 0, 0));
    assert_eq!(found.polled, Duration::from_millis(2), "what the dropped one was polled");
}

#[test]
fn a_span_of_another_profiler_is_charged_to_no_operation() {
    let (mut one, mut two): (Profiler<2, 2>, Profiler<2, 2>) = (Profiler::new(), Profiler::new());
    let span = one.start("a", ms(0));
    let _open = two.start("b", ms(0));
    two.finish(span, Outcome::Error, ms(5));
    let b = two.snapshot("b").unwrap();
    assert_eq!((b.errors, b.in_flight, b.time.count), (0, 1, 0));
    assert_eq!(two.snapshot("other").unwrap().errors, 1);
}

#[test]
fn nothing_fits_and_nothing_is_lost() {
    let mut profiler: Profiler<0, 0, Window<u32, 64>> = Profiler::new();
    profiler.measure("a", Duration::from_millis(1), ms(1));
    let span = profiler.start("b", ms(5));
    profiler.finish(span, Outcome::Success, ms(1)); // backwards: no time
    let all = profiler.snapshot("other").unwrap();
    assert_eq!((all.time.count, all.time.min, all.in_flight), (2, Some(0), 0));
    assert_eq!((profiler.snapshots().count(), profiler.slowest().count()), (1, 0));
}

struct Device {
    profiler: Manual<4>,
    reads: u32,
}

impl Device {
    #[daur_core::measure_time("device.read", profiler = self.profiler)]
    fn read(&self, good: bool) -> Result<u32, &'static str> {
        self.profiler.pass(3);
        if !good {
            return Err("no acknowledge");
        }
        Ok(self.reads)
    }

    #[daur_core::measure_time("device.poll", profiler = self.profiler())]
    async fn poll<T: Clone>(&self, value: &T) -> Option<T> {
        self.profiler.pass(1);
        Some(value.clone())
    }

    const fn profiler(&self) -> &Manual<4> {
        &self.profiler
    }
}

#[test]
fn a_method_is_measured_into_a_profiler_of_its_own() {
    let device = Device { profiler: Manual::new(), reads: 7 };
    assert_eq!((device.read(true), device.read(false)), (Ok(7), Err("no acknowledge")));
    let Poll::Ready(polled) = poll(pin!(device.poll(&"x"))) else { panic!("it waits for nothing") };
    assert_eq!(polled, Some("x"));
    let (read, later) = (device.profiler.of("device.read"), device.profiler.of("device.poll"));
    assert_eq!((read.time.count, read.errors, read.time.max), (2, 1, Some(3_000_000)));
    assert_eq!((later.time.count, later.errors, later.polled), (1, 0, Duration::from_millis(1)));
}

static LAST: Manual<1> = Manual::new();

#[daur_core::measure_time(profiler = LAST)]
fn named_by_its_path<const N: usize>(of: impl Into<u64>) -> u64 {
    of.into() + N as u64
}

#[test]
fn without_a_name_it_is_that_of_the_function_for_all_types() {
    assert_eq!(named_by_its_path::<3>(4_u8) + named_by_its_path::<4>(5_u32), 16);
    assert_eq!(LAST.of(concat!(module_path!(), "::named_by_its_path")).time.count, 2);
}
