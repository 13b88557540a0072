//! Consistent overhead byte stuffing and the check sum, in one pass.
//!
//! Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use super::crc::Crc32;

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

/// Encodes `value` with postcard, sums it, stuffs it and ends it with a zero; the encoded length, or `None` if it
/// does not fit.
pub(super) fn encode<T: Serialize, P: Place>(value: &T, place: P) -> Option<usize> {
    let encoder = Encoder { place, at: 1, code_at: 0, code: 1, crc: Crc32::new() };
    postcard::serialize_with_flavor(value, encoder).ok()
}

struct Encoder<P> {
    place: P,
    /// Where the next byte goes.
    at: usize,
    /// Where the length of the block under way goes.
    code_at: usize,
    /// That length, counting itself.
    code: u8,
    crc: Crc32,
}

impl<P: Place> Encoder<P> {
    // Once for every byte of every record: inlined into serde's code it would be there twenty times.
    #[inline(never)]
    fn stuff(&mut self, byte: u8) -> postcard::Result<()> {
        let mut fits = true;
        if byte != 0 {
            fits = self.place.put(self.at, byte);
            self.at += 1;
            self.code += 1;
        }
        if byte == 0 || self.code == u8::MAX {
            fits &= self.end_block();
        }
        if fits { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }

    fn end_block(&mut self) -> bool {
        let fits = self.place.put(self.code_at, self.code);
        self.code_at = self.at;
        self.at += 1;
        self.code = 1;
        fits
    }
}

impl<P: Place> Flavor for Encoder<P> {
    type Output = usize;

    #[inline(never)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.crc.push(byte);
        self.stuff(byte)
    }

    #[inline(never)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        for &byte in bytes {
            self.try_push(byte)?;
        }
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<usize> {
        for byte in self.crc.finish().to_le_bytes() {
            self.stuff(byte)?;
        }
        // Ends the last block, and `code_at` is then the place after it.
        if self.end_block() && self.place.put(self.code_at, 0) {
            return Ok(self.at);
        }
        Err(postcard::Error::SerializeBufferFull)
    }
}
