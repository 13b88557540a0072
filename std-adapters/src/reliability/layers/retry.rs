//! Calls again after a failure.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use daur_core::reliability::budget::{Exhausted, Funds, Unlimited};
use daur_core::reliability::retry::{self, Class, Config, ConfigError, Decision, GaveUp, Reason};
use daur_core::time::{Clock, Duration, Instant};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

use super::{Error, EveryError, Judge, OfError};
use crate::clock::TokioClock;
use crate::rng::os_seed;

/// Calls a service again after a failure, by the rules of a [`retry::Run`].
///
/// Above a [`BreakerLayer`](super::BreakerLayer), so that what is broken is left alone; beneath a
/// [`TimeoutLayer`](super::TimeoutLayer) that limits the whole run. The only layer whose request must
/// be `Clone`, and whose service must: a retry goes to a clone that is asked whether it is ready.
///
/// # Rules
/// 1. A failure is retried as the config says, after its waits; the jitter's seed is the operating
///    system's, for each run its own.
/// 2. The judge says what a failure is; an answer can be one. With none, every error is transient.
/// 3. A run that ends in an error tells it in [`Error::GaveUp`], with the reason and the number of
///    attempts; a run that ends in an answer that was judged a failure gives that answer.
/// 4. A refusal from beneath is no attempt. A breaker's or a limiter's is waited for until its
///    `retry_at`, if all such waits of the run fit into `refusal_wait` (zero unless set); else, and for
///    a full bulkhead, the run ends: with the refusal as it is if there was no attempt.
/// 5. A time limit from beneath is a transient failure; what other retries and fallbacks gave up stays
///    given up.
/// 6. A retry that the budget does not pay for is not made. One that was paid for, and is not made
///    since the future was dropped, is paid back.
/// 7. A retried call is made only when its service said it is ready.
/// 8. The failed call is dropped before the wait: it holds no permit meanwhile.
///
/// # Cost
/// The config and two pointers; a call holds clones of the request and the service, and a timer of
/// tokio's between attempts. On the heap, only the error that gives up.
///
/// # Errors
/// [`Error::GaveUp`].
///
/// # Sharing
/// Each run stands alone but for the budget, which is behind a `&'static` or an `Arc`. Cancel-safe:
/// dropped, it drops the call under way and makes no further one.
///
/// # Example
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use daur_std::core::reliability::retry::Config;
/// use daur_std::reliability::layers::{InnerLayer, RetryLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// static CALLS: AtomicU32 = AtomicU32::new(0);
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(RetryLayer::new(Config::DEFAULT))
///     .layer(InnerLayer)
///     .service(service_fn(async |x: u32| {
///         let nth = CALLS.fetch_add(1, Ordering::SeqCst);
///         if nth < 2 { Err("not yet") } else { Ok(x) }
///     }));
/// assert_eq!(service.oneshot(7).await, Ok(7));
/// assert_eq!(CALLS.load(Ordering::SeqCst), 3);
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RetryLayer<J = EveryError, P = &'static Unlimited> {
    config: Config,
    refusal_wait: Duration,
    judge: J,
    funds: P,
}

impl RetryLayer {
    /// Retries as `config` says; every error is transient, no budget, no waiting for refusals.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`RetryLayer::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config: config.checked(), refusal_wait: Duration::ZERO, judge: EveryError, funds: &Unlimited }
    }

    /// As [`RetryLayer::new`], if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self { config, refusal_wait: Duration::ZERO, judge: EveryError, funds: &Unlimited }),
            Err(error) => Err(error),
        }
    }
}

impl<J, P> RetryLayer<J, P> {
    /// Lets `classify` say what an error means.
    pub fn classify<E, F: Fn(&E) -> Class>(self, classify: F) -> RetryLayer<OfError<F>, P> {
        self.with_judge(OfError(classify))
    }

    /// Lets `judge` say what an answer and an error mean.
    pub fn judge<T, E, F: Fn(Result<&T, &E>) -> Option<Class>>(self, judge: F) -> RetryLayer<F, P> {
        self.with_judge(judge)
    }

    fn with_judge<K>(self, judge: K) -> RetryLayer<K, P> {
        RetryLayer { config: self.config, refusal_wait: self.refusal_wait, judge, funds: self.funds }
    }

    /// Lets a budget pay for the retries, which other callers may share.
    pub fn budget<Q: Deref<Target: Funds>>(self, funds: Q) -> RetryLayer<J, Q> {
        RetryLayer { config: self.config, refusal_wait: self.refusal_wait, judge: self.judge, funds }
    }

    /// How long one run may wait in all for breakers and limiters beneath that refuse it.
    #[must_use]
    pub const fn refusal_wait(mut self, wait: Duration) -> Self {
        self.refusal_wait = wait;
        self
    }
}

impl<S, J: Clone, P: Clone> Layer<S> for RetryLayer<J, P> {
    type Service = RetryService<S, J, P>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService { inner, layer: self.clone() }
    }
}

/// The service that a [`RetryLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct RetryService<S, J = EveryError, P = &'static Unlimited> {
    inner: S,
    layer: RetryLayer<J, P>,
}

impl<S, J, P, Req, E> Service<Req> for RetryService<S, J, P>
where
    S: Service<Req, Error = Error<E>> + Clone,
    Req: Clone,
    J: Judge<S::Response, E> + Clone,
    P: Deref<Target: Funds> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = ResponseFuture<S, Req, J, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let again = request.clone();
        // This service said it is ready and makes the call; its clone is asked before it makes one.
        let call = self.inner.call(request);
        ResponseFuture {
            step: Step::Calls { call },
            service: self.inner.clone(),
            request: again,
            run: Run::new(self.layer.clone()),
        }
    }
}

pin_project! {
    /// Awaits the answer of a [`RetryService`].
    pub struct ResponseFuture<S, Req, J, P>
    where
        S: Service<Req>,
        P: Deref,
        P::Target: Funds,
    {
        #[pin]
        step: Step<S::Future>,
        service: S,
        request: Req,
        run: Run<J, P>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        Calls {
            #[pin]
            call: F,
        },
        Waits {
            #[pin]
            end: Sleep,
        },
        AsksWhetherReady,
    }
}

impl<S, J, P, Req, E> Future for ResponseFuture<S, Req, J, P>
where
    S: Service<Req, Error = Error<E>>,
    Req: Clone,
    J: Judge<S::Response, E>,
    P: Deref<Target: Funds>,
{
    type Output = Result<S::Response, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProjection::Calls { call } => {
                    let outcome = ready!(call.poll(cx));
                    match this.run.after(outcome) {
                        // Setting the step drops the failed call.
                        Next::Wait(length) => this.step.set(Step::Waits { end: sleep(length.into()) }),
                        Next::Done(outcome) => return Poll::Ready(outcome),
                    }
                }
                StepProjection::Waits { end } => {
                    ready!(end.poll(cx));
                    this.step.set(Step::AsksWhetherReady);
                }
                StepProjection::AsksWhetherReady => {
                    ready!(this.service.poll_ready(cx))?;
                    this.run.begin();
                    let call = this.service.call(this.request.clone());
                    this.step.set(Step::Calls { call });
                }
            }
        }
    }
}

enum Next<T, E> {
    Wait(Duration),
    Done(Result<T, Error<E>>),
}

/// Funds behind a pointer.
struct Pointed<P>(P);

impl<P: Deref<Target: Funds>> Funds for Pointed<P> {
    fn on_first_try(&self) {
        self.0.on_first_try();
    }

    fn try_retry(&self) -> Result<(), Exhausted> {
        self.0.try_retry()
    }

    fn on_success(&self, attempts: u32) {
        self.0.on_success(attempts);
    }

    fn cancel_retry(&self) {
        self.0.cancel_retry();
    }
}

/// A run of the core's, and what it does not know: refusals, which are no attempts.
struct Run<J, P: Deref<Target: Funds>> {
    run: retry::Run<Pointed<P>>,
    judge: J,
    started: Instant,
    max_elapsed: Option<Duration>,
    refusal_wait: Duration,
    /// The call under way begins no attempt: the one before it was refused.
    refused: bool,
}

impl<J, P: Deref<Target: Funds>> Run<J, P> {
    /// A run whose first call is made now.
    fn new(layer: RetryLayer<J, P>) -> Self {
        let RetryLayer { config, refusal_wait, judge, funds } = layer;
        let started = TokioClock.now();
        let mut run = retry::Run::new(config, Pointed(funds), started);
        run.begin();
        Self { run, judge, started, max_elapsed: config.max_elapsed, refusal_wait, refused: false }
    }

    fn begin(&mut self) {
        if !std::mem::take(&mut self.refused) {
            self.run.begin();
        }
    }

    fn after<T, E>(&mut self, outcome: Result<T, Error<E>>) -> Next<T, E>
    where
        J: Judge<T, E>,
    {
        let class = match &outcome {
            Ok(answer) => self.judge.judge(Ok(answer)),
            Err(Error::Inner(error)) => self.judge.judge(Err(error)),
            Err(error @ (Error::Open(_) | Error::Limited(_))) => {
                return match self.wait_for(error.retry_at(), TokioClock.now()) {
                    Some(length) => Next::Wait(length),
                    None => Next::Done(self.refused(outcome, Reason::Elapsed)),
                };
            }
            // As in the executor: a retry would only add to the load.
            Err(Error::Full(_)) => return Next::Done(self.refused(outcome, Reason::NotRetryable)),
            Err(Error::GaveUp(_) | Error::Fallback { .. }) => Some(Class::Permanent),
            Err(Error::TimedOut(_)) => Some(Class::Transient),
        };
        let Some(class) = class else {
            self.run.on_success();
            return Next::Done(outcome);
        };
        match self.run.on_failure(class, os_seed, TokioClock.now()) {
            Decision::Retry { after } => Next::Wait(after),
            Decision::Stop { reason } => {
                Next::Done(outcome.map_err(|error| Error::GaveUp(Box::new(self.run.gave_up(error, reason)))))
            }
        }
    }

    /// How long to wait for a refusal to end, if the run may.
    fn wait_for(&mut self, retry_at: Option<Instant>, now: Instant) -> Option<Duration> {
        // At least a timer's tick, so that clocks that disagree make no busy loop.
        let length = (retry_at? - now).max(Duration::from_millis(1));
        let too_late = self.max_elapsed.is_some_and(|limit| now + length - self.started >= limit);
        if length > self.refusal_wait || too_late {
            return None;
        }
        self.refusal_wait = self.refusal_wait - length;
        self.refused = true;
        Some(length)
    }

    /// The end of a run whose last call was refused.
    fn refused<T, E>(&self, outcome: Result<T, Error<E>>, reason: Reason) -> Result<T, Error<E>> {
        match self.run.attempts().saturating_sub(1) {
            0 => outcome,
            attempts => outcome.map_err(|error| Error::GaveUp(Box::new(GaveUp { error, reason, attempts }))),
        }
    }
}

impl<S, Req, J, P> fmt::Debug for ResponseFuture<S, Req, J, P>
where
    S: Service<Req>,
    P: Deref<Target: Funds>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("attempts", &self.run.run.attempts()).finish_non_exhaustive()
    }
}
