//! The link to the host: the chip's serial port, 115200 baud.
//!
//! Both ways go through a ring that the interrupt shares: nothing that arrives is lost while the node sleeps or waits
//! for a sensor, and what leaves is taken by the wire when the wire is ready, while the node does something else.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use crate::board::Irq;
use crate::chip::{self, Arrival};
use crate::hook::Hook;

/// Bytes between one who puts and one who takes, of which one is the interrupt. `N` is a power of two.
struct Ring<const N: usize> {
    bytes: [AtomicU8; N],
    /// Written by who puts.
    head: AtomicUsize,
    /// Written by who takes.
    tail: AtomicUsize,
}

impl<const N: usize> Ring<N> {
    const fn new() -> Self {
        // Of any other size the places would not go on where the counts wrap.
        const { assert!(N.is_power_of_two()) }
        Self { bytes: [const { AtomicU8::new(0) }; N], head: AtomicUsize::new(0), tail: AtomicUsize::new(0) }
    }

    fn len(&self) -> usize {
        self.head.load(Ordering::Acquire).wrapping_sub(self.tail.load(Ordering::Acquire))
    }

    fn put(&self, byte: u8) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        if self.len() >= N {
            return false;
        }
        self.bytes[head % N].store(byte, Ordering::Relaxed);
        self.head.store(head.wrapping_add(1), Ordering::Release);
        true
    }

    fn take(&self) -> Option<u8> {
        let tail = self.tail.load(Ordering::Relaxed);
        if self.len() == 0 {
            return None;
        }
        let byte = self.bytes[tail % N].load(Ordering::Relaxed);
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        Some(byte)
    }
}

static IN: Ring<{ crate::config::room::LINE }> = Ring::new();
static OUT: Ring<OUT_BYTES> = Ring::new();
const OUT_BYTES: usize = crate::config::room::WIRE;
static LOST: AtomicU32 = AtomicU32::new(0);

/// Called by the interrupt when a byte has arrived, or half of what waits to leave has left.
pub static ON_CHANGE: Hook = Hook::new();

/// The program has no table of interrupts: those that it enables are told apart by their numbers.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    match u16::try_from(irq) {
        Ok(chip::uart::IRQ) => {
            receive();
            transmit();
        }
        #[cfg(daur_chip = "nrf51")]
        Ok(chip::timer::IRQ) => chip::timer::interrupt(),
        _ => {
            defmt::error!("interrupt {} has no handler", irq);
            crate::board::abort();
        }
    }
}

fn receive() {
    let mut changed = false;
    loop {
        // QEMU's wire has no rate: it brings a whole command at once, that takes a real one 26 ms, and waits where it
        // is not taken. There is no such wire on a board, where what finds no room is lost, and counted.
        #[cfg(not(daur_board))]
        if IN.len() >= IN.bytes.len() {
            NVIC::mask(Irq(chip::uart::IRQ));
            break;
        }
        match chip::uart::take() {
            None => break,
            Some(Arrival::Byte(byte)) if IN.put(byte) => changed = true,
            // Nobody else writes it: a load and a store will do, where there is no compare-and-swap.
            Some(_) => LOST.store(LOST.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
        }
    }
    if changed {
        ON_CHANGE.call();
    }
}

/// Gives the wire what it takes. In QEMU that is all there is, and no interrupt says so; a chip takes one byte or two,
/// and its interrupt comes again.
fn transmit() {
    #[cfg(not(daur_board))]
    if crate::script::is_stalled() {
        chip::uart::call_for_room(false);
        return;
    }
    let was_low = OUT.len() <= OUT_BYTES / 2;
    while chip::uart::has_room() {
        let Some(byte) = OUT.take() else {
            chip::uart::call_for_room(false);
            break;
        };
        chip::uart::put(byte);
    }
    if !was_low && OUT.len() <= OUT_BYTES / 2 {
        ON_CHANGE.call();
    }
}

/// The wire takes bytes again.
#[cfg(not(daur_board))]
pub(crate) fn resume() {
    chip::uart::call_for_room(true);
    NVIC::pend(Irq(chip::uart::IRQ));
}

/// The port, of which there is one.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Starts the port. It belongs to whoever calls this first: call it once.
    pub fn start() -> Self {
        chip::uart::start();
        // SAFETY: unmasking breaks no critical section, and the handler shares only atomics.
        unsafe { NVIC::unmask(Irq(chip::uart::IRQ)) };
        Self(())
    }

    /// How many bytes [`Self::write`] takes now.
    pub fn room(&self) -> usize {
        OUT_BYTES - OUT.len()
    }

    /// Whether there is room for so much that it is worth waking up for.
    pub fn has_room(&self) -> bool {
        OUT.len() <= OUT_BYTES / 2
    }

    /// Whether all that was written has left.
    pub fn is_empty(&self) -> bool {
        OUT.len() == 0
    }

    /// Takes `bytes` to send, as many as there is room for; says how many. Waits for nothing.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.iter().take_while(|byte| OUT.put(**byte)).count();
        if taken > 0 {
            // The interrupt may stop calling in between: it is pended after it was asked to call, so it looks again.
            chip::uart::call_for_room(true);
            // QEMU's STM32 interrupts for what arrives, never for room.
            NVIC::pend(Irq(chip::uart::IRQ));
        }
        taken
    }

    /// The oldest byte that has arrived.
    pub fn read(&mut self) -> Option<u8> {
        let byte = IN.take();
        // SAFETY: as in `start`; QEMU's wire may have been left waiting for room.
        #[cfg(not(daur_board))]
        unsafe {
            NVIC::unmask(Irq(chip::uart::IRQ));
        }
        byte
    }

    /// Whether a byte has arrived.
    pub fn has_arrived(&self) -> bool {
        IN.len() != 0
    }

    /// Bytes that arrived and found no room, since the start.
    pub fn lost(&self) -> u32 {
        LOST.load(Ordering::Relaxed)
    }
}
