//! Adds users, from a process of its own; the server may be running.

use std::path::Path;

use daur_core::id::BootId;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::password;
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::time::WallClock;
use daur_std::clock::SystemWallClock;
use daur_std::security::keys::random;
use daur_std::security::users::{self, User, Users};

use crate::audit;
use crate::config::DataDir;

type Error = Box<dyn std::error::Error + Send + Sync>;

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
    policy.password.check(password, name).map_err(|broken| format!("this password is not allowed: {broken}"))?;
    let dir = DataDir::open(data_dir)?;
    let phc = password::hash(password, &random::<{ password::SALT_LEN }>()?, policy.iterations)?;
    let created = SystemWallClock.unix_now().ok_or("the clock stands before 1970")?;
    let user = User { name: name.to_owned(), phc: phc.as_str().to_owned(), permissions, created };
    Users::open(&dir.database())?.add(&user).map_err(|error| match error {
        users::Error::Exists => format!("a user called `{name}` exists already"),
        error => error.to_string(),
    })?;
    let (audit, writer) = audit::open(&dir.database(), BootId(0), |key| dir.keep_audit_key(key))?;
    let event =
        Event::new(Kind::UserChange, Outcome::Success, name, "command line", &format!("added with {permissions}"));
    let recorded = audit.record(event).await;
    drop(audit);
    writer.join();
    recorded.map_err(|_| "the user was added, but the audit could not be written".into())
}
