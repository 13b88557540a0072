//! Batches of streams and of channels.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use daur_std::core::performance::batch::Config as Batch;
use daur_std::core::reliability::retry::{self, Attempts, Class, Jitter};
use daur_std::core::time::Duration;
use daur_std::performance::batch::{self, Batches, Builder, Config, ConfigError, Fault, Items, Refused, Report};
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, advance};

const WAIT: Duration = Duration::from_secs(5);
const THREE: Batch = Batch { max_items: Some(3), max_bytes: None, max_wait: Some(WAIT) };

/// What a channel receives.
struct Received<T>(mpsc::UnboundedReceiver<T>);

impl<T> Stream for Received<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// What is there at this moment.
async fn now_or_never<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_next(context))).await
}

async fn pass(millis: u64) {
    advance(std::time::Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn stream_rule_1_a_batch_comes_by_count_at_its_time_and_at_the_end() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut batches = Box::pin(Batches::new(Received(receiver), THREE).unwrap());
    (1..=4).for_each(|item| sender.send(item).unwrap());
    assert_eq!(next(&mut batches).await, Some(vec![1, 2, 3]));
    let began = Instant::now();
    assert_eq!(now_or_never(&mut batches).await, Poll::Pending);
    pass(3_000).await;
    sender.send(5).unwrap();
    assert_eq!(now_or_never(&mut batches).await, Poll::Pending);
    // Not put off by the later item. (tokio's timer has a grain of a millisecond.)
    pass(1_998).await;
    assert_eq!(now_or_never(&mut batches).await, Poll::Pending);
    assert_eq!(next(&mut batches).await, Some(vec![4, 5]));
    assert!(began.elapsed() >= std::time::Duration::from_secs(5));
    assert!(began.elapsed() <= std::time::Duration::from_millis(5_002));
    sender.send(6).unwrap();
    drop(sender);
    assert_eq!(
        (next(&mut batches).await, next(&mut batches).await, next(&mut batches).await),
        (Some(vec![6]), None, None)
    );
    let shown = batches.snapshot();
    assert_eq!((shown.by_items, shown.by_time, shown.by_flush, shown.accepted), (1, 1, 1, 6));
}

#[tokio::test(start_paused = true)]
async fn stream_rules_2_and_3_bytes_are_kept_and_a_large_item_goes_alone_in_its_turn() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let config = Batch { max_items: None, max_bytes: Some(10), max_wait: Some(WAIT) };
    let batches = Batches::sized(Received(receiver), config, |item: &&str| item.len()).unwrap();
    let mut batches = Box::pin(batches);
    for item in ["four", "five5", "six666", "this one is too large", "ab", "0123456789", "z"] {
        sender.send(item).unwrap();
    }
    drop(sender);
    let mut all = Vec::new();
    while let Some(batch) = next(&mut batches).await {
        all.push(batch.join("+"));
    }
    assert_eq!(all, ["four+five5", "six666", "this one is too large", "ab", "0123456789", "z"]);
}

#[tokio::test(start_paused = true)]
async fn stream_without_a_limit_of_time_waits_for_the_end() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut batches = Box::pin(Batches::new(Received(receiver), Batch { max_wait: None, ..THREE }).unwrap());
    sender.send(1).unwrap();
    assert_eq!(now_or_never(&mut batches).await, Poll::Pending);
    pass(1_000_000).await;
    assert_eq!(now_or_never(&mut batches).await, Poll::Pending);
    drop(sender);
    assert_eq!(next(&mut batches).await, Some(vec![1]));
    assert!(Batches::new(Received(mpsc::unbounded_channel::<u8>().1), Batch { max_items: Some(0), ..THREE }).is_err());
}

const RETRY: retry::Config = retry::Config {
    max_attempts: Attempts::Limited(2),
    initial_delay: Duration::from_millis(100),
    jitter: Jitter::None,
    ..retry::Config::DEFAULT
};
const ACTOR: Config = Config { batch: THREE, queue: 16, retry: RETRY };

type Log = Arc<Mutex<Vec<Vec<u32>>>>;

/// What a handler gives.
type Handled = Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

/// A handler that writes down what it is given, and what then comes of it.
fn writes(
    log: &Log,
    result: impl Fn(&[u32]) -> Result<(), &'static str> + Send + Sync + 'static,
) -> impl FnMut(Items<u32>) -> Handled + Send + 'static {
    let (log, result) = (Arc::clone(log), Arc::new(result));
    move |items| {
        let (log, result) = (Arc::clone(&log), Arc::clone(&result));
        Box::pin(async move {
            log.lock().unwrap().push(items.to_vec());
            result(&items)
        })
    }
}

fn logged(log: &Log) -> Vec<Vec<u32>> {
    log.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn rule_1_batches_are_written_in_order_by_count_and_time() {
    let log = Log::default();
    let (sender, batching) = batch::spawn(ACTOR, writes(&log, |_| Ok(()))).unwrap();
    for item in 0..7 {
        sender.send(item).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(4_990)).await;
    assert_eq!(logged(&log), [[0, 1, 2], [3, 4, 5]]);
    tokio::time::sleep(std::time::Duration::from_millis(12)).await;
    assert_eq!(logged(&log), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    let shown = sender.snapshot();
    assert_eq!((shown.accepted, shown.delivered, shown.waiting), (7, 7, 0));
    assert_eq!((shown.batches.by_items, shown.batches.by_time), (2, 1));
    assert_eq!(batching.close().await, Report { delivered: 7, rejected: 0, lost: 0 });
}

#[tokio::test(start_paused = true)]
async fn rule_1_while_a_batch_is_written_senders_wait() {
    let (begin, mut begun) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let handler = move |items: Items<u32>| {
        let (gate, begin) = (Arc::clone(&held), begin.clone());
        async move {
            begin.send(items.to_vec()).unwrap();
            gate.acquire().await.unwrap().forget();
            Ok::<(), ()>(())
        }
    };
    let (sender, batching) = batch::spawn(Config { queue: 4, ..ACTOR }, handler).unwrap();
    for item in 0..3 {
        sender.send(item).await.unwrap();
    }
    assert_eq!(begun.recv().await, Some(vec![0, 1, 2]));
    (3..7).for_each(|item| sender.try_send(item).unwrap());
    assert!(matches!(sender.try_send(7), Err(Refused::Full(7))));
    let waiting = sender.snapshot();
    assert_eq!((waiting.accepted, waiting.waiting), (7, 7));
    // A sender that gives up has sent nothing.
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), sender.send(8)).await.is_err());
    gate.add_permits(9);
    assert_eq!(batching.close().await, Report { delivered: 7, rejected: 0, lost: 0 });
    assert_eq!(begun.recv().await, Some(vec![3, 4, 5]));
    assert_eq!(begun.recv().await, Some(vec![6]));
    assert!(matches!(sender.send(9).await, Err(Refused::Closed(9))));
    assert!(matches!(sender.try_send(9), Err(Refused::Closed(9))));
    assert!(sender.flush().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn rules_2_and_5_a_failed_batch_is_given_again_after_its_wait() {
    let log = Log::default();
    let tries = AtomicU32::new(0);
    let handler = writes(&log, move |_| if tries.fetch_add(1, Ordering::SeqCst) == 0 { Err("busy") } else { Ok(()) });
    let (sender, batching) = batch::spawn(ACTOR, handler).unwrap();
    let began = Instant::now();
    for item in 0..3 {
        sender.send(item).await.unwrap();
    }
    sender.flush().await.unwrap();
    assert!(began.elapsed() >= std::time::Duration::from_millis(100));
    assert_eq!(logged(&log), [[0, 1, 2], [0, 1, 2]]);
    let shown = batching.snapshot();
    assert_eq!((shown.delivered, shown.retried, shown.split), (3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_poison_item_is_found_and_nothing_else_is_lost() {
    let log = Log::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let written = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&written);
    let handler = writes(&log, move |items| {
        if items.iter().any(|item| [5, 6, 11].contains(item)) {
            return Err("poison");
        }
        store.lock().unwrap().extend_from_slice(items);
        Ok(())
    });
    let batch = Batch { max_items: Some(8), ..THREE };
    let (sender, batching) = Builder::new(Config { batch, ..ACTOR })
        .unwrap()
        .classify(|_| Class::Permanent)
        .on_rejected(move |rejected| {
            hear.lock().unwrap().push((*rejected.item, *rejected.fault));
            panic!("the listener's");
        })
        .spawn(handler);
    for item in 0..16 {
        sender.send(item).await.unwrap();
    }
    assert_eq!(batching.close().await, Report { delivered: 13, rejected: 3, lost: 0 });
    assert_eq!(*written.lock().unwrap(), [0, 1, 2, 3, 4, 7, 8, 9, 10, 12, 13, 14, 15]);
    let poison = Fault::Error("poison");
    assert_eq!(*heard.lock().unwrap(), [(5, poison), (6, poison), (11, poison)]);
    // 8 > 4 4 > 2 2 > 1 1: permanent, so nothing was tried twice.
    assert_eq!(sender.snapshot().retried, 0);
    assert_eq!(logged(&log)[..4], [vec![0, 1, 2, 3, 4, 5, 6, 7], vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![4, 5]]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_what_stays_transient_is_halved_when_the_tries_are_used_up() {
    let log = Log::default();
    let handler = writes(&log, |items| if items.contains(&1) { Err("busy") } else { Ok(()) });
    let (sender, batching) = batch::spawn(ACTOR, handler).unwrap();
    for item in 0..3 {
        sender.send(item).await.unwrap();
    }
    assert_eq!(batching.close().await, Report { delivered: 2, rejected: 1, lost: 0 });
    let all = [vec![0, 1, 2], vec![0, 1, 2], vec![0], vec![1, 2], vec![1, 2], vec![1], vec![1], vec![2]];
    assert_eq!(logged(&log), all);
    assert_eq!((sender.snapshot().retried, sender.snapshot().split), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn rule_3_a_panic_is_kept_to_the_item_that_makes_it() {
    let log = Log::default();
    let inner = writes(&log, |items| {
        assert!(!items.contains(&1), "in the future");
        Ok(())
    });
    let mut inner = inner;
    let handler = move |items: Items<u32>| {
        assert!(!items.contains(&5), "in the handler itself");
        inner(items)
    };
    let (sender, batching) = batch::spawn(ACTOR, handler).unwrap();
    for item in 0..6 {
        sender.send(item).await.unwrap();
    }
    assert_eq!(batching.close().await, Report { delivered: 4, rejected: 2, lost: 0 });
    let shown = sender.snapshot();
    assert_eq!((shown.retried, shown.panicked, shown.split), (0, 6, 4));
}

#[tokio::test(start_paused = true)]
async fn rule_4_without_senders_everything_is_written_and_without_its_handle_it_goes_on() {
    let log = Log::default();
    let (sender, batching) = batch::spawn(ACTOR, writes(&log, |_| Ok(()))).unwrap();
    drop(batching);
    let other = sender.clone();
    sender.send(1).await.unwrap();
    drop(sender);
    other.send(2).await.unwrap();
    tokio::task::yield_now().await;
    assert!(logged(&log).is_empty());
    drop(other);
    while logged(&log).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(logged(&log), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_close_that_is_dropped_closes_all_the_same() {
    let log = Log::default();
    let (sender, batching) = batch::spawn(ACTOR, writes(&log, |_| Ok(()))).unwrap();
    sender.send(1).await.unwrap();
    let mut close = Box::pin(batching.close());
    std::future::poll_fn(|context| Poll::Ready(close.as_mut().poll(context).is_pending())).await;
    drop(close);
    while sender.try_send(2).is_ok() {
        tokio::task::yield_now().await;
    }
    while logged(&log).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(logged(&log)[0][0], 1);
}

#[test]
fn rule_4_a_runtime_that_is_shut_down_loses_and_the_report_says_how_many() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (sender, batching) = runtime.block_on(async {
        let never = |_: Items<u32>| std::future::pending::<Result<(), ()>>();
        let (sender, batching) = batch::spawn(ACTOR, never).unwrap();
        for item in 0..5 {
            sender.send(item).await.unwrap();
        }
        (sender, batching)
    });
    drop(runtime);
    assert_eq!(batching.close_blocking(), Report { delivered: 0, rejected: 0, lost: 5 });
    assert!(matches!(sender.send_blocking(9), Err(Refused::Closed(9))));
    assert_eq!(sender.snapshot().accepted, 5);
}

#[tokio::test(start_paused = true)]
async fn rule_6_what_came_during_a_slow_write_goes_together() {
    let log = Log::default();
    let inner = Arc::new(Mutex::new(writes(&log, |_| Ok(()))));
    let slow = move |items: Items<u32>| {
        let written = (inner.lock().unwrap())(items);
        async move {
            tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            written.await
        }
    };
    let batch = Batch { max_items: Some(10), ..THREE };
    let (sender, batching) = batch::spawn(Config { batch, ..ACTOR }, slow).unwrap();
    sender.send(0).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(6)).await; // the first is being written
    for item in 1..5 {
        sender.send(item).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    }
    assert_eq!(batching.close().await.delivered, 5);
    assert_eq!(logged(&log), [vec![0], vec![1, 2, 3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn one_that_naps_gathers_after_several_items_and_not_after_one() {
    let log = Log::default();
    let batch = Batch { max_items: Some(10), max_bytes: None, max_wait: Some(Duration::ZERO) };
    let builder = Builder::new(Config { batch, ..ACTOR }).unwrap().napping(Duration::from_secs(1));
    let (sender, batching) = builder.spawn(writes(&log, |_| Ok(())));
    let sleep = |millis| tokio::time::sleep(std::time::Duration::from_millis(millis));
    // Who sends one after the other is not kept waiting.
    for item in 0..2 {
        sender.send(item).await.unwrap();
        sleep(2).await;
    }
    assert_eq!(logged(&log), [[0], [1]]);
    sender.try_send(2).unwrap();
    sender.try_send(3).unwrap();
    sleep(2).await;
    assert_eq!(logged(&log)[2..], [[2, 3]]);
    sender.send(4).await.unwrap();
    sleep(500).await;
    sender.send(5).await.unwrap();
    sleep(490).await;
    assert_eq!(logged(&log).len(), 3, "it naps");
    sleep(20).await;
    assert_eq!(logged(&log)[3..], [[4, 5]]);
    // A nap ends with the work.
    sender.send(6).await.unwrap();
    let began = Instant::now();
    assert_eq!(batching.close().await, Report { delivered: 7, rejected: 0, lost: 0 });
    assert!(began.elapsed() < std::time::Duration::from_millis(500));
    assert_eq!(logged(&log)[4..], [[6]]);
}

#[tokio::test(start_paused = true)]
async fn bytes_end_a_batch_and_what_is_too_large_comes_back() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let store = Arc::clone(&log);
    let batch = Batch { max_items: None, max_bytes: Some(10), max_wait: Some(WAIT) };
    let (sender, batching) = Builder::<String, ()>::new(Config { batch, ..ACTOR })
        .unwrap()
        .sized(|item: &String| item.len())
        .spawn(move |items: Items<String>| {
            store.lock().unwrap().push(items.join("+"));
            std::future::ready(Ok(()))
        });
    for item in ["four", "five5", "six666", "0123456789", "z"] {
        sender.send(item.to_owned()).await.unwrap();
    }
    let large = sender.send("this one is too large".to_owned()).await.unwrap_err();
    assert!(matches!(&large, Refused::TooLarge(_)));
    assert_eq!(large.into_item(), "this one is too large");
    assert_eq!(batching.close().await, Report { delivered: 5, rejected: 0, lost: 0 });
    assert_eq!(*log.lock().unwrap(), ["four+five5", "six666", "0123456789", "z"]);
}

#[test]
fn a_thread_writes_for_senders_of_any_kind() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let store = Arc::clone(&written);
    let config = Config { batch: Batch { max_wait: None, ..THREE }, ..ACTOR };
    let (sender, batching) = Builder::<u32, ()>::new(config)
        .unwrap()
        .spawn_thread("writer", move |items| {
            assert_eq!(std::thread::current().name(), Some("writer"));
            store.lock().unwrap().extend_from_slice(items);
            Ok(())
        })
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sender = sender.clone();
            scope.spawn(move || (0..500).for_each(|n| sender.send_blocking(thread * 1_000 + n).unwrap()));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        sender.send(9_000).await.unwrap();
        sender.flush().await.unwrap();
    });
    assert_eq!(written.lock().unwrap().len(), 2_001);
    assert_eq!(batching.close_blocking(), Report { delivered: 2_001, rejected: 0, lost: 0 });
    for thread in 0..4 {
        let own: Vec<u32> = written.lock().unwrap().iter().copied().filter(|item| item / 1_000 == thread).collect();
        assert!(own.is_sorted() && own.len() == 500);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_senders_and_a_failing_sink_every_item_is_written_or_rejected_and_none_twice() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let rejected = Arc::new(Mutex::new(BTreeSet::new()));
    let (store, hear) = (Arc::clone(&written), Arc::clone(&rejected));
    let mut calls = 0_u32;
    let retry = retry::Config { initial_delay: Duration::ZERO, ..RETRY };
    let batch = Batch { max_items: Some(50), max_bytes: None, max_wait: Some(Duration::from_millis(1)) };
    let (sender, batching) = Builder::new(Config { batch, queue: 64, retry })
        .unwrap()
        .classify(|error| if *error == "busy" { Class::Transient } else { Class::Permanent })
        .on_rejected(move |rejected| assert!(hear.lock().unwrap().insert(*rejected.item)))
        .spawn(move |items: Items<u32>| {
            calls += 1;
            let result = if items.iter().any(|item| item % 1_009 == 7) {
                Err("poison")
            } else if calls.is_multiple_of(5) {
                Err("busy")
            } else {
                store.lock().unwrap().extend_from_slice(&items);
                Ok(())
            };
            std::future::ready(result)
        });
    let senders: Vec<_> = (0..8)
        .map(|n| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for item in n * 5_000..(n + 1) * 5_000 {
                    sender.send(item).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let report = batching.close().await;
    let rejected = rejected.lock().unwrap().clone();
    assert!((0..40_000).filter(|item| item % 1_009 == 7).all(|item| rejected.contains(&item)));
    assert_eq!((report.delivered + report.rejected, report.lost), (40_000, 0));
    let mut all = written.lock().unwrap().clone();
    assert_eq!(report.delivered, all.len() as u64);
    all.extend(&rejected);
    all.sort_unstable();
    assert!(all.into_iter().eq(0..40_000));
}

#[test]
fn an_invalid_config_is_refused() {
    let of = |config: Config| config.validate().err();
    assert_eq!(of(Config { queue: 0, ..ACTOR }), Some(ConfigError::Queue));
    assert!(matches!(
        of(Config { batch: Batch { max_items: Some(0), ..THREE }, ..ACTOR }),
        Some(ConfigError::Batch(_))
    ));
    let never = retry::Config { max_attempts: Attempts::Limited(0), ..RETRY };
    assert!(matches!(of(Config { retry: never, ..ACTOR }), Some(ConfigError::Retry(_))));
    assert!(Builder::<u8, ()>::new(Config { queue: 0, ..ACTOR }).is_err());
    assert_eq!(of(Config::DEFAULT), None);
}

/// Keeps a queue from running empty, a millisecond of the clock for each time that it was full.
macro_rules! flood {
    ($millis:expr, $fill:expr) => {
        for _ in 0..$millis {
            while $fill {}
            tokio::task::yield_now().await;
            pass(1).await;
        }
    };
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_batch_goes_at_its_time_while_more_come_without_a_pause() {
    let log = Log::default();
    let batch = Batch { max_items: None, ..THREE };
    let (sender, batching) = batch::spawn(Config { batch, queue: 256, ..ACTOR }, writes(&log, |_| Ok(()))).unwrap();
    flood!(20_000, sender.try_send(1).is_ok());
    let written = logged(&log).len();
    assert!((3..=4).contains(&written), "{written} batches in 20 s, of 5 s each");
    let accepted = sender.snapshot().accepted;
    assert_eq!(batching.close().await, Report { delivered: accepted, rejected: 0, lost: 0 });
}

#[tokio::test(start_paused = true)]
async fn stream_rule_1_a_batch_comes_at_its_time_while_more_come_without_a_pause() {
    let (sender, receiver) = mpsc::channel(256);
    let gathering = tokio::spawn(async move {
        let batches = Batches::new(Bounded(receiver), Batch { max_items: None, ..THREE }).unwrap();
        let (mut batches, mut sizes) = (Box::pin(batches), Vec::new());
        while let Some(batch) = next(&mut batches).await {
            sizes.push(batch.len());
        }
        (sizes, batches.snapshot())
    });
    let mut sent = 0;
    flood!(20_000, {
        let room = sender.try_send(()).is_ok();
        sent += usize::from(room);
        room
    });
    drop(sender);
    let (sizes, shown) = gathering.await.unwrap();
    assert_eq!(sizes.iter().sum::<usize>(), sent);
    assert!((3..=4).contains(&shown.by_time), "{shown:?}");
}

/// What a channel with a bound receives.
struct Bounded<T>(mpsc::Receiver<T>);

impl<T> Stream for Bounded<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

#[tokio::test(start_paused = true)]
async fn stream_rule_2_an_item_of_more_bytes_than_can_be_counted_is_a_batch_by_itself() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let weigh = |bytes: &usize| *bytes;
    let mut batches = Box::pin(Batches::sized(Received(receiver), Batch { max_items: None, ..THREE }, weigh).unwrap());
    let all = u32::MAX as usize;
    for bytes in [1, all + 1, all, 7] {
        sender.send(bytes).unwrap();
    }
    drop(sender);
    let mut written = Vec::new();
    while let Some(batch) = next(&mut batches).await {
        assert!(!batch.is_empty());
        written.push(batch);
    }
    assert_eq!(written, [vec![1], vec![all + 1], vec![all], vec![7]]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_classifier_that_panics_loses_nothing() {
    let log = Log::default();
    let (sender, batching) = Builder::new(ACTOR)
        .unwrap()
        .classify(|_: &&str| panic!("the classifier's"))
        .spawn(writes(&log, |items| if items.contains(&1) { Err("poison") } else { Ok(()) }));
    for item in 0..4 {
        sender.send(item).await.unwrap();
    }
    assert_eq!(batching.close().await, Report { delivered: 3, rejected: 1, lost: 0 });
    assert_eq!(logged(&log), [vec![0, 1, 2], vec![0], vec![1, 2], vec![1], vec![2], vec![3]]);
}

#[test]
fn rule_4_a_sender_that_waits_for_room_and_gets_its_item_back_has_lost_none() {
    for _ in 0..50 {
        let (begin, begun) = std::sync::mpsc::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let (sender, batching) = Builder::<u32, ()>::new(Config { queue: 1, ..ACTOR })
            .unwrap()
            .spawn_thread("writer", move |_| {
                begin.send(()).unwrap();
                may_go.recv().unwrap();
                Ok(())
            })
            .unwrap();
        (0..3).for_each(|item| sender.send_blocking(item).unwrap());
        begun.recv().unwrap();
        let senders: Vec<_> = (3..7)
            .map(|item| {
                let sender = sender.clone();
                std::thread::spawn(move || sender.send_blocking(item).is_ok())
            })
            .collect();
        (0..9).for_each(|_| go.send(()).unwrap());
        let report = batching.close_blocking();
        let taken = 3 + senders.into_iter().map(|sender| u64::from(sender.join().unwrap())).sum::<u64>();
        assert_eq!(report, Report { delivered: taken, rejected: 0, lost: 0 });
    }
}
