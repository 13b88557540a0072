use std::collections::VecDeque;

use daur_core::monitoring::system::{Config, Field, Level, Sample, System, Threshold, Trend};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

/// What a level is, worked out from the whole past.
fn level(past: &[(u64, i32)], threshold: Threshold, rise: u64, fall: u64) -> Level {
    let is_on = |enter: i32| {
        let (mut on, mut run): (bool, Option<u64>) = (false, None);
        for (now, value) in past {
            let otherwise = if on { *value < enter - threshold.hysteresis } else { *value >= enter };
            run = if otherwise { Some(run.unwrap_or(*now)) } else { None };
            if run.is_some_and(|began| now - began >= if on { fall } else { rise }) {
                (on, run) = (!on, None);
            }
        }
        on
    };
    match (is_on(threshold.critical), is_on(threshold.elevated)) {
        (true, _) => Level::Critical,
        (false, true) => Level::Elevated,
        (false, false) => Level::Normal,
    }
}

proptest! {
    #[test]
    fn levels_follow_the_whole_past(
        steps in prop::collection::vec((0_u64..8, prop::option::weighted(0.9, 0_i32..200)), 1..120),
        (rise, fall) in (0_u64..20, 0_u64..20),
        (elevated, above, hysteresis) in (20_i32..120, 0_i32..60, 1_i32..40),
    ) {
        let threshold = Threshold { elevated, critical: elevated + above, hysteresis };
        let config = Config {
            temperature: threshold,
            rise: Duration::from_secs(rise),
            fall: Duration::from_secs(fall),
            ..Config::DEFAULT
        };
        let mut system: System<4> = System::new(config);
        let (mut now, mut past, mut before) = (0, Vec::new(), Level::Normal);
        for (step, value) in steps {
            now += step;
            past.extend(value.map(|value| (now, value)));
            let sample = Sample { temperature_mc: value, ..Sample::EMPTY };
            let changes: Vec<_> = system.update(&sample, Instant::from_secs(now)).into_iter().collect();
            let expected = level(&past, threshold, rise, fall);
            prop_assert_eq!(system.level_of(Field::Temperature), expected);
            prop_assert_eq!(system.level(), expected);
            // A change is told, and nothing but a change.
            prop_assert_eq!(changes.len(), usize::from(expected != before));
            if let [change] = changes[..] {
                prop_assert_eq!((change.from, change.to, Some(change.value)), (before, expected, value));
            }
            before = expected;
        }
    }

    /// Beside floats, which see the same points.
    #[test]
    fn a_trend_is_the_least_squares_line(
        points in prop::collection::vec((1_u64..4_000, -1_000_000_i64..1_000_000), 2..40),
        unit in prop_oneof![Just(1_000_000_000_u64), Just(7_300_000_001), Just(97_000_000_000), Just(3_600_000_000_000)],
        scale in prop_oneof![Just(1_i64), Just(1_000), Just(1 << 40)],
    ) {
        let mut trend: Trend<16> = Trend::NEW;
        let (mut now, mut kept) = (0, VecDeque::new());
        for (step, value) in points {
            now += step * unit;
            trend.push(value * scale, Instant::from_nanos(now));
            kept.push_back((now as f64 / 3.6e12, (value * scale) as f64));
            if kept.len() > 16 {
                kept.pop_front();
            }
        }
        let n = kept.len() as f64;
        let (t0, v0) = kept[0];
        let mean = |of: &dyn Fn(f64, f64) -> f64| kept.iter().map(|(t, v)| of(t - t0, v - v0)).sum::<f64>() / n;
        let (mean_t, mean_v) = (mean(&|t, _| t), mean(&|_, v| v));
        let covariance = mean(&|t, v| (t - mean_t) * (v - mean_v));
        let variance = mean(&|t, _| (t - mean_t).powi(2));
        // What is steeper than can be told is told as the steepest.
        let expected = (covariance / variance).clamp(i64::MIN as f64, i64::MAX as f64);
        // Moments are rounded: no slope is wrong by more than a small part of the steepest that the points can have.
        let spread = mean(&|_, v| (v - mean_v).powi(2)).sqrt();
        let allowed = spread / variance.sqrt() * 0.002 + 1.0;
        let found = trend.per_hour().unwrap() as f64;
        prop_assert!((found - expected).abs() <= allowed, "{} for {} +- {}", found, expected, allowed);
    }

    #[test]
    fn no_sample_panics(
        values in prop::collection::vec((any::<u64>(), any::<u64>(), any::<i32>(), any::<u16>(), any::<u64>()), 1..30),
    ) {
        let mut system: System<5> = System::new(Config { trend_every: Duration::ZERO, ..Config::DEFAULT });
        for (used, total, temperature, permille, now) in values {
            let sample = Sample {
                cpu_permille: Some(permille),
                memory_used: Some(used),
                memory_total: Some(total),
                disk_used: Some(total),
                disk_total: Some(used),
                temperature_mc: Some(temperature),
                stack_high_water: Some(temperature.cast_unsigned()),
                stack_size: Some(u32::from(permille)),
                load_permille: Some(temperature.cast_unsigned()),
                ..Sample::EMPTY
            };
            system.update(&sample, Instant::from_nanos(now));
            let snapshot = system.snapshot();
            prop_assert_eq!(snapshot.level, snapshot.fields.iter().map(|field| field.level).max().unwrap());
            for field in Field::ALL {
                prop_assert!(system.lasts(field).is_none() || system.per_hour(field).unwrap() > 0);
            }
        }
    }
}

#[test]
fn a_leak_is_seen_hours_before_the_memory_is_used_up() {
    let total = 8 << 30;
    // A point a minute, for an hour.
    let mut system: System<60> = System::default();
    for second in (0..7_200).step_by(5) {
        // 1 MiB a minute, below a saw tooth of 64 MiB that a collector makes every 100 s.
        let used = (2 << 30) + (second << 20) / 60 + ((second % 100) << 20) * 64 / 100;
        let sample = Sample { memory_used: Some(used), memory_total: Some(total), ..Sample::EMPTY };
        system.update(&sample, Instant::from_secs(second));
    }
    let per_hour = system.per_hour(Field::Memory).unwrap() >> 20;
    assert!((40..=80).contains(&per_hour), "{per_hour} MiB an hour");
    let hours = system.lasts(Field::Memory).unwrap().as_secs() / 3_600;
    assert!((70..=150).contains(&hours), "{hours} hours for 5.9 GiB");
    assert_eq!(system.level(), Level::Normal);
}

#[test]
fn a_snapshot_is_the_same_after_json() {
    let mut system: System = System::default();
    let sample = Sample {
        cpu_permille: Some(120),
        idle_permille: Some(3),
        uptime: Some(Duration::from_secs(9)),
        reset_cause: Some(daur_core::wire::record::ResetCause::Watchdog),
        ..Sample::EMPTY
    };
    system.update(&sample, Instant::from_secs(1));
    let snapshot = system.snapshot();
    let text = serde_json::to_string(&snapshot).unwrap();
    assert!(text.contains("\"reset_cause\":\"watchdog\"") && text.contains("\"field\":\"cpu\""), "{text}");
    assert_eq!(serde_json::from_str::<daur_core::monitoring::system::Snapshot>(&text).unwrap(), snapshot);
    let config: Config = serde_json::from_str(r#"{"cpu":{"elevated":1,"critical":2,"hysteresis":1}}"#).unwrap();
    assert_eq!((config.cpu.critical, config.memory), (2, Config::DEFAULT.memory));
}
