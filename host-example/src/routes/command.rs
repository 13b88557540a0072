//! Commands.

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::time::Clock;
use daur_std::clock::StdClock;

use super::{Abandoned, Answer, Command, Shared, as_json};
use crate::app::source;
use crate::body;

pub(super) async fn run(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::WRITE)?;
    let from = source(&request);
    let Command { command } = body::json(request, app.config.policy.max_body).await?;
    let event =
        |outcome, what: &str| Event::new(Kind::Command, outcome, caller.name(), &from, &format!("{what}: {command}"));
    let admitted = match app.commands.admit(&command) {
        Ok(admitted) => admitted,
        Err(problem) => {
            app.audit.record(event(Outcome::Denied, problem.code().as_str())).await?;
            return Err(problem);
        }
    };
    app.audit.ready().await?;
    let began = StdClock.now();
    let result = match app.commands.kept(&admitted) {
        Some(kept) => kept,
        None => {
            let mut abandoned = Abandoned { app: &app, event: Some(|| event(Outcome::Failure, "abandoned")) };
            let result = Box::pin(app.commands.run(&admitted)).await;
            abandoned.event = None;
            result
        }
    };
    let how = match &result {
        Ok(answer) if answer.fallback_used => "fallback",
        Ok(answer) if !answer.success => "failure",
        Ok(answer) if answer.cached => "cached",
        Ok(_) => "success",
        Err(problem) => problem.code().as_str(),
    };
    app.usage.track("command", Some(caller.name()), app.commands.name_of(&admitted), how);
    app.events.record("command", app.commands.name_of(&admitted), how, StdClock.now().since(began));
    match result {
        Ok(answer) => {
            let good = answer.success && !answer.fallback_used;
            let outcome = if good { Outcome::Success } else { Outcome::Failure };
            let what = match answer.fallback {
                Some(used) => format!("{}, fallback", used.cause.as_str()),
                None if answer.cached => "cached".to_owned(),
                None => format!("exit {}", answer.exit_code),
            };
            app.audit.record(event(outcome, &what)).await?;
            as_json(&answer)
        }
        Err(problem) => {
            app.audit.record(event(Outcome::Failure, problem.code().as_str())).await?;
            Err(problem)
        }
    }
}
