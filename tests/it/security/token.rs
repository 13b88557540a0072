//! Tokens under attack, through the public API.

use daur_core::id::DeviceId;
use daur_core::security::keys::{HmacKey, derive_device_key};
use daur_core::security::permission::Permissions;
use daur_core::security::token::{Claims, Config, Error, Gate, Keys};
use daur_core::text::Text;
use daur_core::time::UnixTime;
use proptest::prelude::*;

use super::base64url;

const SECRET: &[u8] = b"a secret of the tests, 32 bytes or more";
const NOW: u64 = 1_800_000_000;

fn keys() -> Keys<1> {
    Keys::new(Config::DEFAULT, None, SECRET).unwrap()
}

fn verify(token: &str) -> Result<Claims, Error> {
    keys().verify(token, Some(UnixTime::from_secs(NOW)))
}

/// A token as another library would make it, with the right tag.
fn forge(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    let tag = HmacKey::new(SECRET).tag(&[signed.as_bytes()]);
    format!("{signed}.{}", base64url(&tag))
}

fn good() -> String {
    let claims = Claims {
        sub: Text::cut("alice"),
        exp: Some(NOW + 3_600),
        iat: Some(NOW),
        jti: Some([7; 16]),
        permissions: Permissions::READ,
        ..Claims::default()
    };
    let mut buffer = [0; 512];
    keys().sign(&claims, &mut buffer).unwrap().to_owned()
}

const PAYLOAD: &str = r#"{"sub":"alice","exp":1800003600}"#;

#[test]
fn a_token_of_another_library_is_read() {
    for header in [r#"{"alg":"HS256","typ":"JWT"}"#, r#"{"typ":"JWT","alg":"HS256"}"#, r#"{ "alg" : "HS256" }"#] {
        assert_eq!(verify(&forge(header, PAYLOAD)).unwrap().sub, "alice", "{header}");
    }
}

#[test]
fn no_algorithm_but_hs256_is_believed_whatever_the_tag() {
    for alg in ["none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256", ""] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
        let token = forge(&header, PAYLOAD);
        assert_eq!(verify(&token), Err(Error::Header), "{alg}");
        let unsigned = &token[..=token.rfind('.').unwrap()];
        assert_eq!(verify(unsigned), Err(Error::Malformed), "{alg} without a tag");
        assert_eq!(verify(&format!("{unsigned}{}", "A".repeat(43))), Err(Error::Header), "{alg} with zeros");
    }
}

#[test]
fn an_empty_a_cut_or_a_longer_tag_is_refused() {
    let token = good();
    let dot = token.rfind('.').unwrap();
    for end in dot..token.len() {
        assert!(matches!(verify(&token[..end]), Err(Error::Malformed | Error::Tag | Error::Header)), "{end}");
    }
    for more in ["A", "=", "==", ".", "\n", " ", "\0"] {
        assert!(verify(&format!("{token}{more}")).is_err(), "{more:?}");
    }
    assert_eq!(verify(&format!("{}{}", &token[..=dot], "A".repeat(43))), Err(Error::Tag));
}

#[test]
fn the_tags_last_character_has_one_spelling() {
    // 43 characters are 258 bits: two of the last one are left over, and four characters would decode alike.
    let token = good();
    let (rest, last) = token.split_at(token.len() - 1);
    let accepted = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        .chars()
        .filter(|c| verify(&format!("{rest}{c}")).is_ok());
    assert_eq!(accepted.collect::<String>(), last);
}

#[test]
fn critical_extensions_and_unencoded_payloads_are_refused() {
    for member in [r#""crit":["exp"]"#, r#""crit":[]"#, r#""b64":false"#, r#""\u0063rit":["b64"]"#] {
        let header = format!(r#"{{"alg":"HS256",{member}}}"#);
        assert_eq!(verify(&forge(&header, PAYLOAD)), Err(Error::Header), "{member}");
    }
}

#[test]
fn duplicate_and_escaped_names_are_one_name() {
    for payload in [
        r#"{"sub":"alice","sub":"root","exp":1800003600}"#,
        r#"{"sub":"alice","s\u0075b":"root","exp":1800003600}"#,
        r#"{"sub":"alice","exp":1,"exp":1800003600}"#,
        r#"{"sub":"alice","exp":1800003600,"permissions":["read"],"permissions":["admin"]}"#,
    ] {
        assert_eq!(verify(&forge(r#"{"alg":"HS256"}"#, payload)), Err(Error::Claims), "{payload}");
    }
    let escaped = r#"{"\u0073\u0075\u0062":"alice","\u0065xp":1800003600}"#;
    assert_eq!(verify(&forge(r#"{"alg":"HS256"}"#, escaped)).unwrap().exp, Some(NOW + 3_600));
}

#[test]
fn times_that_are_huge_negative_or_floats_are_read_exactly_or_refused() {
    let exp = |exp: &str| verify(&forge(r#"{"alg":"HS256"}"#, &format!(r#"{{"sub":"a","exp":{exp}}}"#))).map(|c| c.exp);
    assert_eq!(exp("1800000000"), Err(Error::Expired));
    assert_eq!(exp("1799999999.9"), Err(Error::Expired));
    assert_eq!(exp("1800000000.0"), Err(Error::Expired));
    assert_eq!(exp("1800000000.1"), Ok(Some(NOW)));
    assert_eq!(exp("1800000001"), Ok(Some(NOW + 1)));
    assert_eq!(exp("18.00003600e8"), Ok(Some(NOW + 3_600)));
    for bad in ["-1", "-1e400", "1e400", "9007199254740993", "18446744073709551617", "1e-", "--1", "0e", "0x1", "1_0"] {
        assert_eq!(exp(bad), Err(Error::Claims), "{bad}");
    }
    assert_eq!(exp("253402300799"), Err(Error::Lifetime));
}

#[test]
fn deep_and_long_tokens_are_refused_without_a_stack_or_a_wait() {
    let nested = |n| format!(r#"{{"sub":"a","exp":1800003600,"x":{}"#, "[".repeat(n));
    assert_eq!(verify(&forge(r#"{"alg":"HS256"}"#, &nested(500))), Err(Error::Claims));
    assert_eq!(verify(&forge(r#"{"alg":"HS256"}"#, &nested(10_000))), Err(Error::TooLong));
    assert_eq!(verify(&forge(&format!(r#"{{"alg":"HS256","x":{}"#, "[".repeat(500)), PAYLOAD)), Err(Error::Header));
    assert_eq!(verify(&"a.".repeat(500_000)), Err(Error::TooLong));
    assert_eq!(verify(&".".repeat(1_024)), Err(Error::Malformed));
}

#[test]
fn an_unknown_kid_is_refused_and_no_other_key_is_tried() {
    let header = |kid: &str| format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
    for kid in ["x", "", "../../dev/null", "0123456789abcdefg", "' OR 1=1"] {
        assert_eq!(verify(&forge(&header(kid), PAYLOAD)), Err(Error::UnknownKey), "{kid}");
    }
}

#[test]
fn a_command_for_one_device_is_none_for_another() {
    let fleet = [3; 32];
    let [one, two] = ["boiler-1", "boiler-2"].map(|name| DeviceId::new(name).unwrap());
    let keys =
        |device| -> Keys<1> { Keys::new(Config::command(device), None, &derive_device_key(&fleet, device)).unwrap() };
    let claims = Claims::command(&one, 5, 1, Text::cut("alice"), Permissions::WRITE, Text::cut("set-interval 500"));
    let mut buffer = [0; 512];
    let token = keys(&one).sign(&claims, &mut buffer).unwrap();
    assert_eq!(keys(&two).verify(token, None), Err(Error::Tag));
    // Even with the same key, it is not for the other.
    let confused: Keys<1> = Keys::new(Config::command(&two), None, &derive_device_key(&fleet, &one)).unwrap();
    assert_eq!(confused.verify(token, None), Err(Error::Audience));
    let mut gate = Gate::new(5);
    let verified = keys(&one).verify(token, None).unwrap();
    assert_eq!(gate.admit(&verified, Permissions::WRITE).unwrap(), "set-interval 500");
    assert_eq!(gate.admit(&verified, Permissions::WRITE), Err(Error::Replayed));
}

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
