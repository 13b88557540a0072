//! One record of a chain, and its one spelling in bytes.

use core::fmt;

use super::event::{Event, Kind, Outcome, Told};
use crate::id::{BootId, DeviceId};
use crate::security::keys::TAG_LEN;
use crate::text::Text;
use crate::time::{Instant, UnixTime};

/// The first byte of every spelling.
const VERSION: u8 = 1;

/// The most bytes that [`Entry::encode`] writes.
pub const MAX_LEN: usize = 1 + 8 + (1 + 16) + 4 + 8 + (1 + 8) + 2 + (1 + 32) + (1 + 48) + (1 + 128) + TAG_LEN;

/// Holds one record of a chain.
///
/// Its spelling in bytes is the same in a file, on the wire and under the tag.
///
/// # Rules
/// 1. A record has one spelling, and no two records have the same: fixed widths, and a length before every text.
/// 2. What is read is checked as a new one is; a byte too many is refused as one too few.
///
/// # Cost
/// 312 bytes. Its spelling takes 60 bytes, 8 for a wall time, and its texts: at most [`MAX_LEN`].
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::{Chain, Entry, Event, MAX_LEN};
/// use daur_core::time::Instant;
///
/// let mut chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), [7; 32]);
/// let entry = chain.append(&Event::login("alice", true, "10.0.0.7"), Instant::from_secs(1), None);
///
/// let mut buffer = [0; MAX_LEN];
/// let bytes = entry.encode(&mut buffer);
/// assert_eq!(Entry::decode(bytes), Ok(entry));
/// assert!(Entry::decode(&bytes[1..]).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// Its number: 1, 2, 3..
    pub seq: u64,
    /// On which device.
    pub device: DeviceId,
    /// In which of its lives.
    pub boot: BootId,
    /// When, since that life's start.
    pub at: Instant,
    /// When, if the device knew.
    pub unix: Option<UnixTime>,
    /// What.
    pub event: Event,
    /// The tag over all of this and the tag before.
    pub tag: [u8; TAG_LEN],
}

/// Says that bytes are not the spelling of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these bytes are not an audit record")
    }
}

impl core::error::Error for Malformed {}

impl Entry {
    /// What the tag covers.
    pub(super) fn covered(&self) -> Covered<'_> {
        let Self { seq, device, boot, at, unix, ref event, .. } = *self;
        Covered { seq, device, boot, at, unix, event: event.told() }
    }

    /// Gives its spelling, piece by piece: what the tag covers, and the tag.
    pub(crate) fn pieces(&self, put: &mut dyn FnMut(&[u8])) {
        self.covered().pieces(put);
        put(&self.tag);
    }

    /// Writes its spelling.
    pub fn encode<'a>(&self, out: &'a mut [u8; MAX_LEN]) -> &'a [u8] {
        self.covered().write(&self.tag, out)
    }

    /// Bytes of its spelling.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut len = 0;
        self.pieces(&mut |piece| len += piece.len());
        len
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`Malformed`] for all other bytes, also for a kind of event that this version does not know.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader { rest: bytes };
        reader.entry().filter(|_| reader.rest.is_empty()).ok_or(Malformed)
    }
}

/// What the tag of a record covers; its event is borrowed, since it is long.
pub(super) struct Covered<'a> {
    pub(super) seq: u64,
    pub(super) device: DeviceId,
    pub(super) boot: BootId,
    pub(super) at: Instant,
    pub(super) unix: Option<UnixTime>,
    pub(super) event: Told<'a>,
}

impl Covered<'_> {
    /// Gives it piece by piece.
    pub(super) fn pieces(&self, put: &mut dyn FnMut(&[u8])) {
        put(&[VERSION]);
        put(&self.seq.to_be_bytes());
        text(self.device.as_bytes(), put);
        put(&self.boot.0.to_be_bytes());
        put(&self.at.as_nanos().to_be_bytes());
        put(&[u8::from(self.unix.is_some())]);
        if let Some(unix) = self.unix {
            put(&unix.as_millis().to_be_bytes());
        }
        put(&[self.event.kind as u8, self.event.outcome as u8]);
        text(self.event.actor, put);
        text(self.event.source, put);
        text(self.event.detail, put);
    }

    /// Writes it with its tag.
    pub(super) fn write<'o>(&self, tag: &[u8; TAG_LEN], out: &'o mut [u8; MAX_LEN]) -> &'o [u8] {
        let mut len = 0;
        let mut put = |piece: &[u8]| {
            for (to, from) in out.iter_mut().skip(len).zip(piece) {
                *to = *from;
            }
            len += piece.len();
        };
        self.pieces(&mut put);
        put(tag);
        out.get(..len).unwrap_or_default()
    }
}

/// Holds the spelling of one record, as a chain has written it: what goes over the line or into a file need not be
/// read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'a>(&'a [u8]);

impl<'a> Spelling<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, as [`Entry::encode`] gives them.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// A text behind its length, which is at most 255 by its type.
fn text(text: &[u8], put: &mut dyn FnMut(&[u8])) {
    put(&[u8::try_from(text.len()).unwrap_or(u8::MAX)]);
    put(text);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Option<Entry> {
        let [VERSION] = self.array()? else { return None };
        Some(Entry {
            seq: self.number()?,
            device: DeviceId::new(self.text()?).ok()?,
            boot: BootId(u32::from_be_bytes(self.array()?)),
            at: Instant::from_nanos(self.number()?),
            unix: match self.array()? {
                [0] => None,
                [1] => Some(UnixTime::from_millis(self.number()?)),
                _ => return None,
            },
            event: {
                let [kind, outcome] = self.array()?;
                Event {
                    kind: Kind::from_number(kind)?,
                    outcome: Outcome::from_number(outcome)?,
                    actor: Text::new(self.text()?).ok()?,
                    source: Text::new(self.text()?).ok()?,
                    detail: Text::new(self.text()?).ok()?,
                }
            },
            tag: self.array()?,
        })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let [len] = self.array()?;
        let (text, rest) = self.rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        core::str::from_utf8(text).ok()
    }
}

/// An entry as its spelling in binary formats, which the wire's is; in formats for people, as its fields.
#[cfg(feature = "serde")]
pub(crate) mod spelling {
    use core::fmt;

    use serde::de::{Deserialize, Deserializer, Error, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::{Entry, MAX_LEN};

    pub(crate) fn serialize<S: Serializer>(entry: &Entry, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return entry.serialize(serializer);
        }
        serializer.serialize_bytes(entry.encode(&mut [0; MAX_LEN]))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        if deserializer.is_human_readable() {
            return Entry::deserialize(deserializer);
        }
        deserializer.deserialize_bytes(Spelling)
    }

    struct Spelling;

    impl Visitor<'_> for Spelling {
        type Value = Entry;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an audit record")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Entry, E> {
            Entry::decode(bytes).map_err(E::custom)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::vec::Vec;

    /// The longest that there is.
    pub(crate) fn longest() -> Entry {
        let text = |n| "n".repeat(n);
        Entry {
            seq: u64::MAX,
            device: DeviceId::new(&text(16)).unwrap(),
            boot: BootId(u32::MAX),
            at: Instant::MAX,
            unix: Some(UnixTime::from_millis(u64::MAX)),
            event: Event::new(Kind::Login, Outcome::Denied, &text(32), &text(48), &text(128)),
            tag: [0xFF; TAG_LEN],
        }
    }

    fn shortest() -> Entry {
        let event = Event::new(Kind::Start, Outcome::Success, "", "", "");
        Entry { seq: 1, device: DeviceId::new("d").unwrap(), unix: None, event, ..longest() }
    }

    fn spelt(entry: &Entry) -> Vec<u8> {
        entry.encode(&mut [0; MAX_LEN]).to_vec()
    }

    #[test]
    fn rule_1_a_record_has_one_spelling_and_no_other_record_has_it() {
        for entry in [longest(), shortest()] {
            let bytes = spelt(&entry);
            assert_eq!(Entry::decode(&bytes), Ok(entry));
            assert_eq!(entry.encoded_len(), bytes.len());
            // Whatever else is read from bytes near by is another record, spelt as it was read.
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut other = bytes.clone();
                    other[at] ^= 1 << bit;
                    if let Ok(read) = Entry::decode(&other) {
                        assert_ne!(read, entry);
                        assert_eq!(spelt(&read), other);
                    }
                }
            }
        }
        assert_eq!((longest().encoded_len(), shortest().encoded_len()), (MAX_LEN, 61));
        // A border between two texts that moves is seen.
        let with =
            |actor, source| Entry { event: Event::new(Kind::Login, Outcome::Success, actor, source, ""), ..shortest() };
        assert_ne!(spelt(&with("ab", "c")), spelt(&with("a", "bc")));
    }

    #[test]
    fn rule_2_what_is_no_record_is_refused() {
        let bytes = spelt(&longest());
        for len in 0..bytes.len() {
            assert_eq!(Entry::decode(&bytes[..len]), Err(Malformed), "{len}");
        }
        assert_eq!(Entry::decode(&[bytes.as_slice(), &[0]].concat()), Err(Malformed));
        let spoilt = |at: usize, byte: u8| {
            let mut bytes = spelt(&shortest());
            bytes[at] = byte;
            Entry::decode(&bytes)
        };
        // The version, the name's length and letter, the mark of a wall time, kind, outcome, a text's length.
        for (at, byte) in [(0, 0), (0, 2), (9, 0), (9, 17), (10, b' '), (23, 2), (24, 0), (24, 200), (25, 4), (26, 1)] {
            assert_eq!(spoilt(at, byte), Err(Malformed), "{at} {byte}");
        }
        // Not UTF-8.
        let mut bytes = spelt(&longest());
        let last_of_detail = bytes.len() - TAG_LEN - 1;
        bytes[last_of_detail] = 0xFF;
        assert_eq!(Entry::decode(&bytes), Err(Malformed));
    }
}
