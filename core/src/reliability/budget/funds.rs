//! What the runners ask before a retry: a shared budget, or none.

use super::{Budget, Exhausted};
use crate::shared::Shared;

/// Pays for retries. Every [`Shared`] of a [`Budget`] does; so do [`Unlimited`] and an `Option` of either.
pub trait Funds {
    /// A call is made for the first time.
    fn on_first_try(&self);

    /// Pays for a retry, before it is waited for.
    ///
    /// # Errors
    /// [`Exhausted`] if nothing does.
    fn try_retry(&self) -> Result<(), Exhausted>;

    /// The last of so many calls of one run succeeded.
    fn on_success(&self, attempts: u32);

    /// A retry that was paid for is not made.
    fn cancel_retry(&self);
}

impl<S: Shared<Machine = Budget>> Funds for S {
    fn on_first_try(&self) {
        self.with(|budget, _| budget.on_first_try());
    }

    fn try_retry(&self) -> Result<(), Exhausted> {
        self.with(|budget, _| budget.try_retry())
    }

    fn on_success(&self, attempts: u32) {
        self.with(|budget, _| budget.on_success(attempts));
    }

    fn cancel_retry(&self) {
        self.with(|budget, _| budget.cancel_retry());
    }
}

/// Pays for every retry: what runs without a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlimited;

impl Funds for Unlimited {
    fn on_first_try(&self) {}

    fn try_retry(&self) -> Result<(), Exhausted> {
        Ok(())
    }

    fn on_success(&self, _: u32) {}

    fn cancel_retry(&self) {}
}

impl<F: Funds> Funds for Option<F> {
    fn on_first_try(&self) {
        if let Some(funds) = self {
            funds.on_first_try();
        }
    }

    fn try_retry(&self) -> Result<(), Exhausted> {
        self.as_ref().map_or(Ok(()), Funds::try_retry)
    }

    fn on_success(&self, attempts: u32) {
        if let Some(funds) = self {
            funds.on_success(attempts);
        }
    }

    fn cancel_retry(&self) {
        if let Some(funds) = self {
            funds.cancel_retry();
        }
    }
}
