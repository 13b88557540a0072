//! The audit chain in a file of lines, and the key that moved on beside it.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Broken, Chain, Entry, Event, Filter, Head, Report, State, Verifier};
use daur_core::time::{Instant, UnixTime};

use super::lines::{self, Lines, MAX_LINE};
use crate::security::keys::{self, hex};

/// Says what went wrong with an audit file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file system's.
    Io {
        /// What was being done.
        doing: &'static str,
        /// Its reason.
        source: io::Error,
    },
    /// The operating system gave no random key.
    Random(io::Error),
    /// A new chain's first key could not be stored.
    Key(io::Error),
    /// Another process, or another value of this one, writes to the file.
    InUse,
    /// There are records, and no key to go on with, or what should hold it does not.
    NoState,
    /// The chain does not verify: the first bad record.
    Broken(Broken),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(f, "the audit file: {doing}: {source}"),
            Self::Random(error) => write!(f, "the audit file's key: {error}"),
            Self::Key(error) => write!(f, "a new chain's first key cannot be stored: {error}"),
            Self::InUse => f.write_str("the audit file is in use"),
            Self::NoState => f.write_str("the audit file has no key to go on with: put it away to begin a new one"),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Random(source) | Self::Key(source) => Some(source),
            Self::Broken(broken) => Some(broken),
            Self::InUse | Self::NoState => None,
        }
    }
}

/// The error of the file system while `doing`.
fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// Appends to the audit chain in a file, one line for each event. Blocks: call it from the blocking pool.
///
/// For a host without a database, and for logs that other programs read line by line. The key of the next record
/// stands in a second file, the path with `.state` behind it. Where several processes write, or events are looked for
/// often, take `AuditLog`.
///
/// # Rules
/// 1. Lines are on disk, and the key has moved on, before `append` returns: what it acknowledged is there after a
///    crash.
/// 2. Lines are written first, the key after them. A crash between the two leaves lines that `open` checks with the
///    key and goes on from: the chain never forks. An event whose `append` did not return may be in the chain.
/// 3. A last line that was torn by a crash is cut off by the next `open`; nobody was told of it.
/// 4. A file that ends elsewhere than its key says does not open: the error names the record.
/// 5. One value writes at a time; a second `open` is refused.
/// 6. Both files are made with mode 0600. The chain's first key is told once, by the `open` that creates it.
/// 7. A key that has moved on is replaced by renaming; its bytes may remain in blocks that the file system has freed.
///
/// # Cost
/// Three syncs of the disk for each call of `append`: give it all events that wait. A line takes about 400 bytes, and
/// the file grows until somebody puts both files away.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::Event;
/// use daur_core::time::Instant;
/// use daur_std::security::audit::file::AuditFile;
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-audit");
/// # let _ = std::fs::remove_dir_all(&dir);
/// # std::fs::create_dir_all(&dir)?;
/// let path = dir.join("audit.log");
/// let (mut log, key) = AuditFile::open(&path, DeviceId::new("host")?, BootId(1))?;
/// let first_key = key.expect("a new chain tells its first key"); // keep it on another machine
/// let head = log.append(&[(Event::login("alice", true, "10.0.0.7"), Instant::from_secs(1), None)])?;
///
/// let report = AuditFile::check_at(&path, first_key, Some(head))?;
/// assert_eq!(report.result(), Ok(head));
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    file: File,
    device: DeviceId,
    boot: BootId,
    head: Head,
    /// An append failed half-way: what is on disk must be looked at before the next.
    unsure: bool,
}

impl AuditFile {
    /// Opens the chain in the file at `path`, to be continued by this device in this life.
    ///
    /// A new chain gives its first key, for whoever shall verify it. Keep it away from this machine: with it the
    /// whole chain can be made anew.
    ///
    /// # Errors
    /// [`Error`]; nothing that is there is changed then.
    pub fn open(path: &Path, device: DeviceId, boot: BootId) -> Result<(Self, Option<[u8; 32]>), Error> {
        Self::open_with(path, device, boot, |_| Ok(()))
    }

    /// As [`open`](Self::open), and has `keep` store a new chain's first key before there is a chain: one whose key
    /// was lost on the way could never be verified.
    ///
    /// # Errors
    /// Those of `open`, and [`Error::Key`] if `keep` fails: there is no chain then.
    pub fn open_with(
        path: &Path,
        device: DeviceId,
        boot: BootId,
        keep: impl FnOnce(&[u8; 32]) -> io::Result<()>,
    ) -> Result<(Self, Option<[u8; 32]>), Error> {
        let file = private(OpenOptions::new().read(true).append(true).create(true)).open(path).map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse),
            Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
        }
        let mut log = Self { path: path.to_owned(), file, device, boot, head: Head::default(), unsure: false };
        let state = state_path(path);
        let mut first = None;
        if !state.try_exists().map_err(io("look for the state"))? {
            if log.file.metadata().map_err(io("look at the file"))?.len() > 0 {
                return Err(Error::NoState);
            }
            let key = keys::random().map_err(Error::Random)?;
            keep(&key).map_err(Error::Key)?;
            log.store(&State { seq: 0, tag: [0; 32], key }, 0)?;
            first = Some(key);
        }
        log.recover()?;
        Ok((log, first))
    }

    /// Appends events: all of them are on disk when it returns. Gives the chain's new end.
    ///
    /// # Errors
    /// [`Error::Io`]: some of the events may be in the chain. The next `append` looks, and goes on behind them.
    pub fn append(&mut self, events: &[(Event, Instant, Option<UnixTime>)]) -> Result<Head, Error> {
        if self.unsure {
            self.recover()?;
        }
        if events.is_empty() {
            return Ok(self.head);
        }
        let (state, end) = self.load()?;
        let mut chain = Chain::resume(self.device, self.boot, state);
        let text: String =
            events.iter().map(|(event, at, unix)| lines::line(&chain.append(event, *at, *unix))).collect();
        self.unsure = true;
        self.file.write_all(text.as_bytes()).map_err(io("write"))?;
        self.file.sync_data().map_err(io("sync"))?;
        self.store(chain.state(), end + text.len() as u64)?;
        self.unsure = false;
        self.head = chain.head();
        Ok(self.head)
    }

    /// The chain's end after the last `append`: keep it elsewhere, so that a later cut shows.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The last `limit` records that `filter` asks for in the file at `path`, the newest first. Reads all of it.
    ///
    /// # Errors
    /// The file system's.
    pub fn find_at(path: &Path, filter: &Filter<'_>, limit: usize) -> io::Result<Vec<Entry>> {
        lines::find(BufReader::new(File::open(path)?), filter, limit)
    }

    /// Checks the whole chain in the file at `path` from its first key, and against a head that was kept elsewhere.
    /// Whoever writes to it meanwhile need not wait.
    ///
    /// # Errors
    /// The file system's. What is wrong with the chain is in the [`Report`].
    pub fn check_at(path: &Path, key: [u8; 32], head: Option<Head>) -> io::Result<Report> {
        lines::verify_lines(BufReader::new(File::open(path)?), key, head)
    }

    /// As [`check_at`](Self::check_at), its two answers as one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Broken`] names the first bad record.
    pub fn verify_at(path: &Path, key: [u8; 32], head: Option<Head>) -> Result<Head, Error> {
        Self::check_at(path, key, head).map_err(io("read"))?.result().map_err(Error::Broken)
    }

    /// Finds where the chain ends: behind the lines that the key has moved on for, or behind some more, which a crash
    /// left between line and key.
    fn recover(&mut self) -> Result<(), Error> {
        let (state, end) = self.load()?;
        self.check_end(&state, end)?;
        let mut verifier = Verifier::resume(state);
        self.file.seek(SeekFrom::Start(end)).map_err(io("seek"))?;
        let mut lines = Lines::new(BufReader::new(&self.file));
        for entry in lines.by_ref() {
            let entry = entry.map_err(io("read"))?;
            lines::check(&mut verifier, entry.as_ref()).map_err(Error::Broken)?;
        }
        let (more, torn) = (lines.read(), lines.is_torn());
        drop(lines);
        if torn {
            self.file.set_len(end + more).map_err(io("cut a torn line"))?;
        }
        if torn || more > 0 {
            self.file.sync_all().map_err(io("sync"))?;
            self.store(verifier.state(), end + more)?;
        }
        self.head = verifier.end();
        self.unsure = false;
        Ok(())
    }

    /// Whether the line that ends at `end` is the one that the key has moved on from.
    fn check_end(&mut self, state: &State, end: u64) -> Result<(), Error> {
        let len = self.file.metadata().map_err(io("look at the file"))?.len();
        let last = if len < end { None } else { self.line_before(end)? };
        match last {
            None if state.seq == 0 && end == 0 => Ok(()),
            Some(entry) if entry.seq == state.seq && entry.tag == state.tag => Ok(()),
            _ => Err(self.first_out_of_place(state.seq)?),
        }
    }

    /// Names the first record up to number `last` that is not in its place, as far as that shows without its key.
    fn first_out_of_place(&mut self, last: u64) -> Result<Error, Error> {
        self.file.seek(SeekFrom::Start(0)).map_err(io("seek"))?;
        let mut lines = Lines::new(BufReader::new(&self.file));
        for seq in 1..=last {
            let broken = match lines.next().transpose().map_err(io("read"))? {
                None => Broken::Truncated { seq: seq - 1 },
                Some(None) => Broken::Unreadable { seq },
                Some(Some(entry)) if entry.seq != seq => Broken::Missing { seq },
                Some(Some(_)) => continue,
            };
            return Ok(Error::Broken(broken));
        }
        Ok(Error::Broken(Broken::Changed { seq: last }))
    }

    /// The record of the last whole line before `end`.
    fn line_before(&mut self, end: u64) -> Result<Option<Entry>, Error> {
        let start = end.saturating_sub(2 * MAX_LINE as u64);
        self.file.seek(SeekFrom::Start(start)).map_err(io("seek"))?;
        let mut bytes = Vec::new();
        (&self.file).take(end - start).read_to_end(&mut bytes).map_err(io("read"))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').and_then(|at| bytes.get(..=at)).unwrap_or_default();
        Ok(whole.split_inclusive(|b| *b == b'\n').next_back().and_then(lines::read))
    }

    /// The stored state, and where the lines that it stands for end.
    fn load(&self) -> Result<(State, u64), Error> {
        let mut text = Vec::with_capacity(256);
        let file = File::open(state_path(&self.path)).map_err(io("open the state"))?;
        file.take(256).read_to_end(&mut text).map_err(io("read the state"))?;
        let parsed = parse_state(&text);
        zeroize(&mut text);
        parsed.ok_or(Error::NoState)
    }

    /// Stores a state aside and renames it into place.
    fn store(&self, state: &State, end: u64) -> Result<(), Error> {
        let path = state_path(&self.path);
        let mut aside = path.clone().into_os_string();
        aside.push(".new");
        let mut text = format!("{:016x} {} {} {end:016x}\n", state.seq, hex(&state.tag), hex(&state.key)).into_bytes();
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&aside)
            .map_err(io("write the state"))?;
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        zeroize(&mut text);
        written.and_then(|()| fs::rename(&aside, &path)).map_err(io("write the state"))?;
        keys::sync_dir_of(&path).map_err(io("sync the directory"))
    }
}

fn state_path(path: &Path) -> PathBuf {
    let mut state = path.as_os_str().to_owned();
    state.push(".state");
    state.into()
}

fn parse_state(text: &[u8]) -> Option<(State, u64)> {
    let text = std::str::from_utf8(text.strip_suffix(b"\n")?).ok()?;
    let mut words = text.split(' ');
    let number = |word: &str| u64::from_str_radix(word, 16).ok().filter(|_| word.len() == 16);
    let seq = number(words.next()?)?;
    let tag = keys::decode(words.next()?.as_bytes())?;
    let key = keys::decode(words.next()?.as_bytes())?;
    let end = number(words.next()?)?;
    words.next().is_none().then_some((State { seq, tag, key }, end))
}

/// Only its owner may read what is created.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Overwrites what held a key; the compiler is kept from leaving it away.
fn zeroize(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{TestDir, test_dir};

    type Timed = (Event, Instant, Option<UnixTime>);

    fn event(n: u64) -> Timed {
        let event = Event::command("alice", &format!("echo {n}\n\u{2028}{{\"seq\":1}}"), true);
        (event, Instant::from_secs(n), n.is_multiple_of(2).then(|| UnixTime::from_secs(n)))
    }

    fn try_open(path: &Path) -> Result<(AuditFile, Option<[u8; 32]>), Error> {
        AuditFile::open(path, DeviceId::new("host").unwrap(), BootId(1))
    }

    /// A file of so many records, its first key, its head.
    fn written(name: &str, records: u64) -> (TestDir, PathBuf, [u8; 32], Head) {
        let dir = test_dir(name);
        let path = dir.path().join("audit.log");
        let (mut log, key) = try_open(&path).unwrap();
        for n in 0..records {
            log.append(&[event(n)]).unwrap();
        }
        let head = log.head();
        (dir, path, key.unwrap(), head)
    }

    #[test]
    fn rule_1_every_event_is_one_line_and_the_chain_verifies() {
        let (_dir, path, key, head) = written("file", 5);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
        assert_eq!(AuditFile::verify_at(&path, key, Some(head)).unwrap(), head);
        let (mut log, none) = try_open(&path).unwrap();
        assert_eq!((none, log.head()), (None, head));
        let head = log.append(&[event(5), event(6)]).unwrap();
        assert_eq!((head.seq, log.append(&[]).unwrap()), (7, head));
        assert_eq!(AuditFile::verify_at(&path, key, Some(head)).unwrap(), head);
        let newest = AuditFile::find_at(&path, &Filter { actor: Some("alice"), ..Filter::ALL }, 2).unwrap();
        assert_eq!(newest.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [7, 6]);
        assert!(matches!(AuditFile::verify_at(&path, [0; 32], None), Err(Error::Broken(Broken::Changed { seq: 1 }))));
    }

    /// Both files, as a crash may leave them.
    fn leave(path: &Path, lines: &[u8], state: &[u8], aside: Option<&[u8]>) {
        fs::write(path, lines).unwrap();
        fs::write(state_path(path), state).unwrap();
        let new = path.with_file_name("audit.log.state.new");
        match aside {
            Some(bytes) => fs::write(new, bytes).unwrap(),
            None => drop(fs::remove_file(new)),
        }
    }

    #[test]
    fn rules_2_and_3_after_a_crash_at_any_point_nothing_acknowledged_is_gone_and_the_chain_goes_on() {
        let (_dir, path, key, before) = written("crash", 3);
        let files = || (fs::read(&path).unwrap(), fs::read(state_path(&path)).unwrap());
        let (lines_before, state_before) = files();
        let after = try_open(&path).unwrap().0.append(&[event(3), event(4)]).unwrap();
        let (lines_after, state_after) = files();
        let first_new =
            lines_before.len() + lines_after[lines_before.len()..].iter().position(|b| *b == b'\n').unwrap();

        let mut points = Vec::new();
        // While the lines are written: what whole ones there are stay.
        let around =
            [lines_before.len(), first_new, first_new + 1, first_new + 2, lines_after.len() - 1, lines_after.len()];
        for len in (lines_before.len()..lines_after.len()).step_by(31).chain(around) {
            let kept = if len == lines_after.len() { 5 } else { 3 + u64::from(len > first_new) };
            points.push((&lines_after[..len], &state_before, None, kept));
        }
        // While the key is written aside, and before it is renamed.
        for len in (0..state_after.len()).step_by(13).chain([state_after.len() - 1, state_after.len()]) {
            points.push((&lines_after, &state_before, Some(&state_after[..len]), 5));
        }
        // Before the acknowledgement.
        points.push((&lines_after, &state_after, None, 5));
        for (lines, state, aside, kept) in points {
            leave(&path, lines, state, aside);
            let (mut log, none) = try_open(&path).unwrap();
            assert_eq!((none, log.head().seq), (None, kept), "{} {}", lines.len(), aside.map_or(0, <[u8]>::len));
            let head = log.append(&[event(9)]).unwrap();
            assert_eq!(head.seq, kept + 1);
            // What was acknowledged before the crash is in the chain, and if all was written, so is that.
            for acknowledged in [Some(before), (kept == 5).then_some(after), Some(head)].into_iter().flatten() {
                assert_eq!(AuditFile::verify_at(&path, key, Some(acknowledged)).unwrap(), head);
            }
        }
    }

    #[test]
    fn rule_4_a_file_that_ends_elsewhere_than_its_key_says_does_not_open() {
        let (_dir, path, _, _) = written("elsewhere", 4);
        let whole = fs::read(&path).unwrap();
        let state = fs::read(state_path(&path)).unwrap();
        let starts: Vec<usize> = std::iter::once(0)
            .chain(whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1))
            .collect();
        let refusal = |lines: &[u8]| {
            leave(&path, lines, &state, None);
            let error = try_open(&path).map(|_| ()).unwrap_err();
            assert_eq!(fs::read(&path).unwrap(), lines, "what is refused is not touched");
            error.to_string()
        };
        assert_eq!(refusal(&whole[..starts[3]]), "the audit chain was cut after record 3");
        assert_eq!(refusal(&[]), "the audit chain was cut after record 0");
        assert_eq!(refusal(&whole[..starts[4] - 1]), "the audit chain was cut after record 3");
        // The last one was changed, the first is gone, somebody has written behind the end.
        let mut changed = whole.clone();
        changed[starts[3] + 8] ^= 1;
        assert_eq!(refusal(&changed), "audit record 4 cannot be read");
        assert_eq!(refusal(&whole[starts[1]..]), "audit record 1 is missing");
        let other = written("elsewhere-too", 4);
        assert_eq!(refusal(&fs::read(&other.1).unwrap()), "audit record 4 was changed");
        assert_eq!(refusal(&[&whole, &whole[starts[3]..]].concat()), "audit record 5 is missing");
        assert_eq!(refusal(&[whole.as_slice(), b"garbage\n"].concat()), "audit record 5 cannot be read");
        // The key is gone or is none.
        leave(&path, &whole, b"", None);
        assert!(matches!(try_open(&path), Err(Error::NoState)));
        fs::remove_file(state_path(&path)).unwrap();
        assert!(matches!(try_open(&path), Err(Error::NoState)));
        leave(&path, &whole, &state, None);
        assert!(try_open(&path).is_ok());
    }

    #[test]
    fn rule_5_a_second_writer_is_refused() {
        let (_dir, path, _, _) = written("in-use", 1);
        let (first, _) = try_open(&path).unwrap();
        assert!(matches!(try_open(&path), Err(Error::InUse)));
        drop(first);
        assert!(try_open(&path).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn rule_6_only_their_owner_reads_the_files_and_the_first_key_is_in_neither() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, _, key, _) = written("modes", 2);
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert!(!fs::read_to_string(file.path()).unwrap().contains(&hex(&key)));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left aside");
    }

    #[test]
    fn a_chain_whose_first_key_cannot_be_stored_does_not_begin() {
        let dir = test_dir("file-no-key");
        let path = dir.path().join("audit.log");
        let device = DeviceId::new("host").unwrap();
        let refused = AuditFile::open_with(&path, device, BootId(1), |_| Err(io::ErrorKind::AlreadyExists.into()));
        assert!(matches!(refused, Err(Error::Key(_))));
        assert!(!state_path(&path).exists());
        let (mut log, key) = try_open(&path).unwrap();
        let head = log.append(&[event(1)]).unwrap();
        assert_eq!(AuditFile::verify_at(&path, key.unwrap(), None).unwrap(), head);
    }

    #[test]
    fn after_an_append_that_failed_the_next_one_looks_at_the_disk_first() {
        let (_dir, path, key, _) = written("failed", 2);
        let (mut log, _) = try_open(&path).unwrap();
        // The state cannot be written aside: a directory stands in its place.
        let aside = path.with_file_name("audit.log.state.new");
        fs::create_dir(&aside).unwrap();
        assert!(matches!(log.append(&[event(2)]), Err(Error::Io { .. })));
        assert!(log.append(&[event(3)]).is_err());
        fs::remove_dir(&aside).unwrap();
        let head = log.append(&[event(3)]).unwrap();
        // The event whose append failed is there as well, once.
        assert_eq!(head.seq, 4);
        assert_eq!(AuditFile::verify_at(&path, key, Some(head)).unwrap(), head);
    }
}
