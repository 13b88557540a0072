//! How much of the stack has ever been used: cortex-m-rt paints it before main, and what is no longer paint was used.

use core::ptr::addr_of;

unsafe extern "C" {
    /// The stack's lowest word, from memory.x.
    static _stack_end: u32;
    /// The word above the stack's highest, from flip-link.
    static _stack_start: u32;
}

/// Bytes between the stack's two ends.
pub fn size() -> u32 {
    to_u32(addr_of!(_stack_start).addr() - addr_of!(_stack_end).addr())
}

/// Bytes of the stack that have been used at some time since the reset.
pub fn high_water() -> u32 {
    let mut word = addr_of!(_stack_end);
    let top = addr_of!(_stack_start);
    while word < top {
        // SAFETY: between the two symbols is RAM that is painted or used by the stack. The words
        // below the stack pointer are written by interrupts only, and they are read volatile; where
        // the live stack begins the paint ends, and so does the search.
        if unsafe { word.read_volatile() } != cortex_m_rt::STACK_PAINT_VALUE {
            break;
        }
        word = word.wrapping_add(1);
    }
    to_u32(top.addr() - word.addr())
}

fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
