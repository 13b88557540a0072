//! The layers in any order, around and within tower's own, dropped after any poll.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use super::*;
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::reliability::retry::{Attempts, Jitter};
use daur_core::reliability::{breaker, bulkhead, retry};
use daur_core::shared::Shared;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::reliability::bulkhead::SharedBulkhead;
use daur_std::reliability::layers::{
    BreakerLayer, BulkheadLayer, FallbackLayer, InnerLayer, LimiterLayer, RetryLayer, TimeoutLayer,
};
use daur_std::shared::StdShared;
use tower::{BoxError, ServiceBuilder, service_fn};

static LIMITER: StdShared<Limiter> =
    StdShared::new(Limiter::new(limiter::Config { burst: 100_000, ..limiter::Config::DEFAULT }));
static BREAKER: SharedBreaker = SharedBreaker::new(breaker::Config::DEFAULT);

fn bulkhead() -> SharedBulkhead {
    SharedBulkhead::new(bulkhead::Config { max_concurrent: 2, max_waiting: 2, max_wait: None }).unwrap()
}

fn unneeded<E>(_: &Error<E>) -> std::future::Ready<Result<u32, Error<E>>> {
    panic!("nothing fails")
}

/// One layer over another, with tower's own between and beneath them, as a task of its own.
macro_rules! pairs {
    ($($above:expr => [$($beneath:expr),*];)*) => {
        $($(
            let service = ServiceBuilder::new()
                .layer($above)
                .concurrency_limit(1)
                .layer($beneath)
                .concurrency_limit(1)
                .layer(InnerLayer)
                .service(service_fn(async |x: u32| Ok::<_, Infallible>(x)));
            for x in 0..2 {
                assert_eq!(tokio::spawn(service.clone().oneshot(x)).await.unwrap(), Ok(x));
            }
        )*)*
    };
    ($($above:expr),*) => { pairs!(@ [$($above),*] [$($above),*]); };
    (@ [$($above:expr),*] $all:tt) => { $(pairs!(@@ $above, $all);)* };
    (@@ $above:expr, [$($beneath:expr),*]) => { pairs!($above => [$($beneath),*];); };
}

#[tokio::test(start_paused = true)]
async fn every_layer_goes_over_every_other() {
    pairs!(
        FallbackLayer::new(unneeded),
        LimiterLayer::new(&LIMITER),
        TimeoutLayer::new(Duration::from_secs(1)),
        RetryLayer::new(retry::Config::DEFAULT),
        BreakerLayer::new(&BREAKER),
        BulkheadLayer::new(bulkhead())
    );
}

#[tokio::test(start_paused = true)]
async fn every_layer_goes_over_a_buffer_and_beneath_one() {
    macro_rules! buffered {
        ($($layer:expr),*) => { $(
            let within = ServiceBuilder::new()
                .buffer(1)
                .layer($layer)
                .layer(InnerLayer)
                .service(service_fn(async |x: u32| Ok::<_, Infallible>(x)));
            let service = ServiceBuilder::new().layer($layer).layer(InnerLayer).service(within);
            let runs = [0, 1, 2].map(|x| tokio::spawn(service.clone().oneshot(x)));
            for (x, run) in (0..).zip(runs) {
                let answer: Result<u32, Error<BoxError>> = run.await.unwrap();
                assert_eq!(answer.unwrap(), x);
            }
        )* };
    }
    buffered!(
        FallbackLayer::new(unneeded),
        LimiterLayer::new(&LIMITER),
        TimeoutLayer::new(Duration::from_secs(1)),
        RetryLayer::new(retry::Config::DEFAULT),
        BreakerLayer::new(&BREAKER),
        BulkheadLayer::new(bulkhead())
    );
}

/// In line, in a call, in a wait between two, waiting for a breaker or for readiness: wherever it is dropped.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_poll_gives_everything_back() {
    const RETRY: retry::Config = retry::Config {
        max_attempts: Attempts::Limited(3),
        initial_delay: Duration::from_millis(500),
        strategy: retry::Strategy::Constant,
        jitter: Jitter::None,
        ..retry::Config::DEFAULT
    };
    let (mut polls, mut ended) = (0, false);
    while !ended {
        polls += 1;
        let budget = Arc::new(StdShared::new(Budget::new(budget::Config::DEFAULT)));
        let config =
            breaker::Config { failures: 2, recovery_timeout: Duration::from_secs(3), ..breaker::Config::DEFAULT };
        let breaker = Arc::new(SharedBreaker::of(breaker::Breaker::new(config), TokioClock));
        let config = bulkhead::Config { max_concurrent: 1, max_waiting: 4, max_wait: None };
        let bulkhead = SharedBulkhead::<4, TokioClock>::with_clock(config, TokioClock).unwrap();
        let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let service = {
            let calls = Arc::clone(&calls);
            ServiceBuilder::new()
                .layer(FallbackLayer::new(|_: &Error<&str>| ready(Ok(0))))
                .layer(TimeoutLayer::new(Duration::from_secs(60)))
                .layer(RetryLayer::new(RETRY).budget(Arc::clone(&budget)).refusal_wait(Duration::from_secs(30)))
                .layer(BreakerLayer::new(Arc::clone(&breaker)))
                .layer(BulkheadLayer::new(bulkhead.clone()))
                .layer(TimeoutLayer::new(Duration::from_secs(2)))
                .concurrency_limit(1)
                .service(strict(move |()| {
                    let nth = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                    async move {
                        sleep(Duration::from_millis(500)).await;
                        match nth {
                            1 => Err(DOWN),
                            2 => std::future::pending().await,
                            _ => Ok(nth),
                        }
                    }
                }))
        };
        let ahead = bulkhead.try_acquire().unwrap();
        let mut ahead = Some(ahead);
        let mut run = Box::pin(service.clone().oneshot(()));
        for poll in 0..polls {
            if let Poll::Ready(answer) = poll_once(run.as_mut()).await {
                assert_eq!(answer, Ok(3));
                ended = true;
                break;
            }
            if poll == 3 {
                ahead = None;
            }
            tokio::time::advance(std::time::Duration::from_millis(250)).await;
        }
        drop((run, ahead));
        let shown = bulkhead.snapshot();
        assert_eq!((shown.running, shown.waiting), (0, 0), "after {polls} polls");
        let made = calls.load(std::sync::atomic::Ordering::SeqCst).saturating_sub(1);
        let cost = if ended { 5 * (made - 1) } else { 5 * made };
        assert_eq!(budget.with(|budget, _| budget.snapshot().tokens), 500 - cost, "after {polls} polls");
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        calls.store(10, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(service.oneshot(()).await, Ok(11), "after {polls} polls");
    }
    assert!(polls > 20, "{polls}");
}
