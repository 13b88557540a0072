//! A device for tests of the host that need no QEMU: the same core machines, on a TCP port.
//!
//! `device PORT FLEET_KEY_FILE`: prints its address, then plays a boiler whose sensor fails now and then.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration as StdDuration;

use daur_core::id::{BootId, DeviceId};
use daur_core::monitoring::histogram::{Auto, Quantile};
use daur_core::reliability::breaker::{self, Breaker};
use daur_core::rng::Rng;
use daur_core::security::keys::derive_device_key;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{self, Gate, Keys};
use daur_core::text::Text;
use daur_core::time::wall::{self, Wall};
use daur_core::time::{Clock, Duration, Instant, UnixTime};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK_ENCODED};
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{BreakerState, Level, Record, ResetCause, SCHEMA, Unit, Verdict};
use daur_std::clock::StdClock;

const NONCE: u64 = 0x5EED_5EED_0000_0001;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().ok_or("PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("{}", listener.local_addr()?);
    let key_file = args.next().ok_or("FLEET_KEY_FILE")?;
    let mut device = Device::new();
    for line in listener.incoming() {
        // The host makes the key at its first start, which is before it connects.
        let fleet_key = daur_std::security::keys::load(key_file.as_ref())?;
        let keys = Keys::new(token::Config::command(&device.id), None, &derive_device_key(&fleet_key, &device.id))?;
        if let Err(error) = device.serve(line?, &keys) {
            eprintln!("the line ended: {error}");
        }
    }
    Ok(())
}

struct Device {
    id: DeviceId,
    outbox: Outbox<4096>,
    gate: Gate,
    rng: Rng,
    reads: u64,
    failures: u32,
    latency: Auto<160>,
    breaker: Breaker,
    interval: Duration,
    wall: Wall,
}

impl Device {
    fn new() -> Self {
        Self {
            id: DeviceId::new("boiler-7").expect("a name"),
            outbox: Outbox::new(outbox::Config::DEFAULT),
            gate: Gate::new(NONCE),
            rng: Rng::new(7),
            reads: 0,
            failures: 0,
            latency: Auto::new(),
            breaker: Breaker::new(breaker::Config {
                failures: 3,
                recovery_timeout: Duration::from_secs(4),
                ..breaker::Config::DEFAULT
            }),
            interval: Duration::from_millis(250),
            wall: Wall::new(wall::Config::DEFAULT),
        }
    }

    fn serve(&mut self, mut line: TcpStream, keys: &Keys<1>) -> std::io::Result<()> {
        line.set_read_timeout(Some(StdDuration::from_millis(20)))?;
        self.outbox.rewind();
        let hello = Record::Hello {
            device: self.id,
            boot: BootId(0x0B01_1E07),
            nonce: NONCE,
            schema: SCHEMA,
            firmware: Text::cut("0.1.0"),
            reset: ResetCause::Watchdog,
        };
        self.push(&hello);
        let before = |number, millis, level, target, message| Record::LogBefore {
            number,
            at: Instant::from_millis(millis),
            last_at: Instant::from_millis(millis),
            level,
            target: Text::cut(target),
            message: Text::cut(message),
            repeated: 0,
        };
        self.push(&before(0, 40_100, Level::Warn, "heater", "the loop is late"));
        self.push(&before(1, 41_000, Level::Error, "heater", "the watchdog was not fed"));
        self.push(&Record::Log { level: Level::Info, target: Text::cut("main"), message: Text::cut("started") });
        let mut decoder: Decoder<MAX_DOWNLINK_ENCODED> = Decoder::new();
        let mut due = StdClock.now();
        let mut buffer = [0; 512];
        loop {
            let now = StdClock.now();
            if now >= due {
                due = now + self.interval;
                self.work(now);
            }
            self.outbox.poll(now);
            loop {
                let n = self.outbox.read(&mut buffer, now);
                if n == 0 {
                    break;
                }
                line.write_all(&buffer[..n])?;
            }
            match line.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    let mut input = &buffer[..n];
                    while let Some(payload) = decoder.feed(&mut input) {
                        match Downlink::decode(payload) {
                            Ok(Downlink::Ack { seq }) => drop(self.outbox.ack(seq, now)),
                            Ok(Downlink::Command { token }) => {
                                let reply = self.command(token, keys);
                                self.push(&reply);
                            }
                            Ok(_) => self.push(&hello),
                            Err(_) => {}
                        }
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads its sensor once, and tells everything.
    fn work(&mut self, now: Instant) {
        let name = Text::cut;
        if let Ok(permit) = self.breaker.try_acquire(now) {
            self.reads += 1;
            // Three bad reads in a row, every 40.
            if self.reads % 40 < 3 {
                self.failures += 1;
                self.breaker.on_failure(permit, now);
                self.push(&Record::Error {
                    kind: Text::cut("i2c_nack"),
                    total: self.failures,
                    message: Text::cut("the sensor at 0x48 does not answer"),
                    at: now,
                });
            } else {
                self.breaker.on_success(permit, now);
                self.latency.record(400_000 + self.rng.at_most(900_000));
            }
        }
        let shown = self.breaker.snapshot();
        let state = match shown.state {
            breaker::State::Closed => BreakerState::Closed,
            breaker::State::HalfOpen => BreakerState::HalfOpen,
            _ => BreakerState::Open,
        };
        let wave = (now.as_millis() as f64 / 9_000.0).sin() * 2_400.0;
        let quantile = |q| self.latency.quantile(q).unwrap_or(0);
        let records = [
            Record::Counter { name: name("sensor_reads"), total: self.reads },
            Record::Gauge { name: name("temperature_mc"), value: 61_500 + wave as i64 + self.rng.at_most(200) as i64 },
            Record::Gauge { name: name("supply_mv"), value: 3_290 + self.rng.at_most(20) as i64 },
            Record::Distribution {
                name: name("sensor_read"),
                unit: Unit::Nanos,
                count: self.latency.count(),
                sum: self.latency.sum(),
                min: self.latency.min().unwrap_or(0),
                max: self.latency.max().unwrap_or(0),
                p50: quantile(Quantile::P50),
                p95: quantile(Quantile::P95),
                p99: quantile(Quantile::P99),
            },
            Record::Breaker {
                name: name("sensor"),
                state,
                consecutive_failures: shown.consecutive_failures,
                opened: shown.opened.into(),
                refused: shown.refused.into(),
                retry_at: shown.retry_at,
            },
            Record::System {
                uptime: now.since(Instant::ZERO),
                stack_high_water: 2_912,
                stack_size: 8_192,
                idle_permille: 941,
            },
            Record::Health { live: true, ready: state == BreakerState::Closed },
        ];
        for record in &records {
            self.push(record);
        }
    }

    fn command(&mut self, token: &str, keys: &Keys<1>) -> Record {
        let reply = |counter, verdict, message: &str| Record::Reply { counter, verdict, message: Text::cut(message) };
        let now = StdClock.now();
        let claims = match keys.verify(token, self.wall.unix(now)) {
            Ok(claims) => claims,
            Err(token::Error::Expired) => return reply(0, Verdict::Expired, &self.what_time(now)),
            Err(token::Error::NoClock) => return reply(0, Verdict::NoClock, ""),
            Err(_) => return reply(0, Verdict::BadSignature, ""),
        };
        let counter = claims.nonce_and_counter().map_or(0, |(_, counter)| counter);
        let command = match self.gate.admit(&claims, Permissions::WRITE) {
            Ok(command) => command,
            Err(token::Error::Permission) => return reply(counter, Verdict::Forbidden, "write is needed"),
            Err(_) => return reply(counter, Verdict::Replayed, ""),
        };
        if let Some(millis) = command.as_str().strip_prefix("set-time ") {
            let set = millis.parse().is_ok_and(|millis| self.wall.set(UnixTime::from_millis(millis), now).is_ok());
            return reply(counter, if set { Verdict::Accepted } else { Verdict::Failed }, &self.what_time(now));
        }
        let Some(millis) = command.as_str().strip_prefix("set-interval ") else {
            return reply(counter, Verdict::UnknownCommand, "set-interval MILLISECONDS");
        };
        match millis.parse() {
            Ok(millis @ 50..=10_000) => {
                self.interval = Duration::from_millis(millis);
                reply(counter, Verdict::Accepted, "the interval is set")
            }
            _ => reply(counter, Verdict::Invalid, "from 50 to 10000"),
        }
    }

    fn what_time(&mut self, now: Instant) -> String {
        self.wall.unix(now).map_or_else(String::new, |unix| format!("time is {}", unix.as_millis()))
    }

    /// A full outbox counts by itself.
    fn push(&mut self, record: &Record) {
        let _ = self.outbox.push(record, StdClock.now());
    }
}
