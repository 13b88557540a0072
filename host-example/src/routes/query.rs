//! What stands behind the question mark.

use crate::problem::{Code, Problem};

/// Each name of a query with its value.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = Result<(&str, String), Problem>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((name, decoded(value).ok_or_else(|| bad(name, "text in percent-encoding"))?))
    })
}

/// A value that must be something else. A name that is none of ours is not repeated.
pub(super) fn bad(name: &str, what: &str) -> Problem {
    let name = if name.bytes().all(|byte| byte.is_ascii_lowercase()) { name } else { "a value" };
    Problem::new(Code::BadRequest, format!("`{name}` must be {what}."))
}

/// A name that cannot be asked for.
pub(super) fn unknown(known: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("Only {known} can be asked for."))
}

pub(super) fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| bad(name, "a whole number"))
}

/// A value of a query without its percent-encoding.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
