//! One limit, or one breaker, for each of many keys, in a bounded table.
//!
//! * [`limiter`]: so many requests for each user or address, 30 bytes a key.
//! * [`breakers`]: a breaker for each upstream, each tenant, each program.
//!
//! Keys come from strangers, so both tables have a fixed size. A key that is as good as new is forgotten to
//! make room, since that loses nothing. One that is limited, or whose breaker is open, never is: then the
//! newcomer is refused or goes untracked, as [`OnFull`] says, and that is counted.

pub mod breakers;
pub mod limiter;

pub use breakers::KeyedBreakers;
pub use limiter::KeyedLimiter;

/// Says what becomes of a new key when every place is taken by a key that must not be forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused: strangers cannot get around the limit by filling the table.
    #[default]
    Refuse,
    /// It is let through and not counted against anything: a full table locks nobody out.
    Admit,
}

/// The most keys that a table may be made for: a capacity that is larger is a mistake in a config, and would
/// end the process for want of memory.
pub const MAX_CAPACITY: usize = 1 << 24;

/// How many shards of at most `per_shard` keys hold `capacity` keys.
///
/// A hash spreads keys unevenly. More than one shard get a third more room than the average needs, so that
/// with `capacity` keys about one shard in a thousand is full.
const fn shards(capacity: usize, per_shard: usize) -> usize {
    if capacity <= per_shard { 1 } else { capacity.div_ceil(per_shard / 4 * 3) }
}

/// Which of `shards` a hash belongs to, by its upper half: the lower one is the shard's own.
const fn shard_of(hash: u64, shards: usize) -> usize {
    (((hash >> 32) * shards as u64) >> 32) as usize
}
