//! What a cache of results decides: by which key, for how long, what goes when room is short, and what it counts.
//!
//! Where the results are kept is another's: `daur_std::services::result_cache` keeps them in SQLite, a device in its
//! flash or in a [`Cache`](crate::performance::cache::Cache). Both decide the same.

mod key;
mod life;
mod room;
mod snapshot;

pub use self::key::{KEY_LEN, Key, KeyBuilder};
pub use self::life::{Age, Life, Ttl, TtlError};
pub use self::room::{Hand, Marks, Pass, Room, RoomError, Verdict};
pub use self::snapshot::Snapshot;
