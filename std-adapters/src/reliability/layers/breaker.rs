//! A breaker around a service.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use daur_core::reliability::breaker::{Mode, Open, Permit};
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;
use daur_core::time::Clock;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Error, EveryError, Judge, OfError, judge};
use crate::reliability::breaker::SharedBreaker;

/// Refuses calls to a service that keeps failing, by a [`SharedBreaker`].
///
/// Beneath a [`RetryLayer`](super::RetryLayer), so that each attempt asks; above the bulkhead and the
/// [`TimeoutLayer`](super::TimeoutLayer) of one attempt, so that it sees what they do.
///
/// # Rules
/// 1. All clones of the service share the breaker; a call that it refuses does not reach the service.
/// 2. While the breaker is open the service is not asked whether it is ready: a refusal does not wait
///    for what is broken. A call after that is refused, even if the breaker's wait ended in between.
/// 3. An answer and an error count as the judge says; with none, every error is a failure.
///    [`Class::Ignored`] gives the permit back.
/// 4. A time limit from beneath is a failure. A refusal from beneath counts neither way.
/// 5. A future that is dropped, and a call that panics, give the permit back and record nothing.
/// 6. A service that fails to become ready has failed: it counts as a call.
///
/// # Cost
/// As the breaker's: closed and without failures, an atomic load for each of being asked, being called
/// and succeeding. Nothing on the heap; a call carries its permit and a pointer.
///
/// # Errors
/// [`Error::Open`], with the moment to come back at.
///
/// # Sharing
/// The breaker is behind a `&'static` or an `Arc`, and may be used without tower at the same time.
/// Cancel-safe by rule 5.
///
/// # Example
/// ```
/// use daur_std::core::reliability::breaker::Config;
/// use daur_std::reliability::breaker::SharedBreaker;
/// use daur_std::reliability::layers::{BreakerLayer, Error, InnerLayer};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// static UPSTREAM: SharedBreaker = SharedBreaker::new(Config { failures: 1, ..Config::DEFAULT });
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut service = ServiceBuilder::new()
///     .layer(BreakerLayer::new(&UPSTREAM))
///     .layer(InnerLayer)
///     .service(service_fn(async |()| Err::<(), _>("down")));
/// assert_eq!(service.ready().await.unwrap().call(()).await, Err(Error::Inner("down")));
/// assert!(matches!(service.ready().await.unwrap().call(()).await, Err(Error::Open(_))));
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BreakerLayer<B, J = EveryError> {
    breaker: B,
    judge: J,
}

impl<B: Handle> BreakerLayer<B> {
    /// Asks `breaker` before each call; every error counts.
    pub const fn new(breaker: B) -> Self {
        Self { breaker, judge: EveryError }
    }
}

impl<B: Handle, J> BreakerLayer<B, J> {
    /// Lets `classify` say what an error means.
    pub fn classify<E, F: Fn(&E) -> Class>(self, classify: F) -> BreakerLayer<B, OfError<F>> {
        BreakerLayer { breaker: self.breaker, judge: OfError(classify) }
    }

    /// Lets `judge` say what an answer and an error mean.
    pub fn judge<T, E, F: Fn(Result<&T, &E>) -> Option<Class>>(self, judge: F) -> BreakerLayer<B, F> {
        BreakerLayer { breaker: self.breaker, judge }
    }
}

/// Points to a [`SharedBreaker`]: a reference, or an `Arc`. Sealed.
pub trait Handle: Clone + sealed::Handle {}

mod sealed {
    use super::{Open, Permit};

    pub trait Handle {
        /// Whether a call would be refused now.
        fn refuses(&self) -> Option<Open>;
        fn acquire(&self) -> Result<Permit, Open>;
        fn on_success(&self, permit: Permit);
        fn on_failure(&self, permit: Permit);
        fn cancel(&self, permit: Permit);
    }
}

impl<B, M, C> Handle for B
where
    B: Deref<Target = SharedBreaker<M, C>> + Clone,
    M: Mode,
    C: Clock,
{
}

impl<B, M, C> sealed::Handle for B
where
    B: Deref<Target = SharedBreaker<M, C>> + Clone,
    M: Mode,
    C: Clock,
{
    fn refuses(&self) -> Option<Open> {
        (**self).refuses()
    }

    fn acquire(&self) -> Result<Permit, Open> {
        self.try_acquire()
    }

    fn on_success(&self, permit: Permit) {
        (**self).on_success(permit);
    }

    fn on_failure(&self, permit: Permit) {
        self.with(|breaker, now| breaker.on_failure(permit, now));
    }

    fn cancel(&self, permit: Permit) {
        self.with(|breaker, now| breaker.cancel(permit, now));
    }
}

/// One call's permit, which goes back when it is dropped without a report.
struct Ticket<B: Handle> {
    breaker: B,
    permit: Option<Permit>,
}

impl<B: Handle> Ticket<B> {
    fn acquire(breaker: &B) -> Result<Self, Open> {
        let permit = breaker.acquire()?;
        Ok(Self { breaker: breaker.clone(), permit: Some(permit) })
    }

    fn settle<T, E>(&mut self, judge: &impl Judge<T, E>, outcome: Result<&T, &Error<E>>) {
        let class = judge::for_breaker(judge, outcome);
        let Some(permit) = self.permit.take() else { return };
        match class {
            None => self.breaker.on_success(permit),
            Some(Class::Ignored) => self.breaker.cancel(permit),
            Some(_) => self.breaker.on_failure(permit),
        }
    }
}

impl<B: Handle> Drop for Ticket<B> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.cancel(permit);
        }
    }
}

impl<S, B: Clone, J: Clone> Layer<S> for BreakerLayer<B, J> {
    type Service = BreakerService<S, B, J>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, breaker: self.breaker.clone(), judge: self.judge.clone(), refused: None }
    }
}

/// The service that a [`BreakerLayer`] makes.
#[derive(Debug)]
pub struct BreakerService<S, B, J = EveryError> {
    inner: S,
    breaker: B,
    judge: J,
    /// `inner` was not asked whether it is ready: the next call must not reach it.
    refused: Option<Open>,
}

impl<S: Clone, B: Clone, J: Clone> Clone for BreakerService<S, B, J> {
    fn clone(&self) -> Self {
        // The clone has been asked nothing yet.
        Self { inner: self.inner.clone(), breaker: self.breaker.clone(), judge: self.judge.clone(), refused: None }
    }
}

impl<S, B, J, Req, E> Service<Req> for BreakerService<S, B, J>
where
    S: Service<Req, Error = Error<E>>,
    B: Handle,
    J: Judge<S::Response, E> + Clone,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = ResponseFuture<S::Future, B, J>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.refused = self.breaker.refuses();
        if self.refused.is_some() {
            return Poll::Ready(Ok(()));
        }
        let ready = ready!(self.inner.poll_ready(cx));
        if let Err(error) = &ready
            && let Ok(mut ticket) = Ticket::acquire(&self.breaker)
        {
            ticket.settle(&self.judge, Err(error));
        }
        Poll::Ready(ready)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let ticket = match self.refused.take() {
            None => Ticket::acquire(&self.breaker),
            // Asked all the same, so that it counts the refusal; what it admits by now goes back.
            Some(open) => Ticket::acquire(&self.breaker).and(Err(open)),
        };
        match ticket {
            Ok(ticket) => {
                ResponseFuture::Admitted { call: self.inner.call(request), ticket, judge: self.judge.clone() }
            }
            Err(open) => ResponseFuture::Refused { open },
        }
    }
}

pin_project! {
    /// Awaits the answer of a [`BreakerService`].
    #[project = Projection]
    pub enum ResponseFuture<F, B, J>
    where
        B: Handle,
    {
        /// The service was called.
        #[doc(hidden)]
        Admitted {
            #[pin]
            call: F,
            ticket: Ticket<B>,
            judge: J,
        },
        /// It was not.
        #[doc(hidden)]
        Refused {
            open: Open,
        },
    }
}

impl<F, B, J, T, E> Future for ResponseFuture<F, B, J>
where
    F: Future<Output = Result<T, Error<E>>>,
    B: Handle,
    J: Judge<T, E>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Admitted { call, ticket, judge } => {
                let outcome = ready!(call.poll(cx));
                ticket.settle(judge, outcome.as_ref());
                Poll::Ready(outcome)
            }
            Projection::Refused { open } => Poll::Ready(Err(Error::Open(*open))),
        }
    }
}

impl<F, B: Handle, J> fmt::Debug for ResponseFuture<F, B, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
