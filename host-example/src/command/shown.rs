//! What is shown of commands: answers, and the state of what runs them.

use std::sync::Arc;

use daur_core::performance::memory::{Resize, Shrink};
use daur_core::reliability::breaker::{self, Counts, ModeConfig, Opens};
use daur_core::reliability::budget;
use daur_core::shared::Shared;
use serde::Serialize;

use super::{Commands, Program};
use crate::breakers::by_itself;
use crate::fallback::{self, Used};

/// What a client gets for a command.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Whether the exit code is 0.
    pub success: bool,
    /// The program's output.
    pub stdout: String,
    /// Its messages.
    pub stderr: String,
    /// Its exit code; 128 + the signal's number if a signal ended it.
    pub exit_code: i32,
    /// How often it was started; 0 if the answer comes from the cache.
    pub attempts: u32,
    /// Whether the answer comes from the cache, or from a process that another caller started.
    pub cached: bool,
    /// How long the client waited for it.
    pub elapsed_ms: u64,
    /// Whether it is an earlier output of the same command, since the program gave none now.
    pub fallback_used: bool,
    /// If so, why and of which age.
    pub fallback: Option<Used>,
    /// Whether an output was longer than is kept.
    pub truncated: bool,
    /// Whether bytes that are not UTF-8 were replaced.
    pub replaced: bool,
}

/// Shows one program's breaker and runs.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramStatus {
    /// The program.
    pub name: String,
    /// What its breaker does with calls.
    pub state: &'static str,
    /// What opens it.
    pub mode: &'static str,
    /// What is in its window, if it has one.
    pub window: Option<Counts>,
    /// Failures since the last success or change of state.
    pub consecutive_failures: u32,
    /// Times the breaker has opened.
    pub opened: u32,
    /// Calls it refused.
    pub refused: u32,
    /// Reports that came after the state had changed.
    pub late: u32,
    /// While calls are refused: until when.
    pub retry_in_ms: Option<u64>,
    /// Runs begun.
    pub runs: u32,
    /// Runs that gave an output.
    pub succeeded: u32,
    /// Calls made again.
    pub retries: u32,
}

/// Shows what is left for retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetStatus {
    /// How it is filled.
    pub mode: &'static str,
    /// Retries that it would pay for now.
    pub retries_left: u32,
    /// How full it is, in thousandths.
    pub left_permille: u64,
    /// Retries that it has paid for.
    pub funded: u32,
    /// Retries that it has refused.
    pub refused: u32,
}

/// Shows how many programs run, and how many commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Places {
    /// Programs that may run.
    pub at_once: u32,
    /// Commands that may wait.
    pub room: u32,
    /// Programs that run now.
    pub running: u32,
    /// Commands that wait now.
    pub waiting: u32,
    /// Commands that found neither place nor room.
    pub refused: u32,
    /// Commands that waited in vain.
    pub timed_out: u32,
}

impl Commands {
    /// What gives back memory when that is short.
    pub fn shrinker(&self) -> impl Shrink + Send + Sync + use<> {
        let last_good = Arc::clone(&self.last_good);
        Resize(move |keep| last_good.resize(keep))
    }

    /// What the fallbacks have given.
    #[must_use]
    pub fn fallbacks(&self) -> fallback::Snapshot {
        self.last_good.snapshot()
    }

    /// What is left for retries; `None` if they are not limited.
    #[must_use]
    pub fn budget(&self) -> Option<BudgetStatus> {
        let shown = self.budget.as_ref()?.with(|budget, _| budget.snapshot());
        Some(BudgetStatus {
            mode: match self.config.budget {
                Some(budget::Config::Ratio { .. }) => "ratio",
                _ => "token_bucket",
            },
            retries_left: shown.retries_left(),
            left_permille: (u64::from(shown.tokens) * 1_000).checked_div(shown.capacity.into()).unwrap_or(0),
            funded: shown.funded,
            refused: shown.refused,
        })
    }

    /// Programs that run and commands that wait.
    #[must_use]
    pub fn bulkhead(&self) -> Places {
        let shown = self.places.snapshot();
        Places {
            at_once: self.config.at_once,
            room: self.config.waiting,
            running: shown.running,
            waiting: shown.waiting,
            refused: shown.refused,
            timed_out: shown.timed_out,
        }
    }

    /// Every program of the allow list with its breaker.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramStatus> {
        let show = |program: &Program| {
            program.executor.with(|executor, now| {
                executor.poll(now);
                let shown = executor.snapshot();
                ProgramStatus {
                    name: program.name.to_owned(),
                    state: state_name(shown.breaker.state),
                    mode: mode_name(&program.mode),
                    window: shown.breaker.window,
                    consecutive_failures: shown.breaker.consecutive_failures,
                    opened: shown.breaker.opened,
                    refused: shown.breaker.refused,
                    late: shown.breaker.late,
                    retry_in_ms: shown.breaker.retry_at.and_then(by_itself).map(|at| at.since(now).as_millis()),
                    runs: shown.runs,
                    succeeded: shown.succeeded,
                    retries: shown.retries,
                }
            })
        };
        self.programs.iter().map(show).collect()
    }
}

/// The name of a breaker's state, as on the wire.
#[must_use]
pub const fn state_name(state: breaker::State) -> &'static str {
    match state {
        breaker::State::Closed => "closed",
        breaker::State::Open => "open",
        breaker::State::HalfOpen => "half_open",
        breaker::State::ForcedOpen => "forced_open",
        breaker::State::Disabled => "disabled",
        breaker::State::MetricsOnly => "metrics_only",
    }
}

/// The name of a breaker's mode, as on the wire.
#[must_use]
pub const fn mode_name(mode: &ModeConfig) -> &'static str {
    match (mode.opens, mode.slow) {
        (Opens::CountWindow(_), None) => "count_window",
        (Opens::CountWindow(_), Some(_)) => "count_window_slow",
        (Opens::TimeWindow(_), None) => "time_window",
        (Opens::TimeWindow(_), Some(_)) => "time_window_slow",
        _ => "consecutive",
    }
}
