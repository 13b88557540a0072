//! Events, cut out of the bytes of a `text/event-stream` as they come.

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The data of one event.
    Data(Vec<u8>),
    /// A comment: a sign of life and nothing else.
    Comment,
}

/// Cuts bytes into events, wherever the pieces that they come in end. Names, numbers and waits of events are left out.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    /// The lines of data so far.
    data: Option<Vec<u8>>,
    after_cr: bool,
    begun: bool,
}

impl Events {
    /// Takes the next bytes; gives each event that they end. Whoever calls says how many there may be.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Event)) {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    let event = self.end_line();
                    self.line.clear();
                    event.into_iter().for_each(&mut each);
                }
                _ => self.line.push(byte),
            }
        }
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = match self.line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(line) if !self.begun => line,
            _ => &self.line[..],
        };
        self.begun = true;
        if line.is_empty() {
            return self.data.take().map(Event::Data);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        if field.is_empty() {
            return Some(Event::Comment);
        }
        if field == b"data" {
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for piece in pieces {
            events.push(piece, |event| all.push(event));
        }
        all
    }

    fn data(text: &str) -> Event {
        Event::Data(text.as_bytes().to_vec())
    }

    #[test]
    fn an_event_ends_with_an_empty_line_however_lines_end() {
        for text in ["data: a\n\ndata:b\n\n", "data: a\r\n\r\ndata:b\r\n\r\n", "data: a\r\rdata:b\r\r"] {
            assert_eq!(events(&[text.as_bytes()]), [data("a"), data("b")], "{text:?}");
        }
        assert_eq!(events(&[b"data: a\n"]), []);
    }

    #[test]
    fn what_comes_in_any_pieces_is_the_same() {
        let text = "\u{feff}: hello\r\nevent: x\r\nid: 7\r\ndata: {\"a\":\r\ndata: \"\u{fc}\"}\r\n\r\nretry: 5\n\n\ndata\n\ndata:  two\n\n";
        let whole = events(&[text.as_bytes()]);
        assert_eq!(whole, [Event::Comment, data("{\"a\":\n\"\u{fc}\"}"), data(""), data(" two")]);
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            assert_eq!(events(&pieces), whole, "{size}");
        }
    }
}
