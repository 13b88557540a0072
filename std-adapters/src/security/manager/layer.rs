//! A permission in front of any service of tower.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use daur_core::security::permission::Permissions;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Answer, Bearing, SecurityManager};

/// Lets only those requests reach a service whose token grants `needed`.
///
/// The request is a [`Bearing`], the response an [`Answer`]: requests and responses of axum are (feature `axum`).
///
/// # Rules
/// 1. A request that is refused does not reach the service.
/// 2. An admitted request is told whose it is before the service sees it.
/// 3. Readiness is the service's own.
///
/// # Cost
/// As [`SecurityManager::authorize`]; nothing on the heap but what the audit's sink needs.
///
/// # Errors
/// The service's own: a refusal is an answer.
///
/// # Example
/// ```
/// use std::convert::Infallible;
///
/// use daur_std::core::security::permission::Permissions;
/// use daur_std::core::security::policy::Policy;
/// use daur_std::core::security::token::Claims;
/// use daur_std::core::time::Instant;
/// use daur_std::security::manager::layer::RequireLayer;
/// use daur_std::security::manager::{Answer, Bearing, Denied, MemoryUsers, Recent, SecurityManager};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// struct Job {
///     token: String,
///     user: String,
/// }
///
/// impl Bearing for Job {
///     fn token(&self) -> Option<&str> {
///         Some(&self.token)
///     }
///
///     fn admitted(&mut self, claims: Claims) {
///         self.user = claims.sub.to_string();
///     }
/// }
///
/// #[derive(Debug, PartialEq)]
/// enum Done {
///     For(String),
///     Denied(&'static str),
/// }
///
/// impl Answer for Done {
///     fn denied(denied: Denied, _now: Instant) -> Self {
///         Self::Denied(denied.code())
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let policy = Policy { iterations: 1_000, ..Policy::DEFAULT };
/// let users = MemoryUsers::new();
/// users.add("alice", "correct horse", 1_000, Permissions::WRITE).unwrap();
/// let security = SecurityManager::builder(policy, &[7; 32], users, Recent::new(9)).build().unwrap();
///
/// let service = ServiceBuilder::new()
///     .layer(RequireLayer::new(security.clone(), Permissions::WRITE))
///     .service(service_fn(async |job: Job| Ok::<_, Infallible>(Done::For(job.user))));
/// let job = |token: &str| Job { token: token.to_owned(), user: String::new() };
///
/// let issued = security.login_blocking("alice", "correct horse", "").unwrap();
/// assert_eq!(service.clone().oneshot(job(&issued.token)).await, Ok(Done::For("alice".to_owned())));
/// assert_eq!(service.clone().oneshot(job("forged")).await, Ok(Done::Denied("unauthenticated")));
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct RequireLayer {
    manager: SecurityManager,
    needed: Permissions,
}

impl RequireLayer {
    /// Asks `manager` for `needed`; for [`Permissions::NONE`], only that somebody has logged in.
    #[must_use]
    pub const fn new(manager: SecurityManager, needed: Permissions) -> Self {
        Self { manager, needed }
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = RequireService<S>;

    fn layer(&self, inner: S) -> RequireService<S> {
        RequireService { inner, manager: self.manager.clone(), needed: self.needed }
    }
}

/// The service that a [`RequireLayer`] makes.
#[derive(Clone, Debug)]
pub struct RequireService<S> {
    inner: S,
    manager: SecurityManager,
    needed: Permissions,
}

impl<S, Req> Service<Req> for RequireService<S>
where
    S: Service<Req>,
    Req: Bearing,
    S::Response: Answer,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let token = request.token().unwrap_or_default();
        match self.manager.authorize(token, self.needed, request.source()) {
            Ok(claims) => {
                request.admitted(claims);
                ResponseFuture::Passed { call: self.inner.call(request) }
            }
            Err(denied) => ResponseFuture::Denied { answer: Some(S::Response::denied(denied, self.manager.now())) },
        }
    }
}

pin_project! {
    /// Awaits the answer of a [`RequireService`].
    #[project = Projection]
    pub enum ResponseFuture<F, R> {
        /// The service was called.
        #[doc(hidden)]
        Passed {
            #[pin]
            call: F,
        },
        /// It was not.
        #[doc(hidden)]
        Denied {
            answer: Option<R>,
        },
    }
}

impl<F: Future<Output = Result<R, E>>, R, E> Future for ResponseFuture<F, R> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projection::Passed { call } => call.poll(cx),
            // Like any future that is polled after its end, one without its answer never ends.
            Projection::Denied { answer } => answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer))),
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
