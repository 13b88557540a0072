//! The retry against a naive model written from the rules in u128 and lists, and ten million draws.

use daur_core::reliability::retry::{Attempts, Class, Config, Decision, Jitter, Reason, Retry, Strategy};
use daur_core::time::{Duration, Instant};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

const START: Instant = Instant::from_secs(1_000_000);

const STRATEGIES: [Strategy; 5] = [
    Strategy::Constant,
    Strategy::Linear,
    Strategy::EXPONENTIAL,
    Strategy::Fibonacci,
    Strategy::Random { min: Duration::from_millis(1), max: Duration::from_secs(90) },
];
const JITTERS: [Jitter; 5] = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated, Jitter::Factor(100)];

/// 25 pairs, 400,000 draws of each: all of them far past the cap before the jitter.
#[test]
fn rule_2_no_delay_of_ten_million_exceeds_max_delay() {
    let mut draws = 0_u32;
    for strategy in STRATEGIES {
        for jitter in JITTERS {
            let config = Config {
                max_attempts: Attempts::Forever,
                initial_delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(60),
                strategy,
                jitter,
                ..Config::DEFAULT
            }
            .checked();
            let mut longest = Duration::ZERO;
            for seed in 0..4_000 {
                let mut retry = Retry::new(config, seed, START);
                for _ in 0..100 {
                    let Decision::Retry { after } = retry.next(START) else { panic!("it never stops") };
                    longest = longest.max(after);
                    draws += 1;
                }
            }
            assert!(longest <= config.max_delay, "{strategy:?} with {jitter:?} waited {longest}");
            // Nor does the cap come so early that it is never reached.
            if !matches!(
                (strategy, jitter),
                (Strategy::Constant, Jitter::None | Jitter::Full | Jitter::Equal | Jitter::Factor(_))
            ) {
                assert!(longest >= Duration::from_secs(59), "{strategy:?} with {jitter:?} reached {longest} only");
            }
        }
    }
    assert_eq!(draws, 10_000_000);
}

/// What the next answer may be: both ends belong to it.
#[derive(Debug)]
enum Expected {
    Stop(Reason),
    Between(u128, u128),
}

/// Written from the rules: nothing is kept that can be counted again.
struct Model {
    config: Config,
    started: u128,
    due: u128,
    failures: u128,
    /// The last computed wait, if it can be known from outside.
    previous: Option<u128>,
}

fn nanos(d: Duration) -> u128 {
    u128::from(d.as_nanos())
}

impl Model {
    fn new(config: Config, now: u128) -> Self {
        Self { config, started: now, due: now, failures: 0, previous: Some(nanos(config.initial_delay)) }
    }

    /// The strategy's wait: exactly, or between two.
    fn planned(&self) -> (u128, u128) {
        let initial = nanos(self.config.initial_delay);
        let n = self.failures;
        let exact = match self.config.strategy {
            Strategy::Constant => initial,
            Strategy::Linear => (0..n).map(|_| initial).sum(),
            Strategy::Exponential { factor } => {
                (1..n).fold(initial, |wait, _| (wait * u128::from(factor)).min(u128::from(u64::MAX)))
            }
            Strategy::Fibonacci => {
                let mut series = vec![1_u128, 1];
                while (series.len() as u128) < n {
                    series.push(series[series.len() - 1] + series[series.len() - 2]);
                }
                initial * series[n as usize - 1]
            }
            Strategy::Random { min, max } => return (nanos(min), nanos(max)),
            _ => unreachable!("there are five"),
        };
        (exact, exact)
    }

    fn computed(&self) -> (u128, u128) {
        let cap = nanos(self.config.max_delay);
        let (low, high) = self.planned();
        let (low, high) = (low.min(cap), high.min(cap));
        let (low, high) = match self.config.jitter {
            Jitter::None => (low, high),
            Jitter::Full => (0, high),
            Jitter::Equal => (low / 2, high),
            Jitter::Decorrelated => {
                let initial = nanos(self.config.initial_delay);
                (initial, self.previous.map_or(cap, |previous| (previous * 3).max(initial)))
            }
            Jitter::Factor(percent) => {
                let percent = u128::from(percent);
                (low - (low * percent).div_ceil(100), high + (high * percent).div_ceil(100))
            }
            _ => unreachable!("there are five"),
        };
        (low.min(cap), high.min(cap))
    }

    fn fail(&mut self, class: Class, now: u128) -> Expected {
        let hint = match class {
            Class::Permanent | Class::Ignored => {
                self.failures += 1;
                return Expected::Stop(Reason::NotRetryable);
            }
            Class::TransientAfter(hint) => Some(nanos(hint)),
            Class::Transient => None,
        };
        let stable = now.saturating_sub(self.due);
        if self.config.reset_after.is_some_and(|after| stable >= nanos(after)) {
            *self = Self::new(self.config, now);
        }
        self.failures += 1;
        if let Attempts::Limited(limit) = self.config.max_attempts
            && self.failures >= u128::from(limit)
        {
            return Expected::Stop(Reason::Exhausted);
        }
        let (mut low, mut high) = self.computed();
        if let Some(hint) = hint {
            let wait = if self.config.cap_hint { hint.min(nanos(self.config.max_delay)) } else { hint };
            (low, high) = (wait, wait);
        }
        if let Some(limit) = self.config.max_elapsed {
            let elapsed = now.saturating_sub(self.started);
            let left = nanos(limit).saturating_sub(elapsed);
            if left == 0 || (hint.is_some() && high > left) {
                return Expected::Stop(Reason::Elapsed);
            }
            (low, high) = (low.min(left), high.min(left));
        }
        Expected::Between(low, high)
    }

    /// What was answered within the bounds.
    fn answered(&mut self, after: u128, hinted: bool, now: u128) {
        let cut = self.config.max_elapsed.is_some_and(|limit| now.saturating_sub(self.started) + after >= nanos(limit));
        self.previous = (!hinted && !cut).then_some(after);
        self.due = now + after;
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fail(Class),
    /// As long as the retry has asked to wait.
    Wait,
    Forward(u64),
    Back(u64),
}

fn length() -> impl proptest::strategy::Strategy<Value = Duration> {
    prop_oneof![3 => 1_u64..1_000, 2 => 1_u64..5_000_000_000, 1 => Just(1_u64 << 62)].prop_map(Duration::from_nanos)
}

fn config() -> impl proptest::strategy::Strategy<Value = Config> {
    let strategy = prop_oneof![
        Just(Strategy::Constant),
        Just(Strategy::Linear),
        (1_u32..20).prop_map(|factor| Strategy::Exponential { factor }),
        Just(Strategy::Fibonacci),
        (length(), length()).prop_map(|(a, b)| Strategy::Random { min: a.min(b), max: a.max(b) }),
    ];
    let jitter = prop_oneof![
        2 => Just(Jitter::None),
        1 => Just(Jitter::Full),
        1 => Just(Jitter::Equal),
        1 => Just(Jitter::Decorrelated),
        1 => (0_u8..=100).prop_map(Jitter::Factor),
    ];
    let attempts = prop_oneof![Just(Attempts::Forever), (1_u32..9).prop_map(Attempts::Limited)];
    let limits = (prop::option::of(length()), prop::option::of(length()), any::<bool>());
    (attempts, length(), length(), strategy, jitter, limits).prop_map(
        |(max_attempts, a, b, strategy, jitter, (max_elapsed, reset_after, cap_hint))| Config {
            max_attempts,
            initial_delay: a.min(b),
            max_delay: a.max(b),
            strategy,
            jitter,
            max_elapsed,
            reset_after,
            cap_hint,
        },
    )
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Fail(Class::Transient)),
        2 => length().prop_map(|hint| Step::Fail(Class::TransientAfter(hint))),
        1 => prop_oneof![Just(Step::Fail(Class::Permanent)), Just(Step::Fail(Class::Ignored))],
        4 => Just(Step::Wait),
        4 => length().prop_map(|by| Step::Forward(by.as_nanos().min(5_000_000_000))),
        1 => length().prop_map(|by| Step::Back(by.as_nanos().min(5_000_000_000))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_a_naive_model(config in config(), seed in any::<u64>(), steps in prop::collection::vec(step(), 1..80)) {
        prop_assert_eq!(config.validate(), Ok(()));
        let mut now = START;
        let mut retry = Retry::new(config, seed, now);
        let mut twin = retry.clone();
        let mut model = Model::new(config, u128::from(now.as_nanos()));
        let mut asked = Duration::ZERO;
        for step in steps {
            let class = match step {
                Step::Fail(class) => class,
                Step::Wait => {
                    now += asked.min(Duration::from_secs(60));
                    continue;
                }
                Step::Forward(by) => {
                    now += Duration::from_nanos(by);
                    continue;
                }
                Step::Back(by) => {
                    now = now - Duration::from_nanos(by);
                    continue;
                }
            };
            let then = u128::from(now.as_nanos());
            let expected = model.fail(class, then);
            let decision = retry.on_failure(class, now);
            prop_assert_eq!(twin.on_failure(class, now), decision, "the same seed decides the same");
            prop_assert_eq!(u128::from(retry.failures()), model.failures);
            match (decision, expected) {
                (Decision::Stop { reason }, Expected::Stop(expected)) => prop_assert_eq!(reason, expected),
                (Decision::Retry { after }, Expected::Between(low, high)) => {
                    prop_assert!((low..=high).contains(&nanos(after)), "{} is not in {}..={}", after, low, high);
                    model.answered(nanos(after), matches!(class, Class::TransientAfter(_)), then);
                    asked = after;
                }
                (decision, expected) => prop_assert!(false, "{decision:?} where {expected:?} was right"),
            }
        }
    }
}
