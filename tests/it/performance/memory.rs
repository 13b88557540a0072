//! Memory: the rules of the levels and of those who give back, and naive models beside them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use daur_core::performance::cache::{self, Cache};
use daur_core::performance::memory::shrinkers::{self, Full, Shrinkers};
use daur_core::performance::memory::{
    Band, Bands, Change, Config, ConfigError, Level, Monitor, Reading, Resize, Share, Shrink, Usage,
};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

use Level::{Critical, Elevated, Normal};

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// `permille` of a limit of 1,000 bytes.
fn used(permille: u64) -> Usage {
    Usage::new(permille, 1_000)
}

fn pressed(permille: u64, pressure: u16) -> Reading {
    Reading { usage: used(permille), pressure: Some(pressure) }
}

/// A monitor that has read `permille` at second 100.
fn monitor(permille: u64) -> Monitor {
    let mut monitor = Monitor::new(Config::DEFAULT);
    monitor.update(used(permille), at(100));
    monitor
}

mod usages {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_reached_exactly() {
        assert_eq!(Usage::new(799, 1_000).permille(), 799);
        assert!(!Usage::new(7_999, 10_000).reaches(800));
        assert!(Usage::new(8_000, 10_000).reaches(800));
        assert_eq!(Usage::new(30, 10).permille(), 3_000, "above the limit");
    }

    #[test]
    fn without_a_limit_nothing_is_reached() {
        let unknown = Usage::new(5, 0);
        assert_eq!((unknown.permille(), unknown.reaches(0), unknown.above(0), unknown.free()), (0, false, 0, 0));
        assert_eq!(unknown.tighter(used(10)), used(10));
        assert_eq!(used(10).tighter(unknown), used(10));
    }

    #[test]
    fn the_largest_figures_are_judged_right() {
        let full = Usage::new(u64::MAX, u64::MAX);
        assert_eq!((full.permille(), full.reaches(1_000), full.reaches(1_001)), (1_000, true, false));
        assert_eq!(Usage::new(u64::MAX / 2, u64::MAX).permille(), 499);
        let over = Usage::new(u64::MAX, 1);
        assert_eq!((over.permille(), over.reaches(u16::MAX), over.free()), (u16::MAX, true, 0));
        assert_eq!(full.above(0), u64::MAX);
        assert_eq!(full.tighter(over), over);
    }

    #[test]
    fn a_pool_and_a_stack_are_used_too() {
        assert_eq!(Usage::of_places::<[u8; 48]>(3, 8), Usage::new(144, 384));
        assert_eq!(Usage::of_places::<u64>(usize::MAX, usize::MAX).limit, u64::MAX);
        assert_eq!(Usage::of_stack([7; 10], 7), Usage::new(0, 40), "never used");
        assert_eq!(Usage::of_stack([1, 7, 7], 7), Usage::new(12, 12), "to its end");
        assert_eq!(Usage::of_stack([], 7), Usage::new(0, 0));
    }

    #[test]
    fn a_share_of_a_capacity_never_overflows() {
        assert_eq!(Share::permille(333).of(usize::MAX), ((usize::MAX as u128) * 333 / 1_000) as usize);
        assert_eq!((Share::ALL.of(17), Share::NONE.of(17), Share::permille(5_000)), (17, 0, Share::ALL));
        assert_eq!(Share::permille(125).to_string(), "12.5 %");
    }

    proptest! {
        #[test]
        fn what_is_reached_and_above_is_what_fractions_say(used: u64, limit in 1_u64..1 << 48, permille: u16) {
            let used = used >> 16;
            let usage = Usage::new(used, limit);
            let exact = u128::from(used) * 1_000;
            prop_assert_eq!(usage.reaches(permille), exact >= u128::from(limit) * u128::from(permille));
            let allowed = u128::from(limit) * u128::from(permille) / 1_000;
            prop_assert_eq!(u128::from(usage.above(permille)), u128::from(used).saturating_sub(allowed));
            prop_assert_eq!(u128::from(usage.permille()), (exact / u128::from(limit)).min(65_535));
        }
    }
}

mod levels {
    use super::*;

    #[test]
    fn rule_1_a_level_is_entered_with_the_first_reading_at_its_enter() {
        let mut monitor = monitor(799);
        assert_eq!(monitor.level(), Normal);
        let change = monitor.update(used(800), at(101)).unwrap();
        assert_eq!(change, Change { from: Normal, to: Elevated, reading: used(800).into() });
        assert_eq!(monitor.update(used(919), at(101)), None);
        assert_eq!(monitor.update(used(920), at(101)).unwrap().to, Critical);
        let change = super::monitor(0).update(used(2_000), at(101)).unwrap();
        assert_eq!((change.from, change.to), (Normal, Critical), "in one step");
    }

    #[test]
    fn rule_2_a_level_is_left_after_a_dwell_below_its_leave_and_a_step_at_a_time() {
        let mut monitor = monitor(950);
        for second in 101..=110 {
            assert_eq!(monitor.update(used(100), at(second)), None, "{second}");
        }
        assert_eq!(monitor.update(used(100), at(111)).unwrap().to, Elevated);
        let last = Instant::from_nanos(at(121).as_nanos() - 1);
        assert_eq!(monitor.update(used(100), last), None);
        assert_eq!(monitor.update(used(100), at(121)).unwrap().to, Normal);
        assert_eq!(monitor.snapshot().changes, 3);
    }

    #[test]
    fn rule_2_one_reading_within_the_band_begins_the_dwell_anew() {
        let mut monitor = monitor(850);
        monitor.update(used(699), at(101));
        monitor.update(used(700), at(105));
        assert_eq!(monitor.update(used(699), at(111)), None);
        assert_eq!(monitor.update(used(699), at(120)), None);
        assert_eq!(monitor.update(used(699), at(121)).unwrap().to, Normal);
    }

    #[test]
    fn rule_3_within_its_band_a_level_stays() {
        let (mut elevated, mut normal) = (monitor(800), monitor(0));
        for second in 101..5_000 {
            let within = used(700 + second % 100);
            assert_eq!(elevated.update(within, at(second)), None);
            assert_eq!(normal.update(within, at(second)), None);
        }
        assert_eq!((elevated.level(), normal.level()), (Elevated, Normal));
    }

    #[test]
    fn rule_4_pressure_alone_raises_and_holds() {
        let mut monitor = monitor(0);
        assert_eq!(monitor.update(pressed(10, 99), at(101)), None);
        assert_eq!(monitor.update(pressed(10, 100), at(102)).unwrap().to, Elevated);
        assert_eq!(monitor.wanted(), u64::MAX, "nobody knows how much would be enough");
        assert_eq!(monitor.update(pressed(10, 400), at(103)).unwrap().to, Critical);
        assert_eq!(monitor.update(pressed(10, 200), at(150)), None);
        assert_eq!(monitor.update(pressed(10, 49), at(151)), None);
        assert_eq!(monitor.update(pressed(10, 49), at(161)).unwrap().to, Elevated);
        assert_eq!(monitor.update(pressed(10, 49), at(171)).unwrap().to, Normal);
    }

    #[test]
    fn rule_5_a_reading_that_knows_nothing_says_nothing_and_a_failed_one_is_counted() {
        let mut monitor = monitor(850);
        monitor.on_failure(at(101));
        assert_eq!(monitor.poll_at(), Some(at(102)));
        for second in 102..200 {
            assert_eq!(monitor.update(Usage::new(5, 0), at(second)), None);
        }
        assert_eq!((monitor.level(), monitor.snapshot().failures, monitor.snapshot().readings), (Elevated, 1, 99));
        let only_pressure = Reading { usage: Usage::default(), pressure: Some(500) };
        assert_eq!(monitor.update(only_pressure, at(200)).unwrap().to, Critical);
    }

    #[test]
    fn rule_6_a_clock_that_steps_backwards_leaves_no_level() {
        let mut monitor = monitor(850);
        monitor.update(used(0), at(101));
        for second in [50, 0, 101, 110] {
            assert_eq!(monitor.update(used(0), at(second)), None);
        }
        assert_eq!(monitor.update(used(0), at(111)).unwrap().to, Normal);
    }

    #[test]
    fn the_next_reading_comes_sooner_while_memory_is_short() {
        let mut monitor = Monitor::new(Config::DEFAULT);
        assert_eq!(monitor.poll_at(), Some(Instant::ZERO), "the first at once");
        assert_eq!(monitor.reading(), None);
        monitor.update(used(0), at(1));
        assert_eq!(monitor.poll_at(), Some(at(6)));
        monitor.update(used(800), at(6));
        assert_eq!(monitor.poll_at(), Some(at(7)));
    }

    #[test]
    fn an_invalid_config_is_refused() {
        let band = |enter, leave| Band { enter, leave };
        let config = |elevated, critical| Config { used: Bands { elevated, critical }, ..Config::DEFAULT };
        let refused = |config: Config| Monitor::try_new(config).unwrap_err();
        assert_eq!(refused(config(band(800, 800), band(900, 850))), ConfigError::Used);
        assert_eq!(refused(config(band(800, 700), band(790, 750))), ConfigError::Used);
        assert_eq!(refused(config(band(800, 700), band(900, 600))), ConfigError::Used);
        let pressure = Bands { elevated: Band::NEVER, critical: band(5, 5) };
        assert_eq!(refused(Config { pressure, ..Config::DEFAULT }), ConfigError::Pressure);
        assert_eq!(refused(Config { interval: Duration::ZERO, ..Config::DEFAULT }), ConfigError::NoInterval);
        assert!(Config { pressure: Bands::NEVER, ..Config::DEFAULT }.validate().is_ok());
    }

    /// Says in plain words what the rules say: by looking at all readings so far.
    fn naive(readings: &[(u64, Instant)]) -> Level {
        let (mut level, mut entered) = (Normal, 0);
        for (n, &(permille, now)) in readings.iter().enumerate() {
            let up = if permille >= 920 {
                Critical
            } else if permille >= 800 {
                Elevated
            } else {
                Normal
            };
            if up > level {
                (level, entered) = (up, n + 1);
                continue;
            }
            let (leave, lower) = match level {
                Normal => continue,
                Elevated => (700, Normal),
                Critical => (850, Elevated),
            };
            let calm = readings[entered..=n].iter().rev().take_while(|(permille, _)| *permille < leave).last();
            // The reading that left the level above counts for this one, if it lay below its `leave` too.
            if calm.is_some_and(|(_, since)| now.since(*since) >= Duration::from_secs(10)) {
                (level, entered) = (lower, n);
            }
        }
        level
    }

    proptest! {
        #[test]
        fn the_level_is_that_of_the_naive_model(
            steps in prop::collection::vec((0_u64..1_100, 0_u64..8_000), 1..200),
        ) {
            let mut monitor = Monitor::new(Config::DEFAULT);
            let mut readings = Vec::new();
            let mut now = at(1);
            for (permille, millis) in steps {
                now += Duration::from_millis(millis);
                readings.push((permille, now));
                let before = monitor.level();
                let change = monitor.update(used(permille), now);
                prop_assert_eq!(monitor.level(), naive(&readings));
                prop_assert_eq!(change.is_some(), before != monitor.level());
            }
        }

        #[test]
        fn levels_change_no_more_often_than_the_use_crosses_a_whole_band_whatever_the_clock_does(
            steps in prop::collection::vec((0_u64..1_100, any::<u64>(), prop::option::of(0_u16..1_000)), 1..300),
        ) {
            let mut monitor = Monitor::new(Config::DEFAULT);
            for (permille, nanos, pressure) in steps {
                let before = monitor.level();
                let reading = Reading { usage: used(permille), pressure };
                let Some(change) = monitor.update(reading, Instant::from_nanos(nanos)) else {
                    prop_assert_eq!(monitor.level(), before);
                    continue;
                };
                prop_assert_eq!((change.from, change.to), (before, monitor.level()));
                let pressure = u64::from(pressure.unwrap_or(0));
                match (change.from, change.to) {
                    (_, Critical) => prop_assert!(permille >= 920 || pressure >= 400),
                    (Normal, _) => prop_assert!(permille >= 800 || pressure >= 100),
                    (Critical, _) => prop_assert!(permille < 850 && pressure < 200),
                    (Elevated, _) => prop_assert!(permille < 700 && pressure < 50),
                }
            }
        }
    }
}

mod giving_back {
    use super::*;

    /// A thing with a bound, full at all times, that writes down what it is asked.
    struct Thing<'a> {
        name: char,
        size: u64,
        held: Cell<u64>,
        log: &'a RefCell<String>,
    }

    impl<'a> Thing<'a> {
        fn new(name: char, size: u64, log: &'a RefCell<String>) -> Self {
            Self { name, size, held: Cell::new(size), log }
        }

        fn said(&self, verb: char, keep: Share) {
            self.log.borrow_mut().push_str(&format!("{}{verb}{} ", self.name, keep.as_permille()));
        }
    }

    impl Shrink for Thing<'_> {
        fn shrink(&self, keep: Share) -> u64 {
            self.said('-', keep);
            let bound = self.size * u64::from(keep.as_permille()) / 1_000;
            let before = self.held.replace(self.held.get().min(bound));
            before - self.held.get()
        }

        fn restore(&self, keep: Share) {
            self.said('+', keep);
            self.held.set(self.size * u64::from(keep.as_permille()) / 1_000);
        }
    }

    type Things<'a> = Shrinkers<&'a Thing<'a>, 4>;

    /// What was said since it was asked last.
    fn said(log: &RefCell<String>) -> String {
        log.take().trim_end().to_string()
    }

    #[test]
    fn rule_1_they_are_asked_in_order_of_cost_and_of_coming() {
        let log = RefCell::default();
        let things = ['d', 'a', 'b', 'c'].map(|name| Thing::new(name, 10, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        for (thing, cost) in things.iter().zip([200, 0, 7, 7]) {
            all.add("thing", cost, thing).unwrap();
        }
        assert_eq!(all.run(&monitor(950), at(100)), 36);
        assert_eq!(said(&log), "a-100 b-100 c-100 d-100");
    }

    #[test]
    fn rule_2_while_critical_all_are_asked_whatever_one_says_it_has_freed() {
        let asked = RefCell::default();
        let boaster = |name: char| {
            let asked: &RefCell<String> = &asked;
            Resize(move |_: Share| {
                asked.borrow_mut().push(name);
                u64::MAX
            })
        };
        let (a, b) = (boaster('a'), boaster('b'));
        let mut all: Shrinkers<&dyn Shrink, 2> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 0, &a).unwrap();
        all.add("b", 1, &b).unwrap();
        all.run(&monitor(950), at(100));
        assert_eq!(said(&asked), "ab");
    }

    #[test]
    fn rule_2_while_elevated_no_more_are_asked_than_needed_and_the_rest_if_it_does_not_help() {
        let log = RefCell::default();
        let (a, b, c) = (Thing::new('a', 100, &log), Thing::new('b', 120, &log), Thing::new('c', 100, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        for (thing, cost) in [(&a, 0), (&b, 1), (&c, 2)] {
            all.add("thing", cost, thing).unwrap();
        }
        let mut monitor = monitor(805);
        assert_eq!(monitor.wanted(), 105);
        assert_eq!(all.run(&monitor, at(100)), 110);
        assert_eq!(said(&log), "a-500 b-500");
        assert_eq!(all.run(&monitor, at(100)), 0, "the same reading asks nobody else");
        monitor.update(used(700), at(101));
        assert_eq!(monitor.wanted(), 0);
        assert_eq!(all.run(&monitor, at(101)), 0);
        monitor.update(used(701), at(102));
        assert_eq!(all.run(&monitor, at(102)), 50);
        assert_eq!(said(&log), "c-500");
        monitor.update(used(920), at(103));
        all.run(&monitor, at(103));
        assert_eq!(said(&log), "a-100 b-100 c-100");
    }

    #[test]
    fn rule_3_each_is_asked_once_again_if_memory_is_still_short_and_never_to_keep_more() {
        let log = RefCell::default();
        let a = Thing::new('a', 1_000, &log);
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 0, &a).unwrap();
        let mut monitor = monitor(950);
        all.run(&monitor, at(100));
        for second in 101..110 {
            monitor.update(used(950), at(second));
            assert_eq!(all.run(&monitor, at(second)), 0);
        }
        assert_eq!(said(&log), "a-100");
        a.held.set(400); // What has come since.
        monitor.update(used(950), at(110));
        assert_eq!(all.run(&monitor, at(110)), 300);
        for second in 111..=122 {
            monitor.update(used(750), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(monitor.level(), Elevated);
        assert_eq!(said(&log), "a-100 a-100", "not to keep the half that elevated would allow");
    }

    #[test]
    fn rule_4_what_was_freed_is_counted_for_each() {
        let log = RefCell::default();
        let (a, b) = (Thing::new('a', 100, &log), Thing::new('b', 50, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 3, &a).unwrap();
        all.add("b", 2, &b).unwrap();
        all.run(&monitor(990), at(100));
        let shown: Vec<_> = all.shrinkers().map(|one| (one.name, one.cost, one.keep, one.asked, one.freed)).collect();
        let tenth = Share::permille(100);
        assert_eq!(shown, [("a", 3, tenth, 1, 90), ("b", 2, tenth, 1, 45)]);
        let shown = all.snapshot();
        assert_eq!((shown.shrinkers, shown.shrunk, shown.freed), (2, 2, 135));
    }

    /// Brings `all` to critical at second 100 and back to normal at 121; says with which monitor.
    fn through_critical(all: &mut Things<'_>) -> Monitor {
        let mut monitor = monitor(950);
        all.run(&monitor, at(100));
        for second in 101..=121 {
            monitor.update(used(500), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(monitor.level(), Normal);
        monitor
    }

    #[test]
    fn rule_5_after_a_calm_they_grow_back_step_by_step() {
        let log = RefCell::default();
        let (a, b) = (Thing::new('a', 100, &log), Thing::new('b', 100, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 0, &a).unwrap();
        all.add("b", 9, &b).unwrap();
        let mut monitor = through_critical(&mut all);
        said(&log);
        monitor.update(used(500), at(150));
        all.run(&monitor, at(150));
        assert_eq!(said(&log), "", "just before");
        monitor.update(used(500), at(151));
        all.run(&monitor, at(151));
        assert_eq!(said(&log), "b+200 a+200", "exactly then, the dearest first");
        monitor.update(used(500), at(155));
        all.run(&monitor, at(155));
        assert_eq!(said(&log), "", "the pace");
        for second in 156..=300 {
            monitor.update(used(500), at(second));
            all.run(&monitor, at(second));
        }
        assert!(said(&log).ends_with("b+900 a+900 b+1000 a+1000"));
        assert_eq!(all.snapshot().shrunk, 0);
    }

    #[test]
    fn rule_5_those_who_keep_least_grow_first_and_only_while_there_is_room() {
        let log = RefCell::default();
        let (a, b) = (Thing::new('a', 100, &log), Thing::new('b', 100, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 0, &a).unwrap();
        let mut monitor = through_critical(&mut all);
        all.add("b", 9, &b).unwrap();
        all.demand(Elevated);
        all.run(&monitor, at(121));
        assert_eq!(said(&log), "a-100 a-100 b-500");
        for second in 122..=600 {
            monitor.update(used(700), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(said(&log), "", "normal, and no room");
        for second in 601..=640 {
            monitor.update(used(699), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(said(&log), "a+200 a+300");
    }

    #[test]
    fn rule_6_after_a_relapse_the_calm_is_longer_and_in_the_end_what_it_was() {
        let log = RefCell::default();
        let a = Thing::new('a', 100, &log);
        let config = shrinkers::Config { step: Share::ALL, ..shrinkers::Config::DEFAULT };
        let mut all: Things<'_> = Shrinkers::new(config);
        all.add("a", 0, &a).unwrap();
        let mut monitor = monitor(950);
        let mut second = 100;
        let mut calms = Vec::new();
        for _ in 0..6 {
            monitor.update(used(950), at(second));
            all.run(&monitor, at(second));
            calms.push(all.snapshot().wait.as_secs());
            // Until it has grown.
            while all.snapshot().shrunk > 0 {
                second += 1;
                monitor.update(used(100), at(second));
                all.run(&monitor, at(second));
            }
        }
        assert_eq!(calms, [30, 60, 120, 240, 480, 480]);
        for _ in 0..=480 {
            second += 1;
            monitor.update(used(100), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(all.snapshot().wait.as_secs(), 30);
    }

    #[test]
    fn rule_7_without_a_new_reading_nothing_grows_nor_when_the_clock_steps_back() {
        let log = RefCell::default();
        let a = Thing::new('a', 100, &log);
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 0, &a).unwrap();
        let mut monitor = through_critical(&mut all);
        said(&log);
        all.run(&monitor, at(9_999));
        for second in [150, 20, 0, 149] {
            monitor.update(used(0), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(said(&log), "");
        monitor.update(used(0), at(151));
        all.run(&monitor, at(151));
        for second in [100, 0, 151, 155] {
            monitor.update(used(0), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!(said(&log), "a+200");
    }

    #[test]
    fn rule_8_who_is_removed_is_not_asked_and_counts_no_more() {
        let log = RefCell::default();
        let (a, b) = (Thing::new('a', 100, &log), Thing::new('b', 100, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        let first = all.add("a", 0, &a).unwrap();
        all.add("b", 0, &b).unwrap();
        let monitor = monitor(950);
        assert_eq!(all.next(&monitor, at(100)).map(|ask| ask.id), Some(first));
        assert!(all.remove(first).is_some() && all.remove(first).is_none());
        let third = all.add("c", 0, &a).unwrap();
        assert_ne!(first, third, "a place is used again, an id is not");
        all.done(first, 77);
        assert_eq!(all.snapshot().freed, 0);
        assert_eq!(all.run(&monitor, at(100)), 180);
    }

    #[test]
    fn a_full_table_gives_the_shrinker_back() {
        let log = RefCell::default();
        let a = Thing::new('a', 100, &log);
        let mut all: Shrinkers<&Thing<'_>, 1> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 0, &a).unwrap();
        let Err(Full(back)) = all.add("b", 0, &a) else { panic!("there was room") };
        assert_eq!(back.name, 'a');
    }

    #[test]
    fn on_demand_all_are_asked_although_there_is_enough() {
        let log = RefCell::default();
        let (a, b) = (Thing::new('a', 100, &log), Thing::new('b', 100, &log));
        let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("a", 1, &a).unwrap();
        all.add("b", 0, &b).unwrap();
        all.demand(Normal);
        assert_eq!(all.run(&monitor(100), at(100)), 0);
        all.demand(Elevated);
        assert_eq!(all.run(&monitor(100), at(100)), 100);
        assert_eq!(said(&log), "b-500 a-500");
        all.demand(Elevated);
        assert_eq!(all.run(&monitor(950), at(100)), 80, "short too: what critical allows");
        assert_eq!(said(&log), "b-100 a-100");
    }

    #[test]
    fn a_cache_shrinks_and_grows_back() {
        let cache: RefCell<Cache<u32, u32, 64>> = RefCell::new(Cache::new(cache::Config::DEFAULT));
        for key in 0..64 {
            cache.borrow_mut().insert(key, key, at(1));
        }
        let shrinker = Resize(|keep: Share| cache.borrow_mut().resize_soft(keep.of(64)) as u64 * 20);
        let boxed: Box<dyn Shrink + '_> = Box::new(&shrinker);
        let mut all: Shrinkers<Rc<Box<dyn Shrink + '_>>, 2> = Shrinkers::new(shrinkers::Config::DEFAULT);
        all.add("cache", 0, Rc::new(boxed)).unwrap();
        let mut monitor = monitor(850);
        assert_eq!(all.run(&monitor, at(100)), 32 * 20);
        assert_eq!((cache.borrow().len(), cache.borrow().capacity()), (32, 32));
        for second in 101..300 {
            monitor.update(used(100), at(second));
            all.run(&monitor, at(second));
        }
        assert_eq!((cache.borrow().len(), cache.borrow().capacity()), (32, 64));
    }

    #[test]
    fn an_invalid_config_is_refused() {
        let refused = |config| Shrinkers::<&Thing<'_>, 1>::try_new(config).unwrap_err();
        let config = shrinkers::Config::DEFAULT;
        assert_eq!(refused(shrinkers::Config { elevated: Share::ALL, ..config }), shrinkers::ConfigError::Shares);
        assert_eq!(
            refused(shrinkers::Config { critical: Share::permille(501), ..config }),
            shrinkers::ConfigError::Shares
        );
        assert_eq!(refused(shrinkers::Config { step: Share::NONE, ..config }), shrinkers::ConfigError::NoStep);
        assert_eq!(refused(shrinkers::Config { again: Duration::ZERO, ..config }), shrinkers::ConfigError::NoPause);
    }

    proptest! {
        /// Whatever is read, and whatever the clock does: every round ends, nobody is asked to keep more by being asked to
        /// shrink, nothing grows without room, and what each says it has freed adds up.
        #[test]
        fn every_round_ends_and_the_sums_agree(
            steps in prop::collection::vec((0_u64..1_100, any::<bool>(), 0_u64..20_000, 0_u8..12), 1..200),
        ) {
            let log = RefCell::default();
            let things = ['a', 'b', 'c', 'd'].map(|name| Thing::new(name, 100, &log));
            let mut all: Things<'_> = Shrinkers::new(shrinkers::Config::DEFAULT);
            let mut ids = Vec::new();
            let mut monitor = Monitor::new(Config::DEFAULT);
            let (mut now, mut freed) = (at(1_000), 0);
            for (permille, forward, millis, action) in steps {
                let by = Duration::from_millis(millis);
                now = if forward { now + by } else { now - by };
                match action {
                    0 => {
                        let _ = ids.pop().and_then(|id| all.remove(id));
                    }
                    1..4 => ids.extend(all.add("t", action, &things[usize::from(action)]).ok()),
                    4 => all.demand(Elevated),
                    _ => {}
                }
                monitor.update(used(permille), now);
                let mut asked = 0;
                while let Some(ask) = all.next(&monitor, now) {
                    asked += 1;
                    prop_assert!(asked <= 16, "a round without an end");
                    prop_assert!(!ask.grows || monitor.has_room());
                    let (id, given) = (ask.id, ask.carry_out());
                    freed += given;
                    all.done(id, given);
                }
                prop_assert_eq!(all.snapshot().freed, freed);
                if monitor.level() == Critical && permille >= 850 {
                    prop_assert!(all.shrinkers().all(|one| one.keep <= Share::permille(100)));
                }
            }
        }
    }
}
