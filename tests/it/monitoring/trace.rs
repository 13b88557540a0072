//! A trace: whatever goes into the machines comes out the same once more, and what does not is told.

use std::collections::BTreeMap;

use daur_core::crc::Crc32;
use daur_core::id::{BootId, DeviceId};
use daur_core::monitoring::errors::{self, Errors};
use daur_core::monitoring::trace::{
    self, Answer, Calls, Entry, FileError, Head, Input, Keep, Machine, Machines, Name, Player, Reader, ReplayError,
    Runs, Setup, Step, Trace, Writer,
};
use daur_core::performance::cache::{self, Cache};
use daur_core::reliability::breaker::{self, Breaker};
use daur_core::reliability::executor::{self, Executor};
use daur_core::reliability::health::{self, CheckConfig, Health, Outcome};
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::reliability::retry::{self, Attempts, Class, Jitter, Retry, Strategy};
use daur_core::reliability::{budget, bulkhead};
use daur_core::rng::Rng;
use daur_core::text::Text;
use daur_core::time::{Duration, Instant};

/// A config in which every part that is optional is there.
const EXECUTOR: executor::Config = executor::Config {
    retry: retry::Config {
        max_attempts: Attempts::Limited(4),
        initial_delay: Duration::from_millis(10),
        max_delay: Duration::from_secs(2),
        strategy: Strategy::Random { min: Duration::from_millis(1), max: Duration::from_millis(700) },
        jitter: Jitter::Factor(30),
        max_elapsed: Some(Duration::from_secs(20)),
        reset_after: Some(Duration::from_secs(15)),
        cap_hint: true,
    },
    budget: Some(budget::Config::DEFAULT),
    breaker: BREAKER,
    bulkhead: Some(bulkhead::Config { max_concurrent: 2, max_waiting: 0, max_wait: Some(Duration::from_secs(1)) }),
    total_timeout: Some(Duration::from_secs(30)),
    attempt_timeout: Some(Duration::from_secs(3)),
    open_wait: Duration::from_secs(1),
};
const BREAKER: breaker::Config = breaker::Config {
    failures: 2,
    recovery_timeout: Duration::from_millis(800),
    recovery_timeout_max: Some(Duration::from_secs(5)),
    probes: 3,
    success_threshold: 2,
    probe_lease: Duration::from_secs(2),
};
const LIMITER: limiter::Config = limiter::Config { rate: 3, period: Duration::from_secs(1), burst: 4 };
const CACHE: cache::Config = cache::Config { ttl: Some(Duration::from_secs(2)), idle: None };
const SEED: u64 = 77;

fn setups() -> [(&'static str, Setup); 7] {
    [
        ("sensor", Setup::Executor { config: EXECUTOR, seed: SEED }),
        ("line", Setup::Breaker { config: BREAKER }),
        ("again", Setup::Retry { config: EXECUTOR.retry, seed: SEED }),
        ("commands", Setup::Limiter { config: LIMITER }),
        ("registers", Setup::Cache { config: CACHE, capacity: 8 }),
        ("health", Setup::Health { config: health::Config::STRICT, checks: 3 }),
        ("errors", Setup::Errors { config: errors::Config::DEFAULT, kinds: 3, last: 2 }),
    ]
}

/// The machines that these tests know.
#[derive(Default)]
struct Known(BTreeMap<u8, Box<dyn Machine>>);

impl Machines for Known {
    fn declare(&mut self, number: u8, _: &Name, setup: &Setup, now: Instant) -> bool {
        let machine: Box<dyn Machine> = match *setup {
            Setup::Executor { config, seed } if config.validate().is_ok() => {
                Box::new(Runs::<_, 4>::new(Executor::new(config, seed)))
            }
            Setup::Breaker { config } if config.validate().is_ok() => {
                Box::new(Calls::<_, 4>::new(Breaker::new(config)))
            }
            Setup::Retry { config, seed } if config.validate().is_ok() => Box::new(Retry::new(config, seed, now)),
            Setup::Limiter { config } if config.validate().is_ok() => Box::new(Limiter::new(config)),
            Setup::Cache { config, capacity: 8 } if config.validate().is_ok() => {
                Box::new(Cache::<u32, u32, 8>::with_hasher(config, cache::Fast::new()))
            }
            Setup::Health { config, checks: 3 } => Box::new(Health::<3>::new(config)),
            Setup::Errors { config, kinds: 3, last: 2 } if config.validate().is_ok() => {
                Box::new(Errors::<3, 2>::new(config))
            }
            _ => return false,
        };
        self.0.insert(number, machine);
        true
    }

    fn machine(&mut self, number: u8) -> Option<&mut dyn Machine> {
        Some(&mut **self.0.get_mut(&number)?)
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}

/// A device: machines, and what records them.
struct Device<const BYTES: usize> {
    rng: Rng,
    now: Instant,
    machines: Known,
    trace: Trace<BYTES>,
    every: u16,
}

impl<const BYTES: usize> Device<BYTES> {
    fn new(keep: Keep, every: u16, seed: u64) -> Self {
        let trace = Trace::new(trace::Config { keep, every });
        Self { rng: Rng::new(seed), now: Instant::from_secs(5), machines: Known::default(), trace, every }
    }

    fn begin(&mut self) -> &mut Self {
        for (number, (name, setup)) in (0..).zip(setups()) {
            self.trace.declare(number, Text::cut(name), &setup, self.now);
            assert!(self.machines.declare(number, &Text::cut(name), &setup, self.now), "{name}");
        }
        self
    }

    /// So many inputs, of which some are none.
    fn run(&mut self, inputs: u32) -> &mut Self {
        for _ in 0..inputs {
            self.wait();
            let machine = self.rng.at_most(6) as u8;
            let input = self.input(machine);
            let Some(driven) = self.machines.machine(machine) else { continue };
            self.trace.drive(machine, driven, &input, self.now);
        }
        self
    }

    fn wait(&mut self) {
        let step = Duration::from_nanos(self.rng.at_most(400_000_000));
        self.now = match self.rng.at_most(30) {
            0 => Instant::from_nanos(self.rng.next_u64()),
            1 => Instant::from_secs(5),
            2 => self.now - step,
            3..=12 => self.now,
            _ => self.now + step,
        };
    }

    fn input(&mut self, machine: u8) -> Input {
        let rng = &mut self.rng;
        let (call, key, value) = (rng.at_most(4) as u8, rng.at_most(12) as u32, rng.next_u32());
        let took = Duration::from_nanos(rng.at_most(5_000_000_000));
        let class = [Class::Transient, Class::TransientAfter(took), Class::Permanent, Class::Ignored];
        let class = class[rng.at_most(3) as usize];
        let text = ["i2c", "crc", "uart", "flash", ""][rng.at_most(4) as usize];
        match (machine, rng.at_most(9)) {
            (2, _) => Input::Failure { call, class },
            (3, 0) => Input::Reset,
            (3, _) => Input::Check { n: rng.at_most(5) as u32 },
            (4, 0) => Input::Remove { key },
            (4, 1) => Input::Insert { key, value, ttl: Some(took) },
            (4, 2) => Input::Poll,
            (4, 3..=5) => Input::Insert { key, value, ttl: None },
            (4, _) => Input::Get { key },
            (5, 0) => Input::AddCheck { name: Text::cut(text), config: CheckConfig::LIVENESS },
            (5, 1) => {
                let config = CheckConfig { max_age: Some(Duration::from_secs(60)), ..CheckConfig::STARTUP };
                Input::AddCheck { name: Text::cut(text), config }
            }
            (5, 2) => Input::Poll,
            (5, _) => {
                let outcomes = [Outcome::Pass, Outcome::Degraded, Outcome::Fail, Outcome::Panicked, Outcome::TimedOut];
                let outcome = outcomes[rng.at_most(4) as usize];
                Input::Report { check: call, outcome, took }
            }
            (6, _) => Input::Error { kind: Text::cut(text), message: Text::cut("what it said") },
            (0, 0) => Input::StartBy { call, deadline: self.now + took },
            (0, 1) => Input::Start { call },
            (0, 2) => Input::Abandon { call },
            (_, 0..=2) => {
                let odd = [Input::Poll, Input::Reset, Input::ForceOpen, Input::ForceClosed, Input::MetricsOnly];
                odd[rng.at_most(4) as usize]
            }
            (_, 3) => Input::Cancel { call },
            (_, 4 | 5) => Input::Success { call },
            (_, 6) => Input::Failure { call, class },
            _ => Input::Admit { call },
        }
    }

    fn head(&self) -> Head {
        Head { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(3), every: self.every }
    }

    fn file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut put = |byte| file.push(byte);
        let mut writer = Writer::begin(&self.head(), &mut put);
        writer.copy(&self.trace);
        writer.end(&self.trace);
        file
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    File(FileError),
    Replay(ReplayError),
}

/// Plays it; how many inputs, checks and missing inputs there were.
fn replay(file: &[u8]) -> Result<(u32, u32, u32), Wrong> {
    let reader = Reader::open(file).map_err(Wrong::File)?;
    let mut player = Player::new(reader.head(), Known::default());
    let (mut checks, mut ended) = (0, false);
    for item in reader {
        match player.step(&item.map_err(Wrong::File)?).map_err(Wrong::Replay)? {
            Step::Equal => checks += 1,
            Step::End => ended = true,
            _ => {}
        }
    }
    assert!(ended, "an entry that is no end was the last, and nobody said so");
    Ok((player.inputs(), checks, player.missing()))
}

/// As somebody would who knows how the sum is made.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    file.truncate(file.len() - 4);
    file.extend(Crc32::of(&file).to_le_bytes());
    file
}

#[test]
fn rule_1_whatever_was_recorded_comes_out_the_same_once_more() {
    for seed in 0..40 {
        for every in [1, 7, u16::MAX] {
            let mut device: Device<60_000> = Device::new(Keep::Last, every, seed);
            device.begin().run(1_500);
            let inputs = device.trace.snapshot().inputs;
            let checks = (inputs - 7) / u32::from(every);
            assert_eq!(replay(&device.file()), Ok((inputs, checks, 0)), "seed {seed}, every {every}");
            assert!(inputs > 800, "{inputs}");
        }
    }
}

#[test]
fn rule_1_a_machine_that_begins_anew_is_as_new() {
    let mut device: Device<60_000> = Device::new(Keep::First, 1, 3);
    device.begin().run(300).begin().run(300);
    assert!(replay(&device.file()).is_ok());
}

#[test]
fn rule_1_another_config_or_seed_on_the_host_diverges() {
    let mut device: Device<4_096> = Device::new(Keep::First, 1, 3);
    let (name, now) = (Text::cut("commands"), device.now);
    let told = Setup::Limiter { config: limiter::Config { burst: 5, ..LIMITER } };
    device.trace.declare(3, name, &told, now);
    device.machines.declare(3, &name, &Setup::Limiter { config: LIMITER }, now);
    for n in [4, 1] {
        let driven = device.machines.machine(3).unwrap();
        device.trace.drive(3, driven, &Input::Check { n }, now);
    }
    assert!(matches!(replay(&device.file()), Err(Wrong::Replay(ReplayError::Diverged { .. }))));
}

#[test]
fn rule_2_a_full_trace_keeps_the_last_and_drops_up_to_a_check() {
    for every in [1, 5] {
        let mut device: Device<700> = Device::new(Keep::Last, every, 9);
        device.begin().run(2_000);
        let kept = device.trace.snapshot();
        assert!(kept.dropped > 500 && kept.used <= 700 && kept.used > 500, "{kept:?}");

        let file = device.file();
        let mut entries = Reader::open(&file).unwrap().map(|item| item.unwrap().entry);
        assert!(matches!(entries.next(), Some(Entry::Gap { missing, .. }) if missing == kept.dropped));
        let times: Vec<Instant> = entries
            .filter_map(|entry| match entry {
                Entry::Input { at, .. } => Some(at),
                _ => None,
            })
            .collect();
        assert_eq!(times.last(), Some(&device.now), "the newest is there, at its time");
        assert_eq!(times.len() as u32 + kept.dropped, kept.inputs);
    }
}

#[test]
fn rule_2_a_full_trace_keeps_the_first_until_it_is_drained() {
    let mut device: Device<700> = Device::new(Keep::First, 1, 9);
    device.begin().run(50);
    let first = device.trace.snapshot();
    assert!(first.dropped > 0, "{first:?}");
    // What came after the first that found no room is not kept either, however small.
    device.run(200);
    let then = device.trace.snapshot();
    assert_eq!(then.inputs - then.dropped, first.inputs - first.dropped);
    assert_eq!(replay(&device.file()).map(|(inputs, _, missing)| (inputs, missing)), Ok((then.inputs, then.dropped)));

    let mut file = Vec::new();
    let mut put = |byte| file.push(byte);
    let mut writer = Writer::begin(&device.head(), &mut put);
    writer.drain(&mut device.trace);
    device.trace.declare(3, Text::cut("commands"), &Setup::Limiter { config: LIMITER }, device.now);
    let mut limiter = Limiter::new(LIMITER);
    for _ in 0..6 {
        device.trace.drive(3, &mut limiter, &Input::Check { n: 1 }, device.now);
    }
    writer.drain(&mut device.trace);
    writer.end(&device.trace);
    assert_eq!(replay(&file).map(|(inputs, _, missing)| (inputs, missing)), Ok((then.inputs + 7, then.dropped)));
}

#[test]
fn rule_2_an_entry_that_fits_nowhere_is_counted() {
    for keep in [Keep::First, Keep::Last] {
        let mut device: Device<16> = Device::new(keep, 1, 1);
        let error = Input::Error { kind: Text::cut("i2c"), message: Text::cut("longer than the ring") };
        let now = device.now;
        device.trace.record(0, &error, &Answer::Done, &Retry::new(EXECUTOR.retry, 1, now), now);
        let kept = device.trace.snapshot();
        assert_eq!((kept.inputs, kept.dropped, kept.used), (1, 1, 0));
        assert_eq!(replay(&device.file()), Ok((1, 0, 1)));
    }
    let mut none: Trace<0> = Trace::new(trace::Config::DEFAULT);
    none.declare(0, Text::EMPTY, &setups()[0].1, Instant::ZERO);
    assert_eq!(none.snapshot().dropped, 1);
}

#[test]
fn rule_3_behind_a_gap_no_state_is_known_until_a_machine_is_declared_again() {
    let mut device: Device<2_000> = Device::new(Keep::Last, 1, 4);
    device.begin().run(1_000);
    let dropped = device.trace.snapshot().dropped;
    let told = replay(&device.file());
    let Err(Wrong::Replay(ReplayError::Unknown { missing, .. })) = told else { panic!("{told:?}") };
    assert_eq!(missing, dropped);

    // The machines begin anew, and what was before has gone from the ring.
    let mut device: Device<2_000> = Device::new(Keep::Last, 3, 4);
    device.begin().run(100);
    loop {
        device.begin().run(1);
        let first = Reader::open(&device.file()).unwrap().nth(1).unwrap().unwrap().entry;
        if matches!(first, Entry::Setup { .. }) && device.trace.snapshot().dropped > 0 {
            break;
        }
    }
    let (_, _, missing) = replay(&device.file()).expect("it begins with a setup of each machine that is used");
    assert!(missing > 0);
}

/// A trace of one of each, as its bytes stand for ever.
#[test]
fn rule_4_the_spelling_is_one_for_ever() {
    let mut device: Device<512> = Device::new(Keep::First, 1, 4);
    let now = Instant::from_millis(1);
    device.trace.declare(3, Text::cut("commands"), &Setup::Limiter { config: LIMITER }, now);
    let mut limiter = Limiter::new(LIMITER);
    device.trace.drive(3, &mut limiter, &Input::Check { n: 4 }, now);
    device.trace.drive(3, &mut limiter, &Input::Check { n: 1 }, Instant::ZERO);
    let file = device.file();
    let hex: String = file.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!(replay(&file), Ok((3, 2, 0)));
}

const GOLDEN: &str = "444155525452430108626f696c65722d37030116010380897a08636f6d6d616e647303038094ebdc0304\
    039c03040502bc067f3f061c03ff887a010502e7f0de7a060403a3299df21ac05698";

#[test]
fn rule_5_a_clock_that_steps_back_is_recorded_as_it_went() {
    let times = [u64::MAX, 0, 5, 4, u64::MAX / 2, 1, u64::MAX, u64::MAX];
    let mut device: Device<1_024> = Device::new(Keep::First, 1, 4);
    device.trace.declare(3, Text::cut("commands"), &Setup::Limiter { config: LIMITER }, Instant::from_nanos(9));
    let mut limiter = Limiter::new(LIMITER);
    for nanos in times {
        device.trace.drive(3, &mut limiter, &Input::Check { n: 1 }, Instant::from_nanos(nanos));
    }
    let file = device.file();
    let read = Reader::open(&file).unwrap().filter_map(|item| match item.unwrap().entry {
        Entry::Input { at, .. } => Some(at.as_nanos()),
        _ => None,
    });
    assert!(read.eq(times));
    assert!(replay(&file).is_ok());
}

#[test]
fn every_bit_that_is_flipped_is_an_error_and_under_a_right_sum_a_divergence_or_an_error() {
    let mut device: Device<60_000> = Device::new(Keep::Last, 3, 8);
    device.begin().run(120);
    let file = device.file();
    assert!(replay(&file).is_ok());
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let told = replay(&flipped);
            assert!(matches!(told, Err(Wrong::File(_))), "byte {at} bit {bit}: {told:?}");
            if at < file.len() - 4 {
                let told = replay(&sealed(flipped));
                assert!(told.is_err(), "byte {at} bit {bit}: {told:?}");
            }
        }
    }
}

#[test]
fn every_cut_is_an_error_and_so_is_every_entry_left_out_twice_there_or_swapped() {
    let mut device: Device<60_000> = Device::new(Keep::Last, 1, 8);
    device.begin().run(60);
    let file = device.file();
    for len in 0..file.len() {
        assert!(matches!(replay(&file[..len]), Err(Wrong::File(_))), "{len}");
        let told = replay(&sealed([&file[..len], &[0; 4]].concat()));
        // Of all that but the sum is whole, that is made anew.
        assert_eq!(told.is_ok(), len == file.len() - 4, "{len}: {told:?}");
    }
    let offsets: Vec<usize> = Reader::open(&file).unwrap().map(|item| item.unwrap().offset).collect();
    for bounds in offsets.windows(3) {
        let [a, b, c] = bounds else { continue };
        let (before, first, second, after) = (&file[..*a], &file[*a..*b], &file[*b..*c], &file[*c..]);
        assert!(replay(&sealed([before, second, after].concat())).is_err());
        assert!(replay(&sealed([before, first, first, second, after].concat())).is_err());
        if first != second {
            assert!(replay(&sealed([before, second, first, after].concat())).is_err());
        }
    }
}

#[test]
fn bytes_of_chance_are_read_to_an_error_and_no_further() {
    let mut rng = Rng::new(11);
    for _ in 0..20_000 {
        let mut file = b"DAURTRC\x01\x01a\x00\x01".to_vec();
        for _ in 0..rng.at_most(60) {
            file.push(if rng.at_most(2) == 0 { rng.at_most(40) as u8 } else { rng.next_u32() as u8 });
        }
        file.extend([0; 4]);
        assert!(replay(&sealed(file)).is_err());
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let device: Device<64> = Device::new(Keep::Last, 1, 8);
    let file = device.file();
    assert_eq!(replay(b"SQLite format 3"), Err(Wrong::File(FileError::NotATrace)));
    assert_eq!(replay(&[]), Err(Wrong::File(FileError::NotATrace)));
    assert_eq!(replay(b"DAURTRC"), Err(Wrong::File(FileError::Damaged)));
    let mut newer = file.clone();
    newer[7] = 2;
    let told = replay(&sealed(newer)).unwrap_err();
    assert_eq!(told, Wrong::File(FileError::Version { found: 2 }));
    assert_eq!(FileError::Version { found: 2 }.to_string(), "its format is version 2, and only 1 is known here");
    // An entry of a number that is none, between the head and the end.
    let at = Reader::open(&file).unwrap().next().unwrap().unwrap().offset;
    let newer = sealed([&file[..at], &[3, 99, 0, 2], &file[at..]].concat());
    assert_eq!(replay(&newer), Err(Wrong::File(FileError::Malformed { offset: at })));
    let tail = sealed([&file[..file.len() - 4], &[0, 0], &[0; 4]].concat());
    assert!(matches!(replay(&tail), Err(Wrong::File(FileError::Malformed { .. }))));
}

#[test]
fn a_trace_that_contradicts_itself_is_told() {
    let mut device: Device<512> = Device::new(Keep::First, 1, 8);
    let retry = Retry::new(EXECUTOR.retry, 1, Instant::ZERO);
    let now = device.now;
    device.trace.record(9, &Input::Poll, &Answer::Done, &retry, now);
    assert_eq!(replay(&device.file()), Err(Wrong::Replay(ReplayError::Undeclared { machine: 9 })));

    let mut device: Device<512> = Device::new(Keep::First, 1, 8);
    let (name, setup) = setups()[2];
    device.trace.declare(9, Text::cut(name), &setup, now);
    device.trace.record(9, &Input::Poll, &Answer::Done, &retry, now);
    assert_eq!(replay(&device.file()), Err(Wrong::Replay(ReplayError::Input { machine: 9 })));

    let mut device: Device<512> = Device::new(Keep::First, 1, 8);
    let nothing = Setup::Limiter { config: limiter::Config { rate: 0, ..LIMITER } };
    device.trace.declare(9, Text::cut(name), &nothing, now);
    assert_eq!(replay(&device.file()), Err(Wrong::Replay(ReplayError::Setup { machine: 9 })));
}

#[test]
fn a_config_without_checks_is_refused() {
    let config = trace::Config { every: 0, ..trace::Config::DEFAULT };
    assert_eq!(config.validate(), Err(trace::ConfigError::NoChecks));
    assert!(Trace::<64>::try_new(config).is_err());
}
