//! The one thread that writes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::stats::count;
use super::store::{self, Row, Store};
use super::{Inner, Stored};
use crate::sqlite::{self, Fault};

/// How often an idle writer looks whether its file is still there.
const TICK: Duration = Duration::from_secs(1);
/// Work that one transaction takes.
const BATCH: usize = 256;
/// Bytes that it takes, or one value.
const BATCH_BYTES: u64 = 4 << 20;
/// Free pages that one idle tick gives back to the file system.
const SHRINK_PAGES: u64 = 64;

/// Answers who waits for a write.
pub(super) type Ack = Box<dyn FnOnce(Stored) + Send>;

/// What the writer is asked to do.
pub(super) enum Work {
    Set {
        row: Row,
        ack: Option<Ack>,
    },
    Forget {
        key: Vec<u8>,
    },
    Clear {
        ack: Ack,
    },
    Flush {
        ack: Ack,
    },
    /// A reader found the file of this generation damaged or gone.
    Suspect {
        generation: u64,
        fault: Fault,
    },
    Stop,
}

pub(super) struct Writer {
    inner: Arc<Inner>,
    queue: Receiver<Work>,
    store: Option<Store>,
    /// The last to wait for a lock has waited in vain: until somebody gets it, nobody waits.
    locked: bool,
    /// The latest wall time that a caller has told.
    now: i64,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, queue: Receiver<Work>, store: Option<Store>) -> Self {
        let locked = store.is_none();
        let writer = Self { inner, queue, store, locked, now: 0 };
        writer.publish();
        writer
    }

    pub(super) fn run(mut self) {
        loop {
            match self.queue.recv_timeout(TICK) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(self.queue.try_iter().take(BATCH - 1));
                    if self.serve(batch) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Works through a batch in its order; true when it was told to stop.
    fn serve(&mut self, batch: Vec<Work>) -> bool {
        let most = BATCH_BYTES.min(self.inner.config.max_bytes / 4);
        let mut stop = false;
        // One transaction for more than the file holds would evict everything and then store nothing.
        let mut gathered = 0;
        let mut sets = Vec::new();
        let mut forgets = Vec::new();
        for work in batch {
            match work {
                Work::Set { row, ack } => {
                    gathered += row.size();
                    if gathered > most && !sets.is_empty() {
                        self.write(&mut sets, &mut forgets);
                        gathered = row.size();
                    }
                    sets.push((row, ack));
                }
                Work::Forget { key } => forgets.push(key),
                Work::Clear { ack } => {
                    self.write(&mut sets, &mut forgets);
                    let stored = self.attempt(Store::clear).map_or(Stored::Skipped, |()| Stored::Yes);
                    self.publish();
                    ack(stored);
                }
                Work::Flush { ack } => {
                    self.write(&mut sets, &mut forgets);
                    ack(Stored::Yes);
                }
                Work::Suspect { generation, fault } => {
                    if generation == self.inner.generation.load(Relaxed) {
                        self.recover(fault);
                    }
                }
                Work::Stop => stop = true,
            }
        }
        self.write(&mut sets, &mut forgets);
        stop
    }

    /// Commits what has been gathered and answers who waits for it.
    fn write(&mut self, sets: &mut Vec<(Row, Option<Ack>)>, forgets: &mut Vec<Vec<u8>>) {
        let sets = std::mem::take(sets);
        let forgets = std::mem::take(forgets);
        if sets.is_empty() && forgets.is_empty() {
            return;
        }
        let incoming: u64 = sets.iter().map(|(row, _)| row.size()).sum();
        self.now = sets.iter().map(|(row, _)| row.created).max().unwrap_or(self.now);
        let now = self.now;
        let inner = Arc::clone(&self.inner);
        let commit = |store: &mut Store| {
            let rows = sets.iter().map(|(row, _)| row);
            store.write(rows, forgets.iter().map(Vec::as_slice), incoming, now, &inner.marks)
        };
        let written = match self.attempt(commit) {
            // A full disk has no room for deleting either; a full file has.
            Err(Fault::Full) if self.make_room(incoming) => self.attempt(commit),
            written => written,
        };
        let stats = &self.inner.stats;
        let stored = match written {
            Ok(evicted) => {
                stats.evicted.fetch_add(evicted, Relaxed);
                stats.stored.fetch_add(sets.len() as u64, Relaxed);
                Stored::Yes
            }
            Err(_) => {
                stats.skipped.fetch_add(sets.len() as u64, Relaxed);
                Stored::Skipped
            }
        };
        let forgotten: u64 = forgets.iter().map(|key| super::cost(key, &[])).sum();
        stats.queued_bytes.fetch_sub(forgotten + incoming, Relaxed);
        self.publish();
        for (_, ack) in sets {
            if let Some(ack) = ack {
                ack(stored);
            }
        }
    }

    /// Does `work`; after damage, or if the file was not in its place at the end, once more on a new file.
    fn attempt<R>(&mut self, work: impl Fn(&mut Store) -> Result<R, rusqlite::Error>) -> Result<R, Fault> {
        let mut last = Fault::Other;
        for _ in 0..2 {
            if self.store.is_none() {
                self.recover(Fault::Other);
            }
            let patient = !self.locked && !self.inner.locked.load(Relaxed);
            let Self { inner, store: Some(store), .. } = self else { return Err(last) };
            let error = match store.be_patient(patient, &inner.config).and_then(|()| work(store)) {
                Ok(done) if store.is_in_place(&inner.path) => {
                    self.locked = false;
                    return Ok(done);
                }
                // It was written to a file that nobody will find again.
                Ok(_) => {
                    self.recover(Fault::Other);
                    continue;
                }
                Err(error) => error,
            };
            count(&inner.stats.faults);
            last = Fault::of(&error);
            match last {
                // All of the batch has waited through the same timeout.
                Fault::Busy => {
                    self.locked = true;
                    return Err(last);
                }
                Fault::Foreign | Fault::Full => return Err(last),
                Fault::Damaged | Fault::Other => self.recover(last),
            }
        }
        Err(last)
    }

    /// Whether rows could be deleted to make room.
    fn make_room(&mut self, incoming: u64) -> bool {
        let inner = &self.inner;
        let evicted = self.store.as_mut().and_then(|store| store.make_room(incoming, &inner.marks).ok()).unwrap_or(0);
        inner.stats.evicted.fetch_add(evicted, Relaxed);
        evicted > 0
    }

    fn tick(&mut self) {
        self.check_place();
        if let Some(store) = &self.store {
            // Room that cannot be given back now is asked for again at the next tick.
            let _ = store.shrink(SHRINK_PAGES);
        }
        self.publish();
    }

    /// Opens the file again if somebody has deleted or replaced it, or if it could not be opened.
    fn check_place(&mut self) {
        let in_place = self.store.as_mut().is_some_and(|store| store.is_in_place(&self.inner.path));
        if !in_place {
            self.recover(Fault::Other);
        }
    }

    /// Closes every connection, puts a damaged file aside and opens what is there.
    fn recover(&mut self, fault: Fault) {
        let before = self.store.take().map(|store| store.identity());
        // Readers wait until the new file stands, so that none opens the old one once more.
        let inner = Arc::clone(&self.inner);
        let _readers = inner.close_readers();
        if let Some(before) = before {
            before.remove_log(&self.inner.path);
        }
        self.inner.generation.fetch_add(1, Relaxed);
        // A reader cannot tell damage from a database that somebody else has put there.
        if fault == Fault::Damaged && !store::is_foreign(&self.inner.path) {
            self.put_aside();
        }
        let patient = !self.locked && !inner.locked.load(Relaxed);
        let opened = Store::open(&inner.path, &inner.config, patient).or_else(|(fault, error)| {
            if fault != Fault::Damaged {
                return Err((fault, error));
            }
            self.put_aside();
            Store::open(&inner.path, &inner.config, patient)
        });
        match opened {
            Ok(store) => {
                count(&inner.stats.reopened);
                self.store = Some(store);
            }
            Err((fault, _)) => {
                self.locked |= fault == Fault::Busy;
                count(&inner.stats.faults);
            }
        }
        inner.stats.up.store(self.store.is_some(), Relaxed);
    }

    fn put_aside(&self) {
        match sqlite::quarantine(&self.inner.path) {
            Ok(_) => count(&self.inner.stats.quarantined),
            Err(_) => count(&self.inner.stats.faults),
        }
    }

    fn publish(&self) {
        let stats = &self.inner.stats;
        stats.up.store(self.store.is_some(), Relaxed);
        if let Some(store) = &self.store {
            stats.rows.store(store.rows, Relaxed);
            if let Ok(bytes) = store.used_bytes() {
                stats.bytes.store(bytes, Relaxed);
            }
        }
    }
}
