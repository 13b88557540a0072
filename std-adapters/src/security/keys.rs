//! Keys in files that only their owner reads.

use std::io;
use std::path::Path;

/// Reads the 32-byte key in `dir/name`, or draws one from the operating system and stores it (mode 0600).
///
/// # Errors
/// The file system's; `InvalidData` for a file that is not a key or that others may read.
pub fn load_or_create(dir: &Path, name: &str) -> io::Result<[u8; 32]> { let _ = (dir, name); todo!() }

/// `N` random bytes from the operating system: salts, nonces, token numbers.
///
/// # Errors
/// The operating system's.
pub fn random<const N: usize>() -> io::Result<[u8; N]> { todo!() }
