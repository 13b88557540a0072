//! What a device tells its host.

use super::cobs::{Encoder, Place};
use crate::id::{BootId, DeviceId};
pub use crate::monitoring::system::ResetCause;
use crate::security::audit::{self, Entry};
use crate::text::Text;
use crate::time::{Duration, Instant};

pub use crate::monitoring::log::Level;
pub use crate::monitoring::report::Report;

/// The number of this list of records, sent in [`Record::Hello`]. It grows by one whenever a variant is added.
pub const SCHEMA: u16 = 5;

/// The number of [`Record::Lost`].
pub(super) const LOST: u8 = 1;
/// The number of [`Record::Audit`].
pub(super) const AUDIT: u8 = 12;

/// Names a series, a breaker or a cache.
pub type Name = Text<24>;

/// Tells one thing that a device knows: who it is, what it counted, what it lost.
///
/// Totals rather than steps, so that a record that is lost or read twice does no harm. The records are their
/// own types, apart from the machines' snapshots, so that a machine can change without changing the wire.
///
/// # Rules
/// 1. Append-only: a variant keeps its number and its fields for ever. What needs another field is another
///    variant. The same holds for the enums in it.
/// 2. A host that does not know a variant skips that frame and counts it, and loses no other.
///
/// # Cost
/// 320 bytes in memory, for the longest of them; on the line at most [`MAX_PAYLOAD`](super::frame::MAX_PAYLOAD), a
/// counter about 20.
///
/// # Example
/// ```
/// use daur_core::wire::record::Record;
/// use daur_core::text::Text;
///
/// let gauge = Record::Gauge { name: Text::cut("temperature_mc"), value: 21_500 };
/// assert_eq!(gauge.kind(), "gauge");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Record {
    /// The first record after a reset, and the answer to [`Identify`](super::frame::Downlink::Identify).
    Hello {
        /// Who speaks.
        device: DeviceId,
        /// Which of its lives this is.
        boot: BootId,
        /// Random or never repeated; a command for this life carries it.
        nonce: u64,
        /// [`SCHEMA`] of the speaker.
        schema: u16,
        /// Version of the firmware.
        firmware: Text<16>,
        /// Why it started.
        reset: ResetCause,
    },
    /// Records that the outbox had no room for, told in the place where they are missing.
    Lost {
        /// How many.
        count: u32,
        /// When the first of them was dropped.
        since: Instant,
    },
    /// A count that only grows.
    Counter {
        /// The series.
        name: Name,
        /// The count since the reset.
        total: u64,
    },
    /// A value that goes up and down.
    Gauge {
        /// The series; the unit is the last part of its name.
        name: Name,
        /// The value now.
        value: i64,
    },
    /// What a histogram says.
    Distribution {
        /// The series.
        name: Name,
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
    /// A circuit breaker.
    Breaker {
        /// Its name.
        name: Name,
        /// What it does with calls now.
        state: BreakerState,
        /// Failures in a row.
        consecutive_failures: u32,
        /// How often it has opened.
        opened: u64,
        /// How many calls it has refused.
        refused: u64,
        /// When it lets the next call through, if it is open.
        retry_at: Option<Instant>,
    },
    /// The latest error of a kind.
    Error {
        /// The kind.
        kind: Text<16>,
        /// How many of this kind since the reset.
        total: u32,
        /// What the latest said.
        message: Text<48>,
        /// When it happened.
        at: Instant,
    },
    /// The device itself.
    System {
        /// Time since the reset.
        uptime: Duration,
        /// The most stack that was ever in use, in bytes.
        stack_high_water: u32,
        /// The stack that there is, in bytes.
        stack_size: u32,
        /// Time spent asleep, in thousandths.
        idle_permille: u16,
    },
    /// A line of the log.
    Log {
        /// How grave.
        level: Level,
        /// Who says it.
        target: Text<16>,
        /// What is said.
        message: Text<64>,
    },
    /// The answer to a command.
    Reply {
        /// The command's counter; 0 if the command could not be read.
        counter: u64,
        /// What became of it.
        verdict: Verdict,
        /// What it gave, or why not.
        message: Text<48>,
    },
    /// A cache.
    Cache {
        /// Its name.
        name: Name,
        /// Look-ups that found something.
        hits: u64,
        /// Look-ups that did not.
        misses: u64,
        /// Entries now.
        len: u32,
        /// Entries that it can hold.
        capacity: u32,
    },
    /// Whether the device thinks that it works.
    Health {
        /// The watchdog is fed.
        live: bool,
        /// It does its job.
        ready: bool,
    },
    /// A record of the device's audit chain, in its one spelling. Since schema 2.
    Audit {
        /// The record.
        #[serde(with = "audit::spelling")]
        entry: Entry,
    },
    /// A line of the log that was said before the reset. Since schema 3.
    LogBefore {
        /// How many lines were kept before it, over resets.
        number: u32,
        /// When it was said, on the clock of its life.
        at: Instant,
        /// When it was said last.
        last_at: Instant,
        /// How grave.
        level: Level,
        /// Who said it.
        target: Text<16>,
        /// What was said.
        message: Text<64>,
        /// How often it was said once more.
        repeated: u32,
    },
    /// How everything stands. Since schema 4.
    Report {
        /// The figures.
        report: Report,
    },
}

impl Record {
    /// The variant's name in small letters: `counter`, `breaker`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Lost { .. } => "lost",
            Self::Counter { .. } => "counter",
            Self::Gauge { .. } => "gauge",
            Self::Distribution { .. } => "distribution",
            Self::Breaker { .. } => "breaker",
            Self::Error { .. } => "error",
            Self::System { .. } => "system",
            Self::Log { .. } => "log",
            Self::Reply { .. } => "reply",
            Self::Cache { .. } => "cache",
            Self::Health { .. } => "health",
            Self::Audit { .. } => "audit",
            Self::LogBefore { .. } => "log_before",
            Self::Report { .. } => "report",
        }
    }

    /// The variant's number on the wire, which is its place in the list: the compiler makes one load of it.
    const fn number(&self) -> u8 {
        match self {
            Self::Hello { .. } => 0,
            Self::Lost { .. } => LOST,
            Self::Counter { .. } => 2,
            Self::Gauge { .. } => 3,
            Self::Distribution { .. } => 4,
            Self::Breaker { .. } => 5,
            Self::Error { .. } => 6,
            Self::System { .. } => 7,
            Self::Log { .. } => 8,
            Self::Reply { .. } => 9,
            Self::Cache { .. } => 10,
            Self::Health { .. } => 11,
            Self::Audit { .. } => AUDIT,
            Self::LogBefore { .. } => 13,
            Self::Report { .. } => 14,
        }
    }

    /// Writes what postcard would write for the derived `Serialize`.
    pub(super) fn write<P: Place>(&self, out: &mut Encoder<P>) {
        out.byte(self.number());
        if let Self::Counter { name, .. }
        | Self::Gauge { name, .. }
        | Self::Distribution { name, .. }
        | Self::Breaker { name, .. }
        | Self::Cache { name, .. } = self
        {
            out.text(name);
        }
        match self {
            Self::Hello { device, boot, nonce, schema, firmware, reset } => {
                out.text(device.as_text())
                    .small(boot.0)
                    .number(*nonce)
                    .small(u32::from(*schema))
                    .text(firmware)
                    .byte(*reset as u8);
            }
            Self::Lost { count, since } => {
                out.small(*count).number(since.as_nanos());
            }
            Self::Counter { total, .. } => {
                out.number(*total);
            }
            Self::Gauge { value, .. } => {
                // Zigzag: small numbers of either sign are short.
                out.number(((value << 1) ^ (value >> 63)).cast_unsigned());
            }
            Self::Distribution { unit, count, sum, min, max, p50, p95, p99, .. } => {
                out.byte(*unit as u8)
                    .number(*count)
                    .number(*sum)
                    .number(*min)
                    .number(*max)
                    .number(*p50)
                    .number(*p95)
                    .number(*p99);
            }
            Self::Breaker { state, consecutive_failures, opened, refused, retry_at, .. } => {
                out.byte(*state as u8)
                    .small(*consecutive_failures)
                    .number(*opened)
                    .number(*refused)
                    .byte(u8::from(retry_at.is_some()));
                if let Some(at) = retry_at {
                    out.number(at.as_nanos());
                }
            }
            Self::Error { kind, total, message, at } => {
                out.text(kind).small(*total).text(message).number(at.as_nanos());
            }
            Self::System { uptime, stack_high_water, stack_size, idle_permille } => {
                out.number(uptime.as_nanos())
                    .small(*stack_high_water)
                    .small(*stack_size)
                    .small(u32::from(*idle_permille));
            }
            Self::Log { level, target, message } => {
                out.byte(*level as u8).text(target).text(message);
            }
            Self::Reply { counter, verdict, message } => {
                out.number(*counter).byte(*verdict as u8).text(message);
            }
            Self::Cache { hits, misses, len, capacity, .. } => {
                out.number(*hits).number(*misses).small(*len).small(*capacity);
            }
            Self::Health { live, ready } => {
                out.byte(u8::from(*live)).byte(u8::from(*ready));
            }
            Self::Audit { entry } => {
                out.small(u32::try_from(entry.encoded_len()).unwrap_or(u32::MAX));
                entry.pieces(&mut |piece| {
                    for &byte in piece {
                        out.byte(byte);
                    }
                });
            }
            Self::LogBefore { number, at, last_at, level, target, message, repeated } => {
                out.small(*number)
                    .number(at.as_nanos())
                    .number(last_at.as_nanos())
                    .byte(*level as u8)
                    .text(target)
                    .text(message)
                    .small(*repeated);
            }
            Self::Report { report } => write_report(report, out),
        }
    }
}

/// The figures in the order of the fields.
fn write_report<P: Place>(report: &Report, out: &mut Encoder<P>) {
    out.number(report.uptime.as_nanos());
    for told in [report.live, report.ready] {
        out.byte(u8::from(told.is_some()));
        if let Some(told) = told {
            out.byte(u8::from(told));
        }
    }
    out.byte(report.level as u8);
    let Report { breakers_closed, breakers_trying, breakers_open, breakers_forced, .. } = *report;
    for breakers in [breakers_closed, breakers_trying, breakers_open, breakers_forced] {
        out.small(breakers.into());
    }
    let Report { refused, errors, errors_recent, cache_hits, cache_misses, .. } = *report;
    let Report { queued, queue_refused, log_dropped, lost, .. } = *report;
    for total in [refused, errors, errors_recent, cache_hits, cache_misses, queued, queue_refused, log_dropped, lost] {
        out.small(total);
    }
    out.number(report.audited).small(report.audit_lost);
}

/// Declares an append-only enum of the wire with its names in small letters.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The name in small letters, as in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

wire_enum! {
    /// Says what a distribution measures.
    Unit {
        /// A bare number.
        None = "none",
        /// Nanoseconds.
        Nanos = "nanos",
        /// Bytes.
        Bytes = "bytes",
        /// Cycles of the processor's clock.
        Cycles = "cycles",
    }
}

wire_enum! {
    /// Says what a breaker does with calls.
    BreakerState {
        /// Lets them through.
        Closed = "closed",
        /// Refuses them.
        Open = "open",
        /// Lets a few through to try.
        HalfOpen = "half_open",
        /// Refuses them until somebody says otherwise.
        ForcedOpen = "forced_open",
        /// Lets them through whatever happens.
        Disabled = "disabled",
    }
}

wire_enum! {
    /// Says what became of a command.
    Verdict {
        /// It was run.
        Accepted = "accepted",
        /// The token could not be read or its signature is wrong.
        BadSignature = "bad_signature",
        /// It is for another device.
        WrongDevice = "wrong_device",
        /// It is from before the last reset, or its counter has been used.
        Replayed = "replayed",
        /// Its permissions are too few.
        Forbidden = "forbidden",
        /// There is no such command.
        UnknownCommand = "unknown_command",
        /// Its arguments are not allowed.
        Invalid = "invalid",
        /// Too many came.
        Limited = "limited",
        /// It was tried and failed.
        Failed = "failed",
        /// Its time is over, or has not come; the message tells the device's. Since schema 5.
        Expired = "expired",
        /// It has a time, and the device does not know what time it is. Since schema 5.
        NoClock = "no_clock",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_enum_has_the_same_name_in_json_and_in_the_code() {
        for cause in [ResetCause::PowerOn, ResetCause::BrownOut, ResetCause::Unknown] {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
        for state in [BreakerState::HalfOpen, BreakerState::ForcedOpen, BreakerState::Disabled] {
            assert_eq!(serde_json::to_value(state).unwrap().to_string(), std::format!("\"{}\"", state.as_str()));
        }
        assert_eq!(serde_json::to_value(Verdict::BadSignature).unwrap(), Verdict::BadSignature.as_str());
        assert_eq!(serde_json::to_value(Level::Warn).unwrap(), Level::Warn.as_str());
        assert_eq!(serde_json::to_value(Unit::Nanos).unwrap(), Unit::Nanos.as_str());
    }
}
