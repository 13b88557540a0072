//! base64url without padding (RFC 4648, section 5): the one spelling of every byte string.

use super::Error;

/// The character of six bits, by arithmetic: a table would tell its index to the cache, and the tag is encoded here.
const fn character(six: u8) -> u8 {
    let v = six as i16;
    let mut c = v + 65;
    c += ((25 - v) >> 8) & 6;
    c -= ((51 - v) >> 8) & 75;
    c -= ((61 - v) >> 8) & 13;
    c += ((62 - v) >> 8) & 49;
    c as u8
}

/// The six bits of a character of the alphabet.
const fn six_bits(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// The 43 characters of a tag.
pub(super) fn tag(tag: &[u8; 32]) -> [u8; 43] {
    let mut text = [0; 43];
    let mut out = Writer::new(&mut text);
    for byte in tag {
        out.byte(*byte);
    }
    out.flush();
    text
}

/// Writes characters and counts those that would not fit.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
    group: u32,
    bits: u32,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0, group: 0, bits: 0 }
    }

    /// A character as it is.
    pub(super) fn raw(&mut self, character: u8) {
        if let Some(place) = self.out.get_mut(self.len) {
            *place = character;
        }
        self.len = self.len.saturating_add(1);
    }

    /// A byte to be encoded.
    pub(super) fn byte(&mut self, byte: u8) {
        self.group = (self.group << 8) | u32::from(byte);
        self.bits += 8;
        while self.bits >= 6 {
            self.bits -= 6;
            self.raw(character(((self.group >> self.bits) & 63) as u8));
        }
    }

    /// Ends a run of encoded bytes; the bits that are left over are followed by zeros.
    pub(super) fn flush(&mut self) {
        if self.bits > 0 {
            self.raw(character(((self.group << (6 - self.bits)) & 63) as u8));
        }
        self.bits = 0;
        self.group = 0;
    }

    /// What was written, if all of it found its place.
    pub(super) fn written(&self) -> Result<&[u8], Error> {
        self.out.get(..self.len).ok_or(Error::Buffer)
    }

    /// The same, giving the buffer back.
    pub(super) fn finish(self) -> Result<&'o [u8], Error> {
        self.out.get(..self.len).ok_or(Error::Buffer)
    }
}

/// Reads bytes one at a time: no buffer, and nothing after the first fault.
pub(super) struct Bytes<'t> {
    text: core::slice::Iter<'t, u8>,
    group: u32,
    bits: u32,
}

/// Says that a text is not canonical base64url or not the JSON that is expected.
pub(super) struct Bad;

impl<'t> Bytes<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text: text.iter(), group: 0, bits: 0 }
    }

    /// The next byte; `None` at an end where no bit is left over but zeros.
    pub(super) fn next(&mut self) -> Result<Option<u8>, Bad> {
        while self.bits < 8 {
            let Some(character) = self.text.next() else {
                let rest = self.group & ((1 << self.bits) - 1);
                return if self.bits < 6 && rest == 0 { Ok(None) } else { Err(Bad) };
            };
            self.group = (self.group << 6) | u32::from(six_bits(*character).ok_or(Bad)?);
            self.bits += 6;
        }
        self.bits -= 8;
        Ok(Some(((self.group >> self.bits) & 255) as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn decode(text: &str) -> Option<Vec<u8>> {
        let mut bytes = Bytes::new(text.as_bytes());
        let mut all = Vec::new();
        loop {
            match bytes.next() {
                Ok(Some(byte)) => all.push(byte),
                Ok(None) => return Some(all),
                Err(Bad) => return None,
            }
        }
    }

    #[test]
    fn every_six_bits_have_one_character() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for (six, expected) in (0..).zip(alphabet) {
            assert_eq!(character(six), *expected);
            assert_eq!(six_bits(*expected), Some(six));
        }
        assert_eq!((0..=255).filter_map(six_bits).count(), 64);
    }

    #[test]
    fn what_is_written_reads_back_and_no_other_spelling_does() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(83)).collect();
            let mut buffer = [0; 64];
            let mut out = Writer::new(&mut buffer);
            bytes.iter().for_each(|b| out.byte(*b));
            out.flush();
            let text = std::string::String::from_utf8(out.finish().ok().unwrap().to_vec()).unwrap();
            assert_eq!(decode(&text), Some(bytes), "{text}");
        }
        // RFC 4648, section 3.5: bits that are left over; padding; the other alphabet; a lone character.
        for bad in ["QR", "QUJ", "QUJC=", "QQ==", "Q+__", "Q/__", "A", "QUJCQ", "QU JC", "QQ\n"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
