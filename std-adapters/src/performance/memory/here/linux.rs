//! This machine's figures, from Linux.

use daur_core::performance::memory::Usage;
use rustix::process::{Resource, getrlimit};

use crate::performance::memory::provider::{Error, Provider, Sample};
use crate::performance::memory::tree::Tree;

#[derive(Debug)]
pub(in crate::performance::memory) struct Here(Tree);

impl Here {
    pub(in crate::performance::memory) fn new() -> Self {
        Self(Tree::with_page("/", rustix::param::page_size() as u64))
    }

    pub(in crate::performance::memory) fn sample(&self) -> Result<Sample, Error> {
        let mut sample = self.0.sample()?;
        if let Some(limit) = getrlimit(Resource::As).current {
            let (size, _) = self.0.sizes()?;
            sample.address_space = Some(Usage::new(size, limit.max(1)));
        }
        Ok(sample)
    }

    pub(in crate::performance::memory) fn process(&self) -> Result<u64, Error> {
        self.0.process()
    }

    pub(in crate::performance::memory) fn proportional(&self) -> Result<u64, Error> {
        self.0.proportional()
    }
}
