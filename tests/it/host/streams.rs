use super::*;

use std::io::{BufRead, BufReader};

/// Opens the event stream and gives its lines, headers included.
fn events(host: &Host, token: &str) -> impl Iterator<Item = String> + use<> {
    let mut stream = TcpStream::connect(host.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    BufReader::new(stream).lines().map_while(Result::ok)
}

fn quick() -> Host {
    Host::start_with(|config| config.sample_every = daur_std::core::time::Duration::from_millis(50))
}

#[test]
fn the_stream_tells_the_history_and_then_every_status() {
    let host = quick();
    let ada = host.token("ada");
    let lines: Vec<String> = events(&host, &ada).take(40).collect();
    assert!(lines[0].starts_with("HTTP/1.1 200"), "{}", lines[0]);
    assert!(lines.iter().any(|line| line == "content-type: text/event-stream"));
    let names: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names[0], "history");
    let known = ["status", "notification"];
    assert!(names.len() > 3 && names[1..].iter().all(|name| known.contains(name)), "{names:?}");
    let status = lines.iter().rev().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let status: Value = serde_json::from_str(status).unwrap();
    for part in [
        "version",
        "health",
        "attention",
        "requests",
        "latency",
        "operations",
        "cache",
        "breakers",
        "errors",
        "security",
        "devices",
        "point",
    ] {
        assert!(!status[part].is_null(), "{part}");
    }
}

#[test]
fn the_stream_ends_with_its_token() {
    let host = quick();
    let ada = host.token("ada");
    let mut lines = events(&host, &ada);
    assert!(lines.any(|line| line == "event: status"));
    host.call("POST", "/api/logout", &[("Authorization", &format!("Bearer {ada}"))], None);
    assert!(lines.any(|line| line == "event: end"));
    assert!(eventually(|| host.get(&host.token("ada"), "/api/status").json()["requests"]["streams"] == 0));
}

#[test]
fn a_stop_ends_streams_and_commands_at_once() {
    let mut host = quick();
    let ada = host.token("ada");
    let mut lines = events(&host, &ada);
    assert!(lines.any(|line| line == "event: status"));
    let address = host.address;
    let body = json!({ "command": "sleep 4005" }).to_string();
    let running = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    let app = std::sync::Arc::clone(host.server.as_ref().unwrap().app());
    assert!(eventually(|| app.commands.bulkhead().running == 1));
    drop(app);
    host.stop_at_once();
    assert!(!lives("4005"));
    let answer = running.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("overloaded"), "{answer}");
    // The stream has an end: this returns.
    lines.for_each(drop);
}

#[test]
fn the_figures_are_there_for_prometheus_and_the_probes() {
    let host = Host::start();
    let ada = host.token("ada");
    host.command(&ada, "uname");
    assert_eq!(
        (host.call("GET", "/livez", &[], None).status, host.call("GET", "/readyz", &[], None).status),
        (200, 200)
    );
    let reply = host.call("GET", "/metrics", &[], None);
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "daur_http_requests_total{operation=\"POST /api/command\",status=\"200\"} 1",
        "daur_command_runs_total{program=\"uname\"} 1",
        "daur_breaker_state{breaker=\"uname\",state=\"closed\"} 1",
        "daur_cache_misses_total 1",
        "daur_http_request_duration_seconds_count{operation=\"POST /api/command\"} 1",
    ] {
        assert!(reply.text.lines().any(|found| found == line), "{line} in\n{}", reply.text);
    }
    let accept = "application/openmetrics-text;version=1.0.0, text/plain;q=0.5";
    let open = host.call("GET", "/metrics", &[("Accept", accept)], None);
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert_eq!(open.header("vary"), "accept");
    assert!(
        open.text.ends_with("# EOF\n") && open.text.contains("# UNIT daur_http_request_duration_seconds seconds\n")
    );
    // Somebody else's name for this address, and a proxy, need a token.
    host.call("GET", "/metrics", &[("Host", "evil.example")], None).is_problem(401, "unauthenticated");
    host.call("GET", "/metrics", &[("X-Forwarded-For", "10.0.0.1")], None).is_problem(401, "unauthenticated");
}
