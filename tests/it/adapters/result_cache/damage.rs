//! Bits that flip in the file: in values, in each kind of page, in the header.

use super::*;

use std::collections::BTreeMap;

use daur_core::rng::Rng;

const PAGE: usize = 4_096;

/// The kinds of pages that a file of SQLite has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Schema,
    Pointers,
    InnerTable,
    LeafTable,
    InnerIndex,
    LeafIndex,
    Overflow,
    Free,
}

/// Says of each page what it is: by the map of pointers, which a file that can be vacuumed has on its second page.
fn kinds(file: &[u8]) -> BTreeMap<Kind, Vec<usize>> {
    let pages = file.len() / PAGE;
    assert!(pages < 800, "one page of pointers");
    let mut kinds = BTreeMap::<_, Vec<_>>::from([(Kind::Schema, vec![0]), (Kind::Pointers, vec![1])]);
    for page in 2..pages {
        let kind = match (file[PAGE + 5 * (page - 2)], file[page * PAGE]) {
            (1 | 5, 0x05) => Kind::InnerTable,
            (1 | 5, 0x0D) => Kind::LeafTable,
            (1 | 5, 0x02) => Kind::InnerIndex,
            (1 | 5, 0x0A) => Kind::LeafIndex,
            (2, _) => Kind::Free,
            (3 | 4, _) => Kind::Overflow,
            other => panic!("page {page} is {other:?}"),
        };
        kinds.entry(kind).or_default().push(page);
    }
    kinds
}

fn value(i: u32) -> Vec<u8> {
    let mut rng = Rng::new(i.into());
    let len = if i.is_multiple_of(8) { 9_000 } else { 40 };
    (0..len).map(|_| rng.next_u32() as u8).collect()
}

fn name(i: u32) -> [u8; 40] {
    let mut name = [i as u8; 40];
    name[..4].copy_from_slice(&i.to_le_bytes());
    name
}

const ROWS: u32 = 1_000;

/// A closed file with rows of all sizes, and with free pages.
fn pristine(folder: &Folder) -> Vec<u8> {
    let cache = folder.open();
    for i in 0..ROWS + 40 {
        // Some will be deleted as expired, in two goes.
        let ttl = if i < ROWS { TTL } else { Duration::from_secs(1) };
        cache.set_later(&name(i), &if i < ROWS { value(i) } else { vec![7; 9_000] }, ttl, NOW);
    }
    cache.flush();
    for _ in 0..3 {
        assert_eq!(cache.set(b"last", b"v", TTL, after(1)), Stored::Yes);
    }
    assert_eq!(cache.snapshot().rows, u64::from(ROWS) + 1);
    drop(cache);
    fs::read(folder.file()).unwrap()
}

/// Opens what is in the place of the file: nothing is wrong, and in the end it takes results again.
#[track_caller]
fn serves(folder: &Folder, what: &dyn std::fmt::Debug) -> (Snapshot, usize) {
    let cache = ResultCache::open(folder.file(), Config { readers: 1, ..Config::DEFAULT })
        .unwrap_or_else(|error| panic!("{what:?}: {error:?}"));
    let mut hits = 0;
    for i in 0..ROWS {
        if let Some(found) = cache.get(&name(i), after(1)) {
            assert!(found == value(i), "{what:?}: other bytes for row {i}");
            hits += 1;
        }
    }
    // Damage may show first at a write, and more of it at the next; a new file has none.
    let stored = (0..3).any(|n| cache.set(b"new", &[n; 5_000], TTL, after(1)) == Stored::Yes);
    assert!(stored, "{what:?}: {:?}", cache.snapshot());
    assert!(cache.get(b"new", after(1)).is_some_and(|value| value.len() == 5_000), "{what:?}");
    let shown = cache.snapshot();
    assert!(shown.up, "{what:?}");
    (shown, hits)
}

fn clear(folder: &Folder) {
    for entry in fs::read_dir(&folder.0).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn flipped_bits_in_values_are_misses_and_all_others_stay() {
    let folder = Folder::new("value-bits");
    let mut file = pristine(&folder);
    let mut rng = Rng::new(1);
    let flipped: Vec<u32> = (0..ROWS).filter(|i| i % 8 != 0 && i % 20 == 1).collect();
    for i in &flipped {
        let value = value(*i);
        let (byte, bit) = (rng.next_u32() as usize % value.len(), rng.next_u32() % 8);
        // Pages that were split hold old copies too.
        let places: Vec<usize> = (0..file.len() - value.len()).filter(|at| file[*at..].starts_with(&value)).collect();
        assert!(!places.is_empty(), "it is in the file as it is");
        places.into_iter().for_each(|at| file[at + byte] ^= 1 << bit);
    }
    fs::write(folder.file(), &file).unwrap();
    let cache = folder.open();
    for i in 0..ROWS {
        let found = cache.get(&name(i), after(1));
        assert_eq!(found, (!flipped.contains(&i)).then(|| value(i)), "row {i}");
    }
    cache.flush();
    let shown = cache.snapshot();
    assert_eq!((shown.corrupt, shown.quarantined), (flipped.len() as u64, 0));
    assert_eq!(shown.rows, u64::from(ROWS) + 1 - shown.corrupt, "the damaged rows are gone");
}

#[test]
fn flipped_bits_in_pages_of_every_kind_are_misses_and_it_serves_on() {
    let folder = Folder::new("page-bits");
    let file = pristine(&folder);
    let kinds = kinds(&file);
    assert_eq!(kinds.len(), 8, "{:?}", kinds.keys());
    let mut rng = Rng::new(2);
    for (kind, pages) in kinds {
        let mut hits = 0;
        for n in 0..12 {
            let mut file = file.clone();
            let page = pages[rng.next_u32() as usize % pages.len()];
            // The structure stands at the page's beginning.
            let within = rng.next_u32() as usize % if n % 3 == 0 { PAGE } else { 32 };
            let bit = rng.next_u32() % 8;
            file[page * PAGE + within] ^= 1 << bit;
            clear(&folder);
            fs::write(folder.file(), &file).unwrap();
            hits += serves(&folder, &(kind, page, within, bit)).1;
        }
        if matches!(kind, Kind::LeafTable | Kind::Overflow | Kind::Free | Kind::Pointers) {
            assert!(hits > 0, "{kind:?}: one page does not take all others with it");
        }
    }
}

#[test]
fn a_flipped_bit_in_any_byte_of_the_header_is_survived() {
    let folder = Folder::new("header-bits");
    let file = pristine(&folder);
    let mut rng = Rng::new(3);
    for byte in 0..100 {
        let mut file = file.clone();
        let bit = rng.next_u32() % 8;
        file[byte] ^= 1 << bit;
        clear(&folder);
        fs::write(folder.file(), &file).unwrap();
        serves(&folder, &(byte, bit));
    }
}

#[test]
fn garbage_in_the_header_goes_into_quarantine() {
    let folder = Folder::new("header-garbage");
    let mut file = pristine(&folder);
    file[..100].fill(0xA5);
    fs::write(folder.file(), &file).unwrap();
    let (shown, hits) = serves(&folder, &"garbage");
    assert_eq!((shown.quarantined, folder.quarantined(), hits), (1, 1, 0));
    let quarantined = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path());
    let kept =
        quarantined.filter(|path| path.to_string_lossy().contains("quarantine")).map(|path| fs::read(path).unwrap());
    assert_eq!(kept.max_by_key(Vec::len), Some(file), "as it was, for whoever wants to look at it");
}

#[test]
fn each_part_of_a_file_is_survived_and_so_is_none() {
    let folder = Folder::new("parts");
    let file = pristine(&folder);
    for len in [
        0,
        1,
        15,
        16,
        99,
        100,
        512,
        PAGE - 1,
        PAGE,
        PAGE + 1,
        2 * PAGE,
        file.len() / 2,
        file.len() - PAGE,
        file.len() - 1,
    ] {
        clear(&folder);
        fs::write(folder.file(), &file[..len]).unwrap();
        let (shown, hits) = serves(&folder, &len);
        assert!(shown.quarantined <= 1, "{shown:?}");
        assert!(hits < ROWS as usize || len == file.len() - 1, "{len}");
    }
}

#[test]
fn a_damaged_log_takes_nothing_but_itself() {
    let folder = Folder::new("log-bits");
    let mut rng = Rng::new(4);
    for round in 0..12 {
        clear(&folder);
        let cache = folder.open();
        for i in 0..50 {
            assert_eq!(cache.set(&name(i), &value(i), TTL, NOW), Stored::Yes);
        }
        // As after a kill: the files of a cache that is not closed.
        let files = ["", "-wal"].map(|suffix| fs::read(folder.0.join(format!("results.db{suffix}"))).unwrap());
        drop(cache);
        clear(&folder);
        let [file, mut log] = files;
        let at = if round == 0 { 0 } else { rng.next_u32() as usize % log.len() };
        log[at] ^= 1 << (rng.next_u32() % 8);
        if round % 4 == 3 {
            log.truncate(at);
        }
        fs::write(folder.file(), file).unwrap();
        fs::write(folder.0.join("results.db-wal"), log).unwrap();
        serves(&folder, &(round, at));
    }
}
