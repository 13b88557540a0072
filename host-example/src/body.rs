//! Reads a request's body up to a limit.
//!
//! A client that is refused while it still sends would see its connection break before it reads the
//! answer. So what it still sends is read and thrown away, up to a bound, before it gets the 413.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time;

use crate::http::{self, Peer};
use crate::problem::{Code, Problem};

/// How much of a body that is too long is read, and for how long, so that its sender sees the answer.
const DRAIN_BYTES: usize = 8 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Reads the body as an object of JSON.
///
/// # Errors
/// `bad_request` if it is not what `T` needs, `payload_too_large`, `timeout` if it does not arrive.
pub async fn json<T: DeserializeOwned>(request: Request<Body>, limit: usize) -> Result<T, Problem> {
    parsed(request, limit, |error| format!("The body is not what is expected here: {error}.")).await
}

/// As [`json`], for a body with a secret in it: what is wrong is told by its place, not by its text.
///
/// # Errors
/// Those of [`json`].
pub async fn secret_json<T: DeserializeOwned>(request: Request<Body>, limit: usize) -> Result<T, Problem> {
    let told = |error: serde_json::Error| {
        format!("The body is not what is expected here, at line {} column {}.", error.line(), error.column())
    };
    parsed(request, limit, told).await
}

async fn parsed<T: DeserializeOwned>(
    request: Request<Body>,
    limit: usize,
    told: impl FnOnce(serde_json::Error) -> String,
) -> Result<T, Problem> {
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = declared.and_then(|value| value.split(';').next()).unwrap_or("").trim();
    // A form of another site's page can send text, never this type. A program says what it likes.
    let from_page = request.headers().contains_key(header::ORIGIN);
    let acceptable = kind.eq_ignore_ascii_case("application/json") || !from_page;
    let bytes = read(request, limit).await?;
    if !acceptable {
        return Err(Problem::new(Code::BadRequest, "A page must send JSON, with `Content-Type: application/json`."));
    }
    // An array would be taken for a struct too, its values for fields in an order that nobody has promised.
    let object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let named = if object { Ok(()) } else { serde_json::from_slice::<Map<String, Value>>(&bytes).map(drop) };
    named.and_then(|()| serde_json::from_slice(&bytes)).map_err(|error| Problem::new(Code::BadRequest, told(error)))
}

/// Reads the body, at most `limit` bytes whatever its declared length is.
async fn read(request: Request<Body>, limit: usize) -> Result<Vec<u8>, Problem> {
    let expects = request.headers().contains_key(header::EXPECT);
    let declared = declared_length(request.headers());
    let peer = request.extensions().get::<Peer>();
    let patience = peer.map_or(http::Config::DEFAULT.body_time, |peer| peer.body_time);
    let mut body = request.into_body();
    let too_large =
        || Problem::new(Code::PayloadTooLarge, format!("The body may have {limit} bytes at most.")).closing();
    if declared.is_some_and(|length| length > limit as u64) {
        // A client that waits for `100 Continue` has not begun to send, and now will not.
        if !expects {
            drain(&mut body).await;
        }
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let arrival = async {
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|_| Problem::new(Code::BadRequest, "The body ended before its declared length.").closing())?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > limit {
                    return Ok(false);
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(true)
    };
    let mut arrival = pin!(arrival);
    // Most are there already, and need no timer.
    let arrived = match poll_fn(|context| Poll::Ready(arrival.as_mut().poll(context))).await {
        Poll::Ready(arrived) => Ok(arrived),
        Poll::Pending => time::timeout(patience, arrival).await,
    };
    match arrived {
        Ok(Ok(true)) => Ok(bytes),
        Ok(Ok(false)) => {
            drain(&mut body).await;
            Err(too_large())
        }
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::new(Code::Timeout, "The body did not arrive in time.").closing()),
    }
}

async fn drain(body: &mut Body) {
    let all = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, axum::body::Bytes::len);
            if seen > DRAIN_BYTES {
                break;
            }
        }
    };
    let _ = time::timeout(DRAIN_TIME, all).await;
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
