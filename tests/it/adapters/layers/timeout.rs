//! [`TimeoutLayer`].

use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use super::*;
use daur_core::reliability::timeout::ConfigError;
use daur_std::reliability::layers::TimeoutLayer;

const LIMIT: Duration = Duration::from_millis(100);
const LAYER: TimeoutLayer = TimeoutLayer::new(LIMIT);

#[tokio::test(start_paused = true)]
async fn rule_1_a_call_that_is_not_over_with_the_limit_ends_with_an_error() {
    let (answer, took) = timed(once(LAYER, strict(|()| pending::<Result<(), _>>()), ())).await;
    assert_eq!((answer, took), (Err(Error::TimedOut(LIMIT)), 100));
    assert_eq!(once(LAYER, strict(|x| ready(Ok(x))), 7).await, Ok(7));
    assert_eq!(once(LAYER, strict(|()| ready(Err::<(), _>(DOWN))), ()).await, Err(DOWN));
}

#[tokio::test(start_paused = true)]
async fn rule_2_an_answer_ready_together_with_the_limit_is_given() {
    let slow = strict(|x: u32| async move {
        sleep(LIMIT).await;
        Ok(x)
    });
    assert_eq!(once(LAYER, slow, 7).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn rule_3_the_call_is_dropped_before_the_error_is_told() {
    static DROPPED: AtomicBool = AtomicBool::new(false);
    let holding = strict(|()| async {
        let _held = OnDrop(|| DROPPED.store(true, Ordering::SeqCst));
        pending::<Result<(), _>>().await
    });
    let mut service = LAYER.layer(holding);
    let mut future = Box::pin(service.ready().await.unwrap().call(()));
    assert_eq!(future.as_mut().await, Err(Error::TimedOut(LIMIT)));
    // The layer's future itself is still there.
    assert!(DROPPED.load(Ordering::SeqCst));
    drop(future);
}

#[tokio::test(start_paused = true)]
async fn rule_4_waiting_for_readiness_is_not_counted() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let mut service = LAYER.layer(strict_when(
        |x: u32| async move {
            sleep(LIMIT - Duration::from_millis(1)).await;
            Ok(x)
        },
        || if ASKED.fetch_add(1, Ordering::SeqCst) == 0 { Poll::Pending } else { Poll::Ready(Ok(())) },
    ));
    let ready = service.ready();
    tokio::time::advance((LIMIT + LIMIT).into()).await;
    assert_eq!(ready.await.unwrap().call(7).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn the_inner_of_two_limits_is_the_attempts_and_the_outer_the_whole_s() {
    let both = (TimeoutLayer::new(LIMIT + LIMIT), LAYER);
    let answer = once(both, strict(|()| pending::<Result<(), _>>()), ()).await;
    assert_eq!(answer, Err(Error::TimedOut(LIMIT)));
}

#[test]
fn a_limit_of_nothing_is_refused() {
    assert_eq!(TimeoutLayer::try_new(Duration::ZERO), Err(ConfigError::NoTotal));
    assert_eq!(TimeoutLayer::try_new(LIMIT), Ok(LAYER));
}
