//! The report: its rules, and that it fits into a frame.

use daur_core::monitoring::errors::{self, Errors};
use daur_core::monitoring::report::{Concern, Report, Verdict};
use daur_core::performance::cache::{self, Cache, Lru};
use daur_core::performance::memory::Level;
use daur_core::performance::queue::{self, Priority, Queue};
use daur_core::reliability::breaker::{self, Breaker};
use daur_core::time::{Duration, Instant};
use daur_core::wire::frame::{Frame, MAX_ENCODED};
use daur_core::wire::record::Record;
use proptest::prelude::*;

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

#[test]
fn rule_1_what_nobody_has_told_is_no_concern() {
    let report = Report::new(Duration::from_secs(1));
    assert_eq!((report.live, report.ready, report.hit_permille()), (None, None, None));
    assert_eq!((report.verdict(), report.concerns().count()), (Verdict::Green, 0));
}

#[test]
fn rule_2_machines_of_a_kind_add_up_and_sums_saturate() {
    let mut open: Breaker = Breaker::new(breaker::Config { failures: 1, ..breaker::Config::DEFAULT });
    let permit = open.try_acquire(at(1)).unwrap();
    open.on_failure(permit, at(1));
    assert!(open.try_acquire(at(1)).is_err());
    let closed: Breaker = Breaker::new(breaker::Config::DEFAULT);
    let mut cache: Cache<u8, u8, 4, Lru<u8>> = Cache::new(cache::Config::DEFAULT);
    cache.insert(1, 1, at(1));
    for key in [1, 1, 1, 2] {
        cache.get(&key, at(1));
    }
    let mut queue: Queue<u8, 1> = Queue::new(queue::Config::DEFAULT);
    queue.try_push(1, Priority::Normal, at(1)).unwrap();
    queue.try_push(2, Priority::Normal, at(1)).unwrap_err();
    let mut errors: Errors<2, 2> = Errors::new(errors::Config::DEFAULT);
    errors.record("i2c", "no answer", at(1));
    let report = Report::new(Duration::from_secs(1))
        .breaker(&open.snapshot())
        .breaker(&open.snapshot())
        .breaker(&closed.snapshot())
        .cache(&cache.snapshot())
        .cache(&cache.snapshot())
        .queue(&queue.snapshot())
        .errors(&errors.snapshot(at(1)))
        .lost(3)
        .lost(u32::MAX);
    assert_eq!((report.breakers_open, report.breakers_closed, report.refused), (2, 1, 2));
    assert_eq!((report.cache_hits, report.cache_misses, report.hit_permille()), (6, 2, Some(750)));
    assert_eq!((report.queued, report.queue_refused, report.errors, report.errors_recent), (1, 1, 1, 1));
    assert_eq!(report.lost, u32::MAX);
    assert!(report.concerns().eq([Concern::BreakersOpen(2), Concern::Errors(1)]));
    assert_eq!(report.verdict(), Verdict::Amber);
    // An hour later the error is not recent any more.
    assert_eq!(Report::new(Duration::ZERO).errors(&errors.snapshot(at(3_600))).verdict(), Verdict::Green);
}

#[test]
fn rule_2_of_several_all_must_be_well_and_the_scarcest_counts() {
    let report = Report::new(Duration::ZERO).health(true, false).health(true, true);
    assert_eq!((report.live, report.ready), (Some(true), Some(false)));
    let report = report.level(Level::Critical).level(Level::Normal);
    assert_eq!(report.level, Level::Critical);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let words = |report: Report| report.concerns().map(|concern| concern.to_string()).collect::<Vec<_>>();
    let report =
        Report { live: Some(false), breakers_open: 1, breakers_trying: 2, errors_recent: 5, ..Report::default() };
    assert_eq!(words(report), ["not alive", "a breaker is open", "2 breakers are trying", "5 errors recently"]);
    assert_eq!(Verdict::Red.to_string(), "red");
    assert_eq!(serde_json::to_value(report.verdict()).unwrap(), "red");
}

prop_compose! {
    fn reports()(
        told in (any::<Option<bool>>(), any::<Option<bool>>(), 0..3_u8, any::<u64>(), any::<u64>()),
        breakers in prop::array::uniform4(prop_oneof![0..3_u16, any::<u16>()]),
        totals in prop::array::uniform10(prop_oneof![0..3_u32, any::<u32>()]),
    ) -> Report {
        let (live, ready, level, uptime, audited) = told;
        let [breakers_closed, breakers_trying, breakers_open, breakers_forced] = breakers;
        let [refused, errors, errors_recent, cache_hits, cache_misses, queued, queue_refused, log_dropped, lost, audit_lost] = totals;
        Report {
            uptime: Duration::from_nanos(uptime),
            live,
            ready,
            level: [Level::Normal, Level::Elevated, Level::Critical][usize::from(level)],
            breakers_closed,
            breakers_trying,
            breakers_open,
            breakers_forced,
            refused,
            errors,
            errors_recent,
            cache_hits,
            cache_misses,
            queued,
            queue_refused,
            log_dropped,
            lost,
            audited,
            audit_lost,
        }
    }
}

proptest! {
    #[test]
    fn rule_3_the_verdict_is_the_gravest_concern_s_and_they_come_in_order(report in reports()) {
        let concerns: Vec<_> = report.concerns().collect();
        prop_assert!(concerns.is_sorted());
        let verdicts: Vec<_> = concerns.iter().map(|concern| std::cmp::Reverse(concern.verdict())).collect();
        prop_assert!(verdicts.is_sorted());
        prop_assert_eq!(report.verdict(), verdicts.first().map_or(Verdict::Green, |first| first.0));
        // Totals are no concern.
        let totals = Report { refused: 0, errors: 0, cache_misses: 0, queue_refused: 0, log_dropped: 0, lost: 0, audit_lost: 0, ..report };
        prop_assert!(totals.concerns().eq(concerns));
    }

    #[test]
    fn rule_4_every_report_fits_into_a_frame_and_is_read_back(report in reports()) {
        let frame = Frame { seq: 7, at: at(1), record: Record::Report { report } };
        let mut line = [0; MAX_ENCODED];
        let len = frame.encode(&mut line).unwrap();
        prop_assert!(len <= 128, "{}", len);
        let mut decoder = daur_core::wire::decoder::Decoder::<128>::new();
        let payload = decoder.feed(&mut &line[..len]).unwrap();
        prop_assert_eq!(Frame::decode(payload).unwrap(), frame);
    }
}
