//! What a new password must be.

use core::fmt;

/// Sets the rules of a new password: the seed's `PasswordValidator`.
///
/// NIST SP 800-63B rev. 4 and ASVS 5 forbid composition rules, since they make passwords worse; the seed's are one
/// field away.
///
/// # Rules
/// 1. Length is counted in code points; nothing is cut.
/// 2. A NUL, a common password and one that contains the user's name (of four characters or more) are refused,
///    whatever their case.
/// 3. Every rule that is broken is told, not only the first.
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
}

const TEXTS: [(Rule, &str); 9] = [
    (Rule::TooShort, "is too short"),
    (Rule::TooLong, "is too long"),
    (Rule::Nul, "has a NUL"),
    (Rule::Common, "is among the most common ones"),
    (Rule::UserName, "contains the user's name"),
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

/// The head of every list of leaked passwords, of 8 characters and more, in lower case.
const COMMON: [&str; 40] = [
    "00000000",
    "11111111",
    "12341234",
    "12345678",
    "123123123",
    "123456789",
    "1234567890",
    "147258369",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "789456123",
    "87654321",
    "987654321",
    "aa123456",
    "abc12345",
    "abcd1234",
    "admin123",
    "administrator",
    "asdfasdf",
    "asdfghjkl",
    "baseball",
    "changeme",
    "computer",
    "football",
    "iloveyou",
    "letmein1",
    "michelle",
    "p@ssw0rd",
    "passw0rd",
    "password",
    "password1",
    "password12",
    "password123",
    "princess",
    "qwerty123",
    "qwertyui",
    "qwertyuiop",
    "sunshine",
    "superman",
];

impl Rules {
    /// As NIST SP 800-63B rev. 4 and ASVS 5 ask.
    pub const DEFAULT: Self = Self {
        min_len: 8,
        max_len: 128,
        require_upper: false,
        require_lower: false,
        require_digit: false,
        require_special: false,
    };

    /// Whether `password` may be that of `user`.
    ///
    /// # Errors
    /// [`Broken`]: every rule that it breaks.
    #[doc(alias = "validate")]
    pub fn check(&self, password: &str, user: &str) -> Result<(), Broken> {
        // Not `chars().count()`, which is fast with a bounds check inside.
        let length = code_points(password);
        let lacks = |required: bool, kind: fn(char) -> bool| required && !password.chars().any(kind);
        let broken = [
            (length < self.min_len, Rule::TooShort),
            (length > self.max_len, Rule::TooLong),
            (password.bytes().any(|b| b == 0), Rule::Nul),
            (COMMON.iter().any(|common| password.eq_ignore_ascii_case(common)), Rule::Common),
            (code_points(user) >= 4 && contains(password.as_bytes(), user.as_bytes()), Rule::UserName),
            (lacks(self.require_upper, char::is_uppercase), Rule::Upper),
            (lacks(self.require_lower, char::is_lowercase), Rule::Lower),
            (lacks(self.require_digit, |c| c.is_ascii_digit()), Rule::Digit),
            (lacks(self.require_special, |c| !c.is_alphanumeric()), Rule::Special),
        ];
        let bits = broken.iter().filter(|(broken, _)| *broken).fold(0, |bits, (_, rule)| bits | *rule as u16);
        if bits == 0 { Ok(()) } else { Err(Broken(bits)) }
    }
}

fn code_points(text: &str) -> usize {
    text.bytes().filter(|b| b & 0xC0 != 0x80).count()
}

/// Whether `part` is in `whole`, whatever the case of its ASCII letters.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    let starts = whole.len().saturating_sub(part.len());
    !part.is_empty()
        && (0..=starts).any(|at| whole.get(at..at + part.len()).is_some_and(|here| here.eq_ignore_ascii_case(part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn length_is_counted_in_code_points() {
        assert!(Rules::DEFAULT.check("пароль12", "").is_ok());
        assert!(Rules::DEFAULT.check("пароль1", "").unwrap_err().contains(Rule::TooShort));
        let long: std::string::String = core::iter::repeat_n('ж', 128).collect();
        assert!(Rules::DEFAULT.check(&long, "").is_ok());
        assert!(Rules::DEFAULT.check(&(long + "ж"), "").unwrap_err().contains(Rule::TooLong));
    }

    #[test]
    fn common_passwords_and_the_users_name_are_refused_in_any_case() {
        assert!(Rules::DEFAULT.check("PassWord123", "").unwrap_err().contains(Rule::Common));
        assert!(Rules::DEFAULT.check("xxALICExx", "alice").unwrap_err().contains(Rule::UserName));
        assert!(Rules::DEFAULT.check("xxBOBxxxx", "bob").is_ok(), "a short name is in too many words");
        assert!(Rules::DEFAULT.check("abc\0defgh", "").unwrap_err().contains(Rule::Nul));
    }

    #[test]
    fn every_rule_that_is_broken_is_told() {
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
