//! Runs a kept job every few milliseconds until a test kills it.
//!
//! `jobs JOURNAL`: prints the due time of each run, in milliseconds since 1970, and how many it stands for besides.

use std::io::Write;

use daur_std::core::services::scheduler::{Missed, Plan};
use daur_std::core::time::Duration;
use daur_std::services::scheduler::{Job, Sqlite, TaskScheduler};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let journal = Sqlite::open(std::env::args().nth(1).ok_or("JOURNAL")?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let scheduler = TaskScheduler::default().keeping(journal);
        let tick = Job::blocking("tick", |context| {
            let due = context.due.ok_or("nobody asks for runs")?;
            writeln!(std::io::stdout(), "{} {}", due.as_millis(), context.missed).map_err(|_| "nobody listens")
        });
        let missed = Missed::Burst(1_000_000);
        scheduler.schedule(tick.kept(), Plan { missed, ..Plan::every(Duration::from_millis(7)) })?;
        scheduler.start();
        std::future::pending().await
    })
}
