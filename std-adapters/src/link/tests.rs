//! Stories of a host and a device that is made of the core's own machines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Chain, Event, Head};
use daur_core::security::keys::derive_device_key;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{self, Gate, Keys};
use daur_core::text::Text;
use daur_core::time::wall::{self, Wall};
use daur_core::time::{Clock, Duration, Instant, UnixTime};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK};
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{BreakerState, Level, Record, Report, ResetCause, SCHEMA, Unit, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use super::*;
use crate::clock::TokioClock;
use crate::security::audit::device::{self, Life};
use crate::security::keys::hex;
use crate::security::test_dir;

const FLEET_KEY: &[u8] = b"a fleet key of at least 32 bytes, for tests only";

/// A device as firmware builds it, with a line that a test may spoil.
struct Node {
    outbox: Outbox<1024>,
    decoder: Decoder<MAX_DOWNLINK>,
    boot: BootId,
    nonce: u64,
    gate: Gate,
    /// Commands are read and not answered.
    mute: bool,
    /// Flip a bit of so many frames to come.
    damage: u32,
    identified: Arc<AtomicU32>,
    chain: Chain,
    schema: u16,
    /// Wall time, on a device that can know it.
    wall: Option<Wall>,
    /// How often it was told the time, and the ends of the other commands, on its own clock.
    told: u32,
    ends: Vec<Option<Duration>>,
}

impl Node {
    fn new(boot: u32, config: outbox::Config) -> Self {
        let nonce = 1_000 + u64::from(boot);
        let mut node = Self {
            outbox: Outbox::new(config),
            decoder: Decoder::new(),
            boot: BootId(boot),
            nonce,
            gate: Gate::new(nonce),
            mute: false,
            damage: 0,
            identified: Arc::default(),
            chain: Chain::new(Self::id(), BootId(boot), Self::life(boot).first_key(FLEET_KEY)),
            schema: 2,
            wall: None,
            told: 0,
            ends: Vec::new(),
        };
        node.hello();
        node
    }

    /// One of today's schema, with a clock.
    fn with_clock(boot: u32) -> Self {
        let mut node = Self::new(boot, outbox::Config::DEFAULT);
        (node.schema, node.wall, node.outbox) =
            (SCHEMA, Some(Wall::new(wall::Config::DEFAULT)), Outbox::new(outbox::Config::DEFAULT));
        node.hello();
        node
    }

    fn id() -> DeviceId {
        DeviceId::new("node-1").unwrap()
    }

    fn life(boot: u32) -> Life {
        Life { device: Self::id(), boot: BootId(boot), nonce: 1_000 + u64::from(boot) }
    }

    /// Appends to its audit chain and tells the host.
    fn audit(&mut self, what: &str) -> Head {
        let entry = self.chain.append(&Event::command("alice", what, true), TokioClock.now(), None);
        self.push(&Record::Audit { entry });
        self.chain.head()
    }

    fn push(&mut self, record: &Record) {
        // What does not fit is told by the outbox itself.
        let _ = self.outbox.push(record, TokioClock.now());
    }

    fn hello(&mut self) {
        let firmware = Text::cut("0.1.0");
        let (device, boot, nonce, reset) = (Self::id(), self.boot, self.nonce, ResetCause::PowerOn);
        self.push(&Record::Hello { device, boot, nonce, schema: self.schema, firmware, reset });
    }

    fn counter(&mut self, total: u64) {
        self.push(&Record::Counter { name: Text::cut("reads"), total });
    }

    fn on_bytes(&mut self, mut bytes: &[u8]) {
        let now = TokioClock.now();
        let mut answers = Vec::new();
        while let Some(payload) = self.decoder.feed(&mut bytes) {
            match Downlink::decode(payload).unwrap() {
                Downlink::Ack { seq } => {
                    self.outbox.ack(seq, now);
                }
                Downlink::Command { token } => {
                    let token = token.to_owned();
                    answers.push(self.run(&token, now));
                }
                Downlink::Identify => {
                    self.identified.fetch_add(1, Ordering::Relaxed);
                    answers.push(Record::Health { live: true, ready: true });
                }
                other => panic!("{other:?}"),
            }
        }
        for answer in answers {
            match answer {
                Record::Health { .. } => self.hello(),
                answer if !self.mute => self.push(&answer),
                _ => {}
            }
        }
    }

    /// Verifies and runs a command as firmware does.
    fn run(&mut self, token: &str, now: Instant) -> Record {
        let config = token::Config::command(&Self::id());
        let keys = Keys::<1>::new(config, None, &derive_device_key(FLEET_KEY, &Self::id())).unwrap();
        let unix = self.wall.as_mut().and_then(|wall| wall.unix(now));
        let claims = match keys.verify(token, unix) {
            Ok(claims) => claims,
            Err(token::Error::Expired) => return answer(0, Verdict::Expired, &self.time(now)),
            Err(token::Error::NoClock) => return answer(0, Verdict::NoClock, ""),
            Err(_) => return answer(0, Verdict::BadSignature, ""),
        };
        let (_, counter) = claims.nonce_and_counter().unwrap();
        let command = match self.gate.admit(&claims, Permissions::WRITE) {
            Ok(command) => command,
            Err(token::Error::Permission) => return answer(counter, Verdict::Forbidden, ""),
            Err(_) => return answer(counter, Verdict::Replayed, ""),
        };
        let Some(told) = command.as_str().strip_prefix("set-time ") else {
            let end = |exp| Duration::from_secs(exp) - Duration::from_millis(unix.unwrap().as_millis());
            self.ends.push(claims.exp.map(end));
            return answer(counter, Verdict::Accepted, command.as_str());
        };
        self.told += 1;
        let Some(wall) = &mut self.wall else { return answer(counter, Verdict::UnknownCommand, "") };
        let set = wall.set(UnixTime::from_millis(told.parse().unwrap()), now);
        answer(counter, if set.is_ok() { Verdict::Accepted } else { Verdict::Failed }, &self.time(now))
    }

    fn time(&mut self, now: Instant) -> String {
        let unix = self.wall.as_mut().and_then(|wall| wall.unix(now)).unwrap();
        format!("time is {}", unix.as_millis())
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = vec![0; 100];
        self.outbox.poll(TokioClock.now());
        let len = self.outbox.read(&mut line, TokioClock.now());
        line.truncate(len);
        if self.damage > 0 && len > 8 {
            self.damage -= 1;
            line[5] ^= 1;
        }
        line
    }
}

fn answer(counter: u64, verdict: Verdict, message: &str) -> Record {
    Record::Reply { counter, verdict, message: Text::cut(message) }
}

type SharedNode = Arc<Mutex<Node>>;

/// Serves one line until it breaks.
async fn serve(node: SharedNode, mut stream: impl AsyncRead + AsyncWrite + Unpin, cut: Arc<AtomicBool>) {
    node.lock().await.outbox.rewind();
    let mut bytes = [0; 64];
    while !cut.swap(false, Ordering::Relaxed) {
        let line = node.lock().await.line();
        if stream.write_all(&line).await.is_err() {
            return;
        }
        let pause = std::time::Duration::from_millis(5);
        match tokio::time::timeout(pause, stream.read(&mut bytes)).await {
            Ok(Ok(len @ 1..)) => node.lock().await.on_bytes(&bytes[..len]),
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// A registry with a node on an in-memory line, which comes back when it was cut.
struct Story {
    registry: Registry,
    node: SharedNode,
    cut: Arc<AtomicBool>,
}

impl Story {
    fn new(node: Node) -> Self {
        Self::with(node, Config::DEFAULT, Some(FLEET_KEY))
    }

    fn with(node: Node, config: Config, key: Option<&[u8]>) -> Self {
        Self::over(node, Registry::new(config, key))
    }

    fn over(node: Node, registry: Registry) -> Self {
        let story = Self { registry, node: Arc::new(Mutex::new(node)), cut: Arc::default() };
        story.attach();
        story
    }

    fn attach(&self) {
        let (device, cutter) = (self.node.clone(), self.cut.clone());
        self.registry.attach_with("memory", move || {
            let (near, far) = duplex(256);
            tokio::spawn(serve(device.clone(), far, cutter.clone()));
            async move { Ok::<DuplexStream, _>(near) }
        });
    }

    fn status(&self) -> DeviceStatus {
        self.registry.snapshot().remove(0)
    }

    /// Waits in tokio's paused time, which costs none.
    async fn until(&self, what: &str, done: impl Fn(&DeviceStatus) -> bool) -> DeviceStatus {
        for _ in 0..20_000 {
            let status = self.status();
            if done(&status) {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{what}: {:#?}", self.status());
    }

    async fn send(&self, command: &str) -> Result<Reply, SendError> {
        self.registry.send_command("node-1", command, "ann", Permissions::WRITE).await
    }
}

fn reads(status: &DeviceStatus) -> Option<u64> {
    match status.series.get("reads")?.value {
        SeriesValue::Counter { total } => Some(total),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn every_record_of_a_device_shows_in_its_status() {
    let mut node = Node::new(7, outbox::Config::DEFAULT);
    let name = Text::cut("i2c");
    node.counter(41);
    node.push(&Record::Gauge { name: Text::cut("temperature_mc"), value: -5 });
    let numbers = (100, 5_000, 10, 90, 50, 80, 89);
    let (count, sum, min, max, p50, p95, p99) = numbers;
    node.push(&Record::Distribution { name, unit: Unit::Nanos, count, sum, min, max, p50, p95, p99 });
    let state = BreakerState::Open;
    node.push(&Record::Breaker { name, state, consecutive_failures: 5, opened: 1, refused: 3, retry_at: None });
    let at = TokioClock.now();
    node.push(&Record::Error { kind: Text::cut("bus"), total: 5, message: Text::cut("no answer"), at });
    node.push(&Record::System { uptime: Duration::from_secs(9), stack_high_water: 1, stack_size: 2, idle_permille: 3 });
    node.push(&Record::Log { level: Level::Warn, target: Text::cut("main"), message: Text::cut("careful") });
    let (target, message, level) = (Text::cut("node"), Text::cut("last words"), Level::Error);
    node.push(&Record::LogBefore { number: 3, at, last_at: at, level, target, message, repeated: 2 });
    node.push(&Record::Cache { name, hits: 1, misses: 2, len: 3, capacity: 4 });
    node.push(&Record::Lost { count: 6, since: at });
    let report = Report { breakers_open: 1, lost: 6, ..Report::new(Duration::from_secs(9)).health(true, false) };
    node.push(&Record::Report { report });
    node.push(&Record::Health { live: true, ready: false });

    let story = Story::new(node);
    let status = story.until("all records", |status| status.ready == Some(false)).await;
    assert_eq!((status.id.as_deref(), status.boot_id.as_deref()), (Some("node-1"), Some("00000007")));
    assert_eq!((status.firmware.as_deref(), status.reset_cause), (Some("0.1.0"), Some(ResetCause::PowerOn)));
    assert_eq!((reads(&status), status.live), (Some(41), Some(true)));
    assert_eq!(status.series["temperature_mc"].value, SeriesValue::Gauge { value: -5 });
    assert!(matches!(status.series["i2c"].value, SeriesValue::Distribution { count: 100, p99: 89, .. }));
    assert_eq!((status.breakers["i2c"].state, status.breakers["i2c"].refused), (BreakerState::Open, 3));
    assert_eq!((status.errors["bus"].total, status.errors["bus"].message.as_str()), (5, "no answer"));
    assert_eq!(status.system.unwrap().uptime_ms, 9_000);
    let log: Vec<_> = status.log.iter().map(|line| (line.message.as_str(), line.repeated, line.before_reset)).collect();
    assert_eq!(log, [("last words", 2, true), ("careful", 0, false)]);
    assert_eq!(status.caches["i2c"].capacity, 4);
    let report = status.report.as_ref().unwrap();
    assert_eq!((report.verdict.as_str(), report.uptime_ms, report.lost), ("red", 9_000, 6));
    assert_eq!(report.concerns, ["not ready", "a breaker is open"]);
    assert_eq!((status.lost, status.lost_device, status.lost_line, status.crc_errors), (6, 6, 0, 0));
    assert!(status.connected && status.last_seen_ms.is_some());
}

#[tokio::test(start_paused = true)]
async fn rule_1_a_line_that_breaks_comes_back_and_what_the_device_kept_arrives() {
    let story = Story::new(Node::new(1, outbox::Config::DEFAULT));
    story.until("hello", |status| status.id.is_some()).await;
    for total in 1..=20 {
        story.node.lock().await.counter(total);
        if total % 5 == 0 {
            story.cut.store(true, Ordering::Relaxed);
        }
        tokio::time::sleep(std::time::Duration::from_millis(7)).await;
    }
    let status = story.until("all", |status| reads(status) == Some(20)).await;
    assert_eq!(status.lost, 0);
    assert!(status.connections > 1, "{}", status.connections);
    // Twenty counters and a hello for every line.
    assert!(status.frames >= 21);
}

#[tokio::test(start_paused = true)]
async fn rule_1_a_device_that_cannot_be_reached_is_tried_again_and_says_why() {
    let registry = Registry::new(Config::DEFAULT, None);
    let (tries, mut tried) = mpsc::unbounded_channel();
    registry.attach_with("nowhere", move || {
        tries.send(TokioClock.now()).unwrap();
        async { Err::<DuplexStream, _>(std::io::ErrorKind::ConnectionRefused.into()) }
    });
    let mut waits = Vec::new();
    let mut last = tried.recv().await.unwrap();
    for _ in 0..8 {
        let next = tried.recv().await.unwrap();
        waits.push((next - last).as_nanos() / 1_000_000);
        last = next;
    }
    // Between half of 250 ms, doubling, and 10 s.
    assert!(waits[0] >= 125 && waits[0] <= 260, "{waits:?}");
    assert!(waits[7] >= 5_000 && waits[7] <= 10_010, "{waits:?}");
    let status = registry.snapshot().remove(0);
    assert!(!status.connected);
    assert!(status.link_error.unwrap().contains("refused"));
}

#[tokio::test(start_paused = true)]
async fn rule_2_what_is_taken_is_acknowledged_and_the_device_forgets_it() {
    let story = Story::new(Node::new(1, outbox::Config::DEFAULT));
    for total in 1..=500 {
        story.node.lock().await.counter(total);
        if total % 10 == 0 {
            story.until("this far", |status| reads(status) == Some(total)).await;
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let outbox = story.node.lock().await.outbox.snapshot();
    assert_eq!((outbox.held, outbox.lost, outbox.rewinds), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_damaged_frame_is_counted_asked_for_and_not_lost() {
    let story = Story::new(Node::new(1, outbox::Config::DEFAULT));
    story.until("hello", |status| status.id.is_some()).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    {
        let mut node = story.node.lock().await;
        node.damage = 1;
        (1..=20).for_each(|total| node.counter(total));
    }
    let status = story.until("all", |status| reads(status) == Some(20)).await;
    // The frame that the device broke off to begin again may count as a second one.
    assert!((1..=2).contains(&status.crc_errors), "{}", status.crc_errors);
    assert_eq!(status.lost, 0);
    assert_eq!(story.node.lock().await.outbox.snapshot().rewinds, 1);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_nobody_can_close_counts_as_lost() {
    let forgetful = outbox::Config { resend_after: None };
    let story = Story::new(Node::new(1, forgetful));
    story.until("hello", |status| status.id.is_some()).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    story.node.lock().await.damage = 1;
    for total in 1..=600 {
        story.node.lock().await.counter(total);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let status = story.until("the last", |status| reads(status) == Some(600)).await;
    assert_eq!(status.crc_errors, 1);
    // Six hundred counters, and the hello that was asked for beside the one of the start.
    assert_eq!(status.frames + status.lost_line, 602);
    assert!(status.lost_line > 1 && status.lost == status.lost_line);
}

#[tokio::test(start_paused = true)]
async fn a_reset_shows_as_another_boot_id_and_the_old_values_are_gone() {
    let story = Story::new(Node::new(1, outbox::Config::DEFAULT));
    story.node.lock().await.push(&Record::Gauge { name: Text::cut("old"), value: 1 });
    story.node.lock().await.counter(1);
    story.until("the first life", |status| reads(status) == Some(1)).await;
    *story.node.lock().await = Node::new(2, outbox::Config::DEFAULT);
    story.node.lock().await.counter(9);
    let status = story.until("the second life", |status| reads(status) == Some(9)).await;
    assert_eq!((status.boot_id.as_deref(), status.boots), (Some("00000002"), 2));
    assert!(!status.series.contains_key("old"));
    assert_eq!(status.lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_late_asks_who_speaks() {
    let mut node = Node::new(3, outbox::Config::DEFAULT);
    // Another host has had the hello.
    node.outbox.read(&mut [0; 200], TokioClock.now());
    node.outbox.ack(0, TokioClock.now());
    node.counter(5);
    let identified = node.identified.clone();
    let story = Story::new(node);
    let status = story.until("a name", |status| status.id.is_some()).await;
    assert_eq!((status.boot_id.as_deref(), reads(&status)), (Some("00000003"), Some(5)));
    // Asked once a second, until the device has begun again with what it keeps, which is after two.
    assert!((1..=3).contains(&identified.load(Ordering::Relaxed)));
}

#[tokio::test(start_paused = true)]
async fn rule_3_names_and_lines_are_bounded_and_what_is_left_out_is_counted() {
    let mut node = Node::new(1, outbox::Config::DEFAULT);
    for n in 0..5 {
        node.push(&Record::Gauge { name: Text::cut(&format!("g{n}")), value: n });
        node.push(&Record::Log { level: Level::Info, target: Text::EMPTY, message: Text::cut(&format!("line {n}")) });
    }
    node.counter(1);
    node.push(&Record::Health { live: true, ready: true });
    let config = Config { max_series: 3, log_lines: 2, ..Config::DEFAULT };
    let story = Story::with(node, config, None);
    let status = story.until("all", |status| status.ready.is_some()).await;
    assert_eq!((status.series.len(), status.dropped), (3, 3));
    assert_eq!(status.log.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["line 3", "line 4"]);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_signed_command_is_run_once_and_answered() {
    let story = Story::new(Node::new(1, outbox::Config::DEFAULT));
    story.until("hello", |status| status.id.is_some()).await;
    let first = story.send("set-interval 500").await.unwrap();
    assert_eq!((first.verdict, first.message.as_str()), (Verdict::Accepted, "set-interval 500"));
    let second = story.send("report").await.unwrap();
    assert_eq!(second.verdict, Verdict::Accepted);
    assert!(second.counter > first.counter);
    assert_eq!(story.status().commands_accepted, 2);
    // Without the permission the device refuses, whatever the host thinks.
    let refused = story.registry.send_command("node-1", "report", "bob", Permissions::READ).await.unwrap();
    assert_eq!(refused.verdict, Verdict::Forbidden);
    assert_eq!(story.status().commands_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_command_signed_with_another_fleets_key_is_refused_by_the_device() {
    let other = b"another fleet key of at least 32 bytes, as it were";
    let story = Story::with(Node::new(1, outbox::Config::DEFAULT), Config::DEFAULT, Some(other));
    story.until("hello", |status| status.id.is_some()).await;
    assert_eq!(story.send("report").await.unwrap().verdict, Verdict::BadSignature);
    assert_eq!(story.status().commands_refused, 1);
}

#[tokio::test(start_paused = true)]
async fn rule_4_one_command_is_under_way_at_a_time_and_its_place_is_free_after_the_timeout() {
    let mut node = Node::new(1, outbox::Config::DEFAULT);
    node.mute = true;
    let story = Story::new(node);
    story.until("hello", |status| status.id.is_some()).await;
    let (first, second) = tokio::join!(story.send("report"), story.send("report"));
    assert_eq!((first, second), (Err(SendError::Timeout), Err(SendError::Busy)));
    story.node.lock().await.mute = false;
    assert!(story.send("report").await.is_ok());
    // The caller that goes away leaves the place free as well.
    story.node.lock().await.mute = true;
    let gone = tokio::time::timeout(std::time::Duration::from_millis(50), story.send("report")).await;
    assert!(gone.is_err());
    story.node.lock().await.mute = false;
    assert!(story.send("report").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_sent_says_why() {
    let story = Story::with(Node::new(1, outbox::Config::DEFAULT), Config::DEFAULT, None);
    assert_eq!(story.send("report").await, Err(SendError::UnknownDevice));
    story.until("hello", |status| status.id.is_some()).await;
    assert_eq!(story.send("report").await, Err(SendError::NoKey));
    assert_eq!(story.send(&"x".repeat(65)).await, Err(SendError::TooLong));

    let short = Story::with(Node::new(1, outbox::Config::DEFAULT), Config::DEFAULT, Some(FLEET_KEY));
    short.until("hello", |status| status.id.is_some()).await;
    short.registry.shutdown();
    assert_eq!(short.send("report").await, Err(SendError::Disconnected));
    assert!(short.status().link_error.is_some());
}

fn verdict(status: &DeviceStatus) -> Option<(device::Verdict, u64)> {
    status.audit.as_ref().map(|audit| (audit.verdict, audit.records))
}

#[tokio::test(start_paused = true)]
async fn rule_5_an_audit_chain_is_verified_as_it_comes_over_a_line_that_breaks_and_kept() {
    let dir = test_dir("chains");
    let registry = Registry::with_audit_dir(Config::DEFAULT, Some(FLEET_KEY), dir.path().join("devices"));
    let story = Story::over(Node::new(1, outbox::Config::DEFAULT), registry);
    let status = story.until("a chain", |status| status.audit.is_some()).await;
    assert_eq!(verdict(&status), Some((device::Verdict::Missing, 0)));
    let mut head = Head::default();
    for n in 1..=30 {
        head = story.node.lock().await.audit(&format!("set {n}"));
        if n % 7 == 0 {
            story.cut.store(true, Ordering::Relaxed);
        }
        if n % 3 == 0 {
            story.until("this far", |status| verdict(status) == Some((device::Verdict::Verified, n))).await;
        }
    }
    let status = story.until("all", |status| verdict(status) == Some((device::Verdict::Verified, 30))).await;
    assert_eq!((status.audit.unwrap().head, status.lost), (Some(hex(&head.tag)), 0));
    assert_eq!(story.registry.audit("node-1")[0].event.detail, "set 30");
    let path = dir.path().join("devices").join(Node::life(1).file_name());
    assert_eq!(device::check_at(&path, FLEET_KEY, Some(head)).unwrap().result(), Ok(head));

    // Another life has another chain, and its own file.
    *story.node.lock().await = Node::new(2, outbox::Config::DEFAULT);
    story.node.lock().await.audit("report");
    story
        .until("the second life", |status| verdict(status) == Some((device::Verdict::Verified, 1)) && status.boots == 2)
        .await;
    assert_eq!(device::kept(&dir.path().join("devices")).unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn rule_5_a_host_that_starts_again_goes_on_with_the_chain_that_it_kept() {
    let dir = test_dir("restart");
    let registry = || Registry::with_audit_dir(Config::DEFAULT, Some(FLEET_KEY), dir.path());
    let mut node = Node::new(1, outbox::Config::DEFAULT);
    node.audit("one");
    let first = Story::over(node, registry());
    first.until("one", |status| verdict(status) == Some((device::Verdict::Verified, 1))).await;
    first.registry.shutdown();
    first.node.lock().await.audit("two");
    let second = Story { registry: registry(), node: first.node.clone(), cut: Arc::default() };
    second.attach();
    let status = second.until("two", |status| verdict(status) == Some((device::Verdict::Verified, 2))).await;
    assert_eq!(status.audit.unwrap().broken, None);
    // Without a directory, what another host has had is missing here, and that is told.
    second.registry.shutdown();
    let third = Story { registry: Registry::new(Config::DEFAULT, Some(FLEET_KEY)), ..second };
    third.node.lock().await.audit("three");
    third.attach();
    let status = third.until("three", |status| verdict(status) == Some((device::Verdict::Broken, 0))).await;
    assert_eq!(status.audit.unwrap().broken.as_deref(), Some("audit record 1 is missing"));
}

#[tokio::test(start_paused = true)]
async fn rule_5_what_cannot_be_kept_is_not_acknowledged_and_comes_again() {
    let dir = test_dir("no-room");
    // A file stands where the directory should be.
    let chains = dir.path().join("chains");
    std::fs::write(&chains, "").unwrap();
    let mut node = Node::new(1, outbox::Config::DEFAULT);
    node.audit("one");
    let story = Story::over(node, Registry::with_audit_dir(Config::DEFAULT, Some(FLEET_KEY), &chains));
    story.until("a second try", |status| status.connections > 2).await;
    let outbox = story.node.lock().await.outbox.snapshot();
    assert_eq!(outbox.held, outbox.next, "nothing was acknowledged");
    std::fs::remove_file(&chains).unwrap();
    story.until("one", |status| verdict(status) == Some((device::Verdict::Verified, 1))).await;
    story.node.lock().await.counter(1);
    story.until("the rest", |status| reads(status) == Some(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_device_of_the_first_schema_has_no_chain_and_one_that_is_tampered_with_is_named() {
    let mut node = Node::new(1, outbox::Config::DEFAULT);
    node.audit("one");
    let mut entry = node.chain.append(&Event::command("alice", "report", true), TokioClock.now(), None);
    entry.event.detail = Text::cut("nothing");
    node.push(&Record::Audit { entry });
    node.audit("three");
    let story = Story::new(node);
    let status = story.until("the tampered one", |status| verdict(status) == Some((device::Verdict::Broken, 1))).await;
    let audit = status.audit.unwrap();
    assert_eq!((audit.broken_seq, audit.broken.as_deref()), (Some(2), Some("audit record 2 was changed")));

    let mut old = Node::new(1, outbox::Config::DEFAULT);
    old.outbox = Outbox::new(outbox::Config::DEFAULT);
    let hello = Record::Hello {
        device: Node::id(),
        boot: BootId(1),
        nonce: 1_001,
        schema: 1,
        firmware: Text::EMPTY,
        reset: ResetCause::PowerOn,
    };
    old.push(&hello);
    old.counter(1);
    let story = Story::new(old);
    let status = story.until("a counter", |status| reads(status) == Some(1)).await;
    assert_eq!(status.audit, None);
}

#[tokio::test(start_paused = true)]
async fn a_silent_line_is_broken_off_and_tried_again() {
    let story = Story::new(Node::new(1, outbox::Config::DEFAULT));
    story.until("hello", |status| status.id.is_some()).await;
    // The node says nothing more than it is told to, which after the first exchange is nothing.
    let status = story.until("another line", |status| status.connections == 2).await;
    assert!(status.connected);
    assert_eq!(status.boots, 1);
}

/// Where time is real, a busy machine takes its time.
const PATIENT: Config = Config {
    connect_timeout: Duration::from_secs(600),
    write_timeout: Duration::from_secs(600),
    silence: Duration::from_secs(600),
    reply_timeout: Duration::from_secs(600),
    ..Config::DEFAULT
};

#[tokio::test]
async fn over_tcp_a_device_arrives_answers_and_comes_back_after_its_end_was_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = Arc::new(Mutex::new(Node::new(1, outbox::Config::DEFAULT)));
    let cut = Arc::new(AtomicBool::new(false));
    let (device, cutter) = (node.clone(), cut.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(device.clone(), stream, cutter.clone()).await;
        }
    });
    let registry = Registry::new(PATIENT, Some(FLEET_KEY));
    registry.attach(&Endpoint::Tcp(address.to_string()));
    let story = Story { registry, node, cut };
    let status = story.until("hello", |status| status.id.is_some()).await;
    assert_eq!(status.endpoint, format!("tcp:{address}"));
    assert_eq!(story.send("report").await.unwrap().verdict, Verdict::Accepted);
    story.cut.store(true, Ordering::Relaxed);
    story.until("the second line", |status| status.connections == 2 && status.connected).await;
    story.node.lock().await.counter(3);
    story.until("a frame", |status| reads(status) == Some(3)).await;
    assert_eq!(story.send("report").await.unwrap().verdict, Verdict::Accepted);
}

#[cfg(all(unix, feature = "serial"))]
#[tokio::test]
async fn over_a_serial_path_a_device_arrives_and_answers() {
    use tokio_serial::SerialPort;

    // The master is the device; its other end has a path, which the registry opens.
    let (master, mut other) = tokio_serial::SerialStream::pair().unwrap();
    other.set_exclusive(false).unwrap();
    let path = other.name().unwrap();
    // A port is locked for one program. This keeps the other end open without the lock.
    let _open = std::fs::File::open(&path).unwrap();
    drop(other);
    let endpoint: Endpoint = path.parse().unwrap();
    let node = Arc::new(Mutex::new(Node::new(1, outbox::Config::DEFAULT)));
    let cut = Arc::new(AtomicBool::new(false));
    let registry = Registry::new(PATIENT, Some(FLEET_KEY));
    registry.attach(&endpoint);
    tokio::spawn(serve(node.clone(), master, cut.clone()));
    let story = Story { registry, node, cut };
    story.node.lock().await.counter(3);
    let status = story.until("a frame", |status| reads(status) == Some(3)).await;
    assert_eq!((status.endpoint, status.id.as_deref()), (endpoint.to_string(), Some("node-1")));
    assert_eq!(story.send("report").await.unwrap().verdict, Verdict::Accepted);
}

#[test]
fn an_endpoint_is_read_and_printed() {
    for text in ["tcp:127.0.0.1:9000", "tcp:[::1]:9000", "tcp:host:1", "/dev/ttyACM0", "/dev/ttyUSB0@57600", "COM3"] {
        assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
    }
    assert_eq!("/dev/ttyS0@115200".parse::<Endpoint>().unwrap().to_string(), "/dev/ttyS0");
    for text in
        ["", "tcp:", "tcp:9000", "tcp::9000", "tcp:host:70000", "udp:host:1", "ttyACM0", "/dev/tty@fast", "/dev/tty@0"]
    {
        assert_eq!(text.parse::<Endpoint>(), Err(InvalidEndpoint), "{text}");
    }
}

const LIFETIME: std::ops::RangeInclusive<u64> = 25_000..=31_000;

#[tokio::test(start_paused = true)]
async fn rule_6_a_device_is_told_the_time_before_any_other_command_and_commands_expire() {
    let story = Story::new(Node::with_clock(1));
    story.until("hello", |status| status.id.is_some()).await;
    // At once: it waits for the device's answer to the host's own.
    assert_eq!(story.send("first").await.unwrap().verdict, Verdict::Accepted);
    {
        let node = story.node.lock().await;
        assert_eq!((node.told, node.ends.len()), (1, 1));
        assert!(LIFETIME.contains(&node.ends[0].unwrap().as_millis()), "{:?}", node.ends);
    }
    let status = story.status();
    assert_eq!((status.commands_accepted, status.commands_refused, status.schema_ahead), (1, 0, Some(0)));
    // Tokio's time passes without the system's: ten minutes later the device is ahead by that, as a clock that is too fast.
    story.node.lock().await.counter(1);
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    story.node.lock().await.counter(2);
    let status = story.until("a frame", |status| reads(status) == Some(2)).await;
    assert!(status.wall_ahead_ms.is_some_and(|ahead| (550_000..=650_000).contains(&ahead)), "{status:#?}");
    assert_eq!(story.send("second").await.unwrap().verdict, Verdict::Accepted);
    let node = story.node.lock().await;
    assert!(LIFETIME.contains(&node.ends[1].unwrap().as_millis()), "{:?}", node.ends);
    assert_eq!(node.told, 1);
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_new_life_is_told_anew_and_a_host_that_starts_again_hears_what_time_it_is_there() {
    let story = Story::new(Node::with_clock(1));
    story.until("the time", |status| status.wall_ahead_ms.is_some()).await;
    *story.node.lock().await = Node::with_clock(2);
    story.cut.store(true, Ordering::Relaxed);
    story.until("the time of the next life", |status| status.boots == 2 && status.wall_ahead_ms.is_some()).await;
    assert_eq!(story.node.lock().await.told, 1);
    // Somebody has set it ten minutes ahead, and it cannot be set back.
    {
        let mut node = story.node.lock().await;
        let now = TokioClock.now();
        let unix = node.wall.as_mut().unwrap().unix(now).unwrap();
        let ahead = UnixTime::from_millis(unix.as_millis() + 600_000);
        node.wall.as_mut().unwrap().set(ahead, now).unwrap();
    }
    let again = Story { registry: Registry::new(Config::DEFAULT, Some(FLEET_KEY)), ..story };
    again.attach();
    let status = again.until("the time", |status| status.wall_ahead_ms.is_some()).await;
    assert!(status.wall_ahead_ms.unwrap() > 590_000, "{status:#?}");
    assert_eq!(again.send("by its clock").await.unwrap().verdict, Verdict::Accepted);
    let node = again.node.lock().await;
    assert!(LIFETIME.contains(&node.ends[0].unwrap().as_millis()), "{:?}", node.ends);
}

#[tokio::test(start_paused = true)]
async fn rule_6_one_that_keeps_no_time_is_sent_commands_without_an_end() {
    // It does not know the command.
    let mut node = Node::with_clock(1);
    node.wall = None;
    let story = Story::new(node);
    story.until("hello", |status| status.id.is_some()).await;
    for command in ["one", "two"] {
        assert_eq!(story.send(command).await.unwrap().verdict, Verdict::Accepted);
    }
    assert_eq!((story.status().wall_ahead_ms, story.node.lock().await.told), (None, 1));
    assert_eq!(story.node.lock().await.ends, [None, None]);
    // It is of an older schema, or the host is not to tell it, or cannot.
    for (schema, tell_time, key) in [(4, true, Some(FLEET_KEY)), (SCHEMA, false, Some(FLEET_KEY)), (SCHEMA, true, None)]
    {
        let mut node = Node::with_clock(1);
        (node.schema, node.outbox) = (schema, Outbox::new(outbox::Config::DEFAULT));
        node.hello();
        let story = Story::with(node, Config { tell_time, ..Config::DEFAULT }, key);
        story.until("hello", |status| status.id.is_some()).await;
        let sent = story.send("one").await.map(|reply| reply.verdict);
        assert_eq!(sent, if key.is_some() { Ok(Verdict::Accepted) } else { Err(SendError::NoKey) });
        assert_eq!(story.node.lock().await.told, 0);
    }
    let story = Story::with(Node::with_clock(1), Config { tell_time: false, ..Config::DEFAULT }, Some(FLEET_KEY));
    story.until("hello", |status| status.id.is_some()).await;
    // A user may tell it, and the host listens.
    let unix = crate::clock::SystemWallClock;
    let unix = daur_core::time::WallClock::unix_now(&unix).unwrap().as_millis();
    assert_eq!(story.send(&format!("set-time {unix}")).await.unwrap().verdict, Verdict::Accepted);
    assert_eq!(story.send("one").await.unwrap().verdict, Verdict::Accepted);
    assert!(story.node.lock().await.ends[0].is_some());
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_device_that_does_not_answer_is_not_waited_for_and_told_again_later() {
    let mut node = Node::with_clock(1);
    node.mute = true;
    let story = Story::new(node);
    story.until("hello", |status| status.id.is_some()).await;
    for _ in 0..1_000 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        if story.node.lock().await.told > 0 {
            break;
        }
    }
    assert_eq!(story.node.lock().await.told, 1);
    {
        let mut node = story.node.lock().await;
        node.mute = false;
        // As if it had not heard.
        node.wall = Some(Wall::new(wall::Config::DEFAULT));
    }
    let before = TokioClock.now();
    assert_eq!(story.send("one").await.unwrap().verdict, Verdict::Accepted);
    assert!(TokioClock.now() - before >= Config::DEFAULT.reply_timeout - Duration::from_secs(1));
    assert_eq!(story.node.lock().await.ends, [None]);
    // As long as it speaks.
    for total in 0..100 {
        story.node.lock().await.counter(total);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    story.until("the time", |status| status.wall_ahead_ms.is_some()).await;
    assert_eq!(story.node.lock().await.told, 2);
    assert_eq!(story.send("two").await.unwrap().verdict, Verdict::Accepted);
    assert!(story.node.lock().await.ends[1].is_some());
}
