//! The audit chain, looked at from a process of its own; the server may be running, or far away.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Completeness, Entry, Head, Report};
use daur_std::security::audit::{AuditLog, device, lines, verify_lines};
use daur_std::security::keys;
use serde_json::json;

use crate::audit::{self, Wanted, head_text};
use crate::cli::{one_line, time_text};
use crate::config::DataDir;
use crate::progress::Progress;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Work {
    /// Show the last records.
    List {
        /// How many.
        limit: u32,
        /// Which.
        wanted: Wanted,
        /// As lines of JSON.
        json: bool,
        /// Those of this file, not of the database.
        file: Option<PathBuf>,
    },
    /// Check a chain.
    Verify {
        /// Which.
        of: Of,
        /// The file of its first key, or of the fleet key.
        key: Option<PathBuf>,
        /// The end that was kept elsewhere.
        head: Option<Head>,
        /// As JSON.
        json: bool,
    },
    /// Show the chain's end.
    Head {
        /// As JSON.
        json: bool,
    },
    /// Write all records as lines.
    Export,
}

/// Says where a chain lies.
#[derive(Clone, Debug)]
pub enum Of {
    /// In the data directory's database.
    Database,
    /// In a file of lines.
    File(PathBuf),
    /// In the file of a device's life.
    Device(PathBuf),
}

/// Does it; says whether the chain is intact, if that was asked.
///
/// # Errors
/// What cannot be read.
pub fn run(data_dir: &Path, work: Work) -> Result<bool, Error> {
    let mut stdout = io::stdout().lock();
    match work {
        Work::List { limit, wanted, json, file } => {
            let entries = match file {
                Some(file) => lines::find(reader(&file)?, &wanted.filter(), limit as usize)?,
                None => log(data_dir)?.find(&wanted.filter(), limit)?,
            };
            for entry in &entries {
                if json {
                    stdout.write_all(lines::line(entry).as_bytes())?;
                } else {
                    writeln!(stdout, "{}", Shown(entry))?;
                }
            }
        }
        Work::Verify { of, key, head, json } => {
            let report = check(data_dir, &of, key.as_deref(), head)?;
            let (said, intact) = (Verdict(&report).to_string(), report.result().is_ok());
            if json {
                let (end, complete) = (report.end, report.completeness == Completeness::Complete);
                let shown = json!({
                    "intact": intact, "complete": complete, "records": end.seq, "head": head_text(&end), "said": said,
                });
                writeln!(stdout, "{shown}")?;
            } else {
                writeln!(stdout, "{said}")?;
            }
            return Ok(intact);
        }
        Work::Head { json } => {
            let head = head_text(&log(data_dir)?.head());
            if json {
                writeln!(stdout, "{}", json!({ "head": head }))?;
            } else {
                writeln!(stdout, "{head}")?;
            }
        }
        Work::Export => {
            log(data_dir)?.export(&mut Progress::writing(&mut stdout, "records written"))?;
        }
    }
    Ok(true)
}

fn check(data_dir: &Path, of: &Of, key: Option<&Path>, head: Option<Head>) -> Result<Report, Error> {
    let key = |name: &str| {
        let path = key.map_or_else(|| data_dir.join(name), Path::to_owned);
        keys::load(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::from(format!("there is no key {}: name it with --key", path.display())),
            _ => error.into(),
        })
    };
    Ok(match of {
        Of::Database => {
            let database = audit::place(&DataDir::existing(data_dir)?)?;
            AuditLog::check_at(&database, key("audit.key")?, head)?
        }
        Of::File(file) => {
            let bytes = file.metadata().map_or(0, |of| of.len());
            let lines = BufReader::new(Progress::reading(reader(file)?, "checked", bytes));
            verify_lines(lines, key("audit.key")?, head)?
        }
        Of::Device(file) => {
            let fleet_key = key("fleet.key")?;
            device::check_at(file, &fleet_key, head).map_err(|error| format!("{}: {error}", file.display()))?
        }
    })
}

/// The end of a data directory's chain, and the last `limit` records, the newest first.
///
/// # Errors
/// What cannot be read.
pub fn last(data_dir: &Path, limit: u32) -> Result<(Head, Vec<Entry>), Error> {
    let log = log(data_dir)?;
    Ok((log.head(), log.find(&Wanted::default().filter(), limit)?))
}

/// The chain of a data directory; there is one, and it is not changed.
fn log(data_dir: &Path) -> Result<AuditLog, Error> {
    let database = audit::place(&DataDir::existing(data_dir)?)?;
    let none = |_: &[u8; 32]| Err(io::Error::new(ErrorKind::NotFound, "there is no audit chain yet"));
    let (log, _) = AuditLog::open_with(&database, DeviceId::new("host")?, BootId(0), none)?;
    Ok(log)
}

fn reader(path: &Path) -> Result<BufReader<File>, Error> {
    Ok(BufReader::new(File::open(path).map_err(|error| format!("{}: {error}", path.display()))?))
}

/// A record as one line of fields, whatever stands in it.
struct Shown<'a>(&'a Entry);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { seq, device, unix, event, .. } = self.0;
        let at = unix.map_or_else(|| "-".to_owned(), time_text);
        let (kind, outcome) = (event.kind.name(), event.outcome.name());
        let [actor, source, detail] =
            [event.actor.as_str(), event.source.as_str(), event.detail.as_str()].map(one_line);
        write!(f, "{seq}\t{at}\t{device}\t{kind}\t{outcome}\t{actor}\t{source}\t{detail}")
    }
}

/// What a check has found, in one line.
struct Verdict<'a>(&'a Report);

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { integrity, completeness, end, .. } = self.0;
        if let Err(broken) = integrity {
            return write!(f, "broken: {broken}");
        }
        match completeness {
            Completeness::Truncated { seq, of } => write!(f, "broken: cut after record {seq} of {of}"),
            Completeness::Complete => write!(f, "intact and complete: {} records, head {}", end.seq, head_text(end)),
            _ => write!(
                f,
                "intact: {} records, head {}; without --head nobody knows whether there were more",
                end.seq,
                head_text(end)
            ),
        }
    }
}
