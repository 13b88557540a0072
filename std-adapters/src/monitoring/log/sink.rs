//! Where lines go.

use std::fmt;
use std::io::{self, Write};

use daur_core::time::UnixTime;

use super::render::{Colour, Format};

/// Takes whole lines, one call for each.
///
/// It is called by one thread, which does nothing else: it may be slow, fail, log and panic, and the log accounts for it.
pub trait Sink: Send {
    /// Takes one line with its break, said at `at`. After an error none of it may be seen.
    ///
    /// # Errors
    /// Why not; the line counts as dropped.
    fn write(&mut self, line: &[u8], at: UnixTime) -> io::Result<()>;

    /// Hands on what it holds back; called when there is nothing more to write for now.
    ///
    /// # Errors
    /// Why not; the lines count as written, since they were taken.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sink, its name in the counts, and how its lines look.
pub struct Output {
    /// What it is called: `console`, `file`.
    pub name: String,
    /// How lines look.
    pub format: Format,
    /// The sink itself.
    pub sink: Box<dyn Sink>,
}

impl Output {
    /// A sink of this name.
    pub fn new(name: impl Into<String>, format: Format, sink: impl Sink + 'static) -> Self {
        Self { name: name.into(), format, sink: Box::new(sink) }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("name", &self.name).field("format", &self.format).finish_non_exhaustive()
    }
}

/// How lines look on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// JSON, or for people.
    pub json: bool,
    /// Whether there are colours.
    pub colour: Colour,
}

impl Console {
    pub(super) fn open(self) -> Output {
        let format = match self {
            Self { json: true, .. } => Format::Json,
            Self { colour, .. } if colour.is_wanted() => Format::Coloured,
            _ => Format::Human,
        };
        Output::new("console", format, Writer(io::stderr()))
    }
}

/// A sink of anything that bytes can be written to.
///
/// # Example
/// ```
/// use daur_std::core::time::UnixTime;
/// use daur_std::monitoring::log::sink::{Sink, Writer};
///
/// let mut sink = Writer(Vec::new());
/// sink.write(b"a line\n", UnixTime::from_secs(0)).unwrap();
/// assert_eq!(sink.0, b"a line\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Writer<W>(pub W);

impl<W: Write + Send> Sink for Writer<W> {
    fn write(&mut self, line: &[u8], _: UnixTime) -> io::Result<()> {
        self.0.write_all(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
