//! The independent watchdog of both STM32, on an oscillator of its own.

use daur_core::time::Duration;

use crate::board::Register;
use crate::watchdog::Watchdog;

const IWDG: usize = 0x4000_3000;
const KR: Register = Register::at(IWDG, 0x00);
const PR: Register = Register::at(IWDG, 0x04);
const RLR: Register = Register::at(IWDG, 0x08);
const SR: Register = Register::at(IWDG, 0x0C);

/// A probe that halts the processor halts the watchdog, too.
const FREEZE: (Register, u32) = if cfg!(daur_chip = "stm32f1") {
    (Register::at(0xE004_2000, 0x04), 1 << 8)
} else {
    (Register::at(0xE004_2000, 0x08), 1 << 12)
};

/// The oscillator at its fastest, so that the watchdog bites no earlier than asked; by the data sheets it may be three
/// times as slow.
const FASTEST_KHZ: u64 = if cfg!(daur_chip = "stm32f1") { 60 } else { 47 };
const PRESCALER: u64 = 256;

/// The chip's watchdog.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dog;

impl Watchdog for Dog {
    fn start(&mut self, timeout: Duration) {
        let (register, bit) = FREEZE;
        register.modify(0, bit);
        // First: it starts the oscillator, without which the other registers take nothing.
        KR.write(0xCCCC);
        KR.write(0x5555);
        PR.write(6);
        let ticks = timeout.as_millis().saturating_mul(FASTEST_KHZ).div_ceil(PRESCALER);
        RLR.write(u32::try_from(ticks).unwrap_or(u32::MAX).clamp(1, 0xFFF));
        while SR.read() != 0 {}
        self.feed();
    }

    fn feed(&mut self) {
        KR.write(0xAAAA);
    }
}
