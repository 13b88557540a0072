//! The node's log: a ring in RAM that a reset leaves alone, so that the next life can tell what this one said last.

use core::mem::MaybeUninit;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicBool, Ordering};

use daur_core::monitoring::log::{Config, Level, Log, Record, Recorded, Snapshot};
use daur_core::time::Instant;

/// Eight lines of up to 64 bytes.
type Ring = Log<8>;

#[unsafe(link_section = ".uninit.log")]
static mut RING: MaybeUninit<Ring> = MaybeUninit::uninit();

/// Whether this life has looked at what the ring held; cleared by the start-up code.
static RECOVERED: AtomicBool = AtomicBool::new(false);

/// Lends the ring, with interrupts off. Private, since `work` must not come here again.
fn with<R>(work: impl FnOnce(&mut Ring) -> R) -> R {
    critical_section::with(|_| {
        let ring = addr_of_mut!(RING).cast::<Ring>();
        let is_new = !RECOVERED.load(Ordering::Relaxed);
        if is_new {
            let bytes = ring.cast::<u8>();
            for at in 0..size_of::<Ring>() {
                // SAFETY: within `RING`, which is used in this file only, with interrupts off. The start-up code does not
                // initialise it, so it is whatever the RAM holds; each byte is read and written volatile, so that the
                // compiler cannot reason about a value it believes was never written, and all of them are written then.
                unsafe { bytes.add(at).write_volatile(bytes.add(at).read_volatile()) };
            }
        }
        // SAFETY: a `Log` consists of integers and bytes, so any bits are one; they are written, above in this life. The
        // reference is the only one: interrupts are off, and no `work` in this file comes here again.
        let ring = unsafe { &mut *ring };
        if is_new {
            let found = ring.recover(Config::DEFAULT);
            RECOVERED.store(true, Ordering::Relaxed);
            defmt::info!("log: {} lines from before the reset, {} places damaged", found.kept, found.damaged);
        }
        work(ring)
    })
}

/// Keeps a line.
pub fn record(level: Level, target: &str, message: &str, now: Instant) -> Recorded {
    with(|ring| ring.record(level, target, message, now))
}

/// The oldest line from before the reset that the host has not been told.
pub fn untold() -> Option<Record> {
    with(|ring| ring.untold())
}

/// The host has been told the line of this number.
pub fn told(number: u32) {
    with(|ring| ring.told(number));
}

/// The log's figures.
pub fn snapshot() -> Snapshot {
    with(|ring| ring.snapshot())
}
