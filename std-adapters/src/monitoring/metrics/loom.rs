//! Models of the cells: every interleaving of a writer and a reader, and of a lane's owners, by `loom`.
//!
//! Run with `RUSTFLAGS="--cfg daur_loom" cargo test -p daur-std --no-default-features --lib loom`.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

use super::sync::{Numbers, Seq, Word};

impl Word for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn put(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }

    fn get_acquire(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    fn put_release(&self, value: u64) {
        self.store(value, Ordering::Release);
    }

    fn set_lowest_zero(&self) -> Option<u64> {
        let set = |bits: u64| (bits != u64::MAX).then(|| bits | (bits + 1));
        self.fetch_update(Ordering::Acquire, Ordering::Relaxed, set).ok()
    }

    fn clear(&self, mask: u64) {
        self.fetch_and(!mask, Ordering::Release);
    }

    fn fence_acquire() {
        fence(Ordering::Acquire);
    }

    fn fence_release() {
        fence(Ordering::Release);
    }
}

#[test]
fn loom_a_reader_sees_whole_records_only() {
    loom::model(|| {
        let cell = Arc::new((Seq(AtomicU64::new(0)), AtomicU64::new(0), AtomicU64::new(0)));
        let theirs = cell.clone();
        let writer = thread::spawn(move || {
            for _ in 0..2 {
                theirs.0.write(|| {
                    theirs.1.put(theirs.1.get() + 1);
                    theirs.2.put(theirs.2.get() + 7);
                });
            }
        });
        if let Some((count, sum)) = cell.0.read(|| (cell.1.get(), cell.2.get())) {
            assert_eq!(sum, count * 7);
        }
        writer.join().unwrap();
        assert_eq!(cell.0.read(|| (cell.1.get(), cell.2.get())), Some((2, 14)));
    });
}

#[test]
fn loom_a_lane_has_one_owner_and_the_next_goes_on_where_the_last_stopped() {
    loom::model(|| {
        let lanes = Arc::new((Numbers(AtomicU64::new(0)), [AtomicU64::new(0), AtomicU64::new(0)]));
        let count = |lanes: &(Numbers<AtomicU64>, [AtomicU64; 2])| {
            let lane = lanes.0.take().unwrap();
            let cell = &lanes.1[usize::from(lane)];
            cell.put(cell.get() + 1);
            lanes.0.give(lane);
        };
        let theirs = lanes.clone();
        let other = thread::spawn(move || count(&theirs));
        count(&lanes);
        other.join().unwrap();
        assert_eq!(lanes.1[0].get() + lanes.1[1].get(), 2);
    });
}
