//! Chats with models.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::IntoResponse;
use daur_core::security::audit::{Event, Kind, Outcome};
use daur_core::security::permission::Permissions;
use daur_core::text::Text;
use daur_core::time::{Clock, Instant};
use daur_std::clock::StdClock;
use hyper::body::Frame;
use tokio::sync::{mpsc, oneshot};

use super::{Abandoned, Answer, Shared};
use crate::app::{App, source};
use crate::body;
use crate::fallback::Used;
use crate::gate::Caller;
use crate::model::{Answer as Reply, Chat, End, Ended, Opened, Wanted};
use crate::problem::Problem;
use crate::results::Source;

/// The upstream's answer as it came; what is ours to say stands in headers.
const CACHE: HeaderName = HeaderName::from_static("x-daur-cache");
const UPSTREAM: HeaderName = HeaderName::from_static("x-daur-upstream");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-daur-attempts");
/// Why it is an earlier answer; `Age` says how old it is.
const FALLBACK: HeaderName = HeaderName::from_static("x-daur-fallback");
/// A proxy shall not collect a stream.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Chunks on their way to a client.
const ON_THE_WAY: usize = 16;

/// Who asks for what, as it stands in the audit: what was said stays between the client and the model.
struct Asked {
    who: Caller,
    from: String,
    model: String,
    began: Instant,
}

impl Asked {
    fn event(&self, outcome: Outcome, what: &str) -> Event {
        let model = Text::<64>::cut(&self.model);
        let space = if model.is_empty() { "" } else { " " };
        Event::new(Kind::Command, outcome, self.who.name(), &self.from, &format!("model{space}{model}: {what}"))
    }

    fn count(&self, app: &App, by: &str, how: &'static str) {
        app.usage.track("chat", Some(self.who.name()), by, how);
        app.events.record("model", by.to_owned(), how, StdClock.now().since(self.began));
    }
}

pub(super) async fn answer(State(app): Shared, request: Request<Body>) -> Answer {
    let who = app.admit(&request, Permissions::WRITE)?;
    let (from, wanted) = (source(&request).to_string(), Wanted::of(request.headers()));
    let body = body::json(request, app.config.policy.max_body).await?;
    let mut asked = Asked { who, from, model: String::new(), began: StdClock.now() };
    let chat = match Chat::admit(body) {
        Ok(chat) => chat,
        Err(problem) => {
            app.audit.record(asked.event(Outcome::Denied, problem.code().as_str())).await?;
            return Err(problem);
        }
    };
    asked.model = chat.model().unwrap_or("").to_owned();
    app.audit.ready().await?;
    if chat.streams() {
        return stream(app, chat, wanted, asked).await;
    }
    let mut abandoned = Abandoned { app: &app, event: Some(|| asked.event(Outcome::Failure, "abandoned")) };
    let result = app.models.run(&chat, wanted).await;
    abandoned.event = None;
    match result {
        Ok(answer) => whole(&app, &asked, answer, false).await,
        Err(problem) => refused(&app, &asked, problem).await,
    }
}

async fn refused(app: &App, asked: &Asked, problem: Problem) -> Answer {
    let code = problem.code().as_str();
    asked.count(app, "none", code);
    app.audit.record(asked.event(Outcome::Failure, code)).await?;
    Err(problem)
}

/// An answer that is all there.
async fn whole(app: &App, asked: &Asked, answer: Reply, streams: bool) -> Answer {
    let Reply { reply, source, attempts, fallback, .. } = answer;
    let by = reply.upstream.as_str();
    let (how, kept, what) = match (fallback, source) {
        (Some(Used { cause, .. }), _) => {
            ("fallback", "fallback", format!("an earlier answer, by {by}, since {}", cause.as_str()))
        }
        (None, Source::Computed) => ("success", "miss", format!("answered by {by}, attempts {attempts}")),
        (None, Source::Shared) => ("cached", "shared", format!("cached, by {by}")),
        (None, Source::Memory | Source::File) => ("cached", "hit", format!("cached, by {by}")),
    };
    asked.count(app, by, how);
    app.audit.record(asked.event(Outcome::Success, &what)).await?;
    let mut headers = headers(kept, by, attempts, streams);
    let mut body = reply.body;
    if let Some(used) = fallback {
        headers.insert(FALLBACK, HeaderValue::from_static(used.cause.as_str()));
        headers.insert(header::AGE, HeaderValue::from(used.age_ms / 1_000));
        if !streams {
            body = marked(body, used)?;
        }
    }
    Ok((headers, body).into_response())
}

fn headers(kept: &'static str, by: &str, attempts: u32, streams: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = if streams { "text/event-stream" } else { "application/json" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE, HeaderValue::from_static(kept));
    headers.insert(UPSTREAM, HeaderValue::from_str(by).unwrap_or(HeaderValue::from_static("")));
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    if streams {
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
    }
    headers
}

/// An earlier answer that says so, before all that the upstream has said.
fn marked(body: String, used: Used) -> Result<String, Problem> {
    let told = serde_json::to_string(&used).map_err(|error| Problem::internal("an answer is not JSON", &error))?;
    match body.trim_start().strip_prefix('{') {
        Some(rest) => Ok(format!("{{\"fallback\":{told},{rest}")),
        None => Ok(body),
    }
}

/// An answer in pieces. It is passed on by a task of its own, which ends when nobody reads it any more.
async fn stream(app: Arc<App>, chat: Chat, wanted: Wanted, asked: Asked) -> Answer {
    let (ready, opened) = oneshot::channel();
    let (client, pieces) = mpsc::channel(ON_THE_WAY);
    let asked = Arc::new(asked);
    tokio::spawn({
        let (app, asked) = (Arc::clone(&app), Arc::clone(&asked));
        async move {
            let allowed = || app.gate.still_valid(&asked.who);
            let Ended { by, how } = app.models.stream(&chat, wanted, ready, client, allowed).await;
            ended(&app, &asked, by.as_deref().unwrap_or("none"), &how);
        }
    });
    match opened.await {
        Ok(Ok(Opened::Begun { upstream, attempts })) => {
            let what = format!("streamed by {upstream}, attempts {attempts}");
            app.audit.record(asked.event(Outcome::Success, &what)).await?;
            Ok((headers("miss", &upstream, attempts, true), Body::new(Pieces(pieces))).into_response())
        }
        Ok(Ok(Opened::Whole(answer))) => whole(&app, &asked, answer, true).await,
        Ok(Err(problem)) => refused(&app, &asked, problem).await,
        Err(_) => Err(Problem::internal("a stream has no beginning", &"its task has ended")),
    }
}

/// Counts a stream; says in the audit that it did not come to its end.
fn ended(app: &App, asked: &Asked, by: &str, end: &End) {
    let (how, what) = match end {
        // Whoever answered has said it.
        End::Unbegun => return,
        End::Finished => ("success", None),
        End::Cut(code) => (code.as_str(), Some(format!("the stream by {by} was cut: {}", code.as_str()))),
        End::Left => ("abandoned", Some("abandoned".to_owned())),
    };
    asked.count(app, by, how);
    if let Some(what) = what {
        app.audit.note(asked.event(Outcome::Failure, &what));
    }
}

/// What a client reads of a stream.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
