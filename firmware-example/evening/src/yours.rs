//! What your firmware has already: a bus with a sensor that is off for a while, a serial port with a host at its other
//! end, which knows what should have arrived.

use core::sync::atomic::Ordering;

use cortex_m::peripheral::syst::SystClkSource;
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, Frame, MAX_PAYLOAD};
use daur_core::wire::outbox::Snapshot;
use daur_core::wire::record::{BreakerState, Record};
use embedded_hal::i2c::{self, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use semihosting::println;

use crate::{MILLIS, Unread};

/// SysTick each millisecond of the emulator's board.
pub(crate) fn start_timer() {
    let Some(mut core) = cortex_m::Peripherals::take() else { end(false) };
    let mhz: u32 = env!("BOARD_MHZ").parse().unwrap_or(1);
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(mhz * 1_000 - 1);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();
}

pub(crate) fn sleep_ms(ms: u32) {
    let begin = MILLIS.load(Ordering::Relaxed);
    while MILLIS.load(Ordering::Relaxed).wrapping_sub(begin) < ms {
        cortex_m::asm::wfi();
    }
}

/// A sensor that answers the first time, then five times not, then again.
#[derive(Default)]
pub(crate) struct Bus {
    transfers: u32,
    read: u32,
    failed: u32,
    left_alone: u32,
}

#[derive(Debug)]
pub(crate) struct NoAnswer;

impl i2c::Error for NoAnswer {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

impl ErrorType for Bus {
    type Error = NoAnswer;
}

impl I2c for Bus {
    fn transaction(&mut self, _address: u8, operations: &mut [Operation<'_>]) -> Result<(), NoAnswer> {
        self.transfers += 1;
        if (2..=4).contains(&self.transfers) {
            return Err(NoAnswer);
        }
        for operation in operations {
            if let Operation::Read([high, low]) = operation {
                (*high, *low) = (0x19, 0x40); // 25.25 degrees
            }
        }
        Ok(())
    }
}

pub(crate) fn note(bus: &mut Bus, round: u32, reading: &Result<i32, Unread<NoAnswer>>) {
    match reading {
        Ok(value) => {
            bus.read += 1;
            println!("{round}: {value} thousandths of a degree");
        }
        Err(Unread::Bus(_)) => {
            bus.failed += 1;
            println!("{round}: no answer");
        }
        Err(Unread::LeftAlone { until }) => {
            bus.left_alone += 1;
            println!("{round}: left alone until {} ms", until.as_millis());
        }
    }
}

/// The line and the host: it acknowledges what it has read.
#[derive(Default)]
pub(crate) struct Serial {
    decoder: Decoder<MAX_PAYLOAD>,
    seq: Option<u32>,
    hellos: u32,
    readings: u32,
    open: u32,
}

impl Serial {
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while let Some(payload) = self.decoder.feed(&mut bytes) {
            let Ok(frame) = Frame::decode(payload) else { continue };
            self.seq = Some(frame.seq);
            match frame.record {
                Record::Hello { .. } => self.hellos += 1,
                Record::Gauge { value: 25_250, .. } => self.readings += 1,
                Record::Breaker { state: BreakerState::Open, .. } => self.open += 1,
                _ => {}
            }
        }
    }

    /// What has arrived: bytes, and how many.
    pub(crate) fn read(&mut self) -> ([u8; 16], usize) {
        let mut line = [0; 16];
        let len = self.seq.take().and_then(|seq| Downlink::Ack { seq }.encode(&mut line).ok());
        (line, len.unwrap_or(0))
    }
}

/// One reading, three failures, then half a second of peace in steps of a tenth, then readings: whoever counts ten
/// rounds gets at least four refusals, and each reading at the host.
pub(crate) fn as_expected(bus: &Bus, serial: &Serial, outbox: Snapshot) -> bool {
    bus.failed == 3
        && bus.left_alone >= 4
        && bus.read >= 1
        && bus.read + bus.failed == bus.transfers
        && serial.hellos == 1
        && serial.readings == bus.read
        && serial.open >= bus.left_alone
        && outbox.lost == 0
        && outbox.held == 0
}

pub(crate) fn end(fine: bool) -> ! {
    println!("{}", if fine { "one evening: all as it should be" } else { "one evening: not as it should be" });
    semihosting::process::exit(i32::from(!fine))
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("{info}");
    semihosting::process::exit(101)
}
