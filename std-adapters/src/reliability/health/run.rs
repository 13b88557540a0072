//! Beginning, limiting and ending the runs of checks.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

#[cfg(feature = "tracing")]
use daur_core::reliability::health::Snapshot;
use daur_core::reliability::health::{CheckId, Outcome, Status};
use daur_core::shared::Shared;
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, WallClock};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::{Check, Inner, MAX_REASON, Machine, Verdict};
use crate::clock::SystemWallClock;

impl Inner {
    /// Runs `f` after what time alone has changed.
    pub(super) fn look<R>(&self, f: impl FnOnce(&mut Machine, Instant) -> R) -> R {
        let (has_changed, answer) = self.machine.with(|machine, now| (machine.health.poll(now), f(machine, now)));
        if has_changed {
            self.log_silent();
        }
        answer
    }

    fn log_silent(&self) {
        #[cfg(feature = "tracing")]
        {
            let is_silent = |shown: &&Snapshot| shown.outcome == Some(Outcome::Stale);
            let names: Vec<Text<24>> = self
                .machine
                .with(|machine, _| machine.health.snapshots().filter(is_silent).map(|shown| shown.name).collect());
            if !names.is_empty() {
                tracing::warn!(checks = ?names, "nothing is heard of health checks");
            }
        }
    }

    /// Ends a run of a check, or reports one that was never begun.
    pub(super) fn conclude(&self, id: CheckId, verdict: Verdict, by: By) -> Status {
        let said = verdict.reason.map(|reason| one_line(&reason));
        let at_unix = SystemWallClock.unix_now();
        let change = self.machine.with(|machine, now| {
            let before = machine.health.get(id).map(|shown| shown.status);
            if by == By::Somebody && machine.health.is_running(id) {
                return Some(Change { name: Text::EMPTY, before, after: before?, reason: None });
            }
            machine.health.finish(id, verdict.outcome, now);
            let (shown, slot) = (machine.health.get(id)?, machine.slots.get_mut(id.index())?);
            // What it said itself says nothing of its being late.
            let is_late = shown.outcome == Some(Outcome::TimedOut) && verdict.outcome != Outcome::TimedOut;
            slot.reason = if is_late { Some(too_late(slot.limit)) } else { said };
            slot.at_unix = at_unix;
            slot.ended += 1;
            Some(Change { name: shown.name, before, after: shown.status, reason: slot.reason.clone() })
        });
        self.ended.notify_waiters();
        change.map_or(Status::Unknown, Change::log)
    }
}

/// Who tells how a check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The run that has begun.
    Run,
    /// Whoever has a handle.
    Somebody,
}

/// What a report did to a check.
struct Change {
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only logged"))]
    name: Text<24>,
    before: Option<Status>,
    after: Status,
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "only logged"))]
    reason: Option<String>,
}

impl Change {
    /// Logs a status that has become another one; gives it.
    fn log(self) -> Status {
        if self.before != Some(self.after) {
            #[cfg(feature = "tracing")]
            {
                let (name, reason) = (self.name.as_str(), self.reason.unwrap_or_default());
                if self.after.is_healthy() {
                    tracing::info!(name, status = %self.after, reason, "a health check changed");
                } else {
                    tracing::warn!(name, status = %self.after, reason, "a health check changed");
                }
            }
        }
        self.after
    }
}

pub(super) fn too_late(limit: std::time::Duration) -> String {
    format!("took longer than {}", Duration::from(limit))
}

/// Cut to what is kept, without what would break a line of text.
fn one_line(reason: &str) -> String {
    let mut line = String::new();
    for character in reason.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        if line.len() + character.len_utf8() > MAX_REASON {
            break;
        }
        line.push(character);
    }
    line
}

/// One run that has begun; dropped before its end, it never was.
struct Running {
    inner: Arc<Inner>,
    id: CheckId,
    check: Check,
    limit: std::time::Duration,
    has_ended: bool,
}

impl Running {
    async fn run(mut self) {
        let check = self.check.clone();
        // A task of its own: its panic is caught, and it makes its way beside the others.
        let task = tokio::spawn(async move { check().await });
        let _abort = AbortOnDrop(task.abort_handle());
        let verdict = match tokio::time::timeout(self.limit, task).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Verdict { outcome: Outcome::Panicked, reason: Some(panic_text(error)) },
            Err(_elapsed) => Verdict { outcome: Outcome::TimedOut, reason: Some(too_late(self.limit)) },
        };
        self.has_ended = true;
        self.inner.conclude(self.id, verdict, By::Run);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.inner.machine.with(|machine, _| machine.health.abandon(self.id));
            self.inner.ended.notify_waiters();
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panic_text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "was aborted".to_owned() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned());
    // What was thrown may panic as it is dropped: the run would end without a word, and be due again for ever.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    text
}

/// A check on a thread for blocking work, never beside itself. What a run that was given up still does is
/// waited for, for half of `limit`: the other half is the check's.
pub(super) fn blocking<V: Into<Verdict>>(
    limit: std::time::Duration,
    check: impl Fn() -> V + Send + Sync + 'static,
) -> Check {
    let check = Arc::new(check);
    let turns = Arc::new(tokio::sync::Mutex::new(()));
    Arc::new(move || {
        let (check, turns) = (check.clone(), turns.clone());
        Box::pin(async move {
            let Ok(turn) = tokio::time::timeout(limit / 2, turns.lock_owned()).await else {
                let reason = Some("the run before this one has not ended".to_owned());
                return Verdict { outcome: Outcome::TimedOut, reason };
            };
            let task = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                check().into()
            });
            // Given up before there was a thread for it, it need not begin.
            let _abort = AbortOnDrop(task.abort_handle());
            match task.await {
                Ok(verdict) => verdict,
                Err(error) => match error.try_into_panic() {
                    Ok(payload) => resume_unwind(payload),
                    Err(_) => Verdict::fail("the runtime is shutting down"),
                },
            }
        })
    })
}

/// The runs of the checks that `pick` has begun.
fn begin(inner: &Arc<Inner>, pick: impl FnOnce(&mut Machine, Instant) -> Vec<CheckId>) -> Vec<Running> {
    inner.look(|machine, now| {
        let begun = pick(machine, now).into_iter().filter_map(|id| {
            let slot = machine.slots.get(id.index())?;
            let check = slot.check.clone()?;
            Some(Running { inner: inner.clone(), id, check, limit: slot.limit, has_ended: false })
        });
        begun.collect()
    })
}

fn begin_due(machine: &mut Machine, now: Instant) -> Vec<CheckId> {
    std::iter::from_fn(|| machine.health.begin(now)).collect()
}

async fn all_at_once(begun: Vec<Running>) {
    let mut tasks: JoinSet<()> = begun.into_iter().map(Running::run).collect();
    while tasks.join_next().await.is_some() {}
}

pub(super) async fn due(inner: &Arc<Inner>) {
    all_at_once(begin(inner, begin_due)).await;
}

/// Runs each check once that ends no run before its turn comes, and waits for all of them.
pub(super) async fn all(inner: &Arc<Inner>) {
    // By place: how many runs had ended when this began.
    let before: Vec<u64> = inner.machine.with(|machine, _| machine.slots.iter().map(|slot| slot.ended).collect());
    loop {
        // Asked for before looking, so that an end between the two is not missed.
        let ended = inner.ended.notified();
        let mut is_missing_any = false;
        let begun = begin(inner, |machine, now| {
            let places = machine.slots.iter().zip(&before);
            let is_missing = places.map(|(slot, then)| slot.check.is_some() && slot.ended == *then);
            let missing: Vec<_> = machine.health.ids().zip(is_missing).filter(|(_, is_missing)| *is_missing).collect();
            is_missing_any = !missing.is_empty();
            missing.into_iter().map(|(id, _)| id).filter(|id| machine.health.start(*id, now)).collect()
        });
        if !begun.is_empty() {
            all_at_once(begun).await;
        } else if is_missing_any {
            ended.await;
        } else {
            return;
        }
    }
}

pub(super) async fn for_ever(inner: &Arc<Inner>) {
    let mut tasks = JoinSet::new();
    loop {
        let (added, ended) = (inner.added.notified(), inner.ended.notified());
        for running in begin(inner, begin_due) {
            tasks.spawn(running.run());
        }
        let next = inner.machine.with(|machine, now| machine.health.poll_at().map(|at| at - now));
        let pause = async {
            match next {
                // Timers count in milliseconds: rounded up, or the last of them would be spent asking.
                Some(pause) => tokio::time::sleep(std::time::Duration::from(pause).max(TICK)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            () = added => {}
            () = ended => {}
            Some(_) = tasks.join_next() => {}
        }
    }
}

const TICK: std::time::Duration = std::time::Duration::from_millis(1);
