//! Appends to an audit chain until it is killed: what it prints is on disk.
//!
//! `audit STORE PATH KEY_FILE EVENTS`: STORE is `sqlite` or `file`. A new chain's first key goes to KEY_FILE. Each append
//! takes one to three events, and prints the number and the tag of its last.

use std::path::Path;

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Event, Head};
use daur_core::time::{Clock, Instant, UnixTime, WallClock};
use daur_std::clock::{StdClock, SystemWallClock};
use daur_std::security::audit::AuditLog;
use daur_std::security::audit::file::AuditFile;
use daur_std::security::keys;

type Timed = (Event, Instant, Option<UnixTime>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, store, path, key_file, events] = args.as_slice() else { return Err("STORE PATH KEY_FILE EVENTS".into()) };
    let (path, key_file): (&Path, &Path) = (path.as_ref(), key_file.as_ref());
    let (device, boot) = (DeviceId::new("host")?, BootId(std::process::id()));
    let keep = |key: &[u8; 32]| keys::store(key_file, key);
    match store.as_str() {
        "sqlite" => {
            let mut log = AuditLog::open_with(path, device, boot, keep)?.0;
            run(log.head(), events.parse()?, |events| Ok(log.append(events)?))
        }
        "file" => {
            let mut log = AuditFile::open_with(path, device, boot, keep)?.0;
            run(log.head(), events.parse()?, |events| Ok(log.append(events)?))
        }
        _ => Err("a store is `sqlite` or `file`".into()),
    }
}

fn run(
    mut head: Head,
    events: u64,
    mut append: impl FnMut(&[Timed]) -> Result<Head, Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    while head.seq < events {
        let last = events.min(head.seq + 1 + head.seq % 3);
        let group: Vec<Timed> = (head.seq + 1..=last)
            .map(|n| (Event::command("alice", &format!("event {n}"), true), StdClock.now(), SystemWallClock.unix_now()))
            .collect();
        head = append(&group)?;
        println!("{} {}", head.seq, keys::hex(&head.tag));
    }
    Ok(())
}
