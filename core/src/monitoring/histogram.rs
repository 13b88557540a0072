//! The distribution of a value, in integers: a base-2 exponential histogram.

mod cells;
pub mod grid;

use super::long::Long;

pub use cells::{Cell, Cells, Dense, Place, Window};

/// A histogram of 32 octaves at scale 5, with 32-bit cells: the one to take if 4 KiB are there.
///
/// For half the RAM or another range name the cells: `Histogram<Dense<u16, 32>>`.
pub type Full = Histogram<Dense<u32, 32>>;

/// A histogram of `N` cells (160 is a good number) that starts at scale 5 and halves its resolution
/// when a value would fall outside, instead of dropping it.
pub type Auto<const N: usize> = Histogram<Window<u32, N>>;

/// Counts values by size, so that quantiles can be told without keeping the values (the
/// distribution of the seed's `MetricsCollector`).
///
/// The buckets are those of OpenTelemetry's exponential histogram and of Prometheus's native one: at
/// scale `s`, bucket `i` holds `2^(i / 2^s) < value <= 2^((i + 1) / 2^s)` (Prometheus calls it
/// `i + 1`). [`Full`] has a cell for every bucket of scale 5 below 2^32; [`Auto`] has fewer cells, any
/// range, and a resolution that follows the data. The unit is yours; name it where the figures go out.
///
/// # Rules
/// 1. Scale 5 finds 1000 in bucket 318, 1024 in 319 and 1025 in 320: an upper bound is inclusive.
/// 2. Every value is counted: what is above the range of [`Full`] has a place of its own.
/// 3. A quantile is at most 1.083 % off at scale 5 ([`Histogram::error_ppm`] tells the present
///    bound), plus what rounding to an integer costs. The lowest and the highest value are exact.
/// 4. [`Auto`] halves its resolution until old and new values fit, and drops none.
/// 5. Merging is exact, and the order does not matter, mixed scales included, while nothing is
///    saturated.
/// 6. Cells and sum saturate, never wrap, and [`Histogram::is_saturated`] says so from then on.
/// 7. Unset is not zero: an empty histogram has no minimum, maximum or quantile.
///
/// # Cost
/// `Full`: 4,144 bytes, half with 16-bit cells. `Auto<160>`: 688 bytes. All zeros while empty, so a `static`
/// one takes no flash. `Auto<64>`: 304 bytes of RAM and 4,200 of flash on thumbv6m (image `histogram`). `record` is O(1) (and O(N)
/// when `Auto` moves its window, some ten times in a life); a quantile is O(cells).
///
/// # Sharing
/// One writer, or a short critical section. There are no 64-bit atomics in it.
///
/// # Example
/// ```
/// use daur_core::monitoring::histogram::{Full, Quantile};
///
/// let mut latency = Full::new(); // of microseconds: up to 71 minutes
/// for micros in [900, 1_000, 1_100, 250_000] {
///     latency.record(micros);
/// }
/// let snapshot = latency.snapshot();
/// assert_eq!((snapshot.count, snapshot.min, snapshot.max), (4, Some(900), Some(250_000)));
/// assert_eq!(latency.quantile(Quantile::P50), Some(991)); // of 1000: less than 1.083 % off
/// ```
///
/// # References
/// OpenTelemetry metrics data model, "ExponentialHistogram"; Prometheus native histograms.
#[doc(alias = "MetricsCollector")]
#[derive(Clone, Debug)]
#[repr(C)] // The cells come last, and what is in every record stays near the start.
pub struct Histogram<L> {
    count: Long,
    sum: Long,
    /// The lowest value, and how far the highest is above it: one comparison for both. 0 while empty, so that a
    /// `static` histogram takes no flash.
    low: u64,
    span: u64,
    /// 0 or 1. The spare values of a `bool` would mark an empty place in a table of histograms, which
    /// would then not be all zeros.
    saturated: u8,
    cells: L,
}

/// A share of the values, in parts per million: 0.99 is the 99th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantile(u32);

impl Quantile {
    /// Half of the values are at most this: the median.
    pub const P50: Self = Self::percent(50);
    /// Nine of ten values are at most this.
    pub const P90: Self = Self::percent(90);
    /// 19 of 20 values are at most this.
    pub const P95: Self = Self::percent(95);
    /// 99 of 100 values are at most this.
    pub const P99: Self = Self::percent(99);
    /// 999 of 1,000 values are at most this.
    pub const P999: Self = Self::ppm(999_000);

    /// `percent` of a hundred; above 100 is 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        Self::ppm(percent as u32 * 10_000)
    }

    /// `ppm` of a million; above a million is a million.
    #[must_use]
    pub const fn ppm(ppm: u32) -> Self {
        Self(if ppm > 1_000_000 { 1_000_000 } else { ppm })
    }

    /// The share in parts per million.
    #[must_use]
    pub const fn as_ppm(self) -> u32 {
        self.0
    }

    /// The nearest rank, counted from 1, among `count` values: `ceil(share * count)`, at least 1.
    #[must_use]
    pub const fn rank(self, count: u64) -> u64 {
        let (millions, rest) = (count / 1_000_000, count % 1_000_000);
        let rank = millions * self.0 as u64 + (rest * self.0 as u64).div_ceil(1_000_000);
        if rank == 0 { 1 } else { rank }
    }
}

/// One bucket that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Bucket {
    /// OpenTelemetry's index at the histogram's scale; `None` for the bucket of zeros and for the
    /// one above the range.
    pub index: Option<i32>,
    /// The smallest integer that it may hold.
    pub lower: u64,
    /// The largest integer that it may hold.
    pub upper: u64,
    /// The values counted in it.
    pub count: u64,
}

impl Bucket {
    /// The value that is equally far, relatively, from both ends: what to take for all values in it.
    #[must_use]
    pub fn middle(&self) -> f64 {
        let (low, high) = (self.lower as f64, self.upper as f64);
        if self.lower == self.upper { low } else { 2.0 * low * (high / (low + high)) }
    }
}

/// A histogram's figures, in the unit that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Values recorded.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The lowest, exactly; `None` while empty, as all that follow.
    pub min: Option<u64>,
    /// The highest, exactly.
    pub max: Option<u64>,
    /// The median.
    pub p50: Option<u64>,
    /// The 95th percentile.
    pub p95: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
    /// How far the quantiles are off, at most, in parts per million.
    pub error_ppm: u32,
    /// Whether a cell or the sum has reached its end: the figures are lower bounds from then on.
    pub saturated: bool,
}

impl Snapshot {
    /// Nothing recorded.
    pub const EMPTY: Self = Self {
        count: 0,
        sum: 0,
        min: None,
        max: None,
        p50: None,
        p95: None,
        p99: None,
        error_ppm: 0,
        saturated: false,
    };

    /// The mean, rounded down.
    #[must_use]
    pub const fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count)
    }
}

impl<L: Cells> Histogram<L> {
    /// Nothing recorded.
    pub const EMPTY: Self = Self { count: Long::ZERO, sum: Long::ZERO, low: 0, span: 0, saturated: 0, cells: L::EMPTY };

    /// Where a merged count stops.
    const MOST: u64 = u64::MAX / 2;

    /// An empty histogram.
    #[must_use]
    pub const fn new() -> Self {
        Self::EMPTY
    }

    /// Counts `value`.
    #[inline]
    pub fn record(&mut self, value: u64) {
        // A constant choice: a 32-bit core has no 64-bit steps, and most values fit in 32 bits.
        match u32::try_from(value) {
            Ok(word) if usize::BITS < 64 => self.record_word(word),
            _ if usize::BITS < 64 => self.record_rare(value),
            _ => self.record_long(value),
        }
    }

    /// Kept apart, so that its registers are not the common path's.
    #[cold]
    #[inline(never)]
    fn record_rare(&mut self, value: u64) {
        self.record_long(value);
    }

    #[inline]
    fn record_long(&mut self, value: u64) {
        // Does not end: a merge stops at half of what there is, and nobody counts the other half.
        self.count.add_word(1);
        if !self.sum.add(value) {
            self.saturated = 1;
        }
        if value.wrapping_sub(self.low) > self.span {
            self.widen(value);
        }
        if !self.cells.add(value) {
            self.saturated = 1;
        }
    }

    /// [`record_long`](Self::record_long) of a value below 2^32.
    #[inline]
    fn record_word(&mut self, value: u32) {
        self.count.add_word(1);
        if !self.sum.add_word(value) {
            self.saturated = 1;
        }
        if u64::from(value).wrapping_sub(self.low) > self.span {
            self.widen(u64::from(value));
        }
        if !self.cells.add_word(value) {
            self.saturated = 1;
        }
    }

    /// Takes a value in that is not between the lowest and the highest, and has been counted.
    #[cold]
    #[inline(never)]
    fn widen(&mut self, value: u64) {
        if self.count() == 1 {
            self.low = value;
            return;
        }
        let high = self.highest().max(value);
        self.low = self.low.min(value);
        self.span = high.wrapping_sub(self.low);
    }

    const fn highest(&self) -> u64 {
        self.low.wrapping_add(self.span)
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        let low = [self.min(), other.min()].into_iter().flatten().min().unwrap_or(0);
        self.span = self.highest().max(other.highest()).saturating_sub(low);
        self.low = low;
        let count = self.count().saturating_add(other.count());
        self.count = Long::new(count.min(Self::MOST));
        let sums = self.sum.add(other.sum());
        let fits = self.cells.merge(&other.cells);
        self.saturated |= other.saturated | u8::from(!fits || !sums || count > Self::MOST);
    }

    /// Values recorded.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count.get()
    }

    /// The sum of the values.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// The lowest value.
    #[must_use]
    pub const fn min(&self) -> Option<u64> {
        if self.count() == 0 { None } else { Some(self.low) }
    }

    /// The highest value.
    #[must_use]
    pub const fn max(&self) -> Option<u64> {
        if self.count() == 0 { None } else { Some(self.highest()) }
    }

    /// Whether a cell or the sum has reached its end.
    #[must_use]
    pub const fn is_saturated(&self) -> bool {
        self.saturated != 0
    }

    /// The present scale: `2^scale` buckets an octave.
    #[must_use]
    pub fn scale(&self) -> i32 {
        5_i32.saturating_sub_unsigned(self.cells.shift())
    }

    /// How far a quantile is off at the present scale, at most, in parts per million (10,831 at scale 5).
    #[must_use]
    pub fn error_ppm(&self) -> u32 {
        grid::error_ppm(self.cells.shift())
    }

    /// The value that `q` of the values do not exceed (nearest rank), as the middle of its bucket
    /// rounded to an integer; `None` while empty.
    #[must_use]
    pub fn quantile(&self, q: Quantile) -> Option<u64> {
        let (rank, place) = self.find(q)?;
        if rank == 1 {
            return self.min();
        }
        if rank == self.count() {
            return self.max();
        }
        let shift = self.cells.shift();
        let middle = match place {
            Place::Zero => 0,
            Place::At(index) => grid::middle(index, shift),
            Place::Above => self.highest(),
        };
        Some(middle.max(self.low).min(self.highest()))
    }

    /// The bucket in which that value lies: its true bounds.
    #[must_use]
    pub fn quantile_bucket(&self, q: Quantile) -> Option<Bucket> {
        let (_, place) = self.find(q)?;
        self.buckets().find(|bucket| bucket.index == place.index() && (bucket.upper == 0) == (place == Place::Zero))
    }

    /// The rank of `q` and the place of the value that has it.
    fn find(&self, q: Quantile) -> Option<(u64, Place)> {
        // What saturated cells have missed has no rank.
        let total = if self.is_saturated() { self.cells.slots().map(|(_, n)| n).sum() } else { self.count() };
        if total == 0 {
            return None;
        }
        let rank = q.rank(total);
        Some((rank, self.cells.nth_from_above(total.saturating_sub(rank), self.highest())?))
    }

    /// The buckets that are not empty, lowest first.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let shift = self.cells.shift();
        self.cells.slots().filter(|(_, count)| *count > 0).map(move |(place, count)| {
            let (lower, upper) = match place {
                Place::Zero => (0, 0),
                Place::At(index) => (grid::lower(index, shift), grid::upper(index, shift)),
                Place::Above => (self.cells.limit().saturating_add(1), u64::MAX),
            };
            Bucket { index: place.index(), lower, upper, count }
        })
    }

    /// The figures.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            count: self.count(),
            sum: self.sum(),
            min: self.min(),
            max: self.max(),
            p50: self.quantile(Quantile::P50),
            p95: self.quantile(Quantile::P95),
            p99: self.quantile(Quantile::P99),
            error_ppm: self.error_ppm(),
            saturated: self.is_saturated(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::EMPTY;
    }
}

impl<L: Cells> Default for Histogram<L> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<L: Cells> PartialEq for Histogram<L> {
    /// Whether both say the same: figures, scale and every bucket.
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
            && self.sum == other.sum
            && self.low == other.low
            && self.span == other.span
            && self.saturated == other.saturated
            && self.cells.shift() == other.cells.shift()
            && self.buckets().eq(other.buckets())
    }
}

impl<L: Cells> Eq for Histogram<L> {}

#[cfg(test)]
mod tests;
