//! Which models there are, and how they are asked.

use std::fmt;
use std::path::PathBuf;

use daur_core::performance::balancer::{self, Eject, Latency, PolicyConfig};
use daur_core::reliability::breaker::{self, ModeConfig};
use daur_core::reliability::{budget, retry};
use daur_core::time::Duration;
use daur_std::performance::balancer::{self as endpoints, Endpoints};
use reqwest::Url;

use crate::fallback;

/// Upstreams that one server may have.
pub const UPSTREAMS: usize = 16;

/// Says which answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All of them: whoever wants another answer to the same says `Cache-Control: no-cache`.
    Always,
    /// Those to a `temperature` of 0, where the client has asked for what does not vary.
    Temperature0,
}

/// Says where an upstream's key is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// It needs none.
    #[default]
    None,
    /// In this file, alone.
    File(PathBuf),
    /// In the environment, under this name.
    Env(String),
}

/// Says where one model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// What it is called in figures and logs.
    pub name: String,
    /// Where chat bodies are posted to: `https://host/v1/chat/completions`.
    pub url: String,
    /// The key that it knows us by.
    pub key: KeySource,
    /// The model that it is asked for, whatever the client named. `None` for what the client named.
    pub model: Option<String>,
    /// Its share of the requests, beside the other weights. Default 1.
    pub weight: u16,
    /// What one of its answers may take. Default 30 s.
    pub timeout: Duration,
}

impl Upstream {
    /// An upstream without a key, with all defaults.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(30);
        Self { name: name.into(), url: url.into(), key: KeySource::None, model: None, weight: 1, timeout }
    }

    /// The url, if it is one to be asked.
    ///
    /// # Errors
    /// Why it is not: by what it is, never by its text, in which there may be a secret.
    pub fn parsed(&self) -> Result<Url, String> {
        let url = Url::parse(&self.url).map_err(|error| format!("`url` is none: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("`url` must begin with http:// or https:// and name a host".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("`url` has a name or a password in it; a key goes to `key_file` or `key_env`".into());
        }
        Ok(url)
    }

    fn validate(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(plain) {
            return Err("`name` must be 1 to 32 letters, digits, `-`, `_` and `.`".into());
        }
        self.parsed()?;
        if self.weight == 0 {
            return Err("`weight` is 0; it must be 1 at least".into());
        }
        if self.timeout.is_zero() {
            return Err("`timeout` is 0; nothing would be answered".into());
        }
        Ok(())
    }
}

/// Says how long an answer in pieces may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// From one piece to the next. Default 30 s.
    pub idle: Duration,
    /// From the first to the last. Default 10 min.
    pub total: Duration,
}

impl Stream {
    /// 30 s from one piece to the next, 10 min in all.
    pub const DEFAULT: Self = Self { idle: Duration::from_secs(30), total: Duration::from_secs(600) };
}

/// Says how models are asked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who is asked. Default nobody: `POST /api/model` is `not_configured`.
    pub upstreams: Vec<Upstream>,
    /// What one answer may take, all attempts together. Default 60 s.
    pub timeout: Duration,
    /// How long an answer is kept. Zero keeps none. Default 10 min.
    pub ttl: Duration,
    /// Which answers are kept. Default all.
    pub keep: Keep,
    /// Bytes of an answer. Default 2 MiB.
    pub max_answer: usize,
    /// How long an answer in pieces may take, once it has begun: up to then, `timeout` counts.
    pub stream: Stream,
    /// For how long an answer is good where there is no new one. Default: 256 answers of 16 MiB in all, for an hour.
    pub fallback: fallback::Config,
    /// Requests under way at a time. Default 32.
    pub at_once: u32,
    /// How often and after which waits another attempt is made. Default 3 attempts, from 200 ms up to 5 s.
    pub retry: retry::Config,
    /// What the retries of all requests together may cost; `None` for no limit. Default: a bucket of 500 tokens.
    pub budget: Option<budget::Config>,
    /// How an upstream is chosen. Default by its latency and what it has to do.
    pub policy: PolicyConfig,
    /// When one is left out that fails, beside its breaker: it comes back by and by. Default 3 failures in a row, 10 s.
    pub eject: Option<Eject>,
    /// When an upstream is not asked any more. Default 5 failures in a row, for 30 s.
    pub breaker: breaker::Config,
    /// What opens the breaker, if not failures in a row.
    pub mode: ModeConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            timeout: Duration::from_secs(60),
            ttl: Duration::from_secs(600),
            keep: Keep::Always,
            max_answer: 2 << 20,
            stream: Stream::DEFAULT,
            fallback: fallback::Config { max_age: Duration::from_secs(3_600), ..fallback::Config::DEFAULT },
            at_once: 32,
            retry: retry::Config {
                initial_delay: Duration::from_millis(200),
                max_delay: Duration::from_secs(5),
                ..retry::Config::DEFAULT
            },
            budget: Some(budget::Config::DEFAULT),
            policy: PolicyConfig::PeakEwma(Latency {
                half_life: Duration::from_secs(10),
                initial: Duration::from_secs(1),
                failure: Duration::from_secs(10),
            }),
            eject: Some(Eject { failures: 3, base: Duration::from_secs(10), ..Eject::DEFAULT }),
            breaker: breaker::Config { recovery_timeout: Duration::from_secs(30), ..breaker::Config::DEFAULT },
            mode: ModeConfig::DEFAULT,
        }
    }
}

impl Config {
    /// Checks the fields.
    ///
    /// # Errors
    /// The first that cannot be so, by its name.
    pub fn validate(&self) -> Result<(), String> {
        if self.timeout.is_zero() {
            return Err("`timeout` is 0; nothing would be answered".into());
        }
        if self.max_answer == 0 {
            return Err("`max_answer` is 0; it must be 1 at least".into());
        }
        if self.stream.idle.is_zero() || self.stream.total.is_zero() {
            let key = if self.stream.idle.is_zero() { "idle" } else { "total" };
            return Err(format!("the stream's `{key}` is 0; nothing would be answered"));
        }
        if self.at_once == 0 {
            return Err("`at_once` is 0; it must be 1 at least".into());
        }
        if self.upstreams.len() > UPSTREAMS {
            return Err(format!("`upstreams` are {}; they may be {UPSTREAMS} at most", self.upstreams.len()));
        }
        for (place, upstream) in self.upstreams.iter().enumerate() {
            let named = |error: String| format!("the upstream `{}`: {error}", upstream.name);
            upstream.validate().map_err(named)?;
            if self.upstreams.iter().take(place).any(|other| other.name == upstream.name) {
                return Err(format!("two upstreams are called `{}`", upstream.name));
            }
        }
        let said = |error: &dyn fmt::Display| {
            let text = error.to_string();
            text.split_once(": ").map_or(text.as_str(), |(_, said)| said).to_owned()
        };
        Endpoints::<(), UPSTREAMS>::try_new(self.balancer()).map(drop).map_err(|error| said(&error))
    }

    /// For the balancer: what is out longer than any request may take is lost.
    pub(super) fn balancer(&self) -> endpoints::Config {
        let longest = self.upstreams.iter().map(|upstream| upstream.timeout).max().unwrap_or(self.timeout);
        // A probe may take as long as any request.
        let mut breaker = self.breaker;
        breaker.probe_lease = longest.times(2).max(breaker.probe_lease);
        endpoints::Config {
            // An answer in pieces is under way for longer, and is no less one.
            balancer: balancer::Config {
                lease: longest.max(self.timeout).max(self.stream.total).times(2),
                eject: self.eject,
                ..balancer::Config::DEFAULT
            },
            policy: self.policy,
            breaker: Some((breaker, self.mode)),
        }
    }
}

/// A key of ours at somebody else's: shown nowhere.
#[derive(Clone)]
pub(super) struct Key(String);

impl Key {
    /// A key shorter than this may stand in a text by chance.
    const TELLING: usize = 8;

    /// Reads it.
    ///
    /// # Errors
    /// Where it is not.
    pub(super) fn read(source: &KeySource) -> Result<Option<Self>, String> {
        let (text, place) = match source {
            KeySource::None => return Ok(None),
            KeySource::File(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| format!("the key file {}: {error}", path.display()))?;
                (text, path.display().to_string())
            }
            KeySource::Env(name) => {
                let text = std::env::var(name).map_err(|_| format!("the variable {name} is not set, or is no text"))?;
                (text, format!("the variable {name}"))
            }
        };
        let key = text.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{place} holds no key: one word of ASCII is expected"));
        }
        Ok(Some(Self(key.to_owned())))
    }

    /// As it is sent.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// `text` without the key, in case an upstream tells what it was told.
    pub(super) fn scrub(&self, text: String) -> String {
        if self.0.len() >= Self::TELLING && text.contains(&self.0) { text.replace(&self.0, "[key]") } else { text }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_upstream_cannot_be_is_named() {
        let wrong =
            |upstream: Upstream| Config { upstreams: vec![upstream], ..Config::default() }.validate().unwrap_err();
        let good = Upstream::new("a", "http://127.0.0.1:1/v1");
        assert_eq!(Config { upstreams: vec![good.clone()], ..Config::default() }.validate(), Ok(()));
        for url in ["", "127.0.0.1", "ftp://h/", "file:///etc/passwd"] {
            assert!(wrong(Upstream::new("a", url)).contains("`url`"), "{url}");
        }
        let told = wrong(Upstream::new("a", "https://user:hunter2@host/v1"));
        assert!(told.contains("`key_file`") && !told.contains("hunter2"), "{told}");
        assert!(wrong(Upstream::new("a b", "http://h/")).contains("`name`"));
        assert!(wrong(Upstream { weight: 0, ..good.clone() }).contains("`weight`"));
        assert!(wrong(Upstream { timeout: Duration::ZERO, ..good.clone() }).contains("`timeout`"));
        let twice = Config { upstreams: vec![good.clone(), good], ..Config::default() };
        assert!(twice.validate().unwrap_err().contains("two upstreams are called `a`"));
    }

    #[test]
    fn a_key_shows_nowhere() {
        let key = Key("sk-0123456789".into());
        assert_eq!(format!("{key:?}"), "Key");
        assert_eq!(key.scrub("bad key sk-0123456789!".into()), "bad key [key]!");
        // One that any text may contain says nothing.
        assert_eq!(Key("EMPTY".into()).scrub("EMPTY".into()), "EMPTY");
        assert!(Key::read(&KeySource::File("/not/there".into())).unwrap_err().contains("/not/there"));
        assert!(Key::read(&KeySource::Env("DAUR_NO_SUCH_KEY".into())).unwrap_err().contains("DAUR_NO_SUCH_KEY"));
    }
}
