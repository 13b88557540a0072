//! Which of the device's lives this is, and why the last one ended.
//!
//! RAM does not survive a loss of power, and an emulator has no entropy, so the source is a trait:
//! [`Scripted`] is for QEMU, [`Chip`] for the board. Both count starts in RAM that the start-up code
//! leaves alone.

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use daur_core::id::BootId;
use daur_core::wire::record::ResetCause;

/// What a start is known by.
#[derive(Clone, Copy, Debug, defmt::Format)]
pub struct Boot {
    /// Its number.
    pub id: BootId,
    /// A number that no earlier start had and nobody can foresee; commands are bound to it.
    pub nonce: u64,
    /// Why it happened.
    pub cause: ResetCause,
}

/// Says what is known of this start. Asked once per start.
pub trait BootSource {
    /// The present start.
    fn boot(&mut self) -> Boot;
}

/// Remembered across resets: the number of the last start, its complement as proof, how it ended.
#[repr(C)]
struct Kept {
    starts: u32,
    proof: u32,
    fault: u32,
}

/// In `Kept::fault` after a panic.
const FAULT: u32 = 0xFA01_7FA0;

#[unsafe(link_section = ".uninit.boot")]
static mut KEPT: MaybeUninit<Kept> = MaybeUninit::uninit();

/// What the RAM remembered of the start before this one.
struct Last {
    starts: u32,
    remembered: bool,
    fault: bool,
}

/// Counts this start.
fn count_start() -> Last {
    critical_section::with(|_| {
        let kept = addr_of_mut!(KEPT).cast::<Kept>();
        // SAFETY: `KEPT` is used in this file only, with interrupts off. The start-up code does not
        // initialise it, so the words are whatever the RAM holds: any bits are a `u32`, and volatile
        // reads keep the compiler from reasoning about a value it believes was never written.
        unsafe {
            let last = (&raw const (*kept).starts).read_volatile();
            let remembered = (&raw const (*kept).proof).read_volatile() == !last;
            let fault = remembered && (&raw const (*kept).fault).read_volatile() == FAULT;
            let starts = if remembered { last.wrapping_add(1) } else { 1 };
            (&raw mut (*kept).starts).write_volatile(starts);
            (&raw mut (*kept).proof).write_volatile(!starts);
            (&raw mut (*kept).fault).write_volatile(0);
            Last { starts, remembered, fault }
        }
    })
}

/// Leaves word for the next start that this one ended in a panic.
pub fn note_fault() {
    critical_section::with(|_| {
        let kept = addr_of_mut!(KEPT).cast::<Kept>();
        // SAFETY: as in `count_start`.
        unsafe { (&raw mut (*kept).fault).write_volatile(FAULT) }
    });
}

/// The source in QEMU, where the same start always has the same nonce, so that runs can be compared.
///
/// Never for a product: whoever knows this file knows the nonce.
#[derive(Clone, Copy, Debug)]
pub struct Scripted {
    /// Makes the nonces of one device differ from those of another.
    pub seed: u64,
}

impl BootSource for Scripted {
    fn boot(&mut self) -> Boot {
        let last = count_start();
        let mut rng = daur_core::rng::Rng::new(self.seed ^ (u64::from(last.starts) << 32));
        let cause = match last {
            Last { fault: true, .. } => ResetCause::Fault,
            Last { remembered: true, .. } => ResetCause::Software,
            Last { remembered: false, .. } => ResetCause::PowerOn,
        };
        Boot { id: BootId(last.starts), nonce: rng.next_u64(), cause }
    }
}

#[cfg(daur_board)]
pub use chip::Chip;

#[cfg(daur_board)]
mod chip {
    use super::{Boot, BootId, BootSource, ResetCause, count_start};
    use crate::board::Register;

    const RCC: usize = 0x4002_3800;
    const CR: Register = Register::at(RCC, 0x00);
    const PLLCFGR: Register = Register::at(RCC, 0x04);
    const AHB2ENR: Register = Register::at(RCC, 0x34);
    const CSR: Register = Register::at(RCC, 0x74);
    const RNG: usize = 0x5006_0800;
    const RNG_CR: Register = Register::at(RNG, 0x00);
    const RNG_SR: Register = Register::at(RNG, 0x04);
    const RNG_DR: Register = Register::at(RNG, 0x08);

    /// The source on the board: its random number generator and its reset flags.
    #[derive(Clone, Copy, Debug)]
    pub struct Chip;

    impl BootSource for Chip {
        fn boot(&mut self) -> Boot {
            let last = count_start();
            let flags = CSR.read();
            // RMVF: the flags add up over resets unless they are cleared.
            CSR.modify(0, 1 << 24);
            let cause = match flags {
                _ if last.fault => ResetCause::Fault,
                f if f & (0b11 << 29) != 0 => ResetCause::Watchdog,
                f if f & (1 << 28) != 0 => ResetCause::Software,
                f if f & (1 << 27) != 0 || !last.remembered => ResetCause::PowerOn,
                f if f & (1 << 25) != 0 => ResetCause::BrownOut,
                f if f & (1 << 26) != 0 => ResetCause::Pin,
                _ => ResetCause::Unknown,
            };
            start_generator();
            let nonce = (u64::from(draw()) << 32) | u64::from(draw());
            Boot { id: BootId(last.starts), nonce, cause }
        }
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
