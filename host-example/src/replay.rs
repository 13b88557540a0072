//! A device's trace, run once more through the same machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use daur_core::monitoring::trace::{Entry, Input, Reader, State, Step};
use daur_core::time::Instant;
use daur_std::monitoring::trace::{Played, Replay};
use serde_json::{Value, json};

use crate::cli::one_line;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The longest file that is read: a thousand times the ring of a large device.
const MOST: u64 = 64 << 20;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Work {
    /// The trace; `-` for stdin.
    pub file: PathBuf,
    /// Show every input.
    pub all: bool,
    /// Show the inputs, and run none.
    pub list: bool,
    /// As JSON, an object a line.
    pub json: bool,
}

/// Does it; says whether all was as it was on the device.
///
/// # Errors
/// Why the trace was not run, or not to its end.
pub fn run(work: &Work) -> Result<bool, Error> {
    let file = read(&work.file).map_err(|error| format!("{}: {error}", work.file.display()))?;
    let mut out = Out { stdout: io::stdout().lock(), json: work.json, names: BTreeMap::new() };
    if work.list { list(&file, &mut out) } else { replay(&file, work.all, &mut out) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    let from: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(std::fs::File::open(path)?) };
    from.take(MOST + 1).read_to_end(&mut file)?;
    if file.len() as u64 > MOST {
        return Err(io::Error::other(format!("it is longer than {MOST} bytes")));
    }
    Ok(file)
}

fn replay(file: &[u8], all: bool, out: &mut Out<'_>) -> Result<bool, Error> {
    let mut replay = Replay::open(file)?;
    let mut shown: BTreeMap<u8, String> = BTreeMap::new();
    while let Some(played) = replay.next() {
        let played = match played {
            Ok(played) => played,
            Err(error) if error.is_divergence() => {
                out.end(replay.inputs(), replay.missing(), Some(&error.to_string()))?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let changed = match (machine_of(&played.entry), &played.state) {
            (Some(machine), Some(state)) => {
                let now = standing(state);
                shown.insert(machine, now.clone()).is_none_or(|before| before != now)
            }
            _ => matches!(played.step, Step::Missing { .. }),
        };
        if all || changed {
            out.entry(&played.entry, Some(&played))?;
        }
    }
    out.end(replay.inputs(), replay.missing(), None)?;
    Ok(true)
}

/// Shows what stands in it, whole or not.
fn list(file: &[u8], out: &mut Out<'_>) -> Result<bool, Error> {
    for item in Reader::open(file)? {
        out.entry(&item?.entry, None)?;
    }
    Ok(true)
}

const fn machine_of(entry: &Entry) -> Option<u8> {
    match entry {
        Entry::Setup { machine, .. } | Entry::Input { machine, .. } => Some(*machine),
        _ => None,
    }
}

/// What of a state is worth a line when it changes: not the counts, which nearly every input changes.
fn standing(state: &State) -> String {
    match state {
        State::Executor(shown) => lower(&shown.breaker.state),
        State::Breaker(shown) => lower(&shown.state),
        State::Retry(shown) => format!("{} failed", shown.failures),
        State::Limiter(shown) => format!("{} refused", shown.refused),
        State::Cache(shown) => format!("{} of {} entries", shown.len, shown.capacity),
        State::Health(status) => status.to_string(),
        State::Errors(shown) => format!("{} kinds", shown.kinds),
        _ => String::new(),
    }
}

/// `HalfOpen` as `half_open`.
fn lower(name: &impl std::fmt::Debug) -> String {
    let name = format!("{name:?}");
    let mut lower = String::new();
    for (index, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && index > 0 {
            lower.push('_');
        }
        lower.push(c.to_ascii_lowercase());
    }
    lower
}

/// The verb and what it is given.
fn told(input: &Input) -> String {
    let mut told = input.verb().to_owned();
    let rest = match *input {
        Input::Start { call } | Input::Admit { call } | Input::Success { call } => format!("{call}"),
        Input::Cancel { call } | Input::Abandon { call } => format!("{call}"),
        Input::StartBy { call, deadline } => format!("{call} {}", seconds(deadline)),
        Input::Failure { call, class } => format!("{call} {}", lower(&class)),
        Input::Check { n } => format!("{n}"),
        Input::Get { key } | Input::Remove { key } => format!("{key}"),
        Input::Insert { key, value, ttl: None } => format!("{key} {value}"),
        Input::Insert { key, value, ttl: Some(ttl) } => format!("{key} {value} {ttl}"),
        Input::AddCheck { name, .. } => one_line(name.as_str()),
        Input::Report { check, outcome, took } => format!("{check} {} {took}", lower(&outcome)),
        Input::Error { kind, message } => format!("{}: {}", one_line(kind.as_str()), one_line(message.as_str())),
        _ => return told,
    };
    let _ = write!(told, " {rest}");
    told
}

/// Seconds since the device's start, to the nanosecond.
fn seconds(at: Instant) -> String {
    let nanos = at.as_nanos();
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Where all of it goes.
struct Out<'a> {
    stdout: io::StdoutLock<'a>,
    json: bool,
    names: BTreeMap<u8, String>,
}

impl Out<'_> {
    fn entry(&mut self, entry: &Entry, played: Option<&Played>) -> io::Result<()> {
        let (machine, at, input) = match entry {
            Entry::Setup { machine, name, setup, at } => {
                self.names.insert(*machine, one_line(name.as_str()));
                (*machine, *at, format!("begins as {}", setup.kind()))
            }
            Entry::Input { machine, input, at } => (*machine, *at, told(input)),
            Entry::Gap { missing, .. } if self.json => {
                return writeln!(self.stdout, "{}", json!({ "missing": missing }));
            }
            Entry::Gap { missing, .. } => return writeln!(self.stdout, "{missing} inputs are missing here"),
            _ => return Ok(()),
        };
        let name = self.names.get(&machine).cloned().unwrap_or_else(|| format!("machine {machine}"));
        let state = played.and_then(|played| played.state.as_ref());
        if self.json {
            let mut line = json!({ "at_ns": at.as_nanos(), "machine": name, "input": input });
            if let Some(played) = played {
                line["number"] = played.number.into();
                line["state"] = state.map_or(Value::Null, |state| json!(state));
            }
            return writeln!(self.stdout, "{line}");
        }
        let state = state.map(standing).unwrap_or_default();
        writeln!(self.stdout, "{}", format!("{:>16}  {name:<16}  {input:<32}  {state}", seconds(at)).trim_end())
    }

    fn end(&mut self, inputs: u32, missing: u32, wrong: Option<&str>) -> io::Result<()> {
        if self.json {
            let line = json!({ "inputs": inputs, "missing": missing, "equal": wrong.is_none(), "error": wrong });
            return writeln!(self.stdout, "{line}");
        }
        match wrong {
            Some(wrong) => writeln!(self.stdout, "{wrong}"),
            None if missing > 0 => {
                writeln!(self.stdout, "{inputs} inputs, of which {missing} are missing, states equal")
            }
            None => writeln!(self.stdout, "{inputs} inputs, states equal"),
        }
    }
}
