//! The link to the host: the chip's serial port, 115200 baud.
//!
//! What arrives is taken by an interrupt into a ring, so that nothing is lost while the node sleeps
//! or waits for a sensor. What leaves is written by the caller, who waits for the wire.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use crate::board::Irq;
use crate::chip::{self, Arrival};

const RING: usize = crate::config::room::LINE;
static BYTES: [AtomicU8; RING] = [const { AtomicU8::new(0) }; RING];
/// Written by the interrupt only.
static HEAD: AtomicUsize = AtomicUsize::new(0);
/// Written by the reader only.
static TAIL: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// The program has no table of interrupts: those that it enables are told apart by their numbers.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    match u16::try_from(irq) {
        Ok(chip::uart::IRQ) => receive(),
        #[cfg(daur_chip = "nrf51")]
        Ok(chip::timer::IRQ) => chip::timer::interrupt(),
        _ => {
            defmt::error!("interrupt {} has no handler", irq);
            crate::board::abort();
        }
    }
}

fn receive() {
    while let Some(arrival) = chip::uart::take() {
        let head = HEAD.load(Ordering::Relaxed);
        match arrival {
            Arrival::Byte(byte) if head.wrapping_sub(TAIL.load(Ordering::Acquire)) < RING => {
                BYTES[head % RING].store(byte, Ordering::Relaxed);
                HEAD.store(head.wrapping_add(1), Ordering::Release);
            }
            // Nobody else writes it: a load and a store will do, where there is no compare-and-swap.
            _ => LOST.store(LOST.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed),
        }
    }
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

    /// Sends `bytes`, waiting for the wire: 87 us each.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while !chip::uart::has_room() {}
            chip::uart::put(byte);
        }
    }

    /// The oldest byte that has arrived.
    pub fn read(&mut self) -> Option<u8> {
        let tail = TAIL.load(Ordering::Relaxed);
        if tail == HEAD.load(Ordering::Acquire) {
            return None;
        }
        let byte = BYTES[tail % RING].load(Ordering::Relaxed);
        TAIL.store(tail.wrapping_add(1), Ordering::Release);
        Some(byte)
    }

    /// Whether a byte has arrived.
    pub fn has_arrived(&self) -> bool {
        TAIL.load(Ordering::Relaxed) != HEAD.load(Ordering::Acquire)
    }

    /// Bytes that arrived and found no room, since the start.
    pub fn lost(&self) -> u32 {
        LOST.load(Ordering::Relaxed)
    }
}
