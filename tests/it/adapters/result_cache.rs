//! The result cache and everything that can happen to its file.

mod damage;
mod faults;
mod kill;

use std::convert::Infallible;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use daur_core::time::{Duration, UnixTime, WallClock};
use daur_std::services::result_cache::{
    self, Answer, Computed, Config, ResultCache, Snapshot, Source, Stored, Ttl, result_cache,
};
use rusqlite::{Connection, TransactionBehavior};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const TTL: Duration = Duration::from_secs(60);

/// A folder of its own inside `target`, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("result-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("results.db")
    }

    fn open(&self) -> ResultCache {
        ResultCache::open(self.file(), Config::DEFAULT).unwrap()
    }

    /// How many databases are in quarantine.
    fn quarantined(&self) -> usize {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".quarantine-") && !name.ends_with("-wal") && !name.ends_with("-shm")).count()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn after(secs: u64) -> UnixTime {
    UnixTime::from_secs(NOW.as_secs() + secs)
}

#[test]
fn the_file_has_a_log_and_can_give_room_back() {
    let folder = Folder::new("set-up");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    let other = Connection::open(folder.file()).unwrap();
    let number = |pragma| other.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((number("auto_vacuum"), number("page_size"), number("application_id")), (2, 4_096, 0x4461_7572));
    let journal: String = other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
}

#[test]
fn the_cache_of_the_process_is_one_and_the_first_path_counts() {
    let folder = Folder::new("global");
    assert!(
        result_cache(folder.0.join("missing").join("results.db")).is_err(),
        "who comes next may open it all the same"
    );
    let cache = result_cache(folder.file()).unwrap();
    assert!(std::ptr::eq(cache, result_cache(folder.0.join("another.db")).unwrap()));
    assert!(!folder.0.join("another.db").exists());
    assert!(result_cache::init(ResultCache::open(folder.0.join("third.db"), Config::DEFAULT).unwrap()).is_err());
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
}

#[test]
fn times_to_live_are_cut_as_the_config_says() {
    let folder = Folder::new("cut");
    let ttl = Ttl { longest: Duration::from_secs(10), spread_permille: 500 };
    let cache = ResultCache::open(folder.file(), Config { ttl, ..Config::DEFAULT }).unwrap();
    let lives: Vec<_> = (0..20_u8)
        .map(|i| {
            assert_eq!(cache.set(&[i], b"v", TTL, NOW), Stored::Yes);
            cache.get_with_ttl(&[i], NOW).unwrap().1
        })
        .collect();
    assert!(lives.iter().all(|life| *life <= Duration::from_secs(10) && *life >= Duration::from_secs(5)), "{lives:?}");
    assert!(lives.iter().any(|life| *life != lives[0]));
}

#[test]
fn rule_3_an_entry_is_fresh_until_exactly_its_ttl() {
    let folder = Folder::new("ttl");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"v"[..]));
    let last = UnixTime::from_millis(after(60).as_millis() - 1);
    assert_eq!(cache.get(b"k", last).as_deref(), Some(&b"v"[..]));
    assert_eq!(cache.get(b"k", after(60)), None);
    let Snapshot { hits, misses, expired, stored, rows, up, .. } = cache.snapshot();
    assert_eq!((hits, misses, expired, stored, rows, up), (2, 1, 1, 1, 1, true));
}

#[test]
fn a_wall_clock_set_back_keeps_no_entry_alive() {
    let folder = Folder::new("back");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"k", UnixTime::from_secs(NOW.as_secs() - 1)), None);
}

#[test]
fn entries_survive_a_restart_and_a_newer_value_replaces_the_older() {
    let folder = Folder::new("restart");
    {
        let cache = folder.open();
        assert_eq!(cache.set(b"k", b"old", TTL, NOW), Stored::Yes);
        assert_eq!(cache.set(b"k", b"new", TTL, NOW), Stored::Yes);
        cache.set_later(b"later", b"queued at the end", TTL, NOW);
    }
    let cache = folder.open();
    assert_eq!(cache.snapshot().rows, 2);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"new"[..]));
    assert_eq!(cache.get(b"later", NOW).as_deref(), Some(&b"queued at the end"[..]));
}

#[test]
fn clearing_forgets_everything_and_gives_the_room_back() {
    let folder = Folder::new("clear");
    let cache = folder.open();
    for i in 0..200_u32 {
        cache.set_later(&i.to_le_bytes(), &[7; 10_000], TTL, NOW);
    }
    cache.flush();
    let before = cache.snapshot();
    assert_eq!(before.rows, 200);
    assert_eq!(cache.clear(), Stored::Yes);
    let after = cache.snapshot();
    assert_eq!(after.rows, 0);
    assert!(after.bytes < before.bytes / 10, "{after:?}");
    assert_eq!(cache.get(&1_u32.to_le_bytes(), NOW), None);
}

#[test]
fn what_cannot_be_kept_is_skipped_and_counted() {
    let folder = Folder::new("skip");
    let config = Config { max_value_bytes: 100, max_queued_bytes: 5_000, ..Config::DEFAULT };
    let cache = ResultCache::open(folder.file(), config).unwrap();
    assert_eq!(cache.set(b"large", &[0; 101], TTL, NOW), Stored::Skipped);
    assert_eq!(cache.set(&[0; 4_097], b"v", TTL, NOW), Stored::Skipped);
    assert_eq!(cache.set(b"no time", b"v", Duration::ZERO, NOW), Stored::Skipped);
    assert_eq!(cache.snapshot().skipped, 3);
    assert_eq!(cache.set(b"fits", &[0; 100], TTL, NOW), Stored::Yes);
    assert_eq!(cache.snapshot().queued_bytes, 0);
}

#[test]
fn rule_6_the_file_stays_below_its_cap_and_the_oldest_rows_go_first() {
    let folder = Folder::new("cap");
    let config = Config { max_bytes: 512 << 10, max_value_bytes: 64 << 10, ..Config::DEFAULT };
    let cache = ResultCache::open(folder.file(), config).unwrap();
    for i in 0..300_u32 {
        assert_eq!(cache.set(&i.to_le_bytes(), &[7; 8_000], TTL, NOW), Stored::Yes, "{i}");
        assert!(cache.snapshot().bytes <= config.max_bytes);
    }
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.rows + snapshot.evicted, 300);
    assert!(snapshot.rows > 20, "{snapshot:?}");
    let kept: Vec<_> = (0..300_u32).filter(|i| cache.get(&i.to_le_bytes(), NOW).is_some()).collect();
    assert_eq!(kept.len() as u64, snapshot.rows);
    assert_eq!(kept.first(), Some(&(300 - kept.len() as u32)), "the youngest are kept, without a gap");
    drop(cache);
    assert!(fs::metadata(folder.file()).unwrap().len() <= config.max_bytes);
}

#[test]
fn a_burst_larger_than_the_file_is_stored_in_parts_and_the_youngest_stay() {
    let folder = Folder::new("burst");
    let config = Config { max_bytes: 256 << 10, max_value_bytes: 60_000, ..Config::DEFAULT };
    let cache = ResultCache::open(folder.file(), config).unwrap();
    for i in 0..100_u32 {
        cache.set_later(&i.to_le_bytes(), &[7; 50_000], TTL, NOW);
    }
    cache.flush();
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.stored, snapshot.skipped), (100, 0), "{snapshot:?}");
    assert!(cache.get(&99_u32.to_le_bytes(), NOW).is_some());
}

#[test]
fn expired_rows_are_deleted_in_passing() {
    let folder = Folder::new("expiry");
    let cache = folder.open();
    for i in 0..40_u8 {
        cache.set_later(&[i], b"v", TTL, NOW);
    }
    cache.flush();
    assert_eq!(cache.set(b"later", b"v", TTL, after(60)), Stored::Yes);
    assert_eq!(cache.set(b"later still", b"v", TTL, after(60)), Stored::Yes);
    assert_eq!(cache.snapshot().rows, 2);
    assert_eq!(cache.snapshot().evicted, 0);
}

#[test]
fn rule_4_a_flipped_bit_is_a_miss_and_a_counter() {
    let folder = Folder::new("flip");
    let cache = folder.open();
    for key in [b"a", b"b", b"c", b"d"] {
        assert_eq!(cache.set(key, b"a value worth keeping", TTL, NOW), Stored::Yes);
    }
    let damage = Connection::open(folder.file()).unwrap();
    damage.execute("UPDATE daur_results SET value = X'61' WHERE key = X'61'", []).unwrap();
    damage.execute("UPDATE daur_results SET expires = expires + 1 WHERE key = X'62'", []).unwrap();
    damage.execute("UPDATE daur_results SET value = 'text' WHERE key = X'63'", []).unwrap();
    for key in [b"a", b"b", b"c"] {
        assert_eq!(cache.get(key, NOW), None);
    }
    assert!(cache.get(b"d", NOW).is_some());
    cache.flush();
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.corrupt, snapshot.quarantined, snapshot.rows), (3, 0, 1));
    assert_eq!(cache.get(b"a", NOW), None);
    assert_eq!(cache.snapshot().corrupt, 3, "the damaged rows are gone");
}

/// Puts 500 rows into the file and gives it to `damage` while nobody has it open.
fn with_a_damaged_file(name: &str, damage: impl FnOnce(&Path)) -> (Folder, ResultCache) {
    let folder = Folder::new(name);
    let cache = folder.open();
    for i in 0..500_u32 {
        cache.set_later(&i.to_le_bytes(), &[9; 1_000], TTL, NOW);
    }
    drop(cache);
    damage(&folder.file());
    let cache = folder.open();
    (folder, cache)
}

/// Wherever damage shows, at the start or at the first look-up: in the end there is a new file that works.
fn serves_again(folder: &Folder, cache: &ResultCache, quarantined: usize) {
    for i in 0..500_u32 {
        assert!(cache.get(&i.to_le_bytes(), NOW).is_none_or(|value| value == [9; 1_000]), "never wrong bytes");
    }
    cache.flush();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"v"[..]));
    assert_eq!(folder.quarantined(), quarantined);
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.quarantined, quarantined as u64, "{snapshot:?}");
    assert!(snapshot.up);
}

#[test]
fn rule_5_half_a_file_goes_into_quarantine() {
    let (folder, cache) = with_a_damaged_file("half", |path| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
    serves_again(&folder, &cache, 1);
}

#[test]
fn a_file_that_is_no_database_goes_into_quarantine() {
    let (folder, cache) = with_a_damaged_file("noise", |path| fs::write(path, [0xA5; 9_000]).unwrap());
    serves_again(&folder, &cache, 1);
}

#[test]
fn a_file_of_zeros_goes_into_quarantine() {
    let (folder, cache) = with_a_damaged_file("zeros", |path| fs::write(path, [0; 9_000]).unwrap());
    serves_again(&folder, &cache, 1);
}

#[test]
fn an_empty_file_is_replaced_and_kept_aside() {
    let folder = Folder::new("empty");
    fs::write(folder.file(), b"").unwrap();
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(folder.quarantined(), 1);
}

#[test]
fn pages_overwritten_under_the_running_cache_end_in_quarantine_not_in_wrong_bytes() {
    let folder = Folder::new("overwritten");
    let config = Config { readers: 1, ..Config::DEFAULT };
    {
        let cache = ResultCache::open(folder.file(), config).unwrap();
        for i in 0..500_u32 {
            cache.set_later(&i.to_le_bytes(), &[9; 1_000], TTL, NOW);
        }
    }
    let cache = ResultCache::open(folder.file(), config).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(folder.file()).unwrap();
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&vec![0xA5; 200 * 4_096]).unwrap();
    drop(file);
    serves_again(&folder, &cache, 1);
}

#[test]
fn only_the_newest_three_damaged_files_are_kept() {
    let folder = Folder::new("litter");
    for _ in 0..5 {
        fs::write(folder.file(), [0xA5; 9_000]).unwrap();
        drop(folder.open());
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(folder.0.join(format!("results.db{suffix}")));
        }
    }
    assert_eq!(folder.quarantined(), 3);
}

#[test]
fn a_deleted_file_is_replaced_by_a_new_one() {
    let folder = Folder::new("deleted");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(folder.0.join(format!("results.db{suffix}"))).unwrap();
    }
    assert_eq!(cache.set(b"new", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"new", NOW).as_deref(), Some(&b"v"[..]));
    assert_eq!(cache.get(b"k", NOW), None, "it was in the deleted file");
    assert_eq!(cache.snapshot().reopened, 1);
    drop(cache);
    assert!(folder.open().get(b"new", NOW).is_some(), "what was acknowledged is in the new file");
}

#[test]
fn rule_1_while_the_folder_is_gone_everything_is_a_miss_and_later_it_resumes() {
    let folder = Folder::new("gone");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    fs::remove_dir_all(&folder.0).unwrap();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Skipped);
    assert_eq!(cache.get(b"k", NOW), None);
    let snapshot = cache.snapshot();
    assert!(!snapshot.up && snapshot.skipped == 1 && snapshot.faults > 0, "{snapshot:?}");
    fs::create_dir_all(&folder.0).unwrap();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"v"[..]));
    assert!(cache.snapshot().up);
}

#[test]
fn a_lock_held_elsewhere_costs_sets_but_no_look_up() {
    let folder = Folder::new("locked");
    let config = Config { busy_timeout: Duration::from_millis(10), ..Config::DEFAULT };
    let cache = ResultCache::open(folder.file(), config).unwrap();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    let mut other = Connection::open(folder.file()).unwrap();
    let lock = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(cache.set(b"new", b"v", TTL, NOW), Stored::Skipped);
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"v"[..]));
    drop(lock);
    assert_eq!(cache.set(b"new", b"v", TTL, NOW), Stored::Yes);
    let snapshot = cache.snapshot();
    assert_eq!((snapshot.skipped, snapshot.quarantined), (1, 0));
}

#[test]
fn rule_8_a_database_of_another_program_is_refused_and_left_alone() {
    let folder = Folder::new("foreign");
    Connection::open(folder.file())
        .unwrap()
        .execute_batch("CREATE TABLE letters (a); INSERT INTO letters VALUES (1)")
        .unwrap();
    let before = fs::read(folder.file()).unwrap();
    let refused = ResultCache::open(folder.file(), Config::DEFAULT).unwrap_err();
    assert_eq!(refused.to_string(), "opening the result cache failed");
    assert_eq!(fs::read(folder.file()).unwrap(), before);
    assert_eq!(folder.quarantined(), 0);
}

#[test]
fn a_database_of_another_program_put_in_the_place_of_ours_is_left_alone_too() {
    let folder = Folder::new("replaced");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(folder.0.join(format!("results.db{suffix}"))).unwrap();
    }
    Connection::open(folder.file()).unwrap().execute_batch("CREATE TABLE letters (a)").unwrap();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Skipped);
    assert_eq!(cache.get(b"k", NOW), None);
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Skipped);
    assert_eq!(folder.quarantined(), 0);
    let letters = "SELECT count(*) FROM sqlite_schema WHERE name = 'letters'";
    let count: i64 = Connection::open(folder.file()).unwrap().query_row(letters, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_place_where_nothing_can_be_created_is_an_error_at_the_start() {
    let folder = Folder::new("nowhere");
    assert!(ResultCache::open(folder.0.join("missing").join("results.db"), Config::DEFAULT).is_err());
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("private");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"v", TTL, NOW), Stored::Yes);
    for suffix in ["", "-wal", "-shm"] {
        let data = fs::metadata(folder.0.join(format!("results.db{suffix}"))).unwrap();
        assert_eq!(data.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn rule_7_concurrent_callers_compute_once() {
    let folder = Folder::new("once");
    let cache = folder.open();
    let (computed, start) = (AtomicU32::new(0), Barrier::new(8));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = || {
            start.wait();
            let compute = || {
                computed.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Computed::Keep(b"answer".to_vec()))
            };
            cache.get_or_compute(b"k", TTL, &Some(NOW), compute).unwrap()
        };
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(computed.load(Ordering::SeqCst), 1);
    assert!(answers.iter().all(|answer| answer.value == b"answer"));
    assert_eq!(answers.iter().filter(|answer| answer.source == Source::Computed).count(), 1);
}

#[test]
fn who_missed_just_before_another_stored_the_value_does_not_compute_it_again() {
    /// Does not know the time at the first look, so that this look misses.
    struct Late(AtomicU32);
    impl WallClock for Late {
        fn unix_now(&self) -> Option<UnixTime> {
            (self.0.fetch_add(1, Ordering::SeqCst) > 0).then_some(NOW)
        }
    }
    let folder = Folder::new("again");
    let cache = folder.open();
    assert_eq!(cache.set(b"k", b"stored", TTL, NOW), Stored::Yes);
    let compute = || -> Result<Computed, &str> { Err("computed again") };
    let answer = cache.get_or_compute(b"k", TTL, &Late(AtomicU32::new(0)), compute);
    assert_eq!(answer, Ok(Answer { value: b"stored".to_vec(), source: Source::Cache }));
}

#[test]
fn a_computation_that_fails_or_panics_leaves_the_next_one_its_turn() {
    let folder = Folder::new("fails");
    let cache = folder.open();
    let ask = |compute: fn() -> Result<Computed, &'static str>| cache.get_or_compute(b"k", TTL, &Some(NOW), compute);
    assert_eq!(ask(|| Err("down")), Err("down"));
    assert!(catch_unwind(AssertUnwindSafe(|| ask(|| panic!("the caller's")))).is_err());
    assert_eq!(ask(|| Ok(Computed::Pass(b"exit 1".to_vec()))).unwrap().source, Source::Computed);
    assert_eq!(ask(|| Ok(Computed::Keep(b"fine".to_vec()))).unwrap().source, Source::Computed);
    assert_eq!(ask(|| Err("not asked")).unwrap(), Answer { value: b"fine".to_vec(), source: Source::Cache });
}

#[test]
fn without_wall_time_everything_is_computed_and_nothing_kept() {
    let folder = Folder::new("timeless");
    let cache = folder.open();
    for _ in 0..2 {
        let compute = || Ok::<_, Infallible>(Computed::Keep(b"v".to_vec()));
        assert_eq!(cache.get_or_compute(b"k", TTL, &None, compute).unwrap().source, Source::Computed);
    }
    assert_eq!(cache.snapshot().stored, 0);
}

#[tokio::test]
async fn a_cancelled_computation_leaves_the_next_one_its_turn() {
    let folder = Folder::new("cancelled");
    let cache = folder.open();
    let never = || std::future::pending::<Result<Computed, Infallible>>();
    let answer = || std::future::ready(Ok::<_, Infallible>(Computed::Keep(b"answer".to_vec())));
    let mut stuck = Box::pin(cache.get_or_compute_async(b"k", TTL, &Some(NOW), never));
    let mut waiting = Box::pin(cache.get_or_compute_async(b"k", TTL, &Some(NOW), answer));
    let mut third = Box::pin(cache.get_or_compute_async(b"k", TTL, &Some(NOW), never));
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = &mut stuck => unreachable!("it never ends"),
            _ = &mut waiting => unreachable!("the first one computes"),
            _ = &mut third => unreachable!("the first one computes"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(stuck);
    let (waiting, third) = tokio::join!(waiting, third);
    assert_eq!(waiting.unwrap().source, Source::Computed);
    assert_eq!(third.unwrap(), Answer { value: b"answer".to_vec(), source: Source::Shared });
    assert_eq!(cache.get(b"k", NOW).as_deref(), Some(&b"answer"[..]), "kept before it was answered");
}

#[test]
fn a_file_in_the_place_of_a_folder_is_an_error_and_stays_as_it_is() {
    let folder = Folder::new("file-as-folder");
    fs::write(folder.0.join("plain"), b"x").unwrap();
    assert!(ResultCache::open(folder.0.join("plain").join("results.db"), Config::DEFAULT).is_err());
    let mut content = String::new();
    fs::File::open(folder.0.join("plain")).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "x");
}
