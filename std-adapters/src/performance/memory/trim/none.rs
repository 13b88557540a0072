//! An allocator that cannot be asked to trim.

pub(in crate::performance::memory) const fn trim() -> Option<bool> {
    None
}
