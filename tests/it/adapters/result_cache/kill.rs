//! A process that is killed while it writes.

use super::*;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use daur_core::rng::Rng;
use daur_std::services::result_cache::key;

const WRITER: &str = env!("CARGO_BIN_EXE_daur-test-results");

/// What the writer has put there, if it is as it was.
fn is_there(cache: &ResultCache, round: u64, i: u64) -> bool {
    let value = vec![i as u8; (i % 7 * 1_024) as usize + 1];
    cache.get(&key([round, i].map(u64::to_le_bytes)), NOW).is_some_and(|found| found == value)
}

#[test]
fn rule_2_twenty_five_kills_during_writes_lose_no_acknowledged_row() {
    let folder = Folder::new("killed");
    let mut rng = Rng::new(25);
    let mut told = Vec::new();
    for round in 0..25 {
        let mut child =
            Command::new(WRITER).arg(folder.file()).arg(round.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = 1 + rng.next_u32() % 150;
        let before = lines.by_ref().take(enough as usize).map(|line| line.unwrap().parse::<u64>().unwrap());
        let mut last = before.last().expect("it writes");
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        // The kill may have cut the last line short, which only lowers the number.
        for number in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
            last = last.max(number);
        }
        told.push(last);
        let cache = folder.open();
        for i in 0..=last {
            assert!(is_there(&cache, round, i), "row {i} of {last} in round {round}");
        }
        assert!(cache.snapshot().up);
    }
    let cache = folder.open();
    let rows: u64 = told.iter().map(|last| last + 1).sum();
    assert!(cache.snapshot().rows >= rows);
    for (round, last) in (0..).zip(told) {
        assert!((0..=last).all(|i| is_there(&cache, round, i)), "round {round} at the end");
    }
    assert_eq!(folder.quarantined(), 0);
}
