//! Notifications alone: the last eight alarms, for four subscribers.
#![no_std]
#![no_main]

use daur_core::services::notify::{Notifications, Received};
use daur_measures::{black_box, image, now};

image!(alarms: Notifications<u16, 8, 4> = Notifications::new(); {
    if let Ok(id) = black_box(alarms.subscribe(black_box("motor.*.hot"))) {
        black_box(alarms.notify(black_box("motor.left.hot"), black_box(81), now()).is_ok());
        if let Ok(Some(Received::Notification(alarm))) = alarms.try_recv(black_box(id)) {
            black_box(alarm.payload);
        }
        black_box(alarms.waiting(id).is_ok());
        black_box(alarms.unsubscribe(id).is_ok());
    }
    black_box(alarms.notifications(black_box("motor.>"), black_box(4)).count());
    black_box(alarms.snapshot());
});
