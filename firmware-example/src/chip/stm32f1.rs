//! STM32F100, a Cortex-M3: QEMU's stm32vldiscovery. Registers from the reference manual RM0041.

use super::stm32::Usart;
use crate::board::Register;

#[path = "systick.rs"]
pub mod timer;

/// Processor clock in Hz: QEMU runs the machine at the chip's maximum from the first instruction; the chip starts on its
/// internal RC oscillator, and the example stays there.
pub const SYSCLK_HZ: u32 = if cfg!(daur_board) { 8_000_000 } else { 24_000_000 };

const RCC: usize = 0x4002_1000;
const APB2ENR: Register = Register::at(RCC, 0x18);

/// The serial port: USART1, 115200 baud, PA9 out and PA10 in.
pub mod uart {
    use super::super::Arrival;
    use super::{APB2ENR, Register, Usart};

    /// Its interrupt's number.
    pub const IRQ: u16 = 37;

    const GPIOA: usize = 0x4001_0800;
    const CRH: Register = Register::at(GPIOA, 0x04);
    const BSRR: Register = Register::at(GPIOA, 0x10);
    const USART1: Usart = Usart(0x4001_3800);

    /// Begins to receive, with an interrupt for each byte, which the caller has still to unmask.
    pub fn start() {
        APB2ENR.modify(0, (1 << 14) | (1 << 2));
        // PA9 is driven by the port; PA10 is an input that is held high where nothing drives it.
        CRH.modify(0xFF << 4, 0x8B << 4);
        BSRR.write(1 << 10);
        USART1.start();
    }

    /// What has arrived. The interrupt comes again until it is taken.
    pub fn take() -> Option<Arrival> {
        USART1.take()
    }

    /// Whether a byte may be [`put`].
    pub fn has_room() -> bool {
        USART1.has_room()
    }

    /// Sends a byte, for which there is room.
    pub fn put(byte: u8) {
        USART1.put(byte);
    }

    /// Makes the interrupt come, too, as long as there is room for a byte to send.
    pub fn call_for_room(on: bool) {
        USART1.call_for_room(on);
    }
}

/// What is known of a reset.
#[cfg(daur_board)]
pub mod reset {
    use super::super::stm32;
    use super::{APB2ENR, RCC, Register};
    use daur_core::security::keys::HmacKey;
    use daur_core::wire::record::ResetCause;

    const CSR: Register = Register::at(RCC, 0x24);
    const ADC1: usize = 0x4001_2400;
    const SR: Register = Register::at(ADC1, 0x00);
    const CR2: Register = Register::at(ADC1, 0x08);
    const SQR3: Register = Register::at(ADC1, 0x34);
    const DR: Register = Register::at(ADC1, 0x4C);
    /// The chip's unique number, in three words.
    const UNIQUE: [Register; 3] =
        [Register::at(0x1FFF_F7E8, 0), Register::at(0x1FFF_F7E8, 4), Register::at(0x1FFF_F7E8, 8)];

    const ADON: u32 = 1;
    const CAL: u32 = 1 << 2;
    const RSTCAL: u32 = 1 << 3;
    const TSVREFE: u32 = 1 << 23;
    const EOC: u32 = 1 << 1;

    /// Why the chip was reset, if it says. Asked once.
    pub fn cause() -> Option<ResetCause> {
        stm32::cause(CSR)
    }

    /// A number that nobody can foresee: this chip has no generator, so it is made from the noise of its converter.
    ///
    /// The temperature sensor is sampled 2,048 times in the shortest time there is, ten times too short to settle, and
    /// the lowest bits are hashed with the chip's unique number. How much they are worth depends on the board; that they
    /// move at all is seen here.
    pub fn nonce() -> u64 {
        APB2ENR.modify(0, 1 << 9);
        CR2.write(ADON | TSVREFE);
        calibrate();
        SQR3.write(16);
        let mut noise = [0_u8; 256];
        let mut ones = 0;
        for byte in &mut noise {
            for _ in 0..8 {
                let bit = sample();
                ones += u32::from(bit);
                *byte = *byte << 1 | bit;
            }
        }
        // Without entropy a command could be replayed, so the device does not start.
        if !(256..=2_048 - 256).contains(&ones) {
            defmt::panic!("the converter's lowest bit hardly moves: {} ones of 2048", ones);
        }
        let mut unique = [0; 12];
        for (to, word) in unique.as_chunks_mut::<4>().0.iter_mut().zip(UNIQUE) {
            *to = word.read().to_le_bytes();
        }
        let tag = HmacKey::new(&unique).tag(&[&noise]);
        tag.iter().take(8).fold(0, |nonce, byte| nonce << 8 | u64::from(*byte))
    }

    fn calibrate() {
        CR2.modify(0, RSTCAL);
        while CR2.read() & RSTCAL != 0 {}
        CR2.modify(0, CAL);
        while CR2.read() & CAL != 0 {}
    }

    fn sample() -> u8 {
        // Set while it is on, the bit starts a conversion.
        CR2.modify(0, ADON);
        while SR.read() & EOC == 0 {}
        (DR.read() & 1 != 0).into()
    }
}
