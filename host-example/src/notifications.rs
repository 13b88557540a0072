//! What has changed on this server and its devices, told once: to whoever listens, and to whoever asks later.
//!
//! # Rules
//! 1. With each look of the job `sample`, what stands otherwise than before is told on its topic: `breaker.uname.opened`,
//!    `device.node-1.lost`, `memory.critical`. What stands as before is not told again.
//! 2. At the first look what is wrong is told, and what is well is not. A device that was never there is not lost.
//! 3. A breaker that opened between two looks is told, though it is closed again.
//! 4. The last of each topic are kept in memory, up to [`HISTORY`]; a restart begins anew.
//! 5. A name becomes one level of a topic: dots, spaces and wildcards in it are written `_`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use daur_core::time::UnixTime;
use daur_std::error::Error;
use daur_std::services::notify::{Config, Notification, NotificationRef, Notifier, Snapshot, Subscription};
use serde::Serialize;

use crate::status::{FullStatus, Passing, Standing, standings};

/// Notifications of one topic that are kept.
pub const HISTORY: usize = 64;
/// Topics at a time; those that were told least recently go first.
const TOPICS: usize = 4_096;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `red`, `amber` or `green`.
    pub level: &'static str,
    /// In words.
    pub text: Arc<str>,
}

/// A notification as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// How many were sent before it.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: Option<u64>,
    /// Its topic.
    pub topic: String,
    /// `red`, `amber` or `green`.
    pub level: &'static str,
    /// In words.
    pub text: String,
}

impl From<NotificationRef<'_, Told>> for Shown {
    fn from(one: NotificationRef<'_, Told>) -> Self {
        Self {
            number: one.number,
            at_ms: one.at.map(UnixTime::as_millis),
            topic: one.topic.to_string(),
            level: one.payload.level,
            text: one.payload.text.to_string(),
        }
    }
}

/// How something stood at the last look: its state, and how often what passes has happened.
type Before = (&'static str, u64);

/// Tells what changes.
pub struct Notifications {
    notifier: Notifier<Told>,
    before: Mutex<HashMap<String, Before>>,
}

impl Notifications {
    /// Nothing told but that the server has started.
    ///
    /// # Errors
    /// None; the type is that of the notifier's config.
    pub fn new() -> Result<Self, Error> {
        let notifier = Notifier::new(Config { history: HISTORY, topics: TOPICS, ..Config::DEFAULT })?;
        let notifications = Self { notifier, before: Mutex::default() };
        notifications.tell("server.started", "green", concat!("daur-host ", env!("CARGO_PKG_VERSION"), " has started"));
        Ok(notifications)
    }

    fn tell(&self, topic: &str, level: &'static str, text: &str) {
        if let Err(rejected) = self.notifier.notify(topic, Told { level, text: text.into() }) {
            tracing::warn!(topic, error = %rejected.error, "a notification was not sent");
        }
    }

    /// Tells what stands otherwise than at the look before.
    pub(crate) fn look(&self, status: &FullStatus) {
        self.compare(standings(status));
    }

    fn compare(&self, standings: Vec<Standing>) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = HashMap::with_capacity(standings.len());
        for Standing { key, subject, state, level, text: standing_text, passing } in standings {
            let count = passing.as_ref().map_or(0, |passing| passing.count);
            let known = before.get(&key).copied();
            let mut changed = known.map_or(level != "green", |(before, _)| before != state);
            if let Some(Passing { count, state: passed, text }) = &passing
                && known.map_or(0, |(_, before)| before) < *count
                && !(changed && state == *passed)
            {
                self.tell(&format!("{subject}.{passed}"), "red", text);
                // And how it stands since then, though that is as before.
                changed |= known.is_some() && !standing_text.is_empty();
            }
            if changed {
                self.tell(&format!("{subject}.{state}"), level, &standing_text);
            }
            now.insert(key, (state, count));
        }
        *before = now;
    }

    /// The last `limit` on the topics of `pattern`, the oldest of them first.
    #[must_use]
    pub fn recent(&self, pattern: &str, limit: usize) -> Vec<Shown> {
        let shown = |one: &Notification<Told>| Shown::from(NotificationRef::from(one));
        self.notifier.notifications(pattern, limit).iter().map(shown).collect()
    }

    /// All that is told from now on; `None` if too many listen.
    #[must_use]
    pub fn stream(&self) -> Option<Subscription<Told>> {
        self.notifier.stream(">").ok()
    }

    /// What became of them.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.notifier.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(key: &str, state: &'static str, level: &'static str) -> Standing {
        let text = format!("{key} is {state}");
        Standing { key: key.to_owned(), subject: key.to_owned(), state, level, text, passing: None }
    }

    fn opened(count: u64, state: &'static str) -> Standing {
        let passing = Passing { count, state: "opened", text: "it has opened".to_owned() };
        let level = if state == "closed" { "green" } else { "red" };
        Standing { passing: Some(passing), ..stands("breaker.ls", state, level) }
    }

    fn topics(notifications: &Notifications) -> Vec<String> {
        notifications.recent(">", 100).into_iter().skip(1).map(|one| one.topic).collect()
    }

    #[test]
    fn rule_1_what_changes_is_told_once() {
        let notifications = Notifications::new().unwrap();
        for state in ["normal", "normal", "critical", "critical", "normal"] {
            let level = if state == "normal" { "green" } else { "red" };
            notifications.compare(vec![stands("memory", state, level), stands("history", "up", "green")]);
        }
        assert_eq!(topics(&notifications), ["memory.critical", "memory.normal"]);
        let told = notifications.recent("memory.critical", 9);
        assert_eq!((told.len(), told[0].level, &*told[0].text), (1, "red", "memory is critical"));
    }

    #[test]
    fn rule_2_at_the_first_look_only_what_is_wrong_is_told() {
        let notifications = Notifications::new().unwrap();
        notifications.compare(vec![stands("history", "up", "green"), stands("audit", "broken", "red")]);
        assert_eq!(topics(&notifications), ["audit.broken"]);
        // What was away is new again.
        notifications.compare(vec![]);
        notifications.compare(vec![stands("history", "down", "amber"), stands("audit", "whole", "green")]);
        assert_eq!(topics(&notifications), ["audit.broken", "history.down"]);
    }

    #[test]
    fn rule_3_a_breaker_that_opened_between_two_looks_is_told() {
        let notifications = Notifications::new().unwrap();
        let mut told = 0;
        let mut then = |standing, expected: &[&str]| {
            notifications.compare(vec![standing]);
            let topics = topics(&notifications);
            assert_eq!(topics[told..], *expected);
            told = topics.len();
        };
        then(opened(0, "closed"), &[]);
        then(opened(1, "opened"), &["breaker.ls.opened"]);
        then(opened(1, "opened"), &[]);
        then(opened(1, "closed"), &["breaker.ls.closed"]);
        then(opened(2, "closed"), &["breaker.ls.opened", "breaker.ls.closed"]);
        then(opened(3, "probing"), &["breaker.ls.opened", "breaker.ls.probing"]);
        then(opened(3, "closed"), &["breaker.ls.closed"]);
    }

    #[test]
    fn rule_4_the_last_of_each_topic_are_kept() {
        let notifications = Notifications::new().unwrap();
        for look in 0..400 {
            let state = if look % 2 == 0 { "down" } else { "up" };
            notifications.compare(vec![stands("history", state, if look % 2 == 0 { "amber" } else { "green" })]);
        }
        assert_eq!(notifications.recent("history.down", 1_000).len(), HISTORY);
        assert_eq!(notifications.recent("server.*", 1_000).len(), 1);
    }
}
