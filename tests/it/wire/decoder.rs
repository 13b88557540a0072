//! The decoder against the plain implementation, on any stream cut in any way.

use daur_core::wire::decoder::Decoder;
use proptest::prelude::*;

use super::naive::{self, Decoded};

/// Less than the longest payload below, so that frames that are too long occur.
const CAPACITY: usize = 300;

#[derive(Clone, Debug)]
enum Piece {
    Frame(Vec<u8>),
    Cut { payload: Vec<u8>, keep: prop::sample::Index },
    Flipped { payload: Vec<u8>, bit: prop::sample::Index },
    Noise(Vec<u8>),
    Delimiters(usize),
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Frame(payload) => naive::encode(payload),
            Self::Cut { payload, keep } => {
                let mut line = naive::encode(payload);
                line.truncate(keep.index(line.len()));
                line
            }
            Self::Flipped { payload, bit } => {
                let mut line = naive::encode(payload);
                let bit = bit.index(line.len() * 8);
                line[bit / 8] ^= 1 << (bit % 8);
                line
            }
            Self::Noise(bytes) => bytes.clone(),
            Self::Delimiters(n) => vec![0; *n],
        }
    }
}

/// Zeros and long runs without zeros are what stuffing is about.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0), Just(1), Just(254), Just(255), any::<u8>()];
    prop_oneof![
        4 => prop::collection::vec(byte, 0..40),
        1 => prop::collection::vec(1..=255_u8, 240..310),
        1 => prop::collection::vec(any::<u8>(), 240..310),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => payload().prop_map(Piece::Frame),
        1 => (payload(), any::<prop::sample::Index>()).prop_map(|(payload, keep)| Piece::Cut { payload, keep }),
        1 => (payload(), any::<prop::sample::Index>()).prop_map(|(payload, bit)| Piece::Flipped { payload, bit }),
        1 => prop::collection::vec(any::<u8>(), 0..400).prop_map(Piece::Noise),
        1 => (1..4_usize).prop_map(Piece::Delimiters),
    ]
}

fn decode(stream: &[u8], cuts: &[usize]) -> Decoded {
    let mut decoder = Decoder::<CAPACITY>::new();
    let mut payloads = Vec::new();
    let (mut rest, mut cuts) = (stream, cuts.iter().cycle());
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        rest = later;
        let mut chunk = chunk;
        while let Some(payload) = decoder.feed(&mut chunk) {
            payloads.push(payload.to_vec());
        }
        assert!(chunk.is_empty());
    }
    let seen = decoder.snapshot();
    assert_eq!(usize::try_from(seen.frames).unwrap(), payloads.len());
    Decoded { payloads, crc_errors: seen.crc_errors, oversized: seen.oversized }
}

proptest! {
    #[test]
    fn any_stream_cut_in_any_way_is_decoded_as_by_the_plain_implementation(
        pieces in prop::collection::vec(piece(), 0..12),
        cuts in prop::collection::vec(1..50_usize, 1..10),
    ) {
        let stream = pieces.iter().flat_map(Piece::bytes).collect::<Vec<_>>();
        prop_assert_eq!(decode(&stream, &cuts), naive::decode(&stream, CAPACITY));
    }

    #[test]
    fn every_whole_frame_between_noise_that_ends_with_a_delimiter_is_found(
        parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), payload()), 1..8),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (noise, payload) in &parts {
            stream.extend(noise);
            stream.push(0);
            stream.extend(naive::encode(payload));
            if payload.len() + 4 <= CAPACITY {
                expected.push(payload.clone());
            }
        }
        prop_assert_eq!(decode(&stream, &[7]).payloads, expected);
    }

    #[test]
    fn random_frames_with_a_flipped_bit_are_not_accepted(payload in payload(), bit in any::<prop::sample::Index>()) {
        let mut line = naive::encode(&payload);
        let bit = bit.index(line.len() * 8);
        line[bit / 8] ^= 1 << (bit % 8);
        line.push(0);
        prop_assert_eq!(decode(&line, &[64]).payloads, Vec::<Vec<u8>>::new());
    }
}
