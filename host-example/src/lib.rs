//! A command server with a monitoring dashboard and a device gateway, built from Daur's machines.
//!
//! The binary `daur-host` is [`main_entry`] and nothing else; the rest is a library so that tests can
//! start the same server inside their own process, with [`server::Server`].
//!
//! # The tour, from a request's point of view
//!
//! * [`http`]: connections and their limits; [`routes`]: what can be asked.
//! * [`gate`]: who is asking, and may they; [`audit`]: what they did, in a chain.
//! * [`command`]: policy, cache, executor; [`fallback`]: the last good output, for when there is none;
//!   [`runner`]: a program without a shell, and no trace of it after.
//! * [`monitor`], [`status`], [`metrics`]: what is counted, and how it is shown; [`page`]: the dashboard.
//! * [`health`]: what the server asks itself, for `/livez`, `/readyz` and `/startupz`.
//! * [`problem`]: what a client is told when it is refused.
//! * [`app`]: all of it together; [`cli`], [`config`], [`settings`], [`users`]: how it is set up.
#![forbid(unsafe_code)]

pub mod app;
pub mod audit;
pub mod body;
pub mod cli;
pub mod command;
pub mod config;
pub mod fallback;
pub mod gate;
pub mod health;
pub mod http;
pub mod metrics;
pub mod monitor;
pub mod page;
pub mod problem;
pub mod routes;
pub mod runner;
pub mod server;
pub mod settings;
pub mod status;
pub mod users;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use daur_core::security::policy::Policy;

use crate::cli::{Cli, Task};

/// The program: reads the command line and does what it says.
#[must_use]
pub fn main_entry() -> ExitCode {
    let cli = Cli::parse();
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(ansi).with_target(false).finish();
    // In a test's process there may be one already.
    let _ = tracing::subscriber::set_global_default(log);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daur-host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let task = cli.task()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = match task {
        Task::Serve(config) => runtime.block_on(server::run(*config)),
        Task::AddUser { data_dir, name, password, permissions } => {
            runtime.block_on(users::add(&data_dir, &name, &password, permissions, &Policy::DEFAULT))
        }
    };
    // A password that is being hashed is not worth waiting for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}
