//! Models: from a chat to an answer, by way of cache, upstreams and their breakers.
//!
//! # Rules
//! 1. A chat is an object with `messages`, each with a `role`; all else goes to the upstream as it came, and its
//!    answer to the client. A stream is `not_supported`; without an upstream everything is `not_configured`.
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

mod chat;
mod config;
mod shown;
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
use tokio::sync::{Semaphore, watch};
use tokio::time;

pub use chat::{Chat, Reply, Wanted};
pub use config::{Config, Keep, KeySource, UPSTREAMS, Upstream};
pub use shown::{Answer, Snapshot, UpstreamStatus};

use crate::breakers::{Force, by_itself};
use crate::command::state_name;
use crate::http::stopped;
use crate::problem::{Code, Problem};
use crate::results::{Results, Source};
use upstream::{Fault, now};

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
    hits: AtomicU64,
    stop: watch::Receiver<bool>,
}

/// An answer that was not kept before.
struct Fresh {
    reply: Reply,
    attempts: u32,
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
            hits: AtomicU64::new(0),
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

    /// The answer to a chat: kept, or fresh.
    ///
    /// # Errors
    /// `not_configured`, `invalid_input`, `timeout`, `circuit_open`, `overloaded`, `upstream_failed`.
    pub async fn run(&self, chat: &Chat, wanted: Wanted) -> Result<Answer, Problem> {
        if self.listed.is_empty() {
            let detail = "No model is set up: the server's config file names no `[[model.upstreams]]`.";
            return Err(Problem::new(Code::NotConfigured, detail));
        }
        let began = now();
        // Who waits for another caller's answer, and then has to ask after all, has no more time for it.
        let end = began + self.config.timeout;
        let ttl = self.config.ttl;
        let keeps = !ttl.is_zero() && (self.config.keep == Keep::Always || chat.is_fixed());
        let key = result_cache::key([&b"model"[..], &self.mark, &chat.digest()]);
        let mut attempts = 0;
        let (bytes, source) = match (keeps, wanted) {
            (true, Wanted::Any) => {
                let compute = async || {
                    let fresh = self.ask(chat, end).await?;
                    attempts = fresh.attempts;
                    Ok::<_, Problem>(Computed::Keep(fresh.reply.to_bytes()))
                };
                let answer = self.results.get_or_compute(&key, ttl, compute).await?;
                (answer.value, answer.source)
            }
            _ => {
                let fresh = self.ask(chat, end).await?;
                attempts = fresh.attempts;
                let bytes = fresh.reply.to_bytes().into();
                if keeps && wanted == Wanted::Fresh {
                    self.results.put(&key, &bytes, ttl);
                }
                (bytes, Source::Computed)
            }
        };
        let reply = Reply::from_bytes(&bytes)
            .ok_or_else(|| Problem::internal("a kept answer cannot be read", &"it has no upstream"))?;
        if matches!(source, Source::Memory | Source::File) {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Answer { reply, source, attempts, elapsed_ms: now().since(began).as_millis() })
    }

    /// Asks upstreams until one answers.
    async fn ask(&self, chat: &Chat, end: Instant) -> Result<Fresh, Problem> {
        if now() >= end {
            let detail = format!("No model has answered within {}.", self.config.timeout);
            return Err(Problem::new(Code::Timeout, detail));
        }
        let Ok(_place) = self.places.try_acquire() else {
            let detail = "Too many models are asked at the moment.";
            return Err(Problem::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1)));
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            answered = self.attempts(chat, end) => answered,
            () = stopped(&mut stop) => Err(Problem::new(Code::Overloaded, "The server is stopping.").closing()),
        }
    }

    async fn attempts(&self, chat: &Chat, end: Instant) -> Result<Fresh, Problem> {
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
                Ok(reply) => {
                    if let Some(budget) = &self.budget {
                        budget.on_success(attempts);
                    }
                    return Ok(Fresh { reply, attempts });
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

    /// One request to one upstream. Dropped early, it gives back load and permit.
    async fn attempt(
        &self,
        pick: Pick<'_, Arc<upstream::Upstream>, UPSTREAMS>,
        chat: &Chat,
        end: Instant,
    ) -> Result<Reply, Fault> {
        let upstream = Arc::clone(&pick);
        let counts = &upstream.counts;
        counts.asked.fetch_add(1, Ordering::Relaxed);
        let limit = upstream.timeout.min(end.since(now()));
        let answer = time::timeout(limit.into(), upstream.ask(&self.client, chat)).await;
        let fault = match answer.unwrap_or(Err(Fault::Timeout)) {
            Ok((body, tokens)) => {
                let _ = pick.success();
                counts.answered.fetch_add(1, Ordering::Relaxed);
                counts.tokens.fetch_add(tokens, Ordering::Relaxed);
                return Ok(Reply { upstream: upstream.name.clone(), body });
            }
            Err(fault) => fault,
        };
        let count = match &fault {
            Fault::Rejected(..) => {
                let _ = pick.success();
                &counts.rejected
            }
            Fault::Busy(wait) => {
                // It says itself how long to stay away.
                drop(pick);
                upstream.rest(*wait, now());
                &counts.busy
            }
            _ => {
                let _ = pick.failure();
                &counts.failed
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        *upstream.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.name());
        tracing::warn!(upstream = upstream.name, %fault, "a model gave no answer");
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
    fn nobody(&self) -> Problem {
        let now = now();
        let free = self.free_at(now).unwrap_or(now);
        let Some(free) = by_itself(free) else {
            return Problem::new(Code::CircuitOpen, "An operator holds the breakers of all models open.");
        };
        let wait = free.since(now);
        let resting = self.listed.iter().any(|upstream| upstream.rests(now).is_some());
        let (code, detail) = if resting {
            (Code::Overloaded, "The models have too much work at the moment.")
        } else {
            (Code::CircuitOpen, "The models failed too often; they are not asked now.")
        };
        Problem::new(code, detail).retry_after(wait)
    }

    /// What a client is told of the last fault.
    fn told(&self, fault: Fault) -> Problem {
        match fault {
            Fault::Timeout => Problem::new(Code::Timeout, "No model answered in time."),
            Fault::Busy(_) => self.nobody(),
            Fault::Rejected(_, said) if said.is_empty() => {
                Problem::new(Code::InvalidInput, "The model's upstream refuses this request, and does not say why.")
            }
            Fault::Rejected(_, said) => {
                Problem::new(Code::InvalidInput, format!("The model's upstream refuses this request: {said}"))
            }
            Fault::Unreachable | Fault::Status(_) | Fault::Denied(_) | Fault::NoAnswer(_) => {
                Problem::new(Code::UpstreamFailed, "No model gave an answer; the server's log says why.")
            }
        }
    }
}
