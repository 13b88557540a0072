//! The host halves of services.

mod analytics;
