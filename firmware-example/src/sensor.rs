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

/// The bus with its sensor.
#[derive(Debug)]
pub struct ScriptedBus<C> {
    script: Script,
    clock: C,
    /// Commands that the sensor was sent.
    commands: u32,
    /// The last of them.
    command: [u8; 2],
}

impl<C: daur_core::time::Clock> ScriptedBus<C> {
    /// A bus that fails when `script` says so on `clock`.
    pub const fn new(script: Script, clock: C) -> Self {
        Self { script, clock, commands: 0, command: [0; 2] }
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

/// The command that asks the sensor for its identifier.
const READ_ID: [u8; 2] = [0xEF, 0xC8];
/// An SHTC3 answers this, plus bits that differ from piece to piece.
const ID: u16 = 0x0887;

impl<C: daur_core::time::Clock> I2c for ScriptedBus<C> {
    /// A write is a command; a read gives what the last command asked for, each word with its checksum.
    ///
    /// A broken bus is silent three times out of four; the fourth time it tells nonsense, which only
    /// the checksum shows.
    fn transaction(&mut self, _address: u8, operations: &mut [Operation<'_>]) -> Result<(), NoAnswer> {
        #[cfg(not(daur_board))]
        crate::script::transfer();
        let broken = self.script.is_broken(self.clock.now());
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    self.commands = self.commands.wrapping_add(1);
                    if broken && !self.commands.is_multiple_of(4) {
                        return Err(NoAnswer);
                    }
                    for (to, from) in self.command.iter_mut().zip(bytes.iter()) {
                        *to = *from;
                    }
                }
                Operation::Read(into) => {
                    let answer = self.answer(broken);
                    for (to, from) in into.iter_mut().zip(answer) {
                        *to = from;
                    }
                }
            }
        }
        Ok(())
    }
}

impl<C> ScriptedBus<C> {
    fn answer(&self, broken: bool) -> [u8; 6] {
        let (first, second) = if self.command == READ_ID { (ID, 0) } else { self.measure() };
        let mut answer = [0; 6];
        let (front, back) = answer.split_at_mut(3);
        word(front, first);
        word(back, second);
        if broken {
            answer[2] ^= 0x10;
        }
        answer
    }

    /// 20.0 to 25.1 degrees and 40 to 55 %, up and down, in the sensor's units.
    fn measure(&self) -> (u16, u16) {
        let [step, ..] = (self.commands % 32).to_le_bytes();
        let wave = u16::from(if step < 16 { step } else { 31 - step });
        (24_341 + wave * 128, 26_214 + wave * 655)
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
        (0..8).fold(crc ^ byte, |crc: u8, _| if crc & 0x80 == 0 { crc << 1 } else { (crc << 1) ^ 0x31 })
    })
}
