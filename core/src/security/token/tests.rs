use super::*;
use std::format;
use std::string::String;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn keys() -> Keys<2> {
    Keys::new(Config::DEFAULT, None, SECRET).unwrap()
}

fn encode(text: &[u8]) -> String {
    let mut buffer = std::vec![0; text.len() * 2 + 4];
    let mut out = Writer::new(&mut buffer);
    out.raw(text);
    out.encode();
    String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
}

/// A token with any header and payload and the right tag.
fn forge(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let tag = base64::tag(&HmacKey::new(SECRET).tag(&[signed.as_bytes()]));
    format!("{signed}.{}", str::from_utf8(&tag).unwrap())
}

const HEADER: &[u8] = br#"{"alg":"HS256","typ":"JWT"}"#;

fn with_header(header: &str) -> Result<Claims, Error> {
    keys().verify(&forge(header.as_bytes(), br#"{"sub":"a","exp":1800003600}"#), Some(NOW))
}

fn with_payload(payload: &str) -> Result<Claims, Error> {
    keys().verify(&forge(HEADER, payload.as_bytes()), Some(NOW))
}

fn full() -> Claims {
    Claims {
        sub: Text::cut("user \"1\"\n\u{1}ж"),
        exp: Some(1_800_003_600),
        nbf: Some(0),
        iat: Some(1_800_000_000),
        jti: Some([0xA5; 16]),
        iss: Some(Text::cut("https://issuer")),
        aud: None,
        permissions: Permissions::ALL,
        cmd: Some(Text::cut("set-interval 500")),
    }
}

#[test]
fn what_is_signed_verifies_and_reads_back() {
    let mut buffer = [0; 512];
    for claims in [full(), Claims { exp: Some(1_800_000_001), ..Claims::default() }] {
        let token = keys().sign(&claims, &mut buffer).unwrap();
        assert_eq!(keys().verify(token, Some(NOW)), Ok(claims), "{token}");
    }
}

#[test]
fn the_longest_claims_fit_the_longest_token() {
    let long = |n| "x".repeat(n);
    let claims = Claims {
        sub: Text::cut(&long(32)),
        iss: Some(Text::cut(&long(32))),
        cmd: Some(Text::cut(&long(64))),
        exp: Some(1_800_003_600),
        ..full()
    };
    let mut buffer = [0; MAX_LEN];
    let length = keys().sign(&claims, &mut buffer).unwrap().len();
    assert!(length < 600, "{length}");
    for short in [0, 1, 36, 37, length - 44, length - 43, length - 1] {
        assert_eq!(keys().sign(&claims, &mut buffer[..short]), Err(Error::Buffer));
    }
}

// Rule 1: the shape, and the header.

#[test]
fn a_token_is_three_parts_and_a_tag_of_43_characters() {
    let mut buffer = [0; 512];
    let token = keys().sign(&full(), &mut buffer).unwrap();
    let (signed, tag) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for (bad, why) in [
        (String::new(), Error::Malformed),
        (".".into(), Error::Malformed),
        ("..".into(), Error::Malformed),
        (signed.into(), Error::Malformed),
        (format!("{signed}."), Error::Malformed),
        (format!("{signed}.{}", &tag[..42]), Error::Malformed),
        (format!("{signed}.{tag}A"), Error::Malformed),
        (format!("{signed}.{tag}="), Error::Malformed),
        (format!("{token}."), Error::Malformed),
        (format!("{token}.{tag}"), Error::Malformed),
        (format!(".{payload}.{tag}"), Error::Malformed),
        (format!("{header}..{tag}"), Error::Malformed),
        (format!(".{signed}.{tag}"), Error::Malformed),
        (format!("{signed}.{}", tag.to_lowercase()), Error::Tag),
        (format!(" {token}"), Error::Header),
        (format!("{token}\n"), Error::Malformed),
        (format!("{header}=.{payload}.{tag}"), Error::Header),
        (format!("{header}.{payload}=.{tag}"), Error::Tag),
        ("A".repeat(1_000_000), Error::TooLong),
        (format!("{}.{payload}.{tag}", "A".repeat(500)), Error::Header),
        (".".repeat(500), Error::Malformed),
    ] {
        assert_eq!(keys().verify(&bad, Some(NOW)), Err(why), "{}", &bad[..bad.len().min(300)]);
    }
}

#[test]
fn other_spellings_of_a_good_header_are_read() {
    for good in [
        r#"{"alg":"HS256"}"#,
        r#" { "typ" : "jwt" , "alg" : "HS256" } "#,
        "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
        r#"{"\u0061lg":"HS25\u0036"}"#,
        r#"{"alg":"HS256","x":[{"crit":1},[],{},"}",-1.5e+3,true,false,null]}"#,
    ] {
        assert!(with_header(good).is_ok(), "{good}: {:?}", with_header(good));
    }
}

#[test]
fn any_other_header_is_refused() {
    for bad in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"HS256\u0000"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"ALG":"HS256"}"#,
        r#"{"typ":"JWT"}"#,
        r#"{}"#,
        r#"[]"#,
        r#""HS256""#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","x":1,"x":1}"#,
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","cr\u0069t":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256"}x"#,
        r#"{"alg":"HS256"}{}"#,
        r#"{"alg":"HS256",}"#,
        r#"{,"alg":"HS256"}"#,
        r#"{"alg" "HS256"}"#,
        r#"{'alg':'HS256'}"#,
        r#"{"alg":"HS256""#,
        "",
        "\u{feff}{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS256\",\"x\":\"\u{1}\"}",
        "{\"alg\":\"HS256\"}\0",
        r#"{"alg":"HS256","x":01}"#,
        r#"{"alg":"HS256","x":1.}"#,
        r#"{"alg":"HS256","x":.5}"#,
        r#"{"alg":"HS256","x":+1}"#,
        r#"{"alg":"HS256","x":1e}"#,
        r#"{"alg":"HS256","x":NaN}"#,
        r#"{"alg":"HS256","x":nul}"#,
        r#"{"alg":"HS256","x":[1}}"#,
        r#"{"alg":"HS256","x":{"a":1]}"#,
        r#"{"alg":"HS256","x":[1,]}"#,
        r#"{"alg":"HS256","x":"\ud800"}"#,
        r#"{"alg":"HS256","x":"\udc00\ud800"}"#,
        r#"{"alg":"HS256","x":"\x41"}"#,
        r#"{"alg":"HS256","x":"\u00g0"}"#,
    ] {
        let refused = with_header(bad).unwrap_err();
        let expected = if bad.is_empty() { Error::Malformed } else { Error::Header };
        assert_eq!(refused, expected, "{bad}");
    }
}

// Rule 2: the key.

#[test]
fn the_kid_chooses_the_key_and_no_other_is_tried() {
    let (a, b) = (Kid::new("a").unwrap(), Kid::new("b").unwrap());
    let mut ring: Keys<3> = Keys::new(Config::DEFAULT, Some(a), SECRET).unwrap();
    let mut buffer = [0; 512];
    let old = String::from(ring.sign(&full(), &mut buffer).unwrap());
    ring.add(Some(b), &[9; 32], Role::Signing).unwrap();
    let new = String::from(ring.sign(&full(), &mut buffer).unwrap());
    assert_ne!(old, new);
    assert!(ring.verify(&old, Some(NOW)).is_ok() && ring.verify(&new, Some(NOW)).is_ok());

    // A good tag of key `a` under the name of `b`, of nobody, of a name that cannot be.
    let payload = br#"{"sub":"a","exp":1800003600}"#;
    let verify = |header: &str| ring.verify(&forge(header.as_bytes(), payload), Some(NOW)).map(|_| ());
    assert_eq!(verify(r#"{"alg":"HS256","kid":"a"}"#), Ok(()));
    assert_eq!(verify(r#"{"alg":"HS256","kid":"\u0061"}"#), Ok(()));
    assert_eq!(verify(r#"{"alg":"HS256","kid":"b"}"#), Err(Error::Tag));
    assert_eq!(verify(r#"{"alg":"HS256","kid":"c"}"#), Err(Error::UnknownKey));
    assert_eq!(verify(r#"{"alg":"HS256","kid":""}"#), Err(Error::UnknownKey));
    assert_eq!(verify(r#"{"alg":"HS256","kid":"a/../../dev/null"}"#), Err(Error::UnknownKey));
    assert_eq!(verify(r#"{"alg":"HS256"}"#), Err(Error::UnknownKey));
    assert_eq!(verify(r#"{"alg":"HS256","typ":"JWT"}"#), Err(Error::UnknownKey));
    assert_eq!(verify(r#"{"alg":"HS256","kid":7}"#), Err(Error::Header));

    assert_eq!(ring.retire(Some(b)), Err(KeyError::Signing));
    assert_eq!(ring.retire(Some(a)), Ok(()));
    assert_eq!(ring.retire(Some(a)), Err(KeyError::Unknown));
    assert_eq!(ring.verify(&old, Some(NOW)), Err(Error::UnknownKey));
}

#[test]
fn a_ring_takes_only_keys_that_are_long_enough_and_new() {
    assert_eq!(Keys::<1>::new(Config::DEFAULT, None, &[0; 31]).err(), Some(KeyError::TooShort));
    assert_eq!(Keys::<0>::new(Config::DEFAULT, None, SECRET).err(), Some(KeyError::Full));
    let mut ring = keys();
    assert_eq!(ring.add(None, SECRET, Role::VerifyOnly), Err(KeyError::Duplicate));
    let longest = Kid::new("0123456789abcdef").unwrap();
    ring.add(Some(longest), SECRET, Role::Signing).unwrap();
    assert_eq!(ring.add(Kid::new("x").ok(), SECRET, Role::Signing), Err(KeyError::Full));
    let mut buffer = [0; 512];
    let token = ring.sign(&full(), &mut buffer).unwrap();
    assert!(ring.verify(token, Some(NOW)).is_ok());
}

// Rule 3: the tag.

#[test]
fn any_byte_changed_is_refused_before_the_payload_is_looked_at() {
    let mut buffer = [0; 512];
    let token = String::from(keys().sign(&full(), &mut buffer).unwrap());
    let dots = (token.find('.').unwrap(), token.rfind('.').unwrap());
    for at in 0..token.len() {
        for to in 0..128_u8 {
            let mut bytes = token.clone().into_bytes();
            if bytes[at] == to {
                continue;
            }
            bytes[at] = to;
            let changed = String::from_utf8(bytes).unwrap();
            let why = keys().verify(&changed, Some(NOW)).unwrap_err();
            let expected: &[Error] = match at {
                _ if at == dots.0 || at == dots.1 => &[Error::Malformed, Error::Header],
                _ if at < dots.0 => &[Error::Header, Error::Malformed, Error::UnknownKey, Error::Tag],
                _ => &[Error::Tag, Error::Malformed],
            };
            assert!(expected.contains(&why), "{at} {to}: {why:?}");
        }
    }
}

#[test]
fn a_payload_that_is_garbage_matters_only_under_a_right_tag() {
    let garbage = forge(HEADER, b"\xff\xff");
    assert_eq!(keys().verify(&garbage, Some(NOW)), Err(Error::Claims));
    let other: Keys<1> = Keys::new(Config::DEFAULT, None, &[9; 32]).unwrap();
    assert_eq!(other.verify(&garbage, Some(NOW)), Err(Error::Tag));
    // The payload's last character has bits left over; another one with the same bytes is another text.
    let good = encode(br#"{"sub":"abc","exp":1800003600}"#);
    let (rest, last) = good.split_at(good.len() - 1);
    assert_eq!((good.len() % 4, last), (0, "9"));
    let good = encode(br#"{"sub":"ab","exp":1800003600}"#);
    let signed = format!("{}.{}{}", encode(HEADER), &good[..good.len() - 1], "1");
    assert_ne!(&good[good.len() - 1..], "1");
    let tag = base64::tag(&HmacKey::new(SECRET).tag(&[signed.as_bytes()]));
    let token = format!("{signed}.{}", str::from_utf8(&tag).unwrap());
    assert_eq!(keys().verify(&token, Some(NOW)), Err(Error::Claims), "{rest}");
}

// Rule 4: the claims.

#[test]
fn claims_are_read_strictly() {
    let good = |payload: &str| with_payload(payload).unwrap_or_else(|e| panic!("{payload}: {e:?}"));
    assert_eq!(good(r#"{"sub":"a","\u0065xp":1800003600}"#).exp, Some(1_800_003_600));
    assert_eq!(good(r#"{"sub":"\u0416\ud83d\ude00\/","exp":1800003600}"#).sub, "Ж😀/");
    assert_eq!(good(r#"{"exp":18000036e2,"sub":"a"}"#).exp, Some(1_800_003_600));
    assert_eq!(good(r#"{"exp":1.8000036E+9,"sub":"a"}"#).exp, Some(1_800_003_600));
    assert_eq!(good(r#"{"exp":1800003600.0,"sub":"a"}"#).exp, Some(1_800_003_600));
    assert_eq!(good(r#"{"exp":1800003600000e-3,"sub":"a"}"#).exp, Some(1_800_003_600));
    assert_eq!(good(r#"{"sub":"","exp":1800003600,"permissions":["read","root","write"]}"#).permissions.bits(), 3);
    assert_eq!(good(r#"{"sub":"","exp":1800003600,"permissions":[]}"#).permissions, Permissions::NONE);
    assert_eq!(good(r#"{"sub":"a","exp":1800003600,"x":{"exp":1,"exp":2,"y":[[["z"]]]}}"#).sub, "a");

    for bad in [
        r#"{"sub":"a","exp":1800003600,"exp":1800003600}"#,
        r#"{"sub":"a","exp":1800003600,"\u0065xp":1900000000}"#,
        r#"{"sub":"a","sub":"admin","exp":1800003600}"#,
        r#"{"sub":"a","exp":1800003600,"x":1,"\u0078":2}"#,
        r#"{"sub":"a","exp":"1800003600"}"#,
        r#"{"sub":"a","exp":null}"#,
        r#"{"sub":"a","exp":true}"#,
        r#"{"sub":"a","exp":[1800003600]}"#,
        r#"{"sub":"a","exp":-1800003600}"#,
        r#"{"sub":"a","exp":-0}"#,
        r#"{"sub":"a","exp":01800003600}"#,
        r#"{"sub":"a","exp":0x6B49D200}"#,
        r#"{"sub":"a","exp":1e400}"#,
        r#"{"sub":"a","exp":1e99999999999999999999}"#,
        r#"{"sub":"a","exp":18446744073709551616}"#,
        r#"{"sub":"a","exp":18446744073709551615}"#,
        r#"{"sub":"a","exp":99999999999999999999999999999999999999999}"#,
        r#"{"sub":"a","exp":253402300800}"#,
        r#"{"sub":"a","exp":Infinity}"#,
        r#"{"sub":7,"exp":1800003600}"#,
        r#"{"sub":"a","exp":1800003600,"jti":"7"}"#,
        r#"{"sub":"a","exp":1800003600,"jti":"A5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"}"#,
        r#"{"sub":"a","exp":1800003600,"jti":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"}"#,
        r#"{"sub":"a","exp":1800003600,"aud":["x"]}"#,
        r#"{"sub":"a","exp":1800003600,"permissions":"admin"}"#,
        r#"{"sub":"a","exp":1800003600,"permissions":["admin",]}"#,
        r#"{"sub":"a","exp":1800003600,"permissions":["admin" "read"]}"#,
        r#"{"sub":"a","exp":1800003600,"permissions":[["admin"]]}"#,
        r#"{"sub":"a","exp":1800003600} x"#,
        r#"{"sub":"a","exp":1800003600"#,
        r#"["sub"]"#,
        "null",
        "{\"sub\":\"a\",\"exp\":1800003600,\"x\":\"\n\"}",
        "{\"sub\":\"a\nb\",\"exp\":1800003600}",
        r#"{"sub":"a","exp":1800003600,"x":{"a" 1}}"#,
        r#"{"sub":"a","exp":1800003600,"x":garbage}"#,
        r#"{"sub":"\ud800","exp":1800003600}"#,
    ] {
        assert_eq!(with_payload(bad), Err(Error::Claims), "{bad}");
    }
    for bad in [
        b"{\"sub\":\"\xff\"}".as_slice(),
        b"{\"sub\":\"\xc0\x80\"}",
        b"{\"x\":\"\xed\xa0\x80\"}",
        b"{\"x\":\"\xf4\x90\x80\x80\"}",
        b"{\"x\":\"\xe2\x82\"}",
    ] {
        assert_eq!(keys().verify(&forge(HEADER, bad), Some(NOW)), Err(Error::Claims), "{bad:?}");
    }
}

#[test]
fn a_claim_that_is_too_long_is_refused_and_never_cut() {
    let sub = |n: usize| with_payload(&format!(r#"{{"sub":"{}","exp":1800003600}}"#, "x".repeat(n)));
    assert!(sub(32).is_ok());
    for n in [33, 64, 65, 300] {
        assert_eq!(sub(n), Err(Error::TooLong));
    }
    assert_eq!(with_payload(r#"{"exp":1800003600}"#), Err(Error::Missing));
}

#[test]
fn deep_nesting_and_many_members_are_refused_in_bounded_room() {
    let nested = |n: usize| format!(r#"{{"sub":"a","exp":1800003600,"x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(with_payload(&nested(16)).is_ok());
    assert!(with_payload(&nested(17)).is_ok(), "the innermost is empty and nests nothing");
    assert_eq!(with_payload(&nested(18)), Err(Error::Claims));
    assert_eq!(with_payload(&nested(300)), Err(Error::Claims));
    assert_eq!(with_payload(&nested(10_000)), Err(Error::TooLong));
    assert_eq!(with_payload(&format!("{{\"x\":{}", r#"{"a":"#.repeat(120))), Err(Error::Claims));
    let members = |n: usize| {
        let more: String = (0..n).map(|i| format!(r#","x{i}":{i}"#)).collect();
        with_payload(&format!(r#"{{"sub":"a","exp":1800003600{more}}}"#))
    };
    assert!(members(22).is_ok());
    assert_eq!(members(23), Err(Error::Claims));
}

// Rule 5: time.

#[test]
fn exp_is_the_first_moment_that_is_too_late() {
    let verify = |exp: &str, now: u64| {
        keys().verify(
            &forge(HEADER, format!(r#"{{"sub":"a","exp":{exp}}}"#).as_bytes()),
            Some(UnixTime::from_millis(now)),
        )
    };
    assert!(verify("1800000000", 1_799_999_999_999).is_ok());
    assert_eq!(verify("1800000000", 1_800_000_000_000), Err(Error::Expired));
    // A float is neither rounded up nor down.
    assert!(verify("1699999999.9", 1_699_999_999_899).is_ok());
    assert_eq!(verify("1699999999.9", 1_699_999_999_900), Err(Error::Expired));
    assert_eq!(verify("1699999999.9", 1_700_000_000_000), Err(Error::Expired));
    assert!(verify("1699999999.9999999999999999999999", 1_699_999_999_999).is_ok());
    assert_eq!(verify("1699999999.9999999999999999999999", 1_700_000_000_000), Err(Error::Expired));
    let claims = verify("1699999999.9999999999999999999999", 1_699_999_999_000).unwrap();
    assert_eq!(claims.exp, Some(1_699_999_999));
    assert_eq!(verify("0", 0), Err(Error::Expired));
    assert_eq!(verify("0.0000000000000000000000001", 1), Err(Error::Expired));
}

#[test]
fn leeway_is_bounded_and_its_arithmetic_does_not_wrap() {
    let config = Config { leeway: Duration::from_secs(3_600), ..Config::DEFAULT };
    assert_eq!(config.validate(), Err(ConfigError::Leeway));
    let keys: Keys<1> = Keys::new(config, None, SECRET).unwrap();
    let token = forge(HEADER, br#"{"sub":"a","exp":100,"nbf":50}"#);
    let at = |secs| keys.verify(&token, Some(UnixTime::from_secs(secs))).map(|_| ());
    assert_eq!(at(159), Ok(()), "60 s and no more");
    assert_eq!(at(160), Err(Error::Expired));
    assert_eq!(at(0), Ok(()));
    let never = forge(HEADER, br#"{"sub":"a","exp":0}"#);
    assert_eq!(keys.verify(&never, Some(UnixTime::from_secs(0))), Err(Error::Expired));
    assert_eq!(keys.verify(&token, Some(UnixTime::from_millis(u64::MAX))), Err(Error::Expired));
}

#[test]
fn a_token_lives_no_longer_than_it_may() {
    let at = |claims: &str| with_payload(&format!(r#"{{"sub":"a",{claims}}}"#)).map(|_| ());
    assert_eq!(at(r#""exp":1800086400"#), Ok(()));
    assert_eq!(at(r#""exp":1800086401"#), Err(Error::Lifetime));
    assert_eq!(at(r#""iat":1799999000,"exp":1800085400"#), Ok(()));
    assert_eq!(at(r#""iat":1799999000,"exp":1800085401"#), Err(Error::Lifetime));
    assert_eq!(at(r#""exp":253402300799"#), Err(Error::Lifetime));
    // Issued in the future, to live longer.
    assert_eq!(at(r#""iat":1800000061,"exp":1800086461"#), Err(Error::NotYet));
    assert_eq!(at(r#""iat":1800000060,"exp":1800086400"#), Ok(()));
    assert_eq!(at(r#""nbf":1800000001,"exp":1800003600"#), Err(Error::NotYet));
    assert_eq!(at(r#""nbf":1800000000.001,"exp":1800003600"#), Err(Error::NotYet));
    assert_eq!(at(r#""nbf":1800000000,"exp":1800003600"#), Ok(()));
    assert_eq!(at(r#""iat":1800000000"#), Err(Error::Missing));
}

#[test]
fn without_a_clock_a_token_with_times_is_refused() {
    let device = DeviceId::new("boiler-7").unwrap();
    let keys: Keys<1> = Keys::new(Config::command(&device), None, SECRET).unwrap();
    let command = Claims::command(&device, 1, 2, Text::cut("alice"), Permissions::WRITE, Text::cut("stop"));
    let mut buffer = [0; 512];
    let token = String::from(keys.sign(&command, &mut buffer).unwrap());
    assert_eq!(keys.verify(&token, None), Ok(command));
    assert_eq!(keys.verify(&token, Some(NOW)), Ok(command));
    assert_eq!(command.nonce_and_counter(), Some((1, 2)));
    for timed in [Claims { exp: Some(1_800_003_600), ..command }, Claims { nbf: Some(0), ..command }] {
        let token = keys.sign(&timed, &mut buffer).unwrap();
        assert_eq!(keys.verify(token, None), Err(Error::NoClock));
        assert!(keys.verify(token, Some(NOW)).is_ok());
    }
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let config = |issuer: Option<&str>, audience: Option<&str>| Config {
        issuer: issuer.map(Text::cut),
        audience: audience.map(Text::cut),
        ..Config::DEFAULT
    };
    let ring = |issuer, audience| Keys::<1>::new(config(issuer, audience), None, SECRET).unwrap();
    let mut buffer = [0; 512];
    let claims = Claims { exp: Some(1_800_003_600), ..Claims::default() };
    let token = String::from(ring(Some("me"), Some("you")).sign(&claims, &mut buffer).unwrap());
    let verify = |issuer, audience| ring(issuer, audience).verify(&token, Some(NOW)).map(|_| ());
    assert_eq!(verify(Some("me"), Some("you")), Ok(()));
    assert_eq!(verify(None, Some("you")), Ok(()));
    assert_eq!(verify(Some("he"), Some("you")), Err(Error::Issuer));
    assert_eq!(verify(Some("me"), Some("she")), Err(Error::Audience));
    assert_eq!(verify(Some("me"), None), Err(Error::Audience), "it is for somebody, and we are nobody");
    let plain = String::from(ring(None, None).sign(&claims, &mut buffer).unwrap());
    assert_eq!(ring(None, Some("you")).verify(&plain, Some(NOW)).map(|_| ()), Err(Error::Audience));
}

#[test]
fn a_number_of_any_length_reads_back() {
    for value in [0, 9, 10, 99, 100, 101, 999, 1_000, 12_345, 99_999_999_999, 253_402_300_799] {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        claims::write(&Claims { nbf: Some(value), ..Claims::default() }, &Config::DEFAULT, &mut out);
        assert_eq!(out.written().unwrap(), format!(r#"{{"sub":"","nbf":{value}}}"#).as_bytes());
        out.encode();
        let mut claims = Claims::default();
        claims::read(out.written().unwrap(), &Scopes::DEFAULT, &mut claims).unwrap();
        assert_eq!(claims.nbf, Some(value));
    }
}

#[test]
fn a_ring_without_a_key_neither_signs_nor_verifies_until_it_has_one() {
    let with = Keys::<1>::new(Config::DEFAULT, None, &[7; 32]).unwrap();
    let claims = Claims { exp: Some(NOW.as_millis() / 1_000 + 60), ..Claims::default() };
    let mut buffer = [0; 512];
    let token = String::from(with.sign(&claims, &mut buffer).unwrap());
    let mut keys = Keys::<1>::empty(Config { max_len: usize::MAX, ..Config::DEFAULT });
    assert_eq!(keys.sign(&claims, &mut buffer).err(), Some(Error::UnknownKey));
    assert_eq!(keys.verify(&token, Some(NOW)).err(), Some(Error::UnknownKey));
    keys.add(None, &[7; 32], Role::Signing).unwrap();
    assert_eq!(keys.verify(&token, Some(NOW)), with.verify(&token, Some(NOW)));
    assert!(keys.verify(&token, Some(NOW)).is_ok());
}

#[test]
fn claims_that_are_filled_in_place_are_those_of_verify_and_nothing_of_a_refused_token() {
    let keys = Keys::<1>::new(Config::DEFAULT, None, &[7; 32]).unwrap();
    let exp = Some(NOW.as_millis() / 1_000 + 60);
    let claims = Claims { sub: Text::cut("alice"), cmd: Some(Text::cut("report")), exp, ..Claims::default() };
    let mut buffer = [0; 512];
    let token = String::from(keys.sign(&claims, &mut buffer).unwrap());
    let mut read = Claims { iss: Some(Text::cut("before")), ..Claims::default() };
    assert_eq!(keys.verify_into(&token, Some(NOW), &mut read), Ok(()));
    assert_eq!(Ok(read), keys.verify(&token, Some(NOW)));
    assert_eq!((read.sub, read.iss), (claims.sub, None));
    // Its signature holds, and its time has passed.
    let later = UnixTime::from_secs(NOW.as_millis() / 1_000 + 3_600);
    assert_eq!(keys.verify_into(&token, Some(later), &mut read), Err(Error::Expired));
    assert_eq!(read, Claims::default());
}
