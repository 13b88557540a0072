//! Exact statistics of a stream of values, without keeping them.

use crate::time::Instant;

mod sealed {
    pub trait Sealed {}
}

/// A value that can be recorded: `i32` (sums in 64 bits), `i64` (sums in 128 bits) or, where floats
/// are cheap, `f64`.
pub trait Sample: Copy + PartialOrd + core::fmt::Debug + sealed::Sealed {
    /// The sums that mean and deviation are made of.
    type Sums: Copy + core::fmt::Debug + PartialEq;
    /// What a sum of values is told in.
    type Sum: Copy + core::fmt::Debug + PartialEq;
    /// Zero.
    const ZERO: Self;
    /// The sums of one value, the first.
    fn begin(first: Self) -> Self::Sums;
    /// Adds `value`, the `count`-th; `false` if a sum has reached its end.
    fn accumulate(sums: &mut Self::Sums, value: Self, first: Self, count: u64) -> bool;
    /// `self + other` up to the type's end; `false` if that was reached.
    fn plus(self, other: Self) -> (Self, bool);
    /// Whether this is a number, and not infinite.
    fn is_finite(self) -> bool;
    /// The sum of `count` values; `false` if it is the type's end instead.
    fn sum(sums: &Self::Sums, first: Self, count: u64) -> (Self::Sum, bool);
    /// The mean of `count` values.
    fn mean(sums: &Self::Sums, first: Self, count: u64) -> f64;
    /// The sample variance of `count` values, at least two.
    fn variance(sums: &Self::Sums, count: u64) -> f64;
}

/// Keeps count, extremes, sum, mean and deviation of values that it does not keep.
///
/// # Rules
/// 1. Integers are shifted by the first value and summed exactly, squares included; only the last
///    division and root are floating. 10,000,002 +- 1 has the deviation that it has.
/// 2. Sums saturate, with a mark that stays.
/// 3. A value that is not a number or infinite changes nothing. If it is the first, the statistics begin with the next that is
///    finite.
///
/// # Cost
/// 96 bytes for `i64`, 64 for `i32` (where sums of squares saturate above 2^64). No float is touched
/// before [`Stats::mean`] or [`Stats::deviation`] is asked for.
///
/// # Example
/// ```
/// use daur_core::monitoring::metrics::Stats;
/// use daur_core::time::Instant;
///
/// let mut stats = Stats::new(10_000_001_i64, Instant::ZERO);
/// stats.record(10_000_002, Instant::ZERO);
/// stats.record(10_000_003, Instant::ZERO);
/// assert_eq!((stats.mean(), stats.deviation()), (10_000_002.0, Some(1.0)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats<V: Sample> {
    count: u64,
    first: V,
    last: V,
    min: V,
    max: V,
    sums: V::Sums,
    first_at: Instant,
    last_at: Instant,
    /// 0 or 1. The spare values of a `bool` would be used to mark an empty place in a table, which would
    /// then not be all zeros and take flash as a `static`.
    saturated: u8,
}

/// The figures of a [`Stats`], ready to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Summary<V, S = V> {
    /// Values recorded.
    pub count: u64,
    /// Their sum.
    pub sum: S,
    /// The lowest.
    pub min: V,
    /// The highest.
    pub max: V,
    /// The latest.
    pub last: V,
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation, of two values or more.
    pub deviation: Option<f64>,
    /// When the first value came.
    pub first_at: Instant,
    /// When the latest value came.
    pub last_at: Instant,
    /// Whether a sum has reached its end: sum, mean and deviation are not to be trusted.
    pub saturated: bool,
}

impl<V: Sample> Stats<V> {
    /// The statistics of one value. There are none of no value: until a finite one comes the count is 0, and the lowest, the
    /// highest, the first and the latest are what was given here.
    #[must_use]
    pub fn new(first: V, now: Instant) -> Self {
        let finite = first.is_finite();
        Self {
            count: u64::from(finite),
            first,
            last: first,
            min: first,
            max: first,
            sums: V::begin(if finite { first } else { V::ZERO }),
            first_at: now,
            last_at: now,
            saturated: 0,
        }
    }

    /// Adds a value. One that is not finite changes nothing.
    pub fn record(&mut self, value: V, now: Instant) {
        if !value.is_finite() {
            return;
        }
        // Never so of integers.
        if !self.first.is_finite() {
            *self = Self { saturated: self.saturated, ..Self::new(value, now) };
            return;
        }
        self.count = self.count.saturating_add(1);
        self.last = value;
        self.last_at = now;
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
        if !V::accumulate(&mut self.sums, value, self.first, self.count) {
            self.saturated = 1;
        }
    }

    pub(super) fn mark_saturated(&mut self) {
        self.saturated = 1;
    }

    /// Values recorded; 0 only if the first was not finite and none has followed.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the values.
    #[must_use]
    pub fn sum(&self) -> V::Sum {
        V::sum(&self.sums, self.first, self.count).0
    }

    /// The lowest value.
    #[must_use]
    pub const fn min(&self) -> V {
        self.min
    }

    /// The highest value.
    #[must_use]
    pub const fn max(&self) -> V {
        self.max
    }

    /// The first value.
    #[must_use]
    pub const fn first(&self) -> V {
        self.first
    }

    /// The latest value.
    #[must_use]
    pub const fn last(&self) -> V {
        self.last
    }

    /// When the first value came.
    #[must_use]
    pub const fn first_at(&self) -> Instant {
        self.first_at
    }

    /// When the latest value came.
    #[must_use]
    pub const fn last_at(&self) -> Instant {
        self.last_at
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        V::mean(&self.sums, self.first, self.count)
    }

    /// The sample variance; `None` of fewer than two values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1).then(|| V::variance(&self.sums, self.count))
    }

    /// The sample standard deviation; `None` of fewer than two values.
    #[must_use]
    pub fn deviation(&self) -> Option<f64> {
        self.variance().map(root)
    }

    /// Whether a sum has reached its end.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.saturated != 0 || !V::sum(&self.sums, self.first, self.count).1
    }

    /// The figures.
    #[must_use]
    pub fn summary(&self) -> Summary<V, V::Sum> {
        Summary {
            count: self.count,
            sum: self.sum(),
            min: self.min,
            max: self.max,
            last: self.last,
            mean: self.mean(),
            deviation: self.deviation(),
            first_at: self.first_at,
            last_at: self.last_at,
            saturated: self.is_saturated(),
        }
    }
}

/// The sum of the distances to the first value, and of their squares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shifted<D, S> {
    distance: D,
    squares: S,
}

macro_rules! integer {
    ($value:ty, $distance:ty, $square:ty, $sum:ty, $told:expr) => {
        impl sealed::Sealed for $value {}

        impl Sample for $value {
            type Sums = Shifted<$distance, $square>;
            type Sum = $sum;
            const ZERO: Self = 0;

            fn begin(_: Self) -> Self::Sums {
                Shifted { distance: 0, squares: 0 }
            }

            fn accumulate(sums: &mut Self::Sums, value: Self, first: Self, count: u64) -> bool {
                let distance = <$distance>::from(value) - <$distance>::from(first);
                let size = <$square>::from(value.abs_diff(first));
                // The square of an N-bit distance has 2N bits: it fits.
                let square = size.wrapping_mul(size);
                let sum = sums.distance.checked_add(distance);
                let squares = sums.squares.checked_add(square);
                sums.distance = sum.unwrap_or(sums.distance);
                sums.squares = squares.unwrap_or(<$square>::MAX);
                // The sum of the values may leave its range and come back: the mark stays.
                sum.is_some() && squares.is_some() && $told(sums.distance, first, count)
            }

            fn plus(self, other: Self) -> (Self, bool) {
                (self.saturating_add(other), self.checked_add(other).is_some())
            }

            fn is_finite(self) -> bool {
                true
            }

            fn sum(sums: &Self::Sums, first: Self, count: u64) -> ($sum, bool) {
                // The product fits: 64 bits by 64.
                let exact = i128::from(first).wrapping_mul(i128::from(count)).saturating_add(i128::from(sums.distance));
                match <$sum>::try_from(exact) {
                    Ok(sum) => (sum, true),
                    Err(_) => (if exact < 0 { <$sum>::MIN } else { <$sum>::MAX }, false),
                }
            }

            fn mean(sums: &Self::Sums, first: Self, count: u64) -> f64 {
                // The whole part of the mean distance apart, so that a large offset costs no digits.
                let (count, distance) = (i128::from(count), i128::from(sums.distance));
                let whole = distance.checked_div_euclid(count).unwrap_or(0);
                let rest = distance.wrapping_sub(whole.wrapping_mul(count));
                (i128::from(first) + whole) as f64 + rest as f64 / count as f64
            }

            fn variance(sums: &Self::Sums, count: u64) -> f64 {
                let distance = i128::from(sums.distance).unsigned_abs();
                variance(u128::from(count), distance, u128::from(sums.squares))
            }
        }
    };
}

integer!(i32, i64, u64, i64, |_, _, _| true); // that would take 2^32 records
integer!(i64, i128, u128, i64, fits_in_i64);

/// Whether `first * count + distance` fits.
fn fits_in_i64(distance: i128, first: i64, count: u64) -> bool {
    // Mostly neither part has more than 62 bits, and a 32-bit core is spared the product.
    let short = first.unsigned_abs().leading_zeros() + count.leading_zeros() >= 66;
    (short && distance.unsigned_abs() < 1 << 62)
        || i64::try_from(i128::from(first).wrapping_mul(i128::from(count)).saturating_add(distance)).is_ok()
}

/// (count * squares - distance^2) / (count * (count - 1)), exact up to the division.
fn variance(count: u128, distance: u128, squares: u128) -> f64 {
    let (high, low) = wide(count, squares);
    let (high_subtrahend, low_subtrahend) = wide(distance, distance);
    let (low, borrow) = low.overflowing_sub(low_subtrahend);
    // Never negative (Cauchy and Schwarz), unless the squares are saturated.
    let high = high.saturating_sub(high_subtrahend).saturating_sub(u128::from(borrow));
    let numerator = high as f64 * (u128::MAX as f64) + low as f64;
    numerator / count as f64 / (count as f64 - 1.0)
}

/// The 256-bit product, as its upper and lower half.
const fn wide(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a0 * b0;
    // Neither sum overflows: (2^64 - 1)^2 + 2 * (2^64 - 1) = 2^128 - 1.
    let middle = a1 * b0 + (low >> 64);
    let other = a0 * b1 + (middle & LOW);
    (a1 * b1 + (middle >> 64) + (other >> 64), (other << 64) | (low & LOW))
}

/// The square root: `core` has none. Newton's steps from a guess made of half the exponent.
fn root(square: f64) -> f64 {
    if !(square > 0.0 && square < f64::INFINITY) {
        return if square > 0.0 { square } else { 0.0 };
    }
    let mut root = f64::from_bits((square.to_bits() >> 1) + (1023 << 51));
    for _ in 0..5 {
        root = 0.5 * (root + square / root);
    }
    root
}

/// The sums of floats, and the moments by Welford's method: each a float and what its additions have cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Floats {
    sum: Pair,
    mean: Pair,
    moment: Pair,
}

/// A float, and the rest that has no room in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pair {
    value: f64,
    rest: f64,
}

impl Pair {
    const fn of(value: f64) -> Self {
        Self { value, rest: 0.0 }
    }

    /// Adds `more`; at its end, and no further, if the sum is not finite: from an infinity only a NaN would follow.
    fn add(&mut self, more: f64) -> bool {
        let sum = self.value + more;
        if !sum.is_finite() {
            *self = Self::of(f64::MAX.copysign(sum));
            return false;
        }
        // Knuth: what the addition has cut off, exactly.
        let taken = sum - self.value;
        let lost = (self.value - (sum - taken)) + (more - taken);
        self.value = sum;
        self.rest += lost;
        true
    }
}

impl sealed::Sealed for f64 {}

impl Sample for f64 {
    type Sums = Floats;
    type Sum = Self;
    const ZERO: Self = 0.0;

    fn begin(first: Self) -> Floats {
        Floats { sum: Pair::of(first), mean: Pair::of(first), moment: Pair::default() }
    }

    fn accumulate(sums: &mut Floats, value: Self, _: Self, count: u64) -> bool {
        let fits = sums.sum.add(value);
        let distance = (value - sums.mean.value) - sums.mean.rest;
        let step = distance / count as Self;
        if !distance.is_finite() {
            sums.moment = Pair::of(Self::MAX);
            return false;
        }
        // Of the two factors of the usual step the second is the first without its part of the new mean.
        let square = distance * (distance - step);
        let spread = if square.is_finite() { sums.moment.add(square) } else { false };
        if !spread {
            sums.moment = Pair::of(Self::MAX);
        }
        sums.mean.add(step) && spread && fits
    }

    fn plus(self, other: Self) -> (Self, bool) {
        let sum = self + other;
        if sum.is_finite() { (sum, true) } else { (Self::MAX, false) }
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn sum(sums: &Floats, _: Self, _: u64) -> (Self, bool) {
        let sum = sums.sum.value + sums.sum.rest;
        if sum.is_finite() { (sum, true) } else { (Self::MAX.copysign(sum), false) }
    }

    fn mean(sums: &Floats, _: Self, _: u64) -> Self {
        sums.mean.value + sums.mean.rest
    }

    fn variance(sums: &Floats, count: u64) -> Self {
        (sums.moment.value + sums.moment.rest) / (count as Self - 1.0)
    }
}
