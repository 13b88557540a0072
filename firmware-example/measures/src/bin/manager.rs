//! The security manager alone: one key, eight revoked tokens, eight names in each table.
#![no_std]
#![no_main]

use daur_core::security::audit::Event;
use daur_core::security::manager::{At, Credentials, Kind, Manager};
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::security::token;
use daur_core::time::UnixTime;
use daur_measures::{black_box, image, now};

type Small = Manager<'static, 1, 8, 8>;

image!(manager: Option<Small> = None; {
    if let Ok(made) = Small::try_new(black_box(Policy::DEFAULT), token::Config::DEFAULT, None, &black_box([7; 32]), &[9; 32]) {
        let manager = manager.insert(made);
        let audit = &mut |event: &Event, _: &At<'_>| {
            black_box(event);
        };
        let at = At { source: black_box("uart"), now: now(), unix: black_box(Some(UnixTime::from_secs(1))) };
        let mut out = [0; 256];
        let given = Credentials { name: black_box("ada"), password: black_box("x"), stored: black_box(None) };
        black_box(manager.authenticate(given, black_box([1; 16]), &mut out, audit, &at).is_ok());
        black_box(manager.authorize(black_box("a.b.c"), black_box(Permissions::READ), audit, &at).is_ok());
        black_box(manager.refresh(black_box("a.b.c"), black_box(None), [2; 16], &mut out, audit, &at).is_ok());
        black_box(manager.revoke(black_box("a.b.c"), audit, &at).is_ok());
        let kind = black_box(Kind::Path);
        black_box(manager.validate_and_sanitize(black_box("a/b"), kind, "ada", &mut out, audit, &at).is_ok());
        black_box(manager.snapshot(now()));
        manager.poll(now());
    }
});
