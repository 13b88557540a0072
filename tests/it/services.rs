//! Analytics.

mod analytics;
