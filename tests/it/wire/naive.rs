//! The framing as one would write it down first: vectors, one byte string at a time, a bit-wise check sum.

/// CRC-32/ISO-HDLC by its definition.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for &byte in bytes {
        for bit in 0..8 {
            let feedback = (remainder ^ u32::from(byte >> bit)) & 1;
            remainder = (remainder >> 1) ^ (feedback * 0xEDB8_8320);
        }
    }
    !remainder
}

/// Appends the check sum, stuffs by looking for the next zero, ends with a zero.
pub(super) fn encode(payload: &[u8]) -> Vec<u8> {
    let mut data = payload.to_vec();
    data.extend(crc32(payload).to_le_bytes());
    let mut line = Vec::new();
    // With one more zero at the end, every block ends with a zero or is 254 bytes long.
    data.push(0);
    let mut rest = data.as_slice();
    while !rest.is_empty() {
        let run = rest.iter().position(|&byte| byte == 0).unwrap();
        if run >= 254 {
            line.push(255);
            line.extend(&rest[..254]);
            rest = &rest[254..];
        } else {
            line.push(u8::try_from(run + 1).unwrap());
            line.extend(&rest[..run]);
            rest = &rest[run + 1..];
        }
    }
    line.push(0);
    line
}

/// What stands between two zeros, unstuffed; whether the last block was whole.
fn unstuff(mut stretch: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    let mut zero = false;
    while let Some((&code, rest)) = stretch.split_first() {
        if zero {
            data.push(0);
        }
        let block = usize::from(code) - 1;
        if rest.len() < block {
            data.extend(rest);
            return (data, false);
        }
        data.extend(&rest[..block]);
        stretch = &rest[block..];
        zero = code != 255;
    }
    (data, true)
}

/// Payloads, and how many stretches are damaged and too long.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) crc_errors: u32,
    pub(super) oversized: u32,
}

/// Decodes a whole stream that has already arrived. What comes after the last zero is not judged.
pub(super) fn decode(stream: &[u8], capacity: usize) -> Decoded {
    let mut decoded = Decoded::default();
    let mut stretches: Vec<_> = stream.split(|&byte| byte == 0).collect();
    stretches.pop();
    for stretch in stretches.into_iter().filter(|stretch| !stretch.is_empty()) {
        let (data, whole) = unstuff(stretch);
        if data.len() > capacity {
            decoded.oversized += 1;
        } else if let Some((payload, sum)) = data.split_last_chunk::<4>()
            && whole
            && crc32(payload) == u32::from_le_bytes(*sum)
        {
            decoded.payloads.push(payload.to_vec());
        } else {
            decoded.crc_errors += 1;
        }
    }
    decoded
}
