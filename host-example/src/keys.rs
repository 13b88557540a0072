//! The keys of tokens, from a process of its own; the server may be running, and sees what is changed at once.

use std::io::Write;
use std::path::Path;

use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::keys::Role;
use daur_core::time::UnixTime;
use daur_std::security::ring;
use serde_json::json;

use crate::audit::record_once;
use crate::cli::time_text;
use crate::config::DataDir;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Sign with a new key from now on.
    Rotate,
    /// Show the keys.
    List {
        /// As lines of JSON.
        json: bool,
    },
    /// Remove the key of this number.
    Retire(u32),
}

/// Does it.
///
/// # Errors
/// What is refused, and why; files that cannot be read or written.
pub async fn run(data_dir: &Path, work: Work) -> Result<(), Error> {
    let mut stdout = std::io::stdout();
    match work {
        Work::List { json } => {
            for key in ring::list(DataDir::existing(data_dir)?.path())? {
                let role = if key.role == Role::Signing { "signs" } else { "verifies" };
                if json {
                    let made = key.made.map(UnixTime::as_secs);
                    writeln!(stdout, "{}", json!({ "number": key.number, "role": role, "made": made }))?;
                    continue;
                }
                writeln!(stdout, "{}\t{role}\t{}", key.number, key.made.map_or_else(|| "-".to_owned(), time_text))?;
            }
            Ok(())
        }
        Work::Rotate => {
            let dir = DataDir::open(data_dir)?;
            let rotated = ring::rotate(dir.path());
            let what = match &rotated {
                Ok(number) => format!("token key {number} signs"),
                Err(error) => format!("a new token key: refused, {error}"),
            };
            audited(&dir, &what, rotated.is_ok()).await?;
            writeln!(stdout, "{}", rotated?)?;
            Ok(())
        }
        Work::Retire(number) => {
            let dir = DataDir::existing(data_dir)?;
            let retired = ring::retire(dir.path(), number);
            let what = match &retired {
                Ok(()) => format!("token key {number} retired"),
                Err(error) => format!("token key {number} to be retired: refused, {error}"),
            };
            audited(&dir, &what, retired.is_ok()).await?;
            Ok(retired?)
        }
    }
}

async fn audited(dir: &DataDir, what: &str, done: bool) -> Result<(), Error> {
    let event = Event::new(Kind::KeyRotation, Outcome::of(done), "", "command line", what);
    record_once(dir, event).await.map_err(|error| format!("{what}; the audit could not be written: {error}").into())
}
