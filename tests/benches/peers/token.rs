//! Signing and verifying a token beside `jsonwebtoken` and `jwt-simple`, and beside one plain HMAC-SHA256 of the same
//! bytes: the work that no token can do without.

use std::hint::black_box;

use daur_core::security::permission::Permissions;
use daur_core::security::token::{Claims, Config, Keys};
use daur_core::text::Text;
use daur_core::time::UnixTime;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use jwt_simple::algorithms::{HS256Key, MACLike};
use jwt_simple::claims::JWTClaims;
use jwt_simple::common::VerificationOptions;
use jwt_simple::prelude::UnixTimeStamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::harness::{Options, compare, subject};

const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 4_000_000_000; // jsonwebtoken reads the clock itself, so the token must be good for long
const TOKENS: u32 = 512;

/// The same claims for `jsonwebtoken`.
#[derive(Serialize, Deserialize)]
struct TheirClaims {
    sub: String,
    exp: u64,
    iat: u64,
    permissions: Vec<String>,
}

/// What `jwt-simple` has no place of its own for.
#[derive(Clone, Serialize, Deserialize)]
struct SimpleClaims {
    permissions: Vec<String>,
}

/// The same claims for `jwt-simple`, which takes them by value: a user makes them anew for every token too.
fn simple() -> JWTClaims<SimpleClaims> {
    JWTClaims {
        issued_at: Some(UnixTimeStamp::from_secs(NOW)),
        expires_at: Some(UnixTimeStamp::from_secs(NOW + 3_600)),
        invalid_before: None,
        issuer: None,
        subject: Some("alice@example.com".into()),
        audiences: None,
        jwt_id: None,
        nonce: None,
        custom: SimpleClaims { permissions: vec!["read".into(), "write".into()] },
    }
}

pub(crate) fn run(options: &Options) {
    let keys = || Keys::<1>::new(Config::DEFAULT, None, SECRET).expect("a key of 32 bytes");
    let claims = Claims {
        sub: Text::cut("alice@example.com"),
        exp: Some(NOW + 3_600),
        iat: Some(NOW),
        permissions: Permissions::READ.with(Permissions::WRITE),
        ..Claims::default()
    };
    let mut out = [0; 512];
    let token = keys().sign(&claims, &mut out).expect("it fits").to_owned();
    let signed = token.rsplit_once('.').expect("three parts").0.to_owned();
    let theirs = || TheirClaims {
        sub: "alice@example.com".into(),
        exp: NOW + 3_600,
        iat: NOW,
        permissions: vec!["read".into(), "write".into()],
    };

    let raw = |signed: String| {
        subject("one HMAC-SHA256 of the same bytes (hmac)", TOKENS, move || {
            for _ in 0..TOKENS {
                let mut mac = Hmac::<Sha256>::new_from_slice(black_box(SECRET)).expect("any length");
                mac.update(black_box(signed.as_bytes()));
                black_box(mac.finalize().into_bytes());
            }
        })
    };
    let (ours, their_claims) = (keys(), theirs());
    let encoding_key = EncodingKey::from_secret(SECRET);
    let simple_key = HS256Key::from_bytes(SECRET);
    let subjects = vec![
        subject("daur", TOKENS, move || {
            let mut out = [0; 512];
            for _ in 0..TOKENS {
                _ = black_box(ours.sign(black_box(&claims), &mut out));
            }
        }),
        raw(signed.clone()).target(2.6),
        subject("jsonwebtoken", TOKENS, move || {
            for _ in 0..TOKENS {
                _ = black_box(jsonwebtoken::encode(&Header::default(), black_box(&their_claims), &encoding_key));
            }
        })
        .target(0.65),
        subject("jwt-simple", TOKENS, move || {
            for _ in 0..TOKENS {
                _ = black_box(simple_key.authenticate(black_box(simple())));
            }
        }),
    ];
    compare(options, "token: sign", subjects);

    let (ours, ours_token) = (keys(), token.clone());
    assert!(ours.verify(&token, Some(UnixTime::from_secs(NOW))).is_ok());
    let decoding_key = DecodingKey::from_secret(SECRET);
    let validation = Validation::new(Algorithm::HS256);
    assert!(jsonwebtoken::decode::<TheirClaims>(&token, &decoding_key, &validation).is_ok(), "they read our token");
    let (simple_key, simple_token, now) = (HS256Key::from_bytes(SECRET), token.clone(), UnixTimeStamp::from_secs(NOW));
    let in_time = VerificationOptions { artificial_time: Some(now), ..VerificationOptions::default() };
    assert!(simple_key.verify_token::<SimpleClaims>(&token, Some(in_time)).is_ok(), "and so do they");
    let subjects = vec![
        subject("daur", TOKENS, move || {
            for _ in 0..TOKENS {
                _ = black_box(ours.verify(black_box(&ours_token), Some(UnixTime::from_secs(NOW))));
            }
        }),
        raw(signed).target(3.3),
        subject("jsonwebtoken", TOKENS, move || {
            for _ in 0..TOKENS {
                _ = black_box(jsonwebtoken::decode::<TheirClaims>(black_box(&token), &decoding_key, &validation));
            }
        })
        .target(0.4),
        subject("jwt-simple", TOKENS, move || {
            for _ in 0..TOKENS {
                let options = VerificationOptions { artificial_time: Some(now), ..VerificationOptions::default() };
                _ = black_box(simple_key.verify_token::<SimpleClaims>(black_box(&simple_token), Some(options)));
            }
        }),
    ];
    compare(options, "token: verify", subjects);
}
