//! By expected latency: the peak-sensitive moving average, in whole numbers.

use core::fmt;

use super::Outcome;
use super::policy::{Policy, lower_of_two, lowest, sealed};
use super::worker::Slot;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Says how latency is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Latency {
    /// After so long, what was seen counts half; 1 us to 12 days.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
    pub half_life: Duration,
    /// What a worker is expected to take that has reported nothing yet; it fades as what is seen does.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
    pub initial: Duration,
    /// A failure counts as having taken at least so long, lest one that fails at once draws all work.
    #[cfg_attr(feature = "serde", serde(with = "crate::time::text"))]
    pub failure: Duration,
}

impl Latency {
    /// Half after 7 s, 30 ms at first, 5 s for a failure.
    pub const DEFAULT: Self =
        Self { half_life: Duration::from_secs(7), initial: Duration::from_millis(30), failure: Duration::from_secs(5) };

    /// Checks the half-life.
    ///
    /// # Errors
    /// [`HalfLife`].
    pub const fn validate(&self) -> Result<(), HalfLife> {
        if self.half_life.as_nanos() < 1_000 || self.half_life.as_nanos() > 1 << 50 { Err(HalfLife) } else { Ok(()) }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says that a [`Latency`] has a half-life that is too short or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HalfLife;

impl fmt::Display for HalfLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("balancer: the `half_life` of latencies is not within 1 us to 12 days")
    }
}

impl core::error::Error for HalfLife {}

/// Picks the worker where a task is expected to end first: by latency times tasks.
///
/// The estimate follows a slower task at once and a faster one by and by, and fades with time, so that a
/// worker that was slow is asked again. Among more than 16 workers it compares two that chance draws. A
/// weight of 0 leaves a worker out; others count alike, since latency tells how strong a worker is.
///
/// 1. A task slower than what the last one left as the estimate becomes it. A faster one moves it, the more
///    the longer ago the last one was: half of the way after `half_life`.
/// 2. A failure counts as at least `failure`, and [`penalize`](super::Balancer::penalize) as what it says.
/// 3. A cancelled task has taken at least as long as it has: it raises the estimate, and never lowers it.
///
/// It takes 16 bytes for each worker. There is no floating point and no division: 2^-t is a shift and a
/// parabola, at most 0.3 % off.
///
/// # References
/// Finagle's `p2c` with `PeakEwma`; linkerd's and tower's after it.
#[derive(Clone, Debug)]
pub struct PeakEwma {
    rng: Rng,
    turn: u16,
    decay: Decay,
    initial: u64,
    failure: u64,
    /// The first pick, from when on what nobody has seen fades.
    began: Instant,
}

impl PeakEwma {
    /// `seed` decides what chance draws among more than 16 workers. A half-life out of range counts as the
    /// nearest one within it.
    #[must_use]
    pub const fn new(latency: Latency, seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            turn: 0,
            decay: Decay::new(latency.half_life),
            initial: capped(latency.initial),
            failure: capped(latency.failure),
            began: Instant::MAX,
        }
    }

    /// If `latency` is valid.
    ///
    /// # Errors
    /// What [`Latency::validate`] says.
    pub const fn try_new(latency: Latency, seed: u64) -> Result<Self, HalfLife> {
        match latency.validate() {
            Ok(()) => Ok(Self::new(latency, seed)),
            Err(error) => Err(error),
        }
    }
}

/// 18 minutes: what takes longer is as bad. So the product with a load fits into 64 bits.
const SLOWEST: u64 = 1 << 40;
const MOST_LOAD: u32 = 1 << 22;
/// Nothing has been seen: the estimate is assumed, and the first report replaces it.
const ASSUMED: u64 = 1 << 63;
/// Nor is it known since when the worker is there.
const UNSEEN: u64 = u64::MAX;

const fn capped(d: Duration) -> u64 {
    if d.as_nanos() < SLOWEST { d.as_nanos() } else { SLOWEST }
}

/// What is kept of one worker.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// In nanoseconds, as of `at`.
    estimate: u64,
    at: Instant,
}

impl Seen {
    pub(super) const FRESH: Self = Self { estimate: UNSEEN, at: Instant::ZERO };

    /// `unseen` is what it is without a report.
    fn estimate(&self, decay: &Decay, unseen: u64, now: Instant) -> u64 {
        if self.estimate == UNSEEN { unseen } else { decay.fade(self.estimate & !ASSUMED, now.since(self.at)) }
    }
}

/// How estimates fade.
#[derive(Clone, Debug)]
struct Decay {
    /// Makes 15 to 16 bits of the half-life.
    shift: u32,
    /// 2^32 over these bits.
    reciprocal: u64,
}

impl Decay {
    const fn new(half_life: Duration) -> Self {
        let nanos = half_life.as_nanos();
        let nanos = if nanos < 1_000 { 1_000 } else { nanos };
        let nanos = if nanos > 1 << 50 { 1 << 50 } else { nanos };
        let shift = (64 - nanos.leading_zeros()).saturating_sub(16);
        let reciprocal = match (1_u64 << 32).checked_div(nanos >> shift) {
            Some(reciprocal) => reciprocal,
            None => 0,
        };
        Self { shift, reciprocal }
    }

    /// What is left of `value` after `time`: `value * 2^(-time / half_life)`.
    fn fade(&self, value: u64, time: Duration) -> u64 {
        let time = time.as_nanos() >> self.shift;
        if time >= 1 << 22 {
            return 0;
        }
        // In 256ths of a half-life.
        #[expect(clippy::cast_possible_truncation, reason = "22 bits times 18 bits, less 24")]
        let parts = ((time * self.reciprocal) >> 24) as u32;
        let (whole, part) = (parts >> 8, parts & 0xFF);
        // 2^-x is about 1 - 0.672 x + 0.172 x^2, exact at 0, 1/2 and 1; here 65,536 is one.
        let factor = 65_536 - ((part * (44_032 - 44 * part)) >> 8);
        // `value` has 40 bits and the factor 17.
        let faded = (value * u64::from(factor)) >> 16;
        if whole < 64 { faded >> whole } else { 0 }
    }
}

impl PeakEwma {
    fn estimate(&self, seen: &Seen, now: Instant) -> u64 {
        seen.estimate(&self.decay, self.unseen(now), now)
    }

    fn unseen(&self, now: Instant) -> u64 {
        self.decay.fade(self.initial, now.since(self.began))
    }

    pub(super) fn choose_of<X>(
        &mut self,
        slots: &[Slot<X>],
        few: bool,
        usable: impl FnMut(usize, &Slot<X>) -> bool,
        seen: impl Fn(&X) -> &Seen,
        now: Instant,
    ) -> Option<usize> {
        if self.began == Instant::MAX {
            self.began = now;
        }
        let unseen = self.unseen(now);
        let Self { rng, turn, decay, .. } = self;
        let cost = |slot: &Slot<X>| {
            // An estimate that has faded to nothing still tells one task from two.
            let estimate = seen(&slot.own).estimate(decay, unseen, now).max(1);
            (estimate * (u64::from(slot.load.min(MOST_LOAD)) + 1), 1)
        };
        if few { lowest(turn, slots, usable, cost) } else { lower_of_two(turn, rng, slots, usable, cost) }
    }

    /// Takes in one latency.
    pub(super) fn observe(&self, seen: &mut Seen, took: u64, now: Instant) {
        let took = took.min(SLOWEST);
        let estimate = match seen.estimate {
            ASSUMED.. => took,
            before if took >= before => took,
            before => {
                let time = now.since(seen.at);
                // Both fade by the same factor, so this is their mean, weighted by it.
                self.decay.fade(before, time) + took.saturating_sub(self.decay.fade(took, time))
            }
        };
        *seen = Seen { estimate, at: seen.at.max(now) };
    }

    pub(super) fn report_of(&self, seen: &mut Seen, outcome: Outcome, took: Duration, now: Instant) {
        let took = capped(took);
        match outcome {
            Outcome::Success => self.observe(seen, took, now),
            Outcome::Failure => self.observe(seen, took.max(self.failure), now),
            Outcome::Cancelled if took > self.estimate(seen, now) => self.observe(seen, took, now),
            Outcome::Cancelled => {}
        }
    }

    pub(super) const fn fresh_of(&self, now: Instant) -> Seen {
        Seen { estimate: self.initial | ASSUMED, at: now }
    }

    pub(super) fn expects_of(&self, seen: &Seen, now: Instant) -> Duration {
        Duration::from_nanos(self.estimate(seen, now))
    }

    pub(super) fn penalize_of(&self, seen: &mut Seen, cost: Duration, now: Instant) {
        self.observe(seen, capped(cost), now);
    }
}

impl Policy for PeakEwma {}

impl sealed::Policy for PeakEwma {
    type Own = Seen;
    const FRESH: Seen = Seen::FRESH;

    fn fresh(&self, now: Instant) -> Seen {
        self.fresh_of(now)
    }

    fn choose(
        &mut self,
        slots: &mut [Slot<Seen>],
        few: bool,
        usable: impl FnMut(usize, &Slot<Seen>) -> bool,
        now: Instant,
    ) -> Option<usize> {
        self.choose_of(slots, few, usable, |seen| seen, now)
    }

    fn report(&self, own: &mut Seen, outcome: Outcome, took: Duration, now: Instant) {
        self.report_of(own, outcome, took, now);
    }

    fn expects(&self, own: &Seen, now: Instant) -> Option<Duration> {
        Some(self.expects_of(own, now))
    }

    fn penalize(&self, own: &mut Seen, cost: Duration, now: Instant) -> bool {
        self.penalize_of(own, cost, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a model")]
    fn it_fades_as_a_power_of_two_does() {
        for half_life in [1_000, 65_535, 65_536, 7_000_000_000, 1 << 50] {
            let decay = Decay::new(Duration::from_nanos(half_life));
            for hundredths in 0..=1_000_u64 {
                let time = (u128::from(half_life) * u128::from(hundredths) / 100) as u64;
                let faded = decay.fade(SLOWEST, Duration::from_nanos(time)) as f64;
                let model = SLOWEST as f64 * (-(time as f64) / half_life as f64).exp2();
                assert!((faded / model - 1.0).abs() < 0.006, "{half_life} {hundredths} {faded} {model}");
            }
            assert_eq!(decay.fade(SLOWEST, Duration::ZERO), SLOWEST);
            assert_eq!(decay.fade(SLOWEST, Duration::MAX), 0);
        }
    }

    #[test]
    fn a_half_life_out_of_range_counts_as_the_nearest_within() {
        for (given, counted) in [(0, 1_000), (u64::MAX, 1 << 50), ((1 << 50) + 1, 1 << 50)] {
            let [given, counted] = [given, counted].map(|nanos| Decay::new(Duration::from_nanos(nanos)));
            for time in [500, 1_000, 1 << 49, 1 << 50, 1 << 52, 1 << 62].map(Duration::from_nanos) {
                assert_eq!(given.fade(SLOWEST, time), counted.fade(SLOWEST, time));
            }
        }
    }

    #[test]
    fn rule_1_slower_counts_at_once_faster_by_and_by() {
        let latency = Latency { half_life: Duration::from_secs(1), ..Latency::DEFAULT };
        let policy = PeakEwma::new(latency, 7);
        let mut seen = Seen::FRESH;
        let at = |secs| Instant::from_secs(secs);
        // Fading is exact to 0.6 %, as the model above has it.
        let is_near = |nanos: u64, model: u64| nanos.abs_diff(model) <= model * 6 / 1_000;
        assert_eq!(policy.expects_of(&seen, at(5)), Duration::from_millis(30));
        // What is assumed of a newcomer fades, and its first report replaces it.
        let mut new = policy.fresh_of(at(5));
        assert!(is_near(policy.expects_of(&new, at(6)).as_nanos(), 15_000_000));
        policy.observe(&mut new, 1_000_000, at(6));
        assert_eq!(policy.estimate(&new, at(6)), 1_000_000);
        policy.observe(&mut seen, 1_000_000, at(10));
        assert_eq!(policy.estimate(&seen, at(10)), 1_000_000);
        policy.observe(&mut seen, 9_000_000, at(11));
        assert_eq!(policy.estimate(&seen, at(11)), 9_000_000);
        // Half of the way after a half-life, nothing at the same moment, and a clock set back fades nothing.
        policy.observe(&mut seen, 1_000_000, at(11));
        assert_eq!(policy.estimate(&seen, at(11)), 9_000_000);
        policy.observe(&mut seen, 1_000_000, at(12));
        let half_way = policy.estimate(&seen, at(12));
        assert!(is_near(half_way, 5_000_000), "{half_way}");
        assert_eq!(policy.estimate(&seen, at(3)), half_way);
        assert!(is_near(policy.estimate(&seen, at(14)), half_way / 4));
    }

    #[test]
    fn rules_2_and_3_a_failure_is_slow_and_a_cancelled_task_only_raises() {
        let policy = PeakEwma::new(Latency::DEFAULT, 7);
        let now = Instant::from_secs(9);
        let mut seen = Seen::FRESH;
        policy.report_of(&mut seen, Outcome::Success, Duration::from_millis(2), now);
        policy.report_of(&mut seen, Outcome::Cancelled, Duration::from_millis(1), now);
        assert_eq!(policy.expects_of(&seen, now), Duration::from_millis(2));
        policy.report_of(&mut seen, Outcome::Cancelled, Duration::from_millis(8), now);
        assert_eq!(policy.expects_of(&seen, now), Duration::from_millis(8));
        policy.report_of(&mut seen, Outcome::Failure, Duration::from_micros(1), now);
        assert_eq!(policy.expects_of(&seen, now), Duration::from_secs(5));
        policy.report_of(&mut seen, Outcome::Failure, Duration::MAX, now);
        assert_eq!(policy.expects_of(&seen, now), Duration::from_nanos(SLOWEST));
    }
}
