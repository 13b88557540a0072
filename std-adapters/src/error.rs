//! The one error of adapters that open, read or configure something.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Says which work of an adapter failed, and why.
///
/// Machines have errors of their own; this one is for what a host adds: files, sockets, stores.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A value of a configuration is not allowed.
    Config {
        /// The field's name.
        field: &'static str,
        /// What is allowed there.
        allowed: &'static str,
    },
    /// The operating system refused.
    Io {
        /// What was being done, with the name of the file or peer.
        doing: String,
        /// Its reason.
        source: io::Error,
    },
    /// A store refused.
    Store {
        /// What was being done.
        doing: &'static str,
        /// Its reason.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl Error {
    /// The error of an operating system's refusal while `doing`.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// The error of a store's refusal while `doing`.
    pub fn store(doing: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Store { doing, source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { field, allowed } => write!(f, "`{field}` must be {allowed}"),
            Self::Io { doing, .. } => write!(f, "{doing} failed"),
            Self::Store { doing, .. } => write!(f, "{doing} failed"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Config { .. } => None,
            Self::Io { source, .. } => Some(source),
            Self::Store { source, .. } => Some(&**source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_done_and_keeps_the_reason() {
        let error = Error::io("opening /dev/ttyUSB7", io::ErrorKind::NotFound.into());
        assert_eq!(error.to_string(), "opening /dev/ttyUSB7 failed");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("entity not found"));
        let error = Error::Config { field: "max_bytes", allowed: "at least 1 MiB" };
        assert_eq!(error.to_string(), "`max_bytes` must be at least 1 MiB");
    }
}
