//! Texts from outside: commands, paths, mail addresses, and what is made harmless.

use daur_core::security::input::command::{Class, DenyList, Refusal, classify, parse};
use daur_core::security::input::{email, path, sanitize};

/// The text after the first byte, which chooses the rules.
fn text(data: &[u8]) -> Option<(u8, &str)> {
    let (rules, text) = data.split_first()?;
    Some((*rules, std::str::from_utf8(text).ok()?))
}

/// What is plain stays what it is when it is quoted anew, and nothing else is plain.
pub(super) fn command(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    let mut buffer = vec![0; line.len() + 1];
    let argv = match parse(line, &mut buffer) {
        Ok(argv) => argv,
        Err(why) => {
            assert!(classify(line) >= why.class() && classify(line) > Class::Plain);
            assert!(DenyList::DEFAULT.admit(line, &mut vec![0; line.len() + 1]).is_err());
            return;
        }
    };
    assert_eq!(classify(line), Class::Plain);
    assert!(argv.words().count() >= 1);
    assert_eq!(argv.words().map(|word| word.len() + 1).sum::<usize>(), argv.canonical().len());
    let quoted: Vec<_> = argv.words().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    let quoted = quoted.join(" ");
    let mut again = vec![0; quoted.len() + 1];
    assert_eq!(parse(&quoted, &mut again).map(|argv| argv.canonical()), Ok(argv.canonical()));
    let judged = DenyList::DEFAULT.admit(&quoted, &mut vec![0; quoted.len() + 1]).map(|_| ());
    assert_eq!(judged, DenyList::DEFAULT.check(&argv).map_err(Refusal::from));
}

/// What passes leads nowhere but down, however it is read, and passes again.
pub(super) fn path(data: &[u8]) {
    let Some((choice, given)) = text(data) else { return };
    let roots: &[&str] = if choice & 4 == 0 { &[] } else { &["/srv/uploads"] };
    let rules = path::Rules { decodings: choice % 4, roots, ..path::Rules::DEFAULT };
    let mut buffer = vec![0; given.len()];
    let Ok(canonical) = path::check(given, &rules, &mut buffer) else { return };
    assert!(canonical.len() <= given.len() && !canonical.is_empty());
    assert!(!canonical.contains(['\\', ':', '\0', '\n', '\r', '\x1b']) && !canonical.contains("//"));
    for name in canonical
        .split('/')
        .filter(|_| canonical != "/" && canonical != ".")
        .skip(usize::from(canonical.starts_with('/')))
    {
        let name = name.split(';').next().unwrap_or(name);
        assert!(name.is_empty() || name.contains(|c| c != '.' && c != ' '), "{canonical:?}");
    }
    assert!(roots.is_empty() || !canonical.starts_with('/') || std::path::Path::new(canonical).starts_with(roots[0]));
    let once = path::Rules { decodings: 0, ..rules };
    let mut again = vec![0; canonical.len()];
    match path::check(canonical, &once, &mut again) {
        Ok(second) => assert_eq!(second, canonical),
        Err(why) => assert!(why == path::Refusal::Encoded && canonical.contains('%'), "{canonical:?}: {why}"),
    }
}

/// An address that passes is its two parts, within the lengths, and passes by every wider rules.
pub(super) fn email(data: &[u8]) {
    let Some((choice, address)) = text(data) else { return };
    let rules = email::Rules {
        quoted: choice & 1 != 0,
        international: choice & 2 != 0,
        local_domains: choice & 4 != 0,
        literals: choice & 8 != 0,
    };
    let Ok(email) = email::check(address, &rules) else { return };
    assert_eq!(format!("{}@{}", email.local, email.domain), address);
    assert!(address.len() <= 254 && (1..=64).contains(&email.local.len()) && (1..=253).contains(&email.domain.len()));
    assert!(!address.chars().any(char::is_control) && (rules.international || address.is_ascii()));
    assert!(rules.quoted || !address.contains(['"', ' ', '(', ')', ',', '<', '>', '\\']));
    assert!(rules.literals || email.domain.split('.').all(|label| (1..=63).contains(&label.len())));
    let all = email::Rules { quoted: true, international: true, local_domains: true, literals: true };
    assert_eq!(email::check(address, &all), Ok(email));
}

/// What comes out is short, harmless and the same the second time.
pub(super) fn sanitize(data: &[u8]) {
    let Some((choice, given)) = text(data) else { return };
    let rules = sanitize::Rules {
        max_len: usize::from(choice) * 4,
        keep_lines: choice & 1 != 0,
        keep_tabs: choice & 2 != 0,
        html: choice & 4 != 0,
    };
    let (mut once, mut twice) = ([0; 1_024], [0; 1_024]);
    let first = sanitize::sanitize(given, &rules, &mut once);
    assert!(first.text.len() <= rules.max_len);
    for character in first.text.chars() {
        let kept = (character == '\n' && rules.keep_lines) || (character == '\t' && rules.keep_tabs);
        assert!(kept || !character.is_control());
        assert!(
            !matches!(character, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        );
        assert!(!rules.html || !matches!(character, '<' | '>' | '"' | '\''));
    }
    let second = sanitize::sanitize(first.text, &rules, &mut twice);
    assert_eq!((second.text, second.removed, second.cut), (first.text, 0, false));
}
