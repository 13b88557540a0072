use super::*;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use daur_std::core::time::Duration as Length;

const ALL: u64 = 1_000 << 20;

/// A server that is told how much memory is used, in per cent, and looks often.
fn told() -> (Host, Arc<AtomicU64>) {
    let percent = Arc::new(AtomicU64::new(10));
    let figures = Arc::clone(&percent);
    let host = Host::start_with(|config| {
        let memory = &mut config.memory;
        memory.limit = Some(ALL);
        memory.figures = Figures::of(move || {
            let process = ALL / 100 * figures.load(Ordering::Relaxed);
            Ok(Sample { process, total: 100 * ALL, available: 99 * ALL, ..Sample::default() })
        });
        let short = Length::from_millis(10);
        (memory.period, memory.dwell, memory.calm, memory.pace) = (short, short, short, short);
        config.cache.entries = 20;
        config.command.fallback.commands = 20;
    });
    (host, percent)
}

impl Host {
    fn fill(&self, token: &str) {
        for n in 0..20 {
            assert_eq!(self.command(token, &format!("echo {n}")).status, 200);
        }
    }

    /// The level, results in memory, how many may be, last good outputs.
    fn held(&self, token: &str) -> (String, u64, u64, u64) {
        let status = self.get(token, "/api/status").json();
        let (memory, number) = (&status["cache"]["memory"], |value: &Value| value.as_u64().unwrap());
        let level = status["memory"]["level"].as_str().unwrap().to_owned();
        (level, number(&memory["entries"]), number(&memory["capacity"]), number(&status["fallbacks"]["commands"]))
    }
}

#[test]
fn when_memory_is_short_the_caches_shrink_and_when_there_is_room_they_grow_back() {
    let (host, percent) = told();
    let ada = host.token("ada");
    host.fill(&ada);
    assert_eq!(host.held(&ada), ("normal".into(), 20, 20, 20));

    percent.store(85, Ordering::Relaxed);
    assert!(eventually(|| host.held(&ada) == ("elevated".into(), 10, 10, 10)), "{:?}", host.held(&ada));
    let status = host.get(&ada, "/api/status").json();
    assert!(status["attention"].to_string().contains("Memory is short, 85 % used: caches hold less"));
    assert_eq!((&status["memory"]["used"], &status["memory"]["limit"]), (&json!(ALL / 100 * 85), &json!(ALL)));
    // What does not fit into memory is in the file.
    host.fill(&ada);
    let (level, entries, capacity, _) = host.held(&ada);
    assert_eq!((level.as_str(), entries, capacity), ("elevated", 10, 10));
    assert_eq!(host.command(&ada, "echo 0").json()["cached"], true);

    percent.store(97, Ordering::Relaxed);
    assert!(eventually(|| host.held(&ada) == ("critical".into(), 2, 2, 2)), "{:?}", host.held(&ada));
    let status = host.get(&ada, "/api/status").json();
    let told = json!({ "level": "red", "text": "Memory is about to run out, 97 % used" });
    assert!(status["attention"].as_array().unwrap().contains(&told), "{}", status["attention"]);
    let freed = |name: &str| {
        let all = status["memory"]["shrinkers"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()["freed"].as_u64().unwrap()
    };
    // Each by its key, of 32 bytes, and what it said.
    assert!(freed("results") > 18 * 50 && freed("last_good") > 18 * 33, "{}", status["memory"]);
    let metrics = host.call("GET", "/metrics", &[], None).text;
    assert!(metrics.contains("daur_memory_level{level=\"critical\"} 1\n"), "{metrics}");
    assert!(metrics.contains("daur_cache_capacity 2\n"), "{metrics}");
    assert!(metrics.contains(&format!("daur_memory_freed_bytes_total{{by=\"results\"}} {}\n", freed("results"))));

    percent.store(10, Ordering::Relaxed);
    assert!(eventually(|| host.held(&ada).0 == "normal" && host.held(&ada).2 == 20), "{:?}", host.held(&ada));
    host.fill(&ada);
    assert_eq!(host.held(&ada).1, 20);
    let status = host.get(&ada, "/api/status").json();
    assert!(!status["attention"].to_string().contains("Memory"), "{}", status["attention"]);
}

#[test]
fn without_figures_of_its_own_it_reads_those_of_the_system() {
    let host = Host::start_with(|config| {
        config.memory = daur_host::memory::Config { period: Length::from_millis(10), ..Default::default() };
    });
    let ada = host.token("ada");
    let memory = || host.get(&ada, "/api/status").json()["memory"].clone();
    assert!(eventually(|| memory()["used"].as_u64().is_some_and(|used| used > 1 << 20)), "{}", memory());
    assert_eq!(memory()["failures"], 0);
}
