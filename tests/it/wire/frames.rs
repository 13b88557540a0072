//! The records are written by hand and read by serde: any record comes back as it was.

use daur_core::id::{BootId, DeviceId};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, Frame, MAX_DOWNLINK, MAX_PAYLOAD};
use daur_core::wire::record::{BreakerState, Level, Record, Report, ResetCause, Unit, Verdict};
use proptest::prelude::*;

use super::golden::{line_of, line_of_downlink};

fn text<const N: usize>() -> impl Strategy<Value = Text<N>> {
    ".{0,64}".prop_map(|text| Text::cut(&text))
}

/// Small ones and those at the edge of another byte of length are likely.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        (0..64_u32).prop_map(|bit| 1 << bit),
        (0..64_u32).prop_map(|bit| (1 << bit) - 1),
        any::<u64>()
    ]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0..300_u32, any::<u32>()]
}

fn at() -> impl Strategy<Value = Instant> {
    number().prop_map(Instant::from_nanos)
}

fn record() -> impl Strategy<Value = Record> {
    let reset = prop_oneof![Just(ResetCause::Unknown), Just(ResetCause::Watchdog), Just(ResetCause::Fault)];
    let unit = prop_oneof![Just(Unit::None), Just(Unit::Nanos), Just(Unit::Bytes), Just(Unit::Cycles)];
    let state = prop_oneof![Just(BreakerState::Closed), Just(BreakerState::HalfOpen), Just(BreakerState::Disabled)];
    let level = prop_oneof![Just(Level::Error), Just(Level::Info), Just(Level::Trace)];
    let verdict = prop_oneof![Just(Verdict::Accepted), Just(Verdict::Replayed), Just(Verdict::Failed)];
    let many = || prop::array::uniform7(number());
    prop_oneof![
        ("[A-Za-z0-9._-]{1,16}", small(), number(), any::<u16>(), text(), reset).prop_map(
            |(device, boot, nonce, schema, firmware, reset)| Record::Hello {
                device: DeviceId::new(&device).unwrap(),
                boot: BootId(boot),
                nonce,
                schema,
                firmware,
                reset,
            }
        ),
        (small(), at()).prop_map(|(count, since)| Record::Lost { count, since }),
        (text(), number()).prop_map(|(name, total)| Record::Counter { name, total }),
        (text(), number()).prop_map(|(name, value)| Record::Gauge { name, value: value.cast_signed() }),
        (text(), unit, many()).prop_map(|(name, unit, [count, sum, min, max, p50, p95, p99])| Record::Distribution {
            name,
            unit,
            count,
            sum,
            min,
            max,
            p50,
            p95,
            p99
        }),
        (text(), state, small(), number(), number(), prop::option::of(at())).prop_map(
            |(name, state, consecutive_failures, opened, refused, retry_at)| Record::Breaker {
                name,
                state,
                consecutive_failures,
                opened,
                refused,
                retry_at
            }
        ),
        (text(), small(), text(), at()).prop_map(|(kind, total, message, at)| Record::Error {
            kind,
            total,
            message,
            at
        }),
        (number(), small(), small(), any::<u16>()).prop_map(|(uptime, stack_high_water, stack_size, idle_permille)| {
            let uptime = Duration::from_nanos(uptime);
            Record::System { uptime, stack_high_water, stack_size, idle_permille }
        }),
        (level, text(), text()).prop_map(|(level, target, message)| Record::Log { level, target, message }),
        (number(), verdict, text()).prop_map(|(counter, verdict, message)| Record::Reply { counter, verdict, message }),
        (text(), number(), number(), small(), small()).prop_map(|(name, hits, misses, len, capacity)| Record::Cache {
            name,
            hits,
            misses,
            len,
            capacity
        }),
        any::<(bool, bool)>().prop_map(|(live, ready)| Record::Health { live, ready }),
        (number(), any::<Option<bool>>(), any::<u16>(), small(), number()).prop_map(
            |(uptime, live, breakers_open, lost, audited)| Record::Report {
                report: Report {
                    uptime: Duration::from_nanos(uptime),
                    live,
                    breakers_open,
                    lost,
                    audited,
                    ..Report::default()
                },
            }
        ),
    ]
}

proptest! {
    #[test]
    fn any_frame_comes_back_as_it_was(seq in small(), at in at(), record in record()) {
        let frame = Frame { seq, at, record };
        let line = line_of(&frame);
        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        prop_assert_eq!(Frame::decode(decoder.feed(&mut line.as_slice()).unwrap()), Ok(frame));
        prop_assert_eq!(decoder.snapshot().crc_errors, 0);
    }

    #[test]
    fn any_downlink_comes_back_as_it_was(seq in small(), token in "[A-Za-z0-9._-]{0,400}") {
        for message in [Downlink::Ack { seq }, Downlink::Command { token: &token }, Downlink::Identify] {
            let line = line_of_downlink(&message);
            let mut decoder = Decoder::<MAX_DOWNLINK>::new();
            prop_assert_eq!(Downlink::decode(decoder.feed(&mut line.as_slice()).unwrap()), Ok(message));
        }
    }

    #[test]
    fn no_payload_makes_the_readers_panic(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Frame::decode(&payload);
        let _ = Downlink::decode(&payload);
    }
}
