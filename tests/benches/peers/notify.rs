//! Notifications to eight subscribers beside tokio's broadcast channel, one by one and sixteen at a time.

use std::hint::black_box;

use daur_std::services::notify::{Config, Notifier, Subscription};
use tokio::sync::broadcast::{self, Receiver};

use crate::harness::{Options, Subject, compare, subject};

const READERS: usize = 8;
const SENT: u32 = 4_096;
const TOPIC: &str = "sensor.temperature";
const CAPACITY: usize = 64;

pub(crate) fn run(options: &Options) {
    compare(options, "notify: send one, received by 8", vec![ours(TOPIC, 1, 0), theirs(1)]);
    compare(options, "notify: send 16, received by 8", vec![ours(TOPIC, 16, 0), theirs(16)]);
    compare(options, "notify: send one, received by 8, by a wildcard, with history", vec![
        ours("sensor.*", 1, 100),
        theirs(1),
    ]);
}

fn ours(pattern: &'static str, burst: u32, history: usize) -> Subject {
    let notifier = Notifier::new(Config { capacity: CAPACITY, history, ..Config::DEFAULT }).expect("valid");
    let stream = |_| notifier.stream(pattern).expect("room");
    let mut streams: Vec<Subscription<u64>> = (0..READERS).map(stream).collect();
    let notifier = notifier.clone();
    subject("daur Notifier", SENT, move || {
        for round in 0..SENT / burst {
            for _ in 0..burst {
                notifier.notify(TOPIC, round.into()).expect("a topic");
            }
            for stream in &mut streams {
                for _ in 0..burst {
                    black_box(stream.try_recv().expect("one waits").payload);
                }
            }
        }
    })
}

fn theirs(burst: u32) -> Subject {
    let (sender, first) = broadcast::channel(CAPACITY);
    let mut receivers: Vec<Receiver<u64>> = (1..READERS).map(|_| sender.subscribe()).collect();
    receivers.push(first);
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
    .target(0.5)
}
