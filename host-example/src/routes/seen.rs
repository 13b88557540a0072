//! What is to be seen: probes, figures, the status and its stream.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use daur_core::reliability::health;
use daur_core::security::permission::Permissions;
use daur_core::time::{UnixTime, WallClock};
use daur_std::clock::SystemWallClock;
use daur_std::monitoring::log::Level;
use daur_std::reliability::health::handlers::{self, Detail};
use http_body_util::channel::Channel;
use serde_json::json;
use tokio::time;

use super::query::{bad, number, pairs, unknown};
use super::{Answer, Id, Shared, as_json, notifications};
use crate::app::App;
use crate::gate::Caller;
use crate::history::{Asked, NAMES};
use crate::http::stopped;
use crate::logs::{LEVELS, level};
use crate::problem::{Code, Problem};
use crate::reports::Format;
use crate::{metrics, reports, status};

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

/// How far back a chart goes that does not say it, in milliseconds, and in how many steps: of a second, with one that
/// stands out.
const CHART: u64 = 5 * 60 * 1_000;
const STEPS: usize = 301;

/// `series`, `from` and `to` in milliseconds since 1970, and `points`.
fn asked(query: &str, now: u64) -> Result<Asked, Problem> {
    let mut asked = Asked { names: NAMES.map(str::to_owned).to_vec(), from: 0, to: now, points: STEPS };
    let mut from = None;
    for pair in pairs(query) {
        let (name, value) = pair?;
        let number = || number(name, &value);
        match name {
            "series" => asked.names = value.split(',').map(str::to_owned).collect(),
            "from" => from = Some(number()?),
            "to" => asked.to = number()?,
            "points" => asked.points = usize::try_from(number()?).unwrap_or(usize::MAX),
            _ => return Err(unknown("`series`, `from`, `to` and `points`")),
        }
    }
    asked.from = from.unwrap_or(asked.to.saturating_sub(CHART));
    Ok(asked)
}

pub(super) async fn history(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    let now = SystemWallClock.unix_now().map_or(0, UnixTime::as_millis);
    let asked = asked(request.uri().query().unwrap_or(""), now)?;
    as_json(&app.history.query(&app, &asked).await?)
}

pub(super) async fn analytics(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    as_json(&*app.usage.report(&app.pool).await?)
}

pub(super) async fn report(State(app): Shared, format: Id, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    let format = format.ok().and_then(|Path(name)| Format::by_name(&name));
    let format = format.ok_or_else(|| Problem::new(Code::NotFound, "A report is one of json, csv, html and prom."))?;
    let text = reports::render(&app, format).await?;
    let mut answer = ([(header::CONTENT_TYPE, format.content_type())], text).into_response();
    if format != Format::Prom {
        let file = format!("attachment; filename=\"daur-report.{}\"", format.as_str());
        let file = HeaderValue::from_str(&file).map_err(|error| Problem::internal("a file has no name", &error))?;
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, file);
    }
    Ok(answer)
}

/// Lines in one answer.
const LINES: u64 = 1_000;

pub(super) async fn logs(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    let (mut limit, mut least, mut after) = (200, Level::Trace, 0);
    for pair in pairs(request.uri().query().unwrap_or("")) {
        let (name, value) = pair?;
        match name {
            "limit" => limit = number(name, &value)?.min(LINES) as usize,
            "level" => least = level(&value).ok_or_else(|| bad(name, LEVELS))?,
            "after" => after = number(name, &value)?,
            _ => return Err(unknown("`limit`, `level` and `after`")),
        }
    }
    let (lines, shown) = (app.logs.recent(limit, least, after), app.logs.snapshot());
    let (dropped, last_seq) = shown.map_or((0, 0), |shown| (shown.dropped, shown.last_seq));
    as_json(&json!({ "lines": lines, "dropped": dropped, "last_seq": last_seq }))
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

/// Sends the history, then every status and every notification; ends with the client, the token or the server.
async fn feed(app: Arc<App>, caller: Caller, mut sender: http_body_util::channel::Sender<Bytes, Infallible>) {
    let _open = app.monitor.stream();
    let mut latest = app.latest.subscribe();
    let mut told = app.notifications.stream();
    let mut stop = app.stop.clone();
    let history = serde_json::to_string(&app.monitor.history()).unwrap_or_else(|_| "[]".to_owned());
    let mut next = format!("retry: 2000\nevent: history\ndata: {history}\n\n");
    loop {
        // A client that does not read is left after a while; what it missed it does not need.
        match time::timeout(time::Duration::from_secs(10), sender.send_data(next.into())).await {
            Ok(Ok(())) => {}
            _ => return,
        }
        let told = tokio::select! {
            changed = latest.changed() => if changed.is_err() { return } else { None },
            told = notifications::next(&mut told) => Some(told),
            () = stopped(&mut stop) => return,
        };
        if !app.gate.still_valid(&caller) {
            let _ = sender.send_data("event: end\ndata: {}\n\n".into()).await;
            return;
        }
        next = match told {
            Some(told) => format!("event: notification\ndata: {told}\n\n"),
            None => format!("event: status\ndata: {}\n\n", &**latest.borrow_and_update()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_asked_for_strictly() {
        let all = asked("series=cpu,breaker:model%3Aone&from=1&to=2&points=7", 9).unwrap();
        assert_eq!(
            (all.names, all.from, all.to, all.points),
            (vec!["cpu".into(), "breaker:model:one".into()], 1, 2, 7)
        );
        let none = asked("", CHART + 5).unwrap();
        assert_eq!((none.names.len(), none.from, none.to, none.points), (NAMES.len(), 5, CHART + 5, STEPS));
        for bad in ["from=x", "points=-1", "to", "series=%", "step=1"] {
            assert_eq!(asked(bad, 9).unwrap_err().code(), Code::BadRequest, "{bad}");
        }
    }
}
