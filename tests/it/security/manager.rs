//! The manager against a model in which every rule is written plainly: nothing is granted that the model refuses.

use daur_core::id::DeviceId;
use daur_core::reliability::limiter;
use daur_core::security::audit::{Event, Kind as What, Outcome};
use daur_core::security::manager::{At, CommandGate, Denied, Kind, Manager, Refused};
use daur_core::security::permission::Permissions;
use daur_core::security::policy::Policy;
use daur_core::security::token::{Claims, Config, Keys};
use daur_core::security::{lockout, session};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, UnixTime};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000;
const POLICY: Policy<'static> = Policy {
    iterations: 1_000,
    token_lifetime: Duration::from_secs(20),
    session: session::Config { idle: Duration::from_secs(20), absolute: Duration::from_secs(50), per_user: 1 },
    lockout: lockout::Config {
        max_attempts: 2,
        first_lock: Duration::from_secs(5),
        max_lock: Duration::from_secs(10),
        ..lockout::Config::DEFAULT
    },
    api_rate: 1,
    api_burst: 3,
    ..Policy::DEFAULT
};
const USERS: [(&str, Permissions); 3] =
    [("ada", Permissions::READ), ("bob", Permissions::ALL), ("eve", Permissions::NONE)];

type Small = Manager<'static, 1, 64, 8>;

fn at(secs: u64) -> At<'static> {
    At { source: "test", now: Instant::from_secs(secs), unix: Some(UnixTime::from_secs(NOW + secs)) }
}

#[derive(Clone, Debug)]
enum Step {
    /// Who, whether the name is a user's, whether the password is right.
    Login(usize, bool),
    /// Which token, flipped at which byte, what is needed.
    Authorize(usize, Option<usize>, u32),
    Refresh(usize),
    Revoke(usize),
    RevokeAll,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let token = 0_usize..12;
    prop::collection::vec(
        prop_oneof![
            4 => (0_usize..5, any::<bool>()).prop_map(|(who, right)| Step::Login(who, right)),
            8 => (token.clone(), prop::option::weighted(0.2, any::<usize>()), 0_u32..8)
                .prop_map(|(token, flip, needed)| Step::Authorize(token, flip, needed)),
            2 => token.clone().prop_map(Step::Refresh),
            2 => token.prop_map(Step::Revoke),
            1 => Just(Step::RevokeAll),
            6 => (0_u64..8).prop_map(Step::Pass),
        ],
        0..80,
    )
}

/// A token as the model knows it.
struct Known {
    text: String,
    user: usize,
    since: u64,
    exp: u64,
    dead: bool,
}

#[derive(Default)]
struct Model {
    tokens: Vec<Known>,
    /// Of each name: failures in a row, locks so far, locked until.
    locks: [(u32, u32, u64); 5],
    /// Of each user, when each request was that passed; for the rate.
    asked: [f64; 3],
    all_before: u64,
}

impl Model {
    fn counts(&self, token: &Known, now: u64) -> bool {
        !token.dead && now < token.exp && token.since >= self.all_before
    }

    /// A bucket of three that fills by one a second.
    fn rate(&mut self, user: usize, now: u64) -> bool {
        let paid = self.asked[user].max(now as f64);
        if paid - now as f64 > 2.0 {
            return false;
        }
        self.asked[user] = paid + 1.0;
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn nothing_is_granted_that_the_plain_rules_refuse_and_every_decision_is_told(steps in steps()) {
        let mut manager = Small::try_new(POLICY, Config::DEFAULT, None, &[7; 32], &[9; 32]).unwrap();
        let (mut model, mut now, mut jti) = (Model::default(), 100_u64, 0_u128);
        for step in steps {
            let mut told: Vec<Event> = Vec::new();
            let audit = &mut |event: &Event, _: &At<'_>| told.push(*event);
            jti += 1;
            let (number, mut out) = (jti.to_be_bytes(), [0; 512]);
            match step {
                Step::Pass(secs) => { now += secs; continue; }
                Step::Login(who, right) => {
                    let name = USERS.get(who).map_or(["mallory", "trent"][who % 2], |user| user.0);
                    let granted = USERS.get(who).filter(|_| right).map(|user| user.1);
                    let answer = manager.begin(name, who < 3, audit, &at(now)).and_then(|attempt| {
                        let issued = manager.finish(attempt, granted, number, &mut out, audit, &at(now))?;
                        Ok((issued.token.to_owned(), issued.claims))
                    });
                    let (failures, locks, until) = &mut model.locks[who];
                    if now < *until {
                        prop_assert_eq!(answer, Err(Denied::LockedOut { retry_at: Instant::from_secs(*until) }));
                    } else if granted.is_some() {
                        let (text, claims) = answer.unwrap();
                        prop_assert_eq!((claims.sub.as_str(), claims.permissions), (name, USERS[who].1));
                        // In the second in which all ended, it is dated after that.
                        let since = now.max(model.all_before);
                        prop_assert_eq!((claims.iat, claims.exp), (Some(NOW + since), Some(NOW + now + 20)));
                        (*failures, *locks, *until) = (0, 0, 0);
                        model.tokens.push(Known { text, user: who, since, exp: now + 20, dead: false });
                    } else {
                        prop_assert_eq!(answer, Err(Denied::Unauthenticated));
                        *failures += 1;
                        if *failures == 2 {
                            (*failures, *until) = (0, now + if *locks == 0 { 5 } else { 10 });
                            *locks += 1;
                            prop_assert_eq!(told.last().unwrap().kind, What::Lockout);
                        }
                    }
                }
                Step::Authorize(token, flip, needed) => {
                    let needed = Permissions::from_bits(needed).unwrap();
                    let Some(place) = (!model.tokens.is_empty()).then(|| token % model.tokens.len()) else { continue };
                    let mut text = model.tokens[place].text.clone();
                    if let Some(at) = flip {
                        let at = at % text.len();
                        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                        text.replace_range(at..=at, other);
                    }
                    let answer = manager.authorize(&text, needed, audit, &at(now)).map(|claims| claims.sub.to_string());
                    let known = &model.tokens[place];
                    let user = known.user;
                    if flip.is_some() || !model.counts(known, now) {
                        prop_assert_eq!(answer, Err(Denied::Unauthenticated));
                    } else if !model.rate(user, now) {
                        let limited = matches!(answer, Err(Denied::RateLimited { .. }));
                        prop_assert!(limited);
                    } else if !USERS[user].1.contains(needed) {
                        prop_assert_eq!(answer, Err(Denied::Forbidden));
                    } else {
                        prop_assert_eq!(answer.as_deref(), Ok(USERS[user].0));
                    }
                }
                Step::Refresh(token) => {
                    let Some(place) = (!model.tokens.is_empty()).then(|| token % model.tokens.len()) else { continue };
                    let (text, user) = (model.tokens[place].text.clone(), model.tokens[place].user);
                    let answer = manager.refresh(&text, Some(USERS[user].1), number, &mut out, audit, &at(now));
                    let answer = answer.map(|issued| (issued.token.to_owned(), issued.claims));
                    let (since, counts) = (model.tokens[place].since, model.counts(&model.tokens[place], now));
                    if !counts {
                        prop_assert_eq!(answer, Err(Denied::Unauthenticated));
                    } else if !model.rate(user, now) {
                        let limited = matches!(answer, Err(Denied::RateLimited { .. }));
                        prop_assert!(limited);
                    } else if now >= since + 50 {
                        prop_assert_eq!(answer, Err(Denied::Unauthenticated));
                    } else {
                        let (text, claims) = answer.unwrap();
                        let exp = (now + 20).min(since + 50);
                        prop_assert_eq!((claims.exp, claims.iat), (Some(NOW + exp), Some(NOW + since)));
                        model.tokens[place].dead = true;
                        model.tokens.push(Known { text, user, since, exp, dead: false });
                    }
                }
                Step::Revoke(token) => {
                    let Some(place) = (!model.tokens.is_empty()).then(|| token % model.tokens.len()) else { continue };
                    let text = model.tokens[place].text.clone();
                    let answer = manager.revoke(&text, audit, &at(now)).map(drop);
                    let counts = model.counts(&model.tokens[place], now);
                    prop_assert_eq!(answer, if counts { Ok(()) } else { Err(Denied::Unauthenticated) });
                    model.tokens[place].dead = true;
                }
                Step::RevokeAll => {
                    manager.revoke_all("root", audit, &at(now)).unwrap();
                    model.all_before = now + 1;
                }
            }
            prop_assert!(!told.is_empty(), "every decision is told");
        }
    }

    #[test]
    fn an_input_passes_only_as_the_check_of_its_kind_has_it(input in "[a-z /.;$@~%\\\\\u{1b}\u{202e}é<&-]{0,40}") {
        let mut manager = Small::try_new(POLICY, Config::DEFAULT, None, &[7; 32], &[9; 32]).unwrap();
        for kind in [Kind::Command, Kind::Path, Kind::Email, Kind::Text] {
            let mut told: Vec<Event> = Vec::new();
            let audit = &mut |event: &Event, _: &At<'_>| told.push(*event);
            let (mut first, mut second) = ([0; 512], [0; 512]);
            let checked = manager.validate_and_sanitize(&input, kind, "ada", &mut first, audit, &at(0));
            prop_assert_eq!(told.len(), 1);
            prop_assert_eq!(told[0].outcome == Outcome::Success, checked.is_ok());
            let Ok(clean) = checked else { continue };
            prop_assert_eq!(clean.changed, clean.text != input);
            // Once more it is the same.
            let again = manager.validate_and_sanitize(clean.text, kind, "ada", &mut second, &mut |_: &Event, _: &At<'_>| {}, &at(0));
            prop_assert_eq!(again.map(|again| again.text), Ok(clean.text));
            let hides = clean.text.contains(['\u{1b}', '\u{202e}']);
            prop_assert!(!hides);
            prop_assert!(kind != Kind::Path || !clean.text.split('/').any(|part| part == ".."));
            prop_assert!(kind != Kind::Command || !clean.text.contains([';', '$']));
        }
    }
}

#[test]
fn a_device_runs_a_signed_command_once_and_tells_each_decision() {
    let device = DeviceId::new("boiler-7").unwrap();
    let limit = limiter::Config { rate: 1, burst: 8, ..limiter::Config::DEFAULT };
    let mut gate = CommandGate::try_new(&device, 7, &[1; 32], limit).unwrap();
    let sign = |key: &[u8], to: &str, nonce: u64, counter: u64, permissions, text: &str| {
        let (to, user) = (DeviceId::new(to).unwrap(), Text::cut("ada"));
        let claims = Claims::command(&to, nonce, counter, user, permissions, Text::cut(text));
        let keys: Keys<1> = Keys::new(Config::command(&to), None, key).unwrap();
        keys.sign(&claims, &mut [0; 512]).unwrap().to_owned()
    };
    let read = |text: &str| match text {
        "report" => Ok((1, Permissions::READ)),
        "restart" => Ok((2, Permissions::ADMIN)),
        _ => Err("unknown"),
    };
    let mut told: Vec<(What, Outcome, String, String)> = Vec::new();
    let audit = &mut |event: &Event, _: &At<'_>| {
        told.push((event.kind, event.outcome, event.actor.to_string(), event.detail.to_string()));
    };
    let (key, dark) = ([1; 32], At { unix: None, ..at(1) });
    let mut admit =
        |token: &str| gate.admit(token, read, audit, &dark).map(|admitted| (admitted.command, admitted.counter));
    let good = sign(&key, "boiler-7", 7, 1, Permissions::READ, "report");
    assert_eq!(admit(&good), Ok((1, 1)));
    assert_eq!(admit(&good), Err(Refused::Replayed { counter: 1 }));
    assert_eq!(admit(&sign(&key, "boiler-7", 6, 9, Permissions::ALL, "report")), Err(Refused::Replayed { counter: 9 }));
    assert_eq!(admit(&sign(&[2; 32], "boiler-7", 7, 9, Permissions::ALL, "report")), Err(Refused::Signature));
    assert_eq!(admit(&sign(&key, "boiler-8", 7, 9, Permissions::ALL, "report")), Err(Refused::Audience));
    let restart = sign(&key, "boiler-7", 7, 2, Permissions::READ, "restart");
    assert_eq!(admit(&restart), Err(Refused::Forbidden { counter: 2 }));
    assert_eq!(admit(&restart), Err(Refused::Replayed { counter: 2 }), "spent");
    let unknown = sign(&key, "boiler-7", 7, 3, Permissions::ALL, "explode");
    assert_eq!(admit(&unknown), Err(Refused::Unreadable { counter: 3, error: Some("unknown") }));
    assert_eq!(admit(&sign(&key, "boiler-7", 7, 4, Permissions::ALL, "report")), Err(Refused::Limited));
    assert_eq!(told.len(), 9);
    assert_eq!(told[0], (What::Command, Outcome::Success, "ada".to_owned(), "report".to_owned()));
    assert_eq!(told[3], (What::AccessDenied, Outcome::Denied, String::new(), "token: tag".to_owned()));
    assert_eq!(told[5].3, "needs admin");
    assert_eq!(told[7], (What::Command, Outcome::Denied, "ada".to_owned(), "explode".to_owned()));
}
