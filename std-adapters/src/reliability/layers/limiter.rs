//! A limit on the rate of calls.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use daur_core::reliability::limiter::{Limited, Limiter};
use daur_core::shared::Shared;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Error;

/// Refuses the calls that come faster than a [`Limiter`] allows.
///
/// It does not wait: put a [`RetryLayer`](super::RetryLayer) above it that may
/// [wait for refusals](super::RetryLayer::refusal_wait). For limits by user or address use
/// [`LimiterLayer::by`]. For calls at once instead of per second, use the
/// [`BulkheadLayer`](super::BulkheadLayer).
///
/// # Rules
/// 1. All clones of the service share the limiter; a call that it refuses does not reach the service.
/// 2. A refusal says when to come back; a call at exactly that moment passes.
/// 3. Readiness is the service's own. Being asked whether it is ready uses nothing up.
///
/// # Cost
/// A lock and a clock reading for each call; nothing on the heap.
///
/// # Errors
/// [`Error::Limited`].
///
/// # Sharing
/// The limiter is anything that points to a [`Shared`] one: an `Arc`, or a `&'static`.
///
/// # Example
/// ```
/// use std::convert::Infallible;
///
/// use daur_std::core::reliability::limiter::{Config, Limiter};
/// use daur_std::reliability::layers::{Error, InnerLayer, LimiterLayer};
/// use daur_std::shared::StdShared;
/// use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
///
/// static LIMIT: StdShared<Limiter> = StdShared::new(Limiter::new(Config { burst: 1, ..Config::DEFAULT }));
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let mut service = ServiceBuilder::new()
///     .layer(LimiterLayer::new(&LIMIT))
///     .layer(InnerLayer)
///     .service(service_fn(async |x: u32| Ok::<_, Infallible>(x)));
/// assert_eq!(service.ready().await.unwrap().call(1).await, Ok(1));
/// assert!(matches!(service.ready().await.unwrap().call(2).await, Err(Error::Limited(_))));
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LimiterLayer<L> {
    limit: L,
}

impl<L> LimiterLayer<One<L>>
where
    L: Deref<Target: Shared<Machine = Limiter>>,
{
    /// Limits all calls together.
    pub const fn new(limiter: L) -> Self {
        Self { limit: One(limiter) }
    }
}

impl<F> LimiterLayer<F> {
    /// Limits each call by what `check` says of its request: by user, by address, by cost.
    ///
    /// # Example
    /// ```
    /// use daur_std::core::reliability::limiter::Limited;
    /// use daur_std::reliability::keyed::limiter::{Config, KeyedLimiter};
    /// use daur_std::reliability::layers::LimiterLayer;
    ///
    /// let users: KeyedLimiter<str> = KeyedLimiter::try_new(Config::DEFAULT)?;
    /// let by_user = LimiterLayer::by(|user: &String| {
    ///     users.check(user).map_err(|refused| Limited { retry_at: refused.retry_at() })
    /// });
    /// # let _ = by_user;
    /// # Ok::<(), daur_std::reliability::keyed::limiter::ConfigError>(())
    /// ```
    pub const fn by<Req>(check: F) -> Self
    where
        F: Fn(&Req) -> Result<(), Limited>,
    {
        Self { limit: check }
    }
}

/// Says whether a request may pass: a closure of it, or [`One`] limiter for all.
pub trait Limit<Req> {
    /// Lets `request` pass, and counts it.
    ///
    /// # Errors
    /// [`Limited`] if it may not.
    fn check(&self, request: &Req) -> Result<(), Limited>;
}

impl<F: Fn(&Req) -> Result<(), Limited>, Req> Limit<Req> for F {
    fn check(&self, request: &Req) -> Result<(), Limited> {
        self(request)
    }
}

/// One limiter for all requests.
#[derive(Clone, Copy, Debug)]
pub struct One<L>(L);

impl<L, Req> Limit<Req> for One<L>
where
    L: Deref<Target: Shared<Machine = Limiter>>,
{
    fn check(&self, _request: &Req) -> Result<(), Limited> {
        self.0.with(Limiter::check)
    }
}

impl<S, L: Clone> Layer<S> for LimiterLayer<L> {
    type Service = LimiterService<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        LimiterService { inner, limit: self.limit.clone() }
    }
}

/// The service that a [`LimiterLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct LimiterService<S, L> {
    inner: S,
    limit: L,
}

impl<S, L, Req, E> Service<Req> for LimiterService<S, L>
where
    S: Service<Req, Error = Error<E>>,
    L: Limit<Req>,
{
    type Response = S::Response;
    type Error = Error<E>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.limit.check(&request) {
            Ok(()) => ResponseFuture::Passed { call: self.inner.call(request) },
            Err(limited) => ResponseFuture::Refused { limited },
        }
    }
}

pin_project! {
    /// Awaits the answer of a [`LimiterService`].
    #[project = Projection]
    pub enum ResponseFuture<F> {
        /// The service was called.
        #[doc(hidden)]
        Passed {
            #[pin]
            call: F,
        },
        /// It was not.
        #[doc(hidden)]
        Refused {
            limited: Limited,
        },
    }
}

impl<F: Future<Output = Result<T, Error<E>>>, T, E> Future for ResponseFuture<F> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Passed { call } => call.poll(cx),
            Projection::Refused { limited } => Poll::Ready(Err(Error::Limited(*limited))),
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
