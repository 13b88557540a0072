//! What a cache of results decides: the rules, and naive models beside them.

use std::collections::BTreeMap;

use daur_core::rng::Rng;
use daur_core::services::result_cache::{
    Age, Hand, Key, KeyBuilder, Life, Marks, Room, RoomError, Snapshot, Ttl, TtlError, Verdict,
};
use daur_core::time::{Duration, UnixTime};
use daur_tests::traces;
use proptest::prelude::*;

/// A part of a request, as a test makes them up.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Text(String),
    Number(u64),
    List(Vec<Vec<u8>>),
    Pairs(Vec<(Vec<u8>, Vec<u8>)>),
}

fn key(parts: &[Part]) -> Key {
    let put = |builder: KeyBuilder, part: &Part| match part {
        Part::Bytes(bytes) => builder.bytes(bytes),
        Part::Text(text) => builder.text(text),
        Part::Number(number) => builder.number(*number),
        Part::List(list) => builder.list(list),
        Part::Pairs(pairs) => builder.pairs(pairs),
    };
    parts.iter().fold(Key::builder(), put).finish()
}

/// The parts with their pairs in one order: what is the same request.
fn in_order(parts: &[Part]) -> Vec<Part> {
    let sorted = |part: &Part| match part {
        Part::Pairs(pairs) => {
            let mut pairs = pairs.clone();
            pairs.sort();
            Part::Pairs(pairs)
        }
        other => other.clone(),
    };
    parts.iter().map(sorted).collect()
}

/// Few bytes, so that requests often differ by their borders only.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(b'a')], 0..4)
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![
        bytes().prop_map(Part::Bytes),
        bytes().prop_map(|bytes| Part::Text(String::from_utf8(bytes).unwrap())),
        (0_u64..3).prop_map(Part::Number),
        prop::collection::vec(bytes(), 0..3).prop_map(Part::List),
        prop::collection::vec((bytes(), bytes()), 0..4).prop_map(Part::Pairs),
    ];
    prop::collection::vec(part, 0..4)
}

proptest! {
    #[test]
    fn rule_1_requests_have_the_same_key_if_and_only_if_they_are_the_same(a in parts(), b in parts()) {
        prop_assert_eq!(key(&a) == key(&b), in_order(&a) == in_order(&b));
    }

    #[test]
    fn rule_3_pairs_have_no_order(
        pairs in prop::collection::vec((bytes(), bytes()), 0..6), seed in any::<u64>(), more in parts(),
    ) {
        let mut shuffled = pairs.clone();
        let mut rng = Rng::new(seed);
        (1..shuffled.len()).rev().for_each(|i| shuffled.swap(i, rng.next_u32() as usize % (i + 1)));
        let with = |pairs| key(&[&[Part::Pairs(pairs)][..], &more].concat());
        prop_assert_eq!(with(pairs), with(shuffled));
    }

    #[test]
    fn a_life_is_no_longer_than_asked_nor_than_allowed_and_no_shorter_than_the_spread(
        key in bytes(), asked in 0_u64..5_000_000, longest in 1_u64..5_000_000, spread in 0_u16..=500, now in any::<u64>(),
    ) {
        let ttl = Ttl { longest: Duration::from_millis(longest), spread_permille: spread };
        prop_assert_eq!(ttl.validate(), Ok(()));
        let most = asked.min(longest);
        match ttl.life(&key, Duration::from_millis(asked), UnixTime::from_millis(now)) {
            None => prop_assert!(most <= 1 || now == u64::MAX),
            Some(life) => {
                let span = life.expires.as_millis() - life.created.as_millis();
                let least = most - most * u64::from(spread) / 1_000;
                prop_assert!(span <= most && (span >= least || life.expires.as_millis() == u64::MAX), "{} of {}", span, most);
                prop_assert_eq!(ttl.life(&key, Duration::from_millis(asked), UnixTime::from_millis(now)), Some(life));
            }
        }
    }

    #[test]
    fn rule_5_nothing_goes_up_to_the_high_water_and_above_it_room_is_made_for_what_comes_in(
        cap in 1_u64..1 << 40, high in 1_u16..=1_000, low in 1_u16..=1_000, step in 0_u64..1 << 24,
        used in 0_u64..1 << 40, incoming in 0_u64..1 << 24,
    ) {
        let room = Room { cap, high_permille: high.max(low), low_permille: low, step, ..Room::DEFAULT };
        prop_assert_eq!(room.validate(), Ok(()));
        let free = room.to_free(used, incoming);
        if used + incoming <= room.high() {
            prop_assert_eq!(free, 0);
        } else {
            let after = used + incoming - free;
            prop_assert!(free <= used && free <= incoming + step);
            prop_assert!(after >= room.low().min(incoming));
            // The low water is reached, or as much goes as may at once, or all.
            prop_assert!(after <= room.low() || free == incoming + step || free == used);
        }
    }

    #[test]
    fn the_hand_does_as_a_naive_model(
        ops in prop::collection::vec((0_u8..10, any::<u16>()), 1..400), spare in 0_u32..6,
    ) {
        let marks = Marks::<512>::new();
        let mut hand = Hand::new();
        let mut model = Model::default();
        for (op, which) in ops {
            match op {
                0..3 => {
                    let number = model.insert();
                    marks.reset(number);
                }
                3..7 => {
                    if let Some(number) = model.nth(which.into()) {
                        model.asked.insert(number, true);
                        marks.touch(number);
                    }
                }
                _ => {
                    let many = usize::from(which % 4) + 1;
                    let rows: Vec<u64> = model.asked.keys().copied().collect();
                    prop_assert_eq!(evict(&mut hand, &marks, rows, many, spare), model.evict(many, spare));
                }
            }
        }
    }
}

/// Rows and whether they were asked for; the next one that the hand comes to.
#[derive(Default)]
struct Model {
    asked: BTreeMap<u64, bool>,
    next: u64,
    hand: u64,
}

impl Model {
    fn insert(&mut self) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, false);
        self.next
    }

    fn nth(&self, n: usize) -> Option<u64> {
        self.asked.keys().nth(n.checked_rem(self.asked.len())?).copied()
    }

    fn evict(&mut self, many: usize, mut spare: u32) -> Vec<u64> {
        let mut gone = Vec::new();
        while gone.len() < many && !self.asked.is_empty() {
            let Some((&number, asked)) = self.asked.range_mut(self.hand..).next() else {
                self.hand = 0;
                continue;
            };
            self.hand = number + 1;
            if std::mem::take(asked) && spare > 0 {
                spare -= 1;
            } else {
                self.asked.remove(&number);
                gone.push(number);
            }
        }
        gone
    }
}

/// As a store does it: asks for the rows after the hand.
fn evict<const N: usize>(hand: &mut Hand, marks: &Marks<N>, mut rows: Vec<u64>, many: usize, spare: u32) -> Vec<u64> {
    let mut pass = hand.pass(spare);
    let mut gone = Vec::new();
    while gone.len() < many && !rows.is_empty() {
        let from = pass.after().map_or(0, |after| rows.partition_point(|number| *number <= after));
        match rows.get(from) {
            None => assert!(pass.turn(), "there are rows, so it does not stand at the beginning"),
            Some(&number) if pass.judge(number, marks) == Verdict::Evict => {
                rows.remove(from);
                gone.push(number);
            }
            Some(_) => {}
        }
    }
    gone
}

#[test]
fn rule_2_of_keys_texts_bytes_and_numbers_are_three_parts() {
    let keys = [
        Key::builder().text("5").finish(),
        Key::builder().bytes(b"5").finish(),
        Key::builder().number(5).finish(),
        Key::builder().bytes(&5_u64.to_le_bytes()).finish(),
        Key::builder().list(&["5"]).finish(),
        Key::builder().pairs(&[("5", "")]).finish(),
        Key::builder().finish(),
    ];
    for (i, key) in keys.iter().enumerate() {
        assert!(keys.iter().skip(i + 1).all(|other| other != key), "{i}");
    }
    assert_eq!(keys[1], Key::of(["5"]));
}

#[test]
fn rule_4_of_keys_the_form_is_as_it_was() {
    // SHA-256 by another program, of each part's kind, its length in eight bytes and itself.
    let words = "Key(3c78565e115c37bce11285977511cfb0edaa0f1ec11b61130cbc2ac80b03ff29)";
    assert_eq!(format!("{:?}", Key::of(["ls", "-la"])), words);
    let mixed = "Key(c6e5a2c8139e8bfbd0c41d6d3807acb4693945c15b4df2bf3f984e6f92825eec)";
    let key = Key::builder().list(&["ls", "-la"]).number(12_345).text("x").pairs::<&str, &str>(&[]).finish();
    assert_eq!(format!("{key:?}"), mixed);
}

#[test]
fn rule_3_of_keys_a_pair_that_is_there_twice_counts_twice() {
    let of = |pairs: &[(&str, &str)]| Key::builder().pairs(pairs).finish();
    assert_ne!(of(&[("a", "1"), ("a", "1")]), of(&[("a", "1")]));
    assert_eq!(of(&[("a", "1"), ("b", "2"), ("a", "1")]), of(&[("a", "1"), ("a", "1"), ("b", "2")]));
    assert_ne!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "2"), ("b", "1")]));
}

#[test]
fn rules_1_and_2_of_a_life_it_is_fresh_from_its_beginning_until_exactly_its_end() {
    let (created, expires) = (UnixTime::from_millis(1_000), UnixTime::from_millis(1_500));
    let life = Life { created, expires };
    assert_eq!(Ttl::DEFAULT.life(b"k", Duration::from_millis(500), created), Some(life));
    for (now, age) in [
        (0, Age::Future),
        (999, Age::Future),
        (1_000, Age::Fresh(Duration::from_millis(500))),
        (1_499, Age::Fresh(Duration::from_millis(1))),
        (1_500, Age::Expired),
        (u64::MAX, Age::Expired),
    ] {
        assert_eq!(life.at(UnixTime::from_millis(now)), age, "at {now}");
    }
    assert_eq!(Ttl::DEFAULT.life(b"k", Duration::from_micros(999), created), None);
    assert_eq!(Ttl::DEFAULT.life(b"k", Duration::from_secs(1), UnixTime::from_millis(u64::MAX)), None);
}

#[test]
fn rule_3_of_a_life_keys_spread_over_the_whole_of_it() {
    let ttl = Ttl { spread_permille: 100, ..Ttl::DEFAULT };
    let mut tenths = [0; 10];
    for i in 0..1_000_u32 {
        let key = Key::of([i.to_le_bytes()]);
        let life = ttl.life(&key, Duration::from_secs(1_000), UnixTime::from_secs(0)).unwrap();
        let cut = 1_000_000 - life.expires.as_millis();
        tenths[cut as usize / 10_000] += 1;
    }
    assert!(tenths.iter().all(|many| (60..140).contains(many)), "{tenths:?}");
}

#[test]
fn configs_are_checked_field_by_field() {
    let ttls = [
        (Ttl { longest: Duration::from_micros(999), ..Ttl::DEFAULT }, TtlError::Longest),
        (Ttl { spread_permille: 501, ..Ttl::DEFAULT }, TtlError::Spread),
    ];
    for (ttl, error) in ttls {
        assert_eq!(ttl.validate(), Err(error));
    }
    assert_eq!(TtlError::Spread.to_string(), "spread_permille is out of range; allowed is from 0 to 500");
    let rooms = [
        (Room { cap: 0, ..Room::DEFAULT }, RoomError::Cap),
        (Room { high_permille: 1_001, ..Room::DEFAULT }, RoomError::High),
        (Room { low_permille: 900, ..Room::DEFAULT }, RoomError::High),
        (Room { low_permille: 0, ..Room::DEFAULT }, RoomError::Low),
    ];
    for (room, error) in rooms {
        assert_eq!(room.validate(), Err(error));
    }
    assert_eq!((Ttl::DEFAULT.validate(), Room::DEFAULT.validate()), (Ok(()), Ok(())));
}

#[test]
fn rules_1_to_4_of_the_hand() {
    let (mut hand, marks) = (Hand::new(), Marks::<64>::new());
    let mut rows: Vec<u64> = (1..=6).collect();
    let mut evict = |rows: &mut Vec<u64>, many, spare| {
        let gone = evict(&mut hand, &marks, rows.clone(), many, spare);
        rows.retain(|number| !gone.contains(number));
        gone
    };
    assert_eq!(evict(&mut rows, 2, 9), [1, 2], "where nobody asks, the oldest go");
    marks.touch(3);
    assert_eq!(evict(&mut rows, 1, 9), [4], "who was asked for is spared");
    rows.push(7);
    assert_eq!(evict(&mut rows, 3, 9), [5, 6, 7], "it goes on where it stood");
    assert_eq!(evict(&mut rows, 1, 9), [3], "and begins anew: once spared is enough");
    rows.extend(8..=11);
    (8..=11).for_each(|number| marks.touch(number));
    assert_eq!(evict(&mut rows, 1, 2), [10], "after two spared, the next one goes all the same");
    let mut none = hand.pass(9);
    assert!(none.turn() && !none.turn(), "at the beginning there is no turn");
}

/// The hits of a store of `size` rows on a trace.
fn hits(trace: &[u64], size: usize, spare: u32) -> usize {
    let (mut hand, marks) = (Hand::new(), Marks::<4_096>::new());
    let (mut by_key, mut rows) = (BTreeMap::new(), BTreeMap::new());
    let mut hits = 0;
    for (number, key) in (1..).zip(trace) {
        if let Some(row) = by_key.get(key) {
            marks.touch(*row);
            hits += 1;
            continue;
        }
        if rows.len() == size {
            for gone in evict(&mut hand, &marks, rows.keys().copied().collect(), size / 16, spare) {
                by_key.remove(&rows.remove(&gone).unwrap());
            }
        }
        marks.reset(number);
        rows.insert(number, *key);
        by_key.insert(*key, number);
    }
    hits
}

#[test]
fn sparing_what_is_asked_for_finds_more_than_letting_the_oldest_go() {
    for (name, trace) in [
        ("zipf", traces::zipf(4_000, 0.99, 40_000, 7)),
        ("scans", traces::scan_mixed(2_000, 0.99, 40_000, (400, 200), 7)),
    ] {
        let (sparing, oldest) = (hits(&trace, 256, 256), hits(&trace, 256, 0));
        assert!(sparing * 100 > oldest * 110, "{name}: {sparing} and {oldest} of {}", trace.len());
    }
}

#[test]
fn hits_are_told_in_thousandths() {
    assert_eq!(Snapshot::default().hit_permille(), None);
    assert_eq!(Snapshot { hits: 2, misses: 1, ..Snapshot::default() }.hit_permille(), Some(666));
    assert_eq!(Snapshot { hits: u64::MAX, misses: 0, ..Snapshot::default() }.hit_permille(), Some(1_000));
}
