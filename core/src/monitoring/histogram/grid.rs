//! The grid of bucket boundaries: powers of the 32nd root of two, in integers, and for a host's floats.
//!
//! # Example
//! ```
//! use daur_core::monitoring::histogram::grid;
//!
//! // A quarter of a second lies in a bucket whose upper bound it is.
//! let index = grid::index_of(0.25).unwrap();
//! assert_eq!((index, grid::upper_of(index), grid::upper_of(index - 1) < 0.25), (-65, 0.25, true));
//! assert!((grid::middle_of(index) / 0.25 - 1.0).abs() < 0.01084);
//! ```

/// Sub-buckets of an octave: 2^5, at scale 5.
pub(super) const PER_OCTAVE: u32 = 32;

/// The coarsest step: at `5 - 11` one bucket holds every value above one.
pub(super) const MAX_SHIFT: u32 = 11;

/// `BOUNDS[c]` is 2^63 * 2^(c/32), rounded down: the boundaries inside one octave.
///
/// All but the first are irrational, so "above the boundary" and "above its floor" are the same for
/// an integer. The last is 2^64 - 1 in place of 2^64: no mantissa is above it.
#[rustfmt::skip]
static BOUNDS: [u64; 33] = [
    0x8000_0000_0000_0000, 0x82CD_8698_AC2B_A1D7, 0x85AA_C367_CC48_7B14, 0x8898_0E80_92DA_8527,
    0x8B95_C1E3_EA8B_D6E6, 0x8EA4_398B_45CD_53C0, 0x91C3_D373_AB11_C336, 0x94F4_EFA8_FEF7_0961,
    0x9837_F051_8DB8_A96F, 0x9B8D_39B9_D54E_5538, 0x9EF5_3260_91A1_11AD, 0xA270_4303_0C49_6818,
    0xA5FE_D6A9_B151_38EA, 0xA9A1_5AB4_EA7C_0EF8, 0xAD58_3EEA_42A1_4AC6, 0xB123_F581_D2AC_258F,
    0xB504_F333_F9DE_6484, 0xB8FB_AF47_62FB_9EE9, 0xBD08_A39F_580C_36BE, 0xC12C_4CCA_6670_9456,
    0xC567_2A11_5506_DADD, 0xC9B9_BD86_6E2F_27A2, 0xCE24_8C15_1F84_80E3, 0xD2A8_1D91_F12A_E45A,
    0xD744_FCCA_D69D_6AF4, 0xDBFB_B797_DAF2_3755, 0xE0CC_DEEC_2A94_E111, 0xE5B9_06E7_7C83_48A8,
    0xEAC0_C6E7_DD24_392E, 0xEFE4_B99B_DCDA_F5CB, 0xF525_7D15_2486_CC2C, 0xFA83_B2DB_722A_033A,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// For each 64th of an octave: how many boundaries lie below it, in the upper bits, and below them what the lower bits of a
/// mantissa must be added to for a carry if that mantissa is above the one boundary inside. (A 64th is narrower
/// than the narrowest sub-bucket, so there is one at most.) An addition thus counts the boundaries below.
static STEPS: [u64; 64] = steps();
const LOW: u64 = (1 << 57) - 1;

/// [`STEPS`] of 32-bit mantissas.
static WORD_STEPS: [u32; 64] = word_steps();
const WORD_LOW: u32 = (1 << 25) - 1;

const fn steps() -> [u64; 64] {
    let mut steps = [0; 64];
    let mut t = 0;
    while t < 64 {
        let start = (1 << 63) | ((t as u64) << 57);
        let mut below = 0;
        while BOUNDS[below] < start {
            below += 1;
        }
        let inside = BOUNDS[below] >> 57 == start >> 57;
        let carries = if inside { LOW - (BOUNDS[below] & LOW) } else { 0 };
        steps[t] = ((below as u64) << 57) + carries;
        t += 1;
    }
    steps
}

/// A mantissa's lower half would be zero, which is not above any boundary's lower half.
const fn word_steps() -> [u32; 64] {
    let (long, mut word) = (steps(), [0; 64]);
    let mut t = 0;
    while t < 64 {
        // What has to be added for a carry, without the lower half: rounded down, since a boundary is.
        word[t] = (long[t] >> 32) as u32;
        t += 1;
    }
    word
}

/// The position of the top bit, by the top five bits of a product with de Bruijn's sequence.
#[rustfmt::skip]
static TOP_BIT: [u8; 32] = [
    0, 9, 1, 10, 13, 21, 2, 29, 11, 14, 16, 18, 22, 25, 3, 30,
    8, 12, 20, 28, 15, 17, 24, 7, 19, 27, 23, 6, 26, 5, 4, 31,
];

/// `ERROR[shift]` is (r - 1) / (r + 1) in units of 2^-32, where r is the ratio of a bucket's bounds at
/// scale `5 - shift`: how far the estimate of [`middle`] is from either bound, relatively.
#[rustfmt::skip]
static ERROR: [u32; 12] = [
    0x02C5_C145, 0x058B_57EC, 0x0B15_5B26, 0x1620_185E, 0x2BEC_3330, 0x5555_5555,
    0x9999_999A, 0xE1E1_E1E2, 0xFE01_FE02, 0xFFFE_0002, 0xFFFF_FFFE, 0xFFFF_FFFF,
];

/// The scale-5 index of `value`: the `i` with 2^(i/32) < value <= 2^((i+1)/32). Of 0 it says something
/// below -1.
#[inline]
pub(super) fn index(value: u64) -> i32 {
    index_of_long(value)
}

#[inline]
fn index_of_long(value: u64) -> i32 {
    let zeros = value.leading_zeros();
    place(63_u32.wrapping_sub(zeros), below(value << (zeros & 63)))
}

/// [`index`] of a value below 2^32, in 32-bit steps: a 32-bit core has no 64-bit shifts. Of 0 it says something below -1
/// or, without an instruction that counts zeros, -1.
#[inline]
pub(super) fn index_of_word(value: u32) -> i32 {
    let (mantissa, octave) = normalised(value);
    let below = WORD_STEPS[(mantissa >> 25 & 63) as usize].wrapping_add(mantissa & WORD_LOW) >> 25;
    place(octave, below)
}

/// `word` shifted until its top bit is 1, and how far that bit was from the lowest before.
#[inline]
fn normalised(word: u32) -> (u32, u32) {
    // Cores without atomic instructions have none that counts zeros either, and these steps are
    // shorter there than the library's function.
    let octave = if cfg!(target_has_atomic = "32") { 31_u32.wrapping_sub(word.leading_zeros()) } else { top_bit(word) };
    (word << (31_u32.wrapping_sub(octave) & 31), octave)
}

/// The position of the top bit; of 0 it says 0.
#[inline]
fn top_bit(word: u32) -> u32 {
    let mut ones = word | (word >> 1);
    ones |= ones >> 2;
    ones |= ones >> 4;
    ones |= ones >> 8;
    ones |= ones >> 16;
    u32::from(TOP_BIT[(ones.wrapping_mul(0x07C4_ACDD) >> 27) as usize])
}

/// Boundaries of the octave below a mantissa whose top bit is 1.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 33")]
fn below(mantissa: u64) -> u32 {
    // A constant choice: on a 32-bit core these values are rare, and half a KiB of flash is dear.
    if usize::BITS < 64 {
        return BOUNDS.iter().filter(|bound| mantissa > **bound).count() as u32;
    }
    (STEPS[(mantissa >> 57 & 63) as usize].wrapping_add(mantissa & LOW) >> 57) as u32
}

#[inline]
#[expect(clippy::cast_possible_wrap, reason = "at most 2048")]
fn place(octave: u32, below: u32) -> i32 {
    (octave.wrapping_mul(PER_OCTAVE).wrapping_add(below) as i32).wrapping_sub(1)
}

/// The largest integer in the bucket `index` at scale `5 - shift`.
pub(super) fn upper(index: i32, shift: u32) -> u64 {
    let Ok(next) = u32::try_from(index.saturating_add(1)) else { return 1 };
    floor(next << shift.min(MAX_SHIFT))
}

/// The smallest integer in the bucket `index` at scale `5 - shift`, if it holds any.
pub(super) fn lower(index: i32, shift: u32) -> u64 {
    match index {
        ..0 => 1,
        _ => upper(index - 1, shift).saturating_add(1),
    }
}

/// 2^(steps / 32), rounded down; 2^64 - 1 from 2^64 on.
fn floor(steps: u32) -> u64 {
    match steps / PER_OCTAVE {
        octave @ 0..64 => BOUNDS[(steps % PER_OCTAVE) as usize] >> (63 - octave),
        _ => u64::MAX,
    }
}

/// The value that is equally far, relatively, from both bounds of the bucket, rounded to an integer
/// inside it: the harmonic mean of the bounds, the lower one times `1 + ERROR`.
pub(super) fn middle(index: i32, shift: u32) -> u64 {
    let (low, high) = (lower(index, shift), upper(index, shift));
    let (Ok(steps), Some(&error)) = (u32::try_from(index), ERROR.get(shift as usize)) else { return low };
    let steps = steps << shift.min(MAX_SHIFT);
    let octave = steps / PER_OCTAVE;
    let bound = BOUNDS[(steps % PER_OCTAVE) as usize];
    // Both halved, so that the sum has room: the mantissa now stands for 2^62.
    let mantissa = (bound >> 1) + (((bound >> 32) * u64::from(error)) >> 1);
    let rounded = match 62_u32.checked_sub(octave) {
        Some(0) => mantissa,
        Some(down) => ((mantissa >> (down - 1)) + 1) >> 1,
        None => mantissa.saturating_mul(2),
    };
    rounded.max(low).min(high)
}

/// How far [`middle`] is from the truth at scale `5 - shift`, at most, in parts per million, without
/// the rounding to an integer.
pub(super) fn error_ppm(shift: u32) -> u32 {
    let error = ERROR.get(shift as usize).copied().unwrap_or(u32::MAX);
    // Rounded up: a bound.
    ((u64::from(error) * 1_000_000 + u64::from(u32::MAX)) >> 32) as u32
}

/// The scale-5 index of a positive finite float, of OpenTelemetry's definition; `None` of any other.
///
/// Exact: no logarithm is taken. At scale `5 - n` the index is this one shifted right by `n`.
#[inline]
#[must_use]
pub fn index_of(value: f64) -> Option<i32> {
    let bits = value.to_bits();
    // Normal numbers, of which the sign bit is 0.
    if bits.wrapping_sub(1 << 52) < (0x7FE << 52) {
        return Some(index_of_normal(bits));
    }
    // What remains of the positive finite ones has no leading bit of its own: `bits` of 2^-1074.
    (bits != 0 && bits < 1 << 52).then(|| index_of_long(bits) - 1_074 * PER_OCTAVE.cast_signed())
}

/// [`index_of`] of the bits of a normal positive number.
#[inline]
#[expect(clippy::cast_possible_wrap, reason = "at most 33")]
fn index_of_normal(bits: u64) -> i32 {
    let below = below((bits << 11) | (1 << 63));
    let octave = (bits >> 52) as i32 - 1_023;
    octave * PER_OCTAVE.cast_signed() + below as i32 - 1
}

/// The place of a normal positive float's bucket among the 32 of an octave, by the float's bits; a power of two is the last of
/// the octave below it.
#[inline]
#[must_use]
pub fn step_of(bits: u64) -> u32 {
    // One less, and more of it than a float has: what is on a boundary stays below it, and a power of two comes last.
    below((bits << 11).wrapping_sub(1) | (1 << 63)).wrapping_sub(1)
}

/// The greatest float in the bucket `index` of scale 5; infinite above all floats, 0 below them.
#[must_use]
pub fn upper_of(index: i32) -> f64 {
    let steps = index.saturating_add(1);
    let octave = steps.div_euclid(PER_OCTAVE.cast_signed());
    let bound = BOUNDS[steps.rem_euclid(PER_OCTAVE.cast_signed()).unsigned_abs() as usize & 31];
    match octave {
        1_024.. => f64::INFINITY,
        -1_022.. => f64::from_bits((u64::from((octave + 1_023).unsigned_abs()) << 52) | ((bound << 1) >> 12)),
        -1_074.. => f64::from_bits(bound >> (-1_011 - octave)),
        _ => 0.0,
    }
}

/// The value that is equally far, relatively, from both ends of the bucket `index` of scale 5: at most 1.083 %.
#[must_use]
pub fn middle_of(index: i32) -> f64 {
    let (low, high) = (upper_of(index.saturating_sub(1)), upper_of(index));
    if high.is_finite() && low > 0.0 { low * (2.0 / (1.0 + low / high)) } else { high.min(f64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether 2^(steps / 32) <= value: only every 32nd of those numbers is whole.
    fn at_least(value: u64, steps: u32) -> bool {
        floor(steps) < value || (steps.is_multiple_of(32) && floor(steps) == value)
    }

    #[test]
    fn an_index_is_where_the_boundaries_say_at_every_boundary_and_its_neighbours() {
        for steps in 0..2048_u32 {
            let bound = floor(steps);
            for value in [bound.saturating_sub(1), bound, bound.saturating_add(1)] {
                let Some(value) = Some(value).filter(|value| *value > 0) else { continue };
                // The naive way: how many boundaries lie strictly below.
                let below = (0..2048).filter(|&steps| at_least(value, steps)).count();
                let on_one = value.is_power_of_two();
                let expected = i32::try_from(below).unwrap() - 1 - i32::from(on_one);
                assert_eq!(index_of_long(value), expected, "{value}");
                assert_eq!(index(value), expected, "{value}");
                if let Ok(word) = u32::try_from(value) {
                    assert_eq!(index_of_word(word), expected, "{value}");
                }
            }
        }
        assert_eq!(index(u64::MAX), 2047);
        assert!(index(0) < -1);
    }

    #[test]
    fn the_top_bit_by_multiplication_is_that_by_counting_zeros() {
        for value in (0..32).flat_map(|bit| [1_u32 << bit, (1 << bit) | 1, u32::MAX >> bit]) {
            assert_eq!(top_bit(value), 31 - value.leading_zeros());
            assert_eq!(normalised(value).0, value << value.leading_zeros());
        }
    }

    #[test]
    fn the_boundaries_are_the_32nd_roots() {
        for (c, bound) in BOUNDS.iter().enumerate() {
            let exact = 2_f64.powf(63.0 + c as f64 / 32.0);
            assert!((*bound as f64 / exact - 1.0).abs() < 1e-14, "{c}");
        }
        // Squaring the 16th boundary gives the 32nd: 2^63.5 squared is 2^127, rounded down on the way.
        let root = u128::from(BOUNDS[16]);
        assert!(root * root <= 1 << 127 && (root + 1) * (root + 1) > 1 << 127);
    }

    #[test]
    fn a_bucket_begins_where_the_one_below_ends() {
        for shift in 0..=MAX_SHIFT {
            for index in -1..(2048_i32 >> shift) {
                let (low, high, middle) = (lower(index, shift), upper(index, shift), middle(index, shift));
                if low <= high {
                    assert_eq!(super::index(low) >> shift, index, "{low}");
                    assert_eq!(super::index(high) >> shift, index, "{high}");
                    assert!((low..=high).contains(&middle));
                }
            }
        }
    }

    #[test]
    fn the_middle_is_as_far_from_either_end_as_stated() {
        for shift in 0..=MAX_SHIFT {
            let stated = f64::from(error_ppm(shift)) / 1e6;
            for index in (0..(2048_i32 >> shift)).filter(|index| upper(*index, shift) > 1 << 40) {
                let middle = middle(index, shift) as f64;
                for end in [lower(index, shift), upper(index, shift)] {
                    assert!((middle / end as f64 - 1.0).abs() <= stated + 1e-9, "{shift} {index}");
                }
            }
        }
        assert_eq!([0, 1, 2].map(error_ppm), [10_831, 21_658, 43_295]);
    }

    #[test]
    fn a_float_is_where_the_integer_is_and_beyond_where_its_bounds_say() {
        for shift in 0..53 {
            for value in [1_u64 << shift, (1 << shift) + 1, (1 << shift) - 1, 0x1F_FFFF_FFFF_FFFF >> (52 - shift)] {
                if value > 0 {
                    assert_eq!(index_of(value as f64), Some(index(value)), "{value}");
                }
            }
        }
        // From the least float on: some buckets there hold none.
        for index in -34_368..32_767 {
            let (below, last) = (upper_of(index - 1), upper_of(index));
            if below < last {
                assert_eq!(index_of(last), Some(index), "{last:e}");
                let first = f64::from_bits(below.to_bits() + 1);
                for normal in [first, last].into_iter().filter(|value| value.is_normal()) {
                    assert_eq!(step_of(normal.to_bits()), index_of(normal).unwrap().rem_euclid(32).unsigned_abs());
                }
                assert_eq!(index_of(first).map(|at| at >= index), Some(true), "{first:e}");
                assert!(first > last || index_of(first) == Some(index), "{first:e}");
            }
        }
        for nothing in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -f64::MIN_POSITIVE] {
            assert_eq!(index_of(nothing), None);
        }
        assert_eq!((index_of(f64::MAX), upper_of(32_767)), (Some(32_767), f64::INFINITY));
    }
}
