//! Old files as gzip.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::file::Packer;

/// Packs old files as gzip, which `zcat` and `zgrep` read.
pub const GZIP: Packer = Packer { extension: "gz", pack };

fn pack(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<()> {
    let mut encoder = GzEncoder::new(to, Compression::default());
    io::copy(from, &mut encoder)?;
    encoder.finish().map(drop)
}
