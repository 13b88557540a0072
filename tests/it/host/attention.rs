//! What a person is told to look at, where no request could bring it about.

use super::*;

use std::io;
use std::sync::mpsc::{Receiver, channel};

use daur_host::status::{FullStatus, full};
use daur_std::core::time::UnixTime;
use daur_std::monitoring::log::sink::{Output, Sink};
use daur_std::monitoring::log::{self, Format, Logger};
use tracing_subscriber::layer::SubscriberExt;

/// What is told at a level, if its text has these words in it.
fn told(status: &FullStatus, level: &str, words: &str) -> Vec<String> {
    let all = serde_json::to_value(&status.attention).unwrap();
    let of_level = all.as_array().unwrap().iter().filter(|one| one["level"] == level);
    let texts = of_level.map(|one| one["text"].as_str().unwrap().to_owned());
    texts.filter(|text| text.contains(words)).collect()
}

#[test]
fn a_pool_that_fills_is_told_and_then_that_it_is_full() {
    const ROOM: usize = 4;
    let host = Host::start_with(|config| (config.pool.workers, config.pool.queue) = (1, ROOM as _));
    let app = std::sync::Arc::clone(host.server.as_ref().unwrap().app());
    let (open, gate) = channel::<()>();
    let (begins, begun) = channel();
    let pool = app.pool.clone();
    host.runtime.spawn(async move {
        // Where others have filled it already, again.
        let held = std::sync::Arc::new(std::sync::Mutex::new(gate));
        loop {
            let (begins, held) = (begins.clone(), std::sync::Arc::clone(&held));
            let hold = move || {
                let _ = begins.send(());
                let _ = held.lock().unwrap().recv();
            };
            if pool.run(hold).await.is_ok() {
                break;
            }
        }
    });
    begun.recv().unwrap();
    let waits = "wait for the disk";
    let mut seen = 0;
    // The server's own jobs may wait as well.
    while seen < ROOM as u64 {
        let status = full(&app);
        seen = status.pool.queued;
        let (amber, red) = (told(&status, "amber", waits), told(&status, "red", waits));
        match seen {
            0..2 => assert!(amber.is_empty() && red.is_empty(), "{amber:?} {red:?}"),
            2..4 => assert_eq!((amber, red), (vec![format!("{seen} jobs wait for the disk")], vec![])),
            _ => assert_eq!((amber, red), (vec![], vec![format!("The pool is full: {seen} jobs wait for the disk")])),
        }
        let pool = app.pool.clone();
        host.runtime.spawn(async move { pool.run(|| ()).await });
    }
    drop(open);
    assert!(eventually(|| full(&app).pool.queued == 0));
    assert!(eventually(|| told(&full(&app), "red", waits).is_empty()));
}

/// Takes nothing until the other end is gone.
struct Held(Receiver<()>);

impl Sink for Held {
    fn write(&mut self, _: &[u8], _: UnixTime) -> io::Result<()> {
        let _ = self.0.recv();
        Ok(())
    }
}

#[test]
fn lines_that_were_dropped_are_told() {
    let (open, gate) = channel();
    let config = log::Config { console: None, queue_bytes: 4_096, max_line: 1_024, ..log::Config::default() };
    let logger = Logger::with_outputs(config, vec![Output::new("held", Format::Human, Held(gate))]).unwrap();
    let host = Host::start_with(|config| config.logger = Some(logger.clone()));
    let app = std::sync::Arc::clone(host.server.as_ref().unwrap().app());
    let dropped = "of the log were dropped";
    assert!(told(&full(&app), "amber", dropped).is_empty());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(logger.layer()), || {
        while logger.counts().dropped == 0 {
            tracing::info!("a line");
        }
    });
    assert_eq!(
        told(&full(&app), "amber", dropped),
        [format!("{} lines of the log were dropped", logger.counts().dropped)]
    );
    drop(open);
}
