//! Whether anybody has written to a database: asked with every request.

use std::path::Path;

use rusqlite::Connection;

use super::data_version;

/// Both copies of the header of a write-ahead log's index, as SQLite's file format lays it out: each commit changes it.
const HEADER: usize = 96;

/// What a database was like at one moment: as long as it is this, nobody has written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The header of its log's index.
    Header([u8; HEADER]),
    /// What SQLite says of other connections; what this one writes does not change it.
    Data(i64),
}

/// Looks at a database.
///
/// SQLite itself takes a lock on the file and gives it back, two calls of the system. This reads the index's header, which is
/// what SQLite does in between: one call. Where there is no index, or it is just being written, SQLite is asked.
pub(super) struct Watch {
    #[cfg(unix)]
    index: Option<std::sync::Arc<std::fs::File>>,
}

impl Watch {
    /// Watches the database at `path`, which is open and in use.
    pub(super) fn new(path: &Path) -> Self {
        #[cfg(not(unix))]
        let _ = path;
        Self {
            #[cfg(unix)]
            index: index::open(&crate::sqlite::beside(path, "-shm")).ok(),
        }
    }

    pub(super) fn version(&self, db: &Connection) -> rusqlite::Result<Version> {
        #[cfg(unix)]
        if let Some(header) = self.index.as_deref().and_then(index::header) {
            return Ok(Version::Header(header));
        }
        data_version(db).map(Version::Data)
    }
}

#[cfg(unix)]
mod index {
    use std::collections::HashMap;
    use std::collections::hash_map::Entry;
    use std::fs::File;
    use std::io;
    use std::mem::ManuallyDrop;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::Path;
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};

    use super::HEADER;

    /// Where the header says that the index is in use.
    const IN_USE: usize = 12;

    type Files = HashMap<(u64, u64), Arc<File>>;

    /// Every index that this process looks at, by device and number. None is closed while it has a name: that would give back
    /// the locks that SQLite holds on the same file. SQLite removes it with its last connection.
    static OPEN: LazyLock<Mutex<Files>> = LazyLock::new(Mutex::default);

    pub(super) fn open(path: &Path) -> io::Result<Arc<File>> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let named = std::fs::metadata(path)?;
        if let Some(known) = open.get(&(named.dev(), named.ino())) {
            return Ok(Arc::clone(known));
        }
        open.retain(|_, file| Arc::strong_count(file) > 1 || !file.metadata().is_ok_and(|found| found.nlink() == 0));
        let file = ManuallyDrop::new(File::open(path)?);
        let found = file.metadata()?;
        Ok(match open.entry((found.dev(), found.ino())) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(ManuallyDrop::into_inner(file)))),
        })
    }

    pub(super) fn header(index: &File) -> Option<[u8; HEADER]> {
        let mut header = [0; HEADER];
        index.read_exact_at(&mut header, 0).ok()?;
        let (first, second) = header.split_at(HEADER / 2);
        (first == second && first[IN_USE] != 0).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{open, test_dir};

    #[test]
    fn what_any_connection_writes_changes_the_version_and_nothing_else_does() {
        let dir = test_dir("watch");
        let path = dir.path().join("daur.db");
        let (one, two) = (open(&path).unwrap(), open(&path).unwrap());
        one.execute_batch("CREATE TABLE t (x)").unwrap();
        let watch = Watch::new(&path);
        let version = || watch.version(&one).unwrap();
        assert!(cfg!(not(unix)) || matches!(version(), Version::Header(_)));
        for n in 0..50 {
            let before = version();
            for db in [&one, &two] {
                let count: i64 = db.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
                assert_eq!(count, n);
            }
            assert_eq!(version(), before);
            // Also from an empty log, and from one that goes on.
            if n % 7 == 0 {
                two.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            }
            let before = version();
            let writer = if n % 2 == 0 { &one } else { &two };
            writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
            assert_eq!(version(), before, "it is not committed yet");
            writer.execute_batch("COMMIT").unwrap();
            assert!(version() != before || (n % 2 == 0 && cfg!(not(unix))), "{n}");
        }
    }

    #[test]
    fn a_database_without_a_log_is_asked_itself() {
        let dir = test_dir("watch-none");
        let path = dir.path().join("plain.db");
        let (one, two) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
        one.execute_batch("CREATE TABLE t (x)").unwrap();
        let watch = Watch::new(&path);
        let before = watch.version(&one).unwrap();
        assert!(matches!(before, Version::Data(_)));
        two.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert_ne!(watch.version(&one).unwrap(), before);
    }
}
