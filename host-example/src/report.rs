//! A report in a file: of a server that runs, or of what a data directory keeps.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use daur_core::time::{UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::monitoring::dashboard::{self, FullStatus};
use reqwest::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value, json};

use crate::audit::head_text;
use crate::client::Server;
use crate::config::DataDir;
use crate::history::Shown;
use crate::reports::{Format, Report, SPAN, STEPS, sections};
use crate::{chain, events, history};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Records of the audit that stand in a report.
const RECORDS: u32 = 50;

/// What is to be done.
#[derive(Clone)]
pub struct Work {
    /// Of which kind.
    pub format: Format,
    /// Where to; `None` for stdout.
    pub output: Option<PathBuf>,
    /// Of what.
    pub of: Of,
}

/// Says what a report is of.
#[derive(Clone)]
pub enum Of {
    /// Of a server that runs, with the token of somebody who may read.
    Server(Server),
    /// Of what a data directory keeps, whether a server runs on it or not.
    Kept {
        /// The directory.
        dir: PathBuf,
        /// How finely its server keeps figures.
        history: history::Config,
    },
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("format", &self.format).field("output", &self.output).finish_non_exhaustive()
    }
}

/// Does it.
///
/// # Errors
/// Why there is no report.
pub async fn run(work: Work) -> Result<(), Error> {
    let report = match &work.of {
        Of::Server(server) => server.ask(Method::GET, &["api", "reports", work.format.as_str()], None).await?,
        Of::Kept { dir, history } => kept(&DataDir::existing(dir)?, *history)?.render(work.format).into_bytes(),
    };
    match &work.output {
        None => Ok(io::stdout().lock().write_all(&report)?),
        Some(path) => Ok(dashboard::replace(path, &report)?),
    }
}

/// What the files of a data directory say.
fn kept(dir: &DataDir, config: history::Config) -> Result<Report, Error> {
    let at_ms = SystemWallClock.unix_now().map_or(0, UnixTime::as_millis);
    let (head, last) = chain::last(dir.path(), RECORDS)?;
    let last: Vec<Value> = last
        .iter()
        .map(|entry| {
            json!({
                "seq": entry.seq,
                "at_ms": entry.unix.map(UnixTime::as_millis),
                "kind": entry.event.kind.name(),
                "outcome": entry.event.outcome,
                "actor": entry.event.actor.as_str(),
                "source": entry.event.source.as_str(),
                "detail": entry.event.detail.as_str(),
            })
        })
        .collect();
    let mut parts = Map::new();
    parts.insert("audit".to_owned(), json!({ "head": head_text(&head), "last": last }));
    let counted = dir.events();
    if counted.is_file() {
        parts.insert("events".to_owned(), by_name(events::totals_at(&counted)?));
    }
    let figures = dir.history();
    let charts = if figures.is_file() { history_of(&figures, config, at_ms)?.charts() } else { Vec::new() };
    let status = FullStatus {
        title: format!("daur-host in {}", dir.path().display()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at_ms,
        sections: sections(parts),
        ..FullStatus::default()
    };
    Ok(Report { status, charts })
}

/// Counts by what was done and to what.
fn by_name(totals: Vec<events::Total>) -> Value {
    let one = |events::Total { kind, name, outcome, count }| (format!("{kind} {name}, {outcome}"), count.into());
    Value::Object(totals.into_iter().map(one).collect())
}

/// The figures of a day, from a copy: the file may be a server's, and a config that is not its own would thin it out.
fn history_of(path: &Path, config: history::Config, at_ms: u64) -> Result<Shown, Error> {
    let copy = path.with_file_name(format!(".report-{}.db", std::process::id()));
    let _ = fs::remove_file(&copy);
    let read = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let live = Connection::open_with_flags(path, flags)?;
        live.busy_timeout(Duration::from_secs(2))?;
        live.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        history::figures_of(&copy, config, at_ms.saturating_sub(SPAN), at_ms, STEPS)
    };
    let figures = read();
    for side in ["", "-wal", "-shm"] {
        let mut file = copy.clone().into_os_string();
        file.push(side);
        let _ = fs::remove_file(file);
    }
    figures
}
