//! Topics, and patterns of them.

use core::fmt;

use crate::text;

/// Stands for one level.
pub(super) const ONE: u8 = b'*';
/// Stands for the levels from here on, one at least.
pub(super) const REST: u8 = b'>';

/// Says why a text is no topic, or no pattern of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TopicError {
    /// It is empty.
    Empty,
    /// It has more bytes than its place.
    TooLong {
        /// Its bytes.
        len: usize,
        /// Bytes that the place holds.
        max: usize,
    },
    /// There is nothing between two dots, or between a dot and an end.
    EmptyLevel,
    /// A topic has a wildcard; or a pattern has one that is not a whole level, or a `>` that is not the last.
    Wildcard,
    /// It has a space or a control character.
    Character,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a topic is not empty"),
            Self::TooLong { len, max } => write!(f, "a topic of {len} bytes is longer than the {max} allowed"),
            Self::EmptyLevel => f.write_str("a level of a topic is not empty: `a.b`, not `a..b` or `.a`"),
            Self::Wildcard => {
                f.write_str("`*` and `>` are whole levels of a pattern, `>` its last, and no topic has them")
            }
            Self::Character => f.write_str("a topic has no space and no control character"),
        }
    }
}

impl core::error::Error for TopicError {}

impl From<text::TooLong> for TopicError {
    fn from(error: text::TooLong) -> Self {
        Self::TooLong { len: error.len, max: error.max }
    }
}

/// Checks that `topic` is one: levels between dots, none empty, without wildcards, spaces and control characters.
///
/// # Errors
/// [`TopicError`] says what is wrong.
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    check(topic, false)
}

/// Checks that `pattern` is one: a topic whose levels may be `*`, for any one, and whose last may be `>`, for one or more.
///
/// # Errors
/// [`TopicError`] says what is wrong.
pub fn check_pattern(pattern: &str) -> Result<(), TopicError> {
    check(pattern, true)
}

fn check(text: &str, wildcards: bool) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    // The level so far: its length, and its wildcard.
    let (mut len, mut wildcard) = (0_usize, None);
    for byte in text.bytes() {
        match byte {
            b'.' if len == 0 => return Err(TopicError::EmptyLevel),
            // Nothing comes behind the rest.
            b'.' if wildcard == Some(REST) => return Err(TopicError::Wildcard),
            b'.' => (len, wildcard) = (0, None),
            ONE | REST if !wildcards || len > 0 => return Err(TopicError::Wildcard),
            ONE | REST => (len, wildcard) = (1, Some(byte)),
            b' ' | 0..=31 | 127 => return Err(TopicError::Character),
            _ if wildcard.is_some() => return Err(TopicError::Wildcard),
            _ => len += 1,
        }
    }
    if len == 0 { Err(TopicError::EmptyLevel) } else { Ok(()) }
}

/// Whether a topic is one of those that a pattern stands for.
///
/// Both are taken to be checked already.
///
/// # Example
/// ```
/// use daur_core::services::notify::matches;
///
/// assert!(matches("device.*.lost", "device.node-1.lost"));
/// assert!(matches("device.>", "device.node-1.lost"));
/// assert!(!matches("device.*", "device.node-1.lost"));
/// assert!(!matches("device.>", "device"));
/// ```
#[must_use]
pub fn matches(pattern: &str, topic: &str) -> bool {
    matches_bytes(pattern.as_bytes(), topic.as_bytes())
}

/// [`matches`], without checking again that what a `Text` holds is UTF-8.
pub(super) fn matches_bytes(mut pattern: &[u8], mut topic: &[u8]) -> bool {
    let mut level_begins = true;
    while let Some((wanted, rest)) = pattern.split_first() {
        pattern = rest;
        match *wanted {
            REST if level_begins => return !topic.is_empty(),
            ONE if level_begins => {
                let level = topic.iter().position(|byte| *byte == b'.').unwrap_or(topic.len());
                if level == 0 {
                    return false;
                }
                topic = topic.get(level..).unwrap_or_default();
            }
            wanted => match topic.split_first() {
                Some((byte, rest)) if *byte == wanted => topic = rest,
                _ => return false,
            },
        }
        level_begins = *wanted == b'.';
    }
    topic.is_empty()
}

/// Whether a pattern is one topic.
#[must_use]
pub fn is_topic(pattern: &str) -> bool {
    !pattern.bytes().any(|byte| matches!(byte, ONE | REST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_topic_is_told_by_its_fault() {
        for good in ["a", "a.b.c", "größe.1", "device.node-1_x/y.lost"] {
            assert_eq!((check_topic(good), check_pattern(good)), (Ok(()), Ok(())), "{good}");
        }
        for (bad, why) in [
            ("", TopicError::Empty),
            (".", TopicError::EmptyLevel),
            ("a.", TopicError::EmptyLevel),
            (".a", TopicError::EmptyLevel),
            ("a..b", TopicError::EmptyLevel),
            ("a b", TopicError::Character),
            ("a\n", TopicError::Character),
            ("a\u{7f}", TopicError::Character),
        ] {
            assert_eq!((check_topic(bad), check_pattern(bad)), (Err(why), Err(why)), "{bad}");
        }
        for pattern in ["*", ">", "a.*", "a.>", "*.b.*", "*.>"] {
            assert_eq!(
                (check_topic(pattern), check_pattern(pattern)),
                (Err(TopicError::Wildcard), Ok(())),
                "{pattern}"
            );
        }
        for bad in ["a*", "*a", "a.b>", ">.a", "a.>.b", "**", "*>", ">>", ">."] {
            assert_eq!(check_pattern(bad), Err(TopicError::Wildcard), "{bad}");
        }
        assert_eq!(check_pattern("*."), Err(TopicError::EmptyLevel));
    }
}
