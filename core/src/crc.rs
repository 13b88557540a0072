//! CRC-32 as in Ethernet, gzip and PNG.

/// The remainder of each nibble: 64 bytes of flash instead of the 1,024 of a byte-wise table.
const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut remainder = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            remainder = (remainder >> 1) ^ (0xEDB8_8320 * (remainder & 1));
            bit += 1;
        }
        table[nibble] = remainder;
        nibble += 1;
    }
    table
};

/// Computes the check sum CRC-32/ISO-HDLC, a byte at a time.
///
/// # Rules
/// 1. The check value of `123456789` is `0xCBF43926`.
/// 2. After the data, its sum in little-endian order leaves [`Crc32::RESIDUE`]: a receiver need not know where
///    the data ends.
///
/// # Cost
/// 4 bytes of RAM, a table of 64 bytes of flash, two look-ups a byte.
///
/// # Example
/// ```
/// use daur_core::crc::Crc32;
///
/// assert_eq!(Crc32::of(b"123456789"), 0xCBF4_3926);
/// ```
///
/// # References
/// ITU-T V.42; the parameters are those of CRC-32/ISO-HDLC in the CRC RevEng catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// What [`Crc32::finish`] gives for any data followed by its own sum.
    pub const RESIDUE: u32 = 0x2144_DF1C;

    /// The sum of nothing so far.
    #[must_use]
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Takes one more byte in.
    // Two callers on a device; inlined it would be there twice.
    #[inline(never)]
    pub const fn push(&mut self, byte: u8) {
        let mixed = self.0 ^ byte as u32;
        let mixed = (mixed >> 4) ^ TABLE[(mixed & 15) as usize];
        self.0 = (mixed >> 4) ^ TABLE[(mixed & 15) as usize];
    }

    /// The sum of what was taken in.
    #[must_use]
    pub const fn finish(self) -> u32 {
        !self.0
    }

    /// The sum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::new();
        for &byte in bytes {
            crc.push(byte);
        }
        crc.finish()
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_check_value_is_the_catalogues() {
        assert_eq!(Crc32::of(b"123456789"), 0xCBF4_3926);
        assert_eq!(Crc32::of(b""), 0);
    }

    #[test]
    fn data_and_its_sum_leave_the_residue() {
        for data in [&b""[..], b"a", b"123456789", &[0; 40]] {
            let mut bytes = Vec::from(data);
            bytes.extend(Crc32::of(data).to_le_bytes());
            assert_eq!(Crc32::of(&bytes), Crc32::RESIDUE);
        }
    }
}
