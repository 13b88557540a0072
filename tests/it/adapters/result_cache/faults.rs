//! A full disk, a lock, a deleted file, somebody who reads for long.

use super::*;

use std::process::Command;
use std::time::Instant;

use daur_core::rng::Rng;

/// A file system of its own with so many KiB, where this process may mount one.
struct Small(Folder);

impl Small {
    fn new(name: &str, kib: u32) -> Option<Self> {
        let folder = Folder::new(name);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(&folder.0)
            .output()
            .is_ok_and(|done| done.status.success());
        if !mounted {
            println!("skipped: this user may not mount a tmpfs");
        }
        mounted.then_some(Self(folder))
    }

    fn ballast(&self) -> PathBuf {
        self.0.0.join("ballast")
    }

    /// Takes what is left, to the last byte.
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        for size in [4_096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

fn value(i: u32) -> Vec<u8> {
    vec![i as u8; 3_000]
}

#[test]
fn rule_1_on_a_full_disk_look_ups_still_hit_and_with_room_it_goes_on() {
    let Some(disk) = Small::new("full-disk", 2_048) else { return };
    fs::write(disk.ballast(), vec![0; 600 << 10]).unwrap();
    let cache = disk.0.open();
    let mut kept = Vec::new();
    let mut skipped = 0;
    for i in 0..600_u32 {
        match cache.set(&i.to_le_bytes(), &value(i), TTL, NOW) {
            Stored::Yes => kept.push(i),
            Stored::Skipped => skipped += 1,
        }
    }
    assert!(kept.len() > 50 && skipped > 0, "{:?}", cache.snapshot());
    disk.fill();
    assert_eq!(cache.set(b"too much", &[1; 50_000], TTL, NOW), Stored::Skipped);
    let before = cache.snapshot();
    assert_eq!((before.skipped, before.quarantined, before.up), (skipped + 1, 0, true), "{before:?}");
    assert_eq!(before.stored, kept.len() as u64);
    for i in &kept {
        let found = cache.get(&i.to_le_bytes(), NOW);
        assert!(found.is_none_or(|found| found == value(*i)));
    }
    let hits = cache.snapshot().hits;
    assert_eq!(hits, before.stored - before.evicted, "all that it has: {:?}", cache.snapshot());
    fs::remove_file(disk.ballast()).unwrap();
    assert_eq!(cache.set(b"again", &[1; 50_000], TTL, NOW), Stored::Yes);
    assert!(cache.get(b"again", NOW).is_some());
    drop(cache);
    let cache = disk.0.open();
    assert!(cache.get(b"again", NOW).is_some());
    assert_eq!(disk.0.quarantined(), 0);
}

#[test]
fn a_start_on_a_full_disk_is_no_error_and_with_room_it_goes_on() {
    let Some(disk) = Small::new("full-start", 1_024) else { return };
    let cache = disk.0.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    drop(cache);
    disk.fill();
    let cache = disk.0.open();
    assert!(cache.get(b"k", NOW).is_none_or(|value| value == b"v"));
    assert_eq!(cache.set(b"new", &[1; 50_000], TTL, NOW), Stored::Skipped);
    fs::remove_file(disk.ballast()).unwrap();
    assert_eq!(cache.set(b"new", &[1; 50_000], TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"v"[..]), "what was there before");
    assert!(cache.snapshot().up);
}

#[test]
fn a_cap_set_lower_than_the_file_is_reached_step_by_step() {
    let folder = Folder::new("lower");
    let cache = folder.open();
    for i in 0..2_000_u32 {
        cache.set_later(&i.to_le_bytes(), &value(i), TTL, NOW);
    }
    drop(cache);
    let config = Config { max_bytes: 1 << 20, max_value_bytes: 64 << 10, ..Config::DEFAULT };
    let cache = ResultCache::open(folder.file(), config).unwrap();
    assert!(cache.snapshot().bytes > 6 << 20);
    for i in 0..10_u32 {
        assert_eq!(cache.set(&[9, i as u8], &value(i), TTL, NOW), Stored::Yes);
    }
    let shown = cache.snapshot();
    assert!(shown.bytes <= config.max_bytes, "{shown:?}");
    assert!(cache.get(&1_999_u32.to_le_bytes(), NOW).is_some() && cache.get(&0_u32.to_le_bytes(), NOW).is_none());
}

#[test]
fn rule_6_rows_that_are_asked_for_outlive_those_that_are_not() {
    let folder = Folder::new("asked");
    let config = Config { max_bytes: 512 << 10, max_value_bytes: 64 << 10, ..Config::DEFAULT };
    let cache = ResultCache::open(folder.file(), config).unwrap();
    for i in 0..10_u32 {
        assert_eq!(cache.set(&i.to_le_bytes(), &value(i), TTL, NOW), Stored::Yes);
    }
    for i in 10..400_u32 {
        assert_eq!(cache.set(&i.to_le_bytes(), &value(i), TTL, NOW), Stored::Yes);
        assert!(cache.get(&(i % 5).to_le_bytes(), NOW).is_some(), "row {} at {i}", i % 5);
    }
    assert!((5..10_u32).all(|i| cache.get(&i.to_le_bytes(), NOW).is_none()), "as old, and not asked for");
    assert!(cache.snapshot().evicted > 200);
}

#[test]
fn rule_9_a_lock_costs_one_busy_timeout_and_not_one_for_each_who_asks() {
    let folder = Folder::new("waits-once");
    let cache = folder.open();
    let mut other = Connection::open(folder.file()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let began = Instant::now();
    for i in 0..400_u32 {
        assert_eq!(cache.set(&i.to_le_bytes(), b"v", TTL, NOW), Stored::Skipped);
    }
    // If each had waited a quarter of a second, it would be 100.
    assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
    drop(lock);
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.snapshot().skipped, 400);
}

#[test]
fn a_file_locked_at_the_start_is_no_error_and_costs_look_ups_one_busy_timeout_too() {
    let folder = Folder::new("locked-start");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    drop(cache);
    let mut other = Connection::open(folder.file()).unwrap();
    // Without a log, a lock is one for readers too.
    other.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap();
    let began = Instant::now();
    let cache = folder.open();
    for i in 0..400_u32 {
        assert_eq!(cache.get(b"k", NOW), None);
        assert_eq!(cache.set(&i.to_le_bytes(), b"v", TTL, NOW), Stored::Skipped);
    }
    assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
    assert!(!cache.snapshot().up);
    drop(lock);
    drop(other);
    assert_eq!(cache.set(b"new", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"v"[..]));
    assert_eq!((cache.snapshot().quarantined, cache.snapshot().up), (0, true));
}

#[test]
fn rule_10_somebody_who_reads_for_long_does_not_make_the_log_grow_without_end() {
    let folder = Folder::new("long-reader");
    let cache = folder.open();
    assert_eq!(cache.set(b"first", b"v", TTL, NOW), Stored::Yes);
    let mut other = Connection::open(folder.file()).unwrap();
    let reader = other.transaction().unwrap();
    let count =
        |reader: &Connection| reader.query_row("SELECT count(*) FROM daur_results", [], |row| row.get::<_, i64>(0));
    assert_eq!(count(&reader).unwrap(), 1);
    let log = || fs::metadata(folder.0.join("results.db-wal")).unwrap().len();
    let (mut kept, mut skipped) = (0, 0);
    for i in 0..400_u32 {
        match cache.set(&i.to_le_bytes(), &vec![i as u8; 100_000], TTL, NOW) {
            Stored::Yes => kept += 1,
            Stored::Skipped => skipped += 1,
        }
        assert!(log() < 13 << 20, "{} after {i}", log());
    }
    assert!(kept > 50 && skipped > 200, "{kept} and {skipped}");
    assert_eq!(cache.get(b"first", NOW).as_deref(), Some(&b"v"[..]));
    assert_eq!(cache.get(&0_u32.to_le_bytes(), NOW).map(|value| value.len()), Some(100_000));
    assert_eq!(count(&reader).unwrap(), 1, "it still reads what it read");
    drop(reader);
    assert_eq!(cache.set(b"again", b"v", TTL, NOW), Stored::Yes);
    assert!(log() < 1 << 20, "{}", log());
    assert_eq!(cache.snapshot().skipped, skipped);
}

#[test]
fn what_is_acknowledged_while_somebody_deletes_the_file_again_and_again_is_in_the_last_one() {
    let folder = Folder::new("deleted-again");
    let cache = folder.open();
    let mut rng = Rng::new(5);
    for round in 0..20_u32 {
        let (begin, until) = (Barrier::new(2), 1 + rng.next_u32() % 20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(folder.0.join(format!("results.db{suffix}")));
                }
            });
            begin.wait();
            for i in 0..until {
                // It may be skipped, and it may be in a file that is deleted right after.
                let _ = cache.set(&i.to_le_bytes(), b"v", TTL, NOW);
            }
        });
        assert_eq!(cache.set(&round.to_le_bytes(), b"last", TTL, NOW), Stored::Yes);
        let reads = Connection::open(folder.file()).unwrap();
        let there: i64 = reads
            .query_row("SELECT count(*) FROM daur_results WHERE key = ?1", [round.to_le_bytes()], |row| row.get(0))
            .unwrap();
        assert_eq!(there, 1, "in the file that the path names, in round {round}");
        assert_eq!(cache.get(&round.to_le_bytes(), NOW).as_deref(), Some(&b"last"[..]));
    }
    assert_eq!(folder.quarantined(), 0);
}

#[cfg(unix)]
#[test]
fn a_cache_behind_a_link_is_kept_where_the_link_leads() {
    let folder = Folder::new("link");
    let real = folder.0.join("real");
    fs::create_dir_all(&real).unwrap();
    drop(ResultCache::open(real.join("results.db"), Config::DEFAULT).unwrap());
    std::os::unix::fs::symlink(real.join("results.db"), folder.file()).unwrap();
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    fs::write(real.join("results.db"), [0xA5; 9_000]).unwrap();
    fs::remove_file(real.join("results.db")).unwrap();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert!(fs::symlink_metadata(folder.file()).unwrap().is_symlink() && real.join("results.db").exists());
}
