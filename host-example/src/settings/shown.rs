//! A config as the text of a file: all that is in force, whoever has said it.

use daur_core::reliability::breaker::{self, ModeConfig, Opens};
use daur_core::reliability::budget;
use daur_core::reliability::retry::{self, Attempts};
use daur_core::time::Duration;
use daur_std::security::policy::to_toml;
use serde::Serialize;
use toml::{Table, Value};

use crate::config::Config;
use crate::model::{self, KeySource};
use crate::{fallback, health, history, logs, memory};

/// Collects the keys of one table.
#[derive(Default)]
struct Keys(Table);

impl Keys {
    /// A key and its value; what is none is left out.
    fn put(mut self, key: &str, value: impl Serialize) -> Self {
        if let Ok(value) = Value::try_from(value) {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    fn number(self, key: &str, number: impl TryInto<i64>) -> Self {
        // Of what a file can say, nothing is larger.
        self.put(key, number.try_into().unwrap_or(i64::MAX))
    }

    fn time(self, key: &str, time: Duration) -> Self {
        self.put(key, time.to_string())
    }
}

/// All of a config that a file can say, as [`Settings`](super::Settings) reads it. A key's place is shown, never the key;
/// of an address, what stands behind its `?` is not.
#[must_use]
pub fn table(config: &Config) -> Table {
    let command = &config.command;
    let (cache, pool, events) = (config.cache, config.pool, config.events);
    let commands = Keys::default()
        .number("at_once", command.at_once)
        .number("waiting", command.waiting)
        .time("queue_wait", command.queue_wait);
    let cache = Keys::default()
        .number("entries", cache.entries as u64)
        .number("value_bytes", cache.value_bytes as u64)
        .number("file_bytes", cache.file.max_bytes);
    let pool = Keys::default().number("workers", pool.workers as u64).number("queue", pool.queue as u64);
    let events = Keys::default().number("rows", events.rows).number("batch", events.batch).time("wait", events.wait);
    let mut all = Keys::default()
        .put("read_only", config.read_only)
        .put("commands", commands.0)
        .put("retry", retry(&command.retry))
        .put("budget", budget(command.budget))
        .put("fallback", fallback(&command.fallback, "commands"))
        .put("health", health(&config.health))
        .put("breaker", breaker(&command.breaker, &command.mode))
        .put("cache", cache.0)
        .put("pool", pool.0)
        .put("events", events.0)
        .put("history", history(&config.history))
        .put("log", log(&config.log))
        .put("memory", memory(&config.memory))
        .put("model", model(&config.model));
    if !command.breakers.is_empty() {
        let program = |(breaker_, mode): &(breaker::Config, ModeConfig)| {
            Value::Table(Keys::default().put("breaker", breaker(breaker_, mode)).0)
        };
        let programs: Table = command.breakers.iter().map(|(name, of)| (name.clone(), program(of))).collect();
        all = all.put("programs", programs);
    }
    if let Ok(policy) = to_toml(&config.policy).parse::<Table>() {
        all = all.put("policy", policy);
    }
    all.0
}

fn retry(config: &retry::Config) -> Table {
    let keys = match config.max_attempts {
        Attempts::Limited(most) => Keys::default().number("max_attempts", most),
        Attempts::Forever => Keys::default(),
    };
    let keys = keys
        .time("initial_delay", config.initial_delay)
        .time("max_delay", config.max_delay)
        .put("strategy", config.strategy)
        .put("jitter", config.jitter);
    match config.max_elapsed {
        Some(max) => keys.time("max_elapsed", max),
        None => keys,
    }
    .0
}

fn budget(config: Option<budget::Config>) -> Table {
    let keys = Keys::default();
    match config {
        None => keys.put("off", true),
        Some(budget::Config::TokenBucket { capacity, retry_cost, first_try_gain }) => {
            let bucket = Keys::default()
                .number("capacity", capacity)
                .number("retry_cost", retry_cost)
                .number("first_try_gain", first_try_gain);
            keys.put("token_bucket", bucket.0)
        }
        Some(budget::Config::Ratio { percent, max_saved }) => {
            keys.put("ratio", Keys::default().number("percent", percent).number("max_saved", max_saved).0)
        }
        // A kind that a file cannot say.
        Some(_) => keys,
    }
    .0
}

fn fallback(config: &fallback::Config, of: &str) -> Table {
    let keys = Keys::default().time("max_age", config.max_age);
    keys.number(of, config.commands as u64).number("bytes", config.bytes as u64).0
}

fn health(config: &health::Config) -> Table {
    Keys::default()
        .time("period", config.period)
        .time("timeout", config.timeout)
        .number("failure_threshold", config.failure_threshold)
        .number("disk_min", config.disk_min)
        .number("disk_low", config.disk_low)
        .0
}

fn breaker(config: &breaker::Config, mode: &ModeConfig) -> Table {
    let mut keys = Keys::default().put("opens", mode.opens);
    if mode.opens == Opens::Consecutive {
        keys = keys.number("failures", config.failures);
    }
    keys = keys.time("recovery_timeout", config.recovery_timeout);
    if let Some(max) = config.recovery_timeout_max {
        keys = keys.time("recovery_timeout_max", max);
    }
    keys = keys
        .number("probes", config.probes)
        .number("success_threshold", config.success_threshold)
        .time("probe_lease", config.probe_lease);
    if let Some(slow) = mode.slow {
        keys = keys.put("slow", slow);
    }
    if let Some(growth) = mode.growth {
        keys = keys.put("growth", growth);
    }
    keys.0
}

fn history(config: &history::Config) -> Table {
    let tier = |step: Duration, keep: Duration| Keys::default().time("step", step).time("keep", keep).0;
    let tiers: Vec<Table> = config.tiers.iter().map(|one| tier(one.step, one.keep)).collect();
    Keys::default().put("tiers", tiers).number("series", config.series).0
}

fn log(config: &logs::Config) -> Table {
    Keys::default()
        .put("level", config.level)
        .put("json", config.json)
        .put("files", config.files)
        .number("file_bytes", config.file_bytes)
        .time("file_period", config.file_period)
        .number("old_files", config.old_files as u64)
        .put("gzip", config.gzip)
        .number("recent", config.recent as u64)
        .0
}

fn memory(config: &memory::Config) -> Table {
    let keys = match config.limit {
        Some(limit) => Keys::default().number("limit", limit),
        None => Keys::default(),
    };
    keys.number("elevated", config.elevated)
        .number("critical", config.critical)
        .time("period", config.period)
        .time("dwell", config.dwell)
        .time("calm", config.calm)
        .time("pace", config.pace)
        .0
}

fn model(config: &model::Config) -> Table {
    let stream = Keys::default().time("idle", config.stream.idle).time("total", config.stream.total);
    let eject = match config.eject {
        None => Keys::default().put("off", true),
        Some(eject) => Keys::default()
            .number("failures", eject.failures)
            .time("base", eject.base)
            .time("max", eject.max)
            .number("max_pct", eject.max_pct)
            .time("ramp", eject.ramp),
    };
    let mut keys = Keys::default()
        .time("timeout", config.timeout)
        .time("ttl", config.ttl)
        .put("keep", config.keep)
        .number("max_answer", config.max_answer as u64)
        .number("at_once", config.at_once)
        .put("policy", config.policy)
        .put("stream", stream.0)
        .put("fallback", fallback(&config.fallback, "answers"))
        .put("eject", eject.0)
        .put("retry", retry(&config.retry))
        .put("budget", budget(config.budget))
        .put("breaker", breaker(&config.breaker, &config.mode));
    if !config.upstreams.is_empty() {
        keys = keys.put("upstreams", config.upstreams.iter().map(upstream).collect::<Vec<_>>());
    }
    keys.0
}

fn upstream(upstream: &model::Upstream) -> Table {
    let url = match upstream.url.split_once('?') {
        Some((url, _)) => format!("{url}?.."),
        None => upstream.url.clone(),
    };
    let mut keys = Keys::default().put("name", &upstream.name).put("url", url);
    keys = match &upstream.key {
        KeySource::None => keys,
        KeySource::File(path) => keys.put("key_file", path.display().to_string()),
        KeySource::Env(name) => keys.put("key_env", name),
    };
    if let Some(model) = &upstream.model {
        keys = keys.put("model", model);
    }
    keys.number("weight", upstream.weight).time("timeout", upstream.timeout).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn read(text: &str) -> Config {
        let mut config = Config::new(([127, 0, 0, 1], 0).into(), "d".into());
        Settings::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}")).apply(&mut config).unwrap();
        config
    }

    #[test]
    fn what_is_shown_is_read_as_what_it_shows() {
        for text in [
            "",
            include_str!("../../example.toml"),
            "read_only = true\n[budget]\noff = true\n[memory]\nlimit = 99999999\n[retry]\nmax_elapsed = \"9s\"\n\
             strategy = { random = { min = \"1s\", max = \"2s\" } }\njitter = { factor = 20 }\n\
             [model]\npolicy = \"round_robin\"\nkeep = \"temperature0\"\n[model.budget]\nratio = { percent = 20 }\n\
             [model.eject]\noff = true\n[model.stream]\nidle = \"7s\"\n[model.fallback]\nmax_age = \"0s\"\n\
             [[model.upstreams]]\nname = \"a\"\nurl = \"http://h/v1\"\nkey_env = \"K\"\nmodel = \"m\"\nweight = 3\n\
             [[model.upstreams]]\nname = \"b\"\nurl = \"https://h/v1\"\nkey_file = \"k\"\ntimeout = \"1s\"\n\
             [policy]\napi_rate = 7\ncommands = [\"df\", { name = \"git\", letters = \"v\", operands = \"any\" }]\n",
        ] {
            let config = read(text);
            let shown = table(&config).to_string();
            assert_eq!(format!("{:?}", read(&shown)), format!("{config:?}"), "{shown}");
        }
    }

    #[test]
    fn what_may_be_a_secret_in_an_address_is_not_shown() {
        let shown = table(&read("[[model.upstreams]]\nname = \"a\"\nurl = \"http://h/v1?key=hunter2\"\n")).to_string();
        assert!(shown.contains("http://h/v1?..") && !shown.contains("hunter2"), "{shown}");
    }
}
