//! One table of attacks, `golden/tokens.txt`, for this processor and for the device: `firmware-example/tests` runs
//! the same lines under QEMU and expects the same verdicts.
//!
//! A line is an attack's name, the verdict, and the token. What it was made from stands here; a line that differs
//! fails the test, which then shows all of them. `tokens.txt` may grow; its verdicts do not change.

use daur_core::security::keys::{Kid, Role};
use daur_core::security::token::{Config, Keys};
use daur_core::time::UnixTime;

use super::{HEADER, base64url, forge_with, sign_with};

const TABLE: &str = include_str!("../../../golden/tokens.txt");
/// What the device's test has too.
const NOW: u64 = 1_800_000_000;
const DEFAULT_KEY: &[u8] = b"the key without a name: 32 bytes";
const NAMED_KEY: &[u8] = b"the key that has the name `two`!";

fn ring() -> Keys<2> {
    let mut keys = Keys::new(Config::DEFAULT, None, DEFAULT_KEY).unwrap();
    keys.add(Some(Kid::new("two").unwrap()), NAMED_KEY, Role::VerifyOnly).unwrap();
    keys
}

const PAYLOAD: &str = r#"{"sub":"alice","exp":1800003600,"permissions":["read"]}"#;

/// Attacks, and a few tokens that are none: without those, refusing everything would pass.
fn attacks() -> Vec<(String, &'static str, String)> {
    let mut all = Vec::new();
    let mut add = |name: &str, verdict, token: String| all.push((name.to_owned(), verdict, token));
    let of = |header: &str, payload: &str| forge_with(DEFAULT_KEY, header, payload);
    let good = of(HEADER, PAYLOAD);
    let (signed, tag) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();

    add("good", "Ok", good.clone());
    add("good_named", "Ok", forge_with(NAMED_KEY, r#"{"alg":"HS256","typ":"JWT","kid":"two"}"#, PAYLOAD));
    add("good_other_spelling", "Ok", of(r#" {"typ" : "jwt", "\u0061lg":"HS256"} "#, PAYLOAD));
    add("good_escaped_claim", "Ok", of(HEADER, r#"{"\u0073ub":"alice","\u0065xp":18000036e2}"#));
    for member in ["jku", "x5u", "jwk", "x5c", "zip"] {
        let header = format!(r#"{{"alg":"HS256","{member}":"https://evil.example"}}"#);
        add(&format!("good_ignored_{member}"), "Ok", of(&header, PAYLOAD));
    }

    for alg in ["none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256", "dir"] {
        let forged = of(&format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#), PAYLOAD);
        add(&format!("alg_{alg}_signed"), "Header", forged.clone());
        let unsigned = &forged[..=forged.rfind('.').unwrap()];
        add(&format!("alg_{alg}_unsigned"), "Malformed", unsigned.to_owned());
        add(&format!("alg_{alg}_zeros"), "Header", format!("{unsigned}{}", "A".repeat(43)));
    }
    for (name, member) in [
        ("alg_null", r#""alg":null"#),
        ("alg_list", r#""alg":["HS256"]"#),
        ("alg_missing", r#""typ":"JWT""#),
        ("alg_twice", r#""alg":"HS256","alg":"HS256""#),
        ("alg_twice_escaped", r#""alg":"HS256","\u0061lg":"none""#),
        ("alg_nul", r#""alg":"HS256\u0000""#),
        ("crit", r#""alg":"HS256","crit":["exp"]"#),
        ("crit_empty", r#""alg":"HS256","crit":[]"#),
        ("crit_escaped", r#""alg":"HS256","cr\u0069t":["b64"]"#),
        ("b64", r#""alg":"HS256","b64":false,"crit":["b64"]"#),
        ("b64_alone", r#""alg":"HS256","b64":false"#),
        ("typ_other", r#""alg":"HS256","typ":"at+jwt""#),
        ("kid_twice", r#""alg":"HS256","kid":"two","kid":"two""#),
        ("kid_number", r#""alg":"HS256","kid":2"#),
        ("header_trailing_comma", r#""alg":"HS256","#),
    ] {
        add(name, "Header", of(&format!("{{{member}}}"), PAYLOAD));
    }
    add("header_nested", "Header", of(&format!(r#"{{"alg":"HS256","x":{}"#, "[".repeat(500)), PAYLOAD));
    add("header_garbage", "Header", of("\u{416}\0\u{7f}", PAYLOAD));
    add("header_trailing", "Header", of(r#"{"alg":"HS256"}{}"#, PAYLOAD));
    for (name, kid) in [("unknown", "one"), ("empty", ""), ("path", "../../dev/null"), ("sql", "' UNION SELECT 1--")] {
        add(&format!("kid_{name}"), "UnknownKey", of(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), PAYLOAD));
    }
    add("kid_of_another_key", "Tag", of(r#"{"alg":"HS256","kid":"two"}"#, PAYLOAD));
    add("no_kid_but_another_key", "Tag", forge_with(NAMED_KEY, HEADER, PAYLOAD));

    let (cut, last) = good.split_at(good.len() - 1);
    let same_bytes = char::from(last.as_bytes()[0] + 1);
    for (name, verdict, token) in [
        ("nothing", "Malformed", "-".to_owned()),
        ("dots", "Malformed", "..".to_owned()),
        ("dots_1024", "Malformed", ".".repeat(1_024)),
        ("tag_missing", "Malformed", signed.to_owned()),
        ("tag_empty", "Malformed", format!("{signed}.")),
        ("tag_cut", "Malformed", cut.to_owned()),
        ("tag_longer", "Malformed", format!("{good}A")),
        ("tag_padded", "Malformed", format!("{good}=")),
        ("tag_zeros", "Tag", format!("{signed}.{}", "A".repeat(43))),
        ("tag_dots", "Tag", format!("{signed}.{}", ".".repeat(43))),
        ("tag_trailing_bits", "Tag", format!("{cut}{same_bytes}")),
        ("tag_of_other_claims", "Tag", format!("{header}.{}.{tag}", base64url(br#"{"sub":"root","exp":1800003600}"#))),
        ("dot_before", "Malformed", format!(".{good}")),
        ("dot_after", "Malformed", format!("{good}.")),
        ("dot_doubled", "Malformed", format!("{header}..{payload}.{tag}")),
        ("four_parts", "Malformed", format!("{header}.{payload}.{payload}.{tag}")),
        ("five_parts", "Malformed", format!("{header}.a.b.{payload}.{tag}")),
        ("header_empty", "Malformed", sign_with(DEFAULT_KEY, &format!(".{payload}"))),
        ("payload_empty", "Malformed", sign_with(DEFAULT_KEY, &format!("{header}."))),
        ("header_padded", "Header", sign_with(DEFAULT_KEY, &format!("{header}=.{payload}"))),
        ("payload_padded", "Claims", sign_with(DEFAULT_KEY, &format!("{header}.{payload}="))),
        ("payload_other_alphabet", "Claims", sign_with(DEFAULT_KEY, &format!("{header}.{payload}+/"))),
        ("payload_lone_character", "Claims", sign_with(DEFAULT_KEY, &format!("{header}.eyJzd"))),
    ] {
        add(name, verdict, token);
    }
    let odd = base64url(br#"{"sub":"ab","exp":1800003600}"#);
    let (cut, last) = odd.split_at(odd.len() - 1);
    assert_eq!(last, "0", "two bits are left over");
    add("payload_trailing_bits", "Claims", sign_with(DEFAULT_KEY, &format!("{header}.{cut}1")));

    for (name, verdict, exp) in [
        ("now", "Expired", "1800000000"),
        ("past", "Expired", "1"),
        ("zero", "Expired", "0"),
        ("float_up", "Expired", "1799999999.9"),
        ("float_ahead", "Ok", "1800000000.1"),
        ("negative", "Claims", "-1"),
        ("negative_zero", "Claims", "-0"),
        ("huge", "Claims", "18446744073709551616"),
        ("u64_max", "Claims", "18446744073709551615"),
        ("year_9999", "Lifetime", "253402300799"),
        ("year_10000", "Claims", "253402300800"),
        ("infinite", "Claims", "1e400"),
        ("exponent", "Claims", "1e99999999999999999999"),
        ("text", "Claims", "\"1800003600\""),
        ("null", "Claims", "null"),
        ("list", "Claims", "[1800003600]"),
        ("leading_zero", "Claims", "01800003600"),
        ("too_long", "Lifetime", "1800086401"),
    ] {
        add(&format!("exp_{name}"), verdict, of(HEADER, &format!(r#"{{"sub":"alice","exp":{exp}}}"#)));
    }
    for (name, verdict, payload) in [
        ("exp_missing", "Missing", r#"{"sub":"alice"}"#),
        ("sub_missing", "Missing", r#"{"exp":1800003600}"#),
        ("exp_twice", "Claims", r#"{"sub":"alice","exp":1,"exp":1800003600}"#),
        ("exp_twice_escaped", "Claims", r#"{"sub":"alice","exp":1,"\u0065xp":1800003600}"#),
        ("sub_twice", "Claims", r#"{"sub":"alice","sub":"root","exp":1800003600}"#),
        ("unknown_twice", "Claims", r#"{"sub":"alice","exp":1800003600,"x":1,"\u0078":2}"#),
        ("nbf_ahead", "NotYet", r#"{"sub":"alice","exp":1800003600,"nbf":1800000001}"#),
        ("iat_ahead", "NotYet", r#"{"sub":"alice","exp":1800003600,"iat":1800000061}"#),
        ("aud_of_another", "Audience", r#"{"sub":"alice","exp":1800003600,"aud":"boiler-7"}"#),
        ("aud_list", "Claims", r#"{"sub":"alice","exp":1800003600,"aud":["boiler-7"]}"#),
        ("sub_too_long", "TooLong", r#"{"sub":"alice-alice-alice-alice-alice-ali","exp":1800003600}"#),
        ("garbage_ignored", "Claims", r#"{"sub":"alice","exp":1800003600,"x":garbage}"#),
        ("garbage_behind", "Claims", r#"{"sub":"alice","exp":1800003600}x"#),
        ("raw_newline", "Claims", "{\"sub\":\"alice\",\"exp\":1800003600,\"x\":\"\n\"}"),
        ("lone_surrogate", "Claims", r#"{"sub":"\ud800","exp":1800003600}"#),
        ("not_an_object", "Claims", "null"),
        ("jti_short", "Claims", r#"{"sub":"alice","exp":1800003600,"jti":"7"}"#),
        ("permissions_text", "Claims", r#"{"sub":"alice","exp":1800003600,"permissions":"admin"}"#),
    ] {
        add(name, verdict, of(HEADER, payload));
    }
    for (name, open) in [("lists", "["), ("objects", r#"{"a":"#)] {
        let depth = 600 / open.len();
        add(&format!("nested_{name}"), "Claims", of(HEADER, &format!(r#"{{"x":{}"#, open.repeat(depth))));
    }
    add(
        "nested_10000",
        "TooLong",
        of(HEADER, &format!(r#"{{"sub":"alice","exp":1800003600,"x":{}"#, "[".repeat(10_000))),
    );
    all
}

#[test]
fn the_table_holds_every_attack_as_it_was_made() {
    let lines: String = attacks().iter().map(|(name, verdict, token)| format!("{name} {verdict} {token}\n")).collect();
    let kept: String = TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert!(kept == lines, "tests/golden/tokens.txt should hold:\n{lines}");
}

#[test]
fn every_line_of_the_table_gets_its_verdict() {
    let (mut accepted, mut refused) = (0, 0);
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let [name, verdict, token] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let result = ring().verify(token, Some(UnixTime::from_secs(NOW)));
        let got = result.map_or_else(|why| format!("{why:?}"), |_| "Ok".to_owned());
        assert_eq!(got, verdict, "{name}");
        *(if verdict == "Ok" { &mut accepted } else { &mut refused }) += 1;
    }
    assert!(accepted >= 10 && refused >= 120, "{accepted} {refused}");
}

#[test]
fn a_token_of_a_megabyte_is_refused_unread() {
    let long = "a.".repeat(500_000);
    assert_eq!(ring().verify(&long, None).unwrap_err(), daur_core::security::token::Error::TooLong);
}
