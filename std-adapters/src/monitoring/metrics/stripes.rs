//! One histogram: a stripe for each thread that has recorded into it.

use std::sync::OnceLock;

use super::distribution::Distribution;
use super::lanes::{LANES, lane, taken};
use super::stripe::Stripe;

/// Lanes whose place is there from the start; the others' is made when one of them first records.
const NEAR: usize = 16;

/// What all threads have recorded into one histogram.
#[derive(Debug, Default)]
pub(super) struct Stripes {
    near: [OnceLock<Box<Stripe>>; NEAR],
    far: OnceLock<Box<Far>>,
}

#[derive(Debug)]
struct Far {
    lanes: [OnceLock<Box<Stripe>>; LANES - NEAR],
    /// Of all threads that have no lane of their own.
    shared: Stripe,
}

impl Default for Far {
    fn default() -> Self {
        Self { lanes: [const { OnceLock::new() }; LANES - NEAR], shared: Stripe::default() }
    }
}

impl Stripes {
    /// This thread's stripe, if it is near and has been made.
    #[inline]
    pub(super) fn own(&self) -> Option<&Stripe> {
        self.near.get(taken())?.get().map(|stripe| &**stripe)
    }

    /// Counts a value by a thread that has no [`own`](Self::own) stripe; `false` if it is none to be counted.
    pub(super) fn record_elsewhere(&self, value: f64) -> bool {
        let far = || self.far.get()?.lanes.get(taken().checked_sub(NEAR)?)?.get();
        far().map_or_else(|| self.record_many(value, 1), |stripe| stripe.record(value))
    }

    /// Counts a value `times`; `false` if it is none to be counted.
    pub(super) fn record_many(&self, value: f64, times: u64) -> bool {
        let lane = lane();
        if let Some(near) = self.near.get(lane) {
            return near.get_or_init(Box::default).record_many(value, times);
        }
        let far = self.far.get_or_init(Box::default);
        match far.lanes.get(lane - NEAR) {
            Some(stripe) => stripe.get_or_init(Box::default).record_many(value, times),
            None => far.shared.record_shared(value, times),
        }
    }

    /// What all threads have counted.
    pub(super) fn read(&self) -> Distribution {
        let mut all = Distribution::default();
        let far = self.far.get();
        let lanes = self.near.iter().chain(far.iter().flat_map(|far| &far.lanes));
        for stripe in lanes.filter_map(OnceLock::get) {
            all.merge(&stripe.read(false));
        }
        if let Some(far) = far {
            all.merge(&far.shared.read(true));
        }
        all
    }
}
