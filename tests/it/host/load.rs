use super::*;

use std::io::{BufRead, BufReader, ErrorKind};

/// A connection that waits long, but not for ever.
fn connect(host: &Host) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    BufReader::new(stream)
}

/// Reads one answer; gives its status.
fn answer(stream: &mut BufReader<TcpStream>) -> u16 {
    let (mut line, mut status, mut length) = (String::new(), 0, 0);
    while line != "\r\n" {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the connection ended");
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        }
        if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.trim().parse().unwrap();
        }
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    status
}

/// Whatever comes until the server ends it: it does, by itself.
fn rest(mut stream: BufReader<TcpStream>) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it did not end it"),
    }
    String::from_utf8(all).unwrap()
}

const PROBE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn headers_that_come_by_and_by_are_not_waited_for() {
    let host = Host::start_with(|config| config.http.header_time = Duration::from_millis(200));
    // A byte now and then is no sign of life: the time is for all of them together.
    let mut slow = connect(&host);
    slow.get_mut().write_all(b"GET /livez HTTP/1.1\r\nHost: h\r\nX: ").unwrap();
    let writer = slow.get_ref().try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let mut writer = writer;
        while writer.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(rest(slow), "");
    dripping.join().unwrap();
    // Nor is who says nothing at all, or nothing more.
    assert_eq!(rest(connect(&host)), "");
    let mut once = connect(&host);
    once.get_mut().write_all(PROBE).unwrap();
    assert_eq!(answer(&mut once), 200);
    assert_eq!(rest(once), "");
}

#[test]
fn a_body_that_comes_by_and_by_is_not_waited_for() {
    let host = Host::start_with(|config| config.http.body_time = Duration::from_millis(200));
    let ada = host.token("ada");
    for length in ["Content-Length: 60000", "Transfer-Encoding: chunked"] {
        let mut slow = connect(&host);
        let head = format!("POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\n{length}\r\n\r\n");
        slow.get_mut().write_all(head.as_bytes()).unwrap();
        let writer = slow.get_ref().try_clone().unwrap();
        let dripping = std::thread::spawn(move || {
            let mut writer = writer;
            while writer.write_all(b"1\r\nx\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let told = rest(slow);
        assert!(told.starts_with("HTTP/1.1 504") && told.contains("\"timeout\""), "{told}");
        assert!(told.contains("connection: close"), "{told}");
        dripping.join().unwrap();
    }
    assert_eq!(host.command(&ada, "uname").status, 200);
}

#[test]
fn more_connections_than_there_are_places_wait_and_lose_nothing() {
    let host = Host::start_with(|config| config.http.connections = 4);
    let mut held: Vec<_> = (0..4).map(|_| connect(&host)).collect();
    for stream in &mut held {
        stream.get_mut().write_all(PROBE).unwrap();
        assert_eq!(answer(stream), 200);
    }
    // All places are taken; the system takes further connections, the server does not.
    let mut waiting: Vec<_> = (0..12).map(|_| connect(&host)).collect();
    for stream in &mut waiting {
        stream.get_mut().write_all(PROBE).unwrap();
    }
    waiting[0].get_mut().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let silent = waiting[0].get_mut().read(&mut [0]).unwrap_err();
    assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
    waiting[0].get_mut().set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Those who have a place are served all the same.
    for stream in &mut held {
        stream.get_mut().write_all(PROBE).unwrap();
        assert_eq!(answer(stream), 200);
    }
    drop(held);
    for mut stream in waiting {
        assert_eq!(answer(&mut stream), 200);
    }
}

#[test]
fn who_opens_connections_and_says_nothing_holds_them_for_a_while_only() {
    let host = Host::start_with(|config| {
        (config.http.connections, config.http.header_time) = (8, Duration::from_millis(300));
    });
    let silent: Vec<_> = (0..64).map(|_| connect(&host)).collect();
    // There are eight times as many as there are places; whoever has something to say gets one of them in the end.
    let mut honest = connect(&host);
    honest.get_mut().write_all(PROBE).unwrap();
    assert_eq!(answer(&mut honest), 200);
    for stream in silent {
        assert_eq!(rest(stream), "");
    }
}

#[test]
fn who_leaves_in_the_middle_leaves_nothing_behind() {
    let host = Host::start_with(|config| config.http.connections = 4);
    let ada = host.token("ada");
    let body = json!({ "command": "sleep 4020" }).to_string();
    let whole = format!(
        "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Cut anywhere: within the line, the headers, the body; and after all of it, while the command runs.
    for cut in (1..whole.len()).step_by(29).chain([whole.len() - 1, whole.len()]) {
        let mut stream = connect(&host);
        stream.get_mut().write_all(&whole.as_bytes()[..cut]).unwrap();
        drop(stream);
    }
    assert!(!lives("4020"));
    assert!(eventually(|| host.get(&ada, "/api/status").json()["running"] == 0));
    assert_eq!(host.command(&ada, "uname").status, 200);
}

#[test]
fn ten_thousand_requests_of_sixty_four_clients_are_answered_without_a_fault() {
    const CLIENTS: usize = 64;
    const EACH: usize = 157;
    let host = Host::start_with(|config| {
        (config.policy.api_rate, config.policy.api_burst) = (1_000_000, 1_000_000);
    });
    let ada = host.token("ada");
    // From now on it is kept.
    assert_eq!(host.command(&ada, "uname").status, 200);
    let body = json!({ "command": "uname" }).to_string();
    let request = format!(
        "POST /api/command HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = connect(&host);
                for _ in 0..EACH {
                    stream.get_mut().write_all(request.as_bytes()).unwrap();
                    assert_eq!(answer(&mut stream), 200);
                }
            });
        }
    });
    let text = host.call("GET", "/metrics", &[], None).text;
    let count =
        format!("daur_http_requests_total{{operation=\"POST /api/command\",status=\"200\"}} {}", CLIENTS * EACH + 1);
    assert!(text.lines().any(|line| line == count), "{count}");
    assert!(text.lines().any(|line| line == "daur_command_runs_total{program=\"uname\"} 1"));
    assert_eq!(host.get(&ada, "/api/audit/verify").json()["intact"], true);
}
