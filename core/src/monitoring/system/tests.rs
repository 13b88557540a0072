use super::*;
use std::vec::Vec;

const fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

const CONFIG: Config = Config { trend_every: Duration::ZERO, ..Config::DEFAULT };

fn cpu(permille: u16) -> Sample {
    Sample { cpu_permille: Some(permille), ..Sample::EMPTY }
}

/// The levels of the CPU after each sample, one a second.
fn levels(values: &[u16]) -> Vec<Level> {
    let config = Config { rise: Duration::from_secs(2), fall: Duration::from_secs(3), ..CONFIG };
    let mut system: System<0> = System::new(config);
    let each = values.iter().zip(0..);
    each.map(|(value, second)| {
        system.update(&cpu(*value), at(second));
        system.level()
    })
    .collect()
}

use Level::{Critical as C, Elevated as E, Normal as N};

#[test]
fn rule_1_a_level_is_entered_when_it_has_been_reached_for_long_enough() {
    assert_eq!(levels(&[850, 850, 850, 849]), [N, N, E, E]);
    assert_eq!(levels(&[850, 849, 850, 850, 850]), [N, N, N, N, E], "every sample");
    assert_eq!(levels(&[950, 950, 950]), [N, N, C]);
    assert_eq!(levels(&[850, 950, 950, 950]), [N, N, E, C], "each level has its own time");
}

#[test]
fn rule_2_a_level_is_left_when_it_has_not_been_reached_for_long_enough() {
    assert_eq!(levels(&[850, 850, 850, 749, 749, 749, 749]), [N, N, E, E, E, E, N]);
    assert_eq!(levels(&[950, 950, 950, 849, 849, 849, 849]), [N, N, C, C, C, C, E]);
    assert_eq!(levels(&[950, 950, 950, 0, 0, 0, 0]), [N, N, C, C, C, C, N]);
    assert_eq!(levels(&[850, 850, 850, 749, 750, 749, 749, 749]), [N, N, E, E, E, E, E, E], "every sample");
}

#[test]
fn rule_3_in_between_a_level_stays() {
    let mut values = Vec::from([850, 850, 850]);
    values.extend([750; 100]);
    assert_eq!(levels(&values).last(), Some(&E));
    assert_eq!(levels(&[849; 100]).last(), Some(&N));
}

#[test]
fn rule_4_what_is_not_told_keeps_its_level() {
    let mut system: System<2> = System::new(Config { rise: Duration::ZERO, fall: Duration::ZERO, ..CONFIG });
    system.update(&Sample { temperature_mc: Some(91_000), ..cpu(900) }, at(1));
    assert_eq!((system.level_of(Field::Cpu), system.level_of(Field::Temperature)), (E, C));
    assert_eq!(system.update(&cpu(0), at(2)).into_iter().map(|change| change.to).collect::<Vec<_>>(), [N]);
    assert_eq!((system.level_of(Field::Temperature), system.level()), (C, C));
    assert_eq!(system.snapshot().fields[Field::Temperature as usize].value, None);
    system.on_failure(at(7));
    assert_eq!((system.level(), system.poll_at(), system.snapshot().failures), (C, Some(at(12)), 1));
    assert_eq!(system.sample(), Some(&cpu(0)));
}

#[test]
fn rule_5_the_worst_field_is_the_machines_level() {
    let mut system: System = System::new(Config { rise: Duration::ZERO, ..CONFIG });
    assert_eq!((system.level(), system.sample(), system.poll_at()), (N, None, Some(Instant::ZERO)));
    let sample = Sample {
        memory_used: Some(81),
        memory_total: Some(100),
        stack_high_water: Some(950),
        stack_size: Some(1_000),
        ..Sample::EMPTY
    };
    let changes: Vec<_> = system.update(&sample, at(0)).into_iter().collect();
    assert_eq!(changes[0], Change { field: Field::Memory, from: N, to: E, value: 810 });
    assert_eq!(changes[1], Change { field: Field::Stack, from: N, to: C, value: 950 });
    assert_eq!((system.level(), system.snapshot().changes), (C, 2));
}

#[test]
fn rule_6_a_trend_is_a_line_through_the_last_points() {
    let mut system: System<4> = System::new(Config { trend_every: Duration::from_secs(60), ..CONFIG });
    let used = |used| Sample { disk_used: Some(used), disk_total: Some(100_000), ..Sample::EMPTY };
    system.update(&used(10_000), at(0));
    assert_eq!((system.per_hour(Field::Disk), system.lasts(Field::Disk)), (None, None), "unknown is not flat");
    // What lies between the points is not seen.
    for second in (5..=600).step_by(5) {
        let noise = if second % 60 == 0 { 0 } else { 7_777 };
        system.update(&used(10_000 + second * 10 + noise), at(second));
    }
    let about = |found: Option<i64>, wanted: i64| (found.unwrap() - wanted).abs() <= wanted.abs() / 1_000;
    assert!(about(system.per_hour(Field::Disk), 36_000));
    assert!(about(system.lasts(Field::Disk).map(|lasts| lasts.as_secs().cast_signed()), 8_400));
    assert_eq!(system.per_hour(Field::Cpu), None);
    // It falls: there is no end to foresee.
    for minute in 11..20 {
        system.update(&used(16_000 - minute * 100), at(minute * 60));
    }
    assert!(about(system.per_hour(Field::Disk), -6_000));
    assert_eq!(system.lasts(Field::Disk), None);
}

#[test]
fn rule_7_a_clock_that_steps_back_changes_no_level() {
    let mut system: System<2> = System::new(CONFIG);
    system.update(&cpu(900), at(100));
    system.update(&cpu(900), at(50));
    system.update(&cpu(900), at(60));
    assert_eq!(system.level(), N, "ten seconds, but not after the hundredth");
    system.update(&cpu(900), at(110));
    assert_eq!(system.level(), E);
    system.update(&cpu(0), at(200));
    system.update(&cpu(0), at(0));
    system.update(&cpu(0), at(20));
    assert_eq!(system.level(), E);
    system.update(&cpu(0), at(210));
    assert_eq!(system.level(), N);
}

#[test]
fn what_is_not_idle_is_busy() {
    let sample = Sample { idle_permille: Some(40), ..Sample::EMPTY };
    assert_eq!(sample.value(Field::Cpu), Some(960));
    assert_eq!(Sample { idle_permille: Some(2_000), ..Sample::EMPTY }.value(Field::Cpu), Some(0));
    assert_eq!(Sample { cpu_permille: Some(1), ..sample }.value(Field::Cpu), Some(1));
}

#[test]
fn a_total_of_zero_is_not_known() {
    let sample = Sample { memory_used: Some(5), memory_total: Some(0), ..Sample::EMPTY };
    assert_eq!((sample.value(Field::Memory), sample.amount(Field::Memory)), (None, Some(5)));
    assert!(Field::ALL.iter().all(|field| Sample::EMPTY.value(*field).is_none()));
    assert!(Field::ALL.iter().all(|field| Sample::EMPTY.amount(*field).is_none()));
}

#[test]
fn a_config_that_contradicts_itself_is_refused() {
    let error = |config| System::<1>::try_new(config).unwrap_err();
    assert_eq!(error(Config { interval: Duration::ZERO, ..CONFIG }), ConfigError::NoInterval);
    let flat = Threshold { hysteresis: 0, ..CONFIG.disk };
    assert_eq!(error(Config { disk: flat, ..CONFIG }), ConfigError::Threshold(Field::Disk));
    let upside_down = Threshold { elevated: 91_000, ..CONFIG.temperature };
    let error = error(Config { temperature: upside_down, ..CONFIG });
    assert_eq!(
        std::string::ToString::to_string(&error),
        "system: `temperature` needs `elevated` not above `critical`, and a `hysteresis` above 0"
    );
}

#[test]
fn extreme_values_neither_panic_nor_wrap() {
    let mut trend: Trend<3> = Trend::NEW;
    for (value, moment) in [(i64::MIN, 0), (i64::MAX, u64::MAX / 2), (0, u64::MAX)] {
        trend.push(value, Instant::from_nanos(moment));
    }
    assert!(trend.per_hour().is_some());
    let mut steep: Trend<2> = Trend::NEW;
    steep.push(0, Instant::ZERO);
    steep.push(i64::MAX, Instant::from_millis(1));
    assert_eq!(steep.per_hour(), Some(i64::MAX));
    let mut none: Trend<0> = Trend::NEW;
    none.push(1, at(1));
    assert_eq!((none.per_hour(), none.points().count()), (None, 0));
    let never = Config { cpu: Threshold { elevated: i32::MIN, critical: i32::MIN, hysteresis: 5 }, ..CONFIG };
    let mut system: System<1> = System::new(never);
    system.update(&cpu(0), at(0));
    system.update(&cpu(0), at(10));
    assert_eq!(system.level(), C);
}

#[test]
fn a_point_that_is_older_than_the_last_counts_as_of_its_moment() {
    let mut trend: Trend<3> = Trend::NEW;
    for (value, second) in [(0, 3_600), (10, 0), (10, 7_200)] {
        trend.push(value, at(second));
    }
    assert_eq!(trend.points().map(|(moment, _)| moment).collect::<Vec<_>>(), [at(3_600), at(3_600), at(7_200)]);
    assert_eq!(trend.per_hour(), Some(5));
}

#[test]
fn idle_is_measured_from_take_to_take() {
    let ms = Instant::from_millis;
    let mut idle = Idle::new(ms(1_000));
    assert_eq!(idle.permille(ms(1_000)), None);
    idle.sleep(ms(1_100));
    idle.sleep(ms(1_200));
    assert_eq!(idle.take(ms(1_200)), Some(500));
    assert_eq!(idle.permille(ms(1_300)), Some(1_000), "it still sleeps");
    idle.wake(ms(1_300));
    idle.wake(ms(1_350));
    assert_eq!(idle.take(ms(1_400)), Some(500));
    idle.sleep(ms(1_500));
    idle.wake(ms(900));
    assert_eq!(idle.take(ms(2_000)), Some(0));
    idle.sleep(ms(2_000));
    assert_eq!(idle.permille(Instant::MAX), Some(1_000), "584 years");
}

#[test]
fn the_doc_tells_the_size() {
    assert_eq!([size_of::<System<8>>(), size_of::<System<0>>(), size_of::<Trend<8>>(), size_of::<Idle>()], [1_472, 704, 136, 32]);
}
