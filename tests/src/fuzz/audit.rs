//! Audit records: what reads as one is spelt one way only, and what was tampered with never verifies.

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Chain, Entry, Event, Kind, MAX_LEN, Outcome, Verifier};
use daur_core::time::{Instant, UnixTime};

const KEY: [u8; 32] = [7; 32];

pub(super) fn run(data: &[u8]) {
    let genuine = genuine();
    if let Ok(entry) = Entry::decode(data) {
        assert_eq!(entry.encode(&mut [0; MAX_LEN]), data, "one spelling");
        assert_eq!(entry.encoded_len(), data.len());
        // Nobody has tagged another with this key.
        assert_eq!(Verifier::new(KEY).check(&entry).is_ok(), entry == genuine);
    }
    let mut buffer = [0; MAX_LEN];
    let spelt = genuine.encode(&mut buffer).to_vec();
    // The input says which bits are flipped, where bytes stand in between, where it is cut.
    let flipped: Vec<u8> =
        spelt.iter().zip(data.iter().chain(std::iter::repeat(&0))).map(|(byte, flip)| byte ^ flip).collect();
    let at = usize::from(data.first().copied().unwrap_or(0)) % spelt.len();
    let inserted = [&spelt[..at], data, &spelt[at..]].concat();
    let replaced = [&spelt[..at], data].concat();
    for bytes in [flipped, inserted, replaced] {
        match Entry::decode(&bytes) {
            Ok(read) if bytes != spelt => {
                assert_ne!(read, genuine);
                assert!(Verifier::new(KEY).check(&read).is_err(), "tampered with, and it verifies");
            }
            Ok(read) => assert_eq!(Verifier::new(KEY).check(&read), Ok(())),
            Err(_) => assert_ne!(bytes, spelt),
        }
    }
}

/// The first record of a chain whose first key is `KEY`.
fn genuine() -> Entry {
    let mut chain = Chain::new(DeviceId::new("boiler-7").expect("a name"), BootId(3), KEY);
    let event = Event::new(Kind::Command, Outcome::Success, "alice", "10.0.0.7", "set-interval 500");
    chain.append(&event, Instant::from_secs(9), Some(UnixTime::from_secs(1_700_000_000)))
}
