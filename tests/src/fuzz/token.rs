//! Tokens: any text, and any header and payload under a right tag, so that the parser behind the tag is reached.
//!
//! What is accepted is held against `serde_json`, which reads the same text in its own way.

use std::collections::HashSet;
use std::fmt;

use daur_core::security::keys::{HmacKey, Kid, Role};
use daur_core::security::permission::Scopes;
use daur_core::security::token::{Claims, Config, Error, Keys, MAX_LEN};
use daur_core::time::{Duration, UnixTime};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

const SECRET: &[u8] = b"the key of the fuzzers, which they know";
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const SCOPES: Scopes = Scopes::new(&["reports.read", "a"]);
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn keys() -> Keys<2> {
    let config = Config { max_lifetime: Duration::from_secs(1_000_000), scopes: SCOPES, ..Config::DEFAULT };
    let mut keys = Keys::new(config, None, SECRET).expect("it is long enough");
    keys.add(Kid::new("two").ok(), &[7; 32], Role::VerifyOnly).expect("there is room");
    keys
}

/// Any text: only who has the key makes one that is accepted, and there is one spelling of it.
pub(super) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let keys = keys();
    let Ok(claims) = keys.verify(text, Some(NOW)) else { return };
    assert!(text.len() <= MAX_LEN);
    let [header, payload, tag] = text.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let signed = &text[..text.len() - tag.len() - 1];
    let by = [SECRET, &[7; 32]].map(|secret| encode(&HmacKey::new(secret).tag(&[signed.as_bytes()])));
    assert!(by.iter().any(|good| good == tag), "the tag is that of a key");
    believe_header(&decode(header).expect("canonical"));
    believe_claims(&decode(payload).expect("canonical"), &claims);
    for (at, changed) in [(signed.len() + 1, "A"), (text.len() - 1, "_"), (0, "."), (header.len() + 1, "f")] {
        let other = format!("{}{changed}{}", &text[..at], &text[at + 1..]);
        assert!(other == text || keys.verify(&other, Some(NOW)).is_err(), "{other}");
    }
}

/// Any bytes as the header of a token whose tag is right.
pub(super) fn header(data: &[u8]) {
    let (token, fits) = forge(data, br#"{"sub":"a","exp":1800003600}"#);
    match keys().verify(&token, Some(NOW)) {
        Ok(claims) => {
            assert!(fits && claims.sub == "a");
            let header = believe_header(data);
            assert!(header.get("kid").is_none(), "the default key is for tokens without a kid");
        }
        Err(Error::TooLong) => assert!(!fits),
        Err(Error::Malformed) => assert!(data.is_empty()),
        Err(Error::UnknownKey) => assert!(believe_header(data).contains_key("kid")),
        // It names the other key.
        Err(Error::Tag) => assert_eq!(believe_header(data)["kid"], "two"),
        Err(why) => assert_eq!(why, Error::Header),
    }
}

/// Any bytes as the payload of a token whose tag is right.
pub(super) fn claims(data: &[u8]) {
    let (token, fits) = forge(br#"{"alg":"HS256"}"#, data);
    let keys = keys();
    let verified = keys.verify(&token, Some(NOW));
    assert_eq!(verified, keys.verify(&token, Some(NOW)), "the same again");
    match verified {
        Ok(claims) => {
            assert!(fits);
            believe_claims(data, &claims);
            // What was read can be written and reads back, but for fractions of a second and what grows by escapes.
            let mut out = [0; MAX_LEN];
            match keys.sign(&claims, &mut out) {
                Ok(again) if claims.exp > Some(NOW.as_secs()) => assert_eq!(keys.verify(again, Some(NOW)), Ok(claims)),
                Ok(again) => assert_eq!(keys.verify(again, Some(NOW)), Err(Error::Expired)),
                Err(why) => assert!(matches!(why, Error::Buffer | Error::TooLong)),
            }
        }
        Err(why @ (Error::Header | Error::UnknownKey | Error::Tag | Error::Buffer)) => panic!("{why}"),
        Err(Error::Malformed) => assert!(data.is_empty()),
        Err(_) => {}
    }
}

/// What must be true of a header that was not refused.
fn believe_header(data: &[u8]) -> Map<String, Value> {
    let header = object(data);
    assert_eq!(header["alg"], "HS256");
    assert!(!header.contains_key("crit") && !header.contains_key("b64"));
    if let Some(typ) = header.get("typ") {
        assert!(typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT")));
    }
    header
}

/// What must be true of claims that were read from this payload.
fn believe_claims(data: &[u8], claims: &Claims) {
    let object = object(data);
    let text = |name: &str| object.get(name).map(|value| value.as_str().expect("a text").to_owned());
    assert_eq!(text("sub").as_deref(), Some(claims.sub.as_str()));
    assert_eq!(text("iss").as_deref(), claims.iss.as_ref().map(daur_core::text::Text::as_str));
    assert_eq!(text("cmd").as_deref(), claims.cmd.as_ref().map(daur_core::text::Text::as_str));
    assert_eq!((text("aud"), claims.aud), (None, None), "it is for nobody in particular");
    for (name, read) in [("exp", claims.exp), ("nbf", claims.nbf), ("iat", claims.iat)] {
        assert_eq!(object.contains_key(name), read.is_some(), "{name}");
        let Some((theirs, read)) = object.get(name).zip(read) else { continue };
        match theirs.as_u64() {
            Some(whole) => assert_eq!(whole, read, "{name}"),
            // A double of such a size is exact to a microsecond, and may be rounded up to the next second.
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            None => {
                let more = theirs.as_f64().expect("a number") - read as f64;
                assert!((-0.001..=1.0).contains(&more), "{name}");
            }
        }
    }
    assert!(claims.exp.is_some_and(|exp| exp >= NOW.as_secs()), "it has not expired");
    let jti = claims.jti.map(|jti| jti.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!(text("jti"), jti);
    let granted: Vec<&str> = SCOPES.names(claims.permissions).collect();
    let named: HashSet<&str> = match object.get("permissions") {
        Some(list) => list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect(),
        None => HashSet::new(),
    };
    assert!(granted.iter().all(|name| named.contains(name)), "no more than what is named");
    assert!(named.iter().filter(|name| SCOPES.by_name(name).is_some()).all(|name| granted.contains(name)));
}

/// The object that `serde_json` reads in the same bytes, with no name twice at its top.
fn object(data: &[u8]) -> Map<String, Value> {
    // A number whose size is nobody's business here is beyond a double; for us it is only skipped.
    let mut all = serde_json::Deserializer::from_slice(data);
    let object = Once::deserialize(&mut all).expect("we are stricter").0;
    all.end().expect("nothing behind it");
    object
}

/// An object whose names are there once.
struct Once(Map<String, Value>);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Once;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Once, A::Error> {
                let mut all = Map::new();
                while let Some(name) = members.next_key::<String>()? {
                    let Loose(value) = members.next_value()?;
                    assert!(all.insert(name, value).is_none(), "a name stands twice");
                }
                Ok(Once(all))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A value in which numbers beyond a double are none: JSON's grammar has them, `serde_json::Value` has not.
struct Loose(Value);

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: Box<serde_json::value::RawValue> = Box::deserialize(deserializer)?;
        // The grammar was checked in finding the value's end.
        Ok(Self(serde_json::from_str(raw.get()).unwrap_or(Value::Null)))
    }
}

/// The token of any header and payload, with the default key's tag; whether it is short enough to be looked at.
fn forge(header: &[u8], payload: &[u8]) -> (String, bool) {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let token = format!("{signed}.{}", encode(&HmacKey::new(SECRET).tag(&[signed.as_bytes()])));
    let fits = token.len() <= MAX_LEN;
    (token, fits)
}

/// base64url, written bit by bit so that the fuzzers do not believe the library.
fn encode(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let character = |first: usize| ALPHABET[(0..6).fold(0, |six, at| six * 2 + bit(first + at))];
    (0..bytes.len() * 8).step_by(6).map(|first| char::from(character(first))).collect()
}

/// The bytes of a text in the one spelling that it may have.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for character in text.bytes() {
        let six = ALPHABET.iter().position(|known| *known == character)?;
        bits.extend((0..6).rev().map(|at| six >> at & 1 == 1));
    }
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    let bytes: Vec<u8> = bits.chunks_exact(8).map(byte).collect();
    (encode(&bytes) == text).then_some(bytes)
}
