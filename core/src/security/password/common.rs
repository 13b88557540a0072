//! Those that everybody tries first.

use core::fmt;

use super::fold::fold;

/// The 3,000 most common passwords of 8 characters and more in lower case, the most common first: the ranks in the
/// lists of Django 5.2 (BSD) and zxcvbn 4.5 (MIT), both counted in leaks, merged; and `administrator`.
const TEXT: &str = include_str!("common.txt");

const SMALL: &[u32] = &table::<256>();
const LARGE: &[u32] = &table::<3_000>();

/// Holds common passwords as a sorted table of 32-bit hashes; an image links the tables that it names.
///
/// Set it in [`Rules::common`](super::Rules::common).
///
/// # Rules
/// 1. A password of the list is always found, whatever the case of its letters.
/// 2. Of a million others less than one is taken for one of the list, and its owner chooses another.
///
/// Rule 1 holds since equal texts have equal hashes. Rule 2 is the price of 4 bytes a password instead of 9: with
/// 3,000 of 2^32 hashes taken, one in 1.4 million is mistaken. It errs on the safe side, and it tells nothing to
/// an attacker, who may read the list anyway.
///
/// # Cost
/// 4 bytes a password, in flash: 1 KiB for [`Common::SMALL`], 12 kB for [`Common::LARGE`], nothing for
/// [`Common::NONE`]. A question is one pass over the password and up to 12 comparisons.
///
/// # Example
/// ```
/// use daur_core::security::password::Common;
///
/// assert!(Common::SMALL.contains("PassWord1") && !Common::NONE.contains("password1"));
/// assert!(Common::LARGE.contains("Administrator") && !Common::LARGE.contains("correct horse battery"));
/// assert_eq!((Common::SMALL.len(), Common::LARGE.len()), (256, 3_000));
/// ```
///
/// # References
/// NIST SP 800-63B rev. 4, section 3.1.1.2; ASVS 5, 6.2.4, which asks for 3,000.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Common(&'static [u32]);

impl Common {
    /// Nothing is common.
    pub const NONE: Self = Self(&[]);
    /// The 256 most common, for a device.
    pub const SMALL: Self = Self(SMALL);
    /// The 3,000 most common, for a host.
    pub const LARGE: Self = Self(LARGE);

    /// The list called `none`, `small` or `large`, as a config names it. Who calls this links both.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::NONE),
            "small" => Some(Self::SMALL),
            "large" => Some(Self::LARGE),
            _ => None,
        }
    }

    /// Whether `password` is in the list, whatever the case of its letters.
    #[must_use]
    pub fn contains(self, password: &str) -> bool {
        let hash = password.chars().map(fold).fold(START, |hash, character| {
            // The list is ASCII: any other character only has to lead away from it.
            step(hash, u8::try_from(u32::from(character)).unwrap_or(u8::MAX))
        });
        self.0.binary_search(&mix(hash)).is_ok()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Common").field(&self.0.len()).finish()
    }
}

/// FNV-1a.
const START: u32 = 0x811c_9dc5;

const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

/// Spreads what the last bytes of a short text have changed over all bits (the end of Murmur3).
const fn mix(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// The hashes of the first `N` lines, sorted: the compiler's work.
const fn table<const N: usize>() -> [u32; N] {
    let (text, mut table) = (TEXT.as_bytes(), [0; N]);
    let (mut line, mut at, mut hash) = (0, 0, START);
    while line < N {
        if text[at] == b'\n' {
            table[line] = mix(hash);
            (line, hash) = (line + 1, START);
        } else {
            assert!(text[at].is_ascii_graphic() && !text[at].is_ascii_uppercase(), "as `contains` folds it");
            hash = step(hash, text[at]);
        }
        at += 1;
    }
    // Shell's sort, whose steps the compiler can afford.
    let mut gap = N / 2;
    while gap > 0 {
        let mut i = gap;
        while i < N {
            let (value, mut j) = (table[i], i);
            while j >= gap && table[j - gap] > value {
                table[j] = table[j - gap];
                j -= gap;
            }
            table[j] = value;
            i += 1;
        }
        gap /= 2;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn rule_1_every_password_of_the_list_is_found_in_any_case() {
        let lines: Vec<&str> = TEXT.lines().collect();
        assert_eq!(lines.len(), 3_000);
        for (place, line) in lines.iter().enumerate() {
            assert!(line.len() >= 8, "{line}");
            let shouted = line.to_uppercase();
            assert!(Common::LARGE.contains(line) && Common::LARGE.contains(&shouted), "{line}");
            assert_eq!(Common::SMALL.contains(line), place < 256, "{line}");
            assert!(!Common::NONE.contains(line));
        }
        // Two letters beyond ASCII fold into it: the long s and the sign of kelvin.
        assert!(Common::SMALL.contains("pa\u{17f}\u{17f}word1") && Common::LARGE.contains("blin\u{212a}182"));
        for table in [SMALL, LARGE] {
            assert!(table.is_sorted_by(|a, b| a < b), "no two of the list have one hash");
        }
    }

    #[test]
    fn rule_2_of_a_million_others_less_than_one_is_mistaken() {
        let mistaken = (0_u32..2_000_000)
            .filter(|n| {
                // Consecutive numbers, spelt in letters that end no password of the list.
                let mut other: String = "Zyx~".into();
                other.extend((0..6).map(|i| char::from(b'a' + (n >> (4 * i) & 15) as u8)));
                Common::LARGE.contains(&other)
            })
            .count();
        assert!(mistaken <= 4, "{mistaken} of 2,000,000: 1.4 are to be expected");
        assert!(!Common::LARGE.contains("") && !Common::LARGE.contains("пароль12"));
    }

    #[test]
    fn a_list_has_a_name() {
        for (name, len) in [("none", 0), ("small", 256), ("large", 3_000)] {
            assert_eq!(Common::by_name(name).map(Common::len), Some(len));
        }
        assert_eq!(Common::by_name("LARGE"), None);
        assert_eq!(std::format!("{:?}", Common::SMALL), "Common(256)");
    }
}
