//! When a batch is complete.

use core::fmt;

use super::Snapshot;
use crate::time::{Duration, Instant};

/// Says when a batch is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Items in a batch at most, at least 1; `None` for as many as there is room for.
    #[doc(alias = "batch_size")]
    pub max_items: Option<u32>,
    /// Bytes in a batch at most, at least 1, of items that are pushed with a size; `None` for no limit.
    pub max_bytes: Option<u32>,
    /// How long a batch's first item waits at most; `None` for as long as it takes.
    #[doc(alias = "timeout")]
    pub max_wait: Option<Duration>,
}

impl Config {
    /// As many items as there is room for, of any size; none waits longer than a second.
    pub const DEFAULT: Self = Self { max_items: None, max_bytes: None, max_wait: Some(Duration::from_secs(1)) };

    /// Checks the fields for room for so many items.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self, room: usize) -> Result<(), ConfigError> {
        match self.max_items {
            Some(0) => return Err(ConfigError::NoItems),
            Some(max_items) if max_items as usize > room => return Err(ConfigError::MaxItems),
            _ if room == 0 => return Err(ConfigError::NoItems),
            _ => {}
        }
        match self.max_bytes {
            Some(0) => Err(ConfigError::NoBytes),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_items`, or the room for items, is 0.
    NoItems,
    /// `max_items` is more than there is room for.
    MaxItems,
    /// `max_bytes` is 0.
    NoBytes,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoItems => "batch: `max_items` is 0; at least 1 is needed",
            Self::MaxItems => "batch: `max_items` is more than there is room for",
            Self::NoBytes => "batch: `max_bytes` is 0; `None` is no limit",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says what made a batch complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// It has as many items as it may.
    Items,
    /// It has as many bytes as it may, or the next item would have been too many.
    Bytes,
    /// Its first item has waited for as long as it may.
    Time,
    /// Somebody has asked for it.
    Flush,
}

/// Says why an item is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Limit {
    /// The batch has as many items as it may: it must go first.
    Items,
    /// The batch has no room for so many bytes: it must go first.
    Bytes,
    /// The item alone has more bytes than a batch may.
    TooLarge,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Items => "the batch has as many items as it may",
            Self::Bytes => "the batch has no room for so many bytes",
            Self::TooLarge => "the item alone is larger than a batch may be",
        })
    }
}

impl core::error::Error for Limit {}

/// Decides when a batch is complete, and holds no items itself.
///
/// The half of a [`Batcher`](super::Batcher) that is policy, for whoever keeps the items elsewhere: in a
/// `Vec`, in a buffer that is written already.
///
/// # Rules
/// 1. [`offer`](Self::offer) counts an item in, or says which limit it would break; then nothing has changed.
///    [`offer_many`](Self::offer_many) does what so many offers would.
/// 2. A batch is due as soon as it has `max_items` or `max_bytes`, or exactly `max_wait` after its first item.
/// 3. There is always an item in what is due. [`close`](Self::close) begins the next batch.
/// 4. A clock that steps back makes nothing due.
///
/// # Cost
/// 72 bytes of RAM on a 32-bit target, part of what a [`Batcher`](super::Batcher) takes. Every call is O(1).
///
/// # Errors
/// [`Limit`].
///
/// # Sharing
/// It belongs to the items that it counts.
///
/// # Example
/// ```
/// use daur_core::performance::batch::{Cause, Config, Limit, Trigger};
/// use daur_core::time::Instant;
///
/// let mut trigger = Trigger::new(Config { max_bytes: Some(100), ..Config::DEFAULT });
/// let now = Instant::from_secs(1);
/// trigger.offer(70, now)?;
/// assert_eq!(trigger.offer(40, now), Err(Limit::Bytes));
/// assert_eq!(trigger.offer(140, now), Err(Limit::TooLarge));
/// assert_eq!(trigger.due(now), None);
/// assert_eq!(trigger.due(Instant::from_secs(2)), Some(Cause::Time));
/// trigger.close(Cause::Time);
/// trigger.offer(40, now)?;
/// # Ok::<(), Limit>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trigger {
    max_items: u32,
    max_bytes: u32,
    max_wait: Option<Duration>,
    /// When the first item has waited for long enough; of no meaning without an item.
    until: Instant,
    items: u32,
    bytes: u32,
    /// Items of the batches before this one.
    gone: u64,
    refused: u32,
    by: [u32; 4],
}

impl Trigger {
    /// A batch without items.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Trigger::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate(u32::MAX as usize).is_ok(), "invalid batch::Config: see Config::validate");
        Self::of(config)
    }

    /// A batch without items, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says for any number of items.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate(u32::MAX as usize) {
            Ok(()) => Ok(Self::of(config)),
            Err(error) => Err(error),
        }
    }

    pub(super) const fn of(config: Config) -> Self {
        Self {
            max_items: or_max(config.max_items),
            max_bytes: or_max(config.max_bytes),
            max_wait: config.max_wait,
            until: Instant::ZERO,
            items: 0,
            bytes: 0,
            gone: 0,
            refused: 0,
            by: [0; 4],
        }
    }

    /// Counts in an item of so many bytes.
    ///
    /// # Errors
    /// The [`Limit`] that it would break.
    #[inline]
    pub fn offer(&mut self, bytes: usize, now: Instant) -> Result<(), Limit> {
        // What fits is what comes most often: two comparisons tell.
        let left = usize::try_from(self.max_bytes - self.bytes);
        if left.is_ok_and(|left| bytes > left) || self.items >= self.max_items {
            return Err(self.limit(bytes));
        }
        self.begin(now);
        self.items += 1;
        #[expect(clippy::cast_possible_truncation, reason = "at most `max_bytes`")]
        {
            self.bytes += bytes as u32;
        }
        self.invariants();
        Ok(())
    }

    /// Counts in so many items without bytes, as far as there is room for them; how many that were.
    ///
    /// The same as to [`offer`](Self::offer) them one by one, for who has gathered them in one go.
    pub fn offer_many(&mut self, items: usize, now: Instant) -> usize {
        let items = items.min(self.room());
        if items > 0 {
            self.begin(now);
            #[expect(clippy::cast_possible_truncation, reason = "at most `max_items`")]
            {
                self.items += items as u32;
            }
        }
        self.invariants();
        items
    }

    /// How many more items it takes, if they have no bytes.
    #[inline]
    #[must_use]
    pub const fn room(&self) -> usize {
        (self.max_items - self.items) as usize
    }

    /// Sets the time with the first item.
    #[inline]
    fn begin(&mut self, now: Instant) {
        if self.items == 0 {
            self.until = match self.max_wait {
                Some(wait) => now.after(wait),
                None => Instant::MAX,
            };
        }
    }

    /// Which limit an item breaks that does not fit.
    #[cold]
    fn limit(&mut self, bytes: usize) -> Limit {
        if usize::try_from(self.max_bytes).is_ok_and(|max_bytes| bytes > max_bytes) {
            self.refused = self.refused.saturating_add(1);
            Limit::TooLarge
        } else if self.items >= self.max_items {
            Limit::Items
        } else {
            Limit::Bytes
        }
    }

    /// Why the batch has to go now, if it has.
    #[inline]
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Cause> {
        self.full().or_else(|| (self.items > 0 && self.max_wait.is_some() && now >= self.until).then_some(Cause::Time))
    }

    /// Why the batch has to go now, whatever the time.
    #[inline]
    #[must_use]
    pub fn full(&self) -> Option<Cause> {
        if self.items >= self.max_items {
            Some(Cause::Items)
        } else if self.bytes >= self.max_bytes {
            // There is an item then, since the limit is 1 at least.
            Some(Cause::Bytes)
        } else {
            None
        }
    }

    /// The moment at which [`due`](Self::due) says something; [`Instant::ZERO`] if it does already.
    #[inline]
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        if self.full().is_some() {
            return Some(Instant::ZERO);
        }
        self.max_wait.filter(|_| self.items > 0).map(|_| self.until)
    }

    /// The batch is gone: begins the next one. Without an item it does nothing.
    pub fn close(&mut self, cause: Cause) {
        if self.items == 0 {
            return;
        }
        let [items, bytes, time, flush] = &mut self.by;
        let count = match cause {
            Cause::Items => items,
            Cause::Bytes => bytes,
            Cause::Time => time,
            Cause::Flush => flush,
        };
        *count = count.saturating_add(1);
        self.gone += u64::from(self.items);
        (self.items, self.bytes) = (0, 0);
    }

    /// Items that are counted in.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.items as usize
    }

    /// Whether there is none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// An item was turned away that there was no room for.
    pub(super) fn turn_away(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        let [by_items, by_bytes, by_time, by_flush] = self.by;
        Snapshot {
            items: self.items,
            bytes: self.bytes,
            accepted: self.gone + self.items as u64,
            refused: self.refused,
            by_items,
            by_bytes,
            by_time,
            by_flush,
        }
    }

    fn invariants(&self) {
        debug_assert!(self.items <= self.max_items && self.bytes <= self.max_bytes);
    }
}

const fn or_max(limit: Option<u32>) -> u32 {
    match limit {
        Some(limit) => limit,
        None => u32::MAX,
    }
}
