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
        // One by one: a history refuses a question for more series than it keeps.
        let chart = |name: &String| {
            let found = self.query(&[name], from, to, POINTS).unwrap_or_default();
            Chart { name: name.clone(), values: found.means().remove(name).unwrap_or_default(), t: found.t }
        };
        names.iter().map(chart).collect()
    }
}
