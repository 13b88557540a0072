//! A naive scheduler: a map of moments, a list of what is due, due times counted one by one.

use std::collections::{BTreeMap, HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

/// A task of the model. All times are milliseconds.
struct Task {
    plan: Plan,
    due: Option<u64>,
    left: Option<u32>,
    /// Its key among the timers.
    timer: Option<(u64, u64)>,
    is_due: bool,
    paused: bool,
    wanted: bool,
    cancelled: bool,
    running: u8,
    runs: u32,
    failed: u32,
    panics: u32,
    missed: u32,
    dropped: u32,
    overlaps: u32,
    last_start: Option<u64>,
    last_took: Option<u64>,
    error: Option<Failure>,
    is_last_wrong: bool,
    ended: Option<Status>,
}

impl Task {
    fn status(&self) -> Status {
        match self.ended {
            Some(ended) => ended,
            None if self.running > 0 && self.cancelled => Status::Cancelling,
            None if self.running > 0 => Status::Running,
            None if self.paused => Status::Paused,
            None => Status::Scheduled,
        }
    }

    fn period(&self) -> Option<u64> {
        match self.plan.repeat {
            Repeat::FixedRate(period) => Some(period.as_millis()),
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        self.running == 0 && (self.cancelled || (self.due.is_none() && !self.wanted))
    }
}

#[derive(Default)]
struct Model {
    tasks: HashMap<u32, Task>,
    timers: BTreeMap<(u64, u64), u32>,
    due: Vec<u32>,
    passed: u8,
    seq: u64,
    used: usize,
    free: VecDeque<u32>,
    live: usize,
}

impl Model {
    fn schedule(&mut self, task: u32, plan: Plan, capacity: usize, now: u64) -> bool {
        if self.used < capacity {
            self.used += 1;
        } else {
            let Some(old) = self.free.pop_front() else { return false };
            self.tasks.remove(&old);
        }
        let left = if plan.repeat == Repeat::Once { Some(1) } else { plan.times };
        let new = Task {
            plan,
            due: Some(now + plan.delay.as_millis()),
            left,
            timer: None,
            is_due: false,
            paused: false,
            wanted: false,
            cancelled: false,
            running: 0,
            runs: 0,
            failed: 0,
            panics: 0,
            missed: 0,
            dropped: 0,
            overlaps: 0,
            last_start: None,
            last_took: None,
            error: None,
            is_last_wrong: false,
            ended: None,
        };
        self.tasks.insert(task, new);
        self.live += 1;
        self.settle(task, now);
        true
    }

    /// The task, if something can be done about it.
    fn active(&mut self, task: u32) -> Result<&mut Task, Error> {
        let task = self.tasks.get_mut(&task).ok_or(Error::Unknown)?;
        match task.ended {
            Some(_) => Err(Error::Ended),
            None if task.cancelled => Err(Error::Cancelling),
            None => Ok(task),
        }
    }

    fn settle(&mut self, name: u32, now: u64) {
        let task = self.tasks.get_mut(&name).unwrap();
        if task.is_due || task.timer.is_some() || task.cancelled {
            return;
        }
        let planned = task.due.filter(|_| !task.paused);
        let at = if task.wanted { Some(planned.map_or(now, |due| due.min(now))) } else { planned };
        if let Some(at) = at {
            self.seq += 1;
            task.timer = Some((at, self.seq));
            self.timers.insert((at, self.seq), name);
        }
    }

    fn withdraw(&mut self, name: u32) {
        let task = self.tasks.get_mut(&name).unwrap();
        task.is_due = false;
        if let Some(timer) = task.timer.take() {
            self.timers.remove(&timer);
        }
        self.due.retain(|due| *due != name);
    }

    fn end(&mut self, name: u32) {
        let task = self.tasks.get_mut(&name).unwrap();
        task.ended = Some(match task.error {
            _ if task.cancelled => Status::Cancelled,
            Some(error) if task.is_last_wrong => Status::Failed { error },
            _ => Status::Completed,
        });
        self.free.push_back(name);
        self.live -= 1;
    }

    fn poll(&mut self, max_passed: u8, now: u64) -> Option<(u32, u64, u32)> {
        while let Some((&key, &name)) = self.timers.first_key_value()
            && key.0 <= now
        {
            self.timers.remove(&key);
            let task = self.tasks.get_mut(&name).unwrap();
            task.timer = None;
            if task.running < task.plan.overlap {
                task.is_due = true;
                self.due.push(name);
            } else if !task.wanted {
                task.overlaps += 1;
            }
        }
        while !self.due.is_empty() {
            let urgent = self.due.iter().map(|name| self.tasks[name].plan.priority).max().unwrap();
            let first = self.due.iter().position(|name| self.tasks[name].plan.priority == urgent).unwrap();
            let first = if self.passed >= max_passed { 0 } else { first };
            self.passed = if first == 0 { 0 } else { self.passed + 1 };
            let name = self.due.remove(first);
            let begun = self.turn(name, now);
            if self.tasks[&name].is_over() {
                self.end(name);
            } else {
                self.settle(name, now);
            }
            if let Some((due, missed)) = begun {
                return Some((name, due, missed));
            }
        }
        None
    }

    fn turn(&mut self, name: u32, now: u64) -> Option<(u64, u32)> {
        let task = self.tasks.get_mut(&name).unwrap();
        task.is_due = false;
        let planned = task.due.filter(|due| !task.paused && (*due <= now || !task.wanted));
        task.wanted = false;
        let run = match planned {
            None => {
                if matches!(task.plan.repeat, Repeat::FixedDelay(_)) {
                    task.due = None;
                }
                (now, 0)
            }
            Some(due) => {
                // One after the other, as they have passed.
                let mut passed = vec![due];
                task.due = None;
                if let Some(period) = task.period() {
                    while passed[passed.len() - 1] + period <= now {
                        passed.push(passed[passed.len() - 1] + period);
                    }
                    task.due = Some(passed[passed.len() - 1] + period);
                }
                let all = passed.len();
                let grace = task.plan.grace.map_or(u64::MAX, Duration::as_millis);
                passed.retain(|due| now.saturating_sub(*due) <= grace);
                task.dropped += (all - passed.len()) as u32;
                if passed.is_empty() {
                    (task.error, task.is_last_wrong) = (Some(Failure::Late), true);
                    if let Repeat::FixedDelay(pause) = task.plan.repeat {
                        task.due = Some(now + pause.as_millis());
                    }
                    return None;
                }
                let (begun, missed) = match (task.period(), task.plan.missed) {
                    (Some(period), Missed::Burst(most)) => {
                        let over = passed.len().saturating_sub(most as usize);
                        task.due = Some(passed[over] + period);
                        (passed[over], over)
                    }
                    (Some(period), Missed::Delay) if all > 1 => {
                        task.due = Some(now + period);
                        (passed[0], passed.len() - 1)
                    }
                    _ => (passed[0], passed.len() - 1),
                };
                task.missed += missed as u32;
                (begun, missed as u32)
            }
        };
        if let Some(left) = &mut task.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                task.due = None;
            }
        }
        task.running += 1;
        task.runs += 1;
        task.last_start = Some(now);
        Some(run)
    }

    fn finish(&mut self, name: u32, outcome: Outcome, took: u64, now: u64) -> bool {
        let task = self.tasks.get_mut(&name).unwrap();
        if task.running == task.plan.overlap && !task.wanted && task.timer.is_some_and(|(at, _)| at <= now) {
            task.overlaps += 1;
        }
        task.running -= 1;
        task.last_took = Some(took);
        task.is_last_wrong = outcome != Outcome::Done;
        match outcome {
            Outcome::Done => {}
            Outcome::Failed(code) => task.error = Some(Failure::Code(code)),
            Outcome::Panicked => (task.error, task.panics) = (Some(Failure::Panicked), task.panics + 1),
        }
        task.failed += u32::from(task.is_last_wrong);
        if let Repeat::FixedDelay(pause) = task.plan.repeat
            && task.due.is_none()
            && task.left != Some(0)
            && !task.cancelled
        {
            task.due = Some(now + pause.as_millis());
        }
        if task.is_over() {
            self.end(name);
            return true;
        }
        self.settle(name, now);
        false
    }

    fn cancel(&mut self, name: u32) -> Result<bool, Error> {
        let task = self.active(name)?;
        (task.cancelled, task.due, task.wanted) = (true, None, false);
        self.withdraw(name);
        let is_over = self.tasks[&name].is_over();
        if is_over {
            self.end(name);
        }
        Ok(is_over)
    }

    fn pause(&mut self, name: u32) -> Result<(), Error> {
        let task = self.active(name)?;
        if !task.paused || task.wanted {
            (task.paused, task.wanted) = (true, false);
            self.withdraw(name);
        }
        Ok(())
    }

    fn resume(&mut self, name: u32, now: u64) -> Result<(), Error> {
        let task = self.active(name)?;
        if !task.paused {
            return Ok(());
        }
        task.paused = false;
        let period = task.period();
        if let Some(due) = &mut task.due {
            while *due < now {
                *due = period.map_or(now, |period| *due + period);
            }
        }
        self.settle(name, now);
        Ok(())
    }

    fn run_now(&mut self, name: u32, now: u64) -> Result<(), Error> {
        let task = self.active(name)?;
        task.wanted = true;
        if !task.is_due && task.timer.is_none_or(|(at, _)| at > now) {
            self.withdraw(name);
            self.settle(name, now);
        }
        Ok(())
    }

    fn reschedule(&mut self, name: u32, delay: u64, now: u64) -> Result<(), Error> {
        let task = self.active(name)?;
        task.due = Some(now + delay);
        task.left = task.left.map(|left| left.max(1));
        if !task.wanted {
            self.withdraw(name);
            self.settle(name, now);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Schedule(Plan),
    Poll,
    Finish(usize, u8),
    Cancel(usize),
    Pause(usize),
    Resume(usize),
    RunNow(usize),
    Reschedule(usize, u8),
    /// In milliseconds, backwards too.
    Step(i16),
    /// To where something happens.
    Next,
}

fn plan() -> impl Strategy<Value = Plan> {
    use Priority::{Critical, High, Low, Normal};
    let priority = prop_oneof![Just(Low), Just(Normal), Just(High), Just(Critical)];
    let period = (1..40_u64).prop_map(ms);
    let repeat = prop_oneof![
        Just(Repeat::Once),
        period.clone().prop_map(Repeat::FixedRate),
        period.prop_map(Repeat::FixedDelay)
    ];
    let missed = prop_oneof![Just(Missed::Skip), (1..4_u32).prop_map(Missed::Burst), Just(Missed::Delay)];
    let times = prop::option::of(1..6_u32);
    let grace = prop::option::weighted(0.3, (0..60_u64).prop_map(ms));
    (0..80_u64, priority, repeat, times, missed, grace, 1..3_u8).prop_map(
        |(delay, priority, repeat, times, missed, grace, overlap)| Plan {
            delay: ms(delay),
            priority,
            repeat,
            times,
            missed,
            grace,
            overlap,
        },
    )
}

fn verb() -> impl Strategy<Value = Verb> {
    let which = 0..10_000_usize;
    prop_oneof![
        8 => plan().prop_map(Verb::Schedule),
        10 => Just(Verb::Poll),
        8 => (which.clone(), 0..4_u8).prop_map(|(which, how)| Verb::Finish(which, how)),
        3 => which.clone().prop_map(Verb::Cancel),
        2 => which.clone().prop_map(Verb::Pause),
        2 => which.clone().prop_map(Verb::Resume),
        2 => which.clone().prop_map(Verb::RunNow),
        2 => (which, 0..90_u8).prop_map(|(which, delay)| Verb::Reschedule(which, delay)),
        1 => Just(Verb::Step(-30)),
        3 => (0..50_i16).prop_map(Verb::Step),
        4 => Just(Verb::Next),
    ]
}

/// Both, side by side.
struct Pair<const N: usize> {
    scheduler: Box<Scheduler<u32, N>>,
    model: Model,
    max_passed: u8,
    now: u64,
    ids: Vec<Id>,
    running: Vec<(u32, Run)>,
}

impl<const N: usize> Pair<N> {
    fn new(max_passed: u8) -> Self {
        let scheduler = Box::new(Scheduler::new(Config { max_passed }));
        Self { scheduler, model: Model::default(), max_passed, now: 1_000, ids: Vec::new(), running: Vec::new() }
    }

    /// Most often one of the last tasks, those before have ended.
    fn pick(&self, which: usize) -> Option<(u32, Id)> {
        let recent = self.ids.len().min(2 * N + 2);
        let place = self.ids.len().checked_sub(1 + which.checked_rem(recent)?)?;
        Some((place as u32, self.ids[place]))
    }

    fn run(&mut self, verb: Verb) -> Result<(), TestCaseError> {
        let now = self.now;
        match verb {
            Verb::Schedule(plan) => {
                let task = self.ids.len() as u32;
                let given = self.scheduler.schedule(task, plan, at(now));
                prop_assert_eq!(given.is_ok(), self.model.schedule(task, plan, N, now));
                self.ids.extend(given.ok());
            }
            Verb::Poll => {
                let expected = self.model.poll(self.max_passed, now);
                let due = self.scheduler.poll(at(now)).map(|due| (*due.task, due.due, due.missed, due.run));
                let told = due.as_ref().map(|(task, due, missed, _)| (*task, due.as_millis(), *missed));
                prop_assert_eq!(told, expected);
                self.running.extend(due.map(|(task, .., run)| (task, run)));
            }
            Verb::Finish(which, how) => {
                let Some(which) = which.checked_rem(self.running.len()) else { return Ok(()) };
                let (task, run) = self.running.swap_remove(which);
                let outcome = [Outcome::Done, Outcome::Done, Outcome::Failed(how.into()), Outcome::Panicked];
                let outcome = outcome[usize::from(how)];
                let took = at(now).since(run.started()).as_millis();
                let is_over = self.model.finish(task, outcome, took, now);
                prop_assert_eq!(self.scheduler.finish(run, outcome, at(now)), Ok(is_over.then_some(task)));
            }
            Verb::Step(millis) => self.now = now.saturating_add_signed(millis.into()),
            Verb::Next => {
                let next = self.model.timers.first_key_value().map(|((at, _), _)| *at);
                self.now = next.unwrap_or(now).max(now);
            }
            Verb::Cancel(which) => {
                let Some((task, id)) = self.pick(which) else { return Ok(()) };
                let expected = self.model.cancel(task).map(|is_over| is_over.then_some(task));
                prop_assert_eq!(self.scheduler.cancel(id), expected);
            }
            Verb::Pause(which) => {
                let Some((task, id)) = self.pick(which) else { return Ok(()) };
                prop_assert_eq!(self.scheduler.pause(id), self.model.pause(task));
            }
            Verb::Resume(which) => {
                let Some((task, id)) = self.pick(which) else { return Ok(()) };
                prop_assert_eq!(self.scheduler.resume(id, at(now)), self.model.resume(task, now));
            }
            Verb::RunNow(which) => {
                let Some((task, id)) = self.pick(which) else { return Ok(()) };
                prop_assert_eq!(self.scheduler.run_now(id, at(now)), self.model.run_now(task, now));
            }
            Verb::Reschedule(which, delay) => {
                let Some((task, id)) = self.pick(which) else { return Ok(()) };
                let delay = u64::from(delay);
                prop_assert_eq!(
                    self.scheduler.reschedule(id, ms(delay), at(now)),
                    self.model.reschedule(task, delay, now)
                );
            }
        }
        let next = self.model.timers.first_key_value().map(|((moment, _), _)| at(*moment));
        let next = if self.model.due.is_empty() { next } else { Some(Instant::ZERO) };
        prop_assert_eq!((self.scheduler.poll_at(), self.scheduler.len()), (next, self.model.live));
        Ok(())
    }

    /// Every id that was ever given out.
    fn compare(&self) -> Result<(), TestCaseError> {
        for (task, &id) in self.ids.iter().enumerate() {
            let Some(expected) = self.model.tasks.get(&(task as u32)) else {
                prop_assert_eq!(self.scheduler.info(id), Err(Error::Unknown));
                continue;
            };
            let shown = self.scheduler.info(id).unwrap();
            prop_assert_eq!(Ok(shown.status), self.scheduler.status(id));
            prop_assert_eq!((shown.status, shown.priority), (expected.status(), expected.plan.priority));
            prop_assert_eq!((shown.runs, shown.running), (expected.runs, expected.running));
            prop_assert_eq!((shown.missed, shown.dropped), (expected.missed, expected.dropped));
            prop_assert_eq!((shown.failed, shown.panics), (expected.failed, expected.panics));
            prop_assert_eq!((shown.overlaps, shown.failing), (expected.overlaps, expected.is_last_wrong));
            prop_assert_eq!(
                (shown.last_start, shown.last_took),
                (expected.last_start.map(at), expected.last_took.map(ms))
            );
            prop_assert_eq!((shown.last_error, shown.next_start), (expected.error, expected.due.map(at)));
        }
        let shown = self.scheduler.snapshot();
        prop_assert_eq!(shown.running as usize, self.running.len());
        prop_assert_eq!(shown.scheduled, self.ids.len() as u64);
        prop_assert_eq!(shown.scheduled, u64::from(shown.tasks) + shown.ended + shown.cancelled);
        Ok(())
    }
}

fn agree<const N: usize>(max_passed: u8, verbs: &[Verb]) -> Result<(), TestCaseError> {
    let mut pair: Pair<N> = Pair::new(max_passed);
    for verb in verbs {
        pair.run(*verb)?;
        pair.compare()?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_scheduler_does_what_the_model_does(max_passed in 0..4_u8, verbs in prop::collection::vec(verb(), 1..250)) {
        agree::<1>(max_passed, &verbs)?;
        agree::<2>(max_passed, &verbs)?;
        agree::<7>(max_passed, &verbs)?;
        agree::<64>(max_passed, &verbs)?;
    }
}

/// A long run that fills it, with the same verbs from a seed that stands here.
fn agrees_for_long<const N: usize>(rounds: usize) {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut pair: Pair<N> = Pair::new(3);
    let mut take = |verbs: &dyn Fn(&mut TestRunner) -> Verb, pair: &mut Pair<N>| {
        let verb = verbs(&mut runner);
        pair.run(verb).unwrap();
    };
    let any = |runner: &mut TestRunner| verb().new_tree(runner).unwrap().current();
    let more = |runner: &mut TestRunner| Verb::Schedule(plan().new_tree(runner).unwrap().current());
    for _ in 0..3 {
        for _ in 0..=N {
            take(&more, &mut pair);
        }
        for _ in 0..rounds {
            take(&any, &mut pair);
        }
        pair.compare().unwrap();
    }
    // To the end: what has none is cancelled.
    for which in 0..pair.ids.len() {
        pair.run(Verb::Cancel(which)).unwrap();
    }
    while !pair.running.is_empty() {
        pair.run(Verb::Finish(0, 0)).unwrap();
    }
    pair.compare().unwrap();
}

#[test]
fn a_scheduler_of_1_024_does_what_the_model_does() {
    agrees_for_long::<1_024>(8_000);
}

#[test]
fn a_scheduler_of_4_096_does_what_the_model_does() {
    agrees_for_long::<4_096>(12_000);
}
