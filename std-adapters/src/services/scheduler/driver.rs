//! What begins the runs of a scheduler, and sleeps in between.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use daur_core::services::scheduler::{self as machine, Id, Outcome, Plan, Run, Scheduler};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, spawn_blocking};

use super::PLACES;
use super::job::{Calendar, Context, Entry, Face, Journal, Kept, Planned, Refused, Went, Work, held, unix};
use crate::clock::TokioClock;
use crate::shared::StdShared;

/// How long a calendar is not looked at: a wall clock that is set meanwhile is noticed then.
const LOOK: Duration = Duration::from_secs(30);
/// By how much the two clocks may drift apart before the wall clock counts as set.
const DRIFT_NS: i64 = 1_000_000_000;
/// A wall clock that is set back further was wrong; by less, its times have been.
const BACK_NS: i64 = 3 * 3_600 * DRIFT_NS;
/// Between the runs of a job in a calendar as the machine sees it: it is told of the next one in time.
pub(super) const DECADE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Times of a calendar that are counted as missed.
const MOST_MISSED: u32 = 10_000;

/// Tells tokio's time, decades ahead: what was due before the process began has a moment too.
#[derive(Clone, Copy)]
pub(super) struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Instant {
        TokioClock.now() + Duration::from_secs(2_000_000_000)
    }
}

pub(super) type Machine = Scheduler<Arc<Entry>, PLACES>;

pub(super) struct Inner {
    pub(super) machine: StdShared<Box<Machine>, Ahead>,
    pub(super) wall: Box<dyn WallClock + Send + Sync>,
    pub(super) journal: Option<Box<dyn Journal>>,
    /// By place, also of tasks that have ended.
    pub(super) faces: Mutex<HashMap<u32, (Id, Arc<Face>)>>,
    /// Jobs that are kept, by name.
    pub(super) names: Mutex<HashMap<Arc<str>, Id>>,
    pub(super) calendars: Mutex<Vec<(Id, Arc<Entry>)>>,
    pub(super) runs: Mutex<Runs>,
    pub(super) running: watch::Sender<usize>,
    pub(super) wake: Notify,
}

#[derive(Default)]
pub(super) struct Runs {
    pub(super) next: u64,
    pub(super) under_way: HashMap<u64, UnderWay>,
}

pub(super) struct UnderWay {
    pub(super) entry: Arc<Entry>,
    /// Of those that do not block a thread.
    pub(super) abort: Option<AbortHandle>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("running", &*self.running.borrow()).finish_non_exhaustive()
    }
}

impl Inner {
    /// Nanoseconds since 1970.
    pub(super) fn wall_now(&self) -> Option<i64> {
        self.wall.unix_now().map(nanos)
    }

    pub(super) fn entry(&self, id: Id) -> Option<Arc<Entry>> {
        self.machine.with(|machine, _| machine.task(id).cloned())
    }

    pub(super) fn forget(&self, entry: &Entry) {
        if let Some(journal) = self.journal.as_ref().filter(|_| entry.job.is_kept) {
            let _writing = held(&entry.writing);
            let over = Kept { next: None, ..held(&entry.row).clone() };
            // Without a name it is not written any more.
            held(&entry.row).name.clear();
            if journal.forget(&entry.job.name).is_err() {
                // Perhaps it can be written that it is over. If not, the caller has cancelled what a restart brings back.
                let _ = journal.save(&over);
            }
        }
    }

    /// `wall` has the due time and the present, by the wall clock.
    pub(super) fn put(&self, entry: Entry, plan: Plan, wall: Option<(i64, i64)>) -> Result<Id, Refused> {
        let entry = Arc::new(entry);
        let taken = self.machine.with(|machine, now| {
            let due = match wall {
                None => now + plan.delay,
                Some((due, wall)) => moved(now, due.saturating_sub(wall)),
            };
            *held(&entry.planned) = wall.map(|(wall, _)| Planned { at: due, wall });
            machine.schedule_at(Arc::clone(&entry), plan, due)
        });
        match taken {
            Ok(id) => {
                held(&self.faces).insert(place(id), (id, Arc::clone(&entry.face)));
                if entry.job.calendar.is_some() {
                    held(&self.calendars).push((id, entry));
                }
                self.wake.notify_one();
                Ok(id)
            }
            Err(refused) => {
                let error = match &refused {
                    machine::Refused::Full(_) => None,
                    machine::Refused::Invalid(_, error) => Some(*error),
                };
                drop(refused);
                let job = entry.job.clone();
                Err(match error {
                    None => Refused::Full(job),
                    Some(error) => Refused::Invalid(job, error),
                })
            }
        }
    }

    /// The next due time of a task was moved by hand.
    pub(super) fn moved(&self, id: Id) {
        self.wake.notify_one();
        let Some(entry) = self.entry(id) else { return };
        if self.note_next(id, &entry) {
            // If it cannot be written, the older due time is late after a restart.
            let _ = entry.save(self.journal.as_deref());
        }
    }

    /// Notes the next due time as the machine has it now, if it has one. Not for calendars, which are told to the machine and not by it.
    fn note_next(&self, id: Id, entry: &Entry) -> bool {
        let (info, now) = self.machine.with(|machine, now| (machine.info(id), now));
        let Some(at) = info.ok().and_then(|info| info.next_start) else { return false };
        let Some(wall) = self.wall_now() else { return false };
        if !entry.job.is_kept && entry.job.calendar.is_none()
            || at.since(now) > Duration::from_nanos(DECADE.as_nanos() / 2)
        {
            return false;
        }
        let mut planned = held(&entry.planned);
        let wall = match *planned {
            // As the one before it, so that the two are as far apart as on the machine's clock.
            Some(before) => before.wall.saturating_add(apart(before.at, at)),
            None => wall.saturating_add(apart(now, at)),
        };
        *planned = Some(Planned { at, wall });
        held(&entry.row).next = Some(wall);
        true
    }

    /// Begins the next run that is due.
    fn begin(self: &Arc<Self>) -> bool {
        let begun = self.machine.with(|machine, now| {
            let due = machine.poll(now)?;
            let (run, entry, at) = (due.run, Arc::clone(due.task), (due.due, due.missed, due.asked));
            let next = machine.info(run.id()).ok().and_then(|info| info.next_start);
            Some((run, entry, at, next, now))
        });
        let Some((run, entry, (due, mut missed, asked), next, now)) = begun else { return false };
        let wall = self.wall_now();
        let mut due_wall = None;
        if let Some(wall) = wall {
            held(&entry.face.last).start = Some(unix(wall));
            due_wall = match &entry.job.calendar {
                None => entry.take(due, asked, next, now, wall),
                Some(calendar) => self.take_time(run.id(), &entry, &**calendar, asked, now, wall, &mut missed),
            };
            let mut row = held(&entry.row);
            row.last = Some(wall);
            row.runs = row.runs.saturating_add(1);
        }
        let cancel = entry.cancel.subscribe();
        let context = Context { id: run.id(), due: due_wall.map(unix), missed, cancel };
        let number = {
            let mut runs = held(&self.runs);
            runs.next += 1;
            let number = runs.next;
            runs.under_way.insert(number, UnderWay { entry: Arc::clone(&entry), abort: None });
            self.running.send_replace(runs.under_way.len());
            number
        };
        let guard = Guard { inner: Arc::clone(self), entry: Arc::clone(&entry), run: Some(run), number };
        let is_blocking = matches!(entry.job.work, Work::Blocking(_));
        let abort = tokio::spawn(perform(guard, context)).abort_handle();
        if !is_blocking && let Some(run) = held(&self.runs).under_way.get_mut(&number) {
            run.abort = Some(abort);
        }
        true
    }

    /// A run of a calendar's time has begun: the next one is planned.
    #[expect(clippy::too_many_arguments, reason = "what the beginning of a run knows")]
    fn take_time(
        &self,
        id: Id,
        entry: &Entry,
        calendar: &dyn Calendar,
        asked: bool,
        now: Instant,
        wall: i64,
        missed: &mut u32,
    ) -> Option<i64> {
        let mut planned = held(&entry.planned);
        let due = planned.map_or(wall, |planned| planned.wall);
        if asked {
            return None;
        }
        let mut next = calendar.next(unix(due)).map(nanos);
        while let Some(time) = next.filter(|time| *time <= wall && *missed < MOST_MISSED) {
            *missed += 1;
            next = calendar.next(unix(time)).map(nanos);
        }
        let next = if *missed < MOST_MISSED { next } else { calendar.next(unix(wall)).map(nanos) };
        self.plan_time(id, entry, &mut planned, next, now, wall);
        Some(due)
    }

    /// Tells the machine of a calendar's next time; if there is none, it stays a decade away.
    fn plan_time(
        &self,
        id: Id,
        entry: &Entry,
        planned: &mut Option<Planned>,
        next: Option<i64>,
        now: Instant,
        wall: i64,
    ) {
        held(&entry.row).next = next;
        *planned = next.map(|next| Planned { at: moved(now, next.saturating_sub(wall)), wall: next });
        if let Some(next) = *planned {
            // It has not ended: its run is under way, or it waits for its time.
            let _ = self.machine.with(|machine, now| machine.reschedule(id, next.at.since(now), now));
        }
    }

    /// Looks whether the wall clock was set, and whether a time of a calendar was dropped for being late.
    fn look_at_calendars(&self) {
        let mut calendars = held(&self.calendars);
        calendars.retain(|(id, _)| self.machine.with(|machine, _| machine.status(*id).is_ok_and(|is| !is.is_ended())));
        let Some(wall) = self.wall_now() else { return };
        for (id, entry) in &*calendars {
            let (info, now) = self.machine.with(|machine, now| (machine.info(*id), now));
            let (Ok(info), Some(calendar)) = (info, &entry.job.calendar) else { continue };
            let mut planned = held(&entry.planned);
            let Some(next) = *planned else { continue };
            let off = apart(next.at, moved(now, next.wall.saturating_sub(wall)));
            let is_passed = info.next_start.is_some_and(|at| at.since(now).as_nanos() > DECADE.as_nanos() / 2);
            if is_passed || off > BACK_NS {
                let time = calendar.next(unix(wall)).map(nanos);
                self.plan_time(*id, entry, &mut planned, time, now, wall);
            } else if off.abs() > DRIFT_NS {
                self.plan_time(*id, entry, &mut planned, Some(next.wall), now, wall);
            }
        }
    }

    /// How long there is nothing to do.
    fn sleep(&self) -> Option<Duration> {
        let pause = self.machine.with(|machine, now| machine.poll_at().map(|at| at.since(now)));
        let look = if held(&self.calendars).is_empty() { None } else { Some(LOOK) };
        pause.into_iter().chain(look).min()
    }
}

impl Entry {
    /// A run has begun: its due time by the wall clock, and what is next.
    fn take(&self, due: Instant, asked: bool, next: Option<Instant>, now: Instant, wall: i64) -> Option<i64> {
        if !self.job.is_kept {
            return None;
        }
        let mut planned = held(&self.planned);
        let before = *planned;
        let due_wall = before.filter(|_| !asked).map(|before| before.wall.saturating_add(apart(before.at, due)));
        *planned = match (next, before) {
            (Some(at), Some(before)) => {
                // A wall clock that was set in between is followed from here on.
                let expected = before.wall.saturating_add(apart(before.at, now));
                let steady = before.wall.saturating_add(apart(before.at, at));
                let is_steady = wall.abs_diff(expected) <= DRIFT_NS.unsigned_abs();
                Some(Planned { at, wall: if is_steady { steady } else { wall.saturating_add(apart(now, at)) } })
            }
            _ => None,
        };
        let then = planned.map(|planned| planned.wall).or_else(|| self.pause.map(|pause| after(wall, pause)));
        held(&self.row).next = then;
        due_wall
    }
}

/// Begins what is due, and sleeps.
pub(super) async fn drive(inner: Arc<Inner>, mut stop: watch::Receiver<bool>) {
    loop {
        inner.look_at_calendars();
        while !*stop.borrow() && inner.begin() {}
        let pause = inner.sleep();
        let sleep = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = inner.wake.notified() => {}
            () = sleep => {}
        }
    }
}

/// A run under way: however it goes, the machine is told.
struct Guard {
    inner: Arc<Inner>,
    entry: Arc<Entry>,
    run: Option<Run>,
    number: u64,
}

impl Guard {
    fn finish(&mut self, went: Went) {
        let Some(run) = self.run.take() else { return };
        let id = run.id();
        let (outcome, error) = match went {
            Went::Well => (Outcome::Done, None),
            Went::Wrong(text) => (Outcome::Failed(0), Some(text)),
            Went::Panicked(text) => (Outcome::Panicked, Some(text)),
        };
        if let Some(error) = error {
            let mut row = held(&self.entry.row);
            row.failed = row.failed.saturating_add(1);
            row.error = Some(error.clone());
            held(&self.entry.face.last).error = Some(error);
        }
        // What the machine gives back at a task's end is dropped outside.
        let ended = self.inner.machine.with(|machine, now| machine.finish(run, outcome, now));
        drop(ended);
        if self.entry.pause.is_some() {
            self.inner.note_next(id, &self.entry);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.finish(Went::Wrong("was given up".to_owned()));
        let mut runs = held(&self.inner.runs);
        let ended = runs.under_way.remove(&self.number);
        self.inner.running.send_replace(runs.under_way.len());
        drop(runs);
        drop(ended);
        self.inner.wake.notify_one();
    }
}

/// One run, from what is written before it to what is written after it.
async fn perform(mut guard: Guard, context: Context) {
    if let Err(text) = save(&guard).await {
        guard.finish(Went::Wrong(text));
        return;
    }
    let went = match guard.entry.job.work.clone() {
        Work::Blocking(work) => {
            let run = move || catch_unwind(AssertUnwindSafe(|| work(&context)));
            match spawn_blocking(run).await {
                Ok(Ok(ended)) => Went::of(ended),
                Ok(Err(payload)) => Went::panicked(payload),
                Err(_) => return,
            }
        }
        Work::Future(work) => match catch_unwind(AssertUnwindSafe(|| work(context))) {
            Ok(mut running) => {
                let poll = |cx: &mut std::task::Context<'_>| match catch_unwind(AssertUnwindSafe(|| {
                    running.as_mut().poll(cx)
                })) {
                    Ok(poll) => poll.map(Went::of),
                    Err(payload) => std::task::Poll::Ready(Went::panicked(payload)),
                };
                let went = std::future::poll_fn(poll).await;
                match catch_unwind(AssertUnwindSafe(|| drop(running))) {
                    Ok(()) => went,
                    Err(payload) => Went::panicked(payload),
                }
            }
            Err(payload) => Went::panicked(payload),
        },
    };
    guard.finish(went);
    // What it said is news, no promise: the next save has it.
    let _ = save(&guard).await;
}

/// Writes the row of a kept job.
async fn save(guard: &Guard) -> Result<(), String> {
    if !guard.entry.job.is_kept {
        return Ok(());
    }
    let (inner, entry) = (Arc::clone(&guard.inner), Arc::clone(&guard.entry));
    let written = spawn_blocking(move || entry.save(inner.journal.as_deref())).await;
    written.unwrap_or_else(|_| Err("could not be kept".to_owned()))
}

#[expect(clippy::cast_possible_truncation, reason = "the place is the lower half")]
pub(super) const fn place(id: Id) -> u32 {
    id.to_bits() as u32
}

pub(super) fn nanos(at: UnixTime) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

pub(super) fn after(wall: i64, pause: Duration) -> i64 {
    wall.saturating_add_unsigned(pause.as_nanos())
}

/// From `from` to `to`, in nanoseconds.
fn apart(from: Instant, to: Instant) -> i64 {
    let (ahead, behind) = (to.since(from).as_nanos(), from.since(to).as_nanos());
    i64::try_from(ahead).unwrap_or(i64::MAX).saturating_sub_unsigned(behind)
}

fn moved(at: Instant, by: i64) -> Instant {
    Instant::from_nanos(at.as_nanos().saturating_add_signed(by))
}
