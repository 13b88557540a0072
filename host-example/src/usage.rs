//! What people do here: logins, commands, chats, actions; how often, and by how many.
//!
//! # Rules
//! 1. Nobody waits for it to be written, and nothing fails with it: what is lost is counted.
//! 2. Events and properties come from fixed lists. Of who did it a hash is kept, to count them by.
//! 3. The report is made anew by a job of the server; whoever asks for it gets it fresh.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use daur_core::time::Duration;
use daur_std::services::analytics::{Analytics, Config, EventReport, FunnelReport, Report};
use serde::Serialize;

use crate::pool::Pool;
use crate::problem::Problem;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Events that travel with every status.
const SHOWN: usize = 8;
/// Who commands within this after a login came for that.
const VISIT: Duration = Duration::from_secs(3_600);

/// Counts what people do.
pub struct Usage {
    analytics: Arc<Analytics>,
    latest: Mutex<Arc<Report>>,
}

/// What people did, in short.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Events since the start.
    pub tracked: u64,
    /// Those that could not be kept.
    pub lost: u64,
    /// Whether they are written at present.
    pub up: bool,
    /// When what follows was found out, in milliseconds since 1970.
    pub at_ms: u64,
    /// Events ever counted.
    pub total: u64,
    /// How long the windows are.
    pub windows_ms: Vec<u64>,
    /// Events in each window.
    pub in_windows: Vec<u64>,
    /// Different users, about.
    pub users: u64,
    /// Different users in each window, about.
    pub users_in_windows: Vec<u64>,
    /// The most frequent ones.
    pub events: Vec<EventReport>,
    /// Of those who logged in, who gave a command.
    pub funnels: Vec<FunnelReport>,
}

impl Usage {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Somebody else's database; a path where none can be.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let analytics = Arc::new(Analytics::open(path, Config::DEFAULT)?);
        analytics.add_funnel("login", "command", VISIT)?;
        Ok(Self { analytics, latest: Mutex::default() })
    }

    /// Somebody did something: `what` it was about, and how it ended.
    pub fn track(&self, event: &'static str, user: Option<&str>, what: &str, outcome: &str) {
        let properties = [("what", what), ("outcome", outcome), ("user", user.unwrap_or(""))];
        let known = if user.is_some() { &properties[..] } else { &properties[..2] };
        self.analytics.track_event(event, known);
    }

    /// Makes the report, on `pool`.
    ///
    /// # Errors
    /// `overloaded` if the pool is full.
    pub async fn report(&self, pool: &Pool) -> Result<Arc<Report>, Problem> {
        let analytics = Arc::clone(&self.analytics);
        let report = Arc::new(pool.run_late(move || analytics.report()).await?);
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one that began later may be here already.
        if report.at_ms >= latest.at_ms {
            *latest = Arc::clone(&report);
        }
        drop(latest);
        Ok(report)
    }

    /// What people did, as of the latest report.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let kept = self.analytics.snapshot();
        let report = Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        Snapshot {
            tracked: kept.tracked,
            lost: kept.lost,
            up: kept.up,
            at_ms: report.at_ms,
            total: report.total,
            windows_ms: report.windows_ms.clone(),
            in_windows: report.in_windows.clone(),
            users: report.users,
            users_in_windows: report.users_in_windows.clone(),
            events: report.events.iter().take(SHOWN).cloned().collect(),
            funnels: report.funnels.clone(),
        }
    }

    /// Waits until all of it is written, or cannot be at present.
    pub fn flush(&self) {
        self.analytics.flush();
    }
}
