//! Timers near and far, of schedulers large enough for a wheel, beside a map of moments; and of one that is not.

use std::collections::BTreeMap;

use super::*;

/// Xorshift, from a seed that stands where it is used.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Of any size, the small ones as often as the large ones.
    fn of_any_size(&mut self) -> u64 {
        let bits = self.below(64);
        self.next() >> bits
    }
}

/// Tasks that run once, and a map of their moments.
struct Timers<const N: usize> {
    scheduler: Box<Scheduler<u32, N>>,
    /// By moment and by when they were planned.
    map: BTreeMap<(u64, u64), u32>,
    /// Each with its key in the map.
    tasks: BTreeMap<u32, (Id, (u64, u64))>,
    planned: u64,
    named: u32,
    now: u64,
}

impl<const N: usize> Timers<N> {
    fn new() -> Self {
        let (map, tasks) = (BTreeMap::new(), BTreeMap::new());
        // A stack that has room for it on its way into the box.
        let build = || Box::new(empty::<N>());
        let scheduler = std::thread::Builder::new().stack_size(32 << 20).spawn(build).unwrap().join().unwrap();
        Self { scheduler, map, tasks, planned: 0, named: 0, now: 1 << 40 }
    }

    fn plan(&mut self, delay: u64) {
        let due = self.now.saturating_add(delay);
        let plan = Plan::once(Duration::from_nanos(delay));
        let given = self.scheduler.schedule(self.named, plan, Instant::from_nanos(self.now));
        assert_eq!(given.is_ok(), self.tasks.len() < N);
        if let Ok(id) = given {
            self.map.insert((due, self.planned), self.named);
            self.tasks.insert(self.named, (id, (due, self.planned)));
            (self.planned, self.named) = (self.planned + 1, self.named + 1);
        }
        self.check();
    }

    fn plan_late(&mut self, late: u64) {
        let due = self.now.saturating_sub(late);
        let plan = Plan::once(Duration::ZERO);
        if let Ok(id) = self.scheduler.schedule_at(self.named, plan, Instant::from_nanos(due)) {
            self.map.insert((due, self.planned), self.named);
            self.tasks.insert(self.named, (id, (due, self.planned)));
            (self.planned, self.named) = (self.planned + 1, self.named + 1);
        }
        self.check();
    }

    fn any(&self, random: &mut Random) -> Option<u32> {
        let from = random.below(self.named.max(1) as usize) as u32;
        self.tasks.range(from..).next().or_else(|| self.tasks.first_key_value()).map(|(task, _)| *task)
    }

    fn cancel(&mut self, task: u32) {
        let (id, key) = self.tasks.remove(&task).unwrap();
        self.map.remove(&key);
        assert_eq!(self.scheduler.cancel(id), Ok(Some(task)));
        self.check();
    }

    fn cancel_first(&mut self) {
        if let Some((_, &task)) = self.map.first_key_value() {
            self.cancel(task);
        }
    }

    fn reschedule(&mut self, task: u32, delay: u64) {
        let due = self.now.saturating_add(delay);
        let (id, key) = self.tasks[&task];
        self.map.remove(&key);
        self.map.insert((due, self.planned), task);
        self.tasks.insert(task, (id, (due, self.planned)));
        self.planned += 1;
        let now = Instant::from_nanos(self.now);
        assert_eq!(self.scheduler.reschedule(id, Duration::from_nanos(delay), now), Ok(()));
        self.check();
    }

    /// Runs all that is due, each in its turn.
    fn run(&mut self) {
        let now = Instant::from_nanos(self.now);
        while let Some(entry) = self.map.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let ((due, _), task) = entry.remove_entry();
            self.tasks.remove(&task);
            let run = self.scheduler.poll(now).unwrap();
            assert_eq!((*run.task, run.due), (task, Instant::from_nanos(due)));
            let run = run.run;
            assert_eq!(self.scheduler.finish(run, Outcome::Done, now), Ok(Some(task)));
        }
        assert!(self.scheduler.poll(now).is_none());
        self.check();
    }

    fn run_next(&mut self) {
        if let Some(((due, _), _)) = self.map.first_key_value() {
            self.now = self.now.max(*due);
            self.run();
        }
    }

    fn check(&self) {
        let first = self.map.first_key_value().map(|((due, _), _)| Instant::from_nanos(*due));
        assert_eq!((self.scheduler.poll_at(), self.scheduler.len()), (first, self.tasks.len()));
    }

    fn run_out(&mut self) {
        while !self.map.is_empty() {
            self.run_next();
        }
    }
}

/// Everything, at moments of all sizes, with a clock that goes both ways.
fn mixed<const N: usize>(seed: u64, verbs: usize) {
    let (mut timers, mut random) = (Timers::<N>::new(), Random(seed));
    for verb in 0..verbs {
        let task = timers.any(&mut random);
        // It is filled and emptied in turns.
        let is_filling = (verb * 8 / verbs).is_multiple_of(2);
        match (random.below(16), task) {
            (0..=4, _) if is_filling => timers.plan(random.of_any_size()),
            (5..=6, _) if is_filling => timers.plan(random.next() % 60_000_000_000),
            (7, _) if is_filling => timers.plan(random.next() % 4 * 1_000_000),
            (0..=1, _) => timers.plan(random.of_any_size()),
            (2, _) => timers.plan_late(random.of_any_size() >> 20),
            (3..=9, Some(task)) => timers.cancel(task),
            (10, _) => timers.cancel_first(),
            (11..=12, Some(task)) => timers.reschedule(task, random.of_any_size()),
            (13, _) => timers.run_next(),
            (14, _) => {
                timers.now = timers.now.saturating_add(random.of_any_size() >> 24);
                timers.run();
            }
            _ => timers.now = timers.now.saturating_sub(random.of_any_size() >> 30),
        }
    }
    timers.run_out();
}

#[test]
fn moments_of_all_sizes_come_in_their_order_and_poll_at_is_exact() {
    mixed::<64>(1, 4_000);
    mixed::<1_023>(2, 20_000);
    mixed::<1_024>(3, 30_000);
    mixed::<4_096>(4, 40_000);
    mixed::<8_192>(5, 60_000);
}

/// Fills it with what `delay` says, and takes all out by running it or by cancelling what is next.
fn filled<const N: usize>(mut delay: impl FnMut(u64) -> u64) {
    for cancels in [false, true] {
        let mut timers = Timers::<N>::new();
        for n in 0..=N as u64 {
            timers.plan(delay(n));
        }
        while !timers.map.is_empty() {
            if cancels { timers.cancel_first() } else { timers.run_next() }
        }
    }
}

#[test]
fn however_the_moments_lie_none_is_lost_and_none_is_early() {
    // All at once: first planned, first run. All nearer to each other than the finest bucket. Backwards, near and far.
    filled::<1_024>(|_| 7);
    filled::<8_192>(|_| 7_000_000_000);
    filled::<1_024>(|n| 5_000_000 + n * 7_919 % 60_000);
    filled::<1_024>(|n| (2_000 - n) * 1_000);
    filled::<8_192>(|n| (10_000 - n) * 1_000_000);
    filled::<8_192>(|n| (10_000 - n) * 1_000_000_000);
    filled::<1_024>(|n| u64::MAX - n);
    filled::<1_024>(|n| u64::MAX >> (n % 64));
    // Where a bucket ends and the next begins.
    filled::<1_024>(|n| ((n / 3) << 22) + n % 3 - n.min(1));
    let mut random = Random(6);
    filled::<4_096>(|_| 1_000_000_000 + random.next() % 60_000_000_000);
}

#[test]
fn many_that_idle_and_some_that_come_and_go_are_all_in_their_order() {
    let (mut timers, mut random) = (Timers::<8_192>::new(), Random(9));
    for n in 0..6_000 {
        timers.plan(60_000_000_000 + n * 7_919 % 1_000_000_000);
    }
    // What is soonest comes after the others again and again: the wheel begins anew with it, or the heap has it.
    for round in 0..6 {
        let burst = if round % 2 == 0 { 2_000 } else { 150 };
        for _ in 0..burst {
            timers.plan(random.next() % 1_000_000_000);
        }
        for _ in 0..burst / 2 {
            timers.cancel_first();
        }
        timers.now += 1_000_000_000;
        timers.run();
        assert_eq!(timers.map.len(), 6_000);
        // Who has idled longest begins to idle again.
        for _ in 0..300 {
            let task = *timers.map.first_key_value().unwrap().1;
            timers.reschedule(task, 60_000_000_000);
        }
    }
    timers.run_out();
}

#[test]
fn at_the_edge_between_the_heap_and_the_wheel_nothing_is_lost() {
    let (mut timers, mut random) = (Timers::<1_024>::new(), Random(11));
    for n in 0..100 {
        timers.plan(3_600_000_000_000 + n);
    }
    // So near that the heap has them all, until it has the wheel's room too, and gives it back.
    for _ in 0..700 {
        timers.plan(random.next() % 50_000);
    }
    for _ in 0..20 {
        for _ in 0..350 {
            timers.cancel_first();
        }
        for _ in 0..350 {
            timers.plan(random.next() % 50_000);
        }
    }
    timers.run_out();
}

#[test]
fn of_a_hundred_thousand_that_are_planned_and_cancelled_nothing_is_kept() {
    let mut timers: Timers<1_024> = Timers::new();
    for n in 0..100_000_u64 {
        let id = timers.scheduler.schedule(1, Plan::once(Duration::from_nanos(n * n)), Instant::ZERO).unwrap();
        assert_eq!(timers.scheduler.cancel(id), Ok(Some(1)));
    }
    assert_eq!((timers.scheduler.poll_at(), timers.scheduler.snapshot().high_water), (None, 1));
}
