//! What has changed.

use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use daur_core::security::permission::Permissions;
use daur_core::services::notify::check_pattern;
use daur_std::services::notify::{RecvError, Subscription};
use serde_json::json;

use super::query::{bad, number, pairs, unknown};
use super::{Answer, Shared, as_json};
use crate::notifications::{Shown, Told};
use crate::problem::Problem;

/// Notifications in one answer.
const MOST: u64 = 1_000;

/// `topic`, which may have wildcards, and `limit`.
fn asked(query: &str) -> Result<(String, usize), Problem> {
    let (mut pattern, mut limit) = (">".to_owned(), 100);
    for pair in pairs(query) {
        let (name, value) = pair?;
        match name {
            "topic" => pattern = value,
            "limit" => limit = number(name, &value)?.min(MOST) as usize,
            _ => return Err(unknown("`topic` and `limit`")),
        }
    }
    check_pattern(&pattern).map_err(|_| bad("topic", "a topic such as `breaker.*.opened` or `device.>`"))?;
    Ok((pattern, limit))
}

pub(super) async fn list(State(app): Shared, request: Request<Body>) -> Answer {
    app.admit(&request, Permissions::READ)?;
    let (pattern, limit) = asked(request.uri().query().unwrap_or(""))?;
    let shown = app.notifications.snapshot();
    as_json(&json!({
        "notifications": app.notifications.recent(&pattern, limit),
        "sent": shown.sent,
        "topics": shown.topics,
    }))
}

/// The next one as JSON, or how many were missed; nothing ever, where too many listen.
pub(super) async fn next(stream: &mut Option<Subscription<Told>>) -> String {
    let Some(open) = stream else { return std::future::pending().await };
    let told = match open.recv().await {
        Ok(one) => serde_json::to_string(&Shown::from(one)).ok(),
        Err(RecvError::Lagged(missed)) => Some(json!({ "missed": missed }).to_string()),
        Err(RecvError::Closed) => None,
    };
    match told {
        Some(told) => told,
        None => {
            *stream = None;
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    #[test]
    fn a_query_is_read_strictly() {
        assert_eq!(asked("").unwrap(), (">".to_owned(), 100));
        assert_eq!(asked("topic=breaker.%2a.opened&limit=5000").unwrap(), ("breaker.*.opened".to_owned(), 1_000));
        for bad in ["topic=", "topic=a..b", "topic=a+b", "topic=%3e.a", "limit=x", "limit=-1", "since=1"] {
            assert_eq!(asked(bad).unwrap_err().code(), Code::BadRequest, "{bad}");
        }
    }
}
