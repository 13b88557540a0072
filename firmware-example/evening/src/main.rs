//! What one evening with `daur-core` adds to a firmware of your own; `README.md`, "One evening", shows its parts.
//!
//! `mod yours` stands for what is there already: a bus, a serial port. It runs in QEMU, asserts what it says and ends.
#![no_std]
#![no_main]

mod yours;

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m_rt::{entry, exception};
use daur_core::hal::clock::TickClock;
use daur_core::id::{BootId, DeviceId};
use daur_core::reliability::breaker::{self, Breaker, State};
use daur_core::shared::{CsShared, Shared};
use daur_core::text::Text;
use daur_core::time::{Clock, Duration, Instant};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK};
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{BreakerState, Record, ResetCause, SCHEMA};
use embedded_hal::i2c::I2c;

static MILLIS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    // Nobody else writes it, so this is no race, and a Cortex-M0 has no atomic addition.
    MILLIS.store(MILLIS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Any 32-bit counter and its ticks a second; it may wrap.
static CLOCK: TickClock<1_000> = TickClock::new(|| MILLIS.load(Ordering::Relaxed));

/// The clock's name for what lies in statics.
#[derive(Clone, Copy)]
struct Timer;

impl Clock for Timer {
    fn now(&self) -> Instant {
        CLOCK.now()
    }
}

/// After three failures in a row the bus is left alone for half a second.
const POLICY: breaker::Config =
    breaker::Config { failures: 3, recovery_timeout: Duration::from_millis(500), ..breaker::Config::DEFAULT };

/// A config that is none does not compile: set `failures` to 0 and try.
static BUS: CsShared<Breaker, Timer> = CsShared::new(Breaker::new(POLICY), Timer);

/// Why there is no temperature.
#[derive(Debug)]
enum Unread<E> {
    LeftAlone { until: Instant },
    Bus(E),
}

/// Thousandths of a degree.
fn temperature<I2C: I2c>(i2c: &mut I2C) -> Result<i32, Unread<I2C::Error>> {
    let permit =
        BUS.with(|breaker, now| breaker.try_acquire(now)).map_err(|open| Unread::LeftAlone { until: open.retry_at })?;
    let mut register = [0; 2];
    // The lock is not held while the bus works.
    let read = i2c.write_read(0x48, &[0x00], &mut register);
    BUS.with(|breaker, now| match read {
        Ok(()) => _ = breaker.on_success(permit, now),
        Err(_) => _ = breaker.on_failure(permit, now),
    });
    read.map_err(Unread::Bus)?;
    Ok(i32::from(i16::from_be_bytes(register) >> 4) * 1_000 / 16)
}

/// The first record of a life. Your chip knows why it was reset; a nonce that never repeats keeps old commands out.
fn hello(device: DeviceId) -> Record {
    Record::Hello {
        device,
        boot: BootId(1),
        nonce: 0,
        schema: SCHEMA,
        firmware: Text::cut(env!("CARGO_PKG_VERSION")),
        reset: ResetCause::PowerOn,
    }
}

/// What the host is to know. What finds no room is counted, and told as `Lost` in its place.
fn tell(outbox: &mut Outbox<1024>, reading: Option<i32>) {
    let (breaker, now) = BUS.with(|breaker, now| (breaker.snapshot(), now));
    if let Some(value) = reading {
        let _ = outbox.push(&Record::Gauge { name: Text::cut("temperature_mc"), value: value.into() }, now);
    }
    let _ = outbox.push(
        &Record::Breaker {
            name: Text::cut("i2c"),
            state: match breaker.state {
                State::Open => BreakerState::Open,
                State::HalfOpen => BreakerState::HalfOpen,
                _ => BreakerState::Closed,
            },
            consecutive_failures: breaker.consecutive_failures,
            opened: breaker.opened.into(),
            refused: breaker.refused.into(),
            retry_at: breaker.retry_at,
        },
        now,
    );
}

/// Writes what waits to be sent. It stays in the outbox until the host has acknowledged it.
fn send(outbox: &mut Outbox<1024>, mut write: impl FnMut(&[u8])) {
    let mut line = [0; 64];
    while outbox.is_pending() {
        let bytes = outbox.read(&mut line, Timer.now());
        write(line.get(..bytes).unwrap_or_default());
    }
}

/// Takes what has arrived. A line without a way back has `resend_after: None` instead of this.
fn hear(decoder: &mut Decoder<MAX_DOWNLINK>, outbox: &mut Outbox<1024>, device: DeviceId, mut bytes: &[u8]) {
    while let Some(payload) = decoder.feed(&mut bytes) {
        match Downlink::decode(payload) {
            Ok(Downlink::Ack { seq }) => _ = outbox.ack(seq, Timer.now()),
            Ok(Downlink::Identify) => _ = outbox.push(&hello(device), Timer.now()),
            // Signed commands are another evening's: `src/command.rs` of the sensor node.
            _ => {}
        }
    }
}

#[entry]
fn main() -> ! {
    yours::start_timer();
    let Ok(device) = DeviceId::new("node-7") else { yours::end(false) };
    let (mut bus, mut serial) = (yours::Bus::default(), yours::Serial::default());
    let mut outbox: Outbox<1024> = Outbox::new(outbox::Config::DEFAULT);
    let mut decoder: Decoder<MAX_DOWNLINK> = Decoder::new();
    let _ = outbox.push(&hello(device), Timer.now());

    for round in 0..10 {
        let reading = temperature(&mut bus);
        yours::note(&mut bus, round, &reading);
        tell(&mut outbox, reading.ok());
        send(&mut outbox, |bytes| serial.write(bytes));
        let (arrived, len) = serial.read();
        hear(&mut decoder, &mut outbox, device, arrived.get(..len).unwrap_or_default());
        outbox.poll(Timer.now());
        yours::sleep_ms(100);
    }
    yours::end(yours::as_expected(&bus, &serial, outbox.snapshot()))
}
