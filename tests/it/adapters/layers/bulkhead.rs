//! [`BulkheadLayer`].

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use super::*;
use daur_core::reliability::bulkhead::{Config, Refused};
use daur_std::reliability::bulkhead::SharedBulkhead;
use daur_std::reliability::layers::BulkheadLayer;

type Bulkhead = SharedBulkhead<4, TokioClock>;

fn bulkhead(max_concurrent: u32, max_waiting: u32) -> Bulkhead {
    let config = Config { max_concurrent, max_waiting, max_wait: Some(Duration::from_millis(100)) };
    SharedBulkhead::with_clock(config, TokioClock).unwrap()
}

fn busy() -> Strict<impl Fn(u32) -> std::future::Pending<Result<u32, Error<&'static str>>> + Clone> {
    strict(|_| pending())
}

#[tokio::test(start_paused = true)]
async fn rule_1_no_more_than_so_many_are_in_the_service() {
    let inside = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let service = {
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        BulkheadLayer::new(bulkhead(2, 4)).layer(strict(move |x: u32| {
            let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
            async move {
                most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _inside = OnDrop(|| {
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
                sleep(Duration::from_millis(10)).await;
                Ok(x)
            }
        }))
    };
    let calls = (0..6).map(|x| tokio::spawn(service.clone().oneshot(x)));
    for (x, task) in (0..).zip(calls.collect::<Vec<_>>()) {
        assert_eq!(task.await.unwrap(), Ok(x));
    }
    assert_eq!((most.load(Ordering::SeqCst), inside.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_2_calls_get_their_places_in_the_order_of_their_first_poll() {
    let bulkhead = bulkhead(1, 4);
    let order = std::sync::Mutex::new(Vec::new());
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(strict(|x: u32| {
        order.lock().unwrap().push(x);
        ready(Ok(x))
    }));
    let place = bulkhead.try_acquire().unwrap();
    let mut calls: Vec<_> = (0..4).map(|x| Box::pin(service.call(x))).collect();
    for first in [2, 0, 3, 1] {
        assert!(poll_once(calls[first].as_mut()).await.is_pending());
    }
    drop(place);
    // Whoever is asked first, it is the next one's turn.
    let mut done = [false; 4];
    while done.contains(&false) {
        for (call, done) in calls.iter_mut().zip(&mut done) {
            *done = *done || poll_once(call.as_mut()).await.is_ready();
        }
    }
    assert_eq!(*order.lock().unwrap(), [2, 0, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn rule_3_only_with_a_place_it_asks_whether_the_service_is_ready() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let bulkhead = bulkhead(1, 1);
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(strict_when(
        |x: u32| ready(Ok(x)),
        || if ASKED.fetch_add(1, Ordering::SeqCst) < 3 { Poll::Pending } else { Poll::Ready(Ok(())) },
    ));
    at_once(service.ready()).await.unwrap();
    let place = bulkhead.try_acquire().unwrap();
    let mut call = pin!(service.call(7));
    assert!(poll_once(call.as_mut()).await.is_pending());
    assert_eq!(ASKED.load(Ordering::SeqCst), 0);
    drop(place);
    assert_eq!(call.await, Ok(7));
    assert_eq!(ASKED.load(Ordering::SeqCst), 4);
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_dropped_future_gives_its_place_back_or_leaves_the_line() {
    let bulkhead = bulkhead(1, 1);
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(busy());
    let mut first = Box::pin(service.call(1));
    let mut second = Box::pin(service.call(2));
    assert!(poll_once(first.as_mut()).await.is_pending());
    assert!(poll_once(second.as_mut()).await.is_pending());
    assert_eq!((bulkhead.snapshot().running, bulkhead.snapshot().waiting), (1, 1));
    drop(second);
    assert_eq!(bulkhead.snapshot().waiting, 0);
    drop(first);
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn rule_4_the_call_is_gone_before_its_place_is_given_back() {
    let bulkhead = bulkhead(1, 0);
    let seen = {
        let bulkhead = bulkhead.clone();
        move || assert_eq!(bulkhead.snapshot().running, 1)
    };
    let holding = strict(move |ends: bool| {
        let seen = OnDrop(seen.clone());
        async move {
            let _seen = seen;
            if ends { Ok(()) } else { pending().await }
        }
    });
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(holding);
    let mut dropped = Box::pin(service.call(false));
    assert!(poll_once(dropped.as_mut()).await.is_pending());
    drop(dropped);
    assert_eq!(bulkhead.snapshot().running, 0);
    service.call(true).await.unwrap();
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_panic_gives_the_place_back() {
    let bulkhead = bulkhead(1, 0);
    let panicking = strict(|()| async { panic!("the service's") as Result<(), Error<&'static str>> });
    let task = tokio::spawn(once(BulkheadLayer::new(bulkhead.clone()), panicking, ()));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(bulkhead.snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn rule_5_a_call_that_gets_no_place_is_told_why() {
    let bulkhead = bulkhead(1, 1);
    let mut service = BulkheadLayer::new(bulkhead.clone()).layer(busy());
    let mut running = Box::pin(service.call(1));
    assert!(poll_once(running.as_mut()).await.is_pending());
    let mut waiting = Box::pin(service.call(2));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    let refused = at_once(service.call(3)).await.unwrap_err();
    assert!(matches!(refused, Error::Full(Refused::Full { .. })) && refused.is_refusal());
    let (answer, took) = timed(waiting).await;
    assert!(matches!(answer, Err(Error::Full(Refused::TimedOut))), "{answer:?}");
    assert_eq!(took, 100);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_gives_the_place_back() {
    let bulkhead = bulkhead(1, 0);
    let dead = strict_when(|()| ready(Ok(())), || Poll::Ready(Err(DOWN)));
    assert_eq!(once(BulkheadLayer::new(bulkhead.clone()), dead, ()).await, Err(DOWN));
    assert_eq!(bulkhead.snapshot().running, 0);
}
