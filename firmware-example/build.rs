//! Chooses the chip by the target, and tells the linker where its memory is and which sections the tests and the logs need.

use std::{env, fs, path::PathBuf};

use daur_core::id::DeviceId;
use daur_core::security::keys::derive_device_key;

/// The node's name.
const DEVICE: &str = "node-1";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let (chip, memory) = match target.as_str() {
        "thumbv6m-none-eabi" => ("nrf51", "nrf51822.x"),
        "thumbv7m-none-eabi" => ("stm32f1", "stm32f100.x"),
        "thumbv7em-none-eabihf" => ("stm32f4", "stm32f405.x"),
        other => panic!("no board for {other}: there are three, see README.md"),
    };
    println!("cargo::rustc-cfg=daur_chip=\"{chip}\"");
    // The full profile takes 12 KiB of RAM, the small one 6: see `config::room`.
    if chip != "stm32f4" {
        println!("cargo::rustc-cfg=daur_small");
    }
    fs::copy(memory, out.join("memory.x")).expect("the memory map is here, and OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed={memory}");

    // The image holds this device's own key. The fleet key, from which it and the host's copy are
    // derived, stays with whoever builds: a file as the host has it, 64
    // hexadecimal digits, or the example's, which is no secret.
    let fleet_key = env::var_os("DAUR_FLEET_KEY_FILE").map_or_else(|| PathBuf::from("demo-fleet.key"), PathBuf::from);
    let text = fs::read_to_string(&fleet_key).expect("the fleet key's file can be read");
    let fleet_key_bytes = hex(text.trim_end());
    assert!(fleet_key_bytes.len() == 32, "{}: not a key: expected 64 hexadecimal digits", fleet_key.display());
    let device = DeviceId::new(DEVICE).expect("a name of at most 16 characters");
    let key = derive_device_key(&fleet_key_bytes, &device);
    fs::write(
        out.join("identity.rs"),
        format!(
            "/// The node's name.\npub const DEVICE: &str = {DEVICE:?};\n\
             /// Its key, which the host derives from the fleet key.\npub const DEVICE_KEY: [u8; 32] = {key:?};\n"
        ),
    )
    .expect("OUT_DIR can be written");
    println!("cargo::rerun-if-env-changed=DAUR_FLEET_KEY_FILE");
    println!("cargo::rerun-if-changed={}", fleet_key.display());

    for arg in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    for arg in ["--nmagic", "-Tlink.x", "-Tembedded-test.x", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-tests={arg}");
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    digits
        .unwrap_or_default()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8))
        .collect()
}
