//! Answers the probes of an orchestrator or a load balancer, for axum.
//!
//! `200` while the kind's status counts as healthy, else `503`; never cached. With `?verbose`, one line for
//! each check. An answer only tells what is known: [`HealthChecker::keep_checking`] finds it out, so a
//! flood of probes runs no check.
//!
//! ```text
//! GET /readyz?verbose
//! [+] database passed in 3ms
//! [~] disk degraded in 120us
//! [-] upstream timed out in 1001ms
//! readyz: unhealthy
//! ```
//!
//! Reasons may tell strangers too much: they are told only by [`routes_with`] and [`Detail::Reasons`].

use std::fmt::Write;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daur_core::reliability::health::{Kind, Status};
use daur_core::time::Duration;

use super::{HealthChecker, Report};

/// Says how much `?verbose` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The names of the checks, how they ended, and how long they took.
    #[default]
    Outcomes,
    /// Their reasons too: for a port that strangers do not reach.
    Reasons,
}

/// Routes for `/livez`, `/readyz` and `/startupz`, to be merged into a router.
///
/// # Example
/// ```
/// use axum::Router;
/// use daur_std::reliability::health::{handlers, health_checker};
///
/// let app: Router = Router::new().merge(handlers::routes(health_checker().clone()));
/// ```
pub fn routes<S: Clone + Send + Sync + 'static>(checker: HealthChecker) -> Router<S> {
    routes_with(checker, Detail::Outcomes)
}

/// The same, telling as much as `detail` says.
pub fn routes_with<S: Clone + Send + Sync + 'static>(checker: HealthChecker, detail: Detail) -> Router<S> {
    let answering = move |kind| {
        let checker = checker.clone();
        get(move |RawQuery(query): RawQuery| std::future::ready(answer(&checker, kind, query.as_deref(), detail)))
    };
    Router::new()
        .route("/livez", answering(Kind::Liveness))
        .route("/readyz", answering(Kind::Readiness))
        .route("/startupz", answering(Kind::Startup))
}

/// Answers whether a restart is needed; for a router whose state a [`HealthChecker`] comes from.
pub async fn livez(State(checker): State<HealthChecker>, RawQuery(query): RawQuery) -> Response {
    answer(&checker, Kind::Liveness, query.as_deref(), Detail::Outcomes)
}

/// Answers whether requests may come.
pub async fn readyz(State(checker): State<HealthChecker>, RawQuery(query): RawQuery) -> Response {
    answer(&checker, Kind::Readiness, query.as_deref(), Detail::Outcomes)
}

/// Answers whether the start is over.
pub async fn startupz(State(checker): State<HealthChecker>, RawQuery(query): RawQuery) -> Response {
    answer(&checker, Kind::Startup, query.as_deref(), Detail::Outcomes)
}

/// The answer to a probe of `kind` that came with `query`: for a handler of your own.
#[must_use]
pub fn answer(checker: &HealthChecker, kind: Kind, query: Option<&str>, detail: Detail) -> Response {
    let report = checker.snapshot();
    let is_well = report.holds(kind);
    let body = if is_verbose(query) { verbose(&report, kind, detail) } else { short(is_well).to_owned() };
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}

/// `?verbose`, also with a value that is not no.
fn is_verbose(query: Option<&str>) -> bool {
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.any(|pair| match pair.split_once('=') {
        None => pair == "verbose",
        Some((name, value)) => name == "verbose" && !matches!(value, "0" | "false"),
    })
}

/// Whole milliseconds, or microseconds below one: nobody reads nine digits.
fn rounded(took: Duration) -> Duration {
    match took.as_millis() {
        0 => Duration::from_micros(took.as_micros()),
        millis => Duration::from_millis(millis),
    }
}

const fn short(is_well: bool) -> &'static str {
    if is_well { "ok\n" } else { "unhealthy\n" }
}

fn verbose(report: &Report, kind: Kind, detail: Detail) -> String {
    let mut text = String::new();
    for check in report.checks.iter().filter(|check| check.kind == kind) {
        let sign = match check.status {
            Status::Healthy => '+',
            Status::Degraded => '~',
            Status::Unknown => '?',
            Status::Unhealthy => '-',
        };
        // Writing to a string never fails.
        let _ = match check.outcome {
            Some(outcome) => write!(text, "[{sign}] {} {outcome} in {}", check.name, rounded(check.took)),
            None => write!(text, "[{sign}] {} has not run yet", check.name),
        };
        if let (Detail::Reasons, Some(reason)) = (detail, &check.reason) {
            let _ = write!(text, ": {reason}");
        }
        text.push('\n');
    }
    if kind != Kind::Startup && !report.started {
        text.push_str("the start is not over\n");
    }
    let name = match kind {
        Kind::Liveness => "livez",
        Kind::Readiness => "readyz",
        Kind::Startup => "startupz",
    };
    let _ = write!(text, "{name}: {}", short(report.holds(kind)));
    text
}
