//! What a thread allocates, counted: for promises that something does not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

thread_local! {
    /// Allocations, and bytes that are held, by this thread.
    static COUNTS: Cell<(u64, i64)> = const { Cell::new((0, 0)) };
}

/// What [`freed_with_mark`] looks for: a test puts it into what it calls a secret.
pub(crate) const MARK: &[u8; 16] = b"wipe-me-5d1f08c3";

/// Whether anybody looks for it.
static LOOKING: AtomicBool = AtomicBool::new(false);
/// Memory that was given back with it.
static MARKED: AtomicU64 = AtomicU64::new(0);

struct Counting;

/// Looks for the mark in memory that is about to be given back, by whichever thread.
///
/// # Safety
/// `pointer` and `layout` are of one allocation that nobody uses any more.
unsafe fn look(pointer: *const u8, layout: Layout) {
    let places = (layout.size() + 1).saturating_sub(MARK.len());
    let stands = |start: usize| {
        // SAFETY: within the allocation. Volatile, since a part of it may never have been written.
        MARK.iter().enumerate().all(|(at, byte)| unsafe { pointer.add(start + at).read_volatile() } == *byte)
    };
    if (0..places).any(stands) {
        MARKED.fetch_add(1, Ordering::Relaxed);
    }
}

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
        if LOOKING.load(Ordering::Relaxed) {
            // SAFETY: what the caller promised.
            unsafe { look(pointer, layout) };
        }
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

/// Looks at all memory that is given back from now on.
pub(crate) fn look_for_marks() {
    LOOKING.store(true, Ordering::Relaxed);
}

/// How many times memory was given back with [`MARK`] in it.
pub(crate) fn freed_with_mark() -> u64 {
    MARKED.load(Ordering::Relaxed)
}

#[test]
fn allocations_are_counted() {
    let (kept, allocations, held) = of(|| {
        drop(vec![0_u8; 100]);
        vec![0_u8; 50]
    });
    assert_eq!((kept.len(), allocations, held), (50, 2, 50));
}
