//! A line as it lies in the queue: bytes that are cheap to write, and read once by the writer.
//!
//! `length:4 micros:8 number:8 level:1 cut:1 target:2+n`, then pieces: a tag, a name for some, a value.

use std::cell::Cell;
use std::fmt::{self, Debug, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use daur_core::monitoring::log::Level;
use tracing::field::{Field, Visit};

/// Where the number stands, which is known only under the queue's lock.
const NUMBER: usize = 12;
const LEVEL: usize = 20;
const CUT: usize = 21;
const TARGET: usize = 22;

const MESSAGE: u8 = 1;
const TEXT: u8 = 2;
const SIGNED: u8 = 3;
const UNSIGNED: u8 = 4;
const FLOAT: u8 = 5;
const BOOL: u8 = 6;
/// The fields behind it are the span's.
const SPAN: u8 = 7;
/// Another target than the one in the code.
const NAMED: u8 = 8;

/// The field by which [`super::logger`] names its target; the crate `tracing-log` does the same.
pub(super) const TARGET_FIELD: &str = "log.target";
/// Those by which `tracing-log` says where in the code, which is not of the line.
const PLACE_FIELDS: [&str; 3] = ["log.module_path", "log.file", "log.line"];

thread_local! {
    /// The buffer that the last line of this thread has left.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A line that is being written; its buffer goes back to the thread.
pub(super) struct Entry {
    bytes: Vec<u8>,
    /// Text ends here.
    max: usize,
    /// Not all of it found room.
    cut: bool,
    /// It is the fields of a span, none of which says anything of the line itself.
    is_span: bool,
}

/// A span's name and fields as pieces.
pub(super) struct Fields {
    bytes: Vec<u8>,
    cut: bool,
}

impl Fields {
    /// Takes in fields that got their values later, each in the place of its former value.
    pub(super) fn update(&mut self, later: &Self, max: usize) {
        let mut bytes = Vec::with_capacity(self.bytes.len() + later.bytes.len());
        let mut put = |piece: &[u8]| {
            let fits = bytes.len() + piece.len() <= max;
            if fits {
                bytes.extend_from_slice(piece);
            }
            !fits
        };
        let mut cut = self.cut || later.cut;
        for (known, piece) in Pieces(&self.bytes).with_bytes() {
            let name = known.name();
            let newer = Pieces(&later.bytes).with_bytes().find(|(newer, _)| name.is_some() && newer.name() == name);
            cut |= put(newer.map_or(piece, |(_, piece)| piece));
        }
        for (newer, piece) in Pieces(&later.bytes).with_bytes() {
            if Pieces(&self.bytes).all(|known| known.name() != newer.name()) {
                cut |= put(piece);
            }
        }
        *self = Self { bytes, cut };
    }
}

impl Entry {
    pub(super) fn new(level: Level, target: &str, max: usize) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = since.as_secs().wrapping_mul(1_000_000).wrapping_add(u64::from(since.subsec_micros()));
        Self::at(micros, level, target, max)
    }

    pub(super) fn at(micros: u64, level: Level, target: &str, max: usize) -> Self {
        // A value that logs while it is formatted finds no buffer, and begins another.
        let mut bytes = BUFFER.try_with(Cell::take).unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&micros.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[level as u8, 0]);
        // So that there is room for what is said, however short a line may be.
        let fitting = cut_at(target, (max.saturating_sub(TARGET + 2) / 2).min(255));
        let len = u16::try_from(fitting.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(fitting.as_bytes());
        Self { bytes, max, cut: fitting.len() < target.len(), is_span: false }
    }

    /// A buffer for the fields of a span.
    pub(super) fn of_span(name: &str, max: usize) -> Self {
        let mut entry = Self::of_later_fields(max);
        entry.bytes.push(SPAN);
        entry.name(name);
        entry
    }

    /// A buffer for fields that a span gets later.
    pub(super) fn of_later_fields(max: usize) -> Self {
        Self { bytes: Vec::new(), max, cut: false, is_span: true }
    }

    pub(super) fn into_fields(mut self) -> Fields {
        Fields { bytes: std::mem::take(&mut self.bytes), cut: self.cut }
    }

    /// Adds a span's name and fields.
    pub(super) fn span(&mut self, fields: &Fields) {
        self.cut |= fields.cut;
        if self.bytes.len() + fields.bytes.len() <= self.max {
            self.bytes.extend_from_slice(&fields.bytes);
        } else {
            self.cut = true;
        }
    }

    /// The whole line, for the queue.
    pub(super) fn finish(&mut self) -> &[u8] {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&len.to_le_bytes());
        self.bytes[CUT] = u8::from(self.cut);
        &self.bytes
    }

    /// The target that a field has named.
    pub(super) fn named_target(&self) -> Option<&str> {
        View::of(&self.bytes).pieces().find_map(|piece| match piece {
            Piece::Target(name) => Some(name),
            _ => None,
        })
    }

    fn name(&mut self, name: &str) {
        let name = cut_at(name, 255);
        self.bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(name.as_bytes());
    }

    /// Whether it is none of the line's.
    fn is_of_the_place(&self, name: &str) -> bool {
        !self.is_span && PLACE_FIELDS.contains(&name)
    }

    fn number(&mut self, tag: u8, name: &str, value: &[u8]) {
        if self.is_of_the_place(name) {
            return;
        }
        if self.bytes.len() + 2 + name.len() + value.len() > self.max {
            self.cut = true;
            return;
        }
        self.bytes.push(tag);
        self.name(name);
        self.bytes.extend_from_slice(value);
    }

    fn text(&mut self, field: &Field, write: impl FnOnce(&mut Self)) {
        let name = field.name();
        let tag = match name {
            "message" if !self.is_span => MESSAGE,
            TARGET_FIELD if !self.is_span => NAMED,
            _ => TEXT,
        };
        if self.is_of_the_place(name) {
            return;
        }
        if self.bytes.len() + 6 + name.len() > self.max {
            self.cut = true;
            return;
        }
        self.bytes.push(tag);
        if tag == TEXT {
            self.name(name);
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(self);
        let len = u32::try_from(self.bytes.len() - at - 4).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() > 0 {
            let _ = BUFFER.try_with(|buffer| buffer.set(bytes));
        }
    }
}

/// Text, as much as a line may hold.
impl fmt::Write for Entry {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = cut_at(text, self.max.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(fitting.as_bytes());
        if fitting.len() < text.len() {
            self.cut = true;
        }
        Ok(())
    }
}

fn cut_at(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, |entry| {
            let _ = entry.write_str(value);
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, |entry| {
            let _ = write!(entry, "{value:?}");
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(SIGNED, field.name(), &value.to_le_bytes());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.number(UNSIGNED, field.name(), &value.to_le_bytes());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.number(FLOAT, field.name(), &value.to_le_bytes());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.number(BOOL, field.name(), &[value.into()]);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, |entry| {
            let _ = write!(entry, "{value}");
            let mut source = value.source();
            // A chain that bites its tail ends as well.
            for _ in 0..16 {
                let Some(cause) = source else { break };
                let _ = write!(entry, ": {cause}");
                source = cause.source();
            }
        });
    }
}

/// Whether a line is longer than it may be.
pub(super) fn is_cut(line: &[u8]) -> bool {
    line.get(CUT) == Some(&1)
}

/// Puts its number into a line in the queue.
pub(super) fn set_number(line: &mut [u8], number: u64) {
    if let Some(place) = line.get_mut(NUMBER..NUMBER + 8) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// The lines of a queue's buffer, one after the other.
pub(super) fn lines(mut bytes: &[u8]) -> impl Iterator<Item = View<'_>> {
    std::iter::from_fn(move || {
        let len = u32::from_le_bytes(*bytes.first_chunk()?);
        let (line, rest) = bytes.split_at_checked(len as usize).filter(|(line, _)| !line.is_empty())?;
        bytes = rest;
        Some(View::of(line))
    })
}

/// A line as the writer reads it.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) micros: u64,
    pub(super) number: u64,
    pub(super) level: Level,
    pub(super) cut: bool,
    /// The place in the code.
    pub(super) target: &'a str,
    pieces: &'a [u8],
}

/// What a line is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Message(&'a str),
    Target(&'a str),
    Span(&'a str),
    Text(&'a str, &'a str),
    Signed(&'a str, i64),
    Unsigned(&'a str, u64),
    Float(&'a str, f64),
    Bool(&'a str, bool),
}

impl<'a> Piece<'a> {
    /// The field's name, if it is one.
    const fn name(&self) -> Option<&'a str> {
        match self {
            Self::Message(_) | Self::Target(_) | Self::Span(_) => None,
            Self::Text(name, _)
            | Self::Signed(name, _)
            | Self::Unsigned(name, _)
            | Self::Float(name, _)
            | Self::Bool(name, _) => Some(name),
        }
    }
}

impl<'a> View<'a> {
    fn of(line: &'a [u8]) -> Self {
        let level = line.get(LEVEL).copied().unwrap_or(0);
        let level = Level::ALL.into_iter().find(|known| *known as u8 == level).unwrap_or(Level::Error);
        let rest = line.get(TARGET..).unwrap_or_default();
        let (target, pieces) = rest
            .split_first_chunk()
            .and_then(|(len, rest)| rest.split_at_checked(usize::from(u16::from_le_bytes(*len))))
            .unwrap_or_default();
        Self {
            micros: long(line.get(4..).unwrap_or_default()).unwrap_or(0),
            number: long(line.get(NUMBER..).unwrap_or_default()).unwrap_or(0),
            level,
            cut: is_cut(line),
            target: std::str::from_utf8(target).unwrap_or_default(),
            pieces,
        }
    }

    pub(super) fn pieces(&self) -> Pieces<'a> {
        Pieces(self.pieces)
    }
}

fn long(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|long| u64::from_le_bytes(*long))
}

/// Reads pieces until there are none.
pub(super) struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    /// Each with the bytes that it is made of.
    fn with_bytes(mut self) -> impl Iterator<Item = (Piece<'a>, &'a [u8])> {
        std::iter::from_fn(move || {
            let before = self.0;
            let piece = self.next()?;
            Some((piece, before.get(..before.len() - self.0.len())?))
        })
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn name(&mut self) -> Option<&'a str> {
        let len = self.byte()?;
        std::str::from_utf8(self.bytes(len.into())?).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = u32::from_le_bytes(*self.bytes(4)?.first_chunk()?);
        std::str::from_utf8(self.bytes(len as usize)?).ok()
    }

    fn long(&mut self) -> Option<[u8; 8]> {
        self.bytes(8)?.first_chunk().copied()
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        Some(match self.byte()? {
            MESSAGE => Piece::Message(self.text()?),
            NAMED => Piece::Target(self.text()?),
            SPAN => Piece::Span(self.name()?),
            TEXT => Piece::Text(self.name()?, self.text()?),
            SIGNED => Piece::Signed(self.name()?, i64::from_le_bytes(self.long()?)),
            UNSIGNED => Piece::Unsigned(self.name()?, u64::from_le_bytes(self.long()?)),
            FLOAT => Piece::Float(self.name()?, f64::from_le_bytes(self.long()?)),
            BOOL => Piece::Bool(self.name()?, self.byte()? != 0),
            _ => return None,
        })
    }
}
