//! What the two STM32 have in common: the serial port USART1, the flags of a reset.

use super::{Arrival, SYSCLK_HZ};
use crate::board::Register;

const BAUD: u32 = 115_200;

const SR_RXNE: u32 = 1 << 5;
const SR_TXE: u32 = 1 << 7;
const SR_ORE: u32 = 1 << 3;
const CR1_UE_TE_RE: u32 = (1 << 13) | (1 << 3) | (1 << 2);
const CR1_RXNEIE: u32 = 1 << 5;
const CR1_TXEIE: u32 = 1 << 7;

/// USART1 at its base address.
pub(super) struct Usart(pub(super) usize);

impl Usart {
    const fn sr(&self) -> Register {
        Register::at(self.0, 0x00)
    }

    const fn dr(&self) -> Register {
        Register::at(self.0, 0x04)
    }

    const fn cr1(&self) -> Register {
        Register::at(self.0, 0x0C)
    }

    /// Begins to receive, with an interrupt for each byte. Clock and pins are set before.
    pub(super) fn start(&self) {
        Register::at(self.0, 0x08).write((SYSCLK_HZ + BAUD / 2) / BAUD);
        self.cr1().write(CR1_UE_TE_RE | CR1_RXNEIE);
    }

    pub(super) fn take(&self) -> Option<Arrival> {
        let status = self.sr().read();
        if status & (SR_RXNE | SR_ORE) == 0 {
            return None;
        }
        // Reading both registers clears both flags.
        let [byte, ..] = self.dr().read().to_le_bytes();
        Some(if status & SR_ORE == 0 { Arrival::Byte(byte) } else { Arrival::Overrun })
    }

    pub(super) fn has_room(&self) -> bool {
        self.sr().read() & SR_TXE != 0
    }

    pub(super) fn put(&self, byte: u8) {
        self.dr().write(u32::from(byte));
    }

    pub(super) fn call_for_room(&self, on: bool) {
        self.cr1().modify(CR1_TXEIE, if on { CR1_TXEIE } else { 0 });
    }
}

/// Why the chip was reset, by its register RCC_CSR, whose flags are cleared then: they add up otherwise.
#[cfg(daur_board)]
pub(super) fn cause(csr: Register) -> Option<daur_core::wire::record::ResetCause> {
    use daur_core::wire::record::ResetCause;

    let flags = csr.read();
    csr.modify(0, 1 << 24);
    match flags {
        f if f & (0b11 << 29) != 0 => Some(ResetCause::Watchdog),
        f if f & (1 << 28) != 0 => Some(ResetCause::Software),
        f if f & (1 << 27) != 0 => Some(ResetCause::PowerOn),
        f if f & (1 << 25) != 0 => Some(ResetCause::BrownOut),
        f if f & (1 << 26) != 0 => Some(ResetCause::Pin),
        _ => None,
    }
}
