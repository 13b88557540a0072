//! The node's machines through 10,000 inputs, recorded: `daur-host replay` finds the same states on the host.
//!
//! The inputs are chance from a seed, and go as no clock goes: forward, far forward, back. The trace, longer than the
//! memory for it, goes out over the UART as it comes; `.ci/device trace` keeps it and plays it.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use daur_core::id::{BootId, DeviceId};
use daur_core::monitoring::errors::{self, Errors};
use daur_core::monitoring::trace::{self, Answer, Head, Input, Keep, Observe, Setup, Trace, Writer};
use daur_core::performance::cache::{self, Cache, Lru};
use daur_core::reliability::breaker::{self, Breaker, State};
use daur_core::reliability::executor::{self, Admit, Executor, Run};
use daur_core::reliability::health::{self, CheckConfig, CheckId, Health};
use daur_core::reliability::limiter::Limiter;
use daur_core::reliability::retry::Class;
use daur_core::rng::Rng;
use daur_core::text::Text;
use daur_core::time::{Clock, Duration, Instant};
use daur_firmware::clock::{self, Timer};
use daur_firmware::uart::Uart;
use daur_firmware::{board, config};

defmt::timestamp!("{=u64:ms}", Timer.now().as_millis());

/// How many inputs, those counted with which the machines begin.
const INPUTS: u32 = 10_000;
const SEED: u64 = 0x6461_7572;

// The machines' numbers in the trace.
const SENSOR: u8 = 0;
const COMMANDS: u8 = 1;
const REGISTERS: u8 = 2;
const HEALTH: u8 = 3;
const ERRORS: u8 = 4;
const LINE: u8 = 5;

/// How the line to the host is judged, by its own breaker.
const LINE_CONFIG: breaker::Config = breaker::Config { probes: 2, success_threshold: 2, ..config::SENSOR.breaker };
const CACHE_CONFIG: cache::Config = cache::Config { ttl: Some(config::REGISTERS_FOR), ..cache::Config::DEFAULT };

const TRACE: trace::Config = trace::Config { keep: Keep::First, every: 1 };

/// Runs that are under way at the same time.
const RUNS: usize = 3;

struct Rig {
    rng: Rng,
    now: Instant,
    trace: Trace<2048>,
    sensor: Executor,
    runs: [Option<Run>; RUNS],
    permits: [Option<executor::Permit>; RUNS],
    line: Breaker,
    calls: [Option<breaker::Permit>; RUNS],
    commands: Limiter,
    registers: Cache<u32, u32, 8, Lru<u8>>,
    health: Health<2>,
    checks: [Option<CheckId>; 2],
    errors: Errors<4, 2>,
}

#[entry]
fn main() -> ! {
    let Some(mut core) = cortex_m::Peripherals::take() else { board::abort() };
    clock::start(&mut core.SYST);
    let Ok(device) = DeviceId::new(config::DEVICE) else { board::abort() };
    let mut uart = Uart::start();

    let mut rig = Rig {
        rng: Rng::new(SEED),
        now: Instant::from_millis(1),
        trace: Trace::new(TRACE),
        sensor: Executor::new(config::SENSOR, SEED),
        runs: [const { None }; RUNS],
        permits: [const { None }; RUNS],
        line: Breaker::new(LINE_CONFIG),
        calls: [const { None }; RUNS],
        commands: Limiter::new(config::COMMANDS),
        registers: Cache::new(CACHE_CONFIG),
        health: Health::new(health::Config::DEFAULT),
        checks: [None; 2],
        errors: Errors::new(errors::Config::DEFAULT),
    };
    let head = Head { device, boot: BootId(1), every: TRACE.every };
    let mut sent = 0_u32;
    let mut send = |byte| {
        sent += 1;
        uart.write(&[byte]);
    };
    let mut file = Writer::begin(&head, &mut send);
    rig.declare();
    while rig.trace.snapshot().inputs < INPUTS {
        rig.step();
        // What one step keeps always has room.
        if rig.trace.snapshot().used > 1_024 {
            file.drain(&mut rig.trace);
        }
    }
    file.drain(&mut rig.trace);
    file.end(&rig.trace);
    let kept = rig.trace.snapshot();
    defmt::info!("trace: {=u32} inputs, {=u32} dropped, {=u32} bytes", kept.inputs, kept.dropped, sent);
    board::finish()
}

impl Rig {
    /// Says which machines there are.
    fn declare(&mut self) {
        let now = self.now;
        let mut begin = |machine, name, setup| self.trace.declare(machine, Text::cut(name), &setup, now);
        begin(SENSOR, "sensor", Setup::Executor { config: config::SENSOR, seed: SEED });
        begin(COMMANDS, "commands", Setup::Limiter { config: config::COMMANDS });
        begin(REGISTERS, "registers", Setup::Cache { config: CACHE_CONFIG, capacity: 8 });
        begin(HEALTH, "health", Setup::Health { config: health::Config::DEFAULT, checks: 2 });
        begin(ERRORS, "errors", Setup::Errors { config: errors::Config::DEFAULT, kinds: 4, last: 2 });
        begin(LINE, "line", Setup::Breaker { config: LINE_CONFIG });
        for (place, name) in ["sensor", "line"].into_iter().enumerate() {
            let config = CheckConfig { max_age: Some(Duration::from_secs(30)), ..CheckConfig::READINESS };
            let added = self.health.add(name, config);
            if let (Ok(id), Some(check)) = (added, self.checks.get_mut(place)) {
                *check = Some(id);
            }
            let answer = if added.is_ok() { Answer::Done } else { Answer::Missing };
            let input = Input::AddCheck { name: Text::cut(name), config };
            self.trace.record(HEALTH, &input, &answer, &self.health, now);
        }
    }

    fn draw(&mut self, max: u64) -> u64 {
        self.rng.at_most(max)
    }

    /// Some time passes, or all too much, or less than none.
    fn wait(&mut self) {
        match self.draw(40) {
            0 => self.now += Duration::from_secs(self.rng.at_most(40)),
            1 => self.now = Instant::from_nanos(self.now.as_nanos().saturating_sub(self.rng.at_most(3_000_000_000))),
            2..=15 => {}
            _ => self.now += Duration::from_micros(self.rng.at_most(60_000)),
        }
    }

    fn step(&mut self) {
        self.wait();
        match self.draw(15) {
            0..=5 => self.sensor_step(),
            6..=8 => self.line_step(),
            9 => {
                let n = u32::try_from(self.draw(9)).unwrap_or(1);
                let checked = if n == 1 { self.commands.check(self.now) } else { self.commands.check_n(n, self.now) };
                self.trace.record(COMMANDS, &Input::Check { n }, &checked.into(), &self.commands, self.now);
            }
            10..=12 => self.cache_step(),
            13 | 14 => self.health_step(),
            _ => {
                let kind = ["i2c", "crc", "breaker", "timeout", "uart", "flash"].get(self.draw(5) as usize).copied();
                let (kind, message) = (Text::cut(kind.unwrap_or("i2c")), Text::cut("what the sensor said"));
                self.errors.record(kind.as_str(), message.as_str(), self.now);
                self.trace.record(ERRORS, &Input::Error { kind, message }, &Answer::Done, &self.errors, self.now);
            }
        }
    }

    /// Runs begin, go on and end as they like, some in the middle.
    fn sensor_step(&mut self) {
        let now = self.now;
        let place = self.draw(RUNS as u64 - 1) as usize;
        let call = place as u8;
        let fails = self.draw(9) < 6;
        let class = match self.draw(9) {
            0 => Class::Permanent,
            1 => Class::Ignored,
            2 => Class::TransientAfter(Duration::from_millis(self.rng.at_most(500))),
            _ => Class::Transient,
        };
        let odd = self.draw(90);
        let forced = self.sensor.breaker().state() == State::ForcedOpen;
        let Self { sensor, trace, .. } = self;
        let (Some(run), Some(permit)) = (self.runs.get_mut(place), self.permits.get_mut(place)) else { return };
        let (input, answer) = match (run.as_mut(), permit.take()) {
            _ if odd == 0 || forced && odd < 15 => {
                sensor.breaker().reset(now);
                (Input::Reset, Answer::Done)
            }
            _ if odd == 1 => {
                sensor.breaker().force_open(now);
                (Input::ForceOpen, Answer::Done)
            }
            (_, kept) if odd < 5 => {
                *permit = kept;
                (Input::Poll, sensor.poll(now).into())
            }
            (Some(_), Some(permit)) if odd == 5 => {
                sensor.cancel(permit, now);
                (Input::Cancel { call }, Answer::Done)
            }
            (Some(run), Some(permit)) if fails => {
                (Input::Failure { call, class }, sensor.on_failure(run, permit, class, now).into())
            }
            (Some(ended), Some(permit)) => {
                sensor.on_success(ended, permit, now);
                *run = None;
                (Input::Success { call }, Answer::Done)
            }
            (Some(stopped), None) => {
                let admit = sensor.admit(stopped, now);
                let answer = Answer::from(&admit);
                match admit {
                    Admit::Go { permit: given, .. } => *permit = Some(given),
                    Admit::Stop(_) => *run = None,
                    Admit::Wait { .. } | Admit::Line { .. } => {}
                }
                (Input::Admit { call }, answer)
            }
            (None, _) => {
                *run = Some(sensor.start(now));
                (Input::Start { call }, Answer::Done)
            }
        };
        trace.record(SENSOR, &input, &answer, sensor as &dyn Observe, now);
    }

    fn line_step(&mut self) {
        let now = self.now;
        let place = self.draw(RUNS as u64 - 1) as usize;
        let call = place as u8;
        let what = self.draw(19);
        let Self { line, trace, .. } = self;
        let Some(permit) = self.calls.get_mut(place) else { return };
        let (input, answer) = match permit.take() {
            Some(given) if what == 0 => {
                line.cancel(given, now);
                (Input::Cancel { call }, Answer::Done)
            }
            Some(given) if what < 10 => (Input::Success { call }, line.on_success(given, now).into()),
            Some(given) => (Input::Failure { call, class: Class::Transient }, line.on_failure(given, now).into()),
            None => {
                let acquired = line.try_acquire(now);
                let answer = Answer::from(&acquired);
                *permit = acquired.ok();
                (Input::Admit { call }, answer)
            }
        };
        trace.record(LINE, &input, &answer, line, now);
    }

    fn cache_step(&mut self) {
        let now = self.now;
        let (key, value, what) = (self.draw(15) as u32, self.rng.next_u32(), self.draw(19));
        let ttl = (what == 0).then(|| Duration::from_millis(u64::from(value % 5_000) + 1));
        let Self { registers, trace, .. } = self;
        let (input, answer) = match (what, ttl) {
            (_, Some(time)) => {
                (Input::Insert { key, value, ttl }, registers.insert_with_ttl(key, value, time, now).into())
            }
            (1..=7, _) => (Input::Insert { key, value, ttl: None }, registers.insert(key, value, now).into()),
            (8, _) => (Input::Remove { key }, registers.remove(&key, now).into()),
            (9, _) => {
                registers.poll(now);
                (Input::Poll, Answer::Done)
            }
            _ => (Input::Get { key }, registers.get(&key, now).copied().into()),
        };
        trace.record(REGISTERS, &input, &answer, registers, now);
    }

    fn health_step(&mut self) {
        let now = self.now;
        let (place, what, took) = (self.draw(1), self.draw(9), Duration::from_micros(self.rng.at_most(1_200_000)));
        let check = self.checks.get(place as usize).copied().flatten();
        let outcome = match what {
            0..=4 => health::Outcome::Pass,
            5 => health::Outcome::Degraded,
            _ => health::Outcome::Fail,
        };
        let (input, answer) = match check {
            Some(id) if what < 9 => {
                let status = self.health.report(id, outcome, took, now);
                (Input::Report { check: place as u8, outcome, took }, status.into())
            }
            _ => {
                self.health.poll(now);
                (Input::Poll, self.health.overall().into())
            }
        };
        self.trace.record(HEALTH, &input, &answer, &self.health, now);
    }
}

/// Says where, and ends with a failure.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    board::abort()
}
