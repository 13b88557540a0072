//! A chat as the client sends it, and an answer as an upstream gives it.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::fallback::Remembered;
use crate::problem::{Code, Problem};

/// What a client asks for: an OpenAI-compatible body that was looked through.
#[derive(Clone, Debug)]
pub struct Chat {
    body: Map<String, Value>,
    streams: bool,
}

impl Chat {
    /// Looks through a body.
    ///
    /// # Errors
    /// `bad_request`, by the field that is wrong.
    pub fn admit(mut body: Map<String, Value>) -> Result<Self, Problem> {
        let bad = |detail: &'static str| Err(Problem::new(Code::BadRequest, detail));
        let streams = match body.get("stream") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return bad("`stream` must be true or false."),
        };
        // Said or not, that it shall come whole is the same request.
        if !streams {
            body.remove("stream");
        }
        let Some(Value::Array(messages)) = body.get("messages") else {
            return bad("`messages` must be a list of messages.");
        };
        if messages.is_empty() {
            return bad("`messages` is empty: there is nothing to answer.");
        }
        if !messages.iter().all(|message| message.get("role").is_some_and(Value::is_string)) {
            return bad("Each of `messages` must be an object with a `role`.");
        }
        match body.get("model") {
            None => {}
            Some(Value::String(model)) if model.len() <= 128 => {}
            Some(_) => return bad("`model` must be a text of 128 bytes at most."),
        }
        match body.get("temperature") {
            None | Some(Value::Number(_) | Value::Null) => {}
            Some(_) => return bad("`temperature` must be a number."),
        }
        Ok(Self { body, streams })
    }

    /// Whether the client wants the answer in pieces.
    #[must_use]
    pub const fn streams(&self) -> bool {
        self.streams
    }

    /// The model that the client named, if it did.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.body.get("model").and_then(Value::as_str)
    }

    /// Whether the client has asked for what does not vary.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.body.get("temperature").and_then(Value::as_f64) == Some(0.0)
    }

    /// A name for all that decides the answer: fields in another order, or with other spaces between them, have the same.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // A map of `serde_json` is in the order of its keys.
        Sha256::digest(self.text(None)).into()
    }

    /// The body for an upstream, with its own name of the model if it has one.
    #[must_use]
    pub fn text(&self, model: Option<&str>) -> String {
        match model {
            None => Value::Object(self.body.clone()).to_string(),
            Some(model) => {
                let mut body = self.body.clone();
                body.insert("model".to_owned(), model.into());
                Value::Object(body).to_string()
            }
        }
    }
}

/// What a client wants of the cache, by its `Cache-Control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A kept answer will do.
    Any,
    /// A new one, which is kept (`no-cache`).
    Fresh,
    /// A new one, which is not (`no-store`).
    Unkept,
}

impl Wanted {
    /// What the headers say.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let said = |name: &str| {
            let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(name))
        };
        match (said("no-store"), said("no-cache")) {
            (true, _) => Self::Unkept,
            (false, true) => Self::Fresh,
            (false, false) => Self::Any,
        }
    }
}

/// An upstream's answer: passed on as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whose.
    pub upstream: String,
    /// The body.
    pub body: String,
}

impl Reply {
    /// As it is kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.upstream.len() + self.body.len());
        // A name has 32 bytes at most.
        bytes.push(u8::try_from(self.upstream.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(self.upstream.as_bytes());
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }

    /// What was kept.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first()?;
        let (upstream, body) = rest.split_at_checked(usize::from(*len))?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        Some(Self { upstream: text(upstream)?, body: text(body)? })
    }
}

impl Remembered for Reply {
    fn size(&self) -> usize {
        self.upstream.len() + self.body.len()
    }

    fn is_good(&self) -> bool {
        true
    }
}

/// What of an answer is looked at.
#[derive(Deserialize)]
struct Shape {
    choices: Vec<IgnoredAny>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    total_tokens: Option<u64>,
}

/// The tokens of an answer, if it is one.
#[must_use]
pub(super) fn tokens(body: &str) -> Option<u64> {
    let shape: Shape = serde_json::from_str(body).ok()?;
    if shape.choices.is_empty() {
        return None;
    }
    Some(shape.usage.and_then(|usage| usage.total_tokens).unwrap_or(0))
}

/// What one event of a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A part of the answer, and the tokens of all, if it says them.
    Chunk(Option<u64>),
    /// That this was all.
    Done,
}

/// What of an event is looked at.
#[derive(Deserialize)]
struct Part {
    choices: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// Looks through one event of a stream.
///
/// # Errors
/// Why it is no part of an answer.
pub(super) fn said(data: &str) -> Result<Said, &'static str> {
    if data.trim() == "[DONE]" {
        return Ok(Said::Done);
    }
    // A list would be taken for its fields in order.
    if !data.trim_start().starts_with('{') {
        return Err("a chunk is no object");
    }
    let part: Part = serde_json::from_str(data).map_err(|_| "a chunk is no JSON")?;
    match part {
        Part { error: Some(_), .. } => Err("it ends with an error"),
        Part { choices: None, .. } => Err("a chunk has no choices"),
        Part { usage, .. } => Ok(Said::Chunk(usage.and_then(|usage| usage.total_tokens))),
    }
}

/// What an upstream says against a request, for whoever sent it: short, and one line.
#[must_use]
pub(super) fn complaint(body: &str) -> String {
    const LONGEST: usize = 300;
    let told: Option<Value> = serde_json::from_str(body).ok();
    let message = told.as_ref().and_then(|told| {
        let error = told.get("error")?;
        error.get("message").unwrap_or(error).as_str()
    });
    let text: String =
        message.unwrap_or("").chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str) -> Result<Chat, Problem> {
        Chat::admit(serde_json::from_str(text).unwrap())
    }

    const HELLO: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"temperature":0}"#;

    #[test]
    fn a_body_is_looked_through() {
        let good = chat(HELLO).unwrap();
        assert_eq!((good.model(), good.is_fixed()), (Some("m"), true));
        for (body, code) in [
            ("{}", Code::BadRequest),
            (r#"{"messages":"hello"}"#, Code::BadRequest),
            (r#"{"messages":[]}"#, Code::BadRequest),
            (r#"{"messages":[{"content":"hello"}]}"#, Code::BadRequest),
            (r#"{"messages":["hello"]}"#, Code::BadRequest),
            (r#"{"messages":[{"role":"user"}],"model":7}"#, Code::BadRequest),
            (r#"{"messages":[{"role":"user"}],"temperature":"0"}"#, Code::BadRequest),
            (r#"{"messages":[{"role":"user"}],"stream":1}"#, Code::BadRequest),
            (r#"{"messages":[{"role":"user"}],"stream":"yes"}"#, Code::BadRequest),
        ] {
            assert_eq!(chat(body).unwrap_err().code(), code, "{body}");
        }
    }

    #[test]
    fn the_same_request_has_the_same_name_however_it_is_written() {
        let other = r#"{ "temperature": 0, "stream": false,
            "messages": [ { "content": "hello", "role": "user" } ], "model": "m" }"#;
        let name = |text: &str| chat(text).unwrap().digest();
        assert_eq!(name(HELLO), name(other));
        assert_ne!(name(HELLO), name(&HELLO.replace("hello", "hallo")));
        assert_ne!(name(HELLO), name(&HELLO.replace(":0", ":1")));
    }

    #[test]
    fn a_stream_is_another_request_than_the_whole_answer() {
        let whole = chat(HELLO).unwrap();
        let stream = chat(&HELLO.replace("\"temperature\"", "\"stream\":true,\"temperature\"")).unwrap();
        assert_eq!((whole.streams(), stream.streams()), (false, true));
        assert_ne!(whole.digest(), stream.digest());
        assert!(stream.text(Some("big")).contains(r#""stream":true"#));
    }

    #[test]
    fn an_event_is_a_chunk_the_end_or_nothing_good() {
        assert_eq!(said("[DONE]"), Ok(Said::Done));
        assert_eq!(said(r#"{"choices":[{"delta":{}}]}"#), Ok(Said::Chunk(None)));
        assert_eq!(said(r#"{"choices":[],"usage":{"total_tokens":7},"error":null}"#), Ok(Said::Chunk(Some(7))));
        assert_eq!(said(r#"{"error":{"message":"no"}}"#), Err("it ends with an error"));
        for none in ["", "{", "[]", "{}", "null", "[[{}],null,null]", r#"{"choices":null}"#, "[done]"] {
            assert!(said(none).is_err(), "{none}");
        }
    }

    #[test]
    fn an_upstream_may_have_its_own_name_for_the_model() {
        let good = chat(HELLO).unwrap();
        assert!(good.text(None).contains(r#""model":"m""#));
        assert!(good.text(Some("big")).contains(r#""model":"big""#));
    }

    #[test]
    fn what_the_cache_is_asked_for_stands_in_the_headers() {
        let wanted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, value.parse().unwrap());
            Wanted::of(&headers)
        };
        assert_eq!(Wanted::of(&HeaderMap::new()), Wanted::Any);
        assert_eq!(wanted("max-age=5, No-Cache"), Wanted::Fresh);
        assert_eq!(wanted("no-store, no-cache"), Wanted::Unkept);
        assert_eq!(wanted("no-cached"), Wanted::Any);
    }

    #[test]
    fn what_is_kept_comes_back() {
        let reply = Reply { upstream: "a".into(), body: "{}".into() };
        assert_eq!(Reply::from_bytes(&reply.to_bytes()), Some(reply));
        assert_eq!(Reply::from_bytes(&[]), None);
        assert_eq!(Reply::from_bytes(&[9, 1]), None);
    }

    #[test]
    fn an_answer_has_choices_and_a_complaint_is_short() {
        assert_eq!(tokens(r#"{"choices":[{}],"usage":{"total_tokens":7}}"#), Some(7));
        assert_eq!(tokens(r#"{"choices":[{}]}"#), Some(0));
        assert_eq!(tokens(r#"{"choices":[{}],"usage":null}"#), Some(0));
        for none in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":{}}"#, "<html>"] {
            assert_eq!(tokens(none), None, "{none}");
        }
        assert_eq!(complaint(r#"{"error":{"message":"no\nsuch model"}}"#), "no such model");
        assert_eq!(complaint(r#"{"error":"no"}"#), "no");
        assert_eq!(complaint("<html>"), "");
        assert_eq!(complaint(&format!(r#"{{"error":"{}"}}"#, "x".repeat(9_000))).len(), 300);
    }
}
