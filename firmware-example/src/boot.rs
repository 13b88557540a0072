//! Which of the device's lives this is, and why the last one ended.
//!
//! RAM does not survive a loss of power, and an emulator has no entropy, so the source is a trait:
//! [`Scripted`] is for QEMU, [`Chip`] for the board. Both count starts in RAM that the start-up code
//! leaves alone.

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;

use daur_core::id::BootId;

/// Why the device started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum Cause {
    /// Power came on: nothing was remembered.
    PowerOn,
    /// The program asked for it.
    Software,
    /// The watchdog was not fed.
    Watchdog,
    /// The reset pin.
    Pin,
}

/// What a start is known by.
#[derive(Clone, Copy, Debug, defmt::Format)]
pub struct Boot {
    /// Its number.
    pub id: BootId,
    /// A number that no earlier start had and nobody can foresee; commands are bound to it.
    pub nonce: u64,
    /// Why it happened.
    pub cause: Cause,
}

/// Says what is known of this start. Asked once per start.
pub trait BootSource {
    /// The present start.
    fn boot(&mut self) -> Boot;
}

/// Remembered across resets: the number of the last start, and its complement as proof.
#[repr(C)]
struct Kept {
    starts: u32,
    proof: u32,
}

#[unsafe(link_section = ".uninit.boot")]
static mut KEPT: MaybeUninit<Kept> = MaybeUninit::uninit();

/// Counts this start; the second is whether an earlier one was remembered.
fn count_start() -> (u32, bool) {
    critical_section::with(|_| {
        let kept = addr_of_mut!(KEPT).cast::<Kept>();
        // SAFETY: `KEPT` is used here only, and interrupts are off. The start-up code does not
        // initialise it, so the words are whatever the RAM holds: any bits are a `u32`, and volatile
        // reads keep the compiler from reasoning about a value it believes was never written.
        unsafe {
            let last = (&raw const (*kept).starts).read_volatile();
            let remembered = (&raw const (*kept).proof).read_volatile() == !last;
            let starts = if remembered { last.wrapping_add(1) } else { 1 };
            (&raw mut (*kept).starts).write_volatile(starts);
            (&raw mut (*kept).proof).write_volatile(!starts);
            (starts, remembered)
        }
    })
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
        let (starts, remembered) = count_start();
        let mut rng = daur_core::rng::Rng::new(self.seed ^ u64::from(starts) << 32);
        Boot {
            id: BootId(starts),
            nonce: rng.next_u64(),
            cause: if remembered { Cause::Software } else { Cause::PowerOn },
        }
    }
}

#[cfg(feature = "hw")]
pub use chip::Chip;

#[cfg(feature = "hw")]
mod chip {
    use super::{Boot, BootId, BootSource, Cause, count_start};
    use crate::board::Register;

    const CSR: Register = Register::at(0x4002_3800, 0x74);
    const AHB2ENR: Register = Register::at(0x4002_3800, 0x34);
    const RNG_CR: Register = Register::at(0x5006_0800, 0x00);
    const RNG_SR: Register = Register::at(0x5006_0800, 0x04);
    const RNG_DR: Register = Register::at(0x5006_0800, 0x08);

    /// The source on the board: its random number generator and its reset flags.
    ///
    /// The generator needs the 48 MHz clock of the PLL; until a program has started that, a nonce is
    /// waited for in vain, so this gives up after a while and says so.
    #[derive(Clone, Copy, Debug)]
    pub struct Chip;

    impl BootSource for Chip {
        fn boot(&mut self) -> Boot {
            let (starts, remembered) = count_start();
            let flags = CSR.read();
            // RMVF: the flags add up over resets unless they are cleared.
            CSR.modify(0, 1 << 24);
            let cause = match flags {
                f if f & (0b11 << 29) != 0 => Cause::Watchdog,
                f if f & (1 << 28) != 0 => Cause::Software,
                f if f & (1 << 27) != 0 || !remembered => Cause::PowerOn,
                _ => Cause::Pin,
            };
            AHB2ENR.modify(0, 1 << 6);
            RNG_CR.write(1 << 2);
            let nonce = u64::from(draw()) << 32 | u64::from(draw());
            Boot { id: BootId(starts), nonce, cause }
        }
    }

    fn draw() -> u32 {
        for _ in 0..100_000 {
            if RNG_SR.read() & 1 != 0 {
                return RNG_DR.read();
            }
        }
        defmt::panic!("the random number generator gives nothing: start its 48 MHz clock");
    }
}
