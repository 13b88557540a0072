//! The audit chain behind a thread of its own: many requests, one transaction.
//!
//! # Rules
//! 1. [`Audit::record`] returns when its event is on disk. Events that wait at the same time are one batch, and share
//!    one transaction.
//! 2. An event that cannot wait ([`Audit::note`]) is written soon. What finds no room or what the disk
//!    refuses is counted, and the count becomes a record of the chain.
//! 3. While the disk refuses, [`Audit::ready`] fails: ask it before doing what is to be recorded after.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use daur_core::id::{BootId, DeviceId};
use daur_core::performance::batch as machine;
use daur_core::reliability::retry;
use daur_core::security::audit::{Entry, Event, Filter, Head, Kind, Outcome};
use daur_core::time::{Clock, Duration, Instant, UnixTime, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::performance::batch::{self, Batching, Builder, Refused, Sender};
use daur_std::security::audit::{AuditLog, Error};
use daur_std::security::keys;
use tokio::sync::{Mutex, oneshot};

use crate::config::DataDir;
use crate::pool::Pool;
use crate::problem::{Code, Problem};

/// Events that may wait for the thread.
const WAITING: usize = 1024;
/// Events in one transaction.
const GROUP: u32 = 256;

/// Where several events come at a time, how long the next ones gather.
const NAP: Duration = Duration::from_millis(1);

type Stamped = (Event, Instant, Option<UnixTime>);

enum Work {
    Append(Box<Stamped>, Option<oneshot::Sender<bool>>),
    Retry(oneshot::Sender<bool>),
    Recent(u32, Wanted, oneshot::Sender<Result<Vec<Entry>, Error>>),
}

/// Taken out when it is done, so that a batch that is handed in again does nothing twice.
type Slot = std::sync::Mutex<Option<Work>>;

/// Says which records are asked for; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// By this user.
    pub actor: Option<String>,
    /// Not before this.
    pub since: Option<UnixTime>,
    /// Before this.
    pub until: Option<UnixTime>,
}

impl Wanted {
    /// As the stores ask it.
    #[must_use]
    pub fn filter(&self) -> Filter<'_> {
        let Self { kind, actor, since, until } = self;
        Filter { kind: *kind, actor: actor.as_deref(), since: *since, before: *until, ..Filter::ALL }
    }
}

/// The kind of that name.
#[must_use]
pub fn kind_by_name(name: &str) -> Option<Kind> {
    (0..=u8::MAX).filter_map(Kind::from_number).find(|kind| kind.name() == name)
}

/// A chain's end as it is shown and kept: its number, a colon, its tag in hexadecimal digits.
#[must_use]
pub fn head_text(head: &Head) -> String {
    let mut text = format!("{}:", head.seq);
    for byte in head.tag {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The head that [`head_text`] wrote.
///
/// # Errors
/// What such a text must be.
pub fn head_of(text: &str) -> Result<Head, String> {
    let read = || {
        let (seq, tag) = text.trim().split_once(':')?;
        Some(Head { seq: seq.parse().ok()?, tag: keys::decode(tag.as_bytes())? })
    };
    read().ok_or_else(|| "a head is the number of a record, a colon, and 64 hexadecimal digits".to_owned())
}

/// Records who did what; clones write to the same chain.
#[derive(Clone)]
pub struct Audit {
    work: Sender<Slot>,
    counts: Arc<Counts>,
    path: Arc<Path>,
    verifying: Arc<Mutex<()>>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
    broken: AtomicBool,
    head: std::sync::Mutex<Head>,
}

impl Counts {
    fn head(&self) -> std::sync::MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows what the chain holds and what it lost.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Snapshot {
    /// Records of the chain.
    pub records: u64,
    /// Records written since the start.
    pub written: u64,
    /// Events that found no room.
    pub lost: u64,
    /// Events that the disk refused.
    pub failed: u64,
    /// Whether the last attempt to write failed.
    pub broken: bool,
}

/// Ends the thread, once all that was sent is on disk.
pub struct Writer(Batching, Arc<Counts>);

impl Writer {
    /// Waits until everything is written; gives the chain's end. Whoever records after this is refused.
    pub async fn close(self) -> Head {
        self.0.close().await;
        *self.1.head()
    }
}

/// What is there when the thread is free goes together: who is alone waits for no company.
const BATCHES: batch::Config = batch::Config {
    batch: machine::Config { max_items: Some(GROUP), max_bytes: None, max_wait: Some(Duration::ZERO) },
    queue: WAITING,
    retry: retry::Config::DEFAULT,
};

/// Where the chain of a data directory is: beside the users, if no server of today has been there yet.
///
/// # Errors
/// The store's.
pub fn place(dir: &DataDir) -> Result<PathBuf, Error> {
    Ok(if AuditLog::is_at(&dir.database())? { dir.database() } else { dir.audit() })
}

/// Opens the chain of a data directory and starts its thread.
///
/// A new chain's first key is stored; if it cannot be, there is no new chain.
///
/// # Errors
/// The store's, and those of the key.
pub fn open(dir: &DataDir, boot: BootId) -> Result<(Audit, Writer), Box<dyn std::error::Error + Send + Sync>> {
    let device = DeviceId::new("host")?;
    let path = dir.audit();
    let opened = AuditLog::move_to(&dir.database(), &path)
        .and_then(|_| AuditLog::open_with(&path, device, boot, |key| dir.keep_audit_key(key)));
    let (mut log, _) = opened.map_err(|error| format!("the audit chain: {error}"))?;
    let counts = Arc::new(Counts::default());
    *counts.head() = log.head();
    let of_thread = Arc::clone(&counts);
    let mut told_lost = 0;
    let (work, batching) = Builder::new(BATCHES)?.napping(NAP).spawn_thread("audit", move |work: &[Slot]| {
        write(&mut log, work, &of_thread, &mut told_lost);
        Ok::<(), Infallible>(())
    })?;
    let (path, verifying) = (Arc::from(path), Arc::default());
    Ok((Audit { work, counts: Arc::clone(&counts), path, verifying }, Writer(batching, counts)))
}

/// Records one event from a process of its own, beside the server's perhaps, and waits until it is on disk.
///
/// # Errors
/// The store's.
pub async fn record_once(dir: &DataDir, event: Event) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (audit, writer) = open(dir, BootId(0))?;
    let recorded = audit.record(event).await;
    writer.close().await;
    recorded.map_err(|_| "the audit could not be written".into())
}

const fn slot(work: Work) -> Slot {
    std::sync::Mutex::new(Some(work))
}

/// An event with the moment it happened at.
fn stamp(event: Event) -> Stamped {
    (event, StdClock.now(), SystemWallClock.unix_now())
}

impl Audit {
    /// Records an event and waits until it is on disk.
    ///
    /// # Errors
    /// `internal` if it cannot be.
    pub fn record(&self, event: Event) -> impl Future<Output = Result<(), Problem>> + Send {
        let (done, written) = oneshot::channel();
        // There is room nearly always: then nothing but the answer is carried along.
        let full = match self.work.try_send(slot(Work::Append(Box::new(stamp(event)), Some(done)))) {
            Ok(()) => None,
            Err(Refused::Full(slot)) => Some(Box::pin(self.work.send(slot))),
            // The slot is dropped, and with it who would answer.
            Err(_) => None,
        };
        async move {
            if let Some(full) = full {
                // As above.
                let _ = full.await;
            }
            if written.await.unwrap_or(false) {
                return Ok(());
            }
            Err(Problem::new(
                Code::Internal,
                "The audit log could not be written. What was asked for may have been done; nothing more is, until it can.",
            ))
        }
    }

    /// Fails if the last attempt to write did, and so does another one now.
    ///
    /// # Errors
    /// `internal`: what cannot be audited is not done.
    pub async fn ready(&self) -> Result<(), Problem> {
        if !self.counts.broken.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (done, written) = oneshot::channel();
        if self.work.send(slot(Work::Retry(done))).await.is_ok() && written.await.unwrap_or(false) {
            return Ok(());
        }
        Err(Problem::new(Code::Internal, "The audit log cannot be written, so nothing else is done either."))
    }

    /// Records an event without waiting for the disk.
    pub fn note(&self, event: Event) {
        if self.work.try_send(slot(Work::Append(Box::new(stamp(event)), None))).is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last `limit` records that are wanted, newest first.
    ///
    /// # Errors
    /// `internal` if the chain cannot be read.
    pub async fn recent(&self, limit: u32, wanted: Wanted) -> Result<Vec<Entry>, Problem> {
        let (done, answer) = oneshot::channel();
        let unreadable = |error: &dyn std::fmt::Display| Problem::internal("the audit chain cannot be read", error);
        self.work.send(slot(Work::Recent(limit, wanted, done))).await.map_err(|error| unreadable(&error))?;
        answer.await.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))
    }

    /// Checks the whole chain from its first key; tells its end, or what is wrong with it and where first.
    ///
    /// # Errors
    /// `overloaded` if the pool has no room: then it was not checked.
    pub async fn verify(&self, key: [u8; 32], pool: &Pool) -> Result<Result<Head, String>, Problem> {
        // Beside the thread, since a long chain takes seconds and nobody else's request shall wait for it; one at a
        // time, since each takes a CPU.
        let turn = Arc::clone(&self.verifying).lock_owned().await;
        let path = Arc::clone(&self.path);
        let verified = pool.run_late(move || {
            let _turn = turn;
            AuditLog::verify_at(&path, key, None)
        });
        Ok(verified.await?.map_err(|error| error.to_string()))
    }

    /// The batches so far.
    #[must_use]
    pub fn batches(&self) -> batch::Snapshot {
        self.work.snapshot()
    }

    /// What the chain holds and what it lost.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            records: self.counts.head().seq,
            written: load(&self.counts.written),
            lost: load(&self.counts.lost),
            failed: load(&self.counts.failed),
            broken: self.counts.broken.load(Ordering::Relaxed),
        }
    }
}

/// Writes one batch: its events in one transaction, then the answers to who waits, then to who asks.
fn write(log: &mut AuditLog, batch: &[Slot], counts: &Counts, told_lost: &mut u64) {
    let mut events = Vec::with_capacity(batch.len() + 1);
    let mut waiters = Vec::new();
    let mut questions = Vec::new();
    let lost = counts.lost.load(Ordering::Relaxed) + counts.failed.load(Ordering::Relaxed);
    let told_now = u64::from(lost > *told_lost);
    if lost > *told_lost {
        let detail = format!("{} events could not be kept", lost - *told_lost);
        events.push(stamp(Event::new(Kind::Lost, Outcome::Failure, "", "", &detail)));
    }
    for slot in batch {
        match slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(Work::Append(event, done)) => {
                events.push(*event);
                waiters.extend(done);
            }
            Some(Work::Retry(done)) => waiters.push(done),
            Some(Work::Recent(limit, wanted, answer)) => questions.push((limit, wanted, answer)),
            None => {}
        }
    }
    if !events.is_empty() {
        let broken = match log.append(&events) {
            Ok(head) => {
                *counts.head() = head;
                counts.written.fetch_add(events.len() as u64, Ordering::Relaxed);
                *told_lost = lost;
                false
            }
            Err(error) => {
                tracing::error!(%error, "{} audit events could not be written", events.len());
                // The count of what was lost is told again next time.
                counts.failed.fetch_add(events.len() as u64 - told_now, Ordering::Relaxed);
                true
            }
        };
        counts.broken.store(broken, Ordering::Relaxed);
    }
    let written = !counts.broken.load(Ordering::Relaxed);
    for waiter in waiters {
        let _ = waiter.send(written);
    }
    for (limit, wanted, answer) in questions {
        drop(answer.send(log.find(&wanted.filter(), limit)));
    }
}
