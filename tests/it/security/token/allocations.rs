//! No token costs an allocation: neither a good one nor an attack.

use daur_core::security::token::{Claims, MAX_LEN};
use daur_core::text::Text;

use super::{NOW, forge, good, keys, verify};
use crate::adapters::allocations;

#[test]
fn signing_verifying_and_refusing_allocate_nothing() {
    let (keys, token) = (keys(), good());
    let attacks = [
        forge(r#"{ "alg":"none" }"#, "{}"),
        forge(r#"{ "alg":"HS256" }"#, &"[".repeat(500)),
        ".".repeat(MAX_LEN),
        "A".repeat(100_000),
    ];
    let claims = Claims { sub: Text::cut("ж\n\"alice\""), exp: Some(NOW + 1), ..Claims::default() };
    let (done, allocations, held) = allocations::of(|| {
        let mut buffer = [0; 512];
        let signed = keys.sign(&claims, &mut buffer).is_ok();
        signed && verify(&token).is_ok() && attacks.iter().all(|attack| verify(attack).is_err())
    });
    assert!(done);
    assert_eq!((allocations, held), (0, 0));
}
