//! A machine whose figures nobody here knows how to read.

use crate::performance::memory::provider::{Error, Sample};

#[derive(Debug)]
pub(in crate::performance::memory) struct Here;

impl Here {
    pub(in crate::performance::memory) fn new() -> Self {
        Self
    }

    pub(in crate::performance::memory) fn sample(&self) -> Result<Sample, Error> {
        Err(Error::Unsupported)
    }

    pub(in crate::performance::memory) fn process(&self) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }

    pub(in crate::performance::memory) fn proportional(&self) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }
}
