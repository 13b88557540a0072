//! A batch that is handed out.

use core::fmt;
use core::iter::Flatten;
use core::{array, slice};

use super::Cause;

/// Holds the items of one batch, from 1 to `N`, in the order in which they came.
///
/// Its items are read by reference or taken out by `for item in batch`; those that nobody takes are dropped
/// with it. They lie in an array of options, so there is no slice of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "these items are in nobody's hands else"]
pub struct Batch<T, const N: usize> {
    pub(super) items: [Option<T>; N],
    pub(super) len: usize,
    pub(super) bytes: usize,
    pub(super) cause: Cause,
}

impl<T, const N: usize> Batch<T, N> {
    /// Items, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The items' bytes, as they were pushed.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What made it complete.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// The items in their order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.items.iter().flatten()
    }

    /// The items in their order, to change in place.
    pub fn iter_mut(&mut self) -> Flatten<slice::IterMut<'_, Option<T>>> {
        self.items.iter_mut().flatten()
    }

    /// One of the items, counted from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.items.get(index)?.as_ref()
    }
}

/// Goes through the items of a [`Batch`] by reference.
pub type Iter<'a, T> = Flatten<slice::Iter<'a, Option<T>>>;

/// Takes the items out of a [`Batch`].
pub type IntoIter<T, const N: usize> = Flatten<array::IntoIter<Option<T>, N>>;

impl<T, const N: usize> IntoIterator for Batch<T, N> {
    type Item = T;
    type IntoIter = IntoIter<T, N>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().flatten()
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Batch<T, N> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Gives back an item that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full<T> {
    /// The item.
    pub item: T,
    /// Why.
    pub limit: super::Limit,
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(f)
    }
}

impl<T: fmt::Debug> core::error::Error for Full<T> {}
