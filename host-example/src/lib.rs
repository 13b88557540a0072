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
//! * [`breakers`]: what an operator does with them by hand.
//! * [`model`]: a chat's answer, from the cache or from one of several upstreams.
//! * [`results`]: what both have given before; [`pool`]: what waits for the disk.
//! * [`events`]: what happened, by name; [`memory`]: how short it is, and who gives back.
//! * [`monitor`], [`status`], [`metrics`]: what is counted, and how it is shown; [`page`]: the dashboard.
//! * [`history`]: what the figures were; [`logs`]: what is said about it all; [`usage`]: what people do;
//!   [`reports`]: all of it in a file.
//! * [`health`]: what the server asks itself, for `/livez`, `/readyz` and `/startupz`; [`jobs`]: what it does again and
//!   again.
//! * [`problem`]: what a client is told when it is refused.
//! * [`app`]: all of it together; [`cli`], [`config`], [`settings`]: how it is set up.
//! * [`users`], [`keys`], [`chain`], [`report`], [`replay`]: what the command line does beside a server that runs; [`remote`],
//!   [`client`]: what it asks of one; [`progress`]: how far it has come.
#![forbid(unsafe_code)]

pub mod app;
pub mod audit;
pub mod body;
pub mod breakers;
pub mod chain;
pub mod cli;
pub mod client;
pub mod command;
pub mod config;
pub mod events;
pub mod fallback;
pub mod gate;
pub mod health;
pub mod history;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod notifications;
pub mod page;
pub mod pool;
pub mod problem;
pub mod progress;
pub mod remote;
pub mod replay;
pub mod report;
pub mod reports;
pub mod results;
pub mod routes;
pub mod runner;
pub mod server;
pub mod settings;
pub mod status;
pub mod usage;
pub mod users;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use daur_std::monitoring::errors::error_tracker;
use daur_std::monitoring::log::Logger;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

use crate::cli::{Cli, Task};
use crate::config::DataDir;

/// The program: reads the command line and does what it says.
#[must_use]
pub fn main_entry() -> ExitCode {
    let cli = Cli::parse();
    let verifies = cli.verifies();
    match run(cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("daur-host: {error}");
            // What could not be checked is not broken.
            if verifies { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Does what is asked for; says whether it was found in order.
fn run(cli: Cli) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let mut task = cli.task()?;
    let logger = start_log(&mut task)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = match task {
        Task::Serve(config) => runtime.block_on(server::run(*config)).map(|()| true),
        Task::Users(dir, work, policy) => runtime.block_on(users::run(&dir, work, &policy)).map(|()| true),
        Task::Keys(dir, work) => runtime.block_on(keys::run(&dir, work)).map(|()| true),
        Task::Audit(dir, work) => chain::run(&dir, work),
        Task::Print(text) => std::io::stdout().write_all(text.as_bytes()).map(|()| true).map_err(Into::into),
        Task::Remote(server, work, as_json) => runtime.block_on(remote::run(&server, work, as_json)),
        Task::Replay(work) => replay::run(&work),
        Task::Report(work) => runtime.block_on(report::run(*work)).map(|()| true),
    };
    // A password that is being hashed is not worth waiting for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    logger.shutdown(logs::LAST_LINES);
    result
}

/// Opens the log: a server's is in its data directory too, and is known to it.
fn start_log(task: &mut Task) -> Result<Logger, Box<dyn std::error::Error + Send + Sync>> {
    let errors = error_tracker();
    let logger = match task {
        Task::Serve(config) => {
            let unusable = |error| format!("the data directory {} cannot be used: {error}", config.data_dir.display());
            let dir = DataDir::open(&config.data_dir).map_err(unusable)?;
            let logger = config.log.open(Some(dir.logs())).map_err(|error| format!("[log] {error}"))?;
            config.logger = Some(logger.clone());
            config.errors = Some(errors.clone());
            logger
        }
        _ => {
            let mut config = logs::Config::default();
            config.take(&std::env::var("RUST_LOG").unwrap_or_default());
            config.open(None)?
        }
    };
    let layers =
        tracing_subscriber::registry().with(logger.layer()).with(errors.layer().with_filter(LevelFilter::ERROR));
    // In a test's process there may be a subscriber already.
    let _ = tracing::subscriber::set_global_default(layers);
    errors.capture_panics();
    Ok(logger)
}
