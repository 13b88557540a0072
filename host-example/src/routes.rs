//! The routes: what can be asked, by whom, and what comes back.

mod audit;
mod logins;
mod model;
mod users;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, State};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{delete, get, patch, post};
use daur_core::reliability::health;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::text::Text;
use daur_core::time::{Clock, Duration};
use daur_core::wire::record::Verdict;
use daur_std::clock::StdClock;
use daur_std::link::SendError;
use daur_std::monitoring::prometheus::Format;
use daur_std::reliability::health::handlers::{self, Detail};
use http_body_util::channel::Channel;
use serde::{Deserialize, Serialize};
use tokio::time;

use crate::app::{App, source};
use crate::gate::Caller;
use crate::http::stopped;
use crate::monitor::operation;
use crate::problem::{Code, Problem, Shown};
use crate::{body, metrics, page, status};

type Answer = Result<Response<Body>, Problem>;
type Shared = State<Arc<App>>;

/// All routes of `app`.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(async || page::index()))
        .route("/assets/{part}", get(asset))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics_text))
        .route("/api/login", post(logins::login))
        .route("/api/logout", post(logins::logout))
        .route("/api/token/refresh", post(logins::refresh))
        .route("/api/session", get(logins::session))
        .route("/api/sessions", get(logins::sessions))
        .route("/api/sessions/{number}", delete(logins::end_session))
        .route("/api/users", get(users::list).post(users::add))
        .route("/api/users/{name}", patch(users::change).delete(users::remove))
        .route("/api/command", post(command))
        .route("/api/model", post(model::answer))
        .route("/api/status", get(status_json))
        .route("/api/events", get(events))
        .route("/api/devices", get(devices))
        .route("/api/devices/{id}", get(device))
        .route("/api/devices/{id}/commands", post(device_command))
        .route("/api/devices/{id}/audit", get(audit::of_device))
        .route("/api/audit", get(audit::list))
        .route("/api/audit/verify", get(audit::verify))
        .fallback(async || Problem::new(Code::NotFound, "There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "The path exists, but not with this method; `Allow` says with which.")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), track))
        .with_state(app)
}

/// Measures every request, keeps its error, and adds the headers that every answer has.
async fn track(State(app): Shared, request: Request<Body>, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let name = operation(request.method(), route);
    let is_api = request.uri().path().starts_with("/api/");
    let (measured, began) = (app.monitor.measure(name), StdClock.now());
    let mut response = next.run(request).await;
    let took = StdClock.now().since(began);
    app.events.record("request", name, outcome(response.status()), took);
    if let Some(shown) = response.extensions().get::<Shown>()
        && shown.code.status().is_server_error()
    {
        app.monitor.error(shown.code.as_str(), &shown.detail);
    }
    measured.answered(response.status());
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    add(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(header::REFERRER_POLICY, "no-referrer");
    add(header::CONTENT_SECURITY_POLICY, page::POLICY);
    add(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    add(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_api {
        add(header::CACHE_CONTROL, "no-store");
    }
    response
}

/// How a request ended, in a word.
fn outcome(status: StatusCode) -> &'static str {
    if status.is_server_error() {
        "failed"
    } else if status.is_client_error() {
        "refused"
    } else {
        "answered"
    }
}

async fn asset(part: Id) -> Answer {
    let nothing = || Problem::new(Code::NotFound, "The page has no such part.");
    part.ok().and_then(|Path(part)| page::asset(&part)).ok_or_else(nothing)
}

fn as_json(value: &impl Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(|error| Problem::internal("an answer is not JSON", &error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Does what must not be left half-done: to its end, also when the client has gone.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|error| Problem::internal("a request failed", &error))
}

// ---- commands

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    command: String,
}

/// Writes an event in which nobody is left to wait for, when the client has gone.
struct Abandoned<'a> {
    app: &'a App,
    event: Option<Event>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.app.audit.note(event);
        }
    }
}

async fn command(State(app): Shared, request: Request<Body>) -> Answer {
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
    let mut abandoned = Abandoned { app: &app, event: Some(event(Outcome::Failure, "abandoned")) };
    let began = StdClock.now();
    let result = app.commands.run(&admitted).await;
    abandoned.event = None;
    let how = match &result {
        Ok(answer) if answer.fallback_used => "fallback",
        Ok(answer) if !answer.success => "failure",
        Ok(answer) if answer.cached => "cached",
        Ok(_) => "success",
        Err(problem) => problem.code().as_str(),
    };
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

// ---- what is to be seen

/// Answers a probe from what is known. `?verbose` names the checks, and to those who may read tells their reasons.
fn probe(app: &App, kind: health::Kind, request: &Request<Body>) -> Response<Body> {
    app.health.refresh(app);
    let detail = if app.is_local(request) || app.may_read(request) { Detail::Reasons } else { Detail::Outcomes };
    handlers::answer(&app.health.checker, kind, request.uri().query(), detail)
}

async fn livez(State(app): Shared, request: Request<Body>) -> Response<Body> {
    probe(&app, health::Kind::Liveness, &request)
}

async fn readyz(State(app): Shared, request: Request<Body>) -> Response<Body> {
    probe(&app, health::Kind::Readiness, &request)
}

async fn startupz(State(app): Shared, request: Request<Body>) -> Response<Body> {
    probe(&app, health::Kind::Startup, &request)
}

async fn status_json(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&status::full(&app))
}

async fn metrics_text(State(app): Shared, request: Request<Body>) -> Answer {
    if !app.is_local(&request) {
        app.admit(&request, Permissions::READ)?;
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or(""));
    Ok(([(header::CONTENT_TYPE, format.content_type())], metrics::text(&app, format)).into_response())
}

/// Streams open at a time; each costs a connection.
const STREAMS: u64 = 64;

async fn events(State(app): Shared, request: Request<Body>) -> Answer {
    let caller = app.admit(&request, Permissions::READ)?;
    if app.monitor.streams() >= STREAMS {
        return Err(Problem::new(Code::Overloaded, "Too many streams are open.").retry_after(app.config.sample_every));
    }
    let (sender, stream) = Channel::<Bytes, Infallible>::new(4);
    tokio::spawn(feed(app, caller, sender));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(stream)).into_response())
}

/// Sends the history, then every status; ends with the client, the token or the server.
async fn feed(app: Arc<App>, caller: Caller, mut sender: http_body_util::channel::Sender<Bytes, Infallible>) {
    let _open = app.monitor.stream();
    let mut latest = app.latest.subscribe();
    let mut stop = app.stop.clone();
    let history = serde_json::to_string(&app.monitor.history()).unwrap_or_else(|_| "[]".to_owned());
    let mut next = format!("retry: 2000\nevent: history\ndata: {history}\n\n");
    loop {
        // A client that does not read is left after a while; what it missed it does not need.
        match time::timeout(time::Duration::from_secs(10), sender.send_data(next.into())).await {
            Ok(Ok(())) => {}
            _ => return,
        }
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            () = stopped(&mut stop) => return,
        }
        if !app.gate.still_valid(&caller) {
            let _ = sender.send_data("event: end\ndata: {}\n\n".into()).await;
            return;
        }
        next = format!("event: status\ndata: {}\n\n", &**latest.borrow_and_update());
    }
}

// ---- devices

async fn devices(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&app.registry.snapshot())
}

async fn device(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&app.registry.device(&named(id)?).ok_or_else(unknown_device)?)
}

fn unknown_device() -> Problem {
    Problem::new(Code::NotFound, "No attached device has said this id.")
}

/// A device's id in a path, if it is text at all.
type Id = Result<Path<String>, PathRejection>;

fn named(id: Id) -> Result<String, Problem> {
    id.map(|Path(id)| id).map_err(|_| unknown_device())
}

async fn device_command(State(app): Shared, id: Id, request: Request<Body>) -> Answer {
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
    let mut abandoned = Abandoned { app: &app, event: Some(event(Outcome::Failure, "abandoned")) };
    let sent = app.registry.send_command(&id, &command, caller.name(), caller.permissions()).await;
    abandoned.event = None;
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
