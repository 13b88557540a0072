//! Items gathered into batches.

mod items;
mod trigger;

pub use items::{Batch, Full, IntoIter, Iter};
pub use trigger::{Cause, Config, ConfigError, Limit, Trigger};

use core::mem;

use crate::time::Instant;

/// Gathers items until they are enough, or have waited for long enough (`BatchProcessor`).
///
/// For what costs as much for one as for many: a flash page, a radio's frame, a transaction, a request. For
/// items that somebody else takes one by one use the [`queue`](super::queue).
///
/// # Rules
/// 1. A batch is handed out by the [`push`](Self::push) that gives it `max_items` or `max_bytes`.
/// 2. An item that does not fit beside the others sends them ahead and begins the next batch. If it fills
///    that one by itself, the next `push` or [`poll`](Self::poll) hands it out.
/// 3. An item that is larger than `max_bytes` is given back, and nothing else changes.
/// 4. `poll` hands out a batch exactly `max_wait` after its first item, and not before; later items
///    do not put that off.
/// 5. [`offer`](Self::offer) hands nothing out: where the former batch must be done with before the next can go. It
///    gives the item back if it does not fit; `poll` then hands out what is full.
/// 6. No batch is empty. Every item that was accepted is in exactly one batch, in the order in which they came.
/// 7. A clock that steps back hands nothing out.
///
/// # Cost
/// For 16 items of 8 bytes, 328 bytes of RAM and 1,540 of flash on thumbv6m (image `batch`), half of the flash being `memcpy`:
/// 72, and an `Option` for each of the `N` items. To push an item is O(1); to hand out a batch is O(`N`), since it is moved.
///
/// # Errors
/// [`Full`], with the item.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), and use the batch outside of `with`.
///
/// # Example
/// ```
/// use daur_core::performance::batch::{Batcher, Cause, Config};
/// use daur_core::time::{Duration, Instant};
///
/// const CONFIG: Config = Config { max_items: Some(3), max_wait: Some(Duration::from_secs(5)), ..Config::DEFAULT };
/// let mut readings: Batcher<u16, 8> = Batcher::new(CONFIG);
///
/// assert_eq!(readings.push(20, Instant::from_secs(1))?, None);
/// assert_eq!(readings.push(21, Instant::from_secs(4))?, None);
/// let batch = readings.push(22, Instant::from_secs(4))?.expect("three are enough");
/// assert_eq!(batch.into_iter().sum::<u16>(), 63);
///
/// readings.push(23, Instant::from_secs(10))?;
/// assert_eq!(readings.poll_at(), Some(Instant::from_secs(15)));
/// let batch = readings.poll(Instant::from_secs(15)).expect("its time has come");
/// assert_eq!((batch.len(), batch.cause()), (1, Cause::Time));
/// assert!(readings.flush().is_none());
/// # Ok::<(), daur_core::performance::batch::Full<u16>>(())
/// ```
#[doc(alias = "BatchProcessor")]
#[derive(Clone, Debug)]
pub struct Batcher<T, const N: usize> {
    trigger: Trigger,
    /// The first `trigger.len()` are taken.
    items: [Option<T>; N],
}

impl<T, const N: usize> Batcher<T, N> {
    /// A batcher without items.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Batcher::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate(N).is_ok(), "invalid batch::Config: see Config::validate");
        Self::of(config)
    }

    /// A batcher without items, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says for room for `N` items.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate(N) {
            Ok(()) => Ok(Self::of(config)),
            Err(error) => Err(error),
        }
    }

    const fn of(config: Config) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "as many as fit")]
        let room = if N < u32::MAX as usize { N as u32 } else { u32::MAX };
        let max_items = match config.max_items {
            Some(max_items) => max_items,
            None => room,
        };
        Self { trigger: Trigger::of(Config { max_items: Some(max_items), ..config }), items: [const { None }; N] }
    }

    /// Takes an item in, and hands out the batch that it makes complete. It has no bytes.
    ///
    /// # Errors
    /// None; the type is that of [`push_sized`](Self::push_sized).
    #[doc(alias = "add_item")]
    #[inline]
    pub fn push(&mut self, item: T, now: Instant) -> Result<Option<Batch<T, N>>, Full<T>> {
        self.push_sized(item, 0, now)
    }

    /// Takes in an item of so many bytes, and hands out the batch that it makes complete, or that it does not
    /// fit into any more.
    ///
    /// # Errors
    /// [`Full`] with [`Limit::TooLarge`] if it has more than `max_bytes`.
    pub fn push_sized(&mut self, item: T, bytes: usize, now: Instant) -> Result<Option<Batch<T, N>>, Full<T>> {
        let ahead = match self.trigger.offer(bytes, now) {
            Ok(()) => {
                self.put(item);
                // Most often there is none, and then no place for one is copied.
                return match self.trigger.full() {
                    None => Ok(None),
                    Some(cause) => Ok(self.take(cause)),
                };
            }
            Err(limit @ Limit::TooLarge) => return Err(Full { item, limit }),
            Err(limit) => {
                let cause = self.trigger.full();
                self.take(cause.unwrap_or(if limit == Limit::Bytes { Cause::Bytes } else { Cause::Items }))
            }
        };
        // Nothing stands in its way any more.
        if self.trigger.offer(bytes, now).is_ok() {
            self.put(item);
        }
        Ok(ahead)
    }

    /// Takes an item in, if it fits, and hands nothing out. It has no bytes.
    ///
    /// # Errors
    /// [`Full`] with the item and the [`Limit`] that it would break.
    #[inline]
    pub fn offer(&mut self, item: T, now: Instant) -> Result<(), Full<T>> {
        self.offer_sized(item, 0, now)
    }

    /// Takes in an item of so many bytes, if it fits, and hands nothing out.
    ///
    /// # Errors
    /// [`Full`] with the item and the [`Limit`] that it would break.
    pub fn offer_sized(&mut self, item: T, bytes: usize, now: Instant) -> Result<(), Full<T>> {
        match self.trigger.offer(bytes, now) {
            Ok(()) => {
                self.put(item);
                Ok(())
            }
            Err(limit) => {
                if limit != Limit::TooLarge {
                    self.trigger.turn_away();
                }
                Err(Full { item, limit })
            }
        }
    }

    /// Hands out what is full, or has waited for long enough.
    pub fn poll(&mut self, now: Instant) -> Option<Batch<T, N>> {
        let cause = self.trigger.due(now)?;
        self.take(cause)
    }

    /// The moment at which [`Batcher::poll`] hands something out; [`Instant::ZERO`] if it does already.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        self.trigger.due_at()
    }

    /// Hands out what is there, if there is something.
    pub fn flush(&mut self) -> Option<Batch<T, N>> {
        let cause = self.trigger.full().unwrap_or(Cause::Flush);
        self.take(cause)
    }

    /// Items that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.trigger.len()
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.trigger.is_empty()
    }

    /// The items that wait, in the order in which they came.
    pub fn iter(&self) -> Iter<'_, T> {
        self.items.iter().flatten()
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        self.trigger.snapshot()
    }

    /// Puts the item that has just been counted in behind the others.
    fn put(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.trigger.len().wrapping_sub(1)) {
            *place = Some(item);
        }
        self.invariants();
    }

    fn take(&mut self, cause: Cause) -> Option<Batch<T, N>> {
        let len = self.trigger.len();
        if len == 0 {
            return None;
        }
        let bytes = self.trigger.snapshot().bytes as usize;
        self.trigger.close(cause);
        let items = mem::replace(&mut self.items, [const { None }; N]);
        Some(Batch { items, len, bytes, cause })
    }

    fn invariants(&self) {
        debug_assert_eq!(self.items.iter().flatten().count(), self.trigger.len());
        debug_assert!(self.trigger.len() <= N);
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a Batcher<T, N> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Shows a [`Batcher`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Items that wait.
    pub items: u32,
    /// Their bytes.
    pub bytes: u32,
    /// Items that came in.
    pub accepted: u64,
    /// Items that were given back.
    pub refused: u32,
    /// Batches that had as many items as they may.
    pub by_items: u32,
    /// Batches that had no room for more bytes.
    pub by_bytes: u32,
    /// Batches whose time had come.
    pub by_time: u32,
    /// Batches that somebody asked for.
    pub by_flush: u32,
}
