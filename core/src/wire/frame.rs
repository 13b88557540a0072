//! One message on the line, in either direction.

use core::fmt;

use super::cobs::{self, Place};
use super::record::{AUDIT, LOST, Record};
use crate::security::audit::Spelling;
use crate::time::Instant;

/// The most bytes that a frame has before it is stuffed, check sum included: the `N` of a host's decoder.
///
/// The longest record of today, one of the audit chain, takes 314. The rest is for records to come. A host of schema 1
/// reads 256: to it a longer record is damaged and given up, a shorter one of a kind it does not know is skipped.
pub const MAX_PAYLOAD: usize = 384;

/// The most bytes that a frame has on the line.
pub const MAX_ENCODED: usize = encoded(MAX_PAYLOAD);

/// The most bytes that a [`Downlink`] has before it is stuffed: the `N` of a device's decoder.
///
/// A command's token is the longest: base64url of a header, the claims and 32 bytes of tag.
pub const MAX_DOWNLINK: usize = 512;

/// The most bytes that a downlink has on the line.
pub const MAX_DOWNLINK_ENCODED: usize = encoded(MAX_DOWNLINK);

/// One byte of stuffing for every 254 and one more, and the zero.
const fn encoded(payload: usize) -> usize {
    payload + payload / 254 + 2
}

/// Holds a numbered record and the moment at which it was made.
///
/// [`Outbox`](super::outbox::Outbox) makes frames; a program needs this type to read them.
///
/// # Rules
/// 1. A frame is read whatever stands after the fields that this version knows.
/// 2. A record that this version does not know is told apart from a damaged frame.
///
/// # Cost
/// 1 byte of stuffing for every 254, 4 of check sum, 1 of delimiter, beside the postcard bytes.
///
/// # Example
/// ```
/// use daur_core::time::Instant;
/// use daur_core::wire::{frame::{Frame, MAX_ENCODED}, record::Record};
///
/// let frame = Frame { seq: 1, at: Instant::from_millis(5), record: Record::Health { live: true, ready: false } };
/// let mut line = [0; MAX_ENCODED];
/// let len = frame.encode(&mut line).unwrap();
/// assert_eq!(line[len - 1], 0);
/// assert!(!line[..len - 1].contains(&0));
/// ```
///
/// # References
/// postcard 1.0 wire format; Cheshire and Baker 1999 for COBS; CRC-32/ISO-HDLC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame {
    /// Its number since the reset.
    pub seq: u32,
    /// When the record was made, on the device's clock.
    pub at: Instant,
    /// What it says.
    pub record: Record,
}

impl Frame {
    /// Writes the frame as it goes over the line, delimiter included, and gives its length.
    ///
    /// # Errors
    /// [`EncodeError`] if `out` is too short; [`MAX_ENCODED`] bytes always suffice.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        encode(self.seq, self.at, Content::Record(&self.record), out).ok_or(EncodeError)
    }

    /// Reads what [`Decoder::feed`](super::decoder::Decoder::feed) has given.
    ///
    /// # Errors
    /// [`DecodeError::UnknownRecord`] if a newer device sent it, [`DecodeError::Malformed`] if it is no frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let ((seq, at), rest) =
            postcard::take_from_bytes::<(u32, Instant)>(payload).map_err(|_| DecodeError::Malformed)?;
        match postcard::take_from_bytes(rest) {
            Ok((record, _later)) => Ok(Self { seq, at, record }),
            Err(_) => Err(DecodeError::UnknownRecord { seq, at }),
        }
    }
}

/// What a frame carries, borrowed.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Record(&'a Record),
    /// A [`Record::Audit`] that is spelt already.
    Audit(Spelling<'a>),
    /// A [`Record::Lost`], without the room that other records need.
    Lost {
        count: u32,
        since: Instant,
    },
}

/// Encodes a frame whose record need not be copied.
pub(super) fn encode<P: Place>(seq: u32, at: Instant, content: Content<'_>, place: P) -> Option<usize> {
    cobs::encode(place, |out| {
        out.small(seq).number(at.as_nanos());
        match content {
            Content::Record(record) => record.write(out),
            Content::Audit(spelling) => {
                out.byte(AUDIT).bytes(spelling.as_bytes());
            }
            Content::Lost { count, since } => {
                out.byte(LOST).small(count).number(since.as_nanos());
            }
        }
    })
}

/// Carries what a host tells a device, in the same framing.
///
/// # Rules
/// 1. Append-only, as records are; a device ignores what it does not know.
///
/// # Example
/// ```
/// use daur_core::wire::decoder::Decoder;
/// use daur_core::wire::frame::{Downlink, MAX_DOWNLINK, MAX_DOWNLINK_ENCODED};
///
/// let mut line = [0; MAX_DOWNLINK_ENCODED];
/// let len = Downlink::Ack { seq: 41 }.encode(&mut line).unwrap();
///
/// let mut decoder: Decoder<MAX_DOWNLINK> = Decoder::new();
/// let payload = decoder.feed(&mut &line[..len]).unwrap();
/// assert_eq!(Downlink::decode(payload), Ok(Downlink::Ack { seq: 41 }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Downlink<'a> {
    /// The host has every frame up to and including this one; for [`Outbox::ack`](super::outbox::Outbox::ack).
    Ack {
        /// The number of that frame.
        seq: u32,
    },
    /// A signed command: `sub` and `permissions` say who asks, `aud` names the device, `jti` is the boot nonce
    /// and a counter, `cmd` is the command. The device answers with [`Record::Reply`].
    Command {
        /// The compact token.
        token: &'a str,
    },
    /// The host does not know who speaks: say [`Record::Hello`] again.
    Identify,
}

impl<'a> Downlink<'a> {
    /// Writes the message as it goes over the line, delimiter included, and gives its length.
    ///
    /// # Errors
    /// [`EncodeError`] if `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        cobs::encode(out, |out| match self {
            Self::Ack { seq } => {
                out.byte(0).small(*seq);
            }
            Self::Command { token } => {
                out.byte(1).bytes(token.as_bytes());
            }
            Self::Identify => {
                out.byte(2);
            }
        })
        .ok_or(EncodeError)
    }

    /// Reads what [`Decoder::feed`](super::decoder::Decoder::feed) has given.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] if it is none, or one that this version does not know.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        // By hand, as it is written: a device reads nothing else.
        let malformed = DecodeError::Malformed;
        let (kind, rest) = payload.split_first().ok_or(malformed)?;
        match kind {
            0 => varint(rest).map(|(seq, _later)| Self::Ack { seq }),
            1 => varint(rest)
                .and_then(|(len, rest)| rest.get(..usize::try_from(len).ok()?))
                .and_then(|token| core::str::from_utf8(token).ok())
                .map(|token| Self::Command { token }),
            2 => Some(Self::Identify),
            _ => None,
        }
        .ok_or(malformed)
    }
}

/// A number from the front of `bytes`, seven bits a byte; what is above 32 bits is cut off.
#[inline(never)]
fn varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0;
    let mut shift = 0;
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        number |= u32::from(byte & 0x7F).wrapping_shl(shift);
        if byte < 0x80 {
            return Some((number, rest));
        }
        shift += 7;
        if shift > 28 {
            break;
        }
    }
    None
}

/// Says that the place for an encoded message is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodeError;

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the encoded message is longer than the place for it")
    }
}

impl core::error::Error for EncodeError {}

/// Says why a payload whose check sum is right could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError {
    /// A frame with a record that this version does not know.
    UnknownRecord {
        /// The frame's number, which counts as received.
        seq: u32,
        /// When the record was made.
        at: Instant,
    },
    /// Not a message of this kind.
    Malformed,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRecord { seq, .. } => write!(f, "frame {seq} holds a record that this version does not know"),
            Self::Malformed => f.write_str("the payload is not a message of this kind"),
        }
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;
    use crate::wire::crc::Crc32;
    use crate::wire::decoder::Decoder;
    use crate::wire::record::{Name, Unit};
    use std::string::ToString;
    use std::vec::Vec;

    const GAUGE: Record = Record::Gauge { name: Name::EMPTY, value: -3 };

    #[test]
    fn the_longest_record_leaves_room_for_records_to_come() {
        let distribution = Record::Distribution {
            name: Text::cut(&"n".repeat(24)),
            unit: Unit::Cycles,
            count: u64::MAX,
            sum: u64::MAX,
            min: u64::MAX,
            max: u64::MAX,
            p50: u64::MAX,
            p95: u64::MAX,
            p99: u64::MAX,
        };
        let audit = Record::Audit { entry: crate::security::audit::longest() };
        // One byte of stuffing for the first 254 bytes, another for those behind, and the zero.
        for (record, payload, stuffing) in [(distribution, 116, 2), (audit, 314, 3)] {
            let frame = Frame { seq: u32::MAX, at: Instant::MAX, record };
            let len = frame.encode(&mut [0; MAX_ENCODED]).unwrap();
            assert_eq!(len, payload + stuffing);
            assert!(payload <= MAX_PAYLOAD);
            let mut line = std::vec![0; len - 1];
            assert_eq!(frame.encode(&mut line), Err(EncodeError));
            line.push(0);
            assert_eq!(frame.encode(&mut line), Ok(len));
            assert_eq!(frame.encode(&mut []), Err(EncodeError));
            let mut decoder = Decoder::<MAX_PAYLOAD>::new();
            assert_eq!(Frame::decode(decoder.feed(&mut line.as_slice()).unwrap()), Ok(frame));
        }
    }

    #[test]
    fn rule_1_what_stands_behind_the_known_fields_is_left_alone() {
        let frame = Frame { seq: 1, at: Instant::ZERO, record: GAUGE };
        let mut payload = postcard::to_slice(&frame, &mut [0; 64]).unwrap().to_vec();
        payload.extend(b"a later field");
        assert_eq!(Frame::decode(&payload), Ok(frame));
    }

    #[test]
    fn rule_2_an_unknown_record_is_told_apart_from_a_damaged_frame() {
        // Number 7, made at 1 ns, and a record of the 100th variant.
        assert_eq!(
            Frame::decode(&[7, 1, 100, 1, 2, 3]),
            Err(DecodeError::UnknownRecord { seq: 7, at: Instant::from_nanos(1) })
        );
        assert_eq!(Frame::decode(&[0xFF]), Err(DecodeError::Malformed));
        assert_eq!(Downlink::decode(&[9]), Err(DecodeError::Malformed));
    }

    #[test]
    fn an_old_host_skips_a_frame_of_a_newer_device_and_reads_the_next() {
        let payload = [7, 1, 100, 1, 2, 3];
        let mut line = Vec::from([11]);
        line.extend(payload);
        line.extend(Crc32::of(&payload).to_le_bytes());
        line.push(0);
        let next = Frame { seq: 8, at: Instant::ZERO, record: GAUGE };
        let mut encoded = [0; MAX_ENCODED];
        let len = next.encode(&mut encoded).unwrap();
        line.extend(&encoded[..len]);

        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        let mut line = line.as_slice();
        let skipped = Frame::decode(decoder.feed(&mut line).unwrap());
        assert!(matches!(skipped, Err(DecodeError::UnknownRecord { seq: 7, .. })));
        assert!(skipped.unwrap_err().to_string().contains("frame 7"));
        assert_eq!(Frame::decode(decoder.feed(&mut line).unwrap()), Ok(next));
    }
}
