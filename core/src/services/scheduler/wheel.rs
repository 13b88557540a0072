//! The timers of many slots: those that come soon in a heap, the others in a wheel of wheels.
//!
//! The wheel's buckets are lists, so that to plan and to cancel touches neighbours only, however many there are. What is exact, the heap
//! does: it holds the earliest timer always, and takes a bucket over when its time may be next.
//!
//! Nothing is added to what a scheduler with a heap alone takes: a timer lies where its slot's index says, and has there the links of its list
//! instead of the numbers that the heap would keep. The array of places has the heap from its beginning, as indices of slots, and from its end
//! the wheel, of which the heap takes the room when nearly all timers come soon.

use super::heap::Timer;
use super::slot::{Link, Log, Slot};
use crate::time::Instant;

/// What is nearer to the base than two to the power of so many nanoseconds, some 65 us, is the heap's.
const FINEST: u32 = 16;
/// A bucket of so many is not divided any more.
const FEW: u32 = 32;
/// So many in the heap are worth no looking whether they could be elsewhere.
const SMALL: u32 = 64;
const WAYS: usize = 4;
/// In place of the link to the next: it is in the heap. No link is that large.
const NEAR: Link = u32::MAX;

/// The arrays of a scheduler of `N` places, which are many.
pub(super) struct Wheel<'a, T, const N: usize> {
    pub(super) slots: &'a [Slot<T>; N],
    pub(super) logs: &'a [Log; N],
    /// Each with its moment, its next and its previous; or [`NEAR`], and where in the heap it is.
    pub(super) timers: &'a mut [Timer; N],
    pub(super) places: &'a mut [u32; N],
    /// Of the heap.
    pub(super) len: &'a mut u32,
}

impl<T, const N: usize> Wheel<'_, T, N> {
    /// Each level divides a bucket of the one above it into two to the power of so many.
    const BITS: u32 = if N < 8_192 { 5 } else { 8 };
    const LEVELS: usize = (u64::BITS - FINEST).div_ceil(Self::BITS) as usize;
    const BUCKETS: usize = Self::LEVELS << Self::BITS;
    /// In the heap are so many at most, while there is a wheel.
    const NEAR_MAX: usize = N.saturating_sub(Self::BUCKETS + Self::BUCKETS / 32 + 5);
    const FIRSTS: usize = Self::NEAR_MAX;
    /// A bit for each bucket that is not empty; the earliest bucket is the first.
    const BITMAP: usize = Self::FIRSTS + Self::BUCKETS;
    /// None of the wheel is before it.
    const BASE: usize = Self::BITMAP + Self::BUCKETS / 32;
    /// When the first bucket begins, with all bits turned: 0 for never.
    const UNTIL: usize = Self::BASE + 2;
    const FAR_LEN: usize = Self::UNTIL + 2;

    /// Whether `N` is enough for all this.
    pub(super) const FITS: bool = N >= 1_024;

    #[inline]
    pub(super) fn push(&mut self, slot: u32, at: Instant) {
        let (at, base) = (at.as_nanos(), self.wide(Self::BASE));
        // Where there is none in the heap, there is none at all.
        if let Some((_, first)) = self.first()
            && !self.is_flat()
            && at >= base
            && let Some(level) = level::<T, N>(at, base)
            && begin::<T, N>(at, level) > first
        {
            self.push_far(slot, at, level);
        } else {
            self.push_soon(slot, at);
        }
    }

    #[inline(never)]
    fn push_soon(&mut self, slot: u32, at: u64) {
        self.push_near(slot, at);
        let is_early = !self.is_flat() && at < self.wide(Self::BASE);
        if is_early && *self.len > SMALL && *self.len > self.word(Self::FAR_LEN) / 4 {
            self.begin_anew();
        }
    }

    /// The earliest one.
    #[inline]
    pub(super) fn first(&self) -> Option<(u32, u64)> {
        let slot = *self.places.first().filter(|_| *self.len > 0)?;
        Some((slot, self.at(slot)))
    }

    /// Takes the earliest one, if its moment has come.
    #[inline]
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let (slot, _) = self.first().filter(|(_, at)| *at <= now.as_nanos())?;
        self.remove_near(0);
        Some(slot)
    }

    /// Takes the timer of a slot that has one.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(&Timer { at, seq: next, slot: previous }) = self.timers.get(slot as usize) else { return };
        if next == NEAR {
            self.remove_near(previous as usize);
            return;
        }
        if let Some(next) = self.timer_mut(next) {
            next.slot = previous;
        }
        if let Some(previous) = self.timer_mut(previous) {
            previous.seq = next;
        } else if let Some(level) = level::<T, N>(at.as_nanos(), self.wide(Self::BASE)) {
            let bucket = bucket::<T, N>(at.as_nanos(), level);
            self.set_word(Self::FIRSTS + bucket, next);
            if next == 0 {
                self.mark(bucket, false);
                if begin::<T, N>(at.as_nanos(), level) == !self.wide(Self::UNTIL) {
                    self.find_until();
                }
            }
        }
        self.set_word(Self::FAR_LEN, self.word(Self::FAR_LEN).wrapping_sub(1));
    }

    /// Whether the heap has the room of the wheel, which is empty then.
    fn is_flat(&self) -> bool {
        *self.len as usize > Self::NEAR_MAX
    }

    #[inline]
    fn word(&self, place: usize) -> u32 {
        self.places.get(place).copied().unwrap_or(0)
    }

    #[inline]
    fn set_word(&mut self, place: usize, word: u32) {
        if let Some(entry) = self.places.get_mut(place) {
            *entry = word;
        }
    }

    #[inline]
    fn wide(&self, place: usize) -> u64 {
        u64::from(self.word(place + 1)) << 32 | u64::from(self.word(place))
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "two halves")]
    fn set_wide(&mut self, place: usize, wide: u64) {
        self.set_word(place, wide as u32);
        self.set_word(place + 1, (wide >> 32) as u32);
    }

    #[inline]
    fn at(&self, slot: u32) -> u64 {
        self.timers.get(slot as usize).map_or(0, |timer| timer.at.as_nanos())
    }

    #[inline]
    fn timer_mut(&mut self, link: Link) -> Option<&mut Timer> {
        self.timers.get_mut(link.wrapping_sub(1) as usize)
    }

    /// Takes the first of a chain of timers.
    #[inline]
    fn next_of(&self, chain: &mut Link) -> Option<(u32, u64)> {
        let slot = chain.wrapping_sub(1);
        let timer = self.timers.get(slot as usize)?;
        *chain = timer.seq;
        Some((slot, timer.at.as_nanos()))
    }

    #[inline]
    fn mark(&mut self, bucket: usize, is_used: bool) {
        let bit = 1 << (bucket % 32);
        let word = self.word(Self::BITMAP + bucket / 32);
        self.set_word(Self::BITMAP + bucket / 32, if is_used { word | bit } else { word & !bit });
    }

    fn first_bucket(&self) -> Option<usize> {
        let words = self.places.get(Self::BITMAP..Self::BASE)?;
        let (place, word) = words.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(place * 32 + word.trailing_zeros() as usize)
    }

    fn find_until(&mut self) {
        let begins = self.first_bucket().and_then(|bucket| {
            let first = self.word(Self::FIRSTS + bucket).wrapping_sub(1);
            Some(begin::<T, N>(self.timers.get(first as usize)?.at.as_nanos(), bucket >> Self::BITS))
        });
        self.set_wide(Self::UNTIL, !begins.unwrap_or(u64::MAX));
    }

    #[inline]
    fn push_far(&mut self, slot: u32, at: u64, level: usize) {
        let bucket = bucket::<T, N>(at, level);
        let link = slot.wrapping_add(1);
        let next = self.word(Self::FIRSTS + bucket);
        self.set_word(Self::FIRSTS + bucket, link);
        match self.timer_mut(next) {
            Some(next) => next.slot = link,
            None => {
                self.mark(bucket, true);
                let until = begin::<T, N>(at, level).min(!self.wide(Self::UNTIL));
                self.set_wide(Self::UNTIL, !until);
            }
        }
        if let Some(timer) = self.timers.get_mut(slot as usize) {
            *timer = Timer { at: Instant::from_nanos(at), seq: next, slot: 0 };
        }
        self.set_word(Self::FAR_LEN, self.word(Self::FAR_LEN).wrapping_add(1));
    }

    /// While the wheel may have one that is earlier than the heap's first, the heap gets its first bucket.
    #[inline]
    fn refill(&mut self) {
        while !self.is_flat()
            && self.word(Self::FAR_LEN) > 0
            && self.first().is_none_or(|(_, first)| first >= !self.wide(Self::UNTIL))
        {
            self.take_bucket();
        }
    }

    /// Gives the first bucket to the heap, or as much of it as is next.
    fn take_bucket(&mut self) {
        let Some(bucket) = self.first_bucket() else { return };
        let level = bucket >> Self::BITS;
        let chain = self.word(Self::FIRSTS + bucket);
        let (mut rest, mut count, mut earliest) = (chain, 0, u64::MAX);
        while let Some((_, at)) = self.next_of(&mut rest) {
            count += 1;
            earliest = earliest.min(at);
        }
        self.set_word(Self::FIRSTS + bucket, 0);
        self.mark(bucket, false);
        self.set_word(Self::FAR_LEN, self.word(Self::FAR_LEN).wrapping_sub(count));
        self.find_until();
        let are_few = count <= FEW || level == 0;
        if !are_few {
            // All that are in other buckets stay where they are: those of this one were the next.
            self.set_wide(Self::BASE, earliest >> FINEST << FINEST);
        }
        self.spread(chain, !are_few);
    }

    /// Puts each of a chain into its bucket, or all into the heap.
    fn spread(&mut self, mut chain: Link, apart: bool) {
        let base = self.wide(Self::BASE);
        while let Some((slot, at)) = self.next_of(&mut chain) {
            match level::<T, N>(at, base) {
                Some(level) if apart && !self.is_flat() => self.push_far(slot, at, level),
                _ => {
                    if !apart {
                        self.fetch(slot);
                    }
                    self.push_near(slot, at);
                }
            }
        }
    }

    /// Reads what the next poll will, so that the memory is on its way for all of a bucket at once, and not for one after the other.
    #[inline]
    fn fetch(&self, slot: u32) {
        let ends = self.slots.get(slot as usize).map(Slot::ends);
        core::hint::black_box((ends, self.logs.get(slot as usize).map(|log| log.overlaps)));
    }

    /// Empties the wheel, and chains what was in it before `chain`.
    fn take_all(&mut self, mut chain: Link) -> Link {
        let buckets = if self.word(Self::FAR_LEN) > 0 { Self::BUCKETS } else { 0 };
        for bucket in 0..buckets {
            let mut link = self.word(Self::FIRSTS + bucket);
            while let Some(timer) = self.timer_mut(link) {
                let next = core::mem::replace(&mut timer.seq, chain);
                chain = core::mem::replace(&mut link, next);
            }
        }
        self.empty();
        chain
    }

    fn empty(&mut self) {
        if let Some(wheel) = self.places.get_mut(Self::NEAR_MAX..) {
            wheel.fill(0);
        }
    }

    /// Many came that are earlier than the base: it is where the first of all is from now on.
    #[cold]
    fn begin_anew(&mut self) {
        let Some((_, first)) = self.first() else { return };
        let mut chain = self.take_all(0);
        for place in 0..core::mem::take(self.len) {
            let slot = self.word(place as usize);
            if let Some(timer) = self.timers.get_mut(slot as usize) {
                timer.seq = chain;
                chain = slot.wrapping_add(1);
            }
        }
        self.set_wide(Self::BASE, first >> FINEST << FINEST);
        self.spread(chain, true);
    }

    #[inline]
    fn push_near(&mut self, slot: u32, at: u64) {
        let mut others = 0;
        if *self.len as usize == Self::NEAR_MAX {
            others = self.take_all(0);
        }
        self.push_heap(slot, at);
        while let Some((slot, at)) = self.next_of(&mut others) {
            self.push_heap(slot, at);
        }
    }

    fn push_heap(&mut self, slot: u32, at: u64) {
        let place = *self.len as usize;
        if place < N {
            *self.len = self.len.wrapping_add(1);
            self.rise(place, slot, at);
        }
    }

    fn remove_near(&mut self, place: usize) {
        let Some(last) = self.len.checked_sub(1) else { return };
        *self.len = last;
        let last = last as usize;
        let moved = self.word(last);
        if place < last {
            let at = self.at(moved);
            let above = self.word(place.wrapping_sub(1) / WAYS);
            if place > 0 && self.is_before(moved, at, above, self.at(above)) {
                self.rise(place, moved, at);
            } else {
                self.sink(place, last, moved, at);
            }
        }
        if last == Self::NEAR_MAX {
            // The last one that had the wheel's room.
            self.empty();
        }
        self.refill();
    }

    #[inline]
    fn is_before(&self, slot: u32, at: u64, other: u32, other_at: u64) -> bool {
        at < other_at || at == other_at && self.number(slot).wrapping_sub(self.number(other)).cast_signed() < 0
    }

    fn number(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).map_or(0, |slot| slot.number)
    }

    #[inline]
    fn set(&mut self, place: usize, slot: u32, at: u64) {
        self.set_word(place, slot);
        if let Some(timer) = self.timers.get_mut(slot as usize) {
            #[expect(clippy::cast_possible_truncation, reason = "below `len`, which is a u32")]
            let place = place as u32;
            *timer = Timer { at: Instant::from_nanos(at), seq: NEAR, slot: place };
        }
    }

    fn rise(&mut self, mut place: usize, slot: u32, at: u64) {
        while place > 0 {
            let above = (place - 1) / WAYS;
            let parent = self.word(above);
            let parent_at = self.at(parent);
            if !self.is_before(slot, at, parent, parent_at) {
                break;
            }
            self.set(place, parent, parent_at);
            place = above;
        }
        self.set(place, slot, at);
    }

    fn sink(&mut self, mut place: usize, len: usize, slot: u32, at: u64) {
        while let Some((child, first, first_at)) = self.first_child(place, len) {
            if !self.is_before(first, first_at, slot, at) {
                break;
            }
            self.set(place, first, first_at);
            place = child;
        }
        self.set(place, slot, at);
    }

    /// The earliest below `place`.
    #[inline]
    fn first_child(&self, place: usize, len: usize) -> Option<(usize, u32, u64)> {
        let begin = place.wrapping_mul(WAYS).wrapping_add(1);
        let children = self.places.get(begin..len.min(begin.wrapping_add(WAYS)))?;
        let (mut child, mut first) = (begin, *children.first()?);
        let mut first_at = self.at(first);
        for (offset, &slot) in children.iter().enumerate().skip(1) {
            let at = self.at(slot);
            if self.is_before(slot, at, first, first_at) {
                (child, first, first_at) = (begin.wrapping_add(offset), slot, at);
            }
        }
        Some((child, first, first_at))
    }
}

/// On which level a moment is that does not come before the base; `None` if it is too near for any.
#[inline]
fn level<T, const N: usize>(at: u64, base: u64) -> Option<usize> {
    let highest = ((at ^ base) >> FINEST).checked_ilog2()?;
    Some((highest / Wheel::<T, N>::BITS) as usize)
}

/// How many of the lowest bits the moments of one bucket differ in.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a few levels")]
const fn width<T, const N: usize>(level: usize) -> u32 {
    FINEST + level as u32 * Wheel::<T, N>::BITS
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
fn bucket<T, const N: usize>(at: u64, level: usize) -> usize {
    let digit = (at >> width::<T, N>(level)) as usize & ((1 << Wheel::<T, N>::BITS) - 1);
    level << Wheel::<T, N>::BITS | digit
}

/// When the bucket of a moment begins.
#[inline]
fn begin<T, const N: usize>(at: u64, level: usize) -> u64 {
    at >> width::<T, N>(level) << width::<T, N>(level)
}
