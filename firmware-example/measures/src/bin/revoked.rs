//! Revoked tokens alone: eight of them and eight users, with an application's own scopes.
#![no_std]
#![no_main]

use daur_core::security::permission::{Permissions, Scopes};
use daur_core::security::token::{Claims, Config, Revoked};
use daur_core::time::{Duration, UnixTime};
use daur_measures::{black_box, image};

const SCOPES: Scopes = Scopes::new(&["reports.read", "reports.publish"]);

image!(revoked: Revoked<8> = Revoked::new(); {
    let now = UnixTime::from_secs(black_box(1_800_000_000));
    let may = SCOPES.parse(black_box("read,reports.read")).unwrap_or(Permissions::NONE);
    if let Ok(claims) = Claims::for_user(black_box("ada"), may, now, Duration::from_secs(60), black_box([7; 16])) {
        black_box(revoked.revoke(&claims, now).is_ok());
        black_box(revoked.revoke_user(claims.sub.as_str(), now.as_secs()).is_ok());
        black_box(revoked.reclaim(now, &Config::DEFAULT));
        black_box(revoked.check(&claims).is_ok());
    }
});
