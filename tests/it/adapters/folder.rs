//! Where a test keeps the files of what it tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of its own inside `target`, removed at the end.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    kind: &'static str,
}

impl Folder {
    /// One for tests of this kind, of which no two at the same time have the same name.
    pub(crate) fn new(kind: &'static str, name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{kind}-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self { path, kind }
    }

    /// The database that it is for.
    pub(crate) fn file(&self) -> PathBuf {
        self.path.join(format!("{}.db", self.kind))
    }

    /// How many databases are in quarantine.
    pub(crate) fn quarantined(&self) -> usize {
        let names = fs::read_dir(&self.path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".quarantine-") && !name.ends_with("-wal") && !name.ends_with("-shm")).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
