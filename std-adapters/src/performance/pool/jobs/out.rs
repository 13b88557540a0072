//! How jobs go out, and how workers sleep and are woken.

use std::collections::VecDeque;
use std::mem;

use daur_core::time::{Clock, Instant};

use super::super::sync::{Ordering, contain, lock, look, wait};
use super::super::task::Tally;
use super::{Entry, Jobs, Outgoing, Work};
use crate::clock::StdClock;

/// What a worker that asked for a job gets.
pub(in super::super) enum Next {
    Job(Entry),
    /// Nothing, ever again.
    End,
}

impl Jobs {
    /// Takes the job whose turn it is.
    fn pop_from(&self, outgoing: &mut Outgoing) -> Option<Entry> {
        loop {
            let levels = self.levels.load(Ordering::Acquire);
            let held =
                outgoing.lines.iter().enumerate().map(|(level, line)| u8::from(!line.is_empty()) << level).sum::<u8>();
            if (held | levels).is_power_of_two() && held != 0 {
                // What most pools have all the time: one line alone.
                outgoing.turns.reset();
                self.left(1);
                return outgoing.lines.get_mut(held.trailing_zeros() as usize)?.pop_front();
            }
            let number = |line: &VecDeque<Entry>| line.front().map(|entry| entry.number);
            let numbers = outgoing.lines.each_ref().map(number);
            let newest = numbers.iter().flatten().max().copied().unwrap_or(0);
            let mut ages = numbers
                .map(|number| Some(u32::try_from(newest - number?).map_or(u32::MAX, |age| age.saturating_add(1))));
            for (level, age) in ages.iter_mut().enumerate() {
                // Whatever came in is younger than all that goes out.
                if age.is_none() && levels & (1 << level) != 0 {
                    *age = Some(0);
                }
            }
            let line = outgoing.turns.peek(ages)?.index();
            if outgoing.lines[line].is_empty() {
                self.take_over(outgoing);
                continue;
            }
            let _ = outgoing.turns.take(ages);
            self.left(1);
            return outgoing.lines[line].pop_front();
        }
    }

    /// Lets all that came in go out.
    pub(super) fn take_over(&self, outgoing: &mut Outgoing) {
        let mut incoming = self.incoming();
        for (from, to) in incoming.lines.iter_mut().zip(&mut outgoing.lines) {
            if to.is_empty() {
                mem::swap(from, to);
            } else {
                to.append(from);
            }
        }
        self.levels.store(0, Ordering::Release);
    }

    /// The next job of a worker, which sleeps until there is one. `searching`: it counts as one who looks for a job.
    pub(in super::super) fn next(&self, searching: &mut bool) -> Next {
        loop {
            let mut outgoing = self.outgoing();
            if outgoing.surplus > 0 {
                outgoing.surplus -= 1;
                self.stop_searching(&outgoing, searching);
                return Next::End;
            }
            if let Some(entry) = self.pop_from(&mut outgoing) {
                self.stop_searching(&outgoing, searching);
                let calls = outgoing.call_one();
                drop(outgoing);
                if calls {
                    self.call();
                }
                return Next::Job(entry);
            }
            let mut incoming = self.incoming();
            if incoming.lines.iter().any(|line| !line.is_empty()) {
                continue;
            }
            if incoming.closed {
                incoming.searching -= usize::from(mem::take(searching));
                return Next::End;
            }
            if !*searching && incoming.searching == 0 {
                incoming.searching += 1;
                *searching = true;
                drop((incoming, outgoing));
                look(|| self.levels.load(Ordering::Relaxed) != 0);
                continue;
            }
            if mem::take(searching) {
                incoming.searching -= 1;
            }
            incoming.sleeping += 1;
            drop(outgoing);
            while incoming.woken == 0 {
                incoming = wait(&self.work, incoming, None).0;
            }
            incoming.woken -= 1;
            *searching = true;
        }
    }

    /// A worker has found what it looked for: if there is more, the next one is woken.
    #[inline]
    fn stop_searching(&self, outgoing: &Outgoing, searching: &mut bool) {
        if !mem::take(searching) {
            return;
        }
        let mut incoming = self.incoming();
        incoming.searching -= 1;
        let more = outgoing.lines.iter().chain(&incoming.lines).any(|line| !line.is_empty());
        if more && incoming.wake_one() {
            drop(incoming);
            self.work.notify_one();
        }
    }

    /// A job for who is no worker that waits for one, or already runs another.
    pub(in super::super) fn try_pop(&self) -> Option<Entry> {
        let mut outgoing = self.outgoing();
        let entry = self.pop_from(&mut outgoing)?;
        let calls = outgoing.call_one();
        drop(outgoing);
        if calls {
            self.call();
        }
        Some(entry)
    }

    /// Runs a job that was taken out.
    #[inline]
    pub(in super::super) fn run(&self, entry: Entry, tally: &Tally) {
        // Who was cancelled, or run by who joined it, does not wait until now.
        if entry.pushed_at < Instant::MAX && entry.work.waits() {
            let waited = StdClock.now().since(entry.pushed_at);
            lock(&self.waited).record(waited.as_nanos());
        }
        contain(|| match entry.work {
            Work::Shared(job) => {
                if !job.run(tally, None) {
                    self.was_dead();
                }
            }
            Work::Alone(job) => drop(tally.count(job)),
        });
    }
}
