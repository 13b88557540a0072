use super::*;
use std::vec::Vec;

fn words(line: &str) -> Result<Vec<std::string::String>, Invalid> {
    let mut buffer = [0; 512];
    parse(line, &mut buffer).map(|argv| argv.words().map(Into::into).collect())
}

#[test]
fn a_plain_line_gives_the_words_that_a_shell_would_give() {
    let cases: [(&str, &[&str]); 24] = [
        ("ls", &["ls"]),
        ("  ls \t -l  ", &["ls", "-l"]),
        ("echo ''", &["echo", ""]),
        ("echo \"\" x", &["echo", "", "x"]),
        ("echo a''b", &["echo", "ab"]),
        ("echo 'a\\b'", &["echo", "a\\b"]),
        ("echo \"a\\\"b\\\\c\\$d\\`e\"", &["echo", "a\"b\\c$d`e"]),
        ("echo \"a\\b\"", &["echo", "a\\b"]),
        ("echo \\;\\ \\|", &["echo", "; |"]),
        ("echo 'it'\\''s'", &["echo", "it's"]),
        ("echo costs 5$", &["echo", "costs", "5$"]),
        ("echo \"5$ each\"", &["echo", "5$ each"]),
        ("echo 'a*b?[c]' \"{a,b}\" '~'", &["echo", "a*b?[c]", "{a,b}", "~"]),
        ("echo a=b x=1", &["echo", "a=b", "x=1"]),
        ("echo a#b", &["echo", "a#b"]),
        ("echo a~b", &["echo", "a~b"]),
        ("git show HEAD@{1}", &["git", "show", "HEAD@{1}"]),
        ("find . -name x -exec {}", &["find", ".", "-name", "x", "-exec", "{}"]),
        ("echo größe 日本", &["echo", "größe", "日本"]),
        ("date +%H:%M", &["date", "+%H:%M"]),
        ("echo 100% - done!", &["echo", "100%", "-", "done!"]),
        ("./a-b=c", &["./a-b=c"]),
        ("'a b'=c", &["a b=c"]),
        ("echo a,b c..d", &["echo", "a,b", "c..d"]),
    ];
    for (line, expected) in cases {
        assert_eq!(words(line).unwrap_or_else(|e| panic!("{line}: {e}")), expected, "{line}");
    }
}

#[test]
fn every_metacharacter_is_refused_unquoted() {
    use Invalid::{
        AnsiQuote, Assignment, Comment, Control, Empty, Expansion, Glob, Newline, Pipe, Redirect, Reserved, Separator,
        Substitution, Unfinished,
    };
    for (line, why) in [
        ("", Empty),
        (" \t ", Empty),
        ("echo a; id", Separator),
        ("echo a;id", Separator),
        ("echo a & id", Separator),
        ("echo a && id", Separator),
        ("echo a || id", Pipe),
        ("echo a | sh", Pipe),
        ("echo a > f", Redirect),
        ("echo a 2>&1", Redirect),
        ("cat < f", Redirect),
        ("cat <(id)", Redirect),
        ("echo $(id)", Substitution),
        ("echo \"$(id)\"", Substitution),
        ("echo `id`", Substitution),
        ("echo \"`id`\"", Substitution),
        ("(id)", Substitution),
        ("f() { id", Substitution),
        ("echo $((1))", Substitution),
        ("echo $'\\x41'", AnsiQuote),
        ("echo $\"a\"", Expansion),
        ("echo $HOME", Expansion),
        ("echo ${HOME}", Expansion),
        ("echo \"$HOME\"", Expansion),
        ("echo $1 $$ $? $! $# $@ $* $-", Expansion),
        ("echo ~", Expansion),
        ("ls ~root", Expansion),
        ("x a=~", Expansion),
        ("echo {a,b}", Expansion),
        ("echo x{1..3}", Expansion),
        ("ls *", Glob),
        ("ls a?", Glob),
        ("ls [ab]", Glob),
        ("echo a # b", Comment),
        ("#", Comment),
        ("PATH=/tmp ls", Assignment),
        ("a1_=", Assignment),
        ("! id", Reserved),
        ("{ id", Reserved),
        ("if id", Reserved),
        ("time id", Reserved),
        ("echo a\nid", Newline),
        ("echo 'a\nid'", Newline),
        ("echo a\\\nid", Newline),
        ("echo a\rid", Newline),
        ("echo a\0b", Control),
        ("echo '\u{1b}[2J'", Control),
        ("echo \u{7f}", Control),
        ("echo 'a", Unfinished),
        ("echo \"a", Unfinished),
        ("echo \"a\\", Unfinished),
        ("echo a\\", Unfinished),
    ] {
        assert_eq!(words(line), Err(why), "{line:?}");
    }
}

#[test]
fn a_closing_brace_does_not_hide_a_brace_expansion() {
    for line in ["echo {x{y},z}", "echo {a}b,c}", "echo {x{y}1..3}"] {
        assert_eq!(words(line), Err(Invalid::Expansion), "{line}");
    }
}

#[test]
fn a_double_dash_that_an_option_takes_for_its_value_lets_no_other_option_through() {
    let sorts = Program { name: "ls", letters: "", options: &["sort"], operands: Operands::Paths };
    let list = AllowList { programs: &[sorts] };
    let mut buffer = [0; 64];
    let mut admit = |line| list.admit(line, &mut buffer).map(|_| ());
    // To `ls` the value of `--sort` is `--`, and what follows is an option.
    assert_eq!(admit("ls --sort -- --hide=a"), Err(Refusal::Forbidden(Forbidden::Option)));
    assert_eq!(admit("ls --sort -- -R"), Err(Refusal::Forbidden(Forbidden::Option)));
    assert_eq!(admit("ls --sort -- --"), Err(Refusal::Forbidden(Forbidden::Option)));
    assert_eq!(admit("ls --sort -- ./-R -"), Ok(()));
}

#[test]
fn a_format_of_a_great_width_is_refused() {
    let mut buffer = [0; 64];
    let mut admit = |line| AllowList::DEFAULT.admit(line, &mut buffer).map(|_| ());
    assert_eq!(admit("date +%2147483647d"), Err(Refusal::Forbidden(Forbidden::Argument)));
    assert_eq!(admit("ls -l --time-style=+%2147483647d"), Err(Refusal::Forbidden(Forbidden::Option)));
    assert_eq!(admit("date +%02d.%3N"), Ok(()));
}

#[test]
fn a_line_that_does_not_fit_is_refused_whole() {
    let mut buffer = [0; 8];
    assert!(parse("echo ab", &mut buffer).is_ok());
    assert_eq!(parse("echo abc", &mut buffer), Err(Invalid::TooLong));
    assert_eq!(parse("echo", &mut []), Err(Invalid::TooLong));
}

#[test]
fn the_default_list_lets_look_and_not_touch() {
    let mut buffer = [0; 256];
    for good in [
        "echo hello 'a; b' /etc/passwd -n",
        "date",
        "date -u +%s",
        "date --rfc-3339=seconds",
        "uname -a",
        "uname --all",
        "uptime -p",
        "hostname",
        "hostname -f",
        "whoami",
        "df -h",
        "df -h .",
        "free -m",
        "ls",
        "ls -la",
        "ls -l sub/dir a.txt ..x x..",
        "ls -- ./-l",
        "ls ./a",
        "ls -",
        "sleep 1",
        "sleep 0.5s",
    ] {
        let admitted = AllowList::DEFAULT.admit(good, &mut buffer);
        assert!(admitted.is_ok(), "{good}: {admitted:?}");
    }
    use Forbidden::{Argument, Option, Path, Program};
    for (bad, why) in [
        ("rm -rf /", Program),
        ("/bin/ls", Program),
        ("./ls", Program),
        ("LS", Program),
        ("sh -c id", Program),
        ("env ls", Program),
        ("''", Program),
        ("ls /etc", Path),
        ("ls ../x", Path),
        ("ls a/../../x", Path),
        ("ls ..", Path),
        ("ls a/..", Path),
        ("ls ''", Path),
        ("ls -- /etc", Path),
        ("ls '~root'", Path),
        ("ls 'a\\..\\b'", Path),
        ("df /", Path),
        ("date -s tomorrow", Option),
        ("date --set=tomorrow", Option),
        ("date -f list", Option),
        ("date 010203", Argument),
        ("hostname evil", Argument),
        ("hostname -F f", Option),
        ("free -s 1", Option),
        ("uname x", Argument),
        ("sleep infinity", Argument),
        ("sleep -1", Option),
        ("sleep 1e9", Argument),
        ("ls --hyperlink", Option),
        ("ls -é", Option),
    ] {
        assert_eq!(AllowList::DEFAULT.admit(bad, &mut buffer), Err(Refusal::Forbidden(why)), "{bad}");
    }
}
