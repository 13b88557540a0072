//! Where series are kept for charts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use daur_core::time::UnixTime;
use serde::Serialize;

use super::{MAX_SERIES, held};

/// Values that [`Recent`] keeps of each series.
const KEPT: usize = 720;

/// What one series was over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chart {
    /// The series.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub t: Vec<u64>,
    /// What it was then; `None` for a gap.
    pub values: Vec<Option<f64>>,
}

/// Keeps series, and gives them out for charts.
pub trait Charts: Send + Sync {
    /// Takes the values that the series had `at` that time.
    fn append(&self, at: UnixTime, values: &[(String, f64)]);
    /// What the series were from `from` until `to`.
    fn charts(&self, names: &[String], from: UnixTime, to: UnixTime) -> Vec<Chart>;
}

/// Keeps the last 720 collections of each series in memory.
#[derive(Debug, Default)]
pub struct Recent {
    series: Mutex<BTreeMap<String, Points>>,
}

/// The values of a series with their times in milliseconds, oldest first; `None` where it had none.
type Points = VecDeque<(u64, Option<f64>)>;

impl Charts for Recent {
    fn append(&self, at: UnixTime, values: &[(String, f64)]) {
        let mut series = held(&self.series);
        for (name, _) in values {
            if series.len() < MAX_SERIES && !series.contains_key(name) {
                series.insert(name.clone(), VecDeque::new());
            }
        }
        for (name, kept) in series.iter_mut() {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            let value = values.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
            kept.push_back((at.as_millis(), value));
        }
    }

    fn charts(&self, names: &[String], from: UnixTime, to: UnixTime) -> Vec<Chart> {
        let series = held(&self.series);
        let of = |name: &String| {
            let range = from.as_millis()..to.as_millis();
            let kept = series.get(name).into_iter().flatten().filter(|(at, _)| range.contains(at));
            let (t, values) = kept.copied().unzip();
            Chart { name: name.clone(), t, values }
        };
        names.iter().map(of).collect()
    }
}
