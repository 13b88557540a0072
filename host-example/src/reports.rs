//! Reports: everything at this moment, to be kept or sent.

use clap::ValueEnum;
use daur_std::monitoring::prometheus;

use crate::app::App;
use crate::problem::Problem;
use crate::{metrics, status};

/// Names a kind of report.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The status, as /api/status tells it
    Json,
    /// Figures, one a line
    Csv,
    /// A page with charts that needs nothing else
    Html,
    /// Figures for Prometheus
    Prom,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Json, Self::Csv, Self::Html, Self::Prom];

    /// Its name in paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
            Self::Prom => "prom",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// What it is called in a header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Prom => prometheus::Format::accepted("").content_type(),
        }
    }
}
