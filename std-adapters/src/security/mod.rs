//! The gate of a service; its keys, users, sessions and audit chain on a host's disk; passwords on its blocking pool;
//! files from outside below one directory.

pub mod audit;
pub mod keys;
pub mod manager;
#[cfg(feature = "tokio")]
pub mod password;
#[cfg(feature = "cap-std")]
pub mod path;
#[cfg(feature = "toml")]
pub mod policy;
#[cfg(feature = "sqlite")]
pub mod revoked;
pub mod ring;
#[cfg(feature = "sqlite")]
pub mod schema;
#[cfg(feature = "sqlite")]
pub mod sessions;
#[cfg(feature = "sqlite")]
pub mod users;

pub use manager::security_manager;

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

/// A number that changes when another connection, of whichever process, has written to the file.
#[cfg(feature = "sqlite")]
fn data_version(db: &rusqlite::Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

#[cfg(feature = "sqlite")]
mod watch;

/// A directory of one test, removed at its end.
#[cfg(test)]
pub(crate) struct TestDir(std::path::PathBuf);

#[cfg(test)]
pub(crate) fn test_dir(name: &str) -> TestDir {
    let number = u64::from_ne_bytes(keys::random().expect("random bytes"));
    // Beside the test's own program, below `target`: tests write nowhere else.
    let program = std::env::current_exe().expect("the test's program");
    let path = program.with_file_name(format!("daur-{name}-{number:016x}"));
    std::fs::create_dir_all(&path).expect("a directory for the test");
    TestDir(path)
}

#[cfg(test)]
impl TestDir {
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
