//! The last lines of a device's log, over its resets.

use std::collections::VecDeque;

use daur_core::monitoring::log::Level;

use super::status::LogLine;

/// Keeps lines in the order in which they were said, as far as anybody can tell: those from before the reset, then those of
/// this life.
pub(super) struct DeviceLog {
    max: usize,
    lines: VecDeque<LogLine>,
}

impl DeviceLog {
    pub(super) const fn new(max: usize) -> Self {
        Self { max, lines: VecDeque::new() }
    }

    pub(super) const fn lines(&self) -> &VecDeque<LogLine> {
        &self.lines
    }

    /// A line of this life.
    pub(super) fn say(&mut self, line: LogLine) {
        if let Some(last) = self.lines.back_mut()
            && !last.before_reset
            && last.says(&line)
        {
            last.repeated = last.repeated.saturating_add(1);
            last.device_last_at_ms = line.device_last_at_ms;
            return;
        }
        self.put(self.lines.len(), line);
    }

    /// Another life of the same device has begun.
    pub(super) fn on_reset(&mut self) {
        for line in &mut self.lines {
            (line.before_reset, line.told_again) = (true, false);
        }
    }

    /// The device tells, the oldest first, what it has kept over the reset: known already, or lost at its end.
    pub(super) fn recover(&mut self, line: LogLine) {
        let known = |kept: &&mut LogLine| {
            kept.before_reset && !kept.told_again && kept.device_at_ms == line.device_at_ms && kept.says(&line)
        };
        if let Some(kept) = self.lines.iter_mut().find(known) {
            kept.told_again = true;
            kept.repeated = kept.repeated.max(line.repeated);
            kept.device_last_at_ms = kept.device_last_at_ms.max(line.device_last_at_ms);
            return;
        }
        // Behind the one that was told before it, and those that were said between the two.
        let told = self.lines.iter().rposition(|kept| kept.told_again).map_or(0, |place| place + 1);
        let is_earlier = |kept: &&LogLine| kept.before_reset && kept.device_at_ms <= line.device_at_ms;
        let between = self.lines.iter().skip(told).take_while(is_earlier).count();
        self.put(told + between, LogLine { before_reset: true, told_again: true, ..line });
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
    }

    fn put(&mut self, place: usize, line: LogLine) {
        self.lines.insert(place, line);
        while self.lines.len() > self.max {
            self.lines.pop_front();
        }
    }
}

impl LogLine {
    pub(super) fn new(device_at_ms: u64, level: Level, target: String, message: String) -> Self {
        let (device_last_at_ms, repeated, before_reset, told_again) = (device_at_ms, 0, false, false);
        Self { device_at_ms, device_last_at_ms, level, target, message, repeated, before_reset, told_again }
    }

    fn says(&self, other: &Self) -> bool {
        (self.level, &self.target, &self.message) == (other.level, &other.target, &other.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at_ms: u64, message: &str) -> LogLine {
        LogLine::new(at_ms, Level::Info, "test".to_owned(), message.to_owned())
    }

    fn shown(log: &DeviceLog) -> Vec<(&str, u32, bool)> {
        log.lines().iter().map(|line| (line.message.as_str(), line.repeated, line.before_reset)).collect()
    }

    #[test]
    fn lines_that_are_known_are_shown_once_and_those_lost_at_the_end_in_their_place() {
        let mut log = DeviceLog::new(9);
        for said in [line(1, "a"), line(2, "b"), line(4, "d")] {
            log.say(said);
        }
        log.on_reset();
        log.say(line(0, "new"));
        for told in [line(2, "b"), line(3, "c"), line(4, "d"), LogLine { repeated: 3, ..line(5, "e") }] {
            log.recover(told);
        }
        let before = [("a", 0, true), ("b", 0, true), ("c", 0, true), ("d", 0, true), ("e", 3, true)];
        assert_eq!(shown(&log)[..5], before);
        assert_eq!(shown(&log)[5..], [("new", 0, false)]);
    }

    #[test]
    fn a_host_that_knows_nothing_shows_all_in_order_and_one_that_came_late_too() {
        let mut log = DeviceLog::new(9);
        log.say(line(0, "new"));
        log.recover(line(8, "a"));
        log.recover(line(2, "of another life"));
        log.recover(line(3, "b"));
        assert_eq!(shown(&log).iter().map(|line| line.0).collect::<Vec<_>>(), ["a", "of another life", "b", "new"]);
        let mut log = DeviceLog::new(9);
        log.say(line(5, "known"));
        log.on_reset();
        for told in [line(1, "before it came"), line(5, "known"), line(6, "after")] {
            log.recover(told);
        }
        assert_eq!(shown(&log).iter().map(|line| line.0).collect::<Vec<_>>(), ["before it came", "known", "after"]);
    }

    #[test]
    fn each_of_two_lines_that_say_the_same_at_the_same_time_of_two_lives_is_told_and_shown() {
        let mut log = DeviceLog::new(9);
        for _ in 0..2 {
            log.say(line(1, "start"));
            log.on_reset();
        }
        log.say(line(1, "start"));
        log.recover(line(1, "start"));
        log.recover(line(1, "start"));
        assert_eq!(shown(&log), [("start", 0, true), ("start", 0, true), ("start", 0, false)]);
        // A third that the host has not heard of.
        log.recover(line(1, "start"));
        assert_eq!(log.lines().len(), 4);
    }

    #[test]
    fn repetitions_are_counted_within_a_life_and_the_oldest_make_room() {
        let mut log = DeviceLog::new(2);
        for said in [line(1, "a"), line(2, "a"), line(3, "b"), line(4, "a")] {
            log.say(said);
        }
        assert_eq!(shown(&log), [("b", 0, false), ("a", 0, false)]);
        log.say(line(9, "a"));
        assert_eq!((shown(&log)[1], log.lines()[1].device_last_at_ms), (("a", 1, false), 9));
        log.on_reset();
        log.say(line(0, "a"));
        assert_eq!(shown(&log), [("a", 1, true), ("a", 0, false)]);
    }
}
