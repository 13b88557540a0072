use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration as StdDuration;

use daur_core::monitoring::system as machine;
use daur_core::time::{Duration, Instant};
use daur_std::monitoring::system::{
    Change, Config, Disk, Field, Host, Level, Memory, Monitor, Network, Process, Provider, SHORTEST_INTERVAL, Sample,
    Sampler, Temperature,
};
use daur_std::performance::memory::Tree;
use tokio::sync::broadcast::error::TryRecvError;

/// A system whose CPU figure is the number of the reading.
fn counting() -> (Arc<AtomicU32>, impl Provider) {
    let reads = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&reads);
    let provider = move || {
        let n = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let process = Some(Process { cpu_permille: Some(n), memory: 7, uptime_seconds: 1, ..Process::default() });
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

/// Panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::panic_any(Self);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_costs_one_sample() {
    let mut reads = 0;
    let provider = move || {
        reads += 1;
        assert!(reads != 2, "the second reading fails");
        if reads == 4 {
            std::panic::panic_any(Bomb);
        }
        Sample { cpus: Some(reads), ..Sample::default() }
    };
    let monitor = Monitor::new(Config::DEFAULT, provider).unwrap();
    let mut samples = monitor.subscribe();
    monitor.start();
    samples.changed().await.unwrap();
    samples.changed().await.unwrap();
    assert_eq!((monitor.current().unwrap().cpus, monitor.failures()), (Some(3), 1));
    // Nor does it end with one that throws what panics as it is dropped.
    samples.changed().await.unwrap();
    assert_eq!((monitor.current().unwrap().cpus, monitor.failures()), (Some(5), 2));
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

/// Tells these samples one after the other, and the last one from then on.
fn scripted(samples: Vec<Sample>) -> impl Provider {
    let mut next = 0;
    move || {
        let sample = samples[next].clone();
        next = (next + 1).min(samples.len() - 1);
        sample
    }
}

fn network(name: &str, received: u64, transmitted: u64) -> Network {
    Network { name: name.to_string(), received, transmitted, ..Network::default() }
}

fn networks(networks: &[(&str, u64, u64)]) -> Sample {
    let networks =
        networks.iter().map(|(name, received, transmitted)| network(name, *received, *transmitted)).collect();
    Sample { networks, ..Sample::default() }
}

#[test]
fn rule_3_rates_are_steps_of_totals_and_a_new_interface_tells_none() {
    let mut sampler = Sampler::new(scripted(vec![
        networks(&[("eth0", 1_000, 10), ("lo", 5, 5)]),
        networks(&[("eth0", 3_000, 10), ("lo", 999, 999), ("wg0", 50, 50)]),
        networks(&[("eth0", 7, 20), ("wg0", u64::MAX, 50)]),
    ]));
    let rates = |sample: &Sample| -> Vec<_> {
        sample.networks.iter().map(|found| (found.received_per_second, found.transmitted_per_second)).collect()
    };
    let first = sampler.sample(Instant::from_millis(500));
    assert_eq!(rates(&first), [(None, None), (None, None)]);
    assert_eq!(first.figures().received_per_second, None);
    let second = sampler.sample(Instant::from_millis(1_000));
    assert_eq!(rates(&second), [(Some(4_000), Some(0)), (Some(1_988), Some(1_988)), (None, None)]);
    let figures = second.figures();
    assert_eq!((figures.received_per_second, figures.sent_per_second), (Some(4_000), Some(0)), "without loopback");
    let third = sampler.sample(Instant::from_millis(11_000));
    assert_eq!(rates(&third), [(None, Some(1)), (Some((u64::MAX - 50) / 10), Some(0))], "eth0 counts from 0 again");
}

fn disk(mount: &str, device: &str, total: u64, available: u64, written: Option<u64>) -> Disk {
    Disk { mount: mount.to_string(), device: device.to_string(), total, available, written, ..Disk::default() }
}

#[test]
fn of_disks_the_fullest_is_judged_that_can_be_written_to() {
    let image = Disk { is_read_only: true, ..disk("/snap/x", "/dev/loop0", 100, 0, None) };
    let odd = disk("/proc/x", "none", 0, 0, None);
    let disks =
        vec![disk("/", "/dev/sda1", 1_000, 400, Some(10)), disk("/home", "/dev/sdb1", 100, 20, Some(10)), image, odd];
    let more = vec![disk("/", "/dev/sda1", 1_000, 400, Some(510)), disk("/home", "/dev/sdc1", 100, 20, Some(9_999))];
    let mut sampler = Sampler::new(scripted(vec![
        Sample { disks, ..Sample::default() },
        Sample { disks: more, ..Sample::default() },
    ]));
    let figures = sampler.sample(Instant::ZERO).figures();
    assert_eq!((figures.disk_used, figures.disk_total), (Some(80), Some(100)));
    let second = sampler.sample(Instant::from_secs(5));
    assert_eq!(second.disks[0].written_per_second, Some(100));
    assert_eq!(second.disks[1].written_per_second, None, "another device is mounted there");
    assert_eq!(Sample::default().figures(), machine::Sample::EMPTY);
}

#[test]
fn one_number_of_each_figure_is_judged() {
    let sensor = |sensor: &str, mc| Temperature { sensor: sensor.to_string(), mc };
    let sample = Sample {
        cpu_permille: Some(70_000),
        memory: Some(Memory { total: 100, used: 93, limited: true }),
        load_permille: Some([1_500, 2, 3]),
        uptime_seconds: Some(60),
        temperatures: vec![sensor("a", -5_000), sensor("b", 41_500)],
        ..Sample::default()
    };
    let figures = sample.figures();
    assert_eq!((figures.cpu_permille, figures.load_permille), (Some(u16::MAX), Some(1_500)));
    assert_eq!((figures.memory_used, figures.memory_total), (Some(93), Some(100)));
    assert_eq!((figures.temperature_mc, figures.uptime), (Some(41_500), Some(Duration::from_secs(60))));
}

fn memory(used: u64) -> Sample {
    Sample { memory: Some(Memory { total: 1_000, used, limited: false }), ..Sample::default() }
}

#[tokio::test(start_paused = true)]
async fn rule_5_changes_of_level_are_told_once_and_do_not_flap() {
    let high: Vec<_> = [700, 850, 850, 850, 810, 790, 760, 850].map(memory).into();
    let low: Vec<_> = [950, 950, 950, 100, 100, 100, 100].map(memory).into();
    let provider = scripted(high.into_iter().chain(low).collect());
    let monitor = Monitor::new(Config::DEFAULT, provider).unwrap();
    let (mut samples, mut changes) = (monitor.subscribe(), monitor.changes());
    monitor.start();
    let mut levels = Vec::new();
    for _ in 0..15 {
        samples.changed().await.unwrap();
        // It is judged before it is told.
        levels.push(monitor.level());
    }
    let (n, e, c) = (Level::Normal, Level::Elevated, Level::Critical);
    assert_eq!(levels, [n, n, n, e, e, e, e, e, e, e, c, c, c, n, n]);
    let mut told = Vec::new();
    // The last one may just be on its way.
    tokio::task::yield_now().await;
    while let Ok(Change { field, from, to, value }) = changes.try_recv() {
        assert_eq!(field, Field::Memory);
        told.push((from, to, value));
    }
    assert_eq!(told, [(n, e, 850), (e, c, 950), (c, n, 100)]);
    assert!(matches!(changes.try_recv(), Err(TryRecvError::Empty)));
    assert_eq!((monitor.judged().samples, monitor.judged().changes), (15, 3));
}

#[tokio::test(start_paused = true)]
async fn thresholds_may_be_others_and_a_trend_is_told() {
    let mut used = 0;
    let provider = move || {
        used += 1;
        memory(used)
    };
    let memory = machine::Threshold { elevated: 3, critical: 1_000, hysteresis: 1 };
    let thresholds =
        machine::Config { memory, rise: Duration::ZERO, interval: Duration::ZERO, ..machine::Config::DEFAULT };
    let monitor = Monitor::new(Config::DEFAULT, provider).unwrap().judging(thresholds).unwrap();
    let mut samples = monitor.subscribe();
    monitor.start();
    for _ in 0..40 {
        samples.changed().await.unwrap();
    }
    assert_eq!(monitor.level(), Level::Elevated);
    // 1 each 5 s, and at the start once after 200 ms: the line through 1, 14, 26 and 38 at 0, 60.2, 120.2 and 180.2 s.
    let per_hour = monitor.judged().fields[Field::Memory as usize].per_hour.unwrap();
    assert!((735..=740).contains(&per_hour), "{per_hour}");
    let lasts = monitor.lasts(Field::Memory).unwrap().as_secs();
    assert!(lasts.abs_diff(960 * 3_600 / 737) < 30, "{lasts}");

    let nonsense = machine::Threshold { hysteresis: 0, ..memory };
    let error = Monitor::new(Config::DEFAULT, Sample::default)
        .unwrap()
        .judging(machine::Config { disk: nonsense, ..thresholds });
    assert_eq!(error.unwrap_err(), machine::ConfigError::Threshold(Field::Disk));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_leaves_the_level() {
    let mut reads = 0;
    let provider = move || {
        reads += 1;
        assert!(reads <= 3, "it is gone");
        memory(999)
    };
    let thresholds = machine::Config { rise: Duration::ZERO, ..machine::Config::DEFAULT };
    let monitor = Monitor::new(Config::DEFAULT, provider).unwrap().judging(thresholds).unwrap();
    monitor.start();
    // Time passes while the task waits, and at no other time.
    while monitor.failures() < 2 {
        tokio::time::sleep(StdDuration::from_secs(1)).await;
    }
    assert_eq!(monitor.level(), Level::Critical);
    let judged = monitor.judged();
    assert_eq!((judged.samples, u64::from(judged.failures) >= 2), (3, true));
    assert!(monitor.stop().await);
}

/// A container of 512 MiB on a machine of 16 GiB.
fn tree(files: &[(&str, &str)]) -> tempdir::Dir {
    let dir = tempdir::Dir::new();
    let always = [
        ("proc/self/statm", "1000 500 100 10 0 400 0\n"),
        (
            "proc/meminfo",
            "MemTotal: 16777216 kB\nMemFree: 100 kB\nMemAvailable: 8388608 kB\nSwapTotal: 1024 kB\nSwapFree: 24 kB\n",
        ),
    ];
    for (name, text) in always.iter().chain(files) {
        dir.write(name, text);
    }
    dir
}

mod tempdir {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    pub(super) struct Dir(PathBuf);

    impl Dir {
        pub(super) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("daur-system-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let dir = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        pub(super) fn write(&self, name: &str, text: &str) {
            let file = self.0.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }

        pub(super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What a host in that tree tells of memory.
fn told(tree: &tempdir::Dir) -> (Option<Memory>, Option<Memory>, Option<u32>) {
    let sample = Host::with_memory(Tree::at(tree.path())).read();
    (sample.memory, sample.swap, sample.memory_pressure_permille)
}

#[test]
fn a_containers_limit_counts_and_not_the_machines_memory() {
    const MIB: u64 = 1 << 20;
    let machine = tree(&[]);
    let (memory, swap, pressure) = told(&machine);
    assert_eq!(memory, Some(Memory { total: 16_384 * MIB, used: 8_192 * MIB, limited: false }));
    assert_eq!(swap, Some(Memory { total: MIB, used: 1_000 << 10, limited: false }));
    assert_eq!(pressure, None);

    // Version 2: what the kernel would take back from the page cache is not in use.
    let second = tree(&[
        ("proc/self/cgroup", "0::/box\n"),
        ("proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("sys/fs/cgroup/box/memory.max", "536870912\n"),
        ("sys/fs/cgroup/box/memory.high", "max\n"),
        ("sys/fs/cgroup/box/memory.current", "419430400\n"),
        ("sys/fs/cgroup/box/memory.stat", "anon 1\ninactive_file 104857600\n"),
        (
            "sys/fs/cgroup/box/memory.pressure",
            "some avg10=12.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
    ]);
    let (memory, _, pressure) = told(&second);
    assert_eq!(memory, Some(Memory { total: 512 * MIB, used: 300 * MIB, limited: true }));
    assert_eq!(pressure, Some(125));

    let first = tree(&[
        ("proc/self/cgroup", "4:memory:/box\n0::/\n"),
        ("proc/self/mountinfo", "31 20 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"),
        ("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "268435456\n"),
        ("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "209715200\n"),
        ("sys/fs/cgroup/memory/box/memory.stat", "hierarchical_memory_limit 268435456\ntotal_inactive_file 0\n"),
    ]);
    assert_eq!(told(&first).0, Some(Memory { total: 256 * MIB, used: 200 * MIB, limited: true }));

    // No limit at all.
    let free = tree(&[
        ("proc/self/cgroup", "0::/\n"),
        ("proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("sys/fs/cgroup/memory.current", "419430400\n"),
    ]);
    assert!(!told(&free).0.unwrap().limited);
}

#[test]
fn unknown_is_not_zero() {
    let nothing = tempdir::Dir::new();
    assert_eq!(told(&nothing), (None, None, None));
}

#[cfg(target_os = "linux")]
#[test]
fn this_process_tells_its_threads_and_files() {
    let before = Host::new().read().process.unwrap();
    assert!(before.threads.unwrap() >= 1 && before.open_files.unwrap() >= 1);
    assert!(before.open_files_limit.unwrap() >= before.open_files.unwrap());
    assert!(before.memory > 0);
}
