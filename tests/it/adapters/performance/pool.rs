//! The thread pool: its rules, and what others' pools get wrong. No test sleeps: threads meet at gates.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use daur_core::performance::queue::Priority;
use daur_std::error::Error;
use daur_std::performance::pool::{
    Config, Handle, JoinError, Rejected, Report, Shutdown, Snapshot, ThreadPool, Why, init, thread_pool,
};

const ONE: Config = Config { workers: 1, queue: 4, timed_one_in: 1, ..Config::DEFAULT };
const LONG: Duration = Duration::from_secs(600);

/// Holds a worker until it is opened, or dropped.
struct Gate {
    open: Option<Sender<()>>,
}

impl Gate {
    /// A gate that a worker stands at.
    fn closed(pool: &ThreadPool) -> (Self, Handle<()>) {
        let (open, opened): (_, Receiver<()>) = channel();
        let (here, arrived) = channel();
        let handle = pool.submit(move || {
            here.send(()).unwrap();
            let _ = opened.recv();
        });
        arrived.recv().unwrap();
        (Self { open: Some(open) }, handle.unwrap())
    }

    fn open(&mut self) {
        self.open = None;
    }
}

/// Counts how often it is dropped.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicU32>);

struct Dropped(Drops);

impl Drops {
    fn one(&self) -> Dropped {
        Dropped(self.clone())
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Second);
    }
}

/// Panics when it is dropped, too: what a [`Bomb`] panics with.
struct Second;

impl Drop for Second {
    fn drop(&mut self) {
        assert!(thread::panicking(), "dropped in peace");
    }
}

fn all(report: Report) -> u64 {
    report.ran + report.cancelled + report.dropped + report.still_running
}

/// Gives way until it is so: for what another thread is about to do by itself.
fn soon(so: impl Fn() -> bool) {
    for _ in 0..50_000_000_u64 {
        if so() {
            return;
        }
        thread::yield_now();
    }
    panic!("it never came to be");
}

mod rules {
    use super::*;

    #[test]
    fn rule_1_each_of_100_000_jobs_of_8_threads_runs_once() {
        const EACH: usize = 12_500;
        let pool = ThreadPool::new(Config { workers: 3, queue: 64, ..Config::DEFAULT });
        let ran: Arc<Vec<AtomicU8>> = Arc::new((0..8 * EACH).map(|_| AtomicU8::new(0)).collect());
        thread::scope(|scope| {
            for submitter in 0..8 {
                let (pool, ran) = (&pool, &ran);
                scope.spawn(move || {
                    let mut handles = Vec::new();
                    for n in submitter * EACH..(submitter + 1) * EACH {
                        let ran = ran.clone();
                        let job = move || _ = ran[n].fetch_add(1, Ordering::Relaxed);
                        match n % 4 {
                            0 => pool.execute(job).unwrap(),
                            1 => pool.submit(job).unwrap().detach(),
                            2 => handles.push(pool.submit_with(Priority::High, job).unwrap()),
                            _ => {
                                let mut job = job;
                                while let Err(rejected) = pool.try_execute(job) {
                                    assert_eq!(rejected.why, Why::Full);
                                    job = rejected.job;
                                    thread::yield_now();
                                }
                            }
                        }
                    }
                    for handle in handles {
                        handle.join().unwrap();
                    }
                });
            }
        });
        let report = pool.shutdown(Shutdown::Drain, LONG);
        assert_eq!(report, Report { ran: 8 * EACH as u64, ..Report::default() });
        assert!(ran.iter().all(|ran| ran.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn rule_2_a_full_queue_gives_the_job_back() {
        let pool = ThreadPool::new(Config { queue: 2, ..ONE });
        let (mut gate, _) = Gate::closed(&pool);
        let waiting = [pool.try_submit(|| 1).unwrap(), pool.submit(|| 2).unwrap()];
        let drops = Drops::default();
        let held = drops.one();
        let Rejected { job, why } = pool.try_submit(move || drop(held)).unwrap_err();
        assert_eq!((why, drops.count()), (Why::Full, 0));
        let Rejected { job, why } = pool.try_execute(job).unwrap_err();
        assert_eq!((why, drops.count()), (Why::Full, 0));
        job();
        assert_eq!(drops.count(), 1);
        let shown = pool.snapshot();
        assert_eq!((shown.running, shown.queued, shown.rejected, shown.submitted), (1, 2, 2, 3));
        gate.open();
        assert_eq!(waiting.map(|handle| handle.join().unwrap()), [1, 2]);
    }

    #[test]
    fn rule_2_submit_waits_for_room() {
        let pool = ThreadPool::new(Config { queue: 1, ..ONE });
        let (mut gate, _) = Gate::closed(&pool);
        pool.execute(|| ()).unwrap();
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..4)
                .map(|n| {
                    (
                        n,
                        scope.spawn({
                            let pool = &pool;
                            move || pool.submit(move || n).unwrap().join().unwrap()
                        }),
                    )
                })
                .collect();
            gate.open();
            for (n, thread) in waiting {
                assert_eq!(thread.join().unwrap(), n);
            }
        });
        assert_eq!(pool.shutdown(Shutdown::Drain, LONG).ran, 6);
    }

    #[test]
    fn rule_2_whoever_waits_for_room_is_given_the_job_back_by_a_shutdown() {
        let pool = ThreadPool::new(Config { queue: 1, ..ONE });
        let (gate, _) = Gate::closed(&pool);
        pool.execute(|| ()).unwrap();
        thread::scope(|scope| {
            let waits = scope.spawn(|| pool.submit(|| 7).unwrap_err());
            let report = pool.shutdown(Shutdown::Drop, Duration::ZERO);
            assert_eq!((report.dropped, report.still_running), (1, 1));
            let rejected = waits.join().unwrap();
            assert_eq!((rejected.why, (rejected.job)()), (Why::ShutDown, 7));
        });
        drop(gate);
    }

    #[test]
    fn rule_2_on_a_worker_of_its_own_a_full_pool_runs_the_job_at_once() {
        let pool = Arc::new(ThreadPool::new(Config { queue: 1, ..ONE }));
        let own = pool.clone();
        let outer = pool.submit(move || {
            let me = thread::current().id();
            own.execute(|| ()).unwrap();
            let handles: Vec<_> = (0..10).map(|n| own.submit(move || (n, thread::current().id())).unwrap()).collect();
            assert!(handles.iter().all(Handle::is_finished));
            assert_eq!(own.try_submit(|| ()).unwrap_err().why, Why::Full);
            handles.into_iter().all(|handle| handle.join().unwrap().1 == me)
        });
        assert!(outer.unwrap().join().unwrap());
        assert_eq!(pool.shutdown(Shutdown::Drain, LONG).ran, 12);
    }

    #[test]
    fn rule_3_a_panic_fails_its_own_handle_and_the_worker_lives() {
        let pool = ThreadPool::new(ONE);
        let worker = pool.submit(|| thread::current().id()).unwrap().join().unwrap();
        let text = pool.submit(|| panic!("the {}", "text")).unwrap();
        let value = pool.submit(|| std::panic::panic_any(7_u32)).unwrap();
        let after = pool.submit(|| thread::current().id()).unwrap();
        let error = text.join().unwrap_err();
        assert_eq!(error.to_string(), "the job panicked: the text");
        assert_eq!(error.into_panic().unwrap().message(), Some("the text"));
        let payload = value.join().unwrap_err().into_panic().unwrap().into_payload();
        assert_eq!(payload.downcast_ref(), Some(&7_u32));
        assert_eq!(after.join().unwrap(), worker);
        let shown = pool.snapshot();
        assert_eq!((shown.done, shown.panicked, shown.workers), (2, 2, 1));
    }

    #[test]
    fn rule_3_whatever_a_job_leaves_behind_the_worker_lives() {
        let pool = ThreadPool::new(ONE);
        let (mut gate, _) = Gate::closed(&pool);
        // Nobody wants to know: the worker has to drop what comes.
        pool.submit(|| std::panic::panic_any(Bomb)).unwrap().detach();
        pool.submit(|| Bomb).unwrap().detach();
        pool.execute(|| std::panic::panic_any(Bomb)).unwrap();
        gate.open();
        assert_eq!(pool.submit(|| 7).unwrap().join().unwrap(), 7);
        // What is cancelled or dropped before it began is dropped by who does that, and harms them as little.
        let (_gate, _) = Gate::closed(&pool);
        let bomb = Bomb;
        assert!(pool.submit(move || drop(bomb)).unwrap().cancel());
        let bomb = Bomb;
        pool.execute(move || drop(bomb)).unwrap();
        let bomb = Bomb;
        let last = pool.submit(move || drop(bomb)).unwrap();
        let report = pool.shutdown(Shutdown::Drop, Duration::ZERO);
        assert!(matches!(last.join(), Err(JoinError::Dropped)));
        assert_eq!(report, Report { ran: 5, cancelled: 1, dropped: 2, still_running: 1 });
    }

    #[test]
    fn rule_4_jobs_begin_by_priority_and_in_turn() {
        let pool = ThreadPool::new(Config { queue: 16, max_passed: 3, ..ONE });
        let (mut gate, _) = Gate::closed(&pool);
        let begun = Arc::new(Mutex::new(String::new()));
        for (name, priority) in [
            ('a', Priority::Low),
            ('b', Priority::Normal),
            ('c', Priority::High),
            ('d', Priority::Normal),
            ('e', Priority::High),
            ('f', Priority::Low),
            ('g', Priority::High),
            ('h', Priority::High),
        ] {
            let begun = begun.clone();
            pool.submit_with(priority, move || begun.lock().unwrap().push(name)).unwrap().detach();
        }
        gate.open();
        pool.shutdown(Shutdown::Drain, LONG);
        // After three in a row ahead of `a`, that one.
        assert_eq!(*begun.lock().unwrap(), "cegahbdf");
    }

    #[test]
    fn rule_4_an_urgent_job_that_comes_later_is_seen() {
        let pool = ThreadPool::new(Config { queue: 16, ..ONE });
        let (mut gate, _) = Gate::closed(&pool);
        let begun = Arc::new(Mutex::new(Vec::new()));
        let note = |n: u32| {
            let begun = begun.clone();
            move || begun.lock().unwrap().push(n)
        };
        let (mut second, _) = {
            // A second gate between plain jobs: the worker has taken over all of them when the urgent one comes.
            let (open, opened): (Sender<()>, Receiver<()>) = channel();
            pool.execute(move || _ = opened.recv()).unwrap();
            (Gate { open: Some(open) }, ())
        };
        for n in [1, 2, 3] {
            pool.execute(note(n)).unwrap();
        }
        gate.open();
        soon(|| pool.snapshot().queued == 3);
        pool.submit_with(Priority::High, note(0)).unwrap().detach();
        second.open();
        pool.shutdown(Shutdown::Drain, LONG);
        assert_eq!(*begun.lock().unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn rule_5_a_shutdown_that_runs_out_of_time_says_what_it_dropped() {
        let pool = ThreadPool::new(Config { workers: 2, queue: 16, ..ONE });
        let (mut first, running) = Gate::closed(&pool);
        let (mut second, _) = Gate::closed(&pool);
        let drops = Drops::default();
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                pool.submit({
                    let held = drops.one();
                    move || drop(held)
                })
                .unwrap()
            })
            .collect();
        assert!(waiting[0].cancel());
        let report = pool.shutdown(Shutdown::Drain, Duration::ZERO);
        assert_eq!(report, Report { ran: 0, cancelled: 1, dropped: 4, still_running: 2 });
        assert_eq!((drops.count(), pool.snapshot().queued, pool.snapshot().running), (5, 0, 2));
        for (n, handle) in waiting.into_iter().enumerate() {
            let error = handle.try_join().unwrap().unwrap_err();
            assert!(if n == 0 { matches!(error, JoinError::Cancelled) } else { matches!(error, JoinError::Dropped) });
        }
        let job: fn() -> u32 = || 1;
        for rejected in [pool.submit(job).unwrap_err(), pool.try_submit(job).unwrap_err()] {
            assert_eq!((rejected.why, (rejected.job)()), (Why::ShutDown, 1));
        }
        assert!(pool.is_shut_down());
        assert!(running.try_join().is_err(), "still running");
        first.open();
        second.open();
        let report = pool.shutdown(Shutdown::Drain, LONG);
        assert_eq!(report, Report { ran: 2, cancelled: 1, dropped: 4, still_running: 0 });
        assert_eq!(pool.snapshot().workers, 0);
    }

    #[test]
    fn rule_5_the_report_adds_up_whatever_comes_at_the_same_time() {
        for round in 0..200_u64 {
            let pool = ThreadPool::new(Config { workers: 2, queue: 8, ..ONE });
            let (ran, told, taken) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0), AtomicU64::new(0));
            let begin = Barrier::new(4);
            let report = thread::scope(|scope| {
                for submitter in 0..3 {
                    let (pool, ran, told, taken, begin) = (&pool, &ran, &told, &taken, &begin);
                    scope.spawn(move || {
                        begin.wait();
                        for n in 0.. {
                            let ran = ran.clone();
                            let Ok(handle) = pool.submit(move || _ = ran.fetch_add(1, Ordering::SeqCst)) else { break };
                            taken.fetch_add(1, Ordering::SeqCst);
                            if (n + submitter) % 3 == 0 {
                                handle.cancel();
                            }
                            if matches!(handle.join(), Err(JoinError::Cancelled | JoinError::Dropped)) {
                                told.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    });
                }
                begin.wait();
                soon(|| pool.snapshot().done >= round % 20);
                let how = if round % 2 == 0 { Shutdown::Drain } else { Shutdown::Drop };
                pool.shutdown(how, LONG)
            });
            assert_eq!((report.still_running, all(report)), (0, taken.load(Ordering::SeqCst)));
            assert_eq!(report.ran, ran.load(Ordering::SeqCst));
            assert_eq!(report.cancelled + report.dropped, told.load(Ordering::SeqCst));
        }
    }

    #[test]
    fn rule_5_a_job_that_shuts_its_pool_down_runs_what_waits_and_is_still_running() {
        let pool = Arc::new(ThreadPool::new(ONE));
        let (mut gate, _) = Gate::closed(&pool);
        let own = pool.clone();
        let outer = pool.submit(move || own.shutdown(Shutdown::Drain, LONG)).unwrap();
        let inner = pool.submit(|| 7).unwrap();
        gate.open();
        assert_eq!(outer.join().unwrap(), Report { ran: 2, still_running: 1, ..Report::default() });
        assert_eq!(inner.join().unwrap(), 7);
    }

    #[test]
    fn rule_5_two_jobs_that_shut_their_pool_down_do_not_wait_for_each_other() {
        let pool = Arc::new(ThreadPool::new(Config { workers: 2, ..ONE }));
        let begin = Arc::new(Barrier::new(2));
        let handles = [(); 2].map(|()| {
            let (own, begin) = (pool.clone(), begin.clone());
            let shut_down = move || {
                begin.wait();
                own.shutdown(Shutdown::Drain, LONG)
            };
            pool.submit(shut_down).unwrap()
        });
        for report in handles.map(|handle| handle.join().unwrap()) {
            assert_eq!((all(report), report.dropped), (2, 0));
        }
        assert_eq!(pool.shutdown(Shutdown::Drain, LONG).ran, 2);
    }

    #[test]
    fn rule_6_dropping_the_pool_runs_what_waits() {
        let pool = ThreadPool::new(ONE);
        let (mut gate, _) = Gate::closed(&pool);
        let handles: Vec<_> = (0..4).map(|n| pool.submit(move || n).unwrap()).collect();
        gate.open();
        drop(pool);
        assert!(handles.iter().all(Handle::is_finished));
        assert!(handles.into_iter().enumerate().all(|(n, handle)| handle.join().unwrap() == n));
    }

    #[test]
    fn rule_6_a_pool_dropped_by_a_job_of_its_own_or_after_a_shutdown_in_vain_does_not_hang() {
        let pool = Arc::new(ThreadPool::new(ONE));
        let (mut gate, _) = Gate::closed(&pool);
        let own = pool.clone();
        let last = pool.submit(move || drop(own)).unwrap();
        let after = pool.submit(|| 7).unwrap();
        drop(pool);
        gate.open();
        last.join().unwrap();
        assert_eq!(after.join().unwrap(), 7);

        let pool = ThreadPool::new(ONE);
        let (mut gate, stuck) = Gate::closed(&pool);
        assert_eq!(pool.shutdown(Shutdown::Drain, Duration::ZERO).still_running, 1);
        drop(pool);
        gate.open();
        stuck.join().unwrap();
    }

    #[test]
    fn rule_7_jobs_may_wait_for_jobs() {
        fn sum(pool: &Arc<ThreadPool>, from: u64, to: u64) -> u64 {
            if to - from <= 4 {
                return (from..to).sum();
            }
            let middle = from.midpoint(to);
            let own = pool.clone();
            let left = pool.submit(move || sum(&own, from, middle)).unwrap();
            let right = sum(pool, middle, to);
            left.join().unwrap() + right
        }
        for (workers, queue) in [(1, 1), (1, 64), (2, 3), (3, 1_024)] {
            let pool = Arc::new(ThreadPool::new(Config { workers, queue, ..ONE }));
            let own = pool.clone();
            assert_eq!(pool.submit(move || sum(&own, 0, 2_000)).unwrap().join().unwrap(), 1_999_000);
            let shown = pool.snapshot();
            assert_eq!((shown.submitted, shown.queued), (shown.done, 0));
        }
    }
}

mod handles {
    use super::*;

    #[test]
    fn rule_1_a_handle_is_resolved_by_join_by_await_and_by_callback() {
        let pool = ThreadPool::new(ONE);
        assert_eq!(pool.submit(|| 1).unwrap().join().unwrap(), 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(pool.submit(|| 2).unwrap()).unwrap(), 2);
        assert!(matches!(runtime.block_on(pool.submit(|| panic!("3")).unwrap()), Err(JoinError::Panicked(_))));
        let (tx, rx) = channel();
        pool.submit(|| 4).unwrap().on_done(move |result| tx.send(result.unwrap()).unwrap());
        assert_eq!(rx.recv().unwrap(), 4);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rule_1_many_tasks_await_jobs_of_one_pool() {
        let pool = Arc::new(ThreadPool::new(Config { workers: 2, queue: 1_024, ..ONE }));
        let tasks: Vec<_> = (0..500_u64)
            .map(|n| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.submit(move || n * n).unwrap().await.unwrap() })
            })
            .collect();
        for (n, task) in (0..).zip(tasks) {
            assert_eq!(task.await.unwrap(), n * n);
        }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn rule_1_the_last_waker_is_woken_once_and_only_it() {
        let pool = ThreadPool::new(ONE);
        let (mut gate, mut handle) = Gate::closed(&pool);
        let (first, last) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let mut poll = |woken: &Arc<Woken>| {
            std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&Waker::from(woken.clone())))
        };
        assert!(poll(&first).is_pending() && poll(&last).is_pending() && poll(&last).is_pending());
        gate.open();
        soon(|| last.0.load(Ordering::SeqCst) > 0);
        assert!(matches!(poll(&first), Poll::Ready(Ok(()))));
        assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (0, 1));
    }

    #[test]
    fn an_await_that_is_given_up_for_a_join_goes_on() {
        let pool = ThreadPool::new(ONE);
        let (mut gate, mut handle) = Gate::closed(&pool);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken);
        assert!(std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
        gate.open();
        handle.join().unwrap();
    }

    /// When it is dropped, it waits for a job that can only begin after another one has ended.
    struct Demanding {
        gate: Mutex<Gate>,
        pool: Arc<ThreadPool>,
    }

    impl Wake for Demanding {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Demanding {
        fn drop(&mut self) {
            self.gate.lock().unwrap().open();
            self.pool.submit(|| ()).unwrap().join().unwrap();
        }
    }

    #[test]
    fn rule_1_a_waker_that_is_given_up_may_do_as_it_likes() {
        let pool = Arc::new(ThreadPool::new(ONE));
        let polled = |pool: &Arc<ThreadPool>| {
            let (gate, mut handle) = Gate::closed(pool);
            let waker = Waker::from(Arc::new(Demanding { gate: Mutex::new(gate), pool: pool.clone() }));
            assert!(std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
            handle
        };
        polled(&pool).join().unwrap();
        polled(&pool).join_timeout(LONG).unwrap().unwrap();
        let mut handle = polled(&pool);
        let other = Waker::from(Arc::new(Woken::default()));
        let _ = std::pin::Pin::new(&mut handle).poll(&mut Context::from_waker(&other));
        handle.join().unwrap();
    }

    #[test]
    fn rule_2_a_job_that_is_run_by_its_join_waits_no_more() {
        let pool = Arc::new(ThreadPool::new(Config { queue: 1, ..ONE }));
        let (outer, inner) = (pool.clone(), pool.clone());
        let handle = pool.submit(move || {
            let job = move || {
                let shown = inner.snapshot();
                // Its place is free at once, for whoever does not wait and for whoever does.
                let next = inner.try_submit(|| 7).map_err(|rejected| rejected.why);
                (shown.queued, shown.running, next.unwrap())
            };
            outer.submit(job).unwrap().join().unwrap()
        });
        let (queued, running, next) = handle.unwrap().join().unwrap();
        assert_eq!((queued, running, next.join().unwrap()), (0, 2, 7));
    }

    #[test]
    fn rule_2_a_job_that_is_run_by_its_join_lets_in_who_waits_for_room() {
        let pool = Arc::new(ThreadPool::new(Config { queue: 1, ..ONE }));
        let own = pool.clone();
        let (came_in, comes_in) = channel();
        let (is_full, full) = channel();
        let handle = pool.submit(move || {
            // It ends only when the other thread's job has come in.
            let inner = own.submit(move || comes_in.recv().unwrap()).unwrap();
            is_full.send(()).unwrap();
            inner.join().unwrap();
        });
        full.recv().unwrap();
        let other = pool.submit(|| 7).unwrap();
        came_in.send(()).unwrap();
        handle.unwrap().join().unwrap();
        assert_eq!(other.join().unwrap(), 7);
    }

    #[test]
    fn rule_3_a_cancelled_job_is_counted_before_anybody_learns_of_it() {
        struct Looks(Arc<ThreadPool>, Sender<Snapshot>);

        impl Drop for Looks {
            fn drop(&mut self) {
                self.1.send(self.0.snapshot()).unwrap();
            }
        }

        let pool = Arc::new(ThreadPool::new(ONE));
        let (_gate, _) = Gate::closed(&pool);
        let (seen, see) = channel();
        let held = Looks(pool.clone(), seen.clone());
        assert!(pool.submit(move || drop(held)).unwrap().cancel());
        let shown = see.recv().unwrap();
        assert_eq!((shown.submitted, shown.running, shown.queued, shown.cancelled), (2, 1, 0, 1));
        let held = Looks(pool.clone(), seen);
        pool.submit(move || drop(held)).unwrap().detach();
        pool.shutdown(Shutdown::Drop, Duration::ZERO);
        let shown = see.recv().unwrap();
        assert_eq!((shown.submitted, shown.running, shown.queued, shown.dropped), (3, 1, 0, 1));
    }

    #[test]
    fn try_join_and_join_timeout_give_the_handle_back() {
        let pool = ThreadPool::new(ONE);
        let (mut gate, handle) = Gate::closed(&pool);
        let handle = handle.try_join().unwrap_err();
        let handle = handle.join_timeout(Duration::ZERO).unwrap_err();
        let handle = handle.join_timeout(Duration::from_nanos(1)).unwrap_err();
        let handle = handle.join_timeout(daur_core::time::Duration::from_micros(10)).unwrap_err();
        assert!(!handle.is_finished() && format!("{handle:?}").contains("is_finished: false"));
        gate.open();
        handle.join_timeout(Duration::MAX).unwrap().unwrap();
        let ended = pool.submit(|| 7).unwrap();
        soon(|| ended.is_finished());
        assert_eq!(ended.join_timeout(Duration::ZERO).unwrap().unwrap(), 7);
    }

    #[test]
    fn rule_3_cancel_takes_the_job_away_before_it_begins_and_frees_its_place() {
        let pool = ThreadPool::new(Config { queue: 2, ..ONE });
        let (mut gate, running) = Gate::closed(&pool);
        assert!(!running.cancel(), "it has begun");
        let drops = Drops::default();
        let (kept, held) = (pool.submit(|| 1).unwrap(), drops.one());
        let cancelled = pool.submit(move || drop(held)).unwrap();
        assert_eq!(pool.try_execute(|| ()).unwrap_err().why, Why::Full);
        assert!(cancelled.cancel() && !cancelled.cancel());
        assert_eq!((drops.count(), pool.snapshot().queued, pool.snapshot().cancelled), (1, 1, 1));
        // As often as one likes: places and memory stay within the bound.
        for _ in 0..10_000 {
            assert!(pool.try_submit(|| ()).unwrap().cancel());
        }
        let last = pool.try_submit(|| 2).unwrap();
        assert_eq!(pool.try_execute(|| ()).unwrap_err().why, Why::Full);
        gate.open();
        running.join().unwrap();
        assert!(matches!(cancelled.join(), Err(JoinError::Cancelled)));
        assert_eq!((kept.join().unwrap(), last.join().unwrap()), (1, 2));
        let shown = pool.snapshot();
        assert_eq!((shown.submitted, shown.done, shown.cancelled, shown.queued), (10_004, 3, 10_001, 0));
    }

    #[test]
    fn rule_3_a_cancelled_place_goes_to_who_waits_for_one() {
        let pool = ThreadPool::new(Config { queue: 1, ..ONE });
        let (mut gate, _) = Gate::closed(&pool);
        let place = pool.submit(|| ()).unwrap();
        thread::scope(|scope| {
            // The gate opens only when the submitter has got in.
            let waits = scope.spawn(|| {
                let handle = pool.submit(|| 7).unwrap();
                gate.open();
                handle.join().unwrap()
            });
            assert!(place.cancel());
            assert_eq!(waits.join().unwrap(), 7);
        });
    }

    #[test]
    fn rule_4_a_callback_is_called_once_however_the_job_ends() {
        let pool = ThreadPool::new(ONE);
        let (tx, rx) = channel();
        let tell = |name: &'static str| {
            let tx = tx.clone();
            move |result: Result<u32, JoinError>| tx.send((name, result)).unwrap()
        };
        let (mut gate, _) = Gate::closed(&pool);
        pool.submit(|| 1).unwrap().on_done(tell("later"));
        pool.submit(|| panic!("no")).unwrap().on_done(tell("panicked"));
        let cancelled = pool.submit(|| 1).unwrap();
        cancelled.cancel();
        cancelled.on_done(tell("cancelled"));
        assert!(matches!(rx.try_recv().unwrap(), ("cancelled", Err(JoinError::Cancelled))), "at once, here");
        gate.open();
        assert!(matches!(rx.recv().unwrap(), ("later", Ok(1))));
        assert!(matches!(rx.recv().unwrap(), ("panicked", Err(JoinError::Panicked(_)))));
        let (_gate, _) = Gate::closed(&pool);
        pool.submit(|| 1).unwrap().on_done(tell("dropped"));
        pool.shutdown(Shutdown::Drop, Duration::ZERO);
        assert!(matches!(rx.recv().unwrap(), ("dropped", Err(JoinError::Dropped))));
        drop(tx);
        assert!(rx.try_recv().is_err());
    }

    #[test]
    fn rule_4_a_callback_that_panics_harms_nobody() {
        let pool = ThreadPool::new(ONE);
        let (mut gate, _) = Gate::closed(&pool);
        pool.submit(|| 1).unwrap().on_done(|_| std::panic::panic_any(Bomb));
        gate.open();
        let after = pool.submit(|| 2).unwrap();
        soon(|| after.is_finished());
        after.on_done(|_| panic!("here"));
        assert_eq!(pool.submit(|| 3).unwrap().join().unwrap(), 3);
        assert_eq!((pool.snapshot().callbacks_panicked, pool.snapshot().panicked), (1, 0));
    }

    #[test]
    fn a_join_error_travels_as_errors_do() {
        let pool = ThreadPool::new(ONE);
        let ask = || -> Result<u32, Box<dyn StdError + Send + Sync>> { Ok(pool.submit(|| panic!("no"))?.join()?) };
        assert_eq!(ask().unwrap_err().to_string(), "the job panicked: no");
    }
}

mod threads {
    use super::*;

    /// How many threads of this process are called so.
    #[cfg(target_os = "linux")]
    fn called(prefix: &str) -> usize {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with(prefix)).count()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn ten_thousand_pools_leave_no_thread_behind() {
        let config = Config { workers: 2, name: "leak-test", ..ONE };
        for round in 0..10_000_u32 {
            let pool = ThreadPool::new(config);
            if round % 3 == 0 {
                assert_eq!(pool.submit(move || round).unwrap().join().unwrap(), round);
            }
            if round % 5 == 0 {
                assert_eq!(pool.shutdown(Shutdown::Drain, LONG).still_running, 0);
            }
            drop(pool);
            if round % 1_000 == 0 {
                // A thread that was joined may be shown for a moment yet.
                soon(|| called("leak-test") == 0);
            }
        }
        soon(|| called("leak-test") == 0);
    }

    #[test]
    fn they_are_called_by_the_pools_name_and_their_number() {
        let pool = ThreadPool::new(Config { workers: 3, name: "daur-named", queue: 64, ..ONE });
        let names = |jobs: u32| -> BTreeSet<String> {
            let all_here = Arc::new(Barrier::new(jobs as usize));
            let name = move || {
                all_here.wait();
                thread::current().name().unwrap().to_owned()
            };
            let handles: Vec<_> = (0..jobs).map(|_| pool.submit(name.clone()).unwrap()).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        };
        assert_eq!(names(3).into_iter().collect::<Vec<_>>(), ["daur-named-0", "daur-named-1", "daur-named-2"]);
        pool.resize(1).unwrap();
        soon(|| pool.snapshot().workers == 1);
        assert_eq!((names(1).len(), pool.workers()), (1, 1));
        pool.resize(4).unwrap();
        let four = ["daur-named-0", "daur-named-1", "daur-named-2", "daur-named-3"];
        assert_eq!(names(4).into_iter().collect::<Vec<_>>(), four, "numbers that are free are used again");
    }

    #[test]
    fn a_pool_is_resized_under_load_and_loses_nothing() {
        let pool = ThreadPool::new(Config { workers: 1, queue: 32, ..ONE });
        let ran = Arc::new(AtomicU64::new(0));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let resizer = scope.spawn(|| {
                for workers in [4, 1, 3, 2, 6, 1, 1, 5].into_iter().cycle() {
                    pool.resize(workers).unwrap();
                    assert_eq!(pool.workers(), workers);
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
            for _ in 0..20_000 {
                let ran = ran.clone();
                pool.execute(move || _ = ran.fetch_add(1, Ordering::SeqCst)).unwrap();
            }
            stop.store(true, Ordering::SeqCst);
            resizer.join().unwrap();
        });
        pool.resize(2).unwrap();
        soon(|| pool.snapshot().workers == 2 && ran.load(Ordering::SeqCst) == 20_000);
        assert_eq!(pool.submit(|| 7).unwrap().join().unwrap(), 7);
        pool.shutdown(Shutdown::Drain, LONG);
        pool.resize(3).unwrap();
        assert_eq!(pool.snapshot().workers, 0, "after a shutdown it does nothing");
    }

    #[test]
    fn a_stack_is_as_large_as_asked_for() {
        fn deep(n: u32) -> u64 {
            let frame = std::hint::black_box([u64::from(n); 128]);
            if n == 0 { frame[0] } else { deep(n - 1) + frame[127] }
        }
        let pool = ThreadPool::new(Config { stack: Some(64 << 20), ..ONE });
        // More than the 2 MiB that threads have by default.
        assert_eq!(pool.submit(|| deep(10_000)).unwrap().join().unwrap(), 50_005_000);
    }

    #[test]
    fn a_thread_that_cannot_be_had_is_an_error() {
        let error = ThreadPool::try_new(Config { stack: Some(1 << 60), name: "too-large", ..ONE }).unwrap_err();
        assert!(matches!(&error, Error::Io { doing, .. } if doing == "starting the thread too-large-0"), "{error:?}");
        assert!(ThreadPool::try_new(Config { stack: Some(usize::MAX), ..ONE }).is_err());
    }
}

#[test]
fn a_config_that_cannot_work_is_refused_by_name() {
    let field = |config: Config| match ThreadPool::try_new(config).unwrap_err() {
        Error::Config { field, .. } => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(Config { workers: 0, ..ONE }), "workers");
    assert_eq!(field(Config { workers: 40_000, ..ONE }), "workers");
    assert_eq!(field(Config { queue: 0, ..ONE }), "queue");
    assert_eq!(field(Config { name: "a\0b", ..ONE }), "name");
    assert!(matches!(ThreadPool::new(ONE).resize(0), Err(Error::Config { field: "workers", .. })));
}

#[test]
fn the_snapshot_tells_how_long_jobs_waited() {
    let pool = ThreadPool::new(Config { queue: 64, ..ONE });
    for _ in 0..20 {
        pool.submit(|| ()).unwrap().join().unwrap();
    }
    let Snapshot { waited, done, .. } = pool.snapshot();
    assert_eq!((waited.count, done), (20, 20));
    assert!(waited.p50 <= waited.p99 && waited.max.is_some());

    let pool = ThreadPool::new(ONE);
    let (mut gate, _) = Gate::closed(&pool);
    assert!(pool.submit(|| ()).unwrap().cancel());
    gate.open();
    pool.submit(|| ()).unwrap().join().unwrap();
    assert_eq!(pool.snapshot().waited.count, 2, "not the one that was cancelled");

    let pool = ThreadPool::new(Config { queue: 64, timed_one_in: 8, ..ONE });
    for _ in 0..20 {
        pool.submit(|| ()).unwrap().join().unwrap();
    }
    assert_eq!(pool.snapshot().waited.count, 3, "the first, the ninth, the 17th");

    let pool = ThreadPool::new(Config { timed_one_in: 0, ..ONE });
    pool.submit(|| ()).unwrap().join().unwrap();
    assert_eq!(pool.snapshot().waited.count, 0);
}

#[test]
fn the_pool_of_the_process_is_made_once() {
    let pool = thread_pool(2);
    assert_eq!(pool.submit(|| 7).unwrap().join().unwrap(), 7);
    assert!(std::ptr::eq(pool, thread_pool(9)));
    let other = init(ThreadPool::new(ONE)).unwrap_err();
    assert_eq!(other.workers(), 1);
}
