//! The calls of the latest time, and how many of them failed.

use super::mode::sealed::{self, Rate, Verdict, Windowed};
use super::{Cause, ConfigError, Counts, Mode};
use crate::time::{Duration, Instant};

/// Says at which rate of failures a [`TimeWindow`] opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Span {
    /// Into how many buckets the time is divided; at least 1, at most as many as the window has.
    pub buckets: u32,
    /// How long one bucket is; more than 0.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
    pub bucket: Duration,
    /// The percentage of failures that opens; from 1 to 100. Compared exactly: 49.5 % is not 50 %.
    pub failure_pct: u8,
    /// With fewer calls there is no rate; at least 1.
    pub min_calls: u32,
}

impl Span {
    /// Half of the calls of the last 10 s, of 10 at least.
    pub const DEFAULT: Self = Self { buckets: 10, bucket: Duration::from_secs(1), failure_pct: 50, min_calls: 10 };

    /// Checks the fields for a window of so many buckets.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self, buckets: usize) -> Result<(), ConfigError> {
        if self.buckets == 0 || self.buckets as usize > buckets {
            return Err(ConfigError::SpanBuckets);
        }
        if self.bucket.is_zero() {
            return Err(ConfigError::SpanBucket);
        }
        if self.min_calls == 0 {
            return Err(ConfigError::SpanMinCalls);
        }
        if self.failure_pct == 0 || self.failure_pct > 100 {
            return Err(ConfigError::WindowFailurePct);
        }
        Ok(())
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    calls: u32,
    hits: u32,
}

impl Bucket {
    const EMPTY: Self = Self { calls: 0, hits: 0 };
}

/// Opens when too many calls of the latest time have failed.
///
/// For traffic that comes and goes, where the last hundred calls may be from yesterday. Where it is
/// steady, a [`CountWindow`](super::CountWindow) is smaller; to count slow calls too, put
/// [`Slow`](super::Slow) around it.
///
/// # Rules
/// 1. An outcome counts from when it is reported for `buckets - 1` to `buckets` times `bucket`: the
///    oldest bucket leaves as a whole. The first bucket begins with the first outcome in an empty window.
/// 2. Below `min_calls` there is no rate. From then on every outcome is judged, and a success, too,
///    can open the breaker.
/// 3. The rate is compared in whole numbers: `failed * 100 >= failure_pct * calls`.
/// 4. Half-open, the same rate is judged as soon as `min_calls` probes have reported, or all of them
///    if they are fewer; `success_threshold` has no part in it.
/// 5. Each change of state empties it.
/// 6. A clock that steps backwards holds it still: what is reported meanwhile goes into the present
///    bucket, and none leaves.
/// 7. However long nothing was reported, the next report costs one step a bucket at most.
///
/// # Cost
/// With 10 buckets, 200 bytes of RAM and 1,396 of flash on thumbv6m (image `breaker_time`), the breaker
/// included; 8 bytes of RAM for each bucket. A report is O(1), after an idle time O(buckets).
///
/// # Example
/// ```
/// use daur_core::reliability::breaker::{Breaker, Config, Event, Span, TimeWindow};
/// use daur_core::time::{Duration, Instant};
///
/// const LAST_MINUTE: Span = Span { buckets: 6, bucket: Duration::from_secs(10), failure_pct: 50, min_calls: 2 };
/// let mut breaker = Breaker::<TimeWindow<6>>::time_windowed(Config::DEFAULT, LAST_MINUTE);
///
/// // Two failures a minute apart, the first of which has left when the second comes.
/// for secs in [0, 60] {
///     let now = Instant::from_secs(secs);
///     let permit = breaker.try_acquire(now)?;
///     assert_eq!(breaker.on_failure(permit, now), None);
/// }
/// let now = Instant::from_secs(110);
/// let permit = breaker.try_acquire(now)?;
/// assert!(matches!(breaker.on_failure(permit, now), Some(Event::Opened { .. })));
/// # Ok::<(), daur_core::reliability::breaker::Open>(())
/// ```
///
/// # References
/// Resilience4j's time-based sliding window: the buckets and the running total.
#[derive(Clone, Debug)]
pub struct TimeWindow<const BUCKETS: usize> {
    span: Span,
    buckets: [Bucket; BUCKETS],
    /// When the present bucket ends; means something while `total` is not empty.
    ends: Instant,
    /// The present bucket.
    at: u32,
    total: Bucket,
    consecutive: u32,
}

impl<const BUCKETS: usize> TimeWindow<BUCKETS> {
    /// An empty window.
    ///
    /// # Panics
    /// If `span` is invalid: in a `static` or `const`, an error of the compiler. One that is read at
    /// run time goes to [`TimeWindow::try_new`].
    #[must_use]
    pub const fn new(span: Span) -> Self {
        match Self::try_new(span) {
            Ok(window) => window,
            Err(_) => panic!("invalid breaker::Span: see Span::validate"),
        }
    }

    /// An empty window, if the config is valid.
    ///
    /// # Errors
    /// What [`Span::validate`] says.
    pub const fn try_new(span: Span) -> Result<Self, ConfigError> {
        match span.validate(BUCKETS) {
            Ok(()) => Ok(Self {
                span,
                buckets: [Bucket::EMPTY; BUCKETS],
                ends: Instant::ZERO,
                at: 0,
                total: Bucket::EMPTY,
                consecutive: 0,
            }),
            Err(error) => Err(error),
        }
    }

    /// Lets leave what is too old. No division finds the present bucket: that of two `u64` alone would
    /// be 1.3 KB of flash on a Cortex-M0.
    fn advance(&mut self, now: Instant) {
        while self.total.calls > 0 && now >= self.ends {
            self.ends = self.ends.after(self.span.bucket);
            self.at = if self.at + 1 >= self.span.buckets { 0 } else { self.at + 1 };
            if let Some(bucket) = self.buckets.get_mut(self.at as usize) {
                self.total.calls -= bucket.calls;
                self.total.hits -= bucket.hits;
                *bucket = Bucket::EMPTY;
            }
        }
        if self.total.calls == 0 {
            self.ends = now.after(self.span.bucket);
        }
    }
}

impl<const BUCKETS: usize> Windowed for TimeWindow<BUCKETS> {
    fn record(&mut self, hit: bool, now: Instant) -> bool {
        self.advance(now);
        // What a full counter would still take in is not worth a wrong rate. No bucket exceeds the total.
        if self.total.calls < u32::MAX
            && let Some(bucket) = self.buckets.get_mut(self.at as usize)
        {
            let hit = u32::from(hit);
            bucket.calls += 1;
            bucket.hits += hit;
            self.total.calls += 1;
            self.total.hits += hit;
        }
        self.rate().is_reached(self.total.hits, self.total.calls)
    }

    fn tally(&self) -> Counts {
        Counts { calls: self.total.calls, failed: self.total.hits, slow: 0 }
    }

    fn rate(&self) -> Rate {
        Rate { pct: self.span.failure_pct, min_calls: self.span.min_calls }
    }
}

impl<const BUCKETS: usize> Mode for TimeWindow<BUCKETS> {}

impl<const BUCKETS: usize> sealed::Mode for TimeWindow<BUCKETS> {
    fn on_success(&mut self, _took: Duration, now: Instant) -> Option<Cause> {
        self.consecutive = 0;
        if self.record(false, now) { Some(Cause::Failures) } else { None }
    }

    fn on_failure(&mut self, _took: Duration, now: Instant) -> Option<Cause> {
        self.consecutive = self.consecutive.saturating_add(1);
        if self.record(true, now) { Some(Cause::Failures) } else { None }
    }

    fn clear(&mut self) {
        self.buckets = [Bucket::EMPTY; BUCKETS];
        self.total = Bucket::EMPTY;
        self.consecutive = 0;
    }

    fn consecutive_failures(&self) -> u32 {
        self.consecutive
    }

    fn ignores_success(&self) -> bool {
        false
    }

    fn counts(&self) -> Option<Counts> {
        Some(self.tally())
    }

    fn judge(&self, good: u32, bad: u32, probes: u32, _success_threshold: u32) -> Verdict {
        self.rate().judge(good, bad, probes)
    }
}
