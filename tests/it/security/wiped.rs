//! What is left of secrets in memory, read after they are dropped.
//!
//! A value that moves may leave a copy where it was, which no program in safe Rust can wipe: what is held to here
//! is the place where a secret lives. Such copies may also come to lie in the unused bytes of another value, so each
//! test has a secret of its own.

use std::mem::MaybeUninit;

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Chain, Event, Kind, Outcome, State, Verifier};
use daur_core::security::keys::{HmacKey, Kid, Role};
use daur_core::security::lockout::{self, Lockout};
use daur_core::security::password::{Pbkdf2, Pepper};
use daur_core::security::permission::Permissions;
use daur_core::security::session::{self, Id, Sessions};
use daur_core::security::token::{self, Keys};
use daur_core::time::Instant;

/// A secret that no other test has.
fn secret(of: &str) -> [u8; 32] {
    HmacKey::new(b"secrets of these tests").tag(&[of.as_bytes()])
}

/// A value in a place of its own that is read before and after it is dropped.
struct Place<T>(Box<MaybeUninit<T>>);

impl<T> Place<T> {
    fn new(value: T) -> Self {
        let mut place = Box::new(MaybeUninit::zeroed());
        place.write(value);
        Self(place)
    }

    fn get(&mut self) -> &mut T {
        // SAFETY: written by `new`, and dropped by nothing before `left` takes the place away.
        unsafe { self.0.assume_init_mut() }
    }

    fn bytes(&self) -> Vec<u8> {
        let start = self.0.as_ptr().cast::<u8>();
        // SAFETY: within the box. Volatile, so that what is read is what stands there, padding and dead bytes
        // too, whatever the compiler thinks that nobody can see.
        (0..size_of::<T>()).map(|at| unsafe { start.add(at).read_volatile() }).collect()
    }

    /// Drops the value; the bytes before and after.
    fn left(mut self) -> (Vec<u8>, Vec<u8>) {
        let before = self.bytes();
        // SAFETY: written by `new`; `self` is not used as a value any more, and `MaybeUninit` drops nothing.
        unsafe { self.0.assume_init_drop() };
        let after = self.bytes();
        (before, after)
    }
}

/// Whether some eight bytes of `secret` in a row stand anywhere in `memory`.
fn holds(memory: &[u8], secret: &[u8]) -> bool {
    let width = secret.len().min(8);
    secret.windows(width).any(|part| memory.windows(width).any(|here| here == part))
}

/// Asserts that what `make` makes of a secret has what `look` makes of it, and nothing of that once it is dropped.
fn wiped<T>(name: &str, make: impl Fn([u8; 32]) -> T, look: impl Fn(&[u8; 32]) -> Vec<u8>) {
    let secret = secret(name);
    let looked_for = look(&secret);
    let (before, after) = Place::new(make(secret)).left();
    assert!(holds(&before, &looked_for), "{name} does not have its secret where it lives");
    assert!(!holds(&after, &looked_for), "{name} left {after:x?}");
}

/// The secret as it is.
fn itself(secret: &[u8; 32]) -> Vec<u8> {
    secret.to_vec()
}

/// What an absorbed key looks like in memory.
fn midstate(key: &[u8; 32]) -> Vec<u8> {
    Place::new(HmacKey::new(key)).left().0
}

fn kid(name: &str) -> Option<Kid> {
    Some(Kid::new(name).unwrap())
}

#[test]
fn the_test_sees_what_is_left() {
    struct Careless([u8; 32]);
    let secret = secret("careless");
    let mut place = Place::new(Careless(secret));
    assert_eq!(place.get().0, secret);
    let (before, after) = place.left();
    assert!(holds(&before, &secret) && holds(&after, &secret));
    assert!(!holds(&[0; 64], &secret) && !holds(&secret[..7], &secret));
    assert_ne!(midstate(&secret), midstate(&[1; 32]));
}

#[test]
fn an_absorbed_key_is_wiped() {
    let (before, after) = Place::new(HmacKey::new(&secret("HmacKey"))).left();
    assert!(before.iter().filter(|byte| **byte != 0).count() > 32);
    assert_eq!(after, [0; 64]);
}

#[test]
fn a_ring_of_keys_is_wiped_and_so_is_a_key_that_is_retired() {
    let ring = |first: &[u8; 32], second: &[u8; 32]| {
        let mut keys = Keys::<2>::new(token::Config::DEFAULT, kid("first"), first).unwrap();
        keys.add(kid("second"), second, Role::VerifyOnly).unwrap();
        keys
    };
    wiped("Keys, first", |secret| ring(&secret, &[7; 32]), midstate);
    wiped("Keys, second", |secret| ring(&[7; 32], &secret), midstate);

    let secrets = [secret("stays"), secret("is retired")];
    let [first, second] = [midstate(&secrets[0]), midstate(&secrets[1])];
    let mut place = Place::new(ring(&secrets[0], &secrets[1]));
    assert!(holds(&place.bytes(), &second));
    place.get().retire(kid("second")).unwrap();
    assert!(holds(&place.bytes(), &first) && !holds(&place.bytes(), &second), "a retired key is gone at once");
    assert!(!holds(&place.left().1, &first));
}

#[test]
fn a_derivation_is_wiped() {
    let begun = |secret: [u8; 32]| Pbkdf2::new(&secret, b"salt", 1_000).unwrap();
    wiped("Pbkdf2", begun, midstate);
    // All of it but the count of iterations is secret.
    let mut place = Place::new(begun(secret("Pbkdf2, half done")));
    assert_eq!(place.get().step(10), None);
    let (before, after) = place.left();
    assert!(before.iter().filter(|byte| **byte != 0).count() > 100);
    assert!(after.iter().filter(|byte| **byte != 0).count() <= 4, "{after:x?}");
    // The derived key too, when all is done.
    let done = |secret| {
        let mut done = begun(secret);
        let hash = done.step(u32::MAX).unwrap();
        (done, hash)
    };
    wiped("Pbkdf2, done", |secret| done(secret).0, |secret| done(*secret).1.to_vec());
}

#[test]
fn a_pepper_and_what_it_made_are_wiped() {
    let pepper = |secret: [u8; 32]| Pepper::new(&secret).unwrap();
    wiped("Pepper", pepper, midstate);
    let peppered = |secret| pepper(secret).apply("4711");
    wiped("Peppered", peppered, |secret| peppered(*secret).as_bytes().to_vec());
}

#[test]
fn the_key_of_a_lockout_is_wiped() {
    wiped("Lockout", |secret| Lockout::<4>::new(lockout::Config::DEFAULT, &secret), itself);
}

#[test]
fn the_id_of_a_session_is_wiped_with_it() {
    let half = |secret: &[u8; 32]| *secret.first_chunk::<16>().unwrap();
    let id = |secret: [u8; 32]| Id::from_random(half(&secret));
    let begun = |secret| {
        let mut sessions = Sessions::<2>::new(session::Config::DEFAULT);
        sessions.begin(id(secret), "ada", Permissions::READ, Instant::from_secs(1)).unwrap();
        sessions
    };
    wiped("Id", id, |secret| half(secret).to_vec());
    wiped("Sessions", begun, |secret| half(secret).to_vec());

    let ends: [fn(&mut Sessions<2>, &Id) -> bool; 4] = [
        |sessions, id| sessions.end(id).is_some(),
        |sessions, id| {
            sessions.resume(id, Instant::from_secs(2)).is_ok_and(|s| sessions.end_number(s.number).is_some())
        },
        |sessions, _| sessions.end_user("ada") == 1,
        |sessions, _| sessions.poll(Instant::MAX) == 1,
    ];
    for (n, end) in ends.iter().enumerate() {
        let secret = secret(&format!("session {n}"));
        let mut place = Place::new(begun(secret));
        assert!(holds(&place.bytes(), &half(&secret)));
        assert!(end(place.get(), &id(secret)));
        assert!(!holds(&place.bytes(), &half(&secret)), "{n}: a session that is over has no id any more");
        place.left();
    }
}

#[test]
fn the_keys_of_an_audit_chain_are_wiped_record_by_record() {
    let chain = |key| Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), key);
    wiped("State", |key| State { seq: 1, tag: [1; 32], key }, itself);
    wiped("Verifier", Verifier::new, itself);
    wiped("Chain", chain, itself);

    let first = secret("first key of the chain");
    let mut place = Place::new(chain(first));
    assert!(holds(&place.bytes(), &first));
    let event = Event::new(Kind::Login, Outcome::Success, "ada", "10.0.0.7", "");
    place.get().append(&event, Instant::from_secs(1), None);
    assert!(!holds(&place.bytes(), &first), "the key of a record is gone when it is written");
    let next = place.get().state().key;
    let (before, after) = place.left();
    assert!(holds(&before, &next) && !holds(&after, &next));
}
