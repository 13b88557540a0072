//! Stories of each rule, with stores that fail when they are told to.

use super::*;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use crate::clock::ManualClock;

const POLICY: Policy<'static> = Policy { iterations: 1_000, api_burst: 5, ..Policy::DEFAULT };
const HOME: &str = "10.0.0.7";

/// Works until it is switched off.
#[derive(Default)]
struct Switch(AtomicBool);

impl Switch {
    fn ask(&self) -> Result<(), BoxError> {
        if self.0.load(SeqCst) { Err("switched off".into()) } else { Ok(()) }
    }
}

struct Fallible<T> {
    inner: T,
    switch: Switch,
}

impl<T> Fallible<T> {
    fn new(inner: T) -> Arc<Self> {
        Arc::new(Self { inner, switch: Switch::default() })
    }

    fn fail(&self, fails: bool) {
        self.switch.0.store(fails, SeqCst);
    }
}

impl<T: UserStore> UserStore for Fallible<T> {
    fn find(&self, name: &str) -> Result<Option<Account>, BoxError> {
        self.switch.ask()?;
        self.inner.find(name)
    }

    fn rehash(&self, name: &str, old: &str, phc: &str) -> Result<(), BoxError> {
        self.switch.ask()?;
        self.inner.rehash(name, old, phc)
    }
}

impl<T: Sink> Sink for Fallible<T> {
    fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
        self.switch.ask()?;
        self.inner.record(events)
    }
}

/// Remembers revoked numbers.
#[derive(Default)]
struct Numbers(std::sync::Mutex<Vec<[u8; 16]>>, std::sync::Mutex<Vec<(Option<String>, u64)>>);

impl Revocations for Fallible<Numbers> {
    fn is_revoked(&self, claims: &Claims) -> Result<bool, BoxError> {
        self.switch.ask()?;
        Ok(self.inner.0.lock().unwrap().contains(&claims.jti.unwrap()))
    }

    fn revoke(&self, claims: &Claims, _now: UnixTime) -> Result<bool, BoxError> {
        self.switch.ask()?;
        let (mut revoked, jti) = (self.inner.0.lock().unwrap(), claims.jti.unwrap());
        let is_new = !revoked.contains(&jti);
        if is_new {
            revoked.push(jti);
        }
        Ok(is_new)
    }

    fn revoke_before(&self, user: Option<&str>, iat: u64) -> Result<(), BoxError> {
        self.switch.ask()?;
        self.inner.1.lock().unwrap().push((user.map(str::to_owned), iat));
        Ok(())
    }
}

struct Service {
    manager: SecurityManager,
    users: Arc<Fallible<MemoryUsers>>,
    audit: Arc<Fallible<Recent>>,
    clock: Arc<ManualClock>,
}

/// A clock that several hold.
#[derive(Clone)]
struct Held(Arc<ManualClock>);

impl Clock for Held {
    fn now(&self) -> Instant {
        self.0.now()
    }
}

fn service_with(change: impl FnOnce(Builder<'_>) -> Builder<'_>) -> Service {
    let users = MemoryUsers::new();
    users.add("alice", "correct horse", 1_000, Permissions::READ).unwrap();
    let (users, audit) = (Fallible::new(users), Fallible::new(Recent::new(1_000)));
    let clock = Arc::new(ManualClock::new(Instant::from_secs(100)));
    let builder = SecurityManager::builder(POLICY, &[7; 32], users.clone(), audit.clone());
    let builder = builder.clocks(Held(clock.clone()), Some(UnixTime::from_secs(1_800_000_000)));
    Service { manager: change(builder).build().unwrap(), users, audit, clock }
}

fn service() -> Service {
    service_with(|builder| builder)
}

impl Service {
    fn login(&self) -> Issued {
        self.manager.login_blocking("alice", "correct horse", HOME).unwrap()
    }

    fn told(&self) -> Vec<(What, Outcome, String)> {
        let events = self.audit.inner.events();
        events.iter().map(|(event, ..)| (event.kind, event.outcome, event.detail.to_string())).collect()
    }
}

#[test]
fn rule_1_what_cannot_be_audited_is_not_granted_and_a_refusal_stands() {
    let service = service();
    let token = service.login().token;
    service.audit.fail(true);
    assert_eq!(service.manager.login_blocking("alice", "correct horse", HOME), Err(Denied::Internal));
    assert_eq!(service.manager.login_blocking("alice", "wrong", HOME), Err(Denied::Unauthenticated));
    assert_eq!(service.manager.authorize(&token, Permissions::READ, HOME), Err(Denied::Internal));
    assert_eq!(service.manager.authorize(&token, Permissions::ADMIN, HOME), Err(Denied::Forbidden));
    assert_eq!(service.manager.validate_and_sanitize("ls", Kind::Command), Err(Rejected::Unaudited));
    assert_eq!(service.manager.validate_and_sanitize("ls;", Kind::Command).unwrap_err().code(), "invalid_input");
    service.audit.fail(false);
    assert!(service.manager.authorize(&token, Permissions::READ, HOME).is_ok());
}

#[test]
fn rule_1_a_store_of_users_that_fails_lets_nobody_in() {
    let service = service();
    let token = service.login().token;
    service.users.fail(true);
    assert_eq!(service.manager.login_blocking("alice", "correct horse", HOME), Err(Denied::Internal));
    assert_eq!(service.told().pop().unwrap().2, "the store of users failed");
    assert_eq!(service.manager.refresh(&token, HOME), Err(Denied::Internal));
    service.users.fail(false);
    let renewed = service.manager.refresh(&token, HOME).unwrap();
    assert_ne!(renewed.token, token);
    assert_eq!(service.manager.authorize(&token, Permissions::READ, HOME), Err(Denied::Unauthenticated));
    service.users.inner.remove("alice");
    assert_eq!(service.manager.refresh(&renewed.token, HOME), Err(Denied::Unauthenticated));
}

#[test]
fn rule_2_hashes_are_made_outside_the_lock_and_so_many_at_a_time() {
    /// Counts who is in, and waits until the others are.
    struct Meeting(Arc<std::sync::Barrier>, Arc<AtomicU32>);
    impl Passwords for Meeting {
        fn check(&self, _: &str, _: Option<&str>) -> Result<Checked, BoxError> {
            assert!(self.1.fetch_add(1, SeqCst) < 2, "never more than two");
            self.0.wait();
            self.1.fetch_sub(1, SeqCst);
            self.0.wait();
            Ok(Checked { matches: true, rehash: None })
        }
    }
    let (barrier, inside) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let logins = bulkhead::Config { max_concurrent: 2, max_waiting: 8, max_wait: None };
    let service = service_with(|builder| builder.logins(logins).passwords(Meeting(barrier, inside)));
    std::thread::scope(|scope| {
        // Two at a time meet at the barrier; with the lock held they never would.
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| service.login())).collect();
        all.into_iter().for_each(|login| drop(login.join().unwrap()));
    });
}

#[test]
fn rule_2_a_login_that_finds_no_turn_is_refused_and_told() {
    struct Never;
    impl Passwords for Never {
        fn check(&self, _: &str, _: Option<&str>) -> Result<Checked, BoxError> {
            unreachable!("no turn")
        }
    }
    let logins = bulkhead::Config { max_concurrent: 1, max_waiting: 0, max_wait: None };
    let service = service_with(|builder| builder.logins(logins).passwords(Never));
    let _turn = service.manager.inner.logins.try_acquire().unwrap();
    assert_eq!(service.manager.login_blocking("alice", "x", HOME), Err(Denied::Overloaded));
    assert_eq!(service.told(), [(What::Login, Outcome::Failure, "overloaded".to_owned())]);
}

#[test]
fn rule_3_a_hash_that_fails_counts_for_nothing() {
    struct Broken;
    impl Passwords for Broken {
        fn check(&self, _: &str, _: Option<&str>) -> Result<Checked, BoxError> {
            Err("no randomness".into())
        }
    }
    let service = service_with(|builder| builder.passwords(Broken));
    for _ in 0..10 {
        assert_eq!(service.manager.login_blocking("alice", "x", HOME), Err(Denied::Internal));
    }
    assert_eq!(service.manager.snapshot().known.tracked, 0);
    assert_eq!(service.told().len(), 10);
}

#[test]
fn rule_4_a_store_of_revoked_tokens_is_asked_for_every_token() {
    let store = Fallible::new(Numbers::default());
    let service = service_with(|builder| builder.revocations(store.clone()));
    let token = service.login().token;
    assert!(service.manager.authorize(&token, Permissions::READ, HOME).is_ok());
    store.fail(true);
    assert_eq!(service.manager.authorize(&token, Permissions::READ, HOME), Err(Denied::Internal));
    assert_eq!(service.manager.logout(&token, HOME), Err(Denied::Internal));
    store.fail(false);
    let renewed = service.manager.refresh(&token, HOME).unwrap().token;
    assert_eq!(service.manager.refresh(&token, HOME), Err(Denied::Unauthenticated), "once");
    service.manager.logout(&renewed, HOME).unwrap();
    assert_eq!(service.manager.authorize(&renewed, Permissions::READ, HOME), Err(Denied::Unauthenticated));
    assert_eq!(service.told().pop().unwrap().2, "token: revoked");
    assert_eq!(store.inner.0.lock().unwrap().len(), 2);
}

#[test]
fn rule_4_who_asks_too_often_keeps_the_token() {
    let store = Fallible::new(Numbers::default());
    let service = service_with(|builder| builder.revocations(store.clone()));
    let token = service.login().token;
    while service.manager.authorize(&token, Permissions::READ, HOME).is_ok() {}
    let Err(Denied::RateLimited { retry_at }) = service.manager.refresh(&token, HOME) else { panic!("limited") };
    assert_eq!(*store.inner.0.lock().unwrap(), [[0; 16]; 0], "it still counts");
    service.clock.set(retry_at);
    assert!(service.manager.refresh(&token, HOME).is_ok());
}

#[test]
fn rule_6_all_tokens_of_a_user_end_here_and_in_the_store() {
    let store = Fallible::new(Numbers::default());
    let service = service_with(|builder| builder.revocations(store.clone()));
    let token = service.login().token;
    service.manager.revoke_user("alice", "root", HOME).unwrap();
    assert_eq!(service.manager.authorize(&token, Permissions::READ, HOME), Err(Denied::Unauthenticated));
    assert_eq!(service.manager.refresh(&token, HOME), Err(Denied::Unauthenticated));
    let again = service.login().token;
    assert!(service.manager.authorize(&again, Permissions::READ, HOME).is_ok(), "in the same second");
    assert_eq!(service.manager.revoke_user("", "root", HOME), Err(Denied::InvalidInput));
    service.audit.fail(true);
    assert_eq!(service.manager.revoke_all("root", HOME), Err(Denied::Internal));
    service.audit.fail(false);
    let marks = [(Some("alice".to_owned()), 1_800_000_001), (None, 1_800_000_001)];
    assert_eq!(*store.inner.1.lock().unwrap(), marks, "also what could not be audited");
    store.fail(true);
    assert_eq!(service.manager.revoke_all("root", HOME), Err(Denied::Internal));
}

/// Changes its user while a password is looked at.
struct Meanwhile<F>(F);

impl<F: Fn() + Send + Sync + 'static> Passwords for Meanwhile<F> {
    fn check(&self, _: &str, _: Option<&str>) -> Result<Checked, BoxError> {
        self.0();
        Ok(Checked { matches: true, rehash: Some("$of the old password".to_owned()) })
    }
}

/// A store whose one user can be changed.
struct One(std::sync::Mutex<Option<Account>>);

impl UserStore for One {
    fn find(&self, _: &str) -> Result<Option<Account>, BoxError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn rehash(&self, _: &str, old: &str, phc: &str) -> Result<(), BoxError> {
        if let Some(account) = self.0.lock().unwrap().as_mut().filter(|account| account.phc == old) {
            phc.clone_into(&mut account.phc);
        }
        Ok(())
    }
}

#[test]
fn rule_6_a_login_that_a_change_overtakes_is_refused() {
    let account = |phc: &str, tokens_from| Account { phc: phc.to_owned(), permissions: Permissions::ALL, tokens_from };
    let login = |changed: Option<Account>| {
        let one = Arc::new(One(std::sync::Mutex::new(Some(account("$old", 5)))));
        let users = one.clone();
        let change = move || users.0.lock().unwrap().clone_from(&changed);
        let builder =
            SecurityManager::builder(POLICY, &[7; 32], one.clone(), Recent::new(9)).passwords(Meanwhile(change));
        let issued = builder.build().unwrap().login_blocking("alice", "old", HOME);
        let stored = one.0.lock().unwrap().as_ref().map(|account| account.phc.clone());
        (issued.map(|issued| issued.permissions()), stored)
    };
    assert_eq!(login(None), (Err(Denied::Unauthenticated), None), "removed, or disabled");
    let new = Some("$new".to_owned());
    assert_eq!(login(Some(account("$new", 6))), (Err(Denied::Unauthenticated), new.clone()), "another password");
    let weaker = Account { permissions: Permissions::READ, ..account("$old", 5) };
    assert_eq!(login(Some(weaker)).0, Ok(Permissions::READ), "what is granted by now");
    // Of a store that does not tell when, the new password is kept at least.
    assert_eq!(login(Some(account("$new", 5))).1, new);
}

#[test]
fn rule_6_a_token_from_before_a_change_is_not_renewed() {
    let one = Arc::new(One(std::sync::Mutex::new(None)));
    let hash = password_hash("right");
    let mut account = Account { phc: hash, permissions: Permissions::READ, tokens_from: 1_800_000_000 };
    *one.0.lock().unwrap() = Some(account.clone());
    let builder = SecurityManager::builder(POLICY, &[7; 32], one.clone(), Recent::new(99));
    let manager = builder.clocks(StdClock, Some(UnixTime::from_secs(1_800_000_000))).build().unwrap();
    let token = manager.login_blocking("alice", "right", HOME).unwrap().token;
    let token = manager.refresh(&token, HOME).unwrap().token;
    account.tokens_from += 1;
    *one.0.lock().unwrap() = Some(account);
    assert_eq!(manager.refresh(&token, HOME), Err(Denied::Unauthenticated));
}

fn password_hash(of: &str) -> String {
    daur_core::security::password::hash(of, &[1; 16], 1_000).unwrap().as_str().to_owned()
}

#[test]
fn a_user_whose_hash_cannot_be_used_is_like_any_other() {
    let service = service();
    for stored in ["", "!", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA"] {
        let disabled = Account { phc: stored.to_owned(), permissions: Permissions::ALL, tokens_from: 0 };
        let one = One(std::sync::Mutex::new(Some(disabled)));
        let manager = SecurityManager::builder(POLICY, &[7; 32], one, Recent::new(9)).build().unwrap();
        for given in ["", "!", stored] {
            assert_eq!(manager.login_blocking("alice", given, HOME), Err(Denied::Unauthenticated), "{stored}");
        }
        assert!(matches!(manager.login_blocking("alice", "", HOME), Err(Denied::LockedOut { .. })), "and counts");
    }
    let unknown: Vec<_> =
        (0..4).map(|_| service.manager.login_blocking("nobody", "", HOME).unwrap_err().code()).collect();
    assert_eq!(unknown, ["unauthenticated", "unauthenticated", "unauthenticated", "locked_out"], "as of no user");
}

#[test]
fn rule_5_no_secret_is_printed_or_audited() {
    let service = service();
    let issued = service.login();
    let _ = service.manager.login_blocking("alice", "a secret that is wrong", HOME);
    let _ = service.manager.authorize(&format!("{}x", issued.token), Permissions::READ, HOME);
    let _ = service.manager.validate_and_sanitize("a secret; in an input", Kind::Command);
    let signature = issued.token.rsplit('.').next().unwrap();
    let told = format!(
        "{:?} {:?} {issued:?} {:?}",
        service.audit.inner.events(),
        service.manager,
        service.users.find("alice")
    );
    for secret in ["secret", "correct horse", signature, "pbkdf2", "07070707", "7, 7, 7, 7"] {
        assert!(!told.contains(secret), "{secret}");
    }
}

#[test]
fn a_locked_name_is_let_in_again_by_time_alone() {
    let service = service();
    for _ in 0..3 {
        assert_eq!(service.manager.login_blocking("alice", "wrong", HOME), Err(Denied::Unauthenticated));
    }
    let Err(Denied::LockedOut { retry_at }) = service.manager.login_blocking("alice", "correct horse", HOME) else {
        panic!("locked")
    };
    assert_eq!(retry_at - service.manager.now(), Duration::from_secs(30));
    service.clock.set(retry_at);
    service.login();
}

#[test]
fn a_weak_hash_is_made_anew_at_a_login() {
    let service = service();
    service.users.inner.add("bob", "correct horse", 1_000, Permissions::NONE).unwrap();
    let stronger = SecurityManager::builder(
        Policy { iterations: 1_500, ..POLICY },
        &[7; 32],
        service.users.clone(),
        Recent::new(9),
    );
    let stronger = stronger.build().unwrap();
    stronger.login_blocking("bob", "correct horse", HOME).unwrap();
    assert!(service.users.find("bob").unwrap().unwrap().phc.contains("i=1500"));
    stronger.login_blocking("bob", "correct horse", HOME).unwrap();
}

#[test]
fn it_takes_what_its_doc_says_and_is_built_on_a_small_stack() {
    assert!((270_000..310_000).contains(&size_of::<Inner>()), "{}", size_of::<Inner>());
    let small = std::thread::Builder::new().stack_size(256 * 1_024);
    small.spawn(|| service().login()).unwrap().join().unwrap();
}

#[test]
fn all_tokens_of_a_user_end_at_once() {
    let store = Fallible::new(Numbers::default());
    let with_store = service_with(|builder| builder.revocations(store.clone()));
    store.fail(true);
    assert_eq!(with_store.manager.revoke_user("alice", "root", "cli"), Err(Denied::Internal));
    let service = service();
    let tokens = [service.login().token, service.login().token];
    service.manager.revoke_user("bob", "root", "cli").unwrap();
    assert!(tokens.iter().all(|token| service.manager.authorize(token, Permissions::READ, HOME).is_ok()));
    service.manager.revoke_user("alice", "root", "cli").unwrap();
    assert_eq!(service.told().pop().unwrap(), (What::TokenRevoked, Outcome::Success, "all of alice".to_owned()));
    for token in &tokens {
        assert_eq!(service.manager.authorize(token, Permissions::READ, HOME), Err(Denied::Unauthenticated));
        assert_eq!(service.manager.refresh(token, HOME), Err(Denied::Unauthenticated));
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_scheme_of_the_hasher_checks_passwords_too() {
    use crate::security::password::{Error, Scheme};

    /// As weak as it is quick.
    struct Plain;
    impl Scheme for Plain {
        fn hash(&self, password: &str) -> Result<String, Error> {
            Ok(format!("new {password}"))
        }
        fn verify(&self, password: &str, stored: &str) -> Result<bool, Error> {
            Ok(stored.split_once(' ').is_some_and(|(_, kept)| kept == password))
        }
        fn needs_rehash(&self, stored: &str) -> bool {
            stored.starts_with("old")
        }
        fn dummy(&self, _password: &str) {}
    }
    let scheme = ByScheme(Plain);
    let rehash = Some("new x".to_owned());
    assert!(scheme.check("x", Some("old x")).unwrap() == Checked { matches: true, rehash });
    assert!(scheme.check("x", Some("new x")).unwrap() == Checked { matches: true, rehash: None });
    for (given, stored) in [("y", Some("old x")), ("x", None)] {
        assert!(scheme.check(given, stored).unwrap() == Checked { matches: false, rehash: None });
    }
}

#[test]
fn keys_follow_each_other() {
    let service = service();
    let old = service.login().token;
    service.manager.add_key(Kid::new("k2").unwrap(), &[8; 32], Role::Signing, "root", "cli").unwrap();
    let new = service.login().token;
    assert!([&old, &new].iter().all(|token| service.manager.authorize(token, Permissions::READ, HOME).is_ok()));
    service.manager.retire_key(None, "root", "cli").unwrap();
    assert_eq!(service.manager.authorize(&old, Permissions::READ, HOME), Err(Denied::Unauthenticated));
    assert!(service.manager.authorize(&new, Permissions::READ, HOME).is_ok());
}

#[test]
fn grants_are_left_out_where_they_are_not_wanted() {
    let recent = Recent::new(100);
    let users = MemoryUsers::new();
    users.add("alice", "correct horse", 1_000, Permissions::READ).unwrap();
    let builder = SecurityManager::builder(POLICY, &[7; 32], users, WithoutGrants(recent.clone()));
    let manager = builder.build().unwrap();
    let token = manager.login_blocking("alice", "correct horse", HOME).unwrap().token;
    manager.authorize(&token, Permissions::READ, HOME).unwrap();
    manager.validate_and_sanitize("ls", Kind::Command).unwrap();
    let _ = manager.authorize(&token, Permissions::ADMIN, HOME);
    let kinds: Vec<_> = recent.events().iter().map(|(event, ..)| event.kind).collect();
    assert_eq!(kinds, [What::Login, What::TokenIssued, What::AccessDenied]);
}

#[test]
fn a_queue_hands_on_in_order_and_tells_what_it_lost() {
    /// Holds up the thread until it is let go.
    struct Gate(Recent, Arc<std::sync::Barrier>);
    impl Sink for Gate {
        fn record(&self, events: &[Stamped]) -> Result<(), BoxError> {
            self.0.record(events)?;
            self.1.wait();
            self.1.wait();
            Ok(())
        }
    }
    let (recent, barrier) = (Recent::new(100), Arc::new(std::sync::Barrier::new(2)));
    let (queue, writer) = Queue::start(Gate(recent.clone(), barrier.clone()), 2).unwrap();
    let event = |n: u32| (Event::new(What::Command, Outcome::Success, "", "", &n.to_string()), Instant::ZERO, None);
    queue.record(&[event(0)]).unwrap();
    barrier.wait();
    // The thread holds the first; two find room, two do not.
    assert!(queue.record(&[event(1), event(2), event(3), event(4)]).is_err());
    assert_eq!(queue.lost(), 2);
    barrier.wait();
    barrier.wait();
    drop(queue);
    barrier.wait();
    writer.join();
    let details: Vec<_> = recent.events().iter().map(|(event, ..)| event.detail.to_string()).collect();
    assert_eq!(details, ["0", "2 events could not be kept", "1", "2"]);
}

#[test]
fn a_queue_whose_sink_refuses_says_so_until_it_takes_again() {
    let sink = Fallible::new(Recent::new(100));
    let (queue, writer) = Queue::start(sink.clone(), 8).unwrap();
    let event = (Event::new(What::Command, Outcome::Success, "", "", ""), Instant::ZERO, None);
    sink.fail(true);
    let _ = queue.record(&[event]);
    while queue.lost() == 0 {
        std::thread::yield_now();
    }
    while queue.record(&[event]).is_ok() {
        std::thread::yield_now();
    }
    sink.fail(false);
    while queue.record(&[event]).is_err() {
        std::thread::yield_now();
    }
    drop(queue);
    writer.join();
    assert!(sink.inner.events().iter().any(|(event, ..)| event.kind == What::Lost));
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn on_tokio_a_login_is_one_call_and_finished_when_its_caller_is_gone() {
    let service = service();
    let issued = service.manager.login("alice", "correct horse".to_owned(), HOME).await.unwrap();
    assert_eq!(issued.permissions(), Permissions::READ);
    assert_eq!(issued.expires_at(), 1_800_003_600);
    let wrong = service.manager.login("alice", "wrong".to_owned(), HOME).await;
    assert_eq!(wrong, Err(Denied::Unauthenticated));
}
