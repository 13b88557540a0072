//! Seeded traces of requests, and the optimum that no cache can beat on them.

use std::collections::{BTreeSet, HashMap};

use daur_core::rng::Rng;

/// Requests for `keys` keys, of which the n-th is asked for in proportion to 1 / n^`exponent`; their numbers tell nothing of it.
#[must_use]
pub fn zipf(keys: u32, exponent: f64, requests: usize, seed: u64) -> Vec<u64> {
    let mut draw = Zipf::new(keys, exponent, seed);
    (0..requests).map(|_| draw.next()).collect()
}

/// The same, and between them scans: after every `every` requests come `scan` keys that nobody asks for again.
#[must_use]
pub fn scan_mixed(keys: u32, exponent: f64, requests: usize, (every, scan): (usize, usize), seed: u64) -> Vec<u64> {
    let mut draw = Zipf::new(keys, exponent, seed);
    let mut scanned = 1 << 40..;
    let mut trace = Vec::with_capacity(requests);
    while trace.len() < requests {
        trace.extend((0..every).map(|_| draw.next()));
        trace.extend(scanned.by_ref().take(scan));
    }
    trace.truncate(requests);
    trace
}

/// Requests for `keys` keys in turn, over and over.
#[must_use]
pub fn looping(keys: u32, requests: usize) -> Vec<u64> {
    (0..u64::from(keys)).cycle().take(requests).collect()
}

struct Zipf {
    /// How likely a key up to this one is.
    up_to: Vec<f64>,
    rng: Rng,
}

impl Zipf {
    fn new(keys: u32, exponent: f64, seed: u64) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = Vec::with_capacity(keys as usize);
        for n in 1..=keys {
            sum += f64::from(n).powf(-exponent);
            up_to.push(sum);
        }
        up_to.iter_mut().for_each(|part| *part /= sum);
        Self { up_to, rng: Rng::new(seed) }
    }

    fn next(&mut self) -> u64 {
        let draw = f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0);
        let rank = self.up_to.partition_point(|up_to| *up_to <= draw) as u64;
        rank.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24
    }
}

/// The hits of a cache of this size that knows the future: it drops what is asked for latest, and does not even
/// take in what is asked for later than all that it has. Belady, "A study of replacement algorithms" (1966).
#[must_use]
pub fn optimum(trace: &[u64], size: usize) -> usize {
    const NEVER: usize = usize::MAX;
    let mut next = vec![NEVER; trace.len()];
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for (at, key) in trace.iter().enumerate().rev() {
        if let Some(later) = seen.insert(*key, at) {
            next[at] = later;
        }
    }
    let mut cached: HashMap<u64, usize> = HashMap::with_capacity(size);
    // By when they are asked for; what never is comes last, one key apart from the other.
    let mut order: BTreeSet<(usize, u64)> = BTreeSet::new();
    let mut hits = 0;
    for (key, next) in trace.iter().zip(next) {
        if let Some(now) = cached.remove(key) {
            hits += 1;
            order.remove(&(now, *key));
        }
        cached.insert(*key, next);
        order.insert((next, *key));
        if cached.len() > size
            && let Some((_, key)) = order.pop_last()
        {
            cached.remove(&key);
        }
    }
    hits
}
