use super::*;

use daur_host::monitor::ROUTES;

/// A real path for a route's pattern.
fn path(pattern: &str) -> String {
    pattern
        .replace("{number}", "1")
        .replace("{name}", "uname")
        .replace("{format}", "json")
        .replace("{id}", "tidy")
        .replace("{part}", "app.js")
}

/// The methods of each path, as the router shall name them.
fn methods() -> std::collections::BTreeMap<&'static str, Vec<&'static str>> {
    let mut all = std::collections::BTreeMap::<_, Vec<_>>::new();
    for (method, path) in ROUTES.iter().filter_map(|route| route.split_once(' ')) {
        all.entry(path).or_default().push(method);
    }
    all.insert("/assets/{part}", vec!["GET"]);
    for methods in all.values_mut() {
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
    }
    all
}

/// One answer with its body, of those that follow one another on a connection.
fn next_answer(stream: &mut impl std::io::BufRead, to_head: bool) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "it ended within {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = if to_head { 0 } else { length.map_or(0, |length| length.parse().unwrap()) };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// What comes until the server closes; it must.
fn to_the_end(host: &Host, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end");
    String::from_utf8(answer).unwrap()
}

#[track_caller]
fn tells(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert!(head.contains("\r\ncontent-type: application/problem+json") && head.contains("\r\ndate: "), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {}", body.len())), "{head}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
    assert_eq!(problem["type"], format!("urn:daur:problem:{code}"));
}

#[test]
fn every_path_names_exactly_its_methods() {
    let host = Host::start();
    for (pattern, methods) in methods() {
        let path = path(pattern);
        let sorted = |reply: &Reply| {
            let mut named: Vec<_> = reply.header("allow").split(", ").map(str::to_owned).collect();
            named.sort_unstable();
            named
        };
        let asked = host.call("OPTIONS", &path, &[], None);
        assert_eq!((asked.status, asked.text.as_str()), (204, ""), "{path}");
        assert_eq!(sorted(&asked), methods, "{path}");
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            if methods.contains(&method) {
                continue;
            }
            let refused = host.call(method, &path, &[], None);
            if method != "HEAD" {
                refused.is_problem(405, "method_not_allowed");
            }
            assert_eq!((refused.status, sorted(&refused)), (405, methods.iter().map(|m| (*m).to_owned()).collect()));
        }
    }
    let whole = host.raw(b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(whole.starts_with("HTTP/1.1 204") && whole.contains("allow: GET, HEAD, POST"), "{whole}");
    host.call("OPTIONS", "/nothing", &[], None).is_problem(404, "not_found");
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let host = Host::start();
    let ada = host.token("ada");
    for (pattern, _) in methods().iter().filter(|(_, methods)| methods.contains(&"GET")) {
        // A stream has no end to wait for.
        if *pattern == "/api/events" {
            continue;
        }
        let path = path(pattern);
        let (get, head) = (host.get(&ada, &path), host.ask(&ada, "HEAD", &path, None));
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "etag", "cache-control", "content-disposition", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        assert!(head.header("content-length").parse::<usize>().unwrap() > 0, "{path}");
    }
    let stream =
        format!("HEAD /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\nConnection: close\r\n\r\n");
    let answer = to_the_end(&host, stream.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(eventually(|| host.get(&ada, "/api/status").json()["requests"]["streams"] == 0));
}

#[test]
fn a_file_that_the_client_has_is_not_sent_again() {
    let host = Host::start();
    for path in ["/", "/assets/app.js", "/assets/app.css", "/openapi.json"] {
        let first = host.call("GET", path, &[], None);
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20, "{tag}");
        assert_eq!((first.status, first.header("cache-control")), (200, "no-cache"));
        for (method, known) in [("GET", tag.clone()), ("HEAD", tag.clone()), ("GET", format!("\"x\", W/{tag}"))] {
            let again = host.call(method, path, &[("If-None-Match", &known)], None);
            assert_eq!((again.status, again.text.as_str(), again.header("etag")), (304, "", &*tag), "{method} {path}");
            assert_eq!(again.header("cache-control"), "no-cache");
        }
        let other = host.call("GET", path, &[("If-None-Match", "\"x\"")], None);
        assert_eq!((other.status, other.text == first.text), (200, true));
    }
    // Nothing else has a tag: there, the question has no meaning.
    assert_eq!(host.call("GET", "/livez", &[("If-None-Match", "*")], None).status, 200);
    host.call("GET", "/assets/none.js", &[("If-None-Match", "*")], None).is_problem(404, "not_found");
}

#[test]
fn what_is_no_request_is_told_so_in_a_problem() {
    let host = Host::start();
    let long = |bytes: usize| "x".repeat(bytes);
    for (request, status, code) in [
        ("what?\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /livez HTTP/9.9\r\nHost: h\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /livez HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /livez HTTP/1.1\r\nHost : h\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /li vez HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 400, "bad_request"),
        (
            "POST /api/login HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            400,
            "bad_request",
        ),
        ("POST /api/login HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n".to_owned(), 400, "bad_request"),
        ("POST /api/login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 400, "bad_request"),
        (format!("GET /livez HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", long(20_000)), 431, "headers_too_large"),
        (format!("GET /livez HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", long(900_000)), 431, "headers_too_large"),
        (format!("GET /livez HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100)), 431, "headers_too_large"),
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", long(100_000)), 431, "headers_too_large"),
        ("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400, "bad_request"),
        ("GET /livez HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n".to_owned(), 400, "bad_request"),
    ] {
        let shown = request.get(..60).unwrap_or(&request).to_owned();
        let answer = to_the_end(&host, request.as_bytes());
        println!("{shown:?}");
        tells(&answer, status, code);
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    // A path that is only longer than any of ours does not cost the connection.
    for path in [format!("/{}", long(8_192)), format!("/livez?{}", long(8_186))] {
        host.call("GET", &path, &[], None).is_problem(414, "uri_too_long");
    }
    host.call("GET", &format!("/{}", long(8_191)), &[], None).is_problem(404, "not_found");
    assert_eq!(host.call("GET", "/livez", &[], None).status, 200);
}

#[test]
fn what_stands_in_a_path_or_query_and_cannot_be_read_is_a_problem() {
    let host = Host::start();
    let ada = host.token("ada");
    for path in
        ["/api/users/%ff", "/api/devices/%ff", "/api/devices/%C3%28/audit", "/api/reports/%80", "/api/sessions/x"]
    {
        let method = if path.starts_with("/api/users") || path.starts_with("/api/sessions") { "DELETE" } else { "GET" };
        host.ask(&ada, method, path, None).is_problem(404, "not_found");
    }
    host.call("GET", "/assets/%ff", &[], None).is_problem(404, "not_found");
    for path in ["/api/breakers/%ff/reset", "/api/jobs/%ff/run", "/api/breakers/%00/reset"] {
        host.ask(&ada, "POST", path, None).is_problem(404, "not_found");
    }
    for query in ["limit=%", "limit=%zz", "level=%ff", "limit=-1", "limit=99999999999999999999", "other=1"] {
        host.get(&ada, &format!("/api/logs?{query}")).is_problem(400, "bad_request");
    }
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let host = Host::start();
    let ada = host.token("ada");
    let bearer = format!("Host: h\r\nAuthorization: Bearer {ada}\r\n");
    let command = |text: &str| {
        let body = json!({ "command": text }).to_string();
        format!("POST /api/command HTTP/1.1\r\n{bearer}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let mut stream = TcpStream::connect(host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut all = String::new();
    for n in 0..20 {
        all += &command(&format!("echo {n}"));
        all += "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
        all += "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
        all += "GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n";
    }
    // What is no request ends the connection, and all before it is answered.
    all += "and this?\r\n\r\n";
    stream.write_all(all.as_bytes()).unwrap();
    let mut answers = std::io::BufReader::new(stream);
    for n in 0..20 {
        let (head, body) = next_answer(&mut answers, false);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["stdout"], format!("{n}\n"));
        let (head, _) = next_answer(&mut answers, true);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let (head, body) = next_answer(&mut answers, false);
        assert!(head.starts_with("HTTP/1.1 404") && body.contains("not_found"), "{head}");
        let (head, _) = next_answer(&mut answers, false);
        assert!(head.starts_with("HTTP/1.1 304"), "{head}");
    }
    let mut last = String::new();
    answers.read_to_string(&mut last).unwrap();
    tells(&last, 400, "bad_request");
}

#[test]
fn a_connection_lives_as_long_as_its_client_says() {
    let host = Host::start();
    let once = to_the_end(&host, b"GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(once.starts_with("HTTP/1.1 200"), "{once}");
    let old = to_the_end(&host, b"GET /livez HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    let mut stream = TcpStream::connect(host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answers = std::io::BufReader::new(stream.try_clone().unwrap());
    for _ in 0..100 {
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert!(next_answer(&mut answers, false).0.starts_with("HTTP/1.1 200"));
        // A refusal does not end it.
        stream.write_all(b"POST /api/command HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert!(next_answer(&mut answers, false).0.starts_with("HTTP/1.1 401"));
    }
}
