#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| daur_tests::fuzz::run("email", data));
