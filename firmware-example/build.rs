//! Tells the linker where memory is and which sections the tests and the logs need.

use std::{env, fs, path::PathBuf};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), include_bytes!("stm32f405.x")).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=stm32f405.x");
    println!("cargo::rustc-check-cfg=cfg(rust_analyzer)"); // asked for by embedded-test

    for arg in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-bins={arg}");
    }
    for arg in ["--nmagic", "-Tlink.x", "-Tembedded-test.x", "-Tdefmt.x"] {
        println!("cargo::rustc-link-arg-tests={arg}");
    }
}
