//! Chats with models.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Request, header};
use axum::response::IntoResponse;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::text::Text;
use daur_core::time::Clock;
use daur_std::clock::StdClock;

use super::{Abandoned, Answer, Shared};
use crate::app::source;
use crate::body;
use crate::model::{Answer as Reply, Chat, Wanted};
use crate::results::Source;

/// The upstream's answer as it came; what is ours to say stands in headers.
const CACHE: HeaderName = HeaderName::from_static("x-daur-cache");
const UPSTREAM: HeaderName = HeaderName::from_static("x-daur-upstream");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-daur-attempts");

pub(super) async fn answer(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::WRITE)?;
    let (from, wanted) = (source(&request), Wanted::of(request.headers()));
    let body = body::json(request, app.config.policy.max_body).await?;
    let event = |outcome, model: &str, what: &str| {
        // What was said stays between the client and the model.
        let model = Text::<64>::cut(model);
        let space = if model.is_empty() { "" } else { " " };
        Event::new(Kind::Command, outcome, caller.name(), &from, &format!("model{space}{model}: {what}"))
    };
    let chat = match Chat::admit(body) {
        Ok(chat) => chat,
        Err(problem) => {
            app.audit.record(event(Outcome::Denied, "", problem.code().as_str())).await?;
            return Err(problem);
        }
    };
    let named = chat.model().unwrap_or("").to_owned();
    app.audit.ready().await?;
    let mut abandoned = Abandoned { app: &app, event: Some(event(Outcome::Failure, &named, "abandoned")) };
    let began = StdClock.now();
    let result = app.models.run(&chat, wanted).await;
    abandoned.event = None;
    let (by, how) = match &result {
        Ok(Reply { source: Source::Computed, reply, .. }) => (reply.upstream.clone(), "success"),
        Ok(Reply { reply, .. }) => (reply.upstream.clone(), "cached"),
        Err(problem) => ("none".to_owned(), problem.code().as_str()),
    };
    app.usage.track("chat", Some(caller.name()), &by, how);
    app.events.record("model", by, how, StdClock.now().since(began));
    let answer = match result {
        Ok(answer) => answer,
        Err(problem) => {
            app.audit.record(event(Outcome::Failure, &named, problem.code().as_str())).await?;
            return Err(problem);
        }
    };
    let (by, attempts) = (answer.reply.upstream.as_str(), answer.attempts);
    let kept = match answer.source {
        Source::Memory | Source::File => "hit",
        Source::Shared => "shared",
        Source::Computed => "miss",
    };
    let what = match answer.source {
        Source::Computed => format!("answered by {by}, attempts {attempts}"),
        _ => format!("cached, by {by}"),
    };
    app.audit.record(event(Outcome::Success, &named, &what)).await?;
    let by = HeaderValue::from_str(by).unwrap_or(HeaderValue::from_static(""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE, HeaderValue::from_static(kept)),
        (UPSTREAM, by),
        (ATTEMPTS, HeaderValue::from(attempts)),
    ];
    Ok((headers, answer.reply.body).into_response())
}
