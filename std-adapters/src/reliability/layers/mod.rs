//! Layers for a `tower::ServiceBuilder`: the same machines around any [`Service`](tower_service::Service).
//!
//! Each layer asks one machine of `daur-core`, which is shared by all clones of the service: behind an
//! `Arc` or a `&'static`. A service that has none of tower is better called through the
//! [`executor`](super::executor).
//!
//! # The order
//!
//! Outermost first, as a `ServiceBuilder` reads. Leave out what is not needed.
//!
//! | Layer | Why it stands there |
//! |---|---|
//! | [`FallbackLayer`] | answers for all that is beneath it |
//! | [`LimiterLayer`] | counts each request once; beneath the retries it would count every attempt |
//! | [`TimeoutLayer`] | limits the whole run, with its waits |
//! | [`RetryLayer`] | each attempt asks the breaker again |
//! | [`BreakerLayer`] | sees every attempt, and no refusal of the bulkhead |
//! | [`BulkheadLayer`] | an attempt that waits for the next one holds no place |
//! | [`TimeoutLayer`] | limits one attempt; what it cuts short, the breaker counts |
//! | [`InnerLayer`] | turns the service's own error into [`Error::Inner`] |
//!
//! All of them speak one [`Error`], so that the stack's error is as flat with six layers as with one.
//! For that the innermost is always [`InnerLayer`].
//!
//! Unlike in the [`executor`](super::executor), which asks the breaker again at its turn, a call that
//! stands in the bulkhead's line has the breaker's permit already: it is made even if the breaker opens
//! meanwhile. Keep that line short.
//!
//! # Rules of all
//!
//! * A layer calls only a service that said it is ready, and never a clone of it that was not asked.
//! * A future that is dropped gives back what it holds, at once: its permit, its place, its call.
//! * A future is `Send` if the service's is. None is put on the heap.
//!
//! # Example
//! ```
//! use std::convert::Infallible;
//! use std::sync::Arc;
//!
//! use daur_std::core::reliability::{breaker, retry};
//! use daur_std::core::time::Duration;
//! use daur_std::reliability::breaker::SharedBreaker;
//! use daur_std::reliability::layers::{BreakerLayer, InnerLayer, RetryLayer, TimeoutLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! static UPSTREAM: SharedBreaker = SharedBreaker::new(breaker::Config::DEFAULT);
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let service = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(Duration::from_secs(30)))
//!     .layer(RetryLayer::new(retry::Config::DEFAULT))
//!     .layer(BreakerLayer::new(&UPSTREAM))
//!     .layer(TimeoutLayer::new(Duration::from_secs(2)))
//!     .layer(InnerLayer)
//!     .service(service_fn(async |x: u32| Ok::<_, Infallible>(x * 2)));
//!
//! assert_eq!(service.oneshot(21).await.unwrap(), 42);
//! # });
//! ```

pub mod breaker;
pub mod bulkhead;
mod error;
pub mod fallback;
pub mod inner;
mod judge;
pub mod limiter;
pub mod retry;
pub mod timeout;

pub use breaker::BreakerLayer;
pub use bulkhead::BulkheadLayer;
pub use error::Error;
pub use fallback::FallbackLayer;
pub use inner::InnerLayer;
pub use judge::{EveryError, Judge, OfError};
pub use limiter::LimiterLayer;
pub use retry::RetryLayer;
pub use timeout::TimeoutLayer;
