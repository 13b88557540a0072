//! What is shown of models: answers, and the state of the upstreams.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use daur_core::performance::balancer::State;
use daur_core::performance::memory::{Resize, Shrink};
use daur_core::time::Duration;
use serde::Serialize;

use super::upstream::now;
use super::{Models, Reply};
use crate::breakers::by_itself;
use crate::command::state_name;
use crate::fallback::{self, Used};
use crate::results::Source;

/// What a client gets for a chat.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The upstream's answer.
    pub reply: Reply,
    /// Whether it was kept, shared or made for this client.
    pub source: Source,
    /// Upstreams asked for it; 0 if it was kept or shared.
    pub attempts: u32,
    /// If it is an earlier one, given since there is no new one: why, and of which age.
    pub fallback: Option<Used>,
    /// How long the client waited for it.
    pub elapsed_ms: u64,
}

/// Shows one upstream.
#[derive(Clone, Debug, Serialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Its host; what else its address holds is nobody's business.
    pub host: String,
    /// Its share.
    pub weight: u16,
    /// What its breaker does with requests.
    pub state: &'static str,
    /// Whether it gets its share: `up`, `returning`, or `ejected`.
    pub share: &'static str,
    /// Requests under way.
    pub load: u32,
    /// How long an answer is expected to take, where it is chosen by that.
    pub expected_us: Option<u64>,
    /// While it is refused or left alone: until when.
    pub retry_in_ms: Option<u64>,
    /// Requests sent.
    pub asked: u64,
    /// Answers.
    pub answered: u64,
    /// Times it had too much work.
    pub busy: u64,
    /// Requests that it refused for what they said.
    pub rejected: u64,
    /// All other failures.
    pub failed: u64,
    /// Requests that were given up since the client had gone, or the server was stopping.
    pub cancelled: u64,
    /// Tokens that its answers say they cost.
    pub tokens: u64,
    /// What its last failure was.
    pub last_fault: Option<&'static str>,
}

/// Shows answers in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Streams {
    /// Under way.
    pub open: u64,
    /// Come to their end.
    pub finished: u64,
    /// Broken off: by the upstream, by time, with the token or the server.
    pub cut: u64,
    /// Left by the client.
    pub left: u64,
}

/// Shows all models.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Whether there is any.
    pub configured: bool,
    /// Requests under way.
    pub running: u32,
    /// Requests that may be under way.
    pub at_once: u32,
    /// Answers that had been kept.
    pub hits: u64,
    /// Answers in pieces.
    pub streams: Streams,
    /// Earlier answers that were given since there was no new one.
    pub fallbacks: fallback::Snapshot,
    /// Times that one was left out.
    pub ejections: u64,
    /// Every upstream.
    pub upstreams: Vec<UpstreamStatus>,
}

impl Models {
    /// What gives back memory when that is short.
    pub fn shrinker(&self) -> impl Shrink + Send + Sync + use<> {
        let last_good = Arc::clone(&self.last_good);
        Resize(move |keep| last_good.resize(keep))
    }

    /// The state of all upstreams.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = now();
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let shown = self.upstreams.snapshot();
        // Both were added in the order of the config, and none is ever removed.
        let upstreams = self.listed.iter().zip(&shown.endpoints).map(|(upstream, shown)| {
            let worker = &shown.worker;
            let open = shown.breaker.as_ref().and_then(|breaker| breaker.retry_at).and_then(by_itself);
            let wait = open.max(upstream.rests(now)).filter(|at| *at > now);
            UpstreamStatus {
                name: upstream.name.clone(),
                host: upstream.host.clone(),
                weight: worker.weight,
                state: shown.breaker.as_ref().map_or("closed", |breaker| state_name(breaker.state)),
                share: match worker.state {
                    State::Ejected { .. } => "ejected",
                    State::Returning { .. } => "returning",
                    _ => "up",
                },
                load: worker.load,
                expected_us: worker.expected.map(Duration::as_micros),
                retry_in_ms: wait.map(|at| at.since(now).as_millis()),
                asked: load(&upstream.counts.asked),
                answered: load(&upstream.counts.answered),
                busy: load(&upstream.counts.busy),
                rejected: load(&upstream.counts.rejected),
                failed: load(&upstream.counts.failed),
                cancelled: load(&upstream.counts.cancelled),
                tokens: load(&upstream.counts.tokens),
                last_fault: *upstream.last_fault.lock().unwrap_or_else(PoisonError::into_inner),
            }
        });
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        Snapshot {
            configured: !self.listed.is_empty(),
            running: self.config.at_once.saturating_sub(free),
            at_once: self.config.at_once,
            hits: self.hits.load(Ordering::Relaxed),
            streams: Streams {
                open: load(&self.streams.open),
                finished: load(&self.streams.finished),
                cut: load(&self.streams.cut),
                left: load(&self.streams.left),
            },
            fallbacks: self.last_good.snapshot(),
            ejections: shown.all.ejections,
            upstreams: upstreams.collect(),
        }
    }
}
