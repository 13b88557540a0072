use super::*;

use daur_std::core::time::Duration as Length;

fn often(change: impl FnOnce(&mut Config)) -> Host {
    Host::start_with(|config| {
        config.health.period = Length::from_millis(50);
        change(config);
    })
}

impl Host {
    fn probe(&self, path: &str) -> u16 {
        self.call("GET", path, &[], None).status
    }

    /// A check of the status, by its name.
    fn check(&self, token: &str, name: &str) -> Value {
        let status = self.get(token, "/api/status").json();
        let checks = status["health"]["checks"].as_array().expect("checks").clone();
        checks.into_iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("a check {name}"))
    }
}

#[test]
fn the_probes_say_yes_from_the_first_answer_on_and_are_never_kept() {
    let host = Host::start();
    for path in ["/livez", "/readyz", "/startupz"] {
        let reply = host.call("GET", path, &[], None);
        assert_eq!(
            (reply.status, reply.text.as_str(), reply.header("cache-control")),
            (200, "ok\n", "no-store"),
            "{path}"
        );
    }
    let verbose = host.call("GET", "/readyz?verbose", &[], None).text;
    for check in ["database", "data_dir", "disk", "programs", "cache", "audit", "serving"] {
        assert!(verbose.contains(&format!("] {check} ")), "{check} in {verbose}");
    }
    assert!(verbose.ends_with("readyz: ok\n"), "{verbose}");
    assert!(host.call("GET", "/livez?verbose", &[], None).text.contains("[+] heartbeat passed"));
    assert!(host.call("GET", "/startupz?verbose", &[], None).text.contains("[+] start passed"));
    let ada = host.token("ada");
    let database = host.check(&ada, "database");
    assert_eq!((&database["kind"], &database["status"]), (&json!("readiness"), &json!("healthy")));
    assert!(database["took_us"].is_u64() && database["at_ms"].is_u64());
    let status = host.get(&ada, "/api/status").json();
    assert_eq!(
        (&status["health"]["live"], &status["health"]["ready"], &status["health"]["started"]),
        (&json!(true), &json!(true), &json!(true))
    );
}

#[test]
fn a_database_that_does_not_answer_is_not_ready_and_needs_no_restart() {
    let host = often(|_| ());
    let ada = host.token("ada");
    let disk = rusqlite::Connection::open(host.dir.0.join("data/daur.db")).unwrap();
    disk.execute_batch("ALTER TABLE users RENAME TO gone").unwrap();
    assert!(eventually(|| host.probe("/readyz") == 503));
    assert_eq!(host.probe("/livez"), 200);
    let database = host.check(&ada, "database");
    assert_eq!(
        (&database["status"], &database["outcome"], &database["reason"]),
        (&json!("unhealthy"), &json!("fail"), &json!("the user database cannot be read: no such table: users"))
    );
    let status = host.get(&ada, "/api/status").json();
    assert_eq!(status["attention"][0]["level"], "red");
    assert!(status["attention"][0]["text"].as_str().unwrap().contains("database"), "{}", status["attention"]);
    let metrics = host.call("GET", "/metrics", &[], None).text;
    for line in [
        "daur_ready 0",
        "daur_live 1",
        "daur_health_check_status{check=\"database\",kind=\"readiness\",status=\"unhealthy\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }

    disk.execute_batch("ALTER TABLE gone RENAME TO users").unwrap();
    assert!(eventually(|| host.probe("/readyz") == 200));
}

#[test]
fn a_database_that_is_gone_or_damaged_is_not_ready_though_its_connections_do_not_notice() {
    let host = often(|_| ());
    let ada = host.token("ada");
    let file = host.dir.0.join("data/daur.db");
    let aside = host.dir.0.join("data/aside.db");
    std::fs::rename(&file, &aside).unwrap();
    assert!(eventually(|| host.probe("/readyz") == 503));
    assert_eq!(host.check(&ada, "database")["reason"], "the database is not there any more");
    std::fs::copy(&aside, &file).unwrap();
    let another = "the database is another file than at the start";
    assert!(eventually(|| host.check(&ada, "database")["reason"] == another));
    std::fs::rename(&aside, &file).unwrap();
    assert!(eventually(|| host.probe("/readyz") == 200));
    let audit = host.dir.0.join("data/audit.db");
    std::fs::rename(&audit, &aside).unwrap();
    assert!(eventually(|| host.check(&ada, "database")["reason"] == "the audit's database is not there any more"));
    std::fs::rename(&aside, &audit).unwrap();
    assert!(eventually(|| host.probe("/readyz") == 200));

    let mut disk = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::io::Write::write_all(&mut disk, &[0xA5; 4096]).unwrap();
    drop(disk);
    let _ = std::fs::remove_file(host.dir.0.join("data/daur.db-wal"));
    assert!(eventually(|| host.probe("/readyz") == 503));
    assert_eq!(host.probe("/livez"), 200);
}

#[test]
fn rule_6_an_audit_that_can_be_written_again_is_found_out_without_a_request() {
    let host = often(|config| config.health.failure_threshold = 3);
    let ada = host.token("ada");
    let disk = rusqlite::Connection::open(host.dir.0.join("data/audit.db")).unwrap();
    disk.execute_batch("ALTER TABLE audit RENAME TO gone").unwrap();
    host.command(&ada, "date").is_problem(500, "internal");
    assert_eq!(host.probe("/readyz"), 503, "rule 7: one failure is enough");
    disk.execute_batch("ALTER TABLE gone RENAME TO audit").unwrap();
    // Nothing but probes, as of a balancer that sends nothing to a server that is not ready.
    assert!(eventually(|| host.probe("/readyz") == 200));
}

#[test]
fn a_disk_without_room_is_not_ready_and_one_that_is_nearly_full_is() {
    let full = Host::start_with(|config| (config.health.disk_min, config.health.disk_low) = (u64::MAX, u64::MAX));
    assert_eq!(full.probe("/readyz"), 503);
    let verbose = full.call("GET", "/readyz?verbose", &[], None).text;
    assert!(verbose.contains("[-] disk failed") && verbose.contains(" are free"), "{verbose}");
    // Whoever may not read learns which check failed, not what it found.
    let stranger = full.call("GET", "/readyz?verbose", &[("X-Forwarded-For", "10.0.0.1")], None).text;
    assert!(stranger.contains("[-] disk failed") && !stranger.contains("are free"), "{stranger}");

    let low = Host::start_with(|config| config.health.disk_low = u64::MAX);
    assert_eq!(low.probe("/readyz"), 200);
    assert_eq!(low.check(&low.token("ada"), "disk")["status"], "degraded");
}

#[test]
fn a_data_directory_that_cannot_be_written_to_is_not_ready() {
    let host = often(|_| ());
    let probe = host.dir.0.join("data/.probe");
    // Root may write whatever the mode says; nobody may write to a directory.
    assert!(eventually(|| std::fs::create_dir(&probe).is_ok()));
    assert!(eventually(|| host.probe("/readyz") == 503));
    let reason = host.check(&host.token("ada"), "data_dir")["reason"].clone();
    assert!(reason.as_str().unwrap().contains("cannot be written to"), "{reason}");
    std::fs::remove_dir(&probe).unwrap();
    assert!(eventually(|| host.probe("/readyz") == 200));
}

#[test]
fn a_server_whose_programs_have_no_directory_to_run_in_is_not_ready() {
    let host = often(|_| ());
    let work = host.dir.0.join("data/work");
    std::fs::remove_dir(&work).unwrap();
    assert!(eventually(|| host.probe("/readyz") == 503));
    std::fs::create_dir(&work).unwrap();
    assert!(eventually(|| host.probe("/readyz") == 200));
}

#[test]
fn an_open_breaker_is_told_and_fails_neither_probe() {
    let host = often(|config| {
        config.command.timeout = Length::from_millis(100);
        config.command.breaker.failures = 1;
    });
    let ada = host.token("ada");
    host.command(&ada, "sleep 4020").is_problem(504, "timeout");
    assert!(eventually(|| host.check(&ada, "programs")["status"] == "degraded"));
    assert_eq!(host.check(&ada, "programs")["reason"], "open breakers: sleep");
    assert_eq!((host.probe("/livez"), host.probe("/readyz")), (200, 200));
}

#[test]
fn a_flood_of_probes_runs_no_check() {
    let host = Host::start_with(|config| config.health.period = LONG);
    let ada = host.token("ada");
    let runs = || host.check(&ada, "disk")["runs"].as_u64().unwrap();
    // Before it listens, and when its jobs begin.
    assert!(eventually(|| runs() == 2));
    for _ in 0..50 {
        assert_eq!(host.probe("/readyz?verbose"), 200);
    }
    assert_eq!(runs(), 2);
}
