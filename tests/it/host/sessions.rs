use super::*;

use daur_std::core::time::Duration as Length;
use rusqlite::Connection;

fn sessions(host: &Host, token: &str) -> Vec<Value> {
    host.get(token, "/api/sessions").json()["sessions"].as_array().unwrap().clone()
}

fn refresh(host: &Host, token: &str) -> Reply {
    host.ask(token, "POST", "/api/token/refresh", None)
}

#[test]
fn a_login_begins_a_session_that_is_listed_and_can_be_ended() {
    let host = Host::start();
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    let second = host.login("bob", PASSWORD).json();
    let (other, number) = (second["token"].as_str().unwrap(), second["session"].as_u64().unwrap());
    let own = sessions(&host, &bob);
    assert_eq!(own.iter().map(|session| session["user"].as_str().unwrap()).collect::<Vec<_>>(), ["bob", "bob"]);
    assert_eq!(own.iter().map(|session| session["current"] == true).collect::<Vec<_>>(), [true, false]);
    assert_eq!((&own[0]["source"], &own[0]["permissions"]), (&json!("127.0.0.1"), &json!(["read"])));
    assert_eq!(sessions(&host, &ada).len(), 3, "who administers sees them all");
    let end = |token: &str, number: &Value| host.ask(token, "DELETE", &format!("/api/sessions/{number}"), None);
    // Somebody else's is as unknown to bob as one that never was, and none at all.
    for number in [&sessions(&host, &ada)[0]["number"], &json!(999), &json!("x")] {
        end(&bob, number).is_problem(404, "not_found");
    }
    assert_eq!(end(&bob, &json!(number)).status, 204);
    host.get(other, "/api/status").is_problem(401, "unauthenticated");
    assert_eq!(host.get(&bob, "/api/status").status, 200);
    assert_eq!(end(&ada, &own[0]["number"]).status, 204);
    host.get(&bob, "/api/status").is_problem(401, "unauthenticated");
    let told = host.audited(&ada, "session_change");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1], format!("success: session {number} of bob ended"));
    let denied = host.audited(&ada, "access_denied");
    assert!(denied[0].ends_with("there is no such session"), "{denied:?}");
}

#[test]
fn a_refreshed_token_takes_the_place_of_the_one_before() {
    let host = Host::start();
    let first = host.login("bob", PASSWORD).json();
    let old = first["token"].as_str().unwrap();
    let reply = refresh(&host, old);
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(reply.header("set-cookie").contains("HttpOnly"));
    let second = reply.json();
    let new = second["token"].as_str().unwrap();
    assert_eq!((&second["session"], &second["permissions"]), (&first["session"], &first["permissions"]));
    assert_ne!(new, old);
    host.get(old, "/api/status").is_problem(401, "unauthenticated");
    refresh(&host, old).is_problem(401, "unauthenticated");
    assert_eq!(host.get(new, "/api/status").status, 200);
    assert_eq!(sessions(&host, new).len(), 1);
    host.call("POST", "/api/token/refresh", &[], None).is_problem(401, "unauthenticated");
    let cookie = format!("daur_session={new}");
    host.call("POST", "/api/token/refresh", &[("Cookie", &cookie)], None).is_problem(403, "forbidden");
    let told = host.audited(&host.token("ada"), "token_issued");
    assert_eq!(told, [format!("success: session {}, refreshed", first["session"])]);
}

#[test]
fn of_many_who_refresh_one_token_at_once_one_wins() {
    let host = Host::start();
    let bob = host.token("bob");
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..12).map(|_| scope.spawn(|| refresh(&host, &bob))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 11));
    for reply in lost {
        reply.is_problem(401, "unauthenticated");
    }
    assert_eq!(host.get(won[0].json()["token"].as_str().unwrap(), "/api/status").status, 200);
}

#[test]
fn what_cannot_be_audited_begins_no_session() {
    let host = Host::start();
    let first = host.token("bob");
    let db = Connection::open(host.data().join("daur.db")).unwrap();
    let audit = Connection::open(host.data().join("audit.db")).unwrap();
    let count = || -> i64 { db.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap() };
    audit.execute_batch("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END").unwrap();
    // That it cannot be is known after the first.
    host.login("bob", PASSWORD).is_problem(500, "internal");
    let before = count();
    for _ in 0..8 {
        host.login("bob", PASSWORD).is_problem(500, "internal");
    }
    assert_eq!(count(), before);
    audit.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(host.login("bob", PASSWORD).status, 200);
    assert_eq!(host.get(&first, "/api/status").status, 200, "no session has ended for one that nobody was told of");
}

#[test]
fn a_refresh_says_nothing_to_the_lockout() {
    let host = Host::start();
    let bob = host.token("bob");
    for _ in 0..2 {
        host.login("bob", "wrong").is_problem(401, "unauthenticated");
    }
    let bob = refresh(&host, &bob).json()["token"].as_str().unwrap().to_owned();
    host.login("bob", "wrong").is_problem(401, "unauthenticated");
    host.login("bob", PASSWORD).is_problem(429, "locked_out");
    // Nor does the lockout end a session: anybody could end anybody's.
    assert_eq!(refresh(&host, &bob).status, 200);
}

#[test]
fn sessions_outlive_the_server_and_what_has_ended_stays_so() {
    let mut host = Host::start();
    let (ada, left, old) = (host.token("ada"), host.token("ada"), host.token("bob"));
    assert_eq!(host.ask(&left, "POST", "/api/logout", None).status, 204);
    let bob = refresh(&host, &old).json()["token"].as_str().unwrap().to_owned();
    host.restart(|_| ());
    for gone in [&left, &old] {
        host.get(gone, "/api/status").is_problem(401, "unauthenticated");
    }
    assert_eq!([&ada, &bob].map(|token| host.get(token, "/api/status").status), [200, 200]);
    // Whoever brought the session back would still find the token revoked.
    host.restart(|data| {
        let db = Connection::open(data.join("daur.db")).unwrap();
        let revoked: i64 = db.query_row("SELECT count(*) FROM revoked", [], |row| row.get(0)).unwrap();
        assert_eq!(revoked, 2);
    });
    assert_eq!(host.get(&ada, "/api/status").status, 200);
}

#[test]
fn a_session_that_is_idle_or_old_is_over() {
    let mut host = Host::start_with(|config| {
        (config.policy.session.idle, config.policy.session.absolute) =
            (Length::from_secs(600), Length::from_secs(1_800));
    });
    let login = host.login("bob", PASSWORD).json();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(login["expires_at"].as_u64().unwrap() <= now + 1_800, "no token outlives its session");
    let (bob, ada) = (login["token"].as_str().unwrap().to_owned(), host.token("ada"));
    let set = |data: &Path, what: &str| {
        Connection::open(data.join("daur.db")).unwrap().execute(&format!("UPDATE sessions SET {what}"), []).unwrap();
    };
    // As if time had passed while nobody served.
    host.restart(|data| set(data, "seen_ms = seen_ms - 300000, begun_ms = begun_ms - 300000"));
    assert_eq!(host.get(&bob, "/api/status").status, 200);
    host.restart(|data| set(data, "seen_ms = seen_ms - 600000 WHERE user = 'bob'"));
    host.get(&bob, "/api/status").is_problem(401, "unauthenticated");
    assert_eq!(host.get(&ada, "/api/status").status, 200);
    assert!(sessions(&host, &ada).iter().all(|session| session["user"] == "ada"));
    // The server may have tidied up by then.
    let denied = host.audited(&ada, "access_denied");
    let told = ["the session was idle for too long", "there is no such session"];
    assert!(told.iter().any(|told| denied[0].ends_with(told)), "{denied:?}");
    set(&host.data(), "begun_ms = begun_ms - 1801000");
    host.get(&ada, "/api/status").is_problem(401, "unauthenticated");
    refresh(&host, &ada).is_problem(401, "unauthenticated");
}

#[test]
fn one_session_too_many_ends_the_one_that_was_used_longest_ago() {
    let host = Host::start_with(|config| config.policy.session.per_user = 2);
    let ada = host.token("ada");
    let (first, second) = (host.token("bob"), host.token("bob"));
    assert_eq!(host.get(&second, "/api/status").status, 200);
    let third = host.token("bob");
    let alive = [&first, &second, &third].map(|token| host.get(token, "/api/status").status == 200);
    assert_eq!(alive.iter().filter(|alive| **alive).count(), 2);
    assert!(alive[2] && !alive[0], "{alive:?}");
    assert_eq!(host.audited(&ada, "session_change").len(), 1);
    assert_eq!(host.get(&ada, "/api/status").status, 200, "nobody else's ends for it");
}

#[test]
fn a_stream_ends_with_its_session() {
    let host = Host::start();
    let (ada, login) = (host.token("ada"), host.login("bob", PASSWORD).json());
    let mut stream = TcpStream::connect(host.address).unwrap();
    let bob = login["token"].as_str().unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {bob}\r\n\r\n").unwrap();
    assert!(eventually(|| host.get(&ada, "/metrics").text.contains("daur_event_streams 1\n")));
    assert_eq!(host.ask(&ada, "DELETE", &format!("/api/sessions/{}", login["session"]), None).status, 204);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    while let Some(n) = more(&mut stream, &mut buffer) {
        told.extend_from_slice(&buffer[..n]);
        if String::from_utf8_lossy(&told).contains("event: end") {
            return;
        }
    }
    panic!("the stream went on: {}", String::from_utf8_lossy(&told));
}
