//! What the command line has a running server do: give a token, show devices, send them commands.

use std::io::{self, Write};

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::one_line;
use crate::client::Server;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What is to be done.
#[derive(Clone)]
pub enum Work {
    /// Log in and show the token.
    Token {
        /// Who.
        user: String,
        /// The password.
        password: String,
    },
    /// Show the devices.
    Devices,
    /// Have a device do something.
    Send {
        /// Which.
        device: String,
        /// What.
        command: String,
    },
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token",
            Self::Devices => "Devices",
            Self::Send { .. } => "Send",
        })
    }
}

/// Does it; says whether a device did what it was to do.
///
/// # Errors
/// Why the server does not.
pub async fn run(server: &Server, work: Work, as_json: bool) -> Result<bool, Error> {
    let mut stdout = io::stdout().lock();
    let text = |value: &Value| value.as_str().map_or_else(|| "-".to_owned(), one_line);
    match work {
        Work::Token { user, password } => {
            let body = json!({ "user": user, "password": password });
            let issued = server.ask_json(Method::POST, &["api", "login"], Some(body)).await?;
            if as_json {
                writeln!(stdout, "{issued}")?;
            } else {
                writeln!(stdout, "{}", issued["token"].as_str().ok_or("the server's answer has no token")?)?;
            }
        }
        Work::Devices => {
            let devices = server.ask_json(Method::GET, &["api", "devices"], None).await?;
            if as_json {
                writeln!(stdout, "{devices}")?;
                return Ok(true);
            }
            for device in devices.as_array().into_iter().flatten() {
                let line = if device["connected"] == true { "connected" } else { "down" };
                let [id, at, firmware] = ["id", "endpoint", "firmware"].map(|key| text(&device[key]));
                writeln!(stdout, "{id}\t{line}\t{at}\t{firmware}")?;
            }
        }
        Work::Send { device, command } => {
            let body = json!({ "command": command });
            let reply = server.ask_json(Method::POST, &["api", "devices", &device, "commands"], Some(body)).await?;
            if as_json {
                writeln!(stdout, "{reply}")?;
            } else {
                writeln!(stdout, "{}\t{}", text(&reply["verdict"]), text(&reply["message"]))?;
            }
            return Ok(reply["verdict"] == "accepted");
        }
    }
    Ok(true)
}
