//! Answers in pieces: from an upstream to a client, as they come.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use daur_core::time::{Duration, Instant};
use daur_std::services::result_cache::Computed;
use serde_json::json;
use tokio::sync::{SemaphorePermit, mpsc, oneshot};
use tokio::time;

use super::upstream::{Fault, Flow, Piece, now};
use super::{Answer, Asking, Chat, Failed, Fresh, Got, Models, Reply, Wanted, stopping};
use crate::http::stopped;
use crate::problem::{Code, Problem};
use crate::results::Source;

/// How often it is looked whether the client may still have it.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of an upstream's body may take behind its `[DONE]`.
const FINISH: std::time::Duration = std::time::Duration::from_secs(1);
/// How long a client may take for the last thing that it is told.
const LAST: std::time::Duration = std::time::Duration::from_secs(5);

/// Counts streams by their end.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) open: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) left: AtomicU64,
}

/// What a client gets at first.
#[derive(Debug)]
pub enum Opened {
    /// All of it: it was kept, or is an earlier one.
    Whole(Answer),
    /// What comes through the channel.
    Begun {
        /// Whose.
        upstream: String,
        /// Upstreams asked for it.
        attempts: u32,
    },
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was not begun: the client has it whole, or knows why not.
    Unbegun,
    /// It came to its end.
    Finished,
    /// It broke off, and the client was told.
    Cut(Code),
    /// The client went, or did not read.
    Left,
}

/// Whose stream ended, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose, if it had begun.
    pub by: Option<String>,
    /// How.
    pub how: End,
}

/// A stream that has begun.
struct Live<'a> {
    _place: SemaphorePermit<'a>,
    asking: Asking<'a>,
    first: (String, Option<u64>),
    flow: Box<Flow>,
    attempts: u32,
}

/// Why a stream goes no further.
enum Stop {
    /// The upstream's fault.
    Fault(Fault, String),
    /// Nobody's: what the client is told.
    Ended(Problem),
    Left,
}

impl Models {
    /// Answers a chat in pieces: says with `ready` what has begun, and sends it to `client` until all of it is there, or
    /// `client` is closed, or `allowed` is false.
    pub async fn stream(
        &self,
        chat: &Chat,
        wanted: Wanted,
        mut ready: oneshot::Sender<Result<Opened, Problem>>,
        client: mpsc::Sender<Bytes>,
        allowed: impl Fn() -> bool,
    ) -> Ended {
        let none = |how| Ended { by: None, how };
        let (key, began) = (self.key(chat), now());
        let opened = tokio::select! {
            opened = self.open(&key, chat, wanted, began) => opened,
            () = ready.closed() => return none(End::Left),
        };
        let whole = match opened {
            Ok(Ok(live)) => {
                let upstream = live.asking.upstream.name.clone();
                let by = Some(upstream.clone());
                if ready.send(Ok(Opened::Begun { upstream, attempts: live.attempts })).is_err() {
                    return Ended { by, how: End::Left };
                }
                let how = self.counted(self.pass_on(live, (&key, chat, wanted), client, allowed)).await;
                return Ended { by, how };
            }
            Ok(Err(kept)) => Ok(kept),
            Err(failed) => self.stand_in(&key, wanted, failed, began),
        };
        let _ = ready.send(whole.map(Opened::Whole));
        none(End::Unbegun)
    }

    /// A stream that has begun, or what was kept of an earlier one.
    async fn open(
        &self,
        key: &[u8],
        chat: &Chat,
        wanted: Wanted,
        began: Instant,
    ) -> Result<Result<Live<'_>, Answer>, Failed> {
        self.is_configured()?;
        if self.keeps(chat) && wanted == Wanted::Any {
            // A look-up alone: whoever asks for the same meanwhile does not wait for this client to have read it all.
            let nothing = async || Ok::<_, Failed>(Computed::Pass(Vec::new()));
            let found = self.results.get_or_compute(key, self.config.ttl, nothing).await?;
            if found.source != Source::Computed && !found.value.is_empty() {
                return Ok(Err(self.answer(&found.value, found.source, 0, began)?));
            }
        }
        let end = began + self.config.timeout;
        let place = self.place(end)?;
        let mut stop = self.stop.clone();
        let Fresh { got, attempts } = tokio::select! {
            fresh = self.attempts(chat, end) => fresh?,
            () = stopped(&mut stop) => return Err(stopping().into()),
        };
        match got {
            Got::Begun(asking, first, flow) => Ok(Ok(Live { _place: place, asking, first, flow, attempts })),
            Got::Whole(_) => Err(Problem::internal("a whole answer came", &"a stream was asked for").into()),
        }
    }

    /// Counts a stream, also one whose task is dropped.
    async fn counted(&self, stream: impl Future<Output = End>) -> End {
        struct Open<'a>(&'a Counts, Option<End>);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.open.fetch_sub(1, Ordering::Relaxed);
                let count = match self.1 {
                    Some(End::Finished) => &self.0.finished,
                    Some(End::Cut(_)) => &self.0.cut,
                    _ => &self.0.left,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.streams.open.fetch_add(1, Ordering::Relaxed);
        let mut open = Open(&self.streams, None);
        let end = stream.await;
        open.1 = Some(end.clone());
        end
    }

    async fn pass_on(
        &self,
        live: Live<'_>,
        (key, chat, wanted): (&[u8], &Chat, Wanted),
        client: mpsc::Sender<Bytes>,
        allowed: impl Fn() -> bool,
    ) -> End {
        let Live { _place, asking, first: (data, mut tokens), mut flow, .. } = live;
        let over = now() + self.config.stream.total;
        let mut stop = self.stop.clone();
        let mut looked = now();
        let mut body = String::new();
        let mut piece = Piece::Chunk(data, None);
        let why = loop {
            let from = body.len();
            match piece {
                Piece::Chunk(data, all) => {
                    tokens = all.or(tokens);
                    write_event(&mut body, &data);
                }
                Piece::Comment => {}
                Piece::Done => break None,
            }
            if now().since(looked) >= LOOK {
                looked = now();
                if !allowed() {
                    let told = "The token counts no more.";
                    break Some(Stop::Ended(Problem::new(Code::Unauthenticated, told)));
                }
            }
            // Between chunks, too, a proxy may want to hear something.
            let bytes = if body.len() > from { body[from..].to_owned() } else { ":\n\n".to_owned() };
            let sent = tokio::select! {
                sent = time::timeout(over.since(now()).into(), client.send(bytes.into())) => sent,
                () = stopped(&mut stop) => break Some(Stop::Ended(stopping())),
            };
            if !matches!(sent, Ok(Ok(()))) {
                break Some(Stop::Left);
            }
            match self.next(&asking, &mut flow, over, &client, &mut stop).await {
                Ok(next) => piece = next,
                Err(stop) => break Some(stop),
            }
        };
        let (code, told) = match why {
            None => {
                write_event(&mut body, "[DONE]");
                let last = body[body.len() - "data: [DONE]\n\n".len()..].to_owned();
                let reply = Reply { upstream: asking.upstream.name.clone(), body };
                // The upstream has done its work, whether the client still hears of it or not.
                asking.answered(tokens.unwrap_or(0));
                if self.keeps(chat) && wanted != Wanted::Unkept {
                    self.results.put(key, &reply.to_bytes().into(), self.config.ttl);
                }
                self.remember(key, reply, wanted);
                let _ = time::timeout(LAST, client.send(last.into())).await;
                drop((client, _place));
                let _ = time::timeout(FINISH, flow.finish()).await;
                return End::Finished;
            }
            // Dropped, `asking` and the connection end the upstream's work.
            Some(Stop::Left) => return End::Left,
            Some(Stop::Ended(problem)) => {
                drop(asking);
                (problem.code(), problem.to_string())
            }
            Some(Stop::Fault(fault, told)) => {
                asking.failed(&fault);
                (if fault == Fault::Timeout { Code::Timeout } else { Code::UpstreamFailed }, told)
            }
        };
        drop((flow, _place));
        let mut last = String::new();
        write_event(&mut last, &error(code, &told));
        let _ = time::timeout(LAST, client.send(last.into())).await;
        End::Cut(code)
    }

    /// The next piece, unless something ends the stream before.
    async fn next(
        &self,
        asking: &Asking<'_>,
        flow: &mut Flow,
        over: Instant,
        client: &mpsc::Sender<Bytes>,
        stop: &mut tokio::sync::watch::Receiver<bool>,
    ) -> Result<Piece, Stop> {
        let left = over.since(now());
        let (limit, told) = if left < self.config.stream.idle {
            (left, format!("The model's answer took longer than {}.", self.config.stream.total))
        } else {
            (self.config.stream.idle, format!("The model has sent nothing for {}.", self.config.stream.idle))
        };
        tokio::select! {
            biased;
            () = client.closed() => Err(Stop::Left),
            () = stopped(stop) => Err(Stop::Ended(stopping())),
            next = time::timeout(limit.into(), asking.upstream.next(flow)) => match next {
                Ok(Ok(piece)) => Ok(piece),
                Ok(Err(fault)) => {
                    Err(Stop::Fault(fault, "The model's answer broke off; the server's log says why.".into()))
                }
                Err(_) => Err(Stop::Fault(Fault::Timeout, told)),
            },
        }
    }
}

/// Writes one event. What came on several lines goes so.
fn write_event(to: &mut String, data: &str) {
    for line in data.split('\n') {
        to.push_str("data: ");
        to.push_str(line);
        to.push('\n');
    }
    to.push('\n');
}

/// An error as OpenAI's own clients know it.
fn error(code: Code, message: &str) -> String {
    json!({ "error": { "message": message, "type": code.as_str(), "param": null, "code": code.as_str() } }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_it_was_read() {
        let mut text = String::new();
        write_event(&mut text, "{\"a\":\n1}");
        write_event(&mut text, "[DONE]");
        assert_eq!(text, "data: {\"a\":\ndata: 1}\n\ndata: [DONE]\n\n");
        let told: serde_json::Value = serde_json::from_str(&error(Code::Timeout, "no\nmore")).unwrap();
        assert_eq!((&told["error"]["code"], &told["error"]["message"]), (&"timeout".into(), &"no\nmore".into()));
    }
}
