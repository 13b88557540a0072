//! Stories of each rule.

use super::*;
use crate::security::keys::Role;
use crate::security::password;
use crate::time::Duration;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

type Small = Manager<'static, 2, 4, 4>;

const POLICY: Policy<'static> = Policy { iterations: 1_000, api_rate: 10, api_burst: 4, ..Policy::DEFAULT };
const NOW: u64 = 1_800_000_000;
const NOTHING: Permissions = Permissions::NONE;

fn manager_of(policy: Policy<'static>) -> Small {
    Manager::try_new(policy, token::Config::DEFAULT, None, &[7; 32], &[9; 32]).unwrap()
}

fn at(secs: u64) -> At<'static> {
    At { source: "10.0.0.7", now: Instant::from_secs(secs), unix: Some(UnixTime::from_secs(NOW + secs)) }
}

/// What the audit was told.
#[derive(Default)]
struct Told(Vec<(What, Outcome, String, String)>);

impl Audit for Told {
    fn record(&mut self, event: &Event, at: &At<'_>) {
        assert_eq!(event.source.as_str(), at.source);
        self.0.push((event.kind, event.outcome, event.actor.to_string(), event.detail.to_string()));
    }
}

impl Told {
    fn last(&self) -> (What, Outcome, &str, &str) {
        let (kind, outcome, actor, detail) = self.0.last().unwrap();
        (*kind, *outcome, actor, detail)
    }
}

/// A login of a user with this permission; `secs` after the start, with a number of its own.
fn login(manager: &mut Small, told: &mut Told, user: &str, granted: Permissions, secs: u64) -> String {
    let attempt = manager.begin(user, true, told, &at(secs)).unwrap();
    let mut jti = [0; 16];
    jti[..8].copy_from_slice(&(told.0.len() as u64).to_be_bytes());
    let mut out = [0; 512];
    manager.finish(attempt, Some(granted), jti, &mut out, told, &at(secs)).ok().unwrap().token.to_string()
}

fn fail(manager: &mut Small, told: &mut Told, name: &str, known: bool, secs: u64) -> Denied {
    match manager.begin(name, known, told, &at(secs)) {
        Ok(attempt) => manager.finish(attempt, None, [0; 16], &mut [0; 512], told, &at(secs)).err().unwrap(),
        Err(denied) => denied,
    }
}

#[test]
fn rule_1_nothing_is_granted_but_by_a_right_token_with_the_permission() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let token = login(&mut manager, &mut told, "alice", Permissions::READ, 0);
    assert_eq!(manager.authorize(&token, Permissions::READ, &mut told, &at(1)).unwrap().sub, "alice");
    assert_eq!(manager.authorize(&token, Permissions::ALL, &mut told, &at(1)), Err(Denied::Forbidden));
    assert_eq!(told.last(), (What::AccessDenied, Outcome::Denied, "alice", "needs read,write,admin"));
    let mut other = token.clone();
    other.pop();
    for bad in ["", "a.b.c", &other, &format!("{token}A")] {
        assert_eq!(manager.authorize(bad, NOTHING, &mut told, &at(1)), Err(Denied::Unauthenticated), "{bad}");
        assert_eq!(told.last().2, "", "an unproved name is not told");
    }
    manager.revoke(&token, &mut told, &at(2)).unwrap();
    assert_eq!(manager.authorize(&token, NOTHING, &mut told, &at(2)), Err(Denied::Unauthenticated));
    assert_eq!(told.last(), (What::AccessDenied, Outcome::Denied, "alice", "token: revoked"));
    let second = login(&mut manager, &mut told, "alice", Permissions::READ, 3);
    let bob = login(&mut manager, &mut told, "bob", Permissions::READ, 4);
    manager.revoke_user("alice", "root", &mut told, &at(3)).unwrap();
    assert_eq!(told.last(), (What::TokenRevoked, Outcome::Success, "root", "all of alice"));
    assert_eq!(manager.verify(&second, &mut told, &at(3)), Err(Denied::Unauthenticated));
    assert!(manager.verify(&bob, &mut told, &at(4)).is_ok());
    manager.revoke_all("root", &mut told, &at(4)).unwrap();
    assert_eq!(manager.verify(&bob, &mut told, &at(4)), Err(Denied::Unauthenticated));
    assert_eq!(manager.verify(&second, &mut told, &at(4)), Err(Denied::Unauthenticated));
}

#[test]
fn rule_1_all_tokens_of_a_user_end_at_once_and_nobody_elses() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let [alice, bob] = ["alice", "bob"].map(|user| login(&mut manager, &mut told, user, Permissions::READ, 4));
    manager.revoke_user("alice", "root", &mut told, &at(4)).unwrap();
    assert_eq!(told.last(), (What::TokenRevoked, Outcome::Success, "root", "all of alice"));
    assert_eq!(manager.authorize(&alice, NOTHING, &mut told, &at(4)), Err(Denied::Unauthenticated));
    let renewed = manager.refresh(&alice, Some(NOTHING), [1; 16], &mut [0; 512], &mut told, &at(4)).map(|_| ());
    assert_eq!(renewed, Err(Denied::Unauthenticated));
    assert!(manager.authorize(&bob, NOTHING, &mut told, &at(4)).is_ok());
    // Whoever logs in afterwards is let in, be it in the same second.
    let again = login(&mut manager, &mut told, "alice", Permissions::READ, 4);
    assert_eq!(manager.authorize(&again, NOTHING, &mut told, &at(4)).unwrap().iat, Some(NOW + 5));
    manager.revoke_user("alice", "root", &mut told, &at(5)).unwrap();
    assert_eq!(manager.authorize(&again, NOTHING, &mut told, &at(5)), Err(Denied::Unauthenticated));

    let dark = At { unix: None, ..at(6) };
    assert_eq!(manager.revoke_user("alice", "root", &mut told, &dark), Err(Denied::NoClock));
    for name in ["", &"x".repeat(33)] {
        assert_eq!(manager.revoke_user(name, "root", &mut told, &at(6)), Err(Denied::InvalidInput));
    }
    for name in ["bob", "carol", "dave"] {
        manager.revoke_user(name, "root", &mut told, &at(6)).unwrap();
    }
    assert_eq!(manager.revoke_user("eve", "root", &mut told, &at(6)), Err(Denied::Overloaded));
    assert_eq!(told.last(), (What::TokenRevoked, Outcome::Failure, "root", "no room for another user"));
}

#[test]
fn rule_1_a_context_without_a_name_is_nobody() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let nobody = Identity { user: "", permissions: Permissions::ALL };
    assert_eq!(require_auth(&nobody), Err(Denied::Unauthenticated));
    assert_eq!(require(&nobody, Permissions::ADMIN), Err(Denied::Unauthenticated));
    assert_eq!(manager.admit(&nobody, Permissions::ADMIN, &mut told, &at(0)), Err(Denied::Unauthenticated));
    assert_eq!(told.last(), (What::AccessDenied, Outcome::Denied, "", "nobody"));
}

#[test]
fn rule_1_a_token_of_a_command_or_of_nobody_is_no_login() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let keys: Keys<1> = Keys::new(token::Config::DEFAULT, None, &[7; 32]).unwrap();
    let claims = Claims { sub: Text::cut("alice"), exp: Some(NOW + 60), ..Claims::default() };
    for wrong in [Claims { cmd: Some(Text::cut("x")), ..claims }, Claims { sub: Text::EMPTY, ..claims }] {
        let mut out = [0; 512];
        let token = keys.sign(&wrong, &mut out).unwrap();
        assert_eq!(manager.authorize(token, NOTHING, &mut told, &at(0)), Err(Denied::Unauthenticated));
        assert_eq!(manager.admit(&wrong, NOTHING, &mut told, &at(0)), Err(Denied::Unauthenticated));
    }
    assert_eq!(manager.admit(&None::<Claims>, NOTHING, &mut told, &at(0)), Err(Denied::Unauthenticated));
    assert_eq!(told.last(), (What::AccessDenied, Outcome::Denied, "", "nobody"));
}

#[test]
fn rule_2_every_decision_is_told_before_the_caller_learns_it() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let token = login(&mut manager, &mut told, "alice", Permissions::READ, 0);
    let kinds = |told: &Told| told.0.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds(&told), [What::Login, What::TokenIssued]);
    told.0.clear();
    _ = manager.authorize(&token, Permissions::READ, &mut told, &at(1));
    _ = manager.authorize(&token, Permissions::ADMIN, &mut told, &at(1));
    _ = manager.authorize("x", NOTHING, &mut told, &at(1));
    _ = manager.validate_and_sanitize("ls", Kind::Command, "alice", &mut [0; 64], &mut told, &at(1));
    _ = manager.validate_and_sanitize("rm x", Kind::Command, "alice", &mut [0; 64], &mut told, &at(1));
    _ = manager.add_key(Some(Kid::new("k2").unwrap()), &[8; 32], Role::Signing, "root", &mut told, &at(1));
    _ = manager.retire_key(None, "root", &mut told, &at(1));
    _ = manager.revoke(&token, &mut told, &at(1));
    fail(&mut manager, &mut told, "bob", true, 1);
    let expected = [
        What::Access,
        What::AccessDenied,
        What::AccessDenied,
        What::Access,
        What::InputRefused,
        What::KeyRotation,
        What::KeyRotation,
        What::TokenRevoked,
        What::Login,
    ];
    assert_eq!(kinds(&told), expected);
    let counts = manager.snapshot(Instant::from_secs(1));
    assert_eq!((counts.granted, counts.denied), (3, 5));
}

#[test]
fn rule_3_a_failed_login_is_uniform_and_its_reason_goes_to_the_audit() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    assert_eq!(fail(&mut manager, &mut told, "alice", true, 0), Denied::Unauthenticated);
    assert_eq!(told.last(), (What::Login, Outcome::Failure, "alice", "wrong password"));
    assert_eq!(fail(&mut manager, &mut told, "mallory", false, 0), Denied::Unauthenticated);
    assert_eq!(told.last(), (What::Login, Outcome::Failure, "mallory", "unknown user"));
    // Even if the caller takes an unknown name's password for right, or a name that no user can have.
    let long = "x".repeat(33);
    for (name, known) in [("mallory", false), ("", true), (&*long, true)] {
        let attempt = manager.begin(name, known, &mut told, &at(0)).unwrap();
        let finished = manager
            .finish(attempt, Some(Permissions::ALL), [0; 16], &mut [0; 512], &mut told, &at(0))
            .map(|issued| issued.claims);
        assert_eq!(finished.err(), Some(Denied::Unauthenticated), "{name}");
    }
}

#[test]
fn rule_3_one_call_checks_the_password_and_signs() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let stored = password::hash("correct horse", &[1; 16], 1_000).unwrap();
    let mut try_it = |name, password, stored: Option<&str>| {
        let given = Credentials { name, password, stored: stored.map(|phc| (phc, Permissions::READ)) };
        let mut out = [0; 512];
        manager
            .authenticate(given, [1; 16], &mut out, &mut told, &at(0))
            .map(|issued| issued.claims.sub)
            .map_err(Denied::code)
    };
    assert_eq!(try_it("alice", "correct horse", Some(stored.as_str())), Ok(Text::cut("alice")));
    assert_eq!(try_it("alice", "wrong", Some(stored.as_str())), Err("unauthenticated"));
    assert_eq!(try_it("alice", "correct horse", Some("$broken")), Err("unauthenticated"));
    assert_eq!(try_it("mallory", "correct horse", None), Err("unauthenticated"));
}

#[test]
fn rule_4_a_locked_name_is_refused_also_if_it_was_locked_meanwhile() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let meanwhile = manager.begin("alice", true, &mut told, &at(0)).unwrap();
    for _ in 0..3 {
        assert_eq!(fail(&mut manager, &mut told, "alice", true, 0), Denied::Unauthenticated);
    }
    assert_eq!(told.last(), (What::Lockout, Outcome::Denied, "alice", "wrong password"));
    let locked = Denied::LockedOut { retry_at: Instant::from_secs(30) };
    assert_eq!(fail(&mut manager, &mut told, "alice", true, 29), locked);
    assert_eq!(told.last(), (What::Login, Outcome::Denied, "alice", "locked"));
    let right = manager
        .finish(meanwhile, Some(Permissions::ALL), [1; 16], &mut [0; 512], &mut told, &at(29))
        .map(|issued| issued.claims);
    assert_eq!(right.err(), Some(locked), "right or wrong, nobody learns it");
    login(&mut manager, &mut told, "alice", Permissions::READ, 30);
    assert_eq!(manager.snapshot(Instant::from_secs(30)).known.tracked, 0, "a success starts afresh");
}

#[test]
fn rule_4_invented_names_lock_no_user_out() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    for n in 0..1_000 {
        fail(&mut manager, &mut told, &format!("invented-{n}"), false, 0);
    }
    assert!(matches!(fail(&mut manager, &mut told, "one more", false, 0), Denied::LockedOut { .. }));
    login(&mut manager, &mut told, "alice", Permissions::READ, 0);
}

#[test]
fn rule_5_each_user_has_a_rate_which_only_their_own_token_uses_up() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let [alice, bob] = ["alice", "bob"].map(|user| login(&mut manager, &mut told, user, Permissions::READ, 0));
    for _ in 0..100 {
        let mut forged = alice.clone();
        forged.replace_range(forged.len() - 1.., if alice.ends_with('A') { "E" } else { "A" });
        _ = manager.authorize(&forged, NOTHING, &mut told, &at(10));
    }
    let passed = (0..10).filter(|_| manager.authorize(&alice, NOTHING, &mut told, &at(10)).is_ok()).count();
    assert_eq!(passed, 4);
    let Err(Denied::RateLimited { retry_at }) = manager.authorize(&alice, NOTHING, &mut told, &at(10)) else {
        panic!("limited")
    };
    assert_eq!(told.last(), (What::AccessDenied, Outcome::Denied, "alice", "rate"));
    assert!(manager.authorize(&bob, NOTHING, &mut told, &at(10)).is_ok());
    let just_before = At { now: retry_at - Duration::from_nanos(1), ..at(10) };
    assert!(manager.authorize(&alice, NOTHING, &mut told, &just_before).is_err());
    assert!(manager.authorize(&alice, NOTHING, &mut told, &At { now: retry_at, ..at(10) }).is_ok());
}

#[test]
fn rule_6_a_renewed_token_replaces_the_old_one_until_the_session_ends() {
    let policy = Policy {
        token_lifetime: Duration::from_secs(100),
        session: crate::security::session::Config {
            absolute: Duration::from_secs(250),
            idle: Duration::from_secs(100),
            per_user: 1,
        },
        ..POLICY
    };
    let (mut manager, mut told) = (manager_of(policy), Told::default());
    let first = login(&mut manager, &mut told, "alice", Permissions::READ, 0);
    fail(&mut manager, &mut told, "alice", true, 10);
    let mut renew = |token: &str, granted: Option<Permissions>, n: u8, secs: u64| {
        let mut out = [0; 512];
        let issued = manager.refresh(token, granted, [n; 16], &mut out, &mut told, &at(secs))?;
        Ok((issued.token.to_string(), issued.claims))
    };
    let (second, claims) = renew(&first, Some(Permissions::ALL), 101, 90).unwrap();
    assert_eq!((claims.exp, claims.iat, claims.permissions), (Some(NOW + 190), Some(NOW), Permissions::ALL));
    assert_eq!(renew(&first, Some(NOTHING), 102, 91), Err(Denied::Unauthenticated), "the old one is over");
    assert_eq!(renew(&second, None, 103, 91), Err(Denied::Unauthenticated), "the user is gone");
    assert_eq!(renew(&second, Some(NOTHING), 101, 91), Err(Denied::Internal), "no number twice");
    let (third, claims) = renew(&second, Some(NOTHING), 104, 180).unwrap();
    assert_eq!(claims.exp, Some(NOW + 250), "no longer than the session");
    assert!(renew(&third, Some(NOTHING), 105, 249).is_ok());
    assert_eq!(renew(&third, Some(NOTHING), 106, 250), Err(Denied::Unauthenticated));
    assert_eq!(manager.snapshot(Instant::from_secs(100)).known.tracked, 1, "the failure is still counted");
}

#[test]
fn rule_6_a_token_that_cannot_be_ended_is_not_renewed() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let tokens: Vec<_> = (0..5).map(|n| login(&mut manager, &mut told, "alice", NOTHING, n)).collect();
    for token in &tokens[..4] {
        manager.revoke(token, &mut told, &at(6)).unwrap();
    }
    assert_eq!(manager.revoke(&tokens[4], &mut told, &at(6)), Err(Denied::Overloaded));
    let renewed = manager
        .refresh(&tokens[4], Some(NOTHING), [99; 16], &mut [0; 512], &mut told, &at(7))
        .map(|issued| issued.claims);
    assert_eq!(renewed.err(), Some(Denied::Overloaded));
    assert!(manager.verify(&tokens[4], &mut told, &at(7)).is_ok(), "it goes on");
}

#[test]
fn rule_7_without_a_clock_no_token_is_issued() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    let token = login(&mut manager, &mut told, "alice", NOTHING, 0);
    let dark = At { unix: None, ..at(1) };
    let attempt = manager.begin("alice", true, &mut told, &dark).unwrap();
    let finished =
        manager.finish(attempt, Some(NOTHING), [1; 16], &mut [0; 512], &mut told, &dark).map(|issued| issued.claims);
    assert_eq!(finished.err(), Some(Denied::NoClock));
    assert_eq!(manager.authorize(&token, NOTHING, &mut told, &dark), Err(Denied::Unauthenticated));
    assert_eq!(told.last().3, "token: no clock");
}

#[test]
fn rule_8_an_input_passes_by_its_kind_and_the_audit_is_not_told_what_it_was() {
    let policy = Policy {
        texts: crate::security::input::sanitize::Rules { max_len: 16, html: true, ..Policy::DEFAULT.texts },
        ..POLICY
    };
    let (mut manager, mut told) = (manager_of(policy), Told::default());
    let mut check = |input: &str, kind| {
        let mut buffer = [0; 256];
        let checked = manager.validate_and_sanitize(input, kind, "alice", &mut buffer, &mut told, &at(0));
        checked.map(|clean| (clean.text.to_string(), clean.changed)).map_err(Rejected::code)
    };
    let passed = |text: &str, changed| Ok((text.to_string(), changed));
    assert_eq!(check("uname  -a", Kind::Command), passed("uname  -a", false));
    assert_eq!(check("rm -rf /", Kind::Command), Err("forbidden_input"));
    assert_eq!(check("ls; id", Kind::Command), Err("invalid_input"));
    assert_eq!(check("a//b/./c", Kind::Path), passed("a/b/c", true));
    assert_eq!(check("/etc/shadow", Kind::Path), Err("forbidden_input"));
    assert_eq!(check("../secret", Kind::Path), Err("invalid_input"));
    assert_eq!(check("ada@example.org", Kind::Email), passed("ada@example.org", false));
    assert_eq!(check("ada", Kind::Email), Err("invalid_input"));
    assert_eq!(check("a\x1b[0m b", Kind::Text), passed("a[0m b", true));
    assert_eq!(check("<<<<<<<<<<", Kind::Text), Err("invalid_input"), "cut is refused");
    assert_eq!(check("12345678901234567", Kind::Text), Err("invalid_input"));
    assert!(told.0.iter().all(|(.., detail)| !detail.contains("secret")));
    let told = |n: usize| (told.0[n].0, told.0[n].1, told.0[n].3.as_str());
    assert_eq!(told(0), (What::Access, Outcome::Success, "command"));
    assert_eq!(told(1), (What::InputRefused, Outcome::Denied, "command: forbidden"));
    assert_eq!(told(3), (What::InputRefused, Outcome::Success, "path: made harmless"));
}

#[test]
fn a_login_that_is_abandoned_counts_for_nothing() {
    let (mut manager, mut told) = (manager_of(POLICY), Told::default());
    for _ in 0..10 {
        let attempt = manager.begin("alice", true, &mut told, &at(0)).unwrap();
        assert_eq!(manager.abandon(attempt, Denied::Overloaded, &mut told, &at(0)), Denied::Overloaded);
    }
    assert_eq!(told.last(), (What::Login, Outcome::Failure, "alice", "overloaded"));
    assert_eq!(manager.snapshot(Instant::ZERO).known.tracked, 0);
}

#[test]
fn a_policy_or_key_that_cannot_be_makes_no_manager() {
    let wrong = Policy { api_rate: 0, ..POLICY };
    let made = Small::try_new(wrong, token::Config::DEFAULT, None, &[7; 32], &[]);
    assert!(matches!(made.err(), Some(ConfigError::Policy(error)) if error.field == "api_rate"));
    let made = Small::try_new(POLICY, token::Config::DEFAULT, None, &[7; 31], &[]);
    assert_eq!(made.err(), Some(ConfigError::Key(KeyError::TooShort)));
}

#[test]
fn codes_are_stable_and_one_each() {
    let all = [
        (Denied::Unauthenticated, "unauthenticated"),
        (Denied::Forbidden, "forbidden"),
        (Denied::RateLimited { retry_at: Instant::ZERO }, "rate_limited"),
        (Denied::LockedOut { retry_at: Instant::ZERO }, "locked_out"),
        (Denied::InvalidInput, "invalid_input"),
        (Denied::ForbiddenInput, "forbidden_input"),
        (Denied::Overloaded, "overloaded"),
        (Denied::NoClock, "no_clock"),
        (Denied::Internal, "internal"),
    ];
    for (denied, code) in all {
        assert_eq!(denied.code(), code);
    }
}
