//! The figures as Linux writes them: `/proc` and the control groups.

mod group;
mod text;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use daur_core::performance::memory::Usage;

use super::provider::{Error, Provider, Sample};
use group::Groups;

/// The longest file that is read; a table of mounts may be long.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the files of Linux below a root: that of this machine, or a tree that a test has written.
///
/// # Rules
/// 1. `proc/self/statm` and `proc/meminfo` must be there; all else may be missing.
/// 2. What is there and cannot be understood is left out and counted ([`Sample::unread`]); nothing panics, and no file
///    is read beyond 1 MiB.
/// 3. The process's control group is looked for in version 1 if a hierarchy of it has the memory controller, else in
///    version 2; at the place where it is mounted, whatever part of the hierarchy that shows.
/// 4. Every group from the process's up to the mounted one counts. A limit above the machine's memory is none.
/// 5. Pressure is the group's own if it tells one, else the machine's.
///
/// # Cost
/// About a dozen small files for a sample. Where the groups are mounted is looked for again only if the process has
/// moved to another group.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    page: u64,
    groups: Mutex<Groups>,
}

impl Tree {
    /// The files below `root`, where a page has 4,096 bytes.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self::with_page(root, 4_096)
    }

    pub(super) fn with_page(root: impl Into<PathBuf>, page: u64) -> Self {
        Self { root: root.into(), page, groups: Mutex::default() }
    }

    /// A file's name in the tree, from one that begins with `/`.
    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name.trim_start_matches('/'))
    }

    /// Bytes of address space and of resident memory.
    pub(super) fn sizes(&self) -> Result<(u64, u64), Error> {
        let file = self.file("/proc/self/statm");
        let text = read(&file)?;
        let mut pages = text.split_ascii_whitespace().map(str::parse::<u64>);
        match (pages.next(), pages.next()) {
            (Some(Ok(size)), Some(Ok(resident))) => {
                Ok((size.saturating_mul(self.page), resident.saturating_mul(self.page)))
            }
            _ => Err(Error::Malformed { file }),
        }
    }
}

impl Provider for Tree {
    fn sample(&self) -> Result<Sample, Error> {
        let (_, process) = self.sizes()?;
        let file = self.file("/proc/meminfo");
        let info = text::meminfo(&read(&file)?).ok_or(Error::Malformed { file })?;
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unread = Unread(0);
        groups.find(|name| self.file(name), &mut unread);
        let group = groups.read(info.total, &mut unread);
        let own = groups.pressure().and_then(|file| unread.optional(file, text::pressure));
        let pressure = own.or_else(|| unread.optional(&self.file("/proc/pressure/memory"), text::pressure));
        Ok(Sample {
            process,
            total: info.total,
            available: info.available,
            swap: info.swap.map(|(total, free)| Usage::new(total.saturating_sub(free), total)),
            group,
            address_space: None,
            pressure,
            unread: unread.0,
        })
    }

    fn process(&self) -> Result<u64, Error> {
        Ok(self.sizes()?.1)
    }

    fn proportional(&self) -> Result<u64, Error> {
        let file = self.file("/proc/self/smaps_rollup");
        text::kilobytes(&read(&file)?, "Pss:").ok_or(Error::Malformed { file })
    }
}

/// Counts what could not be read or understood.
struct Unread(u16);

impl Unread {
    /// What `parse` makes of a file that need not be there.
    fn optional<T>(&mut self, file: &Path, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let understood = match read(file) {
            Ok(text) => parse(&text),
            Err(Error::Read { source, .. }) if is_missing(&source) => return None,
            Err(_) => None,
        };
        self.0 = self.0.saturating_add(u16::from(understood.is_none()));
        understood
    }
}

/// Not there, or a kernel that has it switched off.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::Unsupported)
}

fn read(file: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES).read_to_end(&mut bytes));
    opened.map_err(|source| Error::Read { file: file.to_path_buf(), source })?;
    // A name may be anything; figures are ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
