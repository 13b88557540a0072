//! How far a long work has come, for whoever waits for it at a terminal.

use std::io::{self, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

/// From one sign to the next.
const EVERY: Duration = Duration::from_millis(200);

/// Passes bytes on, and shows on stderr how many it were: of a size that is known as per cent, else as lines. Where stderr
/// is no terminal, or what is written goes to one itself, it shows nothing.
#[derive(Debug)]
pub struct Progress<T> {
    inner: T,
    what: &'static str,
    of: Option<u64>,
    done: u64,
    next: Option<Instant>,
    shown: bool,
}

impl<T> Progress<T> {
    /// Shows reading of `of` bytes.
    pub fn reading(inner: T, what: &'static str, of: u64) -> Self {
        Self::new(inner, what, Some(of), true)
    }

    /// Shows writing of lines to stdout.
    pub fn writing(inner: T, what: &'static str) -> Self {
        Self::new(inner, what, None, !io::stdout().is_terminal())
    }

    fn new(inner: T, what: &'static str, of: Option<u64>, free: bool) -> Self {
        let shows = free && io::stderr().is_terminal();
        Self { inner, what, of, done: 0, next: shows.then(Instant::now), shown: false }
    }

    fn advance(&mut self, by: u64) {
        self.done += by;
        let now = Instant::now();
        if self.next.is_some_and(|next| now >= next) {
            self.next = Some(now + EVERY);
            self.shown = true;
            // Whoever does not see it misses nothing.
            let _ = match self.of {
                Some(of) => write!(io::stderr(), "\r{}: {} %", self.what, self.done * 100 / of.max(1)),
                None => write!(io::stderr(), "\r{}: {}", self.what, self.done),
            };
        }
    }
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.advance(read as u64);
        Ok(read)
    }
}

impl<W: Write> Write for Progress<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        let lines = bytes.iter().take(written).filter(|byte| **byte == b'\n').count();
        self.advance(lines as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T> Drop for Progress<T> {
    /// Leaves the line as it was.
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r{:40}\r", "");
        }
    }
}
