//! The thread pool beside `rayon`, a pool on a `crossbeam` channel and tokio's blocking threads: two workers each, empty jobs.
//!
//! The pools of a comparison are all there at once; those whose turn it is not sleep.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, Thread};

use daur_std::performance::pool::{Config, ThreadPool};

use crate::harness::{Options, compare, subject};

const CONFIG: Config = Config { workers: 2, ..Config::DEFAULT };
const TRIPS: u32 = 500;
const JOBS: u32 = 10_000;

pub(crate) fn run(options: &Options) {
    round_trip(options, "pool: round trip of one job, submitted and joined");
    flood(options, "pool: a job of a flood of 10,000, nobody waits for one");
    handles(options, "pool: a job of a flood of 10,000, each is waited for");
}

fn rayon_pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads")
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).build().expect("a runtime")
}

/// The simplest pool: threads that share the receiving end of a bounded channel.
fn channel_pool() -> crossbeam_channel::Sender<Box<dyn FnOnce() + Send>> {
    let (submit, jobs) = crossbeam_channel::bounded::<Box<dyn FnOnce() + Send>>(CONFIG.queue);
    for _ in 0..CONFIG.workers {
        let jobs = jobs.clone();
        thread::spawn(move || jobs.into_iter().for_each(|job| job()));
    }
    submit
}

fn round_trip(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let pool = ThreadPool::new(CONFIG);
    let (install, spawn) = (rayon_pool(), rayon_pool());
    let submit = channel_pool();
    let runtime = tokio_runtime();
    let subjects = vec![
        subject("daur submit, join", TRIPS, move || {
            for _ in 0..TRIPS {
                pool.submit(|| ()).expect("open").join().expect("done");
            }
        }),
        subject("rayon install", TRIPS, move || {
            for _ in 0..TRIPS {
                install.install(|| ());
            }
        })
        .target(0.9),
        subject("rayon spawn, std channel", TRIPS, move || {
            for _ in 0..TRIPS {
                let (done, wait) = channel();
                spawn.spawn(move || done.send(()).expect("waited for"));
                wait.recv().expect("done");
            }
        })
        .target(0.9),
        subject("threads on a crossbeam channel, std channel", TRIPS, move || {
            for _ in 0..TRIPS {
                let (done, wait) = channel();
                submit.send(Box::new(move || done.send(()).expect("waited for"))).expect("open");
                wait.recv().expect("done");
            }
        }),
        subject("tokio spawn_blocking, block_on", TRIPS, move || {
            for _ in 0..TRIPS {
                runtime.block_on(runtime.spawn_blocking(|| ())).expect("done");
            }
        }),
    ];
    compare(options, title, subjects);
}

/// Jobs that are as good as empty, the last of which wakes who waits for it.
struct Flood {
    left: AtomicU32,
    waits: Thread,
}

impl Flood {
    fn job(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waits.unpark();
        }
    }

    /// Submits all, and waits for them. They count at one place that is never freed, so that no job has to count who needs it.
    fn of(mut submit: impl FnMut(&'static Self)) -> impl FnMut() {
        let flood: &'static Self = Box::leak(Box::new(Self { left: AtomicU32::new(0), waits: thread::current() }));
        move || {
            flood.left.store(JOBS, Ordering::Release);
            (0..JOBS).for_each(|_| submit(flood));
            while flood.left.load(Ordering::Acquire) > 0 {
                thread::park();
            }
        }
    }
}

fn flood(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let pool = ThreadPool::new(CONFIG);
    let spawn = rayon_pool();
    let submit = channel_pool();
    let runtime = tokio_runtime();
    let subjects = vec![
        subject("daur execute", JOBS, Flood::of(move |flood| pool.execute(|| flood.job()).expect("open"))),
        subject("rayon spawn", JOBS, Flood::of(move |flood| spawn.spawn(|| flood.job()))).target(0.25),
        subject(
            "threads on a crossbeam channel",
            JOBS,
            Flood::of(move |flood| submit.send(Box::new(|| flood.job())).expect("open")),
        ),
        subject("tokio spawn_blocking", JOBS, Flood::of(move |flood| drop(runtime.spawn_blocking(|| flood.job())))),
    ];
    compare(options, title, subjects);
}

fn handles(options: &Options, title: &str) {
    if !options.wants(title) {
        return;
    }
    let pool = ThreadPool::new(CONFIG);
    let spawn = rayon_pool();
    let submit = channel_pool();
    let runtime = tokio_runtime();
    let subjects = vec![
        subject("daur submit, join", JOBS, move || {
            let handles: Vec<_> = (0..JOBS).map(|n| pool.submit(move || n).expect("open")).collect();
            handles.into_iter().for_each(|handle| _ = handle.join().expect("done"));
        }),
        subject("rayon spawn, std channel", JOBS, move || {
            let waits: Vec<_> = (0..JOBS)
                .map(|n| {
                    let (done, wait) = channel();
                    spawn.spawn(move || done.send(n).expect("waited for"));
                    wait
                })
                .collect();
            waits.into_iter().for_each(|wait| _ = wait.recv().expect("done"));
        })
        .target(0.25),
        subject("threads on a crossbeam channel, std channel", JOBS, move || {
            let waits: Vec<_> = (0..JOBS)
                .map(|n| {
                    let (done, wait) = channel();
                    submit.send(Box::new(move || done.send(n).expect("waited for"))).expect("open");
                    wait
                })
                .collect();
            waits.into_iter().for_each(|wait| _ = wait.recv().expect("done"));
        }),
        subject("tokio spawn_blocking, block_on", JOBS, move || {
            let handles: Vec<_> = (0..JOBS).map(|n| runtime.spawn_blocking(move || n)).collect();
            runtime.block_on(async {
                for handle in handles {
                    handle.await.expect("done");
                }
            });
        }),
    ];
    compare(options, title, subjects);
}
