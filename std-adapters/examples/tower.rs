//! A client of a flaky service, with all the layers in their order. Ends with 0 if all went as it must.
//!
//! ```text
//! cargo run -p daur-std --example tower --features tower
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use daur_std::core::reliability::breaker::{self, State};
use daur_std::core::reliability::budget;
use daur_std::core::reliability::bulkhead;
use daur_std::core::reliability::limiter::{self, Limiter};
use daur_std::core::reliability::retry::{self, Attempts, Class};
use daur_std::core::time::Duration;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::reliability::budget::SharedBudget;
use daur_std::reliability::bulkhead::SharedBulkhead;
use daur_std::reliability::layers::{
    BreakerLayer, BulkheadLayer, Error, FallbackLayer, InnerLayer, LimiterLayer, RetryLayer, TimeoutLayer,
};
use daur_std::shared::StdShared;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

static LIMITER: StdShared<Limiter> =
    StdShared::new(Limiter::new(limiter::Config { rate: 100, period: Duration::from_secs(1), burst: 100 }));
static BUDGET: SharedBudget = SharedBudget::new(budget::Config::DEFAULT);
static BREAKER: SharedBreaker = SharedBreaker::new(breaker::Config {
    failures: 4,
    recovery_timeout: Duration::from_millis(200),
    ..breaker::Config::DEFAULT
});
const RETRY: retry::Config = retry::Config {
    max_attempts: Attempts::Limited(3),
    initial_delay: Duration::from_millis(5),
    ..retry::Config::DEFAULT
};

/// What the service fails with.
#[derive(Debug, PartialEq)]
enum QuoteError {
    NoSuchSymbol,
    Unreachable,
}

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchSymbol => "there is no such symbol",
            Self::Unreachable => "the exchange is unreachable",
        })
    }
}

impl std::error::Error for QuoteError {}

fn classify(error: &QuoteError) -> Class {
    match error {
        QuoteError::NoSuchSymbol => Class::Ignored,
        QuoteError::Unreachable => Class::Transient,
    }
}

/// How the service behaves, and how often it was called.
#[derive(Default)]
struct Exchange {
    calls: AtomicU32,
    failures_left: AtomicU32,
}

impl Exchange {
    fn quote(&self, symbol: &str) -> Result<u32, QuoteError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if symbol.is_empty() {
            return Err(QuoteError::NoSuchSymbol);
        }
        let fail = |left: u32| left.checked_sub(1);
        match self.failures_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail) {
            Ok(_) => Err(QuoteError::Unreachable),
            Err(_) => Ok(42),
        }
    }

    /// The calls since this was asked last.
    fn calls(&self) -> u32 {
        self.calls.swap(0, Ordering::SeqCst)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exchange = Arc::new(Exchange::default());
    let bulkhead = SharedBulkhead::new(bulkhead::Config { max_waiting: 10, ..bulkhead::Config::DEFAULT })?;
    // Yesterday's price is better than none, but not for a symbol that does not exist.
    let fallback = FallbackLayer::new(|error: &Error<QuoteError>| {
        let exists = error.inner() != Some(&QuoteError::NoSuchSymbol);
        async move { if exists { Ok(40) } else { Err(Error::Inner(QuoteError::NoSuchSymbol)) } }
    });
    let upstream = Arc::clone(&exchange);
    let mut service = ServiceBuilder::new()
        .layer(fallback.clone())
        .layer(LimiterLayer::new(&LIMITER))
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .layer(RetryLayer::new(RETRY).classify(classify).budget(&BUDGET))
        .layer(BreakerLayer::new(&BREAKER).classify(classify))
        .layer(BulkheadLayer::new(bulkhead.clone()))
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .layer(InnerLayer)
        .service(service_fn(move |symbol: &'static str| {
            let upstream = Arc::clone(&upstream);
            async move { upstream.quote(symbol) }
        }));

    // Two failures: the third attempt answers.
    exchange.failures_left.store(2, Ordering::SeqCst);
    assert_eq!(service.ready().await?.call("DAUR").await?, 42);
    assert_eq!(exchange.calls(), 3);
    println!("answered at the third attempt");

    // The caller's mistake: not retried, not counted against the service, not covered up.
    let error = service.ready().await?.call("").await.unwrap_err();
    assert_eq!((error.inner(), exchange.calls()), (Some(&QuoteError::NoSuchSymbol), 1));
    println!("told at once: {}", QuoteError::NoSuchSymbol);

    // It goes down: after four failures the breaker spares it, and the fallback answers.
    exchange.failures_left.store(u32::MAX, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(service.ready().await?.call("DAUR").await?, 40);
    }
    assert_eq!((exchange.calls(), BREAKER.state()), (4, State::Open));
    let counts = fallback.snapshot();
    println!("down: 4 calls for 20 requests; {} fallbacks, {} of them after a refusal", counts.used, counts.refusals);
    assert_eq!((counts.used, counts.failed), (20, 1));

    // It is back: one probe, and all is well.
    exchange.failures_left.store(0, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    assert_eq!(service.ready().await?.call("DAUR").await?, 42);
    assert_eq!((exchange.calls(), BREAKER.state()), (1, State::Closed));
    assert_eq!(bulkhead.snapshot().running, 0);
    println!("closed again after one probe");
    Ok(())
}
