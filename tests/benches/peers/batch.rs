//! Batches of 100 beside `tokio-stream`'s `chunks_timeout`: of a stream that is ready, and of what a task sends to another.

use std::hint::black_box;
use std::time::Duration;

use daur_core::performance::batch::Config as Batch;
use daur_std::performance::batch::{self, Batches, Config, Items};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{Options, Subject, compare, subject};

const ITEMS: u32 = 16_384;
const HUNDRED: Batch = Batch { max_items: Some(100), ..Batch::DEFAULT };
const QUEUE: usize = 1_024;
const WAIT: Duration = Duration::from_secs(1);

pub(crate) fn run(options: &Options) {
    compare(options, "batch: an item of a stream", vec![stream(), chunks()]);
    compare(options, "batch: an item of a channel, written by a task", vec![actor(), channel_chunks()]);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn stream() -> Subject {
    let runtime = runtime();
    subject("daur Batches", ITEMS, move || {
        runtime.block_on(async {
            let mut batches = std::pin::pin!(Batches::new(tokio_stream::iter(0..ITEMS), HUNDRED).expect("valid"));
            while let Some(batch) = batches.next().await {
                black_box(batch.len());
            }
        });
    })
}

fn chunks() -> Subject {
    let runtime = runtime();
    subject("tokio-stream chunks_timeout", ITEMS, move || {
        runtime.block_on(async {
            let mut batches = std::pin::pin!(tokio_stream::iter(0..ITEMS).chunks_timeout(100, WAIT));
            while let Some(batch) = batches.next().await {
                black_box(batch.len());
            }
        });
    })
    .target(1.0)
}

fn actor() -> Subject {
    let runtime = runtime();
    subject("daur batch::spawn", ITEMS, move || {
        runtime.block_on(async {
            let config = Config { batch: HUNDRED, queue: QUEUE, ..Config::DEFAULT };
            let (sender, batching) = batch::spawn(config, |items: Items<u32>| {
                black_box(items.len());
                std::future::ready(Ok::<(), ()>(()))
            })
            .expect("valid");
            for item in 0..ITEMS {
                sender.send(item).await.expect("open");
            }
            assert_eq!(batching.close().await.delivered, u64::from(ITEMS));
        });
    })
}

fn channel_chunks() -> Subject {
    let runtime = runtime();
    subject("tokio mpsc and chunks_timeout (no retry)", ITEMS, move || {
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let writer = tokio::spawn(async move {
                let mut batches = std::pin::pin!(ReceiverStream::new(receiver).chunks_timeout(100, WAIT));
                while let Some(batch) = batches.next().await {
                    black_box(batch.len());
                }
            });
            for item in 0..ITEMS {
                sender.send(item).await.expect("open");
            }
            drop(sender);
            writer.await.expect("no panic");
        });
    })
    .target(1.0)
}
