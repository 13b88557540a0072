//! Bytes of a line: whatever comes, the decoder finds its way back.

use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, Frame, MAX_PAYLOAD};

pub(super) fn run(data: &[u8]) {
    _ = Frame::decode(data);
    _ = Downlink::decode(data);
    let mut decoder: Decoder<MAX_PAYLOAD> = Decoder::new();
    let mut rest = data;
    while !rest.is_empty() {
        let before = rest.len();
        if let Some(payload) = decoder.feed(&mut rest) {
            assert!(payload.len() <= MAX_PAYLOAD);
            _ = Frame::decode(payload);
        }
        assert!(rest.len() < before, "every call takes something");
    }
}
