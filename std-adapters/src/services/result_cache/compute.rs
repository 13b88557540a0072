//! A value that is computed once for all who ask.

use std::sync::PoisonError;

use daur_core::time::{Duration, WallClock};

use super::read::Found;
use super::{Answer, Computed, ResultCache, Source, stats::count};

impl ResultCache {
    /// The entry of `key`, or what `compute` gives, which is kept for `ttl`.
    ///
    /// Callers who ask for the same key meanwhile wait and share the value, if it is one to keep.
    /// Asking for the same key from inside `compute` never returns.
    ///
    /// # Errors
    /// What `compute` fails with; it is not kept, and the next caller computes.
    pub fn get_or_compute<E>(
        &self,
        key: &[u8],
        ttl: Duration,
        wall: &impl WallClock,
        compute: impl FnOnce() -> Result<Computed, E>,
    ) -> Result<Answer, E> {
        if let Some(value) = wall.unix_now().and_then(|now| self.get(key, now)) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let ticket = self.flights.join(key);
        // A leader that panicked has left nothing: the next one computes.
        let mut slot = ticket.lock().map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(value) = slot.as_deref().and_then(Option::as_ref) {
            count(&self.inner.stats.shared);
            return Ok(Answer { value: value.clone(), source: Source::Shared });
        }
        if let Some(value) = self.look_again(key, wall) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let value = match compute()? {
            Computed::Pass(value) => value,
            Computed::Keep(value) => {
                if let Some(now) = wall.unix_now() {
                    // If it was skipped, that has been counted.
                    let _ = self.set(key, &value, ttl, now);
                }
                if let Some(slot) = slot.as_deref_mut() {
                    *slot = Some(value.clone());
                }
                ticket.close();
                value
            }
        };
        Ok(Answer { value, source: Source::Computed })
    }

    /// As [`get_or_compute`](Self::get_or_compute), for futures. If the computing caller is
    /// cancelled, the next one computes.
    ///
    /// # Errors
    /// What the future fails with; it is not kept, and the next caller computes.
    #[cfg(feature = "tokio")]
    pub async fn get_or_compute_async<E, F>(
        &self,
        key: &[u8],
        ttl: Duration,
        wall: &impl WallClock,
        compute: impl FnOnce() -> F,
    ) -> Result<Answer, E>
    where
        F: Future<Output = Result<Computed, E>>,
    {
        if let Some(value) = wall.unix_now().and_then(|now| self.get(key, now)) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let ticket = self.async_flights.join(key);
        let mut slot = match ticket.lock() {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        if let Some(value) = slot.as_deref().and_then(Option::as_ref) {
            count(&self.inner.stats.shared);
            return Ok(Answer { value: value.clone(), source: Source::Shared });
        }
        if let Some(value) = self.look_again(key, wall) {
            return Ok(Answer { value, source: Source::Cache });
        }
        let value = match compute().await? {
            Computed::Pass(value) => value,
            Computed::Keep(value) => {
                if let Some(now) = wall.unix_now() {
                    // If it was skipped, that has been counted.
                    let _ = self.set_async(key, &value, ttl, now).await;
                }
                if let Some(slot) = slot.as_deref_mut() {
                    *slot = Some(value.clone());
                }
                ticket.close();
                value
            }
        };
        Ok(Answer { value, source: Source::Computed })
    }

    /// Looks once more, as the one who is about to compute: between the first look and joining,
    /// another may have stored the value and left. The miss has been counted.
    fn look_again(&self, key: &[u8], wall: &impl WallClock) -> Option<Vec<u8>> {
        let now = wall.unix_now()?;
        match self.inner.look_up(key, now) {
            Ok(Found::Fresh(value, _)) => {
                count(&self.inner.stats.hits);
                Some(value)
            }
            _ => None,
        }
    }
}
