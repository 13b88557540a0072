//! Consistent overhead byte stuffing and the check sum, in one pass.
//!
//! Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.

use super::crc::Crc32;
use crate::text::Text;

/// A place for encoded bytes, addressed from the frame's first.
pub(super) trait Place {
    /// Puts `byte` at `at`; `false` if there is no such place.
    fn put(&mut self, at: usize, byte: u8) -> bool;
}

impl Place for &mut [u8] {
    fn put(&mut self, at: usize, byte: u8) -> bool {
        match self.get_mut(at) {
            Some(place) => {
                *place = byte;
                true
            }
            None => false,
        }
    }
}

/// Writes a message in postcard's format, sums it, stuffs it and ends it with a zero; the encoded length, or `None`
/// if it does not fit.
pub(super) fn encode<P: Place>(place: P, message: impl FnOnce(&mut Encoder<P>)) -> Option<usize> {
    let mut encoder = Encoder { place, at: 1, code_at: 0, code: 1, full: false, crc: Crc32::new() };
    message(&mut encoder);
    encoder.finish()
}

/// Writes postcard's format a value at a time.
///
/// By hand and not by serde, whose generated code for the records takes 4 KB of flash, most of it for asking after
/// every field whether it did fit. Tests hold it to postcard byte by byte.
pub(super) struct Encoder<P> {
    place: P,
    /// Where the next byte goes.
    at: usize,
    /// Where the length of the block under way goes.
    code_at: usize,
    /// That length, counting itself.
    code: u8,
    /// Something did not fit.
    full: bool,
    crc: Crc32,
}

// Each of these stands once for all records: inlined it would be there fifty times. They give the encoder back, so
// that it stays in its register from call to call.
impl<P: Place> Encoder<P> {
    /// One byte as it is: a small enum, a flag.
    #[inline(never)]
    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.crc.push(byte);
        self.stuff(byte);
        self
    }

    /// An unsigned number: seven bits a byte, the least first.
    #[inline(never)]
    pub(super) fn number(&mut self, mut number: u64) -> &mut Self {
        while number > 0x7F {
            self.byte(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.byte(number.to_le_bytes()[0])
    }

    /// As [`number`](Self::number), for numbers that are small on the device as well.
    #[inline(never)]
    pub(super) fn small(&mut self, number: u32) -> &mut Self {
        self.number(u64::from(number))
    }

    /// A text.
    #[inline(never)]
    pub(super) fn text<const N: usize>(&mut self, text: &Text<N>) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A text's bytes, behind their number.
    #[inline(never)]
    pub(super) fn bytes(&mut self, text: &[u8]) -> &mut Self {
        // No text here is longer than a frame.
        self.small(u32::try_from(text.len()).unwrap_or(u32::MAX));
        for &byte in text {
            self.byte(byte);
        }
        self
    }

    #[inline(never)]
    fn stuff(&mut self, byte: u8) {
        if byte != 0 {
            self.put(self.at, byte);
            self.at += 1;
            self.code += 1;
        }
        if byte == 0 || self.code == u8::MAX {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        self.put(self.code_at, self.code);
        self.code_at = self.at;
        self.at += 1;
        self.code = 1;
    }

    #[inline(never)]
    fn put(&mut self, at: usize, byte: u8) {
        self.full |= !self.place.put(at, byte);
    }

    fn finish(&mut self) -> Option<usize> {
        for byte in self.crc.finish().to_le_bytes() {
            self.stuff(byte);
        }
        self.end_block();
        // The place of the next block's length, which does not come.
        self.put(self.code_at, 0);
        if self.full { None } else { Some(self.at) }
    }
}
