//! Devices, and commands to them.

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::text::Text;
use daur_core::time::Duration;
use daur_core::wire::record::Verdict;
use daur_std::link::SendError;

use super::{Abandoned, Answer, Command, Id, Shared, as_json, named, unknown_device};
use crate::app::source;
use crate::body;
use crate::problem::{Code, Problem};

pub(super) async fn list(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&app.registry.snapshot())
}

pub(super) async fn one(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&app.registry.device(&named(id)?).ok_or_else(unknown_device)?)
}

pub(super) async fn command(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::WRITE)?;
    let id = named(id)?;
    let from = source(&request);
    let Command { command } = body::json(request, app.config.policy.max_body).await?;
    // An id that no device can have shall not push what follows out of the record.
    let shown = Text::<32>::cut(&id);
    let event = |outcome, what: &str| {
        Event::new(Kind::Command, outcome, caller.name(), &from, &format!("device {shown}: {what}: {command}"))
    };
    app.audit.ready().await?;
    let mut abandoned = Abandoned { app: &app, event: Some(|| event(Outcome::Failure, "abandoned")) };
    let sent = app.registry.send_command(&id, &command, caller.name(), caller.permissions()).await;
    abandoned.event = None;
    let how = sent.as_ref().map_or("failure", |reply| reply.verdict.as_str());
    app.usage.track("device_command", Some(caller.name()), "device", how);
    match sent {
        Ok(reply) => {
            let outcome = if reply.verdict == Verdict::Accepted { Outcome::Success } else { Outcome::Denied };
            app.audit.record(event(outcome, reply.verdict.as_str())).await?;
            as_json(&reply)
        }
        Err(error) => {
            app.audit.record(event(Outcome::Failure, &error.to_string())).await?;
            let detail = error.to_string();
            Err(match error {
                SendError::UnknownDevice => unknown_device(),
                SendError::NoKey => Problem::new(Code::NotConfigured, detail),
                SendError::TooLong => Problem::new(Code::BadRequest, detail),
                SendError::Timeout => Problem::new(Code::Timeout, detail),
                _ => Problem::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1)),
            })
        }
    }
}
