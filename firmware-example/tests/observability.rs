//! The machines of monitoring and of the wire, and the words that all machines speak, on the target. Every test starts
//! from a reset, and names the machines it is for, as in `resilience.rs`. What security checks before it acts (inputs,
//! permissions, the policy) is here because the smallest flash has no room for it beside the rest.
#![no_std]
#![no_main]

use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use daur_core::crc::Crc32;
    use daur_core::hal::clock::{FnClock, TickExtender};
    use daur_core::id::{BootId, DeviceId};
    use daur_core::monitoring::histogram::{Auto, Quantile};
    use daur_core::monitoring::system::{self, Field, Idle, Sample, System, Trend};
    use daur_core::performance::memory::Level;
    use daur_core::rng::Rng;
    use daur_core::security::input::command::{Class, Invalid, classify, parse};
    use daur_core::security::input::{email, path, sanitize};
    use daur_core::security::permission::{Permissions, Scopes};
    use daur_core::security::policy::Policy;
    use daur_core::shared::{CsShared, Shared};
    use daur_core::text::Text;
    use daur_core::time::{Clock, Duration, Instant, UnixTime};
    use daur_core::wire::decoder::Decoder;
    use daur_core::wire::frame::{Downlink, Frame, MAX_DOWNLINK, MAX_ENCODED, MAX_PAYLOAD};
    use daur_core::wire::inbox::{self, Arrival, Inbox};
    use daur_core::wire::outbox::{self, Outbox};
    use daur_core::wire::record::Record;
    use daur_firmware::clock::{self, Timer};

    #[init]
    fn init() {
        // Once per reset, and there is one reset per test.
        let mut core = cortex_m::Peripherals::take().unwrap();
        clock::start(&mut core.SYST);
    }

    /// Writes the bytes that `hex` stands for; how many.
    fn unhex(hex: &str, into: &mut [u8]) -> usize {
        let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
        let (pairs, _) = hex.trim_ascii().as_bytes().as_chunks();
        for (to, [high, low]) in into.iter_mut().zip(pairs) {
            *to = digit(*high) << 4 | digit(*low);
        }
        pairs.len()
    }

    /// Machines: monitoring::histogram.
    #[test]
    fn histogram_quantiles_stay_within_their_error() {
        let mut histogram: Auto<160> = Auto::new();
        for value in 1..=10_000_u64 {
            histogram.record(value);
        }
        let p99 = histogram.quantile(Quantile::P99).unwrap();
        let allowed = 9_900 * u64::from(histogram.error_ppm()) / 1_000_000 + 1;
        assert!(p99.abs_diff(9_900) <= allowed);
        assert_eq!((histogram.count(), histogram.min(), histogram.max()), (10_000, Some(1), Some(10_000)));
    }

    /// Machines: wire::frame, wire::outbox, wire::decoder, wire::cobs.
    #[test]
    fn wire_frame_survives_the_line_and_a_flipped_bit_is_refused() {
        let mut outbox: Outbox<256> = Outbox::new(outbox::Config::DEFAULT);
        let now = Instant::from_secs(3);
        let record = Record::Gauge { name: Text::cut("temperature_mc"), value: -21_500 };
        outbox.push(&record, now).unwrap();
        let mut line = [0; 64];
        let sent = outbox.read(&mut line, now);

        let mut decoder: Decoder<MAX_PAYLOAD> = Decoder::new();
        let mut input = &line[..sent];
        let frame = Frame::decode(decoder.feed(&mut input).unwrap()).unwrap();
        assert_eq!((frame.seq, frame.at, frame.record), (0, now, record));

        for bit in 8..(sent - 1) * 8 {
            let mut flipped = line;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut input = &flipped[..sent];
            assert!(Decoder::<MAX_PAYLOAD>::new().feed(&mut input).is_none());
        }
    }

    /// Machines: wire::outbox.
    #[test]
    fn wire_outbox_tells_what_it_lost() {
        let mut outbox: Outbox<64> = Outbox::new(outbox::Config::DEFAULT);
        let now = Instant::from_secs(3);
        while outbox.push(&Record::Health { live: true, ready: true }, now).is_ok() {}
        let mut line = [0; 128];
        outbox.read(&mut line, now);
        outbox.ack(outbox.snapshot().next - 1, now);
        let sent = outbox.read(&mut line, now);
        let mut decoder: Decoder<MAX_PAYLOAD> = Decoder::new();
        let frame = Frame::decode(decoder.feed(&mut &line[..sent]).unwrap()).unwrap();
        assert_eq!(frame.record, Record::Lost { count: 1, since: now });
    }

    /// Machines: monitoring::log.
    #[test]
    fn lines_of_the_log_survive_as_the_bits_they_are() {
        use daur_core::monitoring::log::{Config, Level, Log};
        let mut log: Log<4, 32> = Log::new(Config::DEFAULT);
        for (second, message) in [(1, "one"), (2, "two"), (3, "two"), (4, "three"), (5, "four"), (6, "five")] {
            let _ = log.record(Level::Info, "test", message, Instant::from_secs(second));
        }
        let mut saved = [0; Log::<4, 32>::BYTES];
        for (to, byte) in saved.iter_mut().zip(log.bytes()) {
            *to = byte;
        }
        let found = log.recover(Config::DEFAULT);
        assert_eq!((found.kept, found.damaged), (4, 0));
        let _ = log.record(Level::Error, "test", "new", Instant::from_secs(0));
        let first = log.untold().unwrap();
        assert_eq!((first.message.as_str(), first.number, log.snapshot().untold_dropped), ("three", 2, 1));

        // One bit of the second line, and memory of no content.
        let mut damaged = saved;
        damaged[2 * Log::<4, 32>::BYTES / 4] ^= 1;
        assert_eq!(log.restore(damaged, Config::DEFAULT).kept, 3);
        let found = log.restore(core::iter::repeat_n(0xA5, 999), Config::DEFAULT);
        assert_eq!((found.kept, found.damaged, log.records().count()), (0, 4, 0));
    }

    /// Machines: monitoring::errors.
    #[test]
    fn errors_keep_the_frequent_kinds_and_the_last_messages() {
        use daur_core::monitoring::errors::{self, Errors};
        let mut errors: Errors<2, 2> = Errors::new(errors::Config::DEFAULT);
        for (second, kind) in (0..).zip(["i2c", "flash", "i2c", "uart", "i2c", "adc", "i2c"]) {
            errors.record(kind, "no acknowledge", Instant::from_secs(second));
        }
        let i2c = errors.kind("i2c").unwrap();
        assert_eq!((i2c.count, i2c.overestimate, i2c.last_at), (4, 0, Instant::from_secs(6)));
        assert_eq!(errors.top().map(|kind| kind.count).sum::<u64>(), 7);
        assert_eq!(errors.last().map(|error| error.kind.as_str()).next(), Some("i2c"));
        assert_eq!(errors.recent(Instant::from_secs(6)), 7);
    }

    /// Machines: monitoring::profiler.
    #[test]
    fn profiler_measures_calls_their_errors_and_the_slowest() {
        use daur_core::monitoring::histogram::Window;
        use daur_core::monitoring::profiler::{Outcome, Profiler};
        let mut profiler: Profiler<1, 2, Window<u32, 32>> = Profiler::new();
        let (outer, inner) = (profiler.start("read", Instant::ZERO), profiler.start("read", Instant::from_millis(1)));
        profiler.finish(inner, Outcome::Error, Instant::from_millis(3));
        profiler.finish(outer, Outcome::Success, Instant::from_millis(9));
        profiler.measure("write", Duration::from_millis(4), Instant::from_millis(20));
        let read = profiler.snapshot("read").unwrap();
        assert_eq!((read.time.count, read.errors, read.in_flight), (2, 1, 0));
        assert!(profiler.slowest().map(|slow| slow.took.as_millis()).eq([9, 4]));
        assert_eq!(profiler.snapshot("other").unwrap().time.count, 1);
    }

    /// Machines: monitoring::system.
    #[test]
    fn system_judges_its_figures_with_hysteresis_and_tells_their_trend() {
        let mut system: System<4> =
            System::new(system::Config { trend_every: Duration::ZERO, ..system::Config::DEFAULT });
        let mut idle = Idle::new(Instant::ZERO);
        idle.sleep(Instant::from_millis(100));
        idle.wake(Instant::from_millis(900));
        let sample = |used| Sample {
            stack_high_water: Some(used),
            stack_size: Some(1_000),
            idle_permille: Some(800),
            ..Sample::EMPTY
        };
        assert_eq!(idle.take(Instant::from_secs(1)), Some(800));
        for second in 0..4 {
            system.update(&sample(700 + 20 * second), Instant::from_secs(u64::from(5 * second)));
        }
        assert_eq!(system.level_of(Field::Stack), system::Level::Normal);
        let change = system.update(&sample(780), Instant::from_secs(25)).into_iter().next().unwrap();
        assert_eq!((change.field, change.to, change.value), (Field::Stack, system::Level::Elevated, 780));
        assert_eq!(system.level_of(Field::Cpu), system::Level::Normal);
        let mut trend: Trend<4> = Trend::NEW;
        for second in 0..6 {
            trend.push(second * 10, Instant::from_secs(second.unsigned_abs()));
        }
        let per_hour = trend.per_hour().unwrap();
        assert!((35_990..=36_010).contains(&per_hour));
    }

    /// Machines: monitoring::metrics, monitoring::histogram, monitoring::long.
    #[test]
    fn metrics_say_here_what_they_say_on_a_host() {
        use daur_core::monitoring::histogram::{Auto, Quantile};
        use daur_core::monitoring::metrics::{Collector, Counter, Refused, Stats, Tally, WhenFull};
        let mut histogram: Auto<64> = Auto::new();
        for value in [1000, 1024, 1025] {
            histogram.record(value);
        }
        assert!(histogram.buckets().map(|bucket| bucket.index).eq([Some(318), Some(319), Some(320)]));
        for value in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX / 2] {
            histogram.record(value);
        }
        assert_eq!((histogram.count(), histogram.min(), histogram.max()), (8, Some(0), Some(u64::MAX / 2)));
        assert_eq!(histogram.sum(), 3_049 + 1 + u64::from(u32::MAX) + (1 << 32) + u64::MAX / 2);
        assert_eq!((histogram.scale(), histogram.quantile(Quantile::P50)), (0, Some(683)));

        let mut counter = Counter::from(u64::from(u32::MAX));
        counter.increment();
        assert_eq!(counter.total(), 1 << 32);
        counter.add(u64::MAX);
        assert_eq!(counter.total(), u64::MAX);

        let mut tally = Tally::new();
        for value in [40, u32::MAX, 12, u32::MAX] {
            tally.record(value);
        }
        assert_eq!((tally.min(), tally.max(), tally.sum()), (Some(12), Some(u32::MAX), 52 + 2 * u64::from(u32::MAX)));

        let mut stats = Stats::new(10_000_001_i32, Instant::ZERO);
        stats.record(10_000_003, Instant::ZERO);
        stats.record(10_000_002, Instant::ZERO);
        assert_eq!((stats.mean(), stats.deviation()), (10_000_002.0, Some(1.0)));

        let mut metrics: Collector<&str, 1, 2, i32> =
            Collector::new(daur_core::monitoring::metrics::Config { when_full: WhenFull::Refuse });
        for value in [3, 5, 7] {
            metrics.record("a", value, Instant::ZERO).unwrap();
        }
        assert_eq!(metrics.record("b", 1, Instant::ZERO), Err(Refused::Full));
        assert_eq!((metrics.stats("a").unwrap().sum(), metrics.window_stats("a").unwrap().sum()), (15, 12));
    }

    /// Machines: services::analytics.
    #[test]
    fn analytics_count_alike_on_every_target() {
        use daur_core::services::analytics::{Analytics, Config, Funnel, Sketch, Stage};
        let mut analytics: Analytics<2, 2, 1, 64> = Analytics::new(Config { window: Duration::from_secs(60) });
        for second in 0..90_u64 {
            let user = ["a", "b", "c", "d", "e"][(second % 5) as usize];
            let name = ["open", "close", "other"][(second % 3) as usize];
            analytics.track_event(name, &[("user", user), ("key", "value")], Instant::from_secs(second));
            analytics.track_metric("second", second as i64, Instant::from_secs(second)).unwrap();
        }
        let open = analytics.event("open").unwrap();
        assert_eq!((open.total, open.window, open.last_window), (30, 10, 20));
        let shown = analytics.snapshot();
        assert_eq!((shown.total, shown.other, shown.users, shown.users_last_window), (90, 30, 5, 5));
        assert_eq!((shown.properties, analytics.metric_stats("second").unwrap().sum), (90, 4_005));

        // The same items, the same estimate: this figure is what the host says.
        let mut users: Sketch<64> = Sketch::new();
        for user in 0..1_000_u32 {
            users.insert(&user.to_le_bytes());
        }
        assert_eq!(users.estimate(), 942);

        let mut funnel: Funnel<2> = Funnel::new(Duration::from_secs(10));
        for (second, stage, user) in [(0, Stage::First, b"a"), (1, Stage::First, b"b"), (2, Stage::First, b"c")] {
            assert!(!funnel.track(stage, user, Instant::from_secs(second)));
        }
        assert!(funnel.track(Stage::Second, b"b", Instant::from_secs(11)));
        assert!(!funnel.track(Stage::Second, b"c", Instant::from_secs(13)));
        let shown = funnel.snapshot();
        assert_eq!((shown.entered, shown.converted, shown.expired, shown.forgotten), (3, 1, 1, 1));
    }

    /// Machines: monitoring::report, wire::record.
    #[test]
    fn a_report_goes_through_a_frame_and_says_what_is_wrong_first() {
        use daur_core::monitoring::report::{Concern, Report, Verdict};
        let report = Report { breakers_open: 2, errors_recent: 3, ..Report::new(Duration::from_secs(9)) };
        let report = report.health(true, true).level(Level::Critical);
        assert!(report.concerns().eq([Concern::Critical, Concern::BreakersOpen(2), Concern::Errors(3)]));
        assert_eq!(report.verdict(), Verdict::Red);
        let frame = Frame { seq: 1, at: Instant::from_secs(9), record: Record::Report { report } };
        let mut line = [0; 128];
        let len = frame.encode(&mut line).unwrap();
        let mut decoder = Decoder::<128>::new();
        let payload = decoder.feed(&mut &line[..len]).unwrap();
        assert!(matches!(Frame::decode(payload), Ok(read) if read == frame));
    }

    /// The bytes that the host's tests hold to, too.
    ///
    /// Machines: wire::record, wire::frame, wire::cobs, wire::decoder.
    #[test]
    fn golden_frames_are_read_and_written_byte_by_byte() {
        let (mut line, mut again) = ([0; MAX_ENCODED], [0; MAX_ENCODED]);
        let mut frames = 0;
        for golden in include_str!("../../tests/golden/frames.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, hex) = golden.split_once(' ').unwrap();
            let len = unhex(hex, &mut line);
            let mut decoder = Decoder::<MAX_PAYLOAD>::new();
            let frame = Frame::decode(decoder.feed(&mut &line[..len]).unwrap()).unwrap();
            let written = frame.encode(&mut again).unwrap();
            assert_eq!(&line[..len], &again[..written], "{name}");
            frames += 1;
        }
        assert!(frames >= 20);
        let mut downlinks = 0;
        for golden in include_str!("../../tests/golden/downlinks.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, hex) = golden.split_once(' ').unwrap();
            let len = unhex(hex, &mut line);
            let mut decoder = Decoder::<MAX_DOWNLINK>::new();
            let downlink = Downlink::decode(decoder.feed(&mut &line[..len]).unwrap()).unwrap();
            let written = downlink.encode(&mut again).unwrap();
            assert_eq!(&line[..len], &again[..written], "{name}");
            downlinks += 1;
        }
        assert!(downlinks >= 4);
    }

    /// Machines: wire::decoder.
    #[test]
    fn decoder_finds_the_next_frame_after_noise() {
        let mut decoder: Decoder<64> = Decoder::new();
        let mut line = &b"noise\0\x06a\x43\xBE\xB7\xE8\0\x06a\x43"[..];
        assert_eq!(decoder.feed(&mut line), Some(&b"a"[..]));
        assert_eq!(decoder.feed(&mut line), None);
        assert_eq!(decoder.feed(&mut &b"\xBE\xB7\xE8\0"[..]), Some(&b"a"[..]));
        assert_eq!(decoder.snapshot().crc_errors, 1);
    }

    /// Machines: wire::inbox.
    #[test]
    fn inbox_takes_each_frame_once_and_in_order() {
        let mut inbox = Inbox::new(inbox::Config::DEFAULT);
        let now = Instant::from_secs(1);
        assert_eq!(inbox.on_frame(0, Some(BootId(1)), now), Arrival::New { lost: 0 });
        assert_eq!(inbox.on_frame(2, None, now), Arrival::Early { ask: true });
        assert_eq!(inbox.on_frame(3, None, now), Arrival::Early { ask: false });
        assert_eq!(inbox.ack(), Some(0));
        assert_eq!(inbox.on_frame(1, None, now), Arrival::New { lost: 0 });
        assert_eq!(inbox.on_frame(1, None, now), Arrival::Duplicate);
        // Another life.
        assert_eq!(inbox.on_frame(0, Some(BootId(2)), now), Arrival::New { lost: 0 });
        assert_eq!(inbox.ack(), Some(0));
    }

    /// Machines: crc, rng.
    #[test]
    fn sums_and_random_numbers_are_those_of_every_target() {
        assert_eq!(Crc32::of(b"123456789"), 0xCBF4_3926);
        let mut parts = Crc32::new();
        b"123456789\x26\x39\xF4\xCB".iter().for_each(|byte| parts.push(*byte));
        assert_eq!(parts.finish(), Crc32::RESIDUE);

        // The figures of `rng::tests` on the host.
        let mut rng = Rng::new(7);
        assert_eq!((rng.next_u32(), rng.next_u64()), (0x90B5_EF7F, 0xADE8_5831_5AF2_5C1F));
        assert!((0..1_000).all(|_| rng.at_most(10) <= 10 && (3..=5).contains(&rng.between(3, 5))));
    }

    /// Machines: text, id, time.
    #[test]
    fn texts_are_cut_between_characters_and_times_saturate() {
        assert_eq!(Text::<4>::cut("größe").as_str(), "grö");
        assert!(Text::<4>::new("sensor").is_err());
        let mut name: Text<8> = Text::cut("motor");
        assert!(name.push("-l") && !name.push("eft"));
        assert!(DeviceId::new("boiler 7").is_err() && DeviceId::new("a-name-that-is-too-long").is_err());
        assert_eq!(DeviceId::new("boiler-7").unwrap().as_str(), "boiler-7");

        let late = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(late + Duration::from_secs(1), Instant::from_nanos(u64::MAX));
        assert_eq!(Instant::from_secs(1) - Instant::from_secs(2), Duration::ZERO);
        assert_eq!("90m".parse(), Ok(Duration::from_secs(5_400)));
        assert!("2 parsecs".parse::<Duration>().is_err() && "584y".parse::<Duration>().is_err());
        assert_eq!(UnixTime::from_secs(u64::MAX).as_millis(), u64::MAX);
    }

    /// Machines: hal::clock, shared.
    #[test]
    fn a_32_bit_counter_becomes_a_clock_that_a_machine_lives_by() {
        let mut ticks = TickExtender::new();
        for (counter, extended) in
            [(0x8000_0000, 0x8000_0000), (u32::MAX, 0xFFFF_FFFF), (1, 0x1_0000_0001), (0x9000_0000, 0x1_9000_0000)]
        {
            assert_eq!(ticks.extend(counter), extended);
        }
        type Read = FnClock<fn() -> Instant>;
        static SHARED: CsShared<Option<Instant>, Read> = CsShared::new(None, FnClock::new(|| Timer.now()));
        let before = Timer.now();
        let seen = SHARED.with(|last, now| {
            *last = Some(now);
            now
        });
        assert!(before <= seen && seen <= Timer.now());
        assert_eq!(SHARED.with(|last, now| last.map(|last| last <= now)), Some(true));
    }

    /// Machines: security::input.
    #[test]
    fn input_is_refused_unless_it_is_harmless() {
        let mut buffer = [0; 64];
        let argv = parse(r#"echo 'a; b' "c d" e\ f"#, &mut buffer).unwrap();
        assert!(argv.words().eq(["echo", "a; b", "c d", "e f"]));
        assert_eq!(parse("echo a; id", &mut buffer), Err(Invalid::Separator));
        assert_eq!((classify("ls $HOME/*"), classify("echo $HOME; id")), (Class::Expanding, Class::Executing));

        let rules = path::Rules::DEFAULT;
        assert_eq!(path::check("reports//2026/./may.csv", &rules, &mut buffer), Ok("reports/2026/may.csv"));
        assert_eq!(path::check("reports/../../secret", &rules, &mut buffer), Err(path::Refusal::Parent));
        assert_eq!(email::check("ada@example.org", &email::Rules::DEFAULT).unwrap().domain, "example.org");
        assert_eq!(email::check("ada@example", &email::Rules::DEFAULT), Err(email::Refusal::DomainForm));
        let shown = sanitize::sanitize("red \x1b[31malert\r\nnext", &sanitize::Rules::DEFAULT, &mut buffer);
        assert_eq!((shown.text, shown.removed, shown.cut), ("red [31malert next", 2, false));
    }

    /// Machines: monitoring::trace.
    #[test]
    fn a_trace_has_the_same_bytes_on_every_target() {
        use daur_core::monitoring::trace::{self, Head, Input, Keep, Reader, Setup, Trace, Writer};
        use daur_core::reliability::limiter::{self, Limiter};
        // As `tests/it/monitoring/trace.rs` has it on the host, answers and states in its sums.
        const FILE: [u8; 76] = *b"DAURTRC\x01\x08boiler-7\x03\x01\x16\x01\x03\x80\x89\x7a\x08commands\x03\x03\x80\x94\xeb\xdc\x03\x04\
            \x03\x9c\x03\x04\x05\x02\xbc\x06\x7f\x3f\x06\x1c\x03\xff\x88\x7a\x01\x05\x02\xe7\xf0\xde\x7a\x06\x04\x03\xa3\x29\x9d\xf2\x1a\xc0\x56\x98";
        let config = limiter::Config { rate: 3, period: Duration::from_secs(1), burst: 4 };
        let mut trace: Trace<256> = Trace::new(trace::Config { keep: Keep::First, every: 1 });
        let mut limiter = Limiter::new(config);
        let now = Instant::from_millis(1);
        trace.declare(3, Text::cut("commands"), &Setup::Limiter { config }, now);
        assert!(trace.drive(3, &mut limiter, &Input::Check { n: 4 }, now).is_some());
        assert!(trace.drive(3, &mut limiter, &Input::Check { n: 1 }, Instant::ZERO).is_some());
        let (mut file, mut len) = ([0; 76], 0);
        let mut put = |byte| {
            file[len] = byte;
            len += 1;
        };
        let head = Head { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(3), every: 1 };
        let mut writer = Writer::begin(&head, &mut put);
        writer.copy(&trace);
        writer.end(&trace);
        assert_eq!((len, file), (76, FILE));
        assert_eq!(Reader::open(&file).unwrap().count(), 6);
    }

    /// Machines: security::permission, security::policy.
    #[test]
    fn permissions_are_read_strictly_and_the_policy_admits_what_its_list_has() {
        const SCOPES: Scopes = Scopes::new(&["reports.read", "reports.publish"]);
        let granted = SCOPES.parse("read,reports.publish").unwrap();
        assert!(granted.contains(SCOPES.by_name("reports.publish").unwrap()) && !granted.contains(Permissions::WRITE));
        assert!(SCOPES.names(granted).eq(["read", "reports.publish"]));
        assert!(SCOPES.parse("reports").is_err() && Permissions::parse("root").is_err());
        assert_eq!(Permissions::from_bits(1 << 31), None);

        assert_eq!(Policy { iterations: 1, ..Policy::DEFAULT }.validate().unwrap_err().field, "iterations");
        let mut buffer = [0; 64];
        assert_eq!(Policy::DEFAULT.admit_command("uname -a", &mut buffer).unwrap().program(), "uname");
        assert!(Policy::DEFAULT.admit_command("rm -rf /", &mut buffer).is_err());
    }

    /// Machines: time.
    #[test]
    fn wall_time_is_told_once_and_goes_forward_on_every_target() {
        use daur_core::time::wall::{Config, SetError, Wall};
        let mut wall = Wall::new(Config::DEFAULT);
        let (at, told) = (Instant::from_millis, UnixTime::from_millis(1_800_000_000_123));
        assert_eq!(wall.unix(at(5)), None);
        assert!(matches!(wall.set(UnixTime::from_secs(1_800_000), at(5)), Err(SetError::TooEarly { .. })));
        assert_eq!(wall.set(told, at(1_000)), Ok(told));
        let later = UnixTime::from_millis(told.as_millis() + 2_500);
        assert_eq!([wall.unix(at(3_500)), wall.unix(at(10))], [Some(later); 2]);
        assert_eq!(wall.set(told, at(3_500)), Err(SetError::Behind { unix: later }));
        assert!(wall.unix(Instant::MAX) > Some(later));
    }
}
