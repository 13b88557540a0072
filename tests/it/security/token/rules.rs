//! The numbered rules of `Keys`, `Revoked` and `Gate`: what each accepts, and what it refuses.

use daur_core::id::DeviceId;
use daur_core::security::keys::{KeyError, Kid, Role, derive_device_key};
use daur_core::security::permission::{Permissions, Scopes};
use daur_core::security::token::{
    Claims, Config, ConfigError, Error, Gate, Keys, MAX_LEEWAY, MAX_LEN, RevokeError, Revoked,
};
use daur_core::text::Text;
use daur_core::time::{Duration, UnixTime};

use super::{HEADER, NOW, PAYLOAD, SECRET, base64url, forge, forge_with, good, keys, sign_with, verify};

const fn at(secs: u64) -> Option<UnixTime> {
    Some(UnixTime::from_secs(secs))
}

/// A payload with these members beside `sub`.
fn with(members: &str) -> Result<Claims, Error> {
    verify(&forge(HEADER, &format!(r#"{{"sub":"a",{members}}}"#)))
}

// Rule 1: shape and header.

#[test]
fn rule_1_accepts_three_parts_and_every_strict_spelling_of_the_header() {
    assert!(verify(&good()).is_ok());
    for header in [
        HEADER,
        r#"{"typ":"JWT","alg":"HS256"}"#,
        r#"{ "alg" : "HS256" }"#,
        "\t{\r\n\"alg\"\n:\"HS256\"} ",
        r#"{"typ":"jwt","alg":"HS256"}"#,
        r#"{"\u0061lg":"\u0048S256"}"#,
        // Members that are unknown here are passed over (RFC 7515, section 4), also those that point to keys:
        // nothing is fetched, and the key stays ours.
        r#"{"alg":"HS256","cty":"x","jku":"https://evil.example/keys","x5u":"file:///etc/passwd"}"#,
        r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"},"x5c":["MII="],"critical":["exp"],"Crit":[]}"#,
    ] {
        assert_eq!(verify(&forge(header, PAYLOAD)).map(|claims| claims.sub), Ok(Text::cut("alice")), "{header}");
    }
    // As long as may be, and not one character more.
    let filled = |n: usize| forge(HEADER, &format!(r#"{{"sub":"a","exp":1800003600,"x":"{}"}}"#, "x".repeat(n)));
    let longest = (0..1_000).rev().map(filled).find(|token| token.len() <= MAX_LEN).unwrap();
    assert!(longest.len() > MAX_LEN - 2 && verify(&longest).is_ok());
}

#[test]
fn rule_1_refuses_any_other_shape_or_header() {
    let token = good();
    let (signed, tag) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for bad in [
        "",
        ".",
        "..",
        "...",
        signed,
        header,
        &format!("{signed}."),
        &format!("{signed}.{}", &tag[1..]),
        &format!("{signed}.{tag}="),
        &format!("{signed}.{tag}."),
        &format!(".{token}"),
        &format!("{header}..{payload}.{tag}"),
        &format!("{header}.{payload}.{payload}.{tag}"),
        &format!("{header}..{tag}"),
        &format!(".{payload}.{tag}"),
        &format!("{token}\n"),
        &format!("{token}{tag}"),
        &".".repeat(MAX_LEN),
    ] {
        assert_eq!(verify(bad), Err(Error::Malformed), "{bad}");
    }
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":" HS256"}"#,
        r#"{"alg":"HS256\u0000"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":null}"#,
        r#"{"alg":256}"#,
        r#"{"typ":"JWT"}"#,
        "{}",
        "[]",
        "null",
        " ",
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"{"alg":"HS256","x":1,"\u0078":1}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","\u0063rit":[]}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"JWS"}"#,
        r#"{"alg":"HS256","typ":7}"#,
        r#"{"alg":"HS256"}x"#,
        r#"{"alg":"HS256",}"#,
        r#"{,"alg":"HS256"}"#,
        r#"{"alg":"HS256""#,
        r#"{"alg" "HS256"}"#,
        r#"{'alg':'HS256'}"#,
        "\u{feff}{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"x\":\"\u{1}\"}",
    ] {
        assert_eq!(verify(&forge(header, PAYLOAD)), Err(Error::Header), "{header}");
    }
    for length in [MAX_LEN + 1, 10_000, 1_000_000] {
        assert_eq!(verify(&"A".repeat(length)), Err(Error::TooLong));
        assert_eq!(verify(&".".repeat(length)), Err(Error::TooLong));
    }
    let short = Keys::<1>::new(Config { max_len: token.len() - 1, ..Config::DEFAULT }, None, SECRET).unwrap();
    assert_eq!(short.verify(&token, at(NOW)), Err(Error::TooLong));
    let longer = Config { max_len: 1 << 20, ..Config::DEFAULT };
    assert_eq!(longer.validate(), Err(ConfigError::MaxLen));
    let longer = Keys::<1>::new(longer, None, SECRET).unwrap();
    assert_eq!(longer.verify(&"A".repeat(MAX_LEN + 1), at(NOW)), Err(Error::TooLong), "brought to what is safe");
}

// Rule 2: the key.

const OTHER: &[u8] = b"another secret of 32 bytes, or more";
const OLD: &[u8] = b"a secret that signed before, and does not now";

/// The default key, one that signs, one that verifies only.
fn ring() -> Keys<4> {
    let mut ring = Keys::new(Config::DEFAULT, None, SECRET).unwrap();
    ring.add(Some(Kid::new("old").unwrap()), OLD, Role::VerifyOnly).unwrap();
    ring.add(Some(Kid::new("new").unwrap()), OTHER, Role::Signing).unwrap();
    ring
}

fn of_kid(secret: &[u8], kid: &str) -> String {
    forge_with(secret, &format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#), PAYLOAD)
}

#[test]
fn rule_2_accepts_each_key_under_its_own_name_and_the_default_key_without() {
    let ring = ring();
    for token in [of_kid(OTHER, "new"), of_kid(OLD, "old"), of_kid(OTHER, r"n\u0065w"), forge(HEADER, PAYLOAD)] {
        assert!(ring.verify(&token, at(NOW)).is_ok(), "{token}");
    }
    // The last one that was to sign, signs.
    let mut buffer = [0; 512];
    let claims = Claims { exp: Some(NOW + 1), ..Claims::default() };
    let token = ring.sign(&claims, &mut buffer).unwrap();
    assert!(token.starts_with(&base64url(br#"{"alg":"HS256","typ":"JWT","kid":"new"}"#)));
    assert_eq!(ring.verify(token, at(NOW)), Ok(claims));
}

#[test]
fn rule_2_refuses_an_unknown_name_and_tries_no_other_key() {
    let mut ring = ring();
    for kid in ["x", "", "NEW", "new ", "../../dev/null", "0123456789abcdefg", "' OR 1=1 --", r"\u0000", "ж"] {
        for secret in [SECRET, OLD, OTHER] {
            assert_eq!(ring.verify(&of_kid(secret, kid), at(NOW)), Err(Error::UnknownKey), "{kid}");
        }
    }
    for (secret, kid) in [(OTHER, "old"), (OLD, "new"), (SECRET, "new"), (SECRET, "old")] {
        assert_eq!(ring.verify(&of_kid(secret, kid), at(NOW)), Err(Error::Tag), "{kid}");
    }
    for secret in [OTHER, OLD] {
        assert_eq!(ring.verify(&forge_with(secret, HEADER, PAYLOAD), at(NOW)), Err(Error::Tag));
    }
    for kid in ["7", "null", r#"["new"]"#] {
        let token = forge_with(OTHER, &format!(r#"{{"alg":"HS256","kid":{kid}}}"#), PAYLOAD);
        assert_eq!(ring.verify(&token, at(NOW)), Err(Error::Header), "{kid}");
    }
    // Retired, a key verifies nothing.
    let old = Kid::new("old").ok();
    assert_eq!(ring.retire(old), Ok(()));
    assert_eq!(ring.verify(&of_kid(OLD, "old"), at(NOW)), Err(Error::UnknownKey));
    assert_eq!(ring.retire(old), Err(KeyError::Unknown));
    assert_eq!(ring.retire(Kid::new("new").ok()), Err(KeyError::Signing));
    // A ring whose keys all have names has none for a token without.
    assert_eq!(ring.retire(None), Ok(()));
    assert_eq!(ring.verify(&forge(HEADER, PAYLOAD), at(NOW)), Err(Error::UnknownKey));
    // What is too short, there already, or one too many.
    assert_eq!(ring.add(old, &[7; 31], Role::VerifyOnly), Err(KeyError::TooShort));
    assert_eq!(ring.add(Kid::new("new").ok(), &[7; 32], Role::VerifyOnly), Err(KeyError::Duplicate));
    for (kid, fits) in [("a", Ok(())), ("b", Ok(())), ("c", Ok(())), ("d", Err(KeyError::Full))] {
        assert_eq!(ring.add(Kid::new(kid).ok(), &[7; 32], Role::VerifyOnly), fits);
    }
}

// Rule 3: the tag.

#[test]
fn rule_3_accepts_the_one_spelling_of_the_one_tag() {
    // 43 characters are 258 bits: two of the last one are left over, and four characters would decode alike.
    let token = good();
    let (rest, last) = token.split_at(token.len() - 1);
    let accepted = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        .chars()
        .filter(|c| verify(&format!("{rest}{c}")).is_ok());
    assert_eq!(accepted.collect::<String>(), last);
}

#[test]
fn rule_3_refuses_a_wrong_tag_before_the_payload_is_looked_at() {
    let token = good();
    let dot = token.rfind('.').unwrap();
    for tag in ["A".repeat(43), "_".repeat(43), "=".repeat(43), ".".repeat(43), " ".repeat(43)] {
        let refused = verify(&format!("{}{tag}", &token[..=dot]));
        assert!(matches!(refused, Err(Error::Tag | Error::Malformed)), "{tag}");
    }
    // Whatever is wrong with the payload, the tag is what is told.
    for payload in ["\0", "{", r#"{"sub":"a","exp":1}"#, &"[".repeat(300)] {
        assert_eq!(verify(&forge_with(OTHER, HEADER, payload)), Err(Error::Tag), "{payload}");
    }
    // The other alphabet of base64, padding, and the text before it was encoded.
    let (signed, tag) = token.rsplit_once('.').unwrap();
    for (from, to) in [("-", "+"), ("_", "/")] {
        let other = forge(HEADER, r#"{"sub":"??>~","exp":1800003600}"#).replace(from, to);
        assert!(verify(&other).is_err() || !other.contains(to), "{other}");
    }
    assert_eq!(verify(&format!("{signed}=.{tag}")), Err(Error::Tag));
    // With a right tag over them, bits that are left over and padding are still no payload.
    let encoded = base64url(br#"{"sub":"ab","exp":1800003600}"#);
    let (rest, last) = encoded.split_at(encoded.len() - 1);
    assert_eq!(last, "0");
    let header = base64url(HEADER.as_bytes());
    for tail in ["1", "2", "3", "0=", "0A", "0\0", "0 ", "\u{416}"] {
        let token = sign_with(SECRET, &format!("{header}.{rest}{tail}"));
        assert_eq!(verify(&token), Err(Error::Claims), "{tail:?}");
    }
    assert!(verify(&sign_with(SECRET, &format!("{header}.{encoded}"))).is_ok());
}

// Rule 4: the claims.

#[test]
fn rule_4_accepts_every_claim_in_every_spelling_that_means_it() {
    let claims = with(r#""\u0065xp":1800003600,"i\u0061t":1.8e9,"jti":"000102030405060708090a0b0c0d0e0f""#).unwrap();
    assert_eq!((claims.exp, claims.iat), (Some(NOW + 3_600), Some(NOW)));
    assert_eq!(claims.jti, Some(std::array::from_fn(|byte| u8::try_from(byte).unwrap())));
    for exp in ["18000036e2", "1.8000036E+9", "1800003600.0", "1800003600000e-3", "1800003600.000"] {
        assert_eq!(with(&format!(r#""exp":{exp}"#)).map(|claims| claims.exp), Ok(Some(NOW + 3_600)), "{exp}");
    }
    // What is ignored may be anything that is JSON, and its names are not ours.
    let ignored = r#""x":{"exp":1,"exp":[2,{"sub":[[]]}]},"y":-1.5e-300,"z":[true,false,null,"\ud83d\ude00"],"":0"#;
    assert!(with(&format!(r#""exp":1800003600,{ignored}"#)).is_ok());
}

#[test]
fn rule_4_refuses_names_twice_rounded_times_and_faults_in_what_is_ignored() {
    for bad in [
        r#""exp":1800003600,"exp":1800003600"#,
        r#""exp":1,"\u0065xp":1800003600"#,
        r#""exp":1800003600,"sub":"root""#,
        r#""exp":1800003600,"s\u0075b":"root""#,
        r#""exp":1800003600,"permissions":["read"],"permissions":["admin"]"#,
        r#""exp":1800003600,"x":1,"x":1"#,
        r#""exp":"1800003600""#,
        r#""exp":null"#,
        r#""exp":{}"#,
        r#""exp":[1800003600]"#,
        r#""exp":-1"#,
        r#""exp":-1800003600"#,
        r#""exp":-0"#,
        r#""exp":1e400"#,
        r#""exp":-1e400"#,
        r#""exp":1e99999999999"#,
        r#""exp":01800003600"#,
        r#""exp":1800003600."#,
        r#""exp":.18e10"#,
        r#""exp":+1800003600"#,
        r#""exp":1_800_003_600"#,
        r#""exp":NaN"#,
        r#""exp":Infinity"#,
        r#""exp":0x6b49d200"#,
        r#""exp":9007199254740993"#,
        r#""exp":18446744073709551615"#,
        r#""exp":18446744073709551616"#,
        r#""exp":253402300800"#,
        r#""exp":1800003600,"x":garbage"#,
        r#""exp":1800003600,"x":tru"#,
        r#""exp":1800003600,"x":[1,]"#,
        r#""exp":1800003600,"x":{"a":1,}"#,
        r#""exp":1800003600,"x":[}"#,
        r#""exp":1800003600,"x":01"#,
        r#""exp":1800003600,"x":"\q""#,
        r#""exp":1800003600,"x":"\ud800""#,
        r#""exp":1800003600,"x":"\u12g4""#,
        "\"exp\":1800003600,\"x\":\"\n\"",
        "\"exp\":1800003600,\"x\":\"\0\"",
        "\"exp\":1800003600,\"\t\":1",
        r#""exp":1800003600,"jti":"1""#,
        r#""exp":1800003600,"jti":"000102030405060708090A0B0C0D0E0F""#,
        r#""exp":1800003600,"aud":["a"]"#,
        r#""exp":1800003600,"permissions":"admin""#,
        r#""exp":1800003600,"permissions":["read",["admin"]]"#,
        r#""exp":1800003600,"permissions":{"admin":true}"#,
    ] {
        assert_eq!(with(bad), Err(Error::Claims), "{bad}");
    }
    for bad in ["", "null", "[]", "7", r#""a""#, "{", "}", r#"{"sub"}"#, r#"{"sub":}"#, "{\"sub\":\"a\"}\0", "{}{}"] {
        let refused = verify(&forge(HEADER, bad)).unwrap_err();
        assert_eq!(refused, if bad.is_empty() { Error::Malformed } else { Error::Claims }, "{bad}");
    }
    // Depth has an end and needs no stack; a name that is too long is not cut to another name.
    let nested = |n| format!(r#""exp":1800003600,"x":{}"#, "[".repeat(n));
    assert_eq!(with(&nested(500)), Err(Error::Claims));
    assert_eq!(with(&nested(10_000)), Err(Error::TooLong));
    for claim in ["iss", "aud", "sub"] {
        let long = format!(r#"{{"{claim}":"{}","exp":1800003600}}"#, "x".repeat(33));
        assert_eq!(verify(&forge(HEADER, &long)), Err(Error::TooLong), "{claim}");
    }
    assert_eq!(verify(&forge(HEADER, r#"{"exp":1800003600}"#)), Err(Error::Missing));
}

// Rule 5: time.

#[test]
fn rule_5_accepts_until_the_last_millisecond_and_leeway_is_exact() {
    let verify = |leeway: u64, claims: &str, millis: u64| {
        let config = Config { leeway: Duration::from_secs(leeway), ..Config::DEFAULT };
        let keys = Keys::<1>::new(config, None, SECRET).unwrap();
        keys.verify(&forge(HEADER, &format!(r#"{{"sub":"a",{claims}}}"#)), Some(UnixTime::from_millis(millis)))
            .map(|_| ())
    };
    assert_eq!(verify(0, r#""exp":1800000000"#, 1_799_999_999_999), Ok(()));
    assert_eq!(verify(60, r#""exp":1800000000"#, 1_800_000_059_999), Ok(()));
    assert_eq!(verify(0, r#""exp":1699999999.9"#, 1_699_999_999_899), Ok(()));
    assert_eq!(verify(0, r#""nbf":1800000000,"exp":1800000001"#, 1_800_000_000_000), Ok(()));
    assert_eq!(verify(60, r#""nbf":1800000060,"exp":1800000061"#, 1_800_000_000_000), Ok(()));
    // A clock that was set back a little does not lock out whoever has just logged in.
    assert_eq!(verify(0, r#""iat":1800000060,"exp":1800000061"#, 1_800_000_000_000), Ok(()));
    // At the extremes nothing wraps.
    assert_eq!(verify(60, r#""exp":1"#, 0), Ok(()));
    assert_eq!(verify(0, r#""exp":253402300799,"iat":253402300000"#, 253_402_300_000_000), Ok(()));
    assert_eq!(verify(0, r#""iat":1800000000,"exp":1800086400"#, 1_800_000_000_000), Ok(()));
}

#[test]
fn rule_5_refuses_what_is_over_too_early_too_long_or_without_a_clock() {
    let verify = |leeway: u64, claims: &str, millis: u64| {
        let config = Config { leeway: Duration::from_secs(leeway), ..Config::DEFAULT };
        let keys = Keys::<1>::new(config, None, SECRET).unwrap();
        keys.verify(&forge(HEADER, &format!(r#"{{"sub":"a",{claims}}}"#)), Some(UnixTime::from_millis(millis)))
            .map(|_| ())
    };
    assert_eq!(verify(0, r#""exp":1800000000"#, 1_800_000_000_000), Err(Error::Expired));
    assert_eq!(verify(60, r#""exp":1800000000"#, 1_800_000_060_000), Err(Error::Expired));
    assert_eq!(verify(3_600, r#""exp":1800000000"#, 1_800_000_060_000), Err(Error::Expired), "60 s and no more");
    assert_eq!(verify(0, r#""exp":1699999999.9"#, 1_699_999_999_900), Err(Error::Expired));
    assert_eq!(verify(60, r#""exp":0"#, u64::MAX), Err(Error::Expired));
    assert_eq!(verify(0, r#""exp":0"#, 0), Err(Error::Expired));
    assert_eq!(verify(0, r#""nbf":1800000000.001,"exp":1800000001"#, 1_800_000_000_000), Err(Error::NotYet));
    assert_eq!(verify(60, r#""nbf":1800000061,"exp":1800000062"#, 1_800_000_000_000), Err(Error::NotYet));
    assert_eq!(verify(60, r#""iat":1800000061,"exp":1800000062"#, 1_800_000_000_000), Err(Error::NotYet));
    assert_eq!(verify(0, r#""iat":253402300799,"exp":253402300799"#, 0), Err(Error::NotYet));
    assert_eq!(verify(0, r#""exp":1800086401"#, 1_800_000_000_000), Err(Error::Lifetime));
    assert_eq!(verify(0, r#""iat":0,"exp":253402300799"#, 1_800_000_000_000), Err(Error::Lifetime));
    assert_eq!(verify(0, r#""iat":1800000000"#, 1_800_000_000_000), Err(Error::Missing));
    let config = Config { require_exp: false, ..Config::DEFAULT };
    let keys = Keys::<1>::new(config, None, SECRET).unwrap();
    for timed in [r#"{"sub":"a","exp":1800003600}"#, r#"{"sub":"a","nbf":0}"#, r#"{"sub":"a","exp":253402300799}"#] {
        assert_eq!(keys.verify(&forge(HEADER, timed), None), Err(Error::NoClock), "{timed}");
    }
    assert!(keys.verify(&forge(HEADER, r#"{"sub":"a"}"#), None).is_ok(), "it has no times");
}

// Rule 6: revocation.

#[test]
fn rule_6_accepts_what_is_not_revoked_and_gives_places_back() {
    let (now, hour) = (UnixTime::from_secs(NOW), Duration::from_secs(3_600));
    let claims = |user: &str, jti: u8| Claims::for_user(user, Permissions::READ, now, hour, [jti; 16]).unwrap();
    let mut revoked = Revoked::<2>::new();
    revoked.revoke(&claims("ada", 1), now).unwrap();
    revoked.revoke_user("bob", NOW).unwrap();
    assert_eq!(revoked.check(&claims("ada", 2)), Ok(()));
    assert_eq!(revoked.check(&claims("bob", 3)), Ok(()), "issued when bob was marked, not before");
    assert_eq!((revoked.len(), revoked.marked(), revoked.is_empty()), (1, 1, false));
    // A token's place is free after its end and the largest leeway; a user's, after the longest life of a token.
    let gone = NOW + 3_600 + MAX_LEEWAY.as_secs();
    assert_eq!(revoked.reclaim(UnixTime::from_secs(gone + 1), &Config::DEFAULT), 0);
    assert_eq!(revoked.reclaim(UnixTime::from_secs(gone + 2), &Config::DEFAULT), 1);
    let day = NOW + Config::DEFAULT.max_lifetime.as_secs() + MAX_LEEWAY.as_secs();
    assert_eq!(revoked.reclaim(UnixTime::from_secs(day), &Config::DEFAULT), 0);
    assert_eq!(revoked.reclaim(UnixTime::from_secs(day + 1), &Config::DEFAULT), 1);
    assert!(revoked.is_empty() && revoked.marked() == 0);
}

#[test]
fn rule_6_refuses_what_is_revoked_and_to_forget_it_when_full() {
    let (now, hour) = (UnixTime::from_secs(NOW), Duration::from_secs(3_600));
    let claims = |user: &str, jti: u8| Claims::for_user(user, Permissions::READ, now, hour, [jti; 16]).unwrap();
    let mut revoked = Revoked::<2>::new();
    for jti in [1, 2] {
        revoked.revoke(&claims("ada", jti), now).unwrap();
    }
    assert_eq!(revoked.revoke(&claims("ada", 3), now), Err(RevokeError::Full));
    for (user, before) in [("bob", NOW + 1), ("eve", NOW + 1)] {
        revoked.revoke_user(user, before).unwrap();
    }
    assert_eq!(revoked.revoke_user("joe", NOW + 1), Err(RevokeError::Full));
    for (user, jti) in [("ada", 1), ("ada", 2), ("bob", 9), ("eve", 9)] {
        assert_eq!(revoked.check(&claims(user, jti)), Err(Error::Revoked), "{user} {jti}");
    }
    for (user, jti) in [("ada", 3), ("joe", 9)] {
        assert_eq!(revoked.check(&claims(user, jti)), Ok(()), "{user}: as the error said");
    }
    // When no place is free, all can still be revoked at once.
    revoked.revoke_all_before(NOW + 1);
    for (user, jti) in [("ada", 3), ("joe", 9)] {
        assert_eq!(revoked.check(&claims(user, jti)), Err(Error::Revoked), "{user}");
    }
    assert_eq!(revoked.revoke(&Claims::default(), now), Err(RevokeError::NoId));
}

// Permissions.

const SCOPES: Scopes = Scopes::new(&["reports.read", "reports.publish"]);

#[test]
fn scopes_travel_by_name_and_an_unknown_one_grants_nothing() {
    let config = Config { scopes: SCOPES, ..Config::DEFAULT };
    let with_scopes = Keys::<1>::new(config, None, SECRET).unwrap();
    let granted = SCOPES.parse("write,reports.publish").unwrap();
    let hour = Duration::from_secs(3_600);
    let claims = Claims::for_user("user_1", granted, UnixTime::from_secs(NOW), hour, [7; 16]).unwrap();
    let mut buffer = [0; 512];
    let token = with_scopes.sign(&claims, &mut buffer).unwrap();
    assert_eq!(with_scopes.verify(token, at(NOW)), Ok(claims));
    // The names are what is sent: a list in another order, or another service, does not mistake one for another.
    let other = Scopes::new(&["mail.send", "reports.publish", "reports.read"]);
    let elsewhere = Keys::<1>::new(Config { scopes: other, ..config }, None, SECRET).unwrap();
    let read = elsewhere.verify(token, at(NOW)).unwrap().permissions;
    assert!(other.names(read).eq(["write", "reports.publish"]));
    assert_eq!(keys().verify(token, at(NOW)).unwrap().permissions, Permissions::WRITE);
    for none in ["scope3", "reports", "reports.publish.all", "REPORTS.PUBLISH", "*", "", "admin,read"] {
        let token = forge(HEADER, &format!(r#"{{"sub":"a","exp":1800003600,"permissions":["{none}"]}}"#));
        assert_eq!(with_scopes.verify(&token, at(NOW)).unwrap().permissions, Permissions::NONE, "{none}");
    }
    // A bit that has no name here is not written either.
    let token = keys().sign(&claims, &mut buffer).unwrap().to_owned();
    assert_eq!(with_scopes.verify(&token, at(NOW)).unwrap().permissions, Permissions::WRITE);
}

#[test]
fn claims_of_a_user_are_made_in_one_line() {
    let now = UnixTime::from_millis(NOW * 1_000 + 999);
    let claims = Claims::for_user("user_1", Permissions::READ, now, Duration::from_secs(3_600), [7; 16]).unwrap();
    assert_eq!((claims.iat, claims.exp, claims.sub.as_str()), (Some(NOW), Some(NOW + 3_600), "user_1"));
    let long = Claims::for_user(&"x".repeat(33), Permissions::READ, now, Duration::ZERO, [7; 16]);
    assert_eq!(long, Err(Error::TooLong));
    // As long as time goes: no verifier takes it, and nothing wraps.
    let ever = Claims::for_user("a", Permissions::READ, UnixTime::from_millis(u64::MAX), Duration::MAX, [7; 16]);
    let mut buffer = [0; 512];
    assert!(verify(keys().sign(&ever.unwrap(), &mut buffer).unwrap()).is_err());
}

// Commands to devices.

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
