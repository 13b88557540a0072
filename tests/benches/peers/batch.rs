//! To come.

use crate::harness::Options;

pub(crate) fn run(_options: &Options) {}
