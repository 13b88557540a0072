//! The node's log and its last error, in RAM that a reset leaves alone: the next life can tell what this one said last,
//! and what ailed it, however much was said since.

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use daur_core::monitoring::log::{Config, Level, Log, Record, Recorded, Snapshot};
use daur_core::time::Instant;

use crate::config::room;

struct Kept {
    /// Lines of up to 64 bytes.
    lines: Log<{ room::LINES }>,
    /// The last error, as a line: its kind stands for who says it.
    error: Log<1>,
}

/// Where a line from before the reset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the lines.
    Lines,
    /// It is the last error.
    Error,
}

#[unsafe(link_section = ".uninit.log")]
static mut KEPT: MaybeUninit<Kept> = MaybeUninit::uninit();

/// Whether this life has looked at what was kept; cleared by the start-up code.
static RECOVERED: AtomicBool = AtomicBool::new(false);

/// Lends what is kept, with interrupts off. Private, since `work` must not come here again.
fn with<R>(work: impl FnOnce(&mut Kept) -> R) -> R {
    critical_section::with(|_| {
        let kept = addr_of_mut!(KEPT).cast::<Kept>();
        let is_new = !RECOVERED.load(Ordering::Relaxed);
        if is_new {
            let bytes = kept.cast::<u8>();
            for at in 0..size_of::<Kept>() {
                // SAFETY: within `KEPT`, which is used in this file only, with interrupts off. The start-up code does not
                // initialise it, so it is whatever the RAM holds; each byte is read and written volatile, so that the
                // compiler cannot reason about a value it believes was never written, and all of them are written then.
                unsafe { bytes.add(at).write_volatile(bytes.add(at).read_volatile()) };
            }
        }
        // SAFETY: a `Log` consists of integers and bytes, so any bits are one; they are written, above in this life. The
        // reference is the only one: interrupts are off, and no `work` in this file comes here again.
        let kept = unsafe { &mut *kept };
        if is_new {
            let (lines, error) = (kept.lines.recover(Config::DEFAULT), kept.error.recover(Config::DEFAULT));
            RECOVERED.store(true, Ordering::Relaxed);
            let damaged = lines.damaged + error.damaged;
            defmt::info!("log: {} lines from before the reset, {} places damaged", lines.kept, damaged);
        }
        work(kept)
    })
}

/// Keeps a line.
pub fn record(level: Level, target: &str, message: &str, now: Instant) -> Recorded {
    with(|kept| kept.lines.record(level, target, message, now))
}

/// Keeps an error instead of the last one.
pub fn error(kind: &str, message: &str, now: Instant) {
    let _ = with(|kept| kept.error.record(Level::Error, kind, message, now));
}

/// The oldest line from before the reset that the host has not been told, and at last the error.
pub fn untold() -> Option<(Place, Record)> {
    with(|kept| {
        let line = kept.lines.untold().map(|line| (Place::Lines, line));
        line.or_else(|| kept.error.untold().map(|line| (Place::Error, line)))
    })
}

/// The host has been told the line of this number.
pub fn told(place: Place, number: u32) {
    with(|kept| match place {
        Place::Lines => kept.lines.told(number),
        Place::Error => kept.error.told(number),
    });
}

/// The log's figures.
pub fn snapshot() -> Snapshot {
    with(|kept| kept.lines.snapshot())
}
