//! The audit chain: whatever is changed is found, and named.

use daur_core::id::{BootId, DeviceId};
use daur_core::rng::Rng;
use daur_core::security::audit::{
    Broken, Chain, Completeness, Entry, Event, Head, Kind, Log, MAX_LEN, Outcome, Report, State, Verifier, first_key,
};
use daur_core::security::keys::derive_device_key;
use daur_core::time::{Instant, UnixTime};
use proptest::prelude::*;

const KEY: [u8; 32] = [7; 32];

fn chain_of(key: [u8; 32], length: u64) -> (Vec<Entry>, Chain) {
    let mut chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), key);
    let kinds = [Kind::Login, Kind::Command, Kind::AccessDenied, Kind::Lockout];
    let entries = (0..length)
        .map(|n| {
            let kind = kinds[usize::try_from(n).unwrap() % kinds.len()];
            let event = Event::new(kind, Outcome::Success, "alice", "10.0.0.7", &format!("event {n}"));
            chain.append(&event, Instant::from_secs(n), (n > 3).then(|| UnixTime::from_secs(n)))
        })
        .collect();
    (entries, chain)
}

fn chain(length: u64) -> (Vec<Entry>, Head) {
    let (entries, chain) = chain_of(KEY, length);
    (entries, chain.head())
}

fn verify(entries: &[Entry], head: Head) -> Result<Head, Broken> {
    let mut verifier = Verifier::with_head(KEY, head);
    entries.iter().try_for_each(|entry| verifier.check(entry))?;
    verifier.finish(None)
}

fn spelt(entry: &Entry) -> Vec<u8> {
    entry.encode(&mut [0; MAX_LEN]).to_vec()
}

/// What a verifier says of a chain as it is stored.
fn report(stored: &[Vec<u8>], key: [u8; 32], head: Option<Head>) -> Report {
    let mut verifier = head.map_or_else(|| Verifier::new(key), |head| Verifier::with_head(key, head));
    for bytes in stored {
        let checked = match Entry::decode(bytes) {
            Ok(entry) => verifier.check(&entry),
            Err(_) => Err(verifier.unreadable()),
        };
        if checked.is_err() {
            break;
        }
    }
    verifier.report(None)
}

#[test]
fn a_chain_that_nobody_touched_verifies() {
    let (entries, head) = chain(100);
    assert_eq!(verify(&entries, head), Ok(head));
}

/// Tampers with a stored chain in one of the ways there are.
fn tamper(stored: &mut Vec<Vec<u8>>, others: &[Vec<Vec<u8>>], rng: &mut Rng) {
    let below = |rng: &mut Rng, n: usize| usize::try_from(rng.at_most(n as u64 - 1)).unwrap();
    let (a, b) = (below(rng, stored.len()), below(rng, stored.len()));
    match rng.at_most(11) {
        // Bits flipped, a byte set, one put in, one taken out.
        0 | 1 => {
            for _ in 0..=rng.at_most(3) {
                let at = below(rng, stored[a].len());
                stored[a][at] ^= 1 << rng.at_most(7);
            }
        }
        2 => {
            let at = below(rng, stored[a].len());
            stored[a][at] = u8::try_from(rng.at_most(255)).unwrap();
        }
        3 => {
            let at = below(rng, stored[a].len());
            stored[a].insert(at, u8::try_from(rng.at_most(255)).unwrap());
        }
        4 => {
            let at = below(rng, stored[a].len());
            stored[a].remove(at);
        }
        // Records removed, doubled, moved, swapped, cut off.
        5 => drop(stored.remove(a)),
        6 => stored.insert(b, stored[a].clone()),
        7 => {
            let moved = stored.remove(a);
            stored.insert(b, moved);
        }
        8 => stored.swap(a, b),
        9 => stored.truncate(a),
        // Records of another chain: one in place of ours, or all from there on. The beginning of one that has the same
        // first key is genuine, and a test of its own.
        way => {
            let other = below(rng, others.len());
            let place = if other == 0 { a } else { a.max(1) }.min(others[other].len() - 1);
            let mut tail = stored.split_off(place.min(stored.len()));
            stored.extend_from_slice(&others[other][place..]);
            if way == 10 && !tail.is_empty() {
                stored.truncate(place + 1);
                stored.extend(tail.drain(1..));
            }
        }
    }
}

/// What must be found, worked out without a key: the first place at which the chain differs from the one written.
fn expected(stored: &[Vec<u8>], written: &[Vec<u8>]) -> Result<(), Broken> {
    for (at, original) in written.iter().enumerate() {
        let seq = at as u64 + 1;
        match stored.get(at) {
            None => return Err(Broken::Truncated { seq: seq - 1 }),
            Some(bytes) if bytes == original => {}
            Some(bytes) => {
                return Err(match Entry::decode(bytes) {
                    Err(_) => Broken::Unreadable { seq },
                    Ok(entry) if entry.seq != seq => Broken::Missing { seq },
                    Ok(_) => Broken::Changed { seq },
                });
            }
        }
    }
    // Something stands behind the end, which was the end when the head was kept.
    match stored.get(written.len()) {
        Some(_) => Err(Broken::Missing { seq: written.len() as u64 + 1 }),
        None => Ok(()),
    }
}

#[test]
fn of_100_000_ways_to_tamper_each_is_found_and_the_first_bad_record_named() {
    const LENGTH: u64 = 12;
    let (entries, head) = chain(LENGTH);
    let written: Vec<_> = entries.iter().map(spelt).collect();
    let mut rng = Rng::new(20_261_127);
    // First those of another key, then of the same: another life, and as if a device's nonce had come again.
    let mut second_life = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(2), KEY);
    let mut same_life = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), KEY);
    let of = |chain: &mut Chain| -> Vec<Vec<u8>> {
        let event = Event::new(Kind::Login, Outcome::Success, "mallory", "", "");
        (0..LENGTH).map(|n| spelt(&chain.append(&event, Instant::from_secs(n), None))).collect()
    };
    let others = [chain_of([8; 32], LENGTH).0.iter().map(spelt).collect(), of(&mut second_life), of(&mut same_life)];
    let mut found = [0_u32; 5];
    for _ in 0..100_000 {
        let mut stored = written.clone();
        for _ in 0..=rng.at_most(1) {
            if !stored.is_empty() {
                tamper(&mut stored, &others, &mut rng);
            }
        }
        let report = report(&stored, KEY, Some(head));
        let expected = expected(&stored, &written);
        assert_eq!(report.result().map(|_| ()), expected);
        // Nothing behind the first bad record is believed.
        let believed = match expected {
            Ok(()) => LENGTH,
            Err(Broken::Truncated { seq }) => seq,
            Err(broken) => broken.seq() - 1,
        };
        assert_eq!(report.end.seq, believed);
        found[match expected {
            Ok(()) => 0,
            Err(Broken::Changed { .. }) => 1,
            Err(Broken::Missing { .. }) => 2,
            Err(Broken::Truncated { .. }) => 3,
            Err(_) => 4,
        }] += 1;
    }
    // Swaps with itself and the like left some as they were; each way to be broken came up often.
    assert!(found[0] < 10_000 && found[1..].iter().all(|times| *times > 5_000), "{found:?}");
}

proptest! {
    /// A bit of the record's form in JSON, wherever it is.
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
}

// ---- attacks on the chain itself

/// Gives a chain's records anew tags, from a state on.
fn retag(entries: &[Entry], state: State) -> Vec<Entry> {
    let mut chain = Chain::resume(entries[0].device, entries[0].boot, state);
    entries.iter().map(|entry| chain.append(&entry.event, entry.at, entry.unix)).collect()
}

fn forged(mut entry: Entry) -> Entry {
    entry.event = Event::new(Kind::Login, Outcome::Success, "nobody", "", "");
    entry
}

#[test]
fn whoever_has_the_records_and_no_key_cannot_make_a_record_of_his_own() {
    let (entries, head) = chain(6);
    // All tags that are there, tried in every place, over records changed and unchanged.
    for place in 0..6 {
        for tag in entries.iter().map(|entry| entry.tag).chain([[0; 32], [0xFF; 32]]) {
            for entry in [forged(entries[place]), entries[place]] {
                let mut tried = entries.clone();
                tried[place] = Entry { tag, ..entry };
                let verified = verify(&tried, head);
                assert_eq!(verified.is_ok(), tried == entries, "{place}");
            }
        }
    }
    // Keys that somebody may guess from what he sees: tags, nothing, a chain of his own made anew.
    for key in entries.iter().map(|entry| entry.tag).chain([[0; 32]]) {
        let remade = retag(&entries, State { seq: 0, tag: [0; 32], key });
        assert_eq!(verify(&remade, head), Err(Broken::Changed { seq: 1 }));
        let (before, tail) = entries.split_at(4);
        let tail = retag(tail, State { seq: 4, tag: entries[3].tag, key });
        assert_eq!(verify(&[before, &tail].concat(), head), Err(Broken::Changed { seq: 5 }));
    }
}

#[test]
fn whoever_has_the_present_state_cannot_change_what_was_written_before() {
    let (entries, chain) = chain_of(KEY, 6);
    let stolen = || chain.state().clone();
    for from in 0..6 {
        // The state set back to an earlier number, with the key of the present one.
        let tag = if from == 0 { [0; 32] } else { entries[from - 1].tag };
        let mut tail = entries[from..].to_vec();
        tail[0] = forged(tail[0]);
        let tail = retag(&tail, State { seq: from as u64, tag, ..stolen() });
        let remade = [&entries[..from], &tail].concat();
        let broken = Err(Broken::Changed { seq: from as u64 + 1 });
        assert_eq!(verify(&remade, chain.head()), broken);
        // Without a head it is found as well.
        let stored: Vec<_> = remade.iter().map(spelt).collect();
        assert_eq!(report(&stored, KEY, None).result(), broken);
    }
    // The key of the present is none of the keys before, forward or backward.
    let mut onward = Chain::resume(entries[0].device, entries[0].boot, stolen());
    for _ in 0..100 {
        let _ = onward.append(&entries[0].event, Instant::ZERO, None);
        let state = State { seq: 5, tag: entries[4].tag, ..onward.state().clone() };
        let remade = [&entries[..5], &retag(&[forged(entries[5])], state)].concat();
        assert_eq!(verify(&remade, chain.head()), Err(Broken::Changed { seq: 6 }));
    }
}

#[test]
fn whoever_has_the_present_state_can_go_on_and_can_cut_and_only_a_head_kept_elsewhere_shows_the_cut() {
    // What the chain does not promise is written down as well.
    let (entries, chain) = chain_of(KEY, 6);
    let more = retag(&[forged(entries[0])], chain.state().clone());
    assert!(verify(&[entries.as_slice(), &more].concat(), chain.head()).is_ok(), "he is the owner from now on");
    let cut: Vec<_> = entries[..4].iter().map(spelt).collect();
    assert_eq!(report(&cut, KEY, None).completeness, Completeness::Unproven);
    let shown = report(&cut, KEY, Some(chain.head()));
    assert_eq!((shown.integrity, shown.completeness), (Ok(()), Completeness::Truncated { seq: 4, of: 6 }));
    // Cut, he cannot go on behind the cut: the key of the fifth record is gone.
    let gone_on = retag(&[forged(entries[4])], State { seq: 4, tag: entries[3].tag, ..chain.state().clone() });
    let stored: Vec<_> = entries[..4].iter().chain(&gone_on).map(spelt).collect();
    assert_eq!(report(&stored, KEY, None).integrity, Err(Broken::Changed { seq: 5 }));
}

#[test]
fn whoever_has_the_first_key_can_make_another_chain_and_not_one_with_the_head_that_was_kept() {
    let (entries, head) = chain(6);
    let mut other = entries.clone();
    other[2] = forged(other[2]);
    let other = retag(&other, State { seq: 0, tag: [0; 32], key: KEY });
    let stored: Vec<_> = other.iter().map(spelt).collect();
    assert!(report(&stored, KEY, None).result().is_ok());
    assert_eq!(report(&stored, KEY, Some(head)).integrity, Err(Broken::Changed { seq: 6 }));
}

#[test]
fn a_chain_begun_on_a_device_continues_on_the_host_and_verifies_there() {
    let fleet_key = [9; 32];
    let (device, boot, nonce) = (DeviceId::new("boiler-7").unwrap(), BootId(3), 0xFEED);
    let device_key = derive_device_key(&fleet_key, &device);
    let mut log = Log::<8>::new(Chain::new(device, boot, first_key(&device_key, boot, nonce)));
    for n in 0..5 {
        log.append(&Event::command("alice", &format!("set {n}"), true), Instant::from_secs(n), None).unwrap();
    }
    let records: Vec<Entry> = std::iter::from_fn(|| log.take()).collect();

    // The host has the fleet key and what came.
    let mut verifier = Verifier::new(first_key(&derive_device_key(&fleet_key, &device), boot, nonce));
    assert!(records.iter().all(|entry| verifier.check(entry).is_ok()));
    assert_eq!(verifier.end(), log.head());
    // It goes on from there, under its own name.
    let mut chain = Chain::resume(DeviceId::new("host").unwrap(), BootId(77), verifier.state().clone());
    let taken_over = chain.append(&Event::login("ada", true, "10.0.0.7"), Instant::ZERO, Some(UnixTime::from_secs(9)));
    let whole = [records.as_slice(), &[taken_over]].concat();
    let mut verifier = Verifier::with_head(first_key(&device_key, boot, nonce), chain.head());
    assert!(whole.iter().all(|entry| verifier.check(entry).is_ok()));
    assert_eq!(verifier.report(None).completeness, Completeness::Complete);
}
