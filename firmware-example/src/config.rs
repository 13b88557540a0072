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
