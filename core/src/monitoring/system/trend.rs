//! Where a figure is heading.

use crate::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3_600);

/// Fits a line through the last `N` points of a figure, with integers alone.
///
/// # Rules
/// 1. [`per_hour`](Trend::per_hour) is the slope of the least-squares line; moments are rounded down to an 8,192nd
///    of the time from the first to the last at most, values to a 2^30th of their spread, and the slope towards zero.
/// 2. The oldest point makes room. Points that are at one moment have no slope, and neither has a single one.
/// 3. A point that is older than the one before it counts as of that one's moment.
///
/// # Cost
/// 16 bytes a point and 8 more, on every target. `push` is O(1), `per_hour` O(`N`) with a division a point. `N` is at most 64.
///
/// # Sharing
/// As part of another machine.
///
/// # Example
/// ```
/// use daur_core::monitoring::system::Trend;
/// use daur_core::time::Instant;
///
/// let mut trend: Trend<8> = Trend::NEW;
/// for minute in 0_i64..5 {
///     // 1,000 bytes more each minute.
///     trend.push(5_000_000 + minute * 1_000, Instant::from_secs(60 * minute.unsigned_abs()));
/// }
/// assert_eq!(trend.per_hour(), Some(60_000));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Trend<const N: usize> {
    moments: [Instant; N],
    values: [i64; N],
    len: u8,
    /// Where the next point goes.
    next: u8,
}

/// Ticks across all points are fewer than that, so that no product leaves 64 bits.
const TICKS: u64 = 1 << 14;
/// Bits of a value's distance from the first one.
const BITS: u32 = 31;

impl<const N: usize> Trend<N> {
    /// No points.
    pub const NEW: Self = {
        assert!(N <= 64, "a trend has at most 64 points");
        Self { moments: [Instant::ZERO; N], values: [0; N], len: 0, next: 0 }
    };

    /// Adds a point.
    pub fn push(&mut self, value: i64, now: Instant) {
        let next = usize::from(self.next);
        let before = if next == 0 { N.saturating_sub(1) } else { next - 1 };
        // A place that no point was in yet holds the clock's start.
        let now = self.moments.get(before).map_or(now, |before| now.max(*before));
        if let (Some(moment), Some(place)) = (self.moments.get_mut(next), self.values.get_mut(next)) {
            (*moment, *place) = (now, value);
            self.next = if next + 1 < N { self.next.saturating_add(1) } else { 0 };
            if usize::from(self.len) < N {
                self.len = self.len.saturating_add(1);
            }
        }
    }

    /// The points, the oldest first.
    pub fn points(&self) -> impl Iterator<Item = (Instant, i64)> + Clone + '_ {
        let len = usize::from(self.len);
        let oldest = if len < N { 0 } else { usize::from(self.next) };
        let points = self.moments.iter().copied().zip(self.values.iter().copied());
        points.clone().skip(oldest).chain(points.take(oldest)).take(len)
    }

    /// By how much the figure grows in an hour; negative if it falls. `None` if the points tell no slope.
    #[must_use]
    pub fn per_hour(&self) -> Option<i64> {
        let (first_at, first) = self.points().next()?;
        let (last_at, _) = self.points().last()?;
        let (tick, finer, coarser) = tick_for(last_at.since(first_at));
        let farthest = self.points().map(|(_, value)| value.saturating_sub(first).unsigned_abs()).max()?;
        let shift = (u64::BITS - farthest.leading_zeros()).saturating_sub(BITS);
        let (mut n, mut sum_t, mut sum_v, mut sum_tv, mut sum_tt) = (0_i64, 0_i64, 0_i64, 0_i64, 0_i64);
        for (moment, value) in self.points() {
            let ticks = moment.since(first_at).as_nanos().checked_div(tick)?;
            let t = i64::try_from(ticks).ok()?;
            let v = value.saturating_sub(first) >> shift;
            n += 1;
            sum_t += t;
            sum_v += v;
            sum_tv += t * v;
            sum_tt += t * t;
        }
        // At most 2^57 and 2^40: 64 points of 2^14 ticks and values of 2^31.
        let above = n * sum_tv - sum_t * sum_v;
        let below = (n * sum_tt - sum_t * sum_t) << coarser;
        let (whole, rest) = (above.checked_div(below)?, above.checked_rem(below)?);
        let scaled = whole.saturating_mul(1_i64 << finer).saturating_add((rest << finer).checked_div(below)?);
        Some(scaled.saturating_mul(1_i64.checked_shl(shift)?))
    }
}

impl<const N: usize> Default for Trend<N> {
    fn default() -> Self {
        Self::NEW
    }
}

/// A tick of which fewer than [`TICKS`] make `span`, in nanoseconds: an hour divided by two so many times, or multiplied.
fn tick_for(span: Duration) -> (u64, u32, u32) {
    let span = span.as_nanos() / TICKS;
    let mut finer = 22;
    while finer > 0 && HOUR.as_nanos() >> finer <= span {
        finer -= 1;
    }
    let mut coarser = 0;
    while finer == 0 && HOUR.as_nanos() << coarser <= span {
        coarser += 1;
    }
    ((HOUR.as_nanos() >> finer) << coarser, finer, coarser)
}
