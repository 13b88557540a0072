//! Notifications to eight subscribers beside tokio's broadcast channel: awaited, taken, sixteen at a time, by a wildcard.

use std::hint::black_box;

use daur_std::services::notify::{Config, Notifier, Subscription};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast::{self, Receiver, Sender};

use crate::harness::{Options, Subject, compare, subject};

const READERS: usize = 8;
const SENT: u32 = 4_096;
const TOPIC: &str = "sensor.temperature";
const CAPACITY: usize = 64;

pub(crate) fn run(options: &Options) {
    let awaited = vec![our_awaited(TOPIC), their_awaited().target(0.5)];
    compare(options, "notify: send one, awaited by 8", awaited);
    compare(options, "notify: send one, taken by 8", vec![ours(TOPIC, 1), theirs(1)]);
    compare(options, "notify: send 16, taken by 8", vec![ours(TOPIC, 16), theirs(16)]);
    compare(options, "notify: send one, awaited by 8 by a wildcard", vec![our_awaited("sensor.*"), their_awaited()]);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn notifier(pattern: &str) -> (Notifier<u64>, Vec<Subscription<u64>>) {
    let notifier = Notifier::new(Config { capacity: CAPACITY, ..Config::DEFAULT }).expect("valid");
    let streams = (0..READERS).map(|_| notifier.stream(pattern).expect("room")).collect();
    (notifier, streams)
}

fn channel() -> (Sender<u64>, Vec<Receiver<u64>>) {
    let (sender, first) = broadcast::channel(CAPACITY);
    let mut receivers: Vec<_> = (1..READERS).map(|_| sender.subscribe()).collect();
    receivers.push(first);
    (sender, receivers)
}

fn our_awaited(pattern: &str) -> Subject {
    let (runtime, (notifier, mut streams)) = (runtime(), notifier(pattern));
    subject("daur Notifier", SENT, move || {
        runtime.block_on(async {
            for round in 0..SENT {
                notifier.notify(TOPIC, round.into()).expect("a topic");
                for stream in &mut streams {
                    black_box(*stream.recv().await.expect("one waits").payload);
                }
            }
        });
    })
}

/// Each reader awaits, as streams are read.
fn their_awaited() -> Subject {
    let (runtime, (sender, mut receivers)) = (runtime(), channel());
    subject("tokio broadcast (no topics, no time)", SENT, move || {
        runtime.block_on(async {
            for round in 0..SENT {
                sender.send(round.into()).expect("they are there");
                for receiver in &mut receivers {
                    black_box(receiver.recv().await.expect("one waits"));
                }
            }
        });
    })
}

fn ours(pattern: &str, burst: u32) -> Subject {
    let (notifier, mut streams) = notifier(pattern);
    subject("daur Notifier", SENT, move || {
        for round in 0..SENT / burst {
            for _ in 0..burst {
                notifier.notify(TOPIC, round.into()).expect("a topic");
            }
            for stream in &mut streams {
                for _ in 0..burst {
                    black_box(*stream.try_recv().expect("one waits").payload);
                }
            }
        }
    })
}

fn theirs(burst: u32) -> Subject {
    let (sender, mut receivers) = channel();
    subject("tokio broadcast (no topics, no time)", SENT, move || {
        for round in 0..SENT / burst {
            for _ in 0..burst {
                sender.send(round.into()).expect("they are there");
            }
            for receiver in &mut receivers {
                for _ in 0..burst {
                    black_box(receiver.try_recv().expect("one waits"));
                }
            }
        }
    })
}
