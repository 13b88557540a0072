//! Where a device is.

use std::fmt;
use std::str::FromStr;

/// Says where a device is: `tcp:HOST:PORT`, or the path of a serial port, `/dev/ttyACM0` or `/dev/ttyUSB0@57600`.
///
/// # Example
/// ```
/// use daur_std::link::Endpoint;
///
/// let sensor: Endpoint = "tcp:127.0.0.1:9000".parse().unwrap();
/// assert_eq!(sensor, Endpoint::Tcp("127.0.0.1:9000".to_owned()));
/// assert_eq!(sensor.to_string(), "tcp:127.0.0.1:9000");
/// assert!("tcp:9000".parse::<Endpoint>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// A TCP server that is the device's line: `HOST:PORT`.
    Tcp(String),
    /// A serial port; needs the feature `serial`.
    Serial {
        /// Its path.
        path: String,
        /// Bits a second.
        baud: u32,
    },
}

impl Endpoint {
    /// The speed of a serial port that names none.
    pub const DEFAULT_BAUD: u32 = 115_200;
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Serial { path, baud: Self::DEFAULT_BAUD } => f.write_str(path),
            Self::Serial { path, baud } => write!(f, "{path}@{baud}"),
        }
    }
}

/// Says that a text is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint;

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device is `tcp:HOST:PORT` or the path of a serial port, with `@BAUD` if not 115200")
    }
}

impl std::error::Error for InvalidEndpoint {}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        if let Some(address) = text.strip_prefix("tcp:") {
            let (host, port) = address.rsplit_once(':').ok_or(InvalidEndpoint)?;
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(InvalidEndpoint);
            }
            return Ok(Self::Tcp(address.to_owned()));
        }
        let (path, baud) = match text.rsplit_once('@') {
            Some((path, baud)) => (path, baud.parse().ok().filter(|&baud| baud > 0).ok_or(InvalidEndpoint)?),
            None => (text, Self::DEFAULT_BAUD),
        };
        // A path, so that a misspelt scheme is not taken for a file.
        let is_path = path.contains(['/', '\\']) || path.starts_with("COM");
        if is_path && !path.contains(':') {
            Ok(Self::Serial { path: path.to_owned(), baud })
        } else {
            Err(InvalidEndpoint)
        }
    }
}
