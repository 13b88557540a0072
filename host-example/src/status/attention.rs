//! What a person should look at.

use daur_core::performance::memory::Level;

use super::{Attention, FullStatus};

/// Breakers of one device that are named one by one.
const BREAKERS_SHOWN: usize = 4;

/// What a person should look at, the worst first.
pub(super) fn attention(status: &FullStatus) -> Vec<Attention> {
    let mut all = Vec::new();
    let mut add = |level, text: String| all.push(Attention { level, text });
    for failing in &status.health.failing {
        add("red", format!("Health check failed: {failing}"));
    }
    for check in status.health.checks.iter().filter(|check| check.status == "degraded") {
        // Breakers, the cache and the history have lines of their own.
        if !matches!(check.name.as_str(), "programs" | "models" | "cache" | "history") {
            let reason = check.reason.as_deref().unwrap_or("worse than it should be");
            add("amber", format!("Health check {}: {reason}", check.name));
        }
    }
    for breaker in &status.breakers {
        match breaker.state {
            "open" => add("red", format!("Breaker of {} is open", breaker.name)),
            "half_open" => add("amber", format!("Breaker of {} is probing", breaker.name)),
            by_hand => add_held(&mut add, &breaker.name, by_hand),
        }
    }
    for upstream in &status.models.upstreams {
        match upstream.state {
            "open" => add("red", format!("Breaker of the model {} is open", upstream.name)),
            "half_open" => add("amber", format!("Breaker of the model {} is probing", upstream.name)),
            by_hand => add_held(&mut add, &format!("the model {}", upstream.name), by_hand),
        }
    }
    for (place, device) in status.devices.iter().enumerate() {
        let name = device.id.as_deref().unwrap_or(&device.endpoint);
        // Commands and figures go by the name: of two, only one is heard.
        if device.id.is_some() && status.devices.iter().take(place).any(|other| other.id == device.id) {
            add("amber", format!("{} has the name of another device, {name}", device.endpoint));
        }
        if !device.connected {
            add("red", format!("Device {name} is not connected"));
        } else if device.last_seen_ms.is_some_and(|seen| seen > 10_000) {
            add("amber", format!("Device {name} is silent"));
        }
        let not_closed = || device.breakers.iter().filter(|(_, told)| told.state.as_str() != "closed");
        for (breaker, told) in not_closed().take(BREAKERS_SHOWN) {
            let state = told.state.as_str().replace('_', " ");
            add("amber", format!("{name}: breaker of {breaker} is {state}"));
        }
        // A device may have more of them than anybody wants to read.
        if let more @ 1.. = not_closed().skip(BREAKERS_SHOWN).count() {
            add("amber", format!("{name}: {more} more breakers are not closed"));
        }
        // An older one is understood whole; a newer one may say what this server skips.
        if device.schema_ahead.is_some_and(|ahead| ahead > 0) {
            let skipped = device.unknown;
            add("amber", format!("Device {name} speaks a newer schema than this server: {skipped} records skipped"));
        }
        if device.ready == Some(false) {
            add("amber", format!("Device {name} says it is not ready"));
        }
    }
    if let Some(system) = &status.system {
        for disk in &system.disks {
            let permille = disk.used.saturating_mul(1_000) / disk.total.max(1);
            if permille >= 950 {
                add("red", format!("Disk {} is {} % full", disk.name, permille / 10));
            }
        }
        if let (Some(used), Some(total @ 1..)) = (system.memory_used, system.memory_total)
            && used.saturating_mul(1_000) / total >= 950
        {
            add("amber", "Memory is nearly used up".to_owned());
        }
    }
    let given = || status.memory.used_permille.map_or_else(String::new, |used| format!(", {} % used", used / 10));
    match status.memory.level {
        Level::Normal => {}
        Level::Elevated => add("amber", format!("Memory is short{}: caches hold less", given())),
        Level::Critical => add("red", format!("Memory is about to run out{}", given())),
    }
    if status.budget.is_some_and(|budget| budget.mode == "token_bucket" && budget.retries_left == 0) {
        add("amber", "The retry budget is used up: nothing is tried again".to_owned());
    }
    if status.bulkhead.waiting > 0 && status.bulkhead.waiting * 2 >= status.bulkhead.room {
        add("amber", format!("{} commands wait for a place", status.bulkhead.waiting));
    }
    match (status.pool.queued, status.pool.room as u64) {
        (queued, room) if queued >= room => add("red", format!("The pool is full: {queued} jobs wait for the disk")),
        (queued, room) if queued * 2 >= room => add("amber", format!("{queued} jobs wait for the disk")),
        _ => {}
    }
    for job in status.jobs.iter().filter(|job| job.failing) {
        let said = job.last_error.as_deref().unwrap_or("it does not say why");
        add("amber", format!("The server's job {} fails: {said}", job.id));
    }
    if status.events.lost > 0 {
        add("amber", format!("{} events were not recorded", status.events.lost));
    }
    if status.errors.panics > 0 {
        add("amber", format!("{} panics; the errors say where", status.errors.panics));
    }
    if let Some(dropped @ 1..) = status.logs.as_ref().map(|logs| logs.dropped) {
        add("amber", format!("{dropped} lines of the log were dropped"));
    }
    if !status.analytics.up || status.analytics.lost > 0 {
        add("amber", format!("What people do is not all kept: {} events were lost", status.analytics.lost));
    }
    if !status.history.up {
        add("amber", "The history is down: charts have gaps".to_owned());
    } else if status.history.lost > 0 {
        add("amber", format!("{} values of the history were lost", status.history.lost));
    }
    if !status.cache.file.counters.up {
        add("amber", "The result cache is down".to_owned());
    }
    if status.security.locked_users > 0 {
        add("amber", format!("{} locked after wrong passwords", users(status.security.locked_users)));
    }
    if status.security.audit.lost + status.security.audit.failed > 0 {
        add("red", "Audit events were lost".to_owned());
    }
    all.sort_by_key(|attention: &Attention| attention.level != "red");
    all
}

/// A breaker that an operator holds.
fn add_held(add: &mut impl FnMut(&'static str, String), name: &str, state: &str) {
    match state {
        "forced_open" => add("red", format!("Breaker of {name} is held open by hand")),
        "disabled" => add("amber", format!("Breaker of {name} is held closed by hand")),
        _ => {}
    }
}

fn users(n: u32) -> String {
    if n == 1 { "One user is".to_owned() } else { format!("{n} users are") }
}
