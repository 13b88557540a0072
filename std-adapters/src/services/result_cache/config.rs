//! What a cache may take.

use daur_core::services::result_cache::{Room, Ttl};
use daur_core::time::Duration;

use super::{ENTRY_OVERHEAD, MAX_KEY};
use crate::error::Error;

/// How large the cache may grow and how long it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Largest size of the database file. Its log adds up to 8 MiB and one batch, of up to 4 MiB or one value.
    pub max_bytes: u64,
    /// Largest value; a larger one is not kept.
    pub max_value_bytes: usize,
    /// Bytes that may wait for the writer; what comes beyond is not kept.
    pub max_queued_bytes: u64,
    /// Longest wait for a lock that another process holds.
    pub busy_timeout: Duration,
    /// Connections that read side by side.
    pub readers: usize,
    /// Bytes of pages that each of them keeps.
    pub page_cache_bytes: u64,
    /// Bytes of the file that readers map into memory. 0 for none: a look-up in a file larger than the page cache is
    /// cheaper by it, but somebody who cuts a mapped file short ends this process (`SIGBUS`).
    pub mmap_bytes: u64,
    /// How long entries may be kept.
    pub ttl: Ttl,
    /// Thousandths of `max_bytes` above which entries go.
    pub high_permille: u16,
    /// So far down they go then.
    pub low_permille: u16,
}

impl Config {
    /// 64 MiB, values up to 1 MiB, 8 MiB queued, a quarter of a second, two readers with 8 MiB of pages
    /// each; nothing mapped, and times to live as they are asked for.
    pub const DEFAULT: Self = Self {
        max_bytes: 64 << 20,
        max_value_bytes: 1 << 20,
        max_queued_bytes: 8 << 20,
        busy_timeout: Duration::from_millis(250),
        readers: 2,
        page_cache_bytes: 8 << 20,
        mmap_bytes: 0,
        ttl: Ttl::DEFAULT,
        high_permille: Room::DEFAULT.high_permille,
        low_permille: Room::DEFAULT.low_permille,
    };

    /// Checks the fields, also against each other.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name and what is allowed.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.max_bytes < 256 << 10 || self.max_bytes > 1 << 40 {
            return Err(Error::Config { field: "max_bytes", allowed: "from 256 KiB to 1 TiB" });
        }
        if self.max_value_bytes == 0 || self.max_value_bytes as u64 > self.max_bytes / 4 {
            return Err(Error::Config {
                field: "max_value_bytes",
                allowed: "at least 1 and at most a quarter of max_bytes",
            });
        }
        if self.max_queued_bytes < self.max_value_bytes as u64 + MAX_KEY as u64 + ENTRY_OVERHEAD {
            return Err(Error::Config { field: "max_queued_bytes", allowed: "at least max_value_bytes + 4224" });
        }
        if self.busy_timeout.as_secs() > 60 {
            return Err(Error::Config { field: "busy_timeout", allowed: "at most 60s" });
        }
        if self.readers == 0 || self.readers > 64 {
            return Err(Error::Config { field: "readers", allowed: "from 1 to 64" });
        }
        if self.page_cache_bytes < 64 << 10 || self.page_cache_bytes > 1 << 30 {
            return Err(Error::Config { field: "page_cache_bytes", allowed: "from 64 KiB to 1 GiB" });
        }
        if self.mmap_bytes > 1 << 40 {
            return Err(Error::Config { field: "mmap_bytes", allowed: "at most 1 TiB" });
        }
        if let Err(error) = self.ttl.validate() {
            return Err(Error::Config { field: error.field(), allowed: error.allowed() });
        }
        // Room for the largest value and the pages around it stays below the low water.
        if self.high_permille > 950 || self.low_permille > self.high_permille {
            return Err(Error::Config { field: "high_permille", allowed: "from low_permille to 950" });
        }
        if self.low_permille < 500 {
            return Err(Error::Config { field: "low_permille", allowed: "at least 500" });
        }
        Ok(())
    }

    /// The policy of room.
    pub(super) const fn room(&self) -> Room {
        Room {
            cap: self.max_bytes,
            high_permille: self.high_permille,
            low_permille: self.low_permille,
            ..Room::DEFAULT
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_checked_field_by_field() {
        assert!(Config::DEFAULT.validate().is_ok());
        let cases = [
            (Config { max_bytes: 1_000, ..Config::DEFAULT }, "max_bytes"),
            (Config { max_value_bytes: 0, ..Config::DEFAULT }, "max_value_bytes"),
            (Config { max_bytes: 1 << 20, ..Config::DEFAULT }, "max_value_bytes"),
            (Config { max_queued_bytes: 9, ..Config::DEFAULT }, "max_queued_bytes"),
            (Config { busy_timeout: Duration::MAX, ..Config::DEFAULT }, "busy_timeout"),
            (Config { readers: 0, ..Config::DEFAULT }, "readers"),
            (Config { page_cache_bytes: 0, ..Config::DEFAULT }, "page_cache_bytes"),
            (Config { mmap_bytes: u64::MAX, ..Config::DEFAULT }, "mmap_bytes"),
            (Config { ttl: Ttl { longest: Duration::ZERO, ..Ttl::DEFAULT }, ..Config::DEFAULT }, "longest"),
            (Config { ttl: Ttl { spread_permille: 501, ..Ttl::DEFAULT }, ..Config::DEFAULT }, "spread_permille"),
            (Config { high_permille: 951, ..Config::DEFAULT }, "high_permille"),
            (Config { low_permille: 900, ..Config::DEFAULT }, "high_permille"),
            (Config { low_permille: 499, ..Config::DEFAULT }, "low_permille"),
        ];
        for (config, wrong) in cases {
            match config.validate() {
                Err(Error::Config { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }
}
