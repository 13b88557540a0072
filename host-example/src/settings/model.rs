//! The table of models.

use std::path::PathBuf;

use daur_core::performance::balancer::{Eject, PolicyConfig};
use serde::Deserialize;

use super::{Breaker, Budget, Length, Retry, set, set_time};
use crate::fallback;
use crate::model::{self, Keep, KeySource};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Model {
    timeout: Option<Length>,
    ttl: Option<Length>,
    keep: Option<Keep>,
    max_answer: Option<usize>,
    at_once: Option<u32>,
    pub(super) stream: Stream,
    pub(super) fallback: LastAnswers,
    policy: Option<PolicyConfig>,
    eject: Ejection,
    pub(super) retry: Retry,
    pub(super) budget: Budget,
    pub(super) breaker: Breaker,
    upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Stream {
    idle: Option<Length>,
    total: Option<Length>,
}

impl Stream {
    pub(super) fn apply(&self, config: &mut model::Stream) -> Result<(), String> {
        set_time(&mut config.idle, self.idle);
        set_time(&mut config.total, self.total);
        for (key, time) in [("idle", config.idle), ("total", config.total)] {
            if time.is_zero() {
                return Err(format!("`{key}` is 0; nothing would be answered"));
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LastAnswers {
    max_age: Option<Length>,
    answers: Option<usize>,
    bytes: Option<usize>,
}

impl LastAnswers {
    pub(super) fn apply(&self, config: &mut fallback::Config) -> Result<(), String> {
        set_time(&mut config.max_age, self.max_age);
        set(&mut config.commands, self.answers);
        set(&mut config.bytes, self.bytes);
        config.validate().map_err(|error| error.replace("`commands`", "`answers`"))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ejection {
    off: bool,
    failures: Option<u32>,
    base: Option<Length>,
    max: Option<Length>,
    max_pct: Option<u8>,
    ramp: Option<Length>,
}

impl Ejection {
    pub(super) fn apply(&self, config: &mut Option<Eject>) {
        if self.off {
            *config = None;
        }
        if let Some(config) = config {
            set(&mut config.failures, self.failures);
            set_time(&mut config.base, self.base);
            set_time(&mut config.max, self.max);
            set(&mut config.max_pct, self.max_pct);
            set_time(&mut config.ramp, self.ramp);
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upstream {
    name: String,
    url: String,
    key_file: Option<PathBuf>,
    key_env: Option<String>,
    model: Option<String>,
    weight: Option<u16>,
    timeout: Option<Length>,
}

impl Upstream {
    fn read(&self) -> Result<model::Upstream, String> {
        let mut upstream = model::Upstream::new(&self.name, &self.url);
        upstream.key = match (&self.key_file, &self.key_env) {
            (None, None) => KeySource::None,
            (Some(path), None) => KeySource::File(path.clone()),
            (None, Some(name)) => KeySource::Env(name.clone()),
            (Some(_), Some(_)) => {
                return Err(format!("the upstream `{}` takes one of `key_file` and `key_env`", self.name));
            }
        };
        upstream.model.clone_from(&self.model);
        set(&mut upstream.weight, self.weight);
        set_time(&mut upstream.timeout, self.timeout);
        Ok(upstream)
    }
}

impl Model {
    pub(super) fn apply(&self, config: &mut model::Config) -> Result<(), String> {
        set_time(&mut config.timeout, self.timeout);
        set_time(&mut config.ttl, self.ttl);
        set(&mut config.keep, self.keep);
        set(&mut config.max_answer, self.max_answer);
        set(&mut config.at_once, self.at_once);
        set(&mut config.policy, self.policy);
        self.eject.apply(&mut config.eject);
        for upstream in &self.upstreams {
            config.upstreams.push(upstream.read()?);
        }
        config.validate()
    }
}
