//! Samples, no closer than sense allows.

use std::sync::Arc;

use daur_core::time::{Duration, Instant, WallClock};

use super::SHORTEST_INTERVAL;
use super::sample::{Disk, Network, Sample};
use crate::clock::SystemWallClock;

/// Reads the figures. [`Host`](super::Host) asks the operating system; a test tells its own.
pub trait Provider: Send + 'static {
    /// Reads everything anew. May block for some milliseconds. What is in a second need not be told: the [`Sampler`] works it out.
    fn read(&mut self) -> Sample;
}

impl<F: FnMut() -> Sample + Send + 'static> Provider for F {
    fn read(&mut self) -> Sample {
        self()
    }
}

/// Takes samples no closer than sense allows.
///
/// # Rules
/// 1. The first CPU reading is an average since the machine's start, and is not reported.
/// 2. A sample asked for less than [`SHORTEST_INTERVAL`] after the last is the last one.
/// 3. What is in a second is the step of the total since the sample before. A total that has become smaller, or was not there,
///    tells none: the interface or the disk is another one.
#[derive(Debug)]
pub struct Sampler<P> {
    provider: P,
    last: Option<(Instant, Arc<Sample>)>,
}

impl<P: Provider> Sampler<P> {
    /// A sampler that has read nothing.
    pub const fn new(provider: P) -> Self {
        Self { provider, last: None }
    }

    /// The present sample.
    pub fn sample(&mut self, now: Instant) -> Arc<Sample> {
        if let Some((at, last)) = &self.last
            && now.since(*at) < SHORTEST_INTERVAL
        {
            return Arc::clone(last);
        }
        let mut sample = self.provider.read();
        match &self.last {
            None => {
                sample.cpu_permille = None;
                if let Some(process) = &mut sample.process {
                    process.cpu_permille = None;
                }
            }
            Some((at, last)) => rates(&mut sample, last, now.since(*at)),
        }
        sample.taken_at = sample.taken_at.or_else(|| SystemWallClock.unix_now());
        let sample = Arc::new(sample);
        self.last = Some((now, Arc::clone(&sample)));
        sample
    }
}

/// Works out what is in a second, where the provider does not know.
fn rates(sample: &mut Sample, last: &Sample, passed: Duration) {
    let rate = |now: u64, before: u64| per_second(now.checked_sub(before)?, passed);
    for network in &mut sample.networks {
        let Some(Network { received, transmitted, .. }) =
            last.networks.iter().find(|before| before.name == network.name)
        else {
            continue;
        };
        network.received_per_second = network.received_per_second.or_else(|| rate(network.received, *received));
        network.transmitted_per_second =
            network.transmitted_per_second.or_else(|| rate(network.transmitted, *transmitted));
    }
    for disk in &mut sample.disks {
        let same = |before: &&Disk| before.mount == disk.mount && before.device == disk.device;
        let Some(before) = last.disks.iter().find(same) else { continue };
        disk.read_per_second = disk.read_per_second.or_else(|| rate(disk.read?, before.read?));
        disk.written_per_second = disk.written_per_second.or_else(|| rate(disk.written?, before.written?));
    }
}

fn per_second(step: u64, passed: Duration) -> Option<u64> {
    let scaled = u128::from(step) * 1_000_000_000;
    let rate = scaled.checked_div(u128::from(passed.as_nanos()))?;
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}
