//! Timers in the order of their moments, each found again by its slot.

use crate::time::Instant;

/// Children of a timer: four of them stand side by side, and the tree is half as deep as with two.
const WAYS: usize = 4;

/// A moment at which a slot has something to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    pub(super) at: Instant,
    /// Orders those of the same moment; it wraps.
    pub(super) seq: u32,
    pub(super) slot: u32,
}

impl Timer {
    pub(super) const EMPTY: Self = Self { at: Instant::ZERO, seq: 0, slot: 0 };

    #[inline]
    fn is_before(&self, other: &Self) -> bool {
        self.at < other.at || self.at == other.at && self.seq.wrapping_sub(other.seq).cast_signed() < 0
    }
}

/// The arrays of a scheduler, whatever their length: the code is there once.
pub(super) struct Heap<'a> {
    pub(super) timers: &'a mut [Timer],
    /// Where the timer of a slot stands.
    pub(super) places: &'a mut [u32],
    pub(super) len: &'a mut u32,
}

impl Heap<'_> {
    pub(super) fn push(&mut self, timer: Timer) {
        let place = *self.len as usize;
        if place < self.timers.len() {
            *self.len = self.len.wrapping_add(1);
            self.rise(place, timer);
        }
    }

    /// Takes the earliest one, if its moment has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let first = self.timers.first().filter(|first| *self.len > 0 && first.at <= now)?.slot;
        self.remove_at(0);
        Some(first)
    }

    /// Takes the timer of a slot that has one.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(&place) = self.places.get(slot as usize) {
            self.remove_at(place as usize);
        }
    }

    fn remove_at(&mut self, place: usize) {
        let Some(last) = self.len.checked_sub(1) else { return };
        *self.len = last;
        let last = last as usize;
        let Some(&moved) = self.timers.get(last) else { return };
        if place >= last {
            return;
        }
        let above = place.wrapping_sub(1) / WAYS;
        if place > 0 && self.timers.get(above).is_some_and(|above| moved.is_before(above)) {
            self.rise(place, moved);
        } else {
            self.sink(place, last, moved);
        }
    }

    #[inline]
    fn set(&mut self, place: usize, timer: Timer) {
        if let Some(entry) = self.timers.get_mut(place) {
            *entry = timer;
        }
        if let Some(entry) = self.places.get_mut(timer.slot as usize) {
            #[expect(clippy::cast_possible_truncation, reason = "below `len`, which is a u32")]
            let place = place as u32;
            *entry = place;
        }
    }

    fn rise(&mut self, mut place: usize, timer: Timer) {
        while place > 0 {
            let above = (place - 1) / WAYS;
            let Some(&parent) = self.timers.get(above) else { break };
            if !timer.is_before(&parent) {
                break;
            }
            self.set(place, parent);
            place = above;
        }
        self.set(place, timer);
    }

    fn sink(&mut self, mut place: usize, len: usize, timer: Timer) {
        while let Some((child, first)) = self.first_child(place, len) {
            if !first.is_before(&timer) {
                break;
            }
            self.set(place, first);
            place = child;
        }
        self.set(place, timer);
    }

    /// The earliest below `place`.
    #[inline]
    fn first_child(&self, place: usize, len: usize) -> Option<(usize, Timer)> {
        let begin = place.wrapping_mul(WAYS).wrapping_add(1);
        let children = self.timers.get(begin..len.min(begin.wrapping_add(WAYS)))?;
        let (mut child, mut first) = (begin, *children.first()?);
        for (offset, timer) in children.iter().enumerate().skip(1) {
            if timer.is_before(&first) {
                (child, first) = (begin.wrapping_add(offset), *timer);
            }
        }
        Some((child, first))
    }
}
