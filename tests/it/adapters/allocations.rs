//! What a thread allocates, counted: for promises that something does not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations, and bytes that are held, by this thread.
    static COUNTS: Cell<(u64, i64)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(allocations: u64, bytes: i64) {
    // A thread that ends has no counts any more, and still frees.
    let _ = COUNTS.try_with(|counts| {
        let (before, held) = counts.get();
        counts.set((before + allocations, held + bytes));
    });
}

fn bytes(layout: Layout) -> i64 {
    i64::try_from(layout.size()).expect("no allocation is that large")
}

// SAFETY: all is left to the system's allocator; counting allocates nothing, since the counts are `const`
// and need no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, bytes(layout));
        // SAFETY: what the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -bytes(layout));
        // SAFETY: what the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f`; how often it allocated on this thread, and how many bytes more are held than before.
pub(crate) fn of<R>(f: impl FnOnce() -> R) -> (R, u64, i64) {
    let (allocations, held) = COUNTS.get();
    let answer = f();
    let (allocations_after, held_after) = COUNTS.get();
    (answer, allocations_after - allocations, held_after - held)
}

#[test]
fn allocations_are_counted() {
    let (kept, allocations, held) = of(|| {
        drop(vec![0_u8; 100]);
        vec![0_u8; 50]
    });
    assert_eq!((kept.len(), allocations, held), (50, 2, 50));
}
