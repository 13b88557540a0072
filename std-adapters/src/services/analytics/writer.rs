//! The one thread that reads and writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::store::{Place, Store};
use super::{Event, EventReport, Inner, MAX_NAMES, Metric, MetricReport, OTHER, Report, Total, times};
use crate::sqlite::{Fault, Keeper};

/// How often an idle writer looks whether its file is still there, and tries again what it could not write.
const TICK: Duration = Duration::from_secs(1);
/// How long an event may wait for others, unless somebody is in a hurry.
const GATHER: Duration = Duration::from_millis(20);
/// When so much was there at once, nobody waits for more.
const BATCH: usize = 512;
/// Events that one transaction writes.
const TRANSACTION: usize = 64;
/// Free pages that one idle tick gives back to the file system.
const SHRINK_PAGES: u64 = 64;

/// What the writer is asked to do.
pub(super) enum Work {
    /// Take in what is fresh.
    Look,
    Report {
        now: u64,
        answer: Box<dyn FnOnce(Report) + Send>,
    },
    Flush {
        done: Box<dyn FnOnce() + Send>,
    },
    Stop,
}

/// What one transaction writes beside the events.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) totals: BTreeMap<String, Total>,
    pub(super) metrics: BTreeMap<String, Metric>,
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    queue: Receiver<Work>,
    keeper: Keeper<Store>,
    pending: Vec<Event>,
    /// How often the file has been opened when all sums were last written into it.
    whole: Option<u64>,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, queue: Receiver<Work>) -> Self {
        let place = Place { config: inner.config, in_memory: inner.path.is_none() };
        let path = inner.path.clone().unwrap_or_else(|| PathBuf::from(":memory:"));
        let keeper = Keeper::new(path, place, Arc::clone(&inner.faults));
        Self { inner, queue, keeper, pending: Vec::new(), whole: None }
    }

    pub(super) fn open(&mut self) -> Result<(), (Fault, rusqlite::Error)> {
        self.keeper.open()?;
        self.learn();
        self.publish();
        Ok(())
    }

    /// Takes over the sums that the file has, when it is first opened.
    fn learn(&mut self) {
        if self.whole.is_some() {
            return;
        }
        if let Some(sums) = self.keeper.attempt(Store::sums) {
            let mut book = self.inner.book();
            for (name, total) in sums.totals {
                let known = book.totals.entry(name).or_insert(Total { first_ms: total.first_ms, ..total_of_none() });
                known.count = known.count.saturating_add(total.count);
                known.first_ms = known.first_ms.min(total.first_ms);
                known.last_ms = known.last_ms.max(total.last_ms);
            }
            for (name, metric) in sums.metrics {
                // What came while the file was locked goes on top.
                let full = book.metrics.len() >= MAX_NAMES;
                match book.metrics.get_mut(&name) {
                    Some(known) => *known = metric.with(*known),
                    None if !full => drop(book.metrics.insert(name, metric)),
                    None => {}
                }
            }
            self.whole = Some(self.inner.faults.reopened.load(Relaxed));
        }
    }

    pub(super) fn run(mut self) {
        let mut behind = false;
        loop {
            match self.queue.recv_timeout(TICK) {
                Ok(first) => {
                    if matches!(first, Work::Look) && !self.inner.hurry.swap(false, AcqRel) && !behind {
                        thread::park_timeout(GATHER);
                    }
                    let mut stop = self.serve(first);
                    while let Ok(work) = self.queue.try_recv() {
                        stop |= self.serve(work);
                    }
                    behind = self.pending.len() >= BATCH;
                    self.write();
                    if stop {
                        return self.give_up();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.write();
                    if let Some(store) = self.keeper.store() {
                        // Room that cannot be given back now is asked for again at the next tick.
                        let _ = store.shrink(SHRINK_PAGES);
                    }
                    self.publish();
                }
                Err(RecvTimeoutError::Disconnected) => return self.give_up(),
            }
        }
    }

    /// Does one piece of work; true when it was told to stop.
    fn serve(&mut self, work: Work) -> bool {
        match work {
            Work::Look => self.look(),
            Work::Report { now, answer } => {
                self.look();
                self.write();
                answer(self.report(now));
            }
            Work::Flush { done } => {
                self.look();
                self.write();
                done();
            }
            Work::Stop => {
                self.look();
                return true;
            }
        }
        false
    }

    fn look(&mut self) {
        self.pending.append(&mut self.inner.fresh());
    }

    /// Commits what waits. What cannot be written goes on waiting.
    fn write(&mut self) {
        self.keeper.check_place();
        self.learn();
        // Sums that have not been read would be written over.
        if self.whole.is_some() {
            while self.write_some() && (!self.pending.is_empty() || !self.is_whole()) {}
        }
        self.publish();
    }

    /// Commits the first of what waits, no more than the file has room for. Says whether it could.
    fn write_some(&mut self) -> bool {
        let opened = self.inner.faults.reopened.load(Relaxed);
        // Into a new file go all sums, into the same one those that have changed.
        let all = !self.is_whole();
        let mut sums = self.changed(all);
        if self.pending.is_empty() && sums.metrics.is_empty() && (!all || sums.totals.is_empty()) {
            self.whole = Some(opened);
            return true;
        }
        let later = self.pending.split_off(self.pending.len().min(TRANSACTION));
        let mut events = std::mem::replace(&mut self.pending, later);
        self.count(&events, &mut sums.totals);
        let written = self.keeper.attempt(|store| store.write(&events, &sums));
        if written.is_some() {
            let many = times(&events);
            self.inner.stats.events.change(|counts| counts.settle(many, |counts| &mut counts.written));
            self.inner.book().totals.extend(sums.totals);
            if self.inner.faults.reopened.load(Relaxed) == opened {
                self.whole = Some(opened);
            }
        } else {
            events.append(&mut self.pending);
            self.pending = events;
            self.inner.book().changed.extend(sums.metrics.into_keys());
        }
        written.is_some()
    }

    /// Whether the file has all sums but those that have changed. A new one in a damaged one's place has not.
    fn is_whole(&self) -> bool {
        self.whole == Some(self.inner.faults.reopened.load(Relaxed))
    }

    fn changed(&self, all: bool) -> Sums {
        let mut book = self.inner.book();
        let changed = std::mem::take(&mut book.changed);
        let metrics = book.metrics.iter().filter(|(name, _)| all || changed.contains(*name));
        let metrics = metrics.map(|(name, metric)| (name.clone(), *metric)).collect();
        Sums { metrics, totals: if all { book.totals.clone() } else { BTreeMap::new() } }
    }

    /// The new totals of the names that `events` have.
    fn count(&self, events: &[Event], totals: &mut BTreeMap<String, Total>) {
        let book = self.inner.book();
        let mut names = book.totals.len();
        for event in events {
            let known = totals.contains_key(&event.name) || book.totals.contains_key(&event.name);
            let name = if known || names < MAX_NAMES { event.name.as_str() } else { OTHER };
            let total = totals.entry(name.to_owned()).or_insert_with(|| {
                names += usize::from(!known);
                book.totals.get(name).copied().unwrap_or(Total { first_ms: event.at, ..total_of_none() })
            });
            total.count = total.count.saturating_add(event.times);
            total.first_ms = total.first_ms.min(event.at);
            total.last_ms = total.last_ms.max(event.at);
        }
    }

    /// What still waits is lost.
    fn give_up(&mut self) {
        let left = times(&std::mem::take(&mut self.pending));
        self.inner.stats.events.change(|counts| counts.settle(left, |counts| &mut counts.lost));
    }

    fn report(&mut self, now: u64) -> Report {
        let config = &self.inner.config;
        let (funnels, totals) = {
            let book = self.inner.book();
            (book.funnels.clone(), book.totals.clone())
        };
        let found = self.keeper.attempt(|store| store.report(now, &funnels, &totals));
        let mut report = found.unwrap_or_default();
        report.at_ms = now;
        report.windows_ms = config.windows.iter().map(|window| window.as_millis()).collect();
        report.total = totals.values().map(|total| total.count).fold(0, u64::saturating_add);
        let mut kept: BTreeMap<String, EventReport> =
            std::mem::take(&mut report.events).into_iter().map(|event| (event.name.clone(), event)).collect();
        report.events = totals
            .into_iter()
            .map(|(name, Total { count, first_ms, last_ms })| {
                let kept = kept.remove(&name).unwrap_or_default();
                let in_windows =
                    if kept.in_windows.is_empty() { vec![0; config.windows.len()] } else { kept.in_windows };
                EventReport { name, total: count, first_ms, last_ms, in_windows, users: kept.users }
            })
            .collect();
        report.events.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
        let book = self.inner.book();
        let metrics = book.metrics.iter();
        report.metrics = metrics
            .map(|(name, metric)| MetricReport { name: name.clone(), metric: *metric, deviation: metric.deviation() })
            .collect();
        report
    }

    fn publish(&self) {
        let stats = &self.inner.stats;
        let Some(store) = self.keeper.store() else { return };
        stats.kept.store(store.kept(), Relaxed);
        if let Ok(bytes) = store.used_bytes() {
            stats.bytes.store(bytes, Relaxed);
        }
    }
}

const fn total_of_none() -> Total {
    Total { count: 0, first_ms: 0, last_ms: 0 }
}
