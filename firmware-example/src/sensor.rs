//! An I2C bus with a temperature and humidity sensor on it that fails by script: QEMU's board has none.
//!
//! It answers as a Sensirion SHTC3 does, checksums included, so the driver above it is the real one.

use daur_core::time::{Duration, Instant};
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

/// When the bus fails, over and over.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// The bus works for this long,
    pub healthy: Duration,
    /// and fails for this long; then it begins again.
    pub broken: Duration,
}

impl Script {
    /// What the example uses: long enough for a breaker to open, and to be seen to close.
    pub const DEFAULT: Self = Self { healthy: Duration::from_secs(5), broken: Duration::from_secs(6) };

    /// Whether the bus fails at `now`.
    #[must_use]
    pub fn is_broken(&self, now: Instant) -> bool {
        let period = (self.healthy + self.broken).as_nanos();
        now.as_nanos().checked_rem(period).is_some_and(|phase| phase >= self.healthy.as_nanos())
    }
}

/// The bus. `now` is where it reads the time.
#[derive(Debug)]
pub struct ScriptedBus<C> {
    script: Script,
    clock: C,
    readings: u32,
}

impl<C: daur_core::time::Clock> ScriptedBus<C> {
    /// A bus that fails when `script` says so on `clock`.
    pub const fn new(script: Script, clock: C) -> Self {
        Self { script, clock, readings: 0 }
    }
}

/// Says why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

impl embedded_hal::i2c::Error for NoAnswer {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

impl<C> ErrorType for ScriptedBus<C> {
    type Error = NoAnswer;
}

impl<C: daur_core::time::Clock> I2c for ScriptedBus<C> {
    /// Every read is the result of a measurement: temperature first, each word with its checksum.
    fn transaction(&mut self, _address: u8, operations: &mut [Operation<'_>]) -> Result<(), NoAnswer> {
        let broken = self.script.is_broken(self.clock.now());
        for operation in operations {
            let Operation::Read(into) = operation else { continue };
            self.readings = self.readings.wrapping_add(1);
            // A broken bus is silent three times out of four; the fourth time it tells nonsense,
            // which only the checksum shows.
            if broken && !self.readings.is_multiple_of(4) {
                return Err(NoAnswer);
            }
            // 20.0 to 25.1 degrees and 40 to 55 %, up and down.
            let wave = u16::try_from(self.readings % 32).unwrap_or(0);
            let wave = if wave < 16 { wave } else { 31 - wave };
            let mut answer = [0; 6];
            word(&mut answer[..3], 24_341 + wave * 128);
            word(&mut answer[3..], 26_214 + wave * 655);
            if broken {
                answer[2] ^= 0x10;
            }
            for (to, from) in into.iter_mut().zip(answer) {
                *to = from;
            }
        }
        Ok(())
    }
}

fn word(place: &mut [u8], value: u16) {
    let [high, low] = value.to_be_bytes();
    for (to, from) in place.iter_mut().zip([high, low, crc8([high, low])]) {
        *to = from;
    }
}

/// The sensor's checksum: polynomial 0x31, begun with 0xFF.
fn crc8(bytes: [u8; 2]) -> u8 {
    bytes.into_iter().fold(0xFF, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x31 })
    })
}
