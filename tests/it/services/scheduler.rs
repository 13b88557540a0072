//! The scheduler: its rules, and a naive model beside it.

use daur_core::services::scheduler::{
    Config, Error, Failure, Id, Missed, Outcome, Plan, PlanError, Priority, Refused, Repeat, Run, Scheduler, Status,
};
use daur_core::time::{Duration, Instant};

mod model;
mod wheel;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn empty<const N: usize>() -> Scheduler<u32, N> {
    Scheduler::new(Config::DEFAULT)
}

/// Begins what is due, and says which tasks that are.
fn begin<const N: usize>(scheduler: &mut Scheduler<u32, N>, now: u64) -> Vec<(u32, Run)> {
    let mut begun = Vec::new();
    while let Some(due) = scheduler.poll(at(now)) {
        begun.push((*due.task, due.run));
    }
    begun
}

/// Runs what is due, in no time, and says which tasks that were.
fn ran<const N: usize>(scheduler: &mut Scheduler<u32, N>, now: u64) -> Vec<u32> {
    let mut ran = Vec::new();
    while let Some(due) = scheduler.poll(at(now)) {
        ran.push(*due.task);
        let run = due.run;
        scheduler.finish(run, Outcome::Done, at(now)).unwrap();
    }
    ran
}

/// When a task runs, polled at each `poll_at` that comes after `stall`.
fn starts(plan: Plan, stall: u64, until: u64) -> Vec<(u64, u32)> {
    let mut scheduler = empty::<1>();
    scheduler.schedule(7, plan, at(0)).unwrap();
    let mut starts = Vec::new();
    let mut now = stall;
    while now <= until {
        while let Some(due) = scheduler.poll(at(now)) {
            starts.push((now, due.missed));
            let run = due.run;
            scheduler.finish(run, Outcome::Done, at(now)).unwrap();
        }
        let Some(next) = scheduler.poll_at() else { break };
        assert!(next > at(now), "nothing is left over");
        now = next.as_millis();
    }
    starts
}

const EVERY: Plan = Plan::every(Duration::from_millis(100));

#[test]
fn rule_1_a_run_is_handed_out_exactly_when_it_is_due() {
    let mut scheduler = empty::<4>();
    assert_eq!((scheduler.poll_at(), scheduler.poll(Instant::MAX).is_none()), (None, true));
    scheduler.schedule(1, Plan::once(Duration::from_nanos(10)), Instant::from_nanos(5)).unwrap();
    assert_eq!(scheduler.poll_at(), Some(Instant::from_nanos(15)));
    assert!(scheduler.poll(Instant::from_nanos(14)).is_none());
    let due = scheduler.poll(Instant::from_nanos(15)).unwrap();
    assert_eq!((*due.task, due.due, due.run.started()), (1, Instant::from_nanos(15), Instant::from_nanos(15)));
}

#[test]
fn rule_1_a_moment_out_of_reach_cancelled_does_not_hide_one_that_is_near() {
    let mut scheduler = empty::<1>();
    let never = scheduler.schedule(1, Plan::once(Duration::from_nanos(u64::MAX)), Instant::ZERO).unwrap();
    assert_eq!(scheduler.poll_at(), Some(Instant::MAX));
    assert_eq!(scheduler.cancel(never), Ok(Some(1)));
    scheduler.schedule(2, Plan::once(Duration::from_nanos(10)), Instant::ZERO).unwrap();
    assert!(scheduler.poll(Instant::from_nanos(9)).is_none());
    assert_eq!(scheduler.poll(Instant::from_nanos(10)).map(|due| *due.task), Some(2));
}

#[test]
fn rule_1_at_the_end_of_time_a_rate_has_one_last_run() {
    let mut scheduler = empty::<2>();
    let plan = Plan { delay: Duration::from_nanos(u64::MAX), ..EVERY };
    let id = scheduler.schedule(1, plan, at(3)).unwrap();
    let run = scheduler.poll(Instant::MAX).unwrap().run;
    assert!(scheduler.poll(Instant::MAX).is_none());
    assert_eq!(scheduler.finish(run, Outcome::Done, Instant::MAX), Ok(Some(1)));
    assert_eq!(scheduler.status(id), Ok(Status::Completed));
}

#[test]
fn rule_2_the_most_urgent_runs_first_and_equals_in_their_order() {
    use Priority::{Critical, High, Low, Normal};
    let mut scheduler = empty::<16>();
    let all =
        [(1, Low, 5), (2, Normal, 9), (3, Critical, 9), (4, Normal, 3), (5, High, 9), (6, Critical, 9), (7, Low, 5)];
    for (task, priority, delay) in all {
        scheduler.schedule(task, Plan { priority, ..Plan::once(ms(delay)) }, at(0)).unwrap();
    }
    assert_eq!(ran(&mut scheduler, 10), [3, 6, 5, 4, 2, 1, 7]);
    for task in 0..16 {
        scheduler.schedule(task, Plan::DEFAULT, at(10)).unwrap();
    }
    assert_eq!(ran(&mut scheduler, 10), (0..16).collect::<Vec<_>>());
}

#[test]
fn rule_2_a_low_one_is_not_starved_by_an_endless_flood() {
    for max_passed in [0, 1, 3, 7] {
        let mut scheduler: Scheduler<u32, 16> = Scheduler::new(Config { max_passed });
        scheduler.schedule(0, Plan { priority: Priority::Low, ..Plan::DEFAULT }, at(0)).unwrap();
        let flood = Plan { priority: Priority::Critical, ..Plan::DEFAULT };
        let mut ahead = 0;
        loop {
            while scheduler.schedule(1, flood, at(0)).is_ok() {}
            let due = scheduler.poll(at(0)).unwrap();
            let (task, run) = (*due.task, due.run);
            scheduler.finish(run, Outcome::Done, at(0)).unwrap();
            if task == 0 {
                break;
            }
            ahead += 1;
        }
        assert_eq!(ahead, max_passed);
    }
}

#[test]
fn rule_3_a_rate_adds_to_the_due_time_and_a_delay_to_the_end_of_the_run() {
    let mut scheduler = empty::<2>();
    let rate = scheduler.schedule(1, EVERY, at(0)).unwrap();
    let delay = scheduler.schedule(2, Plan::after_each(ms(100)), at(0)).unwrap();
    let runs = begin(&mut scheduler, 110);
    assert_eq!(runs.len(), 2);
    for (_, run) in runs {
        scheduler.finish(run, Outcome::Done, at(130)).unwrap();
    }
    let next = |id| scheduler.info(id).unwrap().next_start;
    assert_eq!((next(rate), next(delay)), (Some(at(200)), Some(at(230))));
    let shown = scheduler.info(rate).unwrap();
    assert_eq!((shown.last_start, shown.last_took, shown.runs), (Some(at(110)), Some(ms(20)), 1));
}

#[test]
fn rule_3_a_task_ends_after_so_many_runs() {
    for plan in [EVERY, Plan::after_each(ms(100))] {
        let mut scheduler = empty::<1>();
        let id = scheduler.schedule(1, Plan { times: Some(3), ..plan }, at(0)).unwrap();
        let runs: Vec<_> = (0..10).map(|n| ran(&mut scheduler, n * 100).len()).collect();
        assert_eq!(runs, [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!((scheduler.status(id), scheduler.len()), (Ok(Status::Completed), 0));
    }
}

#[test]
fn rule_4_skip_has_one_run_for_all_that_were_missed() {
    let plan = Plan { missed: Missed::Skip, ..EVERY };
    assert_eq!(starts(plan, 350, 500), [(350, 2), (400, 0), (500, 0)]);
}

#[test]
fn rule_4_burst_has_a_run_for_each() {
    let plan = Plan { missed: Missed::Burst(10), ..EVERY };
    assert_eq!(starts(plan, 350, 400), [(350, 0), (350, 0), (350, 0), (400, 0)]);
}

#[test]
fn rule_4_burst_has_no_more_than_its_most_at_once() {
    let plan = Plan { missed: Missed::Burst(2), ..EVERY };
    assert_eq!(starts(plan, 350, 400), [(350, 1), (350, 0), (400, 0)]);
}

#[test]
fn rule_4_delay_begins_anew() {
    let plan = Plan { missed: Missed::Delay, ..EVERY };
    assert_eq!(starts(plan, 350, 550), [(350, 2), (450, 0), (550, 0)]);
}

#[test]
fn rule_4_a_run_that_is_late_by_less_than_a_period_moves_nothing() {
    for missed in [Missed::Skip, Missed::Burst(1), Missed::Delay] {
        assert_eq!(starts(Plan { missed, ..EVERY }, 199, 300), [(199, 0), (200, 0), (300, 0)]);
    }
}

#[test]
fn rule_4_what_was_due_before_it_was_planned_is_late() {
    let mut scheduler = empty::<1>();
    scheduler.schedule_at(7, EVERY, at(100)).unwrap();
    assert_eq!(scheduler.poll(at(350)).map(|due| (due.due, due.missed)), Some((at(100), 2)));
    assert_eq!(scheduler.poll_at(), Some(at(400)));
}

#[test]
fn rule_5_what_is_later_than_its_grace_is_dropped() {
    let mut scheduler = empty::<2>();
    let plan = Plan { grace: Some(ms(50)), ..Plan::once(ms(100)) };
    let late = scheduler.schedule(1, plan, at(0)).unwrap();
    let just = scheduler.schedule(2, Plan { grace: Some(ms(51)), ..plan }, at(0)).unwrap();
    assert_eq!(ran(&mut scheduler, 151), [2]);
    assert_eq!(scheduler.status(late), Ok(Status::Failed { error: Failure::Late }));
    assert_eq!(scheduler.status(just), Ok(Status::Completed));
    assert_eq!((scheduler.info(late).unwrap().dropped, scheduler.snapshot().dropped), (1, 1));
}

#[test]
fn rule_5_of_several_due_times_only_the_late_ones_are_dropped() {
    // 100 and 200 are too late at 350, 300 is not.
    assert_eq!(starts(Plan { grace: Some(ms(50)), ..EVERY }, 350, 400), [(350, 0), (400, 0)]);
    assert_eq!(starts(Plan { grace: Some(ms(49)), ..EVERY }, 350, 400), [(400, 0)]);
    assert_eq!(starts(Plan { grace: Some(ms(150)), ..EVERY }, 350, 400), [(350, 1), (400, 0)]);
    let burst = Plan { grace: Some(ms(150)), missed: Missed::Burst(9), ..EVERY };
    assert_eq!(starts(burst, 350, 400), [(350, 0), (350, 0), (400, 0)]);
    let pause = Plan { grace: Some(ms(10)), ..Plan::after_each(ms(100)) };
    assert_eq!(starts(pause, 120, 330), [(220, 0), (320, 0)]);
}

#[test]
fn rule_6_every_due_time_is_accounted_for() {
    for missed in [Missed::Skip, Missed::Burst(2), Missed::Burst(50)] {
        let mut scheduler = empty::<1>();
        let id = scheduler.schedule(1, Plan { missed, grace: Some(ms(730)), ..EVERY }, at(0)).unwrap();
        for now in [100, 250, 1_900, 1_950, 2_000, 7_301] {
            ran(&mut scheduler, now);
        }
        let shown = scheduler.info(id).unwrap();
        assert_eq!(shown.runs + shown.missed + shown.dropped, 73, "{shown:?}");
        let all = scheduler.snapshot();
        assert_eq!((all.runs, all.missed, all.dropped), (shown.runs.into(), shown.missed.into(), shown.dropped.into()));
    }
}

#[test]
fn rule_7_no_more_than_its_overlap_run_at_once() {
    let mut scheduler = empty::<1>();
    let id = scheduler.schedule(1, Plan { overlap: 2, ..EVERY }, at(0)).unwrap();
    let mut runs = begin(&mut scheduler, 100);
    runs.extend(begin(&mut scheduler, 200));
    assert_eq!((runs.len(), begin(&mut scheduler, 300).len()), (2, 0));
    assert_eq!((scheduler.info(id).unwrap().running, scheduler.poll_at()), (2, None));
    scheduler.finish(runs.remove(0).1, Outcome::Done, at(420)).unwrap();
    let due = scheduler.poll(at(420)).unwrap();
    assert_eq!((due.due, due.missed), (at(300), 1));
    assert_eq!((scheduler.info(id).unwrap().overlaps, scheduler.snapshot().overlaps), (1, 1));
}

#[test]
fn rule_7_what_waited_unseen_is_counted_too() {
    let mut scheduler = empty::<1>();
    let id = scheduler.schedule(1, EVERY, at(0)).unwrap();
    let run = begin(&mut scheduler, 100).remove(0).1;
    scheduler.finish(run, Outcome::Done, at(250)).unwrap();
    assert_eq!(scheduler.info(id).unwrap().overlaps, 1);
    assert_eq!(ran(&mut scheduler, 250), [1]);
    assert_eq!(scheduler.info(id).unwrap().overlaps, 1);
}

#[test]
fn rule_8_a_cancel_frees_the_place_at_once() {
    let mut scheduler = empty::<64>();
    for n in 0..63 {
        scheduler.schedule(n, Plan::once(ms(n.into())), at(5)).unwrap();
    }
    for n in 0..100_000 {
        let id = scheduler.schedule(n, Plan::once(ms(u64::from(n) % 977)), at(5)).unwrap();
        assert_eq!(scheduler.cancel(id), Ok(Some(n)));
    }
    let shown = scheduler.snapshot();
    assert_eq!((shown.tasks, shown.scheduled, shown.cancelled, shown.refused), (63, 100_063, 100_000, 0));
}

#[test]
fn rule_8_what_runs_is_asked_to_stop_and_only_once() {
    let mut scheduler = empty::<1>();
    let id = scheduler.schedule(1, EVERY, at(0)).unwrap();
    let run = begin(&mut scheduler, 100).remove(0).1;
    assert!(!scheduler.is_cancelling(&run));
    assert_eq!((scheduler.cancel(id), scheduler.status(id)), (Ok(None), Ok(Status::Cancelling)));
    assert!(scheduler.is_cancelling(&run));
    assert_eq!(scheduler.cancel(id), Err(Error::Cancelling));
    assert_eq!((scheduler.pause(id), scheduler.run_now(id, at(100))), (Err(Error::Cancelling), Err(Error::Cancelling)));
    assert!(begin(&mut scheduler, 900).is_empty());
    assert_eq!(scheduler.finish(run, Outcome::Failed(3), at(900)), Ok(Some(1)));
    assert_eq!((scheduler.status(id), scheduler.cancel(id)), (Ok(Status::Cancelled), Err(Error::Ended)));
    assert!(scheduler.is_empty());
}

#[test]
fn rule_9_an_old_id_tells_the_end_and_is_never_another_task() {
    let mut scheduler = empty::<2>();
    let first = scheduler.schedule(1, Plan::DEFAULT, at(0)).unwrap();
    assert_eq!((ran(&mut scheduler, 0), scheduler.status(first)), (vec![1], Ok(Status::Completed)));
    let second = scheduler.schedule(2, Plan::once(ms(5)), at(0)).unwrap();
    assert_eq!(scheduler.status(first), Ok(Status::Completed), "there was another place");
    let third = scheduler.schedule(3, Plan::once(ms(5)), at(0)).unwrap();
    assert_eq!((scheduler.status(first), scheduler.cancel(first)), (Err(Error::Unknown), Err(Error::Unknown)));
    assert_eq!((scheduler.task(first), scheduler.task(second), scheduler.task(third)), (None, Some(&2), Some(&3)));
    assert_eq!(Id::from_bits(third.to_bits()), third);
    assert_eq!(scheduler.info(Id::from_bits(0)).map(|_| ()), Err(Error::Unknown));
}

#[test]
fn rule_10_a_full_scheduler_gives_the_task_back_and_nothing_runs_early() {
    let mut scheduler: Scheduler<String, 2> = Scheduler::new(Config::DEFAULT);
    for name in ["a", "b"] {
        scheduler.schedule(name.into(), Plan::once(ms(10)), at(0)).unwrap();
    }
    let refused = scheduler.schedule("c".into(), Plan::DEFAULT, at(0)).unwrap_err();
    assert_eq!(refused, Refused::Full("c".into()));
    assert!(scheduler.poll(at(9)).is_none());
    assert_eq!((scheduler.len(), scheduler.snapshot().refused), (2, 1));
    let refused = scheduler.schedule("d".into(), Plan::every(Duration::ZERO), at(0)).unwrap_err();
    assert_eq!(refused, Refused::Invalid("d".into(), PlanError::NoPeriod));
    assert_eq!(scheduler.iter().map(|(_, task)| task.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn rule_11_what_is_paused_does_not_run_and_goes_on_with_the_next_due_time() {
    let mut scheduler = empty::<4>();
    let rate = scheduler.schedule(1, EVERY, at(0)).unwrap();
    let once = scheduler.schedule(2, Plan::once(ms(150)), at(0)).unwrap();
    for id in [rate, once] {
        scheduler.pause(id).unwrap();
        scheduler.pause(id).unwrap();
        assert_eq!(scheduler.status(id), Ok(Status::Paused));
    }
    assert_eq!((ran(&mut scheduler, 320), scheduler.poll_at()), (vec![], None));
    for id in [rate, once] {
        scheduler.resume(id, at(330)).unwrap();
        scheduler.resume(id, at(330)).unwrap();
    }
    assert_eq!((ran(&mut scheduler, 330), scheduler.poll_at()), (vec![2], Some(at(400))));
    assert_eq!((ran(&mut scheduler, 400), scheduler.info(rate).unwrap().missed), (vec![1], 0));
}

#[test]
fn rule_11_a_pause_lets_the_run_under_way_go_on() {
    let mut scheduler = empty::<1>();
    let id = scheduler.schedule(1, EVERY, at(0)).unwrap();
    let run = begin(&mut scheduler, 100).remove(0).1;
    scheduler.pause(id).unwrap();
    assert_eq!(scheduler.status(id), Ok(Status::Running));
    scheduler.finish(run, Outcome::Done, at(150)).unwrap();
    assert_eq!((scheduler.status(id), ran(&mut scheduler, 500)), (Ok(Status::Paused), vec![]));
    scheduler.run_now(id, at(500)).unwrap();
    assert_eq!((ran(&mut scheduler, 500), scheduler.status(id)), (vec![1], Ok(Status::Paused)));
    scheduler.resume(id, at(500)).unwrap();
    assert_eq!(ran(&mut scheduler, 500), [1], "500 is one of its due times");
}

#[test]
fn rule_12_who_asks_for_a_run_gets_one_and_the_due_times_stay() {
    let mut scheduler = empty::<1>();
    let id = scheduler.schedule(1, EVERY, at(0)).unwrap();
    for _ in 0..3 {
        scheduler.run_now(id, at(30)).unwrap();
    }
    assert_eq!((ran(&mut scheduler, 30), scheduler.poll_at()), (vec![1], Some(at(100))));
    let run = begin(&mut scheduler, 100).remove(0).1;
    for _ in 0..3 {
        scheduler.run_now(id, at(110)).unwrap();
    }
    assert!(begin(&mut scheduler, 120).is_empty(), "it runs");
    scheduler.finish(run, Outcome::Done, at(130)).unwrap();
    assert_eq!((ran(&mut scheduler, 130), scheduler.poll_at()), (vec![1], Some(at(200))));
    assert_eq!(scheduler.info(id).unwrap().overlaps, 0, "nobody's due time had to wait");
}

#[test]
fn rule_12_a_run_that_was_asked_for_is_one_of_its_times() {
    let mut scheduler = empty::<1>();
    let once = scheduler.schedule(1, Plan::once(ms(100)), at(0)).unwrap();
    scheduler.run_now(once, at(1)).unwrap();
    assert_eq!((ran(&mut scheduler, 1), scheduler.status(once)), (vec![1], Ok(Status::Completed)));
    let pause = scheduler.schedule(2, Plan { times: Some(2), ..Plan::after_each(ms(100)) }, at(0)).unwrap();
    scheduler.run_now(pause, at(40)).unwrap();
    assert_eq!((ran(&mut scheduler, 40), scheduler.poll_at()), (vec![2], Some(at(140))));
    assert_eq!((ran(&mut scheduler, 140), scheduler.status(pause)), (vec![2], Ok(Status::Completed)));
}

#[test]
fn rule_13_a_due_time_is_moved_and_those_after_it() {
    let mut scheduler = empty::<2>();
    let id = scheduler.schedule(1, EVERY, at(0)).unwrap();
    scheduler.reschedule(id, ms(30), at(90)).unwrap();
    assert_eq!(
        (ran(&mut scheduler, 119), ran(&mut scheduler, 120), scheduler.poll_at()),
        (vec![], vec![1], Some(at(220)))
    );
    // A run that puts itself off.
    let once = scheduler.schedule(2, Plan::once(ms(0)), at(120)).unwrap();
    let run = begin(&mut scheduler, 120).remove(0).1;
    scheduler.reschedule(once, ms(10), at(120)).unwrap();
    assert_eq!((scheduler.finish(run, Outcome::Done, at(121)), scheduler.poll_at()), (Ok(None), Some(at(130))));
    assert_eq!((ran(&mut scheduler, 130), scheduler.status(once)), (vec![2], Ok(Status::Completed)));
    assert_eq!(scheduler.reschedule(once, ms(1), at(130)), Err(Error::Ended));
}

#[test]
fn rule_14_a_run_that_fails_fails_alone() {
    let mut scheduler = empty::<1>();
    let id = scheduler.schedule(1, Plan { times: Some(3), ..EVERY }, at(0)).unwrap();
    for (now, outcome) in [(100, Outcome::Panicked), (200, Outcome::Done), (300, Outcome::Failed(9))] {
        let run = begin(&mut scheduler, now).remove(0).1;
        scheduler.finish(run, outcome, at(now)).unwrap();
        if now == 200 {
            let shown = scheduler.info(id).unwrap();
            assert_eq!((shown.status, shown.last_error), (Status::Scheduled, Some(Failure::Panicked)));
        }
    }
    let shown = scheduler.info(id).unwrap();
    assert_eq!((shown.status, shown.failed, shown.panics), (Status::Failed { error: Failure::Code(9) }, 2, 1));
}

#[test]
fn rule_15_a_clock_that_steps_back_makes_nothing_due() {
    let mut scheduler = empty::<4>();
    for task in 1..=3 {
        scheduler.schedule(task, Plan::once(ms(u64::from(task) * 10)), at(0)).unwrap();
    }
    assert_eq!(scheduler.poll(at(20)).map(|due| *due.task), Some(1));
    assert_eq!(scheduler.poll_at(), Some(Instant::ZERO));
    assert_eq!(scheduler.poll(at(3)).map(|due| *due.task), Some(2), "it was due");
    assert!(scheduler.poll(at(3)).is_none());
    let run = begin(&mut scheduler, 30).remove(0).1;
    scheduler.finish(run, Outcome::Done, at(2)).unwrap();
}

#[test]
fn a_run_of_another_scheduler_is_refused() {
    let (mut ours, mut theirs) = (empty::<1>(), empty::<1>());
    ours.schedule(1, Plan::DEFAULT, at(0)).unwrap();
    let run = begin(&mut ours, 0).remove(0).1;
    assert_eq!(theirs.finish(run, Outcome::Done, at(0)), Err(Error::Unknown));
    theirs.schedule(1, EVERY, at(0)).unwrap();
    ours.schedule(2, EVERY, at(0)).unwrap_err();
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let repeat = Repeat::FixedDelay(Duration::ZERO);
    assert_eq!(Plan { repeat, ..EVERY }.validate(), Err(PlanError::NoPeriod));
    assert_eq!(Plan { times: Some(0), ..EVERY }.validate(), Err(PlanError::NoRuns));
    assert_eq!(Plan { missed: Missed::Burst(0), ..EVERY }.validate(), Err(PlanError::NoBurst));
    assert_eq!(Plan { overlap: 0, ..EVERY }.validate(), Err(PlanError::NoOverlap));
}
