//! Where the entry of a key is: tags in groups, found by hash.
//!
//! A group is eight bytes, read as one `u64`: seven tags of seven hash bits each, and a byte that
//! says whether some entry found the group full and went on to the next. A lookup compares all seven
//! tags at once and goes on only where that byte says so. How many entries went on is counted in
//! the eighth place of the group's row of entry numbers, which has no tag of its own; so a removal
//! takes back exactly what its insertion left, no tombstones gather, and nothing is ever rehashed.
//!
//! That byte has bits to spare, and there are four entries for each group: it also keeps a mark for each of
//! the group's four entry numbers, for a policy that needs one.
//!
//! For `N` entries there are `2 N` bytes of tags, `N / 4` groups and `7 N / 4` places: 57 % full at
//! most. Stable Rust cannot size an array by `N / 4`, but `[[u8; 2]; N]` is `2 N` bytes, and a slice
//! of it splits into groups of eight without a copy and without `unsafe`. The price is `N >= 4`,
//! and up to three pairs of bytes unused where `N` is no multiple of four.

use super::policy::sealed::Index;

/// Sets or tests one bit in each of the seven tags.
const TAGS: u64 = 0x0080_8080_8080_8080;
const ONES: u64 = 0x0001_0101_0101_0101;
/// In the group's last byte, whose lower half has the marks.
const WENT_ON: u64 = 1 << 63;
/// The place in a group's row that counts instead of pointing.
const COUNT: usize = 7;

/// Finds the number of an entry by its key's hash.
pub struct Table<I, const N: usize> {
    tags: Tags<N>,
    rows: [[I; 2]; N],
}

/// Aligned so that a target without unaligned loads reads a group in two loads instead of eight.
#[repr(align(8))]
struct Tags<const N: usize>([[u8; 2]; N]);

impl<I: Index, const N: usize> Table<I, N> {
    const GROUPS: usize = N / 4;

    pub(super) const fn new() -> Self {
        Self { tags: Tags([[0; 2]; N]), rows: [[I::ZERO; 2]; N] }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// The number of the entry with this hash of which `look` makes something, and that.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn find<R>(&self, hash: u32, look: impl Fn(usize) -> Option<R> + Copy) -> Option<(usize, R)> {
        let home = Self::home(hash);
        let group = self.group(home);
        // Nearly all are the first that has the tag, or nowhere: without a loop, where code is cheaper than time.
        if cfg!(target_pointer_width = "64") {
            let same = same_tags(group, hash);
            if same != 0 {
                let index = self.rows.as_flattened().get(8 * home + lane(same))?.to_usize();
                if let Some(found) = look(index) {
                    return Some((index, found));
                }
            } else if group < WENT_ON {
                return None;
            }
        }
        self.find_from(home, group, hash, look)
    }

    /// The same, from this group on.
    #[cfg_attr(target_pointer_width = "64", cold, inline(never))]
    fn find_from<R>(
        &self,
        mut at: usize,
        mut group: u64,
        hash: u32,
        look: impl Fn(usize) -> Option<R>,
    ) -> Option<(usize, R)> {
        for _ in 0..Self::GROUPS {
            let mut same = same_tags(group, hash);
            while same != 0 {
                let index = self.row(at)?.get(lane(same))?.to_usize();
                if let Some(found) = look(index) {
                    return Some((index, found));
                }
                same &= same - 1;
            }
            if group < WENT_ON {
                return None;
            }
            at = Self::next(at);
            group = self.group(at);
        }
        None
    }

    /// Makes `hash` lead to `index`. There is always a place: there are more places than entries.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn place(&mut self, hash: u32, index: usize) {
        let at = Self::home(hash);
        if !self.place_in(at, hash, index) {
            self.place_further(at, hash, index);
        }
    }

    /// The same, if home is full.
    #[cold]
    fn place_further(&mut self, mut at: usize, hash: u32, index: usize) {
        for _ in 1..Self::GROUPS {
            self.count(at, 1);
            at = Self::next(at);
            if self.place_in(at, hash, index) {
                return;
            }
        }
        debug_assert!(false, "more entries than places");
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn place_in(&mut self, at: usize, hash: u32, index: usize) -> bool {
        let free = !self.group(at) & TAGS;
        if free != 0 {
            let lane = lane(free);
            self.set_tag(at, lane, tag(hash));
            if let Some(place) = self.row_mut(at).and_then(|row| row.get_mut(lane)) {
                *place = I::from_usize(index);
            }
        }
        free != 0
    }

    /// Makes `hash` lead to `index` no longer.
    ///
    /// Looks everywhere if the hash does not lead there: then the key's `Hash` or `Eq` is broken, or
    /// the key changed inside the cache. What such a key left in the counters stays until `clear`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    pub(super) fn take(&mut self, hash: u32, index: usize) {
        let at = Self::home(hash);
        if !self.take_from(at, same_tags(self.group(at), hash), index) {
            self.take_further(at, hash, index);
        }
    }

    /// The same, if it is not at home.
    #[cold]
    fn take_further(&mut self, home: usize, hash: u32, index: usize) {
        let mut at = home;
        for passed in 1..Self::GROUPS {
            if self.group(at) < WENT_ON {
                break;
            }
            at = Self::next(at);
            if self.take_from(at, same_tags(self.group(at), hash), index) {
                let mut back = home;
                for _ in 0..passed {
                    self.count(back, -1);
                    back = Self::next(back);
                }
                return;
            }
        }
        self.take_from_anywhere(index);
    }

    /// Lets no hash lead to a number that `is_gone`. What such hashes left in the counters stays until `clear`.
    pub(super) fn purge(&mut self, is_gone: impl Fn(usize) -> bool) {
        for at in 0..Self::GROUPS {
            let mut lanes = self.group(at) & TAGS;
            while lanes != 0 {
                let lane = lane(lanes);
                if self.row(at).and_then(|row| row.get(lane)).is_none_or(|index| is_gone(index.to_usize())) {
                    self.set_tag(at, lane, 0);
                }
                lanes &= lanes - 1;
            }
        }
    }

    fn take_from_anywhere(&mut self, index: usize) {
        for at in 0..Self::GROUPS {
            if self.take_from(at, self.group(at) & TAGS, index) {
                return;
            }
        }
    }

    /// Clears the one of the `lanes` of a group that leads to `index`, if there is one.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn take_from(&mut self, at: usize, mut lanes: u64, index: usize) -> bool {
        while lanes != 0 {
            let lane = lane(lanes);
            if self.row(at).and_then(|row| row.get(lane)).is_some_and(|found| found.to_usize() == index) {
                self.set_tag(at, lane, 0);
                return true;
            }
            lanes &= lanes - 1;
        }
        false
    }

    /// Counts one more or one less that went on from a full group.
    ///
    /// The count fits: an entry goes on only from a group that holds seven others, so it is at most
    /// `N - 7` as long as every removal is told.
    #[cold]
    #[inline(never)]
    fn count(&mut self, at: usize, change: isize) {
        let mut count = 0;
        if let Some(place) = self.row_mut(at).and_then(|row| row.get_mut(COUNT)) {
            count = place.to_usize();
            // It counts so far only with what is left of entries that went untold: then it says "some" until `clear`.
            if count + 1 < I::RANGE {
                count = count.saturating_add_signed(change);
                *place = I::from_usize(count);
            }
        }
        if let Some(flags) = self.tag_mut(at, COUNT) {
            *flags = *flags & 0x0F | u8::from(count > 0) << 7;
        }
    }

    /// Marks an entry's number.
    #[inline]
    pub(super) fn mark(&mut self, index: usize) {
        // Most are marked already: then nothing is written that the next lookup would have to wait for.
        if !self.is_marked(index) {
            self.set_mark(index);
        }
    }

    #[cold]
    fn set_mark(&mut self, index: usize) {
        if let Some(byte) = self.tags.0.as_flattened_mut().get_mut(Self::mark_at(index)) {
            *byte |= 1 << (index % 4);
        }
    }

    #[inline]
    pub(super) fn is_marked(&self, index: usize) -> bool {
        self.tags.0.as_flattened().get(Self::mark_at(index)).is_some_and(|byte| byte & 1 << (index % 4) != 0)
    }

    /// Takes the mark of an entry's number away, and says whether it had one.
    #[inline]
    pub(super) fn unmark(&mut self, index: usize) -> bool {
        let Some(byte) = self.tags.0.as_flattened_mut().get_mut(Self::mark_at(index)) else { return false };
        let bit = 1 << (index % 4);
        let was = *byte & bit != 0;
        *byte &= !bit;
        was
    }

    /// Where the mark lies: in the last byte of a group, or among the bytes of no group.
    #[inline]
    fn mark_at(index: usize) -> usize {
        if index < 4 * Self::GROUPS { 2 * (index & !3) + COUNT } else { 2 * index }
    }

    /// Scales the hash's upper half to the number of groups: a shift where that is a power of two.
    #[inline]
    fn home(hash: u32) -> usize {
        ((hash >> 16) as usize * Self::GROUPS) >> 16
    }

    #[inline]
    fn next(at: usize) -> usize {
        if at + 1 < Self::GROUPS { at + 1 } else { 0 }
    }

    #[inline]
    fn group(&self, at: usize) -> u64 {
        self.tags.0.as_flattened().as_chunks().0.get(at).map_or(0, |group| u64::from_le_bytes(*group))
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    fn set_tag(&mut self, at: usize, lane: usize, tag: u8) {
        if let Some(place) = self.tag_mut(at, lane) {
            *place = tag;
        }
    }

    #[inline]
    fn tag_mut(&mut self, at: usize, lane: usize) -> Option<&mut u8> {
        let groups: &mut [[u8; 8]] = self.tags.0.as_flattened_mut().as_chunks_mut().0;
        groups.get_mut(at)?.get_mut(lane)
    }

    #[inline]
    fn row(&self, at: usize) -> Option<&[I; 8]> {
        self.rows.as_flattened().as_chunks().0.get(at)
    }

    #[inline]
    fn row_mut(&mut self, at: usize) -> Option<&mut [I; 8]> {
        self.rows.as_flattened_mut().as_chunks_mut().0.get_mut(at)
    }

    /// How many places lead somewhere, and how many entries went on from a full group.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn census(&self) -> (usize, usize) {
        (0..Self::GROUPS).fold((0, 0), |(used, went_on), at| {
            let group = self.group(at);
            let count = self.row(at).and_then(|row| row.get(COUNT)).map_or(0, |count| count.to_usize());
            debug_assert_eq!(group >= WENT_ON, count > 0, "the flag says what the counter counts");
            (used + (group & TAGS).count_ones() as usize, went_on + count)
        })
    }
}

/// The seven bits that stand for a hash in its group, marked as in use.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "seven bits")]
fn tag(hash: u32) -> u8 {
    hash as u8 | 0x80
}

/// Marks the tags of a group that are the hash's tag. It may mark one too many, above one that is.
#[inline]
fn same_tags(group: u64, hash: u32) -> u64 {
    let differing = group ^ u64::from(tag(hash)).wrapping_mul(ONES);
    differing.wrapping_sub(ONES) & !differing & TAGS
}

/// The lane of the lowest mark.
#[inline]
fn lane(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize & 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<I: Index, const N: usize>(table: &Table<I, N>, hash: u32, index: usize) -> Option<usize> {
        table.find(hash, |found| (found == index).then_some(())).map(|(found, ())| found)
    }

    #[test]
    fn a_removal_takes_back_what_its_insertion_left() {
        let mut table = Table::<u8, 16>::new();
        for index in 0..16 {
            table.place(0, index);
        }
        assert_eq!(table.census(), (16, 9 + 2), "nine went on from the first group, two from the second");
        for index in [3, 0, 15, 7, 8, 1, 14, 2, 13, 4, 12, 5, 11, 6, 10, 9] {
            assert_eq!(find(&table, 0, index), Some(index));
            table.take(0, index);
            assert_eq!(find(&table, 0, index), None);
        }
        assert_eq!(table.census(), (0, 0));
    }

    #[test]
    fn an_entry_whose_hash_has_changed_is_taken_all_the_same() {
        let mut table = Table::<u8, 16>::new();
        table.place(0x0000_0001, 5);
        table.take(0xFFFF_0002, 5);
        assert_eq!(table.census(), (0, 0));
    }

    #[test]
    fn each_number_has_a_mark_of_its_own_that_no_count_touches() {
        fn marks<const N: usize>() {
            let mut table = Table::<u16, N>::new();
            for index in 0..N {
                table.place(0, index);
                table.mark(index);
                table.mark(index);
            }
            let census = table.census();
            assert_eq!(census.0, N);
            for odd in (1..N).step_by(2) {
                assert!(table.unmark(odd) && !table.unmark(odd));
            }
            assert_eq!(table.census(), census);
            for index in 0..N {
                table.take(0, index);
            }
            assert_eq!(table.census(), (0, 0));
            assert!((0..N).all(|index| table.unmark(index) == (index % 2 == 0)), "{N}");
        }
        marks::<4>();
        marks::<5>();
        marks::<6>();
        marks::<7>();
        marks::<8>();
        marks::<31>();
        marks::<64>();
    }

    #[test]
    fn counters_that_were_left_behind_never_turn_over() {
        let mut table = Table::<u8, 256>::new();
        for round in 0..3 {
            for index in 0..256 {
                table.place(0, index);
                assert_eq!(find(&table, 0, index), Some(index), "round {round}");
            }
            for index in 0..128 {
                table.take(0, index);
            }
            assert!((128..256).all(|index| find(&table, 0, index).is_some()), "round {round}");
            table.purge(|_| true);
            assert_eq!(table.census().0, 0);
        }
        table.clear();
        assert_eq!(table.census(), (0, 0));
    }

    #[test]
    fn the_last_group_goes_on_to_the_first() {
        let mut table = Table::<u16, 10>::new(); // two groups, and four bytes that no group has
        for index in 0..10 {
            table.place(u32::MAX, index);
        }
        assert_eq!(find(&table, u32::MAX, 9), Some(9));
        assert_eq!(table.census(), (10, 3));
    }
}
