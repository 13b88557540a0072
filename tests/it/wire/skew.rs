//! Old and new on one line: a host reads every device of the past, skips what is to come, and loses nothing else.

use daur_core::id::{BootId, DeviceId};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{DecodeError, Downlink, Frame, MAX_DOWNLINK, MAX_PAYLOAD};
use daur_core::wire::inbox::{self, Arrival, Inbox};
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{BreakerState, Level, Record, ResetCause, SCHEMA, Unit, Verdict};

use super::golden::{FRAMES, frames, golden, line_of};
use super::naive;

/// What firmware of each schema sent, taken from the history, and how many kinds of records it had.
const SCHEMAS: [(u16, usize, &str); 4] = [
    (1, 12, include_str!("../../golden/wire/schema-1.txt")),
    (2, 13, include_str!("../../golden/wire/schema-2.txt")),
    (3, 14, include_str!("../../golden/wire/schema-3.txt")),
    (4, 15, include_str!("../../golden/wire/schema-4.txt")),
];

const FUTURE: &str = include_str!("../../golden/wire/future.txt");

#[test]
fn a_new_host_reads_every_frame_of_every_older_device() {
    for (schema, kinds, file) in SCHEMAS {
        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        let mut read = std::collections::BTreeSet::new();
        for (name, line) in golden(file) {
            let frame = Frame::decode(decoder.feed(&mut line.as_slice()).unwrap());
            let (_, expected) = frames().into_iter().find(|(known, _)| *known == name).expect(name);
            assert_eq!(frame, Ok(expected), "schema {schema}: {name}");
            read.insert(expected.record.kind());
        }
        assert_eq!((read.len(), decoder.snapshot().crc_errors), (kinds, 0), "schema {schema}");
    }
}

#[test]
fn what_was_sent_once_is_sent_so_today() {
    let today = golden(FRAMES);
    let mut before = 0;
    for (schema, _, file) in SCHEMAS {
        let lines = golden(file);
        assert!(lines.iter().all(|line| today.contains(line)), "schema {schema}");
        assert!(lines.len() > before, "schema {schema} has added something");
        before = lines.len();
    }
    assert!(SCHEMAS.iter().all(|(schema, ..)| *schema < SCHEMA), "today's is in the one file that grows");
}

/// A number of postcard's, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let len = bytes.iter().position(|byte| *byte < 0x80)? + 1;
    let (number, rest) = bytes.split_at(len);
    Some((number.iter().rev().fold(0, |all, byte| (all << 7) | u64::from(byte & 0x7F)), rest))
}

/// A host as it was: it takes frames in order, and skips the kinds that its list does not have.
struct OldHost {
    kinds: u64,
    inbox: Inbox,
    taken: Vec<u64>,
    skipped: u64,
}

impl OldHost {
    fn hear(&mut self, line: &[u8], capacity: usize) {
        for payload in naive::decode(line, capacity).payloads {
            let (seq, rest) = varint(&payload).unwrap();
            let (_, rest) = varint(rest).unwrap();
            let (kind, _) = varint(rest).unwrap();
            let boot = (kind == 0).then_some(BootId(1));
            let now = Instant::from_secs(1);
            assert_eq!(self.inbox.on_frame(u32::try_from(seq).unwrap(), boot, now), Arrival::New { lost: 0 });
            if kind < self.kinds {
                self.taken.push(kind);
            } else {
                self.skipped += 1;
            }
        }
    }
}

#[test]
fn an_old_host_skips_and_counts_what_it_does_not_know_and_loses_no_other_frame() {
    let device = DeviceId::new("node-1").unwrap();
    let (boot, firmware, reset) = (BootId(1), Text::cut("0.1.0"), ResetCause::PowerOn);
    let hello = Record::Hello { device, boot, nonce: 7, schema: SCHEMA, firmware, reset };
    for (schema, kinds, _) in SCHEMAS {
        let now = Instant::from_secs(1);
        let mut outbox: Outbox<4096> = Outbox::new(outbox::Config::DEFAULT);
        outbox.push(&hello, now).unwrap();
        // One of each kind of today, and a counter behind each, but for the longest, which schema 1 had no room for.
        let (mut sent, mut known) = (1, 1);
        let mut seen = std::collections::BTreeSet::from(["hello"]);
        for (_, frame) in frames() {
            if !seen.insert(frame.record.kind()) {
                continue;
            }
            known += u64::from(seen.len() <= kinds) + 1;
            outbox.push(&frame.record, now).unwrap();
            outbox.push(&Record::Counter { name: Text::cut("n"), total: sent }, now).unwrap();
            sent += 2;
        }
        let kinds = u64::try_from(kinds).unwrap();
        let inbox = Inbox::new(inbox::Config::DEFAULT);
        let mut host = OldHost { kinds, inbox, taken: Vec::new(), skipped: 0 };
        let mut line = vec![0; 4096];
        let len = outbox.read(&mut line, now);
        host.hear(&line[..len], if schema == 1 { 256 } else { MAX_PAYLOAD });
        let told = u64::try_from(host.taken.len()).unwrap();
        assert_eq!((told, told + host.skipped), (known, sent), "schema {schema}");
        assert_eq!(host.inbox.snapshot().lost, 0, "schema {schema}");
        // What it skips it acknowledges as well, so that the device forgets it.
        outbox.ack(host.inbox.ack().unwrap(), now);
        assert_eq!(outbox.snapshot().held, 0, "schema {schema}");
    }
}

#[test]
fn todays_host_skips_a_device_of_tomorrow_frame_by_frame() {
    let mut decoder = Decoder::<MAX_PAYLOAD>::new();
    let mut inbox = Inbox::new(inbox::Config::DEFAULT);
    let mut skipped = Vec::new();
    let mut totals = Vec::new();
    for (name, line) in golden(FUTURE) {
        let payload = decoder.feed(&mut line.as_slice()).expect(name);
        let (seq, boot) = match Frame::decode(payload) {
            Ok(Frame { seq, record: Record::Hello { boot, schema, .. }, .. }) => {
                assert!(schema > SCHEMA);
                (seq, Some(boot))
            }
            Ok(Frame { seq, record: Record::Counter { total, .. }, .. }) => {
                totals.push(total);
                (seq, None)
            }
            Err(DecodeError::UnknownRecord { seq, at }) => {
                assert_eq!(at, Instant::from_secs(u64::from(seq)), "{name}");
                skipped.push(name);
                (seq, None)
            }
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(inbox.on_frame(seq, boot, Instant::ZERO), Arrival::New { lost: 0 }, "{name}");
    }
    assert_eq!(totals, [1, 2, 3, 4]);
    let unknown = ["unknown_kind", "unknown_verdict", "unknown_level", "kind_of_two_bytes", "kind_without_fields"];
    assert_eq!(skipped, [&unknown[..], &["longest_of_an_unknown_kind"]].concat());
    assert_eq!((inbox.ack(), decoder.snapshot().crc_errors, decoder.snapshot().oversized), (Some(10), 0, 0));
}

#[test]
fn an_old_device_passes_over_what_a_newer_host_says_and_hears_the_next() {
    let mut decoder = Decoder::<MAX_DOWNLINK>::new();
    let ack = |seq: u8| naive::encode(&[0, seq]);
    let future: [&[u8]; 6] = [&[3], &[3, 1, 2, 3], &[200, 1], &[0xFF, 0xFF, 1], &[0x80, 0x80], &[77; 400]];
    for (n, payload) in future.into_iter().enumerate() {
        let line = [naive::encode(payload), ack(9)].concat();
        let mut line = line.as_slice();
        assert_eq!(Downlink::decode(decoder.feed(&mut line).unwrap()), Err(DecodeError::Malformed), "{n}");
        assert_eq!(Downlink::decode(decoder.feed(&mut line).unwrap()), Ok(Downlink::Ack { seq: 9 }), "{n}");
    }
    // Fields that are added behind those it knows are left alone.
    for (payload, expected) in [
        (&[0, 5, 1, 2, 3][..], Downlink::Ack { seq: 5 }),
        (&[1, 2, b'a', b'b', 9, 9], Downlink::Command { token: "ab" }),
        (&[2, 1], Downlink::Identify),
    ] {
        assert_eq!(Downlink::decode(payload), Ok(expected));
    }
    assert_eq!(decoder.snapshot().crc_errors, 0);
}

/// Holds `record` to its payload, of the frame 0 at 0, and the same with another value in the place of `at` to be none.
fn numbered(record: Record, at: usize, number: u8, expected: &[u8]) {
    let frame = Frame { seq: 0, at: Instant::ZERO, record };
    let decoded = naive::decode(&line_of(&frame), MAX_PAYLOAD);
    assert_eq!(decoded.payloads, [expected], "{record:?}");
    assert_eq!(expected[at], number);
    let mut later = expected.to_vec();
    later[at] = 100;
    assert!(matches!(Frame::decode(&later), Err(DecodeError::UnknownRecord { seq: 0, .. })), "{record:?}");
}

#[test]
fn the_names_in_records_keep_their_numbers() {
    let numbers = 0_u8..;
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    for (n, level) in numbers.clone().zip(levels) {
        numbered(Record::Log { level, target: Text::EMPTY, message: Text::EMPTY }, 3, n, &[0, 0, 8, n, 0, 0]);
    }
    for (n, unit) in numbers.clone().zip([Unit::None, Unit::Nanos, Unit::Bytes, Unit::Cycles]) {
        let (name, count, sum, min, max, p50, p95, p99) = (Text::EMPTY, 0, 0, 0, 0, 0, 0, 0);
        let record = Record::Distribution { name, unit, count, sum, min, max, p50, p95, p99 };
        numbered(record, 4, n, &[0, 0, 4, 0, n, 0, 0, 0, 0, 0, 0, 0]);
    }
    let states = [
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
        BreakerState::ForcedOpen,
        BreakerState::Disabled,
    ];
    for (n, state) in numbers.clone().zip(states) {
        let (name, consecutive_failures, opened, refused, retry_at) = (Text::EMPTY, 0, 0, 0, None);
        let record = Record::Breaker { name, state, consecutive_failures, opened, refused, retry_at };
        numbered(record, 4, n, &[0, 0, 5, 0, n, 0, 0, 0, 0]);
    }
    let verdicts = [
        Verdict::Accepted,
        Verdict::BadSignature,
        Verdict::WrongDevice,
        Verdict::Replayed,
        Verdict::Forbidden,
        Verdict::UnknownCommand,
        Verdict::Invalid,
        Verdict::Limited,
        Verdict::Failed,
        Verdict::Expired,
        Verdict::NoClock,
    ];
    for (n, verdict) in numbers.clone().zip(verdicts) {
        numbered(Record::Reply { counter: 0, verdict, message: Text::EMPTY }, 4, n, &[0, 0, 9, 0, n, 0]);
    }
    let causes = [
        ResetCause::Unknown,
        ResetCause::PowerOn,
        ResetCause::Pin,
        ResetCause::Software,
        ResetCause::Watchdog,
        ResetCause::BrownOut,
        ResetCause::Fault,
    ];
    for (n, reset) in numbers.zip(causes) {
        let device = DeviceId::new("d").unwrap();
        let (boot, nonce, schema, firmware) = (BootId(0), 0, 0, Text::EMPTY);
        let record = Record::Hello { device, boot, nonce, schema, firmware, reset };
        numbered(record, 9, n, &[0, 0, 0, 1, b'd', 0, 0, 0, 0, n]);
    }
}

#[test]
fn an_old_host_gives_up_a_record_that_is_too_long_for_it_and_goes_on() {
    // Schema 1 read 256 bytes; a record of the audit may have 314.
    let (_, audit) = frames().into_iter().find(|(name, _)| *name == "audit_longest").unwrap();
    let health = Record::Health { live: true, ready: true };
    let line = [line_of(&audit), line_of(&Frame { seq: 1, at: Instant::ZERO, record: health })].concat();
    let mut decoder = Decoder::<256>::new();
    let payload = decoder.feed(&mut line.as_slice()).map(<[u8]>::to_vec);
    assert_eq!(Frame::decode(&payload.unwrap()).unwrap().record, health);
    assert_eq!((decoder.snapshot().oversized, decoder.snapshot().frames), (1, 1));
    // The number that is missing is given up after the host's patience, and told.
    let mut inbox = Inbox::new(inbox::Config::DEFAULT);
    let late = Instant::ZERO + inbox::Config::DEFAULT.patience + Duration::from_millis(1);
    assert_eq!(inbox.on_frame(0, None, Instant::ZERO), Arrival::New { lost: 0 });
    assert_eq!(inbox.on_frame(2, None, Instant::ZERO), Arrival::Early { ask: true });
    assert_eq!(inbox.on_frame(2, None, late), Arrival::New { lost: 1 });
}
