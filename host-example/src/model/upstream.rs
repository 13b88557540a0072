//! One upstream: a request to it, and what its answer means.

mod events;
mod flow;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::StdClock;
use reqwest::{Client, Response, Url};

use super::chat::{Chat, complaint, tokens};
use super::config::{self, Config, Key};

pub(super) use flow::{Flow, Piece};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The longest that an upstream may keep us away with `Retry-After`.
const REST_MAX: Duration = Duration::from_secs(60);
/// How long one that says no time is left alone.
const REST: Duration = Duration::from_secs(1);
/// Bytes read of an answer that says what was wrong.
const COMPLAINT: usize = 64 << 10;

/// Says why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection, or it broke before an answer began.
    Unreachable,
    /// No whole answer in time.
    Timeout,
    /// It has too much work, and wants to be left alone for so long.
    Busy(Duration),
    /// An error of its own, by its status.
    Status(u16),
    /// It does not let us in, or sends us elsewhere: by the status.
    Denied(u16),
    /// It refuses the request itself: by the status, and what it says.
    Rejected(u16, String),
    /// What came is no answer, and why.
    NoAnswer(&'static str),
    /// It broke off before its end.
    Cut,
}

impl Fault {
    /// A name for figures.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Busy(_) => "busy",
            Self::Status(_) => "error",
            Self::Denied(_) => "denied",
            Self::Rejected(..) => "rejected",
            Self::NoAnswer(_) => "no_answer",
            Self::Cut => "cut",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("it cannot be reached"),
            Self::Timeout => f.write_str("it gave no answer in time"),
            Self::Busy(wait) => write!(f, "it has too much work for {wait}"),
            Self::Status(status) => write!(f, "it failed with status {status}"),
            Self::Denied(status) => write!(f, "it does not let us in, with status {status}"),
            Self::Rejected(status, _) => write!(f, "it refused the request with status {status}"),
            Self::NoAnswer(why) => write!(f, "what it sent is no answer: {why}"),
            Self::Cut => f.write_str("its answer broke off"),
        }
    }
}

/// Counts what one upstream was asked and gave.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) asked: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) tokens: AtomicU64,
}

/// One upstream.
pub(super) struct Upstream {
    /// Its number.
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) model: Option<String>,
    pub(super) timeout: Duration,
    pub(super) counts: Counts,
    pub(super) last_fault: Mutex<Option<&'static str>>,
    url: Url,
    authorization: Option<HeaderValue>,
    key: Option<Key>,
    max_answer: usize,
    /// Until when it wants to be left alone, in nanoseconds of our clock.
    rests_until: AtomicU64,
}

impl Upstream {
    /// Reads its key.
    pub(super) fn new(place: usize, upstream: &config::Upstream, config: &Config) -> Result<Self, Error> {
        let named = |error: String| format!("the upstream `{}`: {error}", upstream.name);
        let url = upstream.parsed().map_err(named)?;
        let key = Key::read(&upstream.key).map_err(named)?;
        let authorization = match &key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", key.text()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        if key.is_some() && url.scheme() == "http" && !is_here(&url) {
            tracing::warn!(upstream = upstream.name, "its key is sent unencrypted: the url begins with http://");
        }
        Ok(Self {
            place,
            name: upstream.name.clone(),
            host: url.host_str().unwrap_or("").to_owned(),
            model: upstream.model.clone(),
            timeout: upstream.timeout,
            counts: Counts::default(),
            last_fault: Mutex::new(None),
            url,
            authorization,
            key,
            max_answer: config.max_answer,
            rests_until: AtomicU64::new(0),
        })
    }

    /// Until when it wants to be left alone, if that is not over.
    pub(super) fn rests(&self, now: Instant) -> Option<Instant> {
        let until = Instant::from_nanos(self.rests_until.load(Ordering::Relaxed));
        (until > now).then_some(until)
    }

    /// Leaves it alone for a while.
    pub(super) fn rest(&self, wait: Duration, now: Instant) {
        self.rests_until.fetch_max((now + wait.min(REST_MAX)).as_nanos(), Ordering::Relaxed);
    }

    /// Sends one request; gives the answer and its tokens.
    pub(super) async fn ask(&self, client: &Client, chat: &Chat) -> Result<(String, u64), Fault> {
        let response = self.send(client, chat, "application/json").await?;
        let body = self.read(response, self.max_answer).await?.ok_or(Fault::NoAnswer("it is too long"))?;
        let body = String::from_utf8(body).map_err(|_| Fault::NoAnswer("it is no text"))?;
        let tokens = tokens(&body).ok_or(Fault::NoAnswer("it has no choices"))?;
        Ok((self.scrubbed(body), tokens))
    }

    /// Sends one request; gives an answer whose body is to be read.
    async fn send(&self, client: &Client, chat: &Chat, accept: &'static str) -> Result<Response, Fault> {
        let mut request = client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, accept)
            .body(chat.text(self.model.as_deref()));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() { Ok(response) } else { Err(self.refusal(status, response).await) }
    }

    /// What a status other than success means.
    async fn refusal(&self, status: StatusCode, response: Response) -> Fault {
        let after = retry_after(response.headers());
        match status.as_u16() {
            429 => Fault::Busy(after.unwrap_or(REST)),
            503 if after.is_some() => Fault::Busy(after.unwrap_or(REST)),
            300..=399 | 401 | 402 | 403 | 407 => Fault::Denied(status.as_u16()),
            status @ (408 | 421 | 425) => Fault::Status(status),
            status @ 400..=499 => {
                let told = self.read(response, COMPLAINT).await.ok().flatten().unwrap_or_default();
                Fault::Rejected(status, complaint(&self.scrubbed(String::from_utf8_lossy(&told).into_owned())))
            }
            status => Fault::Status(status),
        }
    }

    /// Reads a body; `None` if it is longer than `limit`.
    async fn read(&self, mut response: Response, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Ok(None);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + chunk.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    fn broken(&self, error: reqwest::Error) -> Fault {
        let fault = if error.is_timeout() { Fault::Timeout } else { Fault::Unreachable };
        // Its address may hold a secret; the name is enough.
        let error = error.without_url();
        let mut told = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            told = format!("{told}: {cause}");
            source = cause.source();
        }
        tracing::debug!(upstream = self.name, error = self.scrubbed(told), "a request broke");
        fault
    }

    fn scrubbed(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.scrub(text),
            None => text,
        }
    }
}

/// What all upstreams are asked with: no redirect is followed, no proxy asked, nothing tried again behind our back.
pub(super) fn client(config: &Config) -> Result<Client, Error> {
    // Whoever has chosen another one for the process keeps it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("daur-host/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .connect_timeout(std::time::Duration::from_secs(5))
        .pool_idle_timeout(std::time::Duration::from_secs(30));
    // A machine without certificates can still ask its neighbour.
    let encrypts = config.upstreams.iter().any(|upstream| upstream.url.starts_with("https:"));
    let builder = if encrypts { builder } else { builder.tls_certs_only([]) };
    Ok(builder.build().map_err(|error| format!("the client of the models: {}", error.without_url()))?)
}

/// Whether it is on this machine.
fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost"
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// The whole seconds of a `Retry-After`; a date is taken for none, since clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Our clock.
pub(super) fn now() -> Instant {
    StdClock.now()
}
