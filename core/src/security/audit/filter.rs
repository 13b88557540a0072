//! Which records are asked for.

use super::entry::Entry;
use super::event::{Kind, Outcome};
use crate::time::{Instant, UnixTime};

/// Says which records are wanted; what is `None` does not matter.
///
/// The same value is asked of a device's ring and of a host's stores.
///
/// # Rules
/// 1. A record matches if it agrees with all that is set.
/// 2. A record without wall time does not match where one is asked for.
///
/// # Example
/// ```
/// use daur_core::id::{BootId, DeviceId};
/// use daur_core::security::audit::{Chain, Event, Filter, Kind};
/// use daur_core::time::Instant;
///
/// let mut chain = Chain::new(DeviceId::new("boiler-7").unwrap(), BootId(1), [7; 32]);
/// let login = chain.append(&Event::login("alice", true, "10.0.0.7"), Instant::from_secs(1), None);
/// let of_alice = Filter { kind: Some(Kind::Login), actor: Some("alice"), ..Filter::ALL };
/// assert!(of_alice.matches(&login));
/// assert!(!Filter { actor: Some("bob"), ..of_alice }.matches(&login));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Filter<'a> {
    /// What.
    pub kind: Option<Kind>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Who, exactly.
    pub actor: Option<&'a str>,
    /// Not before this, by the wall.
    pub since: Option<UnixTime>,
    /// Before this, by the wall.
    pub before: Option<UnixTime>,
    /// Not before this, since the start of the record's life: for a device without a wall clock.
    pub at_since: Option<Instant>,
    /// Before this, since the start of the record's life.
    pub at_before: Option<Instant>,
}

impl Filter<'_> {
    /// All records.
    pub const ALL: Self =
        Self { kind: None, outcome: None, actor: None, since: None, before: None, at_since: None, at_before: None };

    /// Whether `entry` is wanted.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let event = &entry.event;
        self.kind.is_none_or(|kind| kind == event.kind)
            && self.outcome.is_none_or(|outcome| outcome == event.outcome)
            && self.actor.is_none_or(|actor| actor.as_bytes() == event.actor.as_bytes())
            && self.since.is_none_or(|since| entry.unix.is_some_and(|unix| unix >= since))
            && self.before.is_none_or(|before| entry.unix.is_some_and(|unix| unix < before))
            && self.at_since.is_none_or(|since| entry.at >= since)
            && self.at_before.is_none_or(|before| entry.at < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::audit::{Event, entry};

    fn entry() -> Entry {
        Entry {
            at: Instant::from_secs(5),
            unix: Some(UnixTime::from_secs(50)),
            event: Event::new(Kind::Command, Outcome::Denied, "alice", "", ""),
            ..entry::tests::longest()
        }
    }

    #[test]
    fn rule_1_a_record_matches_if_it_agrees_with_all_that_is_set() {
        let all = Filter {
            kind: Some(Kind::Command),
            outcome: Some(Outcome::Denied),
            actor: Some("alice"),
            since: Some(UnixTime::from_secs(50)),
            before: Some(UnixTime::from_millis(50_001)),
            at_since: Some(Instant::from_secs(5)),
            at_before: Some(Instant::from_millis(5_001)),
        };
        assert!(Filter::ALL.matches(&entry()) && all.matches(&entry()));
        for one_off in [
            Filter { kind: Some(Kind::Login), ..all },
            Filter { outcome: Some(Outcome::Failure), ..all },
            Filter { actor: Some("alic"), ..all },
            Filter { actor: Some(""), ..all },
            Filter { since: Some(UnixTime::from_millis(50_001)), ..all },
            Filter { before: Some(UnixTime::from_secs(50)), ..all },
            Filter { at_since: Some(Instant::from_millis(5_001)), ..all },
            Filter { at_before: Some(Instant::from_secs(5)), ..all },
        ] {
            assert!(!one_off.matches(&entry()), "{one_off:?}");
        }
    }

    #[test]
    fn rule_2_a_record_without_wall_time_does_not_match_where_one_is_asked_for() {
        let timeless = Entry { unix: None, ..entry() };
        assert!(Filter::ALL.matches(&timeless));
        assert!(!Filter { since: Some(UnixTime::from_secs(0)), ..Filter::ALL }.matches(&timeless));
        assert!(!Filter { before: Some(UnixTime::from_millis(u64::MAX)), ..Filter::ALL }.matches(&timeless));
    }
}
