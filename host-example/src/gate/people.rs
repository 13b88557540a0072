//! Who there is, and who is logged in: what those who administer see and change.

use std::fmt;
use std::sync::Arc;

use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_std::security::keys::random;
use daur_std::security::sessions::Session;
use daur_std::security::users::{self, Account, Change, Changed, User};
use serde::Serialize;
use tokio::task;

use super::{Gate, lock, unix_now};
use crate::problem::{Code, Problem};

/// Shows one user.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// What they may.
    pub permissions: Permissions,
    /// Whether their logins are refused.
    pub disabled: bool,
    /// Since when, in milliseconds since 1970.
    pub created_ms: u64,
    /// Changed when.
    pub changed_ms: u64,
    /// How many sessions they have.
    pub sessions: usize,
}

impl Person {
    fn new(account: Account, sessions: &[Session]) -> Self {
        let Account { user, disabled, changed, .. } = account;
        Self {
            sessions: sessions.iter().filter(|session| session.user == user.name).count(),
            name: user.name,
            permissions: user.permissions,
            disabled,
            created_ms: user.created.as_millis(),
            changed_ms: changed.as_millis(),
        }
    }
}

impl Gate {
    /// All users.
    ///
    /// # Errors
    /// `internal` if they cannot be read.
    pub fn people(&self) -> Result<Vec<Person>, Problem> {
        let accounts = lock(&self.users).accounts().map_err(refused)?;
        let sessions = self.sessions(None)?;
        Ok(accounts.into_iter().map(|account| Person::new(account, &sessions)).collect())
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `invalid_input` for a name or a password that is not allowed, `conflict` for a name that is taken.
    pub async fn add_user(
        self: &Arc<Self>,
        name: String,
        password: String,
        permissions: Permissions,
    ) -> Result<Person, Problem> {
        let phc = self.hash(name.clone(), password).await?;
        let gate = Arc::clone(self);
        self.pool.run(move || gate.add(name, phc, permissions)).await?
    }

    /// Blocks.
    fn add(&self, name: String, phc: String, permissions: Permissions) -> Result<Person, Problem> {
        let user = User { name, phc, permissions, created: unix_now() };
        lock(&self.users).add(&user).map_err(refused)?;
        let account = lock(&self.users).account(&user.name).map_err(refused)?;
        account.map(|account| Person::new(account, &[])).ok_or_else(|| refused(users::Error::NotFound))
    }

    /// Changes a user, and ends their sessions with it; says how many, or `None` if nothing was to be changed.
    ///
    /// # Errors
    /// `not_found`, `invalid_input`, and `conflict` if nobody who may administer would be left.
    pub async fn change_user(
        self: &Arc<Self>,
        name: &str,
        permissions: Option<Permissions>,
        disabled: Option<bool>,
        password: Option<String>,
    ) -> Result<(Person, Option<u64>), Problem> {
        let phc = match password {
            Some(password) => Some(self.hash(name.to_owned(), password).await?),
            None => None,
        };
        let (gate, name) = (Arc::clone(self), name.to_owned());
        let change = move || {
            let change = Change { permissions, disabled, phc: phc.as_deref() };
            let Changed { account, ended } = lock(&gate.users).change(&name, &change, unix_now()).map_err(refused)?;
            let sessions = gate.sessions(Some(&name))?;
            Ok((Person::new(account, &sessions), ended))
        };
        self.pool.run(change).await?
    }

    /// Removes a user, and ends their sessions.
    ///
    /// # Errors
    /// `not_found`, and `conflict` if nobody who may administer would be left.
    pub fn remove_user(&self, name: &str) -> Result<(), Problem> {
        lock(&self.users).remove(name).map_err(refused)
    }

    /// The sessions that are not over, of one user or of all.
    ///
    /// # Errors
    /// `internal` if they cannot be read.
    pub fn sessions(&self, of: Option<&str>) -> Result<Vec<Session>, Problem> {
        let (sessions, now) = (lock(&self.sessions), unix_now());
        let listed = of.map_or_else(|| sessions.list(now), |user| sessions.list_of(user, now));
        listed.map_err(|error| Problem::internal("the sessions cannot be read", &error))
    }

    /// Ends a session; says whether it was there.
    ///
    /// # Errors
    /// `internal` if it cannot be stored.
    pub fn end_session(&self, number: u64) -> Result<bool, Problem> {
        lock(&self.sessions).end(number).map_err(|error| Problem::internal("a session cannot be ended", &error))
    }

    /// The PHC string of a new password, if the rules allow it.
    async fn hash(&self, name: String, password: String) -> Result<String, Problem> {
        let turn = self.turn().await?;
        let policy = self.policy;
        let hashed = task::spawn_blocking(move || {
            let _turn = turn;
            new_hash(&policy.password, policy.iterations, &name, &password)
        });
        hashed.await.map_err(|error| Problem::internal("a password could not be hashed", &error))?
    }
}

/// Blocking: hashes a new password, if the rules allow it.
fn new_hash(rules: &password::Rules, iterations: u32, name: &str, password: &str) -> Result<String, Problem> {
    let failed = |error: &dyn fmt::Display| Problem::internal("a password could not be hashed", error);
    rules
        .check(password, name)
        .map_err(|broken| Problem::new(Code::InvalidInput, format!("This password is not allowed: {broken}.")))?;
    let salt = random::<{ password::SALT_LEN }>().map_err(|error| failed(&error))?;
    let phc = password::hash(password, &salt, iterations).map_err(|error| failed(&error))?;
    Ok(phc.as_str().to_owned())
}

fn refused(error: users::Error) -> Problem {
    match error {
        users::Error::Exists => Problem::new(Code::Conflict, "A user of that name exists."),
        users::Error::NotFound => Problem::new(Code::NotFound, "No user has that name."),
        users::Error::LastAdmin => {
            Problem::new(Code::Conflict, "This is the last user who may administer: make another one first.")
        }
        users::Error::InvalidName => Problem::new(
            Code::InvalidInput,
            "A user's name is 1 to 32 bytes of printable text without white space at its ends.",
        ),
        error => Problem::internal("the store of users refuses", &error),
    }
}
