//! Reports: everything at this moment and how it came to it, to be kept or sent.

use std::collections::BTreeMap;

use clap::ValueEnum;
use daur_core::monitoring::report::{Report as Numbers, Verdict};
use daur_core::time::{Duration, UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::monitoring::dashboard::{self, Chart, Concern, FullStatus};
use daur_std::monitoring::prometheus;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::history::{Asked, NAMES, Shown};
use crate::problem::Problem;
use crate::status::Attention;
use crate::{metrics, status};

/// Names a kind of report.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The status, what people did, and the figures of a day
    Json,
    /// Figures and texts, one a line
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
        self.machine().extension()
    }

    /// The kind of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// What it is called in a header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        self.machine().content_type()
    }

    const fn machine(self) -> dashboard::Format {
        match self {
            Self::Json => dashboard::Format::Json,
            Self::Csv => dashboard::Format::Csv,
            Self::Html => dashboard::Format::Html,
            Self::Prom => dashboard::Format::Prometheus,
        }
    }
}

/// How far back the figures go, in milliseconds, and in how many steps.
pub const SPAN: u64 = 24 * 3_600 * 1_000;
/// As above.
pub const STEPS: usize = 289;

/// What stands in a report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Everything by section and name.
    #[serde(flatten)]
    pub status: FullStatus,
    /// The figures over time.
    pub charts: Vec<Chart>,
}

impl Report {
    /// Of a server that runs.
    ///
    /// # Errors
    /// `overloaded` if the pool is full.
    pub async fn of(app: &App) -> Result<Self, Problem> {
        let at = SystemWallClock.unix_now().map_or(0, UnixTime::as_millis);
        let internal = |error: serde_json::Error| Problem::internal("a report is not JSON", &error);
        let names = NAMES.map(str::to_owned).to_vec();
        let asked = Asked { names, from: at.saturating_sub(SPAN), to: at, points: STEPS };
        let charts = app.history.query(app, &asked).await?.charts();
        let usage = app.usage.report(&app.pool).await?;
        let full = status::full(app);
        let mut parts = match serde_json::to_value(&full).map_err(internal)? {
            Value::Object(parts) => parts,
            _ => Map::new(),
        };
        parts.insert("analytics".to_owned(), serde_json::to_value(&*usage).map_err(internal)?);
        // Told as what is wrong.
        parts.remove("attention");
        let concerns: Vec<Concern> = full.attention.iter().map(concern).collect();
        let status = FullStatus {
            title: format!("daur-host on {}", full.host),
            version: full.version.to_owned(),
            at_ms: full.now_ms,
            uptime_ms: full.uptime_ms,
            verdict: concerns.iter().map(|concern| concern.verdict).max().unwrap_or_default(),
            concerns,
            report: numbers(&full),
            sections: sections(parts),
        };
        Ok(Self { status, charts })
    }

    /// As text.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            // Texts, numbers and maps with texts as keys: nothing of it can fail.
            Format::Json => serde_json::to_string(self).unwrap_or_default(),
            format => self.status.render(format.machine(), &self.charts),
        }
    }
}

fn concern(attention: &Attention) -> Concern {
    let verdict = if attention.level == "red" { Verdict::Red } else { Verdict::Amber };
    Concern { verdict, section: "server".to_owned(), name: "attention".to_owned(), what: attention.text.clone() }
}

/// The same in numbers, added up.
fn numbers(full: &status::FullStatus) -> Numbers {
    let short = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let states = || {
        let models = full.models.upstreams.iter().map(|upstream| upstream.state);
        full.breakers.iter().map(|program| program.state).chain(models)
    };
    let count = |wanted: &str| u16::try_from(states().filter(|state| *state == wanted).count()).unwrap_or(u16::MAX);
    let refused = full.breakers.iter().map(|program| program.refused).fold(0, u32::saturating_add);
    let audit = &full.security.audit;
    let up = Duration::from_millis(full.uptime_ms);
    Numbers {
        breakers_closed: ["closed", "disabled", "metrics_only"].into_iter().map(count).fold(0, u16::saturating_add),
        breakers_trying: count("half_open"),
        breakers_open: count("open"),
        breakers_forced: count("forced_open"),
        refused,
        errors: short(full.errors.total),
        errors_recent: short(full.errors.last_minute),
        audited: audit.records,
        audit_lost: short(audit.lost.saturating_add(audit.failed)),
        cache_hits: short(full.cache.hits),
        cache_misses: short(full.cache.misses),
        queued: short(full.pool.queued),
        queue_refused: short(full.pool.refused),
        log_dropped: short(full.logs.as_ref().map_or(0, |logs| logs.dropped)),
        ..Numbers::new(up).health(full.health.live, full.health.ready).level(full.memory.level)
    }
}

/// Parts by section and name: lists by what their parts are called, and what is neither list nor table together.
#[must_use]
pub fn sections(parts: Map<String, Value>) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut sections: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for (part, value) in parts {
        match value {
            Value::Object(fields) => sections.entry(part).or_default().extend(fields),
            Value::Array(items) => {
                let section = sections.entry(part).or_default();
                for (place, item) in items.into_iter().enumerate() {
                    let own = ["id", "name", "endpoint"].iter().find_map(|key| item.get(key)?.as_str());
                    let own = own.filter(|own| !section.contains_key(*own)).map(str::to_owned);
                    section.insert(own.unwrap_or_else(|| place.to_string()), item);
                }
            }
            value => _ = sections.entry("server".to_owned()).or_default().insert(part, value),
        }
    }
    sections
}

impl Shown {
    /// As charts.
    #[must_use]
    pub fn charts(self) -> Vec<Chart> {
        let (t, series) = self.into_parts();
        series.into_iter().map(|(name, values)| Chart { name, t: t.clone(), values }).collect()
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
    app.pool.run_late(move || report.render(format)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_go_by_the_names_of_their_parts() {
        let parts = json!({
            "host": "x",
            "requests": { "total": 7 },
            "breakers": [{ "name": "uname", "state": "open" }, { "name": "uname" }, { "runs": 3 }],
            "failing": ["one"],
        });
        let Value::Object(parts) = parts else { unreachable!("it is one") };
        let sections = sections(parts);
        assert_eq!((&sections["server"]["host"], &sections["requests"]["total"]), (&json!("x"), &json!(7)));
        let breakers: Vec<&str> = sections["breakers"].keys().map(String::as_str).collect();
        assert_eq!(breakers, ["1", "2", "uname"]);
        assert_eq!(
            (&sections["breakers"]["uname"]["state"], &sections["failing"]["0"]),
            (&json!("open"), &json!("one"))
        );
    }

    #[test]
    fn a_format_goes_by_its_files_ending() {
        assert_eq!(Format::ALL.map(Format::as_str), ["json", "csv", "html", "prom"]);
        assert!(Format::ALL.into_iter().all(|format| Format::by_name(format.as_str()) == Some(format)));
        assert_eq!(Format::by_name("pdf"), None);
        assert!(Report::default().render(Format::Html).starts_with("<!doctype html>"));
    }
}
