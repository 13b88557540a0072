//! x
#![no_std]
#![no_main]
use defmt_semihosting as _;
use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    #[test]
    fn a() { assert_eq!(daur_firmware::clock::micros(), 167999/168); }
}
