//! A model of the word in front of the lock: every interleaving of two threads, by `loom`.
//!
//! The gate is the real one and the machine too; only the word and the lock are `loom`'s. Run with
//! `RUSTFLAGS="--cfg daur_loom" cargo test -p daur-std --no-default-features --lib loom`.

use daur_core::reliability::breaker::{Breaker, Config, Event, State};
use daur_core::shared::Shared;
use daur_core::time::Instant;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::gate::{Gate, Word};

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        Self::load(self, Ordering::Acquire)
    }

    fn store(&self, word: u64) {
        Self::store(self, word, Ordering::Release);
    }
}

const NOW: Instant = Instant::from_secs(100);

/// A lock of loom's, at a moment that stands still.
struct Locked(Mutex<Breaker>);

impl Shared for Locked {
    type Machine = Breaker;

    fn with<R>(&self, f: impl FnOnce(&mut Breaker, Instant) -> R) -> R {
        f(&mut self.0.lock().unwrap(), NOW)
    }
}

type Model = Arc<Gate<Locked, AtomicU64>>;

fn gate(breaker: Breaker) -> Model {
    let gate = Gate { word: AtomicU64::new(0), machine: Locked(Mutex::new(breaker)) };
    // The first call writes the word.
    gate.with(|_, _| ());
    Arc::new(gate)
}

/// A breaker whose wait is over.
fn about_to_probe(config: Config) -> Breaker {
    let mut breaker = Breaker::new(config);
    let permit = breaker.try_acquire(Instant::ZERO).unwrap();
    assert!(breaker.on_failure(permit, Instant::ZERO).is_some());
    breaker
}

const ONE: Config = Config { failures: 1, ..Config::DEFAULT };

#[test]
fn the_half_open_door_admits_one_probe_of_two_threads() {
    loom::model(|| {
        let gate = gate(about_to_probe(ONE));
        let other = gate.clone();
        let thread = thread::spawn(move || other.admit(|| NOW).is_ok());
        let here = gate.admit(|| NOW).is_ok();
        assert!(here != thread.join().unwrap(), "one of the two, and not both");
    });
}

#[test]
fn a_probe_that_is_given_back_may_be_taken_by_the_other_thread_and_by_it_alone() {
    loom::model(|| {
        let gate = gate(about_to_probe(ONE));
        let inside = Arc::new(AtomicU64::new(0));
        let probe = |gate: &Model, inside: &Arc<AtomicU64>| {
            if let Ok(permit) = gate.admit(|| NOW) {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                inside.fetch_sub(1, Ordering::SeqCst);
                gate.with(|breaker, now| breaker.cancel(permit, now));
            }
        };
        let (other, other_inside) = (gate.clone(), inside.clone());
        let thread = thread::spawn(move || probe(&other, &other_inside));
        probe(&gate, &inside);
        thread.join().unwrap();
        assert!(gate.admit(|| NOW).is_ok(), "not wedged");
    });
}

#[test]
fn a_permit_from_before_it_opened_never_closes_it() {
    loom::model(|| {
        let gate = gate(Breaker::new(ONE));
        let opened = Arc::new(AtomicBool::new(false));
        let (other, other_opened) = (gate.clone(), opened.clone());
        let thread = thread::spawn(move || {
            let permit = other.admit(|| NOW).unwrap();
            assert!(other.with(|breaker, now| breaker.on_failure(permit, now)).is_some());
            other_opened.store(true, Ordering::Release);
        });
        if let Ok(permit) = gate.admit(|| NOW) {
            assert_eq!(gate.on_success(permit), None);
        }
        if opened.load(Ordering::Acquire) {
            assert!(gate.admit(|| NOW).is_err(), "whoever knows that it has opened is refused");
        }
        thread.join().unwrap();
        assert_eq!(gate.with(|breaker, _| breaker.state()), State::Open);
        assert!(gate.admit(|| NOW).is_err());
    });
}

#[test]
fn a_success_after_a_failure_is_never_lost_to_the_short_cut() {
    loom::model(|| {
        let gate = gate(Breaker::new(Config { failures: 2, ..Config::DEFAULT }));
        let failed = Arc::new(AtomicBool::new(false));
        let (other, other_failed) = (gate.clone(), failed.clone());
        let thread = thread::spawn(move || {
            let permit = other.admit(|| NOW).unwrap();
            other.with(|breaker, now| breaker.on_failure(permit, now));
            other_failed.store(true, Ordering::Release);
        });
        let permit = gate.admit(|| NOW).unwrap();
        let after = failed.load(Ordering::Acquire);
        gate.on_success(permit);
        thread.join().unwrap();
        let failures = gate.with(|breaker, _| breaker.snapshot().consecutive_failures);
        assert!(failures <= u32::from(!after), "a success reported after the failure starts the count over");
    });
}

#[test]
fn the_word_is_that_of_the_last_change() {
    loom::model(|| {
        let gate = gate(Breaker::new(Config { failures: 2, ..Config::DEFAULT }));
        let fail = |gate: &Model| {
            let permit = gate.admit(|| NOW).unwrap();
            gate.with(|breaker, now| breaker.on_failure(permit, now)).is_some()
        };
        let other = gate.clone();
        let thread = thread::spawn(move || fail(&other));
        let here = fail(&gate);
        assert!(here != thread.join().unwrap(), "the second failure opens it, whoever's it is");
        assert!(gate.admit(|| NOW).is_err(), "a word that was written late would still admit");
    });
}

#[test]
fn a_probe_that_succeeds_closes_it_for_both() {
    loom::model(|| {
        let gate = gate(about_to_probe(ONE));
        let closed = Arc::new(AtomicBool::new(false));
        let (other, other_closed) = (gate.clone(), closed.clone());
        let thread = thread::spawn(move || {
            if let Ok(permit) = other.admit(|| NOW)
                && other.on_success(permit) == Some(Event::Closed)
            {
                other_closed.store(true, Ordering::Release);
            }
        });
        let seen = closed.load(Ordering::Acquire);
        let here = gate.admit(|| NOW);
        assert!(here.is_ok() || !seen);
        if let Ok(permit) = here {
            gate.on_success(permit);
        }
        thread.join().unwrap();
        assert_eq!(gate.with(|breaker, _| breaker.state()), State::Closed);
    });
}
