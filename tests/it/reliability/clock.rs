//! Clocks made of 32-bit counters, left alone for weeks.

use std::sync::atomic::{AtomicU32, Ordering};

use daur_core::hal::clock::{TickClock, TickExtender};
use daur_core::reliability::retry::{Attempts, Config, Decision, Jitter, Reason, Retry};
use daur_core::time::{Clock, Duration, Instant};

const DAY: u64 = 24 * 3_600;

/// What a u32 counter of milliseconds shows after so many.
fn shown(millis: u64) -> u32 {
    u32::try_from(millis % (1 << 32)).expect("below 2^32")
}

/// It wraps after 49.7 days: who compares its readings waits for weeks, or not at all.
#[test]
fn known_bug_a_u32_millisecond_tick_left_unpolled_for_25_and_50_days() {
    for days in [25, 50] {
        let mut ticks = TickExtender::new();
        let (mut last, mut total) = (0, 0);
        for _ in 0..20 {
            total += days * DAY * 1_000;
            let seen = ticks.extend(shown(total));
            assert!(seen >= last, "it never goes back");
            assert_eq!(shown(seen), shown(total));
            if days == 25 {
                assert_eq!(seen, total, "and within a period it loses nothing");
            }
            last = seen;
        }
    }
}

/// A retry that lives by such a counter: its wait spans the wrap, and then 25 days pass.
#[test]
fn known_bug_a_wait_across_the_wrap_of_a_millisecond_tick() {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    static CLOCK: TickClock<1_000> = TickClock::new(|| COUNTER.load(Ordering::Relaxed));
    let pass = |millis: u32| {
        COUNTER.fetch_add(millis, Ordering::Relaxed);
        CLOCK.now()
    };
    // To 500 ms before the wrap, in two steps.
    pass(u32::MAX / 2);
    let start = pass(u32::MAX / 2 - 500);
    let config = Config {
        max_attempts: Attempts::Forever,
        jitter: Jitter::None,
        max_elapsed: Some(Duration::from_secs(26 * DAY)),
        ..Config::DEFAULT
    };
    let mut retry = Retry::new(config, 1, start);
    assert_eq!(retry.next(pass(0)), Decision::Retry { after: Duration::from_secs(1) });
    let now = pass(1_000);
    assert_eq!(now - start, Duration::from_secs(1), "the counter has wrapped, the clock has not");
    assert_eq!(retry.next(now), Decision::Retry { after: Duration::from_secs(2) });
    assert!(matches!(retry.next(pass(shown(25 * DAY * 1_000))), Decision::Retry { .. }));
    assert_eq!(retry.next(pass(shown(2 * DAY * 1_000))), Decision::Stop { reason: Reason::Elapsed });
}

#[test]
fn a_clock_that_stands_still_or_steps_back_a_tick_moves_nobody() {
    let mut ticks = TickExtender::new();
    ticks.extend(1_000);
    assert_eq!([ticks.extend(999), ticks.extend(1_000), ticks.extend(1_001)], [1_000, 1_000, 1_001]);
    assert_eq!(Instant::from_millis(1) - Instant::from_millis(2), Duration::ZERO);
}
