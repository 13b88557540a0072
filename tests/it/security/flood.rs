//! Ten million names that nobody has seen before: what is kept, what is refused, who is still served.

use daur_core::security::lockout::{Config, Lockout};
use daur_core::time::{Duration, Instant};

const NAMES: u64 = 10_000_000;
const PLACES: u32 = 64;

/// Calls `each` with every name.
fn flood(mut each: impl FnMut(u64, &str)) {
    let mut name = *b"user-0000000000000000";
    for n in 0..NAMES {
        // Scattered, so that no order helps a table; sixteen letters, each four bits.
        let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (letter, byte) in name[5..].chunks_exact_mut(2).zip(scattered.to_le_bytes()) {
            letter.copy_from_slice(&[b'a' + (byte & 15), b'a' + (byte >> 4)]);
        }
        each(n, str::from_utf8(&name).unwrap());
    }
}

#[test]
fn a_lockout_keeps_its_size_its_locks_and_its_users() {
    // On the stack, and without a pointer in it: it cannot grow.
    const _: () = assert!(size_of::<Lockout<64>>() <= 64 * 40 + 128);
    let mut users: Lockout<64> = Lockout::new(Config::DEFAULT, &[1; 32]);
    let mut strangers: Lockout<64> = Lockout::new(Config::DEFAULT, &[2; 32]);
    let begin = Instant::from_secs(1_000);
    let micros = |n| begin + Duration::from_micros(n);

    // In the flooded table: one that is locked, one on the way there.
    let locked = (0..3).filter_map(|_| strangers.on_failure("locked", begin)).next().unwrap();
    strangers.on_failure("once", begin);
    let (mut looked_at, mut refused) = (0_u64, 0_u64);
    flood(|n, name| {
        let now = micros(n);
        if strangers.check(name, now).is_ok() {
            looked_at += 1;
            strangers.on_failure(name, now);
        } else {
            refused += 1;
        }
        if n % 100_000 == 0 {
            assert_eq!(strangers.check("locked", now), Err(locked));
            assert_eq!(strangers.check("once", now), Ok(()));
            // Known users have a table to themselves: as if nothing were going on.
            assert_eq!(users.check("ada", now), Ok(()));
        }
    });
    let now = micros(NAMES);
    let snapshot = strangers.snapshot(now);
    assert_eq!((snapshot.tracked, snapshot.capacity, snapshot.locked), (PLACES, PLACES, 1));
    assert_eq!(looked_at + refused, NAMES);
    // One for each free place, ten at once of all others, and one of them every six seconds.
    assert_eq!(looked_at, u64::from(PLACES) - 2 + 10 + NAMES / 6_000_000);

    let just_before = locked.retry_at - Duration::from_nanos(1);
    assert_eq!(strangers.check("locked", just_before), Err(locked));
    assert_eq!(strangers.check("locked", locked.retry_at), Ok(()));
    assert_eq!(strangers.on_failure("once", now), None);
    assert!(strangers.on_failure("once", now).is_some(), "the failure before the flood still counts");
    // Whoever has no place yet has to wait for the rate of all such names, not for the flood's end.
    let turn = strangers.check("new", now).unwrap_err().retry_at;
    assert!(turn - now <= Duration::from_secs(6));
    assert_eq!(strangers.check("new", turn), Ok(()));
}

#[cfg(feature = "host")]
#[test]
fn a_keyed_limiter_allocates_nothing_and_forgets_nobody_who_is_limited() {
    use daur_core::reliability::limiter;
    use daur_std::clock::ManualClock;
    use daur_std::reliability::keyed::OnFull;
    use daur_std::reliability::keyed::limiter::{Config, KeyedLimiter, Refused};

    use crate::adapters::allocations;

    let limit = limiter::Config { rate: 1, period: Duration::from_secs(60), burst: 2 };
    let clock = ManualClock::new(Instant::from_secs(1_000));
    let config = Config { limit, capacity: 4_096, on_full: OnFull::Refuse };
    let keyed: KeyedLimiter<str, &ManualClock> = KeyedLimiter::with_clock(config, &clock).unwrap();
    assert!(keyed.check("limited").is_ok() && keyed.check("limited").is_ok());
    let limited = keyed.check("limited").unwrap_err();
    let (mut passed, mut full) = (0_u64, 0_u64);
    let ((), allocations, held) = allocations::of(|| {
        flood(|n, name| {
            match keyed.check(name) {
                Ok(()) => passed += 1,
                Err(Refused::Full { .. }) => full += 1,
                Err(refused) => panic!("{name} was never here: {refused:?}"),
            }
            if n % 100_000 == 0 {
                assert_eq!(keyed.check("limited"), Err(limited));
            }
        });
    });
    assert_eq!((allocations, held), (0, 0));
    assert_eq!(passed + full, NAMES);
    let snapshot = keyed.snapshot();
    assert_eq!(passed + 1, snapshot.keys as u64, "every place is taken once: no time has passed");
    clock.set(limited.retry_at() - Duration::from_nanos(1));
    assert_eq!(keyed.check("limited"), Err(limited));
    clock.set(limited.retry_at());
    assert_eq!(keyed.check("limited"), Ok(()));
}
