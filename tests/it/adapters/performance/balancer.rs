//! Balancers over workers and endpoints.
