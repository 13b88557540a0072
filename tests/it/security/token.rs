//! Tokens under attack, through the public API: the numbered rules one by one, a table of attacks that the device
//! runs too, and whatever a generator can think of.

use daur_core::security::keys::HmacKey;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{Claims, Config, Error, Keys};
use daur_core::text::Text;
use daur_core::time::UnixTime;

use super::base64url;

#[cfg(feature = "host")]
mod allocations;
mod attacks;
mod properties;
mod rules;

const SECRET: &[u8] = b"a secret of the tests, 32 bytes or more";
const NOW: u64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const PAYLOAD: &str = r#"{"sub":"alice","exp":1800003600}"#;

fn keys() -> Keys<1> {
    Keys::new(Config::DEFAULT, None, SECRET).unwrap()
}

fn verify(token: &str) -> Result<Claims, Error> {
    keys().verify(token, Some(UnixTime::from_secs(NOW)))
}

/// A token as another library would make it, with the right tag of this key.
fn forge_with(secret: &[u8], header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    sign_with(secret, &signed)
}

/// The right tag behind any two parts.
fn sign_with(secret: &[u8], signed: &str) -> String {
    format!("{signed}.{}", base64url(&HmacKey::new(secret).tag(&[signed.as_bytes()])))
}

fn forge(header: &str, payload: &str) -> String {
    forge_with(SECRET, header, payload)
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
