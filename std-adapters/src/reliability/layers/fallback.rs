//! An answer when the service gave none.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use daur_core::reliability::executor::{Execution, Failure};
use daur_core::reliability::fallback::{Fallback, Snapshot, Source};
use daur_core::shared::Shared;
use daur_core::time::Instant;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

mod handler;
#[cfg(feature = "tracing")]
mod log;
#[cfg(not(feature = "tracing"))]
#[path = "fallback/silent.rs"]
mod log;

use handler::{Begun, Handler, Keep};
pub use handler::{ByError, ByMachine, ByRequest};

use super::Error;
use crate::shared::StdShared;

/// Answers when the service failed, and counts that it did.
///
/// The outermost layer: it answers for the refusals and time limits beneath it too. Four kinds: a
/// function of the error ([`FallbackLayer::new`]), one that also sees of the request what it wants to
/// keep ([`FallbackLayer::seeing`]), both asynchronous; and what a [`Fallback`] of core gives, a value or
/// the last good one ([`FallbackLayer::of`]).
///
/// # Rules
/// 1. An answer of the service passes as it is; the fallback is asked after an error only.
/// 2. The fallback sees the error, and of the request what it kept: no request is cloned.
/// 3. If the fallback fails too, [`Error::Fallback`] has both errors; if it merely has nothing to give,
///    as when no answer was good yet, the first error stays as it is.
/// 4. Each use is counted by its cause, and each time the fallback failed too, over all clones; with
///    the feature `tracing` it is logged with its cause.
/// 5. The last good answer is remembered from every answer that passes, and given up to its greatest age.
/// 6. A service that fails to become ready stays so: that error passes.
///
/// # Cost
/// The counters on the heap, once, and a lock after an error. A call carries what was kept of its request.
///
/// # Errors
/// [`Error::Fallback`].
///
/// # Sharing
/// Clones share the counters; a clone of the layer that is kept shows them. Cancel-safe: dropped, it
/// drops the call or the fallback's future.
///
/// # Example
/// ```
/// use daur_std::reliability::layers::{Error, FallbackLayer, InnerLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let fallback = FallbackLayer::seeing(
///     |city: &&str| city.len(),
///     |letters, error: &Error<&str>| {
///         assert_eq!(error.inner(), Some(&"down"));
///         async move { Ok(format!("{letters} letters")) }
///     },
/// );
/// let service = ServiceBuilder::new()
///     .layer(fallback.clone())
///     .layer(InnerLayer)
///     .service(service_fn(async |_: &str| Err::<String, _>("down")));
/// assert_eq!(service.oneshot("Berlin").await.unwrap(), "6 letters");
/// assert_eq!(fallback.snapshot().used, 1);
/// # });
/// ```
#[derive(Debug)]
pub struct FallbackLayer<H> {
    shared: Arc<Parts<H>>,
}

#[derive(Debug)]
struct Parts<H> {
    handler: H,
    /// Counts only: the answers are the handler's.
    counts: StdShared<Fallback<(), ()>>,
}

impl<H> Parts<H> {
    fn count(&self, cause: Failure<()>, has_answer: bool) {
        let made = if has_answer { Ok(()) } else { Err(None) };
        let failed = Execution::of_failure(cause);
        let _counted = self.counts.with(|counts, now| counts.settle(failed, made, now));
    }
}

/// What the counters know of an error.
fn cause<E>(error: &Error<E>) -> Failure<()> {
    match error.root() {
        Error::Inner(_) => Failure::Error(()),
        Error::TimedOut(_) => Failure::TimedOut,
        Error::Full(refused) => Failure::NoPlace(*refused),
        _ => Failure::Open { retry_at: error.retry_at().unwrap_or(Instant::MAX) },
    }
}

impl<H> FallbackLayer<H> {
    fn handler(handler: H) -> Self {
        Self { shared: Arc::new(Parts { handler, counts: StdShared::new(Fallback::new(Source::Caller)) }) }
    }

    /// Copies out how often it was used, and after what.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.counts.with(|counts, _| counts.snapshot())
    }
}

impl<F> FallbackLayer<ByError<F>> {
    /// Answers what `answer` makes of the error.
    pub fn new<T, E, A>(answer: F) -> Self
    where
        F: Fn(&Error<E>) -> A,
        A: Future<Output = Result<T, Error<E>>>,
    {
        Self::handler(ByError(answer))
    }
}

impl<G, F> FallbackLayer<ByRequest<G, F>> {
    /// Keeps of each request what `keep` says; answers what `answer` makes of that and the error.
    pub fn seeing<Req, K, T, E, A>(keep: G, answer: F) -> Self
    where
        G: Fn(&Req) -> K,
        F: Fn(K, &Error<E>) -> A,
        A: Future<Output = Result<T, Error<E>>>,
    {
        Self::handler(ByRequest { keep, answer })
    }
}

impl<P> FallbackLayer<ByMachine<P>> {
    /// Answers what a [`Fallback`] gives, which is behind an `Arc` or a `&'static`.
    pub fn of<T, E>(machine: P) -> Self
    where
        P: Deref<Target: Shared<Machine = Fallback<T, Error<E>>>>,
    {
        Self::handler(ByMachine(machine))
    }
}

impl<H> Clone for FallbackLayer<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, H> Layer<S> for FallbackLayer<H> {
    type Service = FallbackService<S, H>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// The service that a [`FallbackLayer`] makes.
#[derive(Debug)]
pub struct FallbackService<S, H> {
    inner: S,
    shared: Arc<Parts<H>>,
}

impl<S: Clone, H> Clone for FallbackService<S, H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, H, Req, E> Service<Req> for FallbackService<S, H>
where
    S: Service<Req, Error = Error<E>>,
    H: Keep<Req> + Handler<H::Kept, S::Response, E>,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = ResponseFuture<S::Future, H, H::Kept, H::Answer, E>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let kept = Some(self.shared.handler.keep(&request));
        let call = self.inner.call(request);
        ResponseFuture { step: Step::Calls { call, kept }, shared: Arc::clone(&self.shared) }
    }
}

pin_project! {
    /// Awaits the answer of a [`FallbackService`].
    pub struct ResponseFuture<F, H, K, A, E> {
        #[pin]
        step: Step<F, K, A, E>,
        shared: Arc<Parts<H>>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F, K, A, E> {
        Calls {
            #[pin]
            call: F,
            kept: Option<K>,
        },
        Answers {
            #[pin]
            answer: A,
            first: Option<Error<E>>,
        },
        Done,
    }
}

impl<F, H, K, A, T, E> Future for ResponseFuture<F, H, K, A, E>
where
    F: Future<Output = Result<T, Error<E>>>,
    H: Handler<K, T, E, Answer = A>,
    A: Future<Output = Result<T, Error<E>>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (begun, cause) = match this.step.as_mut().project() {
                StepProjection::Calls { call, kept } => match (ready!(call.poll(cx)), kept.take()) {
                    (Err(first), Some(kept)) => {
                        log::asked(&first);
                        let cause = cause(&first);
                        (this.shared.handler.begin(kept, first), cause)
                    }
                    (outcome, _) => {
                        if let Ok(answer) = &outcome {
                            this.shared.handler.remember(answer);
                        }
                        return Poll::Ready(outcome);
                    }
                },
                StepProjection::Answers { answer, first } => {
                    let made = ready!(answer.poll(cx));
                    let Some(first) = first.take() else { return Poll::Ready(made) };
                    let cause = cause(&first);
                    let begun = match made {
                        Ok(value) => Begun::Value(value),
                        Err(second) => Begun::Nothing { first, second: Some(second) },
                    };
                    (begun, cause)
                }
                // Whoever polls again after the end has had the answer.
                StepProjection::Done => return Poll::Pending,
            };
            // Whatever was called is dropped here, before the fallback is awaited.
            let outcome = match begun {
                Begun::Later { answer, first } => {
                    this.step.set(Step::Answers { answer, first: Some(first) });
                    continue;
                }
                Begun::Value(value) => Ok(value),
                Begun::Nothing { first, second: None } => Err(first),
                Begun::Nothing { first, second: Some(second) } => {
                    Err(Error::Fallback { first: Box::new(first), second: Box::new(second) })
                }
            };
            this.step.set(Step::Done);
            this.shared.count(cause, outcome.is_ok());
            return Poll::Ready(outcome);
        }
    }
}

impl<F, H, K, A, E> fmt::Debug for ResponseFuture<F, H, K, A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
