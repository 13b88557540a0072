//! Puts results into a cache until it is killed: what it prints is in the file.
//!
//! `results PATH ROUND`: row I of the round is `I % 7` KiB and a byte of I, under the key of the round and I. Every third is queued
//! and told by the one after it.

use daur_core::time::{Duration, UnixTime};
use daur_std::services::result_cache::{Config, ResultCache, Stored, key};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, round] = args.as_slice() else { return Err("PATH ROUND".into()) };
    let round: u64 = round.parse()?;
    let cache = ResultCache::open(path, Config::DEFAULT)?;
    let (ttl, now) = (Duration::from_secs(60), UnixTime::from_secs(1_800_000_000));
    for i in 0_u64.. {
        let key = key([round, i].map(u64::to_le_bytes));
        #[expect(clippy::cast_possible_truncation, reason = "a byte of it")]
        let value = vec![i as u8; (i % 7 * 1_024) as usize + 1];
        if i % 3 == 1 {
            cache.set_later(&key, &value, ttl, now);
        } else if cache.set(&key, &value, ttl, now) == Stored::Yes {
            // The queue is worked through in its order.
            println!("{i}");
        } else {
            return Err("skipped".into());
        }
    }
    Ok(())
}
