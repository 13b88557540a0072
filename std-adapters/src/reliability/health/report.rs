//! What the checks have said.

use daur_core::reliability::health::{Kind, Outcome, Status};
use daur_core::time::{Duration, Instant, UnixTime};

use super::Machine;
use super::run::too_late;

/// Shows all checks at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The worst of all.
    pub status: Status,
    /// Whether no restart is needed.
    pub live: bool,
    /// Whether requests may come.
    pub ready: bool,
    /// Whether the start is over.
    pub started: bool,
    /// Every check, in the order of being added.
    pub checks: Vec<CheckReport>,
}

impl Report {
    pub(super) fn of(machine: &mut Machine, now: Instant) -> Self {
        let health = &machine.health;
        let shown = health.ids().zip(health.snapshots());
        let each = shown.zip(&machine.slots).map(|((id, shown), slot)| CheckReport {
            name: shown.name.as_str().to_owned(),
            kind: shown.kind,
            status: shown.status,
            outcome: shown.outcome,
            reason: match shown.outcome {
                // What was said last is what is too old.
                Some(Outcome::Stale) => Some("nothing was heard of it for longer than it may be silent".to_owned()),
                // Nor has a run that is late said anything yet.
                Some(Outcome::TimedOut) if health.is_running(id) => Some(too_late(slot.limit)),
                _ => slot.reason.clone(),
            },
            took: shown.took,
            at: shown.at,
            at_unix: slot.at_unix,
            age: shown.at.map(|at| now - at),
            runs: shown.runs,
            failed: shown.failed,
        });
        Self {
            status: health.overall(),
            live: health.is_live(),
            ready: health.is_ready(),
            started: health.is_started(),
            checks: each.collect(),
        }
    }

    /// Whether it is live and ready.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        self.live && self.ready
    }

    /// Whether a probe of `kind` is answered with yes.
    #[must_use]
    pub const fn holds(&self, kind: Kind) -> bool {
        match kind {
            Kind::Liveness => self.live,
            Kind::Readiness => self.ready,
            Kind::Startup => self.started,
        }
    }
}

/// Shows one check at one moment.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// What it speaks for.
    pub kind: Kind,
    /// How it is judged.
    pub status: Status,
    /// How its last run ended.
    pub outcome: Option<Outcome>,
    /// Why, in one line for people.
    pub reason: Option<String>,
    /// How long its last run took.
    pub took: Duration,
    /// When its last run ended, by the monotonic clock.
    pub at: Option<Instant>,
    /// When its last run ended, by the calendar.
    pub at_unix: Option<UnixTime>,
    /// How long ago that was.
    pub age: Option<Duration>,
    /// Runs that were judged.
    pub runs: u32,
    /// How many of them failed.
    pub failed: u32,
}
