//! What one thread has recorded into one histogram.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use daur_core::monitoring::histogram::grid;

use super::distribution::{Count, Distribution};
use super::sync::{Seq, Word};

/// Buckets of scale 5 below 1.
const BELOW_ONE: i32 = 32 * 32;
/// Buckets of a chunk, which is made when one of them is first counted: four octaves.
const CHUNK: usize = 128;
/// From 2^-32 to 2^64.
const CHUNKS: usize = 24;
/// The greatest value that counts as zero, and the greatest that has a bucket, as bits.
const ZERO: u64 = (1023 - 32) << 52;
const TOP: u64 = (1023 + 64) << 52;
/// How often a reader tries before it asks the writer to wait.
const TRIES: u32 = 32;

/// One writer, any readers; a value is one record or none of it.
#[derive(Debug)]
pub(super) struct Stripe {
    seq: Seq<AtomicU64>,
    /// A reader asks the writer to wait at the gate.
    wait: AtomicBool,
    /// The sum, and what its additions have cut off (Knuth's TwoSum): floats as bits.
    sum: AtomicU64,
    lost: AtomicU64,
    /// Bits of floats that are not negative are ordered as the floats are.
    min: AtomicU64,
    max: AtomicU64,
    zeros: AtomicU64,
    above: AtomicU64,
    chunks: [OnceLock<Box<[AtomicU64; CHUNK]>>; CHUNKS],
    gate: Mutex<()>,
}

impl Default for Stripe {
    fn default() -> Self {
        Self {
            seq: Seq::default(),
            wait: AtomicBool::new(false),
            sum: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            zeros: AtomicU64::new(0),
            above: AtomicU64::new(0),
            chunks: [const { OnceLock::new() }; CHUNKS],
            gate: Mutex::new(()),
        }
    }
}

impl Stripe {
    /// Counts `value` by its one writer; `false` if it is negative or not finite, and nothing has changed.
    #[inline]
    pub(super) fn record(&self, value: f64) -> bool {
        let bits = value.to_bits();
        if bits.wrapping_sub(ZERO + 1) < TOP - ZERO {
            let place = grid::index_of(value).unwrap_or(0).wrapping_add(BELOW_ONE).cast_unsigned() as usize;
            if let Some(chunk) = self.chunks.get(place / CHUNK).and_then(OnceLock::get) {
                self.count(&chunk[place % CHUNK], value, 1);
                return true;
            }
        }
        self.record_many(value, 1)
    }

    /// Counts `value` `times`.
    #[cold]
    #[inline(never)]
    pub(super) fn record_many(&self, value: f64, times: u64) -> bool {
        if !(value >= 0.0 && value.is_finite()) {
            return false;
        }
        let value = value.abs(); // -0.0 is 0
        let bits = value.to_bits();
        if bits <= ZERO {
            self.count(&self.zeros, value, times);
        } else if bits > TOP {
            self.count(&self.above, value, times);
        } else {
            let place = grid::index_of(value).unwrap_or(0).wrapping_add(BELOW_ONE).cast_unsigned() as usize;
            if let Some(chunk) = self.chunks.get(place / CHUNK) {
                let chunk = chunk.get_or_init(|| Box::new([const { AtomicU64::new(0) }; CHUNK]));
                self.count(&chunk[place % CHUNK], value, times);
            }
        }
        true
    }

    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "one, or as many as a float can tell")]
    fn count(&self, cell: &AtomicU64, value: f64, times: u64) {
        if self.wait.load(Ordering::Relaxed) {
            self.pass();
        }
        let bits = value.to_bits();
        let added = if times == 1 { value } else { value * times as f64 };
        self.seq.write(|| {
            cell.put(cell.get().saturating_add(times));
            let before = f64::from_bits(self.sum.get());
            let sum = before + added;
            if sum < f64::INFINITY {
                let taken = sum - before;
                let lost = (before - (sum - taken)) + (added - taken);
                self.sum.put(sum.to_bits());
                self.lost.put((f64::from_bits(self.lost.get()) + lost).to_bits());
            } else {
                // At its end, which is the mark that it is there.
                self.sum.put(f64::MAX.to_bits());
            }
            if bits < self.min.get() {
                self.min.put(bits);
            }
            if bits > self.max.get() {
                self.max.put(bits);
            }
        });
    }

    /// Waits until a reader is through.
    #[cold]
    #[inline(never)]
    fn pass(&self) {
        drop(self.gate.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts for a thread that shares this stripe with others.
    pub(super) fn record_shared(&self, value: f64, times: u64) -> bool {
        // Not through `count`'s gate, which is ours now: readers of a shared stripe hold it too.
        let _alone = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.record_many(value, times)
    }

    /// What has been recorded so far.
    pub(super) fn read(&self, shared: bool) -> Distribution {
        if shared {
            let _alone = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            return self.copy();
        }
        if let Some(whole) = (0..TRIES).find_map(|_| self.seq.read(|| self.copy())) {
            return whole;
        }
        let _alone = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.wait.store(true, Ordering::Relaxed);
        // The writer finishes the record that it is in, and waits before the next.
        let whole = loop {
            if let Some(whole) = self.seq.read(|| self.copy()) {
                break whole;
            }
            thread::yield_now();
        };
        self.wait.store(false, Ordering::Relaxed);
        whole
    }

    /// All cells as they are at the moment, maybe in the midst of a record.
    fn copy(&self) -> Distribution {
        let mut buckets = Vec::new();
        for (chunk, first) in self.chunks.iter().zip((-BELOW_ONE..).step_by(CHUNK)) {
            let cells = chunk.get().into_iter().flat_map(|cells| cells.iter());
            let counts = (first..).zip(cells.map(Word::get)).filter(|(_, count)| *count > 0);
            buckets.extend(counts.map(|(index, count)| Count { index, count }));
        }
        let (zeros, above) = (self.zeros.get(), self.above.get());
        let count = buckets.iter().map(|bucket| bucket.count).fold(zeros.saturating_add(above), u64::saturating_add);
        let limits = (count > 0).then(|| (f64::from_bits(self.min.get()), f64::from_bits(self.max.get())));
        let sum = f64::from_bits(self.sum.get());
        Distribution {
            count,
            sum: sum + f64::from_bits(self.lost.get()),
            min: limits.map(|(min, _)| min),
            max: limits.map(|(_, max)| max),
            zeros,
            buckets,
            above,
            saturated: count == u64::MAX || sum == f64::MAX,
        }
    }
}
