//! Accepts connections, with limits, and lets them end in order.
//!
//! `axum::serve` leaves the header limits and the drain's deadline to others; this is the same loop
//! on hyper with both. What hyper refuses by itself, before there is a request, is told as a problem too.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;
use tower_service::Service;

use crate::problem::{Code, Problem};

/// What is read and thrown away of whoever still sends after the last answer, and for how long: a connection that is
/// closed with something unread is reset, and the answer is lost with it.
const LINGER_BYTES: u64 = 1 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// Limits of one server.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of a request's line and headers; more is `headers_too_large`.
    pub header_bytes: usize,
    /// How many headers.
    pub headers: usize,
    /// Bytes of its path and query; more is `uri_too_long`. 8 KiB by default.
    pub uri_bytes: usize,
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's headers, or to begin its next request. 30 s by default.
    pub header_time: Duration,
    /// How long a request's body may take to arrive. 10 s by default.
    pub body_time: Duration,
    /// How long a client may read nothing of its answer before its connection is cut.
    pub write_stall: Duration,
    /// How long requests may take to end after a stop.
    pub drain: Duration,
}

impl Config {
    /// 16 KiB in 64 headers, 256 connections, 10 s for a client that does not read, 2 s to drain, which
    /// is part of what a stop may take in all.
    pub const DEFAULT: Self = Self {
        header_bytes: 16 * 1024,
        headers: 64,
        uri_bytes: 8 * 1024,
        connections: 256,
        header_time: Duration::from_secs(30),
        body_time: Duration::from_secs(10),
        write_stall: Duration::from_secs(10),
        drain: Duration::from_secs(2),
    };
}

/// The client, as an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// How long a body of its may take to arrive.
    pub body_time: Duration,
}

/// What RFC 9112 has a server refuse, and hyper does not: a request without a host or with two. And a path that is longer
/// than any of ours.
///
/// # Errors
/// `bad_request`, `uri_too_long`.
pub fn check<B>(request: &Request<B>, uri_bytes: usize) -> Result<(), Problem> {
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, |query| query.len() + 1) > uri_bytes {
        let detail = format!("Path and query may have {uri_bytes} bytes together.");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    let hosts = request.headers().get_all(header::HOST).iter().take(2).count();
    if hosts == 2 || (hosts == 0 && request.version() == Version::HTTP_11) {
        return Err(Problem::new(Code::BadRequest, "A request names one `Host`.").closing());
    }
    Ok(())
}

/// Serves `router` until `stop` says `true`, then lets the requests under way end.
///
/// Returns how many connections had to be cut at the deadline.
pub async fn serve(listener: TcpListener, router: Router, config: Config, mut stop: watch::Receiver<bool>) -> usize {
    let places = Arc::new(Semaphore::new(config.connections));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            _ = stopped(&mut stop) => break,
            Ok(place) = Arc::clone(&places).acquire_owned() => place,
        };
        let (stream, peer) = tokio::select! {
            _ = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: asking again at once would only burn the CPU.
                    tracing::warn!(%error, "a connection could not be accepted");
                    time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, peer, router, config, stop).await;
            drop(place);
        });
        // The set keeps what has ended until somebody asks.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = time::timeout(config.drain, all).await;
    connections.len()
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    config: Config,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and written at once: waiting for more of them only adds delay.
    let _ = stream.set_nodelay(true);
    let client = Peer { address: peer, body_time: config.body_time };
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(client);
        let mut router = router.clone();
        async move {
            Ok::<_, Infallible>(match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            })
        }
    });
    let patient = Patient { stream, limit: config.write_stall, stalled: None, held: Vec::new() };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_time)
        .max_buf_size(config.header_bytes)
        .max_headers(config.headers)
        .serve_connection(TokioIo::new(patient), service);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped(&mut stop) => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(error) = &ended {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
    let Patient { stream, held, .. } = connection.into_parts().io.into_inner();
    if !held.is_empty() {
        let last = if ended.is_err_and(|error| error.is_parse()) { as_problem(&held) } else { held };
        let _ = time::timeout(LINGER, say_last(stream, &last)).await;
    }
}

/// Says the last that is said on a connection, and hears the client out.
async fn say_last(mut stream: TcpStream, last: &[u8]) -> io::Result<()> {
    stream.write_all(last).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await.map(drop)
}

/// Waits until `stop` says `true`, or nobody is left to say it.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Where an answer begins that hyper has written by itself and that ends `bytes`: a refusal of what is no request, with
/// no body and none of our headers.
fn own_refusal(bytes: &[u8]) -> Option<usize> {
    const BEGINS: &[u8] = b"HTTP/1.1 4";
    // Of what we answer, hardly anything ends like this.
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let tail = bytes.len().saturating_sub(160);
    let start = tail + bytes[tail..].windows(BEGINS.len()).rposition(|window| window == BEGINS)?;
    let known =
        |line: &str| matches!(line, "" | "connection: close" | "content-length: 0") || line.starts_with("date: ");
    std::str::from_utf8(&bytes[start..]).ok()?.split("\r\n").skip(1).all(known).then_some(start)
}

/// The same refusal, explained.
fn as_problem(own: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(own);
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let problem = match status.split(' ').nth(1) {
        Some("431") => Problem::new(Code::HeadersTooLarge, "The request's headers are too long, or too many."),
        Some("414") => Problem::new(Code::UriTooLong, "The request's path and query are too long."),
        _ => Problem::new(Code::BadRequest, "This is not a request of HTTP/1.1."),
    };
    let date = lines.find(|line| line.starts_with("date: ")).unwrap_or("date: Thu, 01 Jan 1970 00:00:00 GMT");
    let body = problem.to_json();
    format!(
        "{status}\r\n{date}\r\nconnection: close\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-content-type-options: nosniff\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection that gives up on a client who does not read, and keeps back what hyper says by itself.
///
/// Hyper waits for such a client for ever. A few hundred of them would hold all the connections there are.
struct Patient {
    stream: TcpStream,
    limit: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<time::Sleep>>>,
    /// What looks like a refusal of hyper's own. It is one if the connection ends with it.
    held: Vec<u8>,
}

impl Patient {
    /// Passes on what a write gave, unless it has been pending for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(time::sleep(limit)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what was kept back, since the connection goes on.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &self.held);
            match ready!(self.judge(cx, written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.held.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_release(cx))?;
        let bytes = match own_refusal(bytes) {
            Some(0) => {
                self.held.extend_from_slice(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            // What comes before it first.
            Some(start) => &bytes[..start],
            None => bytes,
        };
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A refusal has no body: it stands in the first piece, or there is none.
        if let [piece] = pieces {
            return self.poll_write(cx, piece);
        }
        ready!(self.poll_release(cx))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // There is something to say yet.
        if !self.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
        date: Sat, 28 Nov 2026 09:00:00 GMT\r\n\r\n";

    #[test]
    fn a_refusal_of_hypers_own_is_told_apart_from_what_we_answer() {
        assert_eq!(own_refusal(OWN), Some(0));
        assert_eq!(own_refusal(&[b"HTTP/1.1 204 No Content\r\n\r\n", OWN].concat()), Some(27));
        let ours = b"HTTP/1.1 404 Not Found\r\nx-content-type-options: nosniff\r\ncontent-length: 0\r\n\r\n";
        for other in [&ours[..], &OWN[..OWN.len() - 1], &OWN[9..], b"", b"\r\n\r\n", b"HTTP/1.1 4\xff\r\n\r\n"] {
            assert_eq!(own_refusal(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_refusal_is_explained_and_keeps_its_date() {
        let told = String::from_utf8(as_problem(OWN)).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains("date: Sat, 28 Nov 2026 09:00:00 GMT"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains("\"headers_too_large\""), "{body}");
    }
}
