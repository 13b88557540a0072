//! What is shown of the errors.

use daur_core::monitoring::errors as machine;
use daur_core::time::{Duration, Instant, UnixTime};
use serde::Serialize;
use std::sync::atomic::Ordering;

use super::{Inner, KIND_BYTES};

/// Where an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// The program recorded it.
    Recorded,
    /// A `tracing` event of level ERROR.
    Event,
    /// A panic.
    Panic,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Its number, from 1 on; there are no gaps.
    pub seq: u64,
    /// When, on the wall clock.
    pub at: Option<UnixTime>,
    /// What kind it is of.
    pub kind: String,
    /// What it said.
    pub message: String,
    /// What its cause said, and that one's cause.
    pub causes: Vec<String>,
    /// Whether it has more causes than are kept.
    pub more_causes: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// The target of an event.
    pub target: Option<String>,
    /// Where in the source an event was told, or a panic began.
    pub place: Option<String>,
    /// The name of the thread, if it has one.
    pub thread: Option<String>,
}

/// How often a kind of error has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// Its name.
    pub kind: String,
    /// How often, at most.
    pub count: u64,
    /// By how much `count` may be too high; 0 if it is exact.
    pub overestimate: u64,
    /// When it was first seen since it is in the table.
    pub first_at: Option<UnixTime>,
    /// When it was last seen.
    pub last_at: Option<UnixTime>,
}

/// Everything that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Errors recorded, of every origin.
    pub total: u64,
    /// Errors of the last window, about.
    pub recent: u64,
    /// That window.
    pub window: Duration,
    /// Kinds in the table.
    pub kinds: usize,
    /// How often a kind has taken the place of another; 0 means that all counts are exact.
    pub replaced: u64,
    /// Of `total`, `tracing` events.
    pub events: u64,
    /// Of `total`, panics.
    pub panics: u64,
    /// Errors that were not recorded since their thread was just recording another one; not in `total`.
    pub skipped: u64,
    /// The kinds, the most frequent first.
    pub top: Vec<Kind>,
    /// The last errors, the newest first.
    pub last: Vec<Recorded>,
}

/// Tells the wall time of moments.
pub(super) struct Times {
    pub(super) now: Instant,
    wall: Option<UnixTime>,
}

impl Times {
    pub(super) fn now(inner: &Inner) -> Self {
        Self { now: inner.clock.now(), wall: inner.wall.unix_now() }
    }

    fn of(&self, moment: Instant) -> Option<UnixTime> {
        let ago = self.now.since(moment).as_millis();
        self.wall.map(|wall| UnixTime::from_millis(wall.as_millis().saturating_sub(ago)))
    }

    pub(super) fn kind(&self, kind: &machine::Kind<KIND_BYTES>) -> Kind {
        Kind {
            kind: kind.kind.as_str().to_string(),
            count: kind.count,
            overestimate: kind.overestimate,
            first_at: self.of(kind.first_at),
            last_at: self.of(kind.last_at),
        }
    }
}

pub(super) fn snapshot(inner: &Inner, n: usize) -> Snapshot {
    let times = Times::now(inner);
    let state = inner.held();
    let figures = state.errors.snapshot(times.now);
    Snapshot {
        total: figures.total,
        recent: figures.recent,
        window: inner.config.window,
        kinds: figures.kinds,
        replaced: figures.replaced,
        events: state.events,
        panics: state.panics,
        skipped: inner.skipped.load(Ordering::Relaxed),
        top: state.errors.top().take(n).map(|kind| times.kind(kind)).collect(),
        last: state.last.iter().rev().take(n).cloned().collect(),
    }
}
