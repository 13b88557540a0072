//! Whose turn it is among several lines.

use super::Config;

/// How urgent an item is. Within one priority, first come is first served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Priority {
    /// What can wait: a report, a clean-up.
    Low,
    /// What most items have.
    #[default]
    Normal,
    /// What somebody waits for: an alarm, an answer.
    High,
}

impl Priority {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// All of them, the most urgent first.
    pub const ALL: [Self; Self::COUNT] = [Self::High, Self::Normal, Self::Low];

    /// The place in an array in the order of [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }
}

/// Decides which of several lines is served next: the most urgent one, but nobody is passed over for ever.
///
/// The policy of [`Queue`](super::Queue) and of the [`Scheduler`](crate::services::scheduler::Scheduler) alone, for whoever keeps the lines
/// themselves, as the thread pool of `daur-std`.
///
/// # Rules
/// 1. The most urgent line that holds something is served.
/// 2. But once an item was taken ahead of the one that waits longest `max_passed` times in a row, that one is taken.
/// 3. Looking changes nothing: [`peek`](Self::peek) says what [`take`](Self::take) will.
///
/// # Cost
/// Two bytes, part of what a [`Queue`](super::Queue) takes; a few comparisons a call.
///
/// # Example
/// ```
/// use daur_core::performance::queue::{Priority, Turns};
///
/// let mut turns = Turns::new(2);
/// // An urgent item stands behind two others again and again.
/// let lines = [Some(1), None, Some(3)];
/// assert_eq!(turns.take(lines), Some(Priority::High));
/// assert_eq!(turns.take(lines), Some(Priority::High));
/// assert_eq!(turns.take(lines), Some(Priority::Low));
/// assert_eq!(turns.take([None; 3]), None);
///
/// // Five lines of one's own.
/// let mut turns = Turns::new(0);
/// assert_eq!(turns.take_line([None, Some(1), None, Some(4), None]), Some(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// How `max_passed` differs from the default, by exclusive or: a `static` queue with the default is all zeros, and
    /// takes no flash.
    unlike_default: u8,
    /// How often in a row the longest waiting was passed over.
    passed: u8,
}

impl Turns {
    /// Passes over whoever waits longest at most `max_passed` times in a row; with 0 there are no priorities.
    #[must_use]
    pub const fn new(max_passed: u8) -> Self {
        Self { unlike_default: max_passed ^ Config::DEFAULT.max_passed, passed: 0 }
    }

    /// The line that is next. `ages` tells, in the order of [`Priority::ALL`], how many items have come since the first of each
    /// line did, itself counted; `None` for an empty line.
    #[must_use]
    pub fn peek(&self, ages: [Option<u32>; Priority::COUNT]) -> Option<Priority> {
        Priority::ALL.get(self.peek_line(ages)?).copied()
    }

    /// As [`peek`](Self::peek), and the item is taken.
    #[must_use = "the item counts as taken"]
    pub fn take(&mut self, ages: [Option<u32>; Priority::COUNT]) -> Option<Priority> {
        Priority::ALL.get(self.take_line(ages)?).copied()
    }

    /// As [`peek`](Self::peek), of any lines: the place of the next one in `ages`, where the most urgent comes first.
    #[must_use]
    pub fn peek_line(&self, ages: impl IntoIterator<Item = Option<u32>>) -> Option<usize> {
        Some(self.choose(ages)?.0)
    }

    /// As [`peek_line`](Self::peek_line), and the item is taken.
    #[must_use = "the item counts as taken"]
    pub fn take_line(&mut self, ages: impl IntoIterator<Item = Option<u32>>) -> Option<usize> {
        let (line, passes) = self.choose(ages)?;
        self.passed = if passes { self.passed.saturating_add(1) } else { 0 };
        Some(line)
    }

    /// Begins to count anew: for who takes an item while nothing waits in the other lines, and need not ask.
    #[inline]
    pub const fn reset(&mut self) {
        self.passed = 0;
    }

    /// The line, and whether somebody who waits longer is passed over.
    fn choose(&self, ages: impl IntoIterator<Item = Option<u32>>) -> Option<(usize, bool)> {
        let mut urgent = None;
        let mut oldest = None;
        for (line, age) in ages.into_iter().enumerate() {
            let Some(age) = age else { continue };
            urgent = urgent.or(Some(line));
            if oldest.is_none_or(|(_, most)| age > most) {
                oldest = Some((line, age));
            }
        }
        let (urgent, (oldest, _)) = (urgent?, oldest?);
        let passes = urgent != oldest;
        if passes && self.passed >= self.unlike_default ^ Config::DEFAULT.max_passed {
            Some((oldest, false))
        } else {
            Some((urgent, passes))
        }
    }
}
