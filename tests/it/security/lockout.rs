//! The lockout against a model in which every rule is written plainly, with time that goes both ways.

use daur_core::reliability::limiter;
use daur_core::security::lockout::{Config, Locked, Lockout};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;

const PLACES: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Check(usize),
    Fail(usize),
    Succeed(usize),
    Poll,
    /// Passes until a lock is over: exactly, or a nanosecond before.
    ToTheEnd(usize, bool),
    Forward(u64),
    Back(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0_usize..6;
    prop::collection::vec(
        prop_oneof![
            4 => name.clone().prop_map(Step::Check),
            8 => name.clone().prop_map(Step::Fail),
            1 => name.clone().prop_map(Step::Succeed),
            1 => Just(Step::Poll),
            3 => (name, any::<bool>()).prop_map(|(name, exact)| Step::ToTheEnd(name, exact)),
            3 => (0_u64..40).prop_map(Step::Forward),
            1 => (0_u64..40).prop_map(Step::Back),
        ],
        0..200,
    )
}

/// One name as the rules speak of it, in nanoseconds.
#[derive(Clone, Debug)]
struct Known {
    name: usize,
    failures: u32,
    locks: u32,
    last: u64,
    until: u64,
}

struct Model {
    config: Config,
    known: [Option<Known>; PLACES],
    /// When the failures of the others are paid for.
    paid: u64,
}

impl Model {
    fn over(&self, known: &Known, now: u64) -> bool {
        known.last.max(known.until) + self.config.forget_after.as_nanos() <= now
    }

    fn remembered(&self, name: usize) -> Option<usize> {
        self.known.iter().position(|known| known.as_ref().is_some_and(|known| known.name == name))
    }

    /// The first place that is empty, or that nobody needs any more.
    fn free(&self, now: u64) -> Option<usize> {
        self.known.iter().position(|known| known.as_ref().is_none_or(|known| self.over(known, now)))
    }

    fn crowded(&self, now: u64) -> Option<u64> {
        let interval = self.config.overflow.period.as_nanos() / u64::from(self.config.overflow.rate);
        let ahead = interval * u64::from(self.config.overflow.burst - 1);
        let retry_at = self.paid.saturating_sub(ahead);
        (retry_at > now).then_some(retry_at)
    }

    fn check(&self, name: usize, now: u64) -> Option<u64> {
        match self.remembered(name) {
            Some(at) => self.known[at].as_ref().map(|known| known.until).filter(|until| now < *until),
            None if self.free(now).is_some() => None,
            None => self.crowded(now),
        }
    }

    fn fail(&mut self, name: usize, now: u64) -> Option<u64> {
        let fresh = Known { name, failures: 0, locks: 0, last: 0, until: 0 };
        let Some(at) = self.remembered(name).or(self.free(now)) else {
            if self.crowded(now).is_none() {
                let interval = self.config.overflow.period.as_nanos() / u64::from(self.config.overflow.rate);
                self.paid = self.paid.max(now) + interval;
            }
            return self.crowded(now);
        };
        let config = self.config;
        let keep = self.known[at].take().filter(|known| known.name == name && !self.over(known, now));
        let known = self.known[at].insert(keep.unwrap_or(fresh));
        known.last = known.last.max(now);
        known.failures += 1;
        if known.failures < config.max_attempts {
            return None;
        }
        let lock = (0..known.locks).fold(config.first_lock.as_nanos(), |lock, _| lock * 2);
        known.until = known.until.max(now + lock.min(config.max_lock.as_nanos()));
        known.locks += 1;
        known.failures = 0;
        Some(known.until)
    }

    fn succeed(&mut self, name: usize, now: u64) {
        self.forget(|known| known.name == name && now >= known.until);
    }

    fn forget(&mut self, whom: impl Fn(&Known) -> bool) {
        for place in &mut self.known {
            *place = place.take().filter(|known| !whom(known));
        }
    }
}

fn config() -> impl Strategy<Value = Config> {
    (1_u32..4, 1_u64..10, 0_u64..50, 1_u64..60, 1_u32..4).prop_map(|(max_attempts, first, more, forget, burst)| {
        Config {
            max_attempts,
            first_lock: Duration::from_nanos(first),
            max_lock: Duration::from_nanos(first + more),
            forget_after: Duration::from_nanos(forget),
            overflow: limiter::Config { rate: 1, period: Duration::from_nanos(7), burst },
        }
    })
}

proptest! {
    #[test]
    fn it_does_what_the_rules_say(config in config(), key in any::<[u8; 32]>(), steps in steps()) {
        let mut lockout: Lockout<PLACES> = Lockout::try_new(config, &key).unwrap();
        let mut model = Model { config, known: [const { None }; PLACES], paid: 0 };
        let mut now = 1_000_u64;
        let (mut refused, mut locks) = (0, 0);
        for step in steps {
            let at = Instant::from_nanos(now);
            let locked = |until: Option<u64>| until.map(|until| Locked { retry_at: Instant::from_nanos(until) });
            match step {
                Step::Check(name) => {
                    let expected = locked(model.check(name, now));
                    refused += u64::from(expected.is_some());
                    prop_assert_eq!(lockout.check(&format!("user {name}"), at).err(), expected);
                }
                Step::Fail(name) => {
                    let expected = locked(model.fail(name, now));
                    locks += u64::from(expected.is_some());
                    prop_assert_eq!(lockout.on_failure(&format!("user {name}"), at), expected);
                }
                Step::Succeed(name) => {
                    model.succeed(name, now);
                    lockout.on_success(&format!("user {name}"), at);
                }
                Step::Poll => {
                    let next = lockout.poll_at();
                    let before = lockout.snapshot(at).tracked;
                    lockout.poll(at);
                    let changed = lockout.snapshot(at).tracked != before;
                    prop_assert_eq!(changed, next.is_some_and(|next| next <= at), "polling before `poll_at` changes nothing");
                    let forget = config.forget_after.as_nanos();
                    model.forget(|known| known.last.max(known.until) + forget <= now);
                }
                Step::ToTheEnd(name, exact) => if let Some(until) = model.check(name, now) {
                    now = if exact { until } else { until - 1 };
                    let checked = lockout.check(&format!("user {name}"), Instant::from_nanos(now));
                    refused += u64::from(checked.is_err());
                    // Beside its own lock, time may have freed a place.
                    prop_assert_eq!(checked.err(), locked(model.check(name, now)));
                }
                Step::Forward(nanos) => now += nanos,
                Step::Back(nanos) => now = now.saturating_sub(nanos),
            }
            let snapshot = lockout.snapshot(Instant::from_nanos(now));
            prop_assert_eq!((snapshot.refused, snapshot.locks), (refused, locks));
            prop_assert_eq!(snapshot.tracked as usize, model.known.iter().flatten().count());
            prop_assert_eq!(
                snapshot.locked as usize,
                model.known.iter().flatten().filter(|known| now < known.until).count()
            );
        }
    }
}
