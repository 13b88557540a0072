//! What a new password must be.

use core::fmt;

use super::common::Common;
use super::fold::{contains, is_lower, is_upper};

/// Sets the rules of a new password: the seed's `PasswordValidator`.
///
/// NIST SP 800-63B rev. 4 and ASVS 5 forbid composition rules, since they make passwords worse; the seed's are one
/// field away. Whoever asks less than these rules do puts the password into the hands of those who guess.
///
/// # Rules
/// 1. Length is counted in code points; nothing is cut.
/// 2. A NUL and a common password are refused, whatever its case.
/// 3. A password is refused that contains the user's name, or another word that all here know, or is a part of
///    one, whatever their case. Words of fewer than four characters are in too many passwords to count; of a mail
///    address, what stands before the `@` counts too.
/// 4. Every rule that is broken is told, not only the first.
///
/// Case is known of ASCII, Latin, Greek and Cyrillic letters, one by one; other scripts are compared as written.
///
/// # Cost
/// 20 bytes of RAM and 6,148 of flash on thumbv6m (image `password_rules`) with the small table of [`Common`], 20 bytes of
/// RAM and 17,124 of flash on thumbv6m (image `password_rules_large`) with the large one; 2 KB of it are Unicode's table
/// of letters and digits. A few passes over the password.
///
/// # Errors
/// [`Broken`], with every rule that is broken.
///
/// # Example
/// ```
/// use daur_core::security::password::{Rule, Rules};
///
/// assert!(Rules::DEFAULT.check("correct horse battery", "alice").is_ok());
/// let broken = Rules::DEFAULT.check("alice\0", "alice").unwrap_err();
/// assert!(broken.contains(Rule::Nul) && broken.contains(Rule::TooShort) && broken.contains(Rule::UserName));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "PasswordValidator")]
pub struct Rules {
    /// The fewest code points. Default 8; 15 is better where nothing else guards the account.
    pub min_len: usize,
    /// The most code points. Default 128; at least 64 must be allowed.
    pub max_len: usize,
    /// Whether one must be an upper-case letter. Default: no.
    pub require_upper: bool,
    /// Whether one must be a lower-case letter. Default: no.
    pub require_lower: bool,
    /// Whether one must be a digit. Default: no.
    pub require_digit: bool,
    /// Whether one must be neither letter nor digit. Default: no.
    pub require_special: bool,
    /// What everybody tries first. Default: the large list; a device names the small one.
    pub common: Common,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[repr(u16)]
pub enum Rule {
    /// Fewer code points than allowed.
    TooShort = 1,
    /// More code points than allowed.
    TooLong = 2,
    /// A NUL, at which some programs would end it.
    Nul = 4,
    /// Among those that everybody tries first.
    Common = 8,
    /// Contains the user's name.
    UserName = 16,
    /// No upper-case letter.
    Upper = 32,
    /// No lower-case letter.
    Lower = 64,
    /// No digit.
    Digit = 128,
    /// Nothing but letters and digits.
    Special = 256,
    /// Contains a word that all here know, or is part of one: the service's name, the company's.
    Context = 512,
}

const TEXTS: [(Rule, &str); 10] = [
    (Rule::TooShort, "is too short"),
    (Rule::TooLong, "is too long"),
    (Rule::Nul, "has a NUL"),
    (Rule::Common, "is among the most common ones"),
    (Rule::UserName, "contains the user's name"),
    (Rule::Context, "contains a word that all here know"),
    (Rule::Upper, "has no upper-case letter"),
    (Rule::Lower, "has no lower-case letter"),
    (Rule::Digit, "has no digit"),
    (Rule::Special, "has nothing but letters and digits"),
];

/// Holds the rules that a password breaks; prints them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Broken(u16);

impl Broken {
    /// Whether this rule is broken.
    #[must_use]
    pub const fn contains(self, rule: Rule) -> bool {
        self.0 & rule as u16 != 0
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "the password ";
        for (_, text) in TEXTS.iter().filter(|(rule, _)| self.contains(*rule)) {
            f.write_str(between)?;
            f.write_str(text)?;
            between = ", ";
        }
        Ok(())
    }
}

impl core::error::Error for Broken {}

impl Rules {
    /// As NIST SP 800-63B rev. 4 and ASVS 5 ask.
    pub const DEFAULT: Self = Self {
        min_len: 8,
        max_len: 128,
        require_upper: false,
        require_lower: false,
        require_digit: false,
        require_special: false,
        common: Common::LARGE,
    };

    /// The same with the small list of common passwords, which costs a device 1 KiB.
    pub const DEVICE: Self = Self { common: Common::SMALL, ..Self::DEFAULT };

    /// Whether `password` may be that of `user`.
    ///
    /// # Errors
    /// [`Broken`]: every rule that it breaks.
    #[doc(alias = "validate")]
    pub fn check(&self, password: &str, user: &str) -> Result<(), Broken> {
        self.look(password, user, &[])
    }

    /// Whether `password` may be one where all know these words: names of the user, of the service, of its maker.
    ///
    /// ```
    /// use daur_core::security::password::{Rule, Rules};
    ///
    /// let words = ["alice@example.com", "Boilerworks"];
    /// for bad in ["boilerWORKS-2026", "my-Alice-99", "Example.com"] {
    ///     assert!(Rules::DEVICE.check_with(bad, &words).unwrap_err().contains(Rule::Context));
    /// }
    /// assert!(Rules::DEVICE.check_with("correct horse battery", &words).is_ok());
    /// ```
    ///
    /// # Errors
    /// [`Broken`]: every rule that it breaks.
    pub fn check_with(&self, password: &str, words: &[&str]) -> Result<(), Broken> {
        self.look(password, "", words)
    }

    fn look(&self, password: &str, user: &str, words: &[&str]) -> Result<(), Broken> {
        // Not `chars().count()`, which is fast with a bounds check inside.
        let length = code_points(password);
        let lacks = |required: bool, kind: fn(char) -> bool| required && !password.chars().any(kind);
        let broken = [
            (length < self.min_len, Rule::TooShort),
            (length > self.max_len, Rule::TooLong),
            (password.bytes().any(|b| b == 0), Rule::Nul),
            (self.common.contains(password), Rule::Common),
            (tells(password, user), Rule::UserName),
            (words.iter().any(|word| tells(password, word)), Rule::Context),
            (lacks(self.require_upper, is_upper), Rule::Upper),
            (lacks(self.require_lower, is_lower), Rule::Lower),
            (lacks(self.require_digit, |c| c.is_ascii_digit()), Rule::Digit),
            (lacks(self.require_special, |c| !c.is_alphanumeric()), Rule::Special),
        ];
        let bits = broken.iter().filter(|(broken, _)| *broken).fold(0, |bits, (_, rule)| bits | *rule as u16);
        if bits == 0 { Ok(()) } else { Err(Broken(bits)) }
    }
}

/// The fewest code points of a word that a password may not contain.
const MIN_WORD: usize = 4;

fn code_points(text: &str) -> usize {
    text.bytes().filter(|b| b & 0xC0 != 0x80).count()
}

/// Whether who knows `word` has got the password, or much of it.
fn tells(password: &str, word: &str) -> bool {
    let at = word.bytes().position(|byte| byte == b'@').unwrap_or(word.len());
    let local = word.get(..at).unwrap_or(word);
    let within = |part: &str| code_points(part) >= MIN_WORD && contains(password, part);
    within(word) || within(local) || (code_points(password) >= MIN_WORD && contains(word, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn rule_1_length_is_counted_in_code_points() {
        assert!(Rules::DEFAULT.check("пароль12", "").is_ok());
        assert!(Rules::DEFAULT.check("пароль1", "").unwrap_err().contains(Rule::TooShort));
        let long: std::string::String = core::iter::repeat_n('ж', 128).collect();
        assert!(Rules::DEFAULT.check(&long, "").is_ok());
        assert!(Rules::DEFAULT.check(&(long + "ж"), "").unwrap_err().contains(Rule::TooLong));
    }

    #[test]
    fn rule_2_a_nul_and_a_common_password_are_refused_in_any_case() {
        for rules in [Rules::DEFAULT, Rules::DEVICE] {
            assert!(rules.check("PassWord1", "").unwrap_err().contains(Rule::Common));
            assert!(rules.check("abc\0defgh", "").unwrap_err().contains(Rule::Nul));
        }
        assert!(Rules::DEFAULT.check("Administrator", "").unwrap_err().contains(Rule::Common));
        assert!(Rules::DEVICE.check("Administrator", "").is_ok(), "not in the small list");
        let none = Rules { common: Common::NONE, ..Rules::DEFAULT };
        assert!(none.check("password", "").is_ok());
    }

    #[test]
    fn rule_3_words_that_all_know_are_refused_in_any_case() {
        for (password, user) in [
            ("xxALICExx", "alice"),
            ("Жанна-1999", "жАННА"),
            ("bob.smith1", "Bob.Smith@example.com"),
            ("alexandrov", "alexandrovich"),
        ] {
            assert!(Rules::DEFAULT.check(password, user).unwrap_err().contains(Rule::UserName), "{password}");
            let broken = Rules::DEFAULT.check_with(password, &["other", user]).unwrap_err();
            assert!(broken.contains(Rule::Context) && !broken.contains(Rule::UserName), "{password}");
        }
        assert!(Rules::DEFAULT.check("xxBOBxxxx", "bob").is_ok(), "a short name is in too many words");
        assert!(Rules::DEFAULT.check("xxBOBxxxx", "bob@x.y").is_ok(), "and so before the @");
        assert!(Rules::DEFAULT.check("correct horse", "").is_ok());
        assert!(Rules::DEFAULT.check_with("correct horse", &["", "@", "@@@"]).is_ok());
    }

    #[test]
    fn rule_4_every_rule_that_is_broken_is_told() {
        let seed = Rules {
            require_upper: true,
            require_lower: true,
            require_digit: true,
            require_special: true,
            ..Rules::DEFAULT
        };
        assert!(seed.check("MyPassword123!", "").is_ok());
        assert_eq!(
            seed.check("---", "").unwrap_err().to_string(),
            "the password is too short, has no upper-case letter, has no lower-case letter, has no digit"
        );
        assert!(seed.check("MyPassword123", "").unwrap_err().contains(Rule::Special));
    }

    #[test]
    fn the_seeds_example_passes_without_its_composition_rules() {
        assert!(Rules::DEFAULT.check("MyPassword123!", "user_1").is_ok());
    }
}
