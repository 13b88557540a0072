//! `POST /api/model`, against upstreams in this process that fail, stall and recover.

use super::*;

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use daur_host::model::{Keep, KeySource, Upstream as Config_};
use daur_std::core::performance::balancer::{Eject, Latency, PolicyConfig};
use daur_std::core::time::Duration as Length;

/// What an upstream does with a request.
#[derive(Clone)]
pub(super) enum Does {
    Answer(String),
    Refuse(u16, &'static str, String),
    /// Says nothing until it is told to do something else, or nobody listens any more.
    Stall,
    /// Begins an answer and hangs up.
    Break,
    /// Sends so many bytes without saying how many.
    Flood(usize),
    /// Answers with what it was sent, headers and all.
    Echo(u16),
    /// Streams: so many acts, then the end of the body.
    Stream(Vec<Act>),
}

/// What an upstream does in a stream.
#[derive(Clone)]
pub(super) enum Act {
    /// Sends bytes as they are, in one piece.
    Send(Vec<u8>),
    /// Waits until it may go on.
    Wait(Arc<AtomicBool>),
    /// Sends this again and again, until nobody listens.
    Repeat(String),
    /// Hangs up in the middle of a piece.
    HangUp,
}

/// A server that a model might stand behind.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    does: Arc<Mutex<Does>>,
    seen: Arc<Mutex<Vec<String>>>,
    left: Arc<AtomicUsize>,
}

impl Fake {
    pub(super) fn new(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (does, seen) = (Arc::new(Mutex::new(does)), Arc::new(Mutex::new(Vec::new())));
        let left = Arc::new(AtomicUsize::new(0));
        let (of_thread, into, leaving) = (Arc::clone(&does), Arc::clone(&seen), Arc::clone(&left));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (does, seen, left) = (Arc::clone(&of_thread), Arc::clone(&into), Arc::clone(&leaving));
                std::thread::spawn(move || {
                    if !serve(stream.unwrap(), &does, &seen) {
                        left.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self { address, does, seen, left }
    }

    /// Times that somebody hung up before the answer was all there.
    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    pub(super) fn saying(text: &str) -> Self {
        Self::new(Does::Answer(answer(text)))
    }

    pub(super) fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub(super) fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub(super) fn last(&self) -> String {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub(super) fn upstream(&self, name: &str) -> Config_ {
        Config_::new(name, format!("http://{}/v1/chat/completions", self.address))
    }
}

/// An upstream of that name.
pub(super) fn one(fake: &Fake, name: &str) -> Config_ {
    fake.upstream(name)
}

pub(super) fn answer(text: &str) -> String {
    let message = json!({ "role": "assistant", "content": text });
    json!({
        "id": "chat-1", "object": "chat.completion", "model": "m",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
    })
    .to_string()
}

/// Whether somebody is still there.
fn listens(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let gone = matches!(stream.peek(&mut [0]), Ok(0));
    stream.set_read_timeout(None).unwrap();
    !gone
}

/// Does all of it, if somebody listens to the end.
fn act(stream: &mut TcpStream, acts: &[Act]) -> bool {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
    let piece = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    for act in acts {
        match act {
            Act::Send(bytes) if stream.write_all(&piece(bytes)).is_ok() => {}
            Act::Wait(until) => {
                while !until.load(Ordering::SeqCst) {
                    if !listens(stream) {
                        return false;
                    }
                }
            }
            Act::Repeat(text) => {
                while listens(stream) && stream.write_all(&piece(text.as_bytes())).is_ok() {}
                return false;
            }
            Act::HangUp => {
                let _ = stream.write_all(b"40\r\ndata: {\"choi");
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            Act::Send(_) => return false,
        }
    }
    stream.write_all(b"0\r\n\r\n").is_ok()
}

/// Answers requests until nobody asks any more; says whether every one of them was heard to its end.
fn serve(mut stream: TcpStream, does: &Mutex<Does>, seen: &Mutex<Vec<String>>) -> bool {
    loop {
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        let whole = |request: &[u8]| {
            let text = String::from_utf8_lossy(request);
            let (head, body) = text.split_once("\r\n\r\n")?;
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            (body.len() >= length.unwrap_or(0)).then_some(())
        };
        while whole(&request).is_none() {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
                _ => return true,
            }
        }
        let request = String::from_utf8(request).unwrap();
        seen.lock().unwrap().push(request.clone());
        let doing = loop {
            let doing = does.lock().unwrap().clone();
            if !matches!(doing, Does::Stall) {
                break doing;
            }
            if !listens(&stream) {
                return false;
            }
        };
        let (status, headers, body) = match doing {
            Does::Answer(body) => (200, "", body),
            Does::Refuse(status, headers, body) => (status, headers, body),
            Does::Echo(status) => {
                (status, "", json!({ "error": { "message": request }, "choices": [request] }).to_string())
            }
            Does::Stall => return false,
            Does::Stream(acts) if act(&mut stream, &acts) => continue,
            Does::Stream(_) => return false,
            Does::Break => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"choices\"");
                return true;
            }
            Does::Flood(bytes) => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(&vec![b' '; bytes]);
                return true;
            }
        };
        let head = format!(
            "HTTP/1.1 {status} S\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return false;
        }
    }
}

/// A server with these upstreams, which waits no longer than a test should.
pub(super) fn with(upstreams: Vec<Config_>, change: impl FnOnce(&mut Config)) -> Host {
    Host::start_with(|config| {
        config.model.upstreams = upstreams;
        config.model.retry.initial_delay = Length::from_millis(1);
        config.model.retry.max_delay = Length::from_millis(10);
        change(config);
    })
}

pub(super) fn chat(text: &str) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": text }] })
}

impl Host {
    pub(super) fn model(&self, token: &str, body: &Value) -> Reply {
        self.ask(token, "POST", "/api/model", Some(body))
    }

    pub(super) fn upstream(&self, token: &str, name: &str) -> Value {
        let status = self.get(token, "/api/status").json();
        let all = status["models"]["upstreams"].as_array().unwrap().clone();
        all.into_iter().find(|upstream| upstream["name"] == name).unwrap()
    }
}

#[test]
fn without_an_upstream_it_is_not_configured() {
    let host = Host::start();
    let ada = host.token("ada");
    host.model(&ada, &chat("hello")).is_problem(503, "not_configured");
    assert_eq!(host.get(&ada, "/api/status").json()["models"]["configured"], false);
}

#[test]
fn a_chat_is_answered_by_the_upstream_as_it_answers_and_needs_the_permission_to_write() {
    let fake = Fake::saying("hello yourself");
    let host = with(vec![fake.upstream("big")], |_| ());
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    host.model(&bob, &chat("hello")).is_problem(403, "forbidden");
    host.call("POST", "/api/model", &[], Some("{}")).is_problem(401, "unauthenticated");
    let mut body = chat("hello");
    body["top_p"] = json!(0.5);
    body["stream"] = json!(false);
    let reply = host.model(&ada, &body);
    assert_eq!((reply.status, reply.text.as_str()), (200, answer("hello yourself").as_str()));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(
        (reply.header("x-daur-cache"), reply.header("x-daur-upstream"), reply.header("x-daur-attempts")),
        ("miss", "big", "1")
    );
    let seen = fake.last();
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    let sent: Value = serde_json::from_str(seen.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(sent, json!({ "model": "m", "messages": body["messages"], "top_p": 0.5 }));
    assert_eq!(host.audited(&ada, "command"), ["success: model m: answered by big, attempts 1"]);
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("daur_model_requests_total{result=\"answered\",upstream=\"big\"} 1\n"), "{metrics}");
    assert!(metrics.contains("daur_model_tokens_total{upstream=\"big\"} 7\n"), "{metrics}");
    assert!(metrics.contains("daur_model_load{upstream=\"big\"} 0\n"), "{metrics}");
    assert!(metrics.contains("daur_model_expected_seconds{upstream=\"big\"} "), "{metrics}");
}

#[test]
fn what_is_no_chat_goes_nowhere() {
    let fake = Fake::saying("never");
    let host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    host.model(&ada, &json!({ "messages": [] })).is_problem(400, "bad_request");
    host.model(&ada, &json!([chat("hello")])).is_problem(400, "bad_request");
    let mut stream = chat("hello");
    stream["stream"] = json!("yes");
    host.model(&ada, &stream).is_problem(400, "bad_request");
    host.model(&ada, &chat(&"x".repeat(70 << 10))).is_problem(413, "payload_too_large");
    assert_eq!(fake.asked(), 0);
    assert_eq!(host.audited(&ada, "command"), ["denied: model: bad_request", "denied: model: bad_request"]);
}

#[test]
fn an_answer_is_kept_under_the_whole_chat_until_the_client_wants_another() {
    let fake = Fake::saying("one");
    let mut host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-cache"), "miss");
    fake.now(Does::Answer(answer("two")));
    let again = host.model(&ada, &chat("hello"));
    assert_eq!((again.header("x-daur-cache"), again.header("x-daur-upstream")), ("hit", "big"));
    assert_eq!(again.text, answer("one"));
    assert_eq!(host.audited(&ada, "command")[0], "success: model m: cached, by big");
    let mut warmer = chat("hello");
    warmer["temperature"] = json!(1);
    assert_eq!(host.model(&ada, &warmer).text, answer("two"));
    // One that shall not be kept leaves the kept one as it was; a fresh one takes its place.
    let ask = |control: &str| {
        let bearer = format!("Bearer {ada}");
        let headers = [("Authorization", bearer.as_str()), ("Cache-Control", control)];
        host.call("POST", "/api/model", &headers, Some(&chat("hello").to_string())).text
    };
    assert_eq!(ask("no-store"), answer("two"));
    assert_eq!(ask("max-age=9"), answer("one"));
    assert_eq!(ask("no-cache"), answer("two"));
    assert!(eventually(|| host.model(&ada, &chat("hello")).text == answer("two")));
    let asked = fake.asked();
    host.restart(|_| ());
    let ada = host.token("ada");
    assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-cache"), "hit");
    assert_eq!(fake.asked(), asked);
}

#[test]
fn where_only_fixed_answers_are_kept_the_others_are_asked_for_anew() {
    let fake = Fake::saying("one");
    let host = with(vec![fake.upstream("big")], |config| config.model.keep = Keep::Temperature0);
    let ada = host.token("ada");
    let fixed = json!({ "messages": [{ "role": "user", "content": "hello" }], "temperature": 0 });
    for (body, asked) in [(chat("hello"), 1), (chat("hello"), 2), (fixed.clone(), 3), (fixed, 3)] {
        assert_eq!(host.model(&ada, &body).status, 200);
        assert_eq!(fake.asked(), asked);
    }
}

#[test]
fn callers_who_ask_the_same_at_the_same_time_share_one_request() {
    let fake = Fake::new(Does::Stall);
    let host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| host.model(&ada, &chat("hello")))).collect();
        // All of them are in the server.
        let in_flight = || host.get(&ada, "/api/status").json()["operations"].as_array().unwrap().clone();
        let waiting = |op: &Value| op["name"] == "POST /api/model" && op["in_flight"] == 8;
        assert!(eventually(|| fake.asked() == 1 && in_flight().iter().any(waiting)));
        fake.now(Does::Answer(answer("at last")));
        for caller in callers {
            assert_eq!(caller.join().unwrap().text, answer("at last"));
        }
    });
    assert_eq!(fake.asked(), 1);
}

#[test]
fn an_upstream_that_fails_is_left_for_another_at_once() {
    let (bad, good) = (Fake::new(Does::Refuse(500, "", "oops".into())), Fake::saying("fine"));
    let host = with(vec![bad.upstream("bad"), good.upstream("good")], |config| {
        config.model.ttl = Length::ZERO;
        (config.model.breaker.failures, config.model.eject) = (12, None);
        config.model.policy = PolicyConfig::RoundRobin;
        // A wait would be seen.
        (config.model.retry.initial_delay, config.model.retry.max_delay) = (LONG, LONG);
    });
    let ada = host.token("ada");
    for does in [
        Does::Refuse(503, "", String::new()),
        Does::Break,
        Does::Answer("<html>a captive portal</html>".into()),
        Does::Answer(r#"{"choices":[]}"#.into()),
        Does::Refuse(302, "Location: http://127.0.0.1:1/\r\n", String::new()),
        Does::Refuse(401, "", r#"{"error":{"message":"bad key"}}"#.into()),
    ] {
        bad.now(does);
        let before = bad.asked();
        while bad.asked() < before + 2 {
            let reply = host.model(&ada, &chat("hello"));
            assert_eq!((reply.status, reply.header("x-daur-upstream")), (200, "good"), "{}", reply.text);
        }
    }
    let status = host.upstream(&ada, "bad");
    assert_eq!((&status["state"], &status["failed"], &status["answered"]), (&json!("open"), &json!(12), &json!(0)));
    for _ in 0..4 {
        assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-attempts"), "1");
    }
    assert_eq!(bad.asked(), 12);
    let attention = host.get(&ada, "/api/status").json()["attention"].to_string();
    assert!(attention.contains("Breaker of the model bad is open"), "{attention}");
}

#[test]
fn the_one_that_answers_soonest_is_asked_and_one_that_fails_is_left_out_for_a_while() {
    let (bad, good) = (Fake::new(Does::Refuse(500, "", String::new())), Fake::saying("fine"));
    let host = with(vec![bad.upstream("bad"), good.upstream("good")], |config| {
        config.model.ttl = Length::ZERO;
        // However slow the machine is, it is faster than what is not known yet, and than a failure.
        let (half_life, initial, failure) = (Length::from_secs(900), Length::from_secs(100), Length::from_secs(900));
        config.model.policy = PolicyConfig::PeakEwma(Latency { half_life, initial, failure });
    });
    let ada = host.token("ada");
    for _ in 0..20 {
        assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-upstream"), "good");
    }
    assert!(bad.asked() <= 1, "{}", bad.asked());
    assert_eq!(good.asked(), 20);
    let shown = host.upstream(&ada, "good");
    assert!(shown["expected_us"].as_u64().is_some_and(|expected| expected < 100_000_000), "{shown}");
    assert_eq!((&shown["load"], &shown["share"], &shown["weight"]), (&json!(0), &json!("up"), &json!(1)));
    drop(host);
    let host = with(vec![bad.upstream("bad"), good.upstream("good")], |config| {
        config.model.ttl = Length::ZERO;
        config.model.policy = PolicyConfig::RoundRobin;
        config.model.eject = config.model.eject.map(|eject| Eject { base: LONG, max: LONG, ..eject });
    });
    let ada = host.token("ada");
    let before = bad.asked();
    for _ in 0..12 {
        assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-upstream"), "good");
    }
    assert_eq!(bad.asked() - before, 3);
    let shown = host.upstream(&ada, "bad");
    assert_eq!((&shown["share"], &shown["state"]), (&json!("ejected"), &json!("closed")));
    assert_eq!(host.get(&ada, "/api/status").json()["models"]["ejections"], 1);
}

#[test]
fn one_that_recovers_is_asked_again() {
    let fake = Fake::new(Does::Refuse(500, "", String::new()));
    let failing = |recovery| {
        with(vec![fake.upstream("big")], |config| {
            (config.model.breaker.failures, config.model.breaker.recovery_timeout) = (3, recovery);
        })
    };
    let host = failing(LONG);
    let ada = host.token("ada");
    // Three attempts of one chat, and nothing behind the breaker any more.
    host.model(&ada, &chat("hello")).is_problem(502, "upstream_failed");
    assert_eq!(fake.asked(), 3);
    assert!(host.model(&ada, &chat("hello")).is_problem(503, "circuit_open").is_some());
    assert_eq!(fake.asked(), 3);
    drop(host);
    let host = failing(Length::from_millis(300));
    let ada = host.token("ada");
    host.model(&ada, &chat("hello")).is_problem(502, "upstream_failed");
    fake.now(Does::Answer(answer("back")));
    assert!(eventually(|| host.model(&ada, &chat("hello")).status == 200));
    assert_eq!(host.upstream(&ada, "big")["state"], "closed");
}

#[test]
fn one_that_stalls_is_given_up_in_time_and_all_together_too() {
    let (slow, good) = (Fake::new(Does::Stall), Fake::saying("fine"));
    let stalled = |timeout| Config_ { timeout, ..slow.upstream("slow") };
    let host =
        with(vec![stalled(Length::from_millis(100)), good.upstream("good")], |config| config.model.ttl = Length::ZERO);
    let ada = host.token("ada");
    while slow.asked() == 0 {
        assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-upstream"), "good");
    }
    assert_eq!(host.upstream(&ada, "slow")["last_fault"], "timeout");
    drop(host);
    let host = with(vec![stalled(LONG)], |config| config.model.timeout = Length::from_millis(150));
    let ada = host.token("ada");
    host.model(&ada, &chat("hello")).is_problem(504, "timeout");
}

#[test]
fn a_chat_that_the_upstream_refuses_is_told_as_it_says_and_is_no_failure_of_its() {
    let fake = Fake::new(Does::Refuse(404, "", r#"{"error":{"message":"there is no model\nm"}}"#.into()));
    let host = with(vec![fake.upstream("big")], |config| config.model.breaker.failures = 1);
    let ada = host.token("ada");
    for status in [404, 400, 422] {
        fake.now(Does::Refuse(status, "", r#"{"error":{"message":"there is no model\nm"}}"#.into()));
        let reply = host.model(&ada, &chat("hello"));
        reply.is_problem(400, "invalid_input");
        assert!(reply.text.contains("refuses this request: there is no model m"), "{}", reply.text);
    }
    // Once each: another attempt would hear the same.
    let big = host.upstream(&ada, "big");
    assert_eq!((&big["state"], &big["asked"], &big["rejected"]), (&json!("closed"), &json!(3), &json!(3)));
}

#[test]
fn one_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let (busy, good) = (Fake::new(Does::Refuse(429, "Retry-After: 60\r\n", String::new())), Fake::saying("fine"));
    let host = with(vec![busy.upstream("busy"), good.upstream("good")], |config| {
        config.model.ttl = Length::ZERO;
        config.model.breaker.failures = 1;
    });
    let ada = host.token("ada");
    let began = Instant::now();
    while busy.asked() == 0 {
        assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-upstream"), "good");
    }
    for _ in 0..6 {
        assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-upstream"), "good");
    }
    assert_eq!(busy.asked(), 1);
    let shown = host.upstream(&ada, "busy");
    assert_eq!((&shown["state"], &shown["busy"]), (&json!("closed"), &json!(1)));
    let least = 60_000_u64.saturating_sub(began.elapsed().as_millis() as u64);
    assert!(shown["retry_in_ms"].as_u64().is_some_and(|wait| (least..=60_000).contains(&wait)), "{shown}");
    // Nobody is left: the client hears when.
    good.now(Does::Refuse(503, "Retry-After: 60\r\n", String::new()));
    let asked = good.asked();
    for _ in 0..2 {
        let wait = host.model(&ada, &chat("something new")).is_problem(503, "overloaded");
        assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{wait:?}");
    }
    assert_eq!(good.asked(), asked + 1);
}

#[test]
fn an_answer_that_is_too_long_is_none() {
    let fake = Fake::new(Does::Flood(300 << 10));
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.max_answer = 100 << 10;
        config.model.retry.max_attempts = daur_std::core::reliability::retry::Attempts::Limited(1);
    });
    let ada = host.token("ada");
    host.model(&ada, &chat("hello")).is_problem(502, "upstream_failed");
    fake.now(Does::Answer(answer(&"x".repeat(100 << 10))));
    host.model(&ada, &chat("hello")).is_problem(502, "upstream_failed");
    fake.now(Does::Answer(answer(&"x".repeat(90 << 10))));
    assert_eq!(host.model(&ada, &chat("hello")).status, 200);
}

#[test]
fn so_many_are_asked_at_a_time_and_one_more_is_refused() {
    let fake = Fake::new(Does::Stall);
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.at_once = 1;
        config.model.timeout = LONG;
    });
    let ada = host.token("ada");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| host.model(&ada, &chat("hello")));
        assert!(eventually(|| fake.asked() == 1));
        assert_eq!(host.model(&ada, &chat("else")).is_problem(503, "overloaded"), Some(1));
        assert_eq!(host.get(&ada, "/api/status").json()["models"]["running"], 1);
        fake.now(Does::Answer(answer("at last")));
        assert_eq!(first.join().unwrap().status, 200);
    });
}

#[test]
fn the_budget_pays_for_the_retries_of_all() {
    let fake = Fake::new(Does::Refuse(500, "", String::new()));
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.breaker.failures = 100;
        let budget =
            daur_std::core::reliability::budget::Config::TokenBucket { capacity: 15, retry_cost: 5, first_try_gain: 1 };
        config.model.budget = Some(budget);
    });
    let ada = host.token("ada");
    // Three attempts, then two, then one.
    for (text, asked) in [("a", 3), ("b", 5), ("c", 6)] {
        host.model(&ada, &chat(text)).is_problem(502, "upstream_failed");
        assert_eq!(fake.asked(), asked, "{text}");
    }
}

#[test]
fn a_key_is_sent_and_never_told_not_even_if_the_upstream_repeats_it() {
    const KEY: &str = "sk-never-tell-4471";
    let fake = Fake::new(Does::Echo(200));
    let keys = Dir::new();
    let file = keys.0.join("key");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let upstream = Config_ { key: KeySource::File(file), model: Some("big-1".into()), ..fake.upstream("big") };
    let host = with(vec![upstream], |config| {
        config.model.ttl = Length::ZERO;
        config.model.fallback = daur_host::fallback::Config::OFF;
    });
    let ada = host.token("ada");
    for (status, code) in [(200, 200), (400, 400), (401, 502), (500, 502)] {
        fake.now(Does::Echo(status));
        let reply = host.model(&ada, &chat("hello"));
        assert_eq!(reply.status, code, "{}", reply.text);
        assert!(!reply.text.contains(KEY), "{}", reply.text);
    }
    let seen = fake.last();
    assert!(seen.to_ascii_lowercase().contains(&format!("authorization: bearer {KEY}\r\n")), "{seen}");
    assert!(seen.contains(r#""model":"big-1""#), "{seen}");
    for path in ["/api/status", "/metrics", "/api/audit?limit=100"] {
        assert!(!host.get(&ada, path).text.contains(KEY), "{path}");
    }
}

#[test]
fn a_server_that_stops_does_not_wait_for_a_model() {
    let fake = Fake::new(Does::Stall);
    let mut host = with(vec![fake.upstream("big")], |_| ());
    let (ada, address) = (host.token("ada"), host.address);
    let asking = std::thread::spawn(move || {
        let bearer = format!("Bearer {ada}");
        call(address, "POST", "/api/model", &[("Authorization", &bearer)], Some(&chat("hello").to_string())).status
    });
    assert!(eventually(|| fake.asked() == 1));
    host.stop_at_once();
    assert_eq!(asking.join().unwrap(), 503);
}
