//! Bytes of a line: whatever comes, the decoder finds its way back, and what it gives out is read alike by everybody.

use daur_core::time::Instant;
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{
    DecodeError, Downlink, Frame, MAX_DOWNLINK, MAX_DOWNLINK_ENCODED, MAX_ENCODED, MAX_PAYLOAD,
};
use daur_core::wire::inbox::{self, Inbox};
use daur_core::wire::record::Record;

pub(super) fn run(data: &[u8]) {
    frame(data);
    downlink(data);
    let whole = stream::<MAX_PAYLOAD>(data, data.len().max(1));
    let mut inbox = Inbox::new(inbox::Config::DEFAULT);
    for payload in &whole {
        frame(payload);
        // A host's way with it.
        let (seq, boot) = match Frame::decode(payload) {
            Ok(Frame { seq, record: Record::Hello { boot, .. }, .. }) => (seq, Some(boot)),
            Ok(Frame { seq, .. }) | Err(DecodeError::UnknownRecord { seq, .. }) => (seq, None),
            Err(_) => continue,
        };
        inbox.on_frame(seq, boot, Instant::ZERO);
    }
    assert!(inbox.snapshot().taken <= whole.len() as u64);
    for pieces in [1, 7] {
        assert_eq!(stream::<MAX_PAYLOAD>(data, pieces), whole, "it does not depend on the pieces");
    }
    for payload in stream::<MAX_DOWNLINK>(data, 64) {
        downlink(&payload);
    }
    // A smaller one gives out those that fit, and no others.
    let fit: Vec<_> = whole.into_iter().filter(|payload| payload.len() + 4 <= 32).collect();
    assert_eq!(stream::<32>(data, 5), fit);
}

/// What a decoder finds in `data`, given so many bytes at a time.
fn stream<const N: usize>(data: &[u8], pieces: usize) -> Vec<Vec<u8>> {
    let mut decoder: Decoder<N> = Decoder::new();
    let mut payloads = Vec::new();
    for mut piece in data.chunks(pieces) {
        while !piece.is_empty() {
            let before = piece.len();
            if let Some(payload) = decoder.feed(&mut piece) {
                assert!(payload.len() + 4 <= N);
                payloads.push(payload.to_vec());
            }
            assert!(piece.len() < before, "every call takes something");
        }
    }
    let seen = decoder.snapshot();
    assert_eq!(seen.frames as usize, payloads.len());
    let ends = data.iter().filter(|byte| **byte == 0).count();
    assert!((seen.frames + seen.crc_errors + seen.oversized) as usize <= ends, "every stretch has its end");
    payloads
}

/// What can be read as a frame is written so that it is read alike.
fn frame(payload: &[u8]) {
    let Ok(read) = Frame::decode(payload) else { return };
    let mut line = [0; MAX_ENCODED];
    let len = read.encode(&mut line).expect("a frame that was read has room");
    let mut decoder: Decoder<MAX_PAYLOAD> = Decoder::new();
    let again = decoder.feed(&mut &line[..len]).expect("what was written is found");
    assert_eq!(Frame::decode(again), Ok(read));
}

fn downlink(payload: &[u8]) {
    let Ok(read) = Downlink::decode(payload) else { return };
    let mut line = [0; MAX_DOWNLINK_ENCODED];
    // A token may be longer than a line has room for: then it is refused.
    let Ok(len) = read.encode(&mut line) else { return };
    let mut decoder: Decoder<MAX_DOWNLINK_ENCODED> = Decoder::new();
    let again = decoder.feed(&mut &line[..len]).expect("what was written is found");
    assert_eq!(Downlink::decode(again), Ok(read));
}
