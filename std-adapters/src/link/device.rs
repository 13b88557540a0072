//! What is known of one device, and what its frames change.

use std::collections::BTreeMap;
use std::sync::Arc;

use daur_core::id::DeviceId;
use daur_core::time::{Instant, UnixTime, WallClock};
use daur_core::wire::decoder;
use daur_core::wire::frame::{DecodeError, Frame};
use daur_core::wire::inbox::{Arrival, Inbox};
use daur_core::wire::record::{Record, SCHEMA, Verdict};
use tokio::sync::{Notify, oneshot};

use crate::clock::SystemWallClock;
use crate::security::audit::device::Life;

use super::audit::{Keeper, Store};
use super::log::DeviceLog;
use super::registry::{Config, Reply};
use super::status::{
    BreakerStatus, CacheStatus, DeviceStatus, ErrorStatus, LogLine, ReportStatus, Series, SeriesValue, SystemStatus,
};
use super::time::{DeviceTime, Signer};

/// A command whose answer is awaited.
pub(super) struct Pending {
    pub(super) counter: u64,
    pub(super) answer: oneshot::Sender<Reply>,
}

/// One device's state: the status that is shown, and what is not shown.
pub(super) struct Device {
    config: Config,
    status: DeviceStatus,
    inbox: Inbox,
    last_seen: Option<Instant>,
    pub(super) id: Option<DeviceId>,
    pub(super) nonce: u64,
    /// The counter of the last command.
    pub(super) counter: u64,
    pub(super) pending: Option<Pending>,
    /// Its audit chain.
    pub(super) audit: Keeper,
    log: DeviceLog,
    time: DeviceTime,
    /// Told whenever it may have answered what it was told of the time.
    pub(super) settled: Arc<Notify>,
    fleet_key: Option<Arc<[u8]>>,
}

/// The first schema whose devices keep an audit chain.
const AUDITS: u16 = 2;

/// What the line must say after a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Acknowledge what was taken, once more than needed: something is missing.
    pub(super) ask: bool,
    /// Ask who speaks.
    pub(super) identify: bool,
}

impl Device {
    pub(super) fn new(name: &str, config: Config, store: Store) -> Self {
        Self {
            config,
            status: DeviceStatus { endpoint: name.to_owned(), ..DeviceStatus::default() },
            inbox: Inbox::new(config.inbox),
            last_seen: None,
            id: None,
            nonce: 0,
            counter: 0,
            pending: None,
            fleet_key: store.fleet_key.clone(),
            audit: Keeper::new(store),
            log: DeviceLog::new(config.log_lines),
            time: DeviceTime::default(),
            settled: Arc::default(),
        }
    }

    pub(super) fn status(&self, now: Instant) -> DeviceStatus {
        let mut status = self.status.clone();
        let seen = self.inbox.snapshot();
        status.last_seen_ms = self.last_seen.map(|at| now.since(at).as_nanos() / 1_000_000);
        status.last_seq = seen.last;
        status.frames = seen.taken;
        status.lost_line = seen.lost;
        status.lost = status.lost_device.saturating_add(seen.lost);
        status.duplicates = seen.duplicates;
        status.audit = self.audit.status();
        status.log = self.log.lines().clone();
        status.wall_ahead_ms = self.time.ahead_ms();
        status
    }

    pub(super) fn is_connected(&self) -> bool {
        self.status.connected
    }

    pub(super) fn on_connected(&mut self) {
        self.status.connected = true;
        self.status.connections += 1;
        self.status.link_error = None;
    }

    pub(super) fn on_disconnected(&mut self, error: String) {
        self.status.connected = false;
        self.status.link_error = Some(error);
        // Its answer, if there is one, will not find its way: tell now.
        self.pending = None;
        self.time.on_disconnected();
        self.settled.notify_waiters();
    }

    /// The counter of the next command: it goes on from the wall clock, since a host that starts anew does not know the
    /// last one it used.
    pub(super) fn next_counter(&mut self) -> u64 {
        let unix_ms = SystemWallClock.unix_now().map_or(0, UnixTime::as_millis);
        self.counter = unix_ms.max(self.counter.saturating_add(1));
        self.counter
    }

    /// Whether a command need not wait until the device knows the time. Where the line is down it need not.
    pub(super) fn is_settled(&self) -> bool {
        !self.status.connected || self.time.is_settled()
    }

    /// When a command that is signed now expires.
    pub(super) fn expiry(&self, now: Instant) -> Option<u64> {
        self.time.expiry(self.config.command_lifetime, now)
    }

    /// What tells the device the time, if that is due and no command is under way.
    pub(super) fn tell_time(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.pending.is_some() || !self.time.is_due(&self.config, now) {
            return None;
        }
        let signer = Signer::new(self.fleet_key.as_ref(), self.id?).ok()?;
        let counter = self.next_counter();
        let line = signer.time(self.nonce, counter)?;
        self.time.on_told(counter, now);
        Some(line)
    }

    /// Adds what a connection's decoder has seen since `before`.
    pub(super) fn on_decoded(&mut self, before: decoder::Snapshot, after: decoder::Snapshot) {
        let errors = after.crc_errors.wrapping_sub(before.crc_errors);
        let oversized = after.oversized.wrapping_sub(before.oversized);
        self.status.crc_errors += u64::from(errors) + u64::from(oversized);
    }

    /// The number to acknowledge.
    pub(super) fn ack(&self) -> Option<u32> {
        self.inbox.ack()
    }

    /// Takes in a payload whose check sum was right.
    pub(super) fn on_payload(&mut self, payload: &[u8], now: Instant) -> Answer {
        let mut answer = Answer::default();
        let (seq, at, record) = match Frame::decode(payload) {
            Ok(frame) => (frame.seq, frame.at, Some(frame.record)),
            Err(DecodeError::UnknownRecord { seq, at }) => (seq, at, None),
            Err(_) => {
                self.status.unknown += 1;
                return answer;
            }
        };
        self.last_seen = Some(now);
        let boot = match record {
            Some(Record::Hello { boot, .. }) => Some(boot),
            _ => None,
        };
        match self.inbox.on_frame(seq, boot, now) {
            Arrival::New { .. } => {
                let at_ms = at.as_millis();
                self.status.device_uptime_ms = at_ms;
                self.time.on_frame(at_ms, now);
                match record {
                    Some(record) => self.on_record(&record, at_ms, now),
                    None => self.status.unknown += 1,
                }
            }
            Arrival::Early { ask } => answer.ask = ask,
            Arrival::Stale => answer.identify = true,
            _ => {}
        }
        answer
    }

    fn on_record(&mut self, record: &Record, at_ms: u64, now: Instant) {
        match *record {
            Record::Hello { .. } => self.on_hello(record),
            Record::Lost { count, .. } => self.status.lost_device += u64::from(count),
            Record::Counter { name, total } => self.on_series(name.as_str(), at_ms, SeriesValue::Counter { total }),
            Record::Gauge { name, value } => self.on_series(name.as_str(), at_ms, SeriesValue::Gauge { value }),
            Record::Distribution { name, unit, count, sum, min, max, p50, p95, p99 } => {
                let value = SeriesValue::Distribution { unit, count, sum, min, max, p50, p95, p99 };
                self.on_series(name.as_str(), at_ms, value);
            }
            Record::Breaker { name, state, consecutive_failures, opened, refused, retry_at } => {
                let device_retry_at_ms = retry_at.map(Instant::as_millis);
                let status = BreakerStatus { state, consecutive_failures, opened, refused, device_retry_at_ms };
                self.status.dropped += put(&mut self.status.breakers, name.as_str(), status, self.config.max_series);
            }
            Record::Error { kind, total, message, at } => {
                let status = ErrorStatus { total, message: message.as_str().to_owned(), device_at_ms: at.as_millis() };
                self.status.dropped += put(&mut self.status.errors, kind.as_str(), status, self.config.max_series);
            }
            Record::System { uptime, stack_high_water, stack_size, idle_permille } => {
                let uptime_ms = uptime.as_nanos() / 1_000_000;
                self.status.system = Some(SystemStatus { uptime_ms, stack_high_water, stack_size, idle_permille });
            }
            Record::Log { level, target, message } => {
                let (target, message) = (target.as_str().to_owned(), message.as_str().to_owned());
                self.log.say(LogLine::new(at_ms, level, target, message));
            }
            Record::LogBefore { at, last_at, level, target, message, repeated, .. } => {
                let (target, message) = (target.as_str().to_owned(), message.as_str().to_owned());
                let line = LogLine::new(at.as_millis(), level, target, message);
                self.log.recover(LogLine { device_last_at_ms: last_at.as_millis(), repeated, ..line });
            }
            Record::Reply { counter, verdict, message } => {
                self.on_reply(Reply { counter, verdict, message: message.as_str().to_owned() }, at_ms, now);
            }
            Record::Cache { name, hits, misses, len, capacity } => {
                let status = CacheStatus { hits, misses, len, capacity };
                self.status.dropped += put(&mut self.status.caches, name.as_str(), status, self.config.max_series);
            }
            Record::Health { live, ready } => (self.status.live, self.status.ready) = (Some(live), Some(ready)),
            Record::Report { report } => self.status.report = Some(ReportStatus::of(&report)),
            Record::Audit { ref entry } => self.audit.on_entry(entry),
            _ => self.status.unknown += 1,
        }
    }

    fn on_hello(&mut self, hello: &Record) {
        let &Record::Hello { device, boot, nonce, schema, firmware, reset } = hello else { return };
        let boot_id = Some(boot.to_string());
        let another = self.status.boot_id != boot_id || self.id != Some(device);
        if another {
            self.status.boots += 1;
        }
        match self.id {
            Some(id) if id != device => self.log.clear(),
            Some(_) if another => self.log.on_reset(),
            _ => {}
        }
        if another && self.id.is_some() {
            // What another life has said is not true of this one. What came before the first name is.
            self.status.series.clear();
            self.status.breakers.clear();
            self.status.caches.clear();
            self.status.errors.clear();
            (self.status.system, self.status.live, self.status.ready) = (None, None, None);
            self.status.report = None;
        }
        if another {
            let able = self.config.tell_time && Signer::new(self.fleet_key.as_ref(), device).is_ok();
            self.time.on_life(schema, able);
        }
        self.audit.on_hello(Life { device, boot, nonce }, schema >= AUDITS);
        self.id = Some(device);
        self.nonce = nonce;
        self.status.id = Some(device.to_string());
        self.status.boot_id = boot_id;
        self.status.schema = Some(schema);
        self.status.schema_ahead = Some(i32::from(schema) - i32::from(SCHEMA));
        self.status.firmware = Some(firmware.as_str().to_owned());
        self.status.reset_cause = Some(reset);
    }

    fn on_series(&mut self, name: &str, device_at_ms: u64, value: SeriesValue) {
        let series = Series { device_at_ms, value };
        self.status.dropped += put(&mut self.status.series, name, series, self.config.max_series);
    }

    fn on_reply(&mut self, reply: Reply, at_ms: u64, now: Instant) {
        let own = self.time.on_reply(&reply, at_ms, self.config.tell_time_every, now);
        self.settled.notify_waiters();
        if own {
            return;
        }
        match reply.verdict {
            Verdict::Accepted => self.status.commands_accepted += 1,
            _ => self.status.commands_refused += 1,
        }
        // A device that cannot read a command cannot tell its counter either; only one is under way.
        if let Some(pending) = self.pending.take_if(|pending| [0, pending.counter].contains(&reply.counter)) {
            // Whoever has asked may have gone.
            let _ = pending.answer.send(reply);
        }
    }
}

/// Sets `name` unless it is new and there are `max` already; 1 if it was left out.
fn put<T>(all: &mut BTreeMap<String, T>, name: &str, value: T, max: usize) -> u64 {
    if let Some(known) = all.get_mut(name) {
        *known = value;
    } else if all.len() < max {
        all.insert(name.to_owned(), value);
    } else {
        return 1;
    }
    0
}
