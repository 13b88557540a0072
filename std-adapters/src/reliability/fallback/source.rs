//! One fallback, whose value may have to be awaited.

use std::fmt;
use std::pin::Pin;

use daur_core::reliability::executor::{Execution, Failure};
use daur_core::reliability::fallback::{Fallback, Name, Snapshot, Source};
use daur_core::shared::Shared;
use daur_core::time::{Duration, Instant};

use crate::clock::TokioClock;
use crate::shared::StdShared;

/// What a boxed asynchronous function gives.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

type Awaiting<T, E, A> = dyn for<'a> Fn(&'a Failure<E>, &'a A) -> BoxFuture<'a, Result<T, E>> + Send + Sync;

/// What a machine's own source makes, of a value that can be cloned.
type Given<T, E, A> = fn(&mut Fallback<T, E, A>, Execution<T, E>, &A, Instant) -> Execution<T, E>;

type Function<T, E, A> = dyn Fn(&Failure<E>, &A) -> Result<T, E> + Send + Sync;

/// What is run outside of the machine's lock.
enum Make<T, E, A: ?Sized> {
    /// Nothing: the machine has it.
    Machine(Given<T, E, A>),
    Function(Box<Function<T, E, A>>),
    Awaiting(Box<Awaiting<T, E, A>>),
}

/// Gives a value when a run of calls gave none, awaiting it if need be.
///
/// The host's form of [`Fallback`]: one for all who make the same call. It counts and logs; a function runs
/// outside of its lock. For fallbacks that are found by name, see
/// [`FallbackHandler`](super::FallbackHandler).
///
/// # Rules
/// Those of [`Fallback`], and: dropped while its function is awaited, it counts nothing.
///
/// # Cost
/// The machine, one lock for a use, and one allocation for a use that awaits.
///
/// # Sharing
/// `Send` and `Sync`, for values and errors that are `Send`. Only [`SharedFallback::new`] needs values that
/// can be cloned: what a function makes may be a stream or a response.
///
/// # Example
/// ```
/// use daur_std::core::reliability::executor::{Execution, Failure};
/// use daur_std::reliability::fallback::SharedFallback;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let spare = SharedFallback::awaiting(|_: &Failure<&'static str>, path: &str| {
///     let answer = format!("a copy of {path}");
///     Box::pin(async move { Ok(answer) })
/// });
/// let failed = Execution { result: Err(Failure::Error("disk")), ..Execution::of_value(String::new()) };
/// let saved = spare.apply(failed, "/etc/hosts").await;
/// assert_eq!(saved.result.as_deref(), Ok("a copy of /etc/hosts"));
/// assert_eq!(spare.snapshot().used, 1);
/// # });
/// ```
pub struct SharedFallback<T, E, A: ?Sized = ()> {
    name: Name,
    make: Make<T, E, A>,
    machine: StdShared<Fallback<T, E, A>, TokioClock>,
}

impl<T: Clone, E, A: ?Sized> SharedFallback<T, E, A> {
    /// A fallback to a source of the machine's: a value, a short function, the last good value.
    #[must_use]
    pub const fn new(source: Source<T, E, A>) -> Self {
        Self::made_by(Make::Machine(Fallback::apply_to), source)
    }

    /// Remembers a value that came another way, for [`Source::LastGood`].
    pub fn remember(&self, value: &T) {
        self.machine.with(|fallback, now| fallback.remember(value, now));
    }

    /// The last good value and its age, if it is still good.
    #[must_use]
    pub fn last_good(&self) -> Option<(T, Duration)> {
        self.machine.with(|fallback, now| fallback.last_good(now).map(|(value, age)| (value.clone(), age)))
    }
}

impl<T, E, A: ?Sized> SharedFallback<T, E, A> {
    /// A fallback to what a function makes, which may hold what it needs.
    pub fn function(make: impl Fn(&Failure<E>, &A) -> Result<T, E> + Send + Sync + 'static) -> Self {
        Self::made_by(Make::Function(Box::new(make)), Source::Caller)
    }

    /// A fallback to what a function makes and is awaited for.
    pub fn awaiting(
        make: impl for<'a> Fn(&'a Failure<E>, &'a A) -> BoxFuture<'a, Result<T, E>> + Send + Sync + 'static,
    ) -> Self {
        Self::made_by(Make::Awaiting(Box::new(make)), Source::Caller)
    }

    const fn made_by(make: Make<T, E, A>, source: Source<T, E, A>) -> Self {
        let machine = StdShared::with_clock(Fallback::with_args(source), TokioClock);
        Self { name: Name::EMPTY, make, machine }
    }

    /// The same, under a name that its log lines tell.
    #[must_use]
    pub fn called(mut self, name: Name) -> Self {
        self.name = name;
        self
    }

    /// The end of a run of calls made with `args`, with a value if there is any to be had.
    pub async fn apply(&self, execution: Execution<T, E>, args: &A) -> Execution<T, E> {
        let made = match (&execution.result, &self.make) {
            (Err(failure), Make::Function(make)) => make(failure, args).map_err(Some),
            (Err(failure), Make::Awaiting(make)) => make(failure, args).await.map_err(Some),
            (_, Make::Machine(given)) => {
                let had_failed = !execution.success();
                let end = self.machine.with(|fallback, now| given(fallback, execution, args, now));
                return self.logged(end, had_failed);
            }
            (Ok(_), _) => return execution,
        };
        let end = self.machine.with(|fallback, now| fallback.settle(execution, made, now));
        self.logged(end, true)
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.machine.with(|fallback, _| fallback.snapshot())
    }

    fn logged(&self, end: Execution<T, E>, had_failed: bool) -> Execution<T, E> {
        #[cfg(feature = "tracing")]
        if had_failed {
            let cause = end.cause.map_or_else(|| "the call failed".to_owned(), |cause| cause.to_string());
            let name = self.name.as_str();
            if end.fallback_used {
                tracing::warn!(name, cause, "a fallback gave the value");
            } else {
                tracing::warn!(name, cause, has_failed_too = end.fallback_error.is_some(), "a fallback had no value");
            }
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (had_failed, &self.name);
        end
    }
}

impl<T, E, A: ?Sized> fmt::Debug for SharedFallback<T, E, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFallback").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::fmt::Write;
    use std::sync::{Arc, Mutex};

    use daur_core::reliability::executor::Cause;
    use daur_core::reliability::retry::Reason;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Writes down every event, one in a line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<String>>);

    struct Fields<'a>(&'a mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut lines = self.0.lock().unwrap();
            lines.push_str(event.metadata().level().as_str());
            event.record(&mut Fields(&mut lines));
            lines.push('\n');
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn each_use_is_logged_with_its_cause_and_a_success_is_not() {
        let lines = Lines::default();
        let fallback = SharedFallback::function(|failure: &Failure<&'static str>, (): &()| match failure {
            Failure::TimedOut => Ok(1),
            _ => Err("nothing to say"),
        });
        let fallback = fallback.called(Name::cut("quote"));
        let failed = |failure, cause| Execution { result: Err(failure), cause: Some(cause), ..Execution::of_value(0) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tracing::subscriber::with_default(lines.clone(), || {
            runtime.block_on(async {
                let _ = fallback.apply(Execution::of_value(0), &()).await;
                let _ = fallback.apply(failed(Failure::TimedOut, Cause::TimedOut), &()).await;
                let exhausted = Cause::Retry(Reason::Exhausted);
                let _ = fallback.apply(failed(Failure::Error("down"), exhausted), &()).await;
            });
        });
        let lines = lines.0.lock().unwrap();
        let lines: Vec<_> = lines.lines().filter(|line| line.contains("quote")).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains(&Cause::TimedOut.to_string()) && lines[0].contains("gave the value"), "{lines:?}");
        let exhausted = Reason::Exhausted.to_string();
        assert!(lines[1].contains(&exhausted) && lines[1].contains("had no value"), "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("WARN")));
    }
}
