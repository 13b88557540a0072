//! A shard behind its lock, and what those who only read it have used.
//!
//! A hit takes the lock for reading, so hits never wait for each other. What it would change, the order and the counts,
//! it notes in a list beside the lock; whoever takes the lock alone tells the shard first. The list is in the order in
//! which its places were taken, so what the shard is told is what it would have been told one by one.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use daur_core::performance::cache::{Config, Policy, Snapshot};
use daur_core::time::Instant;

use super::shard::Shard;
use super::sync::{AtomicU8, AtomicU32, RwLock, USES};

/// On cache lines of its own, in pairs as processors fetch them: all that a hit writes is on one.
#[repr(C, align(128))]
pub(super) struct Part<K, V, P: Policy> {
    lock: RwLock<Box<Shard<K, V, P>>>,
    /// Uses that change nothing but the count.
    hits: AtomicU64,
    /// How many uses were noted, with those for which there was no place left.
    noted: AtomicU32,
    /// Where in the shard's order, the first use first.
    used: [AtomicU8; USES],
    /// Look-ups that found nothing.
    misses: AtomicU64,
}

/// A use that is counted already: taken back unless it is kept, also when the caller's code panics.
struct Counted<'c>(Option<&'c AtomicU64>);

impl<'c> Counted<'c> {
    #[inline]
    fn ahead(count: Option<&'c AtomicU64>) -> Self {
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Self(count)
    }

    #[inline]
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Counted<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<K, V, P: Policy> Part<K, V, P> {
    pub(super) fn new(config: Config) -> Self {
        Self {
            lock: RwLock::new(Box::new(Shard::new(config))),
            hits: AtomicU64::new(0),
            noted: AtomicU32::new(0),
            used: std::array::from_fn(|_| AtomicU8::new(0)),
            misses: AtomicU64::new(0),
        }
    }

    /// Runs `f` on the shard, which others may read at the same time.
    ///
    /// What may panic under the lock is `Eq` and `Clone` of the caller's, and in [`alone`](Self::alone) a closure that
    /// only looks: whenever they run the shard is whole.
    #[inline]
    pub(super) fn read<R>(&self, f: impl FnOnce(&Shard<K, V, P>) -> R) -> R {
        f(&self.lock.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same for a use of the entry whose place in the order `f` says beside what else it finds. Without an error of its
    /// own there is no place left to note the use: then it is up to the caller to take the lock alone.
    #[inline]
    pub(super) fn use_of<R, E>(&self, f: impl FnOnce(&Shard<K, V, P>) -> Result<(u8, R), E>) -> Result<R, Option<E>> {
        self.read(|shard| {
            // Counted ahead where most uses are no more than counted: now the line with the lock is this thread's, and
            // at the end another's may be. Nothing here orders anything: who tells the shard, or reads the counts, has
            // the lock alone, after all who have noted something.
            let counted = Counted::ahead(Shard::<K, V, P>::MARKS.then_some(&self.hits));
            match f(shard) {
                Ok((place, found)) if shard.is_used_at(place) => {
                    counted.keep();
                    Ok(found)
                }
                Ok((place, found)) => {
                    let noted = self.noted.fetch_add(1, Ordering::Relaxed);
                    let free = self.used.get(noted as usize);
                    free.map(|used| used.store(place, Ordering::Relaxed)).map(|()| found).ok_or(None)
                }
                Err(error) => Err(Some(error)),
            }
        })
    }

    pub(super) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `f` on the shard alone, at the moment that `now` tells under the lock.
    #[inline]
    pub(super) fn alone<R>(
        &self,
        now: impl FnOnce() -> Instant,
        f: impl FnOnce(&mut Shard<K, V, P>, Instant) -> R,
    ) -> R {
        let mut shard = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        self.tell(&mut shard, now);
        f(&mut shard, now)
    }

    #[inline]
    fn tell(&self, shard: &mut Shard<K, V, P>, now: Instant) {
        let noted = self.noted.load(Ordering::Relaxed) as usize;
        if noted == 0 {
            return;
        }
        for used in self.used.iter().take(noted) {
            shard.use_at(used.load(Ordering::Relaxed), now);
        }
        self.noted.store(0, Ordering::Relaxed);
    }

    /// What the shard has done, with what only its readers know.
    pub(super) fn count(&self, snapshot: Snapshot) -> Snapshot {
        let hits = snapshot.hits + self.hits.load(Ordering::Relaxed);
        let misses = snapshot.misses + self.misses.load(Ordering::Relaxed);
        Snapshot { hits, misses, ..snapshot }
    }
}
