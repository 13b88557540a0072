//! The jobs that wait, and who waits for them.
//!
//! There are two locks, so that who submits and who works seldom meet: jobs come in behind one and go out behind the other,
//! and a worker that finds nothing to go out takes over all that has come in, at once. Whoever needs both takes `outgoing`
//! first. Whose turn it is `Turns` of core decides, over both sides.

mod out;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Arc, PoisonError, Weak};

use daur_core::monitoring::histogram::{Dense, Histogram};
use daur_core::performance::queue::{Priority, Turns};
use daur_core::time::{Clock, Instant};

use super::sync::{AtomicI64, AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, contain, lock, look, wait};
use super::task::{Job, JoinError, Tally};
use super::{Config, Why};
use crate::clock::StdClock;
pub(super) use out::Next;

/// What there is to do.
pub(super) enum Work {
    /// With a handle.
    Shared(Arc<dyn Job>),
    /// Without.
    Alone(Box<dyn FnOnce() + Send>),
}

impl Work {
    fn waits(&self) -> bool {
        match self {
            Self::Shared(job) => job.waits(),
            Self::Alone(_) => true,
        }
    }
}

/// Which pool it is, in this process.
pub(super) type Id = u64;

/// The pools that there are, and the next one's number. A lock of std's under `loom` too, since it is never held for long.
static POOLS: std::sync::Mutex<(Id, BTreeMap<Id, Weak<Jobs>>)> = std::sync::Mutex::new((0, BTreeMap::new()));

fn pools() -> std::sync::MutexGuard<'static, (Id, BTreeMap<Id, Weak<Jobs>>)> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Entry {
    work: Work,
    number: u64,
    /// [`Instant::MAX`] for one that is not timed.
    pushed_at: Instant,
}

impl Entry {
    /// A job that never waits.
    pub(super) fn new(work: Work) -> Self {
        Self { work, number: 0, pushed_at: Instant::MAX }
    }
}

/// In the order of [`Priority::ALL`].
type Lines = [VecDeque<Entry>; Priority::COUNT];

/// What submitters need.
#[repr(align(128))] // apart from what workers need
pub(super) struct Incoming {
    lines: Lines,
    /// Jobs accepted so far, and the next one's number.
    pub(super) pushed: u64,
    /// `removed`, when it was last looked at: it only grows, so there is at least so much room.
    removed: u64,
    pub(super) rejected: u64,
    pub(super) closed: bool,
    /// Workers that sleep and that nobody has woken.
    sleeping: usize,
    /// Workers that are awake and look for a job, with those that are being woken. While there is one, nobody
    /// else is woken: it will see what comes.
    searching: usize,
    /// How many of the sleepers have been woken, and do not know yet.
    woken: usize,
    /// How many of those who wait for room have been called, and do not know yet.
    called: usize,
    /// One for each worker there may be by its name; whether there is.
    pub(super) seats: Vec<bool>,
    /// Workers that have not ended.
    pub(super) alive: usize,
    /// Those among them that wait for the others' end.
    waiting: usize,
}

/// What workers need.
#[repr(align(128))]
pub(super) struct Outgoing {
    lines: Lines,
    turns: Turns,
    /// Submitters that wait for room and have not been called.
    wanted: usize,
    /// Workers that are too many.
    pub(super) surplus: usize,
}

#[repr(align(128))]
pub(super) struct Jobs {
    pub(super) id: Id,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Outgoing>,
    /// A bit for each line of `incoming` that holds something. Written under its lock.
    levels: AtomicU8,
    /// Jobs that have left both sides. Written under the lock of `outgoing`.
    removed: AtomicU64,
    /// Jobs among those that wait that were cancelled, or run by who waited for them.
    dead: AtomicI64,
    pub(super) cancelled: AtomicU64,
    pub(super) dropped: AtomicU64,
    work: Condvar,
    room: Condvar,
    /// A worker has ended.
    quiet: Condvar,
    capacity: u64,
    timed_one_in: u64,
    /// How long jobs have waited, in nanoseconds.
    pub(super) waited: Mutex<Histogram<Dense<u32, 42>>>,
    /// What each worker has done, by seat.
    pub(super) tallies: Mutex<Vec<Arc<Tally>>>,
}

impl Jobs {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let incoming = Incoming {
            lines: Default::default(),
            pushed: 0,
            removed: 0,
            rejected: 0,
            closed: false,
            sleeping: 0,
            searching: 0,
            woken: 0,
            called: 0,
            seats: Vec::new(),
            alive: 0,
            waiting: 0,
        };
        let turns = Turns::new(config.max_passed);
        let mut pools = pools();
        pools.0 += 1;
        let jobs = Arc::new(Self {
            id: pools.0,
            incoming: Mutex::new(incoming),
            outgoing: Mutex::new(Outgoing { lines: Default::default(), turns, wanted: 0, surplus: 0 }),
            levels: AtomicU8::new(0),
            removed: AtomicU64::new(0),
            dead: AtomicI64::new(0),
            cancelled: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            work: Condvar::new(),
            room: Condvar::new(),
            quiet: Condvar::new(),
            capacity: config.queue as u64,
            timed_one_in: u64::from(config.timed_one_in),
            waited: Mutex::new(Histogram::new()),
            tallies: Mutex::new(Vec::new()),
        });
        pools.1.insert(jobs.id, Arc::downgrade(&jobs));
        jobs
    }

    /// The pool of this number, if there still is one.
    pub(super) fn find(id: Id) -> Option<Arc<Self>> {
        pools().1.get(&id).and_then(Weak::upgrade)
    }

    pub(super) fn incoming(&self) -> MutexGuard<'_, Incoming> {
        lock(&self.incoming)
    }

    pub(super) fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        lock(&self.outgoing)
    }

    /// Puts a job in line, without waiting, or gives it back.
    #[inline]
    pub(super) fn push<J>(&self, job: J, into: fn(J) -> Work, priority: Priority) -> Result<(), (Why, J)> {
        match self.push_into(self.incoming(), job, into, priority) {
            Err((Why::Full, job)) if self.dead.load(Ordering::Acquire) > 0 => {
                let mut outgoing = self.outgoing();
                let mut incoming = self.incoming();
                self.purge(&mut outgoing, &mut incoming);
                drop(outgoing);
                self.push_into(incoming, job, into, priority)
            }
            other => other,
        }
    }

    /// Puts a job in line as soon as there is room, or gives it back when the queue is closed.
    #[cold]
    pub(super) fn push_waiting<J>(&self, mut job: J, into: fn(J) -> Work, priority: Priority) -> Result<(), (Why, J)> {
        loop {
            let removed = self.removed.load(Ordering::Relaxed);
            look(|| self.removed.load(Ordering::Relaxed) != removed);
            // Under both locks nobody can make room unseen.
            let mut outgoing = self.outgoing();
            let mut incoming = self.incoming();
            self.purge(&mut outgoing, &mut incoming);
            if incoming.closed || self.has_room(&mut incoming) {
                drop(outgoing);
                return self.push_into(incoming, job, into, priority);
            }
            outgoing.wanted += 1;
            drop(outgoing);
            while incoming.called == 0 && !incoming.closed {
                incoming = wait(&self.room, incoming, None).0;
            }
            incoming.called = incoming.called.saturating_sub(1);
            match self.push_into(incoming, job, into, priority) {
                Err((Why::Full, back)) => job = back,
                other => return other,
            }
        }
    }

    /// Counts a job that is accepted and never waits; unless the queue is closed.
    pub(super) fn pass(&self) -> bool {
        let _outgoing = self.outgoing();
        let mut incoming = self.incoming();
        if !incoming.closed {
            incoming.pushed += 1;
            self.left(1);
        }
        !incoming.closed
    }

    #[inline]
    fn push_into<J>(
        &self,
        mut incoming: MutexGuard<'_, Incoming>,
        job: J,
        into: fn(J) -> Work,
        priority: Priority,
    ) -> Result<(), (Why, J)> {
        if incoming.closed {
            return Err((Why::ShutDown, job));
        }
        if !self.has_room(&mut incoming) {
            return Err((Why::Full, job));
        }
        let number = incoming.pushed;
        incoming.pushed += 1;
        let timed = number.checked_rem(self.timed_one_in) == Some(0);
        let pushed_at = if timed { StdClock.now() } else { Instant::MAX };
        let level = priority.index();
        incoming.lines[level].push_back(Entry { work: into(job), number, pushed_at });
        let levels = self.levels.load(Ordering::Relaxed);
        if levels & (1 << level) == 0 {
            self.levels.store(levels | (1 << level), Ordering::Release);
        }
        let wakes = incoming.wake_one();
        drop(incoming);
        if wakes {
            self.work.notify_one();
        }
        Ok(())
    }

    #[inline]
    fn has_room(&self, incoming: &mut Incoming) -> bool {
        if incoming.pushed - incoming.removed < self.capacity {
            return true;
        }
        incoming.removed = self.removed.load(Ordering::Acquire);
        incoming.pushed - incoming.removed < self.capacity
    }

    /// Puts the dead out of the lines.
    fn purge(&self, outgoing: &mut Outgoing, incoming: &mut Incoming) {
        if self.dead.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut purged = 0;
        for line in outgoing.lines.iter_mut().chain(&mut incoming.lines) {
            let before = line.len();
            line.retain(|entry| entry.work.waits());
            purged += before - line.len();
        }
        self.left(purged as u64);
        self.dead.fetch_sub(i64::try_from(purged).unwrap_or(0), Ordering::AcqRel);
    }

    /// Counts what has left the lines; under the lock of `outgoing`.
    fn left(&self, count: u64) {
        self.removed.store(self.removed.load(Ordering::Relaxed) + count, Ordering::Release);
    }

    /// Counts a job that waits and will not be run, or is being run by who waits for it: there is room for another, and
    /// whoever does this calls [`offer_room`](Self::offer_room) next.
    pub(super) fn bury(&self) {
        self.dead.fetch_add(1, Ordering::AcqRel);
    }

    /// Calls one of those who wait for room.
    pub(super) fn offer_room(&self) {
        let mut outgoing = self.outgoing();
        if outgoing.call_one() {
            drop(outgoing);
            self.call();
        }
    }

    /// An entry that was taken out turned out to be dead.
    fn was_dead(&self) {
        self.dead.fetch_sub(1, Ordering::AcqRel);
    }

    /// Lets one of those who wait for room try again.
    fn call(&self) {
        self.incoming().called += 1;
        self.room.notify_one();
    }

    /// Wakes all workers: some of them are too many, or all.
    pub(super) fn wake_all(&self) {
        let mut incoming = self.incoming();
        let sleeping = mem::take(&mut incoming.sleeping);
        incoming.woken += sleeping;
        incoming.searching += sleeping;
        drop(incoming);
        self.work.notify_all();
    }

    /// Refuses every job from now on. Workers end as soon as there is none left.
    pub(super) fn close(&self) {
        self.incoming().closed = true;
        self.wake_all();
        self.room.notify_all();
    }

    /// Drops all that waits, and tells their handles.
    pub(super) fn drop_waiting(&self) {
        let mut outgoing = self.outgoing();
        self.take_over(&mut outgoing);
        let lines = mem::take(&mut outgoing.lines);
        self.left(lines.iter().map(VecDeque::len).sum::<usize>() as u64);
        drop(outgoing);
        for entry in lines.into_iter().flatten() {
            // Counted first: who is told finds it counted.
            let count = || _ = self.dropped.fetch_add(1, Ordering::AcqRel);
            match &entry.work {
                Work::Shared(job) if job.refuse(JoinError::Dropped, &count) => {}
                Work::Shared(_) => self.was_dead(),
                Work::Alone(_) => count(),
            }
            contain(|| drop(entry));
        }
    }

    /// Waits until no worker is left; whether `deadline` came first. `own`: the caller is one, and so is not waited for, nor
    /// are others that wait here themselves.
    pub(super) fn wait_until_quiet(&self, own: bool, deadline: Option<std::time::Instant>) -> bool {
        let mut incoming = self.incoming();
        incoming.waiting += usize::from(own);
        self.quiet.notify_all();
        let late = loop {
            if incoming.alive <= if own { incoming.waiting } else { 0 } {
                break false;
            }
            let late;
            (incoming, late) = wait(&self.quiet, incoming, deadline);
            if late {
                break true;
            }
        };
        incoming.waiting -= usize::from(own);
        late
    }

    /// A worker's end.
    pub(super) fn leave(&self, seat: usize) {
        let mut incoming = self.incoming();
        incoming.alive -= 1;
        if let Some(taken) = incoming.seats.get_mut(seat) {
            *taken = false;
        }
        drop(incoming);
        self.quiet.notify_all();
    }

    /// Jobs that wait, without those that are dead.
    pub(super) fn queued(&self, incoming: &Incoming) -> u64 {
        let queued = incoming.pushed.saturating_sub(self.removed.load(Ordering::Acquire));
        queued.saturating_add_signed(-self.dead.load(Ordering::Acquire))
    }

    /// Jobs that have been done, that have panicked, and callbacks that have.
    pub(super) fn ended(&self) -> (u64, u64, u64) {
        let tallies = lock(&self.tallies);
        let sum = |counter: fn(&Tally) -> &AtomicU64| -> u64 {
            tallies.iter().map(|tally| counter(tally).load(Ordering::Acquire)).sum()
        };
        (sum(|tally| &tally.done), sum(|tally| &tally.panicked), sum(|tally| &tally.callbacks))
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        pools().1.remove(&self.id);
    }
}

impl Incoming {
    /// Counts one sleeper as woken, if that is needed: the caller notifies it.
    #[inline]
    fn wake_one(&mut self) -> bool {
        let wakes = self.sleeping > 0 && self.searching == 0;
        if wakes {
            self.sleeping -= 1;
            self.searching += 1;
            self.woken += 1;
        }
        wakes
    }
}

impl Outgoing {
    /// Counts one who waits for room as called, if there is one: the caller calls it.
    #[inline]
    fn call_one(&mut self) -> bool {
        let calls = self.wanted > 0;
        self.wanted -= usize::from(calls);
        calls
    }
}
