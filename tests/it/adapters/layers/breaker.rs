//! [`BreakerLayer`].

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use super::*;
use daur_core::reliability::breaker::{Breaker, Config, Open, State};
use daur_core::reliability::limiter::Limited;
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;
use daur_core::time::Instant;
use daur_std::clock::ManualClock;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::reliability::layers::{BreakerLayer, TimeoutLayer};

type Upstream = Arc<SharedBreaker<daur_core::reliability::breaker::Consecutive, &'static ManualClock>>;

const START: Instant = Instant::from_secs(100);
const WAIT: Duration = Duration::from_secs(5);

/// Opens on two failures in a row, for 5 s.
fn upstream() -> (Upstream, &'static ManualClock) {
    let clock: &ManualClock = Box::leak(Box::new(ManualClock::new(START)));
    let config = Config { failures: 2, recovery_timeout: WAIT, ..Config::DEFAULT };
    (Arc::new(SharedBreaker::of(Breaker::new(config), clock)), clock)
}

/// The same, open since [`START`].
async fn opened() -> (Upstream, &'static ManualClock) {
    let (breaker, clock) = upstream();
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(failing());
    for _ in 0..2 {
        assert_eq!(call(&mut service, ()).await, Err(DOWN));
    }
    assert_eq!(breaker.state(), State::Open);
    (breaker, clock)
}

fn failing() -> Strict<impl Fn(()) -> std::future::Ready<Result<(), Error<&'static str>>> + Clone> {
    strict(|()| ready(Err(DOWN)))
}

const REFUSED: Error<&str> = Error::Open(Open { retry_at: Instant::from_secs(105) });

#[tokio::test]
async fn rule_1_clones_share_the_breaker_and_the_refused_do_not_reach_the_service() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let (breaker, clock) = upstream();
    let mut service = BreakerLayer::new(breaker).layer(strict(|()| {
        CALLS.fetch_add(1, Ordering::SeqCst);
        ready(Err::<(), _>(DOWN))
    }));
    let mut other = service.clone();
    assert_eq!(call(&mut service, ()).await, Err(DOWN));
    assert_eq!(call(&mut other, ()).await, Err(DOWN));
    for _ in 0..3 {
        assert_eq!(call(&mut service, ()).await, Err(REFUSED));
        assert_eq!(call(&mut other.clone(), ()).await, Err(REFUSED));
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), 2);
    clock.set(REFUSED.retry_at().unwrap() - Duration::from_nanos(1));
    assert_eq!(call(&mut service, ()).await, Err(REFUSED));
    clock.set(REFUSED.retry_at().unwrap());
    assert_eq!(call(&mut service, ()).await, Err(DOWN), "a probe");
}

#[tokio::test]
async fn rule_2_an_open_breaker_refuses_without_waiting_for_a_service_that_is_never_ready() {
    let (breaker, clock) = opened().await;
    let never = strict_when(|()| ready(Ok(())), || Poll::Pending);
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(never);
    assert_eq!(at_once(call(&mut service, ())).await, Err(REFUSED));
    // Asked while open, called when it no longer is: the service has not been asked and is not called.
    at_once(service.ready()).await.unwrap();
    clock.set(START + WAIT);
    assert_eq!(at_once(service.call(())).await, Err(REFUSED));
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(poll_once(std::pin::pin!(service.ready())).await.is_pending(), "now it asks");
}

#[tokio::test]
async fn rule_2_a_breaker_forced_open_refuses_for_ever() {
    let (breaker, _) = upstream();
    breaker.force_open();
    let refused = once(BreakerLayer::new(breaker), failing(), ()).await.unwrap_err();
    assert_eq!((&refused, refused.retry_at()), (&Error::Open(Open { retry_at: Instant::MAX }), None));
}

#[tokio::test]
async fn rule_3_the_judge_says_what_counts() {
    let (breaker, _) = upstream();
    let mut service = BreakerLayer::new(Arc::clone(&breaker))
        .judge(|answer: Result<&u16, &&str>| match answer {
            Ok(500..) | Err(_) => Some(Class::Transient),
            Ok(400..) => Some(Class::Ignored),
            Ok(_) => None,
        })
        .layer(strict(|status: u16| ready(Ok(status))));
    for status in [503, 200, 503, 404, 404] {
        assert_eq!(call(&mut service, status).await, Ok(status));
        assert_eq!(breaker.state(), State::Closed);
    }
    assert_eq!(call(&mut service, 500).await, Ok(500));
    assert_eq!(breaker.state(), State::Open, "the one that was ignored is no success either");
}

#[tokio::test]
async fn rule_3_a_classifier_of_errors_is_enough_where_every_answer_is_a_success() {
    let (breaker, _) = upstream();
    let classify = |error: &&str| if *error == "your fault" { Class::Ignored } else { Class::Permanent };
    let layer = BreakerLayer::new(Arc::clone(&breaker)).classify(classify);
    let mut service = layer.layer(strict(|error| ready(Err::<(), _>(Error::Inner(error)))));
    for _ in 0..5 {
        call(&mut service, "your fault").await.unwrap_err();
    }
    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..2 {
        call(&mut service, "mine").await.unwrap_err();
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_time_limit_beneath_is_a_failure_and_a_refusal_is_not() {
    let (breaker, _) = upstream();
    let limit = Duration::from_millis(10);
    let layers = (BreakerLayer::new(Arc::clone(&breaker)), TimeoutLayer::new(limit));
    let mut slow = layers.layer(strict(|()| pending::<Result<(), _>>()));
    for _ in 0..2 {
        assert_eq!(call(&mut slow, ()).await, Err(Error::TimedOut(limit)));
    }
    assert_eq!(breaker.state(), State::Open);

    breaker.reset();
    let limited = Error::Limited(Limited { retry_at: START });
    let mut limiting = BreakerLayer::new(Arc::clone(&breaker)).layer(strict(|()| ready(Err::<(), _>(limited.clone()))));
    for _ in 0..5 {
        assert_eq!(call(&mut limiting, ()).await, Err(limited.clone()));
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn rule_5_a_dropped_future_gives_the_probe_back_and_records_nothing() {
    let (breaker, clock) = opened().await;
    clock.set(START + WAIT);
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(strict(|()| pending::<Result<(), _>>()));
    {
        let mut probe = Box::pin(service.ready().await.unwrap().call(()));
        assert!(poll_once(probe.as_mut()).await.is_pending());
        assert!(breaker.admit().is_err(), "the probe is out");
    }
    {
        let _never_polled = service.ready().await.unwrap().call(());
        assert!(breaker.admit().is_err(), "the probe is out");
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(once(BreakerLayer::new(Arc::clone(&breaker)), strict(|()| ready(Ok(()))), ()).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn rule_5_a_panic_gives_the_probe_back() {
    let (breaker, clock) = opened().await;
    clock.set(START + WAIT);
    let panicking = strict(|()| async { panic!("the service's") as Result<(), Error<&'static str>> });
    let task = tokio::spawn(once(BreakerLayer::new(Arc::clone(&breaker)), panicking, ()));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(breaker.admit().is_ok());
}

#[tokio::test]
async fn rule_6_a_service_that_fails_to_become_ready_has_failed() {
    let (breaker, _) = upstream();
    let dead = strict_when(|()| ready(Ok(())), || Poll::Ready(Err(DOWN)));
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(dead);
    for _ in 0..2 {
        assert_eq!(service.ready().await.err(), Some(DOWN));
    }
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(call(&mut service, ()).await, Err(REFUSED));
}

#[tokio::test]
async fn known_bug_a_ready_service_that_is_not_called_holds_no_probe() {
    let (breaker, clock) = opened().await;
    clock.set(START + WAIT);
    let mut idle = BreakerLayer::new(Arc::clone(&breaker)).layer(strict(|()| ready(Ok(()))));
    idle.ready().await.unwrap();
    assert_eq!(call(&mut idle.clone(), ()).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_bug_half_open_admits_one_of_two_tasks() {
    for _ in 0..200 {
        let (breaker, clock) = opened().await;
        clock.set(START + WAIT);
        let service = BreakerLayer::new(Arc::clone(&breaker)).layer(strict(|()| pending::<Result<(), _>>()));
        let [a, b] = [service.clone(), service].map(|mut service| {
            tokio::spawn(async move {
                let future = service.ready().await.unwrap().call(());
                let mut future = Box::pin(future);
                let refused = poll_once(future.as_mut()).await.is_ready();
                // Kept, so that the place stays taken.
                (refused, future)
            })
        });
        let ((a, _kept), (b, _kept_too)) = (a.await.unwrap(), b.await.unwrap());
        assert_eq!(u32::from(a) + u32::from(b), 1);
    }
}

#[tokio::test]
async fn known_bug_ignored_probes_do_not_wedge_it() {
    let (breaker, clock) = opened().await;
    clock.set(START + WAIT);
    let layer = BreakerLayer::new(Arc::clone(&breaker)).classify(|_: &&str| Class::Ignored);
    for _ in 0..10 {
        assert_eq!(once(layer.clone(), failing(), ()).await, Err(DOWN));
    }
    assert_eq!(once(layer, strict(|()| ready(Ok(()))), ()).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn known_bug_a_timeout_around_it_destroys_no_permit() {
    let (breaker, clock) = opened().await;
    clock.set(START + WAIT);
    let limit = Duration::from_millis(10);
    let layers = (TimeoutLayer::new(limit), BreakerLayer::new(Arc::clone(&breaker)));
    for _ in 0..10 {
        let answer = once(layers.clone(), strict(|()| pending::<Result<(), _>>()), ()).await;
        assert_eq!(answer, Err(Error::TimedOut(limit)));
    }
    assert_eq!(once(layers, strict(|()| ready(Ok(()))), ()).await, Ok(()));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test]
async fn known_bug_a_late_success_from_before_the_opening_does_not_close_it() {
    let (breaker, _) = upstream();
    let (send, receive) = tokio::sync::oneshot::channel::<()>();
    let mut receive = Some(receive);
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(strict(move |()| {
        let receive = receive.take().unwrap();
        async move { receive.await.map_err(|_| DOWN) }
    }));
    let early = service.ready().await.unwrap().call(());
    for _ in 0..2 {
        let permit = breaker.try_acquire().unwrap();
        breaker.with(|breaker, now| breaker.on_failure(permit, now));
    }
    send.send(()).unwrap();
    assert_eq!(early.await, Ok(()));
    assert_eq!((breaker.state(), breaker.snapshot().late), (State::Open, 1));
}

#[tokio::test(start_paused = true)]
async fn slow_answers_open_a_breaker_of_a_mode_that_times_calls() {
    use daur_core::reliability::breaker::{ModeConfig, Opens, SlowCalls, Window};
    use daur_std::reliability::breaker::HostMode;

    let opens = Opens::CountWindow(Window { calls: 10, failure_pct: 50, min_calls: 4 });
    let slow = Some(SlowCalls { slow_call: Duration::from_millis(100), slow_pct: 75 });
    let mode = ModeConfig { opens, slow, ..ModeConfig::DEFAULT };
    let machine = Breaker::<HostMode>::try_any(Config::DEFAULT, mode, 7).unwrap();
    let breaker = Arc::new(SharedBreaker::of(machine, TokioClock));
    let mut service = BreakerLayer::new(Arc::clone(&breaker)).layer(strict(|millis| async move {
        sleep(Duration::from_millis(millis)).await;
        Ok(())
    }));
    for millis in [10, 200, 300] {
        assert_eq!(call(&mut service, millis).await, Ok(()));
        assert_eq!(breaker.state(), State::Closed);
    }
    assert_eq!(call(&mut service, 200).await, Ok(()));
    assert_eq!(breaker.state(), State::Open);
}
