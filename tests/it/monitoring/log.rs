//! The ring of log lines against a naive model, over resets and damage.

use std::collections::VecDeque;

use daur_core::monitoring::log::{Config, Level, Log, Record, Recorded};
use daur_core::time::Instant;
use proptest::collection::vec;
use proptest::prelude::*;

const N: usize = 5;
type Ring = Log<N, 12>;

const ALL: Config = Config { level: Level::Trace };

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn say(log: &mut Ring, message: &str, secs: u64) -> Recorded {
    log.record(Level::Info, "test", message, at(secs))
}

fn said(log: &Ring) -> Vec<String> {
    log.records().map(|line| line.message.as_str().to_owned()).collect()
}

#[test]
fn rule_1_the_last_lines_are_kept_in_order_and_those_that_made_room_are_counted() {
    let mut log = Ring::new(Config::DEFAULT);
    assert_eq!(log.records().count(), 0);
    for n in 0..12 {
        assert_eq!(say(&mut log, &n.to_string(), n), Recorded::Kept { number: u32::try_from(n).unwrap() });
    }
    assert_eq!(said(&log), ["7", "8", "9", "10", "11"]);
    let figures = log.snapshot();
    assert_eq!((figures.len, figures.total, figures.dropped), (5, 12, 7));
    let numbers = |log: &Ring, n| log.recent(n, Level::Trace).map(|line| line.number).collect::<Vec<_>>();
    assert_eq!(numbers(&log, 2), [10, 11]);
    assert_eq!((numbers(&log, 0), numbers(&log, 99).len()), (vec![], 5));
}

#[test]
fn rule_2_a_line_that_is_less_grave_is_left_out_and_counted() {
    let mut log = Ring::new(Config { level: Level::Warn });
    assert_eq!(say(&mut log, "info", 1), Recorded::Filtered);
    assert!(matches!(log.record(Level::Warn, "t", "warn", at(1)), Recorded::Kept { .. }));
    log.set_level(Level::Debug);
    assert_eq!(log.level(), Level::Debug);
    assert!(matches!(log.record(Level::Debug, "t", "debug", at(1)), Recorded::Kept { .. }));
    assert_eq!(log.snapshot().filtered, 1);
    assert_eq!(log.recent(9, Level::Warn).count(), 1);
    assert_eq!(log.recent(1, Level::Warn).next().unwrap().message, "warn", "the last one that is wanted");
}

#[test]
fn rule_3_a_line_that_says_the_same_is_counted_with_the_time_of_the_last_but_not_across_a_reset() {
    let mut log = Ring::new(Config::DEFAULT);
    let _ = say(&mut log, "again", 1);
    assert_eq!(say(&mut log, "again", 2), Recorded::Repeated { repeated: 1 });
    assert_eq!(say(&mut log, "again", 9), Recorded::Repeated { repeated: 2 });
    let line = log.records().next().unwrap();
    assert_eq!((line.at, line.last_at, line.repeated), (at(1), at(9), 2));
    for (level, target, message) in
        [(Level::Warn, "test", "again"), (Level::Warn, "other", "again"), (Level::Warn, "other", "else")]
    {
        assert!(matches!(log.record(level, target, message, at(9)), Recorded::Kept { .. }));
    }
    log.recover(Config::DEFAULT);
    assert!(matches!(log.record(Level::Warn, "other", "else", at(0)), Recorded::Kept { .. }));
    assert_eq!(log.snapshot().len, 5);
}

#[test]
fn rule_4_target_and_message_are_cut_at_a_character_and_counted() {
    let mut log = Ring::new(Config::DEFAULT);
    let _ = log.record(Level::Info, "a target that is long", "12345678901ö", at(0));
    let line = log.records().next().unwrap();
    assert_eq!((line.target.as_str(), line.message.as_str()), ("a target that is", "12345678901"));
    assert_eq!(log.snapshot().cut, 1);
    // The same again, which is cut alike.
    let again = log.record(Level::Info, "a target that is longer", "12345678901€", at(0));
    assert_eq!(again, Recorded::Repeated { repeated: 1 });
}

#[test]
fn rule_5_and_6_lines_survive_a_reset_are_marked_and_handed_out_once_oldest_first() {
    let mut log = Ring::new(Config::DEFAULT);
    for n in 0..7 {
        let _ = say(&mut log, &n.to_string(), n);
    }
    let found = log.recover(Config::DEFAULT);
    assert_eq!((found.kept, found.damaged), (5, 0));
    assert_eq!(say(&mut log, "new", 0), Recorded::Kept { number: 7 }, "numbers go on");
    let lines: Vec<_> = log.records().map(|line| (line.number, line.before_reset)).collect();
    assert_eq!(lines, [(3, true), (4, true), (5, true), (6, true), (7, false)]);
    // The one that made room was not handed out.
    assert_eq!(log.snapshot().untold_dropped, 1);
    let mut told = Vec::new();
    while let Some(line) = log.untold() {
        assert_eq!(log.untold(), Some(line), "asking alone changes nothing");
        told.push(line.number);
        log.told(line.number);
    }
    assert_eq!(told, [3, 4, 5, 6]);
    let _ = say(&mut log, "newer", 1);
    assert_eq!(log.snapshot().untold_dropped, 1, "what was handed out may go");
    // What was told, never was, or is of this life: nothing is told by it.
    [4, 2, 8, 99].into_iter().for_each(|number| log.told(number));
    assert_eq!(log.snapshot().before_reset, 3);
    // At the next reset all are of before, and are handed out again.
    assert_eq!(log.recover(Config::DEFAULT).kept, 5);
    assert_eq!(log.untold().unwrap().number, 4);
}

#[test]
fn rule_6_a_line_that_makes_room_while_it_is_handed_out_takes_no_other_along() {
    let mut log = Ring::new(ALL);
    for n in 0..5 {
        let _ = say(&mut log, ["a", "b", "c", "d", "e"][n], n as u64);
    }
    let _ = log.recover(ALL);
    let line = log.untold().unwrap();
    // As an interrupt may, before anybody takes note.
    let _ = say(&mut log, "new", 9);
    log.told(line.number);
    assert_eq!((line.number, log.untold().unwrap().number), (0, 1));
    assert_eq!(log.snapshot().untold_dropped, 1);
}

#[test]
fn rule_5_memory_after_power_was_lost_is_an_empty_log() {
    for byte in [0, 1, 0xA5, 0xFF] {
        let mut log = Ring::new(Config::DEFAULT);
        let found = log.restore(std::iter::repeat_n(byte, Ring::BYTES), Config::DEFAULT);
        assert_eq!((found.kept, found.damaged), (0, if byte == 0 { 0 } else { 5 }), "of {byte}");
        assert_eq!((log.records().count(), log.untold()), (0, None));
        assert_eq!(say(&mut log, "first", 1), Recorded::Kept { number: 0 });
    }
    assert_eq!(Ring::new(Config::DEFAULT).restore([], Config::DEFAULT).kept, 0);
}

#[test]
fn rule_5_lines_of_another_size_of_ring_are_none() {
    let mut small: Log<4, 12> = Log::new(Config::DEFAULT);
    let _ = small.record(Level::Info, "test", "of a ring of four", at(0));
    let saved: Vec<u8> = small.bytes().collect();
    assert_eq!(saved.len(), Log::<4, 12>::BYTES);
    let mut log = Ring::new(Config::DEFAULT);
    assert_eq!(log.restore(saved, Config::DEFAULT).kept, 0);
}

#[test]
fn rule_5_a_damaged_line_is_left_out_alone_and_a_damaged_count_costs_no_line() {
    let mut log = Ring::new(Config::DEFAULT);
    for n in 0..5 {
        let _ = say(&mut log, &n.to_string(), n);
        let _ = say(&mut log, &n.to_string(), n + 10);
    }
    let whole: Vec<u8> = log.bytes().collect();
    let slot = Ring::BYTES / N;
    for place in 0..N {
        // The time is in the line's sum, the count of repetitions in one of its own.
        for (offset, lines, repeated) in [(0, 4, 1), (20, 5, 0)] {
            let mut bytes = whole.clone();
            bytes[place * slot + offset] ^= 4;
            let found = log.restore(bytes, Config::DEFAULT);
            assert_eq!((found.kept, found.damaged), (lines, 5 - lines));
            let left: Vec<_> = log.records().map(|line| (line.number as usize, line.repeated)).collect();
            assert_eq!(left.len() as u32, lines);
            let here = left.iter().find(|(number, _)| *number == place);
            assert_eq!(here.map(|(_, repeated)| *repeated), (lines == 5).then_some(repeated));
        }
    }
}

#[test]
fn numbers_go_round_and_lines_stay_in_order() {
    // As saved by a ring whose next number is the last: made by giving each line its number in its sums.
    let mut log = Ring::new(Config::DEFAULT);
    for n in 0..5 {
        let _ = say(&mut log, &n.to_string(), n);
    }
    let slot = Ring::BYTES / N;
    let mut bytes: Vec<u8> = log.bytes().collect();
    for place in 0..N {
        let number = (u32::MAX - 1).wrapping_add(u32::try_from(place).unwrap());
        renumber(&mut bytes[place * slot..(place + 1) * slot], number);
    }
    assert_eq!(log.restore(bytes, Config::DEFAULT).kept, 5);
    assert_eq!(said(&log), ["0", "1", "2", "3", "4"]);
    assert_eq!(say(&mut log, "5", 0), Recorded::Kept { number: 3 });
    assert_eq!(said(&log), ["1", "2", "3", "4", "5"]);
    assert!(log.records().take(4).all(|line| line.before_reset) && !log.records().last().unwrap().before_reset);
    assert_eq!(log.untold().unwrap().number, u32::MAX);
}

/// Gives a saved line another number, with its sums.
fn renumber(slot: &mut [u8], number: u32) {
    use daur_core::crc::Crc32;
    slot[16..20].copy_from_slice(&number.to_le_bytes());
    let long = |bytes: &mut Vec<u8>, value: u64| bytes.extend(value.to_le_bytes());
    let mut sum = Vec::new();
    long(&mut sum, N as u64);
    long(&mut sum, 12);
    long(&mut sum, number.into());
    sum.extend(&slot[0..8]);
    sum.push(slot[32]);
    for (start, size) in [(33, 16), (50, 12)] {
        let len = usize::from(slot[start]);
        assert!(len <= size);
        sum.extend(&slot[start..=start + len]);
    }
    slot[24..28].copy_from_slice(&Crc32::of(&sum).to_le_bytes());
    let mut counted = Vec::new();
    long(&mut counted, number.into());
    long(&mut counted, u32::from_le_bytes(slot[20..24].try_into().unwrap()).into());
    counted.extend(&slot[8..16]);
    slot[28..32].copy_from_slice(&Crc32::of(&counted).to_le_bytes());
}

#[test]
fn a_level_is_read_as_it_is_written() {
    for level in Level::ALL {
        assert_eq!(level.to_string().parse(), Ok(level));
        assert_eq!(level.as_str().to_uppercase().parse(), Ok(level));
        assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
    }
    assert!("verbose".parse::<Level>().is_err());
    assert!(Level::Error < Level::Trace);
}

/// The same, as one would write it where memory is no matter.
#[derive(Default)]
struct Model {
    lines: VecDeque<Record<12>>,
    total: u32,
    began: u32,
    untold: VecDeque<u32>,
    untold_dropped: u32,
    filtered: u32,
}

#[derive(Clone, Debug)]
enum Op {
    Say(Level, usize, usize, u64),
    Reset,
    Told,
}

impl Model {
    fn say(&mut self, level: Level, target: &str, message: &str, now: Instant, least: Level) -> Recorded {
        if level > least {
            self.filtered += 1;
            return Recorded::Filtered;
        }
        let began = self.began;
        if let Some(last) = self.lines.back_mut().filter(|last| last.number >= began)
            && (last.level, last.target.as_str(), last.message.as_str()) == (level, target, message)
        {
            last.repeated += 1;
            last.last_at = now;
            return Recorded::Repeated { repeated: last.repeated };
        }
        let number = self.total;
        self.total += 1;
        let (target, message) = (target.parse_text(), message.parse_text());
        let line = Record { number, at: now, last_at: now, level, target, message, repeated: 0, before_reset: false };
        self.lines.push_back(line);
        if self.lines.len() > N {
            let gone = self.lines.pop_front().unwrap();
            if self.untold.front() == Some(&gone.number) {
                self.untold.pop_front();
                self.untold_dropped += 1;
            }
        }
        Recorded::Kept { number }
    }

    fn reset(&mut self) {
        for line in &mut self.lines {
            line.before_reset = true;
        }
        self.untold = self.lines.iter().map(|line| line.number).collect();
        self.began = self.total;
        (self.untold_dropped, self.filtered) = (0, 0);
    }
}

trait ParseText {
    fn parse_text<const L: usize>(&self) -> daur_core::text::Text<L>;
}

impl ParseText for str {
    fn parse_text<const L: usize>(&self) -> daur_core::text::Text<L> {
        daur_core::text::Text::new(self).unwrap()
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..5_usize, 0..2_usize, 0..3_usize, 0..100_u64).prop_map(|(level, target, message, secs)| {
            Op::Say(Level::ALL[level], target, message, secs)
        }),
        1 => Just(Op::Reset),
        2 => Just(Op::Told),
    ]
}

proptest! {
    #[test]
    fn the_ring_does_what_the_model_does(ops in vec(op(), 0..80), saved in any::<bool>()) {
        let config = Config { level: Level::Debug };
        let (mut log, mut model) = (Ring::new(config), Model::default());
        for op in ops {
            match op {
                Op::Say(level, target, message, secs) => {
                    let (target, message) = (["one", "two"][target], ["", "ähm", "twelve bytes"][message]);
                    let expected = model.say(level, target, message, at(secs), config.level);
                    prop_assert_eq!(log.record(level, target, message, at(secs)), expected);
                }
                Op::Reset => {
                    let bytes: Vec<u8> = log.bytes().collect();
                    let found = if saved { log.restore(bytes, config) } else { log.recover(config) };
                    model.reset();
                    prop_assert_eq!((found.kept as usize, found.damaged), (model.lines.len(), 0));
                }
                Op::Told => {
                    if let Some(number) = model.untold.pop_front() {
                        log.told(number);
                    }
                }
            }
            prop_assert!(log.records().eq(model.lines.iter().copied()));
            prop_assert_eq!(log.untold().map(|line| line.number), model.untold.front().copied());
            let figures = log.snapshot();
            prop_assert_eq!((figures.len as usize, figures.total), (model.lines.len(), model.total));
            prop_assert_eq!((figures.filtered, figures.untold_dropped), (model.filtered, model.untold_dropped));
            prop_assert_eq!(figures.before_reset as usize, model.lines.iter().filter(|line| line.before_reset).count());
        }
    }

    #[test]
    fn memory_of_any_content_is_a_log(bytes in vec(any::<u8>(), 0..Ring::BYTES + 9), place in 0..N) {
        let mut log = Ring::new(ALL);
        let found = log.restore(bytes, ALL);
        prop_assert_eq!(found.kept as usize, log.records().count());
        for n in 0..=place {
            let _ = say(&mut log, &n.to_string(), 0);
        }
        prop_assert_eq!(log.records().filter(|line| !line.before_reset).count(), place + 1);
    }

    #[test]
    fn flipped_bits_cost_the_lines_they_hit_and_no_line_is_made_up(
        lines in 0..12_u64,
        flips in vec((0..Ring::BYTES, 0..8_u8), 0..6),
    ) {
        let mut log = Ring::new(ALL);
        for n in 0..lines {
            let _ = say(&mut log, &n.to_string(), n);
        }
        let before: Vec<_> = log.records().collect();
        let mut bytes: Vec<u8> = log.bytes().collect();
        let mut hit = [false; N];
        for (place, bit) in flips {
            bytes[place] ^= 1 << bit;
            hit[place / (Ring::BYTES / N)] = true;
        }
        let found = log.restore(bytes, ALL);
        let after: Vec<_> = log.records().collect();
        prop_assert_eq!(found.kept as usize, after.len());
        for line in &after {
            // The count of repetitions is 0 here, whether it was hit or not.
            let as_before = Record { before_reset: false, ..*line };
            prop_assert!(before.contains(&as_before), "{:?}", line);
        }
        let spared = before.iter().filter(|line| !hit[line.number as usize % N]);
        for line in spared {
            prop_assert!(after.iter().any(|left| left.number == line.number), "{:?}", line);
        }
    }
}
