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

#[test]
fn a_rate_that_does_not_divide_its_period_is_never_exceeded() {
    let mut limiter = Limiter::new(Config { rate: 3, period: Duration::from_nanos(5), burst: 1 });
    let passed = (0..1_000).filter(|&t| limiter.check(Instant::from_nanos(t)).is_ok()).count();
    assert!(passed <= 600, "{passed} in 200 periods of 3");
}
