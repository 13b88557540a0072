//! Values as latencies are spread: seeded, lognormal.

use daur_core::rng::Rng;

/// `count` values of the given median whose logarithms have the deviation `sigma` (Box and Muller).
#[must_use]
pub fn values(seed: u64, sigma: f64, count: usize, median: f64) -> Vec<f64> {
    let mut rng = Rng::new(seed);
    let mut uniform = move || (rng.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0;
    (0..count)
        .map(|_| {
            let (radius, turn) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), std::f64::consts::TAU * uniform());
            median * (sigma * radius * turn.cos()).exp()
        })
        .collect()
}
