//! Models of the pool: every interleaving of its threads, up to a few preemptions, by `loom`.
//!
//! The pool is the real one; only its locks, atomics and threads are `loom`'s. A wake that is lost, or a handle that is
//! never resolved, is a deadlock here, which `loom` reports. Run with
//! `RUSTFLAGS="--cfg daur_loom" cargo test -p daur-std --no-default-features --lib loom`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use daur_core::performance::queue::Priority;
use daur_core::time::Duration;
use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::task::{Job, Outcome, Tally, Task};
use super::{Config, Handle, JoinError, Report, Shutdown, ThreadPool, Why};

const ONE: Config = Config { workers: 1, queue: 4, timed_one_in: 0, ..Config::DEFAULT };
const FOREVER: Duration = Duration::MAX;

/// All interleavings with at most so many preemptions: more of them would take hours, and faults rarely need more.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Counts how often something happens. Not one of loom's atomics: it has no part in the model.
fn counter() -> (Arc<AtomicU32>, impl Fn() -> u32) {
    let count = Arc::new(AtomicU32::new(0));
    let read = count.clone();
    (count, move || read.load(Ordering::SeqCst))
}

fn bump(count: &Arc<AtomicU32>) -> impl FnOnce() + Send + 'static {
    let count = count.clone();
    move || _ = count.fetch_add(1, Ordering::SeqCst)
}

fn adds_up(report: Report, submitted: u64) {
    assert_eq!(report.ran + report.cancelled + report.dropped + report.still_running, submitted, "{report:?}");
}

#[test]
fn no_wake_is_lost_when_a_worker_falls_asleep() {
    explore(3, || {
        let pool = ThreadPool::new(ONE);
        let (count, read) = counter();
        for ran in 1..3 {
            pool.submit(bump(&count)).unwrap().join().unwrap();
            assert_eq!(read(), ran);
        }
    });
}

#[test]
fn two_jobs_that_meet_get_two_workers() {
    explore(2, || {
        let pool = ThreadPool::new(Config { workers: 2, ..ONE });
        let meeting = Arc::new((Mutex::new(0), Condvar::new()));
        let meet = |meeting: &Arc<(Mutex<u32>, Condvar)>| {
            let meeting = meeting.clone();
            move || {
                let mut here = meeting.0.lock().unwrap();
                *here += 1;
                meeting.1.notify_all();
                while *here < 2 {
                    here = meeting.1.wait(here).unwrap();
                }
            }
        };
        // Joined before the pool is dropped, which wakes everybody.
        for handle in [meet(&meeting), meet(&meeting)].map(|job| pool.submit(job).unwrap()) {
            handle.join().unwrap();
        }
    });
}

#[test]
fn a_job_that_races_with_a_draining_shutdown_runs_or_is_given_back() {
    explore(2, || {
        let pool = Arc::new(ThreadPool::new(ONE));
        let (count, read) = counter();
        let other = pool.clone();
        let job = bump(&count);
        let thread = thread::spawn(move || match other.submit(job) {
            Ok(handle) => {
                handle.join().unwrap();
                1
            }
            Err(rejected) => {
                assert_eq!(rejected.why, Why::ShutDown);
                0
            }
        });
        let report = pool.shutdown(Shutdown::Drain, FOREVER);
        let submitted = thread.join().unwrap();
        assert_eq!((report.ran, report.dropped, report.still_running), (submitted, 0, 0));
        assert_eq!(u64::from(read()), submitted);
    });
}

#[test]
fn a_job_that_races_with_a_dropping_shutdown_runs_or_is_told_or_is_given_back() {
    explore(2, || {
        let pool = Arc::new(ThreadPool::new(ONE));
        let (count, read) = counter();
        let other = pool.clone();
        let jobs = [bump(&count), bump(&count)];
        let thread = thread::spawn(move || {
            let (mut ran, mut dropped) = (0, 0);
            let handles = jobs.map(|job| other.submit(job));
            for handle in handles.into_iter().flatten() {
                match handle.join() {
                    Ok(()) => ran += 1,
                    Err(JoinError::Dropped) => dropped += 1,
                    Err(other) => panic!("{other:?}"),
                }
            }
            (ran, dropped)
        });
        let report = pool.shutdown(Shutdown::Drop, FOREVER);
        let (ran, dropped) = thread.join().unwrap();
        assert_eq!((report.ran, report.dropped, report.still_running), (ran, dropped, 0));
        assert_eq!(u64::from(read()), ran);
    });
}

#[test]
fn a_full_queue_lets_every_submitter_in_at_last() {
    explore(2, || {
        let pool = Arc::new(ThreadPool::new(Config { queue: 1, ..ONE }));
        let (count, read) = counter();
        let other = pool.clone();
        let jobs = [bump(&count), bump(&count)];
        let thread = thread::spawn(move || jobs.map(|job| other.submit(job).unwrap()).map(Handle::join));
        pool.execute(bump(&count)).unwrap();
        pool.execute(bump(&count)).unwrap();
        assert!(thread.join().unwrap().iter().all(Result::is_ok));
        assert_eq!(pool.shutdown(Shutdown::Drain, FOREVER).ran, 4);
        assert_eq!(read(), 4);
    });
}

#[test]
fn whoever_waits_for_room_gets_it_by_a_cancellation_too() {
    explore(2, || {
        let pool = Arc::new(ThreadPool::new(Config { queue: 1, ..ONE }));
        // The worker is busy until the submitter has got in.
        let busy = Arc::new((Mutex::new(true), Condvar::new()));
        let until = busy.clone();
        pool.execute(move || {
            let mut busy = until.0.lock().unwrap();
            while *busy {
                busy = until.1.wait(busy).unwrap();
            }
        })
        .unwrap();
        let waits = pool.submit(|| ()).unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let handle = other.submit(|| 7).unwrap();
            *busy.0.lock().unwrap() = false;
            busy.1.notify_all();
            handle.join().unwrap()
        });
        assert!(waits.cancel(), "the worker is busy");
        assert!(matches!(waits.join(), Err(JoinError::Cancelled)));
        assert_eq!(thread.join().unwrap(), 7);
        adds_up(pool.shutdown(Shutdown::Drain, FOREVER), 3);
    });
}

#[test]
fn a_pool_that_shrinks_loses_no_job() {
    explore(2, || {
        let pool = ThreadPool::new(Config { workers: 2, ..ONE });
        let (count, read) = counter();
        pool.execute(bump(&count)).unwrap();
        pool.resize(1).unwrap();
        pool.submit(bump(&count)).unwrap().join().unwrap();
        drop(pool);
        assert_eq!(read(), 2);
    });
}

#[test]
fn a_job_that_drops_its_own_pool_does_not_wait_for_itself() {
    explore(3, || {
        let pool = Arc::new(ThreadPool::new(ONE));
        let (count, _) = counter();
        let own = pool.clone();
        let handle = pool.submit(move || drop(own)).unwrap();
        let after = pool.submit(bump(&count)).unwrap();
        drop(pool);
        handle.join().unwrap();
        after.join().unwrap();
    });
}

#[test]
fn a_job_that_waits_for_a_job_runs_it_or_waits_for_who_does() {
    explore(2, || {
        let pool = Arc::new(ThreadPool::new(ONE));
        let own = pool.clone();
        let outer = pool.submit(move || own.submit(|| 7).unwrap().join().unwrap()).unwrap();
        assert_eq!(outer.join().unwrap(), 7);
        adds_up(pool.shutdown(Shutdown::Drain, FOREVER), 2);
    });
}

/// One job without a pool: its end meets what a handle does. Few enough steps for all interleavings.
mod handle {
    use super::*;

    type Shared = Arc<Task<Box<dyn FnOnce() -> u32 + Send>, u32>>;

    fn task() -> (Shared, impl Fn() -> u32) {
        let (count, read) = counter();
        let job = bump(&count);
        let job: Box<dyn FnOnce() -> u32 + Send> = Box::new(|| {
            job();
            7
        });
        (Arc::new(Task::new(job)), read)
    }

    fn worker(task: &Shared) -> thread::JoinHandle<bool> {
        let task = task.clone();
        thread::spawn(move || task.run(&Tally::default(), None))
    }

    #[test]
    fn a_join_meets_the_end() {
        loom::model(|| {
            let (task, _) = task();
            let worker = worker(&task);
            assert_eq!(task.wait(None).unwrap().unwrap(), 7);
            assert!(worker.join().unwrap());
        });
    }

    #[test]
    fn a_cancellation_meets_the_beginning() {
        loom::model(|| {
            let (task, ran) = task();
            let worker = worker(&task);
            let cancelled = task.refuse(JoinError::Cancelled, &|| ());
            let result = task.wait(None).unwrap();
            assert_eq!(worker.join().unwrap(), !cancelled);
            assert_eq!(ran(), u32::from(!cancelled), "it ran, or was cancelled");
            assert!(if cancelled { matches!(result, Err(JoinError::Cancelled)) } else { matches!(result, Ok(7)) });
        });
    }

    #[test]
    fn a_callback_is_called_once() {
        loom::model(|| {
            let (task, _) = task();
            let worker = worker(&task);
            let (called, read) = counter();
            let call = bump(&called);
            task.on_done(Box::new(move |result| {
                assert!(matches!(result, Ok(7)));
                call();
            }));
            worker.join().unwrap();
            assert_eq!(read(), 1);
        });
    }

    #[test]
    fn a_handle_that_is_dropped_changes_nothing() {
        loom::model(|| {
            let (task, ran) = task();
            let worker = worker(&task);
            drop(task);
            assert!(worker.join().unwrap());
            assert_eq!(ran(), 1);
        });
    }

    #[test]
    fn two_who_run_it_run_it_once() {
        loom::model(|| {
            let (task, ran) = task();
            let worker = worker(&task);
            let here = task.clone().run(&Tally::default(), None);
            assert_eq!(task.wait(None).unwrap().unwrap(), 7);
            assert!(here != worker.join().unwrap());
            assert_eq!(ran(), 1);
        });
    }

    /// Counts the wakes in a lock of loom's, so that whoever waits for one is in the model.
    struct Woken(Mutex<bool>, Condvar);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = true;
            self.1.notify_all();
        }
    }

    #[test]
    fn an_await_is_woken() {
        loom::model(|| {
            let (task, _) = task();
            let worker = worker(&task);
            let woken = Arc::new(Woken(Mutex::new(false), Condvar::new()));
            let waker = Waker::from(woken.clone());
            let result = loop {
                match task.poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(result) => break result,
                    Poll::Pending => {
                        let mut seen = woken.0.lock().unwrap();
                        while !*seen {
                            seen = woken.1.wait(seen).unwrap();
                        }
                        *seen = false;
                    }
                }
            };
            assert!(matches!(result, Ok(7)));
            worker.join().unwrap();
        });
    }
}

#[test]
fn a_callback_is_called_though_its_handle_is_gone() {
    explore(3, || {
        let pool = ThreadPool::new(ONE);
        let (called, read) = counter();
        let call = bump(&called);
        pool.submit(|| 7).unwrap().on_done(|result| {
            assert!(matches!(result, Ok(7)));
            call();
        });
        drop(pool);
        assert_eq!(read(), 1);
    });
}

#[test]
fn an_urgent_job_and_a_plain_one_are_both_run() {
    explore(2, || {
        let pool = ThreadPool::new(ONE);
        let plain = pool.submit_with(Priority::Low, || 1).unwrap();
        let urgent = pool.submit_with(Priority::High, || 2).unwrap();
        assert_eq!((plain.join().unwrap(), urgent.join().unwrap()), (1, 2));
    });
}
