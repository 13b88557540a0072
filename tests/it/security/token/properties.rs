//! Whatever a generator can think of: mutated, cut, spliced and forged tokens.

use std::fs;
use std::path::Path;

use daur_core::security::permission::Permissions;
use daur_core::security::token::Claims;
use daur_core::text::Text;
use daur_tests::fuzz;
use proptest::prelude::*;

use super::{NOW, PAYLOAD, forge, good, keys, verify};

proptest! {
    #[test]
    fn any_mutated_byte_of_a_token_is_refused(at in any::<prop::sample::Index>(), to in any::<char>()) {
        let token = good();
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert!((changed == token) == verify(&changed).is_ok());
    }

    #[test]
    fn any_piece_cut_out_put_in_or_swapped_is_refused(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), piece in "[A-Za-z0-9._=-]{0,4}") {
        let token = good();
        let (a, b) = (a.index(token.len() + 1), b.index(token.len() + 1));
        let (a, b) = (a.min(b), a.max(b));
        for changed in [format!("{}{piece}{}", &token[..a], &token[b..]), format!("{}{}", &token[b..], &token[..a])] {
            prop_assert!((changed == token) == verify(&changed).is_ok(), "{changed}");
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verify(&text).is_err());
        // Under a right tag, so that the parser sees it.
        let garbage = String::from_utf8_lossy(&bytes).into_owned();
        let seen = [verify(&forge(r#"{"alg":"HS256"}"#, &garbage)), verify(&forge(&garbage, PAYLOAD))];
        prop_assert!(seen.iter().all(Result::is_err));
    }

    /// Beside serde_json: what our parser takes, it takes too, and reads the same.
    #[test]
    fn what_is_read_is_what_serde_json_reads(sub in "\\PC{0,8}", exp in NOW + 1..NOW + 86_000, more in "[\\[\\]{}\",:0-9.eE+\\-tfn \\\\a-z]{0,24}") {
        let sub_json = serde_json::to_string(&sub).unwrap();
        let payload = format!(r#"{{"sub":{sub_json},"exp":{exp},"x":{more}}}"#);
        if let Ok(claims) = verify(&forge(r#"{"alg":"HS256"}"#, &payload)) {
            let value: serde_json::Value = serde_json::from_str(&payload).expect("we are stricter");
            prop_assert_eq!(value["sub"].as_str().unwrap(), claims.sub.as_str());
            prop_assert_eq!(value["exp"].as_u64(), claims.exp);
        }
    }

    /// What the fuzzers assert, for every kept input with a few bytes changed, put in or cut out.
    #[test]
    fn mutated_inputs_of_the_fuzzers_pass_their_targets(
        target in prop::sample::select(vec!["claims", "header", "token"]),
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, any::<prop::sample::Index>()), 0..4),
    ) {
        const PIECES: &[&str] = &[
            "", "\"", "\\", "{", "}", "[", "]", ",", ":", ".", "-", "e", "0", "9", "1e9", ".5", "\\u0065", "\"exp\"",
            "\"alg\"", "\"kid\"", "\"crit\"", "null", "true", " ", "\n", "\0", "\u{7f}", "\u{416}", "=", "A", "_", "two",
        ];
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|input| input.unwrap().path()).collect();
        paths.sort();
        let mut input = fs::read(which.get(&paths)).unwrap();
        for (at, cut, piece) in edits {
            let at = at.index(input.len() + 1);
            input.splice(at..(at + cut).min(input.len()), piece.get(PIECES).bytes());
        }
        fuzz::run(target, &input);
    }

    #[test]
    fn what_is_signed_is_read_back(sub in "\\PC{0,8}", cmd in "[\\x00-\\x7f]{0,64}", exp in NOW + 1..NOW + 86_000, jti in any::<[u8; 16]>(), bits in 0_u32..8) {
        let claims = Claims {
            sub: Text::cut(&sub),
            exp: Some(exp),
            jti: Some(jti),
            permissions: Permissions::from_bits(bits).unwrap(),
            cmd: Some(Text::cut(&cmd)),
            ..Claims::default()
        };
        let mut buffer = [0; 1_024];
        let keys = keys();
        let token = keys.sign(&claims, &mut buffer).unwrap();
        prop_assert_eq!(verify(token), Ok(claims));
    }
}
