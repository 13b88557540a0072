//! How a device stands, as the dashboard shows it.

use std::collections::{BTreeMap, VecDeque};

use daur_core::monitoring::report::{Report, Verdict};
use daur_core::performance::memory::Level as Strain;
use daur_core::wire::record::{BreakerState, Level, ResetCause, Unit};
use serde::Serialize;

use crate::security::audit::device;

/// Tells how one device stands. Times are on the host's monotonic clock unless their name says `device`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeviceStatus {
    /// Where it is attached, as given: `tcp:127.0.0.1:9000`.
    pub endpoint: String,
    /// Its id, once it has said it.
    pub id: Option<String>,
    /// Whether the line is up.
    pub connected: bool,
    /// How often the line came up.
    pub connections: u64,
    /// Why the line is down.
    pub link_error: Option<String>,
    /// Milliseconds since the last valid frame; `None` before the first.
    pub last_seen_ms: Option<u64>,
    /// Its life, as eight hexadecimal digits.
    pub boot_id: Option<String>,
    /// How many different boot ids have been seen.
    pub boots: u64,
    /// Why it started.
    pub reset_cause: Option<ResetCause>,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// The number of its list of records.
    pub schema: Option<u16>,
    /// By how much that is above this host's: a newer device may say what the host skips, and counts as `unknown`.
    pub schema_ahead: Option<i32>,
    /// How far its wall time is ahead of the host's, in milliseconds, by its last frame; `None` if it does not know the
    /// time.
    pub wall_ahead_ms: Option<i64>,
    /// Time since its reset, by the last frame, in milliseconds.
    pub device_uptime_ms: u64,
    /// Number of the last frame taken.
    pub last_seq: Option<u32>,
    /// Frames taken.
    pub frames: u64,
    /// Records that are gone: `lost_device` and `lost_line`.
    pub lost: u64,
    /// Records that the device had no room for.
    pub lost_device: u64,
    /// Numbers that never came.
    pub lost_line: u64,
    /// Frames that had come before.
    pub duplicates: u64,
    /// Stretches of bytes with a wrong check sum.
    pub crc_errors: u64,
    /// Frames with a record that this host does not know.
    pub unknown: u64,
    /// Series, breakers, caches, errors and lines left out because there were too many.
    pub dropped: u64,
    /// Counters, gauges and distributions by name.
    pub series: BTreeMap<String, Series>,
    /// Breakers by name.
    pub breakers: BTreeMap<String, BreakerStatus>,
    /// Caches by name.
    pub caches: BTreeMap<String, CacheStatus>,
    /// The latest error of each kind.
    pub errors: BTreeMap<String, ErrorStatus>,
    /// The last lines of its log, the newest last; those from before the reset, also from before the host listened, first.
    pub log: VecDeque<LogLine>,
    /// The device itself.
    pub system: Option<SystemStatus>,
    /// Whether it feeds its watchdog.
    pub live: Option<bool>,
    /// Whether it does its job.
    pub ready: Option<bool>,
    /// How everything on it stands, by its own report.
    pub report: Option<ReportStatus>,
    /// Commands that it accepted, but for the host's own that tell it the time.
    pub commands_accepted: u64,
    /// Commands that it refused, whoever sent them.
    pub commands_refused: u64,
    /// Its audit chain; `None` for a device that keeps none.
    pub audit: Option<device::Status>,
}

/// Tells one series of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Series {
    /// When it was told, on the device's clock.
    pub device_at_ms: u64,
    /// What was told.
    #[serde(flatten)]
    pub value: SeriesValue,
}

/// Holds the value of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SeriesValue {
    /// A count that only grows.
    Counter {
        /// The count since the device's reset.
        total: u64,
    },
    /// A value that goes up and down.
    Gauge {
        /// The value.
        value: i64,
    },
    /// What a histogram says.
    Distribution {
        /// What the numbers measure.
        unit: Unit,
        /// How many values.
        count: u64,
        /// Their sum.
        sum: u64,
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// Half of them are at most this.
        p50: u64,
        /// 95 of 100 are at most this.
        p95: u64,
        /// 99 of 100 are at most this.
        p99: u64,
    },
}

/// Tells a breaker of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BreakerStatus {
    /// What it does with calls.
    pub state: BreakerState,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// How often it has opened.
    pub opened: u64,
    /// How many calls it has refused.
    pub refused: u64,
    /// When it lets the next call through, on the device's clock.
    pub device_retry_at_ms: Option<u64>,
}

/// Tells a cache of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CacheStatus {
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Entries.
    pub len: u32,
    /// Entries that it can hold.
    pub capacity: u32,
}

/// Tells the latest error of a kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorStatus {
    /// How many of this kind since the device's reset.
    pub total: u32,
    /// What the latest said.
    pub message: String,
    /// When it happened, on the device's clock.
    pub device_at_ms: u64,
}

/// Tells one line of a device's log, or several in a row that said the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was said, on the device's clock in that life.
    pub device_at_ms: u64,
    /// When it was said last.
    pub device_last_at_ms: u64,
    /// How grave.
    pub level: Level,
    /// Who says it.
    pub target: String,
    /// What is said.
    pub message: String,
    /// How often it was said once more.
    pub repeated: u32,
    /// It was said before the device's last reset.
    pub before_reset: bool,
    /// The device has told it after the reset, from memory that outlives one.
    #[serde(skip)]
    pub(super) told_again: bool,
}

/// Tells of the device itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SystemStatus {
    /// Time since its reset.
    pub uptime_ms: u64,
    /// The most stack that was ever in use, in bytes.
    pub stack_high_water: u32,
    /// The stack that there is, in bytes.
    pub stack_size: u32,
    /// Time spent asleep, in thousandths.
    pub idle_permille: u16,
}

/// Tells how everything on a device stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ReportStatus {
    /// How grave it is.
    pub verdict: Verdict,
    /// What is wrong, the gravest first.
    pub concerns: Vec<String>,
    /// Time since its reset.
    pub uptime_ms: u64,
    /// How short its scarcest resource is.
    pub level: Strain,
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
    /// Errors since its reset.
    pub errors: u32,
    /// Errors in its last window.
    pub errors_recent: u32,
    /// Look-ups of its caches that hit, in thousandths.
    pub hit_permille: Option<u16>,
    /// Items that wait in its queues.
    pub queued: u32,
    /// Items that its queues have refused.
    pub queue_refused: u32,
    /// Lines that its log had no room for.
    pub log_dropped: u32,
    /// Records that its outbox had no room for.
    pub lost: u32,
    /// Records in its audit chain.
    pub audited: u64,
    /// Records that its audit had no room for.
    pub audit_lost: u32,
}

impl ReportStatus {
    pub(super) fn of(report: &Report) -> Self {
        Self {
            verdict: report.verdict(),
            concerns: report.concerns().map(|concern| concern.to_string()).collect(),
            uptime_ms: report.uptime.as_millis(),
            level: report.level,
            breakers_closed: report.breakers_closed,
            breakers_trying: report.breakers_trying,
            breakers_open: report.breakers_open,
            breakers_forced: report.breakers_forced,
            refused: report.refused,
            errors: report.errors,
            errors_recent: report.errors_recent,
            hit_permille: report.hit_permille(),
            queued: report.queued,
            queue_refused: report.queue_refused,
            log_dropped: report.log_dropped,
            lost: report.lost,
            audited: report.audited,
            audit_lost: report.audit_lost,
        }
    }
}
