//! STM32F405, a Cortex-M4F: QEMU's netduinoplus2. Registers from the reference manual RM0090.

use super::stm32::Usart;
use crate::board::Register;

#[path = "systick.rs"]
pub mod timer;

/// Processor clock in Hz: QEMU runs the machine at the chip's maximum from the first instruction; the chip starts on its
/// internal RC oscillator, and the example stays there.
pub const SYSCLK_HZ: u32 = if cfg!(daur_board) { 16_000_000 } else { 168_000_000 };

const RCC: usize = 0x4002_3800;

/// The serial port, 115200 baud. On the board USART6, PC6 out and PC7 in, which both a Netduino Plus 2 (D1, D0) and a Feather
/// STM32F405 (D6, D5) have on their headers; PA9 and PA10 are on neither's. In QEMU USART1, whose is the first `-serial`.
pub mod uart {
    use super::super::Arrival;
    use super::{RCC, Register, Usart};

    /// Its interrupt's number.
    pub const IRQ: u16 = if cfg!(daur_board) { 71 } else { 37 };

    const GPIO: usize = if cfg!(daur_board) { 0x4002_0800 } else { 0x4002_0000 };
    const GPIO_ENABLE: u32 = if cfg!(daur_board) { 1 << 2 } else { 1 };
    const USART: Usart = Usart(if cfg!(daur_board) { 0x4001_1400 } else { 0x4001_1000 });
    const USART_ENABLE: u32 = if cfg!(daur_board) { 1 << 5 } else { 1 << 4 };
    const AHB1ENR: Register = Register::at(RCC, 0x30);
    const APB2ENR: Register = Register::at(RCC, 0x44);
    const MODER: Register = Register::at(GPIO, 0x00);
    const AFRL: Register = Register::at(GPIO, 0x20);
    const AFRH: Register = Register::at(GPIO, 0x24);

    /// Begins to receive, with an interrupt for each byte, which the caller has still to unmask.
    pub fn start() {
        AHB1ENR.modify(0, GPIO_ENABLE);
        APB2ENR.modify(0, USART_ENABLE);
        if cfg!(daur_board) {
            // PC6 and PC7 become alternate function 8.
            MODER.modify(0b1111 << 12, 0b1010 << 12);
            AFRL.modify(0xFF << 24, 0x88 << 24);
        } else {
            // PA9 and PA10 become alternate function 7.
            MODER.modify(0b1111 << 18, 0b1010 << 18);
            AFRH.modify(0xFF << 4, 0x77 << 4);
        }
        USART.start();
    }

    /// What has arrived. The interrupt comes again until it is taken.
    pub fn take() -> Option<Arrival> {
        USART.take()
    }

    /// Whether a byte may be [`put`].
    pub fn has_room() -> bool {
        USART.has_room()
    }

    /// Sends a byte, for which there is room.
    pub fn put(byte: u8) {
        USART.put(byte);
    }

    /// Makes the interrupt come, too, as long as there is room for a byte to send.
    pub fn call_for_room(on: bool) {
        USART.call_for_room(on);
    }
}

/// What is known of a reset.
#[cfg(daur_board)]
pub mod reset {
    use super::super::stm32;
    use super::{RCC, Register};
    use daur_core::wire::record::ResetCause;

    const CR: Register = Register::at(RCC, 0x00);
    const PLLCFGR: Register = Register::at(RCC, 0x04);
    const AHB2ENR: Register = Register::at(RCC, 0x34);
    const CSR: Register = Register::at(RCC, 0x74);
    const RNG: usize = 0x5006_0800;
    const RNG_CR: Register = Register::at(RNG, 0x00);
    const RNG_SR: Register = Register::at(RNG, 0x04);
    const RNG_DR: Register = Register::at(RNG, 0x08);

    /// Why the chip was reset, if it says. Asked once.
    pub fn cause() -> Option<ResetCause> {
        stm32::cause(CSR)
    }

    /// A number that nobody can foresee, from the chip's random number generator.
    pub fn nonce() -> u64 {
        start_generator();
        (u64::from(draw()) << 32) | u64::from(draw())
    }

    /// The generator runs on the PLL's 48 MHz: 16 MHz / 16 * 192 / 4. The processor stays on its oscillator.
    fn start_generator() {
        PLLCFGR.write(16 | (192 << 6) | (0b01 << 16) | (4 << 24));
        CR.modify(0, 1 << 24);
        while CR.read() & (1 << 25) == 0 {}
        AHB2ENR.modify(0, 1 << 6);
        RNG_CR.write(1 << 2);
    }

    fn draw() -> u32 {
        // Bits 1 and 2: the generator's clock or its noise is faulty. Without entropy a command could
        // be replayed, so the device does not start.
        while RNG_SR.read() & 1 == 0 {
            if RNG_SR.read() & 0b110 != 0 {
                defmt::panic!("the random number generator is faulty");
            }
        }
        RNG_DR.read()
    }
}
