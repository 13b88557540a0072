//! Without the feature `tracing`, nothing is logged.

use crate::reliability::layers::Error;

pub(super) const fn asked<E>(_cause: &Error<E>) {}
