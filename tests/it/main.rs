//! Every machine through its public API, one module a domain.

mod corpus;
mod monitoring;
mod performance;
mod reliability;
mod security;
mod services;
mod wire;

#[cfg(feature = "host")]
mod adapters;
#[cfg(feature = "host")]
mod host;
