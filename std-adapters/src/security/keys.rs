//! Keys in files that only their owner reads, and random bytes.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;

/// Reads the key in `dir/name`, or draws one from the operating system and stores it there.
///
/// The file holds 64 hexadecimal digits and a line break, is created with mode 0600 and is on disk when this
/// returns. Two processes that start at once get the same key.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::InvalidData`] for a file that is no key;
/// [`io::ErrorKind::PermissionDenied`] for one that others may read or write (on Unix).
///
/// # Example
/// ```
/// use daur_std::security::keys;
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-keys");
/// # let _ = std::fs::remove_dir_all(&dir);
/// std::fs::create_dir_all(&dir)?;
/// let key = keys::load_or_create(&dir, "token.key")?;
/// assert_eq!(keys::load_or_create(&dir, "token.key")?, key);
/// std::fs::remove_dir_all(&dir)?;
/// # std::io::Result::Ok(())
/// ```
pub fn load_or_create(dir: &Path, name: &str) -> io::Result<[u8; KEY_LEN]> {
    let path = dir.join(name);
    match load(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let key = random()?;
    match store(&path, &key) {
        Ok(()) => Ok(key),
        // Another process was faster: its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => load(&path),
        Err(error) => Err(error),
    }
}

/// Reads the key in a file.
///
/// # Errors
/// As [`load_or_create`], and [`io::ErrorKind::NotFound`].
pub fn load(path: &Path) -> io::Result<[u8; KEY_LEN]> {
    let file = fs::File::open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            let text = format!("{}: others may read this key: chmod 600", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    // One byte more than a key has: a longer file is not a key with something behind it.
    let mut text = Zeroizing::new(Vec::with_capacity(2 * KEY_LEN + 2));
    file.take(2 * KEY_LEN as u64 + 2).read_to_end(&mut text)?;
    decode(&text).ok_or_else(|| {
        let text = format!("{}: not a key: expected 64 hexadecimal digits", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Stores a key in a new file with mode 0600, whole or not at all.
///
/// # Errors
/// Those of the file system; [`io::ErrorKind::AlreadyExists`] if there is such a file.
pub fn store(path: &Path, key: &[u8; KEY_LEN]) -> io::Result<()> {
    // Written aside and linked into place: nobody sees half a key, and an existing one is never replaced.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{:016x}", u64::from_ne_bytes(random()?)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&aside)?;
    let digits = Zeroizing::new(hex(key));
    let written = file.write_all(digits.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&aside, path));
    let removed = fs::remove_file(&aside);
    linked.and(removed)?;
    sync_dir_of(path)
}

/// Has the directory of `path` on disk: a name that was made or changed there is, after a crash.
pub(super) fn sync_dir_of(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        fs::File::open(if dir.as_os_str().is_empty() { Path::new(".") } else { dir })?.sync_all()?;
    }
    Ok(())
}

/// `N` random bytes from the operating system: salts, nonces, keys, numbers of tokens.
///
/// # Errors
/// That of the operating system.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The 32 bytes of 64 hexadecimal digits, as [`hex`] writes them; a line break may follow.
#[must_use]
pub fn decode(text: &[u8]) -> Option<[u8; KEY_LEN]> {
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != KEY_LEN || !rest.is_empty() {
        return None;
    }
    let mut key = [0; KEY_LEN];
    for (byte, pair) in key.iter_mut().zip(pairs) {
        let digit = |d: u8| char::from(d).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::test_dir;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let dir = test_dir("keys");
        let key = load_or_create(dir.path(), "token.key").unwrap();
        assert_eq!(load_or_create(dir.path(), "token.key").unwrap(), key);
        assert_ne!(load_or_create(dir.path(), "other.key").unwrap(), key);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left aside");
        let kind = store(&dir.path().join("token.key"), &key).unwrap_err().kind();
        assert_eq!(kind, io::ErrorKind::AlreadyExists);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.path().join("token.key");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(load(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_replaced() {
        let dir = test_dir("no-keys");
        let path = dir.path().join("token.key");
        let good = hex(&[0xA5; 32]);
        assert_eq!(decode(good.as_bytes()), Some([0xA5; 32]));
        for bad in ["", "\n", &good[1..], &format!("{good}00"), &good.replace('a', "g"), &format!("{good}\n\n")] {
            fs::write(&path, bad).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let error = load_or_create(dir.path(), "token.key").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bad:?}");
            assert!(!error.to_string().contains("a5a5"), "an error does not tell the key");
        }
    }

    #[test]
    fn threads_that_start_at_once_get_one_key() {
        let dir = test_dir("race");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| load_or_create(dir.path(), "token.key").unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }
}
