//! A histogram as Prometheus stores it: the native form.

use daur_core::monitoring::histogram::{Bucket, Cells, Histogram};

use super::Unit;
use crate::monitoring::metrics::{Count, Distribution};

/// Holds a histogram in Prometheus's native form, in the base unit: for protobuf and remote write.
///
/// # Rules
/// 1. Our scale is its schema, and OpenTelemetry's index `i` its `i + 1`.
/// 2. Of a registry's histograms, and in [`Unit::One`] and [`Unit::Fraction`], every bucket keeps its bounds. Of the decimal units they cannot, since a
///    thousandth is no power of two: each bucket is told as its nearest, and quantiles are off by at most half a bucket more
///    (at scale 5 by 0.62 % in nanoseconds, 0.41 % in microseconds, 0.22 % in milliseconds).
/// 3. No count is split or left out; what is above a histogram's range is told as the first bucket above it.
/// 4. A histogram coarser than any schema (below -4) has no native form, and its classic buckets speak for it.
///
/// # Example
/// ```
/// use daur_core::monitoring::histogram::Full;
/// use daur_std::monitoring::prometheus::{Native, Unit};
///
/// let mut sizes = Full::new();
/// for bytes in [1_000, 1_024, 1_025, 1_025] {
///     sizes.record(bytes);
/// }
/// let native = Native::new(&sizes, Unit::One);
/// assert_eq!((native.schema, native.count, native.sum), (Some(5), 4, 4_074.0));
/// // Buckets 319, 320 and 321, of 1, 1 and 2 values.
/// assert_eq!((&*native.spans, &*native.deltas), (&[(319, 3)][..], &[1, 0, 1][..]));
/// ```
///
/// # References
/// Prometheus, `io.prometheus.client` and "Native histograms".
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// Values counted in the buckets.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// `2^schema` buckets an octave; `None` by rule 4.
    pub schema: Option<i32>,
    /// How far from zero a value still counts as zero.
    pub zero_threshold: f64,
    /// Zeros.
    pub zero_count: u64,
    /// Runs of buckets: how many come after the run before (the first: its index), and how many there are.
    pub spans: Vec<(i32, u32)>,
    /// What each bucket of the runs holds, as the difference to the one before.
    pub deltas: Vec<i64>,
}

impl Native {
    /// The threshold of what was recorded as integers: next to nothing, as other clients have it. Not 0, by which an empty
    /// histogram would not be known as a native one.
    pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39; // 2^-128

    /// Empty buckets between two runs that are told as empty, since a run costs more.
    const GAP: i32 = 2;

    /// The native form of `histogram`.
    #[must_use]
    pub fn new<L: Cells>(histogram: &Histogram<L>, unit: Unit) -> Self {
        let scale = histogram.scale();
        let mut native = Self {
            schema: Some(scale).filter(|scale| (-4..=8).contains(scale)),
            ..Self::empty(unit.base(histogram.sum()), Self::ZERO_THRESHOLD)
        };
        let offset = offset(unit, scale);
        let mut last = None;
        for Bucket { index, lower, upper, count } in histogram.buckets() {
            if upper == 0 {
                (native.zero_count, native.count) = (count, native.count.saturating_add(count));
            } else {
                let index = index.unwrap_or_else(|| first_of(lower, scale));
                native.push(index + 1 + offset, count, &mut last);
            }
        }
        native
    }

    /// The native form of what a [`Registry`](crate::monitoring::metrics::Registry)'s histogram has counted, every bucket with
    /// its bounds.
    #[must_use]
    pub fn of(told: &Distribution) -> Self {
        let mut native = Self::empty(told.sum, Distribution::ZERO_THRESHOLD);
        (native.zero_count, native.count) = (told.zeros, told.zeros);
        let above = (told.above > 0).then_some(Count { index: 64 << Distribution::SCALE, count: told.above });
        let mut last = None;
        for Count { index, count } in told.buckets.iter().copied().chain(above) {
            native.push(index + 1, count, &mut last);
        }
        native
    }

    const fn empty(sum: f64, zero_threshold: f64) -> Self {
        let schema = Some(Distribution::SCALE);
        Self { count: 0, sum, schema, zero_threshold, zero_count: 0, spans: Vec::new(), deltas: Vec::new() }
    }

    /// Adds the bucket `index`, which comes after `last` (its index and count).
    fn push(&mut self, index: i32, count: u64, last: &mut Option<(i32, i64)>) {
        self.count = self.count.saturating_add(count);
        if self.schema.is_none() {
            return;
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let (gap, mut before) = last.map_or((index, 0), |(last, count)| (index - last - 1, count));
        match self.spans.last_mut().filter(|_| gap <= Self::GAP) {
            Some((_, length)) => {
                *length += gap.unsigned_abs() + 1;
                for _ in 0..gap {
                    self.deltas.push(-before);
                    before = 0;
                }
            }
            None => self.spans.push((gap, 1)),
        }
        self.deltas.push(count - before);
        *last = Some((index, count));
    }
}

/// The index of the first bucket of the octave that begins below `value`.
fn first_of(value: u64, scale: i32) -> i32 {
    let octave = value.max(1).ilog2().cast_signed();
    if scale >= 0 { octave << scale } else { octave >> -scale }
}

/// How many buckets lower a value stands in the base unit than in the recorded one.
#[expect(clippy::cast_possible_truncation, reason = "64 octaves of 32 buckets at most")]
fn offset(unit: Unit, scale: i32) -> i32 {
    (-unit.per_base().log2() * f64::from(scale).exp2()).round() as i32
}
