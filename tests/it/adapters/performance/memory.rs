//! The memory of a process: the optimizer on figures of a test's own, the files of Linux as fixtures, and a process that
//! really runs short of it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use daur_core::performance::cache::{self, Cache};
use daur_core::performance::memory::shrinkers::{self, Full};
use daur_core::performance::memory::{self as machine, Level, Resize, Share, Shrink, Usage};
use daur_core::time::{Duration, Instant};
use daur_std::clock::ManualClock;
use daur_std::performance::memory::{
    Config, ConfigError, Error, Freed, Group, MemoryOptimizer, Pressure, Provider, SHRINKERS, Sample, Scope, Stall,
    Tree, init, memory_optimizer,
};
use proptest::prelude::*;

use Level::{Critical, Elevated, Normal};

fn used(used: u64) -> Sample {
    Sample { process: used, total: 1_000, available: 1_000 - used, ..Sample::default() }
}

/// An optimizer of figures that the test sets, and its clock.
struct Simulated {
    optimizer: MemoryOptimizer,
    used: Arc<AtomicU64>,
    clock: &'static ManualClock,
}

impl Simulated {
    fn new() -> Self {
        Self::with(Config::DEFAULT)
    }

    fn with(config: Config) -> Self {
        let (figure, clock) = (Arc::new(AtomicU64::new(0)), leaked(100));
        let told = Arc::clone(&figure);
        let optimizer = MemoryOptimizer::builder(config)
            .provider(move || Ok(used(told.load(Ordering::SeqCst))))
            .clock(clock)
            .trim(|| None)
            .build()
            .unwrap();
        Self { optimizer, used: figure, clock }
    }

    /// What a poll finds a second later, and who was asked.
    fn poll(&self, used: u64) -> (Level, String) {
        self.used.store(used, Ordering::SeqCst);
        self.clock.advance(Duration::from_secs(1));
        let polled = self.optimizer.poll();
        assert!(polled.error.is_none());
        (polled.level, polled.by.iter().map(|one| format!("{}{} ", one.name, one.keep.as_permille())).collect())
    }
}

fn leaked(secs: u64) -> &'static ManualClock {
    Box::leak(Box::new(ManualClock::new(Instant::from_secs(secs))))
}

/// Frees a byte each time.
fn freeing() -> Resize<impl Fn(Share) -> u64> {
    Resize(|_| 1)
}

mod optimizer {
    use super::*;

    #[test]
    fn rule_1_the_limit_of_which_the_least_is_left_is_judged() {
        let sample = Sample {
            process: 300,
            total: 1_000,
            available: 500,
            group: Some(Group { used: 100, limit: Some(200), tightest: Usage::new(120, 200) }),
            address_space: Some(Usage::new(700, 1_000)),
            ..Sample::default()
        };
        assert_eq!(sample.judged(None), (Scope::AddressSpace, Usage::new(700, 1_000)));
        assert_eq!(sample.judged(Some(400)), (Scope::Configured, Usage::new(300, 400)));
        let sample = Sample { address_space: None, ..sample };
        assert_eq!(sample.judged(None), (Scope::Group, Usage::new(120, 200)));
        let sample = Sample { group: None, ..sample };
        assert_eq!(sample.judged(None), (Scope::Machine, Usage::new(500, 1_000)));
    }

    #[test]
    fn usage_tells_what_is_judged() {
        let optimizer = Simulated::with(Config { limit: Some(500), ..Config::DEFAULT });
        optimizer.used.store(250, Ordering::SeqCst);
        let usage = optimizer.optimizer.usage().unwrap();
        assert_eq!((usage.total, usage.available, usage.used, usage.process), (500, 250, 250, 250));
        assert_eq!((usage.percent, usage.scope), (50.0, Scope::Configured));
    }

    #[test]
    fn rule_2_the_whole_way_up_and_down_and_what_shrank_grows_back() {
        let simulated = Simulated::new();
        let _dear = simulated.optimizer.register("dear", 9, freeing()).unwrap();
        let _cheap = simulated.optimizer.register("cheap", 0, freeing()).unwrap();
        let mut seen = vec![simulated.poll(799)];
        for used in [850, 890, 920] {
            seen.push(simulated.poll(used));
        }
        let none = String::new;
        assert_eq!(
            seen,
            [
                (Normal, none()),
                (Elevated, "cheap500 dear500 ".into()),
                (Elevated, none()),
                (Critical, "cheap100 dear100 ".into())
            ]
        );
        // It falls, with noise of half a band, and no level comes twice.
        let mut levels = vec![Critical];
        let mut grown = String::new();
        for second in 0..400 {
            let noise = if second % 2 == 0 { 0 } else { 40 };
            let (level, by) = simulated.poll(910_u64.saturating_sub(second * 10).max(100) + noise);
            if levels.last() != Some(&level) {
                levels.push(level);
            }
            if level == Normal {
                grown.push_str(&by);
            }
        }
        assert_eq!(levels, [Critical, Elevated, Normal]);
        assert!(grown.starts_with("dear200 cheap200 dear300 ") && grown.ends_with("dear1000 cheap1000 "), "{grown}");
        let shown = simulated.optimizer.snapshot();
        assert_eq!((shown.monitor.changes, shown.shrinkers.shrunk, shown.by.len()), (4, 0, 2));
    }

    #[test]
    fn rule_2_a_cache_of_the_core_is_one_who_gives_back() {
        let simulated = Simulated::new();
        let cache: Arc<Mutex<Cache<u32, u32, 64>>> = Arc::new(Mutex::new(Cache::new(cache::Config::DEFAULT)));
        for key in 0..64 {
            cache.lock().unwrap().insert(key, key, Instant::ZERO);
        }
        let held = Arc::clone(&cache);
        let shrink = Resize(move |keep: Share| held.lock().unwrap().resize_soft(keep.of(64)) as u64 * 20);
        let _registration = simulated.optimizer.register("cache", 0, shrink).unwrap();
        simulated.poll(930);
        assert_eq!(cache.lock().unwrap().len(), 6);
        for _ in 0..200 {
            simulated.poll(100);
        }
        assert_eq!(cache.lock().unwrap().capacity(), 64);
    }

    #[test]
    fn rule_3_a_reading_that_fails_leaves_the_level_asks_nobody_and_is_told() {
        type Told = Box<dyn FnOnce() -> Result<Sample, Error> + Send>;
        let told: Arc<Mutex<VecDeque<Told>>> = Arc::default();
        let script = Arc::clone(&told);
        let tell = move |told: Told| script.lock().unwrap().push_back(told);
        let clock = leaked(100);
        let optimizer = MemoryOptimizer::builder(Config::DEFAULT)
            .provider(move || {
                let next = told.lock().unwrap().pop_front().unwrap();
                next()
            })
            .clock(clock)
            .build()
            .unwrap();
        let _registration = optimizer.register("one", 0, freeing()).unwrap();
        tell(Box::new(|| Ok(used(850))));
        assert_eq!(optimizer.poll().level, Elevated);
        tell(Box::new(|| Err(Error::Other("no sensor".into()))));
        tell(Box::new(|| panic!("the provider's")));
        for expected in ["memory: no sensor", "memory: the provider panicked"] {
            clock.advance(Duration::from_secs(60));
            let polled = optimizer.poll();
            assert_eq!((polled.level, polled.by.len()), (Elevated, 0));
            assert_eq!(polled.error.unwrap().to_string(), expected);
        }
        let shown = optimizer.snapshot();
        assert_eq!((shown.monitor.failures, shown.monitor.readings), (2, 1));
        assert_eq!(shown.error.as_deref(), Some("memory: the provider panicked"));
        assert_eq!(shown.monitor.reading.unwrap().usage, Usage::new(850, 1_000), "the last that succeeded");
        tell(Box::new(|| panic!("the provider's")));
        assert!(matches!(optimizer.usage(), Err(Error::Panicked)));
    }

    #[test]
    fn rule_4_shrinkers_run_outside_of_every_lock_and_one_that_panics_frees_nothing() {
        let simulated = Simulated::new();
        let optimizer = simulated.optimizer.clone();
        let ours = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&ours);
        let nosy = Resize(move |_| {
            assert_eq!(optimizer.level(), Critical);
            assert_eq!(optimizer.snapshot().by.len(), 3);
            // Another comes while it is asked, and goes with it.
            *slot.lock().unwrap() = optimizer.register("late", 1, freeing()).ok();
            7
        });
        let _nosy = simulated.optimizer.register("nosy", 0, nosy).unwrap();
        let _faulty = simulated.optimizer.register("faulty", 2, Resize(|_| panic!("the shrinker's"))).unwrap();
        let _last = simulated.optimizer.register("last", 3, freeing()).unwrap();
        assert_eq!(simulated.poll(950), (Critical, "nosy100 late100 faulty100 last100 ".into()));
        let shown = simulated.optimizer.snapshot();
        assert_eq!((shown.panics, shown.shrinkers.freed), (1, 9));
        for _ in 0..9 {
            simulated.poll(950);
        }
        let (_, by) = simulated.poll(950);
        assert!(by.contains("faulty100"), "asked again like the others: {by}");
        assert!(ours.lock().unwrap().take().is_some());
    }

    #[test]
    fn rule_5_the_allocator_trims_after_somebody_was_asked_and_again_while_memory_is_short() {
        let (trims, figure) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
        let (counted, told, clock) = (Arc::clone(&trims), Arc::clone(&figure), leaked(100));
        let optimizer = MemoryOptimizer::builder(Config::DEFAULT)
            .provider(move || Ok(used(told.load(Ordering::SeqCst))))
            .clock(clock)
            .trim(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                Some(true)
            })
            .build()
            .unwrap();
        let poll = |used, seconds| {
            figure.store(used, Ordering::SeqCst);
            clock.advance(Duration::from_secs(seconds));
            let polled = optimizer.poll();
            (polled.trimmed, trims.load(Ordering::SeqCst))
        };
        assert_eq!(poll(100, 1), (None, 0));
        assert_eq!(poll(850, 1), (Some(true), 1), "what the program itself has freed");
        assert_eq!(poll(850, 9), (None, 1));
        assert_eq!(poll(850, 1), (Some(true), 2));
        let registration = optimizer.register("one", 0, freeing()).unwrap();
        assert_eq!(poll(850, 1), (Some(true), 3), "after somebody was asked");
        drop(registration);
        assert_eq!(poll(100, 20), (None, 3), "enough is free");
        assert_eq!(optimizer.snapshot().trims, 3);
    }

    #[test]
    fn rule_6_optimize_asks_all_and_tells_what_was_measured_beside_what_they_say() {
        let (simulated, figure) = (Simulated::new(), 500);
        simulated.used.store(figure, Ordering::SeqCst);
        let used = Arc::clone(&simulated.used);
        let honest = Resize(move |keep: Share| {
            used.fetch_sub(100, Ordering::SeqCst);
            assert_eq!(keep, Share::permille(500));
            100
        });
        let _honest = simulated.optimizer.register("honest", 1, honest).unwrap();
        let _boaster = simulated.optimizer.register("boaster", 0, Resize(|_| u64::MAX)).unwrap();
        let freed = simulated.optimizer.optimize();
        assert_eq!(
            (freed.before, freed.after, freed.measured(), freed.trimmed),
            (Some(500), Some(400), Some(100), None)
        );
        let by: Vec<_> = freed.by.iter().map(|one| (one.name, one.freed)).collect();
        assert_eq!(by, [("boaster", u64::MAX), ("honest", 100)]);
        assert_eq!(freed.claimed(), u64::MAX);
        assert_eq!(simulated.optimizer.level(), Normal);
        for _ in 0..200 {
            simulated.poll(100);
        }
        assert_eq!(simulated.optimizer.snapshot().shrinkers.shrunk, 0, "and they grow back");
    }

    #[test]
    fn rule_6_while_critical_optimize_asks_for_what_critical_allows_and_without_figures_too() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let fails = Arc::new(AtomicU64::new(0));
        let failing = Arc::clone(&fails);
        let provider =
            move || if failing.load(Ordering::SeqCst) == 0 { Ok(used(950)) } else { Err(Error::Unsupported) };
        let optimizer = MemoryOptimizer::builder(Config::DEFAULT).provider(provider).build().unwrap();
        optimizer.poll();
        let log = Arc::clone(&asked);
        let shrink = Resize(move |keep: Share| {
            log.lock().unwrap().push(keep.as_permille());
            0
        });
        optimizer.register("one", 0, shrink).unwrap().keep();
        fails.store(1, Ordering::SeqCst);
        let freed = optimizer.optimize();
        assert_eq!((freed.before, freed.after, freed.measured()), (None, None, None));
        assert_eq!(*asked.lock().unwrap(), [100]);
    }

    #[test]
    fn rule_7_a_dropped_registration_is_asked_no_more_and_a_full_table_gives_back() {
        let simulated = Simulated::new();
        let mut all: Vec<_> =
            (0..SHRINKERS).map(|_| simulated.optimizer.register("one", 0, freeing()).unwrap()).collect();
        let Err(Full(shrinker)) = simulated.optimizer.register("more", 0, freeing()) else { panic!("no limit") };
        assert_eq!(shrinker.shrink(Share::NONE), 1);
        all.truncate(2);
        let _another = simulated.optimizer.register("more", 0, shrinker).unwrap();
        assert_eq!(simulated.poll(950).1, "one100 one100 more100 ");
        // One that outlives the optimizer.
        let optimizer = Simulated::new().optimizer;
        let left = optimizer.register("one", 0, freeing()).unwrap();
        drop(optimizer);
        drop(left);
    }

    #[test]
    fn rule_8_called_by_a_shrinker_poll_and_optimize_do_nothing() {
        let simulated = Simulated::new();
        let optimizer = simulated.optimizer.clone();
        let shrink = Resize(move |_| {
            assert_eq!(optimizer.optimize(), Freed::default());
            assert!(optimizer.poll().by.is_empty());
            3
        });
        let _registration = simulated.optimizer.register("one", 0, shrink).unwrap();
        assert_eq!(simulated.optimizer.optimize().claimed(), 3);
        assert_eq!(simulated.optimizer.snapshot().monitor.readings, 0);
        assert_eq!(simulated.optimizer.snapshot().panics, 0);
    }

    #[test]
    fn many_threads_that_optimize_ask_each_shrinker_in_turn() {
        let simulated = Simulated::new();
        let (inside, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (nested, counted) = (Arc::clone(&inside), Arc::clone(&calls));
        let shrink = Resize(move |_| {
            assert_eq!(nested.fetch_add(1, Ordering::SeqCst), 0, "two at the same time");
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::yield_now();
            nested.fetch_sub(1, Ordering::SeqCst);
            1
        });
        let _registration = simulated.optimizer.register("one", 0, shrink).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        assert_eq!(simulated.optimizer.optimize().claimed(), 1);
                    }
                });
            }
        });
        assert_eq!((calls.load(Ordering::SeqCst), simulated.optimizer.snapshot().panics), (1_600, 0));
    }

    #[test]
    fn an_invalid_config_is_refused() {
        let refused = |config| MemoryOptimizer::new(config).unwrap_err();
        let config = Config::DEFAULT;
        let monitor = machine::Config { interval: Duration::ZERO, ..config.monitor };
        assert_eq!(refused(Config { monitor, ..config }), ConfigError::Monitor(machine::ConfigError::NoInterval));
        let steps = shrinkers::Config { step: Share::NONE, ..config.shrinkers };
        assert_eq!(
            refused(Config { shrinkers: steps, ..config }),
            ConfigError::Shrinkers(shrinkers::ConfigError::NoStep)
        );
        assert_eq!(refused(Config { limit: Some(0), ..config }), ConfigError::NoLimit);
    }
}

mod watching {
    use super::*;
    use std::sync::mpsc::channel;

    /// An optimizer whose provider says each time that it was asked.
    fn telling(clock: &'static ManualClock) -> (MemoryOptimizer, std::sync::mpsc::Receiver<()>) {
        let (tell, told) = channel();
        let interval = Duration::from_millis(1);
        let monitor = machine::Config { interval, interval_short: interval, ..machine::Config::DEFAULT };
        let provider = move || {
            // The test may have heard enough.
            let _ = tell.send(());
            Ok(used(950))
        };
        let builder = MemoryOptimizer::builder(Config { monitor, ..Config::DEFAULT }).provider(provider);
        (builder.clock(clock).build().unwrap(), told)
    }

    #[test]
    fn a_thread_polls_until_it_is_stopped() {
        let (optimizer, told) = telling(leaked(1));
        let _registration = optimizer.register("one", 0, freeing()).unwrap();
        let watcher = optimizer.watch().unwrap();
        for _ in 0..5 {
            told.recv().unwrap();
        }
        watcher.stop();
        assert_eq!(optimizer.level(), Critical);
        let readings = optimizer.snapshot().monitor.readings;
        assert!(readings >= 5 && optimizer.snapshot().shrinkers.freed == 1);
        drop(optimizer);
        assert!(told.iter().count() >= (readings as usize).saturating_sub(5), "the thread is gone, and its provider");
    }

    #[test]
    fn a_shrinker_may_drop_its_own_watcher() {
        let (optimizer, _told) = telling(leaked(1));
        let slot = Arc::new(Mutex::new(None));
        let own = Arc::clone(&slot);
        let (tell, gone) = channel();
        let shrink = Resize(move |_| {
            if let Some(watcher) = own.lock().unwrap().take() {
                drop(watcher);
                tell.send(()).unwrap();
            }
            1
        });
        // Registered once the watcher is in its place.
        *slot.lock().unwrap() = Some(optimizer.watch().unwrap());
        let _registration = optimizer.register("one", 0, shrink).unwrap();
        gone.recv().unwrap();
        drop((slot, optimizer));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_polls_when_it_is_due_and_not_once_it_is_dropped() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let figure = Arc::new(AtomicU64::new(100));
        let told = Arc::clone(&figure);
        let optimizer = MemoryOptimizer::builder(Config::DEFAULT)
            .provider(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(used(told.load(Ordering::SeqCst)))
            })
            .clock(daur_std::clock::TokioClock)
            .build()
            .unwrap();
        let watching = tokio::spawn(optimizer.keep_watching());
        let after = |seconds| tokio::time::sleep(std::time::Duration::from_secs(seconds));
        after(51).await;
        let first = asked.load(Ordering::SeqCst);
        assert!((9..=12).contains(&first), "every 5 s: {first}");
        figure.store(950, Ordering::SeqCst);
        after(50).await;
        let second = asked.load(Ordering::SeqCst) - first;
        assert!((40..=50).contains(&second), "every second while it is short: {second}");
        assert_eq!(optimizer.level(), Critical);
        watching.abort();
        assert!(watching.await.unwrap_err().is_cancelled());
        let before = asked.load(Ordering::SeqCst);
        after(600).await;
        assert!(asked.load(Ordering::SeqCst) <= before + 1, "at most the one that was under way");
    }
}

/// A tree of files as Linux writes them.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("memory-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        let files = Self(dir);
        files.write("proc/self/statm", "2000 1000 300 5 0 123 0\n");
        files.write("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n");
        files
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let file = self.0.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    fn tree(&self) -> Tree {
        Tree::at(&self.0)
    }

    fn sample(&self) -> Sample {
        self.tree().sample().unwrap()
    }

    fn group(&self) -> Group {
        let sample = self.sample();
        assert_eq!(sample.unread, 0);
        sample.group.unwrap()
    }

    /// Version 2, mounted whole.
    fn v2(&self, group: &str) -> &Self {
        self.write("proc/self/cgroup", format!("0::{group}\n"));
        self.write("proc/self/mountinfo", "24 30 0:22 / /proc rw - proc proc rw\n31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

mod tree {
    use super::*;

    #[test]
    fn rule_1_two_files_are_enough_and_without_them_the_error_names_the_file() {
        let files = Files::new();
        let sample = files.sample();
        let expected =
            Sample { process: 4_096_000, total: 16_384_000_000, available: 8_192_000_000, ..Sample::default() };
        assert_eq!(sample, expected);
        for (name, text) in [("proc/self/statm", "1"), ("proc/self/statm", "x y"), ("proc/meminfo", "MemTotal: 1 MB")] {
            let files = Files::new();
            files.write(name, text);
            let Err(Error::Malformed { file }) = files.tree().sample() else { panic!("{text} was understood") };
            assert_eq!(file, files.0.join(name));
        }
        fs::remove_file(files.0.join("proc/meminfo")).unwrap();
        let Err(Error::Read { file, source }) = files.tree().sample() else { panic!("it was read") };
        assert_eq!((file, source.kind()), (files.0.join("proc/meminfo"), std::io::ErrorKind::NotFound));
    }

    #[test]
    fn rule_3_groups_that_could_not_be_looked_for_are_looked_for_again() {
        let files = Files::new();
        files.v2("/a").write("sys/fs/cgroup/a/memory.current", "1000\n");
        let mounts = files.0.join("proc/self/mountinfo");
        let table = fs::read(&mounts).unwrap();
        fs::remove_file(&mounts).unwrap();
        let tree = files.tree();
        assert_eq!(tree.sample().unwrap().group, None);
        files.write("proc/self/mountinfo", table);
        assert_eq!(tree.sample().unwrap().group.map(|group| group.used), Some(1_000));
    }

    #[test]
    fn swap_and_the_proportional_size_are_told_where_they_are() {
        let files = Files::new();
        files.write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n");
        files.write(
            "proc/self/smaps_rollup",
            "55-7f ---p 0 0:0 0 [rollup]\nRss: 1760 kB\nPss:                 347 kB\nPss_Dirty: 1 kB\n",
        );
        assert_eq!(files.sample().swap, Some(Usage::new(6 * 1_024, 10 * 1_024)));
        assert_eq!(files.tree().proportional().unwrap(), 347 * 1_024);
        assert!(matches!(Files::new().tree().proportional(), Err(Error::Read { .. })));
    }

    #[test]
    fn rule_2_what_cannot_be_understood_is_left_out_and_counted() {
        let files = Files::new();
        files.v2("/a").write("sys/fs/cgroup/a/memory.max", "99999999999999999999999\n");
        files.write("sys/fs/cgroup/a/memory.high", "-5\n").write("sys/fs/cgroup/a/memory.current", "many\n");
        files
            .write("sys/fs/cgroup/a/memory.stat", [0xFF, 0xFE, b'\n'])
            .write("proc/pressure/memory", "some avg10=nan\n");
        fs::create_dir_all(files.0.join("sys/fs/cgroup/a/memory.pressure")).unwrap();
        let sample = files.sample();
        assert_eq!((sample.group, sample.pressure, sample.unread), (None, None, 6));
    }

    #[test]
    fn rule_3_version_1_counts_if_it_has_the_memory_controller() {
        let files = Files::new();
        files.write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/api/7\n0::/\n");
        files.write("proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let group = "sys/fs/cgroup/memory/api/7";
        files.write(&format!("{group}/memory.limit_in_bytes"), "9223372036854771712\n");
        files.write(&format!("{group}/memory.usage_in_bytes"), "5000\n");
        files.write(
            &format!("{group}/memory.stat"),
            "inactive_file 7\nhierarchical_memory_limit 20000\ntotal_inactive_file 1000\n",
        );
        files.write("sys/fs/cgroup/memory/api/memory.limit_in_bytes", "20000\n");
        files.write("sys/fs/cgroup/memory/api/memory.usage_in_bytes", "15000\n");
        let found = files.group();
        assert_eq!(found, Group { used: 4_000, limit: Some(20_000), tightest: Usage::new(15_000, 20_000) });
        assert_eq!(files.sample().pressure, None);
    }

    #[test]
    fn rule_3_a_container_sees_its_group_where_it_is_mounted() {
        // Without a namespace of its own, Docker mounts the group alone, and tells the path on the host.
        let files = Files::new();
        files.write("proc/self/cgroup", "0::/docker/ab\n");
        files.write("proc/self/mountinfo", "31 23 0:28 /docker/ab /sys/fs/my\\040groups ro - cgroup2 cgroup2 rw\n");
        files.write("sys/fs/my groups/memory.max", "1000\n").write("sys/fs/my groups/memory.current", "900\n");
        assert_eq!(files.group(), Group { used: 900, limit: Some(1_000), tightest: Usage::new(900, 1_000) });
        // A group below that.
        files.write("proc/self/cgroup", "0::/docker/ab/inner\n").write("sys/fs/my groups/inner/memory.current", "50\n");
        assert_eq!(files.group().used, 50);
        // A namespace tells of a group outside of it like this; and one whose name only begins like the mounted one's.
        for outside in ["/../../other", "/docker/abc", "/docker"] {
            files.write("proc/self/cgroup", format!("0::{outside}\n"));
            assert_eq!(files.group().used, 900, "{outside}");
        }
    }

    #[test]
    fn rule_4_every_group_up_to_the_mounted_one_counts() {
        let files = Files::new();
        files.v2("/system/app/worker");
        let write = |dir: &str, name: &str, text: &str| {
            files.write(&format!("sys/fs/cgroup/{dir}/memory.{name}"), text);
        };
        write("system/app/worker", "max", "max\n");
        write("system/app/worker", "current", "700\n");
        write("system/app/worker", "stat", "anon 5\ninactive_file 300\nactive_file 200\n");
        write("system/app", "max", "5000\n");
        write("system/app", "high", "4000\n");
        write("system/app", "current", "3900\n");
        write("system/app", "stat", "inactive_file 400\n");
        write("system", "max", "3000\n");
        write("system", "high", "max\n");
        write("system", "current", "1000\n");
        let group = files.group();
        assert_eq!(group, Group { used: 400, limit: Some(3_000), tightest: Usage::new(3_500, 4_000) });
        assert_eq!(files.sample().judged(None), (Scope::Group, Usage::new(3_500, 4_000)));
        // No limit is one above the machine's memory.
        write("system/app", "high", "16384000000\n");
        write("system/app", "max", "18446744073709551615\n");
        assert_eq!(files.group().tightest, Usage::new(1_000, 3_000));
        // One of 0 is.
        write("system", "max", "0\n");
        assert_eq!(files.group().limit, Some(0));
        assert!(files.group().tightest.reaches(1_000));
    }

    #[test]
    fn rule_5_pressure_is_the_groups_own_or_the_machines() {
        let files = Files::new();
        let text = |some, full| {
            format!(
                "some avg10={some} avg60=0.00 avg300=0.00 total=2500\nfull avg10={full} avg60=0.00 avg300=0.00 total=7\n"
            )
        };
        files.v2("/a").write("proc/pressure/memory", text("99.99", "50.00"));
        let micros = Duration::from_micros;
        let all = Pressure {
            some: Stall { avg10: 999, total: micros(2_500) },
            full: Some(Stall { avg10: 500, total: micros(7) }),
        };
        assert_eq!(files.sample().pressure, Some(all));
        files.write("sys/fs/cgroup/a/memory.pressure", text("12.34", "0.00"));
        let sample = files.sample();
        assert_eq!(sample.pressure.unwrap().some.avg10, 123);
        assert_eq!(sample.reading(None).pressure, Some(123));
        files.write("sys/fs/cgroup/a/memory.pressure", "some avg10=1.50 total=3\n");
        assert_eq!(files.sample().pressure, Some(Pressure { some: Stall { avg10: 15, total: micros(3) }, full: None }));
    }

    #[test]
    fn a_process_that_moves_is_found_again() {
        let files = Files::new();
        files.v2("/a").write("sys/fs/cgroup/a/memory.current", "1\n").write("sys/fs/cgroup/b/memory.current", "2\n");
        let tree = files.tree();
        assert_eq!(tree.sample().unwrap().group.unwrap().used, 1);
        files.write("proc/self/cgroup", "0::/b\n");
        assert_eq!(tree.sample().unwrap().group.unwrap().used, 2);
        fs::remove_file(files.0.join("proc/self/cgroup")).unwrap();
        assert_eq!(tree.sample().unwrap().group, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the files say, reading them ends, and what was read keeps its promises.
        #[test]
        fn hostile_files_never_panic(
            texts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..200),
                    "[ -~\\n:/\\\\.]{0,200}".prop_map(String::into_bytes),
                    "(some|full|MemTotal:|MemAvailable:|max|0::/|4:memory:/|inactive_file) ?[0-9a-z=.]{0,30}( kB)?\\n?"
                        .prop_map(String::into_bytes),
                    "(1 2 (/[a-z.]{0,3}){0,4} (/[a-z\\\\0-9]{0,5}){0,3} rw - cgroup2? x (rw|memory)\\n){0,3}"
                        .prop_map(String::into_bytes),
                ],
                8,
            ),
        ) {
            let files = Files::new();
            files.v2("/a");
            let names = [
                "proc/self/cgroup", "proc/self/mountinfo", "proc/meminfo", "proc/self/statm", "proc/pressure/memory",
                "sys/fs/cgroup/a/memory.max", "sys/fs/cgroup/a/memory.stat", "sys/fs/cgroup/a/memory.current",
            ];
            for (name, text) in names.into_iter().zip(texts).rev() {
                let kept = fs::read(files.0.join(name)).ok();
                files.write(name, &text);
                let read = files.tree().sample();
                let _ = files.tree().proportional();
                if let Ok(sample) = read {
                    prop_assert!(sample.available <= sample.total);
                    prop_assert!(sample.pressure.is_none_or(|pressure| pressure.some.avg10 <= 1_000));
                    prop_assert!(sample.judged(Some(1)).1.limit > 0);
                } else if let Some(kept) = kept {
                    // So that the others are reached too.
                    files.write(name, kept);
                }
            }
        }
    }
}

#[test]
fn there_is_one_optimizer_and_its_snapshot_is_json() {
    let optimizer = memory_optimizer();
    assert!(init(MemoryOptimizer::new(Config::DEFAULT).unwrap()).is_err(), "there is one already");
    let registration = optimizer.register("json", 3, freeing()).unwrap();
    let shown = serde_json::to_value(optimizer.snapshot()).unwrap();
    assert_eq!((&shown["monitor"]["level"], &shown["error"]), (&"Normal".into(), &serde_json::Value::Null));
    assert!(shown["by"].as_array().unwrap().iter().any(|one| one["name"] == "json" && one["keep"] == 1_000));
    drop(registration);
    let usage = serde_json::to_value(optimizer.usage().unwrap()).unwrap();
    assert!(usage["percent"].is_f64() && usage["total"].is_u64() && usage["scope"].is_string());
}

#[test]
fn this_machine_tells_its_memory() {
    let optimizer = MemoryOptimizer::new(Config::DEFAULT).unwrap();
    let sample = optimizer.sample().unwrap();
    assert!(sample.process > 0 && sample.process < sample.total && sample.available > 0);
    let usage = optimizer.usage().unwrap();
    assert!(usage.percent > 0.0 && usage.used + usage.available >= usage.total);
    if cfg!(target_os = "linux") {
        assert!(optimizer.proportional().unwrap() > 0);
    }
}

#[cfg(target_os = "linux")]
mod process {
    use super::*;
    use std::process::Command;

    /// What a process says that uses much memory.
    fn said(mode: &str) -> Vec<Vec<String>> {
        let program = env!("CARGO_BIN_EXE_daur-test-memory");
        let output = if mode == "address-space" {
            // 2 GB of addresses, of which next to nothing becomes resident.
            Command::new("sh").args(["-c", "ulimit -v 2000000 && exec \"$0\" address-space", program]).output()
        } else {
            Command::new(program).arg(mode).output()
        };
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split(' ').map(ToString::to_string).collect()).collect()
    }

    fn figure(lines: &[Vec<String>], line: usize, word: usize) -> u64 {
        lines[line][word].parse().unwrap()
    }

    fn goes_up_and_down(mode: &str, limit: u64, cache: u64) {
        let lines = said(mode);
        let changes: Vec<_> = lines.iter().map(|line| (line[0].as_str(), line[1].as_str())).collect();
        assert_eq!(
            changes,
            [
                ("normal", "elevated"),
                ("elevated", "critical"),
                ("critical", "elevated"),
                ("elevated", "normal"),
                ("end", "normal")
            ]
        );
        let thousandths = |line| {
            assert_eq!(figure(&lines, line, 3), limit);
            figure(&lines, line, 2) * 1_000 / limit
        };
        assert!(thousandths(0) >= 800 && thousandths(1) >= 920 && thousandths(2) < 850 && thousandths(3) < 700);
        assert_eq!((figure(&lines, 4, 2), figure(&lines, 4, 3)), (0, cache), "and the cache is as large as before");
    }

    #[test]
    fn one_that_uses_much_under_a_small_limit_goes_elevated_critical_and_back_without_flapping() {
        goes_up_and_down("levels", 200 << 20, 60 << 20);
    }

    #[test]
    fn one_whose_address_space_is_limited_does_too() {
        goes_up_and_down("address-space", 2_000_000 * 1_024, 600 << 20);
    }

    /// Whether `a` lies within a fifth of `b`.
    fn agrees(a: u64, b: u64) -> bool {
        a.abs_diff(b) * 5 <= b
    }

    /// The processes that hold 100 MiB, one after the other: all at once they might not fit.
    static HUNGRY: OnceLock<Mutex<()>> = OnceLock::new();

    #[test]
    fn rss_falls_by_what_optimize_reports_and_by_what_the_cache_says() {
        let _turn = HUNGRY.get_or_init(Mutex::default).lock();
        let lines = said("blocks");
        let (seen, measured, claimed) = (figure(&lines, 0, 0), figure(&lines, 0, 1), figure(&lines, 0, 2));
        assert!(claimed >= 50 << 20, "half of 100 MiB: {claimed}");
        assert!(agrees(measured, seen), "{measured} reported, {seen} seen");
        assert!(agrees(claimed, seen), "{claimed} claimed, {seen} seen");
    }

    #[test]
    fn of_pieces_between_which_others_stay_only_trimming_gives_the_memory_back_and_optimize_does_not_lie() {
        let _turn = HUNGRY.get_or_init(Mutex::default).lock();
        let lines = said("pieces");
        let (seen, measured, claimed) = (figure(&lines, 0, 0), figure(&lines, 0, 1), figure(&lines, 0, 2));
        assert!(claimed >= 50 << 20);
        assert!(measured.abs_diff(seen) <= 1 << 20, "{measured} reported, {seen} seen");
        assert_eq!(lines[1].join(" "), "trimmed None");
        if cfg!(target_env = "gnu") {
            assert!(measured < claimed / 4, "glibc keeps what is not at the top of its heap: {measured}");
            assert!(figure(&lines, 2, 0) >= claimed * 4 / 5, "until it is asked to trim");
            assert_eq!(lines[2][2], "true");
        }
    }
}
