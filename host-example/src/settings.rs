//! The config file: how careful the server is. What is not in it keeps its default.
//!
//! ```toml
#![doc = include_str!("../example.toml")]
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use daur_core::reliability::breaker::{self, Growth, ModeConfig, Opens, SlowCalls};
use daur_core::reliability::budget;
use daur_core::reliability::retry::{self, Attempts, Jitter, Strategy};
use daur_core::time::Duration;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::config::Config;

/// A length of time in words, such as `"5s"`.
#[derive(Clone, Copy, Debug)]
struct Length(Duration);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("`{text}` is no length of time: {error}")))
    }
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    commands: Commands,
    retry: Retry,
    budget: Budget,
    fallback: Fallback,
    health: Health,
    breaker: Breaker,
    programs: BTreeMap<String, Program>,
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
    fn apply(&self, config: &mut retry::Config) {
        set(&mut config.max_attempts, self.max_attempts.map(Attempts::Limited));
        set_time(&mut config.initial_delay, self.initial_delay);
        set_time(&mut config.max_delay, self.max_delay);
        set(&mut config.strategy, self.strategy);
        set(&mut config.jitter, self.jitter);
        if let Some(Length(max)) = self.max_elapsed {
            config.max_elapsed = Some(max);
        }
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
            _ => return Err("[budget] takes one of `token_bucket`, `ratio` and `off`".into()),
        }
        Ok(())
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

/// Replaces `field` if there is a value.
fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn set_time(field: &mut Duration, value: Option<Length>) {
    set(field, value.map(|Length(time)| time));
}

impl Breaker {
    fn apply(&self, config: &mut breaker::Config, mode: &mut ModeConfig) {
        set(&mut config.failures, self.failures);
        set_time(&mut config.recovery_timeout, self.recovery_timeout);
        if let Some(Length(max)) = self.recovery_timeout_max {
            config.recovery_timeout_max = Some(max);
        }
        set(&mut config.probes, self.probes);
        set(&mut config.success_threshold, self.success_threshold);
        set_time(&mut config.probe_lease, self.probe_lease);
        set(&mut mode.opens, self.opens);
        mode.slow = self.slow.or(mode.slow);
        mode.growth = self.growth.or(mode.growth);
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

    /// Puts what the file says into `config`.
    ///
    /// # Errors
    /// What cannot be so, beyond what the parts themselves refuse at the start.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        let command = &mut config.command;
        set(&mut command.at_once, self.commands.at_once);
        set(&mut command.waiting, self.commands.waiting);
        set_time(&mut command.queue_wait, self.commands.queue_wait);
        self.retry.apply(&mut command.retry);
        self.budget.apply(&mut command.budget)?;
        set_time(&mut command.fallback.max_age, self.fallback.max_age);
        set(&mut command.fallback.commands, self.fallback.commands);
        set(&mut command.fallback.bytes, self.fallback.bytes);
        self.breaker.apply(&mut command.breaker, &mut command.mode);
        for (name, program) in &self.programs {
            let (mut breaker, mut mode) = (command.breaker, command.mode);
            program.breaker.apply(&mut breaker, &mut mode);
            command.breakers.insert(name.clone(), (breaker, mode));
        }
        let health = &mut config.health;
        set_time(&mut health.period, self.health.period);
        set_time(&mut health.timeout, self.health.timeout);
        set(&mut health.failure_threshold, self.health.failure_threshold);
        set(&mut health.disk_min, self.health.disk_min);
        set(&mut health.disk_low, self.health.disk_low);
        if health.disk_low < health.disk_min {
            return Err("[health] `disk_low` is below `disk_min`".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(([127, 0, 0, 1], 0).into(), "d".into())
    }

    const EXAMPLE: &str = include_str!("../example.toml");

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
        let both = Settings::parse("[budget]\noff = true\nratio = { percent = 10 }\n").unwrap().apply(&mut config());
        assert!(both.unwrap_err().contains("one of"));
        let low = Settings::parse("[health]\ndisk_low = 1\n").unwrap().apply(&mut config());
        assert!(low.unwrap_err().contains("disk_low"));
    }
}
