//! How each thing stands that somebody may want to be told of when that changes.

use daur_core::performance::memory::Level;

use super::FullStatus;

/// How one thing stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it is known by, from one look to the next.
    pub key: String,
    /// The first levels of its topic: `breaker.uname`.
    pub subject: String,
    /// The last level of its topic: `opened`.
    pub state: &'static str,
    /// `red`, `amber` or `green`.
    pub level: &'static str,
    /// In words.
    pub text: String,
    /// What may come and go between two looks: how often it has happened, and what is then told first.
    pub passing: Option<Passing>,
}

/// What may come and go between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// How often it has happened.
    pub count: u64,
    /// The last level of its topic.
    pub state: &'static str,
    /// In words.
    pub text: String,
}

/// One level of a topic: what would be several, or none, is written with `_`.
#[must_use]
pub fn topic_level(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let allowed = |c: char| if c.is_control() || matches!(c, '.' | '*' | '>' | ' ') { '_' } else { c };
    name.chars().take(64).map(allowed).collect()
}

/// How everything stands.
pub(crate) fn standings(status: &FullStatus) -> Vec<Standing> {
    let mut all = Vec::new();
    breakers(status, &mut all);
    devices(status, &mut all);
    parts(status, &mut all);
    work(status, &mut all);
    all
}

fn standing(subject: impl Into<String>, (state, level): (&'static str, &'static str), text: String) -> Standing {
    let subject = subject.into();
    Standing { key: subject.clone(), subject, state, level, text, passing: None }
}

/// The state of a breaker as a topic's level, how grave it is, and in words.
fn of_breaker(state: &str) -> ((&'static str, &'static str), &'static str) {
    match state {
        "open" => (("opened", "red"), "is open"),
        "half_open" => (("probing", "amber"), "is probing"),
        "forced_open" => (("forced_open", "red"), "is held open by hand"),
        "disabled" => (("forced_closed", "amber"), "is held closed by hand"),
        _ => (("closed", "green"), "is closed"),
    }
}

fn breakers(status: &FullStatus, all: &mut Vec<Standing>) {
    for breaker in &status.breakers {
        let (state, words) = of_breaker(breaker.state);
        let text = |words: &str| format!("Breaker of {} {words}", breaker.name);
        let passing = Passing { count: breaker.opened.into(), state: "opened", text: text("has opened") };
        let subject = format!("breaker.{}", topic_level(&breaker.name));
        all.push(Standing { passing: Some(passing), ..standing(subject, state, text(words)) });
    }
    for upstream in &status.models.upstreams {
        let (state, words) = of_breaker(upstream.state);
        let text = format!("Breaker of the model {} {words}", upstream.name);
        all.push(standing(format!("model.{}", topic_level(&upstream.name)), state, text));
    }
}

fn devices(status: &FullStatus, all: &mut Vec<Standing>) {
    for device in &status.devices {
        let name = device.id.as_deref().unwrap_or(&device.endpoint);
        // One that was never there is not lost, and one that has not said its name may be another's line.
        let (state, words) = match (device.connected, device.id.is_some()) {
            (true, false) => (("awaited", "green"), "has not said its name"),
            (true, true) if device.last_seen_ms.is_some_and(|seen| seen > 10_000) => (("silent", "amber"), "is silent"),
            (true, true) => (("connected", "green"), "is connected"),
            (false, _) if device.connections == 0 => (("awaited", "green"), "has not connected yet"),
            (false, _) => (("lost", "red"), "is not connected"),
        };
        let text = format!("Device {name} {words}");
        let of = standing(format!("device.{}", topic_level(name)), state, text);
        all.push(Standing { key: format!("device at {}", device.endpoint), ..of });
    }
}

fn parts(status: &FullStatus, all: &mut Vec<Standing>) {
    let given = status.memory.used_permille.map_or_else(String::new, |used| format!(", {} % used", used / 10));
    let (state, words) = match status.memory.level {
        Level::Normal => (("normal", "green"), "There is enough memory"),
        Level::Elevated => (("elevated", "amber"), "Memory is short"),
        Level::Critical => (("critical", "red"), "Memory is about to run out"),
    };
    all.push(standing("memory", state, format!("{words}{given}")));
    let audit = &status.security.audit;
    let (state, words) = match (audit.broken, audit.lost + audit.failed) {
        (true, _) => (("broken", "red"), "The audit cannot be written"),
        (false, 1..) => (("lost", "red"), "Audit events were lost"),
        (false, 0) => (("whole", "green"), "The audit is whole"),
    };
    all.push(standing("audit", state, words.to_owned()));
    let up = |up: bool| if up { (("up", "green"), "is up") } else { (("down", "amber"), "is down") };
    for (subject, name, is_up) in [
        ("history", "The history", status.history.up),
        ("cache", "The result cache", status.cache.file.counters.up),
        ("analytics", "What keeps what people do", status.analytics.up),
    ] {
        let (state, words) = up(is_up);
        all.push(standing(subject, state, format!("{name} {words}")));
    }
    for disk in status.system.iter().flat_map(|system| &system.disks) {
        let permille = disk.used.saturating_mul(1_000) / disk.total.max(1);
        let state = if permille >= 950 { ("full", "red") } else { ("enough", "green") };
        let text = format!("Disk {} is {} % full", disk.name, permille / 10);
        all.push(standing(format!("disk.{}", topic_level(&disk.name)), state, text));
    }
}

fn work(status: &FullStatus, all: &mut Vec<Standing>) {
    for check in &status.health.checks {
        // What nobody has looked at yet is as it was.
        let (state, words) = match check.status {
            "healthy" => (("passed", "green"), "passes"),
            "degraded" => (("degraded", "amber"), "is worse than it should be"),
            "unhealthy" => (("failed", "red"), "fails"),
            _ => continue,
        };
        let reason = check.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        let text = format!("Health check {} {words}{reason}", check.name);
        all.push(standing(format!("health.{}", topic_level(&check.name)), state, text));
    }
    for job in &status.jobs {
        let state = if job.failing { ("failing", "amber") } else { ("fine", "green") };
        let text = match (&job.last_error, job.failing) {
            (Some(error), true) => format!("The server's job {} fails: {error}", job.id),
            _ => format!("The server's job {} {}", job.id, if job.failing { "fails" } else { "is done again" }),
        };
        all.push(standing(format!("job.{}", topic_level(job.id)), state, text));
    }
    let is_full = status.pool.queued >= status.pool.room as u64;
    let (state, words) = if is_full { (("full", "red"), "is full") } else { (("enough", "green"), "has room") };
    all.push(standing("pool", state, format!("The pool for the disk {words}")));
    let state = if status.security.locked_users > 0 { ("locked", "amber") } else { ("open", "green") };
    let text = format!("{} users are locked after wrong passwords", status.security.locked_users);
    all.push(standing("logins", state, text));
    let panics =
        Passing { count: status.errors.panics, state: "panicked", text: "A part of the server panicked".to_owned() };
    let errors = standing("errors", ("quiet", "green"), String::new());
    all.push(Standing { passing: Some(panics), ..errors });
}

#[cfg(test)]
mod tests {
    use super::*;
    use daur_core::services::notify::check_topic;

    #[test]
    fn any_name_is_one_level_of_a_topic() {
        for (name, level) in [
            ("uname", "uname"),
            ("a.b", "a_b"),
            ("/mnt/a b", "/mnt/a_b"),
            ("*", "_"),
            ("", "_"),
            ("tcp:1.2:9\n", "tcp:1_2:9_"),
        ] {
            assert_eq!(topic_level(name), level);
            assert_eq!(check_topic(&format!("device.{}.lost", topic_level(name))), Ok(()));
        }
        assert!(check_topic(&topic_level(&"ö".repeat(300))).is_ok_and(|()| topic_level(&"ö".repeat(300)).len() == 128));
    }
}
