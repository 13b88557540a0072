//! The crate under another name.

mod vendor {
    pub use daur_std as resilience;
}

#[vendor::resilience::retry(crate = crate::vendor::resilience)]
#[vendor::resilience::circuit_breaker(crate = crate::vendor::resilience)]
#[vendor::resilience::measure_time(crate = crate::vendor::resilience)]
fn read() -> Result<u8, vendor::resilience::core::reliability::breaker::Open> {
    Ok(5)
}

fn main() {
    assert_eq!(read(), Ok(5));
}
