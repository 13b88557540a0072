use super::*;

use daur_std::core::security::input::command::{AllowList, Operands, Program};
use daur_std::core::time::Duration as Length;

/// The default programs are too well-behaved for some of these tests.
const WITH_SHELL: AllowList<'static> = AllowList {
    programs: &[
        Program { name: "sh", letters: "c", options: &[], operands: Operands::Any },
        Program { name: "sleep", letters: "", options: &[], operands: Operands::Any },
    ],
};

fn short_of_time() -> Host {
    Host::start_with(|config| {
        config.policy.commands = WITH_SHELL;
        config.command.timeout = Length::from_millis(300);
        config.command.breaker.failures = 3;
    })
}

#[test]
fn a_command_answers_with_its_output() {
    let host = Host::start();
    let reply = host.command(&host.token("ada"), "uname -a");
    let body = reply.json();
    assert_eq!(reply.status, 200, "{body}");
    assert!(body["stdout"].as_str().unwrap().starts_with("Linux"));
    for (field, value) in [
        ("success", json!(true)),
        ("stderr", json!("")),
        ("exit_code", json!(0)),
        ("attempts", json!(1)),
        ("cached", json!(false)),
        ("fallback_used", json!(false)),
        ("truncated", json!(false)),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    assert!(body["elapsed_ms"].is_u64());
}

#[test]
fn the_same_command_again_starts_no_process() {
    let host = Host::start();
    let ada = host.token("ada");
    let first = host.command(&ada, "date +%N").json();
    let second = host.command(&ada, "date   '+%N'").json();
    assert_eq!((&second["cached"], &second["attempts"]), (&json!(true), &json!(0)));
    assert_eq!(second["stdout"], first["stdout"]);
    let status = host.get(&ada, "/api/status").json();
    let date = status["breakers"].as_array().unwrap().iter().find(|program| program["name"] == "date").unwrap();
    assert_eq!(date["runs"], 1);
    assert_eq!(status["cache"]["hits"], 1);
}

#[test]
fn callers_at_the_same_time_share_one_process() {
    let host = Host::start();
    let ada = host.token("ada");
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| host.command(&ada, "sleep 0.3").json())).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer["success"] == true));
    assert_eq!(answers.iter().filter(|answer| answer["cached"] == false).count(), 1, "{answers:?}");
}

#[test]
fn another_exit_code_is_an_answer_and_is_not_kept() {
    let host = Host::start();
    let ada = host.token("ada");
    for _ in 0..2 {
        let reply = host.command(&ada, "ls not-there");
        let body = reply.json();
        assert_eq!(
            (reply.status, &body["success"], &body["cached"], &body["attempts"]),
            (200, &json!(false), &json!(false), &json!(1))
        );
        assert_eq!(body["exit_code"], 2);
        assert!(body["stderr"].as_str().unwrap().contains("not-there"));
    }
    let status = host.get(&ada, "/api/status").json();
    let ls = status["breakers"].as_array().unwrap().iter().find(|program| program["name"] == "ls").unwrap();
    assert_eq!((&ls["state"], &ls["consecutive_failures"]), (&json!("closed"), &json!(0)));
}

#[test]
fn what_the_policy_refuses_is_403_what_is_no_plain_line_is_400_and_both_are_audited() {
    let host = Host::start();
    let ada = host.token("ada");
    for refused in ["rm -rf /", "/bin/rm -rf /", "sudo uname", "ls /etc", "ls ../..", "uname --unknown"] {
        host.command(&ada, refused).is_problem(403, "forbidden_command");
    }
    for broken in [
        "echo a; id",
        "echo a | cat",
        "echo $(id)",
        "echo `id`",
        "echo a > b",
        "echo a\nid",
        "echo 'a",
        "",
        "echo $HOME",
    ] {
        host.command(&ada, broken).is_problem(400, "invalid_command");
    }
    let audited = host.audited(&ada, "command");
    assert!(audited.contains(&"denied: forbidden_command: rm -rf /".to_owned()), "{audited:?}");
    assert!(audited.contains(&"denied: invalid_command: echo a; id".to_owned()), "{audited:?}");
    assert_eq!(audited.len(), 15);
}

#[test]
fn a_body_that_is_not_the_expected_json_is_400() {
    let host = Host::start();
    let bearer = format!("Bearer {}", host.token("ada"));
    let headers = [("Authorization", bearer.as_str())];
    for body in ["", "{", "[]", "{}", r#"{"command":5}"#, r#"{"command":"uname","shell":true}"#] {
        host.call("POST", "/api/command", &headers, Some(body)).is_problem(400, "bad_request");
    }
    // A program may leave the type out, as curl does; a page may not, since a form of another site could.
    let send = |more: &str| {
        let body = r#"{"command":"uname"}"#;
        let length = body.len();
        let head =
            format!("POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: {bearer}\r\nContent-Length: {length}\r\n");
        host.raw(format!("{head}Content-Type: application/x-www-form-urlencoded\r\n{more}\r\n{body}").as_bytes())
    };
    assert!(send("").starts_with("HTTP/1.1 200"));
    let refused = send("Origin: http://h\r\n");
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("bad_request"), "{refused}");
}

#[test]
fn a_command_past_its_time_is_504_and_leaves_no_process() {
    let host = short_of_time();
    let ada = host.token("ada");
    host.command(&ada, "sleep 4001").is_problem(504, "timeout");
    assert!(!lives("4001"));
    host.command(&ada, "sh -c 'sleep 4002 & sleep 4002'").is_problem(504, "timeout");
    assert!(!lives("4002"));
    assert!(host.audited(&ada, "command").contains(&"failure: timeout: sleep 4001".to_owned()));
}

#[test]
fn a_program_that_keeps_failing_is_refused_for_a_while() {
    let host = short_of_time();
    let ada = host.token("ada");
    for _ in 0..3 {
        host.command(&ada, "sleep 4003").is_problem(504, "timeout");
    }
    let wait = host.command(&ada, "sleep 0").is_problem(503, "circuit_open");
    assert!(wait.is_some_and(|seconds| (1..=600).contains(&seconds)), "{wait:?}");
    // Another program has a breaker of its own: it is started.
    host.command(&ada, "sh -c 'exec sleep 4008'").is_problem(504, "timeout");
    let status = host.get(&ada, "/api/status").json();
    assert_eq!(status["attention"][0], json!({ "level": "red", "text": "Breaker of sleep is open" }));
    assert!(
        host.call("GET", "/metrics", &[], None).text.contains(r#"daur_breaker_state{breaker="sleep",state="open"} 1"#)
    );
}

#[test]
fn a_program_that_cannot_be_started_is_tried_again() {
    let host = Host::start_with(|config| config.command.program_dirs = vec!["/nonexistent".into()]);
    let ada = host.token("ada");
    host.command(&ada, "uname").is_problem(500, "internal");
    let status = host.get(&ada, "/api/status").json();
    let uname = status["breakers"].as_array().unwrap().iter().find(|program| program["name"] == "uname").unwrap();
    assert_eq!((&uname["runs"], &uname["retries"]), (&json!(1), &json!(2)));
    assert_eq!(status["errors"]["top"][0]["kind"], "internal");
}

#[test]
fn a_client_that_goes_away_takes_its_command_with_it() {
    let host = Host::start_with(|config| config.policy.commands = WITH_SHELL);
    let ada = host.token("ada");
    let body = json!({ "command": "sh -c 'sleep 4004 & sleep 4004'" }).to_string();
    let request = format!(
        "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(host.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    assert!(eventually(|| host.get(&ada, "/api/status").json()["running"] == 1));
    drop(stream);
    assert!(!lives("4004"));
    assert!(eventually(|| host
        .audited(&ada, "command")
        .first()
        .is_some_and(|event| event.starts_with("failure: abandoned: sh"))));
}

#[test]
fn output_over_the_limit_is_cut_and_marked() {
    let host = Host::start_with(|config| config.command.output_limit = 8);
    let body = host.command(&host.token("ada"), "echo 0123456789").json();
    assert_eq!(
        (&body["stdout"], &body["truncated"], &body["success"]),
        (&json!("01234567"), &json!(true), &json!(true))
    );
}

#[test]
fn commands_run_in_the_work_directory_alone() {
    let host = Host::start();
    std::fs::write(host.dir.0.join("data/work/note.txt"), "x").unwrap();
    assert_eq!(host.command(&host.token("ada"), "ls").json()["stdout"], "note.txt\n");
}

#[test]
fn who_waits_for_anothers_command_does_not_wait_for_all_that_fail() {
    // As long as all of them may need to come in.
    const SHARED: Length = Length::from_secs(10);
    let host = Host::start_with(|config| {
        config.command.timeout = SHARED;
        config.command.queue_wait = Length::from_millis(100);
        config.command.breaker.failures = 50;
    });
    let ada = host.token("ada");
    let answers: Vec<Reply> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| host.command(&ada, "sleep 4007"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let (late, waited): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 504);
    assert!(!late.is_empty() && !waited.is_empty(), "{} ran one after the other", late.len());
    assert!(waited.iter().all(|answer| answer.is_problem(503, "overloaded") == Some(1)));
    assert!(!lives("4007"));
}

#[test]
fn while_the_audit_cannot_be_written_no_more_commands_run() {
    let host = Host::start();
    let ada = host.token("ada");
    let disk = rusqlite::Connection::open(host.dir.0.join("data/audit.db")).unwrap();
    disk.execute_batch("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'full'); END").unwrap();
    // The first one finds out, the others are not even started.
    for n in 0..4 {
        host.command(&ada, &format!("echo {n}")).is_problem(500, "internal");
    }
    let app = std::sync::Arc::clone(host.server.as_ref().unwrap().app());
    let echo = app.commands.programs().into_iter().find(|program| program.name == "echo").unwrap();
    assert_eq!(echo.runs, 1);
    let probe = host.call("GET", "/readyz?verbose", &[], None);
    assert_eq!(probe.status, 503);
    assert!(probe.text.contains("[-] audit failed") && probe.text.contains("cannot be written"), "{}", probe.text);

    disk.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(host.command(&ada, "echo again").status, 200);
    assert_eq!(host.call("GET", "/readyz", &[], None).status, 200);
    assert_eq!(host.audited(&ada, "lost"), ["failure: 1 events could not be kept"]);
    assert_eq!(host.get(&ada, "/api/audit/verify").json()["intact"], true);
}
