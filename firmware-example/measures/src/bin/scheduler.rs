//! The scheduler alone: 8 places for functions.
#![no_std]
#![no_main]

use daur_core::services::scheduler::{Config, Outcome, Plan, Scheduler};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

fn job() {
    black_box(now());
}

image!(tasks: Scheduler<fn(), 8> = Scheduler::new(Config::DEFAULT); {
    let plan = black_box(Plan::every(Duration::from_millis(100)));
    if let Ok(id) = tasks.schedule(black_box(job), plan, now()) {
        black_box(tasks.status(id).is_ok());
        black_box(tasks.cancel(id).is_ok());
    }
    while let Some(due) = tasks.poll(now()) {
        let (task, run) = (*due.task, due.run);
        task();
        black_box(tasks.finish(run, Outcome::Done, now()).is_ok());
    }
    black_box(tasks.poll_at());
});
