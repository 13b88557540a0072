//! The batcher through its rules, and against a naive model.

use std::rc::Rc;

use daur_core::performance::batch::{Batch, Batcher, Cause, Config, ConfigError, Full, Limit, Trigger};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const WAIT: Duration = Duration::from_secs(5);
const THREE: Config = Config { max_items: Some(3), max_bytes: None, max_wait: Some(WAIT) };
const BYTES: Config = Config { max_items: None, max_bytes: Some(100), max_wait: Some(WAIT) };

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn items<T: Clone, const N: usize>(batch: &Batch<T, N>) -> Vec<T> {
    batch.iter().cloned().collect()
}

#[test]
fn rule_1_a_batch_goes_with_the_item_that_makes_it_complete() {
    let mut batcher: Batcher<u32, 8> = Batcher::new(THREE);
    assert_eq!(batcher.push(1, at(1)), Ok(None));
    assert_eq!(batcher.push(2, at(1)), Ok(None));
    assert_eq!((batcher.len(), batcher.iter().count()), (2, 2));
    let batch = batcher.push(3, at(1)).unwrap().unwrap();
    assert_eq!(
        (items(&batch), batch.cause(), batch.get(1), batch.get(3)),
        (vec![1, 2, 3], Cause::Items, Some(&2), None)
    );
    assert!(batcher.is_empty());
    let mut single: Batcher<u32, 1> = Batcher::new(Config::DEFAULT);
    assert_eq!(single.push(7, at(1)).unwrap().map(|batch| items(&batch)), Some(vec![7]));
    let mut sized: Batcher<u32, 8> = Batcher::new(BYTES);
    assert_eq!(sized.push_sized(1, 60, at(1)), Ok(None));
    let batch = sized.push_sized(2, 40, at(1)).unwrap().unwrap();
    assert_eq!((items(&batch), batch.bytes(), batch.cause()), (vec![1, 2], 100, Cause::Bytes));
}

#[test]
fn rule_2_an_item_that_does_not_fit_sends_the_others_ahead() {
    let mut batcher: Batcher<u32, 8> = Batcher::new(BYTES);
    batcher.push_sized(1, 60, at(1)).unwrap();
    let ahead = batcher.push_sized(2, 41, at(2)).unwrap().unwrap();
    assert_eq!((items(&ahead), ahead.bytes(), ahead.cause()), (vec![1], 60, Cause::Bytes));
    // The next batch's time counts from its own first item.
    assert_eq!(batcher.poll_at(), Some(at(7)));
    // It fills the batch by itself: the next push hands it out, or a poll at any time.
    let ahead = batcher.push_sized(3, 100, at(2)).unwrap().unwrap();
    assert_eq!(items(&ahead), [2]);
    assert_eq!(batcher.poll_at(), Some(Instant::ZERO));
    let ahead = batcher.push_sized(4, 1, at(2)).unwrap().unwrap();
    assert_eq!((items(&ahead), ahead.cause()), (vec![3], Cause::Bytes));
    let ahead = batcher.push_sized(5, 100, at(2)).unwrap().unwrap();
    assert_eq!(items(&ahead), [4]);
    assert_eq!(batcher.poll(Instant::ZERO).map(|batch| items(&batch)), Some(vec![5]));
    assert_eq!(batcher.poll(at(99)), None);
}

#[test]
fn rule_3_an_item_larger_than_a_batch_is_given_back() {
    let mut batcher: Batcher<Rc<u32>, 8> = Batcher::new(BYTES);
    batcher.push_sized(Rc::new(1), 60, at(1)).unwrap();
    let Full { item, limit } = batcher.push_sized(Rc::new(2), 101, at(1)).unwrap_err();
    assert_eq!((*item, limit), (2, Limit::TooLarge));
    let Full { item, limit } = batcher.offer_sized(item, usize::MAX, at(1)).unwrap_err();
    assert_eq!((*item, limit), (2, Limit::TooLarge));
    let shown = batcher.snapshot();
    assert_eq!((shown.items, shown.bytes, shown.accepted, shown.refused), (1, 60, 1, 2));
}

#[test]
fn rule_4_nothing_just_before_and_a_batch_exactly_at_its_time() {
    let mut batcher: Batcher<u32, 8> = Batcher::new(THREE);
    assert_eq!((batcher.poll_at(), batcher.poll(at(1_000))), (None, None));
    batcher.push(1, at(10)).unwrap();
    batcher.push(2, at(14)).unwrap();
    assert_eq!(batcher.poll_at(), Some(at(15)));
    assert_eq!(batcher.poll(Instant::from_nanos(at(15).as_nanos() - 1)), None);
    let batch = batcher.poll(at(15)).unwrap();
    assert_eq!((items(&batch), batch.cause()), (vec![1, 2], Cause::Time));
    let mut patient: Batcher<u32, 8> = Batcher::new(Config { max_wait: None, ..THREE });
    patient.push(1, at(1)).unwrap();
    assert_eq!((patient.poll_at(), patient.poll(Instant::MAX)), (None, None));
}

#[test]
fn rule_5_what_is_offered_stays_and_a_full_batcher_gives_the_item_back() {
    let mut batcher: Batcher<u32, 3> = Batcher::new(Config::DEFAULT);
    (1..=3).for_each(|item| batcher.offer(item, at(1)).unwrap());
    assert_eq!(batcher.offer(4, at(1)), Err(Full { item: 4, limit: Limit::Items }));
    assert_eq!(batcher.snapshot().refused, 1);
    // A push never meets a full one: it sends it ahead.
    assert_eq!(batcher.push(4, at(1)).unwrap().map(|batch| items(&batch)), Some(vec![1, 2, 3]));
    let mut sized: Batcher<u32, 3> = Batcher::new(BYTES);
    sized.offer_sized(1, 60, at(1)).unwrap();
    assert_eq!(sized.offer_sized(2, 60, at(1)), Err(Full { item: 2, limit: Limit::Bytes }));
    assert_eq!(sized.offer_sized(3, 40, at(1)), Ok(()));
    assert_eq!(sized.poll(at(1)).map(|batch| items(&batch)), Some(vec![1, 3]));
}

#[test]
fn rule_6_a_flush_hands_out_what_is_there_and_never_nothing() {
    let mut batcher: Batcher<u32, 3> = Batcher::new(Config::DEFAULT);
    assert_eq!(batcher.flush(), None);
    batcher.push(1, at(1)).unwrap();
    let batch = batcher.flush().unwrap();
    assert_eq!((items(&batch), batch.cause()), (vec![1], Cause::Flush));
    assert_eq!(batcher.flush(), None);
    assert_eq!(batcher.poll_at(), None);
}

#[test]
fn rule_6_what_nobody_takes_out_is_dropped_with_the_batch() {
    let held = Rc::new(());
    let mut batcher: Batcher<Rc<()>, 4> = Batcher::new(Config::DEFAULT);
    for _ in 0..3 {
        batcher.push(Rc::clone(&held), at(1)).unwrap();
    }
    let mut batch = batcher.push(Rc::clone(&held), at(1)).unwrap().unwrap().into_iter();
    assert_eq!(Rc::strong_count(&held), 5);
    drop(batch.next());
    assert_eq!(Rc::strong_count(&held), 4);
    drop(batch);
    batcher.push(Rc::clone(&held), at(1)).unwrap();
    drop(batcher);
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn rule_7_a_clock_that_steps_back_hands_nothing_out() {
    let mut batcher: Batcher<u32, 3> = Batcher::new(THREE);
    batcher.push(1, at(100)).unwrap();
    batcher.push(2, at(1)).unwrap();
    assert_eq!(batcher.poll_at(), Some(at(105)));
    assert_eq!(batcher.poll(at(50)), None);
    assert_eq!(batcher.poll(at(105)).map(|batch| items(&batch)), Some(vec![1, 2]));
}

#[test]
fn a_batch_is_read_and_changed_in_place() {
    let mut batcher: Batcher<u32, 4> = Batcher::new(THREE);
    batcher.push(1, at(1)).unwrap();
    batcher.push(2, at(1)).unwrap();
    let mut batch = batcher.flush().unwrap();
    batch.iter_mut().for_each(|item| *item *= 10);
    assert_eq!((&batch).into_iter().sum::<u32>(), 30);
    assert_eq!(batch.into_iter().collect::<Vec<_>>(), [10, 20]);
}

#[test]
fn an_invalid_config_is_refused() {
    let of = |config| Batcher::<u8, 4>::try_new(config).err();
    assert_eq!(of(Config { max_items: Some(5), ..THREE }), Some(ConfigError::MaxItems));
    assert_eq!(of(Config { max_items: Some(0), ..THREE }), Some(ConfigError::NoItems));
    assert_eq!(of(Config { max_bytes: Some(0), ..THREE }), Some(ConfigError::NoBytes));
    assert_eq!(Batcher::<u8, 0>::try_new(Config::DEFAULT).err(), Some(ConfigError::NoItems));
    assert_eq!(Trigger::try_new(Config { max_items: Some(0), ..THREE }).err(), Some(ConfigError::NoItems));
    assert!(Trigger::try_new(Config { max_items: Some(5_000), ..THREE }).is_ok());
}

#[test]
fn trigger_rules_1_to_4_it_counts_in_what_fits_and_is_due_with_an_item_only() {
    let mut trigger = Trigger::new(Config { max_items: Some(3), max_bytes: Some(100), ..THREE });
    assert_eq!((trigger.due(Instant::MAX), trigger.due_at()), (None, None));
    trigger.close(Cause::Flush); // there is nothing that could go
    trigger.offer(60, at(10)).unwrap();
    let before = trigger.snapshot();
    assert_eq!(trigger.offer(41, at(11)), Err(Limit::Bytes));
    assert_eq!(trigger.snapshot(), before);
    assert_eq!(trigger.offer(101, at(11)), Err(Limit::TooLarge));
    assert_eq!((trigger.due_at(), trigger.due(Instant::ZERO)), (Some(at(15)), None));
    assert_eq!(trigger.due(at(15)), Some(Cause::Time));
    trigger.offer(40, at(11)).unwrap();
    assert_eq!((trigger.full(), trigger.due(Instant::ZERO)), (Some(Cause::Bytes), Some(Cause::Bytes)));
    trigger.close(Cause::Bytes);
    (0..3).for_each(|_| trigger.offer(0, at(20)).unwrap());
    assert_eq!(trigger.offer(0, at(20)), Err(Limit::Items));
    assert_eq!((trigger.due(at(20)), trigger.len()), (Some(Cause::Items), 3));
    trigger.close(Cause::Items);
    assert!(trigger.is_empty());
    let shown = trigger.snapshot();
    assert_eq!((shown.by_bytes, shown.by_items, shown.by_flush, shown.accepted), (1, 1, 0, 5));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Offer(usize),
    Poll,
    Flush,
    Forward(u64),
    Back(u64),
}

#[test]
fn trigger_rule_1_to_offer_many_is_to_offer_one_by_one() {
    let config = Config { max_items: Some(7), max_bytes: Some(3), max_wait: Some(WAIT) };
    for begun in 0..7 {
        for many in 0..10 {
            let (mut at_once, mut singly) = (Trigger::new(config), Trigger::new(config));
            for trigger in [&mut at_once, &mut singly] {
                (0..begun).for_each(|item| trigger.offer(usize::from(item < 2), at(1)).unwrap());
            }
            let room = at_once.room();
            let fit = (0..many).filter(|_| singly.offer(0, at(2)).is_ok()).count();
            assert_eq!((room, at_once.offer_many(many, at(2))), (7 - begun, fit));
            assert_eq!(at_once.snapshot(), singly.snapshot());
            assert_eq!((at_once.due_at(), at_once.full()), (singly.due_at(), singly.full()));
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..14).prop_map(Step::Push),
        4 => (0_usize..14).prop_map(Step::Offer),
        3 => Just(Step::Poll),
        1 => Just(Step::Flush),
        4 => (0_u64..20).prop_map(Step::Forward),
        1 => (0_u64..20).prop_map(Step::Back),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    (prop::option::of(1_u32..=6), prop::option::of(1_u32..30), prop::option::of(0_u64..40)).prop_map(
        |(max_items, max_bytes, wait)| Config { max_items, max_bytes, max_wait: wait.map(Duration::from_nanos) },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// The model is a list of (item, bytes) and the moment of the first one.
    #[test]
    fn nothing_is_lost_the_order_stays_and_no_batch_is_empty(
        config in config(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        const N: usize = 6;
        let mut batcher: Batcher<u32, N> = Batcher::try_new(config).unwrap();
        let most = config.max_items.map_or(N, |most| most as usize);
        let room = config.max_bytes.map_or(usize::MAX, |room| room as usize);
        let mut held: Vec<(u32, usize)> = Vec::new();
        let (mut now, mut first) = (100_u64, 0);
        let (mut accepted, mut delivered, mut refused, mut batches) = (Vec::new(), Vec::new(), 0, 0_u32);
        for (number, step) in (0_u32..).zip(steps) {
            let moment = Instant::from_nanos(now);
            let bytes = |held: &[(u32, usize)]| held.iter().map(|&(_, bytes)| bytes).sum::<usize>();
            let full = |held: &[(u32, usize)]| held.len() == most || (!held.is_empty() && bytes(held) >= room);
            let timely = |held: &[(u32, usize)]| {
                !held.is_empty() && config.max_wait.is_some_and(|wait| now >= first + wait.as_nanos())
            };
            let mut expected: Option<Vec<u32>> = None;
            let mut all = |held: &mut Vec<(u32, usize)>| {
                expected = Some(std::mem::take(held).into_iter().map(|(item, _)| item).collect());
            };
            let handed = match step {
                Step::Push(size) => {
                    let pushed = batcher.push_sized(number, size, moment);
                    if size > room {
                        prop_assert_eq!(pushed, Err(Full { item: number, limit: Limit::TooLarge }));
                        refused += 1;
                        None
                    } else {
                        accepted.push(number);
                        let ahead = held.len() == most || bytes(&held) + size > room;
                        if ahead {
                            all(&mut held);
                        }
                        if held.is_empty() {
                            first = now;
                        }
                        held.push((number, size));
                        if !ahead && full(&held) {
                            all(&mut held);
                        }
                        pushed.unwrap()
                    }
                }
                Step::Offer(size) => {
                    let fits = held.len() < most && bytes(&held) + size <= room;
                    prop_assert_eq!(batcher.offer_sized(number, size, moment).is_ok(), fits);
                    if fits {
                        accepted.push(number);
                        if held.is_empty() {
                            first = now;
                        }
                        held.push((number, size));
                    } else {
                        refused += 1;
                    }
                    None
                }
                Step::Poll => {
                    let due = full(&held) || timely(&held);
                    prop_assert_eq!(batcher.poll_at().is_some_and(|at| moment >= at), due);
                    if due {
                        all(&mut held);
                    }
                    batcher.poll(moment)
                }
                Step::Flush => {
                    if !held.is_empty() {
                        all(&mut held);
                    }
                    batcher.flush()
                }
                Step::Forward(by) => { now += by; None }
                Step::Back(by) => { now = now.saturating_sub(by); None }
            };
            prop_assert_eq!(handed.as_ref().map(items), expected);
            if let Some(batch) = handed {
                prop_assert!(batch.len() > 0 && batch.len() <= most && batch.bytes() <= room);
                prop_assert_eq!(batch.len(), batch.iter().count());
                batches += 1;
                delivered.extend(batch);
            }
            prop_assert_eq!((batcher.len(), batcher.iter().count()), (held.len(), held.len()));
            let shown = batcher.snapshot();
            prop_assert_eq!(shown.by_items + shown.by_bytes + shown.by_time + shown.by_flush, batches);
            prop_assert_eq!((shown.accepted, shown.refused), (accepted.len() as u64, refused));
        }
        delivered.extend(batcher.flush().into_iter().flatten());
        prop_assert_eq!(delivered, accepted);
    }
}
