//! What differs between QEMU's netduinoplus2 and the chip itself.

/// Processor clock in Hz: QEMU runs the machine at the chip's maximum from the first instruction.
#[cfg(not(daur_board))]
pub const SYSCLK_HZ: u32 = 168_000_000;

/// Processor clock in Hz: the chip starts on its internal RC oscillator, and the example stays there.
#[cfg(daur_board)]
pub const SYSCLK_HZ: u32 = 16_000_000;

/// Leaves the machine after a failure that cannot be handled: QEMU ends, a chip starts again.
pub fn abort() -> ! {
    #[cfg(not(daur_board))]
    semihosting::process::exit(101);
    #[cfg(daur_board)]
    cortex_m::peripheral::SCB::sys_reset();
}

/// Ends a program that has done what it is for: QEMU ends, a chip sleeps.
pub fn finish() -> ! {
    #[cfg(not(daur_board))]
    semihosting::process::exit(0);
    #[cfg(daur_board)]
    loop {
        cortex_m::asm::wfi();
    }
}

/// One memory-mapped register of this chip.
///
/// The example needs 17 of them, which is less than a peripheral access crate costs to build, and
/// what QEMU models of the chip is less than what a HAL waits for.
#[derive(Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    /// The register at `offset` of the peripheral at `base`, both from the reference manual RM0090.
    pub(crate) const fn at(base: usize, offset: usize) -> Self {
        Self(base + offset)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: every `Register` in this crate names an aligned 32-bit register of the STM32F405
        // that exists as long as the program runs and is not memory of any Rust object.
        unsafe { core::ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as in `read`; no register used here moves data by itself (there is no DMA), so a
        // write cannot change memory that Rust knows.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }

    /// Replaces the bits of `mask` by `value`.
    pub(crate) fn modify(self, mask: u32, value: u32) {
        self.write(self.read() & !mask | value);
    }
}
