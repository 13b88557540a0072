//! Tasks at their times.

mod heap;
mod plan;
mod slot;
mod status;
mod wheel;

pub use plan::{Missed, Plan, PlanError, Priority, Repeat};
pub use status::{Due, Error, Failure, Id, Info, Outcome, Refused, Run, Status};

use core::fmt;

use heap::{Heap, Timer};
use slot::{Link, Log, Slot, Spot, Turn};
use wheel::Wheel;

use crate::performance::queue::Turns;
use crate::time::{Duration, Instant};

/// Says how a [`Scheduler`] orders what is due. Every value works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How often in a row a more urgent task may run ahead of the one that has been due longest. With 0 priorities have no
    /// effect.
    pub max_passed: u8,
}

impl Config {
    /// Seven times: of eight runs, one is of who waits longest.
    pub const DEFAULT: Self = Self { max_passed: 7 };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which of up to `N` tasks runs now, and when the next one does (`TaskScheduler`).
///
/// It runs nothing itself: [`poll`](Self::poll) hands out what is due, you run it and say how it went with
/// [`finish`](Self::finish), and sleep until [`poll_at`](Self::poll_at). `T` is what a task is to you: a `fn()`, an enum of what a
/// device does, an `Arc` of a closure. For jobs without a time use the [`queue`](crate::performance::queue). `daur-std` drives it on tokio.
///
/// # Rules
/// 1. A run is handed out exactly at its due time, and not before; a due time that is too far away for the clock is its last moment.
/// 2. Of what is due the most urgent runs first; among equals the one that was due first, then the one that was planned first. But
///    after `max_passed` runs in a row ahead of the one that has waited longest, that one runs.
/// 3. [`Repeat::FixedRate`] adds its period to the due time, [`Repeat::FixedDelay`] to the end of the run. A task with `times` ends after
///    so many runs.
/// 4. Of due times that have passed at a fixed rate, [`Missed`] says what becomes. At a period of 100 ms and a poll that comes at 350 ms only,
///    runs begin at 350, 400, 500 with `Skip`; 350, 350, 350, 400 with `Burst`; 350, 450, 550 with `Delay`.
/// 5. What is later than its `grace` is dropped. A task that has no due time after that has failed.
/// 6. Every due time is accounted for: a run, or counted as `missed` or `dropped`.
/// 7. No more than `overlap` runs of a task are under way. A due time that comes meanwhile waits for one of them to end, and is counted
///    as overlap.
/// 8. [`cancel`](Self::cancel) frees the place at once and gives the task back. While it runs, the run is asked to stop, and the end of
///    it frees the place; to cancel again is an error.
/// 9. The id of a task that has ended tells how, until its place is needed; after that it is an error, and never another task.
/// 10. A full scheduler gives the task back. Nothing runs early to make room.
/// 11. What is paused does not run but by [`run_now`](Self::run_now). Due times that pass meanwhile are nobody's fault: at a fixed rate it
///     goes on with the next one, otherwise at once if its time has passed.
/// 12. Whoever asks for a run gets one at once, or after the one under way if there may be no more; those who ask meanwhile share
///     it. At a fixed rate its due times stay as they were. It is one of `times`.
/// 13. [`reschedule`](Self::reschedule) moves the next due time, and those after it; a task that runs for the last time has one again.
/// 14. A run that fails or panics is that run's failure: the next one comes.
/// 15. With a clock that steps back, what was found due stays due, and nothing else becomes so.
///
/// # Cost
/// 8 functions take 1,216 bytes of RAM and 5,076 of flash on thumbv6m (image `scheduler`); with all verbs, 1,216 bytes of RAM and 6,476 of flash
/// on thumbv6m (image `scheduler_all`). On a 32-bit target a place is the task and 128 bytes, the machine 160. With fewer than
/// 1,024 places [`schedule`](Self::schedule), [`cancel`](Self::cancel) and [`poll`](Self::poll) are O(log `N`) in a heap of four ways, and to plan
/// or cancel what is not the next is O(1) on average. From 1,024 on, chosen when it is compiled, a hierarchical wheel in the same memory, no byte
/// more a place, has what does not come soon, and the heap only what does: to plan and to cancel is O(1), before it comes a timer is moved
/// once for each of 10 levels at most, 6 from 8,192 places on, and moments stay exact to the nanosecond. If they all lie within 65 us, or most of
/// them come before all that there were, it is the heap again. A poll first sorts in all that have become due since the last. A `static` with
/// [`Config::DEFAULT`] is all zeros, and lies in `.bss`.
///
/// # Errors
/// [`Refused`] has the task; [`Error`] says that it has ended, or is being cancelled. `N` of 0 or of 2^32 - 1 and above does not compile.
///
/// # Sharing
/// Behind [`Shared`](crate::shared::Shared); poll inside of `with`, copy the task, and run it outside.
///
/// # Example
/// ```
/// use daur_core::services::scheduler::{Config, Outcome, Plan, Priority, Scheduler, Status};
/// use daur_core::time::{Duration, Instant};
///
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Task {
///     Sample,
///     Feed,
/// }
///
/// let mut scheduler: Scheduler<Task, 4> = Scheduler::new(Config::DEFAULT);
/// let at = Instant::from_millis;
/// let sample = scheduler.schedule(Task::Sample, Plan::every(Duration::from_millis(100)), at(0))?;
/// let feed = Plan { priority: Priority::Critical, ..Plan::once(Duration::from_millis(100)) };
/// let feed = scheduler.schedule(Task::Feed, feed, at(0))?;
///
/// assert_eq!(scheduler.poll_at(), Some(at(100)));
/// let mut ran = Vec::new();
/// while let Some(due) = scheduler.poll(at(100)) {
///     ran.push(*due.task);
///     let run = due.run;
///     scheduler.finish(run, Outcome::Done, at(101)).expect("it is under way");
/// }
/// assert_eq!(ran, [Task::Feed, Task::Sample]);
/// assert_eq!(scheduler.status(feed), Ok(Status::Completed));
/// assert_eq!(scheduler.poll_at(), Some(at(200)));
/// assert_eq!(scheduler.cancel(sample), Ok(Some(Task::Sample)));
/// # Ok::<(), daur_core::services::scheduler::Refused<Task>>(())
/// ```
///
/// # References
/// Timers by heap and by wheel: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987. That a bucket is sorted only when it is
/// next: Brown, "Calendar Queues", 1988.
#[doc(alias = "TaskScheduler")]
pub struct Scheduler<T, const N: usize> {
    slots: [Slot<T>; N],
    logs: [Log; N],
    /// The first `timers_len` of them are a heap. With many places, see [`Wheel`].
    timers: [Timer; N],
    /// Where the timer of a slot stands.
    places: [u32; N],
    /// How many of them are in the heap.
    timers_len: u32,
    /// What is due, the most urgent first.
    lines: [Line; Priority::COUNT],
    free: Line,
    /// Slots that have never been in use come after so many.
    fresh: Link,
    len: u32,
    running: u32,
    high_water: u32,
    /// The number of the next timer; it wraps.
    seq: u32,
    /// The number of the next that becomes due; it wraps.
    number: u32,
    turns: Turns,
    totals: Totals,
}

#[derive(Clone, Copy)]
struct Line {
    first: Link,
    last: Link,
}

#[derive(Clone, Copy)]
struct Totals {
    scheduled: u64,
    refused: u64,
    runs: u64,
    failed: u64,
    panics: u64,
    missed: u64,
    dropped: u64,
    overlaps: u64,
    ended: u64,
    cancelled: u64,
    late_max: Duration,
}

impl<T, const N: usize> Scheduler<T, N> {
    const N_FITS: () = assert!(0 < N && N < u32::MAX as usize, "a scheduler has 1 to 2^32 - 2 places");
    /// With few places the heap alone is as fast, and smaller.
    const HAS_WHEEL: bool = Wheel::<T, N>::FITS;

    /// A scheduler without tasks.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        const { Self::N_FITS }
        Self {
            slots: [const { Slot::EMPTY }; N],
            logs: [Log::EMPTY; N],
            timers: [Timer::EMPTY; N],
            places: [0; N],
            timers_len: 0,
            lines: [Line { first: 0, last: 0 }; Priority::COUNT],
            free: Line { first: 0, last: 0 },
            fresh: 0,
            len: 0,
            running: 0,
            high_water: 0,
            seq: 0,
            number: 0,
            turns: Turns::new(config.max_passed),
            totals: Totals {
                scheduled: 0,
                refused: 0,
                runs: 0,
                failed: 0,
                panics: 0,
                missed: 0,
                dropped: 0,
                overlaps: 0,
                ended: 0,
                cancelled: 0,
                late_max: Duration::ZERO,
            },
        }
    }

    /// Takes a task in. Its first due time is `plan.delay` from now.
    ///
    /// # Errors
    /// [`Refused`] gives it back.
    #[doc(alias = "schedule_task")]
    #[inline]
    pub fn schedule(&mut self, task: T, plan: Plan, now: Instant) -> Result<Id, Refused<T>> {
        self.schedule_at(task, plan, now + plan.delay)
    }

    /// Takes a task in whose first due time is `due`, and not `plan.delay` from now. If that has passed, the task is late: for one
    /// that was planned before a restart.
    ///
    /// # Errors
    /// [`Refused`] gives it back.
    #[inline]
    pub fn schedule_at(&mut self, task: T, plan: Plan, due: Instant) -> Result<Id, Refused<T>> {
        if let Err(error) = plan.validate() {
            self.totals.refused += 1;
            return Err(Refused::Invalid(task, error));
        }
        // Those that were never in use come first: what has ended is told of for longer.
        let is_fresh = (self.fresh as usize) < N;
        let link = if is_fresh { self.fresh.wrapping_add(1) } else { self.free.first };
        let index = link.wrapping_sub(1);
        let Some(slot) = self.slots.get_mut(index as usize) else {
            self.totals.refused += 1;
            return Err(Refused::Full(task));
        };
        if is_fresh {
            self.fresh = link;
        } else {
            self.free.first = slot.next;
            if slot.next == 0 {
                self.free.last = 0;
            }
        }
        slot.begin(task, &plan, due);
        slot.spot = Spot::Timers;
        let id = Id { slot: index, generation: slot.generation };
        self.len = self.len.wrapping_add(1);
        self.high_water = self.high_water.max(self.len);
        self.totals.scheduled += 1;
        self.push_timer(index, due);
        Ok(id)
    }

    /// The next run, if one is due. The task of one whose only run is dropped for being too late is dropped here.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Option<Due<'_, T>> {
        while let Some(index) = self.pop_timer(now) {
            self.fall_due(index);
        }
        while let Some(index) = self.next_in_line() {
            let (slot, log) = self.logged(index)?;
            let generation = slot.generation;
            let turn = slot.turn(log, now);
            if slot.is_over() {
                drop(self.end(index));
            } else {
                self.settle(index, now);
            }
            let (due, missed, dropped, asked) = match turn {
                Turn::Runs { due, missed, dropped, asked } => (due, missed, dropped, asked),
                Turn::Passes { dropped } => {
                    self.totals.dropped += u64::from(dropped);
                    continue;
                }
            };
            self.running = self.running.wrapping_add(1);
            let totals = &mut self.totals;
            totals.runs += 1;
            totals.missed += u64::from(missed);
            totals.dropped += u64::from(dropped);
            totals.late_max = totals.late_max.max(now.since(due));
            let run = Run { id: Id { slot: index, generation }, started: now };
            let task = self.slots.get(index as usize)?.task.as_ref()?;
            return Some(Due { run, task, due, missed, asked });
        }
        self.invariants();
        None
    }

    /// The moment at which [`poll`](Self::poll) hands something out; [`Instant::ZERO`] if it does already, `None` if nothing is
    /// planned but by the end of a run.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        if self.lines.iter().any(|line| line.first != 0) {
            return Some(Instant::ZERO);
        }
        let first = if Self::HAS_WHEEL { *self.places.first()? as usize } else { 0 };
        self.timers.get(first).filter(|_| self.timers_len > 0).map(|timer| timer.at)
    }

    /// Says how a run went. Gives the task back if that was its end.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a run of another scheduler.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a run ends once")]
    pub fn finish(&mut self, run: Run, outcome: Outcome, now: Instant) -> Result<Option<T>, Error> {
        let index = run.id.slot;
        let timer = self.timer_of(run.id);
        if self.live(run.id)?.running == 0 {
            return Err(Error::Unknown);
        }
        let (slot, log) = self.logged(index).ok_or(Error::Unknown)?;
        let has_waited = !slot.has_room() && timer.is_some_and(|at| at <= now) && !slot.is_wanted;
        log.overlaps = log.overlaps.saturating_add(u32::from(has_waited));
        slot.end_run(log, outcome, now.since(run.started), now);
        let is_over = slot.is_over();
        self.running = self.running.wrapping_sub(1);
        self.totals.overlaps += u64::from(has_waited);
        self.totals.failed += u64::from(outcome != Outcome::Done);
        self.totals.panics += u64::from(outcome == Outcome::Panicked);
        if is_over {
            return Ok(self.end(index));
        }
        self.settle(index, now);
        Ok(None)
    }

    /// Whether somebody wants the run to stop.
    #[must_use]
    pub fn is_cancelling(&self, run: &Run) -> bool {
        self.find(run.id).is_ok_and(|slot| slot.is_cancelled)
    }

    /// Ends a task, and gives it back; `None` if it runs: the end of the run is then its end.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled already.
    #[doc(alias = "cancel_task")]
    #[inline]
    pub fn cancel(&mut self, id: Id) -> Result<Option<T>, Error> {
        // Where speed counts more than room, what happens most often is done in place.
        if self.active(id)?.spot == Spot::Timers && Self::HAS_WHEEL {
            self.leave_timers(id.slot);
        } else {
            self.withdraw(id.slot);
        }
        let slot = self.slots.get_mut(id.slot as usize).ok_or(Error::Unknown)?;
        (slot.is_cancelled, slot.is_planned, slot.is_wanted) = (true, false, false);
        if slot.is_over() { Ok(self.end(id.slot)) } else { Ok(None) }
    }

    /// Lets no run of it begin until [`resume`](Self::resume). A run that was asked for and has not begun does not.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn pause(&mut self, id: Id) -> Result<(), Error> {
        let slot = self.active(id)?;
        if slot.is_paused && !slot.is_wanted {
            return Ok(());
        }
        self.withdraw(id.slot);
        let slot = self.active(id)?;
        (slot.is_paused, slot.is_wanted) = (true, false);
        Ok(())
    }

    /// Lets its runs begin again.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn resume(&mut self, id: Id, now: Instant) -> Result<(), Error> {
        let slot = self.active(id)?;
        if slot.is_paused {
            slot.resume(now);
            self.settle(id.slot, now);
        }
        Ok(())
    }

    /// Asks for a run at once, beside those that are planned.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    pub fn run_now(&mut self, id: Id, now: Instant) -> Result<(), Error> {
        let timer = self.timer_of(id);
        let slot = self.active(id)?;
        slot.is_wanted = true;
        // One that is due already is the run that is asked for.
        if slot.spot == Spot::Line || timer.is_some_and(|at| at <= now) {
            return Ok(());
        }
        self.withdraw(id.slot);
        self.settle(id.slot, now);
        Ok(())
    }

    /// Makes it due `delay` from now instead.
    ///
    /// # Errors
    /// [`Error`] if it has ended, or is being cancelled.
    #[inline]
    pub fn reschedule(&mut self, id: Id, delay: Duration, now: Instant) -> Result<(), Error> {
        let slot = self.active(id)?;
        slot.reschedule(now + delay);
        if !slot.is_wanted {
            self.withdraw(id.slot);
            self.settle(id.slot, now);
        }
        Ok(())
    }

    /// What a task is doing.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none of that id any more.
    #[doc(alias = "get_task_status")]
    pub fn status(&self, id: Id) -> Result<Status, Error> {
        self.find(id).map(|slot| slot.status(self.log(id, slot)))
    }

    /// What a task is doing, and what became of its runs.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is none of that id any more.
    pub fn info(&self, id: Id) -> Result<Info, Error> {
        self.find(id).map(|slot| slot.info(self.log(id, slot)))
    }

    /// The task, unless it has ended.
    #[must_use]
    pub fn task(&self, id: Id) -> Option<&T> {
        self.find(id).ok()?.task.as_ref()
    }

    /// All tasks that have not ended, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        (0_u32..).zip(&self.slots).filter_map(|(index, slot)| {
            let id = Id { slot: index, generation: slot.generation };
            slot.task.as_ref().map(|task| (id, task))
        })
    }

    /// Tasks that have not ended.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no task.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tasks that there may be at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        let totals = &self.totals;
        Snapshot {
            tasks: self.len,
            running: self.running,
            high_water: self.high_water,
            scheduled: totals.scheduled,
            refused: totals.refused,
            runs: totals.runs,
            failed: totals.failed,
            panics: totals.panics,
            missed: totals.missed,
            dropped: totals.dropped,
            overlaps: totals.overlaps,
            ended: totals.ended,
            cancelled: totals.cancelled,
            late_max: totals.late_max,
        }
    }

    fn find(&self, id: Id) -> Result<&Slot<T>, Error> {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation);
        slot.filter(|slot| slot.generation != 0).ok_or(Error::Unknown)
    }

    fn log(&self, id: Id, slot: &Slot<T>) -> &Log {
        self.logs.get(id.slot as usize).filter(|_| slot.has_log).unwrap_or(&Log::EMPTY)
    }

    /// A slot with its own log.
    fn logged(&mut self, index: u32) -> Option<(&mut Slot<T>, &mut Log)> {
        let slot = self.slots.get_mut(index as usize)?;
        let log = self.logs.get_mut(index as usize)?;
        if !slot.has_log {
            (slot.has_log, *log) = (true, Log::EMPTY);
        }
        Some((slot, log))
    }

    /// Not ended.
    #[inline]
    fn live(&mut self, id: Id) -> Result<&mut Slot<T>, Error> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation);
        match slot {
            Some(slot) if slot.spot != Spot::Free => Ok(slot),
            Some(slot) if slot.generation != 0 => Err(Error::Ended),
            _ => Err(Error::Unknown),
        }
    }

    /// Neither ended nor about to.
    #[inline]
    fn active(&mut self, id: Id) -> Result<&mut Slot<T>, Error> {
        let slot = self.live(id)?;
        if slot.is_cancelled { Err(Error::Cancelling) } else { Ok(slot) }
    }

    fn heap(&mut self) -> Heap<'_> {
        Heap { timers: &mut self.timers, places: &mut self.places, len: &mut self.timers_len }
    }

    fn wheel(&mut self) -> Wheel<'_, T, N> {
        Wheel {
            slots: &self.slots,
            logs: &self.logs,
            timers: &mut self.timers,
            places: &mut self.places,
            len: &mut self.timers_len,
        }
    }

    /// Takes the earliest timer, if its moment has come.
    fn pop_timer(&mut self, now: Instant) -> Option<u32> {
        if Self::HAS_WHEEL { self.wheel().pop(now) } else { self.heap().pop(now) }
    }

    /// The moment of its timer, if it has one.
    fn timer_of(&self, id: Id) -> Option<Instant> {
        self.find(id).ok().filter(|slot| slot.spot == Spot::Timers)?;
        let place = if Self::HAS_WHEEL { id.slot } else { *self.places.get(id.slot as usize)? };
        Some(self.timers.get(place as usize)?.at)
    }

    fn push_timer(&mut self, index: u32, at: Instant) {
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        if Self::HAS_WHEEL {
            if let Some(slot) = self.slots.get_mut(index as usize) {
                slot.number = seq;
            }
            self.wheel().push(index, at);
        } else {
            self.heap().push(Timer { at, seq, slot: index });
        }
        self.invariants();
    }

    /// Puts a slot that is nowhere where it waits for its time, if it waits for that.
    fn settle(&mut self, index: u32, now: Instant) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        let at = match (slot.is_wanted, slot.is_planned && !slot.is_paused) {
            (true, true) => slot.due.min(now),
            (true, false) => now,
            (false, true) => slot.due,
            (false, false) => return,
        };
        if slot.spot == Spot::Nowhere && !slot.is_cancelled {
            slot.spot = Spot::Timers;
            self.push_timer(index, at);
        }
    }

    /// Takes a slot from wherever it waits.
    fn withdraw(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else { return };
        match slot.spot {
            Spot::Timers => self.leave_timers(index),
            Spot::Line => self.leave_line(index),
            Spot::Nowhere | Spot::Free => {}
        }
    }

    #[inline]
    fn leave_timers(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.spot = Spot::Nowhere;
        }
        if Self::HAS_WHEEL {
            self.wheel().remove(index);
        } else {
            self.heap().remove(index);
        }
    }

    /// The moment of its timer has come.
    fn fall_due(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if !slot.has_room() {
            slot.spot = Spot::Nowhere;
            // Who asks for a run is told that it may have to wait.
            if !slot.is_wanted
                && let Some((_, log)) = self.logged(index)
            {
                log.overlaps = log.overlaps.saturating_add(1);
                self.totals.overlaps += 1;
            }
            return;
        }
        let Some(line) = self.lines.get_mut(slot.priority.line()) else { return };
        let (link, last) = (index.wrapping_add(1), line.last);
        slot.spot = Spot::Line;
        (slot.next, slot.previous, slot.number) = (0, last, self.number);
        line.last = link;
        self.number = self.number.wrapping_add(1);
        if last == 0 {
            line.first = link;
        } else if let Some(previous) = self.slots.get_mut(last.wrapping_sub(1) as usize) {
            previous.next = link;
        }
    }

    /// Takes the one out whose turn it is.
    fn next_in_line(&mut self) -> Option<u32> {
        let ages = self.lines.iter().map(|line| {
            let first = self.slots.get(line.first.checked_sub(1)? as usize)?;
            Some(self.number.wrapping_sub(first.number))
        });
        let line = self.turns.take_line(ages)?;
        let index = self.lines.get(line)?.first.wrapping_sub(1);
        self.leave_line(index);
        Some(index)
    }

    fn leave_line(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        slot.spot = Spot::Nowhere;
        let (next, previous, line) = (slot.next, slot.previous, slot.priority.line());
        let Some(line) = self.lines.get_mut(line) else { return };
        match self.slots.get_mut(previous.wrapping_sub(1) as usize) {
            Some(slot) if previous != 0 => slot.next = next,
            _ => line.first = next,
        }
        match self.slots.get_mut(next.wrapping_sub(1) as usize) {
            Some(slot) if next != 0 => slot.previous = previous,
            _ => line.last = previous,
        }
    }

    /// Frees its place, behind those that are free already: the id tells for as long as can be how it ended.
    fn end(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let task = slot.task.take();
        slot.spot = Spot::Free;
        slot.next = 0;
        if slot.is_cancelled {
            self.totals.cancelled += 1;
        } else {
            self.totals.ended += 1;
        }
        let link = index.wrapping_add(1);
        let last = core::mem::replace(&mut self.free.last, link);
        match self.slots.get_mut(last.wrapping_sub(1) as usize) {
            Some(slot) if last != 0 => slot.next = link,
            _ => self.free.first = link,
        }
        self.len = self.len.wrapping_sub(1);
        self.invariants();
        task
    }

    fn invariants(&self) {
        debug_assert!(self.len <= self.high_water && self.high_water <= self.fresh && self.fresh as usize <= N);
        debug_assert!(self.timers_len <= self.len);
        debug_assert_eq!(
            self.totals.scheduled,
            u64::from(self.len) + self.totals.ended + self.totals.cancelled,
            "every task is there or has ended"
        );
    }
}

impl<T, const N: usize> fmt::Debug for Scheduler<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Shows what a [`Scheduler`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Tasks that have not ended.
    pub tasks: u32,
    /// Runs under way.
    pub running: u32,
    /// The most tasks that there have been at once.
    pub high_water: u32,
    /// Tasks that came in.
    pub scheduled: u64,
    /// Tasks that were given back.
    pub refused: u64,
    /// Runs that have begun.
    pub runs: u64,
    /// Runs that went wrong, with those that panicked.
    pub failed: u64,
    /// Runs that panicked.
    pub panics: u64,
    /// Due times that have no run of their own.
    pub missed: u64,
    /// Due times that were later than the grace.
    pub dropped: u64,
    /// Times that a run had to wait for another one of its task.
    pub overlaps: u64,
    /// Tasks that have ended by themselves.
    pub ended: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// The latest that a run has begun.
    pub late_max: Duration,
}
