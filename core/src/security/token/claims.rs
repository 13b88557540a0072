//! Claims to and from JSON.

use super::base64::{Bad, Writer};
use super::json::{Date, Reader, Str, hex};
use super::{Claims, Config, Error};
use crate::security::permission::{Permissions, Scopes};
use crate::text::Text;

/// The exact times of claims.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) exp: Option<Date>,
    pub(super) nbf: Option<Date>,
}

impl From<Bad> for Error {
    fn from(_: Bad) -> Self {
        Self::Claims
    }
}

/// Reads the payload of a token whose tag was right into `claims`, which are the default's.
///
/// Not inlined, and filled where they stay: a device's stack holds its reader while it reads, and the claims once.
#[inline(never)]
pub(super) fn read(payload: &[u8], scopes: &Scopes, claims: &mut Claims) -> Result<Times, Error> {
    let mut reader = Reader::over(payload);
    reader.open()?;
    // A member's name until it is known, and its value then.
    let mut read = Str::new();
    let mut times = Times { exp: None, nbf: None };
    let mut has_sub = false;
    while reader.member(&mut read)? {
        match read.kept() {
            Some(b"sub") => {
                text(&mut reader, &mut read, &mut claims.sub)?;
                has_sub = true;
            }
            Some(b"iss") => text(&mut reader, &mut read, claims.iss.insert(Text::EMPTY))?,
            Some(b"aud") => text(&mut reader, &mut read, claims.aud.insert(Text::EMPTY))?,
            Some(b"cmd") => text(&mut reader, &mut read, claims.cmd.insert(Text::EMPTY))?,
            Some(b"exp") => times.exp = Some(reader.date()?),
            Some(b"nbf") => times.nbf = Some(reader.date()?),
            Some(b"iat") => claims.iat = Some(reader.date()?.secs),
            Some(b"jti") => {
                reader.string_value(&mut read)?;
                claims.jti = Some(read.as_str().and_then(number).ok_or(Error::Claims)?);
            }
            Some(b"permissions") => claims.permissions = permissions(&mut reader, &mut read, scopes)?,
            _ => reader.skip(&mut read)?,
        }
    }
    if !has_sub {
        return Err(Error::Missing);
    }
    claims.exp = times.exp.map(|date| date.secs);
    claims.nbf = times.nbf.map(|date| date.secs);
    Ok(times)
}

fn text<const M: usize>(reader: &mut Reader<'_>, value: &mut Str, place: &mut Text<M>) -> Result<(), Error> {
    reader.string_value(value)?;
    // Too long is refused: a name that is cut is another name.
    if value.as_str().is_some_and(|text| place.push(text)) { Ok(()) } else { Err(Error::TooLong) }
}

/// The number of 32 lower-case hexadecimal digits.
fn number(text: &str) -> Option<[u8; 16]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 16 || !rest.is_empty() || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut id = [0; 16];
    for (byte, [high, low]) in id.iter_mut().zip(pairs) {
        *byte = (hex(*high)? << 4) | hex(*low)?;
    }
    Some(id)
}

/// A list of names; a name that is unknown here grants nothing here.
fn permissions(reader: &mut Reader<'_>, value: &mut Str, scopes: &Scopes) -> Result<Permissions, Error> {
    let mut all = Permissions::NONE;
    if reader.token()? != b'[' {
        return Err(Error::Claims);
    }
    let mut first = true;
    loop {
        match (reader.token()?, first) {
            (b']', _) => return Ok(all),
            (b'"', true) => reader.string(value)?,
            (b',', false) => reader.string_value(value)?,
            _ => return Err(Error::Claims),
        }
        first = false;
        if let Some(permission) = value.as_str().and_then(|name| scopes.by_name(name)) {
            all = all.with(permission);
        }
    }
}

/// Writes the payload, with the config's issuer and audience where the claims name none.
pub(super) fn write(claims: &Claims, config: &Config, out: &mut Writer<'_>) {
    out.raw(b"{");
    text_member(out, b"\"sub\":", claims.sub.as_str());
    for (name, value) in [(b",\"exp\":", claims.exp), (b",\"nbf\":", claims.nbf), (b",\"iat\":", claims.iat)] {
        if let Some(value) = value {
            out.raw(name);
            decimal(out, value);
        }
    }
    if let Some(jti) = claims.jti {
        out.raw(b",\"jti\":\"");
        for byte in jti {
            out.raw(&hex_digits(byte));
        }
        out.raw(b"\"");
    }
    if let Some(iss) = claims.iss.as_ref().or(config.issuer.as_ref()) {
        text_member(out, b",\"iss\":", iss.as_str());
    }
    if let Some(aud) = claims.aud.as_ref().or(config.audience.as_ref()) {
        text_member(out, b",\"aud\":", aud.as_str());
    }
    if !claims.permissions.is_empty() {
        out.raw(b",\"permissions\":[");
        let mut open: &[u8] = b"\"";
        for name in config.scopes.names(claims.permissions) {
            // No character of a name needs an escape.
            out.raw(open);
            out.raw(name.as_bytes());
            open = b"\",\"";
        }
        out.raw(if open.len() > 1 { b"\"]" } else { b"]" });
    }
    if let Some(cmd) = &claims.cmd {
        text_member(out, b",\"cmd\":", cmd.as_str());
    }
    out.raw(b"}");
}

fn text_member(out: &mut Writer<'_>, name: &[u8], value: &str) {
    out.raw(name);
    string(out, value);
}

pub(super) fn string(out: &mut Writer<'_>, text: &str) {
    out.raw(b"\"");
    let mut rest = text.as_bytes();
    loop {
        // Runs of what needs no escape go as they are.
        let run = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
        let (plain, escaped) = rest.split_at_checked(run).unwrap_or((rest, &[]));
        out.raw(plain);
        let Some((byte, after)) = escaped.split_first() else { break };
        if *byte < 0x20 {
            out.raw(b"\\u00");
            out.raw(&hex_digits(*byte));
        } else {
            out.raw(&[b'\\', *byte]);
        }
        rest = after;
    }
    out.raw(b"\"");
}

const fn hex_digits(byte: u8) -> [u8; 2] {
    const fn digit(four: u8) -> u8 {
        if four < 10 { b'0' + four } else { b'a' + (four & 15) - 10 }
    }
    [digit(byte >> 4), digit(byte & 15)]
}

fn decimal(out: &mut Writer<'_>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut blank = digits.len();
    // Two at a time: a division of 64 bits takes long on a device.
    for pair in digits.as_chunks_mut().0.iter_mut().rev() {
        let last = (value % 100) as u8;
        *pair = [b'0' + last / 10, b'0' + last % 10];
        value /= 100;
        blank -= 2;
        if value == 0 {
            blank += usize::from(last < 10);
            break;
        }
    }
    out.raw(digits.get(blank..).unwrap_or_default());
}
