//! The cache of the process.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::{Config, ResultCache};
use crate::error::Error;

static GLOBAL: OnceLock<ResultCache> = OnceLock::new();

/// The cache of the process, in the file at `path`: the path of the first call counts, for those after it too.
///
/// The seed's `get_result_cache`. One with other limits is put there by [`init`] before. It is never dropped, so at the end of
/// the process [`flush`](ResultCache::flush) writes what [`set_later`](ResultCache::set_later) has queued.
///
/// # Errors
/// As [`ResultCache::open`], of the first call and of each until one has opened it.
///
/// # Example
/// ```
/// use daur_std::core::time::{Duration, UnixTime};
/// use daur_std::services::result_cache::{Stored, key, result_cache};
///
/// # let folder = std::env::temp_dir().join(format!("daur-global-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("results.db");
/// let now = UnixTime::from_secs(1_700_000_000);
/// assert_eq!(result_cache(&path)?.set(&key(["ls", "-la"]), b"files", Duration::from_secs(60), now), Stored::Yes);
/// assert_eq!(result_cache(&path)?.get(&key(["ls", "-la"]), now).as_deref(), Some(&b"files"[..]));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "get_result_cache")]
pub fn result_cache(path: impl AsRef<Path>) -> Result<&'static ResultCache, Error> {
    static OPENING: Mutex<()> = Mutex::new(());
    if let Some(cache) = GLOBAL.get() {
        return Ok(cache);
    }
    // One opens it, the others wait: two caches on one file would hold up each other.
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cache) = GLOBAL.get() {
        return Ok(cache);
    }
    let cache = ResultCache::open(path, Config::DEFAULT)?;
    Ok(GLOBAL.get_or_init(|| cache))
}

/// Makes `cache` the one that [`result_cache`] gives.
///
/// # Errors
/// Gives `cache` back if there is one already.
#[allow(clippy::result_large_err, reason = "it is given back, once in a process; without `tokio` it is small")]
pub fn init(cache: ResultCache) -> Result<(), ResultCache> {
    GLOBAL.set(cache)
}
