//! A limit on the calls at once.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use daur_core::reliability::bulkhead::Refused;
use daur_core::time::{Clock, Duration};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

use super::Error;
use crate::reliability::bulkhead::{Acquire, Guard, SharedBulkhead};

/// Lets so many calls of a service run at once, and so many wait, by a [`SharedBulkhead`].
///
/// Unlike tower's own limit of concurrency it bounds the line too, refuses with a reason, and a service
/// that is ready but not called holds no place. To limit calls per time use the
/// [`LimiterLayer`](super::LimiterLayer).
///
/// # Rules
/// 1. All clones of the service share the bulkhead: at most `max_concurrent` calls are in the service.
/// 2. A call waits for its place in the line, in the order in which the futures were first polled.
/// 3. Only with its place a call asks whether the service is ready. Until then this layer is always
///    ready, so that the line is where the waiting is seen and bounded.
/// 4. The place comes back when the call ends, panics, or its future is dropped; one that waits leaves the line.
/// 5. A call that gets no place does not reach the service.
///
/// # Cost
/// Two locks a call while nobody waits; nothing on the heap. A call holds a clone of the service until
/// it has its place.
///
/// # Errors
/// [`Error::Full`], with the reason.
///
/// # Sharing
/// Clones share the bulkhead, which may be used without tower at the same time. Cancel-safe by rule 4.
///
/// # Example
/// ```
/// use std::convert::Infallible;
///
/// use daur_std::core::reliability::bulkhead::Config;
/// use daur_std::reliability::bulkhead::SharedBulkhead;
/// use daur_std::reliability::layers::{BulkheadLayer, Error, InnerLayer};
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let bulkhead = SharedBulkhead::new(Config { max_concurrent: 1, ..Config::DEFAULT }).unwrap();
/// let mut service = ServiceBuilder::new()
///     .layer(BulkheadLayer::new(bulkhead.clone()))
///     .layer(InnerLayer)
///     .service(service_fn(async |x: u32| Ok::<_, Infallible>(x)));
/// let elsewhere = bulkhead.try_acquire().unwrap();
/// assert!(matches!(service.ready().await.unwrap().call(1).await, Err(Error::Full(_))));
/// drop(elsewhere);
/// assert_eq!(service.ready().await.unwrap().call(2).await, Ok(2));
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BulkheadLayer<B = SharedBulkhead> {
    bulkhead: B,
}

impl<B: Handle> BulkheadLayer<B> {
    /// Makes each call in a place of `bulkhead`.
    #[must_use]
    pub const fn new(bulkhead: B) -> Self {
        Self { bulkhead }
    }
}

/// A [`SharedBulkhead`], however many may wait in it, by whichever clock. Sealed.
pub trait Handle: sealed::Handle {}

mod sealed {
    use super::{Context, Duration, Poll, Refused};

    pub trait Handle: Clone {
        /// Asks for a place; leaves the line on drop.
        type Acquire;
        /// Gives a place back on drop.
        type Guard;

        fn start(&self) -> Self::Acquire;
        fn poll(acquire: &mut Self::Acquire, cx: &Context<'_>) -> Poll<Result<Self::Guard, Refused>>;
        fn longest_wait(acquire: &Self::Acquire) -> Option<Duration>;
    }
}

impl<const WAITING: usize, C: Clock> Handle for SharedBulkhead<WAITING, C> {}

impl<const WAITING: usize, C: Clock> sealed::Handle for SharedBulkhead<WAITING, C> {
    type Acquire = Acquire<WAITING, C>;
    type Guard = Guard<WAITING, C>;

    fn start(&self) -> Self::Acquire {
        self.start()
    }

    fn poll(acquire: &mut Self::Acquire, cx: &Context<'_>) -> Poll<Result<Self::Guard, Refused>> {
        acquire.poll_acquire(cx)
    }

    fn longest_wait(acquire: &Self::Acquire) -> Option<Duration> {
        acquire.longest_wait()
    }
}

impl<S, B: Clone> Layer<S> for BulkheadLayer<B> {
    type Service = BulkheadService<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService { inner, bulkhead: self.bulkhead.clone() }
    }
}

/// The service that a [`BulkheadLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct BulkheadService<S, B = SharedBulkhead> {
    inner: S,
    bulkhead: B,
}

impl<S, B, Req, E> Service<Req> for BulkheadService<S, B>
where
    S: Service<Req, Error = Error<E>> + Clone,
    B: Handle,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = ResponseFuture<S, Req, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ResponseFuture {
            step: Step::InLine { acquire: self.bulkhead.start(), end: None },
            // The clone is asked whether it is ready, and makes the call; `inner` never is, and does not.
            waiting: Some((self.inner.clone(), request)),
            place: None,
        }
    }
}

pin_project! {
    /// Awaits the place and then the answer of a [`BulkheadService`].
    pub struct ResponseFuture<S, Req, B>
    where
        S: Service<Req>,
        B: Handle,
    {
        #[pin]
        step: Step<S::Future, B>,
        waiting: Option<(S, Req)>,
        // After `step`, so that the call is dropped before its place is given back.
        place: Option<B::Guard>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F, B>
    where
        B: Handle,
    {
        InLine {
            acquire: B::Acquire,
            #[pin]
            end: Option<Sleep>,
        },
        AsksWhetherReady,
        Calls {
            #[pin]
            call: F,
        },
        Done,
    }
}

impl<S, Req, B, E> Future for ResponseFuture<S, Req, B>
where
    S: Service<Req, Error = Error<E>>,
    B: Handle,
{
    type Output = Result<S::Response, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProjection::InLine { acquire, mut end } => match B::poll(acquire, cx) {
                    Poll::Ready(Ok(place)) => {
                        *this.place = Some(place);
                        this.step.set(Step::AsksWhetherReady);
                    }
                    Poll::Ready(Err(refused)) => {
                        this.step.set(Step::Done);
                        return Poll::Ready(Err(Error::Full(refused)));
                    }
                    Poll::Pending => {
                        // The line has no timer of its own.
                        let Some(wait) = B::longest_wait(acquire) else { return Poll::Pending };
                        if end.is_none() {
                            // At least a timer's tick, so that clocks that disagree make no busy loop.
                            end.set(Some(sleep(wait.max(Duration::from_millis(1)).into())));
                        }
                        if let Some(timer) = end.as_mut().as_pin_mut() {
                            ready!(timer.poll(cx));
                        }
                        end.set(None);
                    }
                },
                StepProjection::AsksWhetherReady => {
                    let Some((service, _)) = this.waiting else { return Poll::Pending };
                    let ready = ready!(service.poll_ready(cx));
                    let call = this.waiting.take().map(|(mut service, request)| ready.map(|()| service.call(request)));
                    match call {
                        Some(Ok(call)) => this.step.set(Step::Calls { call }),
                        Some(Err(error)) => {
                            this.step.set(Step::Done);
                            *this.place = None;
                            return Poll::Ready(Err(error));
                        }
                        None => return Poll::Pending,
                    }
                }
                StepProjection::Calls { call } => {
                    let outcome = ready!(call.poll(cx));
                    // The call first: what it holds of the place must be gone before the next one's turn.
                    this.step.set(Step::Done);
                    *this.place = None;
                    return Poll::Ready(outcome);
                }
                // Whoever polls again after the end has had the answer.
                StepProjection::Done => return Poll::Pending,
            }
        }
    }
}

impl<S: Service<Req>, Req, B: Handle> fmt::Debug for ResponseFuture<S, Req, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("has_place", &self.place.is_some()).finish_non_exhaustive()
    }
}
