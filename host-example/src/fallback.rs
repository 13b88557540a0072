//! The last good output of each command and answer to each chat, for the time in which there is no new one.
//!
//! # Rules
//! 1. What a process gave with exit code 0 is remembered, and what a model answered. An answer of the cache is no news
//!    and does not make an old output young again.
//! 2. It is given where the program could not be started, ran out of time or is refused by its breaker, or where no
//!    model answers, up to exactly `max_age`; never for what the client did wrong, and never because this server has too
//!    much work.
//! 3. Whoever gets one is told: that it is one, of which age, and why. Each is counted by its cause and logged.
//! 4. At most `commands` outputs of `bytes` in all are remembered; the oldest go first, and are counted. While memory is
//!    short there is only a share of that room.

use std::collections::HashMap;
use std::sync::Arc;

use daur_core::performance::memory::Share;
use daur_core::reliability::executor::{Execution, Failure};
use daur_core::reliability::fallback::{Fallback, Source};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::StdClock;
use daur_std::shared::StdShared;
use serde::Serialize;

use crate::breakers::by_itself;
use crate::runner::{self, Output};

/// Says which outputs are remembered, and for how long they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The greatest age at which an output is still given. Zero gives none. Default 5 min.
    pub max_age: Duration,
    /// Outputs remembered. Default 256.
    pub commands: usize,
    /// Bytes of all of them. Default 16 MiB.
    pub bytes: usize,
}

impl Config {
    /// Up to 256 outputs of 16 MiB in all, for 5 min.
    pub const DEFAULT: Self = Self { max_age: Duration::from_secs(300), commands: 256, bytes: 16 << 20 };
    /// No fallback.
    pub const OFF: Self = Self { max_age: Duration::ZERO, commands: 0, bytes: 0 };

    /// Checks the fields.
    ///
    /// # Errors
    /// A limit that lets nothing be remembered, although an age is set.
    pub fn validate(&self) -> Result<(), String> {
        let nothing = |key| Err(format!("`{key}` is 0; for no fallback, set `max_age` to \"0s\""));
        match (self.max_age.is_zero(), self.commands, self.bytes) {
            (true, ..) => Ok(()),
            (false, 0, _) => nothing("commands"),
            (false, _, 0) => nothing("bytes"),
            _ => Ok(()),
        }
    }
}

/// Says why a fallback was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The program ran out of time.
    Timeout,
    /// The breaker of the program is open.
    CircuitOpen,
    /// The program could not be started.
    NotStarted,
    /// No model gave an answer.
    UpstreamFailed,
    /// The models have too much work.
    Busy,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Timeout, Self::CircuitOpen, Self::NotStarted, Self::UpstreamFailed, Self::Busy];

    /// Its name, as in the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::CircuitOpen => "circuit_open",
            Self::NotStarted => "not_started",
            Self::UpstreamFailed => "upstream_failed",
            Self::Busy => "busy",
        }
    }

    /// The cause that a failure is, if it is one that a fallback stands in for.
    #[must_use]
    pub const fn of(failure: &Failure<runner::Error>) -> Option<Self> {
        match failure {
            Failure::Error(runner::Error::Timeout) | Failure::TimedOut => Some(Self::Timeout),
            Failure::Error(runner::Error::Spawn(_)) => Some(Self::NotStarted),
            Failure::Open { .. } => Some(Self::CircuitOpen),
            _ => None,
        }
    }
}

/// Tells the client that an answer is a fallback's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// Why there is no new one.
    pub cause: Cause,
    /// How old the output is.
    pub age_ms: u64,
    /// If the breaker is open: when it is tried again.
    pub retry_in_ms: Option<u64>,
}

/// Counts what was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Whether there are fallbacks at all.
    pub enabled: bool,
    /// The greatest age.
    pub max_age_ms: u64,
    /// Answers given.
    pub used: u64,
    /// Because the program ran out of time.
    pub timeout: u64,
    /// Because its breaker is open.
    pub circuit_open: u64,
    /// Because it could not be started.
    pub not_started: u64,
    /// Because no model gave an answer.
    pub upstream_failed: u64,
    /// Because the models had too much work.
    pub busy: u64,
    /// Times there was nothing to give, or nothing young enough.
    pub missing: u64,
    /// Outputs forgotten to make room, or too long to be remembered.
    pub dropped: u64,
    /// Outputs remembered now.
    pub commands: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// What may be given again.
pub trait Remembered {
    /// Its bytes.
    fn size(&self) -> usize;

    /// Whether it is worth that.
    fn is_good(&self) -> bool;
}

impl Remembered for Output {
    fn size(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }

    fn is_good(&self) -> bool {
        self.exit_code == 0
    }
}

/// An output and when it came.
#[derive(Debug)]
pub struct Good<T = Output> {
    /// The output.
    pub output: Arc<T>,
    /// When it came.
    pub at: Instant,
}

impl<T> Clone for Good<T> {
    fn clone(&self) -> Self {
        Self { output: Arc::clone(&self.output), at: self.at }
    }
}

impl<T: Remembered> Good<T> {
    /// What it takes up under `key`, beside its place in the table.
    fn size(&self, key: &[u8]) -> usize {
        key.len() + self.output.size()
    }
}

/// How a run of one command ended.
pub type Run<T = Output> = Execution<Good<T>, runner::Error>;

struct Kept<T> {
    fallback: Fallback<Good<T>, runner::Error>,
    size: usize,
    at: Instant,
}

struct Table<T> {
    /// How much of its room it may use.
    share: Share,
    kept: HashMap<Vec<u8>, Kept<T>>,
    bytes: usize,
    counts: Snapshot,
}

/// Remembers the last good output of each command, or answer to each chat.
pub struct LastGood<T = Output, C = StdClock> {
    config: Config,
    table: StdShared<Table<T>, C>,
}

impl<T: Remembered> LastGood<T> {
    /// Nothing remembered.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_clock(config, StdClock)
    }
}

impl<T: Remembered, C: Clock> LastGood<T, C> {
    /// Nothing remembered; outputs age by `clock`.
    #[must_use]
    pub fn with_clock(config: Config, clock: C) -> Self {
        Self { config, table: StdShared::with_clock(Table::default(), clock) }
    }

    const fn is_on(&self) -> bool {
        !self.config.max_age.is_zero() && self.config.commands > 0 && self.config.bytes > 0
    }

    /// Remembers what was just given, if it was a success.
    pub fn remember(&self, key: &[u8], good: &Good<T>) {
        if self.is_on() && good.output.is_good() {
            self.table.with(|table, now| table.remember(key, good, &self.config, now));
        }
    }

    /// The end of a run, with the last good output if it failed and there is one, and what to tell about that.
    pub fn apply(&self, key: &[u8], run: Run<T>) -> (Run<T>, Option<Used>) {
        let cause = run.result.as_ref().err().and_then(Cause::of);
        let (true, Some(cause)) = (self.is_on(), cause) else { return (run, None) };
        let retry_at = match run.result {
            Err(Failure::Open { retry_at }) => by_itself(retry_at),
            _ => None,
        };
        self.table.with(|table, now| {
            let (run, age) = table.apply(key, run, cause, now);
            let retry_in_ms = retry_at.map(|at| at.since(now).as_millis());
            (run, age.map(|age| Used { cause, age_ms: age.as_millis(), retry_in_ms }))
        })
    }

    /// The last good output, if there is one that is young enough, and what to tell about it: for work that is no [`Run`].
    pub fn get(&self, key: &[u8], cause: Cause, retry_at: Option<Instant>) -> Option<(Arc<T>, Used)> {
        if !self.is_on() {
            return None;
        }
        self.table.with(|table, now| {
            let (output, age) = table.get(key, cause, now)?;
            let retry_in_ms = retry_at.map(|at| at.since(now).as_millis());
            Some((output, Used { cause, age_ms: age.as_millis(), retry_in_ms }))
        })
    }

    /// Uses no more than `share` of its room from now on; says how many bytes that freed.
    pub fn resize(&self, share: Share) -> u64 {
        self.table.with(|table, _| {
            table.share = share;
            table.shrink(&self.config) as u64
        })
    }

    /// What was given so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.table.with(|table, _| Snapshot {
            enabled: self.is_on(),
            max_age_ms: self.config.max_age.as_millis(),
            commands: table.kept.len(),
            bytes: table.bytes,
            ..table.counts
        })
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { share: Share::ALL, kept: HashMap::new(), bytes: 0, counts: Snapshot::default() }
    }
}

impl<T: Remembered> Table<T> {
    /// Holds no more than its share; says how many bytes that freed.
    fn shrink(&mut self, config: &Config) -> usize {
        let before = self.bytes;
        while (self.kept.len() > self.share.of(config.commands) || self.bytes > self.share.of(config.bytes))
            && self.forget_oldest()
        {}
        before - self.bytes
    }

    fn forget_oldest(&mut self) -> bool {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.at).map(|(key, _)| key.clone());
        let Some(oldest) = oldest else { return false };
        self.forget(&oldest);
        self.counts.dropped += 1;
        true
    }

    fn remember(&mut self, key: &[u8], good: &Good<T>, config: &Config, now: Instant) {
        self.forget(key);
        let size = good.size(key);
        let (commands, bytes) = (self.share.of(config.commands), self.share.of(config.bytes));
        if commands == 0 || size > bytes {
            self.counts.dropped += 1;
            return;
        }
        while (self.kept.len() >= commands || self.bytes + size > bytes) && self.forget_oldest() {}
        let mut fallback = Fallback::new(Source::LastGood { max_age: config.max_age });
        fallback.remember(good, now);
        self.bytes += size;
        self.kept.insert(key.to_vec(), Kept { fallback, size, at: now });
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(kept) = self.kept.remove(key) {
            self.bytes -= kept.size;
        }
    }

    fn apply(&mut self, key: &[u8], run: Run<T>, cause: Cause, now: Instant) -> (Run<T>, Option<Duration>) {
        let Some(kept) = self.kept.get_mut(key) else {
            self.counts.missing += 1;
            return (run, None);
        };
        let run = kept.fallback.apply(run, now);
        let Ok(good) = &run.result else {
            // Too old, and it will not grow younger.
            self.forget(key);
            self.counts.missing += 1;
            return (run, None);
        };
        let age = now.since(good.at);
        self.count(cause);
        (run, Some(age))
    }

    fn get(&mut self, key: &[u8], cause: Cause, now: Instant) -> Option<(Arc<T>, Duration)> {
        let good = self.kept.get(key).and_then(|kept| kept.fallback.last_good(now));
        let Some((good, _)) = good else {
            self.forget(key);
            self.counts.missing += 1;
            return None;
        };
        let found = (Arc::clone(&good.output), now.since(good.at));
        self.count(cause);
        Some(found)
    }

    fn count(&mut self, cause: Cause) {
        self.counts.used += 1;
        match cause {
            Cause::Timeout => self.counts.timeout += 1,
            Cause::CircuitOpen => self.counts.circuit_open += 1,
            Cause::NotStarted => self.counts.not_started += 1,
            Cause::UpstreamFailed => self.counts.upstream_failed += 1,
            Cause::Busy => self.counts.busy += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A clock that is set by hand.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for &Hand {
        fn now(&self) -> Instant {
            Instant::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    fn good(text: &str, exit_code: i32, at: u64) -> Good {
        let output =
            Output { exit_code, stdout: text.to_owned(), stderr: String::new(), truncated: false, replaced: false };
        Good { output: Arc::new(output), at: Instant::from_secs(at) }
    }

    fn failed(failure: Failure<runner::Error>) -> Run {
        Execution { result: Err(failure), ..Execution::of_value(good("", 0, 0)) }
    }

    fn spawn() -> Failure<runner::Error> {
        Failure::Error(runner::Error::Spawn(std::io::Error::other("no")))
    }

    #[test]
    fn rule_1_a_success_is_remembered_another_exit_code_is_not() {
        let hand = Hand::default();
        let all = LastGood::with_clock(Config::DEFAULT, &hand);
        all.remember(b"a", &good("one", 0, 0));
        all.remember(b"a", &good("two", 1, 0));
        let (run, used) = all.apply(b"a", failed(Failure::TimedOut));
        assert_eq!(run.result.map(|good| good.output.stdout.clone()).ok().as_deref(), Some("one"));
        assert!(run.fallback_used);
        assert_eq!(used, Some(Used { cause: Cause::Timeout, age_ms: 0, retry_in_ms: None }));
        assert_eq!(all.apply(b"b", failed(Failure::TimedOut)).1, None);
    }

    #[test]
    fn rule_2_it_is_good_up_to_exactly_its_age() {
        let hand = Hand::default();
        let all = LastGood::with_clock(Config { max_age: Duration::from_secs(10), ..Config::DEFAULT }, &hand);
        all.remember(b"a", &good("one", 0, 0));
        hand.0.store(10, Ordering::Relaxed);
        let (_, used) = all.apply(b"a", failed(Failure::Open { retry_at: Instant::from_secs(12) }));
        assert_eq!(used, Some(Used { cause: Cause::CircuitOpen, age_ms: 10_000, retry_in_ms: Some(2_000) }));
        hand.0.store(11, Ordering::Relaxed);
        assert_eq!(all.apply(b"a", failed(spawn())).1, None);
        // What is too old is gone.
        assert_eq!((all.snapshot().commands, all.snapshot().bytes, all.snapshot().missing), (0, 0, 1));
    }

    #[test]
    fn rule_3_each_is_counted_by_its_cause() {
        let hand = Hand::default();
        let all = LastGood::with_clock(Config::DEFAULT, &hand);
        all.remember(b"a", &good("one", 0, 0));
        for failure in [Failure::TimedOut, spawn(), Failure::Error(runner::Error::Timeout)] {
            assert!(all.apply(b"a", failed(failure)).1.is_some());
        }
        let shown = all.snapshot();
        assert_eq!((shown.used, shown.timeout, shown.not_started, shown.circuit_open), (3, 2, 1, 0));
    }

    #[test]
    fn rule_4_the_oldest_go_first_and_the_bytes_are_bounded() {
        let hand = Hand::default();
        let all = LastGood::with_clock(Config { commands: 3, bytes: 10, ..Config::DEFAULT }, &hand);
        for (at, key) in [b"a", b"b", b"c", b"d"].into_iter().enumerate() {
            hand.0.store(at as u64, Ordering::Relaxed);
            all.remember(key, &good("12", 0, at as u64));
        }
        assert_eq!((all.snapshot().commands, all.snapshot().bytes, all.snapshot().dropped), (3, 9, 1));
        assert_eq!(all.apply(b"a", failed(spawn())).1, None);
        all.remember(b"e", &good("12345678", 0, 9));
        assert_eq!((all.snapshot().commands, all.snapshot().bytes), (1, 9));
        all.remember(b"f", &good("too long for it", 0, 9));
        assert_eq!((all.snapshot().commands, all.snapshot().bytes), (1, 9));
    }

    #[test]
    fn rule_4_a_share_of_the_room_is_a_share_of_both() {
        let hand = Hand::default();
        let all = LastGood::with_clock(Config { commands: 10, bytes: 30, ..Config::DEFAULT }, &hand);
        for key in 0..10_u8 {
            hand.0.store(key.into(), Ordering::Relaxed);
            all.remember(&[key], &good("12", 0, key.into()));
        }
        assert_eq!(all.resize(Share::permille(500)), 15);
        assert_eq!((all.snapshot().commands, all.snapshot().bytes, all.snapshot().dropped), (5, 15, 5));
        // The oldest are gone; a new one takes the place of the next.
        assert_eq!(all.apply(&[4], failed(spawn())).1, None);
        all.remember(b"a", &good("12", 0, 11));
        assert_eq!(all.snapshot().commands, 5);
        assert_eq!(all.resize(Share::NONE), 15);
        all.remember(b"b", &good("", 0, 12));
        assert_eq!(all.snapshot().commands, 0);
        assert_eq!(all.resize(Share::ALL), 0);
        all.remember(b"b", &good("", 0, 12));
        assert_eq!(all.snapshot().commands, 1);
    }

    #[test]
    fn work_that_is_no_run_gets_the_same() {
        struct Text(&'static str);
        impl Remembered for Text {
            fn size(&self) -> usize {
                self.0.len()
            }
            fn is_good(&self) -> bool {
                !self.0.is_empty()
            }
        }
        let hand = Hand::default();
        let all = LastGood::with_clock(Config { max_age: Duration::from_secs(10), ..Config::DEFAULT }, &hand);
        let good = |text| Good { output: Arc::new(Text(text)), at: Instant::ZERO };
        all.remember(b"a", &good("one"));
        all.remember(b"a", &good(""));
        hand.0.store(10, Ordering::Relaxed);
        let (text, used) = all.get(b"a", Cause::Busy, Some(Instant::from_secs(13))).unwrap();
        assert_eq!((text.0, used), ("one", Used { cause: Cause::Busy, age_ms: 10_000, retry_in_ms: Some(3_000) }));
        hand.0.store(11, Ordering::Relaxed);
        assert!(all.get(b"a", Cause::UpstreamFailed, None).is_none());
        let shown = all.snapshot();
        assert_eq!((shown.used, shown.busy, shown.missing, shown.commands), (1, 1, 1, 0));
    }

    #[test]
    fn no_age_is_no_fallback() {
        let all: LastGood = LastGood::new(Config::OFF);
        all.remember(b"a", &good("one", 0, 0));
        assert_eq!(all.apply(b"a", failed(spawn())).1, None);
        assert_eq!(all.snapshot(), Snapshot::default());
    }
}
