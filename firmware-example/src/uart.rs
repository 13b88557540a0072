//! The link to the host: USART1, 115200 baud, PA9 out and PA10 in.
//!
//! What arrives is taken by an interrupt into a ring, so that nothing is lost while the node sleeps
//! or waits for a sensor. What leaves is written by the caller, who waits for the wire.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use crate::board::{Register, SYSCLK_HZ};

const RCC: usize = 0x4002_3800;
const GPIOA: usize = 0x4002_0000;
const USART1: usize = 0x4001_1000;

const AHB1ENR: Register = Register::at(RCC, 0x30);
const APB2ENR: Register = Register::at(RCC, 0x44);
const MODER: Register = Register::at(GPIOA, 0x00);
const AFRH: Register = Register::at(GPIOA, 0x24);
const SR: Register = Register::at(USART1, 0x00);
const DR: Register = Register::at(USART1, 0x04);
const BRR: Register = Register::at(USART1, 0x08);
const CR1: Register = Register::at(USART1, 0x0C);

const SR_RXNE: u32 = 1 << 5;
const SR_TXE: u32 = 1 << 7;
const SR_ORE: u32 = 1 << 3;
const CR1_UE_TE_RE: u32 = (1 << 13) | (1 << 3) | (1 << 2);
const CR1_RXNEIE: u32 = 1 << 5;

const BAUD: u32 = 115_200;
/// USART1 in the interrupt table of the STM32F405.
const IRQ: u16 = 37;

/// Names the interrupt to the NVIC.
#[derive(Clone, Copy)]
struct Usart1;

// SAFETY: 37 is USART1's number on this chip, below its 82 interrupts, and always the same.
unsafe impl cortex_m::interrupt::InterruptNumber for Usart1 {
    fn number(self) -> u16 {
        IRQ
    }
}

const RING: usize = 1024;
static BYTES: [AtomicU8; RING] = [const { AtomicU8::new(0) }; RING];
/// Written by the interrupt only.
static HEAD: AtomicUsize = AtomicUsize::new(0);
/// Written by the reader only.
static TAIL: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// The program has no table of interrupts: the only one it enables is told apart by its number.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    if irq == IRQ.cast_signed() {
        receive();
    } else {
        defmt::error!("interrupt {} has no handler", irq);
        crate::board::abort();
    }
}

fn receive() {
    let status = SR.read();
    if status & (SR_RXNE | SR_ORE) == 0 {
        return;
    }
    let byte = DR.read().to_le_bytes()[0];
    let head = HEAD.load(Ordering::Relaxed);
    if status & SR_ORE != 0 || head.wrapping_sub(TAIL.load(Ordering::Acquire)) >= RING {
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    BYTES[head % RING].store(byte, Ordering::Relaxed);
    HEAD.store(head.wrapping_add(1), Ordering::Release);
}

/// The port, of which there is one.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Starts the port. It belongs to whoever calls this first: call it once.
    pub fn start() -> Self {
        AHB1ENR.modify(0, 1);
        APB2ENR.modify(0, 1 << 4);
        // PA9 and PA10 become alternate function 7.
        MODER.modify(0b1111 << 18, 0b1010 << 18);
        AFRH.modify(0xFF << 4, 0x77 << 4);
        BRR.write(SYSCLK_HZ.div_ceil(BAUD));
        CR1.write(CR1_UE_TE_RE | CR1_RXNEIE);
        // SAFETY: unmasking breaks no critical section, and the handler shares only atomics.
        unsafe { NVIC::unmask(Usart1) };
        Self(())
    }

    /// Sends `bytes`, waiting for the wire: 87 us each.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            while SR.read() & SR_TXE == 0 {}
            DR.write(u32::from(byte));
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
