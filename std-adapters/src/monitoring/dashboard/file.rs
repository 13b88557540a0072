//! A file that is whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::error::Error;

/// Writes `content` beside `path`, synchronises it, and gives it that name: whoever looks sees all of it, or what was
/// there before. As the exports are written.
///
/// # Errors
/// What could not be written, and why; nothing is left behind then.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let doing = |what: &str| format!("{what} {}", path.display());
    let Some(name) = path.file_name() else {
        return Err(Error::io(doing("exporting to"), io::ErrorKind::InvalidInput.into()));
    };
    let mut beside = name.to_owned();
    beside.push(format!(".tmp-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
    let beside = path.with_file_name(beside);
    let written = write(&beside, content)
        .map_err(|error| Error::io(doing("writing"), error))
        .and_then(|()| fs::rename(&beside, path).map_err(|error| Error::io(doing("putting in place"), error)));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    // The name too is to survive a power cut. Not every system can synchronise a directory; the file is whole anyway.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // What a program knows of itself is not for everybody.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
