//! One check: what has been reported, and what follows from it.

use crate::text::Text;
use crate::time::{Duration, Instant};

use super::{CheckConfig, Kind, Outcome, Snapshot, Status};

/// The shortest time: a check may take its timeout exactly, so the first moment that is too late is one
/// of these later.
const INSTANT_AFTER: Duration = Duration::from_nanos(1);

/// Stands for no moment: an `Option` would take eight bytes more in each check.
const NEVER: Instant = Instant::MAX;

/// What holds before anything was reported.
const fn first_status(kind: Kind) -> Status {
    match kind {
        Kind::Liveness => Status::Healthy,
        Kind::Readiness => Status::Unhealthy,
        Kind::Startup => Status::Unknown,
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) shown: Snapshot,
    success_threshold: u8,
    failure_threshold: u8,
    /// How often in a row the last outcome has come.
    streak: u8,
    /// The run under way has outlasted its timeout, and that has been counted.
    expired: bool,
    timeout: Duration,
    /// [`Duration::MAX`]: never due by itself.
    period: Duration,
    /// [`Duration::MAX`]: nothing gets too old.
    max_age: Duration,
    /// When the run under way began, or [`NEVER`].
    begun: Instant,
    /// The first moment at which the run under way is too late, once more.
    late_at: Instant,
    /// When the next run is due, or [`NEVER`].
    due: Instant,
    /// What the age of a report is counted from: the last one, the first look, or [`NEVER`] before it.
    seen: Instant,
}

impl Check {
    pub(super) const fn new(name: Text<24>, config: CheckConfig) -> Self {
        let (period, due) = match config.period {
            Some(period) => (period, Instant::ZERO),
            None => (Duration::MAX, NEVER),
        };
        let max_age = match config.max_age {
            Some(max_age) => max_age,
            None => Duration::MAX,
        };
        Self {
            shown: Snapshot {
                name,
                kind: config.kind,
                status: first_status(config.kind),
                outcome: None,
                took: Duration::ZERO,
                at: None,
                runs: 0,
                failed: 0,
            },
            success_threshold: config.success_threshold,
            failure_threshold: config.failure_threshold,
            streak: 0,
            expired: false,
            timeout: config.timeout,
            period,
            max_age,
            begun: NEVER,
            late_at: NEVER,
            due,
            seen: NEVER,
        }
    }

    pub(super) fn begun(&self) -> Option<Instant> {
        (self.begun != NEVER).then_some(self.begun)
    }

    /// The moment at which the next run may begin; none while one is under way, or when the start is over.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let is_done = self.shown.kind == Kind::Startup && self.shown.status == Status::Healthy;
        (self.begun == NEVER && self.due != NEVER && !is_done).then_some(self.due)
    }

    /// Whether it is the start's, and that is over.
    const fn is_over(&self) -> bool {
        matches!(self.shown.kind, Kind::Startup) && self.shown.status.is_healthy()
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.begun = now;
        self.expired = false;
        self.late_at = now + self.timeout + INSTANT_AFTER;
        self.due = now + self.period;
    }

    pub(super) fn abandon(&mut self) {
        self.expired = false;
        if self.begun != NEVER {
            // Due again at once, if it is ever due by itself.
            self.due = if self.period == Duration::MAX { NEVER } else { self.begun };
            self.begun = NEVER;
        }
    }

    pub(super) fn report(&mut self, outcome: Outcome, took: Duration, now: Instant) -> Status {
        let has_been_counted = self.expired;
        if self.begun == NEVER {
            self.due = now + self.period;
        }
        self.begun = NEVER;
        self.expired = false;
        self.late_at = NEVER;
        let outcome = if has_been_counted || took > self.timeout { Outcome::TimedOut } else { outcome };
        if has_been_counted {
            self.show(outcome, took, now);
        } else {
            self.judge(outcome, took, now);
        }
        self.shown.status
    }

    fn show(&mut self, outcome: Outcome, took: Duration, now: Instant) {
        self.shown.outcome = Some(outcome);
        self.shown.took = took;
        self.shown.at = Some(now);
        self.seen = now;
    }

    fn judge(&mut self, outcome: Outcome, took: Duration, now: Instant) {
        let same = self.shown.outcome.is_some_and(|last| last.has_passed() == outcome.has_passed());
        self.streak = if same { self.streak.saturating_add(1) } else { 1 };
        self.shown.runs = self.shown.runs.saturating_add(1);
        self.shown.failed = self.shown.failed.saturating_add(u32::from(!outcome.has_passed()));
        self.show(outcome, took, now);
        if outcome.has_passed() {
            if self.streak >= self.success_threshold {
                self.shown.status = if outcome == Outcome::Pass { Status::Healthy } else { Status::Degraded };
            }
        } else if self.streak >= self.failure_threshold {
            self.fail();
        }
    }

    /// Begins to count now: what it has said until here is shown, and means nothing.
    pub(super) fn start_over(&mut self, now: Instant) {
        self.shown.status = first_status(self.shown.kind);
        self.streak = 0;
        if self.seen != NEVER {
            self.seen = now;
        }
        if self.shown.outcome == Some(Outcome::Stale) {
            self.shown.outcome = None;
        }
    }

    /// A start that is over stays over.
    fn fail(&mut self) {
        if !self.is_over() {
            self.shown.status = Status::Unhealthy;
        }
    }

    /// The moment at which [`Check::poll`] changes something.
    pub(super) fn poll_at(&self) -> Option<Instant> {
        let late_at = (self.begun != NEVER).then_some(self.late_at);
        let stale_at = match self.seen {
            _ if !self.can_fall_silent() => None,
            NEVER => Some(Instant::ZERO),
            seen => Some(seen + self.max_age + INSTANT_AFTER),
        };
        Instant::earliest(late_at, stale_at)
    }

    /// Whether silence can still change something.
    fn can_fall_silent(&self) -> bool {
        self.max_age != Duration::MAX && self.shown.outcome != Some(Outcome::Stale) && !self.is_over()
    }

    pub(super) fn poll(&mut self, now: Instant) {
        if self.begun != NEVER && now >= self.late_at {
            self.judge(Outcome::TimedOut, now - self.begun, now);
            self.expired = true;
            // A run that never ends fails once more for every further timeout, or it would never reach
            // its threshold.
            self.late_at = now + self.timeout + INSTANT_AFTER;
        }
        if !self.can_fall_silent() {
            return;
        }
        if self.seen == NEVER {
            self.seen = now;
        } else if now - self.seen > self.max_age {
            self.shown.outcome = Some(Outcome::Stale);
            self.streak = 0;
            self.fail();
        }
    }

    pub(super) fn invariants(&self) {
        debug_assert!(self.success_threshold >= 1 && self.failure_threshold >= 1, "validated when added");
        debug_assert!(self.begun != NEVER || !self.expired, "only a run under way is late");
        debug_assert!(self.shown.failed <= self.shown.runs, "a failure is a run");
        debug_assert!(
            self.shown.kind != Kind::Liveness || self.shown.status != Status::Unknown,
            "liveness is known from the first moment"
        );
    }
}
