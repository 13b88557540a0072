//! Models: from a chat to an answer, by way of cache, upstreams and their breakers.
//!
//! # Rules
//! 1. A chat is an object with `messages`, each with a `role`; all else goes to the upstream as it came, and its
//!    answer to the client: whole, or with `stream` in pieces as they come. Without an upstream everything is
//!    `not_configured`.
//! 2. An answer is kept for `ttl` under all that decides it. That is so for any temperature, unless `keep` says
//!    otherwise: who wants another answer to the same chat says `Cache-Control: no-cache`, who wants none kept says
//!    `no-store`. Callers who ask the same at the same time share one request.
//! 3. Who is asked, the balancer says, among those whose breaker is closed. One that cannot be reached, takes too long, fails (408, 5xx), lets us not in (3xx, 401..403) or sends what
//!    is no answer counts for its breaker, and another one is asked at once. The same one is asked again only after
//!    a wait. The budget of all requests pays for both; all of it is over by `timeout`.
//! 4. One that refuses the chat itself (other 4xx) has done its work: that ends the run as `invalid_input`, with what
//!    it says.
//! 5. One that is busy (429, 503 with `Retry-After`) is left alone for as long as it says, up to 60 s. Its breaker does
//!    not count that. Where all are, a chat waits no longer than the retry's `max_delay`, and is told when to come back.
//! 6. A key stands in one header of one request. It is in no answer, log or figure, not even if the upstream repeats it.
//! 7. So many requests are under way at a time; one more is `overloaded`. An answer of more than `max_answer` bytes is
//!    none.
//! 8. Where none answers in time, the last good answer to the same chat is given for up to `fallback.max_age`, and says so:
//!    not to who has asked for a new one, not for what the chat itself is refused for, and not because this server has too
//!    much work.
//! 9. Another upstream takes over a stream until its first chunk has come, and none after. A stream that breaks off, falls
//!    silent for `stream.idle`, lasts longer than `stream.total` or holds what is no chunk ends with an error in the place of
//!    `[DONE]`, and counts as a failure. A client that goes, or does not read, ends the upstream's work, which counts for
//!    nothing. What came to its `[DONE]` is kept, and given to the next one as it came.

mod chat;
mod config;
mod shown;
mod stream;
mod upstream;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use daur_core::reliability::breaker;
use daur_core::reliability::retry::{Decision, Retry};
use daur_core::time::{Duration, Instant};
use daur_std::performance::balancer::{Endpoints, Pick};
use daur_std::reliability::budget::SharedBudget;
use daur_std::rng::os_seed;
use daur_std::services::result_cache::{self, Computed};
use reqwest::Client;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time;

pub use chat::{Chat, Reply, Wanted};
pub use config::{Config, Keep, KeySource, Stream, UPSTREAMS, Upstream};
pub use shown::{Answer, Snapshot, Streams, UpstreamStatus};
pub use stream::{End, Ended, Opened};

use crate::breakers::{Force, by_itself};
use crate::command::state_name;
use crate::fallback::{Cause, Good, LastGood, Used};
use crate::http::stopped;
use crate::problem::{Code, Problem};
use crate::results::{Results, Source};
use upstream::{Fault, Flow, now};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Asks models.
pub struct Models {
    config: Config,
    client: Client,
    upstreams: Endpoints<Arc<upstream::Upstream>, UPSTREAMS>,
    /// The same ones, in the order of the config.
    listed: Vec<Arc<upstream::Upstream>>,
    results: Arc<Results>,
    /// What of the config decides an answer.
    mark: [u8; 8],
    places: Semaphore,
    budget: Option<SharedBudget>,
    last_good: Arc<LastGood<Reply>>,
    hits: AtomicU64,
    streams: stream::Counts,
    stop: watch::Receiver<bool>,
}

/// An answer that was not kept before.
struct Fresh<'a> {
    got: Got<'a>,
    attempts: u32,
}

/// What an upstream gave.
enum Got<'a> {
    Whole(Reply),
    /// The first chunk, and its tokens; the rest is to come.
    Begun(Asking<'a>, (String, Option<u64>), Box<Flow>),
}

/// Why there is no answer, and whether an earlier one will do.
struct Failed {
    problem: Problem,
    cause: Option<Cause>,
    retry_at: Option<Instant>,
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self { problem, cause: None, retry_at: None }
    }
}

impl Failed {
    fn by(cause: Cause, problem: Problem) -> Self {
        Self { cause: Some(cause), ..problem.into() }
    }
}

/// A request that an upstream has. Dropped early, it gives back load and permit.
struct Asking<'a> {
    upstream: Arc<upstream::Upstream>,
    pick: Option<Pick<'a, Arc<upstream::Upstream>, UPSTREAMS>>,
}

impl<'a> Asking<'a> {
    fn new(pick: Pick<'a, Arc<upstream::Upstream>, UPSTREAMS>) -> Self {
        let upstream = Arc::clone(&pick);
        upstream.counts.asked.fetch_add(1, Ordering::Relaxed);
        Self { upstream, pick: Some(pick) }
    }

    fn answered(mut self, tokens: u64) {
        if let Some(pick) = self.pick.take() {
            let _ = pick.success();
            let counts = &self.upstream.counts;
            counts.answered.fetch_add(1, Ordering::Relaxed);
            counts.tokens.fetch_add(tokens, Ordering::Relaxed);
        }
    }

    fn failed(mut self, fault: &Fault) {
        let Some(pick) = self.pick.take() else { return };
        let upstream = &self.upstream;
        let count = match fault {
            Fault::Rejected(..) => {
                let _ = pick.success();
                &upstream.counts.rejected
            }
            Fault::Busy(wait) => {
                // It says itself how long to stay away.
                drop(pick);
                upstream.rest(*wait, now());
                &upstream.counts.busy
            }
            _ => {
                let _ = pick.failure();
                &upstream.counts.failed
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        *upstream.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.name());
        tracing::warn!(upstream = upstream.name, %fault, "a model gave no answer");
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.pick.take().is_some() {
            self.upstream.counts.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Models {
    /// The models of `config`, with their answers kept in `results`.
    ///
    /// # Errors
    /// An invalid config; a key that cannot be read; no certificates to trust.
    pub fn new(config: Config, results: Arc<Results>, stop: watch::Receiver<bool>) -> Result<Self, Error> {
        config.validate()?;
        let upstreams = Endpoints::try_new(config.balancer())?;
        let mut listed = Vec::new();
        for (place, upstream) in config.upstreams.iter().enumerate() {
            let own = Arc::new(upstream::Upstream::new(place, upstream, &config)?);
            let added = upstreams.add(&upstream.name, Arc::clone(&own), upstream.weight);
            added.map_err(|error| format!("the upstream `{}`: {error}", upstream.name))?;
            listed.push(own);
        }
        let mut hasher = DefaultHasher::new();
        for Upstream { name, url, model, .. } in &config.upstreams {
            (name, url, model).hash(&mut hasher);
        }
        Ok(Self {
            client: upstream::client(&config)?,
            upstreams,
            listed,
            results,
            mark: hasher.finish().to_le_bytes(),
            places: Semaphore::new(config.at_once as usize),
            budget: config.budget.map(SharedBudget::try_new).transpose()?,
            last_good: Arc::new(LastGood::new(config.fallback)),
            hits: AtomicU64::new(0),
            streams: stream::Counts::default(),
            config,
            stop,
        })
    }

    /// Does something by hand with the breaker of an upstream; gives its state. `None` if there is no such upstream.
    pub fn force(&self, name: &str, how: Force) -> Option<breaker::State> {
        if how == Force::Reset {
            // Somebody has mended it, so it gets its share too.
            self.upstreams.restore(name);
        }
        let state = self.upstreams.with_breaker(name, |breaker, now| how.apply(breaker, now))?;
        tracing::warn!(upstream = name, state = state_name(state), "an operator has set a model's breaker");
        Some(state)
    }

    /// The answer to a chat: kept, fresh, or an earlier one.
    ///
    /// # Errors
    /// `not_configured`, `invalid_input`, `timeout`, `circuit_open`, `overloaded`, `upstream_failed`.
    pub async fn run(&self, chat: &Chat, wanted: Wanted) -> Result<Answer, Problem> {
        self.is_configured()?;
        let began = now();
        // Who waits for another caller's answer, and then has to ask after all, has no more time for it.
        let end = began + self.config.timeout;
        let (key, ttl) = (self.key(chat), self.config.ttl);
        let mut attempts = 0;
        let found = match (self.keeps(chat), wanted) {
            (true, Wanted::Any) => {
                let compute = async || {
                    let (reply, made) = self.ask(chat, end).await?;
                    attempts = made;
                    let bytes = reply.to_bytes();
                    self.remember(&key, reply, wanted);
                    Ok::<_, Failed>(Computed::Keep(bytes))
                };
                self.results.get_or_compute(&key, ttl, compute).await.map(|answer| (answer.value, answer.source))
            }
            (keeps, _) => self.ask(chat, end).await.map(|(reply, made)| {
                attempts = made;
                let bytes = reply.to_bytes().into();
                if keeps && wanted == Wanted::Fresh {
                    self.results.put(&key, &bytes, ttl);
                }
                self.remember(&key, reply, wanted);
                (bytes, Source::Computed)
            }),
        };
        match found {
            Ok((bytes, source)) => self.answer(&bytes, source, attempts, began),
            Err(failed) => self.stand_in(&key, wanted, failed, began),
        }
    }

    fn is_configured(&self) -> Result<(), Problem> {
        if self.listed.is_empty() {
            let detail = "No model is set up: the server's config file names no `[[model.upstreams]]`.";
            return Err(Problem::new(Code::NotConfigured, detail));
        }
        Ok(())
    }

    /// Whether answers to this chat are kept.
    fn keeps(&self, chat: &Chat) -> bool {
        !self.config.ttl.is_zero() && (self.config.keep == Keep::Always || chat.is_fixed())
    }

    fn key(&self, chat: &Chat) -> result_cache::Key {
        result_cache::key([&b"model"[..], &self.mark, &chat.digest()])
    }

    /// What a client gets of what is kept, or was just made.
    fn answer(&self, bytes: &[u8], source: Source, attempts: u32, began: Instant) -> Result<Answer, Problem> {
        let reply = Reply::from_bytes(bytes)
            .ok_or_else(|| Problem::internal("a kept answer cannot be read", &"it has no upstream"))?;
        if matches!(source, Source::Memory | Source::File) {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Answer { reply, source, attempts, fallback: None, elapsed_ms: now().since(began).as_millis() })
    }

    /// Remembers a good answer for when there will be none.
    fn remember(&self, key: &[u8], reply: Reply, wanted: Wanted) {
        if wanted != Wanted::Unkept {
            self.last_good.remember(key, &Good { output: Arc::new(reply), at: now() });
        }
    }

    /// The last good answer, if that will do.
    fn stand_in(&self, key: &[u8], wanted: Wanted, failed: Failed, began: Instant) -> Result<Answer, Problem> {
        let Failed { problem, cause, retry_at } = failed;
        let (Some(cause), Wanted::Any) = (cause, wanted) else { return Err(problem) };
        let Some((reply, used)) = self.last_good.get(key, cause, retry_at) else { return Err(problem) };
        let Used { age_ms, .. } = used;
        tracing::warn!(cause = cause.as_str(), age_ms, "an earlier answer of a model was given instead");
        let (reply, elapsed_ms) = (Reply::clone(&reply), now().since(began).as_millis());
        Ok(Answer { reply, source: Source::Memory, attempts: 0, fallback: Some(used), elapsed_ms })
    }

    /// Asks upstreams until one answers; gives the answer and how many were asked.
    async fn ask(&self, chat: &Chat, end: Instant) -> Result<(Reply, u32), Failed> {
        let _place = self.place(end)?;
        let mut stop = self.stop.clone();
        tokio::select! {
            answered = self.attempts(chat, end) => match answered? {
                Fresh { got: Got::Whole(reply), attempts } => Ok((reply, attempts)),
                Fresh { got: Got::Begun(..), .. } => Err(Problem::internal("a stream came", &"it was not asked for").into()),
            },
            () = stopped(&mut stop) => Err(stopping().into()),
        }
    }

    /// A place among the requests that are under way.
    fn place(&self, end: Instant) -> Result<SemaphorePermit<'_>, Failed> {
        if now() >= end {
            let detail = format!("No model has answered within {}.", self.config.timeout);
            return Err(Failed::by(Cause::Timeout, Problem::new(Code::Timeout, detail)));
        }
        self.places.try_acquire().map_err(|_| {
            let detail = "Too many models are asked at the moment.";
            Problem::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1)).into()
        })
    }

    async fn attempts(&self, chat: &Chat, end: Instant) -> Result<Fresh<'_>, Failed> {
        let mut retry = Retry::new(self.config.retry, os_seed(), now());
        let mut tried = [false; UPSTREAMS];
        let mut attempts = 0;
        if let Some(budget) = &self.budget {
            budget.on_first_try();
        }
        loop {
            let Some(pick) = self.pick(&tried) else { return Err(self.nobody()) };
            tried[pick.place] = true;
            attempts += 1;
            let fault = match self.attempt(pick, chat, end).await {
                Ok(got) => {
                    if let Some(budget) = &self.budget {
                        budget.on_success(attempts);
                    }
                    return Ok(Fresh { got, attempts });
                }
                Err(fault) => fault,
            };
            let now = now();
            let is_over = matches!(fault, Fault::Rejected(..)) || now >= end;
            let Decision::Retry { after } = retry.next(now) else { return Err(self.told(fault)) };
            let paid = self.budget.as_ref().map(SharedBudget::try_retry);
            if is_over || matches!(paid, Some(Err(_))) {
                return Err(self.told(fault));
            }
            if !self.has_another(&tried) {
                // Nobody else is left: the same ones once more, after a while.
                tried.fill(false);
                let due = self.free_at(now).map_or(now + after, |free| free.max(now + after));
                // A client can wait for itself, and its connection is worth something.
                if due >= end || due.since(now) > self.config.retry.max_delay {
                    return Err(self.told(fault));
                }
                time::sleep(due.since(now).into()).await;
            }
            if let Some(Ok(funded)) = paid {
                funded.made();
            }
        }
    }

    /// One request to one upstream.
    async fn attempt<'a>(
        &'a self,
        pick: Pick<'a, Arc<upstream::Upstream>, UPSTREAMS>,
        chat: &Chat,
        end: Instant,
    ) -> Result<Got<'a>, Fault> {
        let asking = Asking::new(pick);
        let upstream = Arc::clone(&asking.upstream);
        let limit = upstream.timeout.min(end.since(now())).into();
        let fault = if chat.streams() {
            match time::timeout(limit, upstream.open(&self.client, chat)).await.unwrap_or(Err(Fault::Timeout)) {
                Ok((first, flow)) => return Ok(Got::Begun(asking, first, Box::new(flow))),
                Err(fault) => fault,
            }
        } else {
            match time::timeout(limit, upstream.ask(&self.client, chat)).await.unwrap_or(Err(Fault::Timeout)) {
                Ok((body, tokens)) => {
                    asking.answered(tokens);
                    return Ok(Got::Whole(Reply { upstream: upstream.name.clone(), body }));
                }
                Err(fault) => fault,
            }
        };
        asking.failed(&fault);
        Err(fault)
    }

    /// An upstream that may be asked and was not yet.
    fn pick(&self, tried: &[bool; UPSTREAMS]) -> Option<Pick<'_, Arc<upstream::Upstream>, UPSTREAMS>> {
        let now = now();
        self.upstreams.pick_where(|upstream| !tried[upstream.place] && upstream.rests(now).is_none()).ok()
    }

    /// Whether there is such a one.
    fn has_another(&self, tried: &[bool; UPSTREAMS]) -> bool {
        let now = now();
        let free = |(upstream, open): (&Arc<upstream::Upstream>, Option<Instant>)| {
            !tried[upstream.place] && upstream.rests(now).is_none() && open.is_none()
        };
        self.with_open().any(free)
    }

    /// When the first upstream may be asked again, if none may now.
    fn free_at(&self, now: Instant) -> Option<Instant> {
        let free = |(upstream, open): (&Arc<upstream::Upstream>, Option<Instant>)| {
            upstream.rests(now).max(open).unwrap_or(now)
        };
        self.with_open().map(free).min().filter(|free| *free > now)
    }

    /// Each upstream, and until when its breaker refuses.
    fn with_open(&self) -> impl Iterator<Item = (&Arc<upstream::Upstream>, Option<Instant>)> {
        let shown = self.upstreams.snapshot().endpoints;
        let open = move |upstream: &Arc<upstream::Upstream>| {
            let shown = shown.iter().find(|shown| shown.name == upstream.name)?;
            shown.breaker.as_ref()?.retry_at
        };
        self.listed.iter().map(move |upstream| (upstream, open(upstream)))
    }

    /// What a client is told when no upstream may be asked.
    fn nobody(&self) -> Failed {
        let now = now();
        let free = self.free_at(now).unwrap_or(now);
        let Some(free) = by_itself(free) else {
            let detail = "An operator holds the breakers of all models open.";
            return Failed::by(Cause::CircuitOpen, Problem::new(Code::CircuitOpen, detail));
        };
        let resting = self.listed.iter().any(|upstream| upstream.rests(now).is_some());
        let (cause, code, detail) = if resting {
            (Cause::Busy, Code::Overloaded, "The models have too much work at the moment.")
        } else {
            (Cause::CircuitOpen, Code::CircuitOpen, "The models failed too often; they are not asked now.")
        };
        let problem = Problem::new(code, detail).retry_after(free.since(now));
        Failed { retry_at: Some(free), ..Failed::by(cause, problem) }
    }

    /// What a client is told of the last fault.
    fn told(&self, fault: Fault) -> Failed {
        let refused = |detail: String| Problem::new(Code::InvalidInput, detail).into();
        match fault {
            Fault::Timeout => Failed::by(Cause::Timeout, Problem::new(Code::Timeout, "No model answered in time.")),
            Fault::Busy(_) => self.nobody(),
            Fault::Rejected(_, said) if said.is_empty() => {
                refused("The model's upstream refuses this request, and does not say why.".into())
            }
            Fault::Rejected(_, said) => refused(format!("The model's upstream refuses this request: {said}")),
            Fault::Unreachable | Fault::Status(_) | Fault::Denied(_) | Fault::NoAnswer(_) | Fault::Cut => {
                let detail = "No model gave an answer; the server's log says why.";
                Failed::by(Cause::UpstreamFailed, Problem::new(Code::UpstreamFailed, detail))
            }
        }
    }
}

fn stopping() -> Problem {
    Problem::new(Code::Overloaded, "The server is stopping.").closing()
}
