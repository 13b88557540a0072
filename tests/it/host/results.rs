//! What happens to the file of results is none of a client's business: commands are answered all the same.

use super::*;

use std::fs;

use rusqlite::{Connection, TransactionBehavior};

/// A server that keeps no results in memory: each look-up goes to the file.
fn host() -> Host {
    Host::start_with(|config| config.cache.entries = 0)
}

impl Host {
    fn results(&self) -> PathBuf {
        self.data().join("cache.db")
    }

    /// Asks for commands twice each, and for right answers; says how many came from the file.
    #[track_caller]
    fn echoes(&self, token: &str, numbers: std::ops::Range<u32>) -> usize {
        let mut cached = 0;
        for n in numbers.clone().chain(numbers) {
            let reply = self.command(token, &format!("echo number {n}"));
            assert_eq!(reply.status, 200, "{}", reply.text);
            let body = reply.json();
            assert_eq!(body["stdout"], format!("number {n}\n"));
            cached += usize::from(body["cached"] == true);
        }
        cached
    }

    /// A counter of the file.
    fn counter(&self, token: &str, name: &str) -> u64 {
        self.get(token, "/api/status").json()["cache"]["file"][name].as_u64().expect(name)
    }

    /// It works as if nothing had happened; damage that shows at this moment only takes what was kept just before with it.
    #[track_caller]
    fn keeps_again(&self, token: &str, from: u32) {
        let kept = (0..3).map(|n| from + 5 * n).any(|from| self.echoes(token, from..from + 5) == 5);
        assert!(kept, "{}", self.get(token, "/api/status").json()["cache"]);
    }
}

/// Starts a server on a file that has been damaged in its absence.
#[track_caller]
fn damaged(damage: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut host = host();
    let ada = host.token("ada");
    assert_eq!(host.echoes(&ada, 0..20), 20);
    host.restart(|data| {
        let path = data.join("cache.db");
        let file = fs::read(&path).unwrap();
        fs::write(path, damage(file)).unwrap();
    });
    let ada = host.token("ada");
    host.echoes(&ada, 0..20);
    host.keeps_again(&ada, 100);
}

#[test]
fn garbage_in_the_header_fails_no_command() {
    damaged(|mut file| {
        file[..100].fill(0xA5);
        file
    });
}

#[test]
fn half_a_file_fails_no_command() {
    damaged(|file| file[..file.len() / 2].to_vec());
}

#[test]
fn an_empty_file_and_one_of_zeros_fail_no_command() {
    damaged(|_| Vec::new());
    damaged(|file| vec![0; file.len()]);
}

#[test]
fn flipped_bits_in_every_page_fail_no_command() {
    for at in [7, 2_000, 4_090] {
        damaged(|mut file| {
            file.chunks_mut(4_096).skip(1).for_each(|page| page[at] ^= 0x10);
            file
        });
    }
}

#[test]
fn a_file_overwritten_under_the_running_server_fails_no_command() {
    let host = host();
    let ada = host.token("ada");
    host.echoes(&ada, 0..20);
    let pages = fs::metadata(host.results()).unwrap().len().max(16 * 4_096) as usize;
    fs::write(host.results(), vec![0xA5; pages]).unwrap();
    // The log is whole, so it may take long until somebody reads what is damaged.
    host.echoes(&ada, 0..30);
    host.keeps_again(&ada, 100);
}

#[test]
fn a_deleted_file_fails_no_command() {
    let host = host();
    let ada = host.token("ada");
    host.echoes(&ada, 0..10);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(host.data().join(format!("cache.db{suffix}"))).unwrap();
    }
    host.echoes(&ada, 0..20);
    host.keeps_again(&ada, 100);
    assert!(host.results().exists() && host.counter(&ada, "reopened") > 0);
}

#[test]
fn a_lock_that_another_process_holds_fails_no_command() {
    let host = host();
    let ada = host.token("ada");
    host.echoes(&ada, 0..10);
    let mut other = Connection::open(host.results()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(host.echoes(&ada, 0..10), 20, "what is kept is read");
    assert_eq!(host.echoes(&ada, 10..20), 0);
    assert!(host.counter(&ada, "skipped") >= 20);
    drop(lock);
    host.keeps_again(&ada, 100);
}

#[test]
fn somebody_who_reads_the_file_for_long_fails_no_command() {
    let host = host();
    let ada = host.token("ada");
    host.echoes(&ada, 0..10);
    let mut other = Connection::open(host.results()).unwrap();
    let reader = other.transaction().unwrap();
    let rows: i64 = reader.query_row("SELECT count(*) FROM daur_results", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 10);
    assert_eq!(host.echoes(&ada, 10..30), 20);
    drop(reader);
    host.keeps_again(&ada, 100);
}

#[test]
fn a_full_disk_under_the_file_fails_no_command() {
    let disk = Dir::new();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&disk.0).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        println!("skipped: this user may not mount a tmpfs");
        return;
    }
    let mut host = host();
    let ballast = disk.0.join("ballast");
    host.restart(|data| {
        let (path, moved) = (data.join("cache.db"), disk.0.join("cache.db"));
        fs::copy(&path, &moved).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(moved, path).unwrap();
    });
    let ada = host.token("ada");
    assert_eq!(host.echoes(&ada, 0..10), 10);
    let mut file = fs::File::create(&ballast).unwrap();
    for size in [4_096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    drop(file);
    assert_eq!(host.echoes(&ada, 0..10), 20, "what is kept is read");
    host.echoes(&ada, 10..40);
    assert!(host.counter(&ada, "skipped") > 0);
    fs::remove_file(ballast).unwrap();
    host.keeps_again(&ada, 1_000);
    drop(host);
    let _ = Command::new("umount").arg("-l").arg(&disk.0).status();
}
