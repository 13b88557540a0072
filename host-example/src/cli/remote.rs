//! What is asked of a server that runs.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Task, read_password};
use crate::client::Server;
use crate::remote::Work;

#[derive(Subcommand, Debug)]
pub(super) enum Token {
    /// Log in at a server that runs, and show the token: for scripts, and for DAUR_TOKEN
    Issue(TokenIssue),
}

#[derive(Subcommand, Debug)]
pub(super) enum Device {
    /// Show the devices: id, line, where it is attached, firmware
    List(DeviceList),
    /// Have a device do something, by a signed command: exit code 0 if it did, 1 if it refuses or does not answer
    Send(DeviceSend),
}

#[derive(Args, Debug)]
pub(super) struct At {
    /// The server that is asked
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct By {
    /// A file with the token of somebody who may, `-` for stdin; or the variable DAUR_TOKEN (an argument would show in
    /// the process list)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

#[derive(Args, Debug)]
pub(super) struct TokenIssue {
    /// Whose
    name: String,
    /// Read the password from stdin, up to the end of the first line (the only way there is: an argument would show in
    /// the process list)
    #[arg(long, required = true)]
    password_stdin: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Args, Debug)]
pub(super) struct DeviceList {
    #[command(flatten)]
    by: By,
}

#[derive(Args, Debug)]
pub(super) struct DeviceSend {
    /// Its id
    device: String,
    /// The command and its arguments
    #[arg(required = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    by: By,
}

impl By {
    fn server(self) -> Result<(Server, bool), String> {
        Ok((Server { url: self.at.url, token: Some(token(self.token_file.as_deref())?) }, self.at.json))
    }
}

impl Token {
    pub(super) fn task(self) -> io::Result<Task> {
        let Self::Issue(TokenIssue { name, at, .. }) = self;
        let work = Work::Token { user: name, password: read_password()? };
        Ok(Task::Remote(Server { url: at.url, token: None }, work, at.json))
    }
}

impl Device {
    pub(super) fn task(self) -> Result<Task, String> {
        let (by, work) = match self {
            Self::List(DeviceList { by }) => (by, Work::Devices),
            Self::Send(DeviceSend { device, command, by }) => (by, Work::Send { device, command: command.join(" ") }),
        };
        let (server, as_json) = by.server()?;
        Ok(Task::Remote(server, work, as_json))
    }
}

/// A token from a file, from stdin, or from the environment.
pub(super) fn token(file: Option<&Path>) -> Result<String, String> {
    let token = match file {
        Some(path) if path.as_os_str() == "-" => io::read_to_string(io::stdin()).map_err(|error| error.to_string()),
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display())),
        None => std::env::var("DAUR_TOKEN").map_err(|_| "a token is needed: --token-file, or DAUR_TOKEN".to_owned()),
    };
    Ok(token?.trim().to_owned())
}
