//! Runs health checks by themselves, all at once, and tells what they said.
//!
//! The judging is [`daur_core::reliability::health`]'s: this runs what is due, limits it, catches its
//! panics, and keeps its reasons. With the feature `axum`, `handlers` answers `/livez`, `/readyz` and
//! `/startupz` from it.

#[cfg(feature = "axum")]
pub mod handlers;
mod report;
mod run;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use daur_core::reliability::breaker::State;
use daur_core::reliability::health::{AddError, CheckConfig, CheckId, Config, Health, Kind, Outcome, Status};
use daur_core::shared::Shared;
use daur_core::time::UnixTime;
use tokio::sync::Notify;

pub use report::{CheckReport, Report};

use crate::clock::TokioClock;
use crate::shared::StdShared;

/// How many checks one [`HealthChecker`] holds.
pub const MAX_CHECKS: usize = 64;

/// The longest reason that is kept, in bytes.
pub const MAX_REASON: usize = 256;

/// Tells how a check ended, and why.
///
/// A check may give a `bool`, a `Result<(), E>` of any error that displays, or one of these.
///
/// # Example
/// ```
/// use daur_std::core::reliability::health::Outcome;
/// use daur_std::reliability::health::Verdict;
///
/// assert_eq!(Verdict::from(true), Verdict::pass());
/// assert_eq!(Verdict::from(Err::<(), _>("no route")), Verdict::fail("no route"));
/// assert_eq!(Verdict::degraded("5 % of the disk left").outcome, Outcome::Degraded);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Why: for people.
    pub reason: Option<String>,
}

impl Verdict {
    /// It succeeded.
    #[must_use]
    pub const fn pass() -> Self {
        Self { outcome: Outcome::Pass, reason: None }
    }

    /// It succeeded, with a warning.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Degraded, reason: Some(reason.into()) }
    }

    /// It failed.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, reason: Some(reason.into()) }
    }
}

impl From<bool> for Verdict {
    fn from(is_well: bool) -> Self {
        Self { outcome: if is_well { Outcome::Pass } else { Outcome::Fail }, reason: None }
    }
}

impl<E: fmt::Display> From<Result<(), E>> for Verdict {
    fn from(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::pass(),
            Err(error) => Self::fail(error.to_string()),
        }
    }
}

type CheckFuture = Pin<Box<dyn Future<Output = Verdict> + Send>>;
type Check = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

/// What stands beside a check of the machine's.
struct Slot {
    /// `None`: somebody else reports it.
    check: Option<Check>,
    limit: std::time::Duration,
    reason: Option<String>,
    at_unix: Option<UnixTime>,
    /// Runs that have ended, and reports.
    ended: u64,
}

struct Machine {
    health: Health<MAX_CHECKS>,
    /// By [`CheckId::index`].
    slots: Vec<Slot>,
}

struct Inner {
    machine: StdShared<Machine, TokioClock>,
    /// A check was added.
    added: Notify,
    /// A run has ended or was given up.
    ended: Notify,
}

/// Runs up to [`MAX_CHECKS`] checks on tokio and judges what they say (`HealthChecker`).
///
/// A cheap handle: its clones are one checker. [`HealthChecker::keep_checking`] runs each check when it is
/// due; a probe's handler only tells what is known. For a device, or for checks that a loop of yours runs,
/// take [`Health`] itself.
///
/// # Rules
/// 1. All checks that are due run at once, each with its own timeout: a slow one keeps no other waiting.
/// 2. A check that panics has failed with what it said; nobody else notices.
/// 3. A check that outlasts its timeout is dropped and has failed.
/// 4. One check never runs twice at the same time; a blocking one that does not end fails the next run.
/// 5. [`HealthChecker::run_checks`] tells of each check what a run found that ended after the call began.
/// 6. Dropped, a run records nothing, and its checks are due again.
/// 7. There are at most [`MAX_CHECKS`] checks, and a reason has at most [`MAX_REASON`] bytes, in one line.
/// 8. A check that somebody else reports is judged by the same rules, and never run.
///
/// # Cost
/// 8 KB, and each check's closure. A run is two tasks a check, and a lock for each beginning and end.
///
/// # Errors
/// [`AddError`] for a check that is not taken on.
///
/// # Sharing
/// `Clone`, `Send` and `Sync`. Checks run outside of every lock.
///
/// # Example
/// ```
/// use daur_std::core::reliability::health::{CheckConfig, Config};
/// use daur_std::reliability::health::HealthChecker;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let checker = HealthChecker::new(Config::DEFAULT);
/// checker.register_check("database", CheckConfig::READINESS, || async { Ok::<_, String>(()) })?;
/// assert!(!checker.is_healthy(), "not ready before the first success");
///
/// let report = checker.run_checks().await;
/// assert!(report.is_healthy());
/// assert_eq!(report.checks[0].name, "database");
/// // Then, once: tokio::spawn(async move { checker.keep_checking().await });
/// # Ok::<(), daur_std::core::reliability::health::AddError>(())
/// # }).unwrap();
/// ```
///
/// # References
/// Kubernetes, *Configure Liveness, Readiness and Startup Probes*.
#[derive(Clone)]
pub struct HealthChecker {
    inner: Arc<Inner>,
}

/// The process's own checker (`get_health_checker`), made at the first call with [`Config::DEFAULT`]: a kind
/// without checks is healthy.
#[doc(alias = "get_health_checker")]
pub fn health_checker() -> &'static HealthChecker {
    static CHECKER: OnceLock<HealthChecker> = OnceLock::new();
    CHECKER.get_or_init(HealthChecker::default)
}

impl HealthChecker {
    /// A checker without checks.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let machine = Machine { health: Health::new(config), slots: Vec::new() };
        let machine = StdShared::with_clock(machine, TokioClock);
        Self { inner: Arc::new(Inner { machine, added: Notify::new(), ended: Notify::new() }) }
    }

    /// Adds a check that is awaited.
    ///
    /// # Errors
    /// [`AddError`] if the name is taken or too long, the config breaks a rule, or there is no place.
    pub fn register_check<F, V>(
        &self,
        name: &str,
        config: CheckConfig,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<CheckId, AddError>
    where
        F: Future<Output = V> + Send + 'static,
        V: Into<Verdict>,
    {
        let check: Check = Arc::new(move || {
            let run = check();
            Box::pin(async move { run.await.into() })
        });
        self.add(name, config, Some(check))
    }

    /// Adds a check that blocks: it runs on tokio's threads for that.
    ///
    /// It cannot be interrupted, and is not run beside itself: the next run waits for it. After half of its
    /// timeout that run has failed too.
    ///
    /// # Errors
    /// As [`HealthChecker::register_check`].
    pub fn register_blocking<V: Into<Verdict>>(
        &self,
        name: &str,
        config: CheckConfig,
        check: impl Fn() -> V + Send + Sync + 'static,
    ) -> Result<CheckId, AddError> {
        self.add(name, config, Some(run::blocking(config.timeout.into(), check)))
    }

    /// Adds a check that somebody else reports, with [`HealthChecker::report`].
    ///
    /// # Errors
    /// As [`HealthChecker::register_check`].
    pub fn register_reported(&self, name: &str, config: CheckConfig) -> Result<CheckId, AddError> {
        self.add(name, CheckConfig { period: None, ..config }, None)
    }

    fn add(&self, name: &str, config: CheckConfig, check: Option<Check>) -> Result<CheckId, AddError> {
        let added = self.inner.machine.with(|machine, _| {
            let id = machine.health.add(name, config)?;
            let limit = config.timeout.into();
            machine.slots.push(Slot { check, limit, reason: None, at_unix: None, ended: 0 });
            Ok(id)
        });
        self.inner.added.notify_waiters();
        added
    }

    /// Reports a check from outside; says its status. While a run of the check is under way its own end
    /// is what counts, and this is dropped.
    pub fn report(&self, id: CheckId, verdict: impl Into<Verdict>) -> Status {
        self.inner.conclude(id, verdict.into(), run::By::Somebody)
    }

    /// Reports what a breaker's state means to a check: open, it fails readiness only. A state that is told
    /// once counts once: told at its changes only, the check needs a `failure_threshold` of 1.
    pub fn report_breaker(&self, id: CheckId, state: State) -> Status {
        let kind = self.inner.machine.with(|machine, _| machine.health.get(id).map(|shown| shown.kind));
        let Some(kind) = kind else { return Status::Unknown };
        let reason = format!("the breaker is {state:?}");
        self.report(id, Verdict { outcome: Outcome::of_breaker(state, kind), reason: Some(reason) })
    }

    /// Runs every check, due or not, and tells what each said.
    ///
    /// One that runs already is not run again: its end is waited for.
    pub async fn run_checks(&self) -> Report {
        run::all(&self.inner).await;
        self.snapshot()
    }

    /// Runs the checks that are due now.
    pub async fn run_due(&self) {
        run::due(&self.inner).await;
    }

    /// Runs each check whenever it is due, for ever: for a task of its own. A check with a `max_age` fails if
    /// that task ends; one without goes on telling what it said last.
    pub async fn keep_checking(&self) {
        run::for_ever(&self.inner).await;
    }

    /// What is known now, without running anything.
    #[must_use]
    pub fn snapshot(&self) -> Report {
        self.inner.look(Report::of)
    }

    /// The status of a kind as a probe is answered, with startup's gate.
    #[must_use]
    pub fn judged(&self, kind: Kind) -> Status {
        self.inner.look(|machine, _| machine.health.judged(kind))
    }

    /// Whether no restart is needed.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.judged(Kind::Liveness).is_healthy()
    }

    /// Whether requests may come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.judged(Kind::Readiness).is_healthy()
    }

    /// Whether the start is over.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.judged(Kind::Startup).is_healthy()
    }

    /// Whether it is live and ready.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.inner.look(|machine, _| machine.health.is_healthy())
    }
}

impl Default for HealthChecker {
    fn default() -> Self {
        Self::new(Config::DEFAULT)
    }
}

impl fmt::Debug for HealthChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthChecker").finish_non_exhaustive()
    }
}
