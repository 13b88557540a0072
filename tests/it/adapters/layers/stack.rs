//! All the layers in the documented order.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use daur_core::reliability::breaker::{self, Breaker, Consecutive, State};
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::bulkhead;
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::reliability::retry::{self, Attempts, GaveUp, Reason};
use daur_core::rng::Rng;
use daur_core::shared::Shared;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::reliability::bulkhead::SharedBulkhead;
use daur_std::reliability::layers::{
    BreakerLayer, BulkheadLayer, FallbackLayer, InnerLayer, LimiterLayer, RetryLayer, TimeoutLayer,
};
use daur_std::shared::StdShared;
use tower::{BoxError, ServiceBuilder, service_fn};

const RETRY: retry::Config = retry::Config {
    max_attempts: Attempts::Limited(4),
    initial_delay: Duration::from_millis(50),
    max_delay: Duration::from_millis(400),
    ..retry::Config::DEFAULT
};
const BREAKER: breaker::Config =
    breaker::Config { failures: 5, recovery_timeout: Duration::from_secs(1), probes: 2, ..breaker::Config::DEFAULT };
const BULKHEAD: bulkhead::Config =
    bulkhead::Config { max_concurrent: 3, max_waiting: 2, max_wait: Some(Duration::from_millis(300)) };
const LIMITER: limiter::Config = limiter::Config { rate: 20, period: Duration::from_secs(1), burst: 10 };

/// The machines, by tokio's clock.
#[derive(Clone)]
struct Machines {
    limiter: Arc<StdShared<Limiter, TokioClock>>,
    budget: Arc<StdShared<Budget, TokioClock>>,
    breaker: Arc<SharedBreaker<Consecutive, TokioClock>>,
    bulkhead: SharedBulkhead<4, TokioClock>,
}

impl Machines {
    fn new() -> Self {
        Self {
            limiter: Arc::new(StdShared::with_clock(Limiter::new(LIMITER), TokioClock)),
            budget: Arc::new(StdShared::with_clock(Budget::new(budget::Config::DEFAULT), TokioClock)),
            breaker: Arc::new(SharedBreaker::of(Breaker::new(BREAKER), TokioClock)),
            bulkhead: SharedBulkhead::with_clock(BULKHEAD, TokioClock).unwrap(),
        }
    }
}

/// What the service does with a call.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Answer,
    Fail,
    Hang,
    Panic,
}

/// Counts what goes on in the service itself.
#[derive(Default)]
struct Inside {
    now: AtomicU32,
    most: AtomicU32,
    calls: AtomicU32,
}

/// The whole stack around a service that takes 20 ms for its deeds.
macro_rules! stack {
    ($machines:expr, $inside:expr) => {{
        let (machines, inside): (Machines, Arc<Inside>) = ($machines.clone(), Arc::clone(&$inside));
        ServiceBuilder::new()
            .layer(LimiterLayer::new(machines.limiter))
            .layer(TimeoutLayer::new(Duration::from_secs(5)))
            .layer(RetryLayer::new(RETRY).budget(machines.budget).refusal_wait(Duration::from_millis(1_500)))
            .layer(BreakerLayer::new(machines.breaker))
            .layer(BulkheadLayer::new(machines.bulkhead))
            .layer(TimeoutLayer::new(Duration::from_millis(200)))
            .layer(InnerLayer)
            .service(service_fn(move |deeds: Arc<Vec<Deed>>| {
                let inside = Arc::clone(&inside);
                async move {
                    let nth = inside.calls.fetch_add(1, Ordering::SeqCst) as usize;
                    inside.most.fetch_max(inside.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let _inside = OnDrop(|| {
                        inside.now.fetch_sub(1, Ordering::SeqCst);
                    });
                    sleep(Duration::from_millis(20)).await;
                    match deeds[nth % deeds.len()] {
                        Deed::Answer => Ok(nth),
                        Deed::Fail => Err(io::Error::other("down")),
                        Deed::Hang => std::future::pending().await,
                        Deed::Panic => panic!("the service's"),
                    }
                }
            }))
    }};
}

#[tokio::test(start_paused = true)]
async fn the_layers_compose_in_the_documented_order_and_can_be_spawned() {
    let (machines, inside) = (Machines::new(), Arc::new(Inside::default()));
    let service = FallbackLayer::new(|_: &Error<io::Error>| async { Ok(usize::MAX) }).layer(stack!(machines, inside));
    let deeds = Arc::new(vec![Deed::Fail, Deed::Hang, Deed::Answer]);
    let run = tokio::spawn(service.clone().oneshot(deeds));
    assert_eq!(run.await.unwrap().unwrap(), 2);
    assert_eq!(inside.calls.load(Ordering::SeqCst), 3);

    machines.breaker.force_open();
    let refused = tokio::spawn(service.oneshot(Arc::new(vec![Deed::Answer])));
    assert_eq!(refused.await.unwrap().unwrap(), usize::MAX);
    assert_eq!(inside.calls.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn towers_own_layers_go_around_it() {
    let (machines, inside) = (Machines::new(), Arc::new(Inside::default()));
    let service = ServiceBuilder::new()
        .buffer(4)
        .concurrency_limit(2)
        .timeout(std::time::Duration::from_secs(9))
        .service(stack!(machines, inside));
    let answer: Result<usize, BoxError> = service.clone().oneshot(Arc::new(vec![Deed::Answer])).await;
    assert_eq!(answer.unwrap(), 0);
    let error = service.oneshot(Arc::new(vec![Deed::Fail])).await.unwrap_err();
    assert!(error.downcast_ref::<Error<io::Error>>().is_some_and(|error| error.inner().is_some()));
}

#[test]
fn an_error_tells_its_whole_chain_once() {
    let down = Error::Inner(io::Error::other("connection refused"));
    let gave_up = GaveUp { error: down, reason: Reason::Exhausted, attempts: 3 };
    let error = Error::Fallback {
        first: Box::new(Error::GaveUp(Box::new(gave_up))),
        second: Box::new(Error::TimedOut(Duration::from_secs(2))),
    };
    let mut chain = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push(error.to_string());
        cause = error.source();
    }
    assert_eq!(
        chain,
        [
            "the fallback failed too (the call took longer than 2s)",
            "gave up after 3 attempts: all attempts were used",
            "the service failed",
            "connection refused",
        ]
    );
    assert_eq!(error.into_inner().unwrap().to_string(), "connection refused");
}

/// Whatever the service does and whoever is dropped when: the bulkhead is never overfull, all is given
/// back, and the stack works again as soon as the service does.
#[tokio::test(start_paused = true)]
async fn any_mix_of_outcomes_and_cancellations_gives_everything_back() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let (machines, inside) = (Machines::new(), Arc::new(Inside::default()));
        let service = stack!(machines, inside);
        let deeds: Arc<Vec<_>> = Arc::new(
            (0..97)
                .map(|_| match rng.at_most(9) {
                    0..=4 => Deed::Answer,
                    5..=7 => Deed::Fail,
                    8 => Deed::Hang,
                    _ => Deed::Panic,
                })
                .collect(),
        );
        let mut tasks = Vec::new();
        for _ in 0..60 {
            let run = service.clone().oneshot(Arc::clone(&deeds));
            let patience = std::time::Duration::from_millis(rng.at_most(800));
            tasks.push(tokio::spawn(async move { drop(tokio::time::timeout(patience, run).await) }));
            sleep(Duration::from_millis(rng.at_most(60))).await;
        }
        for task in tasks {
            // Some have panicked, as they were told.
            let _ = task.await;
        }
        let most = inside.most.load(Ordering::SeqCst);
        assert!(most <= BULKHEAD.max_concurrent, "seed {seed}: {most} at once");
        assert_eq!(inside.now.load(Ordering::SeqCst), 0, "seed {seed}");
        let bulkhead = machines.bulkhead.snapshot();
        assert_eq!((bulkhead.running, bulkhead.waiting), (0, 0), "seed {seed}");
        let budget = machines.budget.with(|budget, _| budget.snapshot());
        assert!(budget.tokens <= budget.capacity);

        sleep(BREAKER.recovery_timeout).await;
        let works = Arc::new(vec![Deed::Answer]);
        for _ in 0..2 {
            assert!(call(&mut service.clone(), Arc::clone(&works)).await.is_ok(), "seed {seed}");
        }
        assert_eq!(machines.breaker.state(), State::Closed, "seed {seed}");
    }
}
