//! Durations in configs that people write: `"100ms"` or `"5s"`; a bare number counts nanoseconds.
//!
//! For `#[serde(with = "daur_core::time::text")]`. A [`Duration`] itself is a number of nanoseconds on
//! the wire, where every byte counts.

use core::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserializer, Serializer};

use super::Duration;

/// Writes what [`Duration`] displays.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(duration)
}

/// Reads a whole number and a unit, or a number of nanoseconds. The format must tell what it holds, as
/// TOML and JSON do.
///
/// # Errors
/// The deserializer's, and for what is not a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number and one of ns, us, ms, s, m, h, such as `100ms`")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }

        fn visit_u64<E: Error>(self, nanos: u64) -> Result<Duration, E> {
            Ok(Duration::from_nanos(nanos))
        }

        fn visit_i64<E: Error>(self, nanos: i64) -> Result<Duration, E> {
            u64::try_from(nanos)
                .map(Duration::from_nanos)
                .map_err(|_| E::invalid_value(Unexpected::Signed(nanos), &self))
        }
    }

    deserializer.deserialize_any(Text)
}
