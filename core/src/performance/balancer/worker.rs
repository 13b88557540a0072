//! One worker's place: its load by age, its health, what the policy keeps of it.

use super::Eject;
use crate::time::{Duration, Instant};

/// Ages that tickets are told apart by: a lease and a third of it, in steps of a third.
pub(super) const AGES: usize = 4;

/// A returning worker's whole share.
const WHOLE: u8 = 8;

/// One place. `X` is what the policy keeps.
#[derive(Clone, Debug)]
pub struct Slot<X> {
    /// While ejected: when it returns. Else when it returned; zero if it never was.
    pub(super) until: Instant,
    /// Counts the workers that have left this place.
    pub(super) generation: u32,
    pub(super) load: u32,
    /// The load by the epoch of its tickets.
    pub(super) out: [u32; AGES],
    /// In a row.
    pub(super) failures: u32,
    pub(super) weight: u16,
    /// Ejections in a row.
    pub(super) streak: u8,
    /// Eighths of a task that a returning worker has saved up.
    credit: u8,
    pub(super) present: bool,
    pub(super) draining: bool,
    pub(super) available: bool,
    pub(super) ejected: bool,
    /// Passed over in this pick, since it is returning.
    pub(super) passed: bool,
    pub(super) own: X,
}

impl<X> Slot<X> {
    pub(super) const fn empty(own: X) -> Self {
        Self {
            until: Instant::ZERO,
            generation: 0,
            load: 0,
            out: [0; AGES],
            failures: 0,
            weight: 0,
            streak: 0,
            credit: 0,
            present: false,
            draining: false,
            available: true,
            ejected: false,
            passed: false,
            own,
        }
    }

    /// Takes in a new worker.
    pub(super) fn fill(&mut self, weight: u16, own: X) {
        *self = Self { generation: self.generation, weight, present: true, ..Self::empty(own) };
    }

    /// Lets the worker go. Its tickets belong to a former generation from now on.
    pub(super) fn vacate(&mut self, own: X) {
        *self = Self { generation: self.generation.wrapping_add(1), ..Self::empty(own) };
    }

    /// Whether it is one of those that the shares in percent are of.
    pub(super) const fn is_eligible(&self) -> bool {
        self.present && !self.draining && self.weight > 0
    }

    /// Whether it may be given one more, ejected or not.
    pub(super) const fn has_room(&self, max_load: u32) -> bool {
        self.is_eligible() && self.available && self.load < max_load
    }

    /// How much of its share it gets, in eighths.
    pub(super) fn eighths(&self, step: Duration, now: Instant) -> u8 {
        if self.until == Instant::ZERO || step.is_zero() {
            return WHOLE;
        }
        let mut left = now.since(self.until);
        let mut share = 1;
        while share < WHOLE && left >= step {
            left = left - step;
            share += 1;
        }
        share
    }

    /// Whether it has come back altogether.
    pub(super) fn is_back(&self, step: Duration, now: Instant) -> bool {
        self.eighths(step, now) == WHOLE
    }

    /// Whether this pick, which fell on it, is within its share.
    pub(super) fn admits(&mut self, step: Duration, now: Instant) -> bool {
        let share = self.eighths(step, now);
        if share == WHOLE {
            return true;
        }
        self.credit += share;
        let admits = self.credit >= WHOLE;
        if admits {
            self.credit -= WHOLE;
        }
        admits
    }

    pub(super) fn restore(&mut self) {
        (self.until, self.ejected, self.failures, self.streak) = (Instant::ZERO, false, 0, 0);
    }

    pub(super) fn eject(&mut self, eject: &Eject, now: Instant) {
        let mut wait = eject.base;
        let mut doublings = self.streak;
        while doublings > 0 && wait < eject.max {
            wait = wait + wait;
            doublings -= 1;
        }
        self.until = now.after(wait.min(eject.max));
        self.streak = self.streak.saturating_add(1);
        self.ejected = true;
        self.failures = 0;
        self.credit = 0;
    }
}
