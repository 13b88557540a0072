//! The crate under another name.

mod vendor {
    pub(crate) use daur_std as resilience;
}

#[vendor::resilience::retry(crate = vendor::resilience)]
#[vendor::resilience::circuit_breaker(crate = vendor::resilience)]
#[vendor::resilience::measure_time(crate = vendor::resilience)]
fn read() -> Result<u8, vendor::resilience::core::reliability::breaker::Open> {
    Ok(5)
}

#[vendor::resilience::retry(crate = vendor::resilience, max_attempts = 1, fallback = |_, instead| Ok(*instead))]
#[vendor::resilience::circuit_breaker(crate = vendor::resilience, window = 10, open = |_| "open", fallback = |error| {
    Err(error)
})]
fn instead(_: u8) -> Result<u8, &'static str> {
    Err("nothing")
}

#[vendor::resilience::memoize(crate = vendor::resilience, ttl = "60s")]
fn length(text: &str) -> Result<usize, u8> {
    Ok(text.len())
}

#[vendor::resilience::parallelize(crate = vendor::resilience, num_workers = 2)]
fn lengths(texts: &[&str]) -> Result<Vec<usize>, u8> {
    texts.iter().map(|text| length(text)).collect()
}

pub(crate) fn main() {
    assert_eq!(lengths(&["a", "bc", "a"]), Ok(vec![1, 2, 1]));
    assert_eq!(instead(7), Ok(7));
    assert_eq!(read(), Ok(5));
}
