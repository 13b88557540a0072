//! Timers beside `tokio-util`'s `DelayQueue`, which rounds them to milliseconds: ours are exact.

use std::future::poll_fn;
use std::hint::black_box;
use std::thread;
use std::time::Duration as StdDuration;

use daur_core::services::scheduler::{Config, Id, Outcome, Plan, Scheduler};
use daur_core::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use crate::harness::{Options, Subject, compare, subject};

const OPERATIONS: u32 = 16_384;

pub(crate) fn run(options: &Options) {
    replaced::<1_024>(options, "scheduler: cancel and replace, 1,024 timers", 0.25);
    repeated::<1_024>(options, "scheduler: pop and reschedule, 1,024 timers", 0.25);
    replaced::<65_536>(options, "scheduler: cancel and replace, 65,536 timers", 0.2);
    repeated::<65_536>(options, "scheduler: pop and reschedule, 65,536 timers", 0.2);
}

fn replaced<const N: usize>(options: &Options, title: &'static str, target: f64) {
    if options.wants(title) {
        compare(options, title, vec![replace::<N>(), replace_peer(N).target(target)]);
    }
}

fn repeated<const N: usize>(options: &Options, title: &'static str, target: f64) {
    if options.wants(title) {
        compare(options, title, vec![repeat::<N>(), repeat_peer(N).target(target)]);
    }
}

/// Xorshift: the same timers on both sides.
struct Random(u64);

impl Random {
    const SEED: Self = Self(0x9E37_79B9_7F4A_7C15);

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % end
    }

    fn millis(&mut self) -> u64 {
        1_000 + self.below(60_000) as u64
    }
}

/// Built where the stack has room for it on its way into the box.
fn scheduler<const N: usize>() -> Box<Scheduler<u32, N>> {
    let build = || Box::new(Scheduler::new(Config::DEFAULT));
    thread::Builder::new().stack_size(64 << 20).spawn(build).expect("a thread").join().expect("built")
}

fn replace<const N: usize>() -> Subject {
    let (mut timers, mut random, now) = (scheduler::<N>(), Random::SEED, Instant::from_secs(1));
    let plan = |random: &mut Random| Plan::once(Duration::from_millis(random.millis()));
    let fill = (0..N as u32).map(|n| timers.schedule(n, plan(&mut random), now).expect("there is room"));
    let mut ids: Vec<Id> = fill.collect();
    subject("daur Scheduler", OPERATIONS, move || {
        for _ in 0..OPERATIONS {
            let n = random.below(N);
            black_box(timers.cancel(ids[n]).expect("it waits"));
            ids[n] = timers.schedule(n as u32, plan(&mut random), now).expect("there is room");
        }
    })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

fn replace_peer(len: usize) -> Subject {
    let (runtime, mut random) = (runtime(), Random::SEED);
    let delay = |random: &mut Random| StdDuration::from_millis(random.millis());
    let (mut queue, mut keys) = runtime.block_on(async {
        let mut queue: DelayQueue<u32> = DelayQueue::with_capacity(len);
        let keys: Vec<Key> = (0..len as u32).map(|n| queue.insert(n, delay(&mut random))).collect();
        (queue, keys)
    });
    subject("tokio-util DelayQueue", OPERATIONS, move || {
        runtime.block_on(async {
            for _ in 0..OPERATIONS {
                let n = random.below(len);
                black_box(queue.remove(&keys[n]));
                keys[n] = queue.insert(n as u32, delay(&mut random));
            }
        });
    })
}

/// Each of so many timers has a millisecond of its own, and comes again when all have come.
fn phases(len: usize) -> Vec<u64> {
    let mut random = Random::SEED;
    let mut phases: Vec<u64> = (1..=len as u64).collect();
    for n in (1..len).rev() {
        phases.swap(n, random.below(n + 1));
    }
    phases
}

fn repeat<const N: usize>() -> Subject {
    let mut timers = scheduler::<N>();
    let every = Plan::every(Duration::from_millis(N as u64));
    for (n, phase) in (0..).zip(phases(N)) {
        let plan = Plan { delay: Duration::from_millis(phase), ..every };
        timers.schedule(n, plan, Instant::ZERO).expect("there is room");
    }
    subject("daur Scheduler", OPERATIONS, move || {
        for _ in 0..OPERATIONS {
            let now = timers.poll_at().expect("one is planned");
            let due = timers.poll(now).expect("it is due");
            black_box(due.task);
            let run = due.run;
            black_box(timers.finish(run, Outcome::Done, now).expect("it is under way"));
        }
    })
}

fn repeat_peer(len: usize) -> Subject {
    let runtime = runtime();
    let period = StdDuration::from_millis(len as u64);
    let mut queue = runtime.block_on(async {
        let mut queue: DelayQueue<u32> = DelayQueue::with_capacity(len);
        for (n, phase) in (0..).zip(phases(len)) {
            queue.insert(n, StdDuration::from_millis(phase));
        }
        queue
    });
    subject("tokio-util DelayQueue", OPERATIONS, move || {
        runtime.block_on(async {
            for _ in 0..OPERATIONS {
                // Its clock is paused and goes on by itself when nothing is ready: nobody waits.
                let expired = poll_fn(|cx| queue.poll_expired(cx).map(|expired| expired.expect("not empty"))).await;
                queue.insert(black_box(expired.into_inner()), period);
            }
        });
    })
}
