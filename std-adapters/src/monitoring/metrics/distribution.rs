//! What a histogram has counted, at one moment.

use std::iter::Peekable;

use daur_core::monitoring::histogram::{Quantile, grid};

/// The values of a histogram, by size: what a [`Histogram`](super::Histogram) has counted.
///
/// The buckets are those of OpenTelemetry's exponential histogram at scale 5 and of Prometheus's native one at schema 5
/// (whose index is greater by one), so an exporter writes them as they are.
///
/// # Rules
/// 1. `count` is the sum of `zeros`, all buckets and `above`, at every moment.
/// 2. A quantile is at most 1.083 % off between 2^-32 and 2^64; the lowest and the highest value are exact.
/// 3. Merging adds, in any order to the same counts.
///
/// # Example
/// ```
/// use daur_std::core::monitoring::histogram::Quantile;
/// use daur_std::monitoring::metrics::Registry;
///
/// let registry = Registry::new();
/// let latency = registry.histogram("latency_seconds");
/// for millis in 1..=100 {
///     latency.record(f64::from(millis) / 1e3);
/// }
/// let seen = latency.read();
/// assert_eq!((seen.count, seen.min, seen.max), (100, Some(0.001), Some(0.1)));
/// assert!((seen.quantile(Quantile::P50).unwrap() / 0.05 - 1.0).abs() < 0.01084);
/// assert_eq!(seen.at_most(0.0625), 62); // exact: a power of two is a bucket's bound
/// ```
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Distribution {
    /// Values counted.
    pub count: u64,
    /// Their sum; exact but for the last rounding, as long as it is far from the greatest float.
    pub sum: f64,
    /// The lowest, exactly; `None` while empty.
    pub min: Option<f64>,
    /// The highest, exactly; `None` while empty.
    pub max: Option<f64>,
    /// Values from 0 to [`Distribution::ZERO_THRESHOLD`].
    pub zeros: u64,
    /// The buckets that are not empty, lowest first.
    pub buckets: Vec<Count>,
    /// Values above 2^64.
    pub above: u64,
    /// Whether a count or the sum has reached its end.
    pub saturated: bool,
}

/// The values counted in the bucket `index` of scale 5: those above [`Count::lower`] up to [`Count::upper`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// OpenTelemetry's index.
    pub index: i32,
    /// The values counted.
    pub count: u64,
}

impl Count {
    /// The bound that all values are above.
    #[must_use]
    pub fn lower(self) -> f64 {
        grid::upper_of(self.index.saturating_sub(1))
    }

    /// The bound that no value is above.
    #[must_use]
    pub fn upper(self) -> f64 {
        grid::upper_of(self.index)
    }
}

impl Distribution {
    /// The scale of OpenTelemetry and the schema of Prometheus: 32 buckets an octave.
    pub const SCALE: i32 = 5;
    /// What is not above it counts as zero: 2^-32.
    pub const ZERO_THRESHOLD: f64 = 1.0 / 4_294_967_296.0;

    /// The mean; `None` while empty.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean of floats")]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The value that `q` of the values do not exceed (nearest rank), as the middle of its bucket; `None` while empty.
    #[must_use]
    pub fn quantile(&self, q: Quantile) -> Option<f64> {
        let (min, max) = (self.min?, self.max?);
        let rank = q.rank(self.count);
        if rank <= 1 {
            return Some(min);
        }
        if rank >= self.count {
            return Some(max);
        }
        let mut left = rank;
        if left <= self.zeros {
            return Some(min);
        }
        left -= self.zeros;
        for bucket in &self.buckets {
            if left <= bucket.count {
                return Some(grid::middle_of(bucket.index).clamp(min, max));
            }
            left -= bucket.count;
        }
        Some(max)
    }

    /// How many values are at most `bound`: exact for 2^(n/32), else up to the bucket that `bound` lies in.
    #[must_use]
    pub fn at_most(&self, bound: f64) -> u64 {
        if bound < 0.0 || bound.is_nan() {
            return 0;
        }
        let within = self.buckets.iter().take_while(|bucket| bucket.upper() <= bound).map(|bucket| bucket.count);
        let above = if bound == f64::INFINITY { self.above } else { 0 };
        within.fold(self.zeros.saturating_add(above), u64::saturating_add)
    }

    /// Adds all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        let count = self.count.checked_add(other.count);
        let sum = self.sum + other.sum;
        self.saturated |= other.saturated || count.is_none() || sum == f64::INFINITY;
        self.count = count.unwrap_or(u64::MAX);
        self.sum = sum.min(f64::MAX);
        self.min = [self.min, other.min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, other.max].into_iter().flatten().reduce(f64::max);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.above = self.above.saturating_add(other.above);
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
        } else if !other.buckets.is_empty() {
            self.buckets = both(self.buckets.iter().peekable(), other.buckets.iter().peekable());
        }
    }
}

/// Two lists of buckets as one, both lowest first.
fn both<'a>(
    mut a: Peekable<impl Iterator<Item = &'a Count>>,
    mut b: Peekable<impl Iterator<Item = &'a Count>>,
) -> Vec<Count> {
    let mut all = Vec::new();
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => x.index.min(y.index),
            (Some(x), None) => x.index,
            (None, Some(y)) => y.index,
            (None, None) => return all,
        };
        let of_a = a.next_if(|bucket| bucket.index == next).map_or(0, |bucket| bucket.count);
        let of_b = b.next_if(|bucket| bucket.index == next).map_or(0, |bucket| bucket.count);
        all.push(Count { index: next, count: of_a.saturating_add(of_b) });
    }
}
