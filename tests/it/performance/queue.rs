//! The queue: its rules, and a naive model beside it.

use std::cell::Cell;
use std::rc::Rc;

use daur_core::performance::queue::{Config, Priority, Queue, Refused, Turns};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

use Priority::{High, Low, Normal};

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn popped<const N: usize>(queue: &mut Queue<u32, N>) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop(at(1))).collect()
}

mod rules {
    use super::*;

    #[test]
    fn rule_1_within_a_priority_first_come_is_first_served() {
        let mut queue: Queue<u32, 8> = Queue::new(Config::DEFAULT);
        for item in [10, 20, 11, 21, 12, 30] {
            let priority = [Low, Normal, High][item as usize / 10 - 1];
            queue.try_push(item, priority, at(1)).unwrap();
        }
        assert_eq!(popped(&mut queue), [30, 20, 21, 10, 11, 12]);
    }

    #[test]
    fn rule_2_after_so_many_urgent_ones_who_waits_longest_is_taken() {
        let mut queue: Queue<u32, 8> = Queue::new(Config { max_passed: 2 });
        queue.try_push(0, Low, at(1)).unwrap();
        queue.try_push(1, Normal, at(1)).unwrap();
        for item in 2..8 {
            queue.try_push(item, High, at(1)).unwrap();
        }
        assert_eq!(popped(&mut queue), [2, 3, 0, 4, 5, 1, 6, 7]);
    }

    #[test]
    fn rule_2_the_bound_holds_against_an_endless_flood() {
        for max_passed in [0, 1, 3, 7] {
            let mut queue: Queue<u32, 16> = Queue::new(Config { max_passed });
            for item in 0..5 {
                queue.try_push(item, if item % 2 == 0 { Low } else { Normal }, at(1)).unwrap();
            }
            let mut pops = 0;
            let mut seen = 0;
            while seen < 5 {
                while queue.try_push(99, High, at(1)).is_ok() {}
                pops += 1;
                let item = queue.pop(at(1)).unwrap();
                if item == seen {
                    seen += 1;
                    assert!(pops <= seen * (u32::from(max_passed) + 1), "item {item} came at pop {pops}");
                }
            }
        }
    }

    #[test]
    fn rule_2_after_a_clear_nobody_has_been_passed_over() {
        let mut queue: Queue<u32, 4> = Queue::new(Config { max_passed: 1 });
        for _ in 0..2 {
            queue.try_push(1, Low, at(1)).unwrap();
            queue.try_push(2, High, at(1)).unwrap();
            assert_eq!((queue.pop(at(1)), queue.clear()), (Some(2), 1));
        }
    }

    #[test]
    fn rule_2_with_zero_there_are_no_priorities() {
        let mut queue: Queue<u32, 4> = Queue::new(Config { max_passed: 0 });
        for (item, priority) in [(1, Low), (2, High), (3, Normal), (4, High)] {
            queue.try_push(item, priority, at(1)).unwrap();
        }
        assert_eq!(popped(&mut queue), [1, 2, 3, 4]);
    }

    #[test]
    fn rule_3_a_full_or_closed_queue_gives_the_item_back() {
        let mut queue: Queue<String, 1> = Queue::new(Config::DEFAULT);
        queue.try_push("a".into(), Normal, at(1)).unwrap();
        assert!(queue.is_full());
        assert_eq!(queue.try_push("b".into(), High, at(1)), Err(Refused::Full("b".into())));
        queue.close();
        let refused = queue.try_push("c".into(), High, at(1)).unwrap_err();
        assert_eq!(refused, Refused::Closed("c".into()));
        assert_eq!(refused.into_inner(), "c");
        assert_eq!(queue.snapshot().refused, 2);
    }

    #[test]
    fn rule_4_what_is_in_a_closed_queue_still_comes_out() {
        let mut queue: Queue<u32, 4> = Queue::new(Config::DEFAULT);
        queue.try_push(1, Low, at(1)).unwrap();
        queue.close();
        assert!(queue.is_closed() && !queue.is_empty());
        assert_eq!((queue.pop(at(1)), queue.pop(at(1))), (Some(1), None));
    }

    #[test]
    fn rule_5_every_item_is_accounted_for_and_dropped_once() {
        let dropped = Rc::new(Cell::new(0));
        struct Counted(Rc<Cell<u32>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let mut queue: Queue<Counted, 3> = Queue::new(Config::DEFAULT);
        for priority in [Low, High, Normal] {
            queue.try_push(Counted(dropped.clone()), priority, at(1)).unwrap();
        }
        drop(queue.pop(at(1)));
        assert_eq!((queue.clear(), dropped.get()), (2, 3));
        queue.try_push(Counted(dropped.clone()), Low, at(1)).unwrap();
        let shown = queue.snapshot();
        assert_eq!((shown.pushed, shown.popped, shown.cleared, shown.len, shown.high_water), (4, 1, 2, 1, 3));
        drop(queue);
        assert_eq!(dropped.get(), 4);
    }

    #[test]
    fn rule_5_an_item_that_panics_as_it_is_cleared_is_accounted_for() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let mut queue: Queue<Option<Bomb>, 3> = Queue::new(Config::DEFAULT);
        queue.try_push(Some(Bomb), High, at(1)).unwrap();
        queue.try_push(None, Low, at(1)).unwrap();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| queue.clear())).is_err());
        let shown = queue.snapshot();
        assert_eq!((shown.pushed, shown.cleared, shown.len), (2, 1, 1));
        assert!(queue.pop(at(1)).is_some_and(|left| left.is_none()));
    }

    #[test]
    fn rule_6_peek_shows_what_pop_takes_and_changes_nothing() {
        let mut queue: Queue<u32, 8> = Queue::new(Config { max_passed: 1 });
        for (item, priority) in [(0, Low), (1, High), (2, High), (3, Normal)] {
            queue.try_push(item, priority, at(1)).unwrap();
        }
        for _ in 0..4 {
            let shown = queue.snapshot();
            let next = queue.peek().copied();
            assert_eq!((queue.peek().copied(), queue.snapshot()), (next, shown));
            assert_eq!(queue.pop(at(1)), next);
        }
        assert_eq!(queue.peek().copied().or(queue.pop(at(1))), None);
    }

    #[test]
    fn rule_7_an_item_waits_from_push_to_pop_and_never_less_than_not_at_all() {
        let mut queue: Queue<u32, 4> = Queue::new(Config::DEFAULT);
        assert_eq!((queue.snapshot().wait_mean(), queue.oldest(at(1))), (None, None));
        for secs in [10, 20, 30] {
            queue.try_push(0, Normal, at(secs)).unwrap();
        }
        assert_eq!(queue.oldest(at(30)), Some(Duration::from_secs(20)));
        queue.pop(at(16));
        queue.pop(at(23));
        queue.pop(at(5));
        let shown = queue.snapshot();
        assert_eq!((shown.wait_sum, shown.wait_max), (Duration::from_secs(9), Duration::from_secs(6)));
        assert_eq!(shown.wait_mean(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn drain_keeps_to_its_budget_and_to_the_order() {
        let mut queue: Queue<fn() -> u32, 4> = Queue::new(Config::DEFAULT);
        queue.try_push(|| 1, Low, at(1)).unwrap();
        queue.try_push(|| 2, Normal, at(1)).unwrap();
        queue.try_push(|| 3, High, at(1)).unwrap();
        let mut done = Vec::new();
        assert_eq!(queue.drain(2, at(1), |job| done.push(job())), 2);
        assert_eq!(queue.drain(9, at(1), |job| done.push(job())), 1);
        assert_eq!((done, queue.drain(9, at(1), |_| ())), (vec![3, 2, 1], 0));
    }

    #[test]
    fn turns_count_only_who_is_passed_over_in_a_row() {
        let mut turns = Turns::new(1);
        assert_eq!(turns.take([Some(1), Some(2), None]), Some(High));
        // Nobody is passed over here: it begins anew.
        assert_eq!(turns.take([Some(3), None, None]), Some(High));
        assert_eq!(turns.take([Some(1), Some(2), Some(3)]), Some(High));
        assert_eq!(turns.take([Some(1), Some(2), Some(3)]), Some(Low), "not the next best");
        assert_eq!(turns.take([Some(1), Some(2), None]), Some(High));
        turns.reset();
        assert_eq!(turns.take([Some(1), Some(2), None]), Some(High));
    }
}

/// One list, searched each time.
#[derive(Default)]
struct Naive {
    /// In the order in which they came.
    items: Vec<(u32, Priority, Instant)>,
    passed: u8,
}

impl Naive {
    fn next(&self, max_passed: u8) -> Option<usize> {
        let urgent = self.items.iter().map(|(_, priority, _)| *priority).max()?;
        let first = self.items.iter().position(|(_, priority, _)| *priority == urgent)?;
        Some(if self.passed >= max_passed { 0 } else { first })
    }

    fn pop(&mut self, max_passed: u8) -> Option<(u32, Priority, Instant)> {
        let next = self.next(max_passed)?;
        // An older one of the same priority cannot be there: the first of it was taken.
        self.passed = if next == 0 { 0 } else { self.passed + 1 };
        Some(self.items.remove(next))
    }
}

#[derive(Clone, Debug)]
enum Verb {
    Push(u8),
    Pop,
    Peek,
    Drain(usize),
    Clear,
    Close,
    /// In seconds, backwards too.
    Step(i8),
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        10 => (0..3_u8).prop_map(Verb::Push),
        8 => Just(Verb::Pop),
        2 => Just(Verb::Peek),
        1 => (0..5_usize).prop_map(Verb::Drain),
        1 => Just(Verb::Step(-20)),
        4 => (0..20_i8).prop_map(Verb::Step),
        1 => prop_oneof![20 => Just(Verb::Clear), 1 => Just(Verb::Close)],
    ]
}

fn agree<const N: usize>(max_passed: u8, verbs: &[Verb]) -> Result<(), TestCaseError> {
    let mut queue: Queue<u32, N> = Queue::new(Config { max_passed });
    let mut naive = Naive::default();
    let (mut now, mut number, mut closed) = (at(1_000), 0, false);
    let (mut refused, mut popped, mut cleared, mut high_water) = (0, 0, 0, 0);
    let (mut wait_sum, mut wait_max) = (Duration::ZERO, Duration::ZERO);
    let mut took = |(item, _, pushed_at): (u32, Priority, Instant), now: Instant| {
        let waited = now.since(pushed_at);
        wait_sum = wait_sum + waited;
        wait_max = wait_max.max(waited);
        popped += 1;
        item
    };
    for verb in verbs {
        match *verb {
            Verb::Push(level) => {
                let priority = Priority::ALL[usize::from(level)];
                number += 1;
                let expected = if closed {
                    Err(Refused::Closed(number))
                } else if naive.items.len() == N {
                    Err(Refused::Full(number))
                } else {
                    naive.items.push((number, priority, now));
                    Ok(())
                };
                refused += u64::from(expected.is_err());
                prop_assert_eq!(queue.try_push(number, priority, now), expected);
            }
            Verb::Pop => prop_assert_eq!(queue.pop(now), naive.pop(max_passed).map(|item| took(item, now))),
            Verb::Peek => {
                let next = naive.next(max_passed).map(|next| naive.items[next].0);
                prop_assert_eq!(queue.peek().copied(), next);
            }
            Verb::Drain(budget) => {
                let mut drained = Vec::new();
                let count = queue.drain(budget, now, |item| drained.push(item));
                let items = std::iter::from_fn(|| naive.pop(max_passed)).take(budget);
                let expected: Vec<_> = items.map(|item| took(item, now)).collect();
                prop_assert_eq!((count, drained), (expected.len(), expected));
            }
            Verb::Clear => {
                prop_assert_eq!(queue.clear(), naive.items.len());
                cleared += naive.items.len() as u64;
                naive.items.clear();
                naive.passed = 0;
            }
            Verb::Close => {
                queue.close();
                closed = true;
            }
            Verb::Step(secs) => now = Instant::from_secs((now.as_millis() / 1_000).saturating_add_signed(secs.into())),
        }
        high_water = high_water.max(naive.items.len());
        let shown = queue.snapshot();
        prop_assert_eq!((queue.len(), queue.is_full()), (naive.items.len(), naive.items.len() == N));
        let of = |level| naive.items.iter().filter(|(_, priority, _)| *priority == level).count() as u16;
        prop_assert_eq!((shown.high, shown.normal, shown.low), (of(High), of(Normal), of(Low)));
        prop_assert_eq!((shown.refused, shown.cleared, shown.closed), (refused, cleared, closed));
        prop_assert_eq!(usize::from(shown.high_water), high_water);
        prop_assert_eq!(queue.oldest(now), naive.items.first().map(|(_, _, pushed_at)| now.since(*pushed_at)));
    }
    let shown = queue.snapshot();
    prop_assert_eq!((shown.popped, shown.wait_sum, shown.wait_max), (popped, wait_sum, wait_max));
    Ok(())
}

proptest! {
    #[test]
    fn the_queue_does_what_the_model_does(max_passed in 0..4_u8, verbs in prop::collection::vec(verb(), 1..300)) {
        agree::<1>(max_passed, &verbs)?;
        agree::<7>(max_passed, &verbs)?;
        agree::<64>(max_passed, &verbs)?;
    }
}
