//! What a manager asks of a host: users, passwords, revoked tokens.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_core::security::token::Claims;
use daur_core::time::UnixTime;

use crate::security::keys::random;

/// Any error of a store: it is logged, and the caller is told `internal`.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Holds what is stored of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The hash of the password, a PHC string.
    pub phc: String,
    /// What is granted.
    pub permissions: Permissions,
    /// The second, since 1970, of the last change of the password or of what is granted: a token whose login was before
    /// it is not renewed. 0 in a store that does not keep it.
    pub tokens_from: u64,
}

impl fmt::Debug for Account {
    /// Without the hash, which has no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("permissions", &self.permissions).finish_non_exhaustive()
    }
}

/// Knows the users: a database, a directory. Blocks for as long as that takes.
///
/// It is asked at a login and when a token is renewed, so until then a token grants what it says. Where a change of a user
/// must count at once, call `revoke_user` of the manager after it.
pub trait UserStore: Send + Sync + 'static {
    /// The user of that name, to the letter, who may log in. A store that takes `Alice` for `alice` would give either
    /// a lockout, a rate and tokens of its own.
    ///
    /// # Errors
    /// The store's.
    fn find(&self, name: &str) -> Result<Option<Account>, BoxError>;

    /// Stores `phc`, a stronger hash of the password of `old`, if `old` is what is stored still: else the password was
    /// changed meanwhile, and is to stay so.
    ///
    /// # Errors
    /// The store's; the login that led to it is not refused for it.
    fn rehash(&self, name: &str, old: &str, phc: &str) -> Result<(), BoxError>;
}

/// Remembers revoked tokens beyond this process: its restart, or other processes of the service.
pub trait Revocations: Send + Sync + 'static {
    /// Whether a token that verifies counts no more.
    ///
    /// # Errors
    /// The store's; the token is refused then.
    fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError>;

    /// Revokes a token that verifies; says whether it counted until now. Of two who revoke it at the same time only one is
    /// told so, or one token could be renewed twice.
    ///
    /// # Errors
    /// The store's; nobody is told then that it was revoked.
    fn revoke(&self, claims: &Claims, now: UnixTime) -> Result<bool, BoxError>;

    /// Revokes all tokens whose login was before the second `iat` since 1970: those of `user`, or with `None` of all.
    ///
    /// # Errors
    /// The store's.
    fn revoke_before(&self, user: Option<&str>, iat: u64) -> Result<(), BoxError>;
}

/// Says what became of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is the one that was hashed.
    pub matches: bool,
    /// A stronger hash of it, where the stored one is weaker than today's.
    pub rehash: Option<String>,
}

/// Checks passwords. Takes as long for an unknown user as for a known one.
pub trait Passwords: Send + Sync + 'static {
    /// Whether `password` is the one of the stored hash; `None` stored is no user's. No password is that of a hash that
    /// cannot be used, and it takes as long: an error would tell that there is such a user.
    ///
    /// # Errors
    /// What is nobody's fault: no randomness, no memory.
    fn check(&self, password: &str, stored: Option<&str>) -> Result<Checked, BoxError>;
}

/// Checks passwords by PBKDF2-HMAC-SHA256.
#[derive(Clone, Copy, Debug)]
pub struct Pbkdf2 {
    /// Iterations of a new hash; a stored one of fewer is made anew.
    pub iterations: u32,
}

impl Passwords for Pbkdf2 {
    fn check(&self, given: &str, stored: Option<&str>) -> Result<Checked, BoxError> {
        let Some(stored) = stored else {
            password::dummy(given, self.iterations);
            return Ok(Checked { matches: false, rehash: None });
        };
        let matches = match password::verify(given, stored) {
            Ok(matches) => matches,
            Err(_error) => {
                #[cfg(feature = "tracing")]
                tracing::error!(error = %_error, "a stored hash cannot be used");
                password::dummy(given, self.iterations);
                false
            }
        };
        let rehash = if matches && password::needs_rehash(stored, self.iterations) {
            let phc = password::hash(given, &random::<{ password::SALT_LEN }>()?, self.iterations)?;
            Some(phc.as_str().to_owned())
        } else {
            None
        };
        Ok(Checked { matches, rehash })
    }
}

/// Keeps users in memory: for tests, for a service that reads them from its own config. A clone is the same store.
///
/// # Example
/// ```
/// use daur_std::core::security::permission::Permissions;
/// use daur_std::security::manager::{MemoryUsers, UserStore};
///
/// let users = MemoryUsers::new();
/// users.add("alice", "correct horse", 1_000, Permissions::READ)?;
/// assert_eq!(users.find("alice")?.unwrap().permissions, Permissions::READ);
/// assert!(users.find("Alice")?.is_none());
/// # Ok::<(), daur_std::security::manager::BoxError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryUsers(Arc<Mutex<BTreeMap<String, Account>>>);

impl MemoryUsers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, or changes one, by a password that is hashed here.
    ///
    /// # Errors
    /// Iterations that are not allowed, a password with a NUL, no randomness.
    pub fn add(&self, name: &str, given: &str, iterations: u32, permissions: Permissions) -> Result<(), BoxError> {
        let phc = password::hash(given, &random::<{ password::SALT_LEN }>()?, iterations)?.as_str().to_owned();
        self.lock().insert(name.to_owned(), Account { phc, permissions, tokens_from: 0 });
        Ok(())
    }

    /// Removes a user; says whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.lock().remove(name).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserStore for MemoryUsers {
    fn find(&self, name: &str) -> Result<Option<Account>, BoxError> {
        Ok(self.lock().get(name).cloned())
    }

    fn rehash(&self, name: &str, old: &str, phc: &str) -> Result<(), BoxError> {
        if let Some(account) = self.lock().get_mut(name).filter(|account| account.phc == old) {
            phc.clone_into(&mut account.phc);
        }
        Ok(())
    }
}

impl<T: UserStore + ?Sized> UserStore for Arc<T> {
    fn find(&self, name: &str) -> Result<Option<Account>, BoxError> {
        (**self).find(name)
    }

    fn rehash(&self, name: &str, old: &str, phc: &str) -> Result<(), BoxError> {
        (**self).rehash(name, old, phc)
    }
}

impl<T: Revocations + ?Sized> Revocations for Arc<T> {
    fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError> {
        (**self).is_revoked(claims)
    }

    fn revoke(&self, claims: &Claims, now: UnixTime) -> Result<bool, BoxError> {
        (**self).revoke(claims, now)
    }

    fn revoke_before(&self, user: Option<&str>, iat: u64) -> Result<(), BoxError> {
        (**self).revoke_before(user, iat)
    }
}
