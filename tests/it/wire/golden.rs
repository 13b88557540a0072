//! The wire never changes: every record that was ever sent is still written and read byte by byte.
//!
//! `golden/frames.txt` and `golden/downlinks.txt` grow and do not change. A record that lacks its line fails the
//! test, which then shows the line to add.

use daur_core::id::{BootId, DeviceId};
use daur_core::performance::memory::Level as Strain;
use daur_core::security::audit::{Chain, Entry, Event, Kind, Outcome};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, UnixTime};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, Frame, MAX_DOWNLINK, MAX_DOWNLINK_ENCODED, MAX_ENCODED, MAX_PAYLOAD};
use daur_core::wire::record::{BreakerState, Level, Record, Report, ResetCause, Unit, Verdict};

use super::naive;

pub(super) const FRAMES: &str = include_str!("../../golden/frames.txt");
const DOWNLINKS: &str = include_str!("../../golden/downlinks.txt");

fn frame(seq: u32, at: u64, record: Record) -> Frame {
    Frame { seq, at: Instant::from_nanos(at), record }
}

/// One of each kind, and the extremes of what they hold.
pub(super) fn frames() -> Vec<(&'static str, Frame)> {
    let name = Text::cut("sensor.read");
    vec![
        (
            "hello",
            frame(
                0,
                1_000_000,
                Record::Hello {
                    device: DeviceId::new("node-1").unwrap(),
                    boot: BootId(3),
                    nonce: 0x0123_4567_89AB_CDEF,
                    schema: 1,
                    firmware: Text::cut("0.1.0"),
                    reset: ResetCause::PowerOn,
                },
            ),
        ),
        ("lost", frame(1, 2_000_000, Record::Lost { count: 12, since: Instant::from_millis(1) })),
        ("counter", frame(2, 3_000_000_000, Record::Counter { name, total: 300 })),
        (
            "gauge_negative",
            frame(127, 3_000_000_001, Record::Gauge { name: Text::cut("temperature_mc"), value: -40_000 }),
        ),
        ("gauge_zero", frame(128, 0, Record::Gauge { name: Text::EMPTY, value: 0 })),
        (
            "distribution",
            frame(
                129,
                4_000_000_000,
                Record::Distribution {
                    name,
                    unit: Unit::Nanos,
                    count: 1_000,
                    sum: 2_000_000,
                    min: 0,
                    max: 9_999,
                    p50: 2_000,
                    p95: 4_000,
                    p99: 8_000,
                },
            ),
        ),
        (
            "distribution_longest",
            frame(
                u32::MAX,
                u64::MAX,
                Record::Distribution {
                    name: Text::cut("abcdefghijklmnopqrstuvwx"),
                    unit: Unit::Cycles,
                    count: u64::MAX,
                    sum: u64::MAX,
                    min: u64::MAX,
                    max: u64::MAX,
                    p50: u64::MAX,
                    p95: u64::MAX,
                    p99: u64::MAX,
                },
            ),
        ),
        (
            "breaker_open",
            frame(
                130,
                5_000_000_000,
                Record::Breaker {
                    name: Text::cut("i2c"),
                    state: BreakerState::Open,
                    consecutive_failures: 5,
                    opened: 1,
                    refused: 17,
                    retry_at: Some(Instant::from_secs(6)),
                },
            ),
        ),
        (
            "breaker_closed",
            frame(
                131,
                6_000_000_000,
                Record::Breaker {
                    name: Text::cut("i2c"),
                    state: BreakerState::Closed,
                    consecutive_failures: 0,
                    opened: 1,
                    refused: 20,
                    retry_at: None,
                },
            ),
        ),
        (
            "error",
            frame(
                132,
                7_000_000_000,
                Record::Error {
                    kind: Text::cut("bus"),
                    total: 8,
                    message: Text::cut("no acknowledge from 0x48: größer"),
                    at: Instant::from_secs(7),
                },
            ),
        ),
        (
            "system",
            frame(
                133,
                8_000_000_000,
                Record::System {
                    uptime: Duration::from_secs(8),
                    stack_high_water: 1_836,
                    stack_size: 8_192,
                    idle_permille: 987,
                },
            ),
        ),
        (
            "log",
            frame(
                134,
                9_000_000_000,
                Record::Log {
                    level: Level::Warn,
                    target: Text::cut("sensor"),
                    message: Text::cut("breaker opened after 5 failures"),
                },
            ),
        ),
        (
            "reply_accepted",
            frame(
                135,
                10_000_000_000,
                Record::Reply { counter: 1, verdict: Verdict::Accepted, message: Text::cut("interval 500ms") },
            ),
        ),
        (
            "reply_bad_signature",
            frame(
                136,
                11_000_000_000,
                Record::Reply { counter: 0, verdict: Verdict::BadSignature, message: Text::EMPTY },
            ),
        ),
        (
            "reply_expired",
            frame(
                143,
                17_000_000_000,
                Record::Reply { counter: 0, verdict: Verdict::Expired, message: Text::cut("time is 1800000000000") },
            ),
        ),
        (
            "reply_no_clock",
            frame(144, 18_000_000_000, Record::Reply { counter: 0, verdict: Verdict::NoClock, message: Text::EMPTY }),
        ),
        (
            "cache",
            frame(
                137,
                12_000_000_000,
                Record::Cache { name: Text::cut("calibration"), hits: 99, misses: 1, len: 4, capacity: 8 },
            ),
        ),
        ("health", frame(138, 13_000_000_000, Record::Health { live: true, ready: false })),
        ("audit", frame(139, 14_000_000_000, Record::Audit { entry: audited("alice", "set-interval 500", None) })),
        (
            "audit_longest",
            frame(
                u32::MAX,
                u64::MAX,
                Record::Audit {
                    entry: Entry {
                        seq: u64::MAX,
                        device: DeviceId::new("abcdefghijklmnop").unwrap(),
                        boot: BootId(u32::MAX),
                        at: Instant::MAX,
                        event: Event {
                            outcome: Outcome::Denied,
                            source: Text::cut(&"s".repeat(48)),
                            ..audited(&"a".repeat(32), &"d".repeat(128), None).event
                        },
                        ..audited("", "", Some(UnixTime::from_millis(u64::MAX)))
                    },
                },
            ),
        ),
        (
            "log_before",
            frame(
                140,
                15_000_000_000,
                Record::LogBefore {
                    number: 300,
                    at: Instant::from_secs(7),
                    last_at: Instant::from_secs(9),
                    level: Level::Warn,
                    target: Text::cut("sensor"),
                    message: Text::cut("breaker opened: the sensor is left alone"),
                    repeated: 2,
                },
            ),
        ),
        (
            "log_before_longest",
            frame(
                u32::MAX,
                u64::MAX,
                Record::LogBefore {
                    number: u32::MAX,
                    at: Instant::MAX,
                    last_at: Instant::MAX,
                    level: Level::Trace,
                    target: Text::cut(&"t".repeat(16)),
                    message: Text::cut(&"m".repeat(64)),
                    repeated: u32::MAX,
                },
            ),
        ),
        (
            "report",
            frame(
                141,
                16_000_000_000,
                Record::Report {
                    report: Report {
                        uptime: Duration::from_secs(16),
                        live: Some(true),
                        ready: Some(false),
                        level: Strain::Elevated,
                        breakers_closed: 1,
                        breakers_trying: 2,
                        breakers_open: 3,
                        breakers_forced: 4,
                        refused: 300,
                        errors: 6,
                        errors_recent: 7,
                        cache_hits: 8,
                        cache_misses: 9,
                        queued: 10,
                        queue_refused: 11,
                        log_dropped: 12,
                        lost: 13,
                        audited: 14,
                        audit_lost: 15,
                    },
                },
            ),
        ),
        ("report_of_nothing", frame(142, 0, Record::Report { report: Report::default() })),
        ("report_longest", frame(u32::MAX, u64::MAX, Record::Report { report: longest_report() })),
    ]
}

fn longest_report() -> Report {
    Report {
        uptime: Duration::MAX,
        live: Some(false),
        ready: Some(true),
        level: Strain::Critical,
        breakers_closed: u16::MAX,
        breakers_trying: u16::MAX,
        breakers_open: u16::MAX,
        breakers_forced: u16::MAX,
        refused: u32::MAX,
        errors: u32::MAX,
        errors_recent: u32::MAX,
        cache_hits: u32::MAX,
        cache_misses: u32::MAX,
        queued: u32::MAX,
        queue_refused: u32::MAX,
        log_dropped: u32::MAX,
        lost: u32::MAX,
        audited: u64::MAX,
        audit_lost: u32::MAX,
    }
}

/// The first record of a chain whose first key is 32 sevens.
fn audited(actor: &str, detail: &str, unix: Option<UnixTime>) -> Entry {
    let mut chain = Chain::new(DeviceId::new("node-1").unwrap(), BootId(3), [7; 32]);
    chain.append(&Event::new(Kind::Command, Outcome::Success, actor, "link", detail), Instant::from_secs(14), unix)
}

pub(super) fn downlinks() -> Vec<(&'static str, Downlink<'static>)> {
    vec![
        ("ack_0", Downlink::Ack { seq: 0 }),
        ("ack_last", Downlink::Ack { seq: u32::MAX }),
        (
            "command",
            Downlink::Command { token: "eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IOF7uF-LxS4" },
        ),
        ("identify", Downlink::Identify),
    ]
}

pub(super) fn line_of(frame: &Frame) -> Vec<u8> {
    let mut line = [0; MAX_ENCODED];
    let len = frame.encode(&mut line).unwrap();
    line[..len].to_vec()
}

pub(super) fn line_of_downlink(downlink: &Downlink<'_>) -> Vec<u8> {
    let mut line = [0; MAX_DOWNLINK_ENCODED];
    let len = downlink.encode(&mut line).unwrap();
    line[..len].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The lines of a golden file: a name and bytes. What stands behind `#` is for the reader.
pub(super) fn golden(file: &'static str) -> Vec<(&'static str, Vec<u8>)> {
    file.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, bytes)| (name, unhex(bytes)))
        .collect()
}

/// Fails with the lines that the file should have.
fn compare(file: &'static str, lines: &[(&str, Vec<u8>)]) {
    let golden = golden(file);
    let missing: Vec<_> = lines
        .iter()
        .filter(|(name, bytes)| !golden.iter().any(|(golden, expected)| golden == name && expected == bytes))
        .map(|(name, bytes)| format!("{name} {}", hex(bytes)))
        .collect();
    assert!(missing.is_empty(), "not in the golden file:\n{}", missing.join("\n"));
    assert_eq!(golden.len(), lines.len(), "the golden file has a line without a record");
}

#[test]
fn every_record_is_written_in_its_golden_bytes() {
    compare(FRAMES, &frames().iter().map(|(name, frame)| (*name, line_of(frame))).collect::<Vec<_>>());
}

#[test]
fn every_golden_frame_is_read_as_its_record() {
    for ((name, expected), (_, line)) in frames().iter().zip(golden(FRAMES)) {
        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        let payload = decoder.feed(&mut line.as_slice()).unwrap();
        assert_eq!(Frame::decode(payload).as_ref(), Ok(expected), "{name}");
    }
}

#[test]
fn every_downlink_is_written_in_its_golden_bytes_and_read_back() {
    let lines: Vec<_> = downlinks().iter().map(|(name, message)| (*name, line_of_downlink(message))).collect();
    compare(DOWNLINKS, &lines);
    for ((name, expected), (_, line)) in downlinks().iter().zip(golden(DOWNLINKS)) {
        let mut decoder = Decoder::<MAX_DOWNLINK>::new();
        let payload = decoder.feed(&mut line.as_slice()).unwrap();
        assert_eq!(Downlink::decode(payload).as_ref(), Ok(expected), "{name}");
    }
}

#[test]
fn there_is_a_golden_frame_of_every_kind() {
    let kinds: std::collections::BTreeSet<_> = frames().iter().map(|(_, frame)| frame.record.kind()).collect();
    // Twelve kinds in schema 1, the audit's since schema 2, the log's before the reset since schema 3, the report's since schema 4. Schema 5 has added two verdicts.
    assert_eq!((kinds.len(), daur_core::wire::record::SCHEMA), (15, 5));
}

#[test]
fn a_golden_frame_is_what_the_documents_say() {
    // seq 2, at 3,000,000,000 = varint 80 BC C1 96 0B, variant 2, a text of 11 bytes, 300 = AC 02.
    let mut payload = vec![2, 0x80, 0xBC, 0xC1, 0x96, 0x0B, 2, 11];
    payload.extend(b"sensor.read");
    payload.extend([0xAC, 0x02]);
    let (_, counter) = golden(FRAMES).into_iter().find(|(name, _)| *name == "counter").unwrap();
    assert_eq!(hex(&counter), hex(&naive::encode(&payload)));
}

#[test]
fn the_plain_implementation_reads_every_golden_line() {
    for (name, line) in golden(FRAMES).into_iter().chain(golden(DOWNLINKS)) {
        let decoded = naive::decode(&line, MAX_DOWNLINK);
        assert_eq!((decoded.payloads.len(), decoded.crc_errors), (1, 0), "{name}");
        assert_eq!(hex(&naive::encode(&decoded.payloads[0])), hex(&line), "{name}");
    }
}
