//! A ring of signing keys in files: rotated by one process, followed by the others.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use daur_core::security::keys::{KeyError, Kid, Role};
use daur_core::security::token::{Config, Keys};
use daur_core::time::UnixTime;

use super::keys;

/// Keys that a ring holds at most.
pub const KEYS: usize = 4;

/// A directory that changed more recently than this may change again without its time showing it.
const FRESH: Duration = Duration::from_secs(2);

/// Says what went wrong with the ring.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A key cannot be read or written.
    Io(io::Error),
    /// The ring refuses it.
    Key(KeyError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Key(error) => Some(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// Shows one key, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its number; the highest signs.
    pub number: u32,
    /// Whether it signs, or verifies what it has signed.
    pub role: Role,
    /// When it was made, if the file system knows.
    pub made: Option<UnixTime>,
}

/// Holds the token keys of a directory: `token.key`, `token-2.key`, `token-3.key`..
///
/// # Rules
/// 1. The key with the highest number signs; the others verify what they have signed. The first has no `kid`, the
///    others have their number.
/// 2. A directory without a key gets one; one with any does not.
/// 3. [`rotate`] adds a key, if there are fewer than [`KEYS`]; [`retire`] removes one that does not sign.
/// 4. [`KeyRing::keys`] sees what another process has rotated or retired, with its next call.
/// 5. A ring that cannot be read any more stays as it was, and says so: nobody is locked out by a half-made change.
///
/// # Cost
/// One `stat` of the open directory a call; the files are read when it has changed.
///
/// # Example
/// ```
/// use daur_std::core::security::token::{Claims, Config};
/// use daur_std::core::time::UnixTime;
/// use daur_std::security::ring::{KeyRing, rotate};
///
/// # let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/doc-ring");
/// # let _ = std::fs::remove_dir_all(&dir);
/// # std::fs::create_dir_all(&dir)?;
/// let mut ring = KeyRing::open(&dir, Config::DEFAULT)?;
/// let claims = Claims { exp: Some(2_000), ..Claims::default() };
/// let mut buffer = [0; 512];
/// let token = ring.keys().0.sign(&claims, &mut buffer)?.to_owned();
///
/// assert_eq!(rotate(&dir)?, 2); // perhaps in another process
/// assert!(ring.keys().0.verify(&token, Some(UnixTime::from_secs(1_000))).is_ok());
/// assert_ne!(ring.keys().0.sign(&claims, &mut buffer)?, token);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyRing {
    dir: PathBuf,
    /// The same, open where that can be: to find it by its path each time costs more than to look at it.
    handle: Option<fs::File>,
    config: Config,
    keys: Keys<KEYS>,
    known: Known,
}

/// What the directory looked like when it was read.
#[derive(PartialEq, Eq)]
struct Known {
    changed: Option<SystemTime>,
    numbers: Vec<u32>,
}

impl KeyRing {
    /// Opens the ring in `dir`; makes its first key if there is none.
    ///
    /// # Errors
    /// Those of [`keys::load_or_create`]; [`Error::Key`] for more than [`KEYS`] keys.
    pub fn open(dir: &Path, config: Config) -> Result<Self, Error> {
        if numbers(dir)?.is_empty() {
            keys::load_or_create(dir, &name(1))?;
        }
        let (keys, known) = read(dir, config)?;
        Ok(Self { dir: dir.to_owned(), handle: fs::File::open(dir).ok(), config, keys, known })
    }

    /// The keys as they are now; and why they could not be read anew, if they could not.
    pub fn keys(&mut self) -> (&Keys<KEYS>, Option<Error>) {
        let error = self.follow().err();
        (&self.keys, error)
    }

    fn metadata(&self) -> io::Result<fs::Metadata> {
        #[cfg(unix)]
        if let Some(Ok(found)) = self.handle.as_ref().map(fs::File::metadata)
            && std::os::unix::fs::MetadataExt::nlink(&found) > 0
        {
            return Ok(found);
        }
        fs::metadata(&self.dir)
    }

    fn follow(&mut self) -> Result<(), Error> {
        let changed = self.metadata()?.modified().ok();
        let settled = changed.is_some_and(|at| at.elapsed().is_ok_and(|ago| ago >= FRESH));
        if settled && changed == self.known.changed {
            return Ok(());
        }
        let numbers = numbers(&self.dir)?;
        if numbers == self.known.numbers {
            self.known.changed = changed;
            return Ok(());
        }
        // A key's file is made whole and never changed: the same numbers are the same keys.
        (self.keys, self.known) = read(&self.dir, self.config)?;
        Ok(())
    }
}

/// The keys in `dir`, the oldest first.
///
/// # Errors
/// Those of the file system.
pub fn list(dir: &Path) -> io::Result<Vec<Key>> {
    let numbers = numbers(dir)?;
    let signing = numbers.last().copied();
    numbers
        .into_iter()
        .map(|number| {
            let made = fs::metadata(dir.join(name(number)))?.modified().ok();
            let made = made.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            Ok(Key {
                number,
                role: if Some(number) == signing { Role::Signing } else { Role::VerifyOnly },
                made: made.map(|since| UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))),
            })
        })
        .collect()
}

/// Adds a key, which signs from now on; gives its number.
///
/// # Errors
/// [`KeyError::Full`] if there are [`KEYS`] already; those of [`keys::store`].
pub fn rotate(dir: &Path) -> Result<u32, Error> {
    let numbers = numbers(dir)?;
    if numbers.len() >= KEYS {
        return Err(KeyError::Full.into());
    }
    let number = numbers.last().copied().unwrap_or(0).saturating_add(1);
    keys::store(&dir.join(name(number)), &keys::random()?)?;
    Ok(number)
}

/// Removes a key: what it has signed is refused from now on.
///
/// # Errors
/// [`KeyError::Unknown`], [`KeyError::Signing`]; those of the file system.
pub fn retire(dir: &Path, number: u32) -> Result<(), Error> {
    let numbers = numbers(dir)?;
    if !numbers.contains(&number) {
        return Err(KeyError::Unknown.into());
    }
    if numbers.last() == Some(&number) {
        return Err(KeyError::Signing.into());
    }
    let path = dir.join(name(number));
    fs::remove_file(&path)?;
    // Else a power cut brings it back.
    Ok(keys::sync_dir_of(&path)?)
}

fn read(dir: &Path, config: Config) -> Result<(Keys<KEYS>, Known), Error> {
    let changed = fs::metadata(dir)?.modified().ok();
    let numbers = numbers(dir)?;
    let (first, rest) = numbers.split_first().ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("there is no token key in {}", dir.display()))
    })?;
    let mut ring = Keys::new(config, kid(*first)?, &keys::load(&dir.join(name(*first)))?)?;
    for number in rest {
        ring.add(kid(*number)?, &keys::load(&dir.join(name(*number)))?, Role::Signing)?;
    }
    Ok((ring, Known { changed, numbers }))
}

/// The numbers of the keys, in order.
fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let file = entry?.file_name();
        let number = file.to_str().and_then(|file| match file.strip_suffix(".key")?.strip_prefix("token")? {
            "" => Some(1),
            rest => rest.strip_prefix('-')?.parse().ok(),
        });
        // Neither `token-02.key` nor `token-1.key` is a name that we give.
        numbers.extend(number.filter(|number| file.to_str() == Some(&name(*number))));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn name(number: u32) -> String {
    if number == 1 { "token.key".to_owned() } else { format!("token-{number}.key") }
}

fn kid(number: u32) -> Result<Option<Kid>, KeyError> {
    if number == 1 { Ok(None) } else { Kid::new(&number.to_string()).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::test_dir;
    use daur_core::security::token::Claims;

    const NOW: Option<UnixTime> = Some(UnixTime::from_secs(1_000));

    fn sign(ring: &mut KeyRing) -> String {
        let claims = Claims { exp: Some(2_000), ..Claims::default() };
        let (keys, error) = ring.keys();
        assert!(error.is_none(), "{error:?}");
        keys.sign(&claims, &mut [0; 512]).unwrap().to_owned()
    }

    fn numbers_of(dir: &Path) -> Vec<(u32, bool)> {
        list(dir).unwrap().iter().map(|key| (key.number, key.role == Role::Signing)).collect()
    }

    #[test]
    fn rule_1_the_highest_number_signs_and_the_others_verify() {
        let dir = test_dir("ring");
        let mut ring = KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        let mut tokens = vec![sign(&mut ring)];
        for number in 2..=4 {
            assert_eq!(rotate(dir.path()).unwrap(), number);
            tokens.push(sign(&mut ring));
        }
        assert_eq!(numbers_of(dir.path()), [(1, false), (2, false), (3, false), (4, true)]);
        let mut again = KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        for token in &tokens {
            assert!(ring.keys().0.verify(token, NOW).is_ok() && again.keys().0.verify(token, NOW).is_ok());
        }
        // The first one's are those that had no name before there was a ring.
        assert_eq!(tokens[0].split('.').next(), Some("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"));
        tokens.dedup_by(|a, b| a.split('.').next() == b.split('.').next());
        assert_eq!(tokens.len(), 4, "each names its key");
    }

    #[test]
    fn rule_2_a_directory_whose_first_key_is_retired_gets_no_other() {
        let dir = test_dir("ring-first");
        KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        rotate(dir.path()).unwrap();
        retire(dir.path(), 1).unwrap();
        KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        assert_eq!(numbers_of(dir.path()), [(2, true)]);
        assert_eq!(rotate(dir.path()).unwrap(), 3, "a number is not used again");
    }

    #[test]
    fn rule_3_a_full_ring_takes_no_more_and_the_signing_key_is_not_retired() {
        let dir = test_dir("ring-full");
        KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        assert!(matches!(retire(dir.path(), 1), Err(Error::Key(KeyError::Signing))));
        assert!(matches!(retire(dir.path(), 2), Err(Error::Key(KeyError::Unknown))));
        for _ in 2..=4 {
            rotate(dir.path()).unwrap();
        }
        assert!(matches!(rotate(dir.path()), Err(Error::Key(KeyError::Full))));
        retire(dir.path(), 2).unwrap();
        assert_eq!(rotate(dir.path()).unwrap(), 5);
        assert_eq!(numbers_of(dir.path()), [(1, false), (3, false), (4, false), (5, true)]);
    }

    #[test]
    fn rule_4_what_is_retired_is_refused_with_the_next_call_however_soon() {
        let dir = test_dir("ring-follow");
        let mut ring = KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        for old in 1..40 {
            let token = sign(&mut ring);
            rotate(dir.path()).unwrap();
            assert!(ring.keys().0.verify(&token, NOW).is_ok());
            retire(dir.path(), old).unwrap();
            assert!(ring.keys().0.verify(&token, NOW).is_err(), "{old}");
        }
    }

    #[test]
    fn rule_4_a_directory_that_has_settled_is_not_read_again() {
        let dir = test_dir("ring-settled");
        let mut ring = KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let settle = || fs::File::open(dir.path()).unwrap().set_modified(long_ago).unwrap();
        settle();
        ring.follow().unwrap();
        // A change that the directory's time hides is not looked for; any other is.
        rotate(dir.path()).unwrap();
        settle();
        ring.follow().unwrap();
        assert_eq!(ring.known.numbers, [1]);
        fs::File::open(dir.path()).unwrap().set_modified(long_ago + Duration::from_secs(1)).unwrap();
        ring.follow().unwrap();
        assert_eq!(ring.known.numbers, [1, 2]);
    }

    #[test]
    fn rule_5_a_ring_that_cannot_be_read_stays_as_it_was() {
        let dir = test_dir("ring-broken");
        let mut ring = KeyRing::open(dir.path(), Config::DEFAULT).unwrap();
        let token = sign(&mut ring);
        fs::write(dir.path().join("token-2.key"), "not a key").unwrap();
        for file in ["token-02.key", "token-1.key", "token-.key", "token-x.key", "tokens.key", "fleet.key"] {
            fs::write(dir.path().join(file), "not a key").unwrap();
        }
        let (keys, error) = ring.keys();
        assert!(keys.verify(&token, NOW).is_ok());
        assert!(error.unwrap().to_string().contains("token-2.key"));
        assert!(KeyRing::open(dir.path(), Config::DEFAULT).is_err());
        fs::remove_file(dir.path().join("token-2.key")).unwrap();
        assert_eq!(sign(&mut ring), token);
    }
}
