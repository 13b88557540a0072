//! The way from a device to its host over a line that damages, cuts and is away for a while: what was taken in
//! arrives once and in order, and what was not is told in its place.

use daur_core::id::{BootId, DeviceId};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant};
use daur_core::wire::decoder::Decoder;
use daur_core::wire::frame::{Frame, MAX_PAYLOAD};
use daur_core::wire::inbox::{self, Arrival, Inbox};
use daur_core::wire::outbox::{self, Outbox};
use daur_core::wire::record::{Record, ResetCause};
use proptest::prelude::*;

/// A device, a line and a host.
struct Line {
    now: Instant,
    outbox: Outbox<160>,
    decoder: Decoder<MAX_PAYLOAD>,
    inbox: Inbox,
    pushed: u64,
    taken: Vec<Record>,
    /// What should arrive: the records taken in, with the count of those dropped before each.
    expected: Vec<(u64, u32)>,
    dropped: u32,
}

impl Line {
    fn new() -> Self {
        // A gap is never given up here: the outbox keeps everything that it has numbered.
        let patient = inbox::Config { patience: Duration::MAX };
        let mut line = Self {
            now: Instant::from_secs(1),
            outbox: Outbox::new(outbox::Config::DEFAULT),
            decoder: Decoder::new(),
            inbox: Inbox::new(patient),
            pushed: 0,
            taken: Vec::new(),
            expected: Vec::new(),
            dropped: 0,
        };
        // A host that has seen nothing takes whatever comes first: it cannot know what there was before.
        line.push();
        line.transmit(64, Fault::None);
        line
    }

    fn push(&mut self) {
        self.pushed += 1;
        let record = Record::Counter { name: Text::cut("n"), total: self.pushed };
        if self.outbox.push(&record, self.now).is_ok() {
            self.expected.push((self.pushed, std::mem::take(&mut self.dropped)));
        } else {
            self.dropped += 1;
        }
    }

    /// Moves up to `bytes` bytes; `fault` damages or drops one of them.
    fn transmit(&mut self, bytes: usize, fault: Fault) {
        let mut line = vec![0; bytes];
        let len = self.outbox.read(&mut line, self.now);
        line.truncate(len);
        match fault {
            Fault::Flip(bit) if len > 0 => line[bit / 8 % len] ^= 1 << (bit % 8),
            Fault::Drop(at) if len > 0 => drop(line.remove(at % len)),
            Fault::Away => line.clear(),
            _ => {}
        }
        let mut rest = line.as_slice();
        while let Some(payload) = self.decoder.feed(&mut rest) {
            let frame = Frame::decode(payload).expect("what the check sum lets through is a frame");
            match self.inbox.on_frame(frame.seq, None, self.now) {
                Arrival::New { lost } => {
                    assert_eq!(lost, 0);
                    self.taken.push(frame.record);
                }
                Arrival::Duplicate | Arrival::Early { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn acknowledge(&mut self) {
        if let Some(seq) = self.inbox.ack() {
            self.outbox.ack(seq, self.now);
        }
    }

    /// The line is good again: everything that is held arrives.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.transmit(64, Fault::None);
            self.acknowledge();
            self.now += Duration::from_secs(1);
            self.outbox.poll(self.now);
        }
        assert_eq!(self.outbox.snapshot().held, 0);
    }

    /// Compares with what should have arrived. A loss may be told in several pieces, all in the same gap.
    fn check(&self) {
        let mut arrived = Vec::new();
        let mut lost = 0;
        for record in &self.taken {
            match record {
                Record::Lost { count, .. } => lost += count,
                Record::Counter { total, .. } => arrived.push((*total, std::mem::take(&mut lost))),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(arrived, self.expected);
        assert_eq!(lost, self.dropped, "the losses after the last record");
        assert_eq!(self.pushed, arrived.len() as u64 + u64::from(self.outbox.snapshot().lost));
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Flip(usize),
    Drop(usize),
    Away,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(usize),
    Transmit(usize, Fault),
    Acknowledge,
    Wait(u64),
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        4 => Just(Fault::None),
        1 => any::<usize>().prop_map(Fault::Flip),
        1 => any::<usize>().prop_map(Fault::Drop),
        1 => Just(Fault::Away),
    ];
    prop_oneof![
        3 => (1..8_usize).prop_map(Step::Push),
        4 => (1..80_usize, fault).prop_map(|(bytes, fault)| Step::Transmit(bytes, fault)),
        2 => Just(Step::Acknowledge),
        1 => (0..4_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Cut),
    ]
}

proptest! {
    #[test]
    fn over_any_bad_line_what_was_taken_in_arrives_once_in_order_and_the_rest_is_told_in_its_place(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut line = Line::new();
        for step in steps {
            match step {
                Step::Push(n) => (0..n).for_each(|_| line.push()),
                Step::Transmit(bytes, fault) => line.transmit(bytes, fault),
                Step::Acknowledge => line.acknowledge(),
                Step::Wait(millis) => {
                    line.now += Duration::from_millis(millis);
                    line.outbox.poll(line.now);
                }
                Step::Cut => line.outbox.rewind(),
            }
        }
        line.settle();
        line.check();
    }
}

#[test]
fn a_host_that_was_away_reads_the_old_then_the_loss_then_the_new() {
    let mut line = Line::new();
    line.acknowledge();
    (1..30).for_each(|_| line.push());
    let kept = line.expected.len();
    line.transmit(400, Fault::Away);
    line.now += Duration::from_secs(3);
    assert!(line.outbox.poll(line.now));
    line.transmit(400, Fault::None);
    line.acknowledge();
    line.push();
    line.settle();
    line.check();
    assert_eq!(line.taken.len(), kept + 2);
    assert_eq!(
        line.taken[kept],
        Record::Lost { count: 30 - u32::try_from(kept).unwrap(), since: Instant::from_secs(1) }
    );
    assert_eq!(line.taken[kept + 1], Record::Counter { name: Text::cut("n"), total: 31 });
}

#[test]
fn a_frame_damaged_on_the_line_is_asked_for_and_nothing_is_lost() {
    let mut line = Line::new();
    line.acknowledge();
    (1..4).for_each(|_| line.push());
    // A bit in the second of these three frames.
    line.transmit(400, Fault::Flip(8 * 22));
    assert_eq!((line.taken.len(), line.decoder.snapshot().crc_errors), (2, 1));
    // The first says how far the host is, the second that it waits.
    line.acknowledge();
    line.acknowledge();
    line.transmit(400, Fault::None);
    assert_eq!(line.taken.len(), 4);
    line.settle();
    line.check();
}

#[test]
fn a_reset_shows_as_another_life_and_its_frames_are_not_taken_for_old_ones() {
    let now = Instant::from_secs(1);
    let mut inbox = Inbox::new(inbox::Config::DEFAULT);
    for boot in [1, 2] {
        let mut outbox: Outbox<512> = Outbox::new(outbox::Config::DEFAULT);
        let hello = Record::Hello {
            device: DeviceId::new("node-1").unwrap(),
            boot: BootId(boot),
            nonce: u64::from(boot),
            schema: 1,
            firmware: Text::EMPTY,
            reset: ResetCause::Software,
        };
        outbox.push(&hello, now).unwrap();
        for total in 0..10 {
            outbox.push(&Record::Counter { name: Text::cut("n"), total }, now).unwrap();
        }
        let mut decoder = Decoder::<MAX_PAYLOAD>::new();
        let mut line = [0; 600];
        let len = outbox.read(&mut line, now);
        let mut rest = &line[..len];
        while let Some(payload) = decoder.feed(&mut rest) {
            let frame = Frame::decode(payload).unwrap();
            let hello = match frame.record {
                Record::Hello { boot, .. } => Some(boot),
                _ => None,
            };
            assert_eq!(inbox.on_frame(frame.seq, hello, now), Arrival::New { lost: 0 });
        }
        assert_eq!(inbox.ack(), Some(10));
    }
    assert_eq!(inbox.snapshot().taken, 22);
}
