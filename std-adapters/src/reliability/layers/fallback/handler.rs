//! Where a fallback's answer comes from.

use std::future::Pending;
use std::ops::Deref;

use daur_core::reliability::breaker::Open;
use daur_core::reliability::executor::{Execution, Failure};
use daur_core::reliability::fallback::Fallback;
use daur_core::shared::Shared;
use daur_core::time::Duration;

use super::Error;

/// Keeps of a request what the answer needs.
pub trait Keep<Req> {
    type Kept;

    fn keep(&self, request: &Req) -> Self::Kept;
}

/// Answers in the service's place.
pub trait Handler<K, T, E> {
    type Answer: Future<Output = Result<T, Error<E>>>;

    /// An answer of the service passes.
    fn remember(&self, answer: &T);

    /// The service failed with `first`.
    fn begin(&self, kept: K, first: Error<E>) -> Begun<Self::Answer, T, E>;
}

/// What a handler does at once.
pub enum Begun<A, T, E> {
    /// It awaits the answer.
    Later { answer: A, first: Error<E> },
    /// It has it.
    Value(T),
    /// It has none, for a reason or without one.
    Nothing { first: Error<E>, second: Option<Error<E>> },
}

/// A function of the error.
#[derive(Clone, Copy, Debug)]
pub struct ByError<F>(pub(super) F);

impl<F, Req> Keep<Req> for ByError<F> {
    type Kept = ();

    fn keep(&self, _: &Req) {}
}

impl<F, A, T, E> Handler<(), T, E> for ByError<F>
where
    F: Fn(&Error<E>) -> A,
    A: Future<Output = Result<T, Error<E>>>,
{
    type Answer = A;

    fn remember(&self, _: &T) {}

    fn begin(&self, (): (), first: Error<E>) -> Begun<A, T, E> {
        Begun::Later { answer: self.0(&first), first }
    }
}

/// A function of the error and of what was kept of the request.
#[derive(Clone, Copy, Debug)]
pub struct ByRequest<G, F> {
    pub(super) keep: G,
    pub(super) answer: F,
}

impl<G: Fn(&Req) -> K, F, Req, K> Keep<Req> for ByRequest<G, F> {
    type Kept = K;

    fn keep(&self, request: &Req) -> K {
        (self.keep)(request)
    }
}

impl<G, F, K, A, T, E> Handler<K, T, E> for ByRequest<G, F>
where
    F: Fn(K, &Error<E>) -> A,
    A: Future<Output = Result<T, Error<E>>>,
{
    type Answer = A;

    fn remember(&self, _: &T) {}

    fn begin(&self, kept: K, first: Error<E>) -> Begun<A, T, E> {
        Begun::Later { answer: (self.answer)(kept, &first), first }
    }
}

/// A [`Fallback`] of core.
#[derive(Clone, Copy, Debug)]
pub struct ByMachine<P>(pub(super) P);

impl<P, Req> Keep<Req> for ByMachine<P> {
    type Kept = ();

    fn keep(&self, _: &Req) {}
}

impl<P, T, E> Handler<(), T, E> for ByMachine<P>
where
    P: Deref<Target: Shared<Machine = Fallback<T, Error<E>>>>,
    T: Clone,
{
    /// None is ever awaited.
    type Answer = Pending<Result<T, Error<E>>>;

    fn remember(&self, answer: &T) {
        self.0.with(|fallback, now| fallback.remember(answer, now));
    }

    fn begin(&self, (): (), first: Error<E>) -> Begun<Self::Answer, T, E> {
        let failed = Execution::of_failure(Failure::Error(first));
        let Execution { result, fallback_error, .. } = self.0.with(|fallback, now| fallback.apply(failed, now));
        match result {
            Ok(value) => Begun::Value(value),
            Err(failure) => Begun::Nothing { first: back(failure), second: fallback_error },
        }
    }
}

/// The error that went into a failed run, from it.
fn back<E>(failure: Failure<Error<E>>) -> Error<E> {
    match failure {
        Failure::Error(error) => error,
        Failure::Open { retry_at } => Error::Open(Open { retry_at }),
        // None of the others goes in.
        _ => Error::TimedOut(Duration::ZERO),
    }
}
