//! Headers: our own spelling, and the scanner for everybody else's.

use super::base64::Writer;
use super::claims::string;
use super::json::{Reader, Str};
use super::{Bad, Error};
use crate::security::keys::Kid;

/// Room for the longest header of ours, encoded.
pub(super) const LEN: usize = 72;

/// Writes our spelling of the header.
pub(super) fn write(kid: Option<&Kid>, out: &mut Writer<'_>) {
    out.raw(b"{\"alg\":\"HS256\",\"typ\":\"JWT\"");
    if let Some(kid) = kid {
        out.raw(b",\"kid\":");
        string(out, kid.as_str());
    }
    out.raw(b"}");
    out.encode();
}

/// Reads any other spelling. Only what RFC 8725 lets stand: `HS256`, no critical extension, no unencoded payload,
/// no other type than `JWT`.
///
/// Not inlined: its reader would stand on the stack beside the claims'.
#[inline(never)]
pub(super) fn scan(header: &[u8]) -> Result<Option<Kid>, Error> {
    let scan = || -> Result<Result<Option<Kid>, Error>, Bad> {
        let mut reader = Reader::over(header);
        reader.open()?;
        let (mut name, mut value) = (Str::new(), Str::new());
        let (mut kid, mut algorithm) = (None, false);
        while reader.member(&mut name)? {
            match name.kept() {
                Some(b"alg") => {
                    reader.string_value(&mut value)?;
                    algorithm = value.as_str() == Some("HS256");
                    if !algorithm {
                        return Err(Bad);
                    }
                }
                Some(b"typ") => {
                    reader.string_value(&mut value)?;
                    if !value.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT")) {
                        return Err(Bad);
                    }
                }
                Some(b"kid") => {
                    reader.string_value(&mut value)?;
                    // A name that no key can have is still the name of a key: an unknown one.
                    kid = Some(value.as_str().and_then(|name| Kid::new(name).ok()));
                }
                Some(b"crit" | b"b64") => return Err(Bad),
                _ => reader.skip(&mut value)?,
            }
        }
        match (algorithm, kid) {
            (true, None) => Ok(Ok(None)),
            (true, Some(Some(kid))) => Ok(Ok(Some(kid))),
            (true, Some(None)) => Ok(Err(Error::UnknownKey)),
            (false, _) => Err(Bad),
        }
    };
    scan().unwrap_or(Err(Error::Header))
}
