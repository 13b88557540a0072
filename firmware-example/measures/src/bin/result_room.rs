//! Who goes when room is short, alone.
#![no_std]
#![no_main]

use daur_core::services::result_cache::{Hand, Marks, Room, Verdict};
use daur_measures::{black_box, image};

image!(state: (Room, Hand, Marks<64>) = (Room::DEFAULT, Hand::new(), Marks::new()); {
    let (room, hand, marks) = state;
    marks.touch(black_box(5));
    marks.reset(black_box(6));
    let mut free = room.to_free(black_box(1 << 26), black_box(4_096));
    let mut pass = hand.pass(room.spare);
    while free > 0 {
        if black_box(pass.judge(black_box(5), marks)) == Verdict::Evict {
            free = free.saturating_sub(black_box(256));
        }
    }
    black_box(pass.turn());
    black_box(hand.after());
});
