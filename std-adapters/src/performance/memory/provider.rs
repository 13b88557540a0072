//! Who tells how much memory is used.

use std::fmt;
use std::io;
use std::path::PathBuf;

use daur_core::performance::memory::{Reading, Usage};
use daur_core::time::Duration;
use serde::Serialize;

/// Reads the memory figures. [`System`](super::System) asks the operating system, a test tells its own by a closure.
pub trait Provider: Send + Sync {
    /// Reads everything that is cheap to know.
    ///
    /// # Errors
    /// [`Error`] if even the process's own figure or the machine's is not to be had.
    fn sample(&self) -> Result<Sample, Error>;

    /// This process's resident memory alone: what [`optimize`](super::MemoryOptimizer::optimize) measures by.
    ///
    /// # Errors
    /// As [`Provider::sample`], of which it is a part unless it is written.
    fn process(&self) -> Result<u64, Error> {
        self.sample().map(|sample| sample.process)
    }

    /// This process's proportional set size, in which a page that `n` processes share counts one `n`th. Costly, so it is no part of a sample.
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless it is written.
    fn proportional(&self) -> Result<u64, Error> {
        Err(Error::Unsupported)
    }
}

impl<F: Fn() -> Result<Sample, Error> + Send + Sync> Provider for F {
    fn sample(&self) -> Result<Sample, Error> {
        self()
    }
}

/// What was read, in bytes. What the system does not tell is `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// This process's resident memory. Linux counts it by CPU, so it may be some pages off.
    pub process: u64,
    /// The machine's memory.
    pub total: u64,
    /// What of it can be had without swapping; at most `total`.
    pub available: u64,
    /// The swap space.
    pub swap: Option<Usage>,
    /// The control group that the process is in.
    pub group: Option<Group>,
    /// The address space, if it has a limit (`RLIMIT_AS`).
    pub address_space: Option<Usage>,
    /// The time lost for want of memory.
    pub pressure: Option<Pressure>,
    /// Files that were there and could not be understood or read, of those whose figures are optional.
    pub unread: u16,
}

/// Tells the memory of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// What its processes use: `memory.current` (`memory.usage_in_bytes`) without the file pages that nobody has used of
    /// late, which the kernel takes back before it kills. Kubernetes calls it the working set.
    pub used: u64,
    /// The smallest limit of it and of the groups around it: `memory.max` and `memory.high`, where the kernel begins to
    /// throttle.
    pub limit: Option<u64>,
    /// Of those groups that have a limit, the use of the one that has the smallest part left.
    pub tightest: Usage,
}

/// Tells how much time was lost for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// While at least one task stood still.
    pub some: Stall,
    /// While all of them did.
    pub full: Option<Stall>,
}

/// Tells how much time was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// Thousandths of the last ten seconds.
    pub avg10: u16,
    /// In all.
    pub total: Duration,
}

/// Says which limit is the tightest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// The machine's memory.
    Machine,
    /// A control group's limit.
    Group,
    /// The limit of the address space.
    AddressSpace,
    /// The limit of the [`Config`](super::Config), on the process's resident memory.
    Configured,
}

impl Sample {
    /// The use that is judged: of all limits, that of which the smallest part is left.
    #[must_use]
    pub fn judged(&self, limit: Option<u64>) -> (Scope, Usage) {
        let machine = Usage::new(self.total.saturating_sub(self.available), self.total);
        let others = [
            (Scope::Group, self.group.map(|group| group.tightest)),
            (Scope::AddressSpace, self.address_space),
            (Scope::Configured, limit.map(|limit| Usage::new(self.process, limit))),
        ];
        others.into_iter().filter_map(|(scope, usage)| Some((scope, usage?))).fold(
            (Scope::Machine, machine),
            |judged, other| {
                if judged.1.tighter(other.1) == judged.1 { judged } else { other }
            },
        )
    }

    /// What the machine of the core is told.
    #[must_use]
    pub fn reading(&self, limit: Option<u64>) -> Reading {
        Reading { usage: self.judged(limit).1, pressure: self.pressure.map(|pressure| pressure.some.avg10) }
    }
}

/// Says why the memory could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Nobody here knows how on this system.
    Unsupported,
    /// The operating system refused.
    Read {
        /// Which file.
        file: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// A file says what cannot be understood.
    Malformed {
        /// Which file.
        file: PathBuf,
    },
    /// The provider panicked.
    Panicked,
    /// A provider of your own failed.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("memory: this system does not tell, or needs the feature `sysinfo`"),
            Self::Read { file, .. } => write!(f, "memory: reading {} failed", file.display()),
            Self::Malformed { file } => write!(f, "memory: {} cannot be understood", file.display()),
            Self::Panicked => f.write_str("memory: the provider panicked"),
            Self::Other(error) => write!(f, "memory: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Other(error) => error.source(),
            Self::Unsupported | Self::Malformed { .. } | Self::Panicked => None,
        }
    }
}
