//! What the machines do beside their hottest paths: judging, standing in, checking what comes from outside.

use daur_core::crc::Crc32;
use daur_core::hal::clock::{TickExtender, moment};
use daur_core::id::{BootId, DeviceId};
use daur_core::monitoring::histogram::{Auto, Quantile};
use daur_core::reliability::breaker::{
    self, Backoff, Breaker, Consecutive, CountWindow, Growth, Slow, SlowCalls, Window,
};
use daur_core::reliability::executor::{self, Admit, Execution, Executor};
use daur_core::reliability::fallback::{Fallback, Registry, Source};
use daur_core::reliability::health::{self, CheckConfig, Health, Outcome};
use daur_core::reliability::limiter;
use daur_core::reliability::retry::Class;
use daur_core::rng::Rng;
use daur_core::security::audit::{Chain, Entry, Event, Verifier};
use daur_core::security::input::command::AllowList;
use daur_core::security::input::{email, path, sanitize};
use daur_core::security::keys::derive_device_key;
use daur_core::security::lockout::{self, Lockout};
use daur_core::security::manager::{At, CommandGate};
use daur_core::security::password::Rules;
use daur_core::security::permission::Permissions;
use daur_core::security::session::{self, Id, Sessions};
use daur_core::security::token::{self, Claims, Keys, Revoked};
use daur_core::services::analytics::{Funnel, Stage};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, UnixTime};
use daur_core::wire::frame::Downlink;
use daur_core::wire::inbox::{self, Inbox};
use daur_measures::{black_box, now};

use crate::{breaker_reports, measure};

pub(crate) fn all() {
    reliability();
    histograms();
    names();
    inputs();
    gate();
    small();
}

#[inline(never)]
fn reliability() {
    let config = breaker::Config::DEFAULT;
    let slow = Slow::<CountWindow<4>>::of_calls(Window::DEFAULT, SlowCalls::DEFAULT);
    breaker_reports("breaker_slow_on_success", "breaker_slow_on_failure", Breaker::with_mode(config, slow));
    let backoff = Backoff::new(Consecutive::new(5), Growth::DEFAULT, 7);
    breaker_reports("breaker_backoff_on_success", "breaker_backoff_on_failure", Breaker::with_mode(config, backoff));

    let mut executor: Executor = Executor::new(executor::Config::DEFAULT, 7);
    measure("executor_run_of_one_retry", || {
        let executor = black_box(&mut executor);
        let mut run = executor.start(now());
        if let Admit::Go { permit, .. } = executor.admit(&mut run, now()) {
            let _ = black_box(executor.on_failure(&mut run, permit, Class::Transient, now()));
        }
        // As if the wait were over.
        if let Admit::Go { permit, .. } = executor.admit(&mut run, now() + Duration::from_secs(60)) {
            executor.on_success(&mut run, permit, now());
        }
        black_box(run.finish::<u32, u32>(Ok(1), None, now()).attempts);
    });

    let mut last_good: Fallback<u32, u32> = Fallback::new(Source::LastGood { max_age: Duration::from_secs(30) });
    measure("fallback_remembers", || {
        black_box(black_box(&mut last_good).apply(Execution::of_value(black_box(1)), now()).fallback_used);
    });
    let mut registry: Registry<u32, u32, 4> = Registry::new();
    let _ = registry.add("sensor", Source::Value(20));
    measure("fallback_by_name", || {
        let execution = Execution::of_value(black_box(1));
        black_box(black_box(&mut registry).apply(black_box("sensor"), execution, &(), now()).fallback_used);
    });

    let mut health: Health<4> = Health::new(health::Config::DEFAULT);
    if let Ok(check) = health.add("sensor", CheckConfig::READINESS) {
        measure("health_report", || {
            black_box(black_box(&mut health).report(check, black_box(Outcome::Pass), Duration::ZERO, now()));
        });
    }
    measure("health_poll", || {
        black_box(black_box(&mut health).poll(now()));
    });
    measure("health_is_ready", || {
        black_box(black_box(&health).is_ready());
    });
}

#[inline(never)]
fn histograms() {
    let mut histogram = Auto::<64>::new();
    for value in 1..100 {
        histogram.record(value * 37);
    }
    measure("histogram_quantile", || {
        black_box(black_box(&histogram).quantile(Quantile::P99));
    });
    let mut funnel: Funnel<8> = Funnel::new(Duration::from_secs(60));
    measure("funnel_track", || {
        black_box(black_box(&mut funnel).track(black_box(Stage::First), black_box(b"alice"), now()));
    });
}

/// Who is who: names, sessions, tokens that do not count any more.
#[inline(never)]
fn names() {
    let mut lockout: Lockout<8> = Lockout::new(lockout::Config::DEFAULT, b"bytes of an entropy source");
    measure("lockout_check", || {
        black_box(black_box(&mut lockout).check(black_box("ada"), now()).is_ok());
    });
    let mut sessions: Sessions<8> = Sessions::new(session::Config::DEFAULT);
    let id = Id::from_random([7; 16]);
    let _ = sessions.begin(id.clone(), "ada", Permissions::READ, now());
    measure("session_resume", || {
        black_box(black_box(&mut sessions).resume(black_box(&id), now()).is_ok());
    });
    let unix = UnixTime::from_secs(1_800_000_000);
    let mut revoked: Revoked<8> = Revoked::new();
    if let Ok(claims) = Claims::for_user("ada", Permissions::READ, unix, Duration::from_secs(60), [7; 16]) {
        let _ = revoked.revoke(&claims, unix);
        measure("revoked_check", || {
            black_box(black_box(&revoked).check(black_box(&claims)).is_ok());
        });
    }
}

#[inline(never)]
fn inputs() {
    let mut buffer = [0; 128];
    measure("path_check", || {
        black_box(path::check(black_box("reports/today.txt"), &path::Rules::DEFAULT, &mut buffer).is_ok());
    });
    measure("sanitize_text", || {
        let text = black_box("<b>the sensor</b> does not answer");
        black_box(sanitize::sanitize(text, &sanitize::Rules::DEFAULT, &mut buffer).cut);
    });
    measure("command_admit", || {
        black_box(AllowList::DEFAULT.admit(black_box("ls -l"), &mut buffer).is_ok());
    });
    measure("email_check", || {
        black_box(email::check(black_box("ada@example.org"), &email::Rules::DEFAULT).is_ok());
    });
    measure("password_rules_check", || {
        black_box(Rules::DEVICE.check(black_box("correct horse battery"), black_box("ada")).is_ok());
    });
}

/// A signed command from its text to its admission, and an entry of the audit verified.
#[inline(never)]
fn gate() {
    let Ok(device) = DeviceId::new("node-1") else { return };
    let Ok(mut gate) = CommandGate::try_new(&device, 9, &[7; 32], limiter::Config::DEFAULT) else { return };
    let audit = &mut |event: &Event, _: &At<'_>| {
        black_box(event);
    };
    let at = At { source: "uart", now: now(), unix: None };
    let read = |text: &str| if text == "report" { Ok(((), Permissions::READ)) } else { Err(()) };
    measure("command_gate_refusal", || {
        black_box(black_box(&mut gate).admit(black_box("a.b.c"), read, audit, &at).is_ok());
    });
    if let Ok(keys) = Keys::<1>::new(token::Config::command(&device), None, &[7; 32]) {
        let claims = Claims::command(&device, 9, 1, Text::cut("ada"), Permissions::READ, Text::cut("report"));
        let mut buffer = [0; 384];
        if let Ok(text) = keys.sign(&claims, &mut buffer) {
            // Each is the first that this gate sees: one that was admitted is refused from then on.
            measure("command_gate_admission", || {
                let Ok(mut gate) = CommandGate::try_new(&device, 9, &[7; 32], limiter::Config::DEFAULT) else { return };
                black_box(gate.admit(black_box(text), read, audit, &at).is_ok());
            });
        }
    }
    let mut chain = Chain::new(device, BootId(1), [7; 32]);
    let entry: Entry = chain.append(&Event::command("ada", "report", true), now(), None);
    measure("audit_verify", || {
        let mut verifier = Verifier::new([7; 32]);
        black_box(verifier.check(black_box(&entry)).is_ok());
    });
    measure("derive_device_key", || {
        black_box(derive_device_key(black_box(&[7; 32]), &device));
    });
}

#[inline(never)]
fn small() {
    let mut ticks = TickExtender::new();
    let mut counter = 0_u32;
    measure("clock_extend_to_moment", || {
        counter = counter.wrapping_add(1_000);
        black_box(moment::<1_000_000>(black_box(&mut ticks).extend(black_box(counter))));
    });
    let mut rng = Rng::new(7);
    measure("rng_next_u32", || {
        black_box(black_box(&mut rng).next_u32());
    });
    measure("crc_of_64_bytes", || {
        black_box(Crc32::of(black_box(&[7; 64])));
    });
    let mut order = Inbox::new(inbox::Config::DEFAULT);
    let mut seq = 0;
    measure("inbox_next_frame", || {
        seq += 1;
        black_box(black_box(&mut order).on_frame(black_box(seq), None, Instant::from_secs(1)));
    });
    let mut line = [0; 16];
    measure("downlink_ack_read", || {
        black_box(Downlink::decode(black_box(&[0, 41])).is_ok());
    });
    measure("downlink_ack_write", || {
        black_box(Downlink::Ack { seq: black_box(41) }.encode(&mut line).is_ok());
    });
}
