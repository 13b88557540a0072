//! One password hash beside RustCrypto's `pbkdf2`, and what a login costs beside it: the rules and the lockout.

use std::hint::black_box;

use daur_core::security::lockout::{self, Lockout};
use daur_core::security::password::{HASH_LEN, Pbkdf2, Rules};
use daur_core::time::Instant;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::harness::{Options, compare, subject};

const PASSWORD: &str = "correct horse battery staple";
const SALT: &[u8; 16] = b"random 16 bytes!";
const ITERATIONS: u32 = 2_000;

pub(crate) fn run(options: &Options) {
    let theirs = || pbkdf2::pbkdf2_hmac_array::<Sha256, HASH_LEN>(black_box(PASSWORD).as_bytes(), SALT, ITERATIONS);
    let ours = |n: u32| {
        let mut pbkdf2 = Pbkdf2::new(black_box(PASSWORD).as_bytes(), SALT, ITERATIONS).expect("within bounds");
        loop {
            if let Some(hash) = pbkdf2.step(n) {
                break hash;
            }
        }
    };
    assert_eq!(ours(ITERATIONS), theirs(), "the same hash");
    let subjects = vec![
        subject("daur", 1, move || _ = black_box(ours(ITERATIONS))),
        subject("pbkdf2", 1, move || _ = black_box(theirs())).target(1.0),
        subject("daur, in steps of 10", 1, move || _ = black_box(ours(10))),
    ];
    compare(options, "password: PBKDF2-HMAC-SHA256, 2,000 iterations", subjects);

    let hmac = |message: &'static str| {
        subject("one HMAC-SHA256 of the name (hmac)", 1_000, move || {
            for _ in 0..1_000 {
                let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&[1; 32])).expect("any length");
                mac.update(black_box(message.as_bytes()));
                black_box(mac.finalize().into_bytes());
            }
        })
    };
    let mut lockout: Lockout<1_024> = Lockout::new(lockout::Config::DEFAULT, &[1; 32]);
    for n in 0..1_024 {
        lockout.on_failure(&format!("user {n}"), Instant::from_secs(1));
    }
    let subjects = vec![
        subject("daur, lockout of 1,024 names", 1_000, move || {
            for _ in 0..1_000 {
                _ = black_box(lockout.check(black_box("user 1000"), Instant::from_secs(2)));
            }
        }),
        hmac("user 1000"),
    ];
    compare(options, "password: lockout", subjects);

    let subjects = vec![
        subject("daur, rules with 3,000 common ones", 1_000, || {
            for _ in 0..1_000 {
                _ = black_box(Rules::DEFAULT.check(black_box(PASSWORD), black_box("alice@example.com")));
            }
        }),
        hmac(PASSWORD),
    ];
    compare(options, "password: rules", subjects);
}
