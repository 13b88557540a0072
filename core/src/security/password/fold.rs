//! Case folding that needs no table.

/// The lower case of a letter of ASCII, Latin-1, Latin Extended-A, Greek or Cyrillic, one character for one.
///
/// Unicode's own table takes 11 KiB of flash. What it knows beyond these scripts (Armenian, Georgian, Cherokee, what
/// becomes two characters) is compared as it is written. All that folds into ASCII is here.
pub(super) fn fold(character: char) -> char {
    let code = u32::from(character);
    let folded = match character {
        'A'..='Z' | 'À'..='Ö' | 'Ø'..='Þ' | 'Α'..='Ρ' | 'Σ'..='Ϋ' | 'А'..='Я' => code + 32,
        'Ѐ'..='Џ' => code + 80,
        '\u{100}'..='\u{12f}' | '\u{132}'..='\u{137}' | '\u{14a}'..='\u{177}' => code | 1,
        '\u{460}'..='\u{481}' | '\u{48a}'..='\u{4bf}' => code | 1,
        '\u{139}'..='\u{148}' | '\u{179}'..='\u{17e}' => code + (code & 1),
        'Έ'..='Ί' => code + 37,
        'Ύ' | 'Ώ' => code + 63,
        _ => {
            return match character {
                'ſ' => 's',
                '\u{212a}' => 'k', // the sign of kelvin
                '\u{212b}' => 'å', // the sign of ångström
                'µ' => 'μ',
                'Ÿ' => 'ÿ',
                'Ά' => 'ά',
                'Ό' => 'ό',
                'ς' => 'σ',
                other => other,
            };
        }
    };
    char::from_u32(folded).unwrap_or(character)
}

/// Whether this is an upper-case letter of those scripts. Not `char::is_uppercase`, which links a bounds check.
pub(super) fn is_upper(character: char) -> bool {
    character == 'İ' || (fold(character) != character && !matches!(character, 'ſ' | 'µ' | 'ς'))
}

/// Whether this is a lower-case letter of those scripts.
pub(super) fn is_lower(character: char) -> bool {
    match character {
        'a'..='z' | 'µ' | 'ß'..='ö' | 'ø'..='ÿ' | 'ΐ' | 'ά'..='ώ' | 'а'..='џ' => true,
        '\u{100}'..='\u{17f}' | '\u{460}'..='\u{481}' | '\u{48a}'..='\u{4bf}' => !is_upper(character),
        _ => false,
    }
}

/// Whether `part` stands in `whole`, whatever the case of their letters.
pub(super) fn contains(whole: &str, part: &str) -> bool {
    let mut rest = whole.chars();
    loop {
        let mut here = rest.clone().map(fold);
        if part.chars().map(fold).all(|wanted| here.next() == Some(wanted)) {
            return true;
        }
        if rest.next().is_none() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> impl Iterator<Item = char> {
        ['\0'..='\u{17f}', '\u{386}'..='\u{3ce}', '\u{400}'..='\u{4bf}'].into_iter().flatten()
    }

    #[test]
    fn it_is_unicodes_lower_case_in_the_scripts_that_it_knows() {
        for character in known() {
            let mut lower = character.to_lowercase();
            let lower = (lower.next().unwrap(), lower.next());
            match character {
                // Folded, though lower case already; or two characters.
                'ſ' | 'µ' | 'ς' | 'İ' => assert!(fold(character) != character || lower.1.is_some()),
                _ => assert_eq!((fold(character), None), lower, "{character} U+{:04X}", u32::from(character)),
            }
        }
        for character in '\0'..=char::MAX {
            let mut lower = character.to_lowercase();
            let lower = (lower.next().unwrap(), lower.next());
            if lower.0.is_ascii() && lower.1.is_none() {
                assert_eq!(fold(character), lower.0, "U+{:04X}", u32::from(character));
            }
            assert_eq!(fold(fold(character)), fold(character));
        }
    }

    #[test]
    fn upper_and_lower_are_unicodes_in_the_scripts_that_it_knows() {
        for character in known() {
            assert_eq!(is_upper(character), character.is_uppercase(), "{character}");
            // The ordinal signs are lower case to Unicode, and no letters to anybody else.
            assert_eq!(is_lower(character), character.is_lowercase() && !matches!(character, 'ª' | 'º'), "{character}");
        }
    }

    #[test]
    fn a_part_is_found_anywhere_in_any_case() {
        for (whole, part) in [("xЖАННАx", "жанна"), ("ΑΘΉΝΑΣ1", "αθήνας"), ("abc", "ABC"), ("aab", "ab"), ("a", "")]
        {
            assert!(contains(whole, part), "{whole} {part}");
        }
        for (whole, part) in [("abc", "abd"), ("ab", "abc"), ("", "a"), ("жан", "жанн")] {
            assert!(!contains(whole, part), "{whole} {part}");
        }
    }
}
