//! Serves `/livez`, `/readyz` and `/startupz` on the loopback, and asks itself: the checks of a service whose
//! cache warms up, whose database goes away and comes back, and whose upstream's breaker opens.
//!
//! `cargo run -p daur-std --example axum --features axum`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daur_std::core::reliability::breaker::State;
use daur_std::core::reliability::health::{CheckConfig, Config};
use daur_std::core::time::Duration;
use daur_std::reliability::health::handlers::{Detail, routes_with};
use daur_std::reliability::health::{HealthChecker, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One failure is enough for this example.
const READY: CheckConfig = CheckConfig { failure_threshold: 1, ..CheckConfig::READINESS };
const LIVE: CheckConfig = CheckConfig { timeout: Duration::from_secs(5), ..CheckConfig::LIVENESS };

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_warm = Arc::new(AtomicBool::new(false));
    let is_reachable = Arc::new(AtomicBool::new(true));

    let checker = HealthChecker::new(Config::STRICT);
    let cache = is_warm.clone();
    checker.register_blocking("cache", CheckConfig::STARTUP, move || cache.load(Ordering::Relaxed))?;
    checker.register_check("loop", LIVE, || async { Verdict::pass() })?;
    let database = is_reachable.clone();
    checker.register_check("database", READY, move || {
        let answers = database.load(Ordering::Relaxed);
        async move { if answers { Ok(()) } else { Err("connection refused") } }
    })?;
    let upstream = checker.register_reported("upstream", READY)?;
    checker.report_breaker(upstream, State::Closed);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = routes_with(checker.clone(), Detail::Reasons);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    // A service spawns `keep_checking` instead; here each run has its moment.
    checker.run_checks().await;
    expect(address, "/startupz", 503, "unhealthy").await?;
    expect(address, "/livez", 200, "ok").await?;
    expect(address, "/readyz?verbose", 503, "the start is not over").await?;

    is_warm.store(true, Ordering::Relaxed);
    checker.run_checks().await;
    expect(address, "/startupz", 200, "ok").await?;
    expect(address, "/readyz?verbose", 200, "[+] database passed in ").await?;

    is_reachable.store(false, Ordering::Relaxed);
    checker.run_checks().await;
    expect(address, "/readyz", 503, "unhealthy").await?;
    expect(address, "/readyz?verbose", 503, ": connection refused").await?;
    expect(address, "/livez", 200, "ok").await?;

    is_reachable.store(true, Ordering::Relaxed);
    assert!(checker.run_checks().await.is_healthy());
    expect(address, "/readyz", 200, "ok").await?;

    // An open breaker takes the service out of the balance; it does not restart it.
    checker.report_breaker(upstream, State::Open);
    expect(address, "/readyz?verbose", 503, "[-] upstream failed in 0s: the breaker is Open").await?;
    expect(address, "/livez", 200, "ok").await?;

    server.abort();
    println!("all answers were as expected");
    Ok(())
}

/// Asks by plain bytes, so that what is asserted is what goes over the wire.
async fn expect(address: SocketAddr, target: &str, status: u16, text: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    println!("GET {target}: {status}\n{body}");
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
    assert!(head.contains("cache-control: no-store"), "{target}: {answer}");
    assert!(body.contains(text), "{target}: {answer}");
    Ok(())
}
