//! Commands: from a line of text to a program's output, by way of policy, cache and executor.
//!
//! # Rules
//! 1. A line that is not plain words is `invalid_command`, one that the policy refuses is
//!    `forbidden_command`; nothing is started for either.
//! 2. A success is kept: the same words inside the TTL start no process. Callers who ask for the same
//!    at the same time share one process, and wait for it no longer than it may take.
//! 3. A program that ends with another exit code than 0 has done its work: it is no failure of the
//!    server's, is not tried again, not kept and not counted by the breaker.
//! 4. A program that cannot be started is tried again, while the budget of all commands together pays for
//!    it. One that runs out of time is not: it may have had its effect. Both count for the breaker of that
//!    program, which then refuses it for a while.
//! 5. So many programs run at a time and so many commands wait, whatever they are, in the order in which they
//!    came. What finds no place is `overloaded`; that says nothing of its program and is not counted by the breaker.
//!    A command whose program is refused by its breaker is told so at once: it does not wait to hear it.
//! 6. Where rule 4 leaves no output, the last good one of the same command stands in, marked as such: see
//!    [`fallback`](crate::fallback).

mod config;
mod shown;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration as StdDuration;

use daur_core::reliability::breaker::{self, Breaker, ModeConfig};
use daur_core::reliability::budget::Budget;
use daur_core::reliability::bulkhead;
use daur_core::reliability::executor::{Config as ExecutorConfig, Executor, Failure};
use daur_core::reliability::retry::Class;
use daur_core::security::input::command::Refusal;
use daur_core::security::policy::Policy;
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use daur_std::clock::StdClock;
use daur_std::performance::cache::{self, SharedCache};
use daur_std::reliability::bulkhead::SharedBulkhead;
use daur_std::reliability::executor;
use daur_std::rng::os_seed;
use daur_std::services::result_cache::{self, Computed, Key};
use daur_std::shared::StdShared;
use tokio::sync::{oneshot, watch};
use tokio::time;

pub use config::{AnyMode, BUCKETS, CALLS, Config, WAITING};
pub use shown::{Answer, BudgetStatus, Places, ProgramStatus, mode_name, state_name};

use crate::breakers::{Force, by_itself};
use crate::fallback::{Good, LastGood, Run, Used};
use crate::http::stopped;
use crate::problem::{Code, Problem};
use crate::results::{Results, Source};
use crate::runner::{self, Job, Output};

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Program {
    name: &'static str,
    mode: ModeConfig,
    executor: StdShared<Executor<AnyMode>>,
    /// The breaker's state as it was logged last.
    told: Mutex<breaker::State>,
}

impl Program {
    /// Whether the breaker lets nothing pass now.
    fn refuses(&self) -> bool {
        let state = self.executor.with(|executor, now| {
            executor.poll(now);
            executor.snapshot().breaker.state
        });
        matches!(state, breaker::State::Open | breaker::State::ForcedOpen)
    }

    /// Logs what the breaker has become.
    fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.executor.with(|executor, _| executor.snapshot().breaker);
        if std::mem::replace(&mut *told, shown.state) == shown.state {
            return;
        }
        let (program, state) = (self.name, state_name(shown.state));
        if shown.state == breaker::State::Closed {
            tracing::info!(program, state, "a breaker changed");
        } else {
            tracing::warn!(program, state, opened = shown.opened, "a breaker changed");
        }
    }
}

/// Runs commands.
pub struct Commands {
    config: Config,
    policy: Policy<'static>,
    dir: PathBuf,
    policy_mark: [u8; 8],
    results: Arc<Results>,
    last_good: Arc<LastGood>,
    programs: Vec<Program>,
    admitted: SharedCache<String, Arc<Admitted>>,
    places: SharedBulkhead<WAITING>,
    budget: Option<StdShared<Budget>>,
    stop: watch::Receiver<bool>,
}

/// Why there is nothing to keep.
enum Stop {
    /// The program was not asked for an output.
    Refused(Problem),
    /// It gave none.
    Failed(Box<Run>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// A command that the policy admits.
#[derive(Debug)]
pub struct Admitted {
    program: usize,
    words: Vec<String>,
    key: Key,
}

/// Lines whose verdict is remembered, and their length at most. The policy does not change while the server runs.
const REMEMBERED: usize = 1_024;
const REMEMBERED_LEN: usize = 256;

impl Commands {
    /// Commands that `policy` admits, run in `dir`, their outputs kept in `results`.
    ///
    /// # Errors
    /// An invalid config.
    pub fn new(
        mut config: Config,
        policy: Policy<'static>,
        dir: PathBuf,
        results: Arc<Results>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let allowed = policy.commands;
        if let Some(unknown) =
            config.breakers.keys().find(|name| allowed.programs.iter().all(|known| known.name != **name))
        {
            return Err(format!("a breaker is set for `{unknown}`, which is not on the list of programs").into());
        }
        let programs = allowed
            .programs
            .iter()
            .map(|program| {
                let (breaker, mode) =
                    config.breakers.get(program.name).copied().unwrap_or((config.breaker, config.mode));
                if breaker.probe_lease <= config.timeout {
                    // A probe that outlives its lease is not heard, and the breaker would never close.
                    return Err(format!(
                        "the breaker of `{}`: `probe_lease` is {}; it must be longer than a command may take, {}",
                        program.name, breaker.probe_lease, config.timeout
                    )
                    .into());
                }
                let executor = ExecutorConfig { retry: config.retry, breaker, ..ExecutorConfig::DEFAULT };
                let breaker = Breaker::try_any(breaker, mode, os_seed())
                    .map_err(|error| format!("the breaker of `{}`: {error}", program.name))?;
                let executor = Executor::try_of(executor, breaker, os_seed())?;
                let (executor, told) = (StdShared::new(executor), Mutex::new(breaker::State::Closed));
                Ok(Program { name: program.name, mode, executor, told })
            })
            .collect::<Result<_, Error>>()?;
        let waits = config.waiting > 0 && !config.queue_wait.is_zero();
        if !waits {
            config.waiting = 0;
        }
        let places = SharedBulkhead::with_clock(
            bulkhead::Config {
                max_concurrent: config.at_once,
                max_waiting: config.waiting,
                max_wait: waits.then_some(config.queue_wait),
            },
            StdClock,
        )?;
        let mut hasher = DefaultHasher::new();
        format!("{allowed:?} {:?} {} {:?}", policy.forbidden_commands, config.output_limit, config.program_dirs)
            .hash(&mut hasher);
        Ok(Self {
            results,
            last_good: Arc::new(LastGood::new(config.fallback)),
            places,
            budget: config.budget.map(Budget::try_new).transpose()?.map(StdShared::new),
            policy_mark: hasher.finish().to_le_bytes(),
            admitted: SharedCache::try_new(cache::Config { max_size: REMEMBERED, ..cache::Config::DEFAULT })?,
            config,
            policy,
            dir,
            programs,
            stop,
        })
    }

    /// Splits a line into words and asks the policy.
    ///
    /// # Errors
    /// `invalid_command`, `forbidden_command`.
    pub fn admit(&self, line: &str) -> Result<Arc<Admitted>, Problem> {
        if let Some(known) = self.admitted.get(line) {
            return Ok(known);
        }
        let admitted = Arc::new(self.judge(line)?);
        if line.len() <= REMEMBERED_LEN {
            // One that finds no place is judged again.
            let _ = self.admitted.insert(line.to_owned(), Arc::clone(&admitted));
        }
        Ok(admitted)
    }

    fn judge(&self, line: &str) -> Result<Admitted, Problem> {
        let max_len = self.policy.max_command_len;
        if line.len() > max_len {
            return Err(Problem::new(Code::InvalidCommand, format!("A command has {max_len} bytes at most.")));
        }
        let mut buffer = vec![0; line.len() + 1];
        let argv = self.policy.admit_command(line, &mut buffer).map_err(|refusal| {
            let code = match refusal {
                Refusal::Invalid(_) => Code::InvalidCommand,
                Refusal::Forbidden(_) => Code::ForbiddenCommand,
            };
            let mut detail = refusal.to_string();
            if let Some(first) = detail.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Problem::new(code, detail + ".")
        })?;
        let words: Vec<String> = argv.words().map(str::to_owned).collect();
        let program = words.first().and_then(|name| self.programs.iter().position(|program| program.name == name));
        // The list has admitted it, so it is in the list.
        let program = program.ok_or_else(|| Problem::new(Code::ForbiddenCommand, "The program is not on the list."))?;
        let dir = self.dir.as_os_str().as_encoded_bytes();
        let parts = [&self.policy_mark[..], dir].into_iter().chain(words.iter().map(String::as_bytes));
        let key = result_cache::key(parts);
        Ok(Admitted { program, words, key })
    }

    /// The program of an admitted command.
    #[must_use]
    pub fn name_of(&self, command: &Admitted) -> &'static str {
        self.programs.get(command.program).map_or("", |program| program.name)
    }

    /// Does something by hand with the breaker of a program; gives its state. `None` if there is no such program.
    pub fn force(&self, name: &str, how: Force) -> Option<breaker::State> {
        let program = self.programs.iter().find(|program| program.name == name)?;
        let state = program.executor.with(|executor, now| how.apply(executor.breaker(), now));
        program.tell();
        Some(state)
    }

    /// The output of an admitted command, if it is in memory.
    pub fn kept(&self, command: &Admitted) -> Option<Result<Answer, Problem>> {
        let began = StdClock.now();
        let kept = self.results.in_memory(&command.key)?;
        Some(read(&kept.value).map(|output| shown(output, true, None, 0, began)))
    }

    /// The output of an admitted command: kept, or fresh. A large future.
    ///
    /// # Errors
    /// `timeout`, `circuit_open`, `overloaded`, `internal`.
    pub async fn run(&self, command: &Admitted) -> Result<Answer, Problem> {
        let (began, key) = (StdClock.now(), &command.key);
        let mut attempts = 0;
        let (begun, mut begins) = oneshot::channel();
        let compute = async || {
            let _ = begun.send(());
            let run = self.execute(command).await?;
            attempts = run.attempts;
            let good = match run.result {
                Ok(good) => good,
                failed => return Err(Stop::Failed(Box::new(Run { result: failed, ..run }))),
            };
            self.last_good.remember(key, &good);
            let bytes = serde_json::to_vec(&*good.output)
                .map_err(|error| Problem::internal("an output cannot be kept", &error))?;
            Ok(if good.output.exit_code == 0 { Computed::Keep(bytes) } else { Computed::Pass(bytes) })
        };
        let answer = {
            let mut answer = std::pin::pin!(self.results.get_or_compute(key, self.config.ttl, compute));
            // Who waits for another caller's process waits for one, not for all that fail one after the other.
            let patience = StdDuration::from(self.config.timeout) + self.config.queue_wait.into();
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                () = overdue(patience, &mut begins) => return Err(busy()),
            }
        };
        let (output, cached, used) = match answer {
            Ok(answer) => (read(&answer.value)?, answer.source != Source::Computed, None),
            Err(Stop::Refused(problem)) => return Err(problem),
            Err(Stop::Failed(run)) => {
                attempts = run.attempts;
                let (good, used) = self.stand_in(command, key, *run)?;
                (Output::clone(&good.output), false, used)
            }
        };
        Ok(shown(output, cached, used, attempts, began))
    }

    /// What is given for a run that failed: the last good output of the command, or the failure.
    fn stand_in(&self, command: &Admitted, key: &[u8], run: Run) -> Result<(Good, Option<Used>), Problem> {
        let name = self.programs[command.program].name;
        let (run, used) = self.last_good.apply(key, run);
        if let Some(Used { cause, age_ms, .. }) = used {
            tracing::warn!(program = name, cause = cause.as_str(), age_ms, "an earlier output was given instead");
        }
        let failure = match run.result {
            Ok(good) => return Ok((good, used)),
            Err(failure) => failure,
        };
        Err(match failure {
            Failure::Error(runner::Error::Timeout) | Failure::TimedOut => {
                let detail = format!("The command took longer than {} and was ended.", self.config.timeout);
                Problem::new(Code::Timeout, detail)
            }
            Failure::Open { retry_at } => match by_itself(retry_at) {
                Some(at) => {
                    let detail = format!("`{name}` failed too often; it is not started now.");
                    Problem::new(Code::CircuitOpen, detail).retry_after(at.since(StdClock.now()))
                }
                None => Problem::new(Code::CircuitOpen, format!("An operator holds the breaker of `{name}` open.")),
            },
            failure => Problem::internal("a program could not be run", &failure),
        })
    }

    /// Starts the program, through its executor.
    async fn execute(&self, command: &Admitted) -> Result<Run, Problem> {
        let program = &self.programs[command.program];
        // Outside of the executor: a breaker that times calls shall not blame a program for the time in line. Nobody
        // stands in line to be refused by a breaker, though.
        let place = match program.refuses() {
            true => None,
            false => Some(self.places.acquire().await.map_err(|_| busy())?),
        };
        let classify = |error: &runner::Error| class(program.name, error);
        let start = || async {
            // The breaker has let it pass after all, in this very moment.
            if place.is_some() { self.start(command).await } else { Err(runner::Error::NoPlace) }
        };
        let mut stop = self.stop.clone();
        tokio::select! {
            run = executor::execute_with(&program.executor, self.budget.as_ref(), classify, start) => {
                program.tell();
                if matches!(run.result, Err(Failure::Error(runner::Error::NoPlace))) { Err(busy()) } else { Ok(run) }
            }
            () = stopped(&mut stop) => Err(Problem::new(Code::Overloaded, "The server is stopping.").closing()),
        }
    }

    async fn start(&self, command: &Admitted) -> Result<Good, runner::Error> {
        let name = self.programs[command.program].name;
        let program = runner::find(name, &self.config.program_dirs).ok_or_else(|| {
            runner::Error::Spawn(std::io::Error::new(std::io::ErrorKind::NotFound, format!("no program `{name}`")))
        })?;
        let job = Job {
            program,
            args: command.words.iter().skip(1).cloned().collect(),
            dir: self.dir.clone(),
            timeout: self.config.timeout.into(),
            output_limit: self.config.output_limit,
        };
        let output = runner::run(&job).await?;
        Ok(Good { output: Arc::new(output), at: StdClock.now() })
    }
}

fn read(kept: &[u8]) -> Result<Output, Problem> {
    serde_json::from_slice(kept).map_err(|error| Problem::internal("a kept output cannot be read", &error))
}

fn shown(output: Output, cached: bool, used: Option<Used>, attempts: u32, began: Instant) -> Answer {
    Answer {
        success: output.exit_code == 0,
        stdout: output.stdout,
        stderr: output.stderr,
        exit_code: output.exit_code,
        attempts,
        cached,
        elapsed_ms: StdClock.now().since(began).as_millis(),
        fallback_used: used.is_some(),
        fallback: used,
        truncated: output.truncated,
        replaced: output.replaced,
    }
}

fn busy() -> Problem {
    Problem::new(Code::Overloaded, "Too many commands run at the moment.").retry_after(Duration::from_secs(1))
}

/// Ends when `patience` has run out before the work `begins`; else never.
async fn overdue(patience: StdDuration, begins: &mut oneshot::Receiver<()>) {
    if time::timeout(patience, begins).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// What a failure means for retry and breaker: rule 4.
fn class(program: &str, error: &runner::Error) -> Class {
    let class = match error {
        runner::Error::Spawn(_) => Class::Transient,
        runner::Error::Timeout => Class::Permanent,
        runner::Error::NoPlace => return Class::Ignored,
    };
    tracing::warn!(program, %error, "a command failed");
    class
}
