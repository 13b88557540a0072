//! Balancing over threads and over endpoints.
//!
//! The decisions are [`daur_core::performance::balancer`]'s. [`Endpoints`] spreads calls over things that can do the same, with
//! names and breakers; [`LoadBalancer`] spreads tasks over threads of its own.

mod endpoints;
mod workers;

pub use super::pool::{Rejected, Why};
pub use endpoints::{
    AddError, Config, ConfigError, Endpoint, EndpointSnapshot, Endpoints, EndpointsSnapshot, Failure, Pick,
};
pub use workers::{LoadBalancer, Report, Workers, init, load_balancer};
