//! Users, from a process of its own; the server may be running, and sees what is changed at once.

use std::io::Write;
use std::path::Path;

use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::time::WallClock;
use daur_std::clock::SystemWallClock;
use daur_std::security::keys::random;
use daur_std::security::users::{self, Account, Change, User, Users};

use crate::audit::record_once;
use crate::cli::{one_line, time_text};
use crate::config::DataDir;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is to be done.
pub enum Work {
    /// Add a user.
    Add {
        /// The name.
        name: String,
        /// The password.
        password: String,
        /// What is granted.
        permissions: Permissions,
    },
    /// Show all users.
    List {
        /// As lines of JSON.
        json: bool,
    },
    /// Grant exactly these permissions.
    Grant {
        /// To whom.
        name: String,
        /// What is granted.
        permissions: Permissions,
    },
    /// Set another password.
    Password {
        /// Whose.
        name: String,
        /// The password.
        password: String,
    },
    /// Refuse logins, or let them in again.
    Disable {
        /// Whose.
        name: String,
        /// Whether they are refused.
        disabled: bool,
    },
    /// Remove a user.
    Remove {
        /// Whom.
        name: String,
    },
}

impl std::fmt::Debug for Work {
    /// Without passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work(..)")
    }
}

/// Does it.
///
/// # Errors
/// What is refused, and why; a store that cannot be read or written.
pub async fn run(data_dir: &Path, work: Work, policy: &Policy<'_>) -> Result<(), Error> {
    match work {
        Work::Add { name, password, permissions } => add(data_dir, &name, &password, permissions, policy).await,
        Work::List { json } => list(&DataDir::existing(data_dir)?, json),
        Work::Grant { name, permissions } => {
            let change = Change { permissions: Some(permissions), ..Change::default() };
            changed(data_dir, &name, &change, &format!("permissions {permissions}")).await
        }
        Work::Password { name, password } => {
            let phc = new_hash(&name, &password, policy)?;
            let change = Change { phc: Some(&phc), ..Change::default() };
            changed(data_dir, &name, &change, "another password").await
        }
        Work::Disable { name, disabled } => {
            let change = Change { disabled: Some(disabled), ..Change::default() };
            changed(data_dir, &name, &change, if disabled { "disabled" } else { "enabled" }).await
        }
        Work::Remove { name } => {
            let dir = DataDir::existing(data_dir)?;
            let removed = store(&dir)?.remove(&name).map_err(|error| told(&error, &name));
            audited(&dir, &name, "removed", removed).await
        }
    }
}

/// Adds a user.
///
/// # Errors
/// A name that is taken or is none, a password that breaks the rules, a store that cannot be written.
pub async fn add(
    data_dir: &Path,
    name: &str,
    password: &str,
    permissions: Permissions,
    policy: &Policy<'_>,
) -> Result<(), Error> {
    let phc = new_hash(name, password, policy)?;
    let dir = DataDir::open(data_dir)?;
    let created = SystemWallClock.unix_now().ok_or("the clock stands before 1970")?;
    let user = User { name: name.to_owned(), phc, permissions, created };
    store(&dir)?.add(&user).map_err(|error| told(&error, name))?;
    audited(&dir, name, &format!("added with {permissions}"), Ok(())).await
}

fn list(dir: &DataDir, as_json: bool) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    for Account { user, disabled, changed, .. } in store(dir)?.accounts()? {
        let state = if disabled { "disabled" } else { "enabled" };
        let permissions = if user.permissions.is_empty() { "-".to_owned() } else { user.permissions.to_string() };
        if as_json {
            let (created, changed) = (user.created.as_secs(), changed.as_secs());
            let permissions = user.permissions.to_string();
            let names: Vec<&str> = permissions.split(',').filter(|name| !name.is_empty()).collect();
            let shown = serde_json::json!({
                "name": user.name, "permissions": names, "disabled": disabled, "created": created, "changed": changed,
            });
            writeln!(stdout, "{shown}")?;
            continue;
        }
        let (name, created, changed) = (one_line(&user.name), time_text(user.created), time_text(changed));
        writeln!(stdout, "{name}\t{permissions}\t{state}\t{created}\t{changed}")?;
    }
    Ok(())
}

async fn changed(data_dir: &Path, name: &str, change: &Change<'_>, what: &str) -> Result<(), Error> {
    let dir = DataDir::existing(data_dir)?;
    let now = SystemWallClock.unix_now().ok_or("the clock stands before 1970")?;
    match store(&dir)?.change(name, change, now) {
        Ok(changed) => match changed.ended {
            Some(ended) => audited(&dir, name, &format!("{what}; {ended} sessions ended"), Ok(())).await,
            None => Ok(()),
        },
        Err(error) => audited(&dir, name, what, Err(told(&error, name))).await,
    }
}

/// Puts into the audit what was done or refused, and passes that on.
async fn audited(dir: &DataDir, name: &str, what: &str, done: Result<(), Error>) -> Result<(), Error> {
    let event = match &done {
        Ok(()) => Event::new(Kind::UserChange, Outcome::Success, name, "command line", what),
        Err(error) => {
            let what = format!("{what}: refused, {error}");
            Event::new(Kind::UserChange, Outcome::Failure, name, "command line", &what)
        }
    };
    let recorded = record_once(dir, event).await;
    done?;
    recorded.map_err(|error| format!("that was done, but the audit could not be written: {error}").into())
}

fn store(dir: &DataDir) -> Result<Users, Error> {
    Ok(Users::open(&dir.database())?.keeping_an_admin())
}

fn new_hash(name: &str, password: &str, policy: &Policy<'_>) -> Result<String, Error> {
    policy.password.check(password, name).map_err(|broken| format!("this password is not allowed: {broken}"))?;
    let phc = password::hash(password, &random::<{ password::SALT_LEN }>()?, policy.iterations)?;
    Ok(phc.as_str().to_owned())
}

fn told(error: &users::Error, name: &str) -> Error {
    let name = one_line(name);
    match error {
        users::Error::Exists => format!("a user called `{name}` exists already").into(),
        users::Error::NotFound => format!("there is no user called `{name}`").into(),
        users::Error::LastAdmin => format!("`{name}` is the last user who may administer").into(),
        error => error.to_string().into(),
    }
}
