//! nRF51822, a Cortex-M0: QEMU's microbit. Registers from the nRF51 series reference manual.

use crate::board::Register;

/// Processor clock in Hz, in QEMU and on the chip.
pub const SYSCLK_HZ: u32 = 16_000_000;

/// Makes a task of a peripheral begin.
const TRIGGER: u32 = 1;

/// Time from two of the chip's timers, which has no SysTick: TIMER0 counts microseconds in 32 bits and is never stopped,
/// TIMER1 interrupts each millisecond.
pub mod timer {
    use cortex_m::peripheral::{NVIC, SYST};

    use super::{Register, TRIGGER};

    /// The interrupt's number.
    pub const IRQ: u16 = 9;

    const CLOCK: usize = 0x4000_0000;
    const HFCLKSTART: Register = Register::at(CLOCK, 0x000);
    const HFCLKSTARTED: Register = Register::at(CLOCK, 0x100);

    const TIMER0: usize = 0x4000_8000;
    const TIMER1: usize = 0x4000_9000;
    const CAPTURE: Register = Register::at(TIMER0, 0x040);
    const CC: Register = Register::at(TIMER0, 0x540);
    const COMPARED: Register = Register::at(TIMER1, 0x140);

    /// Bits that a timer counts, by `BITMODE`.
    const BITS_16: u32 = 0;
    const BITS_32: u32 = 3;

    fn run(timer: usize, bits: u32) {
        Register::at(timer, 0x508).write(bits);
        // A microsecond is 2^4 ticks of 16 MHz.
        Register::at(timer, 0x510).write(4);
        Register::at(timer, 0x00C).write(TRIGGER); // CLEAR
        Register::at(timer, 0x000).write(TRIGGER); // START
    }

    /// Starts both timers, on the crystal, which the serial port needs too. That `syst` is the caller's shows that it
    /// happens once; the node sleeps at most as long as between two interrupts.
    pub fn start(_syst: &mut SYST) {
        HFCLKSTART.write(TRIGGER);
        while HFCLKSTARTED.read() == 0 {}
        run(TIMER0, BITS_32);
        Register::at(TIMER1, 0x540).write(1_000); // CC[0]
        Register::at(TIMER1, 0x200).write(1); // SHORTS: begins anew there
        Register::at(TIMER1, 0x304).write(1 << 16); // INTENSET: and interrupts
        run(TIMER1, BITS_16);
        // SAFETY: unmasking breaks no critical section, and the handler only clears the event.
        unsafe { NVIC::unmask(crate::board::Irq(IRQ)) };
    }

    /// The millisecond is over: there is nothing to do but to have woken up.
    pub fn interrupt() {
        COMPARED.write(0);
    }

    /// Microseconds since [`start`], modulo 2^32: it wraps every 71 minutes, so `TickExtender` widens it.
    ///
    /// An interrupt between the two lines that asks, too, leaves its later moment, which is not over yet either.
    pub fn micros() -> u32 {
        CAPTURE.write(TRIGGER);
        CC.read()
    }
}

/// The serial port: UART0, 115200 baud, P0.24 out and P0.25 in, as the micro:bit has them.
pub mod uart {
    use core::sync::atomic::{AtomicBool, Ordering};

    use cortex_m::peripheral::NVIC;

    use super::super::Arrival;
    use super::{Register, TRIGGER};

    /// Its interrupt's number.
    pub const IRQ: u16 = 2;

    const TX_PIN: u32 = 24;
    const RX_PIN: u32 = 25;

    const GPIO: usize = 0x5000_0000;
    const OUTSET: Register = Register::at(GPIO, 0x508);
    const DIRSET: Register = Register::at(GPIO, 0x518);
    const UART0: usize = 0x4000_2000;
    const STARTRX: Register = Register::at(UART0, 0x000);
    const STARTTX: Register = Register::at(UART0, 0x008);
    const RXDRDY: Register = Register::at(UART0, 0x108);
    const TXDRDY: Register = Register::at(UART0, 0x11C);
    const ERROR: Register = Register::at(UART0, 0x124);
    const INTENSET: Register = Register::at(UART0, 0x304);
    const INTENCLR: Register = Register::at(UART0, 0x308);
    const ERRORSRC: Register = Register::at(UART0, 0x480);
    const ENABLE: Register = Register::at(UART0, 0x500);
    const PSELTXD: Register = Register::at(UART0, 0x50C);
    const PSELRXD: Register = Register::at(UART0, 0x514);
    const RXD: Register = Register::at(UART0, 0x518);
    const TXD: Register = Register::at(UART0, 0x51C);
    const BAUDRATE: Register = Register::at(UART0, 0x524);

    const INT_RXDRDY: u32 = 1 << 2;
    const INT_TXDRDY: u32 = 1 << 7;
    const INT_ERROR: u32 = 1 << 9;
    const OVERRUN: u32 = 1;

    /// The port tells when a byte has gone, not that it could take one: whether one is on its way is remembered here.
    static SENDING: AtomicBool = AtomicBool::new(false);

    /// Begins to receive, with an interrupt for each byte, which the caller has still to unmask.
    pub fn start() {
        OUTSET.write(1 << TX_PIN);
        DIRSET.write(1 << TX_PIN);
        PSELTXD.write(TX_PIN);
        PSELRXD.write(RX_PIN);
        BAUDRATE.write(0x01D7_E000);
        ENABLE.write(4);
        INTENSET.write(INT_RXDRDY | INT_ERROR);
        STARTTX.write(TRIGGER);
        STARTRX.write(TRIGGER);
    }

    /// What has arrived. The interrupt comes again until it is taken.
    pub fn take() -> Option<Arrival> {
        if ERROR.read() != 0 {
            ERROR.write(0);
            let source = ERRORSRC.read();
            // Written back, the bits are cleared. A byte with a bad stop bit is taken as it is: its frame's CRC tells.
            ERRORSRC.write(source);
            if source & OVERRUN != 0 {
                return Some(Arrival::Overrun);
            }
        }
        if RXDRDY.read() == 0 {
            return None;
        }
        // First: reading moves up the next of up to six bytes that wait, which sets the event again.
        RXDRDY.write(0);
        let [byte, ..] = RXD.read().to_le_bytes();
        Some(Arrival::Byte(byte))
    }

    /// Whether a byte may be [`put`].
    pub fn has_room() -> bool {
        if SENDING.load(Ordering::Relaxed) && TXDRDY.read() != 0 {
            TXDRDY.write(0);
            SENDING.store(false, Ordering::Relaxed);
        }
        !SENDING.load(Ordering::Relaxed)
    }

    /// Sends a byte, for which there is room.
    pub fn put(byte: u8) {
        SENDING.store(true, Ordering::Relaxed);
        TXD.write(u32::from(byte));
    }

    /// Makes the interrupt come, too, as soon as there is room for a byte to send: at once if there is.
    pub fn call_for_room(on: bool) {
        if !on {
            INTENCLR.write(INT_TXDRDY);
            return;
        }
        INTENSET.write(INT_TXDRDY);
        if !SENDING.load(Ordering::Relaxed) {
            NVIC::pend(crate::board::Irq(IRQ));
        }
    }
}

/// What is known of a reset.
#[cfg(daur_board)]
pub mod reset {
    use super::{Register, TRIGGER};
    use daur_core::wire::record::ResetCause;

    const RESETREAS: Register = Register::at(0x4000_0000, 0x400);
    const RNG: usize = 0x4000_D000;
    const RNG_START: Register = Register::at(RNG, 0x000);
    const RNG_STOP: Register = Register::at(RNG, 0x004);
    const VALRDY: Register = Register::at(RNG, 0x100);
    const CONFIG: Register = Register::at(RNG, 0x504);
    const VALUE: Register = Register::at(RNG, 0x508);

    /// Why the chip was reset, if it says. Asked once.
    pub fn cause() -> Option<ResetCause> {
        let flags = RESETREAS.read();
        // Written back, the bits are cleared: they add up otherwise.
        RESETREAS.write(flags);
        match flags {
            // The chip tells a loss of power and a brown-out by no flag at all.
            0 => Some(ResetCause::PowerOn),
            f if f & (1 << 1) != 0 => Some(ResetCause::Watchdog),
            f if f & (1 << 3) != 0 => Some(ResetCause::Fault), // lock-up
            f if f & (1 << 2) != 0 => Some(ResetCause::Software),
            f if f & 1 != 0 => Some(ResetCause::Pin),
            _ => None,
        }
    }

    /// A number that nobody can foresee, from the chip's random number generator, with its bias corrected.
    pub fn nonce() -> u64 {
        CONFIG.write(1);
        RNG_START.write(TRIGGER);
        let nonce = (0..8).fold(0, |nonce, _| {
            VALRDY.write(0);
            while VALRDY.read() == 0 {}
            nonce << 8 | u64::from(VALUE.read() & 0xFF)
        });
        RNG_STOP.write(TRIGGER);
        nonce
    }
}
