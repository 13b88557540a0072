//! The open wait that grows, and modes that a config names.

use daur_core::reliability::breaker::{
    Any, Backoff, Breaker, Config, ConfigError, Consecutive, CountWindow, Event, Growth, Mode, ModeConfig, Opens, Slow,
    SlowCalls, Span, State, Window,
};
use daur_core::reliability::retry::{self, Jitter, Strategy};
use daur_core::time::{Duration, Instant};

const START: Instant = Instant::from_secs(1_000);
const TEN: Duration = Duration::from_secs(10);
const CONFIG: Config = Config {
    failures: 1,
    recovery_timeout: TEN,
    recovery_timeout_max: Some(Duration::from_secs(100)),
    ..Config::DEFAULT
};

fn backing_off(config: Config, growth: Growth, seed: u64) -> Breaker<Backoff<Consecutive>> {
    Breaker::with_mode(config, Backoff::new(Consecutive::new(1), growth, seed))
}

/// Lets one call fail, which must open the breaker: how long it waits.
fn opens<M: Mode>(breaker: &mut Breaker<M>, now: Instant) -> Duration {
    let permit = breaker.try_acquire(now).expect("admitted");
    assert!(matches!(breaker.on_failure(permit, now), Some(Event::Opened { .. })));
    breaker.poll_at().expect("an end of the wait") - now
}

/// The waits of so many openings in a row.
fn waits<M: Mode>(breaker: &mut Breaker<M>, openings: usize) -> Vec<Duration> {
    let mut now = START;
    let mut next = || {
        let wait = opens(breaker, now);
        now += wait;
        wait
    };
    (0..openings).map(|_| next()).collect()
}

fn seconds<M: Mode>(breaker: &mut Breaker<M>, openings: usize) -> Vec<u64> {
    waits(breaker, openings).into_iter().map(Duration::as_secs).collect()
}

mod backoff {
    use super::*;

    #[test]
    fn rule_1_the_nth_opening_waits_as_long_as_the_nth_retry() {
        for (strategy, expected) in [
            (Strategy::Constant, [10, 10, 10, 10, 10, 10, 10]),
            (Strategy::Linear, [10, 20, 30, 40, 50, 60, 70]),
            (Strategy::EXPONENTIAL, [10, 20, 40, 80, 100, 100, 100]),
            (Strategy::Exponential { factor: 3 }, [10, 30, 90, 100, 100, 100, 100]),
            (Strategy::Fibonacci, [10, 10, 20, 30, 50, 80, 100]),
        ] {
            let mut breaker = backing_off(CONFIG, Growth { strategy, jitter: Jitter::None }, 7);
            assert_eq!(seconds(&mut breaker, 7), expected, "{strategy:?}");
        }
    }

    #[test]
    fn rule_1_without_a_longest_wait_it_does_not_grow() {
        let config = Config { recovery_timeout_max: None, ..CONFIG };
        let mut breaker = backing_off(config, Growth { strategy: Strategy::Linear, jitter: Jitter::None }, 7);
        assert_eq!(seconds(&mut breaker, 3), [10, 10, 10]);
    }

    #[test]
    fn rule_2_no_wait_exceeds_the_longest_whatever_strategy_and_jitter() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(1_000));
        for strategy in [Strategy::Linear, Strategy::EXPONENTIAL, Strategy::Fibonacci, Strategy::Random { min, max }] {
            for jitter in [Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Factor(100)] {
                for seed in 0..20 {
                    let mut breaker = backing_off(CONFIG, Growth { strategy, jitter }, seed);
                    for wait in waits(&mut breaker, 100) {
                        assert!(wait <= Duration::from_secs(100), "{strategy:?} {jitter:?} {seed}: {wait}");
                    }
                }
            }
        }
    }

    #[test]
    fn rule_2_openings_without_end_wait_the_longest() {
        let mut breaker = backing_off(CONFIG, Growth { jitter: Jitter::None, ..Growth::DEFAULT }, 7);
        let waits = seconds(&mut breaker, 1_000);
        assert_eq!(waits[4..], [100; 996]);
    }

    #[test]
    fn rule_3_a_success_after_closing_starts_it_over() {
        let mut breaker = backing_off(CONFIG, Growth { jitter: Jitter::None, ..Growth::DEFAULT }, 7);
        let mut now = START;
        for expected in [10, 20, 40] {
            let wait = opens(&mut breaker, now);
            assert_eq!(wait, Duration::from_secs(expected));
            now += wait;
        }
        // Closing alone does not.
        let probe = breaker.try_acquire(now).expect("a probe");
        assert_eq!(breaker.on_success(probe, now), Some(Event::Closed));
        let wait = opens(&mut breaker, now);
        assert_eq!(wait, Duration::from_secs(80));
        now += wait;
        for _ in 0..2 {
            let permit = breaker.try_acquire(now).expect("admitted");
            breaker.on_success(permit, now);
        }
        assert_eq!(opens(&mut breaker, now), TEN);
    }

    #[test]
    fn rule_4_the_waits_follow_from_the_seed_and_a_fleet_is_not_in_step() {
        let of_seed = |seed| waits(&mut backing_off(CONFIG, Growth::DEFAULT, seed), 5);
        assert_eq!(of_seed(3), of_seed(3));
        let mut first: Vec<Duration> = (0..1_000).map(|seed| of_seed(seed)[0]).collect();
        let bounds = (Duration::from_secs(8), Duration::from_secs(12));
        assert!(first.iter().all(|&wait| wait >= bounds.0 && wait <= bounds.1), "a fifth more or less");
        first.sort();
        first.dedup();
        assert_eq!(first.len(), 1_000, "no two of a thousand devices come back together");
    }

    /// A fifth more than the longest wait is the longest wait: half of a fleet would probe at that moment.
    #[test]
    fn rule_4_a_fleet_at_the_longest_wait_is_not_in_step_either() {
        let config = Config { recovery_timeout_max: None, ..CONFIG };
        let mut last: Vec<Duration> =
            (0..1_000).map(|seed| waits(&mut backing_off(config, Growth::DEFAULT, seed), 3)[2]).collect();
        assert!(last.iter().all(|&wait| wait >= Duration::from_secs(8) && wait <= TEN));
        last.sort();
        last.dedup();
        assert_eq!(last.len(), 1_000);
    }

    #[test]
    fn rule_4_a_seed_that_is_known_late_replaces_the_first() {
        static MACHINE: Backoff<Consecutive> = Backoff::new(Consecutive::new(1), Growth::DEFAULT, 0);
        let mut breaker = Breaker::with_mode(CONFIG, MACHINE.clone());
        breaker.reseed(3);
        assert_eq!(waits(&mut breaker, 5), waits(&mut backing_off(CONFIG, Growth::DEFAULT, 3), 5));
    }

    #[test]
    fn two_outages_of_one_device_are_jittered_differently() {
        let mut breaker = backing_off(CONFIG, Growth::DEFAULT, 3);
        let first = waits(&mut breaker, 3);
        breaker.reset(START);
        assert_ne!(waits(&mut breaker, 3), first);
    }

    #[test]
    fn a_growth_that_means_nothing_is_refused() {
        let refused = |growth| Backoff::try_new(Consecutive::new(1), growth, 7).expect_err("invalid");
        let factor = Growth { strategy: Strategy::Exponential { factor: 0 }, ..Growth::DEFAULT };
        assert_eq!(refused(factor), ConfigError::Growth(retry::ConfigError::NoFactor));
        let jitter = Growth { jitter: Jitter::Factor(101), ..Growth::DEFAULT };
        assert_eq!(refused(jitter), ConfigError::Growth(retry::ConfigError::JitterFactor));
        assert!(refused(factor).to_string().contains("`factor` is 0"), "{}", refused(factor));
        assert_eq!(Growth::DEFAULT.validate(), Ok(()));
    }
}

mod any {
    use super::*;

    type Chosen = Breaker<Any<4, 10>>;

    #[test]
    fn rule_1_it_is_the_mode_that_the_config_names() {
        let slow = Some(SlowCalls { slow_call: TEN, slow_pct: 50 });
        let window = Opens::CountWindow(Window { calls: 100, failure_pct: 50, min_calls: 2 });
        let span = Opens::TimeWindow(Span { min_calls: 2, ..Span::DEFAULT });
        for (opens, slow, calls_to_open) in
            [(Opens::Consecutive, None, 3), (window, None, 2), (window, slow, 2), (span, None, 2), (span, slow, 2)]
        {
            let config = Config { failures: 3, ..CONFIG };
            let mut breaker =
                Chosen::try_any(config, ModeConfig { opens, slow, ..ModeConfig::DEFAULT }, 7).expect("a valid config");
            assert_eq!(breaker.fast().times_calls, slow.is_some());
            let mut calls = 0;
            while breaker.state() == State::Closed {
                let permit = breaker.try_acquire(START).expect("closed");
                breaker.on_failure(permit, START);
                calls += 1;
            }
            assert_eq!(calls, calls_to_open, "{opens:?}");
            assert_eq!(breaker.snapshot().window.is_some(), opens != Opens::Consecutive);
        }
    }

    #[test]
    fn rule_2_its_wait_grows_as_the_config_says() {
        let growth =
            |strategy| ModeConfig { growth: Some(Growth { strategy, jitter: Jitter::None }), ..ModeConfig::DEFAULT };
        let mut doubling = Chosen::try_any(CONFIG, ModeConfig::DEFAULT, 7).expect("a valid config");
        assert_eq!(seconds(&mut doubling, 5), [10, 20, 40, 80, 100]);
        let mut linear = Chosen::try_any(CONFIG, growth(Strategy::Linear), 7).expect("a valid config");
        assert_eq!(seconds(&mut linear, 5), [10, 20, 30, 40, 50]);
        let jittered = ModeConfig { growth: Some(Growth::DEFAULT), ..ModeConfig::DEFAULT };
        let of_seed = |seed| waits(&mut Chosen::try_any(CONFIG, jittered, seed).expect("a valid config"), 3);
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
        let mut reseeded = Chosen::try_any(CONFIG, jittered, 1).expect("a valid config");
        reseeded.reseed(2);
        assert_eq!(waits(&mut reseeded, 3), of_seed(2));
    }

    #[test]
    fn rule_3_what_its_parts_would_refuse_it_refuses() {
        let refused = |mode| Chosen::try_any(CONFIG, mode, 7).expect_err("invalid");
        let slow = Some(SlowCalls::DEFAULT);
        assert_eq!(refused(ModeConfig { slow, ..ModeConfig::DEFAULT }), ConfigError::SlowNeedsWindow);
        let opens = Opens::CountWindow(Window { calls: 129, ..Window::DEFAULT });
        assert_eq!(refused(ModeConfig { opens, ..ModeConfig::DEFAULT }), ConfigError::WindowCalls);
        let opens = Opens::TimeWindow(Span { buckets: 11, ..Span::DEFAULT });
        assert_eq!(refused(ModeConfig { opens, ..ModeConfig::DEFAULT }), ConfigError::SpanBuckets);
        let opens = Opens::TimeWindow(Span::DEFAULT);
        let slow = Some(SlowCalls { slow_pct: 0, ..SlowCalls::DEFAULT });
        assert_eq!(refused(ModeConfig { opens, slow, growth: None }), ConfigError::SlowPct);
        let growth = Some(Growth { jitter: Jitter::Factor(101), ..Growth::DEFAULT });
        assert!(matches!(refused(ModeConfig { growth, ..ModeConfig::DEFAULT }), ConfigError::Growth(_)));
        let no_probes = Config { probes: 0, ..CONFIG };
        assert_eq!(Chosen::try_any(no_probes, ModeConfig::DEFAULT, 7).expect_err("invalid"), ConfigError::NoProbes);
    }

    #[test]
    fn a_text_names_the_mode_and_what_it_leaves_out_has_its_default() {
        let read = |text: &str| serde_json::from_str::<ModeConfig>(text);
        assert_eq!(read("{}").expect("all defaults"), ModeConfig::DEFAULT);
        assert_eq!(read(r#"{"opens": "consecutive"}"#).expect("a mode"), ModeConfig::DEFAULT);
        let all = r#"{
            "opens": {"time_window": {"buckets": 6, "bucket": "10s", "failure_pct": 25}},
            "slow": {"slow_call": "1500ms"},
            "growth": {"strategy": {"exponential": {"factor": 3}}, "jitter": "equal"}
        }"#;
        let expected = ModeConfig {
            opens: Opens::TimeWindow(Span { buckets: 6, bucket: TEN, failure_pct: 25, ..Span::DEFAULT }),
            slow: Some(SlowCalls { slow_call: Duration::from_millis(1_500), ..SlowCalls::DEFAULT }),
            growth: Some(Growth { strategy: Strategy::Exponential { factor: 3 }, jitter: Jitter::Equal }),
        };
        assert_eq!(read(all).expect("a mode"), expected);
        let written = serde_json::to_string(&expected).expect("a text");
        assert_eq!(read(&written).expect("what was written"), expected, "{written}");
    }

    #[test]
    fn a_text_with_a_word_that_means_nothing_is_refused() {
        for (text, says) in [
            (r#"{"open": "consecutive"}"#, "`open`"),
            (r#"{"opens": "sometimes"}"#, "`sometimes`"),
            (r#"{"opens": {"count_window": {"call": 100}}}"#, "`call`"),
            (r#"{"slow": {"slow_call": "soon"}}"#, "such as `100ms`"),
            (r#"{"slow": {"slow_call": -1}}"#, "-1"),
            (r#"{"slow": {"slow_call": 1.5}}"#, "such as `100ms`"),
            (r#"{"slow": {"slow_pct": 300}}"#, "300"),
            (r#"{"opens": {"count_window": {"calls": 4294967296}}}"#, "4294967296"),
            (r#"{"opens": {"count_window": {}, "time_window": {}}}"#, "expected"),
            (r#"{"opens": {"consecutive": {"failures": 3}}}"#, "unit"),
            (r#"{"growth": {"strategy": {"exponential": {"factr": 3}}}}"#, "`factr`"),
            (r#"{"growth": {"strategy": {"random": {"min": "1s", "max": "2s", "mean": "1s"}}}}"#, "`mean`"),
            (r#"{"growth": {"jitter": {"factor": 256}}}"#, "256"),
        ] {
            let error = serde_json::from_str::<ModeConfig>(text).expect_err("refused").to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

#[test]
fn adaptors_go_around_each_other() {
    const WINDOW: Window = Window { calls: 10, failure_pct: 50, min_calls: 1 };
    static MACHINE: Backoff<Slow<CountWindow<1>>> = Backoff::new(
        Slow::<CountWindow<1>>::of_calls(WINDOW, SlowCalls { slow_call: TEN, slow_pct: 50 }),
        Growth { strategy: Strategy::Linear, jitter: Jitter::None },
        7,
    );
    let mut breaker = Breaker::with_mode(CONFIG, MACHINE.clone());
    assert!(breaker.fast().times_calls);
    let permit = breaker.try_acquire(START).expect("closed");
    let now = START + TEN + TEN;
    assert!(breaker.on_success(permit, now).is_some(), "it was slow");
    assert_eq!(breaker.poll_at(), Some(now + TEN));
    assert_eq!(opens(&mut breaker, now + TEN), TEN.times(2));
}
