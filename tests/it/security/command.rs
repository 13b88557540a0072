//! Command lines: what a shell would make of them, and what the policy lets run.

use daur_core::security::input::command::{AllowList, Forbidden, Invalid, Refusal, parse};
use proptest::prelude::*;

#[test]
fn a_plain_line_that_is_not_allowed_is_forbidden_and_a_line_that_is_not_plain_is_invalid() {
    let mut buffer = [0; 1_025];
    let mut admit = |line| AllowList::DEFAULT.admit(line, &mut buffer).map(|argv| argv.program().to_owned());
    assert_eq!(admit("rm -rf /"), Err(Refusal::Forbidden(Forbidden::Program)));
    assert_eq!(admit("echo a; id"), Err(Refusal::Invalid(Invalid::Separator)));
    assert_eq!(admit("ls ../x"), Err(Refusal::Forbidden(Forbidden::Path)));
    assert_eq!(admit("ls /etc"), Err(Refusal::Forbidden(Forbidden::Path)));
    assert_eq!(admit("uname -a"), Ok("uname".to_owned()));
}

#[test]
fn spellings_of_one_command_have_one_canonical_form() {
    let canonical = |line: &str| parse(line, &mut [0; 100]).map(|argv| argv.canonical().to_owned()).unwrap();
    assert_eq!(canonical("echo  'a b'"), canonical("'ec'ho a\\ b "));
    assert_ne!(canonical("echo a b"), canonical("echo 'a b'"));
}

/// Whether the word can stand unquoted.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

proptest! {
    #[test]
    fn words_that_are_quoted_come_out_as_they_went_in(words in prop::collection::vec("[^\\x00-\\x1f\\x7f]{1,12}", 1..6)) {
        let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        let mut buffer = vec![0; line.len() + 1];
        match parse(&line, &mut buffer) {
            Ok(argv) => prop_assert!(argv.words().eq(words.iter().map(String::as_str))),
            Err(why) => prop_assert_eq!(why, Invalid::Reserved),
        }
    }

    #[test]
    fn no_line_panics_and_no_unquoted_metacharacter_passes(line in "[a-c '\"\\\\;&|<>()$`*?\\[#~={}\\n]{0,24}") {
        let mut buffer = [0; 64];
        if let Ok(argv) = parse(&line, &mut buffer) {
            prop_assert!(argv.words().count() >= 1);
            if !line.contains(['\'', '"', '\\']) {
                prop_assert!(!line.contains([';', '&', '|', '<', '>', '(', ')', '`', '*', '?', '[', '\n']), "{}", line);
                prop_assert!(argv.words().eq(line.split(' ').filter(|word| !word.is_empty())));
            }
        }
    }
}

/// The same words as a real shell gives; where there is no `sh`, there is nothing to compare with.
#[test]
fn a_real_shell_sees_the_same_words() {
    let lines = [
        r#"a 'b c' "d e" f\ g"#,
        r#"x "a\b" "a\$b" 'a\$b' a\$b 5$ "5$ x""#,
        r#"x '' "" a""b '"' "'" \\ \' \""#,
        r#"x a#b a~b a=b @{1} {} - -- .. c..d größe"#,
    ];
    for line in lines {
        let script = format!(r#"f() {{ printf '%s\n' "$@"; }}; f {line}"#);
        let Ok(output) = std::process::Command::new("sh").args(["-c", &script]).output() else { return };
        let mut buffer = [0; 256];
        let argv = parse(line, &mut buffer).unwrap();
        let ours: String = argv.words().map(|word| format!("{word}\n")).collect();
        assert_eq!(ours, String::from_utf8(output.stdout).unwrap(), "{line}");
    }
}
