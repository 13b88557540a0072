//! A histogram as Prometheus stores it: the native form.

use daur_core::monitoring::histogram::{Bucket, Cells, Histogram};

use super::Unit;

/// Holds a histogram in Prometheus's native form, in the base unit: for protobuf and remote write.
///
/// # Rules
/// 1. Our scale is its schema, and OpenTelemetry's index `i` its `i + 1`.
/// 2. In [`Unit::One`] and [`Unit::Fraction`] every bucket keeps its bounds. Of the decimal units they cannot, since a
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
    /// Zeros.
    pub zero_count: u64,
    /// Runs of buckets: how many come after the run before (the first: its index), and how many there are.
    pub spans: Vec<(i32, u32)>,
    /// What each bucket of the runs holds, as the difference to the one before.
    pub deltas: Vec<i64>,
}

impl Native {
    /// How far from zero a value still counts as zero: next to nothing, as other clients have it. Not 0, by which an empty
    /// histogram would not be known as a native one.
    pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_718_8e-39; // 2^-128

    /// Empty buckets between two runs that are told as empty, since a run costs more.
    const GAP: i32 = 2;

    /// The native form of `histogram`.
    #[must_use]
    pub fn new<L: Cells>(histogram: &Histogram<L>, unit: Unit) -> Self {
        let scale = histogram.scale();
        let mut native = Self {
            count: 0,
            sum: unit.base(histogram.sum()),
            schema: Some(scale).filter(|scale| (-4..=8).contains(scale)),
            zero_count: 0,
            spans: Vec::new(),
            deltas: Vec::new(),
        };
        let offset = offset(unit, scale);
        let (mut last, mut next) = (0, None);
        for Bucket { index, lower, upper, count } in histogram.buckets() {
            native.count = native.count.saturating_add(count);
            if upper == 0 {
                native.zero_count = count;
            } else if native.schema.is_some() {
                let index = index.unwrap_or_else(|| first_of(lower, scale)) + 1 + offset;
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                let gap = next.map_or(index, |next| index - next);
                match native.spans.last_mut().filter(|_| (0..=Self::GAP).contains(&gap)) {
                    Some((_, length)) => {
                        *length += gap.unsigned_abs() + 1;
                        for _ in 0..gap {
                            native.deltas.push(-last);
                            last = 0;
                        }
                    }
                    None => native.spans.push((gap, 1)),
                }
                native.deltas.push(count - last);
                (last, next) = (count, Some(index + 1));
            }
        }
        native
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
