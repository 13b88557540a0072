//! The host's health checker in paused time: its rules by number, its handlers' answers.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;

use daur_core::reliability::breaker::State;
use daur_core::reliability::health::{AddError, CheckConfig, Config, Kind, Outcome, Status};
use daur_core::time::{Clock, Duration};
use daur_std::clock::TokioClock;
use daur_std::reliability::health::{
    CheckReport, HealthChecker, MAX_CHECKS, MAX_REASON, Report, Verdict, health_checker,
};

/// Every 10 s, 1 s at most; one failure is enough.
const READY: CheckConfig = CheckConfig { failure_threshold: 1, ..CheckConfig::READINESS };

fn checker() -> HealthChecker {
    HealthChecker::new(Config::DEFAULT)
}

fn check<'a>(report: &'a Report, name: &str) -> &'a CheckReport {
    report.checks.iter().find(|check| check.name == name).expect("registered")
}

async fn pass_time(secs: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(secs)).await;
}

/// A check that waits so long, then passes.
fn slow(checker: &HealthChecker, name: &str, millis: u64) {
    let wait = std::time::Duration::from_millis(millis);
    let waiting = move || async move {
        tokio::time::sleep(wait).await;
        true
    };
    checker.register_check(name, READY, waiting).expect("room");
}

#[tokio::test(start_paused = true)]
async fn run_checks_gives_status_reason_duration_and_time() {
    let checker = checker();
    slow(&checker, "slow", 300);
    checker.register_check("disk", READY, || async { Verdict::degraded("5 % left") }).expect("room");
    checker.register_check("database", READY, || async { Err::<(), _>("connection refused") }).expect("room");
    let start = TokioClock.now();
    let report = checker.run_checks().await;
    let slow = check(&report, "slow");
    assert_eq!((slow.status, slow.outcome, &slow.reason), (Status::Healthy, Some(Outcome::Pass), &None));
    assert_eq!(slow.took.as_millis() / 10, 30);
    assert!(slow.at.expect("it ran") > start && slow.at_unix.is_some());
    let disk = check(&report, "disk");
    assert_eq!((disk.status, disk.reason.as_deref()), (Status::Degraded, Some("5 % left")));
    let database = check(&report, "database");
    assert_eq!((database.status, database.reason.as_deref()), (Status::Unhealthy, Some("connection refused")));
    assert_eq!((report.status, report.live, report.ready), (Status::Unhealthy, true, false));
    pass_time(5).await;
    assert_eq!(check(&checker.snapshot(), "database").age.expect("it ran").as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn rule_1_all_run_at_once_each_with_its_own_timeout() {
    let checker = checker();
    for index in 0..20 {
        slow(&checker, &format!("slow {index}"), 900);
    }
    let patient = CheckConfig { timeout: Duration::from_secs(5), ..READY };
    checker.register_check("hangs", patient, pending::<bool>).expect("room");
    let start = TokioClock.now();
    let report = checker.run_checks().await;
    assert_eq!((TokioClock.now() - start).as_secs(), 5, "not 20 x 900 ms and 5 s");
    assert_eq!(report.checks.iter().filter(|check| check.status == Status::Healthy).count(), 20);
    assert_eq!(check(&report, "slow 0").took.as_millis() / 10, 90);
    assert_eq!(check(&report, "hangs").outcome, Some(Outcome::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn rule_2_a_check_that_panics_has_failed_with_what_it_said() {
    let checker = checker();
    async fn panics() -> bool {
        panic!("index 7 of 3")
    }
    checker.register_check("awaited", READY, panics).expect("room");
    checker.register_check("at once", READY, || -> std::future::Ready<bool> { panic!("no future") }).expect("room");
    checker.register_blocking("blocking", READY, || -> bool { panic!("{} of a thread", "panic") }).expect("room");
    slow(&checker, "well", 1);
    let report = checker.run_checks().await;
    for (name, reason) in [("awaited", "index 7 of 3"), ("at once", "no future"), ("blocking", "panic of a thread")] {
        let check = check(&report, name);
        assert_eq!((check.outcome, check.status), (Some(Outcome::Panicked), Status::Unhealthy), "{name}");
        assert_eq!(check.reason.as_deref(), Some(reason));
    }
    assert_eq!(check(&report, "well").status, Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn rule_2_what_is_thrown_may_panic_once_more_as_it_is_dropped() {
    struct Thrown;
    impl Drop for Thrown {
        fn drop(&mut self) {
            panic!("once more");
        }
    }
    let checker = checker();
    let throws = || -> std::future::Ready<bool> { std::panic::panic_any(Thrown) };
    checker.register_check("throws", READY, throws).expect("room");
    let report = checker.run_checks().await;
    let throws = check(&report, "throws");
    assert_eq!((throws.outcome, throws.reason.as_deref()), (Some(Outcome::Panicked), Some("panicked")));
}

#[tokio::test(start_paused = true)]
async fn rule_3_a_check_that_outlasts_its_timeout_is_dropped() {
    struct Sets(Arc<AtomicBool>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (checker, dropped) = (checker(), Arc::new(AtomicBool::new(false)));
    let sets = dropped.clone();
    let hangs = move || {
        let guard = Sets(sets.clone());
        async move {
            let _guard = guard;
            pending::<bool>().await
        }
    };
    checker.register_check("hangs", READY, hangs).expect("room");
    let report = checker.run_checks().await;
    let hangs = check(&report, "hangs");
    assert_eq!((hangs.outcome, hangs.reason.as_deref()), (Some(Outcome::TimedOut), Some("took longer than 1s")));
    tokio::task::yield_now().await;
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_blocking_check_never_runs_beside_itself() {
    let checker = checker();
    let (release, held) = mpsc::channel::<()>();
    let (runs, held) = (Arc::new(AtomicU32::new(0)), std::sync::Mutex::new(held));
    let counted = runs.clone();
    let blocks = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        held.lock().expect("one at a time").recv().is_ok()
    };
    let quick = CheckConfig { timeout: Duration::from_millis(10), ..READY };
    checker.register_blocking("blocks", quick, blocks).expect("room");
    // Time that is paused goes on by itself only while no blocking task runs.
    let advance = async || {
        while runs.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            tokio::time::advance(std::time::Duration::from_millis(1)).await;
        }
    };
    let (report, ()) = tokio::join!(checker.run_checks(), advance());
    assert_eq!(check(&report, "blocks").reason.as_deref(), Some("took longer than 10ms"));
    let (report, ()) = tokio::join!(checker.run_checks(), advance());
    let second = check(&report, "blocks");
    assert_eq!((second.outcome, second.runs), (Some(Outcome::TimedOut), 2));
    assert_eq!(second.reason.as_deref(), Some("the run before this one has not ended"));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    release.send(()).expect("it waits");
    release.send(()).expect("it waits");
    let report = loop {
        let report = checker.run_checks().await;
        if report.is_healthy() {
            break report;
        }
    };
    assert_eq!(check(&report, "blocks").status, Status::Healthy);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn rule_4_two_callers_share_a_run_that_is_under_way() {
    let (checker, runs) = (checker(), Arc::new(AtomicU32::new(0)));
    let counted = runs.clone();
    let slow = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            pass_time(0).await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            true
        }
    };
    checker.register_check("slow", READY, slow).expect("room");
    let (one, other) = tokio::join!(checker.run_checks(), checker.run_checks());
    assert!(one.is_healthy() && other.is_healthy());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_5_run_checks_runs_what_is_not_due_too() {
    let (checker, runs) = (checker(), Arc::new(AtomicU32::new(0)));
    let counted = runs.clone();
    let counts = move || std::future::ready(counted.fetch_add(1, Ordering::SeqCst) < u32::MAX);
    checker.register_check("counts", CheckConfig { period: None, ..READY }, counts).expect("room");
    checker.run_due().await;
    assert_eq!(runs.load(Ordering::SeqCst), 0, "never due by itself");
    for expected in 1..4 {
        assert!(checker.run_checks().await.is_healthy());
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_run_that_is_dropped_records_nothing_and_is_due_again() {
    let checker = checker();
    slow(&checker, "slow", 500);
    let limit = std::time::Duration::from_millis(100);
    assert!(tokio::time::timeout(limit, checker.run_checks()).await.is_err());
    tokio::task::yield_now().await;
    let report = checker.snapshot();
    assert_eq!((check(&report, "slow").outcome, check(&report, "slow").runs), (None, 0));
    checker.run_due().await;
    assert!(checker.is_healthy());
}

#[tokio::test(start_paused = true)]
async fn rule_6_a_blocking_run_that_is_dropped_does_not_fail_the_next_one() {
    let checker = checker();
    let (release, held) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new((held, entered));
    let blocks = move || {
        let held = held.lock().expect("one at a time");
        held.1.send(()).is_ok() && held.0.recv().is_ok()
    };
    checker.register_blocking("blocks", READY, blocks).expect("room");
    let caller = checker.clone();
    let gone = tokio::spawn(async move { caller.run_checks().await });
    while has_entered.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.expect_err("whoever asked has gone").is_cancelled());
    // The thread still works on it when the next run begins.
    let next = tokio::spawn(async move { checker.run_checks().await });
    tokio::task::yield_now().await;
    for _ in 0..2 {
        release.send(()).expect("it waits");
    }
    let report = next.await.expect("it does not panic");
    let blocks = check(&report, "blocks");
    assert_eq!((blocks.outcome, blocks.runs, blocks.failed), (Some(Outcome::Pass), 1, 0));
}

#[tokio::test(start_paused = true)]
async fn rule_4_a_report_from_outside_starts_no_second_run_beside_one_that_is_under_way() {
    let (checker, beside) = (checker(), Arc::new(AtomicU32::new(0)));
    let (counted, most) = (beside.clone(), Arc::new(AtomicU32::new(0)));
    let seen = most.clone();
    let slow = move || {
        let (counted, seen) = (counted.clone(), seen.clone());
        async move {
            seen.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            pass_time(25).await;
            counted.fetch_sub(1, Ordering::SeqCst);
            true
        }
    };
    let patient = CheckConfig { timeout: Duration::from_secs(30), ..READY };
    let id = checker.register_check("slow", patient, slow).expect("room");
    let kept = checker.clone();
    let keeping = tokio::spawn(async move { kept.keep_checking().await });
    pass_time(5).await;
    assert_eq!(checker.report(id, false), Status::Unhealthy);
    pass_time(18).await;
    assert_eq!(check(&checker.snapshot(), "slow").runs, 0, "the run has the word");
    pass_time(5).await;
    assert_eq!((checker.is_ready(), most.load(Ordering::SeqCst)), (true, 1));
    assert_eq!(beside.load(Ordering::SeqCst), 1, "the next one");
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn rule_7_names_places_and_reasons_are_limited() {
    let checker = checker();
    let long = format!("first line\nsecond line{}", "ü".repeat(MAX_REASON));
    checker.register_check("long", READY, move || std::future::ready(Verdict::fail(long.clone()))).expect("room");
    assert_eq!(checker.register_reported("long", READY), Err(AddError::Duplicate));
    for index in 1..MAX_CHECKS {
        slow(&checker, &index.to_string(), 1);
    }
    assert_eq!(checker.register_reported("one more", READY), Err(AddError::Full));
    let report = checker.run_checks().await;
    let reason = check(&report, "long").reason.clone().expect("it said one");
    assert!(reason.len() <= MAX_REASON && reason.len() > MAX_REASON - 2, "{}", reason.len());
    assert!(reason.starts_with("first line second line"));
}

#[tokio::test(start_paused = true)]
async fn rule_8_what_somebody_else_reports_is_judged_and_never_run() {
    let checker = checker();
    let silent = CheckConfig { max_age: Some(Duration::from_secs(30)), ..READY };
    let id = checker.register_reported("worker", silent).expect("room");
    assert_eq!(checker.report(id, true), Status::Healthy);
    assert!(checker.run_checks().await.is_healthy(), "and it waits for nobody");
    pass_time(31).await;
    let report = checker.snapshot();
    assert_eq!((check(&report, "worker").outcome, report.ready), (Some(Outcome::Stale), false));
    assert!(check(&report, "worker").reason.as_deref().expect("a reason").contains("nothing was heard"));
    assert_eq!(checker.report(id, Ok::<(), String>(())), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_never_fails_liveness() {
    let checker = checker();
    let live = checker.register_reported("breaker", CheckConfig { failure_threshold: 1, ..CheckConfig::LIVENESS });
    let ready = checker.register_reported("upstream", READY).expect("room");
    assert_eq!(checker.report_breaker(live.expect("room"), State::Open), Status::Degraded);
    assert_eq!(checker.report_breaker(ready, State::Open), Status::Unhealthy);
    assert!(checker.is_live() && !checker.is_ready());
    assert_eq!(check(&checker.snapshot(), "upstream").reason.as_deref(), Some("the breaker is Open"));
}

#[tokio::test(start_paused = true)]
async fn kept_checking_each_check_runs_once_a_period() {
    let (checker, runs) = (checker(), Arc::new(AtomicU32::new(0)));
    let counting = |runs: &Arc<AtomicU32>, by: u32| {
        let runs = runs.clone();
        move || std::future::ready(runs.fetch_add(by, Ordering::SeqCst) < u32::MAX)
    };
    let every = |secs| CheckConfig { period: Some(Duration::from_secs(secs)), ..READY };
    checker.register_check("often", every(10), counting(&runs, 1)).expect("room");
    let hangs = CheckConfig { timeout: Duration::from_secs(45), ..every(50) };
    checker.register_check("hangs", hangs, pending::<bool>).expect("room");
    let kept = checker.clone();
    let keeping = tokio::spawn(async move { kept.keep_checking().await });
    pass_time(35).await;
    assert_eq!(runs.load(Ordering::SeqCst), 4, "at 0, 10, 20, 30 s, whoever hangs beside it");
    checker.register_check("added later", every(10), counting(&runs, 100)).expect("room");
    pass_time(1).await;
    assert_eq!(runs.load(Ordering::SeqCst), 104, "it need not wait for the others");
    assert_eq!(check(&checker.snapshot(), "hangs").outcome, None);
    pass_time(10).await;
    assert_eq!(check(&checker.snapshot(), "hangs").outcome, Some(Outcome::TimedOut));
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn the_start_gates_the_others() {
    let (checker, is_over) = (checker(), Arc::new(AtomicBool::new(false)));
    let over = is_over.clone();
    checker
        .register_check("start", CheckConfig::STARTUP, move || std::future::ready(over.load(Ordering::SeqCst)))
        .expect("room");
    let failing = CheckConfig { failure_threshold: 1, ..CheckConfig::LIVENESS };
    checker.register_check("live", failing, || async { false }).expect("room");
    let report = checker.run_checks().await;
    assert_eq!((report.started, report.live, report.ready), (false, true, false));
    is_over.store(true, Ordering::SeqCst);
    let report = checker.run_checks().await;
    assert_eq!((report.started, report.live, report.ready), (true, false, true));
    assert_eq!(checker.judged(Kind::Startup), Status::Healthy);
}

#[tokio::test]
async fn the_process_has_one_checker() {
    let id = health_checker().register_reported("of the process", READY).expect("room");
    health_checker().report(id, true);
    assert!(health_checker().clone().snapshot().checks.iter().any(|check| check.name == "of the process"));
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    is_shared(health_checker());
}

mod handlers {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use axum::{Router, routing::get};
    use daur_std::reliability::health::handlers::{Detail, livez, readyz, routes, routes_with, startupz};
    use tower::ServiceExt;

    /// Status, caching and body of an answer.
    async fn ask(app: &Router, target: &str) -> (StatusCode, String, String) {
        let request = Request::get(target).body(Body::empty()).expect("a request");
        let answer = app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = answer.into_parts();
        let cached = parts.headers["cache-control"].to_str().expect("text").to_owned();
        let body = to_bytes(body, 1 << 16).await.expect("small");
        (parts.status, cached, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_tells_the_kind_and_is_never_cached() {
        let checker = checker();
        let database = checker.register_reported("database", READY).expect("room");
        let app: Router = routes(checker.clone());
        let no_store = || "no-store".to_owned();
        assert_eq!(ask(&app, "/livez").await, (StatusCode::OK, no_store(), "ok\n".to_owned()));
        let refused = (StatusCode::SERVICE_UNAVAILABLE, no_store(), "unhealthy\n".to_owned());
        assert_eq!(ask(&app, "/readyz").await, refused);
        checker.report(database, Verdict::degraded("slow"));
        assert_eq!(ask(&app, "/readyz").await.0, StatusCode::OK, "degraded counts as healthy");
        assert_eq!(ask(&app, "/startupz").await.0, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn verbose_tells_each_check_and_reasons_only_if_asked_to() {
        let checker = checker();
        for (name, verdict) in [("a", Verdict::pass()), ("b", Verdict::degraded("slow")), ("c", Verdict::fail("down"))]
        {
            let id = checker.register_reported(name, READY).expect("room");
            checker.report(id, verdict);
        }
        let _ = checker.register_reported("d", CheckConfig::READINESS);
        let _ = checker.register_reported("other kind", CheckConfig::LIVENESS);
        let app: Router = routes(checker.clone());
        let expected =
            "[+] a passed in 0s\n[~] b degraded in 0s\n[-] c failed in 0s\n[-] d has not run yet\nreadyz: unhealthy\n";
        for target in ["/readyz?verbose", "/readyz?x=y&verbose=1", "/readyz?verbose="] {
            assert_eq!(ask(&app, target).await.2, expected, "{target}");
        }
        for target in ["/readyz?verbose=false", "/readyz?verbose=0", "/readyz?verbosely"] {
            assert_eq!(ask(&app, target).await.2, "unhealthy\n", "{target}");
        }
        let open: Router = routes_with(checker, Detail::Reasons);
        assert!(ask(&open, "/readyz?verbose").await.2.contains("[-] c failed in 0s: down\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_takes_the_checker_from_a_router_of_ones_own() {
        let app: Router = Router::new()
            .route("/live", get(livez))
            .route("/ready", get(readyz))
            .route("/start", get(startupz))
            .with_state(checker());
        for target in ["/live", "/ready", "/start"] {
            assert_eq!(ask(&app, target).await.0, StatusCode::OK, "nothing is checked");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_probes_runs_no_check() {
        let (checker, runs) = (checker(), Arc::new(AtomicU32::new(0)));
        let counted = runs.clone();
        let counts = move || std::future::ready(counted.fetch_add(1, Ordering::SeqCst) < u32::MAX);
        checker.register_check("counts", READY, counts).expect("room");
        let app: Router = routes(checker);
        for _ in 0..100 {
            let _ = ask(&app, "/readyz?verbose").await;
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    }
}
