//! `POST /api/model` with `stream`, against upstreams that stream, stall, break off, send garbage and recover; and the last
//! good answer where there is no new one.

use super::models::{Act, Does, Fake, answer, chat, with};
use super::*;

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use daur_host::fallback;
use daur_std::core::performance::balancer::PolicyConfig;
use daur_std::core::time::Duration as Length;

/// A chat whose answer shall come in pieces.
fn streamed(text: &str) -> Value {
    let mut chat = chat(text);
    chat["stream"] = json!(true);
    chat
}

fn chunk(text: &str) -> String {
    let delta = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
    json!({ "id": "chat-1", "object": "chat.completion.chunk", "choices": [delta] }).to_string()
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn send(text: impl Into<Vec<u8>>) -> Act {
    Act::Send(text.into())
}

fn usage() -> String {
    event(r#"{"choices":[],"usage":{"total_tokens":7}}"#)
}

const DONE: &str = "data: [DONE]\n\n";

/// Two chunks, the tokens and the end.
fn good(text: &str) -> String {
    [event(&chunk(text)), event(&chunk("!")), usage(), DONE.into()].concat()
}

fn streams(text: &str) -> Does {
    Does::Stream(vec![send(good(text))])
}

fn gate() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

/// What comes of a stream, line by line.
struct Incoming {
    status: u16,
    headers: Vec<String>,
    body: BufReader<Box<dyn Read>>,
}

impl Incoming {
    fn header(&self, name: &str) -> &str {
        let line = self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or("")
    }

    /// The next event, without its empty line.
    fn event(&mut self) -> String {
        let mut text = String::new();
        while !text.ends_with("\n\n") {
            assert!(self.body.read_line(&mut text).unwrap() > 0, "it ended after {text:?}");
        }
        text
    }

    fn rest(mut self) -> String {
        let mut text = String::new();
        self.body.read_to_string(&mut text).unwrap();
        text
    }

    /// The code of the error that ends it, and what it says.
    fn error(self) -> (String, String) {
        let text = self.rest();
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        assert!(!text.contains("[DONE]"), "{text}");
        let part = |name: &str| error["error"][name].as_str().unwrap().to_owned();
        (part("code"), part("message"))
    }
}

impl Host {
    fn open(&self, token: &str, body: &Value) -> Incoming {
        self.open_with(token, body, "")
    }

    fn open_with(&self, token: &str, body: &Value, control: &str) -> Incoming {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let request = ureq::http::Request::post(format!("http://{}/api/model", self.address))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", "application/json")
            .header("Cache-Control", control);
        let answer = agent.run(request.body(body.to_string()).unwrap()).unwrap();
        let headers = answer.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let (status, headers) = (answer.status().as_u16(), headers.collect());
        Incoming { status, headers, body: BufReader::new(Box::new(answer.into_body().into_reader())) }
    }

    /// A connection on which a chat was sent, and nothing read.
    fn sent(&self, token: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let body = body.to_string();
        let length = body.len();
        write!(stream, "POST /api/model HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        stream
    }

    fn metric(&self, line: &str) -> bool {
        self.call("GET", "/metrics", &[], None).text.lines().any(|found| found == line)
    }

    fn models(&self, token: &str) -> Value {
        self.get(token, "/api/status").json()["models"].clone()
    }
}

#[test]
fn chunks_pass_as_they_come_and_the_finished_stream_is_kept_and_given_again() {
    let more = gate();
    let acts = vec![
        send(event(&chunk("hello"))),
        Act::Wait(Arc::clone(&more)),
        send(event(&chunk("!")) + &usage()),
        send(DONE),
    ];
    let fake = Fake::new(Does::Stream(acts));
    let mut host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    let mut stream = host.open(&ada, &streamed("hello"));
    assert_eq!((stream.status, stream.header("content-type")), (200, "text/event-stream"));
    let ours = |stream: &Incoming| {
        ["cache", "upstream", "attempts"].map(|name| stream.header(&format!("x-daur-{name}")).to_owned())
    };
    assert_eq!(ours(&stream), ["miss", "big", "1"]);
    // The upstream goes on only when the first has arrived.
    assert_eq!(stream.event(), event(&chunk("hello")));
    assert_eq!(host.models(&ada)["streams"]["open"], 1);
    assert_eq!(host.models(&ada)["upstreams"][0]["load"], 1);
    more.store(true, Ordering::SeqCst);
    assert_eq!(stream.rest(), event(&chunk("!")) + &usage() + DONE);
    assert!(fake.last().contains(r#""stream":true"#) && fake.last().contains("accept: text/event-stream"));

    let again = host.open(&ada, &streamed("hello"));
    assert_eq!(
        (again.header("content-type"), ours(&again)),
        ("text/event-stream", ["hit", "big", "0"].map(Into::into))
    );
    assert_eq!(again.rest(), good("hello"));
    assert_eq!(fake.asked(), 1);
    // The whole answer to the same chat is another one.
    fake.now(Does::Answer(answer("whole")));
    assert_eq!(host.model(&ada, &chat("hello")).text, answer("whole"));
    assert!(eventually(|| host.metric("daur_model_streams_total{result=\"finished\"} 1")));
    assert!(host.metric("daur_model_requests_total{result=\"answered\",upstream=\"big\"} 2"));
    assert!(host.metric("daur_model_tokens_total{upstream=\"big\"} 14"));
    assert!(host.metric("daur_model_streams_open 0") && host.metric("daur_model_load{upstream=\"big\"} 0"));
    assert!(host.metric("daur_model_cached_total 1"));
    let audited = host.audited(&ada, "command");
    assert_eq!(audited[1..], ["success: model m: cached, by big", "success: model m: streamed by big, attempts 1"]);

    host.restart(|_| ());
    let ada = host.token("ada");
    let again = host.open(&ada, &streamed("hello"));
    assert_eq!(again.header("x-daur-cache"), "hit");
    assert_eq!(again.rest(), good("hello"));
}

#[test]
fn who_wants_a_new_one_gets_it_and_who_wants_none_kept_leaves_none() {
    let fake = Fake::new(streams("one"));
    let host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    assert_eq!(host.open_with(&ada, &streamed("hello"), "no-store").rest(), good("one"));
    fake.now(streams("two"));
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("two"));
    fake.now(streams("three"));
    assert_eq!(host.open_with(&ada, &streamed("hello"), "no-store").rest(), good("three"));
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("two"));
    assert_eq!(host.open_with(&ada, &streamed("hello"), "no-cache").rest(), good("three"));
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("three"));
    assert_eq!(fake.asked(), 4);
}

#[test]
fn a_stream_is_the_same_in_whatever_pieces_and_with_whatever_line_ends_it_comes() {
    let text = format!(
        ": ping\r\nevent: x\r\ndata: {}\r\n\r\n: ping\r\n\r\nid: 4\r\ndata:{}\r\n\r\n{}",
        chunk("über"),
        chunk("!"),
        usage() + DONE
    );
    let fake = Fake::new(Does::Stream(text.as_bytes().iter().map(|byte| send([*byte])).collect()));
    let host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    // A sign of life stays one, and is not kept.
    let came = host.open(&ada, &streamed("hello")).rest();
    assert_eq!(came, [event(&chunk("über")), ":\n\n".into(), event(&chunk("!")), usage(), DONE.into()].concat());
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("über"));
}

#[test]
fn another_one_takes_over_until_the_first_chunk_has_come() {
    let (bad, fine) = (Fake::new(Does::Stall), Fake::new(streams("fine")));
    let host = with(vec![bad.upstream("bad"), fine.upstream("good")], |config| {
        config.model.ttl = Length::ZERO;
        (config.model.breaker.failures, config.model.eject) = (100, None);
        config.model.policy = PolicyConfig::RoundRobin;
    });
    let ada = host.token("ada");
    for (does, fault) in [
        (Does::Refuse(503, "", String::new()), "error"),
        (Does::Refuse(401, "", String::new()), "denied"),
        (Does::Break, "no_answer"),
        (Does::Answer(answer("not in pieces")), "no_answer"),
        (Does::Stream(vec![]), "cut"),
        (Does::Stream(vec![Act::HangUp]), "cut"),
        (Does::Stream(vec![send(": ping\n\n"), Act::HangUp]), "cut"),
        (Does::Stream(vec![send(DONE)]), "no_answer"),
        (Does::Stream(vec![send("<html>a captive portal</html>\n\n")]), "cut"),
        (Does::Stream(vec![send("data: <html>\n\n")]), "no_answer"),
        (Does::Stream(vec![send(event(r#"{"error":{"message":"overloaded"}}"#))]), "no_answer"),
        (Does::Stream(vec![send(*b"data: {\"choices\":[],\"x\":\"\xFF\"}\n\n")]), "no_answer"),
    ] {
        bad.now(does);
        let before = bad.asked();
        while bad.asked() == before {
            let stream = host.open(&ada, &streamed("hello"));
            assert_eq!((stream.status, stream.header("x-daur-upstream")), (200, "good"));
            assert_eq!(stream.rest(), good("fine"));
        }
        assert_eq!(host.upstream(&ada, "bad")["last_fault"], fault);
    }
    let shown = host.upstream(&ada, "bad");
    assert_eq!((&shown["failed"], &shown["answered"], &shown["load"]), (&json!(12), &json!(0), &json!(0)));
    assert_eq!(host.models(&ada)["streams"]["cut"], 0);
}

#[test]
fn what_an_upstream_refuses_or_cannot_do_is_told_as_a_problem_while_nothing_was_sent() {
    let fake = Fake::new(Does::Refuse(400, "", r#"{"error":{"message":"no such model"}}"#.into()));
    let host = with(vec![fake.upstream("big")], |config| config.model.breaker.failures = 3);
    let (ada, bob) = (host.token("ada"), host.token("bob"));
    host.model(&bob, &streamed("hello")).is_problem(403, "forbidden");
    let refused = host.model(&ada, &streamed("hello"));
    refused.is_problem(400, "invalid_input");
    assert!(refused.text.contains("no such model"), "{}", refused.text);
    fake.now(Does::Refuse(500, "", String::new()));
    host.model(&ada, &streamed("hello")).is_problem(502, "upstream_failed");
    assert!(host.model(&ada, &streamed("hello")).is_problem(503, "circuit_open").is_some());
    assert_eq!(fake.asked(), 4);
    drop(host);
    Host::start().model(&ada, &streamed("hello")).is_problem(401, "unauthenticated");
    let none = Host::start();
    none.model(&none.token("ada"), &streamed("hello")).is_problem(503, "not_configured");
}

#[test]
fn what_breaks_off_ends_with_an_error_is_not_kept_and_counts_as_a_failure() {
    let fake = Fake::new(Does::Stall);
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.fallback = fallback::Config::OFF;
        config.model.max_answer = 10_000;
    });
    let ada = host.token("ada");
    let first = event(&chunk("hello"));
    let ends = [
        vec![send(first.clone()), Act::HangUp],
        vec![send(first.clone())],
        vec![send(first.clone()), send("data: {\"choi\n\n")],
        vec![send(first.clone()), send(event(r#"{"error":{"message":"secret inside"}}"#))],
        vec![send(first.clone()), send(event(&chunk(&"x".repeat(10_000))))],
    ];
    for (n, acts) in (1..).zip(ends) {
        fake.now(Does::Stream(acts));
        let mut stream = host.open(&ada, &streamed("hello"));
        assert_eq!((stream.status, stream.event()), (200, first.clone()));
        let (code, said) = stream.error();
        assert_eq!((code.as_str(), said.contains("secret")), ("upstream_failed", false), "{said}");
        assert!(eventually(|| host.models(&ada)["streams"]["cut"] == n));
        assert_eq!(host.upstream(&ada, "big")["failed"], n);
    }
    assert!(eventually(
        || host.audited(&ada, "command")[0] == "failure: model m: the stream by big was cut: upstream_failed"
    ));
    // Five in a row have opened its breaker; none was retried behind the client's back.
    assert_eq!((fake.asked(), &host.upstream(&ada, "big")["state"]), (5, &json!("open")));
    host.model(&ada, &streamed("hello")).is_problem(503, "circuit_open");
    assert!(host.metric("daur_model_streams_total{result=\"cut\"} 5"));
    assert!(host.metric("daur_model_breaker_state{state=\"open\",upstream=\"big\"} 1"));
    // Mended, it is asked again.
    fake.now(streams("back"));
    assert_eq!(host.ask(&ada, "POST", "/api/breakers/model:big/reset", None).status, 200);
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("back"));
    assert_eq!(host.upstream(&ada, "big")["state"], "closed");
}

#[test]
fn one_that_falls_silent_or_never_ends_is_cut_in_time() {
    let first = event(&chunk("hello"));
    let fake = Fake::new(Does::Stream(vec![send(first.clone()), Act::Wait(gate())]));
    let host = with(vec![fake.upstream("big")], |config| config.model.stream.idle = Length::from_millis(100));
    let ada = host.token("ada");
    let (code, said) = host.open(&ada, &streamed("hello")).error();
    assert_eq!((code.as_str(), said.as_str()), ("timeout", "The model has sent nothing for 100ms."));
    assert_eq!(host.upstream(&ada, "big")["last_fault"], "timeout");
    assert!(eventually(|| fake.left() == 1));
    drop(host);
    fake.now(Does::Stream(vec![Act::Repeat(first)]));
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.stream.total = Length::from_millis(200);
        config.model.max_answer = usize::MAX;
    });
    let ada = host.token("ada");
    let (code, said) = host.open(&ada, &streamed("hello")).error();
    assert_eq!((code.as_str(), said.as_str()), ("timeout", "The model's answer took longer than 200ms."));
    assert!(eventually(|| fake.left() == 2));
    assert!(eventually(|| host.metric("daur_model_requests_total{result=\"failed\",upstream=\"big\"} 1")));
}

#[test]
fn one_that_says_nothing_is_left_for_another_in_time() {
    let (slow, fine) = (Fake::new(Does::Stall), Fake::new(streams("fine")));
    let upstream = daur_host::model::Upstream { timeout: Length::from_millis(100), ..slow.upstream("slow") };
    let host = with(vec![upstream, fine.upstream("good")], |config| {
        config.model.ttl = Length::ZERO;
        config.model.eject = None;
        config.model.policy = PolicyConfig::RoundRobin;
    });
    let ada = host.token("ada");
    // Signs of life alone are no answer either.
    for does in [Does::Stall, Does::Stream(vec![Act::Repeat(": ping\n\n".into())])] {
        slow.now(does);
        let before = slow.asked();
        while slow.asked() == before {
            let stream = host.open(&ada, &streamed("hello"));
            assert_eq!((stream.status, stream.header("x-daur-upstream")), (200, "good"));
            assert_eq!(stream.rest(), good("fine"));
        }
        assert_eq!(host.upstream(&ada, "slow")["last_fault"], "timeout");
    }
    assert_eq!(host.upstream(&ada, "slow")["failed"], 2);
    assert!(eventually(|| slow.left() == 2));
}

#[test]
fn one_whose_streams_break_off_is_tried_again_after_a_while_and_recovers() {
    let fake = Fake::new(Does::Stream(vec![send(event(&chunk("hello"))), Act::HangUp]));
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.breaker.failures = 1;
        config.model.breaker.recovery_timeout = Length::from_millis(300);
    });
    let ada = host.token("ada");
    assert_eq!(host.open(&ada, &streamed("hello")).error().0, "upstream_failed");
    assert!(eventually(|| host.models(&ada)["streams"]["cut"] == 1));
    fake.now(streams("back"));
    assert!(eventually(|| host.open(&ada, &streamed("hello")).rest() == good("back")));
    assert!(eventually(|| host.upstream(&ada, "big")["state"] == "closed"));
}

#[test]
fn a_client_that_goes_ends_the_upstreams_work_and_is_nobodys_failure() {
    let fake = Fake::new(Does::Stream(vec![send(event(&chunk("hello"))), Act::Wait(gate())]));
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.breaker.failures = 1;
        config.model.at_once = 1;
    });
    let ada = host.token("ada");
    let mut client = host.sent(&ada, &streamed("hello"));
    let mut seen = Vec::new();
    while !seen.windows(5).any(|part| part == b"hello") {
        let mut buffer = [0; 512];
        let read = client.read(&mut buffer).unwrap();
        assert!(read > 0);
        seen.extend_from_slice(&buffer[..read]);
    }
    // It has the only place.
    assert_eq!(host.model(&ada, &streamed("else")).is_problem(503, "overloaded"), Some(1));
    drop(client);
    assert!(eventually(|| fake.left() == 1));
    assert!(eventually(|| host.models(&ada)["streams"]["left"] == 1));
    // Also before anything has come.
    fake.now(Does::Stall);
    let client = host.sent(&ada, &streamed("hello"));
    assert!(eventually(|| fake.asked() == 2));
    drop(client);
    assert!(eventually(|| fake.left() == 2));
    assert!(eventually(|| host.upstream(&ada, "big")["cancelled"] == 2));
    let shown = host.upstream(&ada, "big");
    assert_eq!((&shown["state"], &shown["failed"], &shown["load"]), (&json!("closed"), &json!(0), &json!(0)));
    let abandoned = |host: &Host| {
        host.audited(&ada, "command").into_iter().filter(|said| said == "failure: model m: abandoned").count()
    };
    assert!(eventually(|| abandoned(&host) == 2));
    assert!(host.metric("daur_model_requests_total{result=\"cancelled\",upstream=\"big\"} 2"));
    // Nothing of it was kept, and the place is free.
    fake.now(streams("whole"));
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("whole"));
}

#[test]
fn a_client_that_does_not_read_is_left_and_the_upstreams_work_ends_too() {
    let fake = Fake::new(Does::Stream(vec![Act::Repeat(event(&chunk(&"x".repeat(256 << 10))))]));
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.max_answer = usize::MAX;
        config.http.write_stall = Duration::from_millis(200);
    });
    let ada = host.token("ada");
    let client = host.sent(&ada, &streamed("hello"));
    let left = || host.models(&ada)["streams"]["left"] == 1;
    assert!(eventually(left) || eventually(left) || eventually(left));
    assert!(eventually(|| fake.left() == 1));
    let shown = host.upstream(&ada, "big");
    assert_eq!((&shown["failed"], &shown["cancelled"], &shown["load"]), (&json!(0), &json!(1), &json!(0)));
    drop(client);
}

#[test]
fn a_stop_ends_streams_at_once_and_tells_the_client() {
    let fake = Fake::new(Does::Stream(vec![send(event(&chunk("hello"))), Act::Wait(gate())]));
    let mut host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    let mut stream = host.open(&ada, &streamed("hello"));
    assert_eq!(stream.event(), event(&chunk("hello")));
    host.stop_at_once();
    assert_eq!(stream.error().0, "overloaded");
    assert!(eventually(|| fake.left() == 1));
}

#[test]
fn a_stream_ends_with_its_token() {
    let fake = Fake::new(Does::Stream(vec![Act::Repeat(event(&chunk("hello")))]));
    let host = with(vec![fake.upstream("big")], |_| ());
    let ada = host.token("ada");
    let mut stream = host.open(&ada, &streamed("hello"));
    assert_eq!(stream.event(), event(&chunk("hello")));
    assert!(host.call("POST", "/api/logout", &[("Authorization", &format!("Bearer {ada}"))], None).status < 300);
    assert_eq!(stream.error().0, "unauthenticated");
    assert!(eventually(|| fake.left() == 1));
}

#[test]
fn where_no_model_answers_the_last_good_answer_stands_in_and_says_so() {
    let fake = Fake::saying("one");
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.ttl = Length::ZERO;
        config.model.breaker.failures = 3;
    });
    let ada = host.token("ada");
    let whole = host.model(&ada, &chat("hello"));
    assert_eq!((whole.status, whole.header("x-daur-fallback")), (200, ""));
    fake.now(streams("two"));
    assert_eq!(host.open(&ada, &streamed("hello")).rest(), good("two"));
    // Three attempts, and its breaker is open.
    fake.now(Does::Refuse(500, "", String::new()));
    for cause in ["upstream_failed", "circuit_open"] {
        let earlier = host.model(&ada, &chat("hello"));
        assert_eq!((earlier.status, earlier.header("x-daur-cache")), (200, "fallback"));
        assert_eq!((earlier.header("x-daur-fallback"), earlier.header("x-daur-upstream")), (cause, "big"));
        assert!(earlier.header("age").parse::<u64>().is_ok());
        let mut body = earlier.json();
        let told = body.as_object_mut().unwrap().remove("fallback").unwrap();
        assert_eq!(body, serde_json::from_str::<Value>(&answer("one")).unwrap());
        assert_eq!((&told["cause"], told["age_ms"].is_u64()), (&json!(cause), true));
        assert_eq!(told["retry_in_ms"].is_u64(), cause == "circuit_open");
    }
    let stream = host.open(&ada, &streamed("hello"));
    assert_eq!((stream.status, stream.header("x-daur-fallback")), (200, "circuit_open"));
    assert_eq!((stream.header("content-type"), stream.header("x-daur-cache")), ("text/event-stream", "fallback"));
    assert_eq!(stream.rest(), good("two"));
    // Not to another chat, and not to who wants a new one.
    host.model(&ada, &chat("else")).is_problem(503, "circuit_open");
    let bearer = format!("Bearer {ada}");
    for control in ["no-cache", "no-store"] {
        let headers = [("Authorization", bearer.as_str()), ("Cache-Control", control)];
        let body = chat("hello").to_string();
        host.call("POST", "/api/model", &headers, Some(&body)).is_problem(503, "circuit_open");
    }
    assert_eq!(host.models(&ada)["fallbacks"]["used"], 3);
    assert!(host.metric("daur_model_fallback_used_total{cause=\"circuit_open\"} 2"));
    assert!(host.metric("daur_model_fallback_used_total{cause=\"upstream_failed\"} 1"));
    let audited = host.audited(&ada, "command");
    let given = "success: model m: an earlier answer, by big, since circuit_open";
    assert_eq!(audited.iter().filter(|said| *said == given).count(), 2, "{audited:?}");
}

#[test]
fn an_earlier_answer_stands_in_for_one_that_is_busy_but_not_for_one_that_is_refused() {
    let fake = Fake::saying("one");
    let host = with(vec![fake.upstream("big")], |config| config.model.ttl = Length::ZERO);
    let ada = host.token("ada");
    assert_eq!(host.model(&ada, &chat("hello")).status, 200);
    fake.now(Does::Refuse(400, "", String::new()));
    host.model(&ada, &chat("hello")).is_problem(400, "invalid_input");
    fake.now(Does::Refuse(429, "Retry-After: 30\r\n", String::new()));
    assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-fallback"), "busy");
}

#[test]
fn an_earlier_answer_stands_in_for_one_that_is_late() {
    let fake = Fake::saying("one");
    let host = with(vec![fake.upstream("big")], |config| {
        config.model.ttl = Length::ZERO;
        config.model.timeout = Length::from_millis(500);
        config.model.breaker.failures = 100;
    });
    let ada = host.token("ada");
    // On a busy machine the first one may be late too.
    assert!(eventually(|| host.model(&ada, &chat("hello")).status == 200));
    fake.now(Does::Stall);
    assert_eq!(host.model(&ada, &chat("hello")).header("x-daur-fallback"), "timeout");
}
