//! Sessions alone: eight of them.
#![no_std]
#![no_main]

use daur_core::security::permission::Permissions;
use daur_core::security::session::{Config, Id, Sessions};
use daur_measures::{black_box, image, now};

image!(sessions: Sessions<8> = Sessions::new(Config::DEFAULT); {
    let id = Id::from_random(black_box([7; 16]));
    black_box(sessions.begin(id.clone(), black_box("ada"), Permissions::READ, now()).is_ok());
    black_box(sessions.resume(&id, now()).is_ok());
    black_box(sessions.rotate(&id, Id::from_random(black_box([8; 16])), Permissions::ALL, now()).is_ok());
    black_box(sessions.end(&id).is_some());
    black_box(sessions.end_user(black_box("ada")));
    black_box(sessions.end_others(&id));
    black_box(sessions.poll(now()));
});
