//! The one error of a stack of layers.

use std::error::Error as StdError;
use std::fmt;

use daur_core::reliability::breaker::Open;
use daur_core::reliability::bulkhead::Refused;
use daur_core::reliability::limiter::Limited;
use daur_core::reliability::retry::GaveUp;
use daur_core::time::{Duration, Instant};

/// Says which layer ended a call, or that the service itself failed, with `E`.
///
/// What is wrapped is the `source`, so that a chain of causes is printed once and whole. It is an error
/// of the standard library's kind if `E` is one; tower's `BoxError` is not, until it is wrapped, as by
/// `map_err(std::io::Error::other)` beneath the [`InnerLayer`](super::InnerLayer).
///
/// # Example
/// ```
/// use daur_std::core::reliability::breaker::Open;
/// use daur_std::core::time::Instant;
/// use daur_std::reliability::layers::Error;
///
/// let refused: Error<std::io::Error> = Error::Open(Open { retry_at: Instant::from_secs(60) });
/// assert_eq!(refused.to_string(), "the circuit breaker is open: the call was not made");
/// assert_eq!(refused.retry_at(), Some(Instant::from_secs(60)));
/// assert!(refused.inner().is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The service's own error.
    Inner(E),
    /// The breaker refused: the service was not called.
    Open(Open),
    /// The limiter refused: the service was not called.
    Limited(Limited),
    /// The bulkhead had no place: the service was not called.
    Full(Refused),
    /// The call took longer than this and was dropped.
    TimedOut(Duration),
    /// The retries ended; the last error is inside.
    GaveUp(Box<GaveUp<Self>>),
    /// The fallback failed too.
    Fallback {
        /// Why a fallback was needed.
        first: Box<Self>,
        /// Why it gave nothing.
        second: Box<Self>,
    },
}

impl<E> Error<E> {
    /// The error that all began with: beneath the retries' and the fallback's.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::GaveUp(gave_up) => gave_up.error.root(),
            Self::Fallback { first, .. } => first.root(),
            other => other,
        }
    }

    /// The service's own error, if it is what all began with.
    #[must_use]
    pub fn inner(&self) -> Option<&E> {
        match self.root() {
            Self::Inner(error) => Some(error),
            _ => None,
        }
    }

    /// The service's own error, if it is what all began with.
    ///
    /// # Errors
    /// `self`, if a layer refused or interrupted the call.
    pub fn into_inner(self) -> Result<E, Self> {
        match self {
            Self::Inner(error) => Ok(error),
            Self::GaveUp(gave_up) if gave_up.error.inner().is_some() => gave_up.error.into_inner(),
            Self::Fallback { first, .. } if first.inner().is_some() => first.into_inner(),
            other => Err(other),
        }
    }

    /// When to come back, if a layer refused the call and knows; never for a breaker that is open by hand.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        match *self.root() {
            Self::Open(Open { retry_at }) | Self::Limited(Limited { retry_at }) => {
                (retry_at < Instant::MAX).then_some(retry_at)
            }
            _ => None,
        }
    }

    /// Whether a layer refused before the service was called (the last time, if there were retries).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self.root(), Self::Open(_) | Self::Limited(_) | Self::Full(_))
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(_) => f.write_str("the service failed"),
            Self::Open(open) => open.fmt(f),
            Self::Limited(limited) => limited.fmt(f),
            Self::Full(refused) => refused.fmt(f),
            Self::TimedOut(limit) => write!(f, "the call took longer than {limit}"),
            Self::GaveUp(gave_up) => write!(f, "gave up after {} attempts: {}", gave_up.attempts, gave_up.reason),
            // The first error is the source; the second would be told nowhere else.
            Self::Fallback { second, .. } => write!(f, "the fallback failed too ({second})"),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Inner(error) => Some(error),
            Self::GaveUp(gave_up) => Some(&gave_up.error),
            Self::Fallback { first, .. } => Some(first),
            // Those are told in full by what this error says of itself.
            Self::Open(_) | Self::Limited(_) | Self::Full(_) | Self::TimedOut(_) => None,
        }
    }
}
