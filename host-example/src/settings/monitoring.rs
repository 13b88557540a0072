//! The tables of what is counted, kept and said.

use daur_std::monitoring::history::Tier;
use daur_std::monitoring::log::Level;
use serde::Deserialize;

use super::{Length, set, set_time};
use crate::{events, history, logs};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Events {
    rows: Option<u64>,
    batch: Option<u32>,
    wait: Option<Length>,
}

impl Events {
    pub(super) fn apply(&self, config: &mut events::Config) -> Result<(), String> {
        set(&mut config.rows, self.rows);
        set(&mut config.batch, self.batch);
        set_time(&mut config.wait, self.wait);
        config.validate()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct History {
    tiers: Option<Vec<Step>>,
    series: Option<u16>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    step: Length,
    keep: Length,
}

impl History {
    pub(super) fn apply(&self, config: &mut history::Config) -> Result<(), String> {
        set(&mut config.series, self.series);
        if let Some(tiers) = &self.tiers {
            let tier = |step: &Step| Tier::new(step.step.0, step.keep.0);
            let all: Vec<Tier> = tiers.iter().map(tier).collect();
            let given = all.len();
            config.tiers = all.try_into().map_err(|_| format!("`tiers` must be 4, not {given}"))?;
        }
        config.validate()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    level: Option<Level>,
    json: Option<bool>,
    files: Option<bool>,
    file_bytes: Option<u64>,
    file_period: Option<Length>,
    old_files: Option<usize>,
    gzip: Option<bool>,
    recent: Option<usize>,
}

impl Log {
    pub(super) fn apply(&self, config: &mut logs::Config) -> Result<(), String> {
        set(&mut config.level, self.level);
        set(&mut config.json, self.json);
        set(&mut config.files, self.files);
        set(&mut config.file_bytes, self.file_bytes);
        set_time(&mut config.file_period, self.file_period);
        set(&mut config.old_files, self.old_files);
        set(&mut config.gzip, self.gzip);
        set(&mut config.recent, self.recent);
        config.validate()
    }
}
