//! Limits and breakers for many keys.

mod breakers;
mod limiter;
