//! How commands run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use daur_core::reliability::breaker::{self, Any, ModeConfig};
use daur_core::reliability::{budget, retry};
use daur_core::time::Duration;

use crate::{fallback, runner};

/// Commands that may wait for a place at most.
pub const WAITING: usize = 256;

/// Calls that a breaker's window may hold.
pub const CALLS: usize = 1024;
/// Buckets that a breaker's window of time may have.
pub const BUCKETS: usize = 60;

/// A breaker of any mode, with windows of up to 1,024 calls or 60 buckets.
pub type AnyMode = Any<{ CALLS / 32 }, BUCKETS>;

/// Says how commands run.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a program is ended. Default 10 s.
    pub timeout: Duration,
    /// Bytes kept of each output. Default 1 MiB.
    pub output_limit: usize,
    /// How long a success is kept. Default 30 s.
    pub ttl: Duration,
    /// Programs that run at a time. Default 8.
    pub at_once: u32,
    /// Commands that wait for their turn; at most [`WAITING`]. Default 64.
    pub waiting: u32,
    /// How long a command waits for its turn. Default 2 s.
    pub queue_wait: Duration,
    /// How a program that cannot be started is tried again. Default 3 attempts, from 50 ms.
    pub retry: retry::Config,
    /// What the retries of all commands together may cost; `None` for no limit. Default: a bucket of 500 tokens.
    pub budget: Option<budget::Config>,
    /// When a program is not started any more. Default 5 failures in a row, for 30 s.
    pub breaker: breaker::Config,
    /// What opens the breaker, if not failures in a row.
    pub mode: ModeConfig,
    /// Programs whose breaker is another one.
    pub breakers: BTreeMap<String, (breaker::Config, ModeConfig)>,
    /// Where programs are looked for.
    pub program_dirs: Vec<PathBuf>,
    /// What stands in where a program gives nothing. Default: its last good output, up to 5 min old.
    pub fallback: fallback::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            output_limit: 1 << 20,
            ttl: Duration::from_secs(30),
            at_once: 8,
            waiting: 64,
            queue_wait: Duration::from_secs(2),
            retry: retry::Config { initial_delay: Duration::from_millis(50), ..retry::Config::DEFAULT },
            budget: Some(budget::Config::DEFAULT),
            breaker: breaker::Config { recovery_timeout: Duration::from_secs(30), ..breaker::Config::DEFAULT },
            mode: ModeConfig::DEFAULT,
            breakers: BTreeMap::new(),
            program_dirs: runner::program_dirs(),
            fallback: fallback::Config::DEFAULT,
        }
    }
}
