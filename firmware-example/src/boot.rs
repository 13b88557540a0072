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

/// The source on the board: its entropy and its reset flags.
#[cfg(daur_board)]
#[derive(Clone, Copy, Debug)]
pub struct Chip;

#[cfg(daur_board)]
impl BootSource for Chip {
    fn boot(&mut self) -> Boot {
        let last = count_start();
        let cause = match crate::chip::reset::cause() {
            _ if last.fault => ResetCause::Fault,
            Some(cause) => cause,
            None if !last.remembered => ResetCause::PowerOn,
            None => ResetCause::Unknown,
        };
        Boot { id: BootId(last.starts), nonce: crate::chip::reset::nonce(), cause }
    }
}
