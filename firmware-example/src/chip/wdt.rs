//! The watchdog of the nRF51, on the slow clock, which it starts itself.

use daur_core::time::Duration;

use crate::board::Register;
use crate::watchdog::Watchdog;

const WDT: usize = 0x4001_0000;
const START: Register = Register::at(WDT, 0x000);
const CRV: Register = Register::at(WDT, 0x504);
const RREN: Register = Register::at(WDT, 0x508);
const CONFIG: Register = Register::at(WDT, 0x50C);
const RR0: Register = Register::at(WDT, 0x600);

/// The slow clock and a fiftieth: how far its RC oscillator is off at most.
const FASTEST_HZ: u64 = 32_768 + 32_768 / 50;

/// The chip's watchdog.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dog;

impl Watchdog for Dog {
    /// A reset by the program leaves it running, with what it was started with: then this changes nothing.
    fn start(&mut self, timeout: Duration) {
        let ticks = timeout.as_millis().saturating_mul(FASTEST_HZ).div_ceil(1_000);
        CRV.write(u32::try_from(ticks).unwrap_or(u32::MAX).max(0xF));
        RREN.write(1);
        // It runs while the processor sleeps, and halts with it when a probe does.
        CONFIG.write(1);
        START.write(1);
        self.feed();
    }

    fn feed(&mut self) {
        RR0.write(0x6E52_4635);
    }
}
