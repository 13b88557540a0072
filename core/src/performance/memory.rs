//! How short memory is, and who gives some back.

mod config;
mod monitor;
mod shrink;
pub mod shrinkers;
mod usage;

pub use config::{Band, Bands, Config, ConfigError};
pub use monitor::{Change, Monitor, Snapshot};
pub use shrink::{Resize, Share, Shrink};
pub use shrinkers::Shrinkers;
pub use usage::{Reading, Usage};

use core::fmt;

/// Says how short memory is, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Level {
    /// There is enough.
    #[default]
    Normal,
    /// It is getting short: what is cheap to get again is given back.
    Elevated,
    /// It is about to run out: all that can be given back is.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Elevated => "elevated",
            Self::Critical => "critical",
        })
    }
}
