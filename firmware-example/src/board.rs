//! What differs between QEMU's machine and the chip itself, and how both reach a register or an interrupt.

pub use crate::chip::SYSCLK_HZ;

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
#[derive(Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    /// The register at `offset` of the peripheral at `base`, both from the chip's reference manual.
    pub(crate) const fn at(base: usize, offset: usize) -> Self {
        Self(base + offset)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: every `Register` in this crate names an aligned 32-bit register of the chip it is built for
        // that exists as long as the program runs and is not memory of any Rust object.
        unsafe { core::ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: as in `read`; no register used here moves data by itself (there is no DMA), so a
        // write cannot change memory that Rust knows.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }

    /// Replaces the bits of `mask` by `value`.
    #[cfg_attr(daur_chip = "nrf51", allow(dead_code, reason = "its registers set and clear single bits by themselves"))]
    pub(crate) fn modify(self, mask: u32, value: u32) {
        self.write(self.read() & !mask | value);
    }
}

/// Names an interrupt of this chip to the NVIC.
#[derive(Clone, Copy)]
pub(crate) struct Irq(pub(crate) u16);

// SAFETY: every `Irq` in this crate is made of a constant of `chip`, one of that chip's interrupts, and always the same.
unsafe impl cortex_m::interrupt::InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}
