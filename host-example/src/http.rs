//! Accepts connections, with limits, and lets them end in order.
//!
//! `axum::serve` leaves the header limits and the drain's deadline to others; this is the same loop
//! on hyper with both.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;
use tower_service::Service;

/// How long a client may take to send a request's headers, or to begin its next request.
const HEADER_TIME: Duration = Duration::from_secs(30);

/// Limits of one server.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bytes of a request's line and headers; hyper answers more with 431.
    pub header_bytes: usize,
    /// How many headers.
    pub headers: usize,
    /// Connections at a time; further ones wait to be accepted.
    pub connections: usize,
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
        connections: 256,
        write_stall: Duration::from_secs(10),
        drain: Duration::from_secs(2),
    };
}

/// The client's address, as an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

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
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let mut router = router.clone();
        async move {
            Ok::<_, Infallible>(match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            })
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(config.header_bytes)
            .max_headers(config.headers)
            .serve_connection(TokioIo::new(Patient { stream, limit: config.write_stall, stalled: None }), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

/// Waits until `stop` says `true`, or nobody is left to say it.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A connection that gives up on a client who does not read.
///
/// Hyper waits for such a client for ever. A few hundred of them would hold all the connections there are.
struct Patient {
    stream: TcpStream,
    limit: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<time::Sleep>>>,
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
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
