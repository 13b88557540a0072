//! The core machines on the target: what the host tests prove in full is shown here to hold on a
//! 32-bit processor, in the profile that ships, a few asserts each. Every test starts from a reset.
#![no_std]
#![no_main]

use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use core::fmt::Write;

    use daur_core::hal::blocking;
    use daur_core::id::DeviceId;
    use daur_core::monitoring::histogram::{Auto, Quantile};
    use daur_core::monitoring::system::{self, Field, Idle, Sample, System, Trend};
    use daur_core::performance::balancer::{self, Balancer, Latency, Outcome, PeakEwma};
    use daur_core::performance::batch::{self, Batcher, Cause as Complete};
    use daur_core::performance::cache::{self, Cache, Lru};
    use daur_core::performance::memory::{self, Level, Monitor, Resize, Share, Shrink, Shrinkers, Usage, shrinkers};
    use daur_core::performance::queue::{self, Priority, Queue};
    use daur_core::reliability::breaker::{self, Breaker, Event, State};
    use daur_core::reliability::executor::{self, Cause, Executor, Failure};
    use daur_core::reliability::retry::{self, Attempts, Class, Decision, Jitter, Reason, Retry};
    use daur_core::security::keys::{HmacKey, Kid, Role, derive_device_key};
    use daur_core::security::password::{self, Pbkdf2};
    use daur_core::security::permission::Permissions;
    use daur_core::security::token::{self, Claims, Gate, Keys};
    use daur_core::shared::{CsShared, Shared};
    use daur_core::text::Text;
    use daur_core::time::{Clock, Duration, Instant, UnixTime};
    use daur_core::wire::decoder::Decoder;
    use daur_core::wire::frame::{Frame, MAX_PAYLOAD};
    use daur_core::wire::outbox::{self, Outbox};
    use daur_core::wire::record::Record;
    use daur_firmware::clock::{self, Delay, Timer};
    use daur_firmware::config;

    #[init]
    fn init() {
        // Once per reset, and there is one reset per test.
        let mut core = cortex_m::Peripherals::take().unwrap();
        clock::start(&mut core.SYST);
    }

    #[test]
    fn breaker_opens_refuses_until_its_time_probes_and_closes() {
        let mut breaker = Breaker::new(breaker::Config { failures: 3, ..breaker::Config::DEFAULT });
        let now = Instant::from_secs(5);
        for _ in 0..3 {
            let permit = breaker.try_acquire(now).unwrap();
            breaker.on_failure(permit, now);
        }
        let refused = breaker.try_acquire(now).unwrap_err();
        assert_eq!(refused.retry_at, Instant::from_secs(65));
        let just_before = Instant::from_nanos(refused.retry_at.as_nanos() - 1);
        assert!(breaker.try_acquire(just_before).is_err());
        let probe = breaker.try_acquire(refused.retry_at).unwrap();
        assert_eq!(breaker.on_success(probe, refused.retry_at), Some(Event::Closed));
        assert_eq!(breaker.state(), State::Closed);
    }

    #[test]
    fn retry_doubles_its_wait_and_stops_at_its_last_attempt() {
        let config = retry::Config {
            max_attempts: Attempts::Limited(4),
            initial_delay: Duration::from_millis(100),
            jitter: Jitter::None,
            ..retry::Config::DEFAULT
        };
        let mut retry = Retry::new(config, 1, Instant::ZERO);
        for millis in [100, 200, 400] {
            let after = Duration::from_millis(millis);
            assert_eq!(retry.on_failure(Class::Transient, Instant::ZERO), Decision::Retry { after });
        }
        assert_eq!(retry.on_failure(Class::Transient, Instant::ZERO), Decision::Stop { reason: Reason::Exhausted });
    }

    #[test]
    fn executor_retries_on_the_real_clock_then_leaves_the_broken_alone() {
        static SENSOR: CsShared<Executor, Timer> = CsShared::new(Executor::new(config::SENSOR, 7), Timer);
        let mut calls = 0;
        let execution = blocking::execute(
            &SENSOR,
            &mut Delay,
            |()| Class::Transient,
            || {
                calls += 1;
                if calls < 3 { Err(()) } else { Ok(calls) }
            },
        );
        assert_eq!((execution.result, execution.attempts), (Ok(3), 3));

        let fail = || blocking::execute(&SENSOR, &mut Delay, |()| Class::Transient, || Err::<(), ()>(()));
        let first = fail();
        assert_eq!(first.result, Err(Failure::Error(())));
        let second = fail();
        assert!(matches!(second.result, Err(Failure::Open { .. })));
        assert!(matches!(second.cause, Some(Cause::Open { .. })));
        assert_eq!((second.attempts, second.refused_by_breaker), (0, 1));
    }

    #[test]
    fn executor_config_of_the_node_is_valid() {
        assert_eq!(config::SENSOR.validate(), Ok(()));
        assert_eq!(executor::Config::DEFAULT.validate(), Ok(()));
    }

    #[test]
    fn cache_evicts_the_least_recently_used_and_expires() {
        let mut cache: Cache<u32, u32, 4, Lru<u8>> =
            Cache::new(cache::Config { ttl: Some(Duration::from_secs(1)), ..cache::Config::DEFAULT });
        let now = Instant::from_secs(1);
        for key in 0..4 {
            cache.insert(key, key * 10, now);
        }
        assert_eq!(cache.get(&0, now), Some(&0));
        cache.insert(4, 40, now); // 1 is the oldest since 0 was read
        let mut found = |key: u32| cache.get(&key, now).copied();
        assert_eq!((found(0), found(1), found(4)), (Some(0), None, Some(40)));
        assert_eq!(cache.get(&0, now + Duration::from_secs(1)), None);
        assert!(cache.snapshot().evicted == 1 && cache.capacity() == 4);
    }

    #[test]
    fn token_of_the_host_is_admitted_once_and_no_changed_bit_is() {
        let device = DeviceId::new(config::DEVICE).unwrap();
        let keys: Keys<1> = Keys::new(token::Config::command(&device), None, &config::DEVICE_KEY).unwrap();
        let text = Text::new("set-interval 500").unwrap();
        let claims = Claims::command(&device, 9, 1, Text::cut("alice"), Permissions::WRITE, text);
        let mut buffer = [0; 512];
        let signed = keys.sign(&claims, &mut buffer).unwrap();

        let mut gate = Gate::new(9);
        let verified = keys.verify(signed, None).unwrap();
        assert_eq!(gate.admit(&verified, Permissions::WRITE), Ok(text));
        assert_eq!(gate.admit(&verified, Permissions::WRITE), Err(token::Error::Replayed));

        let mut changed = [0; 512];
        let changed = &mut changed[..signed.len()];
        for at in (0..signed.len()).step_by(7) {
            changed.copy_from_slice(signed.as_bytes());
            changed[at] ^= 1;
            assert!(core::str::from_utf8(changed).is_ok_and(|changed| keys.verify(changed, None).is_err()));
        }
    }

    /// The lines that the host's tests run too: `tests/it/security/token/attacks.rs` says what each is made from.
    #[test]
    fn token_attacks_get_the_verdicts_that_they_get_on_the_host() {
        let mut keys: Keys<2> = Keys::new(token::Config::DEFAULT, None, b"the key without a name: 32 bytes").unwrap();
        keys.add(Kid::new("two").ok(), b"the key that has the name `two`!", Role::VerifyOnly).unwrap();
        let now = Some(UnixTime::from_secs(1_800_000_000));
        let (mut accepted, mut refused, mut slowest) = (0, 0, Duration::ZERO);
        for line in include_str!("../../tests/golden/tokens.txt").lines().filter(|line| !line.starts_with('#')) {
            let (name, rest) = line.split_once(' ').unwrap();
            let (verdict, token) = rest.split_once(' ').unwrap();
            let mut got: Text<16> = Text::EMPTY;
            let begun = Timer.now();
            let result = keys.verify(token, now);
            slowest = slowest.max(Timer.now() - begun);
            match result {
                Ok(_) => got.push("Ok"),
                Err(why) => write!(got, "{why:?}").is_ok(),
            };
            assert_eq!(got.as_str(), verdict, "{name}");
            *(if verdict == "Ok" { &mut accepted } else { &mut refused }) += 1;
        }
        assert!(accepted >= 10 && refused >= 120);
        // In bounded time: QEMU counts 125 instructions to the microsecond, so this is not a matter of luck.
        assert!(slowest < Duration::from_millis(5), "{} us", slowest.as_micros());
        // As long as fits beside it: refused unread.
        static LONG: [u8; 256 * 1_024] = [b'A'; 256 * 1_024];
        assert_eq!(keys.verify(core::str::from_utf8(&LONG).unwrap(), now), Err(token::Error::TooLong));
    }

    #[test]
    fn token_key_in_the_image_is_the_one_the_host_derives() {
        let device = DeviceId::new(config::DEVICE).unwrap();
        let text = include_str!("../demo-fleet.key").trim_ascii();
        let fleet_key: [u8; 32] =
            core::array::from_fn(|byte| u8::from_str_radix(&text[byte * 2..byte * 2 + 2], 16).unwrap());
        assert_eq!(derive_device_key(&fleet_key, &device), config::DEVICE_KEY);
    }

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_gives_the_tag_of_rfc_4231() {
        let tag = HmacKey::new(b"Jefe").tag(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(tag[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_eq!(tag[24..], [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43]);
    }

    #[test]
    fn password_is_derived_in_steps_and_verifies() {
        let mut whole = Pbkdf2::new(b"correct horse", &[7; 16], 1_000).unwrap();
        let mut steps = Pbkdf2::new(b"correct horse", &[7; 16], 1_000).unwrap();
        let expected = whole.step(1_000).unwrap();
        let mut derived = None;
        while derived.is_none() {
            derived = steps.step(300);
        }
        assert_eq!(derived, Some(expected));

        let stored = password::hash("correct horse", &[7; 16], 1_000).unwrap();
        assert_eq!(password::verify("correct horse", stored.as_str()), Ok(true));
        assert_eq!(password::verify("wrong horse", stored.as_str()), Ok(false));
    }

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

    #[test]
    fn queue_takes_the_urgent_job_first_and_passes_nobody_over_for_ever() {
        let mut queue: Queue<fn() -> u32, 4> = Queue::new(queue::Config { max_passed: 2 });
        let now = Instant::from_secs(1);
        queue.try_push(|| 1, Priority::Low, now).unwrap();
        for _ in 0..3 {
            queue.try_push(|| 2, Priority::High, now).unwrap();
        }
        assert!(queue.try_push(|| 3, Priority::High, now).is_err());
        let later = Instant::from_secs(3);
        let mut done = [0; 4];
        for place in &mut done {
            *place = queue.pop(later).unwrap()();
        }
        assert_eq!(done, [2, 2, 1, 2]);
        assert_eq!(queue.snapshot().wait_mean(), Some(Duration::from_secs(2)));
    }

    /// The same trace of latencies as on a host: the same workers, estimates to the nanosecond, the same ejection.
    #[test]
    fn balancer_picks_as_on_a_host_and_takes_lost_tickets_back() {
        let config = balancer::Config { lease: Duration::from_secs(30), ..balancer::Config::DEFAULT };
        let latency = Latency { half_life: Duration::from_millis(100), ..Latency::DEFAULT };
        let mut balancer: Balancer<3, PeakEwma> = Balancer::new(config, PeakEwma::new(latency, 7));
        let mut now = Instant::from_secs(1);
        let mut turns = [0; 3];
        for _ in 0..200 {
            let ticket = balancer.pick(now).unwrap();
            let worker = ticket.worker();
            turns[worker] += 1;
            now += Duration::from_millis([9, 3, 30][worker]);
            balancer.done(ticket, Outcome::Success, now);
        }
        assert_eq!(turns.iter().sum::<u32>(), 200);
        assert!(turns[1] > turns[0] && turns[0] > turns[2], "{:?}", turns);
        for _ in 0..5 {
            let ticket = balancer.pick_where(|worker| worker == 1, now).unwrap();
            balancer.done(ticket, Outcome::Failure, now);
        }
        assert_eq!(balancer.poll_at(), Some(now + Duration::from_secs(30)));
        assert_ne!(balancer.pick(now).unwrap().worker(), 1); // dropped: lost
        assert_eq!(balancer.loads().iter().sum::<u32>(), 1);
        now += Duration::from_secs(40);
        assert_eq!(balancer.poll(now), 1);
        assert_eq!((balancer.loads(), balancer.snapshot().ejected), ([0; 3], 0));
    }

    #[test]
    fn batch_goes_by_count_by_bytes_and_at_its_time() {
        let config = batch::Config { max_items: Some(3), max_bytes: Some(100), ..batch::Config::DEFAULT };
        let mut batcher: Batcher<u32, 4> = Batcher::new(config);
        let now = Instant::from_secs(1);
        assert_eq!(batcher.push(1, now).unwrap(), None);
        assert_eq!(batcher.push(2, now).unwrap(), None);
        assert_eq!(batcher.push(3, now).unwrap().unwrap().into_iter().sum::<u32>(), 6);
        assert_eq!(batcher.push_sized(4, 60, now).unwrap(), None);
        let ahead = batcher.push_sized(5, 60, now).unwrap().unwrap();
        assert_eq!((ahead.len(), ahead.cause()), (1, Complete::Bytes));
        assert!(batcher.push_sized(6, 101, now).is_err());
        let due = Instant::from_secs(2);
        assert_eq!(batcher.poll_at(), Some(due));
        assert!(batcher.poll(Instant::from_nanos(due.as_nanos() - 1)).is_none());
        assert_eq!(batcher.poll(due).unwrap().iter().copied().sum::<u32>(), 5);
    }

    #[test]
    fn a_memoized_function_answers_from_its_cache_until_the_ttl() {
        static CALLS: critical_section::Mutex<core::cell::Cell<u32>> =
            critical_section::Mutex::new(core::cell::Cell::new(0));

        fn calls(more: u32) -> u32 {
            critical_section::with(|cs| {
                let calls = CALLS.borrow(cs);
                calls.set(calls.get() + more);
                calls.get()
            })
        }

        #[daur_core::memoize(maxsize = 4, ttl = "10ms", time = Timer)]
        fn calibration(channel: u8) -> Result<u32, u8> {
            calls(1);
            if channel == 9 { Err(channel) } else { Ok(u32::from(channel) * 3) }
        }

        assert_eq!((calibration(1), calibration(1), calls(0)), (Ok(3), Ok(3), 1));
        assert_eq!((calibration(9), calibration(9), calls(0)), (Err(9), Err(9), 3));
        let end = Timer.now() + Duration::from_millis(10);
        while Timer.now() < end {}
        assert_eq!((calibration(1), calls(0)), (Ok(3), 4));
        let stats = calibration_memo().with(|cache, _| cache.snapshot());
        assert_eq!((stats.hits, stats.misses, stats.expired), (1, 4, 1));

        #[daur_core::memoize(maxsize = 64)]
        fn fib(n: u64) -> u64 {
            if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
        }

        assert_eq!(fib(60), 1_548_008_755_920);
    }

    #[test]
    fn memory_that_is_short_shrinks_a_cache_which_grows_back() {
        static CACHE: CsShared<Cache<u32, u32, 8>, Timer> = CsShared::new(Cache::new(cache::Config::DEFAULT), Timer);
        static SHRINK: Resize<fn(Share) -> u64> =
            Resize(|keep| CACHE.with(|cache, _| cache.resize_soft(keep.of(8)) as u64 * 20));
        for key in 0..8 {
            CACHE.with(|cache, now| cache.insert(key, key, now));
        }
        let mut monitor = Monitor::new(memory::Config::DEFAULT);
        let mut shrinkers: Shrinkers<&'static (dyn Shrink + Sync), 2> = Shrinkers::new(shrinkers::Config::DEFAULT);
        shrinkers.add("cache", 0, &SHRINK).unwrap();
        // A pool of 48-byte messages, of which 7 of 8 are taken.
        let now = Instant::from_secs(3);
        monitor.update(Usage::of_places::<[u8; 48]>(7, 8), now);
        assert_eq!(monitor.level(), Level::Elevated);
        assert_eq!(shrinkers.run(&monitor, now), 4 * 20);
        assert_eq!(CACHE.with(|cache, _| cache.len()), 4);

        let mut levels = 0;
        for second in 4..200 {
            let now = Instant::from_secs(second);
            levels += usize::from(monitor.update(Usage::of_places::<[u8; 48]>(2, 8), now).is_some());
            shrinkers.run(&monitor, now);
        }
        assert_eq!((levels, monitor.level()), (1, Level::Normal));
        assert_eq!(CACHE.with(|cache, _| cache.capacity()), 8);
    }

    #[test]
    fn sieve_spares_what_was_used_and_coarse_moments_are_never_early() {
        use daur_core::performance::cache::{Coarse, Fast, Idle, Sieve};
        const TICK: Duration = Duration::from_nanos(1 << 20);
        let ttl = Duration::from_secs(1);
        let config = cache::Config { ttl: Some(ttl), idle: Some(Duration::from_millis(500)) };
        let mut cache: Cache<u32, u32, 4, Sieve<u8>, Fast, Idle<Coarse>> = Cache::new(config);
        let now = Instant::from_secs(1);
        for key in 0..4 {
            cache.insert(key, key * 10, now);
        }
        assert_eq!(cache.get(&0, now), Some(&0));
        assert_eq!(cache.insert(4, 40, now), cache::Inserted::Evicted(1, 10));
        assert_eq!(cache.pop(), Some((2, 20)));
        let idle_end = now + Duration::from_millis(500);
        assert_eq!(cache.get(&0, idle_end - Duration::from_nanos(1)), Some(&0));
        assert_eq!(cache.peek(&3, idle_end + TICK), None); // idle
        assert_eq!(cache.peek(&0, now + ttl - Duration::from_millis(2)), Some(&0));
        assert_eq!(cache.get(&0, now + ttl + TICK), None); // used, but its ttl is over
        cache.poll(Instant::from_secs(1 << 33)); // past the wrap of the ticks
        assert_eq!((cache.len(), cache.snapshot().expired), (0, 3));
    }

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
    #[test]
    fn notifications_reach_who_subscribed_and_lag_is_told_exactly() {
        use daur_core::services::notify::{NotSubscribed, Notifications, Received, TopicError, matches};
        assert!(matches("motor.*.hot", "motor.left.hot") && matches(">", "motor") && !matches("motor.>", "motor"));
        let mut alarms: Notifications<u16, 4, 2> = Notifications::new();
        let slow = alarms.subscribe("motor.>").unwrap();
        for payload in 0..10 {
            assert_eq!(alarms.notify("motor.left", payload, Instant::from_secs(1)).unwrap().subscribers, 1);
        }
        assert_eq!(alarms.try_recv(slow), Ok(Some(Received::Lagged(6))));
        for expected in 6..10 {
            let Ok(Some(Received::Notification(alarm))) = alarms.try_recv(slow) else { panic!("one waits") };
            assert_eq!((alarm.payload, alarm.number), (expected, expected.into()));
        }
        assert_eq!(alarms.try_recv(slow), Ok(None));
        assert_eq!(alarms.notify("motor..left", 7, Instant::ZERO).unwrap_err().error, TopicError::EmptyLevel);
        assert!(alarms.notifications("motor.*", 2).map(|alarm| alarm.payload).eq([8, 9]));
        alarms.unsubscribe(slow).unwrap();
        assert_eq!(alarms.try_recv(slow), Err(NotSubscribed));
        let shown = alarms.snapshot();
        assert_eq!((shown.sent, shown.delivered, shown.lagged, shown.refused, shown.kept), (10, 4, 6, 1, 4));
    }

    #[test]
    fn results_have_the_keys_lives_and_turns_that_they_have_on_a_host() {
        use daur_core::services::result_cache::{Age, Hand, Key, Marks, Ttl, Verdict};
        let key = Key::of(["ls", "-la"]);
        assert_eq!(key.as_bytes()[..4], [0x3c, 0x78, 0x56, 0x5e]);
        let life = Ttl::DEFAULT.life(&key, Duration::from_secs(60), UnixTime::from_secs(100)).unwrap();
        assert_eq!(life.at(UnixTime::from_secs(159)), Age::Fresh(Duration::from_secs(1)));
        assert_eq!(life.at(UnixTime::from_secs(160)), Age::Expired);
        let (mut hand, marks) = (Hand::new(), Marks::<8>::new());
        marks.touch(1);
        let mut pass = hand.pass(4);
        assert_eq!((pass.judge(1, &marks), pass.judge(2, &marks)), (Verdict::Spare, Verdict::Evict));
        assert!(pass.turn());
        assert_eq!(pass.judge(1, &marks), Verdict::Evict);
    }

    #[test]
    fn the_scheduler_keeps_its_times_on_every_target() {
        use daur_core::services::scheduler::{self, Missed, Plan, Scheduler};
        let at = Instant::from_millis;
        let plans =
            [(Missed::Burst(9), [350, 350, 350]), (Missed::Skip, [350, 400, 500]), (Missed::Delay, [350, 450, 550])];
        for (missed, starts) in plans {
            let mut tasks: Scheduler<u8, 2> = Scheduler::new(scheduler::Config::DEFAULT);
            let plan = Plan { missed, ..Plan::every(Duration::from_millis(100)) };
            let id = tasks.schedule(7, plan, at(0)).unwrap();
            let mut now = at(350);
            for start in starts {
                now = now.max(tasks.poll_at().unwrap());
                assert_eq!(now, at(start));
                let due = tasks.poll(now).unwrap();
                assert_eq!(*due.task, 7);
                let run = due.run;
                assert_eq!(tasks.finish(run, scheduler::Outcome::Done, now), Ok(None));
            }
            assert_eq!(tasks.cancel(id), Ok(Some(7)));
            assert_eq!(tasks.cancel(id), Err(scheduler::Error::Ended));
        }
    }

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
