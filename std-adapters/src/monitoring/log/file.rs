//! Lines in files that are rotated by size and by time.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use daur_core::time::UnixTime;

use super::line::Line;
use super::render::{Format, date, render};
use super::sink::{Output, Sink};
use crate::error::Error;

/// Where files lie, and when another is begun.
#[derive(Clone, Debug, PartialEq)]
pub struct FileConfig {
    /// The directory; `~` at its beginning is the user's own. It is made if it is missing.
    pub dir: PathBuf,
    /// The present file is `NAME.log`, an old one `NAME-2026-11-28-000017.log`.
    pub name: String,
    /// JSON, or for people.
    pub format: Format,
    /// A file is not longer, unless its one line is.
    pub max_bytes: u64,
    /// A file holds lines of one such period since 1970 only: a day, an hour.
    pub period: Option<Duration>,
    /// How many old files are kept.
    pub max_files: usize,
    /// What packs old ones: with the feature `gzip`, [`GZIP`](super::GZIP).
    pub pack: Option<Packer>,
}

impl FileConfig {
    /// `daur.log` in this directory, for people, 10 MiB and a day each, 10 old ones, not packed.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            name: "daur".to_owned(),
            format: Format::Human,
            max_bytes: 10 << 20,
            period: Some(Duration::from_secs(86_400)),
            max_files: 10,
            pack: None,
        }
    }

    /// Opens the present file, as a sink for [`Logger::with_outputs`](super::Logger::with_outputs).
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::Io`] with the path that cannot be made or opened.
    pub fn open(&self) -> Result<Output, Error> {
        Ok(Output::new("file", self.format, FileSink::open(self, Files)?))
    }

    fn validate(&self) -> Result<(), Error> {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.');
        if self.name.is_empty() || !self.name.chars().all(is_plain) || self.name.starts_with('.') {
            return Err(Error::Config {
                field: "name",
                allowed: "letters, digits, `_`, `-` and `.`, not at the beginning",
            });
        }
        if self.max_bytes < 1_024 {
            return Err(Error::Config { field: "max_bytes", allowed: "at least 1 KiB" });
        }
        if self.period.is_some_and(|period| period.as_secs() == 0) {
            return Err(Error::Config { field: "period", allowed: "at least a second" });
        }
        Ok(())
    }
}

/// Packs a file that is no longer written to.
#[derive(Clone, Copy)]
pub struct Packer {
    /// What is appended to the file's name.
    pub extension: &'static str,
    /// Reads the one and writes the other.
    pub pack: fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
}

impl PartialEq for Packer {
    fn eq(&self, other: &Self) -> bool {
        self.extension == other.extension
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Packer").field(&self.extension).finish()
    }
}

/// Opens files: those of the system, or of a test's full disk.
pub trait Disk: Send {
    /// Opens for appending, and makes it if it is missing.
    ///
    /// # Errors
    /// Why not.
    fn append(&mut self, path: &Path) -> io::Result<Box<dyn Appended>>;
}

/// A file that is appended to.
pub trait Appended: Write + Send {
    /// Takes back what stands behind `len` bytes.
    ///
    /// # Errors
    /// Why not.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The files of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Disk for Files {
    fn append(&mut self, path: &Path) -> io::Result<Box<dyn Appended>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).open(path)?))
    }
}

impl Appended for File {
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// Appends lines to a file, and begins another when it is long or old enough.
///
/// # Rules
/// 1. A line is written whole, by one write, or not at all: what a full disk has taken of it is taken back.
/// 2. A file is rotated before the line that would make it longer than `max_bytes`, and before the first line of another
///    period; time that steps back rotates nothing.
/// 3. Old files have names in the order in which they were written, and no two the same; the oldest beyond `max_files` are
///    removed.
/// 4. Old files are packed by a thread of their own; what an earlier process has left unpacked is packed too.
/// 5. A rotation that fails loses no line: they go on into the same file, and it is tried again with the next line. If the
///    file is no longer where it was, another is begun.
/// 6. A line that an earlier process has not finished is ended, so that the next begins anew.
///
/// One process writes to a directory and name.
pub struct FileSink<D = Files> {
    disk: D,
    path: PathBuf,
    max_bytes: u64,
    period: Option<u64>,
    file: Box<dyn Appended>,
    len: u64,
    /// Which period the file's lines are of; `None` for an empty one.
    in_period: Option<u64>,
    /// Its last line is not ended.
    torn: bool,
    old: Old,
}

impl FileSink<Files> {
    /// Opens the present file of the config.
    ///
    /// # Errors
    /// As [`FileSink::open`].
    pub fn try_new(config: &FileConfig) -> Result<Self, Error> {
        Self::open(config, Files)
    }
}

impl<D: Disk> FileSink<D> {
    /// Opens the present file of the config on this disk.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::Io`] with the path that cannot be made or opened.
    pub fn open(config: &FileConfig, mut disk: D) -> Result<Self, Error> {
        config.validate()?;
        let dir = expanded(&config.dir)?;
        fs::create_dir_all(&dir)
            .map_err(|error| Error::io(format!("making the log's directory {}", dir.display()), error))?;
        let path = dir.join(format!("{}.log", config.name));
        let in_path = |error| Error::io(format!("opening the log {}", path.display()), error);
        let file = disk.append(&path).map_err(in_path)?;
        let (len, written_at, torn) = found(&path).map_err(in_path)?;
        let old = Old::new(&dir, config).map_err(|error| Error::io(format!("reading {}", dir.display()), error))?;
        let period = config.period.map(|period| period.as_secs());
        let in_period = period.filter(|_| len > 0).and_then(|period| written_at.as_secs().checked_div(period));
        Ok(Self { disk, path, max_bytes: config.max_bytes, period, file, len, in_period, torn, old })
    }

    fn is_due(&self, line: usize, period: Option<u64>) -> bool {
        let is_full = self.len + line as u64 > self.max_bytes;
        self.len > 0 && (is_full || period.is_some_and(|period| self.in_period.is_some_and(|known| period > known)))
    }

    /// Gives the file its old name and begins another.
    fn rotate(&mut self, at: UnixTime) -> io::Result<()> {
        let kept = self.old.next_path(at);
        let is_there = match fs::rename(&self.path, &kept) {
            // Somebody has taken it away, perhaps with its directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            renamed => renamed.map(|()| true)?,
        };
        if !is_there && let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        match self.disk.append(&self.path) {
            Ok(file) => self.file = file,
            Err(error) => {
                // It goes on where it was, or under a name that no other gets.
                if is_there && fs::rename(&kept, &self.path).is_err() {
                    self.old.number += 1;
                }
                return Err(error);
            }
        }
        (self.len, self.in_period, self.torn) = (0, None, false);
        if is_there {
            self.old.take(kept);
        }
        Ok(())
    }

    /// One write; what it leaves behind if it fails is taken back.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let ended: Vec<u8>;
        let bytes = if self.torn {
            ended = [b"\n", line].concat();
            &ended
        } else {
            line
        };
        let mut rest = bytes;
        let failed = loop {
            if rest.is_empty() {
                self.len += bytes.len() as u64;
                self.torn = false;
                return Ok(());
            }
            match self.file.write(rest) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let written = bytes.len() - rest.len();
        if written > 0 && self.file.truncate(self.len).is_err() {
            // Where it cannot be taken back, the next line begins anew behind it.
            self.len += written as u64;
            self.torn = true;
        }
        Err(failed)
    }
}

impl<D: Disk> Sink for FileSink<D> {
    fn write(&mut self, line: &[u8], at: UnixTime) -> io::Result<()> {
        let period = self.period.and_then(|period| at.as_secs().checked_div(period));
        if self.is_due(line.len(), period) {
            // Rule 5.
            let _ = self.rotate(at);
        }
        self.append(line)?;
        self.in_period = self.in_period.max(period);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<D> fmt::Debug for FileSink<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSink").field("path", &self.path).field("len", &self.len).finish_non_exhaustive()
    }
}

/// The directory with `~` as the user's own.
fn expanded(dir: &Path) -> Result<PathBuf, Error> {
    let Ok(rest) = dir.strip_prefix("~") else { return Ok(dir.to_owned()) };
    let missing = || Error::io(format!("finding {}", dir.display()), io::ErrorKind::NotFound.into());
    std::env::home_dir().map(|home| home.join(rest)).ok_or_else(missing)
}

/// Length of a file, when it was last written, and whether its last line lacks its end.
fn found(path: &Path) -> io::Result<(u64, UnixTime, bool)> {
    let mut file = match File::open(path) {
        // On another disk, it may be nowhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, UnixTime::from_secs(0), false)),
        file => file?,
    };
    let about = file.metadata()?;
    let since = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let mut last = [b'\n'];
    if about.is_file() && about.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok((about.len(), UnixTime::from_secs(since.as_secs()), last != *b"\n"))
}

/// The files that are no longer written to.
struct Old {
    /// Their names up to the date.
    prefix: String,
    dir: PathBuf,
    number: u64,
    max_files: usize,
    packing: Option<Packing>,
}

/// The thread that packs, and what tells it of files.
struct Packing {
    files: Option<Sender<PathBuf>>,
    thread: Option<JoinHandle<()>>,
}

impl Old {
    fn new(dir: &Path, config: &FileConfig) -> io::Result<Self> {
        let prefix = format!("{}-", config.name);
        let known = known(dir, &prefix)?;
        let number = known.last().map_or(0, |(number, _)| *number);
        let packing = config.pack.map(|packer| {
            let (files, rotated) = mpsc::channel::<PathBuf>();
            let (dir, prefix, max_files) = (dir.to_owned(), prefix.clone(), config.max_files);
            let run = move || {
                for path in rotated {
                    // What cannot be packed stays as it is, and is tried again by the next process.
                    let _ = pack(&path, packer);
                    let _ = prune(&dir, &prefix, max_files);
                }
            };
            let thread = std::thread::Builder::new().name("daur-log-pack".to_owned()).spawn(run).ok();
            Packing { files: Some(files), thread }
        });
        let old = Self { prefix, dir: dir.to_owned(), number, max_files: config.max_files, packing };
        let _ = prune(&old.dir, &old.prefix, old.max_files);
        for (_, path) in known {
            let is_partial = path.extension().is_some_and(|extension| extension == "tmp");
            if is_partial {
                let _ = fs::remove_file(&path);
            } else if path.extension().is_some_and(|extension| extension == "log")
                && let Some(files) = old.packing.as_ref().and_then(|packing| packing.files.as_ref())
            {
                let _ = files.send(path);
            }
        }
        Ok(old)
    }

    /// The name of the next one.
    fn next_path(&self, at: UnixTime) -> PathBuf {
        let (year, month, day) = date(at.as_secs() / 86_400);
        self.dir.join(format!("{}{year:04}-{month:02}-{day:02}-{:06}.log", self.prefix, self.number + 1))
    }

    /// Takes in a file of that name.
    fn take(&mut self, path: PathBuf) {
        self.number += 1;
        match self.packing.as_ref().and_then(|packing| packing.files.as_ref()) {
            Some(files) if files.send(path).is_ok() => {}
            _ => {
                let _ = prune(&self.dir, &self.prefix, self.max_files);
            }
        }
    }
}

impl Drop for Packing {
    /// Waits until all is packed.
    fn drop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Old files by their numbers, the oldest first.
fn known(dir: &Path, prefix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut known = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = number_of(name, prefix) {
            known.push((number, dir.join(name)));
        }
    }
    known.sort();
    Ok(known)
}

/// The number in `PREFIX2026-11-28-000017.log`, packed or not.
fn number_of(name: &str, prefix: &str) -> Option<u64> {
    let (stem, extensions) = name.strip_prefix(prefix)?.split_once('.')?;
    let (day, number) = stem.rsplit_once('-')?;
    let are_digits = |text: &str, len: usize| text.len() >= len && text.bytes().all(|byte| byte.is_ascii_digit());
    // Year, month and day, and no more: `app-2026-11-28-000001.log` is of `app`, not `app-7-2026-11-28-000001.log`.
    let is_date = day.split('-').map(|part| are_digits(part, 2)).eq([true; 3]);
    // A number that nothing has counted to leaves none behind it.
    let is_number = are_digits(number, 6) && number.len() <= 12;
    let is_ours = is_date && is_number && (extensions == "log" || extensions.starts_with("log."));
    is_ours.then(|| number.parse().ok()).flatten()
}

/// Packs a file beside itself and takes its place.
fn pack(path: &Path, packer: Packer) -> io::Result<()> {
    let packed = with_extension(path, packer.extension);
    let partial = with_extension(&packed, "tmp");
    let mut from = BufReader::new(File::open(path)?);
    let mut to = BufWriter::new(File::create(&partial)?);
    let done = (packer.pack)(&mut from, &mut to).and_then(|()| to.flush()).and_then(|()| fs::rename(&partial, &packed));
    if done.is_err() {
        let _ = fs::remove_file(&partial);
        return done;
    }
    fs::remove_file(path)
}

fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Removes the oldest files beyond `max`.
fn prune(dir: &Path, prefix: &str, max: usize) -> io::Result<()> {
    let known = known(dir, prefix)?;
    // A file and what it is packed into are one.
    let mut numbers: Vec<u64> = known.iter().map(|(number, _)| *number).collect();
    numbers.dedup();
    let Some(oldest) = numbers.len().checked_sub(max).map(|gone| numbers.get(gone).copied().unwrap_or(u64::MAX)) else {
        return Ok(());
    };
    // One that cannot be removed keeps no other.
    let gone = known.iter().take_while(|(number, _)| *number < oldest);
    gone.map(|(_, path)| fs::remove_file(path)).fold(Ok(()), Result::and)
}

/// Writes lines to a new file that takes the place of `path` at once.
pub(super) fn export(path: &Path, lines: &[Line]) -> Result<usize, Error> {
    let doing = |error| Error::io(format!("exporting the log to {}", path.display()), error);
    let is_json =
        path.extension().is_some_and(|extension| ["json", "jsonl", "ndjson"].iter().any(|of| extension == *of));
    let format = if is_json { Format::Json } else { Format::Human };
    let mut text = String::new();
    for line in lines {
        render(line, format, &mut text);
    }
    // Two that export to the same path at a time write to a file each.
    static EXPORTS: AtomicU64 = AtomicU64::new(0);
    let number = EXPORTS.fetch_add(1, Ordering::Relaxed);
    let partial = with_extension(path, &format!("{}-{number}.tmp", std::process::id()));
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).map_err(|error| {
        let _ = fs::remove_file(&partial);
        doing(error)
    })?;
    Ok(lines.len())
}
