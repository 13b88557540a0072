//! What the server is told at its start: flags, and the files of its data directory.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use daur_core::security::policy::Policy;
use daur_core::time::Duration;
use daur_std::link::{self, Endpoint};
use daur_std::monitoring::errors::ErrorTracker;
use daur_std::monitoring::log::Logger;
use daur_std::security::keys;

use crate::{command, events, health, history, http, logs, memory, model, pool, results};

/// Says how one server runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it only shows: what changes anything is refused, but logins and logouts.
    pub read_only: bool,
    /// Where everything it keeps lies; nothing is written elsewhere.
    pub data_dir: PathBuf,
    /// The devices it reads.
    pub devices: Vec<Endpoint>,
    /// How it reads them.
    pub link: link::Config,
    /// The fleet key's file, if not `fleet.key` in the data directory.
    pub fleet_key_file: Option<PathBuf>,
    /// Who may do what, and how often.
    pub policy: Policy<'static>,
    /// How commands run.
    pub command: command::Config,
    /// How models are asked.
    pub model: model::Config,
    /// What is kept of results.
    pub cache: results::Config,
    /// What waits for the disk.
    pub pool: pool::Config,
    /// What is counted by name.
    pub events: events::Config,
    /// When memory is short.
    pub memory: memory::Config,
    /// What the server asks itself.
    pub health: health::Config,
    /// What is kept for the charts.
    pub history: history::Config,
    /// What is logged.
    pub log: logs::Config,
    /// The log, once there is one.
    pub logger: Option<Logger>,
    /// What fails, once somebody hears what is logged.
    pub errors: Option<ErrorTracker>,
    /// Limits of the connections.
    pub http: http::Config,
    /// How often the numbers are read for the dashboard.
    pub sample_every: Duration,
    /// How often the system is read.
    pub system_every: Duration,
    /// How long a stop may take, from draining to the last byte on the disk.
    pub stop_within: std::time::Duration,
}

impl Config {
    /// The defaults on `listen`, with everything kept in `data_dir`.
    #[must_use]
    pub fn new(listen: SocketAddr, data_dir: PathBuf) -> Self {
        Self {
            listen,
            read_only: false,
            data_dir,
            devices: Vec::new(),
            link: link::Config::DEFAULT,
            fleet_key_file: None,
            policy: Policy::DEFAULT,
            command: command::Config::default(),
            model: model::Config::default(),
            cache: results::Config::DEFAULT,
            pool: pool::Config::DEFAULT,
            events: events::Config::DEFAULT,
            memory: memory::Config::default(),
            health: health::Config::DEFAULT,
            history: history::Config::DEFAULT,
            log: logs::Config::default(),
            logger: None,
            errors: None,
            http: http::Config::DEFAULT,
            sample_every: Duration::from_secs(1),
            system_every: Duration::from_secs(2),
            // The process shall be gone within 5 s, and the log's last lines come after it.
            stop_within: std::time::Duration::from_millis(3_300),
        }
    }
}

/// Names the files of a data directory.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Opens the directory, made if need be, for its owner alone.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let dir = Self(path.canonicalize()?);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.work())?;
        for database in [dir.database(), dir.audit()] {
            // SQLite would make it readable by others; its side files take the mode of the database.
            fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&database)?;
            // One that was brought from elsewhere may be so, and hashes and the audit's key with it.
            for side in ["", "-wal", "-shm"] {
                let mut file = database.clone().into_os_string();
                file.push(side);
                match fs::metadata(&file) {
                    Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(dir)
    }

    /// Opens a directory that is there, with a server's database in it.
    ///
    /// # Errors
    /// The file system's; [`io::ErrorKind::NotFound`] names what is not there.
    pub fn existing(path: &Path) -> io::Result<Self> {
        let found = path.canonicalize().map(Self).ok().filter(|dir| dir.database().is_file());
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("{} is no data directory", path.display()));
        found.ok_or_else(none)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Users and sessions.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("daur.db")
    }

    /// The audit chain. It is written to all the time; what is asked with every request is in a file by itself.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.0.join("audit.db")
    }

    /// Results of commands.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache.db")
    }

    /// What happened, by name.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.0.join("events.db")
    }

    /// What the figures were.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.0.join("history.db")
    }

    /// What people do.
    #[must_use]
    pub fn usage(&self) -> PathBuf {
        self.0.join("analytics.db")
    }

    /// The log's files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// Where commands run.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// The audit chains of devices, a file for each of their lives.
    #[must_use]
    pub fn device_audit(&self) -> PathBuf {
        self.0.join("devices")
    }

    /// Stores a new audit chain's first key.
    ///
    /// # Errors
    /// The file system's; a key that is there already belongs to a chain that is not, and is not replaced.
    pub fn keep_audit_key(&self, key: &[u8; 32]) -> io::Result<()> {
        let path = self.audit_key();
        keys::store(&path, key).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(
                error.kind(),
                format!(
                    "{} belongs to a chain that is not in {}: bring that back, or move the key aside to begin anew",
                    path.display(),
                    self.audit().display()
                ),
            ),
            kind => io::Error::new(kind, format!("{}: {error}", path.display())),
        })
    }

    /// The audit chain's first key: whoever has it can verify the chain, and should keep it elsewhere.
    #[must_use]
    pub fn audit_key(&self) -> PathBuf {
        self.0.join("audit.key")
    }
}
