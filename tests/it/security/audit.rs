//! The audit chain: whatever is changed is found.

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Broken, Chain, Entry, Event, Head, Kind, Outcome, Verifier};
use daur_core::time::{Instant, UnixTime};
use proptest::prelude::*;

const KEY: [u8; 32] = [7; 32];

fn chain(length: u64) -> (Vec<Entry>, Head) {
    let mut chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), KEY);
    let kinds = [Kind::Login, Kind::Command, Kind::AccessDenied, Kind::Lockout];
    let entries = (0..length)
        .map(|n| {
            let kind = kinds[usize::try_from(n).unwrap() % kinds.len()];
            let event = Event::new(kind, Outcome::Success, "alice", "10.0.0.7", &format!("event {n}"));
            chain.append(&event, Instant::from_secs(n), (n > 3).then(|| UnixTime::from_secs(n)))
        })
        .collect();
    (entries, chain.head())
}

fn verify(entries: &[Entry], head: Head) -> Result<Head, Broken> {
    let mut verifier = Verifier::new(KEY);
    entries.iter().try_for_each(|entry| verifier.check(entry))?;
    verifier.finish(Some(head))
}

#[test]
fn a_chain_that_nobody_touched_verifies() {
    let (entries, head) = chain(100);
    assert_eq!(verify(&entries, head), Ok(head));
}

proptest! {
    /// A bit of the record's stored form, wherever it is.
    #[test]
    fn any_bit_flipped_is_found_and_named(at in 0_usize..10, byte in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let (mut entries, head) = chain(10);
        let mut stored = serde_json::to_string(&entries[at]).unwrap().into_bytes();
        let byte = byte.index(stored.len());
        stored[byte] ^= 1_u8 << bit;
        // What no longer reads as a record is found without a tag.
        if let Ok(changed) = serde_json::from_slice::<Entry>(&stored) && changed != entries[at] {
            entries[at] = changed;
            let seq = u64::try_from(at).unwrap() + 1;
            let broken = verify(&entries, head).unwrap_err();
            let named = [Broken::Changed { seq }, Broken::Missing { seq }].contains(&broken);
            prop_assert!(named);
        }
    }

    #[test]
    fn any_record_removed_doubled_or_moved_is_found(a in 0_usize..10, b in 0_usize..10) {
        let (entries, head) = chain(10);
        let mut removed = entries.clone();
        removed.remove(a);
        prop_assert!(verify(&removed, head).is_err());
        let mut doubled = entries.clone();
        doubled.insert(b, entries[a]);
        prop_assert!(verify(&doubled, head).is_err());
        let mut moved = entries;
        let entry = moved.remove(a);
        moved.insert(b, entry);
        prop_assert_eq!(verify(&moved, head).is_ok(), a == b);
    }
}
