//! What all our files in SQLite have in common: how they are opened, their faults, their quarantine.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use daur_core::time::Duration;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4_096;
/// Damaged databases that are kept beside the live one.
const QUARANTINES: usize = 3;

/// What a fault asks of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The file is damaged: put it into quarantine.
    Damaged,
    /// Another process holds the lock.
    Busy,
    /// There is no room.
    Full,
    /// A good database that is not ours: leave it alone.
    Foreign,
    /// Anything else: open the file again.
    Other,
}

impl Fault {
    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        let error = match error {
            rusqlite::Error::SqliteFailure(error, _) => error,
            // Our statements are right, so it is the schema or a row that is wrong.
            _ => return Self::Damaged,
        };
        match (error.code, error.extended_code) {
            // `Unknown` is "no such table"; 522 is a read past the file's end.
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown, _)
            | (ErrorCode::SystemIoFailure, 522) => Self::Damaged,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy,
            // 4874: no room for the index of the log.
            (ErrorCode::DiskFull, _) | (ErrorCode::SystemIoFailure, 4874) => Self::Full,
            _ => Self::Other,
        }
    }
}

/// What tells one kind of our files from others, and what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Four letters, in the file's header.
    pub(crate) application: i64,
    pub(crate) version: i64,
    /// Creates the tables, where they are not there.
    pub(crate) create: &'static str,
    /// Drops the tables of another version.
    pub(crate) discard: &'static str,
}

/// Which files are open, so that a deleted or replaced one is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    database: Option<(u64, u64)>,
    wal: Option<(u64, u64)>,
}

impl Identity {
    pub(crate) fn of(path: &Path) -> Self {
        Self { database: file_identity(path), wal: file_identity(&beside(path, "-wal")) }
    }

    /// Whether the open files are still the ones that `path` names.
    pub(crate) fn is_in_place(&mut self, path: &Path) -> bool {
        let present = Self::of(path);
        // The log appears with the first write.
        if self.wal.is_none() && present.database == self.database {
            *self = present;
        }
        present.database.is_some() && present == *self
    }
}

impl Identity {
    /// Removes the log that a closed database has left beside another one in its place: SQLite would apply it to that one.
    pub(crate) fn remove_log(self, path: &Path) {
        let log = beside(path, "-wal");
        if self.database != file_identity(path) && self.wal.is_some() && self.wal == file_identity(&log) {
            for file in [log, beside(path, "-shm")] {
                // If this fails, there is nothing more to be done about it.
                let _ = fs::remove_file(file);
            }
        }
    }
}

#[cfg(unix)]
fn file_identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

#[cfg(not(unix))]
fn file_identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|_| (0, 0))
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens or creates the database for its one writer, and makes it ready for readers; sorts the refusals.
pub(crate) fn open(
    path: &Path,
    format: &Format,
    busy_timeout: Duration,
    max_bytes: u64,
) -> Result<Connection, (Fault, rusqlite::Error)> {
    if fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() == 0) {
        // SQLite would take it for a new database and apply a log left beside it.
        quarantine(path).map_err(|error| (Fault::Other, rusqlite::Error::ToSqlConversionFailure(error.into())))?;
    }
    connect(path, format, busy_timeout, max_bytes).map_err(|error| match error {
        rusqlite::Error::InvalidPath(_) => (Fault::Foreign, error),
        error => (Fault::of(&error), error),
    })
}

fn connect(
    path: &Path,
    format: &Format,
    busy_timeout: Duration,
    max_bytes: u64,
) -> Result<Connection, rusqlite::Error> {
    create_private(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout.into())?;
    let ours = is_ours(&connection, format)?;
    if ours == Some(false) {
        return Err(rusqlite::Error::InvalidPath(PathBuf::from("a database of another program")));
    }
    if connection.is_readonly(MAIN_DB)? && fs::OpenOptions::new().write(true).open(path).is_ok() {
        // Its header says that a later SQLite has written it.
        return Err(rusqlite::Error::InvalidQuery);
    }
    // In this order: vacuuming is chosen before the first table, the journal before any reader.
    connection.pragma_update(None, "page_size", PAGE.cast_signed())?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    if ours.is_none() {
        connection.pragma_update(None, "application_id", format.application)?;
    }
    connection.pragma_update_and_check(None, "journal_size_limit", 4 << 20, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -2_048)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != format.version {
        // What another version has kept is worth nothing to this one.
        connection.execute_batch(format.discard)?;
        connection.pragma_update(None, "user_version", format.version)?;
    }
    connection.execute_batch(format.create)?;
    // SQLite does not go below the pages that are in use.
    let pages = max_bytes / PAGE;
    connection.pragma_update_and_check(None, "max_page_count", pages.cast_signed(), |_| Ok(()))?;
    Ok(connection)
}

/// `None` for a database with nothing in it yet. One with our table that does not say that it is ours is damaged.
fn is_ours(connection: &Connection, format: &Format) -> Result<Option<bool>, rusqlite::Error> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == format.application {
        return Ok(Some(true));
    }
    let mut objects = 0;
    let mut names = connection.prepare("SELECT name FROM sqlite_schema")?;
    let mut rows = names.query([])?;
    while let Some(row) = rows.next()? {
        objects += 1;
        let name: String = row.get(0)?;
        // Nobody else has a table of such a name.
        if name.starts_with("daur_") && format.create.contains(&format!("EXISTS {name} (")) {
            return Err(rusqlite::Error::InvalidQuery);
        }
    }
    Ok((objects > 0).then_some(false))
}

/// Whether the file is a readable database of another program.
pub(crate) fn is_foreign(path: &Path, format: &Format) -> bool {
    let look = || -> Result<bool, rusqlite::Error> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(is_ours(&connection, format)? == Some(false))
    };
    look().unwrap_or(false)
}

/// Pages in use; free pages inside the file are not counted.
pub(crate) fn used_pages(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let pages = page_figure(connection, "PRAGMA page_count")?;
    Ok(pages.saturating_sub(page_figure(connection, "PRAGMA freelist_count")?))
}

fn page_figure(connection: &Connection, pragma: &str) -> Result<u64, rusqlite::Error> {
    connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Gives up to `pages` free pages back to the file system.
pub(crate) fn shrink(connection: &Connection, pages: u64) -> Result<(), rusqlite::Error> {
    let free = page_figure(connection, "PRAGMA freelist_count")?.min(pages);
    if free == 0 {
        return Ok(());
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({free})"))?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// A file may hold what only its owner may read. SQLite gives its log the same rights.
fn create_private(path: &Path) {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // If this fails, the file is there already or SQLite says what is wrong.
    let _ = options.open(path);
}

/// Renames the database and what belongs to it, so that a new one can take its place. Keeps the
/// newest few.
pub(crate) fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let target = beside(path, &format!(".quarantine-{stamp:020}"));
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(beside(path, suffix), beside(&target, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut kept = quarantined(path);
    kept.sort();
    for old in kept.iter().rev().skip(QUARANTINES) {
        for suffix in ["-wal", "-shm", ""] {
            let _ = fs::remove_file(beside(old, suffix));
        }
    }
    Ok(target)
}

/// The damaged databases beside `path`.
fn quarantined(path: &Path) -> Vec<PathBuf> {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(".quarantine-");
    let prefix = prefix.into_encoded_bytes();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name().into_encoded_bytes();
        name.strip_prefix(prefix.as_slice()).is_some_and(|rest| rest.iter().all(u8::is_ascii_digit))
    });
    ours.map(|entry| entry.path()).collect()
}

/// An open file of one kind, with what its statements need.
pub(crate) trait Store: Sized {
    /// How it is opened.
    type Config;
    const FORMAT: Format;
    fn open(path: &Path, config: &Self::Config) -> Result<Self, (Fault, rusqlite::Error)>;
    /// Whether the open files are still the ones that `path` names.
    fn is_in_place(&mut self, path: &Path) -> bool;
    /// Which files they are.
    fn identity(&self) -> Identity;
}

/// What became of a kept file.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) faults: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) reopened: AtomicU64,
    pub(crate) up: AtomicBool,
}

/// Keeps a file open for its one thread: a damaged one goes into quarantine, a deleted one is made anew.
pub(crate) struct Keeper<S: Store> {
    path: PathBuf,
    config: S::Config,
    store: Option<S>,
    faults: Arc<Faults>,
}

impl<S: Store> Keeper<S> {
    pub(crate) fn new(path: PathBuf, config: S::Config, faults: Arc<Faults>) -> Self {
        Self { path, config, store: None, faults }
    }

    /// Opens the file; if it is damaged, a new one in its place.
    pub(crate) fn open(&mut self) -> Result<(), (Fault, rusqlite::Error)> {
        let opened = S::open(&self.path, &self.config).or_else(|(fault, error)| {
            if fault != Fault::Damaged {
                return Err((fault, error));
            }
            self.put_aside();
            S::open(&self.path, &self.config)
        });
        let opened = opened.map(|store| self.store = Some(store));
        self.faults.faults.fetch_add(u64::from(opened.is_err()), Relaxed);
        self.faults.up.store(self.store.is_some(), Relaxed);
        opened
    }

    pub(crate) fn store(&self) -> Option<&S> {
        self.store.as_ref()
    }

    /// Does `work`; after damage once more on a new file.
    pub(crate) fn attempt<R>(&mut self, work: impl Fn(&mut S) -> Result<R, rusqlite::Error>) -> Option<R> {
        for _ in 0..2 {
            let error = match work(self.store.as_mut()?) {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            self.faults.faults.fetch_add(1, Relaxed);
            match Fault::of(&error) {
                Fault::Busy | Fault::Full | Fault::Foreign => return None,
                fault @ (Fault::Damaged | Fault::Other) => self.recover(fault),
            }
        }
        None
    }

    /// Opens the file again if somebody has deleted or replaced it, or if it could not be opened.
    pub(crate) fn check_place(&mut self) {
        let in_place = self.store.as_mut().is_some_and(|store| store.is_in_place(&self.path));
        if !in_place {
            self.recover(Fault::Other);
        }
    }

    /// Closes the file, puts it aside if it is damaged, and opens what is there.
    fn recover(&mut self, fault: Fault) {
        if let Some(store) = self.store.take() {
            let identity = store.identity();
            drop(store);
            identity.remove_log(&self.path);
        }
        // It cannot tell damage from a database that somebody else has put there.
        if fault == Fault::Damaged && !is_foreign(&self.path, &S::FORMAT) {
            self.put_aside();
        }
        if self.open().is_ok() {
            self.faults.reopened.fetch_add(1, Relaxed);
        }
    }

    fn put_aside(&self) {
        match quarantine(&self.path) {
            Ok(_) => self.faults.quarantined.fetch_add(1, Relaxed),
            Err(_) => self.faults.faults.fetch_add(1, Relaxed),
        };
    }
}

/// What became of what was handed in to be written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) written: u64,
    pub(crate) waiting: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
}

impl Counts {
    /// All of it.
    pub(crate) fn sum(&self) -> u64 {
        let Self { written, waiting, lost, refused } = *self;
        written + waiting + lost + refused
    }

    /// So many more wait, if there is room for all of them within `limit`; else they are lost. Says whether they wait.
    pub(crate) fn take(&mut self, more: u64, limit: u64) -> bool {
        let fits = self.waiting.saturating_add(more) <= limit;
        *(if fits { &mut self.waiting } else { &mut self.lost }) += more;
        fits
    }

    /// So many of those that wait wait no longer.
    pub(crate) fn settle(&mut self, many: u64, how: impl FnOnce(&mut Self) -> &mut u64) {
        self.waiting = self.waiting.saturating_sub(many);
        *how(self) += many;
    }
}

/// Counts that change together, so that whoever looks finds nothing on its way from one to the other.
#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<Counts>);

impl Account {
    pub(crate) fn change<R>(&self, how: impl FnOnce(&mut Counts) -> R) -> R {
        how(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.change(|counts| *counts)
    }
}

/// A whole number as SQLite has it.
pub(crate) fn whole(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}
