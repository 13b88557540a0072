//! One task, its plan and what became of it.

use super::plan::{Missed, Plan, Priority, Repeat};
use super::status::{Failure, Info, Outcome, Status};
use crate::time::{Duration, Instant};

/// A slot's index and 1; 0 for none, so that a `static` scheduler is all zeros.
pub(super) type Link = u32;

/// Where a slot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// It has no task: among the free ones.
    Free,
    /// It waits for something else than time.
    Nowhere,
    /// Among the timers.
    Timers,
    /// In the line of its priority.
    Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Once,
    Rate,
    Delay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Code,
    Panic,
    Late,
}

/// How often a task without end runs.
const ENDLESS: u32 = u32::MAX;
/// [`Missed`] as a number; what is between is the most of a burst.
const SKIP: u32 = 0;
const DELAY: u32 = u32::MAX;

/// What scheduling and cancelling touch. What only runs touch is in a [`Log`]: with many tasks, the memory that an operation reads is
/// most of what it costs.
pub(super) struct Slot<T> {
    pub(super) task: Option<T>,
    /// The next due time, if there `is_planned` one.
    pub(super) due: Instant,
    period: Duration,
    grace: Duration,
    pub(super) generation: u32,
    /// Of a line, or of the free ones.
    pub(super) next: Link,
    pub(super) previous: Link,
    /// Which of those in the lines it is; it wraps.
    pub(super) number: u32,
    /// Runs that are left.
    left: u32,
    missed: u32,
    kind: Kind,
    pub(super) priority: Priority,
    pub(super) spot: Spot,
    overlap: u8,
    pub(super) running: u8,
    pub(super) is_planned: bool,
    pub(super) is_paused: bool,
    pub(super) is_wanted: bool,
    pub(super) is_cancelled: bool,
    /// Whether the log is this task's and not that of one before it.
    pub(super) has_log: bool,
}

/// What became of the runs of a task.
#[derive(Clone, Copy)]
pub(super) struct Log {
    last_start: Instant,
    last_took: Duration,
    runs: u32,
    failed: u32,
    panics: u32,
    missed: u32,
    dropped: u32,
    pub(super) overlaps: u32,
    code: u32,
    wrong: Wrong,
    has_ended_a_run: bool,
    has_failed_last: bool,
}

impl Log {
    pub(super) const EMPTY: Self = Self {
        last_start: Instant::ZERO,
        last_took: Duration::ZERO,
        runs: 0,
        failed: 0,
        panics: 0,
        missed: 0,
        dropped: 0,
        overlaps: 0,
        code: 0,
        wrong: Wrong::Nothing,
        has_ended_a_run: false,
        has_failed_last: false,
    };

    const fn failure(&self) -> Option<Failure> {
        match self.wrong {
            Wrong::Nothing => None,
            Wrong::Code => Some(Failure::Code(self.code)),
            Wrong::Panic => Some(Failure::Panicked),
            Wrong::Late => Some(Failure::Late),
        }
    }
}

/// What a task does when its turn has come.
pub(super) enum Turn {
    Runs {
        due: Instant,
        missed: u32,
        dropped: u32,
        asked: bool,
    },
    /// Its run was dropped.
    Passes {
        dropped: u32,
    },
}

impl<T> Slot<T> {
    pub(super) const EMPTY: Self = Self {
        task: None,
        due: Instant::ZERO,
        period: Duration::ZERO,
        grace: Duration::ZERO,
        generation: 0,
        next: 0,
        previous: 0,
        number: 0,
        left: 0,
        missed: SKIP,
        kind: Kind::Once,
        priority: Priority::Low,
        spot: Spot::Free,
        overlap: 0,
        running: 0,
        is_planned: false,
        is_paused: false,
        is_wanted: false,
        is_cancelled: false,
        has_log: false,
    };

    pub(super) fn begin(&mut self, task: T, plan: &Plan, due: Instant) {
        let (kind, period) = match plan.repeat {
            Repeat::Once => (Kind::Once, Duration::ZERO),
            Repeat::FixedRate(period) => (Kind::Rate, period),
            Repeat::FixedDelay(period) => (Kind::Delay, period),
        };
        let missed = match plan.missed {
            Missed::Skip => SKIP,
            Missed::Burst(most) => most.min(DELAY - 1),
            Missed::Delay => DELAY,
        };
        let left = if matches!(kind, Kind::Once) { 1 } else { plan.times.unwrap_or(ENDLESS) };
        // No id with generation 0 is given out: those of `Id::from_bits(small)` are nobody's.
        let generation = self.generation.wrapping_add(1).max(1);
        *self = Self {
            task: Some(task),
            due,
            period,
            grace: plan.grace.unwrap_or(Duration::from_nanos(u64::MAX)),
            generation,
            left,
            missed,
            kind,
            priority: plan.priority,
            spot: Spot::Nowhere,
            overlap: plan.overlap,
            is_planned: true,
            ..Self::EMPTY
        };
    }

    /// Two fields that are far apart in memory.
    pub(super) const fn ends(&self) -> (Duration, u32) {
        (self.period, self.number)
    }

    /// Whether another run may begin now.
    pub(super) const fn has_room(&self) -> bool {
        self.running < self.overlap
    }

    /// Whether nothing is to come of it any more.
    pub(super) const fn is_over(&self) -> bool {
        self.running == 0 && (self.is_cancelled || !self.is_planned && !self.is_wanted)
    }

    /// Its turn has come: a run begins, or is dropped.
    pub(super) fn turn(&mut self, log: &mut Log, now: Instant) -> Turn {
        let is_due = self.is_planned && !self.is_paused && (self.due <= now || !self.is_wanted);
        self.is_wanted = false;
        let (due, missed, dropped) = if is_due {
            match self.pass(now) {
                Ok(run) => run,
                Err(dropped) => {
                    (log.wrong, log.has_failed_last) = (Wrong::Late, true);
                    log.dropped = log.dropped.saturating_add(dropped);
                    return Turn::Passes { dropped };
                }
            }
        } else {
            // The pause begins anew with the end of this run.
            self.is_planned &= self.kind != Kind::Delay;
            (now, 0, 0)
        };
        log.dropped = log.dropped.saturating_add(dropped);
        if self.left != ENDLESS {
            self.left = self.left.saturating_sub(1);
            self.is_planned &= self.left > 0;
        }
        self.running = self.running.saturating_add(1);
        log.runs = log.runs.saturating_add(1);
        log.missed = log.missed.saturating_add(missed);
        log.last_start = now;
        Turn::Runs { due, missed, dropped, asked: !is_due }
    }

    /// Goes on to the next due time. The due time of the run, how many others it stands for, and how many were dropped; `Err` if all were.
    fn pass(&mut self, now: Instant) -> Result<(Instant, u32, u32), u32> {
        let (due, period) = (self.due, self.period);
        let late = now.since(due);
        if self.kind != Kind::Rate {
            let is_late = late > self.grace;
            self.is_planned = false;
            if is_late && self.kind == Kind::Delay {
                self.plan(now);
            }
            return if is_late { Err(1) } else { Ok((due, 0, 0)) };
        }
        // Almost always: no due time was missed, and nothing is divided.
        if late < period && late <= self.grace {
            self.plan(due);
            return Ok((due, 0, 0));
        }
        let (late, period, grace) = (late.as_nanos(), period.as_nanos(), self.grace.as_nanos());
        let passed = periods(late, period).saturating_add(1);
        let over = if late > grace { periods(late - grace - 1, period).saturating_add(1).min(passed) } else { 0 };
        let nth = |n: u64| due + self.period.times(n);
        let mut first = over;
        let mut missed = passed - over;
        if missed == 0 {
            self.plan(nth(passed - 1));
            return Err(narrow(over));
        }
        match self.missed {
            DELAY if passed > 1 => {
                missed -= 1;
                self.plan(now);
            }
            SKIP | DELAY => {
                missed -= 1;
                self.plan(nth(passed - 1));
            }
            most => {
                missed = missed.saturating_sub(u64::from(most));
                first += missed;
                self.plan(nth(first));
            }
        }
        Ok((due + self.period.times(first), narrow(missed), narrow(over)))
    }

    /// The next due time is one period after `from`. Where time does not reach so far, there is none.
    fn plan(&mut self, from: Instant) {
        match from.as_nanos().checked_add(self.period.as_nanos()) {
            Some(nanos) => (self.due, self.is_planned) = (Instant::from_nanos(nanos), true),
            None => self.is_planned = false,
        }
    }

    /// A run has ended.
    pub(super) fn end_run(&mut self, log: &mut Log, outcome: Outcome, took: Duration, now: Instant) {
        self.running = self.running.saturating_sub(1);
        log.last_took = took;
        log.has_ended_a_run = true;
        log.has_failed_last = outcome != Outcome::Done;
        match outcome {
            Outcome::Done => {}
            Outcome::Failed(code) => (log.wrong, log.code) = (Wrong::Code, code),
            Outcome::Panicked => {
                log.wrong = Wrong::Panic;
                log.panics = log.panics.saturating_add(1);
            }
        }
        log.failed = log.failed.saturating_add(u32::from(log.has_failed_last));
        if self.kind == Kind::Delay && !self.is_planned && self.left > 0 && !self.is_cancelled {
            self.plan(now);
        }
    }

    /// Due times of the pause have passed by nobody's fault; a run that is owed comes at once.
    pub(super) fn resume(&mut self, now: Instant) {
        self.is_paused = false;
        if !self.is_planned || self.due >= now {
            return;
        }
        if self.kind != Kind::Rate {
            self.due = now;
            return;
        }
        let late = now.since(self.due).as_nanos();
        self.plan(self.due + self.period.times(periods(late - 1, self.period.as_nanos())));
        if !self.is_planned {
            (self.due, self.is_planned) = (Instant::MAX, true);
        }
    }

    pub(super) fn reschedule(&mut self, due: Instant) {
        (self.due, self.is_planned) = (due, true);
        self.left = self.left.max(1);
    }

    pub(super) const fn status(&self, log: &Log) -> Status {
        if matches!(self.spot, Spot::Free) {
            return match log.failure() {
                _ if self.is_cancelled => Status::Cancelled,
                Some(error) if log.has_failed_last => Status::Failed { error },
                _ => Status::Completed,
            };
        }
        match (self.running, self.is_cancelled, self.is_paused) {
            (0, _, false) => Status::Scheduled,
            (0, _, true) => Status::Paused,
            (_, false, _) => Status::Running,
            (_, true, _) => Status::Cancelling,
        }
    }

    pub(super) fn info(&self, log: &Log) -> Info {
        Info {
            status: self.status(log),
            priority: self.priority,
            runs: log.runs,
            running: self.running,
            failed: log.failed,
            panics: log.panics,
            missed: log.missed,
            dropped: log.dropped,
            overlaps: log.overlaps,
            last_start: (log.runs > 0).then_some(log.last_start),
            last_took: log.has_ended_a_run.then_some(log.last_took),
            failing: log.has_failed_last,
            last_error: log.failure(),
            next_start: self.is_planned.then_some(self.due),
        }
    }
}

/// How many whole periods there are in `span`. By shifting, in as many steps as the quotient has bits: it is asked for
/// what is late only, and the compiler's division takes 1,300 bytes of flash on a Cortex-M0.
#[inline(never)]
fn periods(mut span: u64, period: u64) -> u64 {
    if period == 0 {
        return 0;
    }
    let (mut shifted, mut bit, mut quotient) = (period, 1_u64, 0);
    while shifted <= span >> 1 {
        shifted <<= 1;
        bit <<= 1;
    }
    while bit > 0 {
        if shifted <= span {
            span -= shifted;
            quotient |= bit;
        }
        shifted >>= 1;
        bit >>= 1;
    }
    quotient
}

fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
