//! What a page keeps of a series until it is written.

use daur_core::monitoring::histogram::{Bucket, Cells, Histogram, Snapshot};
use daur_core::time::Duration;

use super::{Native, text};
use crate::monitoring::metrics::{Count, Distribution};

/// A value of a series. `From` takes integers and floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number, written exactly.
    Unsigned(u64),
    /// A whole number, written exactly.
    Signed(i64),
    /// A float.
    Float(f64),
}

macro_rules! values {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

values!(u8 => Unsigned, u16 => Unsigned, u32 => Unsigned, u64 => Unsigned, bool => Unsigned,
    i8 => Signed, i16 => Signed, i32 => Signed, i64 => Signed, f32 => Float, f64 => Float);

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Unsigned(value as u64)
    }
}

impl Value {
    /// Whether a counter may have this value.
    pub(super) fn counts(self) -> bool {
        match self {
            Self::Unsigned(_) => true,
            Self::Signed(value) => value >= 0,
            Self::Float(value) => value >= 0.0,
        }
    }
}

/// What one recorded unit of a histogram is, in the base unit that Prometheus wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The recorded unit is the base unit: bytes, items.
    One,
    /// Milliseconds were recorded, seconds are written.
    Millis,
    /// Microseconds were recorded, seconds are written.
    Micros,
    /// Nanoseconds were recorded, seconds are written.
    Nanos,
    /// `2^-n` seconds were recorded, seconds are written: the choice for native histograms, since the bounds of our buckets
    /// are then bounds of theirs. [`Unit::of`] gives the number to record.
    Fraction(u8),
}

impl Unit {
    /// `2^-20` s, 0.95 us: [`Full`](daur_core::monitoring::histogram::Full) then reaches to 68 minutes.
    pub const FINE: Self = Self::Fraction(20);

    /// `length` in this unit, rounded to the nearest; a second where [`Unit::One`] says nothing of time.
    ///
    /// # Example
    /// ```
    /// use daur_core::time::Duration;
    /// use daur_std::monitoring::prometheus::Unit;
    ///
    /// assert_eq!(Unit::FINE.of(Duration::from_millis(500)), 1 << 19);
    /// assert_eq!(Unit::Micros.of(Duration::from_nanos(1_500)), 2);
    /// ```
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    pub const fn of(self, length: Duration) -> u64 {
        let per_second = match self {
            Self::One => 1,
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => return length.as_nanos(),
            Self::Fraction(bits) => 1_u128 << (if bits > 63 { 63 } else { bits }),
        };
        let units = (length.as_nanos() as u128 * per_second + 500_000_000) / 1_000_000_000;
        if units > u64::MAX as u128 { u64::MAX } else { units as u64 }
    }

    /// Recorded units in the base unit.
    pub(super) fn per_base(self) -> f64 {
        match self {
            Self::One => 1.0,
            Self::Millis => 1e3,
            Self::Micros => 1e6,
            Self::Nanos => 1e9,
            Self::Fraction(bits) => f64::from(bits.min(63)).exp2(),
        }
    }

    /// `value` units in the base unit.
    pub(super) fn base(self, value: u64) -> f64 {
        value as f64 / self.per_base()
    }
}

/// A series: its labels, and what it tells.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Vec<(String, String)>,
    pub(super) data: Data,
}

#[derive(Debug)]
pub(super) enum Data {
    Value(Value),
    Summary(Snapshot, Unit),
    Distribution(Points),
}

/// A histogram's buckets, ready to be written.
#[derive(Debug)]
pub(super) struct Points {
    /// The sum, as text.
    pub(super) sum: String,
    pub(super) octaves: Vec<Octave>,
    pub(super) native: Native,
}

/// The values up to a power of two, above the one before.
#[derive(Debug)]
pub(super) struct Octave {
    /// The upper bound in the base unit, as text.
    pub(super) le: String,
    pub(super) count: u64,
}

impl Points {
    pub(super) fn new<L: Cells>(histogram: &Histogram<L>, unit: Unit) -> Self {
        let mut octaves: Vec<Octave> = Vec::new();
        let octave = |power: u64| Octave { le: text::scaled_float(power, unit), count: 0 };
        let mut last: Option<u64> = None;
        // Below scale 0 a bucket has more than one octave: what lies between its bounds is no bound of ours.
        let octaves_apart = 1_u32 << histogram.scale().min(0).unsigned_abs().min(6);
        for Bucket { upper, count, .. } in histogram.buckets() {
            // The last power of two is 2^63: what is above has only the bucket of all.
            let Some(bound) = upper.max(1).checked_next_power_of_two() else { continue };
            // Octaves between that are empty are told too, so that sums over several hosts have the same buckets.
            while last.is_none_or(|last| last < bound) {
                let next = last
                    .map_or(bound, |last| last.checked_shl(octaves_apart).filter(|next| *next > last).unwrap_or(bound));
                octaves.push(octave(next));
                last = Some(next);
            }
            if let Some(octave) = octaves.last_mut() {
                octave.count = octave.count.saturating_add(count);
            }
        }
        Self { sum: text::scaled(histogram.sum(), unit), octaves, native: Native::new(histogram, unit) }
    }

    /// Of a histogram that counts in the base unit.
    pub(super) fn of(told: &Distribution) -> Self {
        let mut octaves: Vec<Octave> = Vec::new();
        let mut last: Option<i32> = None;
        let zeros = (told.zeros > 0).then_some((LOWEST, told.zeros));
        // A bucket belongs to the octave that ends where it ends or above.
        let buckets =
            told.buckets.iter().map(|Count { index, count }| (index.div_euclid(1 << Distribution::SCALE) + 1, *count));
        for (power, count) in zeros.into_iter().chain(buckets) {
            // The zeros may be far below the rest: what is between them is not told.
            let start = if last == Some(LOWEST) { Some(power - 1) } else { last };
            let mut next = start.map_or(power, |last| last + 1);
            while next <= power {
                octaves.push(Octave { le: text::float(f64::from(next).exp2()), count: 0 });
                last = Some(next);
                next += 1;
            }
            if let Some(octave) = octaves.last_mut() {
                octave.count = octave.count.saturating_add(count);
            }
        }
        Self { sum: text::value(Value::Float(told.sum)), octaves, native: Native::of(told) }
    }
}

/// The power of two that a [`Distribution`]'s zeros are up to.
const LOWEST: i32 = -32;
