//! Uses much memory under a small limit, and tells what becomes of it: a line for each change of level, or for each
//! measurement. What it measures it reads itself, in `/proc/self/status`.
//!
//! `memory levels`: a working set grows beside a cache until memory is critical, and shrinks again; the limit is the
//! config's, the figures are the system's.
//! `memory address-space`: the same with the limit that `ulimit -v` has set.
//! `memory blocks`, `memory pieces`: fills a cache with large blocks, or with pieces of many sizes between which others
//! stay, and optimizes.

use std::sync::{Arc, Mutex};

use daur_core::performance::memory::{Level, Share, Shrink, Usage};
use daur_core::rng::Rng;
use daur_core::time::{Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::performance::memory::{Config, Error, Freed, MemoryOptimizer, Provider, Sample, System};

const MIB: usize = 1 << 20;

static CLOCK: ManualClock = ManualClock::new(Instant::from_secs(100));

/// Blocks full of a byte: resident, unless it is 0.
#[derive(Clone)]
struct Hoard(Arc<Mutex<Held>>);

struct Held {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
    most: usize,
    bound: usize,
    byte: u8,
}

impl Hoard {
    fn new(most: usize, byte: u8) -> Self {
        Self(Arc::new(Mutex::new(Held { blocks: Vec::new(), bytes: 0, most, bound: most, byte })))
    }

    /// Holds another block, unless that is too much.
    fn add(&self, bytes: usize) -> bool {
        let mut held = self.0.lock().unwrap();
        if held.bytes + bytes > held.bound {
            return false;
        }
        let block = vec![held.byte; bytes];
        held.blocks.push(block);
        held.bytes += bytes;
        true
    }
}

impl Shrink for Hoard {
    fn shrink(&self, keep: Share) -> u64 {
        let mut held = self.0.lock().unwrap();
        let before = held.bytes;
        held.bound = keep.of(held.most);
        while held.bytes > held.bound {
            let block = held.blocks.pop().unwrap();
            held.bytes -= block.len();
        }
        held.blocks.shrink_to_fit();
        (before - held.bytes) as u64
    }

    fn restore(&self, keep: Share) {
        let mut held = self.0.lock().unwrap();
        held.bound = keep.of(held.most);
    }
}

/// Resident bytes, read apart from the optimizer.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024
}

/// What the system says of this process, and nothing of the machine around it.
fn alone() -> impl Provider {
    let system = System::new();
    move || -> Result<Sample, Error> {
        let sample = system.sample()?;
        Ok(Sample { available: sample.total, group: None, pressure: None, ..sample })
    }
}

fn optimizer(limit: Option<u64>) -> MemoryOptimizer {
    let config = Config { limit, ..Config::DEFAULT };
    MemoryOptimizer::builder(config).provider(alone()).clock(&CLOCK).build().unwrap()
}

/// Polls, and lets a second pass.
fn poll(optimizer: &MemoryOptimizer) -> Level {
    let polled = optimizer.poll();
    if let Some(error) = polled.error {
        panic!("{error}");
    }
    if let Some(change) = polled.change {
        let Usage { used, limit } = change.reading.usage;
        println!("{} {} {used} {limit}", change.from, change.to);
    }
    CLOCK.advance(Duration::from_secs(1));
    polled.level
}

/// Grows by a `block` every second until it is critical, then gives the work back, and waits for all to be as before.
fn levels(optimizer: &MemoryOptimizer, cache: usize, block: usize, byte: u8) {
    let hoard = Hoard::new(cache, byte);
    let _registration = optimizer.register("cache", 0, hoard.clone()).unwrap();
    while hoard.add(block) {
        poll(optimizer);
    }
    let work = Hoard::new(usize::MAX, byte);
    while poll(optimizer) != Level::Critical {
        assert!(work.add(block));
    }
    // At the top it stays for a while, and rises and falls within the band.
    for _ in 0..30 {
        poll(optimizer);
    }
    work.shrink(Share::NONE);
    for _ in 0..200 {
        hoard.add(block);
        poll(optimizer);
    }
    let shown = optimizer.snapshot();
    println!("end {} {} {}", shown.monitor.level, shown.shrinkers.shrunk, hoard.0.lock().unwrap().bytes);
}

/// Optimizes with `hoard` full, and tells what that freed.
fn measured(optimizer: &MemoryOptimizer, hoard: &Hoard) {
    let _registration = optimizer.register("cache", 0, hoard.clone()).unwrap();
    let before = resident();
    let freed: Freed = optimizer.optimize();
    let after = resident();
    println!("{} {} {}", before - after, freed.measured().unwrap(), freed.claimed());
    println!("trimmed {:?}", freed.trimmed);
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("levels") => levels(&optimizer(Some(200 << 20)), 60 * MIB, 2 * MIB, 1),
        // Blocks that the allocator maps alone, whatever it has learnt; nobody writes to them, since address space counts.
        Some("address-space") => levels(&optimizer(None), 600 * MIB, 40 * MIB, 0),
        Some("blocks") => {
            let hoard = Hoard::new(100 * MIB, 1);
            while hoard.add(MIB / 2) {}
            measured(&optimizer(None), &hoard);
        }
        Some("pieces") => {
            // Sizes from 16 bytes to 16 KiB, as many of each power of two; after every 64th, one of 64 bytes stays.
            let (hoard, mut rng, mut staying) = (Hoard::new(100 * MIB, 1), Rng::new(7), Vec::new());
            for n in 0_u64.. {
                let size = 16 << rng.at_most(9);
                if !hoard.add(usize::try_from(size + rng.at_most(size)).unwrap()) {
                    break;
                }
                if n % 64 == 0 {
                    staying.push(Box::new([1_u8; 64]));
                }
            }
            // Without trimming first, and then what trimming adds.
            let config = Config::DEFAULT;
            let lazy = MemoryOptimizer::builder(config).provider(alone()).trim(|| None).build().unwrap();
            measured(&lazy, &hoard);
            let before = resident();
            let trimmed = optimizer(None).optimize().trimmed;
            println!("{} {} {}", before - resident(), staying.len(), trimmed == Some(true));
        }
        _ => panic!("levels, address-space, blocks or pieces"),
    }
}
