//! Records as lines: to be read by people, and verified without believing what they read.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, BufRead, Read};

use daur_core::security::audit::{Broken, Entry, Filter, Head, MAX_LEN, Report, Verifier};

use crate::security::keys::hex;

/// The most bytes of a line, its break included.
pub const MAX_LINE: usize = 4096;

const RECORD: &str = ",\"record\":\"";
const END: &str = "\"}\n";

/// A record as one line of JSON, line break included: its fields for people, and its spelling in hexadecimal digits.
///
/// Whatever the texts are, it is one line of printable characters: all but letters, digits and ASCII's own signs
/// stand as `\u` and four digits.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::{Chain, Event};
/// use daur_core::time::Instant;
/// use daur_std::security::audit::lines;
///
/// let mut chain = Chain::new(DeviceId::new("host").unwrap(), BootId(1), [7; 32]);
/// let entry = chain.append(&Event::command("alice", "echo \n\u{1b}[2J", true), Instant::from_secs(1), None);
/// let line = lines::line(&entry);
/// assert!(line.starts_with(r#"{"seq":1,"device":"host","boot":"00000001","at_ns":1000000000,"unix_ms":null,"#));
/// assert!(line.contains(r#""detail":"echo \u000a\u001b[2J""#));
/// assert_eq!(lines::read(line.as_bytes()), Some(entry));
/// // What people read is held to what the tag covers.
/// assert_eq!(lines::read(line.replace("alice", "mallo").as_bytes()), None);
/// ```
#[must_use]
pub fn line(entry: &Entry) -> String {
    let event = &entry.event;
    let mut line = String::with_capacity(512);
    // Writing to a `String` does not fail.
    let _ = write!(line, "{{\"seq\":{},\"device\":", entry.seq);
    quote(entry.device.as_str(), &mut line);
    let _ = write!(line, ",\"boot\":\"{}\",\"at_ns\":{},\"unix_ms\":", entry.boot, entry.at.as_nanos());
    match entry.unix {
        Some(unix) => {
            let _ = write!(line, "{}", unix.as_millis());
        }
        None => line.push_str("null"),
    }
    let _ = write!(line, ",\"kind\":\"{}\",\"outcome\":\"{}\"", event.kind.name(), event.outcome.name());
    for (name, text) in
        [("actor", event.actor.as_str()), ("source", event.source.as_str()), ("detail", event.detail.as_str())]
    {
        let _ = write!(line, ",\"{name}\":");
        quote(text, &mut line);
    }
    line.push_str(RECORD);
    line.push_str(&hex(entry.encode(&mut [0; MAX_LEN])));
    line.push_str(END);
    line
}

fn quote(text: &str, line: &mut String) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            ' '..='~' => line.push(c),
            c if c.is_alphanumeric() => line.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
        }
    }
    line.push('"');
}

/// The record of a line as [`line()`] writes it, byte by byte; `None` for any other.
#[must_use]
pub fn read(text: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_LINE)?;
    let (_, digits) = text.strip_suffix(END)?.rsplit_once(RECORD)?;
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > MAX_LEN {
        return None;
    }
    let digit = |d: u8| char::from(d).to_digit(16);
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()).collect();
    Entry::decode(&bytes?).ok().filter(|entry| line(entry) == text)
}

/// Reads lines one by one; a line that is none is told as such, a last one without its break is left out.
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    read: u64,
    torn: bool,
}

impl<R: BufRead> Lines<R> {
    /// From wherever `reader` stands.
    pub const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), read: 0, torn: false }
    }

    /// Bytes of whole lines read so far.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Whether there were bytes behind the last whole line.
    #[must_use]
    pub const fn is_torn(&self) -> bool {
        self.torn
    }

    /// Passes over the rest of a line, however long it is; says how much that was, `None` if the line has no break.
    fn skip(&mut self) -> io::Result<Option<usize>> {
        let mut skipped = 0;
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            let line_break = bytes.iter().position(|b| *b == b'\n');
            let used = line_break.map_or(bytes.len(), |at| at + 1);
            self.reader.consume(used);
            skipped += used;
            if line_break.is_some() || used == 0 {
                return Ok(line_break.map(|_| skipped));
            }
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    /// `None` inside: this line is no record.
    type Item = io::Result<Option<Entry>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.buffer.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE as u64);
        match limited.read_until(b'\n', &mut self.buffer) {
            Err(error) => Some(Err(error)),
            Ok(_) if self.buffer.ends_with(b"\n") => {
                self.read += self.buffer.len() as u64;
                Some(Ok(read(&self.buffer)))
            }
            // Longer than any line.
            Ok(MAX_LINE) => Some(self.skip().map(|skipped| {
                match skipped {
                    Some(skipped) => self.read += (MAX_LINE + skipped) as u64,
                    None => self.torn = true,
                }
                None
            })),
            Ok(_) => {
                self.torn |= !self.buffer.is_empty();
                None
            }
        }
    }
}

/// Checks a chain of lines from its first key, and against a head that was kept elsewhere.
///
/// A last line without its break is left out: it was never acknowledged, or it was cut, which a head shows.
///
/// # Errors
/// The reader's. What is wrong with the chain is in the [`Report`].
pub fn verify_lines(reader: impl BufRead, key: [u8; 32], head: Option<Head>) -> io::Result<Report> {
    let mut verifier = head.map_or_else(|| Verifier::new(key), |head| Verifier::with_head(key, head));
    for entry in Lines::new(reader) {
        if check(&mut verifier, entry?.as_ref()).is_err() {
            break;
        }
    }
    Ok(verifier.report(None))
}

/// Checks the next line.
pub(super) fn check(verifier: &mut Verifier, entry: Option<&Entry>) -> Result<(), Broken> {
    match entry {
        Some(entry) => verifier.check(entry),
        None => Err(verifier.unreadable()),
    }
}

/// The last `limit` records that `filter` asks for, the newest first; lines that are none are left out.
///
/// # Errors
/// The reader's.
pub fn find(reader: impl BufRead, filter: &Filter<'_>, limit: usize) -> io::Result<Vec<Entry>> {
    let mut found = VecDeque::new();
    for entry in Lines::new(reader) {
        if let Some(entry) = entry?.filter(|entry| filter.matches(entry)) {
            found.push_front(entry);
            found.truncate(limit);
        }
    }
    Ok(found.into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use daur_core::id::{BootId, DeviceId};
    use daur_core::security::audit::{Chain, Completeness, Event, Kind, Outcome};
    use daur_core::time::{Instant, UnixTime};

    const KEY: [u8; 32] = [7; 32];

    fn chain(length: u64) -> (Vec<String>, Head) {
        let mut chain = Chain::new(DeviceId::new("host").unwrap(), BootId(1), KEY);
        let lines = (0..length)
            .map(|n| {
                let event = Event::command(if n % 2 == 0 { "alice" } else { "bob" }, &format!("echo {n}"), true);
                line(&chain.append(&event, Instant::from_secs(n), Some(UnixTime::from_secs(n))))
            })
            .collect();
        (lines, chain.head())
    }

    fn verify(text: &str, head: Option<Head>) -> Report {
        verify_lines(text.as_bytes(), KEY, head).unwrap()
    }

    #[test]
    fn every_text_makes_one_line_that_reads_back() {
        let mut chain = Chain::new(DeviceId::new("host").unwrap(), BootId(1), KEY);
        // Every character of the planes that have any, some at a time.
        let all: Vec<char> = ('\0'..='\u{2FFF}').chain('\u{FE00}'..='\u{FFFF}').chain(['😀', '\u{E0001}']).collect();
        for some in all.chunks(29) {
            let text: String = some.iter().collect();
            let event = Event::new(Kind::Login, Outcome::Failure, &text, &text, &text);
            let entry = chain.append(&event, Instant::MAX, Some(UnixTime::from_millis(u64::MAX)));
            let line = line(&entry);
            assert!(line.len() <= MAX_LINE);
            let (last, before) = line.as_bytes().split_last().unwrap();
            assert_eq!(*last, b'\n');
            let shown = std::str::from_utf8(before).unwrap();
            assert!(shown.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric()), "{shown:?}");
            assert_eq!(read(line.as_bytes()), Some(entry));
        }
    }

    #[test]
    fn whatever_is_changed_in_a_line_is_found() {
        let (lines, head) = chain(3);
        let whole = lines.concat();
        assert_eq!(verify(&whole, Some(head)).result(), Ok(head));
        let middle = lines[0].len()..lines[0].len() + lines[1].len();
        for at in middle {
            for bit in [1, 32] {
                let mut text = whole.clone().into_bytes();
                text[at] ^= bit;
                let report = verify_lines(text.as_slice(), KEY, Some(head)).unwrap();
                assert_eq!(report.integrity.unwrap_err().seq(), 2, "{at}");
            }
        }
    }

    #[test]
    fn lines_removed_swapped_and_cut_are_found_and_a_torn_one_is_left_out() {
        let (lines, head) = chain(4);
        let of = |order: &[usize]| verify(&order.iter().map(|n| lines[*n].as_str()).collect::<String>(), Some(head));
        assert_eq!(of(&[0, 2, 3]).integrity, Err(Broken::Missing { seq: 2 }));
        assert_eq!(of(&[0, 2, 1, 3]).integrity, Err(Broken::Missing { seq: 2 }));
        assert_eq!(of(&[0, 1, 2]).completeness, Completeness::Truncated { seq: 3, of: 4 });
        let torn = format!("{}{}", lines[0], &lines[1][..lines[1].len() - 1]);
        assert_eq!((verify(&torn, None).integrity, verify(&torn, None).end.seq), (Ok(()), 1));
        let endless = format!("{}{}", lines[0], "x".repeat(3 * MAX_LINE));
        assert_eq!(verify(&endless, None).integrity, Err(Broken::Unreadable { seq: 2 }));
        assert_eq!(verify(&format!("{}\n", lines[0]), None).integrity, Err(Broken::Unreadable { seq: 2 }));
    }

    #[test]
    fn a_line_however_long_is_one_line_and_its_bytes_count() {
        let (lines, _) = chain(2);
        for long in [MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE] {
            let text = format!("{}{}\n{}", lines[0], "x".repeat(long), lines[1]);
            for (end, whole, torn) in [("", text.len(), false), ("torn", text.len(), true)] {
                let text = format!("{text}{end}");
                let mut all = Lines::new(text.as_bytes());
                let seqs: Vec<_> = all.by_ref().map(|entry| entry.unwrap().map(|entry| entry.seq)).collect();
                assert_eq!(seqs, [Some(1), None, Some(2)]);
                assert_eq!((all.read(), all.is_torn()), (whole as u64, torn));
            }
            let endless = format!("{}{}", lines[0], "x".repeat(long));
            let mut all = Lines::new(endless.as_bytes());
            assert_eq!(all.by_ref().filter(|entry| matches!(entry, Ok(None))).count(), 1);
            assert_eq!((all.read(), all.is_torn()), (lines[0].len() as u64, true));
        }
    }

    #[test]
    fn find_gives_the_newest_of_those_that_are_asked_for() {
        let (lines, _) = chain(9);
        let of_bob = Filter { actor: Some("bob"), ..Filter::ALL };
        let found = find(lines.concat().as_bytes(), &of_bob, 2).unwrap();
        assert_eq!(found.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [8, 6]);
    }
}
