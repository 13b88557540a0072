//! Paths from outside: whatever the text, what passes stays where it may be.

use std::path::{Component, Path};

use daur_core::rng::Rng;
use daur_core::security::input::path::{Refusal, Rules, check};
use proptest::prelude::*;

/// Pieces that paths and attacks on them are made of.
const PIECES: [&str; 40] = [
    "a",
    "b",
    "etc",
    "passwd",
    "file.txt",
    ".",
    "..",
    "...",
    "/",
    "/",
    "/",
    "//",
    "\\",
    "%2e",
    "%2f",
    "%5c",
    "%00",
    "%25",
    "%",
    "~",
    ":",
    "c:",
    " ",
    "\0",
    "\n",
    "ö",
    "\u{2215}",
    "\u{ff0e}",
    "\u{202e}",
    "%u2215",
    "%c0%af",
    "srv",
    "uploads",
    "/srv/uploads",
    "..;",
    ".ssh",
    "-",
    "x y",
    "PROC",
    "/proc",
];

fn any_path(rng: &mut Rng) -> String {
    let pieces = 1 + rng.at_most(7);
    (0..pieces).map(|_| PIECES[usize::try_from(rng.at_most(39)).unwrap()]).collect()
}

/// Walks a path as a file system without links does; `None` once it is above where it began.
fn depth(path: &str) -> Option<u32> {
    let mut depth = 0_u32;
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth = depth.checked_sub(1)?,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(depth)
}

/// Whether the most careless of readers is led up by it: one that decodes until nothing is left to decode, takes backslashes
/// and lookalikes for slashes and dots, cuts off parameters, and dots and spaces at a name's end.
fn leads_up_somewhere(canonical: &str) -> bool {
    let mut text = canonical.to_owned();
    for (code, character) in
        [("%25", "%"), ("%2e", "."), ("%2f", "/"), ("%5c", "\\"), ("%c0%af", "/"), ("%u2215", "/")].repeat(4)
    {
        text = text.replace(code, character);
    }
    let text = text
        .replace(['\\', '\u{2215}', '\u{2044}', '\u{ff0f}'], "/")
        .replace('\u{ff0e}', ".")
        .replace('\u{2025}', "..");
    let mut depth = 0;
    for name in text.split('/') {
        let name = name.split([';', ':']).next().unwrap_or("");
        let trimmed = name.trim_end_matches(' ');
        match trimmed {
            "" | "." => {}
            _ if trimmed.starts_with("..") && trimmed.trim_matches(['.', ' ']).is_empty() => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[test]
fn the_careless_reader_is_led_up_by_what_is_refused() {
    for path in ["../x", "a/../../x", "..%2f..%2fx", "%252e%252e/", "..\\x", "..;/x", "... /x", "\u{ff0e}\u{ff0e}/x"] {
        assert!(leads_up_somewhere(path), "{path}");
        assert!(check(path, &Rules::DEFAULT, &mut [0; 64]).is_err(), "{path}");
    }
}

#[test]
fn rules_4_and_5_two_million_random_paths_joined_to_a_base_never_leave_it() {
    let rules = Rules { roots: &["/srv/uploads"], decodings: 2, ..Rules::DEFAULT };
    let base = Path::new("/srv/uploads");
    let (mut rng, mut buffer, mut passed) = (Rng::new(2_026), [0; 256], [0_u32; 2]);
    for _ in 0..2_000_000 {
        let path = any_path(&mut rng);
        let Ok(canonical) = check(&path, &rules, &mut buffer) else { continue };
        assert!(depth(canonical).is_some(), "{path:?} gave {canonical:?}");
        assert!(!canonical.contains(['\\', '\0', '\n', ':', '\u{2215}']), "{path:?} gave {canonical:?}");
        assert!(!Path::new(canonical).components().any(|part| part == Component::ParentDir), "{path:?}");
        assert!(base.join(canonical).starts_with(base), "{path:?} gave {canonical:?}");
        assert!(!leads_up_somewhere(canonical), "{path:?} gave {canonical:?}");
        passed[usize::from(canonical.starts_with('/'))] += 1;
    }
    assert!(passed[0] > 10_000 && passed[1] > 100, "the test must not pass by refusing everything: {passed:?}");
}

#[test]
fn rule_7_what_has_passed_passes_again_unchanged() {
    let (mut rng, mut buffer, mut again, mut passed) = (Rng::new(7), [0; 256], [0; 256], 0);
    for _ in 0..200_000 {
        let path = any_path(&mut rng);
        let Ok(canonical) = check(&path, &Rules::DEFAULT, &mut buffer) else { continue };
        assert_eq!(check(canonical, &Rules::DEFAULT, &mut again), Ok(canonical), "{path:?}");
        passed += 1;
    }
    assert!(passed > 1_000);
}

/// What a forbidden entry means, written plainly.
fn is_forbidden(canonical: &str, entry: &str) -> bool {
    let parts = |text: &str| text.split('/').filter(|part| !part.is_empty()).map(str::to_lowercase).collect::<Vec<_>>();
    let (path, wanted) = (parts(canonical), parts(entry));
    if entry.starts_with('/') {
        canonical.starts_with('/') && path.starts_with(&wanted)
    } else {
        path.windows(wanted.len()).any(|run| run == wanted)
    }
}

proptest! {
    #[test]
    fn rule_6_forbidden_is_what_the_plain_reading_says(
        path in "/?(etc|etcetera|a|srv|Etc|keys|private|x){1}(/(etc|etcetera|a|keys|Private|x)){0,4}",
        entry in "/?(etc|a|keys|x)(/(private|a|etc))?",
    ) {
        let entries = [entry.as_str()];
        let rules = Rules { forbidden: &entries, ..Rules::DEFAULT };
        let mut buffer = [0; 256];
        match check(&path, &rules, &mut buffer) {
            Ok(canonical) => prop_assert!(!is_forbidden(canonical, &entry), "{path} passes {entry}"),
            Err(why) => {
                prop_assert_eq!(why, Refusal::Forbidden);
                prop_assert!(is_forbidden(&path, &entry), "{} does not hold {}", path, entry);
            }
        }
    }

    #[test]
    fn any_text_at_all_is_judged_without_a_panic(path in any::<String>(), decodings in 0_u8..4, room in 0_usize..64) {
        let rules = Rules { decodings, roots: &["/"], ..Rules::DEFAULT };
        let mut buffer = vec![0; room];
        if let Ok(canonical) = check(&path, &rules, &mut buffer) {
            prop_assert!(canonical.len() <= path.len());
        }
    }
}
