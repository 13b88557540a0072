//! What is to be seen: probes, figures, the status and its stream.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, Response, header};
use axum::response::IntoResponse;
use daur_core::reliability::health;
use daur_core::security::permission::Permissions;
use daur_std::reliability::health::handlers::{self, Detail};
use http_body_util::channel::Channel;
use tokio::time;

use super::{Answer, Shared, as_json};
use crate::app::App;
use crate::gate::Caller;
use crate::http::stopped;
use crate::problem::{Code, Problem};
use crate::{metrics, status};

/// Answers a probe from what is known. `?verbose` names the checks, and to those who may read tells their reasons.
fn probe(app: &App, kind: health::Kind, request: &Request<Body>) -> Response<Body> {
    app.health.refresh(app);
    let detail = if app.is_local(request) || app.may_read(request) { Detail::Reasons } else { Detail::Outcomes };
    handlers::answer(&app.health.checker, kind, request.uri().query(), detail)
}

pub(super) async fn livez(State(app): Shared, request: Request<Body>) -> Response<Body> {
    probe(&app, health::Kind::Liveness, &request)
}

pub(super) async fn readyz(State(app): Shared, request: Request<Body>) -> Response<Body> {
    probe(&app, health::Kind::Readiness, &request)
}

pub(super) async fn startupz(State(app): Shared, request: Request<Body>) -> Response<Body> {
    probe(&app, health::Kind::Startup, &request)
}

pub(super) async fn status_json(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&status::full(&app))
}

pub(super) async fn metrics_text(State(app): Shared, request: Request<Body>) -> Answer {
    if !app.is_local(&request) {
        app.admit(&request, Permissions::READ)?;
    }
    Ok(metrics::answer(&app, request.headers()))
}

/// Streams open at a time; each costs a connection.
const STREAMS: u64 = 64;

pub(super) async fn events(State(app): Shared, request: Request<Body>) -> Answer {
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
