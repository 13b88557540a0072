//! Notifications on hosts: the rules, threads, and a naive model beside them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use daur_core::services::notify::matches;
use daur_core::time::UnixTime;
use daur_std::error::Error;
use daur_std::services::notify::{
    Config, Lagged, Listener, Notifier, NotifyError, RecvError, Rejected, SubscribeError, Subscription, TopicError,
    TryRecvError, notification_manager,
};
use futures_core::Stream;
use proptest::prelude::*;

/// Nothing told.
const NONE: Vec<u64> = Vec::new();

fn small(capacity: usize, history: usize) -> Notifier<u64> {
    Notifier::new(Config { capacity, history, ..Config::DEFAULT }).unwrap()
}

/// Everything that a stream has to tell now.
fn all(stream: &mut Subscription<u64>) -> Vec<Result<u64, TryRecvError>> {
    let mut told = Vec::new();
    loop {
        match stream.try_recv().map(|notification| *notification.payload) {
            Err(TryRecvError::Empty | TryRecvError::Closed) => return told,
            other => told.push(other),
        }
    }
}

fn history(notifier: &Notifier<u64>, pattern: &str, limit: usize) -> Vec<u64> {
    notifier.notifications(pattern, limit).into_iter().map(|notification| notification.payload).collect()
}

/// A callback that keeps all payloads.
fn keeper(notifier: &Notifier<u64>, pattern: &str) -> (Listener<u64>, Arc<Mutex<Vec<u64>>>) {
    let kept: Arc<Mutex<Vec<u64>>> = Arc::default();
    let into = Arc::clone(&kept);
    let listener =
        notifier.subscribe(pattern, move |notification| into.lock().unwrap().push(notification.payload)).unwrap();
    (listener, kept)
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl Woken {
    fn times(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn rule_1_each_gets_what_it_subscribed_to_since_once_and_in_order() {
    let notifier = small(64, 8);
    notifier.notify("a.x", 0).unwrap();
    let mut exact = notifier.stream("a.x").unwrap();
    let mut level = notifier.stream("a.*").unwrap();
    let mut rest = notifier.stream("a.>").unwrap();
    let (_listener, called) = keeper(&notifier, "a.*");
    for (topic, payload, subscribers) in [("a.x", 1, 4), ("a.y", 2, 3), ("a", 3, 0), ("a.y.z", 4, 1), ("a.x", 5, 4)] {
        let sent = notifier.notify_at(topic, payload, Some(UnixTime::from_secs(payload))).unwrap();
        assert_eq!((sent.number, sent.subscribers), (payload, subscribers), "{topic}");
    }
    assert_eq!((exact.waiting(), level.waiting(), rest.waiting()), (2, 3, 4));
    let first = exact.try_recv().unwrap();
    assert_eq!((&**first.topic, first.number, first.at), ("a.x", 1, Some(UnixTime::from_secs(1))));
    assert_eq!(all(&mut exact), [Ok(5)]);
    assert_eq!(all(&mut level), [Ok(1), Ok(2), Ok(5)]);
    assert_eq!(all(&mut rest), [Ok(1), Ok(2), Ok(4), Ok(5)]);
    assert_eq!(*called.lock().unwrap(), [1, 2, 5]);
    let shown = notifier.snapshot();
    assert_eq!((shown.sent, shown.unheard, shown.delivered, shown.called, shown.waiting), (6, 2, 9, 3, 0));
    assert_eq!((shown.subscribers, shown.topics), (4, 4));
}

#[test]
fn rule_1_streams_and_callbacks_of_eight_threads_miss_nothing() {
    const THREADS: u64 = 8;
    const EACH: u64 = 2_000;
    let notifier = small(128, 16);
    let calls = Arc::new(AtomicU64::new(0));
    let (counter, sum) = (Arc::clone(&calls), Arc::new(AtomicU64::new(0)));
    let into = Arc::clone(&sum);
    let _listener = notifier
        .subscribe("t.*", move |notification| {
            counter.fetch_add(1, Ordering::Relaxed);
            into.fetch_add(notification.payload, Ordering::Relaxed);
        })
        .unwrap();
    let patterns = ["t.*", "t.3", ">", "t.*", "*.3", "t.>"];
    let streams: Vec<_> = patterns.iter().map(|pattern| notifier.stream(pattern).unwrap()).collect();
    let start = Barrier::new(THREADS as usize + patterns.len());
    let mut accounts = Vec::new();
    thread::scope(|scope| {
        let read = |mut stream: Subscription<u64>| {
            start.wait();
            // Each reads to the end, at whatever pace its thread gets.
            let (mut read, mut lagged, mut last) = (0_u64, 0, None);
            loop {
                match stream.try_recv() {
                    Ok(notification) => {
                        assert!(matches(&stars(notification.topic), notification.topic));
                        assert!(last.is_none_or(|last| last < notification.number), "in order, and none twice");
                        last = Some(notification.number);
                        read += 1;
                    }
                    Err(TryRecvError::Lagged(n)) => lagged += n,
                    Err(TryRecvError::Empty) => thread::yield_now(),
                    Err(TryRecvError::Closed) => return (stream.pattern().to_owned(), read, lagged),
                }
            }
        };
        let readers: Vec<_> = streams.into_iter().map(|stream| scope.spawn(move || read(stream))).collect();
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (notifier, start) = (notifier.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    for payload in 0..EACH {
                        notifier.notify(&format!("t.{thread}"), payload).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let shown = notifier.snapshot();
        assert_eq!((shown.sent, shown.called, shown.unheard), (THREADS * EACH, THREADS * EACH, 0));
        drop(notifier);
        accounts.extend(readers.into_iter().map(|reader| reader.join().unwrap()));
    });
    for (pattern, read, lagged) in accounts {
        let sent = if pattern.ends_with('3') { EACH } else { THREADS * EACH };
        assert_eq!(read + lagged, sent, "{pattern}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), THREADS * EACH);
    assert_eq!(sum.load(Ordering::Relaxed), THREADS * EACH * (EACH - 1) / 2);
}

/// The pattern of all topics with as many levels.
fn stars(topic: &str) -> String {
    vec!["*"; topic.split('.').count()].join(".")
}

#[test]
fn rule_2_with_a_capacity_of_four_and_ten_notifications_six_are_told_as_lagged() {
    for pattern in ["t", "*"] {
        for history in [0, 3, 100] {
            let notifier = small(4, history);
            let mut slow = notifier.stream(pattern).unwrap();
            let mut quick = notifier.stream(pattern).unwrap();
            for payload in 0..10 {
                notifier.notify("t", payload).unwrap();
                assert_eq!(all(&mut quick), [Ok(payload)], "nobody waits for the slow one");
            }
            assert_eq!(slow.waiting(), 4);
            let shown = notifier.snapshot();
            assert_eq!((shown.delivered, shown.lagged, shown.waiting), (10, 6, 4));
            assert_eq!(all(&mut slow), [Err(TryRecvError::Lagged(6)), Ok(6), Ok(7), Ok(8), Ok(9)]);
            let shown = notifier.snapshot();
            assert_eq!((shown.delivered, shown.lagged, shown.waiting), (14, 6, 0));
            // It stays subscribed, and lags again.
            for payload in 10..15 {
                notifier.notify("t", payload).unwrap();
            }
            assert_eq!(all(&mut slow), [Err(TryRecvError::Lagged(1)), Ok(11), Ok(12), Ok(13), Ok(14)]);
        }
    }
}

#[test]
fn rule_2_a_stream_that_is_never_read_holds_no_more_than_its_capacity() {
    let notifier: Notifier<Arc<()>> = Notifier::new(Config { capacity: 8, history: 8, ..Config::DEFAULT }).unwrap();
    let mut stuck = notifier.stream("t").unwrap();
    let payload = Arc::new(());
    notifier.notify("t", Arc::clone(&payload)).unwrap();
    // From here on it holds the chunk in which it is.
    stuck.try_recv().unwrap();
    for _ in 0..10_000 {
        notifier.notify("t", Arc::clone(&payload)).unwrap();
    }
    // What is kept, the chunk that is filled, and the one of the stream.
    assert!(Arc::strong_count(&payload) <= 1 + 8 + 8 + 8, "{}", Arc::strong_count(&payload));
    drop(stuck);
    drop(notifier);
    assert_eq!(Arc::strong_count(&payload), 1);
}

#[test]
fn rule_3_three_without_a_subscriber_are_all_in_the_history() {
    let notifier = small(4, 5);
    for payload in 1..=3 {
        notifier.notify("user.login", payload).unwrap();
    }
    let kept = notifier.notifications("user.login", 10);
    let figures: Vec<_> = kept.iter().map(|one| (one.number, &*one.topic, one.payload)).collect();
    assert_eq!(figures, [(0, "user.login", 1), (1, "user.login", 2), (2, "user.login", 3)]);
    assert!(kept.iter().all(|one| one.at.is_some_and(|at| at > UnixTime::from_secs(1_577_836_800))));

    // A busy topic pushes out nothing of others; who has read what does not matter.
    let mut reader = notifier.stream(">").unwrap();
    for payload in 100..1_100 {
        notifier.notify("busy", payload).unwrap();
        let _ = reader.try_recv();
    }
    assert_eq!(history(&notifier, "user.login", 10), [1, 2, 3]);
    assert_eq!(history(&notifier, "busy", 10), [1_095, 1_096, 1_097, 1_098, 1_099], "five of each are kept");
    assert_eq!(history(&notifier, ">", 4), [1_096, 1_097, 1_098, 1_099]);
    assert_eq!(history(&notifier, ">", 7), [2, 3, 1_095, 1_096, 1_097, 1_098, 1_099], "the latest of all, in order");
    assert_eq!((history(&notifier, "user", 9), history(&notifier, "a..b", 9)), (NONE, NONE));
    assert_eq!(notifier.topics().iter().map(|topic| &**topic).collect::<Vec<_>>(), ["busy", "user.login"]);

    let none = small(4, 0);
    let first = none.notify("t", 1).unwrap();
    let mut reader = none.stream("t").unwrap();
    none.notify("t", 2).unwrap();
    assert_eq!((first.subscribers, all(&mut reader), history(&none, "t", 9)), (0, vec![Ok(2)], NONE));
    assert_eq!(none.snapshot().unheard, 1);
}

#[test]
fn rule_3_beyond_the_topics_that_which_was_notified_least_recently_is_forgotten() {
    let notifier: Notifier<u64> = Notifier::new(Config { topics: 3, ..Config::DEFAULT }).unwrap();
    let mut reader = notifier.stream("first").unwrap();
    for (topic, payload) in [("first", 1), ("second", 2), ("third", 3), ("second", 4), ("fourth", 5)] {
        notifier.notify(topic, payload).unwrap();
    }
    // The first has a reader, so the third had to go.
    assert_eq!(history(&notifier, ">", 9), [1, 2, 4, 5]);
    assert_eq!((notifier.snapshot().topics, notifier.snapshot().topics_forgotten), (3, 1));
    let _second = notifier.stream("second").unwrap();
    let _fourth = notifier.stream("fourth").unwrap();
    let rejected = Rejected { payload: 6, error: NotifyError::Full };
    assert_eq!(notifier.notify("fifth", 6), Err(rejected));
    assert_eq!(notifier.stream("fifth").unwrap_err(), SubscribeError::Full);
    assert_eq!(all(&mut reader), [Ok(1)]);
    drop(reader);
    notifier.notify("fifth", 7).unwrap();
    assert_eq!((history(&notifier, "first", 9), history(&notifier, "fifth", 9)), (NONE, vec![7]));
    assert_eq!(notifier.snapshot().refused, 2);
}

#[test]
fn rule_4_a_callback_that_panics_is_counted_and_the_others_are_called() {
    /// Throws once more when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("again"));
        }
    }
    let notifier = small(4, 4);
    let (_before, first) = keeper(&notifier, "t");
    let _bad = notifier.subscribe("t", |_| std::panic::resume_unwind(Box::new("a callback's"))).unwrap();
    let _worse = notifier.subscribe("t", |_| std::panic::resume_unwind(Box::new(Bomb))).unwrap();
    let (_after, last) = keeper(&notifier, "*");
    let mut stream = notifier.stream("t").unwrap();
    for payload in 0..3 {
        assert_eq!(notifier.notify("t", payload).unwrap().subscribers, 5);
    }
    assert_eq!((first.lock().unwrap().clone(), last.lock().unwrap().clone()), (vec![0, 1, 2], vec![0, 1, 2]));
    assert_eq!(all(&mut stream), [Ok(0), Ok(1), Ok(2)]);
    let shown = notifier.snapshot();
    assert_eq!((shown.called, shown.panics, shown.cut_off), (12, 6, 0));
}

#[test]
fn rule_5_what_a_callback_sends_is_delivered_after_the_one_under_way() {
    let notifier = small(64, 64);
    let again = notifier.clone();
    let _echo = notifier
        .subscribe("ask", move |asked| {
            again.notify("answer", asked.payload * 10).unwrap();
        })
        .unwrap();
    let (_all, told) = keeper(&notifier, ">");
    notifier.notify("ask", 1).unwrap();
    notifier.notify("ask", 2).unwrap();
    assert_eq!(*told.lock().unwrap(), [1, 10, 2, 20], "each question is told before its answer");

    // One that answers itself for ever is cut, at the depth, and only its calls are.
    let shallow: Notifier<u64> = Notifier::new(Config { depth: 3, ..Config::DEFAULT }).unwrap();
    let mirror = shallow.clone();
    let _loop = shallow
        .subscribe("echo", move |heard| {
            mirror.notify("echo", heard.payload + 1).unwrap();
        })
        .unwrap();
    let mut stream = shallow.stream("echo").unwrap();
    shallow.notify("echo", 0).unwrap();
    assert_eq!(all(&mut stream), [Ok(0), Ok(1), Ok(2), Ok(3), Ok(4)]);
    let shown = shallow.snapshot();
    assert_eq!((shown.called, shown.cut_off), (4, 1));
    shallow.notify("echo", 100).unwrap();
    assert_eq!(shallow.snapshot().called, 8, "and the next one begins anew");
}

#[test]
fn rule_5_callbacks_that_multiply_are_cut_at_a_thousand_that_wait() {
    let notifier: Notifier<u64> = Notifier::new(Config { depth: 1_024, history: 1, ..Config::DEFAULT }).unwrap();
    let again = notifier.clone();
    let _many = notifier
        .subscribe("seed", move |heard| {
            for n in 0..2_000 {
                again.notify("grown", heard.payload + n).unwrap();
            }
        })
        .unwrap();
    let (_listener, told) = keeper(&notifier, "grown");
    notifier.notify("seed", 0).unwrap();
    assert_eq!(*told.lock().unwrap(), (0..1_024).collect::<Vec<_>>());
    assert_eq!((notifier.snapshot().sent, notifier.snapshot().cut_off), (2_001, 976));
}

#[test]
fn rule_5_a_callback_may_unsubscribe_itself_and_others_and_subscribe() {
    let notifier = small(16, 16);
    let own: Arc<Mutex<Vec<Listener<u64>>>> = Arc::default();
    let calls = Arc::new(AtomicU32::new(0));
    let (mine, counter, source) = (Arc::clone(&own), Arc::clone(&calls), notifier.clone());
    let listener = notifier
        .subscribe("t", move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            // Itself, and the one that would be called next.
            let gone = std::mem::take(&mut *mine.lock().unwrap());
            drop(gone);
            let heir = Arc::clone(&counter);
            let _stream = source.stream("t").unwrap();
            source
                .subscribe("t", move |_| {
                    heir.fetch_add(100, Ordering::Relaxed);
                })
                .unwrap()
                .detach();
        })
        .unwrap();
    let (next, told) = keeper(&notifier, "t");
    own.lock().unwrap().extend([listener, next]);
    notifier.notify("t", 1).unwrap();
    assert_eq!((calls.load(Ordering::Relaxed), told.lock().unwrap().len()), (1, 0));
    notifier.notify("t", 2).unwrap();
    assert_eq!((calls.load(Ordering::Relaxed), told.lock().unwrap().len()), (101, 0));
    assert_eq!(notifier.snapshot().subscribers, 1);
}

#[test]
fn rule_5_two_notifiers_that_answer_each_other_come_to_an_end() {
    let (ping, pong) = (small(4, 4), small(4, 4));
    let (to_pong, to_ping) = (pong.clone(), ping.clone());
    let _there = ping.subscribe("t", move |n| assert!(to_pong.notify("t", n.payload + 1).is_ok())).unwrap();
    let _back = pong.subscribe("t", move |n| assert!(to_ping.notify("t", n.payload + 1).is_ok())).unwrap();
    ping.notify("t", 0).unwrap();
    let (ping, pong) = (ping.snapshot(), pong.snapshot());
    assert_eq!((ping.called + pong.called, ping.cut_off + pong.cut_off), (17, 1));
}

#[test]
fn rule_5_payloads_and_callbacks_that_notify_when_they_are_dropped_do_not_lock_up() {
    /// Says once that it has gone.
    #[derive(Debug)]
    struct Last(Mutex<Option<Notifier<Self>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(notifier) = self.0.get_mut().unwrap().take() {
                let _ = notifier.notify("gone", Self(Mutex::new(None)));
            }
        }
    }
    let notifier: Notifier<Last> =
        Notifier::new(Config { capacity: 1, history: 1, topics: 2, ..Config::DEFAULT }).unwrap();
    let count = |notifier: &Notifier<Last>| notifier.snapshot().sent;
    for _ in 0..20 {
        notifier.notify("t", Last(Mutex::new(Some(notifier.clone())))).unwrap();
    }
    // Those in the history are not gone yet; at most four of a chunk are.
    assert!(count(&notifier) >= 20 + 12, "{}", count(&notifier));
    // A topic that is forgotten, which is the one that was notified before the other; a topic that is refused.
    notifier.notify("gone", Last(Mutex::new(None))).unwrap();
    let before = count(&notifier);
    notifier.notify("other", Last(Mutex::new(None))).unwrap();
    assert!(count(&notifier) > before + 1);
    let before = count(&notifier);
    drop(notifier.notify("no topic", Last(Mutex::new(Some(notifier.clone())))));
    assert_eq!(count(&notifier), before + 1);
    let held = Last(Mutex::new(Some(notifier.clone())));
    let listener = notifier.subscribe("x", move |_| assert!(held.0.lock().unwrap().is_some())).unwrap();
    let before = count(&notifier);
    drop(listener);
    assert_eq!(count(&notifier), before + 1);
}

#[test]
fn rule_6_what_is_dropped_has_unsubscribed() {
    let notifier = small(8, 2);
    let (listener, told) = keeper(&notifier, "t.*");
    let streams: Vec<_> = ["t.a", "t.*", "t.*"].iter().map(|pattern| notifier.stream(pattern).unwrap()).collect();
    for payload in 0..3 {
        notifier.notify("t.a", payload).unwrap();
    }
    assert_eq!(notifier.snapshot().waiting, 9);
    drop(listener);
    drop(streams);
    let shown = notifier.snapshot();
    assert_eq!((shown.subscribers, shown.waiting, shown.abandoned, shown.delivered), (0, 0, 9, 0));
    assert_eq!(notifier.notify("t.a", 3).unwrap().subscribers, 0);
    assert_eq!((told.lock().unwrap().len(), history(&notifier, "t.a", 9)), (3, vec![2, 3]));
    // Nothing of the old ones is in the way of new ones.
    let mut anew = notifier.stream("t.*").unwrap();
    notifier.notify("t.a", 4).unwrap();
    assert_eq!(all(&mut anew), [Ok(4)]);
}

#[test]
fn rule_6_a_reader_that_left_is_not_woken() {
    let notifier = small(8, 0);
    for pattern in ["t", "*"] {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut stream = notifier.stream(pattern).unwrap();
        assert!(stream.poll_recv(&mut Context::from_waker(&waker)).is_pending());
        drop(stream);
        let _other = notifier.stream(pattern).unwrap();
        notifier.notify("t", 1).unwrap();
        assert_eq!((woken.times(), Arc::strong_count(&woken)), (0, 2));
    }
}

#[test]
fn rule_7_what_is_refused_is_given_back_and_counted() {
    let notifier: Notifier<u64> = Notifier::new(Config { subscribers: 2, ..Config::DEFAULT }).unwrap();
    let long = "x".repeat(256);
    for (topic, error) in [
        ("", TopicError::Empty),
        ("a..b", TopicError::EmptyLevel),
        ("a.*", TopicError::Wildcard),
        ("a b", TopicError::Character),
        (long.as_str(), TopicError::TooLong { len: 256, max: 255 }),
    ] {
        let rejected = Rejected { payload: 7, error: NotifyError::Topic(error) };
        assert_eq!(notifier.notify(topic, 7), Err(rejected));
    }
    assert_eq!(notifier.stream("a.>.b").unwrap_err(), SubscribeError::Pattern(TopicError::Wildcard));
    let _stream = notifier.stream("a").unwrap();
    let _listener = notifier.subscribe("a", |_| ()).unwrap();
    assert_eq!(notifier.stream("b.*").unwrap_err(), SubscribeError::Full);
    assert_eq!(notifier.subscribe("b.*", |_| ()).unwrap_err(), SubscribeError::Full);
    let shown = notifier.snapshot();
    assert_eq!((shown.refused, shown.sent, shown.subscribers, shown.topics), (8, 0, 2, 1));
    for config in [
        Config { capacity: 0, ..Config::DEFAULT },
        Config { topics: 0, ..Config::DEFAULT },
        Config { subscribers: 0, ..Config::DEFAULT },
        Config { history: usize::MAX, ..Config::DEFAULT },
        Config { depth: u32::MAX, ..Config::DEFAULT },
    ] {
        assert!(matches!(Notifier::<u64>::new(config), Err(Error::Config { .. })));
    }
}

#[tokio::test]
async fn rule_8_streams_end_with_the_last_notifier() {
    let notifier = small(8, 8);
    let (mut first, mut second) = (notifier.stream("t").unwrap(), notifier.stream("*").unwrap());
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(first.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    notifier.notify("t", 1).unwrap();
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    notifier.subscribe("t", move |_| assert!(Arc::strong_count(&inside) > 0)).unwrap().detach();
    let other = notifier.clone();
    drop(notifier);
    assert_eq!(first.recv().await.map(|one| *one.payload), Ok(1));
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
    assert!(first.poll_recv(&mut Context::from_waker(&waker)).is_pending());
    let before = woken.times();
    drop(other);
    assert_eq!((woken.times(), Arc::strong_count(&held)), (before + 1, 1), "who waits is woken, callbacks are let go");
    assert_eq!(first.recv().await, Err(RecvError::Closed));
    assert_eq!(next(&mut second).await.map(|read| read.map(|one| one.payload)), Some(Ok(1)));
    assert_eq!(next(&mut second).await, None);
    assert_eq!(next(&mut second).await, None);
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

#[tokio::test]
async fn a_stream_waits_is_woken_and_tells_that_it_lags() {
    let notifier = small(4, 0);
    let mut stream = notifier.stream("t.*").unwrap();
    let reader = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Some(read) = next(&mut stream).await {
            told.push(read.map(|one| one.payload));
        }
        told
    });
    // The reader has run until it waits: one thread has both.
    tokio::task::yield_now().await;
    for payload in 0..3 {
        notifier.notify("t.a", payload).unwrap();
        tokio::task::yield_now().await;
    }
    for payload in 3..13 {
        notifier.notify("t.b", payload).unwrap();
    }
    drop(notifier);
    let told = reader.await.unwrap();
    assert_eq!(told, [Ok(0), Ok(1), Ok(2), Err(Lagged(6)), Ok(9), Ok(10), Ok(11), Ok(12)]);
}

#[test]
fn a_receive_that_is_dropped_has_taken_nothing() {
    let notifier = small(4, 0);
    let mut stream = notifier.stream("t").unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    for payload in 0..5 {
        assert!(pin!(stream.recv()).poll(&mut context).is_pending());
        assert!(pin!(stream.recv()).poll(&mut context).is_pending());
        notifier.notify("t", payload).unwrap();
        assert_eq!(woken.times(), payload as u32 + 1, "once for each, however often it asked");
        let Poll::Ready(Ok(read)) = pin!(stream.recv()).poll(&mut context) else { panic!("one waits") };
        assert_eq!(*read.payload, payload);
    }
    // Nobody waits, so nobody is woken.
    notifier.notify("t", 5).unwrap();
    assert_eq!((woken.times(), stream.waiting()), (5, 1));
}

#[test]
fn the_notifier_of_the_process_is_one() {
    notification_manager().notify("test.global", "first".into()).unwrap();
    let mut stream = daur_std::notification_manager().stream("test.global").unwrap();
    notification_manager().notify("test.global", "second".into()).unwrap();
    assert_eq!(&**stream.try_recv().unwrap().payload, "second");
    assert_eq!(notification_manager().notifications("test.*", 10).len(), 2);
    let mine = Notifier::new(Config::DEFAULT).unwrap();
    assert!(daur_std::services::notify::init(mine).is_err());
}

/// A stream of the model: all that it has not read.
struct Reader {
    stream: Subscription<u64>,
    pattern: &'static str,
    unread: VecDeque<u64>,
    lagged: u64,
}

/// A callback with its pattern, what it was told, and what it should have been.
type Heard = (&'static str, Listener<u64>, Arc<Mutex<Vec<u64>>>, Vec<u64>);

#[derive(Clone, Debug)]
enum Step {
    Notify(&'static str),
    Subscribe(&'static str),
    Listen(&'static str),
    Leave(usize),
    Receive(usize),
    History(&'static str, usize),
}

const TOPICS: [&str; 5] = ["a", "a.a", "a.b", "b.a", "b.a.c"];
const PATTERNS: [&str; 9] = ["a", "a.a", "a.*", "*.a", "*", ">", "a.>", "b.a.c", "*.*.c"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::sample::select(&TOPICS[..]).prop_map(Step::Notify),
        1 => prop::sample::select(&PATTERNS[..]).prop_map(Step::Subscribe),
        1 => prop::sample::select(&PATTERNS[..]).prop_map(Step::Listen),
        1 => (0..5_usize).prop_map(Step::Leave),
        6 => (0..5_usize).prop_map(Step::Receive),
        1 => (prop::sample::select(&PATTERNS[..]), 0..12_usize).prop_map(|(pattern, limit)| Step::History(pattern, limit)),
    ]
}

fn agrees(steps: Vec<Step>, capacity: usize, keep: usize) {
    let notifier = small(capacity, keep);
    let mut readers: Vec<Reader> = Vec::new();
    let mut listeners: Vec<Heard> = Vec::new();
    let mut sent: Vec<&'static str> = Vec::new();
    for step in steps {
        match step {
            Step::Notify(topic) => {
                let payload = sent.len() as u64;
                sent.push(topic);
                notifier.notify(topic, payload).unwrap();
                for reader in readers.iter_mut().filter(|reader| matches(reader.pattern, topic)) {
                    reader.unread.push_back(payload);
                    if reader.unread.len() > capacity {
                        reader.unread.pop_front();
                        reader.lagged += 1;
                    }
                }
                for (pattern, _, _, expected) in &mut listeners {
                    if matches(pattern, topic) {
                        expected.push(payload);
                    }
                }
            }
            Step::Subscribe(pattern) => {
                let stream = notifier.stream(pattern).unwrap();
                readers.push(Reader { stream, pattern, unread: VecDeque::new(), lagged: 0 });
            }
            Step::Listen(pattern) => {
                let (listener, told) = keeper(&notifier, pattern);
                listeners.push((pattern, listener, told, Vec::new()));
            }
            Step::Leave(which) if which < readers.len() => drop(readers.remove(which)),
            Step::Receive(which) if which < readers.len() => {
                let reader = &mut readers[which];
                let expected = match std::mem::take(&mut reader.lagged) {
                    0 => reader.unread.pop_front().ok_or(TryRecvError::Empty),
                    lagged => Err(TryRecvError::Lagged(lagged)),
                };
                assert_eq!(reader.stream.try_recv().map(|one| *one.payload), expected);
                assert_eq!(reader.stream.waiting(), reader.unread.len());
            }
            Step::Leave(which) => {
                if which < listeners.len() {
                    let (_, listener, told, expected) = listeners.remove(which);
                    drop(listener);
                    assert_eq!(*told.lock().unwrap(), expected);
                }
            }
            Step::Receive(_) => {}
            Step::History(pattern, limit) => {
                let mut kept: Vec<u64> = Vec::new();
                for topic in TOPICS.iter().filter(|topic| matches(pattern, topic)) {
                    let of_it = sent.iter().zip(0..).filter(|(of, _)| *of == topic).map(|(_, payload)| payload);
                    let of_it: Vec<u64> = of_it.collect();
                    kept.extend(&of_it[of_it.len().saturating_sub(keep)..]);
                }
                kept.sort_unstable();
                assert_eq!(history(&notifier, pattern, limit), kept[kept.len().saturating_sub(limit)..]);
            }
        }
        let shown = notifier.snapshot();
        let waiting: usize = readers.iter().map(|reader| reader.unread.len()).sum();
        assert_eq!((shown.sent, shown.waiting), (sent.len() as u64, waiting as u64));
        assert_eq!(shown.subscribers, readers.len() + listeners.len());
    }
    for (_, _, told, expected) in listeners {
        assert_eq!(*told.lock().unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn notifier_and_model_agree(steps in prop::collection::vec(step(), 1..200)) {
        agrees(steps.clone(), 1, 0);
        agrees(steps.clone(), 3, 2);
        agrees(steps.clone(), 4, 100);
        agrees(steps, 100, 5);
    }
}
