//! An answer when the service gave none.

use std::fmt;
use std::future::{Ready, ready as at_once};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use daur_core::reliability::executor::{Execution, Failure};
use daur_core::reliability::fallback::Fallback;
use daur_core::shared::Shared;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Error;

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
/// 3. If the fallback fails too, [`Error::Fallback`] has both errors.
/// 4. Each use is counted, and each time the fallback failed too, over all clones; with the feature
///    `tracing` it is logged with its cause.
/// 5. The last good answer is remembered from every answer that passes, and given up to its greatest age.
/// 6. A service that fails to become ready stays so: that error passes.
///
/// # Cost
/// Two counters on the heap, once. A call carries what was kept of its request.
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
    used: AtomicU32,
    failed: AtomicU32,
}

impl<H> FallbackLayer<H> {
    fn handler(handler: H) -> Self {
        Self { shared: Arc::new(Parts { handler, used: AtomicU32::new(0), failed: AtomicU32::new(0) }) }
    }

    /// Copies out how often it was used.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            used: self.shared.used.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
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

/// Shows a [`FallbackLayer`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// How often it gave an answer.
    pub used: u32,
    /// How often it had none to give.
    pub failed: u32,
}

/// Answers in the service's place. Made by [`FallbackLayer`]'s constructors.
pub trait Handler<Req, T, E> {
    /// What is kept of a request while it is served.
    type Kept;
    /// Gives the answer.
    type Answer: Future<Output = Result<T, Error<E>>>;

    /// Keeps of `request` what the answer needs.
    fn keep(&self, request: &Req) -> Self::Kept;
    /// Sees an answer of the service pass.
    fn remember(&self, answer: &T);
    /// Answers after `error`.
    fn answer(&self, kept: Self::Kept, error: &Error<E>) -> Self::Answer;
}

/// A function of the error.
#[derive(Clone, Copy, Debug)]
pub struct ByError<F>(F);

impl<F, A, Req, T, E> Handler<Req, T, E> for ByError<F>
where
    F: Fn(&Error<E>) -> A,
    A: Future<Output = Result<T, Error<E>>>,
{
    type Kept = ();
    type Answer = A;

    fn keep(&self, _: &Req) {}

    fn remember(&self, _: &T) {}

    fn answer(&self, (): (), error: &Error<E>) -> A {
        self.0(error)
    }
}

/// A function of the error and a part of the request.
#[derive(Clone, Copy, Debug)]
pub struct ByRequest<G, F> {
    keep: G,
    answer: F,
}

impl<G, F, K, A, Req, T, E> Handler<Req, T, E> for ByRequest<G, F>
where
    G: Fn(&Req) -> K,
    F: Fn(K, &Error<E>) -> A,
    A: Future<Output = Result<T, Error<E>>>,
{
    type Kept = K;
    type Answer = A;

    fn keep(&self, request: &Req) -> K {
        (self.keep)(request)
    }

    fn remember(&self, _: &T) {}

    fn answer(&self, kept: K, error: &Error<E>) -> A {
        (self.answer)(kept, error)
    }
}

/// A [`Fallback`] of core.
#[derive(Clone, Copy, Debug)]
pub struct ByMachine<P>(P);

impl<P, Req, T, E> Handler<Req, T, E> for ByMachine<P>
where
    P: Deref<Target: Shared<Machine = Fallback<T, Error<E>>>>,
    T: Clone,
    E: Clone,
{
    type Kept = ();
    type Answer = Ready<Result<T, Error<E>>>;

    fn keep(&self, _: &Req) {}

    fn remember(&self, answer: &T) {
        self.0.with(|fallback, now| fallback.remember(answer, now));
    }

    fn answer(&self, (): (), error: &Error<E>) -> Self::Answer {
        let failed = Err(Failure::Error(error.clone()));
        todo!()
    }
}
