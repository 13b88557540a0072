//! A trace as a file.

use core::fmt;

use super::code::{Bytes, Get, Put, Spelling, text};
use super::entry::{self, Entry, put_sum};
use super::{Digest, Trace};
use crate::crc::Crc32;
use crate::id::{BootId, DeviceId};
use crate::text::Text;
use crate::time::Instant;

/// What every file begins with.
const MAGIC: &[u8] = b"DAURTRC";

/// The version of the format, which stands behind it.
const VERSION: u8 = 1;

/// Says whose trace it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Head {
    /// Who recorded it.
    pub device: DeviceId,
    /// In which of its lives.
    pub boot: BootId,
    /// [`Config::every`](super::Config::every).
    pub every: u16,
}

impl Head {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        text(self.device.as_str().as_bytes(), out);
        self.boot.0.put(out);
        self.every.put(out);
    }

    /// The sum of what no check has summed up at the end of a trace: its last inputs, its head, its last moment.
    pub(super) fn seal(&self, mut digest: Digest, last: Instant) -> u32 {
        self.put(&mut |byte| digest.bytes(&[byte]));
        digest.number(last.as_nanos());
        digest.finish()
    }
}

/// Writes a trace as a file, a byte at a time, wherever they go: a UART, frames, a disk.
///
/// The file: `DAURTRC`, the version 1; the device's id, the boot's, `every`; entries, each behind the number of its
/// bytes, the last of them [`Entry::End`]; the CRC-32 of all that, the least byte first. Numbers have seven bits a byte, the
/// least first; a text stands behind its length.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::monitoring::trace::{self, Head, Reader, Trace, Writer};
///
/// let mut trace: Trace<256> = Trace::new(trace::Config::DEFAULT);
/// let head = Head { device: DeviceId::new("boiler-7").unwrap(), boot: BootId(3), every: 1 };
/// let mut file = Vec::new();
/// let mut put = |byte| file.push(byte);
/// let mut writer = Writer::begin(&head, &mut put);
/// writer.drain(&mut trace); // as often as it takes
/// writer.end(&trace);
///
/// let reader = Reader::open(&file).unwrap();
/// assert_eq!((reader.head(), reader.count()), (head, 1));
/// ```
pub struct Writer<'a> {
    out: &'a mut dyn FnMut(u8),
    crc: Crc32,
    head: Head,
}

impl<'a> Writer<'a> {
    /// Begins a file.
    pub fn begin(head: &Head, out: &'a mut dyn FnMut(u8)) -> Self {
        let mut writer = Self { out, crc: Crc32::new(), head: *head };
        writer.put(&|out| {
            for &byte in MAGIC {
                out(byte);
            }
            out(VERSION);
            head.put(out);
        });
        writer
    }

    /// Writes what the trace holds, which stays in it.
    pub fn copy<const BYTES: usize>(&mut self, trace: &Trace<BYTES>) {
        self.put(&|out| trace.each(out));
    }

    /// Writes what the trace holds and takes it out: for a file that is longer than the ring.
    pub fn drain<const BYTES: usize>(&mut self, trace: &mut Trace<BYTES>) {
        self.copy(trace);
        trace.clear();
    }

    /// Ends the file.
    pub fn end<const BYTES: usize>(mut self, trace: &Trace<BYTES>) {
        let digest = self.head.seal(trace.digest, trace.last);
        let end = Entry::End { inputs: trace.inputs, digest };
        self.put(&|out| put_mark(&end, out));
        put_sum(self.crc.finish(), self.out);
    }

    fn put(&mut self, what: &Spelling<'_>) {
        let Self { out, crc, .. } = self;
        what(&mut |byte| {
            crc.push(byte);
            out(byte);
        });
    }
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Behind its length.
pub(super) fn put_mark(mark: &Entry, out: &mut dyn FnMut(u8)) {
    let mut len = 0_u8;
    entry::put_mark(mark, &mut |_| len = len.saturating_add(1));
    out(len);
    entry::put_mark(mark, out);
}

/// Says why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FileError {
    /// It does not begin as a trace does.
    NotATrace,
    /// It is of a version that this program does not know.
    Version {
        /// Which.
        found: u8,
    },
    /// Its check sum is wrong: it is damaged, or cut short.
    Damaged,
    /// What stands at this place is nothing that this program knows, though the check sum is right: a newer device
    /// wrote it, or somebody changed it.
    Malformed {
        /// Bytes before it.
        offset: usize,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace => f.write_str("it is no trace: it does not begin with DAURTRC"),
            Self::Version { found } => write!(f, "its format is version {found}, and only {VERSION} is known here"),
            Self::Damaged => f.write_str("it is damaged or cut short: its check sum is wrong"),
            Self::Malformed { offset } => {
                write!(f, "byte {offset} begins nothing that is known here, though the check sum is right")
            }
        }
    }
}

impl core::error::Error for FileError {}

/// Holds one entry and the bytes that spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The entry.
    pub entry: Entry,
    /// Its spelling, without the length.
    pub(super) bytes: &'a [u8],
    /// Bytes of the file before it.
    pub offset: usize,
}

/// Reads a file, entry by entry.
///
/// # Errors
/// [`FileError`]: from [`open`](Self::open) what concerns the whole file, from the iterator what concerns an entry. After
/// an error, as after [`Entry::End`], there is no more.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    head: Head,
    rest: Bytes<'a>,
    /// Length of the file without its sum.
    len: usize,
    before: Instant,
    over: bool,
}

impl<'a> Reader<'a> {
    /// Checks the sum, and reads whose file it is.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be read.
    pub fn open(file: &'a [u8]) -> Result<Self, FileError> {
        let behind = file.strip_prefix(MAGIC).ok_or(FileError::NotATrace)?;
        match behind.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(FileError::Version { found }),
            None => return Err(FileError::Damaged),
        }
        let len = file.len().checked_sub(4).ok_or(FileError::Damaged)?;
        if Crc32::of(file) != Crc32::RESIDUE {
            return Err(FileError::Damaged);
        }
        let body = file.get(MAGIC.len() + 1..len).ok_or(FileError::Damaged)?;
        let mut rest = Bytes(body);
        let head = Self::read_head(&mut rest).ok_or(FileError::Malformed { offset: MAGIC.len() + 1 })?;
        Ok(Self { head, rest, len, before: Instant::ZERO, over: false })
    }

    fn read_head(from: &mut Bytes<'_>) -> Option<Head> {
        let device = Text::<16>::get(from)?;
        Some(Head {
            device: DeviceId::new(device.as_str()).ok()?,
            boot: BootId(Get::get(from)?),
            every: u16::get(from)?,
        })
    }

    /// Whose trace it is.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    fn read(&mut self) -> Option<(&'a [u8], Entry)> {
        let len = self.rest.byte()?;
        let bytes = self.rest.take(usize::from(len))?;
        Some((bytes, Entry::get(bytes, self.before)?))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Item<'a>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let offset = self.len.saturating_sub(self.rest.0.len());
        let malformed = Some(Err(FileError::Malformed { offset }));
        let Some((bytes, entry)) = self.read() else {
            self.over = true;
            return malformed;
        };
        match entry {
            Entry::Setup { at, .. } | Entry::Input { at, .. } | Entry::Gap { at, .. } => self.before = at,
            Entry::Check { .. } => {}
            Entry::End { .. } => {
                self.over = true;
                if !self.rest.0.is_empty() {
                    return malformed;
                }
            }
        }
        Some(Ok(Item { entry, bytes, offset }))
    }
}
