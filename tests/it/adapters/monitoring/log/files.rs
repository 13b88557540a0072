//! Files: rotated, packed, full, unwritable, killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daur_core::time::UnixTime;
use daur_std::monitoring::log::file::{Appended, Disk, FileConfig, FileSink, Files};
use daur_std::monitoring::log::sink::{Output, Sink};
use daur_std::monitoring::log::{Config, Format, GZIP, Level, Logger};
use tracing_subscriber::layer::SubscriberExt;

use super::{LONG, add_up, listening, log_to, message, quiet};

/// A directory of one test, removed with it.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("log-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        read(&self.0.join(name))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file's text, unpacked by a program that others wrote.
fn read(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "gz") {
        let output = Command::new("gzip").args(["-dc"]).arg(path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    } else {
        fs::read_to_string(path).unwrap()
    }
}

fn small(dir: &Dir) -> FileConfig {
    FileConfig { max_bytes: 1_024, period: None, max_files: 100, ..FileConfig::in_dir(&dir.0) }
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

/// `len` bytes of this number, ended.
fn line(n: usize, len: usize) -> Vec<u8> {
    format!("{n:0width$}\n", width = len - 1).into_bytes()
}

#[test]
fn rule_2_a_file_is_rotated_before_the_line_that_would_make_it_too_long() {
    let dir = Dir::new("size");
    let mut sink = FileSink::try_new(&small(&dir)).unwrap();
    for n in 0..8 {
        sink.write(&line(n, 256), at(1_000)).unwrap();
    }
    assert_eq!(dir.names(), ["daur-1970-01-01-000001.log", "daur.log"]);
    assert_eq!((dir.read("daur-1970-01-01-000001.log").len(), dir.read("daur.log").len()), (1_024, 1_024));
    // One that is longer than a file stands alone.
    sink.write(&line(8, 3_000), at(86_400)).unwrap();
    sink.write(&line(9, 10), at(86_400)).unwrap();
    assert_eq!(dir.read("daur-1970-01-02-000003.log"), String::from_utf8(line(8, 3_000)).unwrap());
    assert_eq!(dir.read("daur.log"), "000000009\n");
}

#[test]
fn rule_2_a_file_holds_lines_of_one_period_and_time_that_steps_back_rotates_nothing() {
    let dir = Dir::new("period");
    let hourly = FileConfig { period: Some(Duration::from_secs(3_600)), ..small(&dir) };
    let mut sink = FileSink::try_new(&hourly).unwrap();
    let noon = 20_000 * 86_400 + 12 * 3_600;
    for (n, secs) in [(0, noon), (1, noon + 3_599), (2, noon + 3_600), (3, noon), (4, noon + 7_199), (5, noon + 7_200)]
    {
        sink.write(&line(n, 2), at(secs)).unwrap();
    }
    assert_eq!(dir.names(), ["daur-2024-10-04-000001.log", "daur-2024-10-04-000002.log", "daur.log"]);
    assert_eq!(dir.read("daur-2024-10-04-000001.log"), "0\n1\n");
    assert_eq!(dir.read("daur-2024-10-04-000002.log"), "2\n3\n4\n");
    assert_eq!(dir.read("daur.log"), "5\n");
    // The next process knows of which period the file is, by when it was written: long after these.
    drop(sink);
    let mut sink = FileSink::try_new(&hourly).unwrap();
    sink.write(b"6\n", at(noon + 7_200)).unwrap();
    assert_eq!(dir.read("daur.log"), "5\n6\n");
    sink.write(b"7\n", at(1 << 40)).unwrap();
    assert_eq!(dir.read("daur.log"), "7\n");
}

#[test]
fn rule_3_the_oldest_files_are_removed_and_names_of_others_are_left_alone() {
    let dir = Dir::new("prune");
    let others = [
        "daur-notes.log",
        "daur-2024-01-01.log",
        "daur-x-000001.log",
        "other-2024-01-01-000001.log",
        // Of another log, called daur-7, and one whose number leaves none behind it.
        "daur-7-2024-01-01-000001.log",
        "daur-2024-01-01-18446744073709551615.log",
    ];
    for other in others {
        fs::write(dir.0.join(other), "not ours").unwrap();
    }
    let config = FileConfig { max_files: 3, ..small(&dir) };
    for restart in 0..2 {
        let mut sink = FileSink::try_new(&config).unwrap();
        for n in 0..5 {
            sink.write(&line(restart * 10 + n, 1_000), at(0)).unwrap();
        }
    }
    let mut expected = Vec::from(["daur.log"].map(str::to_owned));
    expected.extend((7..10).map(|n| format!("daur-1970-01-01-{n:06}.log")));
    expected.extend(others.map(str::to_owned));
    expected.sort();
    assert_eq!(dir.names(), expected);
    let kept = |name: &str| dir.read(name).trim().parse::<usize>().unwrap();
    assert_eq!(kept("daur-1970-01-01-000007.log"), 11);
    assert_eq!((kept("daur-1970-01-01-000009.log"), kept("daur.log")), (13, 14));
}

#[test]
fn rule_4_old_files_are_packed_also_those_that_an_earlier_process_left() {
    let dir = Dir::new("pack");
    let mut plain = FileSink::try_new(&small(&dir)).unwrap();
    (0..3).for_each(|n| plain.write(&line(n, 1_000), at(0)).unwrap());
    drop(plain);
    // It was killed while it packed.
    fs::write(dir.0.join("daur-1970-01-01-000001.log.gz.tmp"), "half a").unwrap();
    let mut packed = FileSink::try_new(&FileConfig { pack: Some(GZIP), ..small(&dir) }).unwrap();
    (3..5).for_each(|n| packed.write(&line(n, 1_000), at(0)).unwrap());
    drop(packed);
    let mut expected: Vec<_> = (1..5).map(|n| format!("daur-1970-01-01-{n:06}.log.gz")).collect();
    expected.push("daur.log".to_owned());
    assert_eq!(dir.names(), expected);
    for (n, name) in expected.iter().enumerate() {
        assert_eq!(dir.read(name).trim().parse::<usize>().unwrap(), n);
    }
    assert!(fs::metadata(dir.0.join(&expected[0])).unwrap().len() < 200);
}

#[test]
fn rule_6_a_line_that_was_not_ended_is_ended() {
    let dir = Dir::new("torn");
    fs::write(dir.0.join("daur.log"), "whole\nhal").unwrap();
    let mut sink = FileSink::try_new(&small(&dir)).unwrap();
    sink.write(b"new\n", at(0)).unwrap();
    assert_eq!(dir.read("daur.log"), "whole\nhal\nnew\n");
}

/// A disk with so much room; a write takes what fits and fails then, as a real one does.
#[derive(Clone)]
struct Small {
    room: Arc<AtomicU64>,
    /// Files cannot be cut.
    stuck: Arc<AtomicBool>,
}

impl Small {
    fn with_room(room: u64, stuck: bool) -> Self {
        Self { room: Arc::new(AtomicU64::new(room)), stuck: Arc::new(AtomicBool::new(stuck)) }
    }
}

struct SmallFile {
    disk: Small,
    file: File,
}

impl Disk for Small {
    fn append(&mut self, path: &Path) -> io::Result<Box<dyn Appended>> {
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Box::new(SmallFile { disk: self.clone(), file }))
    }
}

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.disk.room.load(Ordering::SeqCst);
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = bytes.len().min(usize::try_from(room).unwrap());
        let written = self.file.write(&bytes[..fits])?;
        self.disk.room.fetch_sub(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Appended for SmallFile {
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if self.disk.stuck.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let before = self.file.metadata()?.len();
        self.file.set_len(len)?;
        self.disk.room.fetch_add(before - len, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_disk_that_gets_full_midway_costs_whole_lines_that_are_counted_and_told_when_there_is_room() {
    for stuck in [false, true] {
        let dir = Dir::new("full");
        let disk = Small::with_room(1_500, stuck);
        let config = FileConfig { max_bytes: 1 << 20, ..small(&dir) };
        let sink = FileSink::open(&config, disk.clone()).unwrap();
        let log = log_to(quiet(), vec![Output::new("file", Format::Human, sink)]);
        listening(&log, || (0..100).for_each(|n| tracing::info!(n, "line")));
        assert!(log.flush(LONG));
        let full = log.counts();
        add_up(&full);
        assert!(full.written > 5 && full.dropped > 50, "{full:?}");
        let kept = dir.read("daur.log");
        assert!(stuck || (kept.ends_with('\n') && kept.lines().count() as u64 == full.written), "{kept}");

        disk.room.store(1 << 20, Ordering::SeqCst);
        listening(&log, || tracing::info!(n = 100, "line"));
        let counts = log.shutdown(LONG);
        add_up(&counts);
        assert_eq!((counts.sent, counts.written), (101, full.written + 1));
        let text = dir.read("daur.log");
        let lines: Vec<_> = text.lines().filter(|line| line.contains(": line n=")).collect();
        let note = text.lines().find(|line| line.contains("lines dropped")).unwrap();
        assert_eq!(message(note), format!("{} lines dropped: no storage space", full.dropped));
        for (place, line) in lines.iter().enumerate() {
            let n = if place as u64 == full.written { 100 } else { place };
            assert!(line.ends_with(&format!(" line n={n}")), "{line}");
        }
        assert_eq!(lines.len() as u64, counts.written, "{text}");
    }
}

#[test]
fn rule_1_what_could_not_be_taken_back_is_never_taken_for_a_line() {
    let dir = Dir::new("uncut");
    let disk = Small::with_room(150, true);
    let mut sink = FileSink::open(&FileConfig { max_bytes: 1 << 20, ..small(&dir) }, disk.clone()).unwrap();
    sink.write(&line(1, 100), at(0)).unwrap();
    assert!(sink.write(&line(2, 100), at(0)).is_err());
    disk.room.store(130, Ordering::SeqCst);
    sink.write(&line(3, 100), at(0)).unwrap();
    // Now it can.
    disk.stuck.store(false, Ordering::SeqCst);
    assert!(sink.write(&line(4, 100), at(0)).is_err());
    let text = dir.read("daur.log");
    assert_eq!(text.as_bytes(), [&line(1, 100)[..], &b"0".repeat(50), b"\n", &line(3, 100)].concat());
}

#[test]
fn a_real_small_file_system_that_is_full_costs_whole_lines_that_are_counted() {
    // Where tests may not mount, the device that is always full has to do.
    let dir = Dir::new("tmpfs");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"]).arg(&dir.0).output();
    if mounted.is_ok_and(|output| output.status.success()) {
        let config = Config { file: Some(FileConfig { max_bytes: 1 << 20, ..small(&dir) }), ..quiet() };
        let log = Logger::try_new(config).unwrap();
        listening(&log, || (0..2_000).for_each(|n| tracing::info!(n, "line")));
        let counts = log.shutdown(LONG);
        let text = dir.read("daur.log");
        // Lazily: a child that another test has just forked may hold what this one has closed.
        let unmounted = Command::new("umount").arg("-l").arg(&dir.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
        add_up(&counts);
        assert!(counts.written > 100 && counts.dropped > 1_000, "{counts:?}");
        assert!(text.ends_with('\n'));
        let whole = text.lines().filter(|line| line.contains(": line n=")).count() as u64;
        assert_eq!(whole, counts.written);
    }
    let full = File::options().append(true).open("/dev/full").unwrap();
    let sink = daur_std::monitoring::log::sink::Writer(full);
    let log = log_to(quiet(), vec![Output::new("full", Format::Human, sink)]);
    listening(&log, || (0..50).for_each(|n| tracing::info!(n, "line")));
    let counts = log.shutdown(LONG);
    add_up(&counts);
    assert_eq!((counts.sent, counts.written, counts.dropped), (50, 0, 50));
    assert!(counts.sinks[0].last_error.is_some());
}

/// Opens nothing a second time.
struct Once(Option<Files>);

impl Disk for Once {
    fn append(&mut self, path: &Path) -> io::Result<Box<dyn Appended>> {
        self.0.take().ok_or(io::ErrorKind::StorageFull)?.append(path)
    }
}

#[test]
fn rule_5_a_rotation_that_fails_loses_no_line() {
    let dir = Dir::new("stuck");
    let mut sink = FileSink::open(&small(&dir), Once(Some(Files))).unwrap();
    (0..10).for_each(|n| sink.write(&line(n, 256), at(0)).unwrap());
    assert_eq!(dir.names(), ["daur.log"]);
    assert_eq!(dir.read("daur.log").lines().count(), 10);
}

#[test]
fn rule_5_a_file_that_somebody_has_taken_away_is_begun_anew_at_the_next_rotation() {
    for with_its_directory in [false, true] {
        let dir = Dir::new("gone");
        let config = FileConfig { dir: dir.0.join("logs"), ..small(&dir) };
        let mut sink = FileSink::try_new(&config).unwrap();
        sink.write(&line(1, 1_000), at(0)).unwrap();
        if with_its_directory {
            fs::remove_dir_all(&config.dir).unwrap();
        } else {
            fs::remove_file(config.dir.join("daur.log")).unwrap();
        }
        (2..4).for_each(|n| sink.write(&line(n, 1_000), at(0)).unwrap());
        let kept = |name: &str| read(&config.dir.join(name)).trim().parse::<usize>().unwrap();
        assert_eq!((kept("daur-1970-01-01-000001.log"), kept("daur.log")), (2, 3));
    }
}

#[test]
fn rule_3_one_that_cannot_be_removed_keeps_no_other() {
    let dir = Dir::new("kept");
    // Not even a file.
    fs::create_dir(dir.0.join("daur-1970-01-01-000001.log")).unwrap();
    let mut sink = FileSink::try_new(&FileConfig { max_files: 2, ..small(&dir) }).unwrap();
    (0..6).for_each(|n| sink.write(&line(n, 1_000), at(0)).unwrap());
    assert_eq!(
        dir.names(),
        ["daur-1970-01-01-000001.log", "daur-1970-01-01-000005.log", "daur-1970-01-01-000006.log", "daur.log"]
    );
}

#[test]
fn exports_to_one_path_at_the_same_time_are_each_whole() {
    let dir = Dir::new("exports");
    let log = log_to(quiet(), vec![]);
    listening(&log, || (0..500).for_each(|n| tracing::info!(n, "line")));
    assert!(log.flush(LONG));
    let path = dir.0.join("export.jsonl");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(log.export(&path).unwrap(), 500);
                    assert_eq!(read(&path).lines().count(), 500);
                }
            });
        }
    });
    assert_eq!(dir.names(), ["export.jsonl"]);
}

#[test]
fn what_cannot_be_written_is_an_error_at_the_start_that_names_it() {
    let dir = Dir::new("unwritable");
    fs::write(dir.0.join("file"), "in the way").unwrap();
    // Below a file, and where not even root may: whoever runs this test.
    for unwritable in [dir.0.join("file/logs"), PathBuf::from("/proc/daur-logs")] {
        let config = Config { file: Some(FileConfig::in_dir(&unwritable)), ..quiet() };
        let refused = Logger::try_new(config).unwrap_err();
        let (text, why) = (refused.to_string(), std::error::Error::source(&refused).map(ToString::to_string));
        assert!(text.contains(unwritable.to_str().unwrap()) && why.is_some(), "{text}: {why:?}");
    }
    // The file itself is a directory.
    fs::create_dir(dir.0.join("daur.log")).unwrap();
    let refused = FileSink::try_new(&FileConfig::in_dir(&dir.0)).unwrap_err().to_string();
    assert!(refused.contains("daur.log"), "{refused}");
    for (config, field) in [
        (FileConfig { name: "../daur".to_owned(), ..small(&dir) }, "name"),
        (FileConfig { name: String::new(), ..small(&dir) }, "name"),
        (FileConfig { max_bytes: 10, ..small(&dir) }, "max_bytes"),
        (FileConfig { period: Some(Duration::from_millis(10)), ..small(&dir) }, "period"),
    ] {
        let refused = FileSink::try_new(&config).unwrap_err().to_string();
        assert!(refused.contains(field), "{refused}");
    }
}

#[test]
fn a_directory_is_made_with_those_above_it() {
    let dir = Dir::new("made");
    let config = Config { file: Some(FileConfig::in_dir(dir.0.join("a/b/logs"))), ..quiet() };
    let log = Logger::try_new(config).unwrap();
    listening(&log, || tracing::info!("here"));
    assert_eq!(log.shutdown(LONG).written, 1);
    assert!(read(&dir.0.join("a/b/logs/daur.log")).ends_with(": here\n"));
}

#[test]
fn rotation_under_eight_threads_tears_and_loses_no_line() {
    const EACH: u64 = 4_000;
    let dir = Dir::new("threads");
    let file = FileConfig { max_bytes: 64 << 10, max_files: 10_000, pack: Some(GZIP), ..FileConfig::in_dir(&dir.0) };
    let config = Config { file: Some(file), queue_bytes: 64 << 20, ..quiet() };
    let log = Logger::try_new(config).unwrap();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(log.layer()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let dispatch = &dispatch;
            scope.spawn(move || {
                tracing::dispatcher::with_default(dispatch, || {
                    for n in 0..EACH {
                        tracing::info!(thread, n, "{}", "padding ".repeat((n % 17) as usize));
                    }
                });
            });
        }
    });
    let counts = log.shutdown(LONG);
    assert_eq!((counts.sent, counts.written, counts.dropped), (8 * EACH, 8 * EACH, 0), "{counts:?}");
    let names = dir.names();
    assert!(names.len() > 20, "{}", names.len());
    assert!(names.iter().all(|name| name == "daur.log" || name.ends_with(".log.gz")), "{names:?}");
    let mut next: BTreeMap<u64, u64> = BTreeMap::new();
    for name in &names {
        let text = dir.read(name);
        assert!(text.len() <= 64 << 10 && text.ends_with('\n'));
        for line in text.lines() {
            let numbers = line.rsplit_once("thread=").and_then(|(_, rest)| rest.split_once(" n="));
            let (thread, n) = numbers.unwrap_or_else(|| panic!("torn: {line}"));
            let (thread, n): (u64, u64) = (thread.parse().unwrap(), n.parse().unwrap());
            assert_eq!(line.matches("padding").count() as u64, n % 17, "{line}");
            let expected = next.entry(thread).or_default();
            assert_eq!(n, *expected, "of thread {thread} in {name}");
            *expected += 1;
        }
    }
    assert_eq!(next.into_values().collect::<Vec<_>>(), [EACH; 8]);
}

#[test]
fn a_process_that_is_killed_leaves_whole_lines() {
    for round in 0..3_u64 {
        let dir = Dir::new("killed");
        let mut child =
            Command::new(env!("CARGO_BIN_EXE_daur-test-log")).arg(&dir.0).stdout(Stdio::piped()).spawn().unwrap();
        // It says what is surely on disk; a few rounds later it is killed in the midst of writing.
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut flushed = 0;
        for _ in 0..=round * 3 {
            flushed = said.next().unwrap().unwrap().parse::<u64>().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let _ = said.last();
        let mut next = 0;
        for name in dir.names().iter().filter(|name| !name.ends_with(".tmp")) {
            let mut text = String::new();
            File::open(dir.0.join(name)).unwrap().read_to_string(&mut text).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "{name} ends in {:?}", text.lines().last());
            for line in text.lines() {
                let n = line.rsplit_once(" n=").and_then(|(_, n)| n.parse::<u64>().ok());
                assert!(line.contains(" INFO ") && n == Some(next), "{line}, not {next}");
                next += 1;
            }
        }
        assert!(next >= flushed, "{next} of {flushed}");
    }
}

#[test]
fn a_directory_below_the_users_own_is_found() {
    // In a process of its own, whose HOME is the test's.
    let dir = Dir::new("home");
    let status = Command::new(env!("CARGO_BIN_EXE_daur-test-log"))
        .args(["~/.daur/logs", "100"])
        .env("HOME", &dir.0)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let text = read(&dir.0.join(".daur/logs/daur.log"));
    assert!(text.lines().count() == 100 && text.contains(" INFO named: line n=0"), "{text}");
}

#[test]
fn what_a_process_says_of_its_log_is_known_to_its_own_part_alone() {
    // Two logs in one process know nothing of each other.
    let dir = Dir::new("two");
    let taken = Arc::new(Mutex::new(0));
    struct Count(Arc<Mutex<u32>>);
    impl Sink for Count {
        fn write(&mut self, _: &[u8], _: UnixTime) -> io::Result<()> {
            *self.0.lock().unwrap() += 1;
            Ok(())
        }
    }
    let one = Logger::try_new(Config { file: Some(small(&dir)), ..quiet() }).unwrap();
    let two = log_to(quiet(), vec![Output::new("count", Format::Human, Count(taken.clone()))]);
    listening(&one, || tracing::info!("one"));
    listening(&two, || tracing::info!("two"));
    assert_eq!((one.shutdown(LONG).sent, two.shutdown(LONG).sent), (1, 1));
    assert_eq!((*taken.lock().unwrap(), one.recent(9, Level::Info, 0).len()), (1, 1));
    assert!(dir.read("daur.log").ends_with(": one\n"));
}
