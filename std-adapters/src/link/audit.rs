//! The audit chain of the device on a line: what came, until it is on disk.

use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use daur_core::security::audit::Entry;

use crate::security::audit::device::{Life, Status, Trail};

/// Records that may wait for the device's name.
const MAX_EARLY: usize = 64;

/// Where chains are kept and what they are verified with.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub(super) dir: Option<PathBuf>,
    pub(super) fleet_key: Option<Arc<[u8]>>,
}

/// Takes in what a device tells of its chain.
#[derive(Default)]
pub(super) struct Keeper {
    store: Store,
    life: Option<Life>,
    /// What came before the device's name, which its key is derived from.
    early: Vec<Entry>,
    /// What came, in order; a life alone is one that has begun.
    waiting: Vec<(Life, Option<Entry>)>,
    /// The chain of the latest life; away while work is under way.
    trail: Option<Trail>,
    status: Option<Status>,
    recent: Vec<Entry>,
    early_dropped: u64,
}

impl Keeper {
    pub(super) fn new(store: Store) -> Self {
        Self { store, ..Self::default() }
    }

    /// A device has said who it is. One that keeps no chain has `audits` unset.
    pub(super) fn on_hello(&mut self, life: Life, audits: bool) {
        if self.life != Some(life) {
            self.life = Some(life);
            (self.status, self.recent) = (None, Vec::new());
            if audits {
                self.waiting.push((life, None));
            }
        }
        for entry in mem::take(&mut self.early) {
            if (entry.device, entry.boot) == (life.device, life.boot) {
                self.waiting.push((life, Some(entry)));
            } else {
                self.early_dropped += 1;
            }
        }
    }

    pub(super) fn on_entry(&mut self, entry: &Entry) {
        match self.life {
            Some(life) => self.waiting.push((life, Some(*entry))),
            None if self.early.len() < MAX_EARLY => self.early.push(*entry),
            None => self.early_dropped += 1,
        }
    }

    /// What is to be done on the blocking pool before anything is acknowledged.
    pub(super) fn work(&mut self) -> Option<Work> {
        if self.waiting.is_empty() {
            return None;
        }
        let (store, waiting, trail) = (self.store.clone(), mem::take(&mut self.waiting), self.trail.take());
        Some(Work { store, waiting, trail })
    }

    /// Takes back what was done; what is left waits for the next time.
    pub(super) fn done(&mut self, mut work: Work) {
        if let Some(trail) = &work.trail
            && Some(trail.life()) == self.life
        {
            self.status = Some(trail.status());
            self.recent = trail.find(&daur_core::security::audit::Filter::ALL);
        }
        self.trail = work.trail.take();
        work.waiting.append(&mut self.waiting);
        self.waiting = work.waiting;
    }

    pub(super) fn status(&self) -> Option<Status> {
        let mut status = self.status.clone();
        if let Some(status) = &mut status {
            status.dropped += self.early_dropped;
        }
        status
    }

    /// The last records, the newest first.
    pub(super) fn recent(&self) -> &[Entry] {
        &self.recent
    }
}

/// Records on their way to the disk.
pub(super) struct Work {
    store: Store,
    waiting: Vec<(Life, Option<Entry>)>,
    trail: Option<Trail>,
}

impl Work {
    /// Does it. Blocks. What could not be stored is left in it.
    pub(super) fn run(&mut self) -> std::io::Result<()> {
        while let Some((life, _)) = self.waiting.first().copied() {
            let done = self.waiting.iter().position(|(other, _)| *other != life).unwrap_or(self.waiting.len());
            let entries: Vec<Entry> = self.waiting.iter().take(done).filter_map(|(_, entry)| *entry).collect();
            let mut trail = match self.trail.take().filter(|trail| trail.life() == life) {
                Some(trail) => trail,
                None => Trail::open(self.store.dir.as_deref(), life, self.store.fleet_key.as_deref())?,
            };
            // If this fails, what is on disk is not known: the next time opens it again.
            trail.receive(&entries)?;
            self.trail = Some(trail);
            self.waiting.drain(..done);
        }
        Ok(())
    }
}
