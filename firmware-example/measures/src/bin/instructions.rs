//! Counts the instructions of the machines' hot paths in an emulator that counts them.
//!
//! Under `-icount shift=S` an instruction takes 2^S ns of the emulator's time, and SysTick counts that
//! time at the board's clock. So instructions = ticks * (1000 / MHz) / 2^S, and they come out the same
//! in every run. They are instructions, not cycles.
#![no_std]
#![no_main]

#[path = "instructions/rest.rs"]
mod rest;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use daur_core::id::{BootId, DeviceId};
use daur_core::monitoring::errors::{self, Errors};
use daur_core::monitoring::histogram::{self, Auto, Cells, Dense, Full, Histogram};
use daur_core::monitoring::log::{self, Level, Log};
use daur_core::monitoring::metrics::{self, Collector, Counter, Gauge, IsrCounter, Stats, Tally};
use daur_core::monitoring::profiler::{self, Profiler};
use daur_core::monitoring::report::Report;
use daur_core::monitoring::system::{self, Field, Idle, Sample, System};
use daur_core::performance::balancer::{
    self, Balancer, Latency, LeastLoaded, Outcome, PeakEwma, Policy, RoundRobin, Weighted,
};
use daur_core::performance::batch::{self, Batcher};
use daur_core::performance::cache::{self, Cache, Coarse, Fast, Keyed, Lru, Sieve};
use daur_core::performance::memory::{self, Monitor, Resize, Share, Shrink, Shrinkers, Usage, shrinkers};
use daur_core::performance::queue::{self, Priority, Queue};
use daur_core::reliability::breaker::{self, Breaker, CountWindow, Mode, Permit, Span, TimeWindow, Window};
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::bulkhead::{self, Bulkhead, Entry};
use daur_core::reliability::executor::{self, Admit, Executor};
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::reliability::retry::{self, Class, Retry};
use daur_core::reliability::timeout::{self, Timeout};
use daur_core::security::audit::{Chain, Event, MAX_LEN};
use daur_core::security::keys::HmacKey;
use daur_core::security::password::Pbkdf2;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{self, Claims, Keys};
use daur_core::services::analytics::{self, Analytics, Sketch};
use daur_core::services::notify::{Notifications, SubscriberId, matches};
use daur_core::services::result_cache::{Hand, Key, Life, Marks, Ttl};
use daur_core::services::scheduler::{self, Plan, Scheduler};
use daur_core::text::Text;
use daur_core::time::wall::{self, Wall};
use daur_core::time::{Duration, Instant, UnixTime};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::Record;
use daur_measures::{black_box, now};
use semihosting::println;

/// The clock of the emulator's board and the shift of its instructions' time: the build script knows both.
const MHZ: u64 = number(env!("BOARD_MHZ"));
const SHIFT: u64 = number(env!("BOARD_SHIFT"));

const fn number(digits: &str) -> u64 {
    match u64::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("the build script writes digits"),
    }
}

/// Half the timer's 24 bits: what a measurement must stay below.
const LIMIT: u32 = 1 << 23;

/// The timer's ticks while `f` runs.
#[inline(never)]
fn ticks(f: &mut dyn FnMut()) -> u32 {
    let before = SYST::get_current();
    f();
    let after = SYST::get_current();
    before.wrapping_sub(after) & 0x00FF_FFFF
}

/// Prints the instructions of one call of `f` as the `RUNS`-th part of so many, without those of a
/// call that does nothing.
fn measure(name: &str, mut f: impl FnMut()) {
    const RUNS: u32 = 16;
    f(); // the first call may fill what later calls find full
    let empty = ticks(&mut || (0..RUNS).for_each(|_| black_box(())));
    let all = ticks(&mut || (0..RUNS).for_each(|_| f()));
    if all >= LIMIT {
        println!("{name} does not fit the timer");
        return;
    }
    let ticks = u64::from(all.saturating_sub(empty));
    let instructions = ticks * 1_000 / MHZ;
    let instructions = (instructions >> SHIFT).div_ceil(u64::from(RUNS));
    println!("{name} {instructions}");
}

/// [`measure`] without those of `base`, which brings the same arguments and does nothing with them: what remains is the
/// machine's own. Each is called in one place, so that both are inlined.
fn measure_beyond(name: &str, mut base: impl FnMut(), mut f: impl FnMut()) {
    const RUNS: u32 = 16;
    let (mut before, mut all) = (0, 0);
    for _ in 0..2 {
        before = ticks(&mut || (0..RUNS).for_each(|_| base()));
        all = ticks(&mut || (0..RUNS).for_each(|_| f()));
    }
    let ticks = u64::from(all.saturating_sub(before));
    let instructions = (ticks * 1_000 / MHZ) >> SHIFT;
    println!("{name} {}", instructions.div_ceil(u64::from(RUNS)));
}

#[cortex_m_rt::entry]
fn main() -> ! {
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(0x00FF_FFFF);
        core.SYST.clear_current();
        core.SYST.enable_counter();
    }
    reliability();
    performance();
    monitoring();
    security();
    wire();
    notifications();
    results();
    scheduler();
    wall();
    rest::all();
    semihosting::process::exit(0);
}

fn reliability() {
    let mut breaker = Breaker::new(breaker::Config::DEFAULT);
    measure("breaker_acquire_and_success", || {
        if let Ok(permit) = black_box(&mut breaker).try_acquire(now()) {
            black_box(breaker.on_success(permit, now()));
        }
    });
    let mut open = Breaker::new(breaker::Config::DEFAULT);
    open.force_open(now());
    measure("breaker_refusal", || {
        black_box(black_box(&mut open).try_acquire(now()).is_err());
    });
    measure("breaker_try_acquire", || {
        let _ = black_box(black_box(&mut breaker).try_acquire(now()));
    });
    let config = breaker::Config::DEFAULT;
    breaker_reports("breaker_on_success", "breaker_on_failure", breaker);
    let window = Breaker::<CountWindow<4>>::windowed(config, Window::DEFAULT);
    breaker_reports("breaker_window_on_success", "breaker_window_on_failure", window);
    let window = Breaker::<TimeWindow<10>>::time_windowed(config, Span::DEFAULT);
    breaker_reports("breaker_time_on_success", "breaker_time_on_failure", window);
    let mut limiter = Limiter::new(limiter::Config { burst: 1_000, ..limiter::Config::DEFAULT });
    measure("limiter_check", || {
        black_box(black_box(&mut limiter).check(now()).is_ok());
    });
    measure("limiter_check_n", || {
        black_box(black_box(&mut limiter).check_n(black_box(3), now()).is_ok());
    });
    let mut spent = Limiter::new(limiter::Config { burst: 1, ..limiter::Config::DEFAULT });
    measure("limiter_refusal", || {
        black_box(black_box(&mut spent).check(now()).is_ok());
    });
    retry_waits();
    let mut bulkhead = Bulkhead::<4>::new(bulkhead::Config { max_waiting: 4, ..bulkhead::Config::DEFAULT });
    measure("bulkhead_enter_and_release", || {
        if let Ok(Entry::Go(permit)) = black_box(&mut bulkhead).enter(None, now()) {
            black_box(bulkhead.release(permit, now()));
        }
    });
    let mut budget = Budget::new(budget::Config::DEFAULT);
    measure("budget_first_try_and_success", || {
        black_box(&mut budget).on_first_try();
        budget.on_success(black_box(1));
    });
    measure("budget_retry_and_success", || {
        black_box(black_box(&mut budget).try_retry().is_ok());
        budget.on_success(black_box(2));
    });
    let limits = timeout::Config { total: Some(Duration::from_secs(5)), attempt: Some(Duration::from_secs(2)) };
    let mut timeout = Timeout::new(limits, now());
    measure("timeout_attempt_and_poll", || {
        black_box(black_box(&mut timeout).start_attempt(now()).is_ok());
        black_box(timeout.poll(now()).is_ok());
    });
    let mut executor = Executor::new(executor::Config::DEFAULT, 7);
    measure("executor_run_of_one_success", || {
        let executor = black_box(&mut executor);
        let mut run = executor.start(now());
        if let Admit::Go { permit, .. } = executor.admit(&mut run, now()) {
            executor.on_success(&mut run, permit, now());
        }
        black_box(run.finish::<u32, u32>(Ok(1), None, now()).attempts);
    });
}

/// The report of a success and of a failure, without admission: what each costs with this mode.
fn breaker_reports<M: Mode>(success: &str, failure: &str, mut breaker: Breaker<M>) {
    measure(success, || {
        black_box(black_box(&mut breaker).on_success(Permit::of_generation(black_box(0)), now()));
    });
    // It counts failures as a closed one does, and never opens.
    breaker.metrics_only(now());
    let generation = breaker.fast().generation;
    measure(failure, || {
        black_box(black_box(&mut breaker).on_failure(Permit::of_generation(black_box(generation)), now()));
    });
}

fn retry_waits() {
    let forever = retry::Config { max_attempts: retry::Attempts::Forever, ..retry::Config::DEFAULT };
    let mut retry = Retry::new(forever, 7, Instant::ZERO);
    measure("retry_next_wait", || {
        let _ = black_box(black_box(&mut retry).on_failure(Class::Transient, now()));
    });
    let plain = retry::Config { strategy: retry::Strategy::Constant, jitter: retry::Jitter::None, ..forever };
    let mut retry = Retry::new(plain, 7, Instant::ZERO);
    measure("retry_next_wait_constant", || {
        let _ = black_box(black_box(&mut retry).on_failure(Class::Transient, now()));
    });
}

fn performance() {
    let config = cache::Config { ttl: Some(Duration::from_secs(60)), ..cache::Config::DEFAULT };
    let mut cache: Cache<u32, u32, 32, Lru<u8>> = Cache::new(config);
    for key in 0..32 {
        cache.insert(key, key, now());
    }
    measure("cache_hit", || {
        black_box(black_box(&mut cache).get(&black_box(7), now()));
    });
    measure("cache_miss", || {
        black_box(black_box(&mut cache).get(&black_box(1_000), now()));
    });
    let mut key = 100;
    measure("cache_insert_with_eviction", || {
        key += 1;
        black_box(black_box(&mut cache).insert(key, key, now()));
    });
    cache_caches();
    let mut queue: Queue<fn(), 16> = Queue::new(queue::Config::DEFAULT);
    measure("queue_push_and_pop", || {
        let _ = black_box(&mut queue).try_push(black_box(|| ()), black_box(Priority::Normal), now());
        black_box(queue.pop(now()));
    });
    balancers();
    batches();
}

fn balancers() {
    balancer_pick("balancer_least_loaded_pick_and_done", LeastLoaded::new(7));
    balancer_pick("balancer_round_robin_pick_and_done", RoundRobin::new());
    balancer_pick("balancer_weighted_pick_and_done", Weighted::new());
    balancer_pick("balancer_ewma_pick_and_done", PeakEwma::new(Latency::DEFAULT, 7));
}

/// With four workers.
fn balancer_pick<P: Policy>(name: &str, policy: P) {
    let mut balancer: Balancer<4, P> = Balancer::new(balancer::Config::DEFAULT, policy);
    measure(name, || {
        if let Ok(ticket) = black_box(&mut balancer).pick(now()) {
            black_box(balancer.done(ticket, black_box(Outcome::Success), now()));
        }
    });
}

fn batches() {
    // Rare enough that no batch is complete while it is measured.
    let mut batcher: Batcher<u32, 64> = Batcher::new(batch::Config::DEFAULT);
    measure("batch_push", || {
        if let Ok(Some(batch)) = black_box(&mut batcher).push(black_box(7), now()) {
            black_box(&batch);
        }
    });
    let mut single: Batcher<u32, 4> = Batcher::new(batch::Config::DEFAULT);
    measure("batch_push_and_flush", || {
        let _ = black_box(&mut single).push(black_box(7), now());
        if let Some(batch) = single.flush() {
            black_box(&batch);
        }
    });
    memory();
    memoize();
}

/// A call that is answered: the critical section and the cache's hit.
fn memoize() {
    #[daur_core::memoize(maxsize = 32)]
    fn calibration(channel: u32) -> u32 {
        black_box(channel)
    }

    black_box(calibration(7));
    measure("memoize_hit", || {
        black_box(calibration(black_box(7)));
    });
}

fn memory() {
    let mut monitor = Monitor::new(memory::Config::DEFAULT);
    measure("memory_update", || {
        black_box(black_box(&mut monitor).update(black_box(Usage::new(850, 1_000)), now()));
    });
    let cache = Resize(|keep: Share| keep.of(64) as u64);
    let mut shrinkers: Shrinkers<&dyn Shrink, 4> = Shrinkers::new(shrinkers::Config::DEFAULT);
    let _ = shrinkers.add("cache", 0, &cache);
    measure("memory_nobody_to_ask", || {
        black_box(black_box(&mut shrinkers).run(&monitor, now()));
    });
    measure("memory_ask_one", || {
        let shrinkers = black_box(&mut shrinkers);
        shrinkers.demand(memory::Level::Elevated);
        black_box(shrinkers.run(&monitor, now()));
    });
}

fn cache_caches() {
    let config = cache::Config { ttl: Some(Duration::from_secs(60)), ..cache::Config::DEFAULT };
    let mut sieve: Cache<u32, u32, 32, Sieve<u8>> = Cache::new(config);
    cache_of("cache_sieve_hit", "cache_sieve_insert_with_eviction", |key, inserts| match inserts {
        true => _ = black_box(black_box(&mut sieve).insert(key, key, now())),
        false => _ = black_box(black_box(&mut sieve).get(&key, now())),
    });
    let mut coarse: Cache<u32, u32, 32, Lru<u8>, Fast, Coarse> = Cache::new(config);
    cache_of("cache_coarse_hit", "cache_coarse_insert_with_eviction", |key, inserts| match inserts {
        true => _ = black_box(black_box(&mut coarse).insert(key, key, now())),
        false => _ = black_box(black_box(&mut coarse).get(&key, now())),
    });
    let mut keyed: Cache<u32, u32, 32, Lru<u8>, Keyed> = Cache::with_hasher(config, Keyed::new(black_box([7; 16])));
    cache_of("cache_keyed_hit", "cache_keyed_insert_with_eviction", |key, inserts| match inserts {
        true => _ = black_box(black_box(&mut keyed).insert(key, key, now())),
        false => _ = black_box(black_box(&mut keyed).get(&key, now())),
    });
}

/// A hit and an insertion into a full cache.
fn cache_of(hit: &str, insert: &str, mut verb: impl FnMut(u32, bool)) {
    for key in 0..32 {
        verb(key, true);
    }
    measure(hit, || verb(black_box(7), false));
    let mut key = 100;
    measure(insert, || {
        key += 1;
        verb(black_box(key), true);
    });
}

/// A record into a histogram, beyond bringing it and the value there.
fn histogram_record<L: Cells>(name: &str, mut histogram: Histogram<L>) {
    let mut nothing = ();
    measure_beyond(
        name,
        || _ = (black_box(&mut nothing), black_box(12_345_u64)),
        || black_box(&mut histogram).record(black_box(12_345)),
    );
}

fn monitoring() {
    histogram_record::<histogram::Window<u32, 64>>("histogram_record_auto", Auto::new());
    #[cfg(target_has_atomic = "32")]
    histogram_record::<Dense<u32, 32>>("histogram_record_full", Full::new());
    #[cfg(not(target_has_atomic = "32"))]
    let _ = Full::new; // 4 KiB and more are too much for this board's stack
    histogram_record::<Dense<u16, 16>>("histogram_record_dense", Histogram::new());
    let mut counter = Counter::new();
    measure("counter_increment", || black_box(&mut counter).increment());
    let counter = IsrCounter::new();
    measure("counter_increment_isr", || black_box(&counter).increment());
    let mut tally = Tally::new();
    measure("tally_record", || black_box(&mut tally).record(black_box(12_345)));
    let mut gauge = Gauge::new();
    measure("gauge_set", || black_box(&mut gauge).set(black_box(21)));
    let mut stats = Stats::new(7_i32, now());
    measure("stats_record", || black_box(&mut stats).record(black_box(12), now()));
    let mut metrics: Collector<&'static str, 4, 4, i32> = Collector::new(metrics::Config::DEFAULT);
    measure("collector_add", || _ = black_box(black_box(&mut metrics).add(black_box("reads"), black_box(1), now())));
    const { assert!(size_of::<Counter>() <= 8 && size_of::<Tally>() <= 24) };
    traces();
    log();
    analytics();
    errors();
    profiler();
    system();
}

#[inline(never)]
fn analytics() {
    let mut analytics: Analytics<4, 4, 2, 64> = Analytics::new(analytics::Config::DEFAULT);
    measure("analytics_event_with_a_user", || {
        black_box(&mut analytics).track_event(black_box("open"), black_box(&[("user", "alice")]), now());
    });
    measure("analytics_metric", || {
        let _ = black_box(black_box(&mut analytics).track_metric(black_box("items"), black_box(7), now()));
    });
    let mut users: Sketch<64> = Sketch::new();
    measure("sketch_insert", || {
        black_box(black_box(&mut users).insert(black_box(b"alice")));
    });
    measure("sketch_estimate", || {
        black_box(black_box(&users).estimate());
    });
    let report = Report { breakers_open: 2, errors_recent: 3, ..Report::default() };
    measure("report_verdict", || {
        black_box(black_box(&report).verdict());
    });
}

fn log() {
    let mut log: Log<8> = Log::new(log::Config::DEFAULT);
    let mut line = 0_usize;
    measure("log_record", || {
        line ^= 1;
        let message =
            ["the sensor does not answer", "the sensor is left alone  "].get(line).copied().unwrap_or_default();
        let _ = black_box(black_box(&mut log).record(Level::Warn, "sensor", black_box(message), now()));
    });
    measure("log_repeated", || {
        let _ = black_box(black_box(&mut log).record(Level::Warn, "sensor", black_box("the same again"), now()));
    });
    measure("log_filtered", || {
        let _ = black_box(black_box(&mut log).record(Level::Trace, "sensor", black_box("left out"), now()));
    });
}

#[inline(never)]
fn traces() {
    use daur_core::monitoring::trace::{Answer, Config, Input, Trace};
    // Full of them, so that each record drops one.
    let limiter = Limiter::new(limiter::Config::DEFAULT);
    let mut trace: Trace<256> = Trace::new(Config::DEFAULT);
    let record = |every: &str, trace: &mut Trace<256>| {
        let mut step = 1_000_000_000;
        measure(every, || {
            step += 1_000_000;
            let input = black_box(Input::Check { n: 1 });
            black_box(&mut *trace).record(0, &input, &Answer::Done, &limiter, Instant::from_nanos(black_box(step)));
        });
    };
    for _ in 0..20 {
        trace.record(0, &Input::Check { n: 1 }, &Answer::Done, &limiter, now());
    }
    record("trace_record_checked", &mut trace);
    record("trace_record", &mut Trace::new(Config { every: u16::MAX, ..Config::DEFAULT }));
}

#[inline(never)]
fn errors() {
    let mut errors: Errors<8, 4> = Errors::new(errors::Config::DEFAULT);
    for kind in ["i2c", "flash", "uart", "adc", "radio", "clock", "stack", "sensor"] {
        errors.record(kind, "no acknowledge", now());
    }
    measure("errors_record_first_of_8", || {
        black_box(&mut errors).record(black_box("i2c"), black_box("no acknowledge"), now());
    });
    measure("errors_record_last_of_8", || {
        black_box(&mut errors).record(black_box("sensor"), black_box("no acknowledge"), now());
    });
    // Each takes the place of the other, since both are the rarest then.
    let mut new = false;
    measure("errors_record_new_of_8", || {
        new = !new;
        black_box(&mut errors).record(black_box(if new { "one" } else { "two" }), black_box("no acknowledge"), now());
    });
}

#[inline(never)]
fn profiler() {
    let mut profiler: Profiler<2, 2, daur_core::monitoring::histogram::Window<u32, 32>> = Profiler::new();
    let mut took = 0;
    measure("profiler_span", || {
        let span = black_box(&mut profiler).start(black_box("read"), now());
        took += 1_000;
        black_box(&mut profiler).finish(span, profiler::Outcome::Success, now() + Duration::from_nanos(took));
    });
}

#[inline(never)]
fn system() {
    let config = system::Config { trend_every: Duration::ZERO, ..system::Config::DEFAULT };
    let mut system: System<4> = System::new(config);
    let mut second = 0;
    measure("system_update_of_3", || {
        second += 1;
        let sample = Sample {
            idle_permille: Some(black_box(400)),
            stack_high_water: Some(black_box(900)),
            stack_size: Some(black_box(1_024)),
            temperature_mc: Some(black_box(41_500)),
            ..Sample::EMPTY
        };
        black_box(black_box(&mut system).update(&sample, Instant::from_secs(second)));
    });
    measure("system_trend_of_4", || _ = black_box(black_box(&system).per_hour(Field::Temperature)));
    let mut idle = Idle::new(now());
    measure("idle_sleep_and_wake", || {
        black_box(&mut idle).sleep(now());
        black_box(&mut idle).wake(now());
    });
}

fn security() {
    let Ok(device) = DeviceId::new("node-1") else { return };
    let Ok(keys) = Keys::<1>::new(token::Config::command(&device), None, &[7; 32]) else { return };
    let claims = Claims::command(&device, 9, 1, Text::cut("alice"), Permissions::WRITE, Text::cut("set-interval 500"));
    let mut buffer = [0; 384];
    measure("token_sign", || {
        black_box(keys.sign(black_box(&claims), &mut buffer).is_ok());
    });
    let Ok(text) = keys.sign(&claims, &mut buffer) else { return };
    measure("token_verify", || {
        black_box(keys.verify(black_box(text), None).is_ok());
    });
    // What the two are to be compared with: one HMAC of the same bytes, its key absorbed as usual.
    let signed = text.len() - 44;
    measure("hmac_of_the_token", || {
        let key = HmacKey::new(black_box(&[7; 32]));
        black_box(key.tag(&[text.as_bytes().get(..signed).unwrap_or_default()]));
    });
    audit(device);
    if let Ok(mut derivation) = Pbkdf2::new(b"correct horse", &[7; 16], 1_000) {
        measure("pbkdf2_iteration", || {
            black_box(black_box(&mut derivation).step(1));
        });
    }
}

fn audit(device: DeviceId) {
    let mut chain = Chain::new(device, BootId(1), [7; 32]);
    let event = Event::command("alice", "set-interval 500", true);
    measure("audit_append", || {
        black_box(black_box(&mut chain).append(black_box(&event), now(), None));
    });
    let entry = chain.append(&event, now(), None);
    let mut buffer = [0; MAX_LEN];
    measure("audit_encode", || {
        black_box(black_box(&entry).encode(&mut buffer));
    });
}

fn wire() {
    let mut outbox: Outbox<1024> = Outbox::new(outbox::Config { resend_after: None });
    let record = Record::Counter { name: Text::cut("reads"), total: 123_456 };
    let mut line = [0; 64];
    let mut sent = 0;
    measure("outbox_push_and_read", || {
        let _ = black_box(&mut outbox).push(black_box(&record), now());
        sent = outbox.read(&mut line, now());
    });
    let mut decoder: Decoder<64> = Decoder::new();
    measure("decoder_frame", || {
        let mut input = line.get(..sent).unwrap_or_default();
        black_box(black_box(&mut decoder).feed(&mut input).is_some());
    });
}

fn notifications() {
    let mut alarms: Notifications<u16, 8, 4> = Notifications::new();
    measure("notify_nobody", || {
        black_box(black_box(&mut alarms).notify(black_box("motor.left.hot"), black_box(81), now()).is_ok());
    });
    let mut subscribers: [Option<SubscriberId>; 4] = [None; 4];
    for (place, pattern) in subscribers.iter_mut().zip(["motor.*.hot", "motor.>", "valve.>", "motor.left.hot"]) {
        *place = alarms.subscribe(pattern).ok();
    }
    measure("notify_to_three_of_four", || {
        black_box(black_box(&mut alarms).notify(black_box("motor.left.hot"), black_box(81), now()).is_ok());
    });
    let Some(first) = subscribers.first().copied().flatten() else { return };
    // Nothing waits for it, or the oldest would make room each time.
    while let Ok(Some(_)) = alarms.try_recv(first) {}
    measure("notify_and_receive", || {
        black_box(black_box(&mut alarms).notify(black_box("motor.left.hot"), black_box(81), now()).is_ok());
        black_box(black_box(&mut alarms).try_recv(black_box(first)).is_ok());
    });
    measure("notify_matches", || {
        black_box(matches(black_box("motor.*.hot"), black_box("motor.left.hot")));
    });
}

fn results() {
    measure("result_key", || {
        black_box(Key::of(black_box(["read", "all"])));
    });
    let now = UnixTime::from_secs(black_box(1_000));
    measure("result_life", || {
        let life: Option<Life> = Ttl::DEFAULT.life(black_box(&[7; 32]), Duration::from_secs(60), now);
        black_box(life.map(|life| life.at(now)));
    });
    let (mut hand, marks) = (Hand::new(), Marks::<64>::new());
    let mut pass = black_box(&mut hand).pass(8);
    measure("result_judge", || {
        black_box(pass.judge(black_box(5), &marks));
    });
}

fn scheduler() {
    let mut tasks: Scheduler<u32, 16> = Scheduler::new(scheduler::Config::DEFAULT);
    for task in 0..15 {
        let _ = tasks.schedule(task, Plan::every(Duration::from_millis(u64::from(task) + 10)), now());
    }
    measure("scheduler_schedule_and_cancel", || {
        if let Ok(id) = black_box(&mut tasks).schedule(99, black_box(Plan::once(Duration::from_millis(5))), now()) {
            let _ = black_box(tasks.cancel(id));
        }
    });
    measure("scheduler_run_and_repeat", || {
        let at = tasks.poll_at().unwrap_or(Instant::ZERO);
        if let Some(due) = black_box(&mut tasks).poll(at) {
            black_box(due.task);
            let run = due.run;
            let _ = black_box(tasks.finish(run, scheduler::Outcome::Done, at));
        }
    });
    measure("scheduler_nothing_due", || {
        black_box(black_box(&mut tasks).poll(Instant::ZERO).is_none());
    });
}

fn wall() {
    let mut wall = Wall::new(wall::Config::DEFAULT);
    let mut unix = wall::Config::DEFAULT.earliest.as_millis();
    measure("wall_set", || {
        unix += 1_000;
        black_box(black_box(&mut wall).set(black_box(UnixTime::from_millis(unix)), now()).is_ok());
    });
    measure("wall_unix", || {
        black_box(black_box(&mut wall).unix(now()));
    });
}
