//! Tells the linker where memory is on the board that stands for the target, and the program how fast its clock is.

use std::{env, fs, path::PathBuf};

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    // The emulator's clock of the board in MHz, and the shift that `.ci/device` gives it, so that an instruction is at
    // least one tick.
    let (memory, mhz, shift) = if target.starts_with("thumbv6m") {
        // nRF51822 of the BBC micro:bit, QEMU's `microbit`.
        ("FLASH : ORIGIN = 0x00000000, LENGTH = 256K\n  RAM : ORIGIN = 0x20000000, LENGTH = 16K", 16, 6)
    } else if target.starts_with("thumbv7m-") {
        // Arm's MPS2 with its AN385, QEMU's `mps2-an385`.
        ("FLASH : ORIGIN = 0x00000000, LENGTH = 4M\n  RAM : ORIGIN = 0x20000000, LENGTH = 4M", 25, 6)
    } else {
        // STM32F405, QEMU's `netduinoplus2`.
        ("FLASH : ORIGIN = 0x08000000, LENGTH = 1024K\n  RAM : ORIGIN = 0x20000000, LENGTH = 128K", 168, 3)
    };
    let memory = format!("MEMORY\n{{\n  {memory}\n}}\n");
    println!("cargo::rustc-env=BOARD_MHZ={mhz}");
    println!("cargo::rustc-env=BOARD_SHIFT={shift}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}
