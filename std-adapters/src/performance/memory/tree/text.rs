//! The formats of the files.

use daur_core::time::Duration;

use super::super::provider::{Pressure, Stall};

/// What of `/proc/meminfo` is of use, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemInfo {
    pub(super) total: u64,
    pub(super) available: u64,
    /// All, and what of it is free.
    pub(super) swap: Option<(u64, u64)>,
}

/// `None` without a total.
pub(super) fn meminfo(text: &str) -> Option<MemInfo> {
    let figure = |name| kilobytes(text, name);
    let total = figure("MemTotal:").filter(|total| *total > 0)?;
    // Kernels before 3.14 do not tell what is available; what can be taken back at once is close.
    let estimate = || {
        let cached = figure("Buffers:").unwrap_or(0).saturating_add(figure("Cached:").unwrap_or(0));
        Some(figure("MemFree:")?.saturating_add(cached))
    };
    let available = figure("MemAvailable:").or_else(estimate)?.min(total);
    let swap = figure("SwapTotal:").filter(|swap| *swap > 0).zip(figure("SwapFree:"));
    Some(MemInfo { total, available, swap })
}

/// The figure of the line that begins with `name`, told in kB, in bytes.
pub(super) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.saturating_mul(1_024))
}

/// The figure of the line `name figure`.
pub(super) fn figure(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A limit: `Some(None)` for `max`.
pub(super) fn limit(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "max" => Some(None),
        bytes => bytes.parse().ok().map(Some),
    }
}

/// One figure alone.
pub(super) fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `some avg10=0.12 avg60=0.00 avg300=0.00 total=123`, and the same of `full`.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let stall = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let value = |key| line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        Some(Stall { avg10: permille(value("avg10")?)?, total: Duration::from_micros(value("total")?.parse().ok()?) })
    };
    Some(Pressure { some: stall("some")?, full: stall("full") })
}

/// `12.34`, which is of a hundred, as thousandths: 123. At most 1,000.
fn permille(percent: &str) -> Option<u16> {
    let (whole, fraction) = percent.split_once('.').unwrap_or((percent, "0"));
    let tenths: u16 = fraction.get(..1)?.parse().ok()?;
    Some(whole.parse::<u16>().ok()?.saturating_mul(10).saturating_add(tenths).min(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_becomes_thousandths() {
        let read = ["0.00", "12.34", "99.99", "100.00", "7", "300.0", "9999999.9"].map(permille);
        assert_eq!(read, [Some(0), Some(123), Some(999), Some(1_000), Some(70), Some(1_000), None]);
        for text in ["", ".", "a.b", "1.", "1.é", "-1.0", "1,5"] {
            assert_eq!(permille(text), None, "{text}");
        }
    }

    #[test]
    fn an_old_kernel_does_not_tell_what_is_available() {
        let old = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
        assert_eq!(meminfo(old), Some(MemInfo { total: 102_400, available: 35_840, swap: None }));
        assert_eq!(meminfo("MemTotal: 0 kB\nMemFree: 10 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 10 pages\nMemFree: 10 kB\n"), None);
        assert_eq!(meminfo("MemTotal: 5 kB\nMemAvailable: 9 kB\n").unwrap().available, 5_120, "never more than all");
    }

    #[test]
    fn a_limit_is_a_number_or_none_at_all() {
        assert_eq!(
            ["max\n", " 12 \n", "", "maximum", "-1", "99999999999999999999"].map(limit),
            [Some(None), Some(Some(12)), None, None, None, None]
        );
    }
}
