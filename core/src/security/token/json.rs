//! A pull parser of JSON over base64url: no buffer, no recursion, nothing left unchecked.

use super::base64::{Bad, Bytes};

/// Members that an object may have. Claims and headers have a dozen.
const MAX_MEMBERS: usize = 24;
/// How deep values may nest that nobody reads.
const MAX_DEPTH: u32 = 16;
/// The last millisecond of the year 9999.
const MAX_MILLIS: u64 = 253_402_300_799_999;

/// A string's first bytes, its length and a hash of what was not kept.
pub(super) struct Str {
    bytes: [u8; 64],
    len: usize,
    hash: u64,
}

impl Str {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; 64], len: 0, hash: 0 }
    }

    fn clear(&mut self) {
        self.len = 0;
        self.hash = 0xCBF2_9CE4_8422_2325;
    }

    fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.len) {
            Some(place) => *place = byte,
            None => self.hash = fnv(self.hash, byte),
        }
        self.len = self.len.saturating_add(1);
    }

    /// The string; `None` if it is longer than 64 bytes.
    pub(super) fn kept(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len)
    }

    /// The same as text.
    pub(super) fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.kept()?).ok()
    }

    /// Tells names apart that are too many to keep.
    fn hash(&self) -> u64 {
        self.bytes.iter().take(self.len).fold(self.hash, |hash, byte| fnv(hash, *byte))
    }

    fn push_char(&mut self, code: u32) {
        let tail = |shift: u32| 0x80 | ((code >> shift) & 0x3F) as u8;
        match code {
            0..0x80 => self.push(code as u8),
            0x80..0x800 => {
                self.push(0xC0 | (code >> 6) as u8);
                self.push(tail(0));
            }
            0x800..0x1_0000 => {
                self.push(0xE0 | (code >> 12) as u8);
                self.push(tail(6));
                self.push(tail(0));
            }
            _ => {
                self.push(0xF0 | (code >> 18) as u8);
                self.push(tail(12));
                self.push(tail(6));
                self.push(tail(0));
            }
        }
    }
}

/// One step of FNV-1a.
const fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01B3)
}

/// A date: seconds rounded down, milliseconds rounded up. To a clock of milliseconds the latter is exact.
#[derive(Clone, Copy)]
pub(super) struct Date {
    pub(super) secs: u64,
    pub(super) millis: u64,
}

pub(super) struct Reader<'t> {
    bytes: Bytes<'t>,
    names: [u64; MAX_MEMBERS],
    members: usize,
}

impl<'t> Reader<'t> {
    /// Stands before the object in `text`.
    pub(super) fn over(text: &'t [u8]) -> Self {
        Self { bytes: Bytes::new(text), names: [0; MAX_MEMBERS], members: 0 }
    }

    /// Moves into the object.
    pub(super) fn open(&mut self) -> Result<(), Bad> {
        if self.token()? == b'{' { Ok(()) } else { Err(Bad) }
    }

    fn peek(&mut self) -> Result<Option<u8>, Bad> {
        self.bytes.peek()
    }

    fn next(&mut self) -> Result<u8, Bad> {
        let byte = self.bytes.peek()?.ok_or(Bad)?;
        self.bytes.pass();
        Ok(byte)
    }

    /// The next byte that is not white space.
    pub(super) fn token(&mut self) -> Result<u8, Bad> {
        loop {
            match self.next()? {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                byte => return Ok(byte),
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Bad> {
        if self.token()? == byte { Ok(()) } else { Err(Bad) }
    }

    /// Moves to the next member's value and puts its name into `name`; false at the object's end, which
    /// must be the text's. A name that was there before is refused, be it known or not.
    pub(super) fn member(&mut self, name: &mut Str) -> Result<bool, Bad> {
        match (self.token()?, self.members) {
            (b'}', _) => return self.end().map(|()| false),
            (b'"', 0) => {}
            (b',', 1..) => self.expect(b'"')?,
            _ => return Err(Bad),
        }
        self.string(name)?;
        let hash = name.hash();
        if self.names.iter().take(self.members).any(|known| *known == hash) {
            return Err(Bad);
        }
        *self.names.get_mut(self.members).ok_or(Bad)? = hash;
        self.members += 1;
        self.expect(b':')?;
        Ok(true)
    }

    fn end(&mut self) -> Result<(), Bad> {
        loop {
            match self.peek()? {
                None => return Ok(()),
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.bytes.pass(),
                Some(_) => return Err(Bad),
            }
        }
    }

    /// A value that must be a string.
    pub(super) fn string_value(&mut self, out: &mut Str) -> Result<(), Bad> {
        self.expect(b'"')?;
        self.string(out)
    }

    /// The rest of a string after its first quote. Checks UTF-8, escapes and raw control characters.
    pub(super) fn string(&mut self, out: &mut Str) -> Result<(), Bad> {
        out.clear();
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.escape(out)?,
                ascii @ 0x20..=0x7F => out.push(ascii),
                other => self.wide(other, out)?,
            }
        }
    }

    /// The rest of a character of more than one byte, by the table of RFC 3629, section 4.
    fn wide(&mut self, first: u8, out: &mut Str) -> Result<(), Bad> {
        // Bytes still to come, and the range of the next.
        let (missing, mut low, mut high) = match first {
            0xC2..=0xDF => (1, 0x80, 0xBF),
            0xE0 => (2, 0xA0, 0xBF),
            0xED => (2, 0x80, 0x9F),
            0xE1..=0xEF => (2, 0x80, 0xBF),
            0xF0 => (3, 0x90, 0xBF),
            0xF1..=0xF3 => (3, 0x80, 0xBF),
            0xF4 => (3, 0x80, 0x8F),
            _ => return Err(Bad),
        };
        out.push(first);
        for _ in 0..missing {
            let byte = self.next()?;
            if byte < low || byte > high {
                return Err(Bad);
            }
            (low, high) = (0x80, 0xBF);
            out.push(byte);
        }
        Ok(())
    }

    fn escape(&mut self, out: &mut Str) -> Result<(), Bad> {
        let byte = match self.next()? {
            same @ (b'"' | b'\\' | b'/') => same,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let code = match self.hex4()? {
                    high @ 0xD800..0xDC00 => {
                        if self.next()? != b'\\' || self.next()? != b'u' {
                            return Err(Bad);
                        }
                        match self.hex4()? {
                            low @ 0xDC00..0xE000 => 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00),
                            _ => return Err(Bad),
                        }
                    }
                    0xDC00..0xE000 => return Err(Bad),
                    code => code,
                };
                out.push_char(code);
                return Ok(());
            }
            _ => return Err(Bad),
        };
        out.push(byte);
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, Bad> {
        let mut code = 0;
        for _ in 0..4 {
            code = (code << 4) | u32::from(hex(self.next()?).ok_or(Bad)?);
        }
        Ok(code)
    }

    /// Passes over a value, whatever it is, checking it as strictly as one that is read.
    pub(super) fn skip(&mut self, scratch: &mut Str) -> Result<(), Bad> {
        // One bit a level: set in an object, clear in an array.
        let (mut objects, mut depth) = (0_u32, 0);
        loop {
            match self.token()? {
                open @ (b'{' | b'[') => {
                    let (object, close) = (open == b'{', open + 2);
                    self.blanks()?;
                    if self.peek()? == Some(close) {
                        self.bytes.pass();
                    } else {
                        if depth == MAX_DEPTH {
                            return Err(Bad);
                        }
                        depth += 1;
                        objects = (objects << 1) | u32::from(object);
                        if object {
                            self.name(scratch)?;
                        }
                        continue;
                    }
                }
                b'"' => self.string(scratch)?,
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                first => {
                    self.number(first)?;
                }
            }
            // After a value: the next one of what it stands in, or that one's end.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects & 1 == 1;
                match self.token()? {
                    b',' => {
                        if object {
                            self.name(scratch)?;
                        }
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return Err(Bad),
                }
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    fn name(&mut self, scratch: &mut Str) -> Result<(), Bad> {
        self.string_value(scratch)?;
        self.expect(b':')
    }

    fn blanks(&mut self) -> Result<(), Bad> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek()? {
            self.bytes.pass();
        }
        Ok(())
    }

    fn word(&mut self, rest: &[u8]) -> Result<(), Bad> {
        for byte in rest {
            if self.next()? != *byte {
                return Err(Bad);
            }
        }
        Ok(())
    }

    /// A value that must be a number of seconds from 1970 to 9999.
    pub(super) fn date(&mut self) -> Result<Date, Bad> {
        let first = self.token()?;
        self.number(first)?.ok_or(Bad)
    }

    /// A number by JSON's grammar; `None` if it is no date.
    fn number(&mut self, first: u8) -> Result<Option<Date>, Bad> {
        let negative = first == b'-';
        let first = if negative { self.next()? } else { first };
        let mut number = Decimal { digits: 0, power: 0, exact: true, overflow: false };
        match first {
            b'0' => {}
            b'1'..=b'9' => {
                number.digit(first - b'0', false);
                while let Some(digit) = self.digit()? {
                    number.digit(digit, false);
                }
            }
            _ => return Err(Bad),
        }
        if self.peek()? == Some(b'.') {
            self.bytes.pass();
            let mut some = false;
            while let Some(digit) = self.digit()? {
                number.digit(digit, true);
                some = true;
            }
            if !some {
                return Err(Bad);
            }
        }
        if let Some(b'e' | b'E') = self.peek()? {
            self.bytes.pass();
            let down = match self.peek()? {
                Some(sign @ (b'+' | b'-')) => {
                    self.bytes.pass();
                    sign == b'-'
                }
                _ => false,
            };
            let mut power = i32::from(self.digit()?.ok_or(Bad)?);
            while let Some(digit) = self.digit()? {
                power = power.saturating_mul(10).saturating_add(i32::from(digit));
            }
            number.power = number.power.saturating_add(if down { -power } else { power });
        }
        Ok(if negative { None } else { number.date() })
    }

    fn digit(&mut self) -> Result<Option<u8>, Bad> {
        Ok(match self.peek()? {
            Some(digit @ b'0'..=b'9') => {
                self.bytes.pass();
                Some(digit - b'0')
            }
            _ => None,
        })
    }
}

/// `digits * 10^power`, and whether nothing was cut from it.
struct Decimal {
    digits: u64,
    power: i32,
    exact: bool,
    overflow: bool,
}

impl Decimal {
    fn digit(&mut self, digit: u8, fraction: bool) {
        if self.digits < u64::MAX / 10 {
            self.digits = self.digits * 10 + u64::from(digit);
            self.power = self.power.saturating_sub(i32::from(fraction));
        } else if fraction {
            // Digits behind the 19th of a fraction can only say that it is a little more.
            self.exact &= digit == 0;
        } else {
            self.overflow = true;
        }
    }

    /// As a date; `None` above the year 9999.
    fn date(mut self) -> Option<Date> {
        if self.overflow {
            return None;
        }
        // In milliseconds.
        let mut power = self.power.saturating_add(3);
        while power > 0 && self.digits > 0 {
            self.digits = self.digits.checked_mul(10)?;
            power -= 1;
        }
        while power < 0 && self.digits > 0 {
            self.exact &= self.digits.is_multiple_of(10);
            self.digits /= 10;
            power += 1;
        }
        let millis = self.digits.saturating_add(u64::from(!self.exact));
        (millis <= MAX_MILLIS).then_some(Date { secs: self.digits / 1_000, millis })
    }
}

/// The value of a hexadecimal digit.
pub(super) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
