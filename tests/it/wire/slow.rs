//! A UART that is slow, stalls, and damages in both directions: the whole link, byte by byte, in its own time.

use std::collections::VecDeque;

use daur_core::rng::Rng;
use daur_core::text::Text;
use daur_core::time::{Duration, Instant};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Downlink, Frame, MAX_DOWNLINK, MAX_DOWNLINK_ENCODED, MAX_PAYLOAD};
use daur_core::wire::inbox::{self, Arrival, Inbox};
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{Level, Record};

/// What goes wrong on a wire: how many of 1,000 bytes are flipped, dropped, or have another in front of them; how many
/// of 1,000 bytes are followed by a stall.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    flipped: u64,
    dropped: u64,
    inserted: u64,
    stalls: u64,
}

/// One direction: bytes wait in a buffer of the port, and arrive one at a time.
struct Wire {
    waiting: VecDeque<u8>,
    free_at: Instant,
    byte_time: Duration,
}

impl Wire {
    fn new(byte_time: Duration) -> Self {
        Self { waiting: VecDeque::new(), free_at: Instant::ZERO, byte_time }
    }

    /// What arrives by now.
    fn step(&mut self, now: Instant, faults: Faults, rng: &mut Rng) -> Vec<u8> {
        let mut arrived = Vec::new();
        while now >= self.free_at
            && let Some(byte) = self.waiting.pop_front()
        {
            self.free_at = self.free_at.max(now - self.byte_time) + self.byte_time;
            if rng.at_most(999) < faults.stalls {
                self.free_at = now + Duration::from_millis(rng.at_most(3_000));
            }
            if rng.at_most(999) < faults.inserted {
                arrived.push(rng.next_u64().to_le_bytes()[0]);
            }
            if rng.at_most(999) < faults.dropped {
                continue;
            }
            let flip = if rng.at_most(999) < faults.flipped { 1 << rng.at_most(7) } else { 0 };
            arrived.push(byte ^ flip);
        }
        arrived
    }
}

struct Link {
    now: Instant,
    rng: Rng,
    outbox: Outbox<1024>,
    up: Wire,
    down: Wire,
    /// Bytes that the port takes before it makes the device wait.
    port: usize,
    host: Decoder<MAX_PAYLOAD>,
    device: Decoder<MAX_DOWNLINK>,
    inbox: Inbox,
    acked: Option<u32>,
    pushed: u64,
    taken: Vec<Record>,
}

impl Link {
    fn new(seed: u64, byte_time: Duration, port: usize) -> Self {
        Self {
            now: Instant::from_secs(1),
            rng: Rng::new(seed),
            outbox: Outbox::new(outbox::Config::DEFAULT),
            up: Wire::new(byte_time),
            down: Wire::new(byte_time),
            port,
            host: Decoder::new(),
            device: Decoder::new(),
            // Longer than faults last here: what the outbox has numbered it keeps, so no gap need be given up.
            inbox: Inbox::new(inbox::Config { patience: byte_time.times(10_000) + Duration::from_secs(20) }),
            acked: None,
            pushed: 0,
            taken: Vec::new(),
        }
    }

    fn push(&mut self) {
        self.pushed += 1;
        let n = self.pushed;
        // A short one and a long one in turn.
        let record = if n.is_multiple_of(3) {
            let message = Text::cut(&format!("{n}: {}", "x".repeat(50)));
            Record::Log { level: Level::Info, target: Text::cut("n"), message }
        } else {
            Record::Counter { name: Text::cut("n"), total: n }
        };
        let _ = self.outbox.push(&record, self.now);
    }

    fn say(&mut self, message: &Downlink<'_>) {
        let mut line = [0; MAX_DOWNLINK_ENCODED];
        let len = message.encode(&mut line).unwrap();
        self.down.waiting.extend(&line[..len]);
    }

    /// Both ends and both directions, once.
    fn step(&mut self, faults: Faults) {
        let room = self.port.saturating_sub(self.up.waiting.len());
        let mut line = vec![0; room];
        let len = self.outbox.read(&mut line, self.now);
        self.up.waiting.extend(&line[..len]);

        let arrived = self.up.step(self.now, faults, &mut self.rng);
        let mut rest = arrived.as_slice();
        let mut asks = false;
        while let Some(payload) = self.host.feed(&mut rest) {
            // Two damages may cancel out in the check sum once in 2^32 times, and these are seeded.
            let frame = Frame::decode(payload).expect("what the check sum lets through is a frame");
            match self.inbox.on_frame(frame.seq, None, self.now) {
                Arrival::New { lost } => {
                    assert_eq!(lost, 0);
                    self.taken.push(frame.record);
                }
                Arrival::Early { ask } => asks |= ask,
                Arrival::Duplicate => {}
                // Nothing new for so long: the acknowledgement may have been lost.
                Arrival::Stale => asks = true,
                other => panic!("{other:?}"),
            }
        }
        if let Some(seq) = self.inbox.ack() {
            if self.acked != Some(seq) {
                self.acked = Some(seq);
                self.say(&Downlink::Ack { seq });
            }
            if asks {
                self.say(&Downlink::Ack { seq });
            }
        }

        let arrived = self.down.step(self.now, faults, &mut self.rng);
        let mut rest = arrived.as_slice();
        while let Some(payload) = self.device.feed(&mut rest) {
            match Downlink::decode(payload) {
                Ok(Downlink::Ack { seq }) => drop(self.outbox.ack(seq, self.now)),
                other => panic!("{other:?}"),
            }
        }
        self.outbox.poll(self.now);
        self.now += self.up.byte_time;
    }

    /// A good line: everything that is held arrives, within the time that sending all of it many times takes.
    fn settle(&mut self) {
        let resend = Duration::from_secs(2).as_nanos() / self.up.byte_time.as_nanos();
        for _ in 0..60_000 + 60 * resend {
            if self.outbox.snapshot().held == 0 && !self.outbox.is_pending() && self.up.waiting.is_empty() {
                return;
            }
            self.step(Faults::default());
        }
        panic!("it does not settle: {:?} {:?}", self.outbox.snapshot(), self.inbox.snapshot());
    }

    /// Every record was taken once and in order, or told as lost where it is missing.
    fn check(&self) {
        let (mut next, mut lost) = (1, 0);
        for record in &self.taken {
            let n = match record {
                Record::Lost { count, .. } => {
                    lost += u64::from(*count);
                    continue;
                }
                Record::Counter { total, .. } => *total,
                Record::Log { message, .. } => message.as_str().split(':').next().unwrap().parse().unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(n, next + lost, "in order, once, with what is missing told before it");
            (next, lost) = (n + 1, 0);
        }
        assert_eq!(self.pushed + 1, next + lost, "the last ones too");
        let seen = self.inbox.snapshot();
        assert_eq!((seen.lost, seen.taken), (0, u64::try_from(self.taken.len()).unwrap()));
    }
}

/// From 1 Mbaud to 300: a byte is ten bits.
const BAUDS: [u64; 5] = [1_000_000, 115_200, 9_600, 1_200, 300];

fn byte_time(baud: u64) -> Duration {
    Duration::from_nanos(10_000_000_000 / baud)
}

#[test]
fn a_line_of_any_speed_that_stalls_and_damages_brings_everything_or_tells_what_it_did_not() {
    let (mut taken, mut lost, mut damaged, mut again) = (0, 0, 0, 0);
    for (at, baud) in BAUDS.into_iter().enumerate() {
        for seed in 0..12 {
            let mut link = Link::new(seed * 10 + at as u64, byte_time(baud), [1, 16, 64][seed as usize % 3]);
            // The host hears a life from its beginning.
            link.push();
            link.settle();
            let rate = 1 + link.rng.at_most(40);
            let faults = match seed % 4 {
                0 => Faults::default(),
                1 => Faults { stalls: 2, ..Faults::default() },
                2 => Faults { flipped: 3, dropped: 3, inserted: 3, stalls: 0 },
                _ => Faults { flipped: 10, dropped: 5, inserted: 10, stalls: 1 },
            };
            for _ in 0..5_000 {
                if link.rng.at_most(999) < rate {
                    link.push();
                }
                link.step(faults);
            }
            link.settle();
            link.check();
            taken += link.taken.len();
            lost += link.outbox.snapshot().lost;
            damaged += link.host.snapshot().crc_errors + link.device.snapshot().crc_errors;
            again += link.inbox.snapshot().duplicates;
        }
    }
    assert!(taken > 1_000 && lost > 100 && damaged > 500 && again > 500, "{taken} {lost} {damaged} {again}");
}

#[test]
fn a_line_without_faults_sends_nothing_that_it_need_not_when_there_is_time() {
    let mut link = Link::new(1, byte_time(115_200), 16);
    for n in 0..40_000 {
        if n % 500 == 0 {
            link.push();
        }
        link.step(Faults::default());
    }
    link.settle();
    link.check();
    assert_eq!((link.outbox.snapshot().rewinds, link.outbox.snapshot().lost), (0, 0));
    let (host, device) = (link.host.snapshot(), link.device.snapshot());
    assert_eq!((host.crc_errors, device.crc_errors, link.inbox.snapshot().duplicates), (0, 0, 0));
}

/// A frame takes longer than the outbox waits for the host: it must not begin again before the frame is out.
#[test]
fn a_line_on_which_a_frame_takes_longer_than_the_outbox_waits_goes_on() {
    for baud in [300, 110, 50] {
        let mut link = Link::new(baud, byte_time(baud), 1);
        (0..30).for_each(|_| link.push());
        link.settle();
        link.check();
    }
}
