//! Texts from outside: harmless once, and the same the second time.

use daur_core::security::input::sanitize::{Rules, sanitize};
use proptest::prelude::*;

fn rules() -> impl Strategy<Value = Rules> {
    (0_usize..80, any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(max_len, keep_lines, keep_tabs, html)| Rules { max_len, keep_lines, keep_tabs, html })
}

/// Texts with much of what matters: references, their halves, line breaks, escapes.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "&", "&amp;", "&am", "p;", "&lt;", "<", "\"", "'", "&#39;", "\r", "\n", "\t", "\0", "\x1b[0m", "\u{202e}",
        "\u{200b}", "\u{2060}", "\u{feff}", "ö", "日", "a",
    ]);
    prop_oneof![prop::collection::vec(pieces, 0..20).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn rules_1_to_3_it_is_short_harmless_and_the_same_the_second_time(text in texts(), rules in rules()) {
        let (mut once, mut twice) = ([0; 96], [0; 96]);
        let first = sanitize(&text, &rules, &mut once);
        prop_assert!(first.text.len() <= rules.max_len);
        for character in first.text.chars() {
            let kept = (character == '\n' && rules.keep_lines) || (character == '\t' && rules.keep_tabs);
            prop_assert!(kept || !character.is_control(), "{:?}", first.text);
        }
        if rules.html {
            prop_assert!(!first.text.contains(['<', '>', '"', '\'']), "{:?}", first.text);
        }
        let second = sanitize(first.text, &rules, &mut twice);
        prop_assert_eq!(second.text, first.text);
        prop_assert_eq!((second.removed, second.cut), (0, false));
    }
}
