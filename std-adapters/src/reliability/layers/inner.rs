//! The innermost layer.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Error;

/// Turns a service's own error into [`Error::Inner`]: the innermost of these layers.
///
/// The others need it beneath them, so that they all speak one error.
///
/// # Cost
/// No bytes and no time: it moves the error.
#[derive(Clone, Copy, Debug, Default)]
pub struct InnerLayer;

impl<S> Layer<S> for InnerLayer {
    type Service = InnerService<S>;

    fn layer(&self, inner: S) -> InnerService<S> {
        InnerService { inner }
    }
}

/// The service that [`InnerLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct InnerService<S> {
    inner: S,
}

impl<S: Service<Req>, Req> Service<Req> for InnerService<S> {
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ResponseFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// Awaits the answer of an [`InnerService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for ResponseFuture<F> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map_err(Error::Inner)
    }
}
