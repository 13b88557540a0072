//! The bulkhead's rules by number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

use daur_core::reliability::bulkhead::{Bulkhead, Config, ConfigError, Entry, Permit, Refused, Ticket};
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Duration, Instant};

const NOW: Instant = Instant::from_secs(1_000);
const SECOND: Duration = Duration::from_secs(1);
const TWO: Config = Config { max_concurrent: 2, max_waiting: 3, max_wait: None };

fn go<const N: usize>(bulkhead: &mut Bulkhead<N>) -> Permit {
    bulkhead.try_acquire(NOW).expect("a place is free")
}

fn wait<const N: usize>(bulkhead: &mut Bulkhead<N>) -> Ticket {
    match bulkhead.enter(None, NOW) {
        Ok(Entry::Wait(ticket)) => ticket,
        other => panic!("not in line: {other:?}"),
    }
}

/// Whether the turn of `ticket` has come; the permit, or the ticket again.
fn turn<const N: usize>(bulkhead: &mut Bulkhead<N>, ticket: Ticket) -> Result<Permit, Ticket> {
    match bulkhead.claim(ticket, None, NOW) {
        Ok(Entry::Go(permit)) => Ok(permit),
        Ok(Entry::Wait(ticket)) => Err(ticket),
        Err(refused) => panic!("refused: {refused}"),
    }
}

fn release<const N: usize>(bulkhead: &mut Bulkhead<N>, permit: Permit) {
    assert!(bulkhead.release(permit, NOW).is_none(), "nobody has a waker");
}

fn leave<const N: usize>(bulkhead: &mut Bulkhead<N>, ticket: Ticket) {
    assert!(bulkhead.leave(ticket, NOW).is_none(), "nobody has a waker");
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn rule_1_no_more_than_max_concurrent_have_a_place() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(TWO);
    let first = go(&mut bulkhead);
    let _second = go(&mut bulkhead);
    assert!(bulkhead.try_acquire(NOW).is_err());
    let third = wait(&mut bulkhead);
    release(&mut bulkhead, first);
    // The turn of the third has come: whether it has fetched it or not, the place is taken.
    assert_eq!(bulkhead.snapshot().running, 2);
    assert!(bulkhead.try_acquire(NOW).is_err());
    assert!(turn(&mut bulkhead, third).is_ok());
    assert_eq!(bulkhead.snapshot().running, 2);
}

#[test]
fn rule_2_whoever_finds_no_place_to_wait_in_is_refused_and_told_how_many_there_are() {
    let mut bulkhead: Bulkhead<8> = Bulkhead::new(TWO);
    let first = go(&mut bulkhead);
    let _second = go(&mut bulkhead);
    let _waiting = [(); 3].map(|()| wait(&mut bulkhead));
    assert_eq!(bulkhead.enter(None, NOW), Err(Refused::Full { running: 2, waiting: 3 }));
    // One whose turn has come waits no more, so another one may.
    release(&mut bulkhead, first);
    let _fourth = wait(&mut bulkhead);
    assert_eq!(bulkhead.enter(None, NOW), Err(Refused::Full { running: 2, waiting: 3 }));
    assert_eq!(bulkhead.snapshot().refused, 2);
}

#[test]
fn rule_2_a_bulkhead_without_places_to_wait_in_refuses_at_once() {
    let mut bulkhead: Bulkhead = Bulkhead::new(Config { max_concurrent: 1, ..Config::DEFAULT });
    let place = go(&mut bulkhead);
    assert_eq!(bulkhead.enter(None, NOW), Err(Refused::Full { running: 1, waiting: 0 }));
    release(&mut bulkhead, place);
    assert!(matches!(bulkhead.enter(None, NOW), Ok(Entry::Go(_))));
}

#[test]
fn rule_3_first_come_first_served() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_concurrent: 1, ..TWO });
    let place = go(&mut bulkhead);
    let mut line = Vec::from([(); 3].map(|()| wait(&mut bulkhead)));
    release(&mut bulkhead, place);
    while !line.is_empty() {
        let first = line.remove(0);
        for ticket in std::mem::take(&mut line) {
            line.push(turn(&mut bulkhead, ticket).expect_err("somebody waits longer"));
        }
        assert!(bulkhead.try_acquire(NOW).is_err(), "nobody gets past the line");
        let place = turn(&mut bulkhead, first).expect("its turn");
        release(&mut bulkhead, place);
    }
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[test]
fn rule_4_whoever_leaves_the_line_leaves_no_gap() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_concurrent: 1, ..TWO });
    let place = go(&mut bulkhead);
    let [first, second, third] = [(); 3].map(|()| wait(&mut bulkhead));
    leave(&mut bulkhead, second);
    let fourth = wait(&mut bulkhead);
    assert!(bulkhead.enter(None, NOW).is_err());
    release(&mut bulkhead, place);
    let place = turn(&mut bulkhead, first).expect("its turn");
    release(&mut bulkhead, place);
    let fourth = turn(&mut bulkhead, fourth).expect_err("the third is before it");
    let place = turn(&mut bulkhead, third).expect("its turn");
    release(&mut bulkhead, place);
    assert!(turn(&mut bulkhead, fourth).is_ok());
}

#[test]
fn rule_4_a_turn_that_had_come_is_passed_on() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_concurrent: 1, ..TWO });
    let place = go(&mut bulkhead);
    let [first, second, third] = [(); 3].map(|()| wait(&mut bulkhead));
    release(&mut bulkhead, place);
    leave(&mut bulkhead, first);
    let third = turn(&mut bulkhead, third).expect_err("the second is before it");
    let place = turn(&mut bulkhead, second).expect("its turn");
    release(&mut bulkhead, place);
    leave(&mut bulkhead, third);
    assert_eq!((bulkhead.snapshot().running, bulkhead.snapshot().waiting), (0, 0));
}

#[test]
fn rule_5_waits_until_exactly_max_wait_has_passed() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_wait: Some(SECOND), max_concurrent: 1, ..TWO });
    let _place = go(&mut bulkhead);
    let ticket = wait(&mut bulkhead);
    assert_eq!(ticket.until(), NOW + SECOND);
    let just_before = NOW + SECOND - Duration::from_nanos(1);
    let Ok(Entry::Wait(ticket)) = bulkhead.claim(ticket, None, just_before) else { panic!("not in line") };
    assert_eq!(bulkhead.claim(ticket, None, NOW + SECOND), Err(Refused::TimedOut));
    let shown = bulkhead.snapshot();
    assert_eq!((shown.waiting, shown.timed_out), (0, 1));
}

#[test]
fn rule_5_a_turn_that_came_in_time_is_kept_however_late_it_is_fetched() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_wait: Some(SECOND), max_concurrent: 1, ..TWO });
    let place = go(&mut bulkhead);
    let ticket = wait(&mut bulkhead);
    release(&mut bulkhead, place);
    assert!(matches!(bulkhead.claim(ticket, None, NOW + SECOND.times(100)), Ok(Entry::Go(_))));
}

#[test]
fn rule_5_whoever_may_wait_for_ever_is_not_refused_at_the_end_of_time() {
    for max_wait in [None, Some(Duration::MAX)] {
        let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_wait, max_concurrent: 1, ..TWO });
        let place = go(&mut bulkhead);
        let ticket = wait(&mut bulkhead);
        let Ok(Entry::Wait(ticket)) = bulkhead.claim(ticket, None, Instant::MAX) else { panic!("not in line") };
        release(&mut bulkhead, place);
        assert!(turn(&mut bulkhead, ticket).is_ok());
    }
}

#[test]
fn rule_6_a_clock_that_steps_back_changes_nothing() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_wait: Some(SECOND), max_concurrent: 1, ..TWO });
    let _place = go(&mut bulkhead);
    let mut ticket = wait(&mut bulkhead);
    for now in [Instant::ZERO, NOW, Instant::ZERO] {
        assert!(bulkhead.try_acquire(now).is_err());
        let Ok(Entry::Wait(again)) = bulkhead.claim(ticket, None, now) else { panic!("not in line") };
        ticket = again;
    }
    assert_eq!(bulkhead.claim(ticket, None, Instant::MAX), Err(Refused::TimedOut));
}

#[test]
fn whoever_gives_a_place_back_is_told_whom_to_wake() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_concurrent: 1, ..TWO });
    let place = go(&mut bulkhead);
    let woken = [(); 3].map(|()| Arc::new(Woken::default()));
    let wakers = [0, 1, 2].map(|n| Waker::from(Arc::clone(&woken[n])));
    let Ok(Entry::Wait(first)) = bulkhead.enter(Some(&wakers[0]), NOW) else { panic!("not in line") };
    let Ok(Entry::Wait(second)) = bulkhead.enter(Some(&wakers[1]), NOW) else { panic!("not in line") };
    // The first is polled by another task meanwhile.
    let Ok(Entry::Wait(first)) = bulkhead.claim(first, Some(&wakers[2]), NOW) else { panic!("not in line") };
    bulkhead.release(place, NOW).expect("the first's waker").wake();
    let counts = || [0, 1, 2].map(|n| woken[n].0.load(Ordering::SeqCst));
    assert_eq!(counts(), [0, 0, 1]);
    // It leaves instead of fetching its turn.
    bulkhead.leave(first, NOW).expect("the second's waker").wake();
    assert_eq!(counts(), [0, 1, 1]);
    assert!(matches!(bulkhead.claim(second, None, NOW), Ok(Entry::Go(_))));
}

#[test]
fn whoever_leaves_before_the_turn_has_come_has_nobody_to_wake() {
    let mut bulkhead: Bulkhead<3> = Bulkhead::new(Config { max_concurrent: 1, ..TWO });
    let _place = go(&mut bulkhead);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..3 {
        let Ok(Entry::Wait(ticket)) = bulkhead.enter(Some(&waker), NOW) else { panic!("not in line") };
        assert!(bulkhead.leave(ticket, NOW).is_none());
    }
    drop(waker);
    assert_eq!((woken.0.load(Ordering::SeqCst), Arc::strong_count(&woken)), (0, 1), "nor is a waker kept");
}

#[test]
fn a_ticket_of_another_bulkhead_is_refused() {
    let mut one: Bulkhead<3> = Bulkhead::new(TWO);
    let mut other: Bulkhead<3> = Bulkhead::new(TWO);
    let _places = [go(&mut one), go(&mut one)];
    let ticket = wait(&mut one);
    assert_eq!(other.claim(ticket, None, NOW), Err(Refused::Unknown));
    assert_eq!(other.snapshot().running, 0);
}

#[test]
fn a_config_that_means_nothing_is_refused() {
    assert_eq!(Config { max_concurrent: 0, ..TWO }.validate(3), Err(ConfigError::NoConcurrent));
    assert_eq!(TWO.validate(2), Err(ConfigError::MaxWaiting));
    assert_eq!(TWO.validate(3), Ok(()));
    assert_eq!(Config { max_wait: Some(Duration::ZERO), ..TWO }.validate(3), Err(ConfigError::NoWait));
    assert_eq!(Bulkhead::<2>::try_new(TWO).map(|_| ()), Err(ConfigError::MaxWaiting));
    let message = ConfigError::NoConcurrent.to_string();
    assert_eq!(message, "bulkhead: `max_concurrent` is 0; at least 1 is needed");
}

#[test]
fn it_fits_a_static() {
    static BUS: CsShared<Bulkhead<4>, Instant> =
        CsShared::new(Bulkhead::new(Config { max_concurrent: 1, max_waiting: 4, max_wait: Some(SECOND) }), NOW);
    let place = BUS.with(Bulkhead::try_acquire).expect("a place is free");
    assert!(BUS.with(Bulkhead::try_acquire).is_err());
    assert!(BUS.with(|bulkhead, now| bulkhead.release(place, now)).is_none());
}
