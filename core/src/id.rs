//! Who a device is, and which of its lives this is.

use core::fmt;

use crate::text::Text;

/// Names a device: 1 to 16 characters of `A-Z a-z 0-9 - _ .`.
///
/// The set is what stands unescaped in a URL path, an MQTT topic and a Prometheus label.
///
/// # Example
/// ```
/// use daur_core::id::DeviceId;
///
/// assert_eq!(DeviceId::new("boiler-7").unwrap().as_str(), "boiler-7");
/// assert!(DeviceId::new("boiler 7").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceId(Text<16>);

/// Says that a text is not a device's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InvalidDeviceId;

impl fmt::Display for InvalidDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device id is 1 to 16 characters of A-Z a-z 0-9 - _ .")
    }
}

impl core::error::Error for InvalidDeviceId {}

impl DeviceId {
    /// The device called `name`.
    ///
    /// # Errors
    /// [`InvalidDeviceId`] if it is empty, longer than 16 or has another character.
    pub fn new(name: &str) -> Result<Self, InvalidDeviceId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(InvalidDeviceId);
        }
        Text::new(name).map(Self).map_err(|_| InvalidDeviceId)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name's bytes, without checking again that they are UTF-8.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The name, without checking again that it is UTF-8.
    #[cfg(feature = "serde")]
    pub(crate) const fn as_text(&self) -> &Text<16> {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for DeviceId {
    /// A name from outside is checked like any other.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::<16>::deserialize(deserializer)?;
        Self::new(text.as_str()).map_err(serde::de::Error::custom)
    }
}

/// Counts a device's starts, so that what it sent before a reset is not mistaken for what it sends after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BootId(pub u32);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_no_escape_are_allowed() {
        for good in ["a", "A.b-c_9", "0123456789abcdef"] {
            assert!(DeviceId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a b", "é", "0123456789abcdefg", "a\"", "a\n"] {
            assert_eq!(DeviceId::new(bad), Err(InvalidDeviceId), "{bad}");
        }
    }
}
