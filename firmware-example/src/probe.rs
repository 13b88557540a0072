//! The sensor behind its driver, in halves: what is asked first and answered later blocks nobody in between.

use daur_core::time::Duration;
use embedded_hal::i2c::{self, I2c};
use shtcx::{Error, PowerMode, ShtC3};

/// What the sensor measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Temperature in thousandths of a degree.
    pub millidegrees: i32,
    /// Humidity in thousandths of a percent.
    pub millipercent: i32,
}

/// Says why the sensor could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum Fault {
    /// It does not answer.
    Silent,
    /// Its checksum is wrong.
    Checksum,
}

impl<E: i2c::Error> From<Error<E>> for Fault {
    fn from(error: Error<E>) -> Self {
        match error {
            Error::I2c(_) => Self::Silent,
            Error::Crc => Self::Checksum,
        }
    }
}

const MODE: PowerMode = PowerMode::NormalMode;

/// The sensor on its bus.
pub struct Probe<I2C>(ShtC3<I2C>);

impl<I2C: I2c> Probe<I2C> {
    /// The sensor on `bus`.
    pub fn new(bus: I2C) -> Self {
        Self(shtcx::shtc3(bus))
    }

    /// Asks for a measurement; [`Self::reading`] has it after the time that this says.
    ///
    /// # Errors
    /// [`Fault`] of the bus.
    pub fn measure(&mut self) -> Result<Duration, Fault> {
        self.0.start_measurement(MODE)?;
        Ok(Duration::from_micros(shtcx::max_measurement_duration(&self.0, MODE).into()))
    }

    /// What was measured.
    ///
    /// # Errors
    /// [`Fault`] of the bus or the sensor.
    pub fn reading(&mut self) -> Result<Reading, Fault> {
        let measured = self.0.get_measurement_result()?;
        Ok(Reading {
            millidegrees: measured.temperature.as_millidegrees_celsius(),
            millipercent: measured.humidity.as_millipercent(),
        })
    }

    /// What kind of sensor it says it is.
    ///
    /// # Errors
    /// [`Fault`] of the bus or the sensor.
    pub fn identifier(&mut self) -> Result<u8, Fault> {
        Ok(self.0.device_identifier()?)
    }
}
