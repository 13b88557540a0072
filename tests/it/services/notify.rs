//! Notifications: the rules, and a naive model beside them.

use std::collections::VecDeque;

use daur_core::services::notify::{
    NotSubscribed, Notifications, Received, Rejected, SubscribeError, SubscriberId, TopicError, check_pattern,
    check_topic, matches,
};
use daur_core::time::Instant;
use proptest::prelude::*;

type Small = Notifications<u32, 4, 2>;

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// What a subscriber gets, as data: a payload, or how many it lags behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Payload(u32),
    Lagged(u32),
}

fn next<const N: usize, const SUBSCRIBERS: usize, const TOPIC: usize>(
    notifications: &mut Notifications<u32, N, SUBSCRIBERS, TOPIC>,
    id: SubscriberId,
) -> Option<Got> {
    notifications.try_recv(id).expect("subscribed").map(|received| match received {
        Received::Notification(notification) => Got::Payload(notification.payload),
        Received::Lagged(lagged) => Got::Lagged(lagged),
    })
}

fn all<const N: usize, const SUBSCRIBERS: usize, const TOPIC: usize>(
    notifications: &mut Notifications<u32, N, SUBSCRIBERS, TOPIC>,
    id: SubscriberId,
) -> Vec<Got> {
    std::iter::from_fn(|| next(notifications, id)).collect()
}

#[test]
fn rule_1_a_pattern_stands_for_topics_that_are_alike_level_by_level() {
    for (pattern, topics) in [
        ("foo", &["foo"][..]),
        ("foo.*", &["foo.a", "foo.bar"]),
        ("foo.>", &["foo.a", "foo.bar", "foo.a.b"]),
        ("*", &["foo", "fo"]),
        ("*.a", &["foo.a"]),
        ("*.*", &["foo.a", "foo.bar"]),
        ("*.>", &["foo.a", "foo.bar", "foo.a.b"]),
        ("foo.*.b", &["foo.a.b"]),
        (">", &["foo", "fo", "foo.a", "foo.bar", "foo.a.b"]),
        ("fo.>", &[]),
        ("foo.a.b.>", &[]),
        ("FOO", &[]),
    ] {
        let found = ["foo", "fo", "foo.a", "foo.bar", "foo.a.b"];
        let found: Vec<_> = found.into_iter().filter(|topic| matches(pattern, topic)).collect();
        assert_eq!(found, topics, "{pattern}");
    }
}

#[test]
fn rule_2_three_without_a_subscriber_are_all_in_the_history() {
    let mut notifications = Small::new();
    for second in 1..=3 {
        let sent = notifications.notify("user.login", second, at(second.into())).unwrap();
        assert_eq!((sent.number, sent.subscribers), (u64::from(second) - 1, 0));
    }
    let kept: Vec<_> =
        notifications.notifications("user.login", 10).map(|n| (n.number, n.at, n.topic.as_str(), n.payload)).collect();
    assert_eq!(kept, [(0, at(1), "user.login", 1), (1, at(2), "user.login", 2), (2, at(3), "user.login", 3)]);
    let shown = notifications.snapshot();
    assert_eq!((shown.sent, shown.unheard, shown.matched, shown.kept), (3, 3, 0, 3));

    // Of another topic, two more: the oldest goes, whoever asks for what.
    let reader = notifications.subscribe(">").unwrap();
    notifications.notify("user.logout", 4, at(4)).unwrap();
    notifications.notify("user.login", 5, at(5)).unwrap();
    assert_eq!(all(&mut notifications, reader), [Got::Payload(4), Got::Payload(5)]);
    let payloads = |pattern, limit| notifications.notifications(pattern, limit).map(|n| n.payload).collect::<Vec<_>>();
    assert_eq!(payloads("user.login", 10), [2, 3, 5]);
    assert_eq!(payloads("user.*", 2), [4, 5], "the latest, the oldest of them first");
    for (pattern, limit) in [("user.*", 0), ("", 10), ("user.>.x", 10)] {
        assert!(payloads(pattern, limit).is_empty(), "{pattern}");
    }
}

#[test]
fn rule_3_each_gets_what_it_subscribed_to_since_once_and_in_order() {
    let mut notifications: Notifications<u32, 8, 3> = Notifications::new();
    notifications.notify("a.x", 0, at(0)).unwrap();
    let first = notifications.subscribe("a.*").unwrap();
    assert_eq!(next(&mut notifications, first), None, "that was before it");
    let sent = notifications.notify("a.x", 1, at(1)).unwrap();
    assert_eq!(sent.subscribers, 1);
    let second = notifications.subscribe(">").unwrap();
    let twin = notifications.subscribe("a.*").unwrap();
    notifications.notify("b", 2, at(2)).unwrap();
    // A clock that steps back changes no order.
    assert_eq!(notifications.notify("a.y", 3, at(0)).unwrap().subscribers, 3);
    assert_eq!((notifications.waiting(first), notifications.waiting(second)), (Ok(2), Ok(2)));
    assert_eq!(all(&mut notifications, first), [Got::Payload(1), Got::Payload(3)]);
    assert_eq!(all(&mut notifications, second), [Got::Payload(2), Got::Payload(3)]);
    assert_eq!(all(&mut notifications, twin), [Got::Payload(3)]);
    assert_eq!(next(&mut notifications, first), None);
}

#[test]
fn rule_4_with_four_places_and_ten_notifications_six_are_told_as_lagged() {
    let mut notifications = Small::new();
    let slow = notifications.subscribe("t").unwrap();
    for payload in 0..10 {
        notifications.notify("t", payload, at(1)).unwrap();
    }
    let told = [Got::Lagged(6), Got::Payload(6), Got::Payload(7), Got::Payload(8), Got::Payload(9)];
    assert_eq!(all(&mut notifications, slow), told);
    // It stays subscribed, and what is lost while it reads is told where it is missing.
    for payload in 10..14 {
        notifications.notify("t", payload, at(2)).unwrap();
    }
    assert_eq!(next(&mut notifications, slow), Some(Got::Payload(10)));
    notifications.notify("t", 14, at(2)).unwrap();
    notifications.notify("t", 15, at(2)).unwrap();
    assert_eq!(next(&mut notifications, slow), Some(Got::Lagged(1)));
    assert_eq!(next(&mut notifications, slow), Some(Got::Payload(12)));
    // What others' topics push out is told too, and only what it subscribed to.
    for payload in 0..4 {
        notifications.notify("noise", payload, at(3)).unwrap();
    }
    assert_eq!(all(&mut notifications, slow), [Got::Lagged(3)]);
    notifications.notify("noise", 4, at(3)).unwrap();
    assert_eq!(all(&mut notifications, slow), []);
}

#[test]
fn rule_6_the_id_of_one_who_left_is_nobody_elses() {
    let mut notifications = Small::new();
    let gone = notifications.subscribe("t").unwrap();
    notifications.notify("t", 1, at(1)).unwrap();
    notifications.unsubscribe(gone).unwrap();
    let heir = notifications.subscribe("t").unwrap();
    assert_ne!(gone, heir);
    notifications.notify("t", 2, at(2)).unwrap();
    assert_eq!(notifications.try_recv(gone), Err(NotSubscribed));
    assert_eq!(
        (notifications.unsubscribe(gone), notifications.waiting(gone)),
        (Err(NotSubscribed), Err(NotSubscribed))
    );
    assert_eq!(all(&mut notifications, heir), [Got::Payload(2)], "nothing of what waited for the other");
    let shown = notifications.snapshot();
    assert_eq!((shown.matched, shown.delivered, shown.abandoned, shown.subscribers), (2, 1, 1, 1));
}

#[test]
fn rule_7_what_is_no_topic_gives_the_payload_back() {
    let mut notifications: Notifications<u32, 4, 1, 8> = Notifications::new();
    let only = notifications.subscribe("12345678").unwrap();
    for (topic, error) in [
        ("", TopicError::Empty),
        ("a..b", TopicError::EmptyLevel),
        ("a.*", TopicError::Wildcard),
        ("a b", TopicError::Character),
        ("123456789", TopicError::TooLong { len: 9, max: 8 }),
    ] {
        assert_eq!(notifications.notify(topic, 7, at(1)), Err(Rejected { payload: 7, error }));
    }
    assert_eq!(notifications.subscribe("a"), Err(SubscribeError::Full));
    assert_eq!(notifications.subscribe("a>"), Err(SubscribeError::Pattern(TopicError::Wildcard)));
    let too_long = TopicError::TooLong { len: 9, max: 8 };
    assert_eq!(notifications.subscribe("*.3456789"), Err(SubscribeError::Pattern(too_long)));
    let shown = notifications.snapshot();
    assert_eq!((shown.sent, shown.refused, shown.subscribers), (0, 8, 1));
    notifications.notify("12345678", 8, at(1)).unwrap();
    assert_eq!(all(&mut notifications, only), [Got::Payload(8)]);
}

/// Topics by the book: lists of levels.
fn matches_naively(pattern: &str, topic: &str) -> bool {
    fn of(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            (["*", pattern @ ..], [_, topic @ ..]) => of(pattern, topic),
            ([wanted, pattern @ ..], [level, topic @ ..]) => wanted == level && of(pattern, topic),
            _ => false,
        }
    }
    of(&pattern.split('.').collect::<Vec<_>>(), &topic.split('.').collect::<Vec<_>>())
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "ö"]), 1..4).prop_map(|levels| levels.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "ab", "ö", "*", "*"]);
    (prop::collection::vec(level, 1..4), prop::bool::ANY).prop_map(|(mut levels, rest)| {
        if rest {
            levels.pop();
            levels.push(">");
        }
        levels.join(".")
    })
}

/// A subscriber of the model: all that it has not read, with the payload's number among all.
#[derive(Clone, Debug)]
struct Reader {
    id: SubscriberId,
    pattern: String,
    unread: VecDeque<(u64, u32)>,
    lagged: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Notify(String, u32),
    Subscribe(String),
    Unsubscribe(usize),
    Receive(usize),
    History(String, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (topic(), any::<u32>()).prop_map(|(topic, payload)| Step::Notify(topic, payload)),
        1 => pattern().prop_map(Step::Subscribe),
        1 => (0..4_usize).prop_map(Step::Unsubscribe),
        4 => (0..4_usize).prop_map(Step::Receive),
        1 => (pattern(), 0..8_usize).prop_map(|(pattern, limit)| Step::History(pattern, limit)),
    ]
}

/// Runs the steps through the machine and through lists that hold everything.
fn agrees<const N: usize>(steps: Vec<Step>) {
    let mut notifications: Notifications<u32, N, 3> = Notifications::new();
    let mut readers: Vec<Reader> = Vec::new();
    let mut sent: Vec<(String, u32)> = Vec::new();
    let mut gone = Vec::new();
    for step in steps {
        match step {
            Step::Notify(topic, payload) => {
                let number = sent.len() as u64;
                let mut heard = 0;
                for reader in &mut readers {
                    while reader.unread.front().is_some_and(|(old, _)| old + N as u64 <= number) {
                        reader.unread.pop_front();
                        reader.lagged += 1;
                    }
                    if matches_naively(&reader.pattern, &topic) {
                        reader.unread.push_back((number, payload));
                        heard += 1;
                    }
                }
                let told = notifications.notify(&topic, payload, at(number)).unwrap();
                assert_eq!((told.number, told.subscribers), (number, heard));
                sent.push((topic, payload));
            }
            Step::Subscribe(pattern) => match notifications.subscribe(&pattern) {
                Ok(id) => readers.push(Reader { id, pattern, unread: VecDeque::new(), lagged: 0 }),
                Err(error) => assert_eq!((error, readers.len()), (SubscribeError::Full, 3)),
            },
            Step::Unsubscribe(which) if which < readers.len() => {
                let reader = readers.remove(which);
                assert_eq!(notifications.unsubscribe(reader.id), Ok(()));
                gone.push(reader.id);
            }
            Step::Receive(which) if which < readers.len() => {
                let reader = &mut readers[which];
                let expected = match std::mem::take(&mut reader.lagged) {
                    0 => reader.unread.pop_front().map(|(_, payload)| Got::Payload(payload)),
                    lagged => Some(Got::Lagged(lagged)),
                };
                assert_eq!(next(&mut notifications, reader.id), expected);
                assert_eq!(notifications.waiting(reader.id), Ok(reader.unread.len() as u32));
            }
            Step::Unsubscribe(_) | Step::Receive(_) => {
                for id in &gone {
                    assert_eq!(notifications.try_recv(*id), Err(NotSubscribed));
                }
            }
            Step::History(pattern, limit) => {
                let kept = sent.iter().skip(sent.len().saturating_sub(N));
                let of_it: Vec<u32> =
                    kept.filter(|(topic, _)| matches_naively(&pattern, topic)).map(|(_, payload)| *payload).collect();
                let expected = &of_it[of_it.len().saturating_sub(limit)..];
                let told: Vec<u32> = notifications.notifications(&pattern, limit).map(|n| n.payload).collect();
                assert_eq!(told, expected);
            }
        }
        // Rule 5: whatever was matched is somewhere.
        let shown = notifications.snapshot();
        assert_eq!(shown.matched, shown.delivered + shown.lagged + shown.abandoned + shown.waiting);
        assert_eq!(shown.waiting, readers.iter().map(|reader| reader.unread.len() as u64).sum::<u64>());
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_lists_of_levels(pattern in pattern(), topic in topic()) {
        prop_assert_eq!((check_pattern(&pattern), check_topic(&topic)), (Ok(()), Ok(())));
        prop_assert_eq!(matches(&pattern, &topic), matches_naively(&pattern, &topic));
    }

    #[test]
    fn any_text_is_checked_and_matched_without_a_panic(pattern in "[a.*>ö \u{0}-\u{7f}]{0,8}", topic in ".{0,8}") {
        let _ = (check_pattern(&pattern), check_topic(&topic), matches(&pattern, &topic), matches(&topic, &pattern));
        if check_topic(&pattern).is_ok() {
            prop_assert_eq!((check_pattern(&pattern), matches(&pattern, &pattern)), (Ok(()), true));
            prop_assert!(matches(">", &pattern));
        }
    }

    #[test]
    fn rule_5_machine_and_model_agree_and_everything_is_accounted_for(steps in prop::collection::vec(step(), 1..120)) {
        agrees::<1>(steps.clone());
        agrees::<4>(steps.clone());
        agrees::<7>(steps.clone());
        agrees::<64>(steps);
    }
}
