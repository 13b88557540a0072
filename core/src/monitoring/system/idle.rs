//! How much of the time a device sleeps.

use crate::time::{Duration, Instant};

/// Measures which share of the time is spent asleep, for [`Sample::idle_permille`](super::Sample::idle_permille).
///
/// # Rules
/// 1. Asleep is the time from `sleep` to `wake`, also while it lasts.
/// 2. [`take`](Idle::take) tells the share since it was last called; [`permille`](Idle::permille) tells the same and takes nothing.
/// 3. Sleeping twice is sleeping once, and so is waking. A clock that steps backwards adds nothing.
///
/// # Cost
/// 32 bytes; an addition for each sleep, a division when the share is asked for.
///
/// # Sharing
/// Belongs to the loop that sleeps.
///
/// # Example
/// ```
/// use daur_core::monitoring::system::Idle;
/// use daur_core::time::Instant;
///
/// let mut idle = Idle::new(Instant::ZERO);
/// idle.sleep(Instant::from_millis(100)); // wait for interrupt
/// idle.wake(Instant::from_millis(850));
/// assert_eq!(idle.take(Instant::from_millis(1_000)), Some(750));
/// assert_eq!(idle.permille(Instant::from_millis(2_000)), Some(0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    asleep: Duration,
    since: Instant,
    slept_at: Option<Instant>,
}

impl Idle {
    /// Awake, from `now` on.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { asleep: Duration::ZERO, since: now, slept_at: None }
    }

    /// Falls asleep.
    pub const fn sleep(&mut self, now: Instant) {
        if self.slept_at.is_none() {
            self.slept_at = Some(now);
        }
    }

    /// Wakes up.
    pub fn wake(&mut self, now: Instant) {
        if let Some(slept_at) = self.slept_at.take() {
            self.asleep = self.asleep + now.since(slept_at);
        }
    }

    /// The share of the time since the last [`take`](Idle::take) that was spent asleep, in thousandths. `None` if no time
    /// has passed.
    #[must_use]
    pub fn permille(&self, now: Instant) -> Option<u16> {
        let asleep = self.asleep + self.slept_at.map_or(Duration::ZERO, |slept_at| now.since(slept_at));
        // A sleep of 213 days and more is divided first.
        let all = now.since(self.since).as_nanos();
        let share = match asleep.as_nanos().checked_mul(1_000) {
            Some(asleep) => asleep.checked_div(all)?,
            None => asleep.as_nanos().checked_div(all / 1_000)?,
        };
        Some(u16::try_from(share).unwrap_or(1_000).min(1_000))
    }

    /// The same, and begins anew.
    pub fn take(&mut self, now: Instant) -> Option<u16> {
        let share = self.permille(now)?;
        self.asleep = Duration::ZERO;
        self.since = now;
        self.slept_at = self.slept_at.map(|_| now);
        Some(share)
    }
}
