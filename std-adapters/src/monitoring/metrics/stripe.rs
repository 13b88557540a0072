//! What one thread has recorded into one histogram.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use daur_core::monitoring::histogram::grid;

use super::distribution::{Count, Distribution};
use super::sync::{Seq, Word};

/// From 2^-32 to 2^64, in chunks of four octaves, made when one of their buckets is first counted.
const CHUNKS: usize = 24;
const OCTAVES: usize = 4;
const STEPS: usize = 32;
/// The first bucket's index.
const FIRST: i32 = -32 * 32;
/// The greatest value that counts as zero, as bits.
const ZERO: u64 = (1023 - 32) << 52;
/// The bits of a float's fraction.
const FRACTION: u64 = (1 << 52) - 1;
/// Where the sum of an octave's fractions stops, long before it would wrap.
const FULL: u128 = 1 << 127;
/// The bits of a NaN, below which there is no value.
const NOTHING: u64 = u64::MAX;
/// How often a reader tries before it asks the writer to wait.
const TRIES: u32 = 32;

/// One writer, any readers; a value is one record or none of it.
#[derive(Debug)]
pub(super) struct Stripe {
    seq: Seq<AtomicU64>,
    /// A reader asks the writer to wait at the gate.
    wait: AtomicBool,
    /// The bits of the least value, and how far those of the greatest are above: one comparison for both. Bits of floats
    /// that are not negative are ordered as the floats are.
    low: AtomicU64,
    span: AtomicU64,
    chunks: [OnceLock<Box<Chunk>>; CHUNKS],
    outside: Outside,
    gate: Mutex<()>,
}

/// The values of four octaves, each of which begins above a power of two and ends with the next.
#[derive(Debug)]
struct Chunk {
    cells: [[AtomicU64; STEPS]; OCTAVES],
    /// The sum of what the fractions are above the least, in 128 bits: with the counts it gives the sum of the values, exactly.
    lower: [AtomicU64; OCTAVES],
    upper: [AtomicU64; OCTAVES],
}

/// The values that have no bucket.
#[derive(Debug, Default)]
struct Outside {
    zeros: AtomicU64,
    above: AtomicU64,
    /// Their sum, and what its additions have cut off: floats as bits.
    sum: AtomicU64,
    lost: AtomicU64,
}

impl Default for Stripe {
    fn default() -> Self {
        Self {
            seq: Seq::default(),
            wait: AtomicBool::new(false),
            low: AtomicU64::new(NOTHING),
            span: AtomicU64::new(0),
            chunks: [const { OnceLock::new() }; CHUNKS],
            outside: Outside::default(),
            gate: Mutex::new(()),
        }
    }
}

/// Where a value is counted.
#[derive(Clone, Copy)]
struct Place {
    chunk: usize,
    octave: usize,
    step: usize,
    /// The fraction above the least that there is in this octave.
    fraction: u64,
}

impl Place {
    /// The chunk does not exist if the value is none above [`ZERO`] up to 2^64.
    #[inline]
    fn of(bits: u64) -> Self {
        let above = bits.wrapping_sub(ZERO + 1);
        Self {
            chunk: (above >> 54) as usize,
            octave: (above >> 52 & 3) as usize,
            step: grid::step_of(bits) as usize % STEPS,
            fraction: above & FRACTION,
        }
    }
}

impl Stripe {
    /// Counts `value` by its one writer; `false` if it is negative or not finite, and nothing has changed.
    #[inline]
    pub(super) fn record(&self, value: f64) -> bool {
        let bits = value.to_bits();
        let place = Place::of(bits);
        match self.chunks.get(place.chunk).and_then(OnceLock::get) {
            Some(chunk) => {
                self.write(bits, || chunk.count(place));
                true
            }
            None => self.record_many(value, 1),
        }
    }

    /// Counts `value` `times`.
    #[cold]
    #[inline(never)]
    pub(super) fn record_many(&self, value: f64, times: u64) -> bool {
        if !(value >= 0.0 && value.is_finite()) {
            return false;
        }
        let value = value.abs(); // -0.0 is 0
        let place = Place::of(value.to_bits());
        match self.chunks.get(place.chunk) {
            Some(chunk) => {
                let chunk = chunk.get_or_init(Box::default);
                self.write(value.to_bits(), || chunk.count_many(place, times));
            }
            None => self.write(value.to_bits(), || self.outside.count(value, times)),
        }
        true
    }

    /// Runs `count`, which counts the value of these bits: readers see all of it or nothing.
    #[inline]
    fn write(&self, bits: u64, count: impl FnOnce()) {
        if self.wait.load(Ordering::Relaxed) {
            self.pass();
        }
        self.seq.write(|| {
            count();
            if bits.wrapping_sub(self.low.get()) > self.span.get() {
                self.widen(bits);
            }
        });
    }

    /// Takes a value in that is not between the least and the greatest.
    #[cold]
    #[inline(never)]
    fn widen(&self, bits: u64) {
        let old = self.low.get();
        let high = if old == NOTHING { bits } else { old.wrapping_add(self.span.get()).max(bits) };
        let low = old.min(bits);
        self.low.put(low);
        self.span.put(high.wrapping_sub(low));
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
        let (zeros, above) = (self.outside.zeros.get(), self.outside.above.get());
        let mut sum = (f64::from_bits(self.outside.sum.get()), f64::from_bits(self.outside.lost.get()));
        let (mut buckets, mut full) = (Vec::new(), false);
        for (chunk, octave) in self.chunks.iter().zip((FIRST / 32..).step_by(OCTAVES)) {
            if let Some(chunk) = chunk.get() {
                full |= chunk.copy(octave, &mut buckets, &mut sum);
            }
        }
        let count = buckets.iter().map(|bucket| bucket.count).fold(zeros.saturating_add(above), u64::saturating_add);
        let low = self.low.get();
        let limits = (count > 0).then(|| (low, low.wrapping_add(self.span.get())));
        // A sum that has not stayed below the greatest float is at its end, which is the mark that it is there.
        let whole = sum.0 < f64::MAX;
        Distribution {
            count,
            sum: if whole { sum.0 + sum.1 } else { f64::MAX },
            min: limits.map(|(min, _)| f64::from_bits(min)),
            max: limits.map(|(_, max)| f64::from_bits(max)),
            zeros,
            buckets,
            above,
            saturated: full || count == u64::MAX || !whole,
        }
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            cells: [const { [const { AtomicU64::new(0) }; STEPS] }; OCTAVES],
            lower: [const { AtomicU64::new(0) }; OCTAVES],
            upper: [const { AtomicU64::new(0) }; OCTAVES],
        }
    }
}

impl Chunk {
    #[inline]
    fn count(&self, Place { octave, step, fraction, .. }: Place) {
        let cell = &self.cells[octave % OCTAVES][step % STEPS];
        cell.put(cell.get().saturating_add(1));
        let lower = &self.lower[octave % OCTAVES];
        match lower.get().checked_add(fraction) {
            Some(sum) => lower.put(sum),
            None => self.carry(octave, fraction),
        }
    }

    /// Once in 4,096 records or more.
    #[cold]
    #[inline(never)]
    fn carry(&self, octave: usize, fraction: u64) {
        let (lower, upper) = (&self.lower[octave % OCTAVES], &self.upper[octave % OCTAVES]);
        lower.put(lower.get().wrapping_add(fraction));
        upper.put(upper.get().wrapping_add(1));
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves")]
    fn count_many(&self, Place { octave, step, fraction, .. }: Place, times: u64) {
        let cell = &self.cells[octave % OCTAVES][step % STEPS];
        cell.put(cell.get().saturating_add(times));
        let before = self.fractions(octave);
        let more = u128::from(fraction).wrapping_mul(times.into()); // 52 bits by 64
        let sum = before.saturating_add(more).min(FULL.max(before));
        self.lower[octave % OCTAVES].put(sum as u64);
        self.upper[octave % OCTAVES].put((sum >> 64) as u64);
    }

    fn fractions(&self, octave: usize) -> u128 {
        u128::from(self.upper[octave % OCTAVES].get()) << 64 | u128::from(self.lower[octave % OCTAVES].get())
    }

    /// Appends the buckets and adds the values, if the first octave is this one; whether a sum is at its end.
    fn copy(&self, first: i32, buckets: &mut Vec<Count>, sum: &mut (f64, f64)) -> bool {
        let mut full = false;
        for (n, octave) in (first..).take(OCTAVES).enumerate() {
            let cells = (octave * 32..).zip(self.cells[n % OCTAVES].iter().map(Word::get));
            let before = buckets.len();
            buckets.extend(cells.filter(|(_, count)| *count > 0).map(|(index, count)| Count { index, count }));
            let count: u128 = buckets.iter().skip(before).map(|bucket| u128::from(bucket.count)).sum();
            let fractions = self.fractions(n);
            full |= fractions >= FULL;
            // Each value is its fraction and the bit before it, and the least fraction is 1. So many have room.
            let values = fractions.saturating_add(count.wrapping_mul(u128::from(FRACTION + 2)));
            for word in (0..4).rev().filter(|_| count > 0) {
                let unit = f64::from_bits(u64::from((1023 - 52 + octave + 32 * word).unsigned_abs()) << 52);
                let (next, lost) = add(sum.0, f64::from((values >> (32 * word)) as u32) * unit);
                *sum = (next, sum.1 + lost);
            }
        }
        full
    }
}

impl Outside {
    #[expect(clippy::cast_precision_loss, reason = "one, or as many as a float can tell")]
    fn count(&self, value: f64, times: u64) {
        let cell = if value > 1.0 { &self.above } else { &self.zeros };
        cell.put(cell.get().saturating_add(times));
        let (sum, lost) = add(f64::from_bits(self.sum.get()), value * times as f64);
        if sum < f64::INFINITY {
            self.sum.put(sum.to_bits());
            self.lost.put((f64::from_bits(self.lost.get()) + lost).to_bits());
        } else {
            self.sum.put(f64::MAX.to_bits());
        }
    }
}

/// `a + b`, and what that has cut off (Dekker): neither is negative.
fn add(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let (more, less) = if a < b { (b, a) } else { (a, b) };
    (sum, less - (sum - more))
}
