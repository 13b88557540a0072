//! Targets that get their names at run time.

use std::borrow::Cow;
use std::fmt::Display;

/// Logs under a name of its own, to whatever listens to `tracing` (what the seed's `get_logger` gave).
///
/// Where the name is the module's, the macros of `tracing` do the same and take fields.
///
/// # Example
/// ```
/// use daur_std::monitoring::log::logger;
///
/// let billing = logger("billing");
/// billing.info("an invoice is out");
/// billing.error(format_args!("{} has no address", "customer 7"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Named {
    name: Cow<'static, str>,
}

/// A target of this name; see [`Named`].
#[doc(alias = "get_logger")]
#[must_use]
pub fn logger(name: impl Into<Cow<'static, str>>) -> Named {
    Named { name: name.into() }
}

impl Named {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Somebody must look.
    pub fn error(&self, message: impl Display) {
        tracing::error!(target: "named", { log.target = &*self.name }, "{message}");
    }

    /// Somebody should look.
    pub fn warn(&self, message: impl Display) {
        tracing::warn!(target: "named", { log.target = &*self.name }, "{message}");
    }

    /// Good to know.
    pub fn info(&self, message: impl Display) {
        tracing::info!(target: "named", { log.target = &*self.name }, "{message}");
    }

    /// For whoever looks for a fault.
    pub fn debug(&self, message: impl Display) {
        tracing::debug!(target: "named", { log.target = &*self.name }, "{message}");
    }

    /// Everything.
    pub fn trace(&self, message: impl Display) {
        tracing::trace!(target: "named", { log.target = &*self.name }, "{message}");
    }
}
