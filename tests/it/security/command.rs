//! Command lines: what a shell would make of them, and what the policy lets run.

use daur_core::security::input::command::{AllowList, Class, Forbidden, Invalid, Refusal, classify, parse};
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

#[test]
fn each_text_has_the_class_of_the_gravest_thing_in_it() {
    let plain = [
        "ls -la",
        "  ls  ",
        "echo 'a; b | c > d && $(e) `f` * ? [g] {h,i} ~ # !'",
        "echo \"a; b | c\" 'it'\\''s'",
        "echo \\; \\| \\& \\$HOME \\* \\~",
        "git show HEAD@{1}",
        "find . ! -name x",
        "test a != b",
        "test a = b",
        "make A=b",
        "date +%H:%M",
        "echo 5$ 100% done!",
        "echo \"wow!\"",
        "echo größe 日本 👍",
        "awk '{print $1}' f",
        "g++ -c a.cpp",
        "a+ = b",
    ];
    let expanding = [
        "echo $HOME",
        "echo \"${HOME}\"",
        "echo $1",
        "echo $$",
        "echo $?",
        "echo $IFS",
        "ls${IFS}-la",
        "echo ~",
        "ls ~root",
        "x a=~",
        "ls *",
        "ls a?c",
        "ls [ab]",
        "echo {a,b}",
        "echo {1..9}",
        "{ls,-la}",
        "echo !!",
        "!!",
        "!rm",
        "!-2",
        "echo !$",
        "wow!!",
        "^a^b",
        "=ls",
        "echo =ls",
        "echo $=x $~x $^x $+x",
        "echo $é",
        "echo $\"a\"",
    ];
    let broken = [
        "",
        "   ",
        "echo 'a",
        "echo \"a",
        "echo a\\",
        "echo 'a; id",
        "echo $HOME 'a",
        "echo a\0b",
        "echo \u{1b}[2J",
        "echo a\u{b}b",
        "echo a\u{c}b",
        "echo \u{85}b",
        "echo a\u{2028}b",
        "echo a\u{a0}b",
        "rm\u{3000}x",
        "echo 'a\u{202e}b'",
        "echo a\u{200b}b",
        "echo \u{feff}",
        "echo a # b; id",
        "#",
    ];
    let executing = [
        "a; b",
        ";",
        "a & b",
        "a && b",
        "a || b",
        "a | b",
        "a |& b",
        "a > f",
        "a >> f",
        "a < f",
        "a <<EOF",
        "a <<< b",
        "a 2>&1",
        "a >(b)",
        "a <(b)",
        "echo $(id)",
        "echo \"$(id)\"",
        "echo `id`",
        "echo \"`id`\"",
        "echo $((1+1))",
        "(id)",
        "f() { id",
        ":(){ :|:& };:",
        "a\nb",
        "a\rb",
        "a\r\nb",
        "echo 'a\nb'",
        "r\\\nm x",
        "$'rm' x",
        "echo $'\\x41'",
        "A=b ls",
        "PATH+=:/tmp ls",
        "LD_PRELOAD=x ls",
        "! ls",
        "if ls",
        "time rm",
        "coproc rm",
        "{ id",
        "echo $HOME; id",
        "echo 'open; id\nid",
        "echo a # b\nid",
        "echo * | sh",
    ];
    let tables: [(Class, &[&str]); 4] = [
        (Class::Plain, &plain),
        (Class::Expanding, &expanding),
        (Class::Broken, &broken),
        (Class::Executing, &executing),
    ];
    for (class, lines) in tables {
        for line in lines {
            assert_eq!(classify(line), class, "{line:?}");
            let first = parse(line, &mut [0; 128]).map_or_else(Invalid::class, |_| Class::Plain);
            assert!(first <= class && (first == Class::Plain) == (class == Class::Plain), "{line:?}: {first:?}");
        }
    }
}

/// The word as a shell takes it for one.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

proptest! {
    #[test]
    fn words_that_are_quoted_come_out_as_they_went_in(words in prop::collection::vec("[ -~¡-¬®-\u{34e}\u{350}-ωא-ת日本👍\u{200d}]{1,12}", 1..6)) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn a_text_is_plain_where_it_parses_and_else_as_grave_as_its_first_fault(
        line in "[if =+!^a\u{a0}\u{200b}ö '\"\\\\;|$`*#~{,.}\\n-]{0,24}",
    ) {
        let class = classify(&line);
        match parse(&line, &mut [0; 128]) {
            Ok(_) => prop_assert_eq!(class, Class::Plain),
            Err(why) => prop_assert!(class >= why.class() && class > Class::Plain, "{class:?} {why:?}"),
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
