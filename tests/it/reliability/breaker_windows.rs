//! The rules of the breaker's windows by number, each in a module of its mode's name.

use daur_core::reliability::breaker::{
    Breaker, Cause, Config, ConfigError, CountWindow, Event, Mode, Slow, SlowCalls, Span, State, TimeWindow, Window,
};
use daur_core::time::{Duration, Instant};

const START: Instant = Instant::from_secs(1_000);
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);
const CONFIG: Config = Config { recovery_timeout: Duration::from_secs(10), ..Config::DEFAULT };
const BY_FAILURES: Option<Event> = Some(Event::Opened { cause: Cause::Failures });
const BY_SLOW_CALLS: Option<Event> = Some(Event::Opened { cause: Cause::SlowCalls });

fn report<M: Mode>(breaker: &mut Breaker<M>, good: bool, now: Instant) -> Option<Event> {
    report_long(breaker, good, Duration::ZERO, now)
}

/// One call that begins at `now`.
fn report_long<M: Mode>(breaker: &mut Breaker<M>, good: bool, took: Duration, now: Instant) -> Option<Event> {
    let permit = breaker.try_acquire(now).expect("admitted");
    if good { breaker.on_success(permit, now + took) } else { breaker.on_failure(permit, now + took) }
}

fn counts<M: Mode>(breaker: &Breaker<M>) -> (u32, u32, u32) {
    let counts = breaker.snapshot().window.expect("a window");
    (counts.calls, counts.failed, counts.slow)
}

mod count_window {
    use super::*;

    const WINDOW: Window = Window { calls: 100, failure_pct: 50, min_calls: 10 };
    type Windowed = Breaker<CountWindow<4>>;

    #[test]
    fn rule_1_each_outcome_pushes_out_the_one_of_so_many_calls_before() {
        let mut breaker = Windowed::windowed(CONFIG, WINDOW);
        for _ in 0..100 {
            report(&mut breaker, true, START);
        }
        for _ in 0..49 {
            report(&mut breaker, false, START);
        }
        assert_eq!(counts(&breaker), (100, 49, 0));
        for _ in 0..51 {
            assert_eq!(report(&mut breaker, true, START), None);
        }
        assert_eq!(counts(&breaker), (100, 49, 0));
        for left in (0..49).rev() {
            report(&mut breaker, true, START);
            assert_eq!(counts(&breaker), (100, left, 0));
        }
    }

    #[test]
    fn rule_2_below_min_calls_there_is_no_rate_and_a_success_can_make_it_known() {
        let mut breaker = Windowed::windowed(CONFIG, WINDOW);
        for _ in 0..9 {
            assert_eq!(report(&mut breaker, false, START), None);
        }
        assert_eq!(report(&mut breaker, true, START), BY_FAILURES);
    }

    #[test]
    fn rule_3_the_rate_is_compared_in_whole_numbers() {
        // 1 of 3 is 33.3 %: at 34 it is not reached, at 33 it is.
        for (failure_pct, opens) in [(34, None), (33, BY_FAILURES)] {
            let window = Window { calls: 3, failure_pct, min_calls: 3 };
            let mut breaker = Windowed::windowed(CONFIG, window);
            report(&mut breaker, false, START);
            report(&mut breaker, true, START);
            assert_eq!(report(&mut breaker, true, START), opens);
        }
    }

    #[test]
    fn rule_4_half_open_the_same_rate_is_judged_once_enough_probes_have_reported() {
        for (outcomes, closes) in [([true, true, false], true), ([true, false, false], false)] {
            let mut breaker = Windowed::windowed(Config { probes: 3, ..CONFIG }, WINDOW);
            while report(&mut breaker, false, START).is_none() {}
            let now = START + Duration::from_secs(10);
            let mut event = None;
            for good in outcomes {
                assert_eq!(event, None);
                event = report(&mut breaker, good, now);
            }
            assert_eq!(event == Some(Event::Closed), closes);
            assert_eq!(breaker.state() == State::Closed, closes);
        }
        // With more probes than calls that make a rate, the first of them decide.
        let window = Window { min_calls: 2, ..WINDOW };
        let mut breaker = Windowed::windowed(Config { probes: 5, ..CONFIG }, window);
        while report(&mut breaker, false, START).is_none() {}
        let now = START + Duration::from_secs(10);
        assert_eq!(report(&mut breaker, true, now), None);
        assert_eq!(report(&mut breaker, true, now), Some(Event::Closed));
    }

    #[test]
    fn rule_5_each_change_of_state_empties_it() {
        let mut breaker = Windowed::windowed(CONFIG, WINDOW);
        while report(&mut breaker, false, START).is_none() {}
        assert_eq!(counts(&breaker), (0, 0, 0));
        let now = START + Duration::from_secs(10);
        assert_eq!(report(&mut breaker, true, now), Some(Event::Closed));
        assert_eq!(counts(&breaker), (0, 0, 0));
        report(&mut breaker, false, now);
        breaker.metrics_only(now);
        assert_eq!(counts(&breaker), (0, 0, 0));
    }

    #[test]
    fn known_bug_a_window_that_never_evicts() {
        let mut breaker = Windowed::windowed(CONFIG, WINDOW);
        for _ in 0..10_000 {
            assert_eq!(report(&mut breaker, true, START), None);
        }
        for _ in 0..49 {
            assert_eq!(report(&mut breaker, false, START), None);
        }
        assert_eq!(report(&mut breaker, false, START), BY_FAILURES, "the 50th failure");
    }

    #[test]
    fn known_bug_a_rate_rounded_to_two_decimals_so_that_49_5_percent_opens_at_50() {
        let window = Window { calls: 200, min_calls: 200, ..WINDOW };
        let mut breaker = Breaker::<CountWindow<7>>::windowed(CONFIG, window);
        for n in 0..10_000 {
            assert_eq!(report(&mut breaker, n % 200 >= 99, START), None, "after {n}");
        }
        assert_eq!(counts(&breaker), (200, 99, 0));
    }
}

mod time_window {
    use super::*;

    const SPAN: Span = Span { buckets: 6, bucket: Duration::from_secs(10), failure_pct: 50, min_calls: 4 };
    type Timed = Breaker<TimeWindow<6>>;

    #[test]
    fn rule_1_an_outcome_leaves_with_its_bucket() {
        let mut breaker = Timed::time_windowed(CONFIG, SPAN);
        // The first bucket begins with the first outcome: 1000 to 1010.
        report(&mut breaker, false, START);
        report(&mut breaker, true, START + SECOND);
        report(&mut breaker, true, START + SECOND.times(9));
        report(&mut breaker, true, START + SECOND.times(10));
        report(&mut breaker, true, START + SECOND.times(60) - NANO);
        assert_eq!(counts(&breaker), (5, 1, 0));
        report(&mut breaker, true, START + SECOND.times(60));
        assert_eq!(counts(&breaker), (3, 0, 0), "the first bucket's three have left as one");
        report(&mut breaker, true, START + SECOND.times(70));
        assert_eq!(counts(&breaker), (3, 0, 0));
    }

    #[test]
    fn rule_1_an_empty_window_begins_anew_with_the_next_outcome() {
        let mut breaker = Timed::time_windowed(CONFIG, SPAN);
        report(&mut breaker, false, START);
        let anew = START + SECOND.times(6_003);
        report(&mut breaker, false, anew);
        assert_eq!(counts(&breaker), (1, 1, 0));
        report(&mut breaker, true, anew + SECOND.times(60) - NANO);
        assert_eq!(counts(&breaker), (2, 1, 0));
        report(&mut breaker, true, anew + SECOND.times(60));
        assert_eq!(counts(&breaker), (2, 0, 0));
    }

    #[test]
    fn rule_2_below_min_calls_there_is_no_rate_and_a_success_can_make_it_known() {
        let mut breaker = Timed::time_windowed(CONFIG, SPAN);
        for n in 0..3 {
            assert_eq!(report(&mut breaker, false, START + SECOND.times(n)), None);
        }
        assert_eq!(report(&mut breaker, true, START + SECOND.times(3)), BY_FAILURES);
    }

    #[test]
    fn rule_3_the_rate_is_compared_in_whole_numbers() {
        let mut breaker = Timed::time_windowed(CONFIG, Span { min_calls: 200, ..SPAN });
        for n in 0..200 {
            assert_eq!(report(&mut breaker, n >= 99, START), None, "99 of 200 are 49.5 %");
        }
        assert_eq!(report(&mut breaker, false, START), None, "100 of 201 are 49.8 %");
        assert_eq!(report(&mut breaker, false, START), BY_FAILURES, "101 of 202 are 50 %");
    }

    #[test]
    fn rule_4_half_open_the_same_rate_is_judged_once_enough_probes_have_reported() {
        for (outcomes, closes) in [([true, true, false], true), ([true, false, false], false)] {
            let mut breaker = Timed::time_windowed(Config { probes: 3, ..CONFIG }, SPAN);
            while report(&mut breaker, false, START).is_none() {}
            let now = START + Duration::from_secs(10);
            // However far apart the probes are.
            let events: Vec<_> = (0..)
                .zip(outcomes)
                .map(|(n, good)| report(&mut breaker, good, now + Duration::from_secs(20 * n)))
                .collect();
            assert_eq!(events[..2], [None, None]);
            assert_eq!(events[2] == Some(Event::Closed), closes);
            assert_eq!(breaker.state() == State::Closed, closes);
        }
    }

    #[test]
    fn rule_5_each_change_of_state_empties_it() {
        let mut breaker = Timed::time_windowed(CONFIG, SPAN);
        while report(&mut breaker, false, START).is_none() {}
        assert_eq!(counts(&breaker), (0, 0, 0));
        let now = START + Duration::from_secs(10);
        assert_eq!(report(&mut breaker, true, now), Some(Event::Closed));
        report(&mut breaker, false, now);
        assert_eq!(counts(&breaker), (1, 1, 0));
        breaker.reset(now);
        assert_eq!(counts(&breaker), (0, 0, 0));
    }

    #[test]
    fn rule_6_a_clock_that_steps_backwards_evicts_nothing() {
        let mut breaker = Timed::time_windowed(CONFIG, Span { min_calls: 100, ..SPAN });
        for n in 0..60 {
            report(&mut breaker, false, START + SECOND.times(n));
        }
        for now in [START, Instant::ZERO, START + SECOND.times(3), Instant::ZERO] {
            report(&mut breaker, false, now);
        }
        assert_eq!(counts(&breaker), (64, 64, 0));
        // What was reported meanwhile is of the bucket that was present: 50 s to 60 s.
        report(&mut breaker, true, START + SECOND.times(110) - NANO);
        assert_eq!(counts(&breaker), (15, 14, 0));
        report(&mut breaker, true, START + SECOND.times(110));
        assert_eq!(counts(&breaker), (2, 0, 0));
    }

    #[test]
    fn rule_7_the_first_report_after_an_age_is_a_few_steps() {
        // A step for each nanosecond would not come back.
        let mut breaker = Timed::time_windowed(CONFIG, Span { bucket: NANO, ..SPAN });
        report(&mut breaker, false, Instant::ZERO);
        report(&mut breaker, false, Instant::from_nanos(u64::MAX - 1));
        assert_eq!(counts(&breaker), (1, 1, 0));
        report(&mut breaker, false, Instant::MAX);
        report(&mut breaker, true, Instant::MAX);
        assert!(breaker.snapshot().window.is_some_and(|counts| counts.calls >= 1));
    }

    #[test]
    fn a_span_that_means_nothing_is_refused() {
        let refused = |span| Timed::try_time_windowed(CONFIG, span).expect_err("invalid");
        assert_eq!(refused(Span { buckets: 0, ..SPAN }), ConfigError::SpanBuckets);
        assert_eq!(refused(Span { buckets: 7, ..SPAN }), ConfigError::SpanBuckets);
        assert_eq!(refused(Span { bucket: Duration::ZERO, ..SPAN }), ConfigError::SpanBucket);
        assert_eq!(refused(Span { min_calls: 0, ..SPAN }), ConfigError::SpanMinCalls);
        assert_eq!(refused(Span { failure_pct: 0, ..SPAN }), ConfigError::WindowFailurePct);
        assert_eq!(refused(Span { failure_pct: 101, ..SPAN }), ConfigError::WindowFailurePct);
        assert!(Timed::try_time_windowed(CONFIG, Span { bucket: Duration::MAX, ..SPAN }).is_ok());
        let config = Config { probes: 0, ..CONFIG };
        assert_eq!(Timed::try_time_windowed(config, SPAN).expect_err("invalid"), ConfigError::NoProbes);
    }
}

mod slow {
    use super::*;

    const WINDOW: Window = Window { calls: 10, failure_pct: 100, min_calls: 4 };
    const SPAN: Span = Span { buckets: 2, bucket: Duration::from_secs(60), failure_pct: 100, min_calls: 4 };
    const SLOW: SlowCalls = SlowCalls { slow_call: Duration::from_secs(2), slow_pct: 50 };

    fn of_calls(config: Config) -> Breaker<Slow<CountWindow<1>>> {
        Breaker::with_mode(config, Slow::<CountWindow<1>>::of_calls(WINDOW, SLOW))
    }

    fn of_time(config: Config) -> Breaker<Slow<TimeWindow<2>>> {
        Breaker::with_mode(config, Slow::<TimeWindow<2>>::of_time(SPAN, SLOW))
    }

    #[test]
    fn rule_1_a_call_of_exactly_the_limit_is_not_slow_and_one_longer_is() {
        let mut breaker = of_calls(CONFIG);
        for _ in 0..20 {
            assert_eq!(report_long(&mut breaker, true, SLOW.slow_call, START), None);
        }
        assert_eq!(counts(&breaker), (10, 0, 0));
        for n in 1..=4 {
            assert_eq!(report_long(&mut breaker, true, SLOW.slow_call + NANO, START), None);
            assert_eq!(counts(&breaker), (10, 0, n));
        }
        assert_eq!(report_long(&mut breaker, true, SLOW.slow_call + NANO, START), BY_SLOW_CALLS);
    }

    #[test]
    fn rule_1_a_slow_failure_counts_in_both_rates() {
        let mut breaker = of_time(CONFIG);
        report_long(&mut breaker, false, SECOND.times(3), START);
        assert_eq!(counts(&breaker), (1, 1, 1));
    }

    #[test]
    fn rule_2_both_rates_are_of_the_same_calls() {
        let mut breaker = of_time(CONFIG);
        for (good, took) in [(false, 3), (true, 3), (true, 1)] {
            assert_eq!(report_long(&mut breaker, good, SECOND.times(took), START), None, "below min_calls");
        }
        assert_eq!(counts(&breaker), (3, 1, 2));
        // The fourth makes the rates known: 1 of 4 failed, 2 of 4 were slow.
        assert_eq!(report(&mut breaker, true, START), BY_SLOW_CALLS);
        let mut breaker = of_calls(CONFIG);
        let all_bad: Vec<_> = (0..4).map(|_| report_long(&mut breaker, false, SECOND.times(3), START)).collect();
        assert_eq!(all_bad, [None, None, None, BY_FAILURES], "both are reached");
    }

    #[test]
    fn rule_3_half_open_both_rates_are_judged() {
        let closed = Some(Event::Closed);
        let again = Some(Event::Opened { cause: Cause::ProbeFailed });
        for (outcomes, expected) in [
            ([(true, 1), (true, 2)], closed),
            ([(true, 1), (false, 1)], closed),
            ([(false, 1), (false, 1)], again),
            ([(true, 1), (true, 3)], again),
            ([(false, 3), (true, 1)], again),
        ] {
            let mut breaker = of_calls(Config { probes: 2, ..CONFIG });
            while report(&mut breaker, false, START).is_none() {}
            let now = START + Duration::from_secs(10);
            let [(first, short), (second, long)] = outcomes;
            assert_eq!(report_long(&mut breaker, first, SECOND.times(short), now), None);
            assert_eq!(report_long(&mut breaker, second, SECOND.times(long), now), expected, "{outcomes:?}");
        }
    }

    #[test]
    fn rule_3_slow_probes_of_one_opening_are_not_held_against_the_next() {
        let mut breaker = of_calls(CONFIG);
        while report(&mut breaker, false, START).is_none() {}
        let now = START + Duration::from_secs(10);
        assert!(matches!(report_long(&mut breaker, true, SECOND.times(3), now), Some(Event::Opened { .. })));
        let now = now + Duration::from_secs(13);
        assert_eq!(report(&mut breaker, true, now), Some(Event::Closed));
    }

    #[test]
    fn rule_4_a_call_across_a_step_back_is_not_slow() {
        let mut breaker = of_calls(CONFIG);
        let permit = breaker.try_acquire(START).expect("closed");
        assert_eq!(breaker.on_success(permit, Instant::ZERO), None);
        assert_eq!(counts(&breaker), (1, 0, 0));
    }

    #[test]
    fn only_modes_that_time_calls_say_so() {
        assert!(of_calls(CONFIG).fast().times_calls && of_time(CONFIG).fast().times_calls);
        assert!(!Breaker::<CountWindow<1>>::windowed(CONFIG, WINDOW).fast().times_calls);
        assert!(!Breaker::new(CONFIG).fast().times_calls);
    }

    #[test]
    fn slow_calls_that_mean_nothing_are_refused() {
        let refused = |slow| Slow::<CountWindow<1>>::try_of_calls(WINDOW, slow).expect_err("invalid");
        assert_eq!(refused(SlowCalls { slow_call: Duration::ZERO, ..SLOW }), ConfigError::SlowCall);
        assert_eq!(refused(SlowCalls { slow_pct: 0, ..SLOW }), ConfigError::SlowPct);
        assert_eq!(refused(SlowCalls { slow_pct: 101, ..SLOW }), ConfigError::SlowPct);
        let window = Window { calls: 33, ..WINDOW };
        assert_eq!(Slow::<CountWindow<1>>::try_of_calls(window, SLOW).expect_err("invalid"), ConfigError::WindowCalls);
        let span = Span { buckets: 3, ..SPAN };
        assert_eq!(Slow::<TimeWindow<2>>::try_of_time(span, SLOW).expect_err("invalid"), ConfigError::SpanBuckets);
    }
}
