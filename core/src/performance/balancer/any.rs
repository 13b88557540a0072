//! Any of the policies, by a config that is read at run time.

use super::ewma::Seen;
use super::policy::{Due, Policy, sealed};
use super::worker::Slot;
use super::{HalfLife, Latency, LeastLoaded, Outcome, PeakEwma, RoundRobin, Weighted};
use crate::time::{Duration, Instant};

/// Names a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PolicyConfig {
    /// [`LeastLoaded`].
    #[default]
    LeastLoaded,
    /// [`RoundRobin`].
    RoundRobin,
    /// [`Weighted`].
    Weighted,
    /// [`PeakEwma`].
    PeakEwma(Latency),
}

/// Is the policy that a [`PolicyConfig`] names: for a host that reads it from a file.
///
/// It takes 24 bytes for each worker, whichever it is.
#[derive(Clone, Debug)]
pub struct Any(Kind);

#[derive(Clone, Debug)]
enum Kind {
    LeastLoaded(LeastLoaded),
    RoundRobin(RoundRobin),
    Weighted,
    PeakEwma(PeakEwma),
}

impl Any {
    /// The policy of this name, if it is valid. `seed` decides what chance draws.
    ///
    /// # Errors
    /// What [`Latency::validate`] says.
    pub const fn try_new(policy: PolicyConfig, seed: u64) -> Result<Self, HalfLife> {
        Ok(Self(match policy {
            PolicyConfig::LeastLoaded => Kind::LeastLoaded(LeastLoaded::new(seed)),
            PolicyConfig::RoundRobin => Kind::RoundRobin(RoundRobin::new()),
            PolicyConfig::Weighted => Kind::Weighted,
            PolicyConfig::PeakEwma(latency) => match PeakEwma::try_new(latency, seed) {
                Ok(policy) => Kind::PeakEwma(policy),
                Err(error) => return Err(error),
            },
        }))
    }

    const fn timed(&self) -> Option<&PeakEwma> {
        match &self.0 {
            Kind::PeakEwma(policy) => Some(policy),
            Kind::LeastLoaded(_) | Kind::RoundRobin(_) | Kind::Weighted => None,
        }
    }
}

/// What any policy keeps of a worker.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    seen: Seen,
    due: i64,
}

impl Due for Own {
    fn due(&mut self) -> &mut i64 {
        &mut self.due
    }
}

impl Policy for Any {}

impl sealed::Policy for Any {
    type Own = Own;
    const FRESH: Own = Own { seen: Seen::FRESH, due: 0 };

    fn fresh(&self, now: Instant) -> Own {
        Own { seen: self.timed().map_or(Seen::FRESH, |policy| policy.fresh_of(now)), due: 0 }
    }

    fn choose(
        &mut self,
        slots: &mut [Slot<Own>],
        few: bool,
        usable: impl FnMut(usize, &Slot<Own>) -> bool,
        now: Instant,
    ) -> Option<usize> {
        match &mut self.0 {
            Kind::LeastLoaded(policy) => policy.choose_of(slots, few, usable),
            Kind::RoundRobin(policy) => policy.choose_of(slots, usable),
            Kind::Weighted => Weighted::choose_of(slots, usable),
            Kind::PeakEwma(policy) => policy.choose_of(slots, few, usable, |own| &own.seen, now),
        }
    }

    fn report(&self, own: &mut Own, outcome: Outcome, took: Duration, now: Instant) {
        if let Some(policy) = self.timed() {
            policy.report_of(&mut own.seen, outcome, took, now);
        }
    }

    fn penalize(&self, own: &mut Own, cost: Duration, now: Instant) -> bool {
        let policy = self.timed();
        if let Some(policy) = policy {
            policy.penalize_of(&mut own.seen, cost, now);
        }
        policy.is_some()
    }

    fn expects(&self, own: &Own, now: Instant) -> Option<Duration> {
        self.timed().map(|policy| policy.expects_of(&own.seen, now))
    }
}
