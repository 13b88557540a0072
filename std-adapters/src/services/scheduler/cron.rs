//! Cron expressions.

use std::fmt;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions};
use daur_core::time::UnixTime;

use super::Calendar;

/// The times of a cron expression: minute, hour, day of month, month, day of week, and if you like a time zone
/// (`0 9 * * MON-FRI Europe/Berlin`); without one, UTC.
///
/// # Rules
/// 1. Where clocks are put forward, what would be in the hour that is left out is left out.
/// 2. Where they are put back, the hour that comes twice counts once, unless the hours begin with `*`: those run on as time does.
///
/// # Example
/// ```
/// use daur_std::core::time::UnixTime;
/// use daur_std::services::scheduler::{Calendar, Cron};
///
/// let noon: Cron = "0 12 * * *".parse()?;
/// assert_eq!(noon.next(UnixTime::from_secs(0)), Some(UnixTime::from_secs(43_200)));
/// assert!("61 * * * *".parse::<Cron>().is_err());
/// # Ok::<(), daur_std::services::scheduler::CronError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    times: Crontab,
    /// Whether the hours are any: then an hour that comes twice is two hours.
    has_any_hour: bool,
}

/// Says what is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError(String);

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CronError {}

impl std::str::FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let times = cronexpr::parse_crontab_with(text, options).map_err(|error| CronError(error.to_string()))?;
        let has_any_hour = text.split_whitespace().nth(1).is_some_and(|hours| hours.starts_with('*'));
        Ok(Self { text: text.to_owned(), times, has_any_hour })
    }
}

impl Calendar for Cron {
    fn next(&self, after: UnixTime) -> Option<UnixTime> {
        let mut after = MakeTimestamp::from_millisecond(i64::try_from(after.as_millis()).ok()?).ok()?;
        loop {
            let next = self.times.find_next(after).ok()?;
            after = MakeTimestamp(next.timestamp());
            let is_second = || {
                let shown = next.time_zone().to_ambiguous_timestamp(next.datetime());
                shown.earlier().is_ok_and(|first| first < next.timestamp())
            };
            if self.has_any_hour || !is_second() {
                return Some(UnixTime::from_millis(u64::try_from(next.timestamp().as_millisecond()).ok()?));
            }
        }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}
