//! The one thread that writes.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::store::{self, Row, Store};
use super::{Inner, Stored};
use crate::sqlite::{self, Fault};

/// How often an idle writer looks whether its file is still there.
const TICK: Duration = Duration::from_secs(1);
/// Work that one transaction takes.
const BATCH: usize = 64;
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
    /// The latest wall time that a caller has told.
    now: i64,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, queue: Receiver<Work>, store: Store) -> Self {
        let writer = Self { inner, queue, store: Some(store), now: 0 };
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
        self.check_place();
        let mut stop = false;
        // One transaction for more than the file holds would evict everything and then store nothing.
        let mut gathered = 0;
        let mut sets = Vec::new();
        let mut forgets = Vec::new();
        for work in batch {
            match work {
                Work::Set { row, ack } => {
                    gathered += row.size();
                    if gathered > self.inner.config.max_bytes / 4 && !sets.is_empty() {
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
        self.publish();
        stop
    }

    /// Commits what has been gathered and answers who waits for it.
    fn write(&mut self, sets: &mut Vec<(Row, Option<Ack>)>, forgets: &mut Vec<Vec<u8>>) {
        let sets = std::mem::take(sets);
        let forgets = std::mem::take(forgets);
        if sets.is_empty() && forgets.is_empty() {
            return;
        }
        let incoming = sets.iter().map(|(row, _)| row.size()).sum();
        self.now = sets.iter().map(|(row, _)| row.created).max().unwrap_or(self.now);
        let now = self.now;
        let commit = |store: &mut Store| {
            store.write(sets.iter().map(|(row, _)| row), forgets.iter().map(Vec::as_slice), incoming, now)
        };
        let written = self.attempt(commit);
        let stats = &self.inner.stats;
        let stored = match written {
            Some(evicted) => {
                stats.evicted.fetch_add(evicted, Relaxed);
                stats.stored.fetch_add(sets.len() as u64, Relaxed);
                Stored::Yes
            }
            None => {
                stats.skipped.fetch_add(sets.len() as u64, Relaxed);
                Stored::Skipped
            }
        };
        self.publish();
        for (row, ack) in sets {
            self.inner.queued_bytes.fetch_sub(row.size(), Relaxed);
            if let Some(ack) = ack {
                ack(stored);
            }
        }
    }

    /// Does `work`; after damage once more on a new file.
    fn attempt<R>(&mut self, work: impl Fn(&mut Store) -> Result<R, rusqlite::Error>) -> Option<R> {
        for _ in 0..2 {
            let error = match work(self.store.as_mut()?) {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            self.inner.stats.faults.fetch_add(1, Relaxed);
            match Fault::of(&error) {
                // All of the batch has waited through the same timeout.
                Fault::Busy | Fault::Foreign => return None,
                Fault::Full => {
                    // The disk may have room again for the next batch, sooner if we give some back.
                    let evicted = self.store.as_mut().and_then(|store| store.make_room().ok());
                    self.inner.stats.evicted.fetch_add(evicted.unwrap_or(0), Relaxed);
                    return None;
                }
                fault @ (Fault::Damaged | Fault::Other) => self.recover(fault),
            }
        }
        None
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
        let lock = |reader| Mutex::lock(reader).unwrap_or_else(PoisonError::into_inner);
        let mut readers: Vec<_> = self.inner.readers.iter().map(lock).collect();
        for reader in &mut readers {
            **reader = None;
        }
        if let Some(before) = before {
            before.remove_log(&self.inner.path);
        }
        self.inner.generation.fetch_add(1, Relaxed);
        // A reader cannot tell damage from a database that somebody else has put there.
        if fault == Fault::Damaged && !store::is_foreign(&self.inner.path) {
            self.put_aside();
        }
        let opened = store::open(&self.inner.path, &self.inner.config).or_else(|(fault, error)| {
            if fault != Fault::Damaged {
                return Err((fault, error));
            }
            self.put_aside();
            store::open(&self.inner.path, &self.inner.config)
        });
        match opened {
            Ok(store) => {
                self.inner.stats.reopened.fetch_add(1, Relaxed);
                self.store = Some(store);
            }
            Err(_) => {
                self.inner.stats.faults.fetch_add(1, Relaxed);
            }
        }
        self.inner.stats.up.store(self.store.is_some(), Relaxed);
    }

    fn put_aside(&self) {
        match sqlite::quarantine(&self.inner.path) {
            Ok(_) => self.inner.stats.quarantined.fetch_add(1, Relaxed),
            Err(_) => self.inner.stats.faults.fetch_add(1, Relaxed),
        };
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
