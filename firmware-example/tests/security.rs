//! The machines of security on the target. Every test starts from a reset, and names the machines it is for, as in
//! `resilience.rs`.
#![no_std]
#![no_main]

use cortex_m_rt as _;

#[cfg(test)]
#[embedded_test::tests]
mod tests {
    use core::fmt::Write;

    use daur_core::id::{BootId, DeviceId};
    use daur_core::reliability::limiter;
    use daur_core::security::audit::{self, Broken, Chain, Event, Filter, Kind, Log, Outcome, Verifier};
    use daur_core::security::keys::{HmacKey, Kid, Role, derive_device_key};
    use daur_core::security::lockout::{self, Lockout};
    use daur_core::security::manager::{At, Audit, CommandGate, Context, Denied, Identity, Manager};
    use daur_core::security::password::{self, Pbkdf2};
    use daur_core::security::permission::Permissions;
    use daur_core::security::policy::Policy;
    use daur_core::security::session::{self, Id, NoSession, Sessions};
    use daur_core::security::token::{self, Claims, Gate, Keys};
    use daur_core::text::Text;
    use daur_core::time::{Clock, Duration, Instant, UnixTime};
    use daur_firmware::clock::{self, Timer};
    use daur_firmware::config;

    #[init]
    fn init() {
        // Once per reset, and there is one reset per test.
        let mut core = cortex_m::Peripherals::take().unwrap();
        clock::start(&mut core.SYST);
    }

    /// Machines: security::token, security::keys.
    #[test]
    fn token_of_the_host_is_admitted_once_and_no_changed_bit_is() {
        let device = DeviceId::new(config::DEVICE).unwrap();
        let keys: Keys<1> = Keys::new(token::Config::command(&device), None, &config::DEVICE_KEY).unwrap();
        let text = Text::new("set-interval 500").unwrap();
        let claims = Claims::command(&device, 9, 1, Text::cut("alice"), Permissions::WRITE, text);
        let mut buffer = [0; 512];
        let signed = keys.sign(&claims, &mut buffer).unwrap();

        let mut gate = Gate::new(9);
        let verified = keys.verify(signed, None).unwrap();
        assert_eq!(gate.admit(&verified, Permissions::WRITE), Ok(text));
        assert_eq!(gate.admit(&verified, Permissions::WRITE), Err(token::Error::Replayed));

        let mut changed = [0; 512];
        let changed = &mut changed[..signed.len()];
        for at in (0..signed.len()).step_by(7) {
            changed.copy_from_slice(signed.as_bytes());
            changed[at] ^= 1;
            assert!(core::str::from_utf8(changed).is_ok_and(|changed| keys.verify(changed, None).is_err()));
        }
    }

    /// Machines: security::token.
    #[test]
    fn token_attacks_get_the_verdicts_that_they_get_on_the_host() {
        const TOKENS: &str = include_str!("../../tests/golden/tokens.txt");
        let mut keys: Keys<2> = Keys::new(token::Config::DEFAULT, None, b"the key without a name: 32 bytes").unwrap();
        keys.add(Kid::new("two").ok(), b"the key that has the name `two`!", Role::VerifyOnly).unwrap();
        let now = Some(UnixTime::from_secs(1_800_000_000));
        let (mut accepted, mut refused, mut slowest) = (0, 0, Duration::ZERO);
        for line in TOKENS.lines().filter(|line| !line.starts_with('#')) {
            let (name, rest) = line.split_once(' ').unwrap();
            let (verdict, token) = rest.split_once(' ').unwrap();
            let mut got: Text<16> = Text::EMPTY;
            let begun = Timer.now();
            let result = keys.verify(token, now);
            slowest = slowest.max(Timer.now() - begun);
            match result {
                Ok(_) => got.push("Ok"),
                Err(why) => write!(got, "{why:?}").is_ok(),
            };
            assert_eq!(got.as_str(), verdict, "{name}");
            *(if verdict == "Ok" { &mut accepted } else { &mut refused }) += 1;
        }
        assert!(accepted >= 10 && refused >= 120);
        // In bounded time: QEMU counts 125 or 16 instructions to the microsecond, so this is not a matter of luck.
        assert!(slowest < Duration::from_millis(10), "{} us", slowest.as_micros());
        // The whole file: refused unread.
        assert_eq!(keys.verify(TOKENS, now), Err(token::Error::TooLong));
    }

    /// Machines: security::keys.
    #[test]
    fn token_key_in_the_image_is_the_one_the_host_derives() {
        let device = DeviceId::new(config::DEVICE).unwrap();
        let text = include_str!("../demo-fleet.key").trim_ascii();
        let fleet_key: [u8; 32] =
            core::array::from_fn(|byte| u8::from_str_radix(&text[byte * 2..byte * 2 + 2], 16).unwrap());
        assert_eq!(derive_device_key(&fleet_key, &device), config::DEVICE_KEY);
    }

    /// Machines: security::keys.
    #[test]
    fn hmac_gives_the_tag_of_rfc_4231() {
        let tag = HmacKey::new(b"Jefe").tag(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(tag[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_eq!(tag[24..], [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43]);
    }

    /// Machines: security::password.
    #[test]
    fn password_is_derived_in_steps_and_verifies() {
        let mut whole = Pbkdf2::new(b"correct horse", &[7; 16], 1_000).unwrap();
        let mut steps = Pbkdf2::new(b"correct horse", &[7; 16], 1_000).unwrap();
        let expected = whole.step(1_000).unwrap();
        let mut derived = None;
        while derived.is_none() {
            derived = steps.step(300);
        }
        assert_eq!(derived, Some(expected));

        let stored = password::hash("correct horse", &[7; 16], 1_000).unwrap();
        assert_eq!(password::verify("correct horse", stored.as_str()), Ok(true));
        assert_eq!(password::verify("wrong horse", stored.as_str()), Ok(false));
    }

    /// Machines: security::audit.
    #[test]
    fn audit_chain_verifies_and_shows_a_change_a_gap_and_what_was_lost() {
        let device = DeviceId::new(config::DEVICE).unwrap();
        let first_key = audit::first_key(&config::DEVICE_KEY, BootId(3), 99);
        let mut log = Log::<2>::new(Chain::new(device, BootId(3), first_key));
        let now = Instant::from_secs(1);
        log.append(&Event::login("alice", true, ""), now, None).unwrap();
        log.append(&Event::command("alice", "report", true), now, None).unwrap();
        assert_eq!(log.append(&Event::logout("alice", ""), now, None).unwrap_err().lost, 1);
        assert_eq!(log.find(Filter { kind: Some(Kind::Login), ..Filter::ALL }).count(), 1);

        let mut verifier = Verifier::new(first_key);
        let mut first = log.take().unwrap();
        verifier.check(&first).unwrap();
        assert_eq!(Verifier::new(first_key).check(&log.take().unwrap()), Err(Broken::Missing { seq: 1 }));
        first.event.outcome = Outcome::Failure;
        assert_eq!(Verifier::new(first_key).check(&first), Err(Broken::Changed { seq: 1 }));
        log.poll(now, None);
        assert_eq!(log.take().unwrap().event.kind, Kind::Lost);
    }

    /// Machines: security::lockout.
    #[test]
    fn lockout_locks_the_third_failure_and_only_that_name() {
        let mut logins: Lockout<2> = Lockout::new(lockout::Config::DEFAULT, b"random bytes of this start");
        let now = Instant::from_secs(100);
        assert!(logins.on_failure("alice", now).is_none() && logins.on_failure("alice", now).is_none());
        let locked = logins.on_failure("alice", now).unwrap();
        assert_eq!(locked.retry_at, Instant::from_secs(130));
        assert_eq!(logins.check("alice", Instant::from_nanos(locked.retry_at.as_nanos() - 1)), Err(locked));
        assert!(logins.check("alice", locked.retry_at).is_ok() && logins.check("bob", now).is_ok());
        logins.on_success("alice", locked.retry_at);
        assert!(logins.on_failure("alice", locked.retry_at).is_none());
    }

    /// Machines: security::session.
    #[test]
    fn session_ends_when_idle_and_its_number_is_no_longer_known() {
        let mut sessions =
            Sessions::<2>::new(session::Config { idle: Duration::from_secs(60), ..session::Config::DEFAULT });
        let id = Id::from_random([7; 16]);
        sessions.begin(id.clone(), "ada", Permissions::READ, Instant::from_secs(10)).unwrap();
        assert_eq!(sessions.resume(&id, Instant::from_secs(69)).unwrap().user.as_str(), "ada");
        let new = Id::from_random([8; 16]);
        sessions.rotate(&id, new.clone(), Permissions::WRITE, Instant::from_secs(69)).unwrap();
        assert_eq!(sessions.resume(&id, Instant::from_secs(70)), Err(NoSession::Unknown));
        assert_eq!(sessions.resume(&new, Instant::from_secs(70)).unwrap().permissions, Permissions::WRITE);
        assert_eq!(sessions.resume(&new, Instant::from_secs(130)), Err(NoSession::Idle));
        assert_eq!(sessions.resume(&new, Instant::from_secs(130)), Err(NoSession::Unknown));
    }

    /// Its steps are not inlined, so that the smallest stack has one of them at a time beside the manager.
    ///
    /// Machines: security::manager.
    #[test]
    fn manager_logs_in_authorises_and_tells_the_audit_all_of_it() {
        const POLICY: Policy = Policy { iterations: 1_000, ..Policy::DEFAULT };
        type Small = Manager<'static, 1, 1, 1>;

        #[inline(never)]
        fn make() -> Small {
            Manager::try_new(POLICY, token::Config::DEFAULT, None, &[7; 32], &[9; 32]).unwrap()
        }

        #[inline(never)]
        fn is_right(password: &str) -> bool {
            let stored = password::hash("correct horse", &[1; 16], 1_000).unwrap();
            password::verify(password, stored.as_str()).unwrap()
        }

        #[inline(never)]
        fn login<'o>(
            manager: &mut Small,
            password: &str,
            out: &'o mut [u8],
            audit: &mut impl Audit,
            at: &At<'_>,
        ) -> Result<&'o str, Denied> {
            let attempt = manager.begin("alice", true, audit, at)?;
            let granted = is_right(password).then_some(Permissions::READ);
            manager.finish(attempt, granted, [1; 16], out, audit, at).map(|issued| issued.token)
        }

        #[inline(never)]
        fn is_alice(
            manager: &mut Small,
            token: &str,
            needed: Permissions,
            audit: &mut impl Audit,
            at: &At<'_>,
        ) -> Result<bool, Denied> {
            manager.authorize(token, needed, audit, at).map(|claims| claims.sub.as_str() == "alice")
        }

        let mut manager = make();
        let mut kinds = [None; 5];
        let mut free = kinds.iter_mut();
        let audit = &mut |event: &Event, _: &At<'_>| *free.next().unwrap() = Some((event.kind, event.outcome));
        let at = At { source: "uart", now: Instant::from_secs(5), unix: Some(UnixTime::from_secs(1_800_000_000)) };

        let mut out = [0; 256];
        assert_eq!(login(&mut manager, "wrong horse", &mut out, audit, &at), Err(Denied::Unauthenticated));
        let token = login(&mut manager, "correct horse", &mut out, audit, &at).unwrap();
        assert_eq!(is_alice(&mut manager, token, Permissions::READ, audit, &at), Ok(true));
        assert_eq!(is_alice(&mut manager, token, Permissions::ADMIN, audit, &at), Err(Denied::Forbidden));
        let expected = [
            (Kind::Login, Outcome::Failure),
            (Kind::Login, Outcome::Success),
            (Kind::TokenIssued, Outcome::Success),
            (Kind::Access, Outcome::Success),
            (Kind::AccessDenied, Outcome::Denied),
        ];
        assert_eq!(kinds, expected.map(Some));
    }

    /// Machines: security::manager.
    #[test]
    fn command_gate_admits_a_signed_command_once() {
        let device = DeviceId::new(config::DEVICE).unwrap();
        let mut gate = CommandGate::try_new(&device, 9, &config::DEVICE_KEY, limiter::Config::DEFAULT).unwrap();
        let keys: Keys<1> = Keys::new(token::Config::command(&device), None, &config::DEVICE_KEY).unwrap();
        let claims = Claims::command(&device, 9, 1, Text::cut("alice"), Permissions::ADMIN, Text::cut("restart"));
        let mut buffer = [0; 512];
        let token = keys.sign(&claims, &mut buffer).unwrap();
        let read = |text: &str| if text == "restart" { Ok(((), Permissions::ADMIN)) } else { Err("unknown") };
        let mut told = 0;
        let audit = &mut |_: &Event, _: &At<'_>| told += 1;
        let at = At { source: "uart", now: Instant::from_secs(5), unix: None };
        let admitted = gate.admit(token, read, audit, &at).unwrap();
        assert_eq!((admitted.counter, admitted.user.as_str()), (1, "alice"));
        assert!(gate.admit(token, read, audit, &at).is_err());
        assert_eq!(told, 2);
    }

    /// Machines: attributes::require_auth, attributes::require_permission.
    #[test]
    fn attributes_run_nothing_for_whom_they_refuse() {
        struct Caller(Option<Permissions>);

        impl Context for Caller {
            fn identity(&self) -> Option<Identity<'_>> {
                self.0.map(|permissions| Identity { user: "alice", permissions })
            }
        }

        #[daur_core::require_auth]
        fn read(runs: &mut u32, caller: &Caller) -> Result<(), Denied> {
            *runs += 1;
            Ok(())
        }

        #[daur_core::require_permission("read, admin")]
        fn restart(runs: &mut u32, caller: &Caller) -> Result<(), Denied> {
            *runs += 1;
            Ok(())
        }

        let mut runs = 0;
        let (nobody, reader) = (Caller(None), Caller(Some(Permissions::READ)));
        assert_eq!(read(&mut runs, &nobody), Err(Denied::Unauthenticated));
        assert_eq!(restart(&mut runs, &nobody), Err(Denied::Unauthenticated));
        assert_eq!(restart(&mut runs, &reader), Err(Denied::Forbidden));
        assert_eq!((runs, read(&mut runs, &reader)), (0, Ok(())));
        let admin = Caller(Some(Permissions::READ.with(Permissions::ADMIN)));
        assert_eq!((restart(&mut runs, &admin), runs), (Ok(()), 2));
    }
}
