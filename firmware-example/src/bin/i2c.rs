//! A sensor on I2C, read through the executor: tried again, left alone while it is dead, found again.
//!
//! It asserts what it says and ends; `.ci/device i2c` runs it in QEMU. The sensor is a TMP102 as far as its
//! data sheet goes for one register; the bus under it fails as often as it is told.
#![no_std]
#![no_main]

use core::cell::Cell;

use cortex_m_rt::entry;
use daur_core::hal::blocking;
use daur_core::reliability::breaker;
use daur_core::reliability::breaker::State;
use daur_core::reliability::executor::{self, Execution, Executor, Failure};
use daur_core::reliability::fallback::{Fallback, Source};
use daur_core::reliability::retry::{self, Attempts, Class};
use daur_core::shared::{CsShared, Shared};
use daur_core::time::{Clock, Duration};
use daur_firmware::board;
use daur_firmware::clock::{self, Delay, Timer};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

defmt::timestamp!("{=u64:ms}", Timer.now().as_millis());

/// The whole policy: three tries a millisecond or two apart; after three failures in a row the bus is left
/// alone for 50 ms.
const POLICY: executor::Config = executor::Config {
    retry: retry::Config {
        max_attempts: Attempts::Limited(3),
        initial_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(4),
        ..retry::Config::DEFAULT
    },
    breaker: breaker::Config { failures: 3, recovery_timeout: Duration::from_millis(50), ..breaker::Config::DEFAULT },
    ..executor::Config::DEFAULT
};

/// In a static, so that an interrupt or another task may use the same bus under the same policy.
static BUS: CsShared<Executor, Timer> = CsShared::new(Executor::new(POLICY, 0x1D), Timer);

#[entry]
fn main() -> ! {
    let Some(mut core) = cortex_m::Peripherals::take() else { board::abort() };
    clock::start(&mut core.SYST);

    let bus = Flaky { failures: Cell::new(0), transfers: Cell::new(0) };
    let mut last_good = Fallback::new(Source::LastGood { max_age: Duration::from_secs(30) });

    let fine = read(&bus);
    assert_eq!((fine.result.as_ref().ok(), fine.attempts), (Some(&25_250), 1));
    assert!(!last_good.apply(fine, Timer.now()).fallback_used);

    bus.failures.set(2);
    let shaky = read(&bus);
    assert_eq!((shaky.result.as_ref().ok(), shaky.attempts), (Some(&25_250), 3));
    defmt::info!("read at the third attempt, after {=u64} us", shaky.elapsed.as_micros());

    bus.failures.set(u32::MAX);
    let dead = read(&bus);
    assert!(dead.result.is_err());
    assert_eq!(BUS.with(|bus, _| bus.breaker().state()), State::Open);

    // An open breaker costs no transfer, and the last good reading stands in.
    let before = bus.transfers.get();
    let refused = read(&bus);
    assert!(matches!(refused.result, Err(Failure::Open { .. })));
    assert_eq!(bus.transfers.get(), before);
    let stood_in = last_good.apply(refused, Timer.now());
    assert!(stood_in.fallback_used);
    assert_eq!(stood_in.result.ok(), Some(25_250));

    // The bus works again: one probe, and all is as before.
    bus.failures.set(0);
    Delay.delay_ms(51);
    let back = read(&bus);
    assert_eq!((back.result.ok(), back.attempts), (Some(25_250), 1));
    assert_eq!(BUS.with(|bus, _| bus.breaker().state()), State::Closed);
    defmt::info!("i2c: all as it should be after {=u32} transfers", bus.transfers.get());
    board::finish()
}

/// The temperature in thousandths of a degree.
fn read(bus: &Flaky) -> Execution<i32, NoAnswer> {
    let mut sensor = bus;
    blocking::execute(
        &BUS,
        &mut Delay,
        |_| Class::Transient,
        || {
            let mut register = [0; 2];
            sensor.write_read(ADDRESS, &[TEMPERATURE], &mut register)?;
            // Twelve bits, left-aligned, a sixteenth of a degree each.
            Ok(i32::from(i16::from_be_bytes(register) >> 4) * 1_000 / 16)
        },
    )
}

const ADDRESS: u8 = 0x48;
const TEMPERATURE: u8 = 0x00;

/// A bus whose next transfers fail, with the sensor on it: 25.25 degrees.
struct Flaky {
    failures: Cell<u32>,
    transfers: Cell<u32>,
}

#[derive(Debug)]
struct NoAnswer;

impl i2c::Error for NoAnswer {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

impl ErrorType for &Flaky {
    type Error = NoAnswer;
}

impl I2c for &Flaky {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), NoAnswer> {
        self.transfers.set(self.transfers.get() + 1);
        if let Some(left) = self.failures.get().checked_sub(1) {
            self.failures.set(left);
            return Err(NoAnswer);
        }
        match operations {
            [Operation::Write([TEMPERATURE]), Operation::Read(into)] if address == ADDRESS => {
                for (to, from) in into.iter_mut().zip([0x19, 0x40]) {
                    *to = from;
                }
                Ok(())
            }
            _ => Err(NoAnswer),
        }
    }
}

/// Says where, and ends with a failure.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    }
    board::abort()
}
