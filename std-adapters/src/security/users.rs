//! Users in SQLite.

use std::path::Path;
use daur_core::security::permission::Permissions;
use daur_core::time::UnixTime;

/// A user as stored.
#[derive(Clone, Debug)]
pub struct User {
    /// Name: 1 to 32 bytes, no control characters, no white space at its ends.
    pub name: String,
    /// The PHC string of the password.
    pub phc: String,
    /// What is granted.
    pub permissions: Permissions,
    /// Since when.
    pub created: UnixTime,
}

/// Says what went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A user of that name exists.
    Exists,
    /// No user has that name.
    NotFound,
    /// Not a user name.
    InvalidName,
    /// SQLite's.
    Sqlite(rusqlite::Error),
}

/// Stores users; blocking: call it from the blocking pool.
pub struct Users { db: rusqlite::Connection }

impl Users {
    /// Opens or creates the table in the database at `path`.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, Error> { let _ = path; todo!() }
    /// # Errors
    /// [`Error::Exists`], [`Error::InvalidName`].
    pub fn add(&mut self, user: &User) -> Result<(), Error> { let _ = (user, &self.db); todo!() }
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn find(&self, name: &str) -> Result<Option<User>, Error> { let _ = name; todo!() }
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn list(&self) -> Result<Vec<User>, Error> { todo!() }
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn count(&self) -> Result<u64, Error> { todo!() }
    /// # Errors
    /// [`Error::NotFound`].
    pub fn set_phc(&mut self, name: &str, phc: &str) -> Result<(), Error> { let _ = (name, phc); todo!() }
    /// # Errors
    /// [`Error::NotFound`].
    pub fn set_permissions(&mut self, name: &str, permissions: Permissions) -> Result<(), Error> { let _ = (name, permissions); todo!() }
    /// # Errors
    /// [`Error::NotFound`].
    pub fn remove(&mut self, name: &str) -> Result<(), Error> { let _ = name; todo!() }
}
