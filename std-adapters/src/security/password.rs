//! Passwords hashed on tokio's blocking pool, a few at a time.

use std::fmt;
use std::io;
use std::sync::Arc;

use daur_core::reliability::bulkhead;
use daur_core::security::password;
use daur_core::time::Duration;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::keys::random;
use crate::reliability::bulkhead::SharedBulkhead;

#[cfg(feature = "argon2")]
pub mod argon2;

/// Callers that wait for their turn, as many as a [`SharedBulkhead`] has places for; more are refused at once.
const WAITING: u32 = 256;

/// Says how passwords are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Iterations of a new PBKDF2 hash, within the bounds of `daur_core`. Default 600,000 (OWASP).
    pub iterations: u32,
    /// Hashes under way at once; at least 1. Each keeps a core busy. Default 2.
    pub at_once: u32,
    /// How long a caller waits for its turn; with 0 nobody waits. Default 5 s.
    pub wait: Duration,
}

impl Config {
    /// The defaults above.
    pub const DEFAULT: Self =
        Self { iterations: password::DEFAULT_ITERATIONS, at_once: 2, wait: Duration::from_secs(5) };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.iterations < password::MIN_ITERATIONS || self.iterations > password::MAX_ITERATIONS {
            return Err(ConfigError::Iterations);
        }
        if self.at_once == 0 { Err(ConfigError::NoneAtOnce) } else { Ok(()) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a config breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `iterations` is below or above what may be stored.
    Iterations,
    /// `at_once` is 0.
    NoneAtOnce,
    /// A cost of Argon2id is below what the algorithm takes, or above the config's own maximum.
    Costs,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iterations => "password: `iterations` must be between 1000 and 10000000",
            Self::NoneAtOnce => "password: `at_once` is 0; at least 1 is needed",
            Self::Costs => "password: Argon2id needs at least 1 pass, 1 lane and 8 KiB a lane, and at most its maximum",
        })
    }
}

impl std::error::Error for ConfigError {}

/// Says why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// No turn in time: too many hashes are under way, and too many wait.
    Overloaded,
    /// A new password has a NUL.
    Nul,
    /// The stored text cannot be used; nothing was derived from it.
    Stored {
        /// Why.
        why: &'static str,
    },
    /// The memory that the hash needs is not to be had.
    Memory,
    /// The operating system gives no random bytes for a salt.
    Random(io::Error),
    /// The runtime is about to end.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overloaded => f.write_str("too many passwords are being checked"),
            Self::Nul => f.write_str("a password has no NUL"),
            Self::Stored { why } => write!(f, "a stored password hash cannot be used: {why}"),
            Self::Memory => f.write_str("there is not enough memory for a password hash"),
            Self::Random(error) => write!(f, "no random bytes for a salt: {error}"),
            Self::Stopped => f.write_str("the runtime ended before the password was hashed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Random(error) => Some(error),
            _ => None,
        }
    }
}

impl From<password::Error> for Error {
    fn from(error: password::Error) -> Self {
        match error {
            password::Error::Nul => Self::Nul,
            password::Error::Iterations => Self::Stored { why: "its iterations are out of bounds" },
            password::Error::Salt => Self::Stored { why: "its salt has not 8 to 48 bytes" },
            _ => Self::Stored { why: "it is not a PHC string that is known here" },
        }
    }
}

/// Makes and checks the texts that are stored. Blocks: [`Hasher`] calls it on the blocking pool.
pub trait Scheme: Send + Sync + 'static {
    /// The text to store for a new password, with a salt of its own.
    ///
    /// # Errors
    /// [`Error::Nul`], [`Error::Random`], [`Error::Memory`].
    fn hash(&self, password: &str) -> Result<String, Error>;

    /// Whether `password` is the one that was hashed. Bounds are checked before anything is derived.
    ///
    /// # Errors
    /// [`Error::Stored`], [`Error::Memory`].
    fn verify(&self, password: &str, stored: &str) -> Result<bool, Error>;

    /// Whether [`hash`](Scheme::hash) would make a better text by now.
    fn needs_rehash(&self, stored: &str) -> bool;

    /// Takes as long as [`verify`](Scheme::verify) of a text that [`hash`](Scheme::hash) made.
    fn dummy(&self, password: &str);
}

/// Stores passwords as PBKDF2-HMAC-SHA256, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pbkdf2 {
    iterations: u32,
}

impl Scheme for Pbkdf2 {
    fn hash(&self, password: &str) -> Result<String, Error> {
        let salt = random::<{ password::SALT_LEN }>().map_err(Error::Random)?;
        Ok(password::hash(password, &salt, self.iterations)?.as_str().to_owned())
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, Error> {
        Ok(password::verify(password, stored)?)
    }

    fn needs_rehash(&self, stored: &str) -> bool {
        password::needs_rehash(stored, self.iterations)
    }

    fn dummy(&self, password: &str) {
        password::dummy(password, self.iterations);
    }
}

/// Says whether a password was right, and what to store instead.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Verified {
    /// Whether it was the one that was hashed.
    pub matches: bool,
    /// If it was and the stored text is weaker than today's: the text to store from now on.
    pub rehash: Option<String>,
}

impl fmt::Debug for Verified {
    /// Without the hash, which has no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { matches, rehash } = self;
        f.debug_struct("Verified").field("matches", matches).field("rehash", &rehash.is_some()).finish()
    }
}

/// Hashes passwords on tokio's blocking pool, so many at once, and lets so long wait for their turn.
///
/// A hash is hundreds of milliseconds of a core, on purpose: whoever may start as many as they like ends every
/// other work of the process. With [`argon2`] it makes or checks Argon2id too.
///
/// # Rules
/// 1. At most `at_once` hashes are under way; up to 256 callers wait in line for at most `wait`; the others get
///    [`Error::Overloaded`] and cost nothing.
/// 2. A turn ends when its hash is done. A caller that goes away meanwhile does not make room for another.
/// 3. An unknown user (`None`), and a stored text that cannot be used, take as long as a wrong password.
/// 4. A right password whose stored text is weaker than today's comes with a better one to store.
/// 5. The password is wiped when its hash is done, or when its caller goes away while it waits.
///
/// Rule 3 holds for texts made as new ones are made now; rule 4 makes the others so, login by login.
///
/// # Cost
/// One allocation for the line, two and a thread of the pool a hash.
///
/// # Errors
/// [`Error`].
///
/// # Sharing
/// `Clone`, `Send` and `Sync`, a clone is the same line; cancel-safe by rules 2 and 5.
///
/// # Example
/// ```
/// use daur_std::security::password::{Config, Hasher};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let hasher = Hasher::try_new(Config { iterations: 1_000, ..Config::DEFAULT })?;
/// let stored = hasher.hash("correct horse".to_owned()).await?;
/// assert!(hasher.verify("correct horse".to_owned(), Some(&stored)).await?.matches);
/// assert!(!hasher.verify("correct house".to_owned(), Some(&stored)).await?.matches);
/// assert!(!hasher.verify("correct horse".to_owned(), None).await?.matches, "no such user");
///
/// let today = Hasher::try_new(Config { iterations: 2_000, ..Config::DEFAULT })?;
/// let verified = today.verify("correct horse".to_owned(), Some(&stored)).await?;
/// assert!(verified.rehash.is_some_and(|stored| stored.contains("i=2000")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hasher<S = Pbkdf2> {
    scheme: Arc<S>,
    places: SharedBulkhead,
}

impl Hasher {
    /// One that makes and checks PBKDF2 hashes.
    ///
    /// # Panics
    /// If `config` is invalid.
    #[must_use]
    pub fn new(config: Config) -> Self {
        match Self::try_new(config) {
            Ok(hasher) => hasher,
            Err(error) => panic!("{error}"),
        }
    }

    /// One that makes and checks PBKDF2 hashes, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Self::with_scheme(Pbkdf2 { iterations: config.iterations }, config)
    }
}

impl<S: Scheme> Hasher<S> {
    /// One that makes and checks what `scheme` does; of the config, `at_once` and `wait` count.
    ///
    /// # Errors
    /// [`ConfigError::NoneAtOnce`].
    pub fn with_scheme(scheme: S, config: Config) -> Result<Self, ConfigError> {
        let nobody_waits = config.wait.is_zero();
        let config = bulkhead::Config {
            max_concurrent: config.at_once,
            max_waiting: if nobody_waits { 0 } else { WAITING },
            max_wait: if nobody_waits { None } else { Some(config.wait) },
        };
        let places = SharedBulkhead::new(config).map_err(|_| ConfigError::NoneAtOnce)?;
        Ok(Self { scheme: Arc::new(scheme), places })
    }

    /// The text to store for a new password. Whether it may be one, `password::Rules` says.
    ///
    /// # Errors
    /// [`Error`].
    pub fn hash(&self, password: String) -> impl Future<Output = Result<String, Error>> + Send + use<S> {
        // Before the first poll: a future that is never polled wipes it too.
        let password = Zeroizing::new(password);
        let scheme = Arc::clone(&self.scheme);
        run(self.places.clone(), move || scheme.hash(&password))
    }

    /// Whether the password is the one that was hashed; `None` is a user that does not exist.
    ///
    /// # Errors
    /// [`Error`].
    pub fn verify(
        &self,
        password: String,
        stored: Option<&str>,
    ) -> impl Future<Output = Result<Verified, Error>> + Send + use<S> {
        let password = Zeroizing::new(password);
        let (scheme, stored) = (Arc::clone(&self.scheme), stored.map(str::to_owned));
        run(self.places.clone(), move || verify(&*scheme, &password, stored.as_deref()))
    }

    /// Hashes under way and callers that wait.
    #[must_use]
    pub fn snapshot(&self) -> bulkhead::Snapshot {
        self.places.snapshot()
    }
}

/// Waits for a turn, and keeps it until the work is done, whether or not anybody still wants it.
async fn run<T: Send + 'static>(
    places: SharedBulkhead,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let place = places.acquire().await.map_err(|_| Error::Overloaded)?;
    let work = move || {
        let done = work();
        drop(place);
        done
    };
    spawn_blocking(work).await.map_err(|_| Error::Stopped)?
}

pub(super) fn verify(scheme: &impl Scheme, password: &str, stored: Option<&str>) -> Result<Verified, Error> {
    let verified = stored.map(|stored| scheme.verify(password, stored)).transpose();
    if !matches!(verified, Ok(Some(_))) {
        scheme.dummy(password);
    }
    let matches = verified?.unwrap_or(false);
    let better = stored.filter(|stored| matches && scheme.needs_rehash(stored)).map(|_| scheme.hash(password));
    Ok(Verified { matches, rehash: better.transpose()? })
}

impl<S> Clone for Hasher<S> {
    fn clone(&self) -> Self {
        Self { scheme: Arc::clone(&self.scheme), places: self.places.clone() }
    }
}

impl<S> fmt::Debug for Hasher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const QUICK: Config = Config { iterations: 1_000, ..Config::DEFAULT };

    /// Says when a hash begins, and ends it when told to.
    struct Slow {
        begun: Sender<String>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Slow {
        fn new() -> (Self, Receiver<String>, Sender<()>) {
            let (begun, begins) = channel();
            let (go_on, goes_on) = channel();
            (Self { begun, go_on: Mutex::new(goes_on) }, begins, go_on)
        }

        fn work(&self, what: &str) {
            self.begun.send(what.to_owned()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
    }

    impl Scheme for Slow {
        fn hash(&self, password: &str) -> Result<String, Error> {
            self.work(&format!("hash {password}"));
            Ok(format!("better {password}"))
        }

        fn verify(&self, password: &str, stored: &str) -> Result<bool, Error> {
            if stored == "broken" {
                return Err(Error::Stored { why: "broken" });
            }
            self.work(&format!("verify {password}"));
            Ok(stored.ends_with(password))
        }

        fn needs_rehash(&self, stored: &str) -> bool {
            !stored.starts_with("better")
        }

        fn dummy(&self, password: &str) {
            self.work(&format!("dummy {password}"));
        }
    }

    #[tokio::test]
    async fn rule_1_so_many_at_once_and_who_may_not_wait_is_refused() {
        let (slow, begins, go_on) = Slow::new();
        let config = Config { at_once: 2, wait: Duration::ZERO, ..QUICK };
        let hasher = Hasher::with_scheme(slow, config).unwrap();
        let [first, second] = ["a", "b"].map(|password| tokio::spawn(hasher.hash(password.to_owned())));
        // Both have begun, so both have their turn.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(hasher.snapshot().running, 2);
        assert!(matches!(hasher.hash("c".to_owned()).await, Err(Error::Overloaded)));
        assert!(matches!(hasher.verify("c".to_owned(), None).await, Err(Error::Overloaded)));
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), "better a");
        assert_eq!(second.await.unwrap().unwrap(), "better b");
        let mut begun: Vec<String> = begins.try_iter().collect();
        begun.sort();
        assert_eq!(begun, ["hash a", "hash b"], "what was refused was not begun");
    }

    #[tokio::test]
    async fn rule_1_who_waits_gets_its_turn_in_order() {
        let (slow, begins, go_on) = Slow::new();
        let hasher = Hasher::with_scheme(slow, Config { at_once: 1, wait: Duration::from_secs(600), ..QUICK }).unwrap();
        let mut tasks = Vec::new();
        for password in ["a", "b", "c"] {
            tasks.push(tokio::spawn(hasher.hash(password.to_owned())));
            tokio::task::yield_now().await;
        }
        assert_eq!((hasher.snapshot().running, hasher.snapshot().waiting), (1, 2));
        for task in tasks {
            go_on.send(()).unwrap();
            task.await.unwrap().unwrap();
        }
        assert_eq!(begins.try_iter().collect::<Vec<_>>(), ["hash a", "hash b", "hash c"]);
    }

    #[tokio::test]
    async fn rule_2_a_caller_that_goes_away_makes_no_room() {
        let (slow, begins, go_on) = Slow::new();
        let hasher = Hasher::with_scheme(slow, Config { at_once: 1, wait: Duration::ZERO, ..QUICK }).unwrap();
        let gone = tokio::spawn(hasher.verify("a".to_owned(), Some("a")));
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert!(matches!(hasher.hash("b".to_owned()).await, Err(Error::Overloaded)));
        assert_eq!(begins.recv().unwrap(), "verify a", "though nobody waits for it any more");
        go_on.send(()).unwrap();
        go_on.send(()).unwrap(); // for the rehash
        while hasher.snapshot().running > 0 {
            std::thread::yield_now();
        }
        go_on.send(()).unwrap();
        assert!(hasher.hash("b".to_owned()).await.is_ok());
    }

    #[tokio::test]
    async fn rule_3_who_does_not_exist_costs_as_much() {
        let (slow, begins, go_on) = Slow::new();
        let hasher = Hasher::with_scheme(slow, QUICK).unwrap();
        for _ in 0..3 {
            go_on.send(()).unwrap();
        }
        assert!(!hasher.verify("a".to_owned(), None).await.unwrap().matches);
        assert!(matches!(hasher.verify("a".to_owned(), Some("broken")).await, Err(Error::Stored { why: "broken" })));
        assert!(!hasher.verify("a".to_owned(), Some("b")).await.unwrap().matches);
        assert_eq!(begins.try_iter().collect::<Vec<_>>(), ["dummy a", "dummy a", "verify a"]);
    }

    #[tokio::test]
    async fn rule_4_a_right_password_brings_a_better_text() {
        let old = Hasher::try_new(QUICK).unwrap();
        let new = Hasher::new(Config { iterations: 2_000, ..QUICK });
        let stored = old.hash("right".to_owned()).await.unwrap();
        let verified = new.verify("right".to_owned(), Some(&stored)).await.unwrap();
        let better = verified.rehash.clone().unwrap();
        assert!(verified.matches && better.starts_with("$pbkdf2-sha256$i=2000,l=32$"));
        assert!(!format!("{verified:?}").contains("pbkdf2"));
        let verified = new.verify("right".to_owned(), Some(&better)).await.unwrap();
        assert_eq!(verified, Verified { matches: true, rehash: None });
        let verified = new.verify("wrong".to_owned(), Some(&stored)).await.unwrap();
        assert_eq!(verified, Verified { matches: false, rehash: None });
        assert_ne!(old.hash("right".to_owned()).await.unwrap(), stored, "each has its own salt");
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        let hasher = Hasher::new(QUICK);
        assert!(matches!(hasher.hash("a\0".to_owned()).await, Err(Error::Nul)));
        let huge = "$pbkdf2-sha256$i=4294967295,l=32$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for stored in [huge, "", "plain", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA"] {
            let verified = hasher.verify("a".to_owned(), Some(stored)).await;
            assert!(matches!(verified, Err(Error::Stored { .. })), "{stored}");
        }
        assert_eq!(Hasher::try_new(Config { at_once: 0, ..QUICK }).unwrap_err(), ConfigError::NoneAtOnce);
        for iterations in [0, 999, 10_000_001] {
            assert_eq!(Hasher::try_new(Config { iterations, ..QUICK }).unwrap_err(), ConfigError::Iterations);
        }
    }
}
