//! The log: on the console, in files below the data directory, and its last lines for whoever asks.
//!
//! # Rules
//! 1. Lines go to stderr, for people or as JSON, and to `logs` in the data directory, where files are rotated, packed and
//!    in the end removed.
//! 2. What no file or console has taken is counted and told: in the log itself, and on the dashboard.
//! 3. The level is the command line's, else that of `RUST_LOG`, else the config's; an operator may change it.

use std::path::PathBuf;
use std::time::Duration as StdDuration;

use daur_core::time::Duration;
use daur_std::monitoring::log::file::FileConfig;
use daur_std::monitoring::log::sink::Console;
use daur_std::monitoring::log::{self, GZIP, Level, Line, Logger};
use serde::Serialize;

/// Says what is logged, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What is less grave is left out. Default: info.
    pub level: Level,
    /// Other levels for what begins with these paths.
    pub targets: Vec<(String, Level)>,
    /// Whether lines on stderr are JSON.
    pub json: bool,
    /// Whether there are files.
    pub files: bool,
    /// Bytes of one file. Default 10 MiB.
    pub file_bytes: u64,
    /// How long one file is written to. Default a day.
    pub file_period: Duration,
    /// Old files that are kept. Default 10.
    pub old_files: usize,
    /// Whether old ones are packed.
    pub gzip: bool,
    /// Last lines that are remembered for the dashboard. Default 1,000.
    pub recent: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: Level::Info,
            targets: Vec::new(),
            json: false,
            files: true,
            file_bytes: 10 << 20,
            file_period: Duration::from_secs(86_400),
            old_files: 10,
            gzip: true,
            recent: 1_000,
        }
    }
}

impl Config {
    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.file_bytes < 1_024 {
            return Err(format!("`file_bytes` is {}; it must be 1024 at least", self.file_bytes));
        }
        if self.file_period.as_secs() == 0 {
            return Err(format!("`file_period` is {}; it must be a second at least", self.file_period));
        }
        if self.recent > 100_000 {
            return Err(format!("`recent` is {}; it may be 100000 at most", self.recent));
        }
        Ok(())
    }

    /// Takes the levels of a list such as `RUST_LOG` has: `info,hyper=warn`. What is none is left out.
    pub fn take(&mut self, levels: &str) {
        for part in levels.split(',').map(str::trim) {
            match part.split_once('=') {
                None => self.level = level(part).unwrap_or(self.level),
                Some((target, name)) => self.targets.extend(level(name).map(|level| (target.to_owned(), level))),
            }
        }
    }

    /// Opens console and, in `dir`, files.
    ///
    /// # Errors
    /// The path that cannot be written, and why.
    pub fn open(&self, dir: Option<PathBuf>) -> Result<Logger, daur_std::error::Error> {
        let file = dir.filter(|_| self.files).map(|dir| FileConfig {
            name: "daur-host".to_owned(),
            max_bytes: self.file_bytes,
            period: Some(self.file_period.into()),
            max_files: self.old_files,
            pack: self.gzip.then_some(GZIP),
            ..FileConfig::in_dir(dir)
        });
        Logger::try_new(log::Config {
            level: self.level,
            targets: self.targets.clone(),
            console: Some(Console { json: self.json, ..Console::default() }),
            file,
            recent: self.recent,
            ..log::Config::default()
        })
    }
}

/// What a level is called.
pub const LEVELS: &str = "one of error, warn, info, debug, trace";

/// The level of that name, in small letters or not.
#[must_use]
pub fn level(name: &str) -> Option<Level> {
    name.parse().ok()
}

/// Shows what became of the lines.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Lines that were wanted.
    pub sent: u64,
    /// Those that console and file have taken.
    pub written: u64,
    /// Those that one of them has not got.
    pub dropped: u64,
    /// Those that wait.
    pub queued: u64,
    /// The number of the latest line.
    pub last_seq: u64,
    /// What is less grave is left out.
    pub level: Level,
    /// What was said when the last line was dropped.
    pub last_error: Option<String>,
}

/// The log of this server; without a logger, there is none.
#[derive(Clone, Debug, Default)]
pub struct Logs(pub Option<Logger>);

impl Logs {
    /// What became of the lines.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let logger = self.0.as_ref()?;
        let counts = logger.counts();
        Some(Snapshot {
            sent: counts.sent,
            written: counts.written,
            dropped: counts.dropped,
            queued: counts.queued,
            last_seq: counts.sent,
            level: logger.level(),
            last_error: counts.sinks.into_iter().find_map(|sink| sink.last_error),
        })
    }

    /// The last `limit` lines at least as grave as `least` with a number above `after`, the oldest first.
    #[must_use]
    pub fn recent(&self, limit: usize, least: Level, after: u64) -> Vec<Line> {
        self.0.as_ref().map_or_else(Vec::new, |logger| logger.recent(limit, least, after))
    }
}

/// How long the last lines may take at the end.
pub const LAST_LINES: StdDuration = StdDuration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_level_for_all_and_others_for_some() {
        let mut config = Config::default();
        config.take("DEBUG,hyper=warn, tokio::net=Error,nonsense,x=y");
        let targets = vec![("hyper".to_owned(), Level::Warn), ("tokio::net".to_owned(), Level::Error)];
        assert_eq!((config.level, &config.targets), (Level::Debug, &targets));
        config.take("");
        assert_eq!(config.level, Level::Debug);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let wrong = |config: Config| config.validate().unwrap_err();
        assert_eq!(Config::default().validate(), Ok(()));
        assert!(wrong(Config { file_bytes: 1, ..Config::default() }).contains("`file_bytes`"));
        assert!(wrong(Config { file_period: Duration::ZERO, ..Config::default() }).contains("`file_period`"));
        assert!(wrong(Config { recent: 1 << 30, ..Config::default() }).contains("`recent`"));
    }
}
