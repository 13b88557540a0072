//! base64url without padding (RFC 4648, section 5): the one spelling of every byte string.

use super::Error;

/// One in each byte of a word.
const EACH: u32 = 0x0101_0101;

/// One in each byte that is at least so much; none is above 127.
const fn at_least(bytes: u32, least: u32) -> u32 {
    ((bytes + (128 - least) * EACH) >> 7) & EACH
}

/// The four characters of 24 bits, all at once and by arithmetic alone: a table would tell its index to the cache,
/// and the tag is encoded here.
const fn characters(bits: u32) -> [u8; 4] {
    // Six bits to a byte. None is above 63, so nothing carries from one byte into the next.
    let six = (bits & 0xFC_0000) << 6 | (bits & 0x03_F000) << 4 | (bits & 0x0FC0) << 2 | (bits & 0x3F);
    let (lower, digit, dash, line) = (at_least(six, 26), at_least(six, 52), at_least(six, 62), at_least(six, 63));
    (six + 65 * EACH + 6 * lower - 75 * digit - 13 * dash + 49 * line).to_be_bytes()
}

/// The same from a table, which is faster: for what the token itself lays open.
fn open_characters(bits: u32) -> [u8; 4] {
    [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63])
}

static ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The six bits of each character; of all others, what is more than six bits.
static SIX_BITS: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut six = 0;
    while six < 64 {
        table[ALPHABET[six as usize] as usize] = six;
        six += 1;
    }
    table
};
const NONE: u8 = 0x80;

fn word([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}

/// The 43 characters of a tag.
pub(super) fn tag(tag: &[u8; 32]) -> [u8; 43] {
    let mut text = [0; 43];
    let (groups, rest) = tag.as_chunks::<3>();
    let (places, last) = text.as_chunks_mut::<4>();
    for (place, group) in places.iter_mut().zip(groups) {
        *place = characters(word(*group));
    }
    if let [a, b] = *rest {
        fill(last, &characters(word([a, b, 0])));
    }
    text
}

/// Writes bytes, turns them into characters where they stand, and counts those that would not fit.
pub(super) struct Writer<'o> {
    out: &'o mut [u8],
    len: usize,
    plain: usize,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0, plain: 0 }
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(place) = self.out.get_mut(self.len..end) {
            fill(place, bytes);
        }
        self.len = end;
    }

    /// What is written from here on is to be encoded.
    pub(super) fn begin(&mut self) {
        self.plain = self.len;
    }

    /// Encodes what was written since [`Writer::begin`]. From its end on, so that no character is written over a byte
    /// that was not read; bits that are left over are followed by zeros.
    pub(super) fn encode(&mut self) {
        let bytes = self.len.saturating_sub(self.plain);
        let (groups, over) = (bytes / 3, bytes % 3);
        self.len = self.plain.saturating_add(groups * 4 + if over > 0 { over + 1 } else { 0 });
        let Some(place) = self.out.get_mut(self.plain..self.len) else { return };
        let (mut from, mut to) = (groups * 3, groups * 4);
        let byte = |at| place.get(at).copied().unwrap_or_default();
        let last = [byte(from), if over > 1 { byte(from + 1) } else { 0 }, 0];
        fill(place.get_mut(to..).unwrap_or_default(), &open_characters(word(last)));
        while from > 0 {
            (from, to) = (from - 3, to - 4);
            let Some(group) = place.get(from..).and_then(<[u8]>::first_chunk) else { return };
            let characters = open_characters(word(*group));
            let Some(place) = place.get_mut(to..).and_then(<[u8]>::first_chunk_mut) else { return };
            *place = characters;
        }
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

/// Reads bytes one at a time, decoded three at a time: no buffer, and nothing after the first fault.
pub(super) struct Bytes<'t> {
    groups: core::slice::Iter<'t, [u8; 4]>,
    rest: &'t [u8],
    /// The next byte on top.
    queue: u32,
    queued: u8,
}

/// Says that a text is not canonical base64url or not the JSON that is expected.
pub(super) struct Bad;

impl<'t> Bytes<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        let (groups, rest) = text.as_chunks();
        Self { groups: groups.iter(), rest, queue: 0, queued: 0 }
    }

    /// The next byte, which stays; `None` at an end where no bit is left over but zeros.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Bad> {
        if self.queued == 0 {
            self.refill()?;
        }
        Ok(if self.queued > 0 { Some((self.queue >> 24) as u8) } else { None })
    }

    /// Passes over the byte that was peeked at.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.queue <<= 8;
        self.queued = self.queued.saturating_sub(1);
    }

    fn refill(&mut self) -> Result<(), Bad> {
        let ([a, b, c, d], queued) = match self.groups.next() {
            Some(group) => (*group, 3),
            None => match *core::mem::take(&mut self.rest) {
                [] => return Ok(()),
                [a, b] => ([a, b, b'A', b'A'], 1),
                [a, b, c] => ([a, b, c, b'A'], 2),
                _ => return Err(Bad),
            },
        };
        let [a, b, c, d] = [a, b, c, d].map(|character| u32::from(SIX_BITS[usize::from(character)]));
        let bits = a << 26 | b << 20 | c << 14 | d << 8;
        let over = if queued < 3 { bits << (8 * queued) } else { 0 };
        if (a | b | c | d) & u32::from(NONE) != 0 || over != 0 {
            return Err(Bad);
        }
        (self.queue, self.queued) = (bits, queued);
        Ok(())
    }
}

/// Copies as much as fits. Not `copy_from_slice`, whose length check would bring a panic into the image.
fn fill(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
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
            match bytes.peek() {
                Ok(Some(byte)) => {
                    bytes.pass();
                    all.push(byte);
                }
                Ok(None) => return Some(all),
                Err(Bad) => return None,
            }
        }
    }

    #[test]
    fn every_six_bits_have_one_character() {
        for (six, expected) in (0_u8..).zip(&ALPHABET) {
            let bits = u32::from(six);
            assert_eq!(characters(bits), [b'A', b'A', b'A', *expected]);
            let mixed = bits << 18 | 63 << 12 | (63 - bits) << 6 | bits;
            assert_eq!(characters(mixed), open_characters(mixed));
            assert_eq!(SIX_BITS[usize::from(*expected)], six);
        }
        assert_eq!(SIX_BITS.iter().filter(|six| **six < 64).count(), 64);
    }

    #[test]
    fn what_is_written_reads_back_and_no_other_spelling_does() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(83)).collect();
            let mut buffer = [0; 64];
            let mut out = Writer::new(&mut buffer);
            out.raw(b"..");
            out.begin();
            bytes.iter().for_each(|b| out.raw(&[*b]));
            out.encode();
            let text = std::string::String::from_utf8(out.finish().ok().unwrap().to_vec()).unwrap();
            assert_eq!(decode(text.strip_prefix("..").unwrap()), Some(bytes), "{text}");
        }
        // RFC 4648, section 3.5: bits that are left over; padding; the other alphabet; a lone character.
        for bad in ["QR", "QUJ", "QUJC=", "QQ==", "Q+__", "Q/__", "A", "QUJCQ", "QU JC", "QQ\n"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
