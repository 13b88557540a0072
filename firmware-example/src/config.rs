//! The node's policy, all in one place.

use daur_core::reliability::{breaker, executor, health, limiter, retry};
use daur_core::time::Duration;

include!(concat!(env!("OUT_DIR"), "/identity.rs"));

/// The firmware's version, told in `Hello`.
pub const FIRMWARE: &str = env!("CARGO_PKG_VERSION");

/// How the sensor is read: three tries some milliseconds apart, and not at all for two seconds after
/// three failures in a row.
pub const SENSOR: executor::Config = executor::Config {
    retry: retry::Config {
        max_attempts: retry::Attempts::Limited(3),
        initial_delay: Duration::from_millis(10),
        max_delay: Duration::from_millis(40),
        ..retry::Config::DEFAULT
    },
    // A sensor answers within 13 ms.
    attempt_timeout: Some(Duration::from_millis(200)),
    breaker: breaker::Config { failures: 3, recovery_timeout: Duration::from_secs(2), ..breaker::Config::DEFAULT },
    ..executor::Config::DEFAULT
};

/// For how long a reading stands in for those that fail.
pub const LAST_GOOD_FOR: Duration = Duration::from_secs(30);

/// What the sensor says of itself is asked for again after this time.
pub const REGISTERS_FOR: Duration = Duration::from_secs(10);

/// How often the sensor is read, unless a command says otherwise, and what a command may say.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// The least that `set-interval` allows.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The most that `set-interval` allows.
pub const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How often the node tells the host how it is.
pub const REPORT: Duration = Duration::from_secs(1);

/// Each task shows this often, at least, that it runs,
pub const BEAT: Duration = Duration::from_secs(1);

/// and is taken for dead when it has not for so long: then the watchdog is fed no more.
pub const ALIVE: health::CheckConfig =
    health::CheckConfig { period: None, max_age: Some(Duration::from_secs(3)), ..health::CheckConfig::LIVENESS };

/// The chip is reset when the watchdog was not fed for so long. A read takes a tenth of it at worst.
pub const WATCHDOG: Duration = Duration::from_secs(3);

/// A restart by command waits for the line to empty, no longer than this,
pub const FAREWELL: Duration = Duration::from_millis(500);
/// and for the last two bytes, which the port holds.
pub const LAST_BYTES: Duration = Duration::from_millis(1);

/// How many commands are looked at: a signature costs about 40,000 instructions to refuse.
pub const COMMANDS: limiter::Config = limiter::Config { rate: 2, period: Duration::from_secs(1), burst: 8 };

/// How much room the node's parts have. The chip's RAM decides, by its target: `build.rs`.
#[cfg(not(daur_small))]
pub mod room {
    /// Bytes that wait for the node; a power of two.
    pub const LINE: usize = 1024;
    /// Bytes that wait for the wire, 5.5 ms of it: the node wakes up as often to fill it. A power of two.
    pub const WIRE: usize = 64;
    /// Bytes of frames that the host has not acknowledged.
    pub const OUTBOX: usize = 2048;
    /// Bytes of one message of the host.
    pub const DOWNLINK: usize = daur_core::wire::frame::MAX_DOWNLINK;
    /// Records of the audit chain that wait for the outbox.
    pub const AUDIT: usize = 4;
    /// Lines of the log that a reset leaves alone.
    pub const LINES: usize = 8;
    /// Series of metrics.
    pub const SERIES: usize = 14;
    /// Kinds of errors that are counted.
    pub const KINDS: usize = 4;
    /// Errors that are kept whole.
    pub const ERRORS: usize = 2;

    /// What has to be heard of, or the watchdog is not fed: in the order of [`Task`](crate::node::Task).
    pub const TASKS: [&str; 3] = ["report task", "sensor task", "link task"];

    pub use daur_core::monitoring::profiler::Span;

    /// What the sensor says of itself.
    pub type Registers = daur_core::performance::cache::Cache<u8, u8, 4, daur_core::performance::cache::Lru<u8>>;
    /// How long reading takes: one operation, its two slowest calls, a histogram of 64 cells.
    pub type Times = daur_core::monitoring::profiler::Profiler<1, 2, daur_core::monitoring::histogram::Window<u32, 64>>;
}

/// The same for 8 KiB of RAM, of which the node takes 6, its stack included.
#[cfg(daur_small)]
pub mod room {
    /// Bytes that wait for the node; a power of two: those of the 12 ms that it waits for the sensor.
    pub const LINE: usize = 256;
    /// Bytes that wait for the wire; a power of two.
    pub const WIRE: usize = 32;
    /// Bytes of frames that the host has not acknowledged.
    pub const OUTBOX: usize = 640;
    /// Bytes of one message of the host: of a command with three permissions and a date, a name of 32 characters and 50
    /// of text.
    pub const DOWNLINK: usize = 384;
    /// Records of the audit chain that wait for the outbox.
    pub const AUDIT: usize = 1;
    /// Lines of the log that a reset leaves alone.
    pub const LINES: usize = 2;
    /// Series of metrics: the first that are counted or set.
    pub const SERIES: usize = 7;
    /// Kinds of errors that are counted.
    pub const KINDS: usize = 2;
    /// Errors that are kept whole.
    pub const ERRORS: usize = 1;
    /// What has to be heard of, or the watchdog is not fed.
    #[cfg(not(daur_chip = "stm32f1"))]
    pub const TASKS: [&str; 1] = ["loop"];
    /// Nothing, where RAM is least: one loop feeds it by coming round.
    #[cfg(daur_chip = "stm32f1")]
    pub const TASKS: [&str; 0] = [];

    pub use crate::absent::{Registers, Span, Times};
}
