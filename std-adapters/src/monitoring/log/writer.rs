//! The thread that writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use daur_core::time::UnixTime;

use super::entry::lines;
use super::line::Line;
use super::queue::{Batch, Queue};
use super::render::render;
use super::sink::Output;
use crate::error::Error;

/// The target of what the log says of itself.
const TARGET: &str = "daur_std::monitoring::log";

/// Starts the writer of this queue.
pub(super) fn start(queue: Arc<Queue>, outputs: Vec<Output>) -> Result<JoinHandle<()>, Error> {
    let ends = outputs.into_iter().map(|output| End { output, owed: None, text: String::new() }).collect();
    let writer = Writer { queue, ends, errors: Vec::new(), last: 0 };
    let run = Builder::new().name("daur-log".to_owned()).spawn(move || writer.run());
    run.map_err(|error| Error::io("starting the thread of the log", error))
}

struct Writer {
    queue: Arc<Queue>,
    ends: Vec<End>,
    /// What each sink said to the present line.
    errors: Vec<Option<String>>,
    /// The number of the last line.
    last: u64,
}

/// A sink, and what it has to be told.
struct End {
    output: Output,
    /// Lines it has not got since it last took one, and why.
    owed: Option<(u64, String)>,
    /// The line as it looks there.
    text: String,
}

impl Writer {
    fn run(mut self) {
        self.queue.begin_writing();
        let mut batch = Batch::default();
        while self.queue.take(&mut batch) && self.write(&batch) {
            self.queue.pass(&batch);
        }
        let Self { queue, ends, .. } = self;
        // Files have compressed what they began to when they are dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(ends)));
        queue.end_writing();
    }

    /// Writes a batch; `false` if nobody waits for it any more.
    fn write(&mut self, batch: &Batch) -> bool {
        for view in lines(&batch.bytes) {
            self.last = view.number;
            let line = Line::of(&view);
            self.errors.clear();
            for end in &mut self.ends {
                self.errors.push(end.write(&line).err());
            }
            self.queue.recent.push(line);
            if !self.queue.decide(&self.errors) {
                return false;
            }
        }
        if batch.refused > 0 {
            self.last += batch.refused;
            let (count, why) = (batch.refused, "the queue was full");
            self.queue.recent.push(note(count, why, self.last));
            for end in &mut self.ends {
                end.owe(count, why);
            }
        }
        for end in &mut self.ends {
            // What cannot be told now is told before the next line.
            let _ = end.settle(self.last);
            let _ = attempt(|| end.output.sink.flush());
        }
        true
    }
}

impl End {
    fn write(&mut self, line: &Line) -> Result<(), String> {
        let written = self.settle(line.seq).and_then(|()| self.put(line));
        if let Err(why) = &written {
            self.owe(1, why);
        }
        written
    }

    fn owe(&mut self, count: u64, why: &str) {
        let (owed, _) = self.owed.take().unwrap_or_default();
        self.owed = Some((owed + count, why.to_owned()));
    }

    /// Tells of the lines that are missing here.
    fn settle(&mut self, number: u64) -> Result<(), String> {
        let Some((count, why)) = &self.owed else { return Ok(()) };
        self.put(&note(*count, why, number))?;
        self.owed = None;
        Ok(())
    }

    fn put(&mut self, line: &Line) -> Result<(), String> {
        self.text.clear();
        render(line, self.output.format, &mut self.text);
        let (sink, text) = (&mut self.output.sink, self.text.as_bytes());
        attempt(|| sink.write(text, UnixTime::from_millis(line.at_ms)))
    }
}

/// Runs a sink's work.
fn attempt(work: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("the sink panicked".to_owned()),
    }
}

/// The line that stands where others are missing.
fn note(count: u64, why: &str, number: u64) -> Line {
    let lines = if count == 1 { "line" } else { "lines" };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
    Line::note(micros, number, TARGET, format!("{count} {lines} dropped: {why}"))
}
