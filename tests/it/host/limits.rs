use super::*;

#[test]
fn a_body_of_two_megabytes_is_413() {
    let host = Host::start();
    let ada = host.token("ada");
    let long = "x".repeat(2 << 20);
    host.command(&ada, &long).is_problem(413, "payload_too_large");
    host.login(&long, "p").is_problem(413, "payload_too_large");
    // Just inside the limit it is read, and refused for what it says.
    host.command(&ada, &"x".repeat(60 << 10)).is_problem(400, "invalid_command");
}

#[test]
fn a_body_of_two_megabytes_is_413_whatever_its_length_says() {
    let host = Host::start();
    let ada = host.token("ada");
    let head = |length: &str| {
        format!(
            "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"
        )
    };
    // No length at all: chunks, as many as the client likes.
    let mut chunked = head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..512 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.extend(std::iter::repeat_n(b'x', 0x1000));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = host.raw(&chunked);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("payload_too_large"), "{answer}");
    // More is declared than is sent.
    let answer = host.raw(head("Content-Length: 2097152").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Less is declared than is sent: what is declared is read, and is no JSON; the rest is no request.
    let mut short = head("Content-Length: 10").into_bytes();
    short.extend(std::iter::repeat_n(b'x', 2 << 20));
    let answer = host.raw(&short);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // The client that waits for leave to send is not given it.
    let answer = host.raw(head("Expect: 100-continue\r\nContent-Length: 2097152").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(host.command(&ada, "uname").status, 200);
}

#[test]
fn requests_of_one_user_are_limited() {
    let host = Host::start_with(|config| (config.policy.api_rate, config.policy.api_burst) = (1, 3));
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    // So many at once that the rate is exceeded however slow each is.
    let volley = || {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..16).map(|_| scope.spawn(|| host.get(&ada, "/api/devices"))).collect();
            all.into_iter().map(|one| one.join().unwrap()).find(|reply| reply.status != 200)
        })
    };
    let refused = std::iter::repeat_with(volley).flatten().next().unwrap();
    assert_eq!(refused.is_problem(429, "rate_limited"), Some(1));
    assert_eq!(host.get(&bob, "/api/devices").status, 200);
    let security = host.get(&bob, "/api/status").json()["security"].clone();
    assert!(security["limited_users"]["refused"].as_u64().is_some_and(|refused| refused >= 1), "{security}");
    assert_eq!(security["limited_users"]["keys"], 2);
}

#[test]
fn headers_that_are_too_long_are_refused() {
    let host = Host::start();
    let request = format!("GET /livez HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "x".repeat(20 << 10));
    assert!(host.raw(request.as_bytes()).starts_with("HTTP/1.1 431"));
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    let answer = host.raw(format!("GET /livez HTTP/1.1\r\nHost: h\r\n{many}\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[test]
fn a_path_or_a_method_that_is_not_there_is_a_problem_too() {
    let host = Host::start();
    host.call("GET", "/nothing/here", &[], None).is_problem(404, "not_found");
    host.call("GET", "/../Cargo.toml", &[], None).is_problem(404, "not_found");
    let reply = host.call("DELETE", "/api/command", &[], None);
    reply.is_problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), "POST, OPTIONS");
    host.call("GET", "/api/login", &[], None).is_problem(405, "method_not_allowed");
}

#[test]
fn every_answer_forbids_what_a_page_does_not_need() {
    let host = Host::start();
    for path in ["/", "/assets/app.js", "/assets/app.css", "/livez", "/nothing"] {
        let reply = host.call("GET", path, &[], None);
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
    }
    assert_eq!(host.call("GET", "/api/session", &[], None).header("cache-control"), "no-store");
}

#[test]
fn a_flood_of_refusals_is_counted_and_not_written_one_by_one() {
    let host = Host::start();
    let ada = host.token("ada");
    let app = std::sync::Arc::clone(host.server.as_ref().unwrap().app());
    for _ in 0..2_000 {
        app.note_refusal("", "10.0.0.1", "GET /api/status: no token");
    }
    // The next one that is written brings the count along.
    assert!(eventually(|| {
        app.note_refusal("", "10.0.0.1", "GET /api/status: no token");
        host.audited(&ada, "lost").iter().any(|event| event.contains("refusals were counted, not written"))
    }));
    let audit = app.audit.snapshot();
    assert!(audit.records < 1_000 && audit.lost == 0, "{audit:?}");
}

#[test]
fn a_client_that_does_not_read_loses_its_connection() {
    let host = Host::start_with(|config| {
        (config.http.connections, config.http.write_stall) = (1, Duration::from_millis(200));
    });
    // The only connection there is, held by somebody who asks for more than the socket's buffers hold.
    let mut deaf = TcpStream::connect(host.address).unwrap();
    // It may lose it while it still asks.
    let _ = deaf.write_all("GET /assets/app.css HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1_600).as_bytes());
    assert_eq!(host.call("GET", "/livez", &[], None).status, 200);
}
