//! A small seeded generator for jitter and sampling. Not for secrets.

/// Draws pseudo-random numbers from a seed that the caller chooses.
///
/// Jitter keeps a fleet from acting in step only if every device has a seed of its own: a device id,
/// an entropy source, the operating system. There is no default seed. The generator is SFC32: 16
/// bytes of state, additions, shifts and xors only, so it is as fast on a Cortex-M0 as elsewhere.
///
/// It is predictable: never draw a key, a nonce or a token from it.
///
/// # Example
/// ```
/// use daur_core::rng::Rng;
///
/// let mut a = Rng::new(7);
/// let mut b = Rng::new(7);
/// assert_eq!(a.next_u32(), b.next_u32()); // the same seed, the same numbers, on every target
/// assert!(a.at_most(10) <= 10);
/// ```
///
/// # References
/// Chris Doty-Humphrey's PractRand, generator `sfc32`.
#[derive(Clone, Debug)]
pub struct Rng {
    a: u32,
    b: u32,
    c: u32,
    counter: u32,
}

impl Rng {
    /// A generator whose numbers follow from `seed` alone.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the seed's two halves")]
    pub const fn new(seed: u64) -> Self {
        let mut rng = Self { a: seed as u32, b: (seed >> 32) as u32, c: 0x9E37_79B9, counter: 1 };
        // The first outputs still show the seed's bits.
        let mut i = 0;
        while i < 15 {
            rng.next_u32();
            i += 1;
        }
        rng
    }

    /// The next 32 bits.
    pub const fn next_u32(&mut self) -> u32 {
        let out = self.a.wrapping_add(self.b).wrapping_add(self.counter);
        self.counter = self.counter.wrapping_add(1);
        self.a = self.b ^ (self.b >> 9);
        self.b = self.c.wrapping_add(self.c << 3);
        self.c = self.c.rotate_left(21).wrapping_add(out);
        out
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        ((self.next_u32() as u64) << 32) | self.next_u32() as u64
    }

    /// A number in `0..=max`, each as likely as the others.
    ///
    /// Takes the low bits and draws again while they are above `max`: less than two draws on
    /// average, and no division.
    pub const fn at_most(&mut self, max: u64) -> u64 {
        let mask = match max {
            0 => return 0,
            max => u64::MAX >> max.leading_zeros(),
        };
        loop {
            let draw = if mask <= u32::MAX as u64 { self.next_u32() as u64 } else { self.next_u64() };
            if draw & mask <= max {
                return draw & mask;
            }
        }
    }

    /// A number in `low..=high`; `low` if `high` is below it.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.at_most(high.saturating_sub(low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_follow_from_the_seed_alone() {
        let draw = |seed| core::array::from_fn::<u64, 8, _>(|_| Rng::new(seed).next_u64());
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(Rng::new(1).next_u32(), Rng::new(1 << 32).next_u32());
    }

    /// The same figures stand in `firmware-example/tests/observability.rs`.
    #[test]
    fn the_first_numbers_of_a_seed_never_change() {
        let mut rng = Rng::new(7);
        assert_eq!((rng.next_u32(), rng.next_u64()), (0x90B5_EF7F, 0xADE8_5831_5AF2_5C1F));
    }

    #[test]
    fn a_range_is_covered_to_both_ends_and_never_left() {
        let mut rng = Rng::new(3);
        let mut seen = [0_u32; 6];
        for _ in 0..6_000 {
            seen[usize::try_from(rng.between(10, 15) - 10).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&n| (850..1_150).contains(&n)), "{seen:?}");
        assert_eq!(rng.between(5, 5), 5);
        assert_eq!(rng.between(9, 2), 9);
        assert_eq!(rng.at_most(0), 0);
        rng.at_most(u64::MAX);
    }
}
