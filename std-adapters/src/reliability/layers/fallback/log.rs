//! Logs the uses of a fallback.

use crate::reliability::layers::Error;

pub(super) fn asked<E>(cause: &Error<E>) {
    tracing::warn!(%cause, root = %cause.root(), "a fallback is asked");
}
