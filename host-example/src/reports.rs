//! Reports: everything at this moment and how it came to it, to be kept or sent.

mod csv;
mod html;

use clap::ValueEnum;
use daur_core::time::{UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::monitoring::prometheus;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::history::{Asked, NAMES};
use crate::problem::Problem;
use crate::{metrics, status};

/// Names a kind of report.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The status, what people did, and the figures of a day
    Json,
    /// The same, one value a line
    Csv,
    /// A page with charts and tables that needs nothing else
    Html,
    /// The present figures, for Prometheus
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
            Self::Prom => prometheus::Format::Prometheus.content_type(),
        }
    }
}

/// How far back the figures go, in milliseconds, and in how many steps.
pub const SPAN: u64 = 24 * 3_600 * 1_000;
/// As above.
pub const STEPS: usize = 288;

/// What stands in a report.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it is of.
    pub title: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Everything by name.
    pub parts: Map<String, Value>,
    /// The figures over time, as `/api/history` answers.
    pub history: Value,
}

impl Report {
    /// Of a server that runs.
    ///
    /// # Errors
    /// `overloaded` if the pool is full.
    pub async fn of(app: &App) -> Result<Self, Problem> {
        let at_ms = SystemWallClock.unix_now().map_or(0, UnixTime::as_millis);
        let internal = |error: serde_json::Error| Problem::internal("a report is not JSON", &error);
        let asked = Asked {
            names: NAMES.map(str::to_owned).to_vec(),
            from: at_ms.saturating_sub(SPAN),
            to: at_ms,
            points: STEPS,
        };
        let history = serde_json::to_value(app.history.query(app, &asked).await?).map_err(internal)?;
        let usage = app.usage.report(&app.pool).await?;
        let Value::Object(mut parts) = serde_json::to_value(status::full(app)).map_err(internal)? else {
            return Err(Problem::internal("a report is not JSON", &"the status is no object"));
        };
        parts.insert("analytics".to_owned(), serde_json::to_value(&*usage).map_err(internal)?);
        Ok(Self { title: format!("daur-host on {}", app.host), at_ms, parts, history })
    }

    /// As text; `None` for what is not made of parts.
    #[must_use]
    pub fn render(&self, format: Format) -> Option<String> {
        Some(match format {
            Format::Json => {
                let Self { title, at_ms, parts, history } = self;
                json!({ "title": title, "at_ms": at_ms, "parts": parts, "history": history }).to_string()
            }
            Format::Csv => csv::render(self),
            Format::Html => html::render(self),
            Format::Prom => return None,
        })
    }
}

/// A report of `app` as text.
///
/// # Errors
/// `overloaded` if the pool is full.
pub async fn render(app: &App, format: Format) -> Result<String, Problem> {
    if let Format::Prom = format {
        return Ok(metrics::text(app, prometheus::Format::Prometheus));
    }
    let report = Report::of(app).await?;
    app.pool.run_late(move || report.render(format).unwrap_or_default()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn report() -> Report {
        let parts = json!({
            "host": "<b>\"x\"",
            "live": true,
            "requests": { "total": 7, "per_second": 1.5, "none": null },
            "breakers": [{ "name": "=cmd()", "state": "open" }, { "name": "a,b", "runs": 3 }],
            "failing": ["one", "two\nlines"],
        });
        let Value::Object(parts) = parts else { unreachable!("it is one") };
        let history = json!({
            "from_ms": 0, "to_ms": 40, "step_ms": 10, "t": [0, 10, 20, 30],
            "series": { "cpu": [100, null, 300, 200], "p50": [null, null, null, null] },
        });
        Report { title: "a & b".into(), at_ms: 1_700_000_000_000, parts, history }
    }

    #[test]
    fn a_report_as_json_is_all_of_it() {
        let report = report();
        let read: Value = serde_json::from_str(&report.render(Format::Json).unwrap()).unwrap();
        assert_eq!((&read["parts"]["requests"]["total"], &read["history"]), (&json!(7), &report.history));
        assert_eq!(report.render(Format::Prom), None);
        assert!(Format::ALL.into_iter().all(|format| Format::by_name(format.as_str()) == Some(format)));
        assert_eq!(Format::by_name("pdf"), None);
    }
}
