//! The one thread that reads and writes.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::store::Store;
use super::{Inner, Question, Series, Step};
use crate::sqlite::{Fault, Keeper};

/// How often an idle writer looks whether its file is still there, and tries again what it could not write.
const TICK: Duration = Duration::from_secs(1);
/// Work that one transaction takes.
const BATCH: usize = 256;
/// Free pages that one idle tick gives back to the file system.
const SHRINK_PAGES: u64 = 64;

/// What the writer is asked to do.
pub(super) enum Work {
    Append {
        /// In milliseconds since 1970.
        at: u64,
        values: Vec<(Arc<str>, f64)>,
    },
    Query {
        question: Question,
        answer: Box<dyn FnOnce(Series) + Send>,
    },
    Flush {
        done: Box<dyn FnOnce() + Send>,
    },
    Stop,
}

/// What is to be written: by series, tier and step. Values of one step are one row, however many they are.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) rows: BTreeMap<Arc<str>, BTreeMap<(usize, u64), Step>>,
    /// The time of the latest append, whatever the ones before it said.
    pub(super) present: u64,
}

impl Pending {
    /// Values of one series that wait: each is in every tier once.
    pub(super) fn values(rows: &BTreeMap<(usize, u64), Step>) -> u64 {
        rows.iter().filter(|((tier, _), _)| *tier == 0).map(|(_, step)| step.count).sum()
    }
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    queue: Receiver<Work>,
    keeper: Keeper<Store>,
    pending: Pending,
    /// Series that had a value since this history was opened: none of them makes room.
    fresh: HashSet<Arc<str>>,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, queue: Receiver<Work>) -> Self {
        let keeper = Keeper::new(inner.path.clone(), inner.config, Arc::clone(&inner.faults));
        Self { inner, queue, keeper, pending: Pending::default(), fresh: HashSet::new() }
    }

    /// Opens the file; if it is damaged, a new one in its place.
    pub(super) fn open(&mut self) -> Result<(), (Fault, rusqlite::Error)> {
        let opened = self.keeper.open();
        self.publish();
        opened
    }

    pub(super) fn run(mut self) {
        loop {
            match self.queue.recv_timeout(TICK) {
                Ok(first) => {
                    let mut stop = self.serve(first);
                    for _ in 1..BATCH {
                        let Ok(work) = self.queue.try_recv() else { break };
                        stop |= self.serve(work);
                    }
                    self.write();
                    if stop {
                        return self.give_up();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => return self.give_up(),
            }
        }
    }

    /// Does one piece of work; true when it was told to stop.
    fn serve(&mut self, work: Work) -> bool {
        match work {
            Work::Append { at, values } => {
                self.pending.present = at;
                for (name, value) in values {
                    let rows = self.pending.rows.entry(name).or_default();
                    for (tier, config) in self.inner.config.tiers.iter().enumerate() {
                        let step = config.step.as_millis().max(1);
                        let row = rows.entry((tier, at / step));
                        row.and_modify(|row| *row = row.with(Step::of(value))).or_insert(Step::of(value));
                    }
                }
            }
            Work::Query { question, answer } => {
                self.write();
                let plan = question.plan(&self.inner.config, self.present());
                answer(self.keeper.attempt(|store| store.read(&plan)).unwrap_or_else(|| plan.unanswered()));
            }
            Work::Flush { done } => {
                self.write();
                done();
            }
            Work::Stop => return true,
        }
        false
    }

    /// The latest append's time; until there is one, that of the latest row.
    fn present(&self) -> u64 {
        match self.pending.present {
            0 => self.keeper.store().map_or(0, Store::latest),
            present => present,
        }
    }

    /// Commits what waits. What cannot be written goes on waiting.
    fn write(&mut self) {
        self.keeper.check_place();
        if self.pending.rows.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let fresh = std::mem::take(&mut self.fresh);
        let refused = self.keeper.attempt(|store| store.write(&pending, &fresh));
        self.fresh = fresh;
        let stats = &self.inner.stats;
        match refused {
            None => self.pending = pending,
            Some(refused) => {
                self.pending.present = pending.present;
                for (name, rows) in pending.rows {
                    let values = Pending::values(&rows);
                    let is_refused = refused.contains(&name);
                    stats.values.change(|counts| {
                        counts.settle(
                            values,
                            |counts| if is_refused { &mut counts.refused } else { &mut counts.written },
                        );
                    });
                    if !is_refused {
                        self.fresh.insert(name);
                    }
                }
            }
        }
        self.publish();
    }

    /// What still waits is lost.
    fn give_up(&mut self) {
        let stats = &self.inner.stats;
        for rows in std::mem::take(&mut self.pending.rows).values() {
            let values = Pending::values(rows);
            stats.values.change(|counts| counts.settle(values, |counts| &mut counts.lost));
        }
    }

    fn tick(&mut self) {
        self.write();
        if let Some(store) = self.keeper.store() {
            // Room that cannot be given back now is asked for again at the next tick.
            let _ = store.shrink(SHRINK_PAGES);
        }
        self.publish();
    }

    fn publish(&self) {
        let stats = &self.inner.stats;
        let Some(store) = self.keeper.store() else { return };
        if let Some((rows, names)) = store.held() {
            stats.rows.store(rows, Relaxed);
            *self.inner.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        }
        if let Ok(bytes) = store.used_bytes() {
            stats.bytes.store(bytes, Relaxed);
        }
    }
}
