//! What goes into a machine, and what it answers.

use super::code::{Bytes, Get, Put};
use crate::performance::cache::Inserted;
use crate::reliability::breaker::{self, Event, Open};
use crate::reliability::bulkhead;
use crate::reliability::executor::{Admit, Cause, Next};
use crate::reliability::health::{CheckConfig, Outcome, Status};
use crate::reliability::limiter::Limited;
use crate::reliability::retry::{Class, Decision, Reason};
use crate::text::Text;
use crate::time::{Duration, Instant};

/// Says what was asked of a machine, or told it: one call of one of its verbs.
///
/// Append-only: a variant keeps its number and its fields for ever. A `call` numbers what is under way at the same
/// time, as the recorder likes: a run of an executor, a permit of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Input {
    /// `poll`, of whatever has it.
    Poll,
    /// The breaker of an executor, a breaker or a limiter is reset, a cache cleared.
    Reset,
    /// The breaker of an executor, or a breaker, is forced open.
    ForceOpen,
    /// Likewise, forced closed.
    ForceClosed,
    /// Likewise, only counting.
    MetricsOnly,
    /// An executor's run begins.
    Start {
        /// The run.
        call: u8,
    },
    /// An executor's run begins that must be over by a moment.
    StartBy {
        /// The run.
        call: u8,
        /// The moment.
        deadline: Instant,
    },
    /// An executor's run, or a call through a breaker, asks to go on.
    Admit {
        /// The run, or the call.
        call: u8,
    },
    /// It succeeded.
    Success {
        /// The run, or the call.
        call: u8,
    },
    /// It failed. To a retry the call says nothing.
    Failure {
        /// The run, or the call.
        call: u8,
        /// What to make of it; a breaker takes it for a failure whatever it is.
        class: Class,
    },
    /// It was cancelled.
    Cancel {
        /// The run, or the call.
        call: u8,
    },
    /// The run makes no further call.
    Abandon {
        /// The run.
        call: u8,
    },
    /// So many want to pass a limiter.
    Check {
        /// How many.
        n: u32,
    },
    /// A key is looked up in a cache.
    Get {
        /// The key.
        key: u32,
    },
    /// A value comes into a cache.
    Insert {
        /// Its key.
        key: u32,
        /// The value.
        value: u32,
        /// How long it stays; the cache's own time else.
        ttl: Option<Duration>,
    },
    /// A key leaves a cache.
    Remove {
        /// The key.
        key: u32,
    },
    /// Health gets another check.
    AddCheck {
        /// Its name.
        name: Text<24>,
        /// Its config.
        config: CheckConfig,
    },
    /// A check has run.
    Report {
        /// Which, in the order of being added.
        check: u8,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// An error has happened.
    Error {
        /// Of what kind.
        kind: Text<16>,
        /// What it said.
        message: Text<48>,
    },
}

impl Input {
    /// The verb in small letters: `admit`.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Reset => "reset",
            Self::ForceOpen => "force_open",
            Self::ForceClosed => "force_closed",
            Self::MetricsOnly => "metrics_only",
            Self::Start { .. } => "start",
            Self::StartBy { .. } => "start_by",
            Self::Admit { .. } => "admit",
            Self::Success { .. } => "success",
            Self::Failure { .. } => "failure",
            Self::Cancel { .. } => "cancel",
            Self::Abandon { .. } => "abandon",
            Self::Check { .. } => "check",
            Self::Get { .. } => "get",
            Self::Insert { .. } => "insert",
            Self::Remove { .. } => "remove",
            Self::AddCheck { .. } => "add_check",
            Self::Report { .. } => "report",
            Self::Error { .. } => "error",
        }
    }

    /// The variant's number, which stays for ever. Above what else stands in a trace.
    pub(super) const fn number(&self) -> u8 {
        match self {
            Self::Poll => 16,
            Self::Reset => 17,
            Self::ForceOpen => 18,
            Self::ForceClosed => 19,
            Self::MetricsOnly => 20,
            Self::Start { .. } => 21,
            Self::StartBy { .. } => 22,
            Self::Admit { .. } => 23,
            Self::Success { .. } => 24,
            Self::Failure { .. } => 25,
            Self::Cancel { .. } => 26,
            Self::Abandon { .. } => 27,
            Self::Check { .. } => 28,
            Self::Get { .. } => 29,
            Self::Insert { .. } => 30,
            Self::Remove { .. } => 31,
            Self::AddCheck { .. } => 32,
            Self::Report { .. } => 33,
            Self::Error { .. } => 34,
        }
    }

    /// What stands behind the number, the machine and the time.
    pub(super) fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Poll | Self::Reset | Self::ForceOpen | Self::ForceClosed | Self::MetricsOnly => {}
            Self::Start { call }
            | Self::Admit { call }
            | Self::Success { call }
            | Self::Cancel { call }
            | Self::Abandon { call } => call.put(out),
            Self::StartBy { call, deadline } => {
                call.put(out);
                deadline.put(out);
            }
            Self::Failure { call, class } => {
                call.put(out);
                class.put(out);
            }
            Self::Check { n: number } | Self::Get { key: number } | Self::Remove { key: number } => number.put(out),
            Self::Insert { key, value, ttl } => {
                key.put(out);
                value.put(out);
                ttl.put(out);
            }
            Self::AddCheck { name, config } => {
                name.put(out);
                config.put(out);
            }
            Self::Report { check, outcome, took } => {
                check.put(out);
                outcome.put(out);
                took.put(out);
            }
            Self::Error { kind, message } => {
                kind.put(out);
                message.put(out);
            }
        }
    }

    pub(super) fn get(number: u8, from: &mut Bytes<'_>) -> Option<Self> {
        Some(match number {
            16 => Self::Poll,
            17 => Self::Reset,
            18 => Self::ForceOpen,
            19 => Self::ForceClosed,
            20 => Self::MetricsOnly,
            21 => Self::Start { call: Get::get(from)? },
            22 => Self::StartBy { call: Get::get(from)?, deadline: Get::get(from)? },
            23 => Self::Admit { call: Get::get(from)? },
            24 => Self::Success { call: Get::get(from)? },
            25 => Self::Failure { call: Get::get(from)?, class: Get::get(from)? },
            26 => Self::Cancel { call: Get::get(from)? },
            27 => Self::Abandon { call: Get::get(from)? },
            28 => Self::Check { n: Get::get(from)? },
            29 => Self::Get { key: Get::get(from)? },
            30 => Self::Insert { key: Get::get(from)?, value: Get::get(from)?, ttl: Get::get(from)? },
            31 => Self::Remove { key: Get::get(from)? },
            32 => Self::AddCheck { name: Get::get(from)?, config: Get::get(from)? },
            33 => Self::Report { check: Get::get(from)?, outcome: Get::get(from)?, took: Get::get(from)? },
            34 => Self::Error { kind: Get::get(from)?, message: Get::get(from)? },
            _ => return None,
        })
    }
}

impl Put for Class {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Transient => out(0),
            Self::TransientAfter(after) => {
                out(1);
                after.put(out);
            }
            Self::Permanent => out(2),
            Self::Ignored => out(3),
        }
    }
}

impl Get for Class {
    fn get(from: &mut Bytes<'_>) -> Option<Self> {
        Some(match from.byte()? {
            0 => Self::Transient,
            1 => Self::TransientAfter(Get::get(from)?),
            2 => Self::Permanent,
            3 => Self::Ignored,
            _ => return None,
        })
    }
}

/// Says what a machine answered to an [`Input`]; made `From` what its verb returns.
///
/// It is not in the trace: the digest holds it, so that a replay which answers otherwise diverges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Answer {
    /// Nothing, or that nothing changed.
    Done,
    /// The call may be made.
    Go {
        /// When to interrupt it.
        deadline: Option<Instant>,
    },
    /// Not yet.
    Wait {
        /// Until when.
        until: Instant,
    },
    /// No more.
    Stop {
        /// Why.
        cause: Cause,
    },
    /// Not now.
    Refused {
        /// When to come back.
        retry_at: Instant,
    },
    /// Another call after a wait.
    Retry {
        /// How long.
        after: Duration,
    },
    /// The breaker's state changed.
    Changed {
        /// How.
        event: Event,
    },
    /// What was looked up, or removed.
    Found {
        /// The value.
        value: u32,
    },
    /// There is no such thing.
    Missing,
    /// What an insertion put aside.
    Inserted {
        /// That.
        aside: Inserted<u32, u32>,
    },
    /// How well something is.
    Status {
        /// That.
        status: Status,
    },
}

impl From<&Admit> for Answer {
    fn from(admit: &Admit) -> Self {
        match *admit {
            Admit::Go { deadline, .. } => Self::Go { deadline },
            Admit::Wait { until } | Admit::Line { until } => Self::Wait { until },
            Admit::Stop(cause) => Self::Stop { cause },
        }
    }
}

impl From<Next> for Answer {
    fn from(next: Next) -> Self {
        match next {
            Next::Retry { at } => Self::Wait { until: at },
            Next::Stop(cause) => Self::Stop { cause },
        }
    }
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Retry { after } => Self::Retry { after },
            Decision::Stop { reason } => Self::Stop { cause: Cause::Retry(reason) },
        }
    }
}

impl From<&Result<breaker::Permit, Open>> for Answer {
    fn from(acquired: &Result<breaker::Permit, Open>) -> Self {
        match acquired {
            Ok(permit) => permit.event().map_or(Self::Go { deadline: None }, |event| Self::Changed { event }),
            Err(Open { retry_at }) => Self::Refused { retry_at: *retry_at },
        }
    }
}

impl From<Option<Event>> for Answer {
    fn from(event: Option<Event>) -> Self {
        event.map_or(Self::Done, |event| Self::Changed { event })
    }
}

impl From<Result<(), Limited>> for Answer {
    fn from(checked: Result<(), Limited>) -> Self {
        match checked {
            Ok(()) => Self::Done,
            Err(Limited { retry_at }) => Self::Refused { retry_at },
        }
    }
}

impl From<Option<u32>> for Answer {
    fn from(value: Option<u32>) -> Self {
        value.map_or(Self::Missing, |value| Self::Found { value })
    }
}

impl From<Inserted<u32, u32>> for Answer {
    fn from(aside: Inserted<u32, u32>) -> Self {
        Self::Inserted { aside }
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::Status { status }
    }
}

impl Put for Answer {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Done => out(0),
            Self::Go { deadline } => {
                out(1);
                deadline.put(out);
            }
            Self::Wait { until } => {
                out(2);
                until.put(out);
            }
            Self::Stop { cause } => {
                out(3);
                cause.put(out);
            }
            Self::Refused { retry_at } => {
                out(4);
                retry_at.put(out);
            }
            Self::Retry { after } => {
                out(5);
                after.put(out);
            }
            Self::Changed { event } => {
                out(6);
                event.put(out);
            }
            Self::Found { value } => {
                out(7);
                value.put(out);
            }
            Self::Missing => out(8),
            Self::Inserted { aside } => {
                out(9);
                aside.put(out);
            }
            Self::Status { status } => {
                out(10);
                status.put(out);
            }
        }
    }
}

impl Put for Cause {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Retry(reason) => {
                out(0);
                reason.put(out);
            }
            Self::Open { retry_at } => {
                out(1);
                retry_at.put(out);
            }
            Self::NoPlace(refused) => {
                out(2);
                refused.put(out);
            }
            Self::TimedOut => out(3),
        }
    }
}

choices! {
    Reason { 0 = Exhausted, 1 = Elapsed, 2 = NotRetryable, 3 = Budget, 4 = Cancelled }
    breaker::Cause { 0 = Failures, 1 = SlowCalls, 2 = ProbeFailed }
}

impl Put for bulkhead::Refused {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Full { running, waiting } => {
                out(0);
                running.put(out);
                waiting.put(out);
            }
            Self::TimedOut => out(1),
            Self::Unknown => out(2),
        }
    }
}

impl Put for Event {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Opened { cause } => {
                out(0);
                cause.put(out);
            }
            Self::HalfOpened => out(1),
            Self::Closed => out(2),
        }
    }
}

impl Put for Inserted<u32, u32> {
    fn put(&self, out: &mut dyn FnMut(u8)) {
        match self {
            Self::Added => out(0),
            Self::Replaced(value) => {
                out(1);
                value.put(out);
            }
            Self::Evicted(key, value) => {
                out(2);
                key.put(out);
                value.put(out);
            }
            Self::Refused(key, value) => {
                out(3);
                key.put(out);
                value.put(out);
            }
        }
    }
}
