//! What is noted of entries: idle times, coarse moments, weights; and the keyed hasher.

use daur_core::performance::cache::{
    Cache, Coarse, Config, ConfigError, Exact, Fast, Inserted, Keyed, Lru, Note, Sieve, Weighted,
};
use daur_core::performance::cache::{Found, Idle};
use daur_core::time::{Duration, Instant};

use super::{TEN_SECS, at};

const IDLE: Config = Config { ttl: Some(Duration::from_secs(10)), idle: Some(Duration::from_secs(4)) };

type IdleCache<T = Exact> = Cache<u32, u32, 4, Lru<u8>, Fast, Idle<T>>;

fn just_before(moment: Instant) -> Instant {
    moment - Duration::from_nanos(1)
}

mod idle {
    use super::*;

    #[test]
    fn an_entry_is_found_until_it_was_idle_so_long_and_not_at_it() {
        let mut cache: IdleCache = Cache::new(Config { ttl: None, ..IDLE });
        cache.insert(1, 10, at(0));
        assert_eq!(cache.get(&1, just_before(at(4))), Some(&10), "a use begins the time anew");
        assert_eq!(cache.get(&1, at(7)), Some(&10));
        assert_eq!(cache.peek(&1, just_before(at(11))), Some(&10), "a look does not");
        assert_eq!(cache.get(&1, at(11)), None);
        assert_eq!(cache.snapshot().expired, 1);
    }

    #[test]
    fn the_sooner_of_ttl_and_idle_counts() {
        let mut cache: IdleCache = Cache::new(IDLE);
        cache.insert(1, 10, at(0));
        for now in [3, 6, 9] {
            assert!(cache.get(&1, at(now)).is_some());
        }
        assert_eq!(cache.expires_at(&1, at(9)), Some(at(10)));
        assert_eq!(cache.get(&1, just_before(at(10))), Some(&10));
        assert_eq!(cache.get(&1, at(10)), None, "used or not");
        cache.insert_with_ttl(2, 20, Duration::from_secs(2), at(10));
        assert!(cache.get(&2, at(11)).is_some());
        assert_eq!(cache.get(&2, at(12)), None, "its own ttl is the sooner one");
        cache.insert_with_ttl(3, 30, Duration::MAX, at(10));
        assert_eq!((cache.expires_at(&3, at(10)), cache.get(&3, at(14)).copied()), (Some(at(14)), None));
    }

    #[test]
    fn a_replacement_begins_both_anew_and_poll_at_keeps_its_word() {
        let mut cache: IdleCache = Cache::new(IDLE);
        cache.insert(1, 10, at(0));
        assert_eq!(cache.insert(1, 11, at(3)), Inserted::Replaced(10));
        assert_eq!(cache.get(&1, at(6)), Some(&11));
        assert_eq!(cache.sweep(just_before(cache.poll_at().unwrap()), 4), 0);
        cache.poll(at(9));
        assert_eq!((cache.len(), cache.poll_at()), (1, Some(at(10))));
        cache.poll(at(10));
        assert_eq!((cache.len(), cache.poll_at()), (0, None));
    }

    #[test]
    fn a_clock_that_steps_back_shortens_no_time() {
        let mut cache: IdleCache = Cache::new(IDLE);
        cache.insert(1, 10, at(100));
        assert_eq!(cache.get(&1, at(50)), Some(&10));
        assert_eq!(cache.get(&1, at(103)), Some(&10));
    }

    #[test]
    fn a_cache_that_notes_no_uses_refuses_an_idle_time_or_takes_it_for_a_ttl() {
        assert_eq!(Cache::<u32, u32, 4>::try_new(IDLE).err(), Some(ConfigError::IdleIsNotNoted));
        let mut cache: Cache<u32, u32, 4> = Cache::with_hasher(IDLE, Fast::new());
        cache.insert(1, 10, at(0));
        assert_eq!(cache.get(&1, at(3)), Some(&10));
        assert_eq!(cache.get(&1, at(4)), None);
        let zero = Config { idle: Some(Duration::ZERO), ..Config::DEFAULT };
        assert_eq!(IdleCache::<Exact>::try_new(zero).err(), Some(ConfigError::IdleIsZero));
        static STATIC: std::sync::Mutex<IdleCache> = std::sync::Mutex::new(Cache::new(IDLE));
        assert!(STATIC.lock().unwrap().is_empty());
    }
}

mod coarse {
    use super::*;

    const TICK: u64 = 1 << 20;
    /// Ticks of 2 ns, so that years pass in a second.
    type Fine = Coarse<1>;
    const FINE_LONGEST: u64 = 2 << 31;

    fn nanos(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn an_entry_is_never_over_before_its_time_and_less_than_a_tick_after() {
        let mut cache: Cache<u32, u32, 4, Lru<u8>, Fast, Coarse> = Cache::new(Config::DEFAULT);
        for (inserted, ttl) in [(0, 1), (0, TICK), (TICK - 1, 1), (TICK - 1, 2), (5, 10 * TICK), (7, 1 << 40)] {
            cache.insert_with_ttl(1, 10, Duration::from_nanos(ttl), nanos(inserted));
            let end = inserted + ttl;
            let expires_at = cache.expires_at(&1, nanos(inserted)).unwrap();
            assert!((end..end + TICK).contains(&expires_at.as_nanos()), "{inserted} + {ttl}: {expires_at:?}");
            assert_eq!(cache.poll_at(), Some(expires_at));
            assert_eq!(cache.get(&1, just_before(expires_at)), Some(&10));
            assert_eq!(cache.get(&1, expires_at), None);
            cache.clear();
        }
        cache.insert_with_ttl(2, 20, Duration::ZERO, nanos(3 * TICK / 2));
        assert_eq!(cache.get(&2, nanos(3 * TICK / 2 + TICK)), None);
    }

    #[test]
    fn what_is_over_stays_over_past_the_wrap_of_the_ticks_and_beyond() {
        for silence in [1_u64, 2, 3, 10].map(|wraps| wraps << 33) {
            for off in [-10_i64, -1, 0, 1, 10] {
                let mut cache: Cache<u32, u32, 8, Sieve<u8>, Fast, Fine> = Cache::new(Config::DEFAULT);
                cache.insert_with_ttl(1, 10, Duration::from_nanos(100), nanos(1_000));
                cache.insert(2, 20, nanos(1_000)); // for ever
                let later = nanos((1_000 + silence).saturating_add_signed(off));
                assert_eq!((cache.peek(&1, later), cache.peek(&2, later)), (None, Some(&20)));
                // Also when an insertion has moved the origin before anybody looked.
                cache.insert_with_ttl(3, 30, Duration::from_nanos(100), later);
                assert_eq!((cache.peek(&1, later), cache.iter(later).count()), (None, 2));
                assert_eq!(
                    (cache.peek(&1, nanos(1_050)), cache.peek(&1, nanos(0))),
                    (None, None),
                    "nor by a step back"
                );
                assert_eq!(cache.get(&1, later), None);
                assert_eq!((cache.get(&2, later).copied(), cache.len()), (Some(20), 2));
                let end = later + Duration::from_nanos(102);
                assert_eq!(cache.get(&3, nanos(end.as_nanos() - 3)), Some(&30));
                assert_eq!(cache.get(&3, end), None);
            }
        }
    }

    #[test]
    fn a_time_that_is_still_to_come_survives_the_origin_that_moves_on() {
        let mut cache: Cache<u32, u32, 8, Lru<u8>, Fast, Fine> = Cache::new(Config::DEFAULT);
        let longest = Duration::from_nanos(FINE_LONGEST);
        cache.insert_with_ttl(0, 0, longest, nanos(0));
        for step in 1..64_u32 {
            let now = nanos(u64::from(step) * FINE_LONGEST / 4);
            cache.insert_with_ttl(step, step, longest, now);
            let before = nanos(now.as_nanos() - 2);
            assert_eq!(cache.peek(&step.saturating_sub(4), now).is_some(), step < 4, "{step}");
            assert!(step < 4 || cache.peek(&(step - 3), before).is_some(), "{step}");
        }
    }

    #[test]
    fn a_poll_now_and_then_spares_the_insertions_the_walk_and_changes_nothing_else() {
        let mut cache: Cache<u32, u32, 8, Lru<u8>, Fast, Idle<Fine>> =
            Cache::new(Config { idle: Some(Duration::from_nanos(FINE_LONGEST / 2)), ..Config::DEFAULT });
        cache.insert(1, 10, nanos(0));
        for step in 1..100 {
            let now = nanos(step * FINE_LONGEST / 3);
            cache.poll(now);
            assert_eq!(cache.get(&1, now), Some(&10), "{step}");
        }
        // And hits alone carry an entry over the end of the ticks.
        for step in 100..200 {
            assert_eq!(cache.get(&1, nanos(step * FINE_LONGEST / 3)), Some(&10), "{step}");
        }
        assert_eq!(cache.get(&1, nanos(199 * FINE_LONGEST / 3 + FINE_LONGEST / 2 + 2)), None);
    }

    #[test]
    fn an_entry_of_a_clock_that_has_stepped_back_behind_the_origin_keeps_its_time() {
        let mut cache: Cache<u32, u32, 8, Lru<u8>, Fast, Fine> = Cache::new(Config::DEFAULT);
        let day = 1 << 46;
        cache.insert_with_ttl(1, 10, Duration::from_nanos(100), nanos(day)); // the origin has moved on
        cache.insert_with_ttl(2, 20, Duration::from_nanos(100), nanos(day / 2));
        assert_eq!((cache.peek(&2, nanos(day / 2 + 99)), cache.peek(&2, nanos(day / 2 + 100))), (Some(&20), None));
        assert_eq!(cache.peek(&1, nanos(day / 2 + 100)), Some(&10));
    }

    #[test]
    fn times_too_long_for_the_ticks_are_no_valid_config_and_are_cut_in_an_insertion() {
        let fits = Config { ttl: Some(Duration::from_nanos(FINE_LONGEST)), ..Config::DEFAULT };
        let too_long = Config { ttl: Some(Duration::from_nanos(FINE_LONGEST + 1)), ..Config::DEFAULT };
        let long = Config { idle: too_long.ttl, ..Config::DEFAULT };
        assert!(Cache::<u32, u32, 8, Lru, Fast, Fine>::try_new(fits).is_ok());
        assert_eq!(Cache::<u32, u32, 8, Lru, Fast, Fine>::try_new(too_long).err(), Some(ConfigError::TooLong));
        assert_eq!(Cache::<u32, u32, 8, Lru, Fast, Idle<Fine>>::try_new(long).err(), Some(ConfigError::TooLong));
        let mut cache: Cache<u32, u32, 8, Lru, Fast, Fine> = Cache::with_hasher(too_long, Fast::new());
        cache.insert(1, 10, nanos(0));
        cache.insert_with_ttl(2, 20, Duration::from_nanos(1 << 60), nanos(0));
        cache.insert_with_ttl(3, 30, Duration::MAX, nanos(0));
        let end = nanos(FINE_LONGEST);
        assert!(cache.contains(&1, just_before(end)) && cache.contains(&2, just_before(end)));
        assert_eq!((cache.contains(&1, end), cache.contains(&2, end), cache.contains(&3, end)), (false, false, true));
        assert!(cache.contains(&3, just_before(Instant::MAX)));
    }

    #[test]
    fn a_coarse_entry_takes_four_bytes_less() {
        fn bytes<T: Note>() -> usize {
            let grown = size_of::<Cache<u32, u32, 128, Lru<u8>, Fast, T>>()
                - size_of::<Cache<u32, u32, 64, Lru<u8>, Fast, T>>();
            grown / 64
        }
        assert_eq!((bytes::<Exact>(), bytes::<Coarse>()), (22, 18));
        assert_eq!((bytes::<Idle<Coarse>>(), bytes::<Weighted<Coarse>>()), (22, 22));
        assert_eq!((bytes::<Idle>(), bytes::<Weighted<Exact>>()), (30, 30));
        assert_eq!(
            size_of::<Cache<u32, u32, 64, Sieve<u8>, Fast, Coarse>>(),
            size_of::<Cache<u32, u32, 64, Lru<u8>, Fast, Coarse>>(),
        );
    }
}

mod weight {
    use super::*;

    type Heavy = Cache<u32, &'static str, 8, Lru<u8>, Fast, Weighted>;

    fn heavy() -> Heavy {
        let mut cache = Heavy::new(TEN_SECS).with_max_weight(100);
        for (key, weight) in [(1, 10), (2, 20), (3, 30), (4, 40)] {
            assert_eq!(
                cache.insert_weighted(key, "old", weight, at(0), |_, _| panic!("there is room")),
                Inserted::Added
            );
        }
        cache
    }

    #[test]
    fn one_insertion_may_push_out_several_and_all_are_handed_out() {
        let mut cache = heavy();
        assert_eq!((cache.weight(), cache.max_weight()), (100, 100));
        let mut aside = Vec::new();
        assert_eq!(cache.insert_weighted(5, "new", 55, at(0), |key, _| aside.push(key)), Inserted::Added);
        assert_eq!((aside, cache.weight(), cache.len()), (vec![1, 2, 3], 95, 2));
        let s = cache.snapshot();
        assert_eq!((s.weight, s.max_weight, s.evicted), (95, 100, 3));
    }

    #[test]
    fn what_is_heavier_than_all_may_be_is_handed_back_and_leaves_nothing_out_of_date() {
        let mut cache = heavy();
        let mut aside = Vec::new();
        let refused = cache.insert_weighted(1, "huge", 101, at(0), |key, value| aside.push((key, value)));
        assert_eq!((refused, aside), (Inserted::Refused(1, "huge"), vec![(1, "old")]));
        assert_eq!(cache.get(&1, at(0)), None);
        assert_eq!((cache.weight(), cache.snapshot().refused), (90, 1));
        let all = cache.insert_weighted(9, "all", 100, at(0), |_, _| {});
        assert_eq!((all, cache.len(), cache.weight()), (Inserted::Added, 1, 100));
    }

    #[test]
    fn a_replacement_changes_the_weight_and_does_not_push_itself_out() {
        let mut cache = heavy();
        let mut aside = Vec::new();
        assert_eq!(cache.insert_weighted(1, "new", 50, at(0), |key, _| aside.push(key)), Inserted::Replaced("old"),);
        assert_eq!((aside, cache.weight()), (vec![2, 3], 90));
        assert_eq!(cache.insert(1, "light", at(0)), Inserted::Replaced("new"));
        assert_eq!(cache.weight(), 41, "what comes without a weight weighs one");
        *cache.get_mut(&4, at(0)).unwrap() = "changed";
        assert_eq!(cache.remove(&4, at(0)), Some("changed"));
        assert_eq!(cache.weight(), 1);
    }

    #[test]
    fn a_sieve_does_not_push_out_what_is_replaced_either() {
        let mut cache: Cache<u32, u32, 8, Sieve<u8>, Fast, Weighted> = Cache::new(TEN_SECS).with_max_weight(10);
        cache.insert_weighted(1, 10, 5, at(0), |_, _| {});
        cache.insert_weighted(2, 20, 5, at(0), |_, _| {});
        assert!([1, 2].iter().all(|key| cache.get(key, at(0)).is_some()));
        for weight in [6, 10] {
            let mut aside = Vec::new();
            assert!(matches!(
                cache.insert_weighted(1, 11, weight, at(0), |key, _| aside.push(key)),
                Inserted::Replaced(_)
            ));
            assert_eq!((cache.peek(&1, at(0)), cache.weight()), (Some(&11), weight.into()));
        }
    }

    #[test]
    fn the_limit_can_be_lowered_and_raised() {
        let mut cache = heavy();
        assert_eq!((cache.limit_weight(70), cache.weight()), (2, 70), "1 and 2 had to leave");
        assert_eq!((cache.limit_weight(0), cache.len()), (2, 0));
        assert_eq!(cache.insert(1, "x", at(0)), Inserted::Refused(1, "x"));
        assert!(matches!(cache.get_or_insert_with(1, at(0), |_| "made"), Found::Refused(1, "made")));
        assert_eq!(cache.limit_weight(u64::MAX), 0);
        assert_eq!(cache.insert_weighted(1, "x", u32::MAX, at(0), |_, _| {}), Inserted::Added);
        assert_eq!(cache.insert_weighted(2, "x", u32::MAX, at(0), |_, _| {}), Inserted::Added);
        assert_eq!(cache.weight(), 2 * u64::from(u32::MAX));
    }

    #[test]
    fn expired_and_removed_entries_give_their_weight_back() {
        let mut cache = heavy();
        cache.insert_weighted_with_ttl(5, "short", 0, Duration::from_secs(1), at(0), |_, _| {});
        assert_eq!((cache.len(), cache.weight()), (4, 91), "a weight of zero counts as one");
        cache.poll(at(1));
        assert_eq!(cache.weight(), 90);
        assert_eq!(cache.get(&2, at(10)), None);
        assert_eq!(cache.weight(), 70);
        cache.clear();
        assert_eq!(cache.weight(), 0);
    }

    #[test]
    fn a_weighted_cache_stands_in_a_static() {
        static CACHE: std::sync::Mutex<Heavy> = std::sync::Mutex::new(Cache::new(TEN_SECS).with_max_weight(5));
        assert_eq!(CACHE.lock().unwrap().max_weight(), 5);
    }
}

mod keyed {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn keys_chosen_against_the_fast_hasher_are_spread_by_the_keyed_one() {
        // All keys share what a table takes from Fast's hash: its upper 16 and its lower 7 bits.
        let folded = |hash: u64| (hash ^ (hash >> 32)) & 0xFFFF_007F;
        let target = folded(Fast::new().hash_one(0_u64));
        let flood: Vec<u64> = (0..20_000_000).filter(|key| folded(Fast::new().hash_one(*key)) == target).collect();
        assert!(flood.len() >= 2, "a stranger finds such keys: {}", flood.len());
        let keyed = Keyed::new([9; 16]);
        let mut spread: Vec<u64> = flood.iter().map(|key| folded(keyed.hash_one(*key))).collect();
        spread.dedup();
        assert_eq!(spread.len(), flood.len());
    }

    #[test]
    fn a_keyed_cache_answers_as_any() {
        let mut cache: Cache<String, u32, 64, Sieve<u8>, Keyed> = Cache::with_hasher(TEN_SECS, Keyed::new([9; 16]));
        for n in 0..200 {
            cache.insert(format!("key {n}"), n, at(0));
        }
        let found = (0..200).filter(|n| cache.get(format!("key {n}").as_str(), at(1)) == Some(n)).count();
        assert_eq!((found, cache.len()), (64, 64));
    }
}
