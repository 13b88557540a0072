//! The argument `fallback`: who answers for a function that failed, and what it sees.

use std::collections::HashMap;

use daur_core::reliability::breaker::{Config, Open};
use daur_std::attributes::fallbacks;
use daur_std::reliability::breaker::SharedBreaker;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Error {
    Down,
    Refused,
    Both(&'static str, Box<Self>),
}

impl From<Open> for Error {
    fn from(_: Open) -> Self {
        Self::Refused
    }
}

#[daur_std::retry(max_attempts = 2, delay = "0ms", max_delay = "0ms", fallback = |error| match error {
    Error::Down => Ok(7),
    other => Err(other),
})]
fn closure_of_the_error(answer: Error) -> Result<u32, Error> {
    Err(answer.clone())
}

#[test]
fn a_closure_gives_a_value_for_one_error_and_another_error_on() {
    assert_eq!(closure_of_the_error(Error::Down), Ok(7));
    assert_eq!(closure_of_the_error(Error::Refused), Err(Error::Refused));
}

#[daur_std::retry(max_attempts = 1, fallback = |error, a, b: &Vec<u32>, c| match b.first() {
    Some(first) if error == Error::Down => Ok(a + first + u32::try_from(c.len()).map_err(|_| Error::Refused)?),
    _ => Err(Error::Both("no first", Box::new(error))),
})]
fn closure_of_everything(a: u32, b: Vec<u32>, c: &str) -> Result<u32, Error> {
    let _ = (a, &b, c);
    Err(Error::Down)
}

#[test]
fn a_closure_of_more_parameters_sees_the_arguments_and_may_tell_both_errors() {
    assert_eq!(closure_of_everything(1, vec![20], "four"), Ok(25));
    assert_eq!(closure_of_everything(1, Vec::new(), ""), Err(Error::Both("no first", Box::new(Error::Down))));
}

fn zero(_: Error) -> Result<u32, Error> {
    Ok(0)
}

fn length_of(error: Error, text: &str, more: &[u8], by: &u32) -> Result<u32, Error> {
    if error != Error::Down {
        return Err(error);
    }
    u32::try_from(text.len() + more.len()).map(|length| length * by).map_err(|_| Error::Refused)
}

#[daur_std::circuit_breaker(failure_threshold = 9, fallback = zero)]
fn path_of_the_error(text: &str, _: u8) -> Result<u32, Error> {
    text.parse().map_err(|_| Error::Down)
}

#[daur_std::circuit_breaker(failure_threshold = 9, fallback = length_of)]
fn path_of_everything(text: &str, more: &mut [u8], by: u32) -> Result<u32, Error> {
    more.fill(1);
    text.parse().map(|number: u32| number * by).map_err(|_| Error::Down)
}

#[test]
fn a_function_says_by_its_type_whether_it_wants_the_arguments() {
    assert_eq!((path_of_the_error("5", 1), path_of_the_error("five", 1)), (Ok(5), Ok(0)));
    assert_eq!((path_of_everything("5", &mut [0; 3], 2), path_of_everything("five", &mut [0; 3], 2)), (Ok(10), Ok(14)));
}

static BROKEN: SharedBreaker = SharedBreaker::new(Config { failures: 1, ..Config::DEFAULT });

/// Consumes its argument, which a closure of the error alone leaves it.
#[daur_std::circuit_breaker(breaker = BROKEN, fallback = |error| Ok(format!("{error:?}")))]
fn consumes(text: String) -> Result<String, Error> {
    drop(text);
    Err(Error::Down)
}

#[test]
fn a_refused_call_has_its_fallback_too() {
    assert_eq!(consumes("a".into()).unwrap(), "Down");
    assert_eq!(consumes("a".into()).unwrap(), "Refused");
}

/// What it knew when it last asked.
struct Prices {
    known: HashMap<&'static str, u32>,
}

impl Prices {
    #[daur_std::retry(max_attempts = 2, delay = "1ms", fallback = Self::known)]
    async fn price(&self, of: &str) -> Result<u32, Error> {
        tokio::task::yield_now().await;
        if of == "tea" { Ok(3) } else { Err(Error::Down) }
    }

    fn known(error: Error, this: &Self, of: &str) -> Result<u32, Error> {
        this.known.get(of).copied().ok_or(error)
    }

    /// `self` with its type in full is the same `self`.
    #[daur_std::retry(max_attempts = 1, fallback = Self::known)]
    #[expect(clippy::needless_arbitrary_self_type, reason = "that is what is tried here")]
    fn in_full(self: &Self, of: &str) -> Result<u32, Error> {
        if of == "tea" { Ok(3) } else { Err(Error::Down) }
    }

    #[daur_std::circuit_breaker(failure_threshold = 9, fallback = Self::asked_elsewhere)]
    async fn twice(&mut self, of: String) -> Result<u32, Error> {
        self.known.insert("asked", 1);
        Err::<u32, _>(Error::Down).map(|price| price + u32::from(of.is_empty()))
    }

    #[expect(clippy::ptr_arg, reason = "it is given a reference to the argument as it is")]
    async fn asked_elsewhere(error: Error, this: &Self, of: &String) -> Result<u32, Error> {
        tokio::task::yield_now().await;
        this.known.get(of.as_str()).map(|price| price * 2).ok_or(error)
    }

    #[daur_std::retry(max_attempts = 1, fallback = async |error: Error, this, of| {
        tokio::task::yield_now().await;
        if *of == 1 { Ok(this.known.len()) } else { Err(error) }
    })]
    async fn closure(&self, of: usize) -> Result<usize, Error> {
        Err(Error::Both("asked for", Box::new(Error::Down))).map(|()| of)
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_lends_itself_to_its_fallback_async_or_not() {
    let mut prices = Prices { known: HashMap::from([("coffee", 4)]) };
    assert_eq!((prices.price("tea").await, prices.price("coffee").await), (Ok(3), Ok(4)));
    assert_eq!(prices.price("milk").await, Err(Error::Down));
    assert_eq!((prices.in_full("tea"), prices.in_full("coffee")), (Ok(3), Ok(4)));
    assert_eq!(prices.twice("coffee".into()).await, Ok(8));
    assert_eq!(prices.twice("asked".into()).await, Ok(2), "it sees what the body has changed");
    assert!(matches!((prices.closure(1).await, prices.closure(2).await), (Ok(2), Err(Error::Both(..)))));
}

/// The fallback of the outer attribute sees what the inner one's has given.
#[daur_std::circuit_breaker(failure_threshold = 1, fallback = |error| Err(Error::Both("inner", Box::new(error))))]
#[daur_std::retry(max_attempts = 2, delay = "0ms", max_delay = "0ms", fallback = |error| {
    Err(Error::Both("outer", Box::new(error)))
})]
fn stacked() -> Result<(), Error> {
    Err(Error::Down)
}

#[test]
fn each_attribute_has_a_fallback_of_its_own() {
    let inner = Error::Both("inner", Box::new(Error::Refused));
    assert_eq!(stacked(), Err(Error::Both("outer", Box::new(inner))));
}

/// An error of which nobody knows how to show it, and generic at that.
#[daur_std::retry(max_attempts = 1, fallback = |_, value, _| Ok(value.clone()))]
fn generic<T: Clone, E>(value: T, error: E) -> Result<T, Option<E>>
where
    E: Copy,
{
    let _ = &value;
    Err(Some(error))
}

#[test]
fn a_generic_function_has_a_fallback_as_any_other() {
    assert_eq!(generic("a", 5), Ok("a"));
}

#[daur_std::circuit_breaker(fallback = |error| if error == Error::Down { Ok(()) } else { Err(error) })]
fn counted(answer: Result<(), Error>) -> Result<(), Error> {
    answer
}

#[test]
fn each_use_is_counted_by_the_functions_name_whatever_came_of_it() {
    let used = || fallbacks().into_iter().find(|used| used.function == concat!(module_path!(), "::counted"));
    assert_eq!((counted(Ok(())), used()), (Ok(()), None));
    assert_eq!((counted(Err(Error::Down)), counted(Err(Error::Refused))), (Ok(()), Err(Error::Refused)));
    assert_eq!(used().map(|used| used.used), Some(2));
}
