use super::*;

use std::io::{BufRead, BufReader};

fn quick() -> Host {
    Host::start_with(|config| config.sample_every = daur_std::core::time::Duration::from_millis(50))
}

/// The notifications of a pattern, as topics.
fn topics(host: &Host, token: &str, pattern: &str) -> Vec<String> {
    let pattern = pattern.replace('>', "%3E");
    let reply = host.get(token, &format!("/api/notifications?topic={pattern}&limit=50"));
    assert_eq!(reply.status, 200, "{}", reply.text);
    let told = reply.json()["notifications"].as_array().unwrap().clone();
    told.iter().map(|one| one["topic"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_changes_is_told_once_and_kept_for_who_asks_later() {
    let host = quick();
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    assert_eq!(topics(&host, &bob, "server.*"), ["server.started"]);
    for action in ["force-open", "reset"] {
        assert_eq!(host.ask(&ada, "POST", &format!("/api/breakers/uname/{action}"), None).status, 200);
        let told = if action == "reset" { "breaker.uname.closed" } else { "breaker.uname.forced_open" };
        assert!(eventually(|| topics(&host, &bob, told) == [told]), "{told}");
    }
    assert_eq!(topics(&host, &bob, "breaker.>"), ["breaker.uname.forced_open", "breaker.uname.closed"]);
    let reply = host.get(&bob, "/api/notifications?topic=breaker.*.forced_open&limit=1").json();
    let one = &reply["notifications"][0];
    assert_eq!((&one["level"], &one["text"]), (&json!("red"), &json!("Breaker of uname is held open by hand")));
    assert!(one["at_ms"].as_u64().unwrap() > 1_577_836_800_000 && one["number"].as_u64().unwrap() > 0, "{one}");
    let shown = host.get(&bob, "/api/status").json()["notifications"].clone();
    assert!(shown["sent"].as_u64().unwrap() >= 3 && shown["refused"] == 0, "{shown}");
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("\ndaur_notifications_lagged_total 0\n"), "{metrics}");
}

#[test]
fn a_device_that_was_never_there_is_not_lost() {
    let host = Host::start_with(|config| {
        config.sample_every = daur_std::core::time::Duration::from_millis(50);
        // Nobody listens on the port of TCP multiplexing.
        config.devices = vec!["tcp:127.0.0.1:1".parse().unwrap()];
    });
    let ada = host.token("ada");
    // Two changes, so there were two looks.
    for (action, told) in [("force-open", "breaker.uname.forced_open"), ("reset", "breaker.uname.closed")] {
        assert_eq!(host.ask(&ada, "POST", &format!("/api/breakers/uname/{action}"), None).status, 200);
        assert!(eventually(|| topics(&host, &ada, told) == [told]), "{told}");
    }
    assert_eq!(topics(&host, &ada, "device.>"), Vec::<String>::new());
}

#[test]
fn a_stream_gets_each_notification_as_it_comes() {
    let host = quick();
    let ada = host.token("ada");
    let mut stream = TcpStream::connect(host.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ada}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // With the first status it listens.
    assert!(lines.any(|line| line == "event: status"));
    assert_eq!(host.ask(&ada, "POST", "/api/breakers/uname/force-open", None).status, 200);
    let told = loop {
        assert!(lines.any(|line| line == "event: notification"), "the stream ended");
        let data = lines.next().unwrap();
        let told: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        if told["topic"] == "breaker.uname.forced_open" {
            break told;
        }
    };
    assert_eq!(told["level"], "red");
}

#[test]
fn who_may_not_read_and_who_asks_wrongly_is_told_so() {
    let host = Host::start();
    let bob = host.token("bob");
    host.get("", "/api/notifications").is_problem(401, "unauthenticated");
    for query in ["topic=a..b", "topic=%3E.a", "limit=x", "since=1"] {
        host.get(&bob, &format!("/api/notifications?{query}")).is_problem(400, "bad_request");
    }
    assert_eq!(topics(&host, &bob, "nothing.such"), Vec::<String>::new());
}
