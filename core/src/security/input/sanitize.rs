//! Texts from outside, made harmless to show and to keep.

/// Says what is left of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rules {
    /// The longest text, in bytes.
    pub max_len: usize,
    /// Whether line feeds stay; a carriage return before one is left out. Else a line break becomes a space.
    pub keep_lines: bool,
    /// Whether tabulators stay; else each becomes a space.
    pub keep_tabs: bool,
    /// Whether `& < > " '` become character references, for a page of HTML.
    pub html: bool,
}

impl Rules {
    /// One line of at most 1,024 bytes, not escaped.
    pub const DEFAULT: Self = Self { max_len: 1_024, keep_lines: false, keep_tabs: false, html: false };
}

impl Default for Rules {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Gives a text that was made harmless, and says what that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitized<'b> {
    /// The text.
    pub text: &'b str,
    /// Characters that were left out or became a space.
    pub removed: usize,
    /// Whether the text was longer than it may be.
    pub cut: bool,
}

/// Whether a character is not shown itself but steers what shows it, or is not seen at all: controls (C0, DEL, C1), what turns
/// the reading direction or separates lines unseen, blanks of no width, fillers, tags. The joiners U+200C and U+200D and the
/// variation selectors are none: words and names of some scripts and many an emoji need them.
pub(super) const fn is_hidden(character: char) -> bool {
    // Most texts are ASCII.
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    matches!(character,
        '\u{80}'..='\u{9F}' | '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
        | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}')
}

/// Whether a character beyond ASCII is shown as a space, but is none; U+2800 is the Braille sign without dots. By ranges: the tables of `char::is_whitespace` are larger.
pub(super) const fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{2800}' | '\u{3000}'
    )
}

/// What stands for a character in HTML.
const REFERENCES: [(char, &str); 5] = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")];

/// Leaves out of a text what does harm where it is shown or kept (`InputValidator.sanitize_input`).
///
/// For names, messages, log lines. It decides nothing: what must have a form is refused by a check of
/// that form ([`command`](super::command), [`path`](super::path), [`email`](super::email)).
///
/// # Rules
/// 1. What comes out is valid UTF-8 of at most `max_len` bytes, cut at a character's border and never
///    within a character reference.
/// 2. No control character is left but line feeds and tabulators that the rules keep; no escape, nothing
///    that turns the reading direction, and nothing that is not seen but the joiners and variation selectors of scripts
///    and emoji.
/// 3. Made harmless a second time, it is the same text. So one of the five references that `html` writes is left as it is
///    where it comes in: who types `&lt;` is shown `<`, and the page is safe all the same.
/// 4. All other characters stay, in their order.
///
/// # Cost
/// O(n), no allocation: the text is written to `buffer`; what finds no place there is cut. 128 bytes
/// of RAM and 1,716 of flash on thumbv6m (image `sanitize`: the RAM is its buffer).
///
/// # Example
/// ```
/// use daur_core::security::input::sanitize::{Rules, sanitize};
///
/// let mut buffer = [0; 64];
/// let shown = sanitize("red \x1b[31malert\r\nnext", &Rules::DEFAULT, &mut buffer);
/// assert_eq!((shown.text, shown.removed, shown.cut), ("red [31malert next", 2, false));
///
/// let html = Rules { html: true, ..Rules::DEFAULT };
/// assert_eq!(sanitize("<b>Tom & Jerry", &html, &mut buffer).text, "&lt;b&gt;Tom &amp; Jerry");
/// ```
///
/// # References
/// Unicode Technical Report 36 for the reading direction; CWE-117, CWE-150.
#[doc(alias = "sanitize_input")]
pub fn sanitize<'b>(input: &str, rules: &Rules, buffer: &'b mut [u8]) -> Sanitized<'b> {
    let limit = rules.max_len.min(buffer.len());
    let (mut len, mut removed, mut cut) = (0, 0, false);
    let mut rest = input;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or("");
        let mut taken = character.len_utf8();
        let mut one = [0; 4];
        let unit: &str = match character {
            '\r' if after.starts_with('\n') => {
                // The line feed after it speaks for both.
                rest = after;
                removed += usize::from(rules.keep_lines);
                continue;
            }
            '\n' if rules.keep_lines => "\n",
            '\t' if rules.keep_tabs => "\t",
            '\r' if rules.keep_lines => {
                removed += 1;
                "\n"
            }
            '\n' | '\r' | '\t' => {
                removed += 1;
                " "
            }
            hidden if is_hidden(hidden) => {
                removed += 1;
                ""
            }
            '&' | '<' | '>' | '"' | '\'' if rules.html => {
                let known = REFERENCES.iter().find(|(_, reference)| rest.starts_with(reference));
                match (known, REFERENCES.iter().find(|(escaped, _)| *escaped == character)) {
                    (Some((_, reference)), _) => {
                        taken = reference.len();
                        reference
                    }
                    (None, Some((_, reference))) => reference,
                    (None, None) => "",
                }
            }
            other => other.encode_utf8(&mut one),
        };
        if len + unit.len() > limit {
            cut = true;
            break;
        }
        for byte in unit.bytes() {
            if let Some(place) = buffer.get_mut(len) {
                *place = byte;
                len += 1;
            }
        }
        rest = rest.get(taken..).unwrap_or("");
    }
    let text = buffer.get(..len).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("");
    Sanitized { text, removed, cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn made(input: &str, rules: &Rules) -> String {
        sanitize(input, rules, &mut [0; 256]).text.into()
    }

    #[test]
    fn all_white_space_beyond_ascii_is_hidden_or_a_blank() {
        for character in ('\u{80}'..=char::MAX).filter(|character| character.is_whitespace()) {
            assert!(is_hidden(character) != is_blank(character), "{character:?}");
        }
        assert!(('\u{80}'..=char::MAX).filter(|c| is_blank(*c) && !c.is_whitespace()).eq(['\u{2800}']));
    }

    #[test]
    fn rule_1_it_is_cut_at_a_characters_border_and_never_within_a_reference() {
        for (max_len, cut) in [(0, ""), (1, "a"), (2, "a"), (3, "aö"), (4, "aö"), (8, "aö"), (9, "aö&quot;")] {
            let rules = Rules { max_len, html: true, ..Rules::DEFAULT };
            let (given, mut buffer) = ("aö\"x", [0; 32]);
            let shown = sanitize(given, &rules, &mut buffer);
            assert_eq!((shown.text, shown.cut), (cut, true), "{max_len}");
        }
        assert_eq!(sanitize("abc", &Rules::DEFAULT, &mut [0; 2]).text, "ab");
        assert!(sanitize("abc", &Rules::DEFAULT, &mut []).cut);
    }

    #[test]
    fn rule_2_nothing_that_steers_is_left() {
        let all: String = ('\0'..='\u{2100}').chain('\u{FE00}'..='\u{FFFF}').chain('\u{E0000}'..='\u{E0100}').collect();
        let mut buffer = std::vec![0; 65_536];
        let rules = Rules { max_len: usize::MAX, ..Rules::DEFAULT };
        let text = sanitize(&all, &rules, &mut buffer).text;
        assert!(!text.chars().any(char::is_control));
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200f}', '\u{feff}', '\u{2028}']));
        let lines = Rules { keep_lines: true, keep_tabs: true, ..rules };
        let kept: std::vec::Vec<char> =
            sanitize(&all, &lines, &mut buffer).text.chars().filter(|c| c.is_control()).collect();
        assert_eq!(kept, ['\t', '\n', '\n']);
    }

    /// What Unicode lets a renderer pass over (`Default_Ignorable_Code_Point`), but joiners and variation selectors.
    #[test]
    fn rule_2_nothing_that_is_not_seen_is_left() {
        for unseen in [
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{1160}',
            '\u{17B4}',
            '\u{17B5}',
            '\u{180E}',
            '\u{200B}',
            '\u{2060}',
            '\u{2065}',
            '\u{206F}',
            '\u{3164}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF0}',
            '\u{FFF8}',
            '\u{1BCA0}',
            '\u{1D173}',
            '\u{1D17A}',
            '\u{E0000}',
            '\u{E0041}',
            '\u{E0080}',
            '\u{E01F0}',
            '\u{E0FFF}',
        ] {
            assert_eq!(made(&String::from_iter(['a', unseen, 'b']), &Rules::DEFAULT), "ab", "{unseen:?}");
        }
    }

    #[test]
    fn line_breaks_of_every_system_become_one_space_or_one_line_feed() {
        assert_eq!(made("a\r\nb\nc\rd\te", &Rules::DEFAULT), "a b c d e");
        assert_eq!(made("a\r\nb\nc\rd\te", &Rules { keep_lines: true, ..Rules::DEFAULT }), "a\nb\nc\nd e");
        assert_eq!(made("a\tb", &Rules { keep_tabs: true, ..Rules::DEFAULT }), "a\tb");
    }

    #[test]
    fn rule_3_a_reference_is_not_escaped_again() {
        let html = Rules { html: true, ..Rules::DEFAULT };
        assert_eq!(made("<a href=\"x\">'&'", &html), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
        assert_eq!(made("&amp;lt; &lt; &copy; &am\0p;", &html), "&amp;lt; &lt; &amp;copy; &amp;amp;");
        assert_eq!(made("&&amp;", &html), "&amp;&amp;");
    }

    #[test]
    fn rule_4_all_other_characters_stay() {
        for text in ["größe", "日本語", "👩‍👩‍👧", "a\u{301}", "❤\u{fe0f}", "葛\u{e0100}", "<b>&'\"", "e\u{200d}x"]
        {
            assert_eq!(made(text, &Rules::DEFAULT), text);
        }
    }
}
