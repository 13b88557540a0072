//! Frames found in a stream of bytes.

use super::crc::Crc32;

/// Counts what a [`Decoder`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Payloads given out.
    pub frames: u32,
    /// Stretches between two delimiters whose stuffing or check sum is wrong: damaged frames, and noise.
    pub crc_errors: u32,
    /// Stretches longer than the decoder's capacity.
    pub oversized: u32,
}

/// Finds frames in any stream of bytes, and starts anew at every delimiter.
///
/// Bytes may come in pieces of any size, with anything between the frames. `N` bounds a payload with its check
/// sum: [`MAX_PAYLOAD`](super::frame::MAX_PAYLOAD) on a host, [`MAX_DOWNLINK`](super::frame::MAX_DOWNLINK) on a
/// device.
///
/// # Rules
/// 1. What is given out does not depend on how the bytes were cut into pieces.
/// 2. A damaged frame is counted and costs no other: the next delimiter ends it.
/// 3. A frame with a flipped bit is not given out. A flip among the data bytes is always detected by the check
///    sum; one that hits a byte of the stuffing, or makes a delimiter, moves many bits and passes with a
///    probability of 2^-32. Of the golden frames and the downlinks every flip has been tried.
/// 4. Empty stretches, such as delimiters sent to wake a line, are not counted.
///
/// # Cost
/// `N` bytes and 24 more on a Cortex-M: 536 bytes of RAM and 1,136 of flash on thumbv6m (image `decoder`), the reading
/// of what a host says included. Constant work a byte.
///
/// # Sharing
/// One reader's; it is not meant to be shared.
///
/// # Example
/// ```
/// use daur_core::wire::decoder::Decoder;
///
/// let mut decoder: Decoder<64> = Decoder::new();
/// // The check sum of "a" is 0xE8B7BE43.
/// let mut line = &b"noise\0\x06a\x43\xBE\xB7\xE8\0\x06a\x43"[..];
/// assert_eq!(decoder.feed(&mut line), Some(&b"a"[..]));
/// assert_eq!(decoder.feed(&mut line), None); // the second frame is not whole yet
/// assert_eq!(decoder.feed(&mut &b"\xBE\xB7\xE8\0"[..]), Some(&b"a"[..]));
/// assert_eq!(decoder.snapshot().crc_errors, 1);
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<const N: usize> {
    bytes: [u8; N],
    len: usize,
    /// Of all bytes so far.
    crc: Crc32,
    /// Bytes that are still to come before the next length of a block.
    left: u8,
    /// The block before stands for a zero, unless it is the last one.
    zero: bool,
    /// Nothing has come since the delimiter.
    empty: bool,
    /// More has come than there is room for.
    overflow: bool,
    seen: Snapshot,
}

impl<const N: usize> Decoder<N> {
    /// A decoder that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            crc: Crc32::new(),
            left: 0,
            zero: false,
            empty: true,
            overflow: false,
            seen: Snapshot { frames: 0, crc_errors: 0, oversized: 0 },
        }
    }

    /// Takes bytes off the front of `input` until a payload is whole, and gives it without its check sum; `None`
    /// when `input` is used up. Call it until it gives `None`.
    pub fn feed(&mut self, input: &mut &[u8]) -> Option<&[u8]> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if byte != 0 {
                self.unstuff(byte);
            } else if let Some(len) = self.end() {
                return self.bytes.get(..len);
            }
        }
        None
    }

    /// What it has seen.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        self.seen
    }

    fn unstuff(&mut self, byte: u8) {
        self.empty = false;
        if self.left > 0 {
            self.left -= 1;
            self.keep(byte);
            return;
        }
        if self.zero {
            self.keep(0);
        }
        self.left = byte - 1;
        self.zero = byte != u8::MAX;
    }

    #[inline(never)]
    fn keep(&mut self, byte: u8) {
        self.crc.push(byte);
        match self.bytes.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.overflow = true,
        }
    }

    /// Judges what stands before a delimiter and starts anew: the payload's length.
    fn end(&mut self) -> Option<usize> {
        let (len, whole, empty, overflow) = (self.len, self.left == 0, self.empty, self.overflow);
        let intact = whole && self.crc.finish() == Crc32::RESIDUE;
        (self.len, self.left, self.zero, self.empty, self.overflow) = (0, 0, false, true, false);
        self.crc = Crc32::new();
        if empty {
            return None;
        }
        let payload = if overflow { None } else { len.checked_sub(4).filter(|_| intact) };
        let seen = match payload {
            Some(_) => &mut self.seen.frames,
            None if overflow => &mut self.seen.oversized,
            None => &mut self.seen.crc_errors,
        };
        *seen = seen.saturating_add(1);
        payload
    }
}

impl<const N: usize> Default for Decoder<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::cobs;
    use std::vec::Vec;

    fn encoded(text: &str) -> Vec<u8> {
        let mut line = [0; 600];
        let len = cobs::encode(&mut line[..], |out| {
            out.bytes(text.as_bytes());
        })
        .unwrap();
        line[..len].to_vec()
    }

    fn decode<const N: usize>(decoder: &mut Decoder<N>, mut line: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(payload) = decoder.feed(&mut line) {
            all.push(payload.to_vec());
        }
        all
    }

    #[test]
    fn rule_1_what_is_given_out_does_not_depend_on_the_pieces() {
        let line = [encoded("one"), encoded("two")].concat();
        let whole = decode(&mut Decoder::<64>::new(), &line);
        assert_eq!(whole, [b"\x03one", b"\x03two"]);
        let mut decoder = Decoder::<64>::new();
        let bytewise: Vec<_> = line.chunks(1).flat_map(|byte| decode(&mut decoder, byte)).collect();
        assert_eq!(bytewise, whole);
    }

    #[test]
    fn rule_2_a_damaged_frame_costs_no_other() {
        let mut damaged = encoded("two");
        damaged[3] ^= 1;
        let mut decoder = Decoder::<64>::new();
        let got = decode(&mut decoder, &[encoded("one"), damaged, encoded("three")].concat());
        assert_eq!(got, [&b"\x03one"[..], b"\x05three"]);
        assert_eq!(decoder.snapshot(), Snapshot { frames: 2, crc_errors: 1, oversized: 0 });
    }

    #[test]
    fn rule_4_empty_stretches_are_not_counted() {
        let mut decoder = Decoder::<64>::new();
        assert_eq!(decode(&mut decoder, &[0; 9]).len(), 0);
        assert_eq!(decoder.snapshot(), Snapshot::default());
    }

    #[test]
    fn a_frame_longer_than_the_capacity_is_counted_and_the_next_one_read() {
        let long = "x".repeat(100);
        let mut decoder = Decoder::<64>::new();
        assert_eq!(decode(&mut decoder, &[encoded(&long), encoded("one")].concat()), [b"\x03one"]);
        assert_eq!(decoder.snapshot(), Snapshot { frames: 1, crc_errors: 0, oversized: 1 });
        // A text of 59 bytes, its length and the sum: exactly 64.
        assert_eq!(decode(&mut decoder, &encoded(&long[..59])).len(), 1);
        assert_eq!(decode(&mut decoder, &encoded(&long[..60])).len(), 0);
    }

    #[test]
    fn blocks_of_254_bytes_and_around_them_come_back() {
        for len in (240..=270).chain(500..=515) {
            let text = "y".repeat(len);
            let got = decode(&mut Decoder::<600>::new(), &encoded(&text));
            assert_eq!(got.len(), 1, "{len}");
            assert!(got[0].ends_with(text.as_bytes()), "{len}");
        }
    }
}
