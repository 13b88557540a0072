//! The layers for tower, each by its rules, and all of them together.

mod breaker;
mod bulkhead;
mod fallback;
mod limiter;
mod retry;
mod stack;
mod timeout;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use daur_core::time::{Clock, Duration};
use daur_std::clock::TokioClock;
use daur_std::reliability::layers::Error;
use tower::{Layer, Service, ServiceExt};

type Readiness = dyn Fn() -> Poll<Result<(), Error<&'static str>>> + Send + Sync;

/// A service that panics if it is called without having said that it is ready: its clones have not.
struct Strict<F> {
    answer: F,
    readiness: Arc<Readiness>,
    ready: bool,
}

fn strict<F>(answer: F) -> Strict<F> {
    strict_when(answer, || Poll::Ready(Ok(())))
}

fn strict_when<F>(
    answer: F,
    readiness: impl Fn() -> Poll<Result<(), Error<&'static str>>> + Send + Sync + 'static,
) -> Strict<F> {
    Strict { answer, readiness: Arc::new(readiness), ready: false }
}

impl<F: Clone> Clone for Strict<F> {
    fn clone(&self) -> Self {
        Self { answer: self.answer.clone(), readiness: Arc::clone(&self.readiness), ready: false }
    }
}

impl<F, A, Req, T> Service<Req> for Strict<F>
where
    F: FnMut(Req) -> A,
    A: Future<Output = Result<T, Error<&'static str>>>,
{
    type Response = T;
    type Error = Error<&'static str>;
    type Future = A;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ready = (self.readiness)();
        self.ready = matches!(ready, Poll::Ready(Ok(())));
        if ready.is_pending() {
            cx.waker().wake_by_ref();
        }
        ready
    }

    fn call(&mut self, request: Req) -> A {
        assert!(std::mem::take(&mut self.ready), "the service was called without having been asked");
        (self.answer)(request)
    }
}

const DOWN: Error<&str> = Error::Inner("down");

/// One call of a service that `layer` makes of `inner`, from the beginning.
async fn once<L, S, Req>(
    layer: L,
    inner: S,
    request: Req,
) -> Result<<L::Service as Service<Req>>::Response, <L::Service as Service<Req>>::Error>
where
    L: Layer<S>,
    L::Service: Service<Req>,
{
    layer.layer(inner).oneshot(request).await
}

/// One call of a service that is called again.
async fn call<S: Service<Req>, Req>(service: &mut S, request: Req) -> Result<S::Response, S::Error> {
    service.ready().await?.call(request).await
}

/// Whether `future` is ready when it is polled once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// The time that `future` takes, in tens of milliseconds: a timer of tokio's may go off a little late.
async fn timed<T>(future: impl Future<Output = T>) -> (T, u64) {
    let start = TokioClock.now();
    let value = future.await;
    (value, (TokioClock.now() - start).as_millis() / 10 * 10)
}

/// The value of a future that must not wait for anything.
async fn at_once<F: Future>(future: F) -> F::Output {
    match poll_once(pin!(future)).await {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

async fn sleep(length: Duration) {
    tokio::time::sleep(length.into()).await;
}

/// Tells when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
