//! The node: machines of `daur-core`, one sensor, and what the host is told of them.

use core::fmt::Write;

use daur_core::id::DeviceId;
use daur_core::monitoring::errors::{self, Errors};
use daur_core::monitoring::log::Recorded;
use daur_core::monitoring::metrics::{self, Collector, Kind};
use daur_core::monitoring::profiler::Outcome;
use daur_core::monitoring::report::Report;
use daur_core::performance::cache;
use daur_core::reliability::breaker::State;
use daur_core::reliability::executor::{Execution, Executor, Failure};
use daur_core::reliability::fallback::{Fallback, Source};
use daur_core::reliability::health::{self, CheckConfig, CheckId, Health};
use daur_core::security::audit::{self, Chain, Event, Kind as Happened, Log, Outcome as Ended};
use daur_core::shared::Shared;
use daur_core::text::Text;
use daur_core::time::{Clock, Duration, Instant};
use daur_core::wire::frame::Downlink;
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{BreakerState, Level, Record, SCHEMA, Unit, Verdict};

use crate::boot::Boot;
use crate::clock::Timer;
use crate::command::{Command, Desk, Order, Refusal};
use crate::config::room;
use crate::probe::{Fault, Reading};
use crate::reader::CALLS as SENSOR;
use crate::{board, config, idle, log, stack};

/// What runs by itself, and shows now and then that it does: parts of one loop, or tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Does what is not the others', and reports.
    Report,
    /// Reads the sensor.
    Sensor,
    /// Hears the host.
    Link,
}

/// A reading that has begun: see [`Node::begin_read`].
pub struct Read {
    /// Whether the sensor is to say what it is, too.
    pub identify: bool,
    before: State,
    span: room::Span,
}

/// The sensor's register that tells its kind.
const IDENTIFIER: u8 = 0;

/// All that the node knows.
pub struct Node {
    boot: Boot,
    device: DeviceId,
    fallback: Fallback<Reading, Fault>,
    registers: room::Registers,
    metrics: Collector<&'static str, { room::SERIES }, 0, i32>,
    errors: Errors<{ room::KINDS }, { room::ERRORS }>,
    profiler: room::Times,
    health: Health<{ 1 + room::TASKS.len() }>,
    readable: Option<CheckId>,
    beats: [Option<CheckId>; room::TASKS.len()],
    desk: Desk,
    audit: Log<{ room::AUDIT }>,
    /// The last command was one too many, and the audit has it.
    limited: bool,
    /// Frames on their way to the host.
    pub outbox: Outbox<{ room::OUTBOX }>,
    interval: Duration,
    read_at: Instant,
    report_at: Instant,
}

impl Node {
    /// The node in its life `boot`, known by `key`.
    ///
    /// Not inlined: what it is made of leaves the stack, and it is made where its caller keeps it.
    #[inline(never)]
    pub fn new(boot: Boot, device: DeviceId, key: &[u8; 32]) -> Self {
        // The host derives the same key, and verifies from it what this life's audit says.
        let chain = Chain::new(device, boot.id, audit::first_key(key, boot.id, boot.nonce));
        Self {
            boot,
            device,
            fallback: Fallback::new(Source::LastGood { max_age: config::LAST_GOOD_FOR }),
            registers: room::Registers::new(cache::Config {
                ttl: Some(config::REGISTERS_FOR),
                ..cache::Config::DEFAULT
            }),
            metrics: Collector::new(metrics::Config::DEFAULT),
            errors: Errors::new(errors::Config::DEFAULT),
            profiler: room::Times::new(),
            health: Health::new(health::Config::DEFAULT),
            readable: None,
            beats: [None; room::TASKS.len()],
            desk: Desk::new(&device, boot.nonce),
            audit: Log::new(chain),
            limited: false,
            outbox: Outbox::new(outbox::Config::DEFAULT),
            interval: config::INTERVAL,
            read_at: Instant::ZERO,
            report_at: Instant::ZERO,
        }
    }

    /// Begins, known by `key`: the first frame of a life says whose it is.
    #[inline(never)]
    pub fn start(&mut self, key: &[u8; 32]) {
        if self.desk.open(key).is_err() {
            board::abort();
        }
        SENSOR.with(|executor, _| executor.reseed(self.boot.nonce));
        self.readable = self.health.add("sensor", CheckConfig::READINESS).ok();
        self.beats = room::TASKS.map(|name| self.health.add(name, config::ALIVE).ok());
        self.health.poll(Timer.now());
        self.say_hello();
        // First, while no new line has taken the place of one.
        self.tell_log(Timer.now());
        self.log(Level::Info, "node", self.boot.cause.as_str());
        self.audit_start();
    }

    #[inline(never)]
    fn audit_start(&mut self) {
        let event = Event::new(Happened::Start, Ended::Success, "", "", self.boot.cause.as_str());
        self.record(&event, Timer.now());
    }

    /// Does what is due.
    #[inline(never)]
    pub fn poll(&mut self) {
        self.beat(Task::Report);
        let now = Timer.now();
        if self.health.poll(now) && !self.health.is_live() {
            self.log(Level::Error, "node", "a task is not heard of: the watchdog is not fed");
        }
        if now >= self.report_at {
            self.report_at = now + config::REPORT;
            self.report();
        }
        SENSOR.with(Executor::poll);
        let unix = self.desk.unix(now);
        self.audit.poll(now, unix);
        self.tell_audit(now);
        self.tell_log(now);
        self.outbox.poll(now);
    }

    /// The task shows that it runs.
    pub fn beat(&mut self, task: Task) {
        if let Some(check) = self.beats.get(task as usize).copied().flatten() {
            self.health.report(check, health::Outcome::Pass, Duration::ZERO, Timer.now());
        }
    }

    /// Whether all that has to run does: only then the watchdog is fed.
    pub fn is_live(&self) -> bool {
        self.health.is_live()
    }

    /// When the sensor is to be looked after again: to be read, or to show that somebody would.
    pub fn read_at(&self) -> Instant {
        self.read_at.min(Timer.now() + config::BEAT)
    }

    /// When there is something to do again.
    pub fn poll_at(&self) -> Instant {
        let machines = Instant::earliest(self.outbox.poll_at(), SENSOR.with(|executor, _| executor.poll_at()));
        let own = self.read_at.min(self.report_at);
        machines.map_or(own, |at| at.min(own))
    }

    /// Counts bytes that the serial port lost.
    pub fn line_lost(&mut self, bytes: u32) {
        self.set("uart_lost_bytes", bytes.cast_signed());
    }

    fn push(&mut self, record: &Record) {
        // What does not fit is counted and told by the outbox itself.
        let _ = self.outbox.push(record, Timer.now());
    }

    /// Appends to the audit chain, with the wall time as soon as somebody has told it.
    #[inline(never)]
    fn record(&mut self, event: &Event, now: Instant) {
        // What finds no room is counted and told by the chain itself.
        let unix = self.desk.unix(now);
        let _ = self.audit.append(event, now, unix);
        self.tell_audit(now);
    }

    /// Hands on what the audit holds, as far as the outbox has room: a record stays in one of the two until the host
    /// has it.
    #[inline(never)]
    fn tell_audit(&mut self, now: Instant) {
        while let Some(spelling) = self.audit.oldest_spelt() {
            if self.outbox.offer_audit(spelling, now).is_err() {
                break;
            }
            self.audit.pass();
        }
    }

    /// Hands on what the log has kept over the reset, as far as the outbox has room.
    #[inline(never)]
    fn tell_log(&mut self, now: Instant) {
        while let Some((place, line)) = log::untold() {
            let record = Record::LogBefore {
                number: line.number,
                at: line.at,
                last_at: line.last_at,
                level: line.level,
                target: line.target,
                message: line.message,
                repeated: line.repeated,
            };
            if self.outbox.offer(&record, now).is_err() {
                break;
            }
            log::told(place, line.number);
        }
    }

    fn count(&mut self, name: &'static str) {
        // The table has room for every name in this file.
        let _ = self.metrics.add(name, 1, Timer.now());
    }

    fn set(&mut self, name: &'static str, value: i32) {
        let _ = self.metrics.set(name, value, Timer.now());
    }

    // Each of the following makes its record and hands it on, not inlined: a record is 304 bytes of stack, and there is
    // one of them at a time.

    #[inline(never)]
    fn say_hello(&mut self) {
        self.push(&Record::Hello {
            device: self.device,
            boot: self.boot.id,
            nonce: self.boot.nonce,
            schema: SCHEMA,
            firmware: Text::cut(config::FIRMWARE),
            reset: self.boot.cause,
        });
    }

    /// Begins a reading of the sensor if one is due. Whoever makes it, blocking or awaited, ends it by
    /// [`Self::finish_read`].
    pub fn begin_read(&mut self) -> Option<Read> {
        self.beat(Task::Sensor);
        let now = Timer.now();
        if now < self.read_at {
            return None;
        }
        self.read_at = now + self.interval;
        let before = SENSOR.with(|executor, _| executor.breaker().state());
        // Asked for over the bus once in a while, from the cache else.
        let identifier = self.registers.get(&IDENTIFIER, now).copied();
        if let Some(identifier) = identifier {
            self.set("sensor_identifier", identifier.into());
        }
        Some(Read { identify: identifier.is_none(), before, span: self.profiler.start("sensor_read", now) })
    }

    /// Takes what came of a reading; the last good one stands in for one that failed.
    #[inline(never)]
    pub fn finish_read(&mut self, read: Read, execution: Execution<Reading, Fault>, identifier: Option<u8>) {
        let Read { before, span, .. } = read;
        let now = Timer.now();
        self.profiler.finish(span, Outcome::from(&execution.result), now);
        self.count("reads");
        if let Err(failure) = &execution.result {
            self.count("reads_failed");
            let (kind, message) = match failure {
                Failure::Error(Fault::Silent) => ("i2c", "the sensor does not answer"),
                Failure::Error(Fault::Checksum) => ("crc", "the sensor's checksum is wrong"),
                Failure::Open { .. } => ("breaker", "the sensor is left alone"),
                _ => ("timeout", "the sensor took too long"),
            };
            self.errors.record(kind, message, now);
            log::error(kind, message, now);
            self.log(Level::Warn, "sensor", message);
        }
        self.judge(before, execution.success(), execution.elapsed, now);
        let execution = self.fallback.apply(execution, now);
        if execution.fallback_used {
            self.count("fallbacks");
        }
        if let Ok(reading) = execution.result {
            self.set("temperature_mc", reading.millidegrees);
            self.set("humidity_mpct", reading.millipercent);
        }
        if let Some(identifier) = identifier {
            self.registers.insert(IDENTIFIER, identifier, now);
        }
    }

    /// Tells health and log what the breaker and the reading say.
    fn judge(&mut self, before: State, success: bool, took: Duration, now: Instant) {
        if let Some(check) = self.readable {
            let outcome = if success { health::Outcome::Pass } else { health::Outcome::Fail };
            self.health.report(check, outcome, took, now);
        }
        let after = SENSOR.with(|executor, _| executor.breaker().state());
        if before != after {
            defmt::info!("sensor breaker: {} -> {}", before, after);
            let message = match after {
                State::Open => "breaker opened: the sensor is left alone",
                State::Closed => "breaker closed: the sensor works",
                _ => "breaker changed",
            };
            self.log(Level::Warn, "sensor", message);
        }
    }

    /// Keeps a line and tells the host; not what only says the same again, which the line counts.
    #[inline(never)]
    fn log(&mut self, level: Level, target: &str, message: &str) {
        // One moment for both, by which the host knows the line when it is told again.
        let now = Timer.now();
        if let Recorded::Kept { .. } = log::record(level, target, message, now) {
            let record = Record::Log { level, target: Text::cut(target), message: Text::cut(message) };
            let _ = self.outbox.push(&record, now);
        }
    }

    /// Tells the host everything.
    #[inline(never)]
    fn report(&mut self) {
        let now = Timer.now();
        self.tell_system(now);
        let lost = self.outbox.snapshot().lost;
        if lost > 0 {
            self.set("outbox_lost", lost.cast_signed());
        }
        self.tell_metrics(now);
        self.tell_breaker();
        self.tell_cache();
        self.tell_times();
        self.tell_errors(now);
        self.tell_whole(now);
    }

    #[inline(never)]
    fn tell_system(&mut self, now: Instant) {
        let idle_permille = idle::asleep().times(1_000).as_nanos().checked_div(now.as_nanos()).unwrap_or(0);
        let idle_permille = u16::try_from(idle_permille).unwrap_or(1_000);
        let (stack_high_water, stack_size) = (stack::high_water(), stack::size());
        self.push(&Record::System { uptime: now - Instant::ZERO, stack_high_water, stack_size, idle_permille });
        self.push(&Record::Health { live: self.health.is_live(), ready: self.health.is_ready() });
        defmt::info!("stack {} of {} bytes, {} permille asleep", stack_high_water, stack_size, idle_permille);
    }

    #[inline(never)]
    fn tell_metrics(&mut self, now: Instant) {
        for (name, kind, stats) in self.metrics.iter() {
            let record = match kind {
                Kind::Counter => Record::Counter { name: Text::cut(name), total: stats.last().unsigned_abs().into() },
                _ => Record::Gauge { name: Text::cut(name), value: stats.last().into() },
            };
            let _ = self.outbox.push(&record, now);
        }
    }

    #[inline(never)]
    fn tell_breaker(&mut self) {
        let breaker = SENSOR.with(|executor, _| executor.breaker().snapshot());
        self.push(&Record::Breaker {
            name: Text::cut("sensor"),
            state: match breaker.state {
                State::Closed | State::MetricsOnly => BreakerState::Closed,
                State::Open => BreakerState::Open,
                State::HalfOpen => BreakerState::HalfOpen,
                State::ForcedOpen => BreakerState::ForcedOpen,
                State::Disabled => BreakerState::Disabled,
            },
            consecutive_failures: breaker.consecutive_failures,
            opened: breaker.opened.into(),
            refused: breaker.refused.into(),
            retry_at: breaker.retry_at,
        });
    }

    #[inline(never)]
    fn tell_cache(&mut self) {
        let cache = self.registers.snapshot();
        if cache.capacity == 0 {
            return;
        }
        self.push(&Record::Cache {
            name: Text::cut("registers"),
            hits: cache.hits,
            misses: cache.misses,
            len: cache.len,
            capacity: cache.capacity,
        });
    }

    #[inline(never)]
    fn tell_times(&mut self) {
        if let Some(read) = self.profiler.snapshot("sensor_read") {
            let time = read.time;
            self.push(&Record::Distribution {
                name: Text::cut("sensor_read"),
                unit: Unit::Nanos,
                count: time.count,
                sum: time.sum,
                min: time.min.unwrap_or(0),
                max: time.max.unwrap_or(0),
                p50: time.p50.unwrap_or(0),
                p95: time.p95.unwrap_or(0),
                p99: time.p99.unwrap_or(0),
            });
        }
    }

    /// One record for each kind, with the latest message where it is still kept.
    #[inline(never)]
    fn tell_errors(&mut self, now: Instant) {
        for kind in self.errors.top() {
            let last = self.errors.last().find(|error| error.kind == kind.kind);
            let record = Record::Error {
                // Spelt anew: copied, it would bring `memmove`, 1.5 KB of flash that nobody else needs.
                kind: Text::cut(kind.kind.as_str()),
                total: u32::try_from(kind.count).unwrap_or(u32::MAX),
                message: last.map_or(Text::EMPTY, |error| error.message),
                at: kind.last_at,
            };
            let _ = self.outbox.push(&record, now);
        }
    }

    /// How everything stands, in one record.
    #[inline(never)]
    fn tell_whole(&mut self, now: Instant) {
        self.push(&Record::Report { report: self.whole(now) });
    }

    #[inline(never)]
    fn whole(&self, now: Instant) -> Report {
        let breaker = SENSOR.with(|executor, _| executor.breaker().snapshot());
        Report::new(now - Instant::ZERO)
            .health(self.health.is_live(), self.health.is_ready())
            .breaker(&breaker)
            .cache(&self.registers.snapshot())
            .errors(&self.errors.snapshot(now))
            .log(&log::snapshot())
            .lost(self.outbox.snapshot().lost)
            .audit(&self.audit.snapshot())
    }

    /// Does what the host says. `true`: the chip is to be reset when the line is empty.
    pub fn hear(&mut self, payload: &[u8]) -> bool {
        let now = Timer.now();
        match Downlink::decode(payload) {
            Ok(Downlink::Ack { seq }) => {
                self.outbox.ack(seq, now);
            }
            Ok(Downlink::Identify) => self.say_hello(),
            Ok(Downlink::Command { token }) => return self.obey(token, now),
            // A newer host may say more than this version knows.
            Ok(_) | Err(_) => self.count("downlink_unknown"),
        }
        false
    }

    #[inline(never)]
    fn obey(&mut self, token: &str, now: Instant) -> bool {
        let admitted = self.desk.admit(token, now);
        self.audit_command(&admitted, now);
        let (counter, verdict, message, restart) = match admitted {
            Ok(Order { command, counter, .. }) => {
                self.count("commands");
                (counter, Verdict::Accepted, self.run(command), command == Command::Restart)
            }
            Err(Refusal { counter, verdict, .. }) => {
                self.count("commands_refused");
                self.log(Level::Warn, "command", verdict.as_str());
                let message = match verdict {
                    Verdict::Expired | Verdict::Failed => self.what_time(now),
                    _ => Text::EMPTY,
                };
                (counter, verdict, message, false)
            }
        };
        defmt::info!("command {}: {}", counter, verdict);
        self.reply(counter, verdict, message);
        restart
    }

    #[inline(never)]
    fn reply(&mut self, counter: u64, verdict: Verdict, message: Text<48>) {
        self.push(&Record::Reply { counter, verdict, message });
    }

    /// Who asked for what, and whether it is done. Of a flood, the first command that is one too many.
    ///
    /// Not inlined, as its neighbours: an event and a record are 500 bytes, and would stand on the stack all the time.
    #[inline(never)]
    fn audit_command(&mut self, admitted: &Result<Order, Refusal>, now: Instant) {
        let mut event = match admitted {
            Ok(order) => Event::command(order.user.as_str(), order.text.as_str(), true),
            Err(Refusal { verdict: Verdict::Limited, .. }) if self.limited => return,
            Err(refusal) => Event::denied(refusal.user.as_str(), "", refusal.verdict.as_str()),
        };
        if let Err(Refusal { text, .. }) = admitted
            && !text.is_empty()
        {
            event.detail.push(": ");
            event.detail.push(text.as_str());
        }
        self.limited = matches!(admitted, Err(Refusal { verdict: Verdict::Limited, .. }));
        self.record(&event, now);
    }

    #[inline(never)]
    fn run(&mut self, command: Command) -> Text<48> {
        let mut message = Text::EMPTY;
        match command {
            Command::Report => {
                self.report();
                message.push("reported");
            }
            Command::SetInterval(interval) => {
                self.interval = interval;
                self.read_at = Timer.now() + interval;
                let _ = write!(message, "interval is {interval}");
            }
            Command::ResetBreaker => {
                SENSOR.with(|executor, now| executor.breaker().reset(now));
                message.push("breaker is closed");
            }
            Command::Restart => {
                message.push("restarting");
            }
            #[cfg(not(daur_board))]
            Command::Hang => {
                self.log(Level::Warn, "node", "the bus hangs by command");
                crate::script::hang();
                message.push("hanging");
            }
            #[cfg(not(daur_board))]
            Command::Stall(time) => {
                crate::script::stall(time);
                message.push("stalled");
            }
            Command::SetTime(_) => message = self.what_time(Timer.now()),
        }
        message
    }

    /// What the host knows the device's wall time by: this, and when its frame was made.
    #[inline(never)]
    fn what_time(&mut self, now: Instant) -> Text<48> {
        let mut message = Text::EMPTY;
        if let Some(unix) = self.desk.unix(now) {
            let _ = write!(message, "time is {}", unix.as_millis());
        }
        message
    }
}
