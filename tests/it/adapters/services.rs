//! The host halves of services.

mod analytics;
mod notify;
mod scheduler;
