//! The allocator of glibc.

/// Gives the operating system what the allocator holds and nobody uses. Says whether that was anything.
///
/// Takes the time that walking through all free memory takes, arena by arena, each locked meanwhile.
#[expect(unsafe_code, reason = "no safe crate offers malloc_trim")]
pub(in crate::performance::memory) fn trim() -> Option<bool> {
    // SAFETY: `malloc_trim` takes a number by value, touches only memory that is free, locks the arenas itself and may be
    // called by any thread at any time. With another allocator in use it trims the arenas that C code has used.
    Some(unsafe { libc::malloc_trim(0) } == 1)
}
