//! To be measured beside its peers.

use crate::harness::Options;

pub(crate) fn run(_options: &Options) {}
