//! The command line: what to serve, and who may log in.
//!
//! Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 a wrong command line.

use std::io::{self, BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use daur_core::security::permission::Permissions;
use daur_core::time::Duration;
use daur_std::link::Endpoint;

use crate::config::Config;
use crate::settings::Settings;

/// Serves commands, a dashboard and a gateway to devices. Without a subcommand, `serve`.
#[derive(Parser, Debug)]
#[command(name = "daur-host", version, args_conflicts_with_subcommands = true)]
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
    /// Add users
    #[command(subcommand)]
    User(User),
}

#[derive(Subcommand, Debug)]
enum User {
    /// Add a user; the server may be running
    Add(UserAdd),
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
    /// End a command that runs for longer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    command_timeout: Duration,
    /// How long a command's success is kept
    #[arg(long, value_name = "TIME", default_value = "30s")]
    cache_ttl: Duration,
    /// How careful to be: breakers, retry budget, fallbacks, health checks, in TOML; defaults for what it leaves out
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct UserAdd {
    /// The name to log in with
    name: String,
    /// What the user may: some of read, write, admin
    #[arg(long, value_name = "LIST", default_value = "read", value_parser = Permissions::parse)]
    permissions: Permissions,
    /// Read the password from stdin, up to the end of the first line (the only way there is: an
    /// argument would show in the process list)
    #[arg(long, required = true)]
    password_stdin: bool,
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "daur-data")]
    data_dir: PathBuf,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Task {
    /// Serve.
    Serve(Box<Config>),
    /// Add a user.
    AddUser {
        /// The data directory.
        data_dir: PathBuf,
        /// The name.
        name: String,
        /// The password.
        password: String,
        /// What is granted.
        permissions: Permissions,
    },
}

impl Cli {
    /// What is asked for; reads the password from stdin if there is one to read.
    ///
    /// # Errors
    /// Stdin's; what is wrong with the config file.
    pub fn task(self) -> Result<Task, Box<dyn std::error::Error + Send + Sync>> {
        match self.command {
            Some(Command::User(User::Add(add))) => Ok(Task::AddUser {
                data_dir: add.data_dir,
                name: add.name,
                password: read_password()?,
                permissions: add.permissions,
            }),
            Some(Command::Serve(serve)) => Ok(Task::Serve(Box::new(serve.config()?))),
            None => Ok(Task::Serve(Box::new(self.serve.config()?))),
        }
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
        if let Some(path) = self.config {
            let settings = Settings::load(&path)?;
            settings.apply(&mut config).map_err(|error| format!("the config file {}: {error}", path.display()))?;
        }
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
    use clap::CommandFactory;

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
