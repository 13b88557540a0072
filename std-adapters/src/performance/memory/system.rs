//! The memory of this machine and this process.

use super::here::Here;
use super::provider::{Error, Provider, Sample};

/// Asks the operating system: the files of Linux and its resource limits, elsewhere `sysinfo`.
///
/// Without the feature `sysinfo`, other systems than Linux are [`Error::Unsupported`].
#[derive(Debug)]
pub struct System(Here);

impl System {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Here::new())
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for System {
    fn sample(&self) -> Result<Sample, Error> {
        self.0.sample()
    }

    fn process(&self) -> Result<u64, Error> {
        self.0.process()
    }

    fn proportional(&self) -> Result<u64, Error> {
        self.0.proportional()
    }
}
