//! The word in front of a breaker's lock.
//!
//! Generic over the word and the lock, so that the model in `loom.rs` runs this code and not a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use daur_core::reliability::breaker::{Breaker, Event, Mode, Open, Permit};
use daur_core::shared::Shared;
use daur_core::time::Instant;

/// An atomic word: loads acquire, stores release.
pub(super) trait Word {
    fn load(&self) -> u64;
    fn store(&self, word: u64);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        Self::load(self, Ordering::Acquire)
    }

    #[inline]
    fn store(&self, word: u64) {
        Self::store(self, word, Ordering::Release);
    }
}

/// A breaker behind a lock, and beside it a word that says when the lock is not needed.
pub(super) struct Gate<S, W = AtomicU64> {
    /// The machine's `Fast`, packed: the generation above, three flags below. Zero, which every
    /// breaker starts with, allows no short cut. Written under the lock only.
    pub(super) word: W,
    pub(super) machine: S,
}

const ADMITS: u64 = 1;
const SUCCESS_CHANGES_NOTHING: u64 = 2;
const TIMES_CALLS: u64 = 4;
const GENERATION_SHIFT: u32 = 3;

fn word_of<M: Mode>(breaker: &Breaker<M>) -> u64 {
    let fast = breaker.fast();
    (u64::from(fast.generation) << GENERATION_SHIFT)
        | if fast.admits { ADMITS } else { 0 }
        | if fast.success_changes_nothing { SUCCESS_CHANGES_NOTHING } else { 0 }
        | if fast.times_calls { TIMES_CALLS } else { 0 }
}

#[expect(clippy::cast_possible_truncation, reason = "a generation was put in")]
const fn generation_of(word: u64) -> u32 {
    (word >> GENERATION_SHIFT) as u32
}

impl<M: Mode, S: Shared<Machine = Breaker<M>>, W: Word> Gate<S, W> {
    /// Asks to make one call; reads the clock only if the mode times calls.
    #[inline]
    pub(super) fn admit(&self, now: impl FnOnce() -> Instant) -> Result<Permit, Open> {
        let word = self.word.load();
        if word & ADMITS == 0 {
            return self.admit_slow();
        }
        let generation = generation_of(word);
        // The first half is the compiler's to decide.
        if M::TIMES_CALLS && word & TIMES_CALLS != 0 {
            Ok(Permit::started_at(generation, now()))
        } else {
            Ok(Permit::of_generation(generation))
        }
    }

    /// Whether every call is admitted, as far as can be told without the lock.
    #[inline]
    pub(super) fn admits(&self) -> bool {
        self.word.load() & ADMITS != 0
    }

    #[inline]
    pub(super) fn on_success(&self, permit: Permit) -> Option<Event> {
        let word = self.word.load();
        if word & SUCCESS_CHANGES_NOTHING != 0 && generation_of(word) == permit.generation() {
            return None;
        }
        self.on_success_slow(permit)
    }

    // Apart, so that the short cuts are small enough to stand in their callers.
    #[cold]
    fn admit_slow(&self) -> Result<Permit, Open> {
        self.with(Breaker::try_acquire)
    }

    #[cold]
    fn on_success_slow(&self, permit: Permit) -> Option<Event> {
        self.with(|breaker, now| breaker.on_success(permit, now))
    }

    #[cold]
    pub(super) fn on_failure(&self, permit: Permit) -> Option<Event> {
        self.with(|breaker, now| breaker.on_failure(permit, now))
    }

    #[cold]
    pub(super) fn cancel(&self, permit: Permit) {
        self.with(|breaker, now| breaker.cancel(permit, now));
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Breaker<M>, Instant) -> R) -> R {
        self.machine.with(|breaker, now| {
            // No short cut while the machine changes; a panic of `f` leaves it at that.
            self.word.store(0);
            let answer = f(breaker, now);
            self.word.store(word_of(breaker));
            answer
        })
    }
}
