use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use daur_core::time::{Duration, Instant, UnixTime};
use daur_std::clock::ManualClock;
use daur_std::monitoring::errors::{Config, ConfigError, ErrorTracker, EventsBy, KINDS, Origin, PANIC};
use tracing_subscriber::layer::SubscriberExt as _;

/// An error with a cause, and that one with a cause, so many times.
#[derive(Debug)]
struct Nested {
    depth: u32,
    cause: Option<Box<Self>>,
}

impl Nested {
    fn of(depth: u32) -> Self {
        (0..depth)
            .fold(Self { depth, cause: None }, |inner, _| Self { depth: inner.depth - 1, cause: Some(Box::new(inner)) })
    }
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at depth {}", self.depth)
    }
}

impl Error for Nested {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn Error)
    }
}

struct At(Arc<ManualClock>);

impl daur_core::time::Clock for At {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// One whose clock stands at 100 s, which is 1,000 s after 1970.
fn tracker(config: Config) -> (ErrorTracker, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Instant::from_secs(100)));
    let wall = Some(UnixTime::from_secs(1_000));
    (ErrorTracker::try_with_clocks(config, At(Arc::clone(&clock)), wall).unwrap(), clock)
}

#[test]
fn rule_1_kinds_are_counted_with_a_stated_bound() {
    let (tracker, _) = tracker(Config::DEFAULT);
    for n in 0..KINDS {
        tracker.record_text(&format!("kind {n}"), "");
    }
    assert!(tracker.top(KINDS).iter().all(|kind| (kind.count, kind.overestimate) == (1, 0)));
    tracker.record_text("one too many", "");
    let kind = tracker.kind("one too many").unwrap();
    assert_eq!((kind.count, kind.overestimate), (2, 1));
    let snapshot = tracker.snapshot(usize::MAX);
    assert_eq!((snapshot.total, snapshot.kinds, snapshot.replaced), (KINDS as u64 + 1, KINDS, 1));
    assert_eq!(snapshot.top.iter().map(|kind| kind.count).sum::<u64>(), snapshot.total);
}

#[test]
fn rule_2_the_last_are_kept_with_message_time_and_origin() {
    let (tracker, clock) = tracker(Config { last: 2, ..Config::DEFAULT });
    tracker.record_text("a", "first");
    clock.advance(Duration::from_secs(7));
    tracker.record_text("a", "second");
    tracker.record_typed(&"x".parse::<u8>().unwrap_err());
    let last = tracker.last(10);
    assert_eq!(last.iter().map(|error| error.seq).collect::<Vec<_>>(), [3, 2]);
    assert_eq!((last[0].kind.as_str(), last[0].origin), ("core::num::error::ParseIntError", Origin::Recorded));
    assert_eq!((last[1].message.as_str(), last[1].at), ("second", Some(UnixTime::from_secs(1_000))));
    assert_eq!(tracker.last(1).len(), 1);
    // Moments of the clock are told by the wall: the first was seven seconds ago.
    let a = tracker.kind("a").unwrap();
    assert_eq!((a.first_at, a.last_at), (Some(UnixTime::from_secs(993)), Some(UnixTime::from_secs(1_000))));

    let (none, _) = self::tracker(Config { last: 0, ..Config::DEFAULT });
    none.record_text("a", "b");
    assert_eq!((none.total(), none.last(1).len()), (1, 0));
}

#[test]
fn rule_3_causes_are_walked_to_a_bound() {
    let (tracker, _) = tracker(Config { causes: 3, text: 16, ..Config::DEFAULT });
    tracker.record("nested", &Nested::of(3));
    let last = &tracker.last(1)[0];
    assert_eq!(last.causes, ["at depth 1", "at depth 2", "at depth 3"]);
    assert!(!last.more_causes);
    tracker.record("nested", &Nested::of(9));
    let last = &tracker.last(1)[0];
    assert_eq!((last.message.as_str(), last.causes.len(), last.more_causes), ("at depth 0", 3, true));

    /// Its own cause, for ever.
    #[derive(Debug)]
    struct Circle;
    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("round and round and round")
        }
    }
    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }
    tracker.record("circle", &Circle);
    let last = &tracker.last(1)[0];
    assert_eq!((last.causes[2].as_str(), last.more_causes), ("round and rou…", true));
}

#[test]
fn rule_4_an_error_that_panics_when_asked_is_recorded_as_such() {
    #[derive(Debug)]
    struct Rude;
    impl fmt::Display for Rude {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("not to you");
        }
    }
    impl Error for Rude {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            panic!("nor this");
        }
    }
    let (tracker, _) = tracker(Config::DEFAULT);
    tracker.record("rude", &Rude);
    assert_eq!(tracker.last(1)[0].message, "(panicked when asked what it says)");
    tracker.record_text("rude", "it goes on");
    assert_eq!(tracker.kind("rude").unwrap().count, 2);
}

thread_local! {
    static NESTING: RefCell<Option<ErrorTracker>> = const { RefCell::new(None) };
}

/// Records itself when it is shown, and logs too.
#[derive(Debug)]
struct Chatty;

impl fmt::Display for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NESTING.with_borrow(|tracker| tracker.as_ref().unwrap().record("chatty", self));
        tracing::error!(error = self as &dyn Error, "shown");
        f.write_str("at last")
    }
}

impl Error for Chatty {}

#[test]
fn rule_5_an_error_within_an_error_is_counted_as_skipped() {
    let (tracker, _) = tracker(Config::DEFAULT);
    NESTING.set(Some(tracker.clone()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tracker.layer()), || {
        tracker.record("outer", &Chatty);
    });
    let snapshot = tracker.snapshot(9);
    assert_eq!((snapshot.total, snapshot.skipped), (1, 2));
    assert_eq!((snapshot.last[0].kind.as_str(), snapshot.last[0].message.as_str()), ("outer", "at last"));
    tracker.record_text("after", "");
    assert_eq!(tracker.total(), 2);
}

/// While one test sets a hook, what panics in another would go past it.
static HOOK: Mutex<()> = Mutex::new(());

#[test]
fn rules_6_and_7_panics_are_recorded_and_the_hook_before_is_called() {
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let config = Config { last: 10_000, ..Config::DEFAULT };
    let (tracker, _) = tracker(config);
    let (other, _) = self::tracker(config);
    assert!(tracker.capture_panics() && other.capture_panics(), "the second calls the first");
    assert!(!tracker.capture_panics());

    let mine = |tracker: &ErrorTracker| -> Vec<_> {
        let all = tracker.last(usize::MAX).into_iter().rev();
        all.filter(|error| error.thread.as_deref() == Some("daur-panics")).collect()
    };
    let spawned = std::thread::Builder::new().name("daur-panics".into()).spawn(|| {
        struct Second;
        impl Drop for Second {
            fn drop(&mut self) {
                // While the first one unwinds, and caught again: allowed.
                let _ = catch_unwind(|| panic!("the second, {}", "formatted"));
            }
        }
        let _ = catch_unwind(|| std::panic::panic_any(7_u8));
        let _second = Second;
        panic!("the first");
    });
    assert!(spawned.unwrap().join().is_err());
    for tracker in [&tracker, &other] {
        let panics = mine(tracker);
        let messages: Vec<_> = panics.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, ["(a value that is no text)", "the first", "the second, formatted"]);
        assert!(panics.iter().all(|error| error.kind == PANIC && error.origin == Origin::Panic));
        assert!(panics[1].place.as_ref().unwrap().contains("errors.rs:"), "{:?}", panics[1].place);
        assert!(tracker.snapshot(0).panics >= 3);
    }

    // A thread that is panicking cannot set a hook, and is not asked to.
    struct Late(ErrorTracker);
    impl Drop for Late {
        fn drop(&mut self) {
            assert!(!self.0.capture_panics());
        }
    }
    let (late, _) = self::tracker(Config::DEFAULT);
    let dropped = late.clone();
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let _late = Late(dropped);
        panic!("while it goes");
    }));
    assert!(late.capture_panics(), "later it can");

    // A tracker that is gone captures nothing, and the others go on.
    drop(other);
    let before = mine(&tracker).len();
    let spawned = std::thread::Builder::new().name("daur-panics".into()).spawn(|| panic!("the last"));
    assert!(spawned.unwrap().join().is_err());
    assert_eq!(mine(&tracker).len(), before + 1);
}

#[test]
fn a_display_that_panics_under_the_hook_neither_hangs_nor_aborts() {
    #[derive(Debug)]
    struct Rude;
    impl fmt::Display for Rude {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in the midst of being recorded");
        }
    }
    impl Error for Rude {}
    let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let (tracker, _) = tracker(Config { last: 10_000, ..Config::DEFAULT });
    assert!(tracker.capture_panics());
    tracker.record("rude", &Rude);
    let snapshot = tracker.snapshot(usize::MAX);
    assert!(snapshot.skipped >= 1);
    assert!(snapshot.last.iter().all(|error| error.message != "in the midst of being recorded"));
    assert!(snapshot.last.iter().any(|error| error.kind == "rude"));
}

#[test]
fn events_of_level_error_are_recorded_by_their_fields() {
    let (tracker, _) = tracker(Config { causes: 2, ..Config::DEFAULT });
    let error = Nested::of(1);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tracker.layer()), || {
        tracing::error!("bare");
        tracing::error!(error = &error as &dyn Error, "with an error");
        tracing::error!(%error, "with its text");
        tracing::error!(err = &Nested::of(5) as &dyn Error);
        tracing::error!(code = 5, name = "x");
        tracing::error!(target: "elsewhere", kind = "mine", "of a kind");
        tracing::error!(cause = &error as &dyn Error, error = ?"named", "the named one counts");
        tracing::warn!(error = &error as &dyn Error, "no error");
        tracing::info!("nor this");
    });
    let mut last = tracker.last(99);
    last.reverse();
    let told: Vec<_> = last.iter().map(|error| (error.message.as_str(), error.causes.join(" < "))).collect();
    let expected = [
        ("bare", ""),
        ("with an error", "at depth 0 < at depth 1"),
        ("with its text", "at depth 0"),
        ("at depth 0", "at depth 1 < at depth 2"),
        ("code=5 name=x", ""),
        ("of a kind", ""),
        ("the named one counts", "\"named\""),
    ];
    assert_eq!(told, expected.map(|(message, causes)| (message, causes.to_string())));
    assert!(last[3].more_causes && !last[1].more_causes);
    assert_eq!((last[0].kind.as_str(), last[5].kind.as_str()), (module_path!(), "mine"));
    assert_eq!((last[5].target.as_deref(), last[5].origin), (Some("elsewhere"), Origin::Event));
    let snapshot = tracker.snapshot(0);
    assert_eq!((snapshot.total, snapshot.events, snapshot.panics, snapshot.recent), (7, 7, 0, 7));
}

#[test]
fn events_may_be_told_apart_by_their_place() {
    let (tracker, _) = tracker(Config { events_by: EventsBy::Place, ..Config::DEFAULT });
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tracker.layer()), || {
        for _ in 0..3 {
            tracing::error!("here");
        }
        tracing::error!("there");
    });
    let top = tracker.top(9);
    assert_eq!(top.iter().map(|kind| kind.count).collect::<Vec<_>>(), [3, 1]);
    assert!(top.iter().all(|kind| kind.kind.contains("errors.rs:")), "{top:?}");
}

#[test]
fn an_event_that_names_its_target_is_of_that_one() {
    let tracker = ErrorTracker::try_new(Config::DEFAULT).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tracker.layer()), || {
        daur_std::monitoring::log::logger("billing").error("the account is empty");
        tracing::error!(target: "log", { log.target = "db", log.file = "a.rs", log.line = 7, code = 5 }, "");
    });
    let last = tracker.last(9);
    let told: Vec<_> = last.iter().map(|error| (error.kind.as_str(), error.message.as_str())).collect();
    assert_eq!(told, [("db", "code=5"), ("billing", "the account is empty")]);
    assert_eq!(last[1].target.as_deref(), Some("billing"));
}

#[test]
fn eight_threads_lose_nothing() {
    let tracker = ErrorTracker::try_new(Config { last: 10, ..Config::DEFAULT }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let tracker = &tracker;
            scope.spawn(move || {
                for n in 0..1_000 {
                    tracker.record_text(["a", "b", "c"][(n + thread) % 3], "from many");
                }
            });
        }
    });
    let snapshot = tracker.snapshot(10);
    assert_eq!((snapshot.total, snapshot.skipped), (8_000, 0));
    assert_eq!(snapshot.top.iter().map(|kind| kind.count).sum::<u64>(), 8_000);
    assert_eq!(
        snapshot.last.iter().map(|error| error.seq).collect::<Vec<_>>(),
        (7_991..=8_000).rev().collect::<Vec<_>>()
    );
    assert!(serde_json::to_value(&snapshot).unwrap()["last"][0]["origin"] == "recorded");
}

#[test]
fn recent_errors_fade() {
    let (tracker, clock) = tracker(Config { window: Duration::from_secs(10), ..Config::DEFAULT });
    tracker.record_text("a", "");
    assert_eq!(tracker.recent(), 1);
    clock.advance(Duration::from_secs(20));
    assert_eq!((tracker.recent(), tracker.total()), (0, 1));
    clock.set(Instant::ZERO);
    tracker.record_text("a", "");
    assert_eq!(tracker.total(), 2, "time that steps back");
}

#[test]
fn a_config_out_of_range_is_refused() {
    let refused = |config| ErrorTracker::try_new(config).unwrap_err();
    assert_eq!(refused(Config { window: Duration::ZERO, ..Config::DEFAULT }), ConfigError::NoWindow);
    assert_eq!(refused(Config { last: 10_001, ..Config::DEFAULT }), ConfigError::Last);
    assert_eq!(refused(Config { causes: 65, ..Config::DEFAULT }), ConfigError::Causes);
    assert_eq!(refused(Config { text: 15, ..Config::DEFAULT }), ConfigError::Text);
    assert_eq!(
        refused(Config { text: 65_537, ..Config::DEFAULT }).to_string(),
        "errors: `text` must be from 16 to 65536 bytes"
    );
}

#[test]
fn an_error_without_a_kind_is_unknown_and_a_long_kind_is_cut() {
    let (tracker, _) = tracker(Config::DEFAULT);
    tracker.record_text("", "whose?");
    tracker.record_text(&"ö".repeat(40), "");
    assert!(tracker.kind("unknown").is_some());
    assert_eq!(tracker.last(1)[0].kind, "ö".repeat(32));
    assert_eq!(tracker.kind(&"ö".repeat(40)).unwrap().count, 1);
}
