//! The state of everything, as one value.

use core::fmt;

use crate::monitoring::{errors, log};
use crate::performance::memory::Level;
use crate::performance::{cache, queue};
use crate::reliability::breaker::{self, State};
use crate::security::audit;
use crate::time::Duration;

/// Tells how everything in a program stands, in numbers that fit into one frame (the seed's `MonitoringDashboard`, its
/// `full_status`).
///
/// Made from the machines' snapshots, one call each; several of a kind add up. What a machine knows beside this is in its own
/// snapshot, and in its own record on the wire. Totals are since the start.
///
/// # Rules
/// 1. What nobody has told is `None` or zero, and is no concern.
/// 2. Sums saturate.
/// 3. Its [`verdict`](Report::verdict) is that of its gravest [`Concern`], and [`concerns`](Report::concerns) come the gravest first.
///    Totals are no concern, however high: what was lost once is not wrong for ever.
/// 4. It is a record of the wire: its fields and their order are for ever.
///
/// # Cost
/// 72 bytes of RAM and 2,920 of flash on thumbv6m (image `report`); on the line 30 to 100.
///
/// # Example
/// ```
/// use daur_core::monitoring::report::{Concern, Report, Verdict};
/// use daur_core::reliability::breaker::{self, Breaker};
/// use daur_core::time::{Duration, Instant};
///
/// let mut breaker: Breaker = Breaker::new(breaker::Config::DEFAULT);
/// let well = Report::new(Duration::from_secs(9)).health(true, true).breaker(&breaker.snapshot());
/// assert_eq!(well.verdict(), Verdict::Green);
///
/// breaker.force_open(Instant::from_secs(9));
/// let report = Report::new(Duration::from_secs(10)).health(true, false).breaker(&breaker.snapshot());
/// assert_eq!(report.verdict(), Verdict::Red);
/// assert!(report.concerns().eq([Concern::NotReady, Concern::BreakersForced(1)]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Report {
    /// Time since the start.
    pub uptime: Duration,
    /// The watchdog is fed.
    pub live: Option<bool>,
    /// It does its job.
    pub ready: Option<bool>,
    /// How short the scarcest resource is.
    pub level: Level,
    /// Breakers that let calls through.
    pub breakers_closed: u16,
    /// Breakers that try whether calls succeed again.
    pub breakers_trying: u16,
    /// Breakers that refuse calls.
    pub breakers_open: u16,
    /// Breakers that somebody has opened.
    pub breakers_forced: u16,
    /// Calls that breakers have refused.
    pub refused: u32,
    /// Errors recorded.
    pub errors: u32,
    /// Errors in the last window.
    pub errors_recent: u32,
    /// Look-ups of caches that hit.
    pub cache_hits: u32,
    /// Look-ups of caches that did not.
    pub cache_misses: u32,
    /// Items that wait in queues.
    pub queued: u32,
    /// Items that queues have refused.
    pub queue_refused: u32,
    /// Lines that the log had no room for, or let go untold.
    pub log_dropped: u32,
    /// Records that an outbox had no room for.
    pub lost: u32,
    /// Records in the audit chain.
    pub audited: u64,
    /// Records that the audit had no room for.
    pub audit_lost: u32,
}

/// Says how a program stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// All is well.
    #[default]
    Green,
    /// Somebody should look.
    Amber,
    /// Somebody must look.
    Red,
}

impl Verdict {
    /// The name in small letters, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Amber => "amber",
            Self::Red => "red",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names one thing that is wrong; the graver stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Concern {
    /// It is about to be restarted.
    NotLive,
    /// It does not do its job.
    NotReady,
    /// Something has run out, or is about to.
    Critical,
    /// So many breakers refuse calls.
    BreakersOpen(u16),
    /// Somebody has opened so many breakers.
    BreakersForced(u16),
    /// Something is getting short.
    Elevated,
    /// So many breakers try whether calls succeed again.
    BreakersTrying(u16),
    /// So many errors in the last window.
    Errors(u32),
}

impl Concern {
    /// How grave it is.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::NotLive | Self::NotReady | Self::Critical => Verdict::Red,
            _ => Verdict::Amber,
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLive => f.write_str("not alive"),
            Self::NotReady => f.write_str("not ready"),
            Self::Critical => f.write_str("a resource is critically short"),
            Self::BreakersOpen(1) => f.write_str("a breaker is open"),
            Self::BreakersOpen(n) => write!(f, "{n} breakers are open"),
            Self::BreakersForced(1) => f.write_str("a breaker is forced open"),
            Self::BreakersForced(n) => write!(f, "{n} breakers are forced open"),
            Self::Elevated => f.write_str("a resource is getting short"),
            Self::BreakersTrying(1) => f.write_str("a breaker is trying"),
            Self::BreakersTrying(n) => write!(f, "{n} breakers are trying"),
            Self::Errors(1) => f.write_str("an error recently"),
            Self::Errors(n) => write!(f, "{n} errors recently"),
        }
    }
}

/// The lower 32 bits of a count, or the most that they hold.
fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Report {
    /// Nothing told but the time since the start.
    #[must_use]
    pub const fn new(uptime: Duration) -> Self {
        Self {
            uptime,
            live: None,
            ready: None,
            level: Level::Normal,
            breakers_closed: 0,
            breakers_trying: 0,
            breakers_open: 0,
            breakers_forced: 0,
            refused: 0,
            errors: 0,
            errors_recent: 0,
            cache_hits: 0,
            cache_misses: 0,
            queued: 0,
            queue_refused: 0,
            log_dropped: 0,
            lost: 0,
            audited: 0,
            audit_lost: 0,
        }
    }

    /// Tells whether it lives, and does its job. Of several, all must.
    #[must_use]
    pub fn health(mut self, live: bool, ready: bool) -> Self {
        self.live = Some(live && self.live != Some(false));
        self.ready = Some(ready && self.ready != Some(false));
        self
    }

    /// Tells how short a resource is. Of several, the scarcest counts.
    #[must_use]
    pub fn level(mut self, level: Level) -> Self {
        self.level = self.level.max(level);
        self
    }

    /// Adds a breaker.
    #[must_use]
    pub fn breaker(mut self, breaker: &breaker::Snapshot) -> Self {
        let count = match breaker.state {
            State::Closed | State::Disabled | State::MetricsOnly => &mut self.breakers_closed,
            State::HalfOpen => &mut self.breakers_trying,
            State::Open => &mut self.breakers_open,
            State::ForcedOpen => &mut self.breakers_forced,
        };
        *count = count.saturating_add(1);
        self.refused = self.refused.saturating_add(breaker.refused);
        self
    }

    /// Adds a tracker of errors.
    #[must_use]
    pub fn errors(mut self, errors: &errors::Snapshot) -> Self {
        self.errors = self.errors.saturating_add(small(errors.total));
        self.errors_recent = self.errors_recent.saturating_add(small(errors.recent));
        self
    }

    /// Adds a cache.
    #[must_use]
    pub fn cache(mut self, cache: &cache::Snapshot) -> Self {
        self.cache_hits = self.cache_hits.saturating_add(small(cache.hits));
        self.cache_misses = self.cache_misses.saturating_add(small(cache.misses));
        self
    }

    /// Adds a queue.
    #[must_use]
    pub fn queue(mut self, queue: &queue::Snapshot) -> Self {
        self.queued = self.queued.saturating_add(queue.len.into());
        self.queue_refused = self.queue_refused.saturating_add(small(queue.refused));
        self
    }

    /// Adds a log.
    #[must_use]
    pub fn log(mut self, log: &log::Snapshot) -> Self {
        self.log_dropped = self.log_dropped.saturating_add(log.dropped);
        self
    }

    /// Adds records that an outbox had no room for.
    #[must_use]
    pub fn lost(mut self, records: u32) -> Self {
        self.lost = self.lost.saturating_add(records);
        self
    }

    /// Adds an audit chain.
    #[must_use]
    pub fn audit(mut self, audit: &audit::Snapshot) -> Self {
        self.audited = self.audited.saturating_add(audit.head.seq);
        self.audit_lost = self.audit_lost.saturating_add(small(audit.lost));
        self
    }

    /// What is wrong, the gravest first.
    pub fn concerns(&self) -> impl Iterator<Item = Concern> + use<> {
        let some = |count: u16, concern: fn(u16) -> Concern| (count > 0).then(|| concern(count));
        [
            (self.live == Some(false)).then_some(Concern::NotLive),
            (self.ready == Some(false)).then_some(Concern::NotReady),
            (self.level == Level::Critical).then_some(Concern::Critical),
            some(self.breakers_open, Concern::BreakersOpen),
            some(self.breakers_forced, Concern::BreakersForced),
            (self.level == Level::Elevated).then_some(Concern::Elevated),
            some(self.breakers_trying, Concern::BreakersTrying),
            (self.errors_recent > 0).then_some(Concern::Errors(self.errors_recent)),
        ]
        .into_iter()
        .flatten()
    }

    /// How it stands: as grave as the gravest that is wrong.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.concerns().map(Concern::verdict).max().unwrap_or_default()
    }

    /// Look-ups of caches that hit, in thousandths; `None` without any.
    #[must_use]
    pub fn hit_permille(&self) -> Option<u16> {
        let all = u64::from(self.cache_hits).saturating_add(self.cache_misses.into());
        let permille = (u64::from(self.cache_hits) * 1_000).checked_div(all)?;
        u16::try_from(permille).ok()
    }
}
