//! Paths from outside, which stay where they may be.

use core::fmt;

/// Says which paths may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules<'a> {
    /// The longest path, in bytes, before it is decoded; at least 1.
    pub max_len: usize,
    /// How many times over the path is URL-encoded, which is to be undone. With 0 a `%` that two
    /// hexadecimal digits follow is refused: somebody further down might decode it.
    pub decodings: u8,
    /// Absolute directories; an absolute path must be one of them or below one. With none, any
    /// absolute path passes that is not forbidden.
    pub roots: &'a [&'a str],
    /// What may not be reached: `/etc` is that directory and all below it, but not `/etcetera`; without
    /// a slash in front, as `.ssh`, it is forbidden wherever it stands. As the file systems of other hosts have it, upper and
    /// lower case (ASCII, Latin-1, Greek, Cyrillic) and full width are the same, and dots and spaces at a name's end are none.
    pub forbidden: &'a [&'a str],
}

impl Rules<'static> {
    /// 1,024 bytes, not encoded, anywhere but in the system's own directories and keys.
    pub const DEFAULT: Self = Self {
        max_len: 1_024,
        decodings: 0,
        roots: &[],
        forbidden: &["/etc", "/proc", "/sys", "/dev", "/boot", "/root", "/run", "/var/run", ".ssh", ".gnupg", ".git"],
    };
}

impl Default for Rules<'static> {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says why a path may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// There is no path.
    Empty,
    /// Longer than the rules or the buffer allow.
    TooLong,
    /// A NUL, a line break or another control character, or one that turns the reading direction.
    Control,
    /// URL-encoding that the rules do not declare, or that is none.
    Encoded,
    /// A backslash, which elsewhere is a slash.
    Backslash,
    /// A character that is turned into a dot or a slash where texts are normalised.
    Lookalike,
    /// A drive, such as `c:`.
    Drive,
    /// A network path: two slashes in front.
    Network,
    /// A colon: elsewhere a stream of a file.
    Stream,
    /// `..`, or what elsewhere is taken for it.
    Parent,
    /// A tilde in front, which a shell replaces by somebody's home.
    Home,
    /// On the list of what is forbidden.
    Forbidden,
    /// An absolute path below none of the roots.
    Outside,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no path",
            Self::TooLong => "the path is too long",
            Self::Control => "the path has a control character",
            Self::Encoded => "the path has URL-encoding that is not declared, or wrong",
            Self::Backslash => "the path has a backslash; directories are separated by /",
            Self::Lookalike => "the path has a character that looks like a dot or a slash",
            Self::Drive => "the path names a drive",
            Self::Network => "the path begins with two slashes",
            Self::Stream => "the path has a colon",
            Self::Parent => "the path has a .. in it",
            Self::Home => "the path begins with a tilde",
            Self::Forbidden => "the path leads to what is forbidden",
            Self::Outside => "the path lies outside of the allowed directories",
        })
    }
}

impl core::error::Error for Refusal {}

/// Admits a path that stays where it may be, in its one canonical spelling (`InputValidator.validate_path`).
///
/// By the text alone: what a symbolic link makes of it only the file system knows, and the host asks
/// that too.
///
/// # Rules
/// 1. `..` is refused wherever it stands, and so is all that another system takes for it: dots, spaces and joiners
///    alone or before a `;`, backslashes, drives, streams, network paths, lookalike characters.
/// 2. Declared URL-encoding is undone so many times and no more; what then is still encoded is refused,
///    and so is encoding that nobody has declared.
/// 3. Single dots, doubled slashes within and slashes at the end are left out.
/// 4. A relative path that passes, joined to any directory, lies in that directory or is it.
/// 5. An absolute path that passes lies below a root, where there are roots.
/// 6. What is forbidden is compared by whole components: `/etc` does not forbid `/etcetera`.
/// 7. What has passed passes again, unchanged, by rules that declare no encoding, unless a decoded `%`
///    is in it.
///
/// # Cost
/// No allocation: the canonical path is written to `buffer`, which needs as many bytes as the path. O(n) for the text,
/// times the number of forbidden entries. 128 bytes of RAM and 5,220 of flash on thumbv6m (image `path`: the RAM is its buffer).
///
/// # Errors
/// [`Refusal`]: the first reason that was found.
///
/// # Example
/// ```
/// use daur_core::security::input::path::{Refusal, Rules, check};
///
/// let mut buffer = [0; 64];
/// assert_eq!(check("reports//2026/./may.csv", &Rules::DEFAULT, &mut buffer), Ok("reports/2026/may.csv"));
/// assert_eq!(check("../secret", &Rules::DEFAULT, &mut buffer), Err(Refusal::Parent));
/// assert_eq!(check("/etc/passwd", &Rules::DEFAULT, &mut buffer), Err(Refusal::Forbidden));
///
/// let uploads = Rules { roots: &["/srv/uploads"], ..Rules::DEFAULT };
/// assert_eq!(check("/srv/uploads/a.png", &uploads, &mut buffer), Ok("/srv/uploads/a.png"));
/// assert_eq!(check("/home/user/file.txt", &uploads, &mut buffer), Err(Refusal::Outside));
/// ```
///
/// # References
/// CWE-22 and its children; RFC 3986, 2.1, for the encoding.
#[doc(alias = "validate_path")]
pub fn check<'b>(path: &str, rules: &Rules<'_>, buffer: &'b mut [u8]) -> Result<&'b str, Refusal> {
    if path.is_empty() {
        return Err(Refusal::Empty);
    }
    if path.len() > rules.max_len {
        return Err(Refusal::TooLong);
    }
    let place = buffer.get_mut(..path.len()).ok_or(Refusal::TooLong)?;
    // Not `copy_from_slice`, whose length check would bring a panic into the image.
    for (to, from) in place.iter_mut().zip(path.bytes()) {
        *to = from;
    }
    let mut len = place.len();
    for _ in 0..rules.decodings {
        len = decode(place.get_mut(..len).ok_or(Refusal::TooLong)?)?;
    }
    let decoded = match rules.decodings {
        0 => path,
        _ => place.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok()).ok_or(Refusal::Encoded)?,
    };
    check_characters(decoded)?;
    let len = compact(place.get_mut(..len).ok_or(Refusal::TooLong)?)?;
    let canonical = place.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok()).ok_or(Refusal::Encoded)?;
    // Here, since what stood before it may have been left out: `./~root`.
    if canonical.starts_with('~') {
        return Err(Refusal::Home);
    }
    let absolute = canonical.starts_with('/');
    if is_forbidden(canonical, absolute, rules.forbidden) {
        return Err(Refusal::Forbidden);
    }
    if absolute && !rules.roots.is_empty() && !rules.roots.iter().any(|root| is_below(canonical, root)) {
        return Err(Refusal::Outside);
    }
    Ok(canonical)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The byte that `%` and two digits at the front of `bytes` stand for.
fn triplet(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => Some(hex(*high)? * 16 + hex(*low)?),
        _ => None,
    }
}

/// Undoes URL-encoding once, in place; says how many bytes are left.
fn decode(bytes: &mut [u8]) -> Result<usize, Refusal> {
    let (mut from, mut to) = (0, 0);
    while let Some(&byte) = bytes.get(from) {
        let decoded = if byte == b'%' {
            from += 2;
            triplet(bytes.get(from - 2..).unwrap_or(&[])).ok_or(Refusal::Encoded)?
        } else {
            byte
        };
        // `to` has never overtaken `from`.
        if let Some(place) = bytes.get_mut(to) {
            *place = decoded;
        }
        (from, to) = (from + 1, to + 1);
    }
    Ok(to)
}

fn check_characters(path: &str) -> Result<(), Refusal> {
    if path.starts_with("//") {
        return Err(Refusal::Network);
    }
    // Most paths have none of these, and need no closer look.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b':' | b'%');
    if path.as_bytes().iter().all(is_plain) {
        return Ok(());
    }
    for (place, character) in path.char_indices() {
        match character {
            '\\' => return Err(Refusal::Backslash),
            ':' if place == 1 && path.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) => {
                return Err(Refusal::Drive);
            }
            ':' => return Err(Refusal::Stream),
            '%' if is_encoded(path.as_bytes().get(place..).unwrap_or(&[])) => return Err(Refusal::Encoded),
            // One and two dots; slashes; backslashes; letters with a slash between them.
            '\u{2024}' | '\u{2025}' | '\u{FF0E}' | '\u{FE52}' | '\u{FF0F}' | '\u{2044}' | '\u{2215}' | '\u{29F8}'
            | '\u{FF3C}' | '\u{FE68}' | '\u{2216}' | '\u{29F5}' | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}'
            | '\u{FF1A}' => return Err(Refusal::Lookalike),
            _ if super::sanitize::is_hidden(character) => return Err(Refusal::Control),
            _ => {}
        }
    }
    Ok(())
}

/// Whether an encoded character is at the front: `%2e`, or `%u002e` as some servers have it.
fn is_encoded(bytes: &[u8]) -> bool {
    match bytes {
        [b'%', b'u' | b'U', digits @ ..] => digits.iter().take(4).filter(|digit| hex(**digit).is_some()).count() == 4,
        _ => triplet(bytes).is_some(),
    }
}

/// Leaves out what does not change where the path leads; says how many bytes are left.
fn compact(bytes: &mut [u8]) -> Result<usize, Refusal> {
    if is_compact(bytes) {
        return Ok(bytes.len());
    }
    let absolute = bytes.first() == Some(&b'/');
    let (mut from, mut to) = (usize::from(absolute), usize::from(absolute));
    let mut first = true;
    while from < bytes.len() {
        let rest = bytes.get(from..).unwrap_or(&[]);
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let component = rest.get(..len).unwrap_or(&[]);
        let keep = match component {
            [] | b"." => false,
            // `..;x=1` too, whose parameter some servers cut off.
            [b'.' | b' ' | JOINER, ..] if is_dots(component.split(|byte| *byte == b';').next()) => {
                return Err(Refusal::Parent);
            }
            _ => true,
        };
        if keep {
            if !first {
                put(bytes, &mut to, b'/');
            }
            for at in from..from + len {
                if let Some(byte) = bytes.get(at).copied() {
                    put(bytes, &mut to, byte);
                }
            }
            first = false;
        }
        from += len + 1;
    }
    if to == 0 {
        // Nothing but dots and slashes: the directory itself.
        put(bytes, &mut to, b'.');
    }
    Ok(to)
}

/// Whether no component is empty or begins with a dot, a space or a joiner: then there is nothing to leave out or to refuse.
fn is_compact(bytes: &[u8]) -> bool {
    let mut before = b'/';
    let begins = |byte: u8, before: u8| before == b'/' && matches!(byte, b'/' | b'.' | b' ' | JOINER);
    let names = bytes.strip_prefix(b"/").unwrap_or(bytes);
    for byte in names {
        if begins(*byte, before) {
            return false;
        }
        before = *byte;
    }
    before != b'/'
}

/// What U+200C and U+200D begin with.
const JOINER: u8 = 0xE2;

/// Whether a name is nothing but dots and spaces, and joiners, which some file systems pass over.
fn is_dots(name: Option<&[u8]>) -> bool {
    let Some(mut rest) = name else { return false };
    while let [b'.' | b' ', behind @ ..] | [JOINER, 0x80, 0x8C | 0x8D, behind @ ..] = rest {
        rest = behind;
    }
    rest.is_empty()
}

fn put(bytes: &mut [u8], to: &mut usize, byte: u8) {
    if let Some(place) = bytes.get_mut(*to) {
        *place = byte;
        *to += 1;
    }
}

const fn is_slash(character: char) -> bool {
    character == '/'
}

/// Whether `path` is `root` or lies below it, by whole components.
fn is_below(path: &str, root: &str) -> bool {
    let root = root.trim_end_matches(is_slash);
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a forbidden entry is in the path: at its root, or wherever it stands.
fn is_forbidden(path: &str, absolute: bool, entries: &[&str]) -> bool {
    // Most names begin like no entry; those at the root like none but these.
    let (mut anywhere, mut at_root) = (0, 0);
    for entry in entries {
        match entry.as_bytes() {
            [b'/', name @ ..] => at_root |= beginning(name),
            name => anywhere |= beginning(name),
        }
    }
    let mut begins = if absolute { anywhere | at_root } else { anywhere };
    let (mut at, mut is_root) = (usize::from(absolute), absolute);
    loop {
        let Some(rest) = path.get(at..) else { return false };
        let is_here =
            |entry: &&str| (is_root || !entry.starts_with('/')) && may_begin(rest, entry) && leads(rest, entry);
        if begins & beginning(rest.as_bytes()) != 0 && entries.iter().any(is_here) {
            return true;
        }
        match rest.bytes().position(|byte| byte == b'/') {
            Some(len) => at += len + 1,
            None => return false,
        }
        (is_root, begins) = (false, anywhere);
    }
}

/// A bit for a name's first letter, the same for both cases; all of them where it says nothing.
const fn beginning(name: &[u8]) -> u32 {
    match name {
        [] | [b'/' | 0x80.., ..] | [b'.', b'/', ..] => u32::MAX,
        [first, ..] => 1 << (*first & 31),
    }
}

/// A quick look at the first letters, which mostly differ.
fn may_begin(path: &str, entry: &str) -> bool {
    let entry = entry.as_bytes();
    match (path.as_bytes(), entry.strip_prefix(b"/").unwrap_or(entry)) {
        // Not in its one spelling.
        (_, [b'/', ..] | [b'.', b'/', ..]) => true,
        ([first @ ..=0x7F, ..], [wanted @ ..=0x7F, ..]) if !first.eq_ignore_ascii_case(wanted) => false,
        // A name may end here, with a slash or with what is not counted.
        ([_, second @ ..=0x7F, ..], [_, wanted @ b'0'..=b'z', ..]) => second.eq_ignore_ascii_case(wanted),
        (_, _) => true,
    }
}

/// Whether the path's names begin with those of the entry, of which there is one.
fn leads(path: &str, entry: &str) -> bool {
    let (mut found, mut wanted) = (names(path), names(entry));
    let Some(first) = wanted.next() else { return false };
    let mut is_next = |wanted| found.next().is_some_and(|name| is_same(name, wanted));
    is_next(first) && wanted.all(is_next)
}

/// The components that are names.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split(is_slash).filter(|name| !matches!(*name, "" | "."))
}

/// Whether some file system takes one name for the other.
fn is_same(name: &str, other: &str) -> bool {
    let mut letters = folded(name);
    folded(other).all(|letter| letters.next() == Some(letter)) && letters.next().is_none()
}

/// A name's characters in one case and width, without the joiners that some file systems pass over.
fn folded(name: &str) -> impl Iterator<Item = char> {
    let end = |character: char| matches!(character, '.' | ' ' | '\u{200C}' | '\u{200D}');
    let seen = |character: &char| !matches!(character, '\u{200C}' | '\u{200D}');
    name.trim_end_matches(end).chars().filter(seen).map(fold)
}

/// By ranges: the tables of `char::to_lowercase` are too large for a device.
const fn fold(character: char) -> char {
    let by = match character {
        'A'..='Z' => return character.to_ascii_lowercase(),
        ..='\u{7F}' => return character,
        '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{DE}' | '\u{391}'..='\u{3A9}' | '\u{410}'..='\u{42F}' => 32,
        '\u{400}'..='\u{40F}' => 80,
        '\u{17F}' => return 's',
        '\u{212A}' => return 'k',
        '\u{FF01}'..='\u{FF5E}' => {
            return match char::from_u32(character as u32 - 0xFEE0) {
                Some(narrow) => narrow.to_ascii_lowercase(),
                None => character,
            };
        }
        _ => return character,
    };
    match char::from_u32(character as u32 + by) {
        Some(lower) => lower,
        None => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn passes(path: &str, rules: &Rules<'_>) -> Result<String, Refusal> {
        check(path, rules, &mut [0; 2_048]).map(String::from)
    }

    #[test]
    fn rule_1_what_leads_up_or_away_is_refused_by_its_name() {
        for (path, why) in [
            ("", Refusal::Empty),
            ("..", Refusal::Parent),
            ("a/..", Refusal::Parent),
            ("a/../b", Refusal::Parent),
            ("/srv/../etc/passwd", Refusal::Parent),
            ("....//....//etc", Refusal::Parent),
            (".. /x", Refusal::Parent),
            ("a/ /b", Refusal::Parent),
            ("a/..;/b", Refusal::Parent),
            ("..;jsessionid=1/b", Refusal::Parent),
            ("a/.;/b", Refusal::Parent),
            ("a/.. ;x/b", Refusal::Parent),
            ("...", Refusal::Parent),
            ("a/. ./b", Refusal::Parent),
            (".\u{200d}./b", Refusal::Parent),
            ("a/\u{200c}../b", Refusal::Parent),
            ("a/..\u{200d};x/b", Refusal::Parent),
            ("\\\\?\\C:\\x", Refusal::Backslash),
            ("/\\server/x", Refusal::Backslash),
            ("file:///etc/passwd", Refusal::Stream),
            ("/srv/x:$i30", Refusal::Stream),
            (".\0.", Refusal::Control),
            ("a\u{200b}b", Refusal::Control),
            ("a\u{2028}b", Refusal::Control),
            ("a\u{feff}", Refusal::Control),
            ("\u{ff0f}etc", Refusal::Lookalike),
            ("..\u{ff3c}x", Refusal::Lookalike),
            ("c\u{ff1a}x", Refusal::Lookalike),
            ("..\\..\\boot.ini", Refusal::Backslash),
            ("\\\\server\\share", Refusal::Backslash),
            ("//server/share", Refusal::Network),
            ("///etc/passwd", Refusal::Network),
            ("C:/windows", Refusal::Drive),
            ("c:boot.ini", Refusal::Drive),
            ("index.php::$DATA", Refusal::Stream),
            ("file.txt:secret", Refusal::Stream),
            ("~/.bashrc", Refusal::Home),
            ("~root", Refusal::Home),
            ("./~root", Refusal::Home),
            ("a\0.png", Refusal::Control),
            ("a\nb", Refusal::Control),
            ("a\u{7f}", Refusal::Control),
            ("a\u{85}b", Refusal::Control),
            ("a\u{202e}gnp.exe", Refusal::Control),
            ("\u{ff0e}\u{ff0e}/etc", Refusal::Lookalike),
            ("..\u{2215}etc", Refusal::Lookalike),
            ("\u{2025}/etc", Refusal::Lookalike),
        ] {
            assert_eq!(passes(path, &Rules::DEFAULT), Err(why), "{path:?}");
        }
    }

    #[test]
    fn rule_2_encoding_is_undone_as_declared_and_refused_beyond() {
        let once = Rules { decodings: 1, ..Rules::DEFAULT };
        let twice = Rules { decodings: 2, ..Rules::DEFAULT };
        assert_eq!(passes("a%20b.txt", &once).as_deref(), Ok("a b.txt"));
        assert_eq!(passes("gr%C3%B6%C3%9Fe", &once).as_deref(), Ok("größe"));
        assert_eq!(passes("%2e%2e%2fetc", &once), Err(Refusal::Parent));
        assert_eq!(passes("%252e%252e%252fetc", &once), Err(Refusal::Encoded));
        assert_eq!(passes("%252e%252e%252fetc", &twice), Err(Refusal::Parent));
        assert_eq!(passes("%25252e", &twice), Err(Refusal::Encoded));
        for wrong in ["%", "%2", "%zz", "%c0%af", "%c0%ae%c0%ae/", "a%ff", "%u002e%u002e/", "%e0%80%af"] {
            assert_eq!(passes(wrong, &once), Err(Refusal::Encoded), "{wrong}");
        }
        for undeclared in ["..%2f..%2fetc", "%2e%2e/", "%252e", "a%00.png", "%c0%ae", "%u2215", "a%5cb"] {
            assert_eq!(passes(undeclared, &Rules::DEFAULT), Err(Refusal::Encoded), "{undeclared}");
        }
        assert_eq!(passes("100%.txt", &Rules::DEFAULT).as_deref(), Ok("100%.txt"));
        assert_eq!(passes("50% off", &Rules::DEFAULT).as_deref(), Ok("50% off"));
    }

    #[test]
    fn rule_3_one_file_has_one_spelling() {
        for (path, canonical) in [
            ("a/b", "a/b"),
            ("./a/./b/", "a/b"),
            ("a//b///c", "a/b/c"),
            (".", "."),
            ("./", "."),
            ("/", "/"),
            ("/./", "/"),
            ("/srv//x/", "/srv/x"),
            ("..a/b..", "..a/b.."),
            (".hidden", ".hidden"),
            ("a b", "a b"),
            ("…", "…"),
        ] {
            assert_eq!(passes(path, &Rules::DEFAULT).as_deref(), Ok(canonical), "{path:?}");
        }
    }

    #[test]
    fn rule_5_with_roots_an_absolute_path_lies_below_one() {
        let rules = Rules { roots: &["/srv/uploads", "/data/"], ..Rules::DEFAULT };
        for good in ["/srv/uploads", "/srv/uploads/a/b", "/data/x", "/data", "relative/x"] {
            assert!(passes(good, &rules).is_ok(), "{good}");
        }
        for bad in ["/", "/srv", "/srv/uploads2", "/srv/upload", "/database", "/home/user/file.txt"] {
            assert_eq!(passes(bad, &rules), Err(Refusal::Outside), "{bad}");
        }
        assert!(passes("/home/user/file.txt", &Rules::DEFAULT).is_ok(), "the seed's own example");
    }

    #[test]
    fn rule_6_what_is_forbidden_is_compared_by_whole_components() {
        for bad in
            ["/etc", "/etc/", "/etc/passwd", "/ETC/passwd", "//etc", "a/.ssh/id", ".ssh", "/home/u/.SSH", "x/.git"]
        {
            assert!(matches!(passes(bad, &Rules::DEFAULT), Err(Refusal::Forbidden | Refusal::Network)), "{bad}");
        }
        for bad in [
            "/etc.",
            "/etc /passwd",
            "/etc./passwd",
            "a/.ssh./id",
            "a/.ssh.\u{200d}/id",
            "a/.SsH ",
            "a/.\u{17f}\u{17f}h/id",
            "a/.g\u{200c}it/config",
            "a/.\u{ff27}IT",
            "/\u{ff45}tc/passwd",
            "/./etc",
            "/etc//passwd",
        ] {
            assert_eq!(passes(bad, &Rules::DEFAULT), Err(Refusal::Forbidden), "{bad}");
        }
        let secrets = Rules { forbidden: &["Секреты", "/ÜBER//./x/", "/Ωmega"], ..Rules::DEFAULT };
        for bad in ["a/сЕКРЕТЫ", "/über/x", "/über/x/y", "/ωMEGA"] {
            assert_eq!(passes(bad, &secrets), Err(Refusal::Forbidden), "{bad}");
        }
        for good in ["a/секрет", "/über", "/über/y", "a/über/x"] {
            assert!(passes(good, &secrets).is_ok(), "{good}");
        }
        for good in [
            "/etcetera",
            "/etc2/x",
            "a;b",
            ";",
            ".a;b",
            ".hidden;",
            "etc/passwd",
            "a/etc",
            ".sshx",
            "x.git",
            "/srv/proc",
            ".gitignore",
        ] {
            assert!(passes(good, &Rules::DEFAULT).is_ok(), "{good}");
        }
        let run = Rules { forbidden: &["keys/private"], ..Rules::DEFAULT };
        assert_eq!(passes("a/keys/private/x", &run), Err(Refusal::Forbidden));
        assert!(passes("a/keys/privates", &run).is_ok());
        assert!(passes("a/monkeys/private", &run).is_ok());
        assert!(passes("/anything", &Rules { forbidden: &["", "/"], ..Rules::DEFAULT }).is_ok());
    }

    #[test]
    fn a_path_that_is_too_long_for_rules_or_buffer_is_refused() {
        let rules = Rules { max_len: 4, ..Rules::DEFAULT };
        assert_eq!(passes("abcd", &rules).as_deref(), Ok("abcd"));
        assert_eq!(passes("abcde", &rules), Err(Refusal::TooLong));
        assert_eq!(check("abcd", &rules, &mut [0; 3]), Err(Refusal::TooLong));
        assert_eq!(check("abcd", &rules, &mut []), Err(Refusal::TooLong));
    }
}
