//! The accounted queue between the callers and the writer.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::entry::{is_cut, set_number};
use super::recent::Recent;

/// For how long the writer gathers lines once there is one, so that callers need not wake it for each.
const GATHER: Duration = Duration::from_millis(1);

thread_local! {
    /// The queue whose writer this thread is, by its address.
    static WRITER_OF: Cell<usize> = const { Cell::new(0) };
}

/// What became of the lines of a [`Logger`](super::Logger).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Lines that were wanted by level and target.
    pub sent: u64,
    /// Those of them that every sink has taken.
    pub written: u64,
    /// Those of them that at least one sink has not got, or that nobody waits for any more.
    pub dropped: u64,
    /// Those of them that wait.
    pub queued: u64,
    /// Of the dropped, those that the queue had no room for, or that came after the shutdown.
    pub refused: u64,
    /// Lines that were longer than a line may be.
    pub cut: u64,
    /// Lines that a sink itself logged while it wrote; they are left out, and not among the sent.
    pub from_sinks: u64,
    /// What each sink has taken.
    pub sinks: Vec<SinkCounts>,
}

/// What became of the lines at one sink; its two figures and the queued make up all that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct SinkCounts {
    /// The sink's name.
    pub name: String,
    /// Lines it has taken.
    pub written: u64,
    /// Lines it has not got.
    pub dropped: u64,
    /// What it said when it last did not take one.
    pub last_error: Option<String>,
}

/// Bytes of a whole queue and of one line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) queue: usize,
    pub(super) line: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) limits: Limits,
    pub(super) recent: Recent,
    state: Mutex<State>,
    /// There is something to do for the writer.
    wake: Condvar,
    /// The writer has done something.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    buffer: Vec<u8>,
    sent: u64,
    refused: u64,
    cut: u64,
    from_sinks: u64,
    /// Refused since the writer took lines; it tells them behind those.
    untold: u64,
    /// Lines of which is known what became of them, refused ones included.
    decided: u64,
    /// Of the decided ones, those that every sink has taken.
    written: u64,
    sinks: Vec<SinkCounts>,
    /// The number up to which the writer has come, notes and sinks' buffers included.
    passed: u64,
    /// Somebody waits until it has come so far.
    awaited: u64,
    writer: Writer,
    closed: bool,
    /// What the writer decides from now on does not count.
    given_up: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Busy,
    /// Waits for a first line.
    Asleep,
    /// Waits for more.
    Gathering,
    Gone,
}

/// What the writer takes at a time.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Lines that came behind them and found no room.
    pub(super) refused: u64,
    /// The last of all these.
    until: u64,
}

/// A lock that a panic of another thread does not break: what it guards is whole at every moment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    pub(super) fn new(limits: Limits, sinks: Vec<String>, recent: usize) -> Self {
        let sinks = sinks.into_iter().map(|name| SinkCounts { name, ..SinkCounts::default() }).collect();
        let state = State { sinks, ..State::default() };
        Self {
            limits,
            recent: Recent::new(recent),
            state: Mutex::new(state),
            wake: Condvar::new(),
            done: Condvar::new(),
        }
    }

    /// Appends a line, or counts it as refused.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = lock(&self.state);
        state.sent += 1;
        state.cut += u64::from(is_cut(line));
        // Once one is refused, those behind it are too, so that the loss can be told in its place.
        if state.closed || state.untold > 0 || state.buffer.len() + line.len() > self.limits.queue {
            state.refused += 1;
            state.decided += 1;
            // Behind the end of the log nobody tells it.
            state.untold += u64::from(!state.closed);
            for sink in &mut state.sinks {
                sink.dropped += 1;
            }
            return;
        }
        let (at, number) = (state.buffer.len(), state.sent);
        state.buffer.extend_from_slice(line);
        if let Some(line) = state.buffer.get_mut(at..) {
            set_number(line, number);
        }
        let is_due = match state.writer {
            Writer::Asleep => true,
            Writer::Gathering => state.buffer.len() > self.limits.queue / 2,
            Writer::Busy | Writer::Gone => false,
        };
        if is_due {
            state.writer = Writer::Busy;
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Makes this thread the writer.
    pub(super) fn begin_writing(&self) {
        WRITER_OF.set(std::ptr::from_ref(self).addr());
    }

    /// Whether this thread is the writer.
    pub(super) fn is_writer(&self) -> bool {
        WRITER_OF.try_with(Cell::get) == Ok(std::ptr::from_ref(self).addr())
    }

    /// Counts a line of the writer itself.
    pub(super) fn count_own(&self) {
        lock(&self.state).from_sinks += 1;
    }

    /// Waits for lines and takes them all; `false` at the end. The batch's buffer becomes the queue's.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        let mut state = lock(&self.state);
        while state.buffer.is_empty() && state.untold == 0 && !state.closed {
            state.writer = Writer::Asleep;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let since = Instant::now();
        while !state.is_urgent(self.limits.queue) {
            let Some(left) = GATHER.checked_sub(since.elapsed()) else { break };
            state.writer = Writer::Gathering;
            (state, _) = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
        state.writer = Writer::Busy;
        batch.bytes.clear();
        std::mem::swap(&mut batch.bytes, &mut state.buffer);
        batch.refused = std::mem::take(&mut state.untold);
        batch.until = state.sent;
        !(batch.bytes.is_empty() && batch.refused == 0)
    }

    /// Takes note of what became of a line: `taken[i]` is what the `i`-th sink says. `false`: nobody waits for it any more.
    pub(super) fn decide(&self, errors: &[Option<String>]) -> bool {
        let mut state = lock(&self.state);
        if state.given_up {
            return false;
        }
        state.decided += 1;
        state.written += u64::from(errors.iter().all(Option::is_none));
        for (sink, error) in state.sinks.iter_mut().zip(errors) {
            match error {
                None => sink.written += 1,
                Some(error) => {
                    sink.dropped += 1;
                    sink.last_error = Some(error.clone());
                }
            }
        }
        true
    }

    /// The writer is done with these lines.
    pub(super) fn pass(&self, batch: &Batch) {
        let mut state = lock(&self.state);
        state.passed = state.passed.max(batch.until);
        if state.awaited > 0 {
            self.done.notify_all();
        }
    }

    /// The writer is at its end.
    pub(super) fn end_writing(&self) {
        lock(&self.state).writer = Writer::Gone;
        self.done.notify_all();
    }

    pub(super) fn counts(&self) -> Counts {
        let state = lock(&self.state);
        Counts {
            sent: state.sent,
            written: state.written,
            dropped: state.decided - state.written,
            queued: state.sent - state.decided,
            refused: state.refused,
            cut: state.cut,
            from_sinks: state.from_sinks,
            sinks: state.sinks.clone(),
        }
    }

    /// Waits until what was sent so far is decided.
    pub(super) fn flush(&self, deadline: Duration) -> bool {
        if self.is_writer() {
            return false;
        }
        let mut state = lock(&self.state);
        let until = state.sent;
        state.awaited = state.awaited.max(until);
        self.wake.notify_one();
        let waits = |state: &mut State| state.passed < until && state.writer != Writer::Gone;
        (state, _) = self.done.wait_timeout_while(state, deadline, waits).unwrap_or_else(PoisonError::into_inner);
        state.passed >= until || state.given_up
    }

    /// Ends the queue; says whether the writer has come to its end within the deadline. What it has not written by
    /// then is given up.
    pub(super) fn close(&self, deadline: Duration) -> bool {
        let mut state = lock(&self.state);
        state.closed = true;
        self.wake.notify_one();
        let deadline = if self.is_writer() { Duration::ZERO } else { deadline };
        let waits = |state: &mut State| state.writer != Writer::Gone;
        (state, _) = self.done.wait_timeout_while(state, deadline, waits).unwrap_or_else(PoisonError::into_inner);
        if !state.given_up {
            state.given_up = true;
            let left = state.sent - state.decided;
            state.decided = state.sent;
            state.passed = state.sent;
            for sink in &mut state.sinks {
                sink.dropped += left;
            }
            state.buffer.clear();
        }
        self.done.notify_all();
        state.writer == Writer::Gone
    }
}

impl State {
    /// Not to be gathered for.
    fn is_urgent(&self, limit: usize) -> bool {
        self.closed || self.untold > 0 || self.awaited > self.passed || self.buffer.len() > limit / 2
    }
}
