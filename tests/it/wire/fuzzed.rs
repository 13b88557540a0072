//! The fuzzer's checks on streams of golden frames that are damaged at random, the same in every run.

use daur_core::rng::Rng;
use daur_tests::fuzz;

use super::golden::{downlinks, frames, line_of, line_of_downlink};

/// Frames behind one another, and what happened to them.
fn stream(lines: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut pick = |max: usize| usize::try_from(rng.at_most(max as u64)).unwrap();
    let mut stream = Vec::new();
    for _ in 0..=pick(5) {
        let mut line = lines[pick(lines.len() - 1)].clone();
        let at = pick(line.len() - 1);
        match pick(9) {
            0 => line[at] ^= 1 << pick(7),
            1 => drop(line.remove(at)),
            2 => line.insert(at, u8::try_from(pick(255)).unwrap()),
            3 => line.truncate(at),
            4 => drop(line.drain(..at)),
            // One within another.
            5 => drop(line.splice(at..at, lines[pick(lines.len() - 1)].iter().copied())),
            6 => line.extend((0..pick(600)).map(|_| u8::try_from(pick(255)).unwrap())),
            7 => line.iter_mut().for_each(|byte| *byte = u8::try_from(pick(255)).unwrap()),
            _ => {}
        }
        stream.extend(line);
    }
    stream
}

#[test]
fn frames_that_are_damaged_in_any_way_pass_the_fuzzers_checks() {
    let up = frames().into_iter().map(|(_, frame)| line_of(&frame));
    let down = downlinks().into_iter().map(|(_, message)| line_of_downlink(&message));
    let lines: Vec<_> = up.chain(down).collect();
    for seed in 0..3_000 {
        fuzz::run("wire", &stream(&lines, &mut Rng::new(seed)));
    }
    // Payloads themselves, as a line brings them whose check sum was right.
    for seed in 0..3_000 {
        let mut rng = Rng::new(seed);
        let mut payload = super::naive::decode(&lines[seed as usize % lines.len()], 512).payloads.remove(0);
        for _ in 0..=rng.at_most(2) {
            let at = usize::try_from(rng.at_most(payload.len() as u64 - 1)).unwrap();
            payload[at] = rng.next_u64().to_le_bytes()[0];
        }
        fuzz::run("wire", &super::naive::encode(&payload));
    }
}
