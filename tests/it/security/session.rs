//! Sessions against a model in which every rule is written plainly.

use daur_core::security::permission::Permissions;
use daur_core::security::session::{Config, Id, NoSession, Refused, Session, Sessions};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const CONFIG: Config = Config { idle: Duration::from_secs(10), absolute: Duration::from_secs(30), per_user: 2 };

fn id(n: u8) -> Id {
    Id::from_random([n; 16])
}

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn begin<const N: usize>(sessions: &mut Sessions<N>, n: u8, user: &str, secs: u64) -> Result<Option<Session>, Refused> {
    sessions.begin(id(n), user, Permissions::READ, at(secs))
}

#[test]
fn rule_1_an_idle_session_is_over_exactly_at_its_time() {
    let mut sessions = Sessions::<4>::new(CONFIG);
    begin(&mut sessions, 1, "ada", 100).unwrap();
    let just_before = at(110) - Duration::from_nanos(1);
    assert!(sessions.resume(&id(1), just_before).is_ok());
    assert_eq!(sessions.poll_at(), Some(just_before + CONFIG.idle));
    assert_eq!(sessions.resume(&id(1), just_before + CONFIG.idle), Err(NoSession::Idle));
    assert_eq!(sessions.snapshot().expired, 1);
}

#[test]
fn rule_2_a_busy_session_is_over_at_its_absolute_time() {
    let mut sessions = Sessions::<4>::new(CONFIG);
    begin(&mut sessions, 1, "ada", 100).unwrap();
    for secs in 101..130 {
        assert!(sessions.resume(&id(1), at(secs)).is_ok());
    }
    assert_eq!(sessions.poll_at(), Some(at(130)));
    assert_eq!(sessions.resume(&id(1), at(130)), Err(NoSession::Expired));
}

#[test]
fn rule_3_after_a_change_the_old_id_names_nothing() {
    let mut sessions = Sessions::<4>::new(CONFIG);
    begin(&mut sessions, 1, "ada", 100).unwrap();
    let rotated = sessions.rotate(&id(1), id(2), Permissions::ALL, at(105)).unwrap();
    assert_eq!((rotated.permissions, rotated.begun), (Permissions::ALL, at(100)));
    assert_eq!(sessions.resume(&id(1), at(106)), Err(NoSession::Unknown));
    assert_eq!(sessions.resume(&id(2), at(106)).unwrap().number, rotated.number);
    assert_eq!(sessions.rotate(&id(9), id(3), Permissions::ALL, at(106)), Err(NoSession::Unknown));
}

#[test]
fn rule_4_one_too_many_ends_the_users_least_recently_resumed() {
    let mut sessions = Sessions::<4>::new(CONFIG);
    begin(&mut sessions, 1, "ada", 100).unwrap();
    begin(&mut sessions, 2, "ada", 101).unwrap();
    begin(&mut sessions, 3, "bob", 101).unwrap();
    sessions.resume(&id(1), at(102)).unwrap();
    let ended = begin(&mut sessions, 4, "ada", 103).unwrap().unwrap();
    assert_eq!((ended.number, ended.user.as_str()), (1, "ada"));
    assert_eq!(sessions.resume(&id(2), at(103)), Err(NoSession::Unknown));
    assert!(sessions.resume(&id(1), at(103)).is_ok() && sessions.resume(&id(3), at(103)).is_ok());
}

#[test]
fn rule_5_a_full_table_ends_nobody_elses_session() {
    let mut sessions = Sessions::<2>::new(CONFIG);
    begin(&mut sessions, 1, "ada", 100).unwrap();
    begin(&mut sessions, 2, "bob", 101).unwrap();
    assert_eq!(begin(&mut sessions, 3, "eve", 102), Err(Refused::Full { retry_at: at(110) }));
    assert!(begin(&mut sessions, 3, "eve", 110).is_ok(), "accepted exactly at `retry_at`");
    assert_eq!(begin(&mut sessions, 3, "bob", 110), Err(Refused::IdInUse));
    assert_eq!(begin(&mut sessions, 4, &"x".repeat(33), 110), Err(Refused::NameTooLong));
}

#[test]
fn rule_7_a_clock_that_steps_back_ends_nothing_early_and_brings_nothing_back() {
    let mut sessions = Sessions::<4>::new(CONFIG);
    begin(&mut sessions, 1, "ada", 100).unwrap();
    assert!(sessions.resume(&id(1), at(50)).is_ok());
    assert_eq!(sessions.resume(&id(1), at(110)), Err(NoSession::Idle));
    assert_eq!(sessions.resume(&id(1), at(100)), Err(NoSession::Unknown));
}

#[test]
fn sessions_are_listed_and_ended_by_number_and_by_user() {
    let mut sessions = Sessions::<4>::new(CONFIG);
    for (n, user) in [(1, "ada"), (2, "ada"), (3, "bob")] {
        begin(&mut sessions, n, user, 100).unwrap();
    }
    assert_eq!(sessions.iter(at(101)).filter(|session| session.user.as_str() == "ada").count(), 2);
    assert_eq!(sessions.end_number(2).unwrap().user.as_str(), "bob");
    assert_eq!(sessions.end_user("ada"), 2);
    assert_eq!((sessions.end(&id(1)), sessions.iter(at(101)).count()), (None, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u8, u8),
    Resume(u8),
    Rotate(u8, u8),
    End(u8),
    EndUser(u8),
    Poll,
    Pass(u64),
    Back(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0_u8..12;
    prop::collection::vec(
        prop_oneof![
            4 => (n.clone(), 0_u8..4).prop_map(|(id, user)| Step::Begin(id, user)),
            6 => n.clone().prop_map(Step::Resume),
            1 => (n.clone(), n.clone()).prop_map(|(old, new)| Step::Rotate(old, new)),
            1 => n.prop_map(Step::End),
            1 => (0_u8..4).prop_map(Step::EndUser),
            1 => Just(Step::Poll),
            4 => (0_u64..12).prop_map(Step::Pass),
            1 => (0_u64..12).prop_map(Step::Back),
        ],
        0..80,
    )
}

/// One session of the model: its id, its user, when it began, when it was last seen, its number.
type Known = (u8, u8, u64, u64, u32);

fn is_over(known: &Known, now: u64) -> Option<NoSession> {
    if now.saturating_sub(known.2) >= 30 {
        Some(NoSession::Expired)
    } else if now.saturating_sub(known.3) >= 10 {
        Some(NoSession::Idle)
    } else {
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_sequence_of_steps_agrees_with_the_plain_rules(steps in steps()) {
        let mut sessions = Sessions::<5>::new(CONFIG);
        let (mut model, mut now, mut number) = (Vec::<Known>::new(), 1_000_u64, 0_u32);
        for step in steps {
            match step {
                Step::Pass(secs) => now += secs,
                Step::Back(secs) => now -= secs,
                Step::Poll => {
                    let before = model.len();
                    model.retain(|known| is_over(known, now).is_none());
                    prop_assert_eq!(sessions.poll(at(now)), before - model.len());
                }
                Step::Begin(n, user) => {
                    model.retain(|known| is_over(known, now).is_none());
                    let answer = begin(&mut sessions, n, &user.to_string(), now);
                    let mut own: Vec<Known> = model.iter().filter(|known| known.1 == user).copied().collect();
                    own.sort_by_key(|known| (known.3, known.4));
                    if model.iter().any(|known| known.0 == n) {
                        prop_assert_eq!(answer, Err(Refused::IdInUse));
                    } else if own.len() >= 2 {
                        prop_assert_eq!(answer.unwrap().map(|ended| ended.number), Some(own[0].4));
                        model.retain(|known| known.4 != own[0].4);
                        model.push((n, user, now, now, number));
                        number += 1;
                    } else if model.len() == 5 {
                        let full = matches!(answer, Err(Refused::Full { .. }));
                        prop_assert!(full);
                    } else {
                        prop_assert_eq!(answer, Ok(None));
                        model.push((n, user, now, now, number));
                        number += 1;
                    }
                }
                Step::Resume(n) => {
                    let answer = sessions.resume(&id(n), at(now)).map(|session| session.number);
                    let place = model.iter().position(|known| known.0 == n);
                    let expected = match place.map(|place| (place, is_over(&model[place], now))) {
                        None => Err(NoSession::Unknown),
                        Some((place, Some(why))) => { model.remove(place); Err(why) }
                        Some((place, None)) => { model[place].3 = model[place].3.max(now); Ok(model[place].4) }
                    };
                    prop_assert_eq!(answer, expected);
                }
                Step::Rotate(old, new) => {
                    let answer = sessions.rotate(&id(old), id(new), Permissions::WRITE, at(now)).map(|session| session.number);
                    let place = model.iter().position(|known| known.0 == old);
                    let expected = match place.map(|place| (place, is_over(&model[place], now))) {
                        None => Err(NoSession::Unknown),
                        Some((place, Some(why))) => { model.remove(place); Err(why) }
                        Some((place, None)) => {
                            model[place].3 = model[place].3.max(now);
                            if model.iter().any(|known| known.0 == new) {
                                Err(NoSession::Unknown)
                            } else {
                                model[place].0 = new;
                                Ok(model[place].4)
                            }
                        }
                    };
                    prop_assert_eq!(answer, expected);
                }
                Step::End(n) => {
                    let known = model.iter().position(|known| known.0 == n).map(|place| model.remove(place).4);
                    prop_assert_eq!(sessions.end(&id(n)).map(|session| session.number), known);
                }
                Step::EndUser(user) => {
                    let before = model.len();
                    model.retain(|known| known.1 != user);
                    prop_assert_eq!(sessions.end_user(&user.to_string()), before - model.len());
                }
            }
            prop_assert_eq!(sessions.snapshot().len as usize, model.len());
            let live = model.iter().filter(|known| is_over(known, now).is_none()).count();
            prop_assert_eq!(sessions.iter(at(now)).count(), live);
        }
    }
}
