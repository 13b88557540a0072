//! [`FallbackLayer`].

use std::future::{pending, ready};
use std::sync::Arc;
use std::task::Poll;

use super::*;
use daur_core::reliability::breaker::Open;
use daur_core::reliability::executor::Failure;
use daur_core::reliability::fallback::{Fallback, Source};
use daur_core::time::Instant;
use daur_std::clock::ManualClock;
use daur_std::reliability::layers::{FallbackLayer, TimeoutLayer};
use daur_std::shared::StdShared;

type Outcome = Result<u32, Error<&'static str>>;

/// Gives the outcome that it is asked for.
fn as_asked() -> Strict<impl Fn(Outcome) -> std::future::Ready<Outcome> + Clone> {
    strict(ready)
}

#[tokio::test]
async fn rule_1_an_answer_of_the_service_passes() {
    let layer = FallbackLayer::new(|_: &Error<&str>| async { panic!("not asked") as Outcome });
    assert_eq!(once(layer.clone(), as_asked(), Ok(7)).await, Ok(7));
    assert_eq!((layer.snapshot().used, layer.snapshot().failed), (0, 0));
}

#[tokio::test]
async fn rule_2_the_fallback_sees_the_error_and_what_it_kept_of_the_request() {
    /// Cannot be cloned.
    struct Request {
        user: String,
    }
    let layer = FallbackLayer::seeing(
        |request: &Request| request.user.len(),
        |letters, error: &Error<&'static str>| {
            let error = error.inner().copied();
            async move {
                tokio::task::yield_now().await;
                Ok(format!("{letters} letters, since {error:?}"))
            }
        },
    );
    let failing = strict(|_: Request| ready(Err::<String, _>(DOWN)));
    let answer = once(layer, failing, Request { user: "ada".into() }).await;
    assert_eq!(answer.as_deref(), Ok("3 letters, since Some(\"down\")"));
}

#[tokio::test]
async fn rule_3_a_fallback_that_fails_too_tells_both_errors() {
    let layer = FallbackLayer::new(|_: &Error<&str>| ready(Err::<u32, _>(Error::Inner("down too"))));
    let error = once(layer.clone(), as_asked(), Err(DOWN)).await.unwrap_err();
    let Error::Fallback { first, second } = &error else { panic!("{error:?}") };
    assert_eq!((&**first, &**second), (&DOWN, &Error::Inner("down too")));
    assert_eq!((error.inner(), error.root()), (Some(&"down"), &DOWN));
    assert_eq!((layer.snapshot().used, layer.snapshot().failed), (0, 1));
}

#[tokio::test]
async fn rule_3_a_fallback_with_nothing_to_give_leaves_the_error() {
    let machine = Arc::new(StdShared::new(Fallback::new(Source::LastGood { max_age: Duration::from_secs(1) })));
    let layer = FallbackLayer::of(machine);
    assert_eq!(once(layer.clone(), as_asked(), Err(DOWN)).await, Err(DOWN));
    assert_eq!((layer.snapshot().used, layer.snapshot().failed), (0, 1));
}

#[tokio::test]
async fn rule_4_each_use_is_counted_by_its_cause_over_all_clones() {
    let layer = FallbackLayer::new(|error: &Error<&str>| {
        ready(if matches!(error, Error::TimedOut(_)) { Err(DOWN) } else { Ok(0) })
    });
    let (mut service, mut other) = (layer.layer(as_asked()), layer.clone().layer(as_asked()));
    let late = Error::TimedOut(Duration::from_secs(1));
    let open = Error::Open(Open { retry_at: Instant::from_secs(1) });
    assert_eq!(call(&mut service, Err(DOWN)).await, Ok(0));
    assert_eq!(call(&mut other, Err(DOWN)).await, Ok(0));
    assert_eq!(call(&mut other, Err(open)).await, Ok(0));
    assert!(call(&mut service.clone(), Err(late)).await.is_err());
    let counts = layer.snapshot();
    assert_eq!((counts.used, counts.failed), (3, 1));
    assert_eq!((counts.errors, counts.refusals, counts.timeouts), (2, 1, 1));
}

#[tokio::test]
async fn rule_5_the_last_good_answer_is_given_up_to_its_greatest_age() {
    let clock = ManualClock::new(Instant::from_secs(100));
    let source = Source::LastGood { max_age: Duration::from_secs(10) };
    let machine = Arc::new(StdShared::with_clock(Fallback::new(source), clock));
    let mut service = FallbackLayer::of(Arc::clone(&machine)).layer(as_asked());
    assert_eq!(call(&mut service, Ok(7)).await, Ok(7));
    machine.clock().set(Instant::from_secs(110));
    assert_eq!(call(&mut service, Err(DOWN)).await, Ok(7));
    machine.clock().set(Instant::from_secs(110) + Duration::from_nanos(1));
    assert_eq!(call(&mut service, Err(DOWN)).await, Err(DOWN));
    assert_eq!(call(&mut service, Ok(8)).await, Ok(8));
    assert_eq!(call(&mut service, Err(DOWN)).await, Ok(8));
}

#[tokio::test]
async fn rule_6_a_service_that_fails_to_become_ready_stays_so() {
    let dead = strict_when(|()| ready(Ok(1)), || Poll::Ready(Err(DOWN)));
    let layer = FallbackLayer::new(|_: &Error<&str>| ready(Ok(0)));
    assert_eq!(once(layer, dead, ()).await, Err(DOWN));
}

#[tokio::test]
async fn a_value_and_a_function_of_core_answer_too() {
    let value = Arc::new(StdShared::new(Fallback::new(Source::Value(20))));
    assert_eq!(once(FallbackLayer::of(value), as_asked(), Err(DOWN)).await, Ok(20));

    let of_failure = |failure: &Failure<Error<&'static str>>| match failure {
        Failure::Error(error) if error.inner() == Some(&"down") => Ok(21),
        _ => Err(Error::Inner("unknown")),
    };
    let function = Arc::new(StdShared::new(Fallback::new(Source::Function(of_failure))));
    assert_eq!(once(FallbackLayer::of(Arc::clone(&function)), as_asked(), Err(DOWN)).await, Ok(21));
    let late = Error::TimedOut(Duration::from_secs(1));
    let both = once(FallbackLayer::of(function), as_asked(), Err(late.clone())).await;
    assert_eq!(both, Err(Error::Fallback { first: Box::new(late), second: Box::new(Error::Inner("unknown")) }));
}

#[tokio::test(start_paused = true)]
async fn it_answers_for_the_layers_beneath_it() {
    let layers = (FallbackLayer::new(|_: &Error<&str>| ready(Ok(0))), TimeoutLayer::new(Duration::from_secs(1)));
    assert_eq!(once(layers, strict(|()| pending::<Outcome>()), ()).await, Ok(0));
}
