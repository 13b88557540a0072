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

pub(crate) fn main() {
    assert_eq!(read(), Ok(5));
}
