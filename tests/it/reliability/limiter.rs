//! The rate limiter against a naive count, in the way of governor's "accurate not-until" property.

use daur_core::reliability::limiter::{Config, Gcra, Limited, Limiter, Quota};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

#[test]
fn a_key_costs_eight_bytes() {
    assert_eq!(size_of::<Gcra>(), 8);
}

#[test]
fn keys_share_a_quota_and_nothing_else() {
    let quota = Quota::new(Config { rate: 1, period: Duration::from_secs(1), burst: 1 });
    let (mut alice, mut bob) = (Gcra::NEW, Gcra::NEW);
    let now = Instant::from_secs(9);
    assert!(alice.check(&quota, now).is_ok() && alice.check(&quota, now).is_err());
    assert!(bob.check(&quota, now).is_ok());
    assert!(!alice.is_idle(now) && alice.is_idle(now + Duration::from_secs(1)));
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn rule_1_a_burst_passes_at_once_then_one_per_interval() {
    let mut limiter = Limiter::new(Config { rate: 4, period: SECOND, burst: 3 });
    let start = Instant::from_secs(5);
    assert_eq!((0..10).filter(|_| limiter.check(start).is_ok()).count(), 3);
    let passed = (1..=10_000).filter(|&ms| limiter.check(start + Duration::from_millis(ms)).is_ok()).count();
    assert_eq!(passed, 40);
    // After a rest of `burst` intervals the burst is there again, and no more.
    let rested = start + Duration::from_secs(1_000);
    assert_eq!((0..10).filter(|_| limiter.check(rested).is_ok()).count(), 3);
}

#[test]
fn rule_2_refused_just_before_and_accepted_exactly_at_retry_at() {
    let mut limiter = Limiter::new(Config { rate: 7, period: SECOND, burst: 2 });
    let mut now = Instant::from_secs(3);
    for _ in 0..200 {
        let Err(Limited { retry_at }) = limiter.check(now) else { continue };
        assert_eq!(limiter.retry_at(), retry_at);
        assert_eq!(limiter.check(retry_at - Duration::from_nanos(1)), Err(Limited { retry_at }));
        assert_eq!(limiter.check(retry_at), Ok(()));
        now = retry_at;
    }
}

#[test]
fn rule_3_a_refusal_and_a_peek_use_nothing_up() {
    let mut limiter = Limiter::new(Config { rate: 1, period: SECOND, burst: 1 });
    let now = Instant::from_secs(1);
    for _ in 0..100 {
        assert_eq!(limiter.peek(now), Ok(()));
    }
    assert_eq!(limiter.check(now), Ok(()));
    let refused = Err(Limited { retry_at: now + SECOND });
    for _ in 0..100 {
        assert_eq!(limiter.check(now), refused);
        assert_eq!(limiter.check_n(1, now), refused);
        assert_eq!(limiter.peek(now), refused);
    }
    assert_eq!(limiter.check(now + SECOND), Ok(()));
    assert_eq!(limiter.snapshot().refused, 200);
}

#[test]
fn rule_4_a_clock_that_steps_back_lets_nothing_more_through() {
    let mut limiter = Limiter::new(Config { rate: 1, period: SECOND, burst: 2 });
    assert!(limiter.check_n(2, Instant::from_secs(100)).is_ok());
    for back in [99, 50, 0] {
        assert_eq!(limiter.check(Instant::from_secs(back)), Err(Limited { retry_at: Instant::from_secs(101) }));
    }
    assert!(limiter.check(Instant::from_secs(101)).is_ok());
}

#[test]
fn rule_5_so_many_pass_together_or_not_at_all() {
    let mut limiter = Limiter::new(Config { rate: 10, period: SECOND, burst: 10 });
    let now = Instant::from_secs(1);
    assert_eq!(limiter.check_n(11, now), Err(Limited { retry_at: Instant::MAX }));
    assert_eq!(limiter.check_n(7, now), Ok(()));
    let Err(Limited { retry_at }) = limiter.check_n(7, now) else { panic!("only 3 are left") };
    assert_eq!(retry_at, now + Duration::from_millis(400));
    assert_eq!(limiter.check_n(3, now), Ok(()), "the refusal took nothing");
    let mut other = Limiter::new(Config { rate: 10, period: SECOND, burst: 10 });
    assert!(other.check_n(7, now).is_ok());
    assert!(other.check_n(7, retry_at - Duration::from_nanos(1)).is_err());
    assert!(other.check_n(7, retry_at).is_ok());
}

#[test]
fn rule_6_a_rate_that_does_not_divide_its_period_is_never_exceeded() {
    for rate in [3, 7, 999] {
        let config = Config { rate, period: Duration::from_micros(1), burst: 1 };
        let mut limiter = Limiter::new(config);
        let passed = (0..100_000).filter(|&t| limiter.check(Instant::from_nanos(t)).is_ok()).count();
        assert!(passed <= 100 * rate as usize, "{passed} in 100 periods of {rate}");
    }
}

#[test]
fn refusals_are_counted() {
    let mut limiter = Limiter::new(Config { rate: 1, period: Duration::from_secs(1), burst: 1 });
    let now = Instant::from_secs(9);
    for _ in 0..3 {
        let _ = limiter.check(now);
    }
    assert_eq!(limiter.snapshot().refused, 2);
    assert_eq!(limiter.snapshot().retry_at, Instant::from_secs(10));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_together_are_as_many_one_by_one_at_once(
        interval in 1_u64..50,
        burst in 1_u32..6,
        steps in prop::collection::vec((0_u64..40, 0_u32..8), 1..200),
    ) {
        let config = Config { rate: 1, period: Duration::from_nanos(interval), burst };
        let mut limiter = Limiter::new(config);
        let mut now = Instant::from_secs(1);
        for (step, n) in steps {
            now += Duration::from_nanos(step);
            let mut one_by_one = limiter.clone();
            let all_pass = (0..n).all(|_| one_by_one.check(now).is_ok());
            prop_assert_eq!(limiter.check_n(n, now).is_ok(), all_pass);
            prop_assert_eq!(limiter.peek(now).is_ok(), limiter.clone().check(now).is_ok());
            if all_pass {
                prop_assert_eq!(limiter.retry_at(), one_by_one.retry_at());
            }
        }
    }

    #[test]
    fn in_no_stretch_of_time_do_more_pass_than_burst_and_rate_allow(
        interval in 1_u64..50,
        burst in 1_u32..6,
        steps in prop::collection::vec(0_u64..40, 1..200),
    ) {
        let config = Config { rate: 1, period: Duration::from_nanos(interval), burst };
        let mut limiter = Limiter::new(config);
        let mut now = Instant::from_secs(1);
        let mut passed = Vec::new();
        for step in steps {
            now += Duration::from_nanos(step);
            match limiter.check(now) {
                Ok(()) => passed.push(now.as_nanos()),
                Err(Limited { retry_at }) => {
                    let mut early = limiter.clone();
                    prop_assert!(early.check(retry_at - Duration::from_nanos(1)).is_err());
                    prop_assert!(early.check(retry_at).is_ok());
                }
            }
        }
        for (i, start) in passed.iter().enumerate() {
            for (count, end) in passed[i..].iter().enumerate() {
                prop_assert!((count as u64) < u64::from(burst) + (end - start) / interval);
            }
        }
    }
}
