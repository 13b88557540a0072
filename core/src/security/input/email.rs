//! Addresses of mail, as people have them.

use core::fmt;

/// Says which addresses may pass, beyond those that everybody expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Local parts in quotes: `"a b"@example.org`.
    pub quoted: bool,
    /// Characters beyond ASCII (RFC 6531), as typed; without, a domain of another script comes as its
    /// `xn--` form.
    pub international: bool,
    /// Domains without a dot: `root@localhost`.
    pub local_domains: bool,
    /// An IP address for a domain: `a@[192.0.2.1]`, `a@[IPv6:2001:db8::1]`.
    pub literals: bool,
}

impl Rules {
    /// ASCII, unquoted, a domain with a dot.
    pub const DEFAULT: Self = Self { quoted: false, international: false, local_domains: false, literals: false };
}

impl Default for Rules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says why a text is not an address that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than 254 bytes.
    TooLong,
    /// No `@`.
    NoAt,
    /// Nothing before the `@`.
    NoLocal,
    /// More than 64 bytes before the `@`.
    LocalTooLong,
    /// A character before the `@` that may not stand there.
    LocalCharacter,
    /// A dot at an end of the local part, or two in a row.
    LocalDot,
    /// A quoted local part, which the rules do not allow, or one that is not closed.
    Quoted,
    /// Nothing after the `@`.
    NoDomain,
    /// More than 253 bytes after the `@`.
    DomainTooLong,
    /// A domain without a dot, or with a number for its last label.
    DomainForm,
    /// An empty label: a dot at an end of the domain, or two in a row.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LabelTooLong,
    /// A character in the domain that may not stand there.
    DomainCharacter,
    /// A hyphen at an end of a label.
    Hyphen,
    /// An IP address for a domain, which the rules do not allow, or which is none.
    Literal,
    /// A character beyond ASCII, which the rules do not allow.
    International,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a mail address has at most 254 bytes",
            Self::NoAt => "a mail address has an @",
            Self::NoLocal => "there is nothing before the @",
            Self::LocalTooLong => "at most 64 bytes may stand before the @",
            Self::LocalCharacter => "a character before the @ may not stand there",
            Self::LocalDot => "the part before the @ has a dot at its end or two in a row",
            Self::Quoted => "the part before the @ is quoted, which is not allowed or not complete",
            Self::NoDomain => "there is nothing after the @",
            Self::DomainTooLong => "at most 253 bytes may stand after the @",
            Self::DomainForm => "the domain needs a dot, and a last part that is no number",
            Self::EmptyLabel => "the domain has a dot at its end or two in a row",
            Self::LabelTooLong => "each part of the domain has at most 63 bytes",
            Self::DomainCharacter => "a character of the domain may not stand there",
            Self::Hyphen => "a part of the domain begins or ends with a hyphen",
            Self::Literal => "the domain is an IP address, which is not allowed or not a right one",
            Self::International => "only ASCII is allowed; a domain of another script comes as its xn-- form",
        })
    }
}

impl core::error::Error for Refusal {}

/// Holds the two parts of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Email<'a> {
    /// Before the last `@`; its case may matter to who receives it.
    pub local: &'a str,
    /// After it; its case does not matter.
    pub domain: &'a str,
}

/// Takes an address of mail apart, if it is one (the seed's e-mail validation).
///
/// By its form alone: whether it exists, only a letter tells. Comments and folded lines, which RFC 5322
/// has as well, are never taken.
///
/// # Rules
/// 1. At most 254 bytes in all, 64 before the `@`, 253 after it, 63 in a label (RFC 5321, RFC 1035).
/// 2. Before the `@`: letters, digits and ``!#$%&'*+-/=?^_`{|}~``, with single dots between them.
/// 3. After it: labels of letters, digits and hyphens, no hyphen at an end; at least two, the last no number.
/// 4. Quotes, other scripts, dotless domains and IP addresses as far as the rules allow them.
/// 5. Control characters and white space stand nowhere; within quotes, a space does.
///
/// # Cost
/// O(n), no allocation, nothing copied. 4 bytes of RAM and 3,380 of flash on thumbv6m (image `email`).
///
/// # Errors
/// [`Refusal`]: the first reason that was found.
///
/// # Example
/// ```
/// use daur_core::security::input::email::{Refusal, Rules, check};
///
/// let email = check("ada.lovelace+news@example.org", &Rules::DEFAULT)?;
/// assert_eq!((email.local, email.domain), ("ada.lovelace+news", "example.org"));
/// assert_eq!(check("ada@example", &Rules::DEFAULT), Err(Refusal::DomainForm));
/// # Ok::<(), Refusal>(())
/// ```
///
/// # References
/// RFC 5321, 4.1.2 and 4.5.3.1; RFC 6531.
#[doc(alias = "validate_email")]
pub fn check<'a>(address: &'a str, rules: &Rules) -> Result<Email<'a>, Refusal> {
    if address.len() > 254 {
        return Err(Refusal::TooLong);
    }
    if !rules.international && !address.is_ascii() {
        return Err(Refusal::International);
    }
    // The last one: in quotes there may be others.
    let at = address.bytes().rposition(|byte| byte == b'@').ok_or(Refusal::NoAt)?;
    let (local, domain) = (address.get(..at).unwrap_or(""), address.get(at + 1..).unwrap_or(""));
    check_local(local, rules)?;
    check_domain(domain, rules)?;
    Ok(Email { local, domain })
}

fn check_local(local: &str, rules: &Rules) -> Result<(), Refusal> {
    if local.is_empty() {
        return Err(Refusal::NoLocal);
    }
    if local.len() > 64 {
        return Err(Refusal::LocalTooLong);
    }
    if let Some(rest) = local.strip_prefix('"') {
        let inner = rest.strip_suffix('"').filter(|_| rules.quoted).ok_or(Refusal::Quoted)?;
        return check_quoted(inner);
    }
    let (mut before, mut misplaced) = (b'.', false);
    for byte in local.bytes() {
        if !is_atom(byte) && byte != b'.' {
            return Err(Refusal::LocalCharacter);
        }
        misplaced |= byte == b'.' && before == b'.';
        before = byte;
    }
    if !local.is_ascii() && !local.chars().all(|character| character.is_ascii() || is_international(character)) {
        return Err(Refusal::LocalCharacter);
    }
    if misplaced || before == b'.' { Err(Refusal::LocalDot) } else { Ok(()) }
}

/// Bytes beyond ASCII are parts of characters, which are judged as such.
const fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~' | 0x80..)
}

/// Beyond ASCII only what is seen, and no other `@`: where texts are normalised it would end the local part.
fn is_international(character: char) -> bool {
    !super::sanitize::is_blank(character)
        && !super::sanitize::is_hidden(character)
        && !matches!(character, '\u{FF20}' | '\u{FE6B}' | '\u{FFFD}')
}

fn check_quoted(inner: &str) -> Result<(), Refusal> {
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Err(Refusal::Quoted),
            '\\' => match characters.next() {
                Some(' '..='~') => {}
                Some(_) => return Err(Refusal::LocalCharacter),
                None => return Err(Refusal::Quoted),
            },
            ' '..='~' => {}
            other if !other.is_ascii() && is_international(other) => {}
            _ => return Err(Refusal::LocalCharacter),
        }
    }
    Ok(())
}

fn check_domain(domain: &str, rules: &Rules) -> Result<(), Refusal> {
    if domain.is_empty() {
        return Err(Refusal::NoDomain);
    }
    if domain.len() > 253 {
        return Err(Refusal::DomainTooLong);
    }
    if let Some(rest) = domain.strip_prefix('[') {
        let inner = rest.strip_suffix(']').filter(|_| rules.literals).ok_or(Refusal::Literal)?;
        let right = match inner.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner.get(5..).is_some_and(is_ipv6),
            _ => is_ipv4(inner),
        };
        return if right { Ok(()) } else { Err(Refusal::Literal) };
    }
    if !domain.is_ascii() && !domain.chars().all(|character| character.is_ascii() || is_label(character)) {
        return Err(Refusal::DomainCharacter);
    }
    let (mut labels, mut len, mut is_number, mut before) = (0, 0, true, b'.');
    // A dot behind it ends the last label as others.
    for byte in domain.bytes().chain(core::iter::once(b'.')) {
        match byte {
            b'.' if len == 0 => return Err(Refusal::EmptyLabel),
            b'.' if len > 63 => return Err(Refusal::LabelTooLong),
            b'.' if before == b'-' => return Err(Refusal::Hyphen),
            b'.' => (labels, len) = (labels + 1, 0),
            b'-' if len == 0 => return Err(Refusal::Hyphen),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | 0x80.. => {
                is_number = byte.is_ascii_digit() && (is_number || len == 0);
                len += 1;
            }
            _ => return Err(Refusal::DomainCharacter),
        }
        before = byte;
    }
    if (labels < 2 && !rules.local_domains) || is_number { Err(Refusal::DomainForm) } else { Ok(()) }
}

/// Beyond ASCII; not a dot of other scripts, nor another sign that name resolution turns into a dot, a slash or the like
/// (UTS 46): the address would be in another domain.
fn is_label(character: char) -> bool {
    let is_sign = matches!(character,
        '\u{2024}'..='\u{2026}' | '\u{2047}'..='\u{2049}' | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}'
        | '\u{2474}'..='\u{24B5}' | '\u{3002}' | '\u{FE10}'..='\u{FE19}' | '\u{FE30}'..='\u{FE6B}'
        | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF64}');
    !is_sign && is_international(character)
}

// By hand: the standard library's parsers bring a panic into an image.

const fn is_dot(character: char) -> bool {
    character == '.'
}

const fn is_colon(character: char) -> bool {
    character == ':'
}

/// Four numbers up to 255, without zeros in front.
fn is_ipv4(text: &str) -> bool {
    let is_octet = |part: &str| match part.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] if rest.len() < 3 => part.parse::<u8>().is_ok(),
        _ => false,
    };
    text.split(is_dot).count() == 4 && text.split(is_dot).all(is_octet)
}

/// Eight groups of up to four hexadecimal digits, the last two of them perhaps as an IPv4 address; `::` once, for
/// one group or more.
fn is_ipv6(text: &str) -> bool {
    let (mut groups, mut gaps) = (0, 0);
    let count = text.split(is_colon).count();
    for (place, group) in text.split(is_colon).enumerate() {
        let at_end = place == 0 || place + 1 == count;
        let is_hex = group.len() <= 4 && group.bytes().all(|byte| byte.is_ascii_hexdigit());
        match group {
            // `::` at an end gives two empty groups there, in the middle one.
            "" if at_end => {}
            "" => gaps += 1,
            _ if is_hex => groups += 1,
            _ if place + 1 == count && is_ipv4(group) => groups += 2,
            _ => return false,
        }
        if at_end && group.is_empty() && count > 1 {
            // A colon at an end stands there twice or not at all.
            let beside = if place == 0 { 1 } else { place - 1 };
            if text.split(is_colon).nth(beside) != Some("") {
                return false;
            }
        }
    }
    if gaps == 0 { groups == 8 } else { gaps == 1 && groups <= 7 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    fn refusal(address: &str) -> Option<Refusal> {
        check(address, &Rules::DEFAULT).err()
    }

    #[test]
    fn rule_1_lengths_are_those_of_the_standards() {
        let (a63, a64) = ("a".repeat(63), "a".repeat(64));
        assert_eq!(refusal(&format!("{a64}@example.org")), None);
        assert_eq!(refusal(&format!("{a64}a@example.org")), Some(Refusal::LocalTooLong));
        assert_eq!(refusal(&format!("a@{a63}.org")), None);
        assert_eq!(refusal(&format!("a@{a64}.org")), Some(Refusal::LabelTooLong));
        let long = |n: usize| format!("a@{}.{}", [a63.as_str(); 3].join("."), "b".repeat(n));
        assert_eq!((long(60).len(), refusal(&long(60))), (254, None));
        assert_eq!(refusal(&long(61)), Some(Refusal::TooLong));
    }

    #[test]
    fn rules_2_3_and_5_everyday_addresses_pass_and_others_say_why_not() {
        for good in [
            "a@b.co",
            "simple@example.com",
            "very.common@example.com",
            "x+tag@sub.example.co.uk",
            "o'reilly@example.com",
            "user_name-1@my-host.example",
            "!#$%&'*+-/=?^_`{|}~@example.org",
            "1@2.com",
            "a@xn--bcher-kva.example",
            "A@EXAMPLE.ORG",
            "a@1example.com",
            "a@b.c1",
        ] {
            assert_eq!(refusal(good), None, "{good}");
        }
        for (bad, why) in [
            ("", Refusal::NoAt),
            ("plain", Refusal::NoAt),
            ("@example.org", Refusal::NoLocal),
            ("a@", Refusal::NoDomain),
            (".a@example.org", Refusal::LocalDot),
            ("a.@example.org", Refusal::LocalDot),
            ("a..b@example.org", Refusal::LocalDot),
            ("a b@example.org", Refusal::LocalCharacter),
            ("a@b@example.org", Refusal::LocalCharacter),
            ("a(comment)@example.org", Refusal::LocalCharacter),
            ("a,b@example.org", Refusal::LocalCharacter),
            ("a\r\nBcc: x@example.org", Refusal::LocalCharacter),
            ("a\0@example.org", Refusal::LocalCharacter),
            ("\"a b\"@example.org", Refusal::Quoted),
            ("a@example", Refusal::DomainForm),
            ("a@127.0.0.1", Refusal::DomainForm),
            ("a@[127.0.0.1]", Refusal::Literal),
            ("a@-x.org", Refusal::Hyphen),
            ("a@x-.org", Refusal::Hyphen),
            ("a@.org", Refusal::EmptyLabel),
            ("a@x..org", Refusal::EmptyLabel),
            ("a@x.org.", Refusal::EmptyLabel),
            ("a@x_y.org", Refusal::DomainCharacter),
            ("a@x.org\n", Refusal::DomainCharacter),
            ("a@x.org ", Refusal::DomainCharacter),
            ("a@x.org>", Refusal::DomainCharacter),
            ("größe@example.org", Refusal::International),
            ("a@bücher.example", Refusal::International),
        ] {
            assert_eq!(refusal(bad), Some(why), "{bad:?}");
        }
    }

    #[test]
    fn rule_4_each_option_allows_its_own_and_nothing_else() {
        let quoted = Rules { quoted: true, ..Rules::DEFAULT };
        for good in ["\"a b\"@x.org", "\"a@b\"@x.org", "\"a\\\"b\"@x.org", "\"..\"@x.org", "\"\"@x.org"] {
            assert!(check(good, &quoted).is_ok(), "{good}");
        }
        for bad in ["\"@x.org", "\"a\"b\"@x.org", "\"a\\\"@x.org", "\"a\nb\"@x.org", "\"a\"b@x.org"] {
            assert!(check(bad, &quoted).is_err(), "{bad}");
        }
        let international = Rules { international: true, ..Rules::DEFAULT };
        for good in ["größe@bücher.example", "用户@例子.公司", "a@пример.рф"] {
            assert!(check(good, &international).is_ok(), "{good}");
        }
        for bad in [
            "a\u{202e}b@x.org",
            "a\u{a0}b@x.org",
            "a@x\u{3002}org",
            "a@x\u{200f}.org",
            "a\u{ff20}b@x.org",
            "a@x\u{2024}org",
            "a@x\u{2100}b.org",
            "a@x\u{ff0f}b.org",
            "a@x\u{fe52}org",
            "a\u{85}@x.org",
        ] {
            assert!(check(bad, &international).is_err(), "{bad:?}");
        }
        let local = Rules { local_domains: true, ..Rules::DEFAULT };
        assert!(check("root@localhost", &local).is_ok());
        assert_eq!(check("root@7", &local), Err(Refusal::DomainForm));
        let literals = Rules { literals: true, ..Rules::DEFAULT };
        for good in ["a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@[ipv6:::1]"] {
            assert!(check(good, &literals).is_ok(), "{good}");
        }
        for bad in ["a@[192.0.2.256]", "a@[192.0.2]", "a@[2001:db8::1]", "a@[IPv6:xyz]", "a@[192.0.2.1", "a@[]"] {
            assert_eq!(check(bad, &literals), Err(Refusal::Literal), "{bad}");
        }
    }

    #[test]
    fn addresses_by_number_are_those_of_the_standard_library() {
        let mut rng = crate::rng::Rng::new(3);
        let mut right = [0_u32; 2];
        let pieces = ["1", "0", "255", "256", "01", "ff", "fffff", "ABCD", ".", ".", ".", ":", ":", ":", "::", "g"];
        let numbers = ["0", "9", "10", "99", "255", "256", "01", ""];
        for round in 0..400_000 {
            let mut text = String::new();
            if round % 2 == 0 {
                for _ in 0..rng.between(1, 14) {
                    text.push_str(pieces[rng.at_most(15) as usize]);
                }
            } else {
                let parts: std::vec::Vec<_> =
                    (0..rng.between(3, 5)).map(|_| numbers[rng.at_most(7) as usize]).collect();
                text = parts.join(".");
            }
            assert_eq!(is_ipv4(&text), text.parse::<std::net::Ipv4Addr>().is_ok(), "{text}");
            assert_eq!(is_ipv6(&text), text.parse::<std::net::Ipv6Addr>().is_ok(), "{text}");
            right[0] += u32::from(is_ipv4(&text));
            right[1] += u32::from(is_ipv6(&text));
        }
        assert!(right[0] > 10 && right[1] > 10, "{right:?}");
        for text in [
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
        ] {
            assert!(is_ipv6(text) && text.parse::<std::net::Ipv6Addr>().is_ok(), "{text}");
        }
        for text in
            ["", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", ":1:2:3:4:5:6:7:8", "1.2.3.4::", "::1%1"]
        {
            assert!(!is_ipv6(text) && text.parse::<std::net::Ipv6Addr>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_what_passes_is_what_came() {
        let mut state = 7_u32;
        let mut passed = 0;
        for _ in 0..200_000 {
            let text: String = (0..8)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ['a', '@', '.', '-', '"', '\\', 'ö', '['][(state >> 29) as usize]
                })
                .collect();
            let rules = Rules { quoted: true, international: true, local_domains: true, literals: true };
            if let Ok(email) = check(&text, &rules) {
                passed += 1;
                assert_eq!(format!("{}@{}", email.local, email.domain), text);
            }
        }
        assert!(passed > 0);
    }
}
