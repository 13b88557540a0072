//! Randomness from the operating system, for seeds and nonces.

use daur_core::rng::Rng;

/// A seed for jitter from the operating system, so that no two processes of a fleet act in step.
///
/// If the operating system has none to give, which a host that has booted does not do, the seed is
/// made of the time and the process id: good enough for jitter, which is all this is for.
#[must_use]
pub fn os_seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let nanos = daur_core::time::Duration::from(since_1970).as_nanos();
        nanos ^ (u64::from(std::process::id()) << 32)
    })
}

/// A generator for jitter with a seed of its own.
#[must_use]
pub fn os_rng() -> Rng {
    Rng::new(os_seed())
}

/// `N` bytes fit for keys, salts and nonces.
///
/// # Errors
/// The operating system's, if it has no randomness to give. Do not go on with anything else.
pub fn os_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeds_differ() {
        assert_ne!(os_seed(), os_seed());
        assert_ne!(os_rng().next_u64(), os_rng().next_u64());
    }

    #[test]
    fn bytes_are_drawn_from_the_operating_system() {
        assert_ne!(os_bytes::<16>().unwrap(), os_bytes::<16>().unwrap());
    }
}
