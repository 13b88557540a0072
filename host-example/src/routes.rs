//! The routes: what can be asked, by whom, and what comes back.

mod actions;
mod audit;
mod command;
mod devices;
mod logins;
mod model;
mod notifications;
mod query;
mod seen;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::{delete, get, patch, post, put};
use daur_core::security::audit::Event;
use daur_core::time::Clock;
use daur_std::clock::StdClock;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::http;
use crate::monitor::{allowed, operation};
use crate::page;
use crate::problem::{Code, Problem, Shown};

type Answer = Result<Response<Body>, Problem>;
type Shared = State<Arc<App>>;

/// All routes of `app`.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(async |headers: HeaderMap| page::index(&headers)))
        .route("/openapi.json", get(async |headers: HeaderMap| page::openapi(&headers)))
        .route("/assets/{part}", get(asset))
        .route("/livez", get(seen::livez))
        .route("/readyz", get(seen::readyz))
        .route("/startupz", get(seen::startupz))
        .route("/metrics", get(seen::metrics_text))
        .route("/api/login", post(logins::login))
        .route("/api/logout", post(logins::logout))
        .route("/api/token/refresh", post(logins::refresh))
        .route("/api/session", get(logins::session))
        .route("/api/sessions", get(logins::sessions))
        .route("/api/sessions/{number}", delete(logins::end_session))
        .route("/api/users", get(users::list).post(users::add))
        .route("/api/users/{name}", patch(users::change).delete(users::remove))
        .route("/api/command", post(command::run))
        .route("/api/model", post(model::answer))
        .route("/api/status", get(seen::status_json))
        .route("/api/history", get(seen::history))
        .route("/api/analytics", get(seen::analytics))
        .route("/api/logs", get(seen::logs))
        .route("/api/log-level", put(actions::log_level))
        .route("/api/reports/{format}", get(seen::report))
        .route("/api/events", get(seen::events))
        .route("/api/notifications", get(notifications::list))
        .route("/api/breakers/{name}/reset", post(actions::reset))
        .route("/api/breakers/{name}/force-open", post(actions::force_open))
        .route("/api/breakers/{name}/force-close", post(actions::force_close))
        .route("/api/cache/clear", post(actions::clear_cache))
        .route("/api/jobs/{id}/run", post(actions::run_job))
        .route("/api/jobs/{id}/pause", post(actions::pause_job))
        .route("/api/jobs/{id}/resume", post(actions::resume_job))
        .route("/api/jobs/{id}/cancel", post(actions::cancel_job))
        .route("/api/devices", get(devices::list))
        .route("/api/devices/{id}", get(devices::one))
        .route("/api/devices/{id}/commands", post(devices::command))
        .route("/api/devices/{id}/audit", get(audit::of_device))
        .route("/api/audit", get(audit::list))
        .route("/api/audit/verify", get(audit::verify))
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), track))
        .with_state(app)
}

/// Headers that every answer has, and then some: room for all is made at once.
const HEADERS: usize = 8;

/// Measures every request, keeps its error, and adds the headers that every answer has.
async fn track(State(app): Shared, request: Request<Body>, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let name = operation(request.method(), route);
    let is_api = request.uri().path().starts_with("/api/");
    let (measured, began) = (app.monitor.measure(name), StdClock.now());
    let mut response = match http::check(&request, app.config.http.uri_bytes) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let took = StdClock.now().since(began);
    app.events.record("request", name, outcome(response.status()), took);
    if let Some(shown) = response.extensions().get::<Shown>() {
        app.monitor.told(shown);
    }
    measured.answered(response.status());
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
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

/// A path that is there, with a method that it has no handler for. To ask which it has is no mistake.
async fn other_method(method: Method, path: MatchedPath) -> Response<Body> {
    let allowed = [(header::ALLOW, allowed(path.as_str()))];
    if method == Method::OPTIONS {
        return (StatusCode::NO_CONTENT, allowed).into_response();
    }
    let detail = "The path exists, but not with this method; `Allow` says with which.";
    (allowed, Problem::new(Code::MethodNotAllowed, detail)).into_response()
}

/// A path that is not there; `*` is the server itself, for those who ask what it can do.
async fn nothing(method: Method, uri: Uri) -> Response<Body> {
    if method == Method::OPTIONS && uri.path() == "*" {
        let allowed = [(header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")];
        return (StatusCode::NO_CONTENT, allowed).into_response();
    }
    Problem::new(Code::NotFound, "There is nothing at this path.").into_response()
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

async fn asset(part: Id, headers: HeaderMap) -> Answer {
    let nothing = || Problem::new(Code::NotFound, "The page has no such part.");
    part.ok().and_then(|Path(part)| page::asset(&part, &headers)).ok_or_else(nothing)
}

fn as_json(value: &impl Serialize) -> Answer {
    let mut text = Vec::with_capacity(512);
    serde_json::to_writer(&mut text, value).map_err(|error| Problem::internal("an answer is not JSON", &error))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().reserve(HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Does what must not be left half-done: to its end, also when the client has gone.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|error| Problem::internal("a request failed", &error))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    command: String,
}

/// Writes an event in which nobody is left to wait for, when the client has gone.
struct Abandoned<'a, E: FnOnce() -> Event> {
    app: &'a App,
    event: Option<E>,
}

impl<E: FnOnce() -> Event> Drop for Abandoned<'_, E> {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.app.audit.note(event());
        }
    }
}

fn unknown_device() -> Problem {
    Problem::new(Code::NotFound, "No attached device has said this id.")
}

/// A device's id in a path, if it is text at all.
type Id = Result<Path<String>, PathRejection>;

fn named(id: Id) -> Result<String, Problem> {
    id.map(|Path(id)| id).map_err(|_| unknown_device())
}
