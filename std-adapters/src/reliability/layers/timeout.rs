//! A limit on the time of a call.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use daur_core::reliability::timeout::{Config, ConfigError};
use daur_core::time::Duration;
use pin_project_lite::pin_project;
use tokio::time::{Timeout, timeout};
use tower_layer::Layer;
use tower_service::Service;

use super::Error;

/// Drops a call that takes too long.
///
/// Above a [`RetryLayer`](super::RetryLayer) it limits the whole run, beneath it one attempt. Instead
/// of tower's own where the error is to stay this stack's.
///
/// # Rules
/// 1. A call that is not over when the limit is ends with [`Error::TimedOut`].
/// 2. An answer that is ready together with the limit is given.
/// 3. The call is dropped, with all that it holds, before the error is told.
/// 4. The time begins with the call: waiting for the service to be ready is not counted.
///
/// # Cost
/// 8 bytes; a call holds a timer of tokio's. Nothing on the heap.
///
/// # Errors
/// [`Error::TimedOut`], with the limit.
///
/// # Sharing
/// Each clone stands alone. Cancel-safe: dropped, it drops the call.
///
/// # Example
/// ```
/// use std::convert::Infallible;
///
/// use daur_std::core::time::Duration;
/// use daur_std::reliability::layers::{Error, InnerLayer, TimeoutLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// const LIMIT: TimeoutLayer = TimeoutLayer::new(Duration::from_secs(2));
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let never = service_fn(async |()| std::future::pending::<Result<(), Infallible>>().await);
/// let service = ServiceBuilder::new().layer(LIMIT).layer(InnerLayer).service(never);
/// assert_eq!(service.oneshot(()).await, Err(Error::TimedOut(Duration::from_secs(2))));
/// # });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutLayer {
    limit: Duration,
}

impl TimeoutLayer {
    /// Limits each call to `limit`.
    ///
    /// # Panics
    /// If `limit` is zero: in a `const` or `static`, an error of the compiler. A limit that is read at
    /// run time goes to [`TimeoutLayer::try_new`].
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        match Self::try_new(limit) {
            Ok(layer) => layer,
            Err(_) => panic!("the limit of a TimeoutLayer is zero"),
        }
    }

    /// Limits each call to `limit`.
    ///
    /// # Errors
    /// [`ConfigError::NoTotal`] if `limit` is zero.
    pub const fn try_new(limit: Duration) -> Result<Self, ConfigError> {
        match Config::total(limit).validate() {
            Ok(()) => Ok(Self { limit }),
            Err(error) => Err(error),
        }
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = TimeoutService<S>;

    fn layer(&self, inner: S) -> TimeoutService<S> {
        TimeoutService { inner, limit: self.limit }
    }
}

/// The service that a [`TimeoutLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutService<S> {
    inner: S,
    limit: Duration,
}

impl<S, Req, E> Service<Req> for TimeoutService<S>
where
    S: Service<Req, Error = Error<E>>,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let call = self.inner.call(request);
        ResponseFuture { call: Call::Runs { call: timeout(self.limit.into(), call) }, limit: self.limit }
    }
}

pin_project! {
    /// Awaits the answer of a [`TimeoutService`].
    pub struct ResponseFuture<F> {
        #[pin]
        call: Call<F>,
        limit: Duration,
    }
}

pin_project! {
    #[project = CallProjection]
    enum Call<F> {
        Runs {
            // Tokio's own, since a call that uses up its task's budget in each poll must not keep a timer
            // from being looked at.
            #[pin]
            call: Timeout<F>,
        },
        Dropped,
    }
}

impl<F: Future<Output = Result<T, Error<E>>>, T, E> Future for ResponseFuture<F> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let CallProjection::Runs { call } = this.call.as_mut().project() {
            // It polls the call first: what is ready together with the limit has made it.
            if let Ok(answer) = ready!(call.poll(cx)) {
                return Poll::Ready(answer);
            }
            this.call.set(Call::Dropped);
        }
        Poll::Ready(Err(Error::TimedOut(*this.limit)))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("limit", &self.limit).finish_non_exhaustive()
    }
}
