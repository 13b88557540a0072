//! Keys, users and the audit chain on a host's disk.

#[cfg(feature = "sqlite")]
pub mod audit;
pub mod keys;
#[cfg(feature = "sqlite")]
pub mod users;

/// Opens a database that several connections share: WAL, and a wait where another writes.
#[cfg(feature = "sqlite")]
fn open(path: &std::path::Path) -> rusqlite::Result<rusqlite::Connection> {
    let db = rusqlite::Connection::open(path)?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // What is acknowledged here must be there after a power cut: users and audit, not a cache.
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(db)
}
