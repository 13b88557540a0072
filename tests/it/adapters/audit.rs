//! The host's audit stores, killed while they write.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daur_core::rng::Rng;
use daur_core::security::audit::{Completeness, Entry, Filter, Head, Report};
use daur_std::security::audit::file::AuditFile;
use daur_std::security::audit::{AuditLog, lines};
use daur_std::security::keys;

const APPENDER: &str = env!("CARGO_BIN_EXE_daur-test-audit");
const EVENTS: u64 = 1_000;
/// More than it ever comes to: each is killed, however far it gets before that.
const ENDLESS: &str = "1000000";

/// What a store says when nobody writes to it.
type Check = fn(&Path, [u8; 32], Head) -> (Report, Vec<Entry>);

fn dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("audit-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn head_of(line: &str) -> Head {
    let (seq, tag) = line.split_once(' ').expect("a number and a tag");
    Head { seq: seq.parse().unwrap(), tag: keys::decode(tag.as_bytes()).unwrap() }
}

/// Starts a program that appends, kills it after an acknowledgement, looks at what is there; again and again.
fn killed_again_and_again(store: &str, seed: u64, check: Check) {
    let dir = dir(store);
    let (path, key_file) = (dir.join("audit"), dir.join("audit.key"));
    let mut rng = Rng::new(seed);
    let (mut acknowledged, mut kills) = (Vec::<Head>::new(), 0);
    while kills < 8 || acknowledged.last().is_none_or(|head| head.seq < EVENTS) {
        let mut child = Command::new(APPENDER)
            .arg(store)
            .args([&path, &key_file])
            .arg(ENDLESS)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let patience = usize::try_from(rng.at_most(60)).unwrap();
        acknowledged.extend(said.by_ref().take(patience + 1).map(|line| head_of(&line)));
        child.kill().unwrap();
        // What it said before it was killed counts.
        acknowledged.extend(said.map(|line| head_of(&line)));
        assert!(!child.wait().unwrap().success(), "it was killed");
        kills += 1;

        let last = *acknowledged.last().unwrap();
        let (report, entries) = check(&path, keys::load(&key_file).unwrap(), last);
        assert_eq!((report.integrity, report.completeness), (Ok(()), Completeness::Complete));
        for (n, entry) in (1..).zip(&entries) {
            assert_eq!((entry.seq, entry.event.detail.as_str()), (n, format!("event {n}").as_str()));
        }
        for head in &acknowledged {
            let entry = &entries[usize::try_from(head.seq).unwrap() - 1];
            assert_eq!(entry.tag, head.tag, "event {} was acknowledged as another", head.seq);
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn kill_9_during_1000_appends_to_sqlite_loses_no_acknowledged_event() {
    killed_again_and_again("sqlite", 1, |path, key, head| {
        let log =
            AuditLog::open(path, daur_core::id::DeviceId::new("host").unwrap(), daur_core::id::BootId(0)).unwrap().0;
        let mut text = Vec::new();
        log.export(&mut text).unwrap();
        let mut entries = lines::find(text.as_slice(), &Filter::ALL, usize::MAX).unwrap();
        entries.reverse();
        (log.check(key, Some(head)).unwrap(), entries)
    });
}

#[test]
fn kill_9_during_1000_appends_to_a_file_loses_no_acknowledged_event() {
    killed_again_and_again("file", 2, |path, key, head| {
        let mut entries = lines::find(BufReader::new(File::open(path).unwrap()), &Filter::ALL, usize::MAX).unwrap();
        entries.reverse();
        (AuditFile::check_at(path, key, Some(head)).unwrap(), entries)
    });
}
