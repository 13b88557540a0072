//! The scheduler on tokio: its rules, restarts, clocks that are set. Time is tokio's, paused: no test waits for it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use daur_core::services::scheduler::{Config, Error, Failure, Missed, Plan, Status};
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use daur_std::clock::TokioClock;
use daur_std::services::scheduler::{
    Calendar, Cron, Job, Journal, Kept, Refused, Sqlite, Task, TaskScheduler, init, task_scheduler,
};
use tokio::sync::{Notify, mpsc};

/// Milliseconds since 1970 at which the tests begin: a full hour.
const BEGIN: u64 = 1_799_982_000_000;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A wall clock that goes with tokio's time, and may be set.
#[derive(Clone)]
struct Wall {
    began: Instant,
    /// Milliseconds that it was set forward.
    set: Arc<AtomicI64>,
}

impl Wall {
    fn new() -> Self {
        Self { began: TokioClock.now(), set: Arc::default() }
    }

    fn set(&self, millis: i64) {
        self.set.fetch_add(millis, Ordering::SeqCst);
    }
}

impl WallClock for Wall {
    fn unix_now(&self) -> Option<UnixTime> {
        let now = BEGIN + TokioClock.now().since(self.began).as_millis();
        Some(UnixTime::from_millis(now.saturating_add_signed(self.set.load(Ordering::SeqCst))))
    }
}

/// A run, as its job tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ran {
    /// Milliseconds since the test began.
    at: u64,
    /// The due time by the wall clock, in milliseconds since [`BEGIN`].
    due: Option<i64>,
    missed: u32,
}

/// A job that tells of its runs.
fn told(name: &str) -> (Job, mpsc::UnboundedReceiver<Ran>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let began = TokioClock.now();
    let job = Job::future(name, move |context| {
        let due = context.due.map(|due| due.as_millis().cast_signed() - BEGIN.cast_signed());
        let ran = Ran { at: TokioClock.now().since(began).as_millis(), due, missed: context.missed };
        let _ = sender.send(ran);
        async { Ok::<(), String>(()) }
    });
    (job, receiver)
}

async fn next(receiver: &mut mpsc::UnboundedReceiver<Ran>, n: usize) -> Vec<Ran> {
    let mut ran = Vec::new();
    for _ in 0..n {
        ran.push(receiver.recv().await.unwrap());
    }
    ran
}

async fn starts(receiver: &mut mpsc::UnboundedReceiver<Ran>, n: usize) -> Vec<u64> {
    next(receiver, n).await.into_iter().map(|ran| ran.at).collect()
}

/// Waits until a task is as it should be.
async fn until(scheduler: &TaskScheduler, id: daur_core::services::scheduler::Id, is: impl Fn(&Task) -> bool) -> Task {
    loop {
        let task = scheduler.task(id).unwrap();
        if is(&task) {
            return task;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// A journal that outlives the scheduler.
#[derive(Clone)]
struct Shared(Arc<Sqlite>);

impl Shared {
    fn new() -> Self {
        Self(Arc::new(Sqlite::in_memory().unwrap()))
    }
}

impl Journal for Shared {
    fn load(&self, name: &str) -> Result<Option<Kept>, daur_std::error::Error> {
        self.0.load(name)
    }

    fn save(&self, kept: &Kept) -> Result<(), daur_std::error::Error> {
        self.0.save(kept)
    }

    fn forget(&self, name: &str) -> Result<(), daur_std::error::Error> {
        self.0.forget(name)
    }
}

#[tokio::test(start_paused = true)]
async fn rule_1_runs_begin_at_their_times_between_start_and_stop() {
    let scheduler = TaskScheduler::default();
    let (job, mut runs) = told("tick");
    scheduler.schedule(job, Plan { missed: Missed::Burst(9), ..Plan::every(ms(100)) }).unwrap();
    tokio::time::advance(ms(350).into()).await;
    assert!(runs.try_recv().is_err(), "it has not been started");
    assert!(scheduler.start() && !scheduler.start() && scheduler.is_running());
    assert_eq!(starts(&mut runs, 5).await, [350, 350, 350, 400, 500]);
    assert!(scheduler.stop(ms(10)).await.is_empty() && !scheduler.is_running());
    tokio::time::advance(ms(1_000).into()).await;
    assert!(runs.try_recv().is_err(), "it was stopped");
    scheduler.start();
    // Ten due times have passed, the latest nine have their runs.
    assert_eq!(starts(&mut runs, 10).await, [vec![1_500; 9], vec![1_600]].concat());
}

#[tokio::test(start_paused = true)]
async fn rule_1_the_sequences_of_a_stall() {
    for (missed, expected) in [(Missed::Skip, [350, 400, 500]), (Missed::Delay, [350, 450, 550])] {
        let scheduler = TaskScheduler::default();
        let (job, mut runs) = told("tick");
        scheduler.schedule(job, Plan { missed, ..Plan::every(ms(100)) }).unwrap();
        tokio::time::advance(ms(350).into()).await;
        scheduler.start();
        let ran = next(&mut runs, 3).await;
        assert_eq!((ran.iter().map(|ran| ran.at).collect::<Vec<_>>(), ran[0].missed), (expected.to_vec(), 2));
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_run_that_panics_or_fails_fails_alone() {
    let scheduler = TaskScheduler::default();
    scheduler.start();
    let number = Arc::new(AtomicUsize::new(0));
    let number_of_runs = Arc::clone(&number);
    let act = |number: &AtomicUsize| match number.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("no {}", 0),
        1 => Err("no disk"),
        _ => Ok(()),
    };
    let counted = Arc::clone(&number);
    let blocking = Job::blocking("blocking", move |_| act(&counted));
    let future = Job::future("future", move |_| {
        let number = Arc::clone(&number);
        async move { act(&number) }
    });
    let plan = Plan { times: Some(3), ..Plan::every(ms(100)) };
    for job in [blocking, future] {
        number_of_runs.store(0, Ordering::SeqCst);
        let id = scheduler.schedule(job, plan).unwrap();
        let task = until(&scheduler, id, |task| task.info.failed == 1 && task.info.running == 0).await;
        assert_eq!((task.last_error.as_deref(), task.info.panics), (Some("panicked: no 0"), 1));
        let task = until(&scheduler, id, |task| task.status.is_ended()).await;
        assert_eq!((task.status, task.info.runs, task.info.failed), (Status::Completed, 3, 2));
        assert_eq!((task.last_error.as_deref(), task.info.failing), (Some("no disk"), false));
    }
    let at_once = Job::future("at once", |_| -> std::future::Ready<Result<(), String>> { panic!("before it waits") });
    let at_once = scheduler.schedule(at_once, Plan { times: Some(1), ..plan }).unwrap();
    let task = until(&scheduler, at_once, |task| task.status.is_ended()).await;
    assert_eq!(task.last_error.as_deref(), Some("panicked: before it waits"));
    assert_eq!(task.status, Status::Failed { error: Failure::Panicked });
}

#[tokio::test(start_paused = true)]
async fn rule_3_a_stop_waits_for_the_runs_under_way() {
    let scheduler = TaskScheduler::default();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let slow = Job::future("slow", move |_| {
        let counted = Arc::clone(&counted);
        async move {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<(), String>(())
        }
    });
    let id = scheduler.schedule(slow, Plan::DEFAULT).unwrap();
    scheduler.start();
    until(&scheduler, id, |task| task.status == Status::Running).await;
    assert!(scheduler.stop(ms(6_000)).await.is_empty());
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_3_at_the_deadline_runs_are_given_up_and_named() {
    let scheduler = TaskScheduler::default();
    let never = Job::future("never", |_| std::future::pending::<Result<(), String>>());
    let polite = Job::future("polite", |context| async move {
        context.cancelled().await;
        Ok::<(), String>(())
    });
    let never = scheduler.schedule(never, Plan::DEFAULT).unwrap();
    let polite = scheduler.schedule(polite, Plan::DEFAULT).unwrap();
    scheduler.start();
    for id in [never, polite] {
        until(&scheduler, id, |task| task.status == Status::Running).await;
    }
    let left = scheduler.stop(ms(100)).await;
    assert_eq!(left.iter().map(|name| &**name).collect::<Vec<_>>(), ["never", "polite"]);
    let task = until(&scheduler, never, |task| task.status.is_ended()).await;
    assert_eq!(task.last_error.as_deref(), Some("was given up"));
    assert!(scheduler.stop(ms(100)).await.is_empty(), "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_cancel_asks_the_run_to_stop() {
    let scheduler = TaskScheduler::default();
    scheduler.start();
    let polite = Job::future("polite", |context| async move {
        assert!(!context.is_cancelled());
        context.cancelled().await;
        assert!(context.is_cancelled());
        Ok::<(), String>(())
    });
    let id = scheduler.schedule(polite, Plan::every(ms(100))).unwrap();
    until(&scheduler, id, |task| task.status == Status::Running).await;
    assert_eq!((scheduler.cancel(id), scheduler.cancel(id)), (Ok(false), Err(Error::Cancelling)));
    until(&scheduler, id, |task| task.status == Status::Cancelled).await;
    assert_eq!((scheduler.cancel(id), scheduler.pause(id)), (Err(Error::Ended), Err(Error::Ended)));
    let waiting = scheduler.schedule(told("waits").0, Plan::once(ms(50))).unwrap();
    assert_eq!(scheduler.cancel(waiting), Ok(true));
    assert!(scheduler.tasks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_asked_for_and_moved() {
    let scheduler = TaskScheduler::default();
    scheduler.start();
    let (job, mut runs) = told("tick");
    let id = scheduler.schedule(job, Plan::every(ms(100))).unwrap();
    assert_eq!(starts(&mut runs, 1).await, [100]);
    scheduler.pause(id).unwrap();
    tokio::time::advance(ms(250).into()).await;
    assert_eq!(scheduler.task(id).unwrap().status, Status::Paused);
    scheduler.run_now(id).unwrap();
    assert_eq!(starts(&mut runs, 1).await, [350]);
    scheduler.resume(id).unwrap();
    assert_eq!(starts(&mut runs, 1).await, [400]);
    scheduler.reschedule(id, ms(30)).unwrap();
    assert_eq!(starts(&mut runs, 2).await, [430, 530]);
    let task = scheduler.tasks().remove(0);
    assert_eq!((&*task.name, task.info.runs, task.info.missed), ("tick", 5, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_5_no_due_time_has_a_second_run_after_a_restart() {
    let (wall, journal) = (Wall::new(), Shared::new());
    let (job, mut runs) = told("tick");
    let job = job.kept();
    let plan = Plan { missed: Missed::Burst(9), ..Plan::every(ms(100)) };
    let mut dues = Vec::new();
    for _ in 0..5 {
        let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone()).keeping(journal.clone());
        scheduler.schedule(job.clone(), plan).unwrap();
        scheduler.start();
        dues.extend(next(&mut runs, 2).await.into_iter().filter_map(|ran| ran.due));
        // As if it were killed: no stop.
        drop(scheduler);
    }
    assert_eq!(dues, (1..=10).map(|n| n * 100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn rule_5_what_cannot_be_written_is_not_begun() {
    struct Broken(Shared, AtomicUsize);
    impl Journal for Broken {
        fn load(&self, name: &str) -> Result<Option<Kept>, daur_std::error::Error> {
            self.0.load(name)
        }
        fn save(&self, kept: &Kept) -> Result<(), daur_std::error::Error> {
            match self.1.fetch_add(1, Ordering::SeqCst) {
                0 => self.0.save(kept),
                _ => Err(daur_std::error::Error::store("keeping", "the disk is full")),
            }
        }
        fn forget(&self, name: &str) -> Result<(), daur_std::error::Error> {
            self.0.forget(name)
        }
    }
    let broken = Broken(Shared::new(), AtomicUsize::new(0));
    let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, Wall::new()).keeping(broken);
    scheduler.start();
    let (job, mut runs) = told("tick");
    let id = scheduler.schedule(job.kept(), Plan::every(ms(100))).unwrap();
    let task = until(&scheduler, id, |task| task.info.failed == 1).await;
    assert_eq!(task.last_error.as_deref(), Some("could not be kept: keeping failed: the disk is full"));
    assert!(runs.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn rule_6_due_times_that_have_passed_are_missed_ones() {
    let cases = [
        (Plan { missed: Missed::Skip, ..Plan::every(ms(100)) }, vec![(450, Some(200), 2), (500, Some(500), 0)]),
        (
            Plan { missed: Missed::Burst(9), ..Plan::every(ms(100)) },
            vec![(450, Some(200), 0), (450, Some(300), 0), (450, Some(400), 0), (500, Some(500), 0)],
        ),
        (Plan { missed: Missed::Delay, ..Plan::every(ms(100)) }, vec![(450, Some(200), 2), (550, Some(550), 0)]),
        (Plan { grace: Some(ms(99)), ..Plan::every(ms(100)) }, vec![(450, Some(400), 0), (500, Some(500), 0)]),
    ];
    for (plan, expected) in cases {
        let (wall, journal) = (Wall::new(), Shared::new());
        let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone()).keeping(journal.clone());
        let (job, mut runs) = told("tick");
        scheduler.schedule(job.clone().kept(), plan).unwrap();
        scheduler.start();
        assert_eq!(next(&mut runs, 1).await, [Ran { at: 100, due: Some(100), missed: 0 }]);
        scheduler.stop(ms(1_000)).await;
        drop(scheduler);
        tokio::time::advance(ms(350).into()).await;
        let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall).keeping(journal);
        let id = scheduler.schedule(job.kept(), plan).unwrap();
        assert_eq!(scheduler.task(id).unwrap().last_start, Some(UnixTime::from_millis(BEGIN + 100)));
        scheduler.start();
        let ran: Vec<_> =
            next(&mut runs, expected.len()).await.iter().map(|ran| (ran.at, ran.due, ran.missed)).collect();
        assert_eq!(ran, expected, "{plan:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_6_what_has_had_its_runs_is_over_after_a_restart() {
    let (wall, journal) = (Wall::new(), Shared::new());
    let (once, mut ran_once) = told("once");
    let (twice, mut ran_twice) = told("twice");
    let plans = [(once.kept(), Plan::once(ms(10))), (twice.kept(), Plan { times: Some(2), ..Plan::every(ms(10)) })];
    for round in 0..2 {
        let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone()).keeping(journal.clone());
        scheduler.start();
        for (job, plan) in plans.clone() {
            match scheduler.schedule(job, plan) {
                Ok(_) => assert_eq!(round, 0),
                Err(refused) => assert!(matches!(refused, Refused::Over(_)) && round == 1, "{refused}"),
            }
        }
        if round == 0 {
            next(&mut ran_once, 1).await;
            next(&mut ran_twice, 2).await;
        }
        assert!(scheduler.stop(ms(1_000)).await.is_empty());
    }
    // Under another plan it is another job.
    let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall).keeping(journal);
    scheduler.schedule(plans[0].0.clone(), Plan::every(ms(10))).unwrap();
    let refused = scheduler.schedule(plans[0].0.clone(), Plan::every(ms(10))).unwrap_err();
    assert!(matches!(refused, Refused::Taken(_)));
}

#[tokio::test(start_paused = true)]
async fn rule_6_what_was_cancelled_is_forgotten() {
    let journal = Shared::new();
    let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, Wall::new()).keeping(journal.clone());
    let id = scheduler.schedule(told("tick").0.kept(), Plan::every(ms(10))).unwrap();
    assert_eq!(journal.load("tick").unwrap().unwrap().next, Some((BEGIN as i64 + 10) * 1_000_000));
    assert_eq!(scheduler.cancel(id), Ok(true));
    assert_eq!(journal.load("tick").unwrap(), None);
    assert!(matches!(TaskScheduler::default().schedule(told("x").0.kept(), Plan::DEFAULT), Err(Refused::NoJournal(_))));
}

#[tokio::test(start_paused = true)]
async fn rule_7_a_wall_clock_that_is_set_changes_no_interval_job() {
    for hours in [1, -1] {
        let (wall, journal) = (Wall::new(), Shared::new());
        let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone()).keeping(journal);
        scheduler.start();
        let (plain, mut plain_runs) = told("plain");
        let (kept, mut kept_runs) = told("kept");
        scheduler.schedule(plain, Plan::every(ms(60_000))).unwrap();
        scheduler.schedule(kept.kept(), Plan::every(ms(60_000))).unwrap();
        let mut starts_of_both = Vec::new();
        for round in 0..4 {
            let (a, b) = (starts(&mut plain_runs, 1).await, starts(&mut kept_runs, 1).await);
            starts_of_both.extend([a, b].concat());
            if round == 1 {
                wall.set(hours * 3_600_000);
            }
        }
        assert_eq!(starts_of_both, [60, 60, 120, 120, 180, 180, 240, 240].map(|secs| secs * 1_000));
    }
}

#[tokio::test(start_paused = true)]
async fn rule_7_a_job_in_a_calendar_follows_the_wall_clock() {
    let wall = Wall::new();
    let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone());
    scheduler.start();
    let (job, mut runs) = told("hourly");
    let hourly: Cron = "0 * * * *".parse().unwrap();
    let id = scheduler.schedule(job.at(hourly), Plan::DEFAULT).unwrap();
    let hour = 3_600_000;
    let first = next(&mut runs, 1).await[0];
    assert_eq!((first.due, first.at / 1_000), (Some(hour), 3_600));
    // Forward by half an hour: the next one comes half an hour sooner.
    wall.set(1_800_000);
    let second = next(&mut runs, 1).await[0];
    assert_eq!((second.due, second.at / 1_000), (Some(2 * hour), 5_400));
    // Over two of its times: one run stands for both.
    wall.set(2 * hour + 60_000);
    let third = next(&mut runs, 1).await[0];
    assert_eq!((third.due, third.missed), (Some(3 * hour), 1));
    assert!(third.at <= 5_400_000 + 31_000);
    assert_eq!(scheduler.task(id).unwrap().info.runs, 3);
}

#[tokio::test(start_paused = true)]
async fn rule_8_set_back_by_an_hour_no_time_comes_twice() {
    let wall = Wall::new();
    let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone());
    scheduler.start();
    let (job, mut runs) = told("hourly");
    scheduler.schedule(job.at("0 * * * *".parse::<Cron>().unwrap()), Plan::DEFAULT).unwrap();
    let hour = 3_600_000;
    assert_eq!(next(&mut runs, 1).await[0].due, Some(hour));
    wall.set(-hour);
    let second = next(&mut runs, 1).await[0];
    assert_eq!((second.due, second.at / 1_000), (Some(2 * hour), 3 * 3_600), "not at the first hour again");
    // Set back by more, it was wrong.
    wall.set(-100 * hour);
    let third = next(&mut runs, 1).await[0];
    assert_eq!(third.due, Some(-97 * hour), "{third:?}");
}

#[tokio::test(start_paused = true)]
async fn a_time_of_a_calendar_that_is_dropped_for_its_grace_is_followed_by_the_next() {
    let wall = Wall::new();
    let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall);
    let (job, mut runs) = told("hourly");
    let plan = Plan { grace: Some(ms(60_000)), ..Plan::DEFAULT };
    let id = scheduler.schedule(job.at("0 * * * *".parse::<Cron>().unwrap()), plan).unwrap();
    tokio::time::advance(ms(5_400_000).into()).await;
    scheduler.start();
    assert_eq!(next(&mut runs, 1).await[0].due, Some(2 * 3_600_000));
    assert_eq!(scheduler.task(id).unwrap().info.dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn a_kept_job_in_a_calendar_catches_up_once_after_a_restart() {
    let (wall, journal) = (Wall::new(), Shared::new());
    let (job, mut runs) = told("hourly");
    let job = job.at("0 * * * *".parse::<Cron>().unwrap()).kept();
    for _ in 0..2 {
        let scheduler = TaskScheduler::with_wall_clock(Config::DEFAULT, wall.clone()).keeping(journal.clone());
        scheduler.schedule(job.clone(), Plan::DEFAULT).unwrap();
        tokio::time::advance(ms(3 * 3_600_000 + 60_000).into()).await;
        scheduler.start();
        let ran = next(&mut runs, 1).await[0];
        assert_eq!(ran.missed, 2);
        assert!(scheduler.stop(ms(1_000)).await.is_empty());
    }
    assert_eq!(journal.load("hourly").unwrap().unwrap().next, Some((BEGIN as i64 + 7 * 3_600_000) * 1_000_000));
}

#[test]
fn cron_where_clocks_change() {
    let times = |text: &str, from: u64, n: usize| {
        let cron: Cron = text.parse().unwrap();
        let mut at = UnixTime::from_secs(from);
        let mut times = Vec::new();
        for _ in 0..n {
            at = cron.next(at).unwrap();
            times.push(at.as_secs());
        }
        times
    };
    // Berlin puts its clocks back at 2026-10-25 01:00 UTC: 02:30 comes at 00:30 and at 01:30 UTC.
    let before = 1_792_879_200; // 2026-10-24 22:00 UTC
    assert_eq!(times("30 2 * * * Europe/Berlin", before, 2), [1_792_888_200, 1_792_978_200]);
    assert_eq!(times("30 * * * * Europe/Berlin", before, 5), [0, 1, 2, 3, 4].map(|hour| before + 1_800 + hour * 3_600));
    // And forward at 2026-03-29 01:00 UTC: there is no 02:30.
    let before = 1_774_735_200; // 2026-03-28 22:00 UTC
    assert_eq!(times("30 2 * * * Europe/Berlin", before, 1), [1_774_830_600]);
    let utc = times("0 0 29 2 *", before, 1);
    assert_eq!(utc, [1_835_395_200], "the next 29th of February is in 2028");
    for wrong in ["", "* * * *", "61 * * * *", "* * * * * Nowhere/City"] {
        assert!(wrong.parse::<Cron>().is_err(), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_schedules_another_from_within_a_run() {
    let scheduler: &'static TaskScheduler = Box::leak(Box::default());
    scheduler.start();
    let rang = Arc::new(Notify::new());
    let ring = Arc::clone(&rang);
    let outer = Job::blocking("outer", move |_| {
        let ring = Arc::clone(&ring);
        let inner = Job::blocking("inner", move |_| {
            ring.notify_one();
            Ok::<(), String>(())
        });
        scheduler.schedule(inner, Plan::once(ms(5))).map(drop)
    });
    scheduler.schedule(outer, Plan::once(ms(5))).unwrap();
    rang.notified().await;
}

#[test]
fn the_one_of_the_process() {
    assert!(std::ptr::eq(task_scheduler(), task_scheduler()));
    assert!(init(TaskScheduler::default()).is_err());
}

/// A folder of its own inside `target`, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("jobs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn rule_5_kill_9_again_and_again_and_no_due_time_comes_twice() {
    let folder = Folder::new("kill");
    let (mut dues, kills) = (Vec::<u64>::new(), 12);
    for kill in 0..kills {
        let program = env!("CARGO_BIN_EXE_daur-test-jobs");
        let mut child = Command::new(program).arg(folder.0.join("jobs.db")).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut read = |dues: &mut Vec<u64>| {
            let Some(Ok(line)) = lines.next() else { return false };
            let (due, missed) = line.split_once(' ').unwrap();
            assert_eq!(missed, "0", "each has its own run");
            dues.push(due.parse().unwrap());
            true
        };
        for _ in 0..10 + kill * 3 {
            assert!(read(&mut dues), "it goes on after a kill");
        }
        child.kill().unwrap();
        // What it said before it was killed counts.
        while read(&mut dues) {}
        child.wait().unwrap();
    }
    let steps: Vec<_> = dues.windows(2).map(|pair| pair[1].checked_sub(pair[0]).unwrap()).collect();
    assert!(steps.iter().all(|step| *step > 0 && step % 7 == 0), "{steps:?}");
    let lost: u64 = steps.iter().map(|step| step / 7 - 1).sum();
    assert!(lost <= kills, "a kill costs the one run that was under way: {lost}");
}

#[test]
fn a_journal_of_another_program_is_left_alone() {
    let folder = Folder::new("foreign");
    let path = folder.0.join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(Sqlite::open(&path).is_err());
    let journal = Sqlite::open(folder.0.join("jobs.db")).unwrap();
    let kept = Kept { name: "a".into(), plan: "p".into(), next: Some(5), runs: 2, ..Kept::default() };
    journal.save(&kept).unwrap();
    drop(journal);
    let journal = Sqlite::open(folder.0.join("jobs.db")).unwrap();
    assert_eq!((journal.load("a").unwrap(), journal.load("b").unwrap()), (Some(kept), None));
}

#[tokio::test]
async fn many_threads_schedule_cancel_and_ask() {
    let scheduler = Arc::new(TaskScheduler::default());
    scheduler.start();
    let ran = Arc::new(AtomicUsize::new(0));
    let ids = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (scheduler, ran, ids) = (Arc::clone(&scheduler), Arc::clone(&ran), Arc::clone(&ids));
            tokio::task::spawn_blocking(move || {
                for n in 0..50 {
                    let ran = Arc::clone(&ran);
                    let job = Job::future("job", move |_| {
                        ran.fetch_add(1, Ordering::SeqCst);
                        async { Ok::<(), String>(()) }
                    });
                    let id = scheduler.schedule(job, Plan::once(ms(u64::from(n % 3 == 0) * 3_600_000))).unwrap();
                    match (n % 3, thread % 2) {
                        (0, 0) => {
                            assert_eq!(scheduler.cancel(id), Ok(true));
                            continue;
                        }
                        // Its time is far away.
                        (0, _) => scheduler.run_now(id).unwrap(),
                        _ => {}
                    }
                    ids.lock().unwrap().push(id);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.await.unwrap();
    }
    let ids = std::mem::take(&mut *ids.lock().unwrap());
    for id in &ids {
        until(&scheduler, *id, |task| task.status == Status::Completed).await;
    }
    assert_eq!((ran.load(Ordering::SeqCst), scheduler.snapshot().cancelled), (ids.len(), 4 * 17));
    assert!(scheduler.stop(ms(60_000)).await.is_empty());
}
