//! Count, sum, least and greatest, in 24 bytes.

use crate::monitoring::long::Long;

/// Keeps how many values there were, their sum, the lowest and the highest (of the seed's `MetricsCollector`).
///
/// For a figure in a hot path of which no quantile is wanted; with quantiles take a
/// [`Histogram`](crate::monitoring::histogram::Histogram), with mean and deviation a [`Stats`](super::Stats).
///
/// # Rules
/// 1. The lowest and the highest value are exact; without a value there are none.
/// 2. The sum saturates at `u64::MAX`, which is then the mark that it did.
/// 3. Merging is exact and the order does not matter.
///
/// # Cost
/// 24 bytes, all zeros while empty. With a counter 32 bytes of RAM and 204 of flash on thumbv6m (image `tally`). One comparison for both extremes.
///
/// # Sharing
/// One writer, or a short critical section.
///
/// # Example
/// ```
/// use daur_core::monitoring::metrics::Tally;
///
/// let mut bytes = Tally::new();
/// for size in [40, 12, 90] {
///     bytes.record(size);
/// }
/// assert_eq!((bytes.count(), bytes.sum(), bytes.min(), bytes.max()), (3, 142, Some(12), Some(90)));
/// assert_eq!(bytes.mean(), Some(47));
/// ```
#[doc(alias = "MetricsCollector")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tally {
    count: Long,
    sum: Long,
    /// The lowest value, and how far the highest is above it.
    low: u32,
    span: u32,
}

impl Tally {
    /// No value.
    #[must_use]
    pub const fn new() -> Self {
        Self { count: Long::ZERO, sum: Long::ZERO, low: 0, span: 0 }
    }

    /// Counts `value`.
    #[inline]
    pub const fn record(&mut self, value: u32) {
        self.count.add_word(1);
        self.sum.add_word(value);
        if value.wrapping_sub(self.low) > self.span {
            self.widen(value);
        }
    }

    /// Takes a value in that is not between the lowest and the highest, and has been counted.
    #[cold]
    #[inline(never)]
    const fn widen(&mut self, value: u32) {
        let high = self.low.wrapping_add(self.span);
        if self.count() == 1 {
            self.low = value;
        } else if value < self.low {
            self.low = value;
            self.span = high.wrapping_sub(value);
        } else {
            self.span = value.wrapping_sub(self.low);
        }
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        let low = [self.min(), other.min()].into_iter().flatten().min().unwrap_or(0);
        let high = [self.max(), other.max()].into_iter().flatten().max().unwrap_or(0);
        *self = Self {
            count: Long::new(self.count().saturating_add(other.count())),
            sum: Long::new(self.sum().saturating_add(other.sum())),
            low,
            span: high.wrapping_sub(low),
        };
    }

    /// Values counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count.get()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// The lowest.
    #[must_use]
    pub const fn min(&self) -> Option<u32> {
        if self.count() == 0 { None } else { Some(self.low) }
    }

    /// The highest.
    #[must_use]
    pub const fn max(&self) -> Option<u32> {
        if self.count() == 0 { None } else { Some(self.low.wrapping_add(self.span)) }
    }

    /// The mean, rounded down.
    #[must_use]
    pub const fn mean(&self) -> Option<u64> {
        self.sum().checked_div(self.count())
    }

    /// Whether the sum has reached its end.
    #[must_use]
    pub const fn is_saturated(&self) -> bool {
        self.sum() == u64::MAX
    }
}
