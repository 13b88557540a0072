//! The config file: how careful the server is. What is not in it keeps its default.
//!
//! ```toml
#![doc = include_str!("../example.toml")]
//! ```

mod model;
mod monitoring;
mod shown;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use daur_core::reliability::breaker::{self, Breaker as Machine, Growth, ModeConfig, Opens, SlowCalls};
use daur_core::reliability::budget;
use daur_core::reliability::retry::{self, Attempts, Jitter, Strategy};
use daur_core::security::policy::Policy;
use daur_core::time::Duration;
use daur_std::security::policy::PolicyToml;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

use crate::command::{self, AnyMode, BUCKETS, CALLS, WAITING};
use crate::config::Config;
use crate::{fallback, health, memory, pool, results};
use model::Model;
use monitoring::{Events, History, Log};

pub use shown::table;

/// A length of time in words, such as `"5s"`.
#[derive(Clone, Copy, Debug)]
struct Length(Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as `\"5s\"`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Length, E> {
                text.parse().map(Length).map_err(|error| E::custom(format!("`{text}` is no length of time: {error}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    read_only: Option<bool>,
    commands: Commands,
    retry: Retry,
    budget: Budget,
    fallback: Fallback,
    health: Health,
    breaker: Breaker,
    programs: BTreeMap<String, Program>,
    model: Model,
    cache: Cache,
    pool: Pool,
    events: Events,
    memory: Memory,
    history: History,
    log: Log,
    policy: toml::Table,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Commands {
    at_once: Option<u32>,
    waiting: Option<u32>,
    queue_wait: Option<Length>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retry {
    max_attempts: Option<u32>,
    initial_delay: Option<Length>,
    max_delay: Option<Length>,
    strategy: Option<Strategy>,
    jitter: Option<Jitter>,
    max_elapsed: Option<Length>,
}

impl Retry {
    fn apply(&self, config: &mut retry::Config) -> Result<(), String> {
        set(&mut config.max_attempts, self.max_attempts.map(Attempts::Limited));
        set_time(&mut config.initial_delay, self.initial_delay);
        set_time(&mut config.max_delay, self.max_delay);
        set(&mut config.strategy, self.strategy);
        set(&mut config.jitter, self.jitter);
        if let Some(Length(max)) = self.max_elapsed {
            config.max_elapsed = Some(max);
        }
        config.validate().map_err(without_machine)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Budget {
    token_bucket: Option<TokenBucket>,
    ratio: Option<Ratio>,
    off: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBucket {
    capacity: u32,
    retry_cost: u32,
    first_try_gain: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratio {
    percent: u16,
    #[serde(default = "Ratio::max_saved")]
    max_saved: u32,
}

impl Ratio {
    const fn max_saved() -> u32 {
        100
    }
}

impl Budget {
    fn apply(&self, config: &mut Option<budget::Config>) -> Result<(), String> {
        match (self.token_bucket, self.ratio, self.off) {
            (None, None, false) => {}
            (None, None, true) => *config = None,
            (Some(TokenBucket { capacity, retry_cost, first_try_gain }), None, false) => {
                *config = Some(budget::Config::TokenBucket { capacity, retry_cost, first_try_gain });
            }
            (None, Some(Ratio { percent, max_saved }), false) => {
                *config = Some(budget::Config::Ratio { percent, max_saved });
            }
            _ => return Err("it takes one of `token_bucket`, `ratio` and `off`".into()),
        }
        config.map_or(Ok(()), |config| config.validate().map_err(without_machine))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fallback {
    max_age: Option<Length>,
    commands: Option<usize>,
    bytes: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Health {
    period: Option<Length>,
    timeout: Option<Length>,
    failure_threshold: Option<u8>,
    disk_min: Option<u64>,
    disk_low: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Program {
    breaker: Breaker,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Breaker {
    failures: Option<u32>,
    recovery_timeout: Option<Length>,
    recovery_timeout_max: Option<Length>,
    probes: Option<u32>,
    success_threshold: Option<u32>,
    probe_lease: Option<Length>,
    opens: Option<Opens>,
    slow: Option<SlowCalls>,
    growth: Option<Growth>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cache {
    entries: Option<usize>,
    value_bytes: Option<usize>,
    file_bytes: Option<u64>,
}

impl Cache {
    fn apply(&self, config: &mut results::Config) -> Result<(), String> {
        set(&mut config.entries, self.entries);
        set(&mut config.value_bytes, self.value_bytes);
        set(&mut config.file.max_bytes, self.file_bytes);
        config.validate()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pool {
    workers: Option<usize>,
    queue: Option<usize>,
}

impl Pool {
    fn apply(&self, config: &mut pool::Config) -> Result<(), String> {
        set(&mut config.workers, self.workers);
        set(&mut config.queue, self.queue);
        config.validate()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Memory {
    limit: Option<u64>,
    elevated: Option<u8>,
    critical: Option<u8>,
    period: Option<Length>,
    dwell: Option<Length>,
    calm: Option<Length>,
    pace: Option<Length>,
}

impl Memory {
    fn apply(&self, config: &mut memory::Config) -> Result<(), String> {
        config.limit = self.limit.or(config.limit);
        set(&mut config.elevated, self.elevated);
        set(&mut config.critical, self.critical);
        set_time(&mut config.period, self.period);
        set_time(&mut config.dwell, self.dwell);
        set_time(&mut config.calm, self.calm);
        set_time(&mut config.pace, self.pace);
        config.validate()
    }
}

/// Replaces `field` if there is a value.
fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn set_time(field: &mut Duration, value: Option<Length>) {
    set(field, value.map(|Length(time)| time));
}

impl Commands {
    fn apply(&self, config: &mut command::Config) -> Result<(), String> {
        set(&mut config.at_once, self.at_once);
        set(&mut config.waiting, self.waiting);
        set_time(&mut config.queue_wait, self.queue_wait);
        if config.at_once == 0 {
            return Err("`at_once` is 0; it must be 1 at least".into());
        }
        if config.waiting as usize > WAITING {
            return Err(format!("`waiting` is {}; it may be {WAITING} at most", config.waiting));
        }
        Ok(())
    }
}

impl Fallback {
    fn apply(&self, config: &mut fallback::Config) -> Result<(), String> {
        set_time(&mut config.max_age, self.max_age);
        set(&mut config.commands, self.commands);
        set(&mut config.bytes, self.bytes);
        config.validate()
    }
}

impl Health {
    fn apply(&self, config: &mut health::Config) -> Result<(), String> {
        set_time(&mut config.period, self.period);
        set_time(&mut config.timeout, self.timeout);
        set(&mut config.failure_threshold, self.failure_threshold);
        set(&mut config.disk_min, self.disk_min);
        // Who asks for much room and does not say when it is low, is told when it is gone.
        config.disk_low = self.disk_low.unwrap_or(config.disk_low.max(config.disk_min));
        config.validate()
    }
}

impl Breaker {
    fn apply(&self, config: &mut breaker::Config, mode: &mut ModeConfig) -> Result<(), String> {
        set(&mut config.failures, self.failures);
        set_time(&mut config.recovery_timeout, self.recovery_timeout);
        if let Some(Length(max)) = self.recovery_timeout_max {
            config.recovery_timeout_max = Some(max);
        }
        set(&mut config.probes, self.probes);
        set(&mut config.success_threshold, self.success_threshold);
        set_time(&mut config.probe_lease, self.probe_lease);
        set(&mut mode.opens, self.opens);
        if self.opens == Some(Opens::Consecutive) {
            // Failures in a row have no rate: what the programs' common table says of slow ones ends here.
            mode.slow = None;
        }
        mode.slow = self.slow.or(mode.slow);
        mode.growth = self.growth.or(mode.growth);
        match mode.opens {
            Opens::CountWindow(window) if !(1..=CALLS).contains(&(window.calls as usize)) => {
                return Err(format!("the window's `calls` must be from 1 to {CALLS}"));
            }
            Opens::TimeWindow(span) if !(1..=BUCKETS).contains(&(span.buckets as usize)) => {
                return Err(format!("the window's `buckets` must be from 1 to {BUCKETS}"));
            }
            Opens::CountWindow(_) | Opens::TimeWindow(_) if self.failures.is_some() && self.opens.is_some() => {
                return Err("`failures` counts in a row, and `opens` is a window: leave one out".into());
            }
            _ => {}
        }
        let grows = self.growth.is_some_and(|growth| growth.strategy != Strategy::Constant);
        if grows && config.recovery_timeout_max.is_none() {
            return Err("`growth` needs a `recovery_timeout_max`: without one, the wait does not grow".into());
        }
        Self::judge(*config, *mode)
    }

    /// What the breaker itself says to it.
    fn judge(config: breaker::Config, mode: ModeConfig) -> Result<(), String> {
        Machine::<AnyMode>::try_any(config, mode, 0).map(drop).map_err(without_machine)
    }
}

impl Settings {
    /// Reads a config file's text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Reads a config file.
    ///
    /// # Errors
    /// As above, or that it cannot be read.
    pub fn load(path: &Path) -> Result<Self, String> {
        let said = |error: &dyn std::fmt::Display| format!("the config file {}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| said(&error))?;
        Self::parse(&text).map_err(|error| said(&error))
    }

    /// What becomes of a policy by the file and, before it, by the environment's `DAUR_POLICY_..`.
    ///
    /// # Errors
    /// What cannot be so, by its key and its variable.
    pub fn policy(&self, mut policy: Policy<'static>) -> Result<Policy<'static>, String> {
        let mut read = || PolicyToml::from_table(&self.policy)?.with_env()?.apply(&mut policy);
        read().map_err(|error| format!("[policy] {error}"))?;
        if policy.any_command {
            return Err("[policy] `any_command` is not for this server: what it runs has a breaker of its own".into());
        }
        Ok(policy)
    }

    /// Puts what the file says into `config`.
    ///
    /// # Errors
    /// What cannot be so, by its table and key.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        config.policy = self.policy(config.policy)?;
        set(&mut config.read_only, self.read_only);
        set(&mut config.read_only, from_env("DAUR_READ_ONLY")?);
        let command = &mut config.command;
        within("commands", self.commands.apply(command))?;
        within("retry", self.retry.apply(&mut command.retry))?;
        within("budget", self.budget.apply(&mut command.budget))?;
        within("fallback", self.fallback.apply(&mut command.fallback))?;
        within("health", self.health.apply(&mut config.health))?;
        within("breaker", self.breaker.apply(&mut command.breaker, &mut command.mode))?;
        within("cache", self.cache.apply(&mut config.cache))?;
        within("pool", self.pool.apply(&mut config.pool))?;
        within("events", self.events.apply(&mut config.events))?;
        within("history", self.history.apply(&mut config.history))?;
        within("log", self.log.apply(&mut config.log))?;
        within("memory", self.memory.apply(&mut config.memory))?;
        within("model", self.model.apply(&mut config.model))?;
        within("model.stream", self.model.stream.apply(&mut config.model.stream))?;
        within("model.fallback", self.model.fallback.apply(&mut config.model.fallback))?;
        within("model.retry", self.model.retry.apply(&mut config.model.retry))?;
        within("model.budget", self.model.budget.apply(&mut config.model.budget))?;
        within("model.breaker", self.model.breaker.apply(&mut config.model.breaker, &mut config.model.mode))?;
        for (name, program) in &self.programs {
            let (mut breaker, mut mode) = (command.breaker, command.mode);
            within(format_args!("programs.{name}.breaker"), program.breaker.apply(&mut breaker, &mut mode))?;
            command.breakers.insert(name.clone(), (breaker, mode));
        }
        Ok(())
    }
}

/// Yes or no, as the environment says it.
fn from_env(name: &str) -> Result<Option<bool>, String> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    match value.to_str() {
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        Some("") => Ok(None),
        _ => Err(format!("{name} must be `true` or `false`")),
    }
}

/// What a machine says of its config, without its own name: the table has one.
fn without_machine(error: impl fmt::Display) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or(text.as_str(), |(_, said)| said).to_owned()
}

/// Names the table that is wrong.
fn within(table: impl fmt::Display, applied: Result<(), String>) -> Result<(), String> {
    applied.map_err(|error| format!("[{table}] {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(([127, 0, 0, 1], 0).into(), "d".into())
    }

    const EXAMPLE: &str = include_str!("../example.toml");

    #[test]
    fn the_policy_is_part_of_the_file() {
        let policy = Settings::parse("[policy]\napi_rate = 7\ncommands = ['df']\n[policy.session]\nidle = '5m'\n");
        let policy = policy.unwrap().policy(Policy::DEFAULT).unwrap();
        assert_eq!((policy.api_rate, policy.session.idle), (7, Duration::from_secs(300)));
        assert_eq!(policy.commands.programs.len(), 1);
        for (text, told) in [
            ("[policy]\niterations = 5", "`iterations` must be between 1000 and 10000000"),
            ("[policy]\nno_such = 5", "`no_such`"),
            ("[policy.lockout]\nmax_attempts = 'x'", "`lockout.max_attempts` must be a whole number"),
            ("[policy]\nany_command = true", "`any_command` is not for this server"),
        ] {
            let error = Settings::parse(text).unwrap().apply(&mut config()).unwrap_err();
            assert!(error.starts_with("[policy] ") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_example_is_read_and_names_the_defaults() {
        let mut config = config();
        Settings::parse(EXAMPLE).unwrap().apply(&mut config).unwrap();
        let default = self::config();
        assert_eq!(config.command.fallback, default.command.fallback);
        assert_eq!(config.health, default.health);
        assert_eq!((config.command.budget, config.command.retry), (default.command.budget, default.command.retry));
        assert_eq!(
            (config.command.at_once, config.command.waiting, config.command.queue_wait),
            (default.command.at_once, default.command.waiting, default.command.queue_wait)
        );
        assert_eq!((config.command.breaker, config.command.mode), (default.command.breaker, default.command.mode));
        assert_eq!((config.cache, config.pool, config.events), (default.cache, default.pool, default.events));
        assert_eq!((config.history, &config.log, config.read_only), (default.history, &default.log, false));
        assert_eq!(format!("{:?}", config.memory), format!("{:?}", default.memory));
        assert_eq!(format!("{:?}", config.model), format!("{:?}", default.model));
        let (_, date) = config.command.breakers["date"];
        assert!(matches!(date.opens, Opens::CountWindow(window) if window.calls == 100));
        assert_eq!(date.slow.map(|slow| slow.slow_call), Some(Duration::from_millis(500)));
        let (uptime, mode) = config.command.breakers["uptime"];
        assert!(matches!(mode.opens, Opens::TimeWindow(span) if span.min_calls == 5));
        assert_eq!((uptime.failures, uptime.recovery_timeout_max), (5, Some(Duration::from_secs(300))));
        assert_eq!(mode.growth, Some(Growth { strategy: Strategy::Fibonacci, jitter: Jitter::Factor(20) }));
    }

    #[test]
    fn what_the_file_cannot_say_is_named() {
        let wrong = |text: &str| Settings::parse(text).unwrap_err();
        assert!(wrong("[comands]\n").contains("comands"));
        assert!(wrong("[fallback]\nmax_age = \"soon\"\n").contains("soon"));
        assert!(wrong("[retry]\njitter = \"some\"\n").contains("some"));
        assert!(wrong("[breaker]\nopens = { windows = 1 }\n").contains("windows"));
        assert!(wrong("[commands]\nqueue_wait = 5\n").contains("`\"5s\"`"));
        assert!(wrong("[[model.upstreams]]\nname = \"a\"\n").contains("url"));
        assert!(wrong("[log]\nlevel = \"loud\"\n").contains("loud"));
        assert!(wrong("[model]\nkeep = \"never\"\n").contains("never"));
        let both = Settings::parse("[budget]\noff = true\nratio = { percent = 10 }\n").unwrap().apply(&mut config());
        assert!(both.unwrap_err().contains("one of"));
        let low = Settings::parse("[health]\ndisk_low = 1\n").unwrap().apply(&mut config());
        assert!(low.unwrap_err().contains("disk_low"));
    }
    #[test]
    fn what_cannot_be_is_named_by_its_table_and_key() {
        let window = "opens = { count_window = { calls = 10, min_calls = 5 } }";
        for (text, table, key) in [
            ("[commands]\nat_once = 0\n", "[commands]", "`at_once`"),
            ("[commands]\nwaiting = 100000\n", "[commands]", "`waiting`"),
            ("[retry]\nmax_attempts = 0\n", "[retry]", "`max_attempts`"),
            ("[budget]\nratio = { percent = 0 }\n", "[budget]", "`percent`"),
            ("[fallback]\nbytes = 0\n", "[fallback]", "`bytes`"),
            ("[fallback]\ncommands = 0\n", "[fallback]", "`commands`"),
            ("[health]\nfailure_threshold = 0\n", "[health]", "`failure_threshold`"),
            ("[health]\nperiod = \"1ns\"\n", "[health]", "`period`"),
            ("[breaker]\nprobes = 0\n", "[breaker]", "`probes`"),
            ("[breaker]\nopens = { count_window = { calls = 1025 } }\n", "[breaker]", "`calls` must be from 1 to 1024"),
            ("[breaker]\nopens = { time_window = { buckets = 61 } }\n", "[breaker]", "`buckets` must be from 1 to 60"),
            ("[programs.date.breaker]\nfailures = 0\n", "[programs.date.breaker]", "`failures`"),
            ("[breaker]\ngrowth = { strategy = \"linear\" }\n", "[breaker]", "`recovery_timeout_max`"),
            (&format!("[breaker]\nfailures = 3\n{window}\n"), "[breaker]", "`failures`"),
            ("[cache]\nvalue_bytes = 0\n", "[cache]", "`value_bytes`"),
            ("[cache]\nfile_bytes = 1\n", "[cache]", "`file_bytes`"),
            ("[events]\nrows = 0\n", "[events]", "`rows`"),
            ("[history]\nseries = 0\n", "[history]", "`series`"),
            ("[history]\ntiers = [{ step = \"1s\", keep = \"1m\" }]\n", "[history]", "`tiers` must be 4"),
            ("[log]\nfile_bytes = 1\n", "[log]", "`file_bytes`"),
            ("[memory]\nelevated = 99\n", "[memory]", "`critical`"),
            ("[pool]\nworkers = 0\n", "[pool]", "workers"),
            ("[model]\nat_once = 0\n", "[model]", "`at_once`"),
            ("[model]\ntimeout = \"0s\"\n", "[model]", "`timeout`"),
            ("[model.eject]\nfailures = 0\n", "[model]", "`failures`"),
            ("[model.stream]\nidle = \"0s\"\n", "[model.stream]", "`idle`"),
            ("[model.stream]\ntotal = \"0s\"\n", "[model.stream]", "`total`"),
            ("[model.fallback]\nanswers = 0\n", "[model.fallback]", "`answers`"),
            ("[model.retry]\nmax_attempts = 0\n", "[model.retry]", "`max_attempts`"),
            ("[model.breaker]\nprobes = 0\n", "[model.breaker]", "`probes`"),
            ("[[model.upstreams]]\nname = \"a\"\nurl = \"h\"\n", "[model]", "`url`"),
            (
                "[[model.upstreams]]\nname = \"a\"\nurl = \"http://h\"\nkey_env = \"A\"\nkey_file = \"b\"\n",
                "[model]",
                "one of",
            ),
        ] {
            let error = Settings::parse(text).unwrap().apply(&mut config()).unwrap_err();
            assert!(error.starts_with(&format!("{table} ")) && error.contains(key), "{text} {error}");
            assert!(!error.contains("retry: ") && !error.contains("budget: "), "{error}");
        }
    }

    #[test]
    fn a_program_may_count_in_a_row_where_the_others_have_a_window() {
        let text = "[breaker]\nopens = { count_window = { calls = 10, min_calls = 5 } }\n\
                    slow = { slow_call = \"1s\", slow_pct = 50 }\n\
                    [programs.date.breaker]\nopens = \"consecutive\"\nfailures = 2\n";
        let mut config = config();
        Settings::parse(text).unwrap().apply(&mut config).unwrap();
        let (date, mode) = config.command.breakers["date"];
        assert_eq!((date.failures, mode.opens, mode.slow), (2, Opens::Consecutive, None));
        assert!(config.command.mode.slow.is_some());
    }

    #[test]
    fn a_disk_that_must_have_much_room_is_low_below_that() {
        let mut config = config();
        Settings::parse("[health]\ndisk_min = 9999999999\n").unwrap().apply(&mut config).unwrap();
        assert_eq!(config.health.disk_low, 9_999_999_999);
    }
}
