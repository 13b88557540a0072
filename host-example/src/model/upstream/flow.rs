//! An upstream's answer that comes in pieces.

use std::collections::VecDeque;

use axum::http::{StatusCode, header};
use reqwest::{Client, Response};

use super::events::{Event, Events};
use super::{Fault, Upstream};
use crate::model::chat::{Chat, Said, said};

/// The rest of an answer, behind its first piece.
pub(in crate::model) struct Flow {
    response: Response,
    events: Events,
    ready: VecDeque<Event>,
    received: usize,
}

/// A piece of an answer.
#[derive(Debug)]
pub(in crate::model) enum Piece {
    /// A chunk as it came, and the tokens of all, if it says them.
    Chunk(String, Option<u64>),
    /// A sign of life.
    Comment,
    /// The end.
    Done,
}

impl Upstream {
    /// Sends one request; gives the first chunk and what follows.
    pub(in crate::model) async fn open(
        &self,
        client: &Client,
        chat: &Chat,
    ) -> Result<((String, Option<u64>), Flow), Fault> {
        let response = self.send(client, chat, "text/event-stream").await?;
        if response.status() != StatusCode::OK || !is_stream(&response) {
            return Err(Fault::NoAnswer("it is no stream"));
        }
        let mut flow = Flow { response, events: Events::default(), ready: VecDeque::new(), received: 0 };
        loop {
            match self.next(&mut flow).await? {
                Piece::Chunk(data, tokens) => return Ok(((data, tokens), flow)),
                Piece::Comment => {}
                Piece::Done => return Err(Fault::NoAnswer("it has no choices")),
            }
        }
    }

    /// The next piece; dropped while it waits, it loses none.
    pub(in crate::model) async fn next(&self, flow: &mut Flow) -> Result<Piece, Fault> {
        loop {
            match flow.ready.pop_front() {
                Some(Event::Comment) => return Ok(Piece::Comment),
                Some(Event::Data(data)) => return self.piece(data),
                None => {}
            }
            let bytes = flow.response.chunk().await.map_err(|error| match self.broken(error) {
                Fault::Timeout => Fault::Timeout,
                _ => Fault::Cut,
            })?;
            let bytes = bytes.ok_or(Fault::Cut)?;
            flow.received += bytes.len();
            if flow.received > self.max_answer {
                return Err(Fault::NoAnswer("it is too long"));
            }
            flow.events.push(&bytes, |event| flow.ready.push_back(event));
        }
    }

    fn piece(&self, data: Vec<u8>) -> Result<Piece, Fault> {
        let data = String::from_utf8(data).map_err(|_| Fault::NoAnswer("it is no text"))?;
        match said(&data).map_err(Fault::NoAnswer)? {
            Said::Done => Ok(Piece::Done),
            Said::Chunk(tokens) => Ok(Piece::Chunk(self.scrubbed(data), tokens)),
        }
    }
}

impl Flow {
    /// Reads the end of the body, so that the connection can be used again.
    pub(in crate::model) async fn finish(mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("text/event-stream")
}
