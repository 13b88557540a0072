//! The rules of Sieve.

use daur_core::performance::cache::{Cache, Config, Inserted, Sieve};

use super::at;

type Small = Cache<u32, u32, 4, Sieve<u8>>;

/// The keys 0 to 3, of which 0 came first.
fn full() -> Small {
    let mut cache = Cache::new(Config::DEFAULT);
    for key in 0..4 {
        cache.insert(key, key * 10, at(0));
    }
    cache
}

fn keys<const N: usize>(cache: &Cache<u32, u32, N, Sieve<u8>>) -> Vec<u32> {
    cache.iter(at(0)).map(|(key, _)| *key).collect()
}

#[test]
fn the_example_of_the_paper() {
    // Figure 3 of the paper: seven objects from head to tail, A and B and G visited, the hand nowhere yet.
    const A: u32 = 10;
    const B: u32 = 11;
    let [c, d, e, f, g, h, i, j] = [12, 13, 14, 15, 16, 17, 18, 19];
    let mut cache: Cache<u32, u32, 7, Sieve<u8>> = Cache::new(Config::DEFAULT);
    for key in [g, f, e, d, c, B, A] {
        cache.insert(key, 0, at(0));
    }
    for key in [A, B, g] {
        cache.get(&key, at(0));
    }
    assert_eq!(cache.insert(h, 0, at(0)), Inserted::Evicted(f, 0), "the tail is spared, the next goes");
    assert_eq!(keys(&cache), [h, A, B, c, d, e, g]);
    assert!(cache.get(&A, at(0)).is_some());
    assert!(cache.get(&d, at(0)).is_some());
    assert_eq!(cache.insert(i, 0, at(0)), Inserted::Evicted(e, 0), "the hand goes on from where it was");
    assert!(cache.get(&B, at(0)).is_some());
    assert_eq!(cache.insert(j, 0, at(0)), Inserted::Evicted(c, 0), "D is spared");
    assert_eq!(keys(&cache), [j, i, h, A, B, d, g]);
}

#[test]
fn a_hit_changes_no_order_and_saves_once() {
    let mut cache = full();
    for _ in 0..3 {
        assert_eq!(cache.get(&0, at(0)), Some(&0));
    }
    assert_eq!(keys(&cache), [3, 2, 1, 0]);
    assert_eq!(cache.insert(4, 40, at(0)), Inserted::Evicted(1, 10));
    assert_eq!(cache.insert(5, 50, at(0)), Inserted::Evicted(2, 20));
    assert_eq!(cache.insert(6, 60, at(0)), Inserted::Evicted(3, 30));
    assert_eq!(keys(&cache), [6, 5, 4, 0], "the hand has come to 4");
    assert_eq!(cache.insert(7, 70, at(0)), Inserted::Evicted(4, 40));
    assert_eq!(cache.peek(&0, at(0)), Some(&0), "the hand has not come around yet");
}

#[test]
fn a_replacement_is_a_use_and_a_peek_is_none() {
    let mut cache = full();
    assert_eq!(cache.insert(0, 1, at(0)), Inserted::Replaced(0));
    assert!(cache.contains(&1, at(0)) && cache.peek(&1, at(0)).is_some());
    assert_eq!(cache.insert(4, 40, at(0)), Inserted::Evicted(1, 10));
    assert_eq!(cache.pop(), Some((2, 20)), "what would have left next");
}

#[test]
fn the_order_of_coming_in_survives_removals() {
    // SIEVEs on a ring of slots fill the hole with the next newcomer, who then stands among the old.
    let mut cache = full();
    assert_eq!(cache.remove(&1, at(0)), Some(10));
    assert_eq!(cache.insert(4, 40, at(0)), Inserted::Added);
    assert_eq!(keys(&cache), [4, 3, 2, 0]);
    for (newcomer, leaves) in [(5, 0), (6, 2), (7, 3), (8, 4)] {
        assert_eq!(cache.insert(newcomer, 0, at(0)), Inserted::Evicted(leaves, leaves * 10));
    }
}

#[test]
fn the_hand_survives_the_removal_of_the_entry_it_stands_on() {
    let mut cache = full();
    cache.get(&0, at(0));
    assert_eq!(cache.insert(4, 40, at(0)), Inserted::Evicted(1, 10)); // it stands on 2 now
    assert_eq!(cache.remove(&2, at(0)), Some(20));
    assert_eq!(cache.insert(5, 50, at(0)), Inserted::Added);
    assert_eq!(cache.insert(6, 60, at(0)), Inserted::Evicted(3, 30), "on to the next, not back to the oldest");
    // On the newest, and that leaves too: then it begins anew with the oldest.
    assert_eq!(cache.insert(7, 70, at(0)), Inserted::Evicted(4, 40));
    assert_eq!(cache.insert(8, 80, at(0)), Inserted::Evicted(5, 50));
    assert_eq!(cache.insert(9, 90, at(0)), Inserted::Evicted(6, 60));
    assert_eq!(
        (cache.remove(&7, at(0)), cache.remove(&8, at(0)), cache.remove(&9, at(0))),
        (Some(70), Some(80), Some(90))
    );
    assert_eq!(keys(&cache), [0]);
    assert_eq!(cache.pop(), Some((0, 0)));
    assert_eq!((cache.pop(), cache.len()), (None, 0));
    assert_eq!(cache.insert(1, 10, at(0)), Inserted::Added);
    assert_eq!(cache.pop(), Some((1, 10)));
}

#[test]
fn a_newcomer_to_a_place_does_not_inherit_its_bit() {
    let mut cache = full();
    for key in 0..4 {
        cache.get(&key, at(0));
    }
    cache.remove(&3, at(0));
    cache.insert(4, 40, at(0));
    assert_eq!(cache.insert(5, 50, at(0)), Inserted::Evicted(4, 40), "the only one that nobody used");
}

#[test]
fn the_walk_is_bounded_and_an_unused_newcomer_gives_way_meanwhile() {
    const STEPS: u32 = Sieve::<u8>::STEPS as u32;
    let mut cache: Cache<u32, u32, 256, Sieve<u8>> = Cache::new(Config::DEFAULT);
    for key in 0..256 {
        cache.insert(key, key, at(0));
    }
    let mut insert = |newcomer, uses_newest: bool| {
        let keys = keys(&cache);
        for key in keys.iter().skip(usize::from(!uses_newest)) {
            cache.get(key, at(0));
        }
        match cache.insert(newcomer, newcomer, at(0)) {
            Inserted::Evicted(key, _) => key,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(insert(1_000, true), STEPS, "all were used, so the one goes at which the walk ends");
    assert_eq!(insert(1_001, false), 1_000, "all but the newest were used");
    assert_eq!(insert(1_002, false), 1_001);
    assert_eq!(insert(1_003, true), 1 + 4 * STEPS, "the walk has gone on each time");
    assert_eq!(insert(STEPS, false), 1_003);
    assert_eq!(cache.peek(&1_002, at(0)), Some(&1_002));
}

#[test]
fn a_scan_passes_and_what_is_used_stays() {
    let mut cache: Cache<u32, u32, 64, Sieve<u8>> = Cache::new(Config::DEFAULT);
    for round in 0..100_u32 {
        for key in 0..16 {
            cache.get_or_insert_with(key, at(0), |key| *key);
        }
        for scanned in 0..40 {
            cache.get_or_insert_with(1_000 + round * 40 + scanned, at(0), |key| *key);
        }
    }
    assert_eq!(cache.snapshot().hits, 99 * 16);
}
