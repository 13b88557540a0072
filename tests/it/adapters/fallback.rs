//! The host's fallbacks: their rules by number.

use std::future::pending;
use std::sync::Arc;

use daur_core::reliability::executor::{Cause, Execution, Failure};
use daur_core::reliability::fallback::{AddError, Source};
use daur_core::reliability::retry::Reason;
use daur_core::time::Duration;
use daur_std::reliability::fallback::{Config, FallbackHandler, SharedFallback, fallback_handler};

const CAUSE: Cause = Cause::Retry(Reason::Exhausted);

fn failed(error: &'static str) -> Execution<String, &'static str> {
    Execution { result: Err(Failure::Error(error)), cause: Some(CAUSE), ..Execution::of_value(String::new()) }
}

/// The call of these tests: fails for an empty name.
async fn greet(name: &str) -> Result<String, &'static str> {
    if name.is_empty() { Err("nobody") } else { Ok(format!("hello {name}")) }
}

fn handler() -> FallbackHandler {
    FallbackHandler::default()
}

#[tokio::test]
async fn rule_1_a_name_exists_once_and_places_are_limited() {
    let handler = FallbackHandler::new(Config { max_fallbacks: 2 });
    assert_eq!(handler.register_value::<i32, (), ()>("a", 1), Ok(()));
    assert_eq!(handler.register_value::<u8, (), ()>("a", 1), Err(AddError::Duplicate), "of whatever type");
    assert_eq!(handler.register_value::<u8, (), ()>(&"x".repeat(25), 1), Err(AddError::NameTooLong));
    assert_eq!(handler.register_value::<u8, (), ()>("b", 1), Ok(()));
    assert_eq!(handler.register_value::<u8, (), ()>("c", 1), Err(AddError::Full));
    assert!(handler.unregister("a") && !handler.unregister("a"));
    assert_eq!(handler.register_value::<u8, (), ()>("c", 1), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_success_is_left_as_it_is_and_remembered() {
    let handler = handler();
    handler.register_last_good::<String, &'static str, str>("greet", Duration::from_secs(10)).expect("room");
    let first = handler.execute_with_fallback("greet", "", greet).await;
    assert_eq!((first.success(), first.fallback_used), (false, false), "nothing is known yet");
    let good = handler.execute_with_fallback("greet", "Ada", greet).await;
    assert_eq!((good.result.as_deref(), good.fallback_used), (Ok("hello Ada"), false));
    let saved = handler.execute_with_fallback("greet", "", greet).await;
    assert_eq!((saved.result.as_deref(), saved.fallback_used), (Ok("hello Ada"), true));
    tokio::time::advance(std::time::Duration::from_secs(4)).await;
    let fallback = handler.by_name::<String, &'static str, str>("greet").expect("registered");
    let (value, age) = fallback.last_good().expect("still good");
    assert_eq!((value.as_str(), age.as_secs()), ("hello Ada", 4));
    tokio::time::advance(std::time::Duration::from_secs(7)).await;
    assert!(!handler.execute_with_fallback("greet", "", greet).await.success(), "too old");
}

#[tokio::test(start_paused = true)]
async fn rule_3_a_fallback_sees_failure_and_arguments_and_may_await() {
    let handler = handler();
    let make = |failure: &Failure<&'static str>, args: &(String, u32)| -> String {
        let Failure::Error(error) = failure else { return "no error of its own".to_owned() };
        format!("{error}: {} x {}", args.0, args.1)
    };
    handler
        .register_fallback("awaits", move |failure, args| {
            Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                Ok(make(failure, args))
            })
        })
        .expect("room");
    handler.register_fn("does not", move |failure, args| Ok(make(failure, args))).expect("room");
    let args = ("symbol".to_owned(), 3_u32);
    for name in ["awaits", "does not"] {
        let run = handler.apply(name, failed("down"), &args).await;
        assert_eq!((run.result.as_deref(), run.cause), (Ok("down: symbol x 3"), Some(CAUSE)));
        assert!(run.fallback_used);
    }
}

#[tokio::test]
async fn rule_4_a_fallback_that_fails_leaves_both_errors() {
    let handler = handler();
    handler
        .register_fallback("greet", |_: &Failure<&'static str>, _: &str| {
            Box::pin(async { Err::<String, _>("the spare too") })
        })
        .expect("room");
    let lost = handler.execute_with_fallback("greet", "", greet).await;
    assert_eq!(lost.result, Err(Failure::Error("nobody")));
    assert_eq!((lost.fallback_error, lost.fallback_used), (Some("the spare too"), false));
}

#[tokio::test]
async fn rule_5_each_use_is_counted_by_its_cause() {
    let handler = handler();
    handler.register_value::<String, &'static str, ()>("spare", "old".to_owned()).expect("room");
    let late = Execution { result: Err(Failure::TimedOut), cause: Some(Cause::TimedOut), ..failed("") };
    let _ = handler.apply("spare", failed("down"), &()).await;
    let _ = handler.apply("spare", late, &()).await;
    let [named] = handler.snapshots()[..] else { panic!("one fallback") };
    assert_eq!(named.name, "spare");
    assert_eq!((named.counts.used, named.counts.errors, named.counts.timeouts), (2, 1, 1));
}

#[tokio::test]
async fn rule_6_an_unknown_name_or_type_leaves_the_call_as_it_is() {
    let handler = handler();
    handler.register_value::<u8, &'static str, ()>("number", 7).expect("room");
    for name in ["nobody", "number"] {
        assert_eq!(handler.apply(name, failed("down"), &()).await, failed("down"));
    }
    assert_eq!(handler.unknown(), 2);
    assert!(handler.by_name::<u8, &'static str, ()>("number").is_some());
}

#[tokio::test(start_paused = true)]
async fn rule_7_dropped_while_its_fallback_is_awaited_a_call_counts_nothing() {
    let fallback: SharedFallback<String, &'static str> = SharedFallback::awaiting(|_, ()| Box::pin(pending()));
    let limit = std::time::Duration::from_secs(1);
    assert!(tokio::time::timeout(limit, fallback.apply(failed("down"), &())).await.is_err());
    assert_eq!((fallback.snapshot().used, fallback.snapshot().failed), (0, 0));
}

#[tokio::test]
async fn a_call_with_a_fallback_can_be_spawned_and_the_process_has_one_handler() {
    let source = Source::<String, &'static str, str>::Value("hello whoever".to_owned());
    fallback_handler().register("spawned", SharedFallback::new(source)).expect("room");
    let tasks =
        (0..8).map(|_| tokio::spawn(async { fallback_handler().execute_with_fallback("spawned", "", greet).await }));
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.expect("no panic").result.as_deref(), Ok("hello whoever"));
    }
    fn is_shared<T: Send + Sync>(_: &T) {}
    is_shared(&Arc::new(FallbackHandler::default()));
}

/// A stream, a response: nobody can clone it.
#[derive(Debug, PartialEq)]
struct Stream(u32);

#[tokio::test]
async fn what_a_function_makes_need_not_be_cloneable() {
    let failed = || Execution { result: Err(Failure::Error("down")), ..Execution::of_value(Stream(0)) };
    let alone = SharedFallback::function(|_: &Failure<&'static str>, by: &u32| Ok(Stream(7 * by)));
    assert_eq!(alone.apply(failed(), &3).await.result, Ok(Stream(21)));
    assert_eq!(alone.apply(Execution::of_value(Stream(1)), &3).await.result, Ok(Stream(1)));
    assert_eq!((alone.snapshot().used, alone.snapshot().errors), (1, 1));

    let handler = handler();
    let make = |_: &Failure<&'static str>, by: &u32| Ok::<_, &'static str>(Stream(*by));
    handler.register_fn("stream", make).expect("room");
    let run = handler.execute_with_fallback("stream", &5, async |_: &u32| Err::<Stream, _>("down")).await;
    assert_eq!((run.result, run.cause), (Ok(Stream(5)), Some(Cause::Retry(Reason::Exhausted))));
}

#[test]
fn what_a_removed_fallback_holds_may_ask_for_the_handler_as_it_is_dropped() {
    struct Asks;
    impl Drop for Asks {
        fn drop(&mut self) {
            assert!(fallback_handler().by_name::<(), (), ()>("asks").is_none());
        }
    }
    let asks = Asks;
    let make = move |_: &Failure<()>, (): &()| {
        let _ = &asks;
        Ok(())
    };
    fallback_handler().register_fn("asks", make).expect("room");
    assert!(fallback_handler().unregister("asks"), "and it has come back");
}
