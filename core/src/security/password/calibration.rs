//! How many iterations this machine does in a given time.

use super::{MAX_ITERATIONS, MIN_ITERATIONS, Pbkdf2, SALT_LEN};
use crate::time::{Duration, Instant};

const FIRST_BATCH: u32 = 256;
/// A Cortex-M4 at 64 MHz is busy with it for five seconds, a server for five milliseconds.
const LAST_BATCH: u32 = 1 << 16;
/// Batches whose fastest counts.
const ROUNDS: u8 = 3;

/// Finds the iterations that take `target`: give it the time of each batch that it asks for.
///
/// With a clock at hand, and nothing else to do, [`calibrate`] runs it through.
///
/// # Rules
/// 1. The first batch is 256 iterations; a batch that takes less than a sixteenth of the target is followed by one
///    of four times as many, up to 65,536: a coarse clock says little about a short time.
/// 2. Of three batches that were long enough the fastest counts: interruptions only make it longer.
/// 3. The answer lies between [`MIN_ITERATIONS`] and [`MAX_ITERATIONS`]. A clock that stands gives the most: too much
///    work is seen, too little is not.
///
/// # Cost
/// 24 bytes; one division at the end.
///
/// # Example
/// ```
/// use daur_core::security::password::Calibration;
/// use daur_core::time::Duration;
///
/// let mut calibration = Calibration::new(Duration::from_millis(500));
/// let iterations = loop {
///     // A machine that takes 80 us an iteration: a Cortex-M4.
///     let took = Duration::from_micros(80).times(calibration.batch().into());
///     if let Some(iterations) = calibration.record(took) {
///         break iterations;
///     }
/// };
/// assert_eq!(iterations, 6_250);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    target: Duration,
    batch: u32,
    fastest: Duration,
    rounds: u8,
}

impl Calibration {
    /// One for a hash that shall take `target`.
    #[must_use]
    pub const fn new(target: Duration) -> Self {
        Self { target, batch: FIRST_BATCH, fastest: Duration::MAX, rounds: 0 }
    }

    /// How many iterations to time next.
    #[must_use]
    pub const fn batch(&self) -> u32 {
        self.batch
    }

    /// The time that [`batch`](Calibration::batch) iterations have taken; the answer, once there is one.
    pub fn record(&mut self, took: Duration) -> Option<u32> {
        if took.times(16) < self.target && self.batch < LAST_BATCH {
            // What was measured before was another batch.
            *self = Self { batch: self.batch * 4, ..Self::new(self.target) };
            return None;
        }
        self.fastest = self.fastest.min(took);
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds < ROUNDS { None } else { Some(self.iterations()) }
    }

    fn iterations(&self) -> u32 {
        let work = self.target.times(self.batch.into()).as_nanos();
        let iterations = work.checked_div(self.fastest.as_nanos()).unwrap_or(u64::MAX);
        u32::try_from(iterations).unwrap_or(u32::MAX).clamp(MIN_ITERATIONS, MAX_ITERATIONS)
    }
}

/// The iterations of a hash that takes `target` here, by a clock that `now` reads. Busy for about half of `target`.
///
/// # Example
/// ```
/// use daur_core::security::password;
/// use daur_core::time::{Duration, Instant};
///
/// // On a host: `SystemClock` of `daur-std`. Here a clock that goes a millisecond on whenever it is read.
/// let mut ticks = 0;
/// let now = || {
///     ticks += 1;
///     Instant::from_millis(ticks)
/// };
/// assert_eq!(password::calibrate(Duration::from_millis(10), now), 256 * 10);
/// ```
pub fn calibrate(target: Duration, mut now: impl FnMut() -> Instant) -> u32 {
    let mut calibration = Calibration::new(target);
    loop {
        let batch = calibration.batch();
        let start = now();
        // The batch is at least 1 and at most `MAX_ITERATIONS`.
        if let Ok(mut pbkdf2) = Pbkdf2::new(b"calibration", &[0; SALT_LEN], batch) {
            core::hint::black_box(pbkdf2.step(batch));
        }
        if let Some(iterations) = calibration.record(now() - start) {
            return iterations;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The batches that were asked for, and the answer, where an iteration takes `nanos`.
    fn run(target: Duration, mut nanos: impl FnMut(usize) -> u64) -> (Vec<u32>, u32) {
        let (mut calibration, mut batches) = (Calibration::new(target), Vec::new());
        loop {
            let (batch, round) = (calibration.batch(), batches.len());
            batches.push(batch);
            assert!(batches.len() <= 8, "{batches:?}");
            if let Some(iterations) = calibration.record(Duration::from_nanos(nanos(round)).times(batch.into())) {
                return (batches, iterations);
            }
        }
    }

    #[test]
    fn rule_1_batches_grow_until_they_can_be_measured() {
        let (batches, iterations) = run(Duration::from_millis(100), |_| 1_000);
        assert_eq!(batches, [256, 1_024, 4_096, 16_384, 16_384, 16_384]);
        assert_eq!(iterations, 100_000);
        let (batches, iterations) = run(Duration::from_secs(1), |_| 100);
        assert_eq!(batches, [256, 1_024, 4_096, 16_384, 65_536, 65_536, 65_536]);
        assert_eq!(iterations, MAX_ITERATIONS);
    }

    #[test]
    fn rule_2_the_fastest_of_three_counts() {
        let (batches, iterations) = run(Duration::from_secs(1), |round| [300_000, 250_000, 900_000][round]);
        assert_eq!((batches.len(), iterations), (3, 4_000));
    }

    #[test]
    fn rule_3_the_answer_is_within_bounds_whatever_the_clock_says() {
        assert_eq!(run(Duration::from_millis(1), |_| 1_000_000).1, MIN_ITERATIONS);
        assert_eq!(run(Duration::ZERO, |_| 1).1, MIN_ITERATIONS);
        assert_eq!(run(Duration::MAX, |_| u64::MAX).1, MIN_ITERATIONS);
        assert_eq!(run(Duration::MAX, |_| 1).1, MAX_ITERATIONS);
        let (batches, iterations) = run(Duration::from_secs(1), |_| 0);
        assert_eq!((batches.len(), iterations), (7, MAX_ITERATIONS), "a clock that stands");
    }

    #[test]
    fn it_runs_through_by_itself_with_a_clock() {
        let mut now = 0;
        let iterations = calibrate(Duration::from_millis(100), || {
            now += 25;
            Instant::from_millis(now)
        });
        assert_eq!(iterations, 1_024);
    }
}
