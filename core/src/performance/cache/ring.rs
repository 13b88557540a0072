//! The order of use: entry numbers linked in a circle.
//!
//! The newest entry is `head`, and the one before it is the oldest, so the oldest becomes the newest
//! by moving `head` alone: what a full cache does on every insertion. The links stand apart from the
//! entries: sixteen of them share a cache line, and a hit touches four.

use super::policy::sealed::Index;

#[derive(Clone, Copy)]
struct Link<I> {
    older: I,
    newer: I,
}

/// Orders the numbers in use by their last use, and knows which are free.
pub struct Ring<I, const N: usize> {
    links: [Link<I>; N],
    head: I,
    /// Where a policy that walks has come to.
    hand: I,
    /// The free numbers below `fresh`, linked by `older`: `fresh - len` of them.
    free: I,
    /// Numbers from here on were never in use.
    fresh: u32,
    len: u32,
}

impl<I: Index, const N: usize> Ring<I, N> {
    pub(super) const fn new() -> Self {
        let link = Link { older: I::ZERO, newer: I::ZERO };
        Self { links: [link; N], head: I::ZERO, hand: I::ZERO, free: I::ZERO, fresh: 0, len: 0 }
    }

    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn newest(&self) -> usize {
        self.head.to_usize()
    }

    #[inline]
    pub(super) fn oldest(&self) -> usize {
        self.link(self.head).newer.to_usize()
    }

    /// The next in the order from the newest to the oldest; after the oldest comes the newest.
    #[inline]
    pub(super) fn older(&self, index: usize) -> usize {
        self.link(I::from_usize(index)).older.to_usize()
    }

    #[inline]
    pub(super) fn hand(&self) -> usize {
        self.hand.to_usize()
    }

    /// Moves the hand to the next newer entry, and from the newest to the oldest.
    #[inline]
    pub(super) fn move_hand(&mut self) {
        self.hand = self.link(self.hand).newer;
    }

    /// Takes a free number as the newest. The caller has seen that fewer than `N` are in use.
    #[inline]
    pub(super) fn take_free(&mut self) -> usize {
        let index = if self.len < self.fresh {
            let index = self.free;
            self.free = self.link(index).older;
            index
        } else {
            let index = I::from_usize(self.fresh as usize);
            self.fresh += 1;
            index
        };
        if self.len == 0 {
            self.set(index, Link { older: index, newer: index });
            self.hand = index;
        } else {
            self.insert_newest(index);
        }
        self.head = index;
        self.len += 1;
        index.to_usize()
    }

    /// Makes the oldest the newest.
    #[inline]
    pub(super) fn recycle_oldest(&mut self) {
        self.head = self.link(self.head).newer;
    }

    /// Makes a number in use the newest.
    #[inline]
    pub(super) fn touch(&mut self, index: usize) {
        let head = self.head.to_usize();
        if index == head {
            return;
        }
        // In one line, since it is the most of a hit: none of the numbers is out of range.
        let Some(link) = self.links.get(index) else { return };
        let (older, newer) = (link.older.to_usize(), link.newer.to_usize());
        let Some(link) = self.links.get_mut(newer) else { return };
        link.older = I::from_usize(older);
        let Some(link) = self.links.get_mut(older) else { return };
        link.newer = I::from_usize(newer);
        let Some(link) = self.links.get_mut(head) else { return };
        let oldest = link.newer.to_usize();
        link.newer = I::from_usize(index);
        let Some(link) = self.links.get_mut(oldest) else { return };
        link.older = I::from_usize(index);
        let Some(link) = self.links.get_mut(index) else { return };
        *link = Link { older: I::from_usize(head), newer: I::from_usize(oldest) };
        self.head = I::from_usize(index);
    }

    /// Gives a number in use back.
    pub(super) fn release(&mut self, index: usize) {
        let index = I::from_usize(index);
        let link = self.link(index);
        self.unlink(link);
        if self.head.to_usize() == index.to_usize() {
            self.head = link.older;
        }
        self.set(index, Link { older: self.free, newer: self.free });
        self.free = index;
        self.len = self.len.saturating_sub(1);
    }

    #[inline]
    fn unlink(&mut self, link: Link<I>) {
        if let Some(newer) = self.links.get_mut(link.newer.to_usize()) {
            newer.older = link.older;
        }
        if let Some(older) = self.links.get_mut(link.older.to_usize()) {
            older.newer = link.newer;
        }
    }

    /// Links `index` between the oldest and the newest; whether it is either is up to `head`.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn insert_newest(&mut self, index: I) {
        let head = self.head;
        let mut oldest = head;
        if let Some(link) = self.links.get_mut(head.to_usize()) {
            oldest = link.newer;
            link.newer = index;
        }
        if let Some(link) = self.links.get_mut(oldest.to_usize()) {
            link.older = index;
        }
        self.set(index, Link { older: head, newer: oldest });
    }

    #[inline]
    fn link(&self, index: I) -> Link<I> {
        self.links.get(index.to_usize()).copied().unwrap_or(Link { older: I::ZERO, newer: I::ZERO })
    }

    #[inline]
    fn set(&mut self, index: I, link: Link<I>) {
        if let Some(place) = self.links.get_mut(index.to_usize()) {
            *place = link;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn order(ring: &Ring<u8, 8>) -> Vec<usize> {
        let mut at = ring.newest();
        let mut step = || {
            let here = at;
            at = ring.older(at);
            here
        };
        (0..ring.len()).map(|_| step()).collect()
    }

    #[test]
    fn the_circle_keeps_the_order_of_use() {
        let mut ring = Ring::<u8, 8>::new();
        for _ in 0..4 {
            ring.take_free();
        }
        assert_eq!(order(&ring), [3, 2, 1, 0]);
        ring.touch(1);
        assert_eq!(order(&ring), [1, 3, 2, 0]);
        ring.touch(0);
        assert_eq!(order(&ring), [0, 1, 3, 2], "the oldest: only the head moves");
        ring.touch(0);
        assert_eq!(order(&ring), [0, 1, 3, 2]);
        assert_eq!(ring.oldest(), 2);
        ring.recycle_oldest();
        assert_eq!(order(&ring), [2, 0, 1, 3]);
        ring.release(2);
        ring.release(1);
        assert_eq!(order(&ring), [0, 3]);
        assert_eq!(ring.oldest(), 3);
        assert_eq!((ring.take_free(), ring.take_free(), ring.take_free()), (1, 2, 4), "the last one freed comes first");
        assert_eq!(order(&ring), [4, 2, 1, 0, 3]);
        for index in 0..5 {
            ring.release(index);
        }
        assert_eq!(ring.len(), 0);
        ring.take_free();
        ring.take_free();
        assert_eq!(order(&ring), [3, 4]);
    }
}
