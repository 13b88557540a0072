//! What an outcome means.

use daur_core::reliability::retry::Class;

use super::Error;

/// Says what an answer or an error of the service means: `None` is a success.
///
/// It sees the service's own outcomes only; what the layers' refusals and time limits mean is each
/// layer's rule. A closure `Fn(Result<&T, &E>) -> Option<Class>` is one: an HTTP answer of 503 is an
/// `Ok` to tower, but not to a breaker.
///
/// # Example
/// ```
/// use daur_std::core::reliability::retry::Class;
/// use daur_std::reliability::layers::Judge;
///
/// fn statuses(answer: Result<&u16, &std::io::Error>) -> Option<Class> {
///     match answer {
///         Ok(500..) | Err(_) => Some(Class::Transient),
///         Ok(400..) => Some(Class::Ignored),
///         Ok(_) => None,
///     }
/// }
/// assert_eq!(statuses.judge(Ok(&503)), Some(Class::Transient));
/// ```
pub trait Judge<T, E> {
    /// What `outcome` means.
    fn judge(&self, outcome: Result<&T, &E>) -> Option<Class>;
}

impl<F: Fn(Result<&T, &E>) -> Option<Class>, T, E> Judge<T, E> for F {
    fn judge(&self, outcome: Result<&T, &E>) -> Option<Class> {
        self(outcome)
    }
}

/// Judges every answer a success and every error a [`Class::Transient`] failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryError;

impl<T, E> Judge<T, E> for EveryError {
    fn judge(&self, outcome: Result<&T, &E>) -> Option<Class> {
        outcome.is_err().then_some(Class::Transient)
    }
}

/// Judges every answer a success and every error by a function of it.
#[derive(Clone, Copy, Debug)]
pub struct OfError<F>(pub F);

impl<F: Fn(&E) -> Class, T, E> Judge<T, E> for OfError<F> {
    fn judge(&self, outcome: Result<&T, &E>) -> Option<Class> {
        outcome.err().map(&self.0)
    }
}

/// What a breaker makes of `outcome`: a refusal from beneath says nothing about the service.
pub(super) fn for_breaker<T, E>(judge: &impl Judge<T, E>, outcome: Result<&T, &Error<E>>) -> Option<Class> {
    match outcome.map_err(Error::root) {
        Ok(answer) => judge.judge(Ok(answer)),
        Err(Error::Inner(error)) => judge.judge(Err(error)),
        Err(Error::TimedOut(_)) => Some(Class::Transient),
        Err(_) => Some(Class::Ignored),
    }
}
