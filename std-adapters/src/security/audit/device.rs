//! The chains of devices: verified as their records come, kept as lines.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use daur_core::id::{BootId, DeviceId};
use daur_core::security::audit::{Broken, Entry, Filter, Head, Report, Verifier, first_key};
use daur_core::security::keys::derive_device_key;
use serde::Serialize;

use super::file::private;
use super::lines::{self, Lines};
use crate::security::keys::{hex, sync_dir_of};

/// The last records of a chain that are held in memory.
const RECENT: usize = 128;
/// Records behind the first bad one that are still kept; more are counted.
const MAX_UNVERIFIED: u64 = 1024;

/// Names one life of one device, which has one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    /// Which device.
    pub device: DeviceId,
    /// Its boot id.
    pub boot: BootId,
    /// Its nonce, as its hello told it.
    pub nonce: u64,
}

impl Life {
    /// The name of its file: device, boot id, nonce, `audit`, with points between.
    ///
    /// # Example
    /// ```
    /// use daur_core::id::{BootId, DeviceId};
    /// use daur_std::security::audit::device::Life;
    ///
    /// let life = Life { device: DeviceId::new("boiler.7").unwrap(), boot: BootId(3), nonce: 0xFEED };
    /// assert_eq!(life.file_name(), "boiler.7.00000003.000000000000feed.audit");
    /// assert_eq!(Life::of_file_name(&life.file_name()), Some(life));
    /// ```
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}.{:016x}.audit", self.device, self.boot, self.nonce)
    }

    /// The life whose file has this name.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".audit")?.rsplitn(3, '.');
        let nonce = u64::from_str_radix(parts.next()?, 16).ok()?;
        let boot = BootId(u32::from_str_radix(parts.next()?, 16).ok()?);
        let life = Self { device: DeviceId::new(parts.next()?).ok()?, boot, nonce };
        (life.file_name() == name).then_some(life)
    }

    /// The first key of its chain.
    #[must_use]
    pub fn first_key(&self, fleet_key: &[u8]) -> [u8; 32] {
        first_key(&derive_device_key(fleet_key, &self.device), self.boot, self.nonce)
    }
}

/// Says what a host knows of a device's chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The device has begun a life and no record of its chain has come: it keeps none, or somebody holds them back.
    #[default]
    Missing,
    /// All records that came are the device's, and none before the last is missing.
    Verified,
    /// One is not, or is missing.
    Broken,
    /// There is no fleet key to verify them with.
    Unverified,
}

/// Tells how a device's chain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// What the host knows.
    pub verdict: Verdict,
    /// Records that verify; without a key, records.
    pub records: u64,
    /// The tag of the last of them: with `records`, the chain's head.
    pub head: Option<String>,
    /// What was wrong first.
    pub broken: Option<String>,
    /// The record that it names.
    pub broken_seq: Option<u64>,
    /// Records that came after that, and the bad one.
    pub unverified: u64,
    /// Those of them that there were too many of to keep.
    pub dropped: u64,
    /// Records that came again.
    pub repeated: u64,
    /// Whether they are kept in a file.
    pub kept: bool,
}

/// Takes in the chain of one life of a device. Blocks: call it from the blocking pool.
///
/// # Rules
/// 1. Records are verified in the order in which they come, from the key that device and host derive.
/// 2. All that came are lines on disk before `receive` returns, also the first bad one and what follows it; those are
///    bounded.
/// 3. A record that came before changes nothing; another one of its number is a chain that was begun again: broken.
/// 4. Opened again, it goes on behind the lines that are there; a torn last line is cut off, since its device was not
///    told that it arrived.
///
/// # Cost
/// About 45 KB; one sync of the disk for each call of `receive`.
#[derive(Debug)]
pub struct Trail {
    life: Life,
    verifier: Option<Hidden>,
    file: Option<File>,
    first: Option<Head>,
    recent: VecDeque<Entry>,
    status: Status,
}

/// A verifier, which has no `Debug` since it holds a key.
struct Hidden(Verifier);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Verifier").field(&self.0.end()).finish()
    }
}

impl Trail {
    /// Goes on with what is kept of `life` in `dir`, which is made if need be; without one, in memory alone.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(dir: Option<&Path>, life: Life, fleet_key: Option<&[u8]>) -> io::Result<Self> {
        let verifier = fleet_key.map(|key| Hidden(Verifier::new(life.first_key(key))));
        let status = Status { kept: dir.is_some(), ..Status::default() };
        let mut trail = Self { life, verifier, file: None, first: None, recent: VecDeque::new(), status };
        let Some(dir) = dir else { return Ok(trail) };
        fs::create_dir_all(dir)?;
        let path = dir.join(life.file_name());
        let file = private(OpenOptions::new().read(true).append(true).create(true)).open(&path)?;
        let mut lines = Lines::new(BufReader::new(&file));
        for entry in lines.by_ref() {
            match entry? {
                Some(entry) => {
                    trail.judge(&entry);
                }
                None => trail.on_unreadable(),
            }
        }
        if lines.is_torn() {
            file.set_len(lines.read())?;
        }
        file.sync_all()?;
        sync_dir_of(&path)?;
        trail.status.repeated = 0;
        trail.file = Some(file);
        Ok(trail)
    }

    /// Takes in records as they came.
    ///
    /// # Errors
    /// The file system's: what is on disk is not known then, and the trail must be opened again.
    pub fn receive(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut text = String::new();
        for entry in entries {
            if self.judge(entry) {
                text.push_str(&lines::line(entry));
            }
        }
        match &mut self.file {
            Some(file) if !text.is_empty() => file.write_all(text.as_bytes()).and_then(|()| file.sync_data()),
            _ => Ok(()),
        }
    }

    /// Whose chain it is.
    #[must_use]
    pub const fn life(&self) -> Life {
        self.life
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// The chain's end, as far as it verifies.
    #[must_use]
    pub fn head(&self) -> Head {
        self.verifier.as_ref().map_or_else(Head::default, |verifier| verifier.0.end())
    }

    /// The last records that `filter` asks for, the newest first; the last 128 are held.
    pub fn find(&self, filter: &Filter<'_>) -> Vec<Entry> {
        self.recent.iter().rev().filter(|entry| filter.matches(entry)).copied().collect()
    }

    /// Judges a record that came; whether it is to be kept.
    fn judge(&mut self, entry: &Entry) -> bool {
        let known = |known: Head| (known.seq == entry.seq).then_some(known.tag == entry.tag);
        let recent = self.recent.iter().rev().map(|one| Head { seq: one.seq, tag: one.tag });
        let again = recent.chain(self.first).find_map(known);
        let behind = self.verifier.as_ref().is_some_and(|verifier| entry.seq <= verifier.0.end().seq);
        if again == Some(true) || (again.is_none() && behind) {
            self.status.repeated += 1;
            return false;
        }
        if again == Some(false) && self.status.broken.is_none() {
            self.on_broken(Broken::Changed { seq: entry.seq });
        }
        if self.status.broken.is_none() {
            match self.verifier.as_mut().map(|verifier| (verifier.0.check(entry), verifier.0.end())) {
                Some((Ok(()), end)) => self.on_good(Verdict::Verified, end),
                Some((Err(broken), _)) => self.on_broken(broken),
                None => self.on_good(Verdict::Unverified, Head { seq: self.status.records + 1, tag: entry.tag }),
            }
        }
        if self.status.broken.is_some() {
            self.status.unverified += 1;
            if self.status.unverified > MAX_UNVERIFIED {
                self.status.dropped += 1;
                return false;
            }
        }
        self.first.get_or_insert(Head { seq: entry.seq, tag: entry.tag });
        self.recent.push_back(*entry);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        true
    }

    fn on_good(&mut self, verdict: Verdict, end: Head) {
        self.status.verdict = verdict;
        self.status.records = end.seq;
        self.status.head = Some(hex(&end.tag));
    }

    fn on_broken(&mut self, broken: Broken) {
        self.status.verdict = Verdict::Broken;
        self.status.broken = Some(broken.to_string());
        self.status.broken_seq = Some(broken.seq());
    }

    /// A line of the file is none.
    fn on_unreadable(&mut self) {
        let seq = self.status.records + 1;
        if self.status.broken.is_none() {
            self.on_broken(Broken::Unreadable { seq });
        }
        self.status.unverified += 1;
    }
}

/// The chains that are kept in `dir`, by device and then by the time of their last record, the newest last.
///
/// # Errors
/// The file system's.
pub fn kept(dir: &Path) -> io::Result<Vec<(Life, PathBuf)>> {
    let mut all = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        if let Some(life) = file.file_name().to_str().and_then(Life::of_file_name) {
            all.push((life.device, file.metadata()?.modified()?, life, file.path()));
        }
    }
    all.sort_by(|a, b| (a.0, a.1, &a.3).cmp(&(b.0, b.1, &b.3)));
    Ok(all.into_iter().map(|(.., life, path)| (life, path)).collect())
}

/// Checks the device chain kept at `path`, whose name says whose it is, and against a head that was kept elsewhere.
///
/// # Errors
/// The file system's; [`io::ErrorKind::InvalidInput`] if the name is none of [`Life::file_name`].
pub fn check_at(path: &Path, fleet_key: &[u8], head: Option<Head>) -> io::Result<Report> {
    let life = path.file_name().and_then(|name| name.to_str()).and_then(Life::of_file_name);
    let life = life.ok_or_else(|| {
        let text = format!("{}: a device chain is called DEVICE.BOOT.NONCE.audit", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    lines::verify_lines(BufReader::new(File::open(path)?), life.first_key(fleet_key), head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::test_dir;
    use daur_core::security::audit::{Chain, Completeness, Event, Kind};
    use daur_core::time::Instant;

    const FLEET_KEY: &[u8] = b"a fleet key of at least 32 bytes, for tests only";

    fn life(boot: u32) -> Life {
        Life { device: DeviceId::new("node-1").unwrap(), boot: BootId(boot), nonce: 77 }
    }

    fn entries(life: Life, length: u64) -> Vec<Entry> {
        let mut chain = Chain::new(life.device, life.boot, life.first_key(FLEET_KEY));
        (0..length)
            .map(|n| chain.append(&Event::command("alice", &format!("set {n}"), true), Instant::from_secs(n), None))
            .collect()
    }

    fn open(dir: Option<&Path>) -> Trail {
        Trail::open(dir, life(1), Some(FLEET_KEY)).unwrap()
    }

    fn stands(trail: &Trail) -> (Verdict, u64, Option<u64>, u64) {
        let status = trail.status();
        (status.verdict, status.records, status.broken_seq, status.unverified)
    }

    #[test]
    fn rule_1_records_are_verified_as_they_come_and_the_first_bad_one_is_named() {
        let all = entries(life(1), 5);
        let mut trail = open(None);
        assert_eq!(stands(&trail), (Verdict::Missing, 0, None, 0));
        trail.receive(&all[..3]).unwrap();
        assert_eq!(stands(&trail), (Verdict::Verified, 3, None, 0));
        assert_eq!((trail.head().seq, trail.status().head), (3, Some(hex(&all[2].tag))));
        let mut bad = all[3];
        bad.event.actor = daur_core::text::Text::cut("mallory");
        trail.receive(&[bad, all[4]]).unwrap();
        assert_eq!(stands(&trail), (Verdict::Broken, 3, Some(4), 2));
        assert_eq!(trail.status().broken.as_deref(), Some("audit record 4 was changed"));
        // One that never came, and one of another life.
        let mut trail = open(None);
        trail.receive(&[all[0], all[2]]).unwrap();
        assert_eq!(trail.status().broken.as_deref(), Some("audit record 2 is missing"));
        let mut trail = open(None);
        trail.receive(&entries(life(2), 1)).unwrap();
        assert_eq!(stands(&trail), (Verdict::Broken, 0, Some(1), 1));
    }

    #[test]
    fn rule_2_what_came_is_kept_and_verifies_from_the_fleet_key_alone() {
        let dir = test_dir("trail");
        let all = entries(life(1), 5);
        open(Some(dir.path())).receive(&all).unwrap();
        let files = kept(dir.path()).unwrap();
        let (of, path) = &files[0];
        assert_eq!((files.len(), *of), (1, life(1)));
        let head = Head { seq: 5, tag: all[4].tag };
        assert_eq!(check_at(path, FLEET_KEY, Some(head)).unwrap().result(), Ok(head));
        assert_eq!(check_at(path, b"another key", None).unwrap().integrity, Err(Broken::Changed { seq: 1 }));
        let renamed = path.with_file_name(Life { nonce: 78, ..life(1) }.file_name());
        fs::rename(path, &renamed).unwrap();
        assert!(check_at(&renamed, FLEET_KEY, None).unwrap().integrity.is_err(), "another life's name");
        assert_eq!(check_at(dir.path(), FLEET_KEY, None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn rule_2_a_bad_record_is_kept_as_evidence_and_a_flood_of_them_is_bounded() {
        let dir = test_dir("evidence");
        let all = entries(life(1), 2);
        let mut trail = open(Some(dir.path()));
        let forged = |seq| Entry { seq, ..all[1] };
        trail.receive(&[all[0], forged(3)]).unwrap();
        for seq in 4..4 + 2 * MAX_UNVERIFIED {
            trail.receive(&[forged(seq)]).unwrap();
        }
        assert_eq!(trail.status().dropped, MAX_UNVERIFIED + 1);
        let path = dir.path().join(life(1).file_name());
        let report = check_at(&path, FLEET_KEY, None).unwrap();
        assert_eq!((report.integrity, report.end.seq), (Err(Broken::Missing { seq: 2 }), 1));
        let count = fs::read_to_string(&path).unwrap().lines().count() as u64;
        assert_eq!(count, 1 + MAX_UNVERIFIED);
    }

    #[test]
    fn rule_3_a_record_that_came_before_changes_nothing_and_a_chain_begun_again_is_broken() {
        let all = entries(life(1), 400);
        let mut trail = open(None);
        trail.receive(&all[..300]).unwrap();
        // Sent again: some that are held, and one that is not.
        trail.receive(&[all[298], all[299], all[40]]).unwrap();
        trail.receive(&all[300..]).unwrap();
        assert_eq!((stands(&trail), trail.status().repeated), ((Verdict::Verified, 400, None, 0), 3));
        // The same life begins its chain again.
        let mut chain = Chain::new(life(1).device, life(1).boot, life(1).first_key(FLEET_KEY));
        let again = chain.append(
            &Event::new(Kind::Start, daur_core::security::audit::Outcome::Success, "", "", ""),
            Instant::ZERO,
            None,
        );
        trail.receive(&[again]).unwrap();
        assert_eq!(stands(&trail), (Verdict::Broken, 400, Some(1), 1));
    }

    #[test]
    fn rule_4_opened_again_it_goes_on_and_a_torn_line_comes_again() {
        let dir = test_dir("again");
        let all = entries(life(1), 4);
        open(Some(dir.path())).receive(&all[..2]).unwrap();
        let path = dir.path().join(life(1).file_name());
        let whole = fs::read(&path).unwrap();
        let torn = lines::line(&all[2]);
        for cut in [1, torn.len() / 2, torn.len() - 1] {
            fs::write(&path, [&whole, &torn.as_bytes()[..cut]].concat()).unwrap();
            let mut trail = open(Some(dir.path()));
            assert_eq!(stands(&trail), (Verdict::Verified, 2, None, 0));
            trail.receive(&all[1..]).unwrap();
            assert_eq!(stands(&trail), (Verdict::Verified, 4, None, 0));
            let head = Head { seq: 4, tag: all[3].tag };
            let report = check_at(&path, FLEET_KEY, Some(head)).unwrap();
            assert_eq!((report.integrity, report.completeness), (Ok(()), Completeness::Complete));
        }
    }

    #[test]
    fn rule_4_of_a_torn_line_behind_one_that_is_too_long_no_more_is_cut_off_than_itself() {
        let dir = test_dir("long");
        let all = entries(life(1), 3);
        open(Some(dir.path())).receive(&all).unwrap();
        let path = dir.path().join(life(1).file_name());
        let whole = fs::read(&path).unwrap();
        let long = [&[b'x'; 3 * lines::MAX_LINE][..], b"\n", &whole].concat();
        fs::write(&path, [&long[..], b"torn"].concat()).unwrap();
        assert_eq!(stands(&open(Some(dir.path()))), (Verdict::Broken, 0, Some(1), 4));
        assert!(fs::read(&path).unwrap() == long);
    }

    #[test]
    fn without_a_key_records_are_kept_and_nobody_says_that_they_are_right() {
        let mut trail = Trail::open(None, life(1), None).unwrap();
        trail.receive(&entries(life(1), 3)).unwrap();
        assert_eq!(stands(&trail), (Verdict::Unverified, 3, None, 0));
        assert_eq!(trail.find(&Filter { actor: Some("alice"), ..Filter::ALL }).len(), 3);
    }
}
