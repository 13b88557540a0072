//! A history as the place of a dashboard's series.

use daur_core::time::UnixTime;

use super::{Chart, Charts};
use crate::monitoring::history::History;

/// Points of a chart.
const POINTS: usize = 361;

impl Charts for History {
    fn append(&self, at: UnixTime, values: &[(String, f64)]) {
        Self::append(self, at, values);
    }

    fn charts(&self, names: &[String], from: UnixTime, to: UnixTime) -> Vec<Chart> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Ok(shown) = self.query(&names, from, to, POINTS) else { return Vec::new() };
        let chart = |(name, values)| Chart { name, t: shown.t.clone(), values };
        shown.means().into_iter().map(chart).collect()
    }
}
