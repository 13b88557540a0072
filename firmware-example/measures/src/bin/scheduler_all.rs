//! The scheduler with all of its verbs: 8 places for functions.
#![no_std]
#![no_main]

use daur_core::services::scheduler::{Config, Id, Outcome, Plan, Scheduler};
use daur_core::time::Duration;
use daur_measures::{black_box, image, now};

fn job() {
    black_box(now());
}

image!(tasks: Scheduler<fn(), 8> = Scheduler::new(Config::DEFAULT); {
    let plan = black_box(Plan::every(Duration::from_millis(100)));
    let id = tasks.schedule(black_box(job), plan, now()).unwrap_or(Id::from_bits(0));
    black_box(tasks.schedule_at(job, plan, now()).is_ok());
    black_box(tasks.info(id).is_ok());
    black_box(tasks.pause(id).is_ok());
    black_box(tasks.resume(id, now()).is_ok());
    black_box(tasks.run_now(id, now()).is_ok());
    black_box(tasks.reschedule(id, plan.delay, now()).is_ok());
    black_box(tasks.cancel(id).is_ok());
    black_box(tasks.iter().count());
    while let Some(due) = tasks.poll(now()) {
        let (task, run) = (*due.task, due.run);
        task();
        black_box(tasks.is_cancelling(&run));
        black_box(tasks.finish(run, Outcome::Done, now()).is_ok());
    }
    black_box(tasks.poll_at());
    black_box(tasks.snapshot());
});
