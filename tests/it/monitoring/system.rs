use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration as StdDuration;

use daur_core::time::{Duration, Instant};
use daur_std::monitoring::system::{Config, Host, Monitor, Process, Provider, SHORTEST_INTERVAL, Sample, Sampler};

/// A system whose CPU figure is the number of the reading.
fn counting() -> (Arc<AtomicU32>, impl Provider) {
    let reads = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&reads);
    let provider = move || {
        let n = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let process = Some(Process { cpu_permille: Some(n), memory: 7, uptime_seconds: 1 });
        Sample { cpu_permille: Some(n), process, ..Sample::default() }
    };
    (reads, provider)
}

#[test]
fn the_first_cpu_reading_is_not_reported() {
    let (_, provider) = counting();
    let mut sampler = Sampler::new(provider);
    let first = sampler.sample(Instant::ZERO);
    assert_eq!((first.cpu_permille, first.process.unwrap().cpu_permille), (None, None));
    assert_eq!(first.process.unwrap().memory, 7);
    let second = sampler.sample(Instant::ZERO + SHORTEST_INTERVAL);
    assert_eq!((second.cpu_permille, second.process.unwrap().cpu_permille), (Some(2), Some(2)));
}

#[test]
fn readings_closer_than_200_ms_are_the_last_one() {
    let (reads, provider) = counting();
    let mut sampler = Sampler::new(provider);
    let first = sampler.sample(Instant::from_millis(1_000));
    for millis in [1_000, 1_001, 1_199, 5] {
        assert!(Arc::ptr_eq(&first, &sampler.sample(Instant::from_millis(millis))));
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    sampler.sample(Instant::from_millis(1_200));
    assert_eq!(reads.load(Ordering::SeqCst), 2);
}

#[test]
fn an_interval_below_200_ms_is_refused() {
    let (_, provider) = counting();
    let config = Config { interval: Duration::from_millis(199) };
    let error = Monitor::new(config, provider).unwrap_err();
    assert_eq!(error.to_string(), "an interval of 199ms is too short: at least 200ms is allowed");
}

#[tokio::test(start_paused = true)]
async fn a_monitor_starts_once_stops_and_goes_on() {
    let (reads, provider) = counting();
    let monitor = Monitor::new(Config::DEFAULT, provider).unwrap();
    assert!(monitor.current().is_none() && !monitor.is_running());
    assert!(!monitor.stop().await);

    let mut samples = monitor.subscribe();
    assert!(monitor.start() && !monitor.start() && monitor.is_running());
    samples.changed().await.unwrap();
    assert_eq!(monitor.current().unwrap().cpu_permille, None);
    let began = tokio::time::Instant::now();
    for (n, waited) in [(2, 200), (3, 5_200), (4, 10_200)] {
        samples.changed().await.unwrap();
        assert_eq!(monitor.current().unwrap().cpu_permille, Some(n));
        assert_eq!(began.elapsed().as_millis(), waited);
    }
    assert!(monitor.stop().await && !monitor.is_running());
    let read = reads.load(Ordering::SeqCst);
    tokio::time::advance(StdDuration::from_secs(60)).await;
    assert_eq!(reads.load(Ordering::SeqCst), read);
    assert_eq!(monitor.current().unwrap().cpu_permille, Some(read), "the last sample stays");

    assert!(monitor.start());
    samples.changed().await.unwrap();
    assert_eq!(monitor.current().unwrap().cpu_permille, Some(read + 1));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_costs_one_sample() {
    let mut reads = 0;
    let provider = move || {
        reads += 1;
        assert!(reads != 2, "the second reading fails");
        Sample { cpus: Some(reads), ..Sample::default() }
    };
    let monitor = Monitor::new(Config::DEFAULT, provider).unwrap();
    let mut samples = monitor.subscribe();
    monitor.start();
    samples.changed().await.unwrap();
    samples.changed().await.unwrap();
    assert_eq!((monitor.current().unwrap().cpus, monitor.failures()), (Some(3), 1));
}

#[test]
fn this_host_tells_what_it_is_doing() {
    let mut sampler = Sampler::new(Host::new());
    let sample = sampler.sample(Instant::ZERO);
    let memory = sample.memory.unwrap();
    assert!(memory.total > 0 && memory.used <= memory.total, "{memory:?}");
    assert!(sample.process.unwrap().memory > 0);
    assert!(sample.cpus.unwrap() > 0);
    assert_eq!(sample.cpu_permille, None);
    assert!(sample.taken_at.is_some());
    assert!(serde_json::to_string(&*sample).unwrap().contains("\"cpu_permille\":null"));
}
