//! Short texts that live where they stand.

use core::fmt;

/// Holds up to `N` bytes of UTF-8 inline, and is `Copy`.
///
/// For names and messages in snapshots and records, where a `&'static str` cannot come from the wire
/// and a `String` cannot exist. `N` is at most 255.
///
/// # Rules
/// 1. [`Text::new`] refuses a text that does not fit; nothing is lost unseen.
/// 2. [`Text::cut`] keeps what fits, cut at a character's border.
/// 3. Writing to it (`core::fmt::Write`) keeps what fits and drops the rest.
///
/// # Cost
/// `N + 1` bytes. [`Text::as_str`] checks the UTF-8 again: the price of having no `unsafe`.
///
/// # Example
/// ```
/// use daur_core::text::Text;
///
/// let name: Text<8> = Text::new("sensor").unwrap();
/// assert_eq!(name.as_str(), "sensor");
/// assert!(Text::<4>::new("sensor").is_err());
/// assert_eq!(Text::<4>::cut("größe").as_str(), "grö");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

/// Says that a text is longer than its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TooLong {
    /// Bytes of the text.
    pub len: usize,
    /// Bytes that the place holds.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of {} bytes is longer than the {} allowed", self.len, self.max)
    }
}

impl core::error::Error for TooLong {}

impl<const N: usize> Text<N> {
    /// No text.
    pub const EMPTY: Self = {
        assert!(N <= 255, "a Text holds at most 255 bytes");
        Self { bytes: [0; N], len: 0 }
    };

    /// Holds `text`.
    ///
    /// # Errors
    /// [`TooLong`] if it has more than `N` bytes.
    pub fn new(text: &str) -> Result<Self, TooLong> {
        if text.len() > N {
            return Err(TooLong { len: text.len(), max: N });
        }
        Ok(Self::cut(text))
    }

    /// Holds as much of `text` as fits, cut at a character's border.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let mut cut = Self::EMPTY;
        cut.push(text);
        cut
    }

    /// Appends as much of `text` as fits; says whether all of it did.
    pub fn push(&mut self, text: &str) -> bool {
        let start = usize::from(self.len);
        let room = N.saturating_sub(start);
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        if let (Some(to), Some(from)) = (self.bytes.get_mut(start..start + end), text.as_bytes().get(..end)) {
            // Not `copy_from_slice`, whose length check would bring a panic into the image.
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
            // `start + end <= N <= 255`.
            self.len = u8::try_from(start + end).unwrap_or(u8::MAX);
        }
        end == text.len()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Bytes in use.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    /// Never fails: what does not fit is dropped.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> AsRef<str> for Text<N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> PartialEq<&str> for Text<N> {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

#[cfg(feature = "defmt")]
mod format;
#[cfg(feature = "serde")]
mod serde;

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    #[test]
    fn what_fits_is_held_and_what_does_not_is_refused() {
        assert_eq!(Text::<3>::new("abc").unwrap(), "abc");
        assert_eq!(Text::<3>::new("abcd"), Err(TooLong { len: 4, max: 3 }));
        assert!(Text::<0>::new("").unwrap().is_empty());
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(Text::<5>::cut("ab€€"), "ab€");
        assert_eq!(Text::<4>::cut("ab€"), "ab");
    }

    #[test]
    fn writing_keeps_what_fits() {
        let mut text = Text::<6>::EMPTY;
        write!(text, "{}-{}", 1234, 5678).unwrap();
        assert_eq!(text, "1234-5");
        assert!(!text.push("x"));
    }
}
