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

pub(crate) fn main() {
    assert_eq!(instead(7), Ok(7));
    assert_eq!(read(), Ok(5));
}
