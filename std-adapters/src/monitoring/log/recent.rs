//! The last lines, in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use daur_core::monitoring::log::Level;

use super::line::Line;
use super::queue::lock;

/// Bytes of text for each line that may be kept.
const BYTES_A_LINE: usize = 1_024;

#[derive(Debug)]
pub(super) struct Recent {
    max: usize,
    kept: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    lines: VecDeque<Line>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new(max: usize) -> Self {
        Self { max, kept: Mutex::default() }
    }

    pub(super) fn push(&self, line: Line) {
        if self.max == 0 {
            return;
        }
        let mut kept = lock(&self.kept);
        if let Some(last) = kept.lines.back_mut()
            && last.says_the_same(&line)
        {
            last.repeated += 1;
            (last.seq, last.last_at_ms) = (line.seq, line.at_ms);
            return;
        }
        kept.bytes += line.size();
        kept.lines.push_back(line);
        while kept.lines.len() > self.max || (kept.bytes > self.max * BYTES_A_LINE && kept.lines.len() > 1) {
            let Some(gone) = kept.lines.pop_front() else { break };
            kept.bytes -= gone.size();
        }
    }

    pub(super) fn last(&self, limit: usize, least: Level, after: u64) -> Vec<Line> {
        let kept = lock(&self.kept);
        let newer = kept.lines.iter().rev().take_while(|line| line.seq > after);
        let mut lines: Vec<_> = newer.filter(|line| line.level <= least).take(limit).cloned().collect();
        lines.reverse();
        lines
    }
}
