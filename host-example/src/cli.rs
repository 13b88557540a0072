//! The command line: what to serve, who may log in, the keys, the audit, devices.
//!
//! Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 a wrong command line; those of
//! `audit verify`: 0 intact, 1 broken, 2 not checked; those of `replay`: 0 equal, 1 diverged, 2 not run to its end.

mod remote;

use std::io::{self, BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use daur_core::security::audit::{Head, Kind};
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::time::{Duration, UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::link::Endpoint;
use daur_std::monitoring::log::Level;

use crate::audit::{Wanted, head_of, kind_by_name};
use crate::config::Config;
use crate::reports::Format;
use crate::settings::Settings;
use crate::{chain, client, keys, report, users};

/// What the help ends with.
const CODES: &str = "\
Exit codes: 0 done, 1 failed or refused, 2 a wrong command line.
Of `audit verify`: 0 intact, 1 broken, 2 not checked.
Of `replay`: 0 equal, 1 diverged, 2 not run to its end.

Data goes to stdout, messages to stderr. Only lines of the log on a terminal have colours, and none with NO_COLOR.";

/// Serves commands, a dashboard and a gateway to devices. Without a subcommand, `serve`.
#[derive(Parser, Debug)]
#[command(name = "daur-host", bin_name = "daur-host", version, args_conflicts_with_subcommands = true, after_help = CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start the server (the default)
    Serve(Serve),
    /// Who may log in, and what they may; the server may be running, and sees it at once
    #[command(subcommand)]
    User(User),
    /// The keys that tokens are signed with; the server may be running, and sees it at once
    #[command(subcommand)]
    Key(Key),
    /// What was done and refused
    #[command(subcommand)]
    Audit(Audit),
    /// Tokens of a server that runs
    #[command(subcommand)]
    Token(remote::Token),
    /// Devices of a server that runs
    #[command(subcommand)]
    Device(remote::Device),
    /// What a server would be told
    #[command(subcommand)]
    Config(ConfigOf),
    /// Print a script that completes this command line in a shell: `source <(daur-host completions bash)`
    Completions {
        /// The shell
        #[arg(value_parser = shell)]
        shell: Shell,
    },
    /// Print a dashboard for Grafana: import it there, and choose the Prometheus that scrapes /metrics
    Grafana,
    /// A report in a file: of a server that runs, or of what a data directory keeps
    Report(ReportArgs),
    /// Run a device's trace through the same machines: exit code 0 if all is as it was there, 1 if not, 2 if it cannot be run
    Replay(ReplayArgs),
}

#[derive(Args, Debug)]
struct ReplayArgs {
    /// The trace, as a device wrote it; `-` for stdin
    file: PathBuf,
    /// Show every input, not only those that change how a machine stands
    #[arg(long)]
    all: bool,
    /// Show the inputs and run none: of a trace too whose beginning is missing
    #[arg(long, conflicts_with = "all")]
    list: bool,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum ConfigOf {
    /// Read the config file, the environment and the flags as `serve` does, and print what is in force, as such a file:
    /// exit code 0 if it can be so, 1 if not
    Check(ConfigCheck),
}

#[derive(Args, Debug)]
struct ConfigCheck {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand, Debug)]
enum User {
    /// Add a user
    Add(UserAdd),
    /// Show all users: name, permissions, state, since when, changed when
    List(Listed),
    /// Grant a user exactly these permissions; ends their sessions
    Set(UserSet),
    /// Give a user another password; ends their sessions
    Passwd(UserPasswd),
    /// Refuse a user's logins; ends their sessions
    Disable(UserName),
    /// Let a user log in again
    Enable(UserName),
    /// Remove a user; ends their sessions
    Remove(UserName),
}

#[derive(Subcommand, Debug)]
enum Key {
    /// Sign with a new key from now on; tokens of the others are good until they expire
    Rotate(DataDirArg),
    /// Show the keys: number, what it is for, since when
    List(Listed),
    /// Remove a key that does not sign; its tokens are refused from now on
    Retire(KeyRetire),
}

#[derive(Subcommand, Debug)]
enum Audit {
    /// Show the last records, the newest first
    List(AuditList),
    /// Check a chain from its first key: exit code 0 if it is intact, 1 if not, 2 if it cannot be checked
    Verify(AuditVerify),
    /// Show the chain's end: keep it elsewhere, so that a later cut shows
    Head(Listed),
    /// Write the whole chain to stdout, one record a line, as `verify --file` reads it
    Export(DataDirArg),
}

#[derive(Args, Debug)]
struct DataDirArg {
    /// The server's data directory
    #[arg(long = "data-dir", value_name = "DIR", default_value = "daur-data")]
    path: PathBuf,
}

#[derive(Args, Debug)]
struct Listed {
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct Serve {
    /// Where to listen; other than loopback only once a user exists
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where to keep everything; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "daur-data")]
    data_dir: PathBuf,
    /// A device to read: tcp:HOST:PORT, or a serial port's path with @BAUD if not 115200; repeatable
    #[arg(long, value_name = "DEVICE")]
    device: Vec<Endpoint>,
    /// The fleet key that device keys are derived from; by default fleet.key in the data directory
    #[arg(long, value_name = "FILE")]
    fleet_key_file: Option<PathBuf>,
    /// Only show: refuse everything that changes something, but logins and logouts; or DAUR_READ_ONLY=1
    #[arg(long)]
    read_only: bool,
    /// What is less grave is not logged: error, warn, info, debug or trace; or RUST_LOG
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// How lines look on stderr; a terminal gets colours, unless NO_COLOR is set
    #[arg(long, value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// End a command that runs for longer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    command_timeout: Duration,
    /// How long a command's success is kept
    #[arg(long, value_name = "TIME", default_value = "30s")]
    cache_ttl: Duration,
    /// How careful to be, and which models to ask: breakers, budgets, caches, upstreams, in TOML; defaults for what it
    /// leaves out
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How lines of the log look.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum LogFormat {
    /// For people
    Human,
    /// An object of JSON a line
    Json,
}

#[derive(Args, Debug)]
struct UserAdd {
    /// The name to log in with
    name: String,
    /// What the user may: some of read, write, admin
    #[arg(long, value_name = "LIST", default_value = "read", value_parser = Permissions::parse)]
    permissions: Permissions,
    #[command(flatten)]
    password: PasswordArg,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct PasswordArg {
    /// Read the password from stdin, up to the end of the first line (the only way there is: an
    /// argument would show in the process list)
    #[arg(long = "password-stdin", required = true)]
    stdin: bool,
    /// The server's config file, for its rules of passwords
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl PasswordArg {
    fn policy(&self) -> Result<Policy<'static>, String> {
        self.config.as_deref().map_or_else(|| Ok(Settings::default()), Settings::load)?.policy(Policy::DEFAULT)
    }
}

#[derive(Args, Debug)]
struct UserSet {
    /// Whose
    name: String,
    /// What the user may: some of read, write, admin
    #[arg(long, value_name = "LIST", value_parser = Permissions::parse)]
    permissions: Permissions,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct UserPasswd {
    /// Whose
    name: String,
    #[command(flatten)]
    password: PasswordArg,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct UserName {
    /// Who
    name: String,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct KeyRetire {
    /// Its number
    number: u32,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct AuditList {
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Of this kind: login, command, access_denied..
    #[arg(long, value_parser = kind)]
    kind: Option<Kind>,
    /// By this user
    #[arg(long)]
    actor: Option<String>,
    /// Not before this: milliseconds since 1970, or how long ago, such as 15m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<UnixTime>,
    /// Before this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<UnixTime>,
    /// As lines of JSON
    #[arg(long)]
    json: bool,
    /// Of a file of lines instead: an audit file, an export, a device's chain
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct AuditVerify {
    /// The end that was kept elsewhere: without it, a chain that was cut is as intact as a short one
    #[arg(long, value_name = "SEQ:HEX", value_parser = head_of)]
    head: Option<Head>,
    /// The chain's first key; by default audit.key in the data directory. For a device, the fleet key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Check a file of lines instead of the data directory's database: an audit file, an export
    #[arg(long, value_name = "PATH", conflicts_with = "device")]
    file: Option<PathBuf>,
    /// Check the chain of a device's life, as the server has kept it
    #[arg(long, value_name = "FILE")]
    device: Option<PathBuf>,
    /// The verdict as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data_dir: DataDirArg,
}

#[derive(Args, Debug)]
struct ReportArgs {
    /// Of which kind
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Where to; without it, to stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The server that is asked, such as http://127.0.0.1:8080; without it, the data directory is
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    url: Option<String>,
    /// A file with the token of somebody who may read, `-` for stdin; or the variable DAUR_TOKEN (an argument would
    /// show in the process list)
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// The server's config file, for how finely it keeps figures
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDirArg,
}

impl ReportArgs {
    fn work(self) -> Result<report::Work, Box<dyn std::error::Error + Send + Sync>> {
        let Self { format, output, url, token_file, config, data_dir } = self;
        let of = match url {
            Some(url) => report::Of::Server(client::Server { url, token: Some(remote::token(token_file.as_deref())?) }),
            None => {
                let mut read = Config::new(([127, 0, 0, 1], 0).into(), data_dir.path.clone());
                if let Some(path) = config {
                    Settings::load(&path)?.apply(&mut read)?;
                }
                report::Of::Kept { dir: data_dir.path, history: read.history }
            }
        };
        Ok(report::Work { format, output, of })
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Serve.
    Serve(Box<Config>),
    /// Something with users.
    Users(PathBuf, users::Work, Box<Policy<'static>>),
    /// Something with the keys of tokens.
    Keys(PathBuf, keys::Work),
    /// Something with the audit.
    Audit(PathBuf, chain::Work),
    /// A text.
    Print(String),
    /// A report.
    Report(Box<report::Work>),
    /// A trace once more.
    Replay(crate::replay::Work),
    /// Something that a server that runs does; whether its answer is shown as JSON.
    Remote(client::Server, crate::remote::Work, bool),
}

impl Cli {
    /// What is asked for; reads the password from stdin if there is one to read.
    ///
    /// # Errors
    /// Stdin's; what is wrong with the config file.
    pub fn task(self) -> Result<Task, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match self.command {
            Some(Command::Serve(serve)) => Task::Serve(Box::new(serve.config()?)),
            None => Task::Serve(Box::new(self.serve.config()?)),
            Some(Command::User(user)) => user.task()?,
            Some(Command::Key(Key::Rotate(dir))) => Task::Keys(dir.path, keys::Work::Rotate),
            Some(Command::Key(Key::List(Listed { json, data_dir }))) => {
                Task::Keys(data_dir.path, keys::Work::List { json })
            }
            Some(Command::Key(Key::Retire(retire))) => {
                Task::Keys(retire.data_dir.path, keys::Work::Retire(retire.number))
            }
            Some(Command::Audit(audit)) => audit.task(),
            Some(Command::Token(token)) => token.task()?,
            Some(Command::Device(device)) => device.task()?,
            Some(Command::Config(ConfigOf::Check(check))) => check.task()?,
            Some(Command::Completions { shell }) => Task::Print(completions(shell)?),
            Some(Command::Grafana) => Task::Print(crate::metrics::GRAFANA.to_owned()),
            Some(Command::Replay(ReplayArgs { file, all, list, json })) => {
                Task::Replay(crate::replay::Work { file, all, list, json })
            }
            Some(Command::Report(args)) => Task::Report(Box::new(args.work()?)),
        })
    }
}

impl Cli {
    /// Whether a chain is to be checked, or a trace: what cannot be is told apart from what is wrong.
    #[must_use]
    pub const fn verifies(&self) -> bool {
        matches!(self.command, Some(Command::Audit(Audit::Verify(_)) | Command::Replay(_)))
    }
}

impl User {
    fn task(self) -> Result<Task, Box<dyn std::error::Error + Send + Sync>> {
        let mut policy = Box::new(Policy::DEFAULT);
        let (dir, work) = match self {
            Self::Add(UserAdd { name, permissions, data_dir, password }) => {
                *policy = password.policy()?;
                (data_dir, users::Work::Add { name, password: read_password()?, permissions })
            }
            Self::List(Listed { json, data_dir }) => (data_dir, users::Work::List { json }),
            Self::Set(UserSet { name, permissions, data_dir }) => (data_dir, users::Work::Grant { name, permissions }),
            Self::Passwd(UserPasswd { name, data_dir, password }) => {
                *policy = password.policy()?;
                (data_dir, users::Work::Password { name, password: read_password()? })
            }
            Self::Disable(UserName { name, data_dir }) => (data_dir, users::Work::Disable { name, disabled: true }),
            Self::Enable(UserName { name, data_dir }) => (data_dir, users::Work::Disable { name, disabled: false }),
            Self::Remove(UserName { name, data_dir }) => (data_dir, users::Work::Remove { name }),
        };
        Ok(Task::Users(dir.path, work, policy))
    }
}

impl Audit {
    fn task(self) -> Task {
        match self {
            Self::List(list) => {
                let AuditList { limit, kind, actor, since, until, json, file, data_dir } = list;
                let wanted = Wanted { kind, actor, since, until };
                Task::Audit(data_dir.path, chain::Work::List { limit, wanted, json, file })
            }
            Self::Verify(AuditVerify { head, key, file, device, json, data_dir }) => {
                let of = match (file, device) {
                    (Some(file), _) => chain::Of::File(file),
                    (None, Some(device)) => chain::Of::Device(device),
                    (None, None) => chain::Of::Database,
                };
                Task::Audit(data_dir.path, chain::Work::Verify { of, key, head, json })
            }
            Self::Head(Listed { json, data_dir }) => Task::Audit(data_dir.path, chain::Work::Head { json }),
            Self::Export(dir) => Task::Audit(dir.path, chain::Work::Export),
        }
    }
}

impl ConfigCheck {
    fn task(self) -> Result<Task, Box<dyn std::error::Error + Send + Sync>> {
        let table = crate::settings::table(&self.serve.config()?);
        Ok(Task::Print(if self.json { format!("{}\n", serde_json::to_string(&table)?) } else { table.to_string() }))
    }
}

/// The script that completes this command line in a shell.
fn completions(shell: Shell) -> Result<String, std::string::FromUtf8Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "daur-host", &mut script);
    // In bash's script a hyphen in the program's name has two spellings, and nothing below a subcommand would be completed
    // (clap's issue 6421); where that is mended, this finds nothing.
    Ok(String::from_utf8(script)?.replace("daur__subcmd__host", "daur__host"))
}

/// The shells whose scripts are tried.
fn shell(name: &str) -> Result<Shell, String> {
    match name {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("one of bash, zsh, fish".to_owned()),
    }
}

impl Serve {
    fn config(self) -> Result<Config, String> {
        let mut config = Config::new(self.listen, self.data_dir);
        config.devices = self.device;
        config.fleet_key_file = self.fleet_key_file;
        config.command.timeout = self.command_timeout;
        config.command.ttl = self.cache_ttl;
        // A probe may take as long as any command.
        let lease = &mut config.command.breaker.probe_lease;
        *lease = self.command_timeout.times(2).max(*lease);
        // Without a file too: the environment has a word on some of it.
        match self.config {
            Some(path) => Settings::load(&path)?
                .apply(&mut config)
                .map_err(|error| format!("the config file {}: {error}", path.display()))?,
            None => Settings::default().apply(&mut config)?,
        }
        config.read_only |= self.read_only;
        config.log.take(&std::env::var("RUST_LOG").unwrap_or_default());
        config.log.level = self.log_level.unwrap_or(config.log.level);
        config.log.json = self.log_format.map_or(config.log.json, |format| format == LogFormat::Json);
        Ok(config)
    }
}

fn read_password() -> io::Result<String> {
    if io::stdin().is_terminal() {
        eprintln!("Password (it will show):");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

fn kind(name: &str) -> Result<Kind, String> {
    kind_by_name(name).ok_or_else(|| "not a kind of event".to_owned())
}

/// A moment of the past, or any in milliseconds since 1970.
fn moment(text: &str) -> Result<UnixTime, String> {
    if let Ok(millis) = text.parse() {
        return Ok(UnixTime::from_millis(millis));
    }
    let ago: Duration = text.parse().map_err(|_| "expected milliseconds since 1970, or a length such as 15m")?;
    let now = SystemWallClock.unix_now().ok_or("the clock stands before 1970")?;
    Ok(UnixTime::from_millis(now.as_millis().saturating_sub(ago.as_millis())))
}

/// A moment as RFC 3339 writes it, to the second.
#[must_use]
pub fn time_text(at: UnixTime) -> String {
    let secs = at.as_secs();
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    // Years that begin in March, in eras of 400: a leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A text as part of one line: what would end the line, or move a terminal's cursor, is escaped.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain = |c: char| c == ' ' || (c != '\\' && (c.is_ascii_graphic() || c.is_alphanumeric()));
    text.chars().flat_map(|c| if plain(c) { vec![c] } else { c.escape_default().collect() }).collect()
}

/// A time in which something can happen.
fn some_time(text: &str) -> Result<Duration, String> {
    match text.parse::<Duration>() {
        Ok(time) if time.is_zero() => Err("it must be longer than 0".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_subcommand_serves() {
        let cli = Cli::parse_from([
            "daur-host",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "d",
            "--device",
            "tcp:h:1",
            "--device",
            "/dev/ttyACM0",
        ]);
        let Ok(Task::Serve(config)) = cli.task() else { panic!("it serves") };
        assert_eq!((config.listen.port(), config.devices.len()), (0, 2));
    }

    #[test]
    fn what_is_to_be_verified_is_named() {
        let head = format!("7:{}", "ab".repeat(32));
        let cli = Cli::parse_from(["daur-host", "audit", "verify", "--head", &head, "--data-dir", "d"]);
        let Ok(Task::Audit(dir, chain::Work::Verify { of: chain::Of::Database, key: None, head: Some(kept), .. })) =
            cli.task()
        else {
            panic!("it verifies")
        };
        assert_eq!((dir, crate::audit::head_text(&kept)), (PathBuf::from("d"), head));
        for bad in [
            &["audit", "verify", "--head", "7"][..],
            &["audit", "verify", "--head", "x:00"],
            &["audit", "verify", "--file", "a", "--device", "b"],
            &["audit", "list", "--kind", "no"],
            &["audit", "list", "--since", "yesterday"],
            &["key", "retire", "first"],
            &["user", "set", "ada"],
            &["user", "passwd", "ada"],
        ] {
            assert!(Cli::try_parse_from([&["daur-host"], bad].concat()).is_err(), "{bad:?}");
        }
        assert_eq!(moment("12"), Ok(UnixTime::from_millis(12)));
        assert!(moment("1h").unwrap() < moment("1m").unwrap());
    }

    #[test]
    fn a_moment_is_written_as_people_write_it() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time_text(UnixTime::from_secs(secs)), text);
        }
    }

    #[test]
    fn a_text_stays_on_its_line() {
        assert_eq!(one_line("Jürgen's \\ a\tb\n\u{1b}[2J\u{202e}"), r"Jürgen's \\ a\tb\n\u{1b}[2J\u{202e}");
    }

    #[test]
    fn what_is_no_device_or_time_is_refused() {
        assert!(Cli::try_parse_from(["daur-host", "--command-timeout", "0s"]).is_err());
        assert!(Cli::try_parse_from(["daur-host", "--device", "tcp:9000"]).is_err());
        assert!(Cli::try_parse_from(["daur-host", "--command-timeout", "soon"]).is_err());
        assert!(
            Cli::try_parse_from(["daur-host", "user", "add", "a", "--permissions", "root", "--password-stdin"])
                .is_err()
        );
    }
}
