//! A frame with any one flipped bit is never accepted: every bit of every golden line.

use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::MAX_DOWNLINK;

use super::golden::{downlinks, frames, line_of, line_of_downlink};

fn decode(line: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::<MAX_DOWNLINK>::new();
    let mut rest = line;
    let mut payloads = Vec::new();
    while let Some(payload) = decoder.feed(&mut rest) {
        payloads.push(payload.to_vec());
    }
    payloads
}

fn golden_lines() -> Vec<(&'static str, Vec<u8>)> {
    let frames = frames();
    let downlinks = downlinks();
    let up = frames.iter().map(|(name, frame)| (*name, line_of(frame)));
    up.chain(downlinks.iter().map(|(name, message)| (*name, line_of_downlink(message)))).collect()
}

#[test]
fn no_golden_line_is_accepted_with_any_one_bit_flipped() {
    let mut tried = 0;
    for (name, line) in golden_lines() {
        for bit in 0..line.len() * 8 {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A flip in the delimiter leaves the frame without an end: the next delimiter ends it.
            flipped.push(0);
            assert_eq!(decode(&flipped), Vec::<Vec<u8>>::new(), "{name}, bit {bit}");
            tried += 1;
        }
    }
    assert!(tried > 5_000, "{tried}");
}

#[test]
fn a_flipped_bit_between_two_frames_costs_at_most_the_frame_and_the_one_behind_it() {
    let lines = golden_lines();
    let before = line_of(&frames()[0].1);
    let after = line_of(&frames()[2].1);
    let (first, last) = (decode(&before).remove(0), decode(&after).remove(0));
    for (name, line) in lines {
        for bit in 0..line.len() * 8 {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let got = decode(&[before.clone(), flipped, after.clone()].concat());
            if bit / 8 == line.len() - 1 {
                assert_eq!(got, [first.as_slice()], "{name}, bit {bit}");
            } else {
                assert_eq!(got, [first.as_slice(), last.as_slice()], "{name}, bit {bit}");
            }
        }
    }
}

#[test]
fn no_golden_line_is_accepted_with_a_byte_gone_or_doubled() {
    for (name, line) in golden_lines() {
        for at in 0..line.len() - 1 {
            let mut gone = line.clone();
            gone.remove(at);
            assert_eq!(decode(&gone), Vec::<Vec<u8>>::new(), "{name}, byte {at} gone");
            let mut doubled = line.clone();
            doubled.insert(at, line[at]);
            assert_eq!(decode(&doubled), Vec::<Vec<u8>>::new(), "{name}, byte {at} doubled");
        }
    }
}
