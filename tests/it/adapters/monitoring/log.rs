//! The host's log: whatever its sinks do, each line is accounted for.

mod accounts;
mod files;
mod layer;

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daur_core::time::UnixTime;
use daur_std::monitoring::log::sink::{Output, Sink};
use daur_std::monitoring::log::{Config, Counts, Format, Logger};
use tracing_subscriber::layer::SubscriberExt;

/// Longer than anything takes that is to end.
const LONG: Duration = Duration::from_secs(60);

/// Remembers the lines it has taken.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<String>>>);

impl Memory {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn output(&self, name: &str) -> Output {
        Output::new(name, Format::Human, self.clone())
    }
}

impl Sink for Memory {
    fn write(&mut self, line: &[u8], _: UnixTime) -> io::Result<()> {
        let line = std::str::from_utf8(line).unwrap();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
        self.0.lock().unwrap().push(line.trim_end().to_owned());
        Ok(())
    }
}

/// Takes a line each time it is let, and says that it is about to.
struct Gate {
    asks: Sender<()>,
    lets: Receiver<()>,
    taken: Memory,
}

impl Gate {
    fn new() -> (Self, Receiver<()>, Sender<()>, Memory) {
        let ((asks, asked), (lets, let_through)) = (channel(), channel());
        let taken = Memory::default();
        (Self { asks, lets: let_through, taken: taken.clone() }, asked, lets, taken)
    }
}

impl Sink for Gate {
    fn write(&mut self, line: &[u8], at: UnixTime) -> io::Result<()> {
        let _ = self.asks.send(());
        // Open for good once the other end is gone.
        let _ = self.lets.recv();
        self.taken.write(line, at)
    }
}

fn quiet() -> Config {
    Config { console: None, ..Config::default() }
}

fn log_to(config: Config, outputs: Vec<Output>) -> Logger {
    Logger::with_outputs(config, outputs).unwrap()
}

/// Runs `work` with nothing but this log listening.
fn listening<R>(log: &Logger, work: impl FnOnce() -> R) -> R {
    tracing::subscriber::with_default(tracing_subscriber::registry().with(log.layer()), work)
}

fn add_up(counts: &Counts) {
    assert_eq!(counts.written + counts.dropped + counts.queued, counts.sent, "{counts:?}");
    for sink in &counts.sinks {
        assert_eq!(sink.written + sink.dropped + counts.queued, counts.sent, "{counts:?}");
    }
}

/// What stands behind level, target and colon.
fn message(line: &str) -> &str {
    line.split_once(": ").unwrap().1
}
