//! On what functions the attributes stand: methods, generics, lifetimes, futures, `Send`.

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use daur_core::reliability::breaker::{self, Open};
use daur_core::reliability::budget::{self, Budget};
use daur_core::reliability::retry::{Attempts, Config, Jitter};
use daur_core::shared::Shared;
use daur_core::time::Duration;
use daur_std::monitoring::profiler::PROFILER;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::shared::StdShared;

#[derive(Debug)]
enum Error {
    Down,
    Refused,
}

impl From<Open> for Error {
    fn from(_: Open) -> Self {
        Self::Refused
    }
}

/// Fails so many times.
struct Flaky {
    left: AtomicU32,
    log: Vec<u8>,
}

impl Flaky {
    const RETRY: Config = Config {
        max_attempts: Attempts::Limited(3),
        initial_delay: Duration::from_millis(10),
        jitter: Jitter::None,
        ..Config::DEFAULT
    };

    const fn new(left: u32) -> Self {
        Self { left: AtomicU32::new(left), log: Vec::new() }
    }

    fn ask(&self) -> Result<u32, Error> {
        let left = self.left.load(SeqCst);
        if left == 0 {
            return Ok(7);
        }
        self.left.store(left - 1, SeqCst);
        Err(Error::Down)
    }
}

trait Source {
    fn get(&self) -> Result<u32, Error>;

    fn push(&mut self, byte: u8) -> Result<&[u8], Error>;

    fn end(self) -> Result<u32, Error>;

    /// With a body of the trait's own.
    #[daur_std::retry(config = Flaky::RETRY)]
    fn through(&self) -> Result<u32, Error> {
        self.get()
    }

    fn later(&self) -> impl Future<Output = Result<u32, Error>> + Send;

    fn boxed<'a>(&'a mut self, by: &'a u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + 'a>>;
}

impl Source for Flaky {
    #[daur_std::circuit_breaker(window = 100)]
    #[daur_std::retry(max_attempts = 2, delay = "0ms", max_delay = "0ms")]
    fn get(&self) -> Result<u32, Error> {
        self.ask()
    }

    #[daur_std::circuit_breaker]
    fn push(&mut self, byte: u8) -> Result<&[u8], Error> {
        self.log.push(byte);
        Ok(&self.log)
    }

    #[daur_std::circuit_breaker]
    fn end(self) -> Result<u32, Error> {
        Ok(self.left.into_inner())
    }

    #[daur_std::retry(config = Flaky::RETRY)]
    #[daur_std::circuit_breaker(failure_threshold = 3)]
    fn later(&self) -> impl Future<Output = Result<u32, Error>> + Send {
        async move {
            tokio::task::yield_now().await;
            self.ask()
        }
    }

    /// As `#[async_trait]` writes it.
    #[daur_std::retry(config = Flaky::RETRY)]
    fn boxed<'a>(&'a mut self, by: &'a u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + 'a>> {
        Box::pin(async {
            self.log.push(1);
            tokio::task::yield_now().await;
            Ok(self.ask()? * by)
        })
    }
}

#[test]
fn methods_of_traits_retry_whatever_they_take_as_self() {
    let mut flaky = Flaky::new(1);
    assert_eq!(flaky.get().unwrap(), 7);
    assert_eq!(flaky.push(1).unwrap(), [1]);
    assert_eq!(flaky.push(2).unwrap(), [1, 2]);
    let flaky = Flaky::new(4);
    assert_eq!(flaky.through().unwrap(), 7, "two attempts in each of three");
    assert_eq!(flaky.end().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_returns_a_future_is_as_good_as_an_async_one() {
    let flaky = Flaky::new(2);
    let task = tokio::spawn(async move { flaky.later().await.unwrap() });
    assert_eq!(task.await.unwrap(), 7);
    let mut flaky = Flaky::new(2);
    assert_eq!(flaky.boxed(&3).await.unwrap(), 21);
    assert_eq!(flaky.log, [1, 1, 1]);
}

struct Pool<'a, T, const N: usize> {
    names: [&'a str; N],
    of: Vec<T>,
}

impl<'a, T: Clone + Send + Sync, const N: usize> Pool<'a, T, N> {
    const CONFIG: Config = Config { max_attempts: Attempts::Limited(2), ..Flaky::RETRY };

    #[daur_std::retry(config = Self::CONFIG)]
    #[daur_std::circuit_breaker]
    async fn named<'b, S>(&'b self, name: &S, mut hits: impl FnMut() + Send) -> Result<(&'a str, Option<&'b T>), Error>
    where
        S: AsRef<str> + ?Sized + Sync,
    {
        hits();
        let place = self.names.iter().position(|known| *known == name.as_ref()).ok_or(Error::Down)?;
        ready(()).await;
        Ok((self.names[place], self.of.get(place)))
    }

    #[daur_std::circuit_breaker(open = |_| Error::Refused, classify = |_: &Error| daur_core::reliability::retry::Class::Ignored)]
    fn hidden(&self, from: usize) -> Result<impl Iterator<Item = &T> + '_, Error> {
        if from > self.of.len() {
            return Err(Error::Down);
        }
        Ok(self.of.iter().skip(from))
    }
}

#[tokio::test(start_paused = true)]
async fn generics_lifetimes_and_impl_trait_pass_through() {
    let pool = Pool { names: ["a", "b"], of: vec![5, 6] };
    let mut hits = 0;
    assert_eq!(pool.named("b", || hits += 1).await.unwrap(), ("b", Some(&6)));
    assert!(matches!(pool.named(&String::from("c"), || hits += 1).await, Err(Error::Down)));
    assert_eq!(hits, 3);
    assert_eq!(pool.hidden(1).unwrap().sum::<i32>(), 6);
    assert!(pool.hidden(3).is_err());
}

/// Returns a future early, where it could as well be the last expression.
#[daur_std::retry(config = Flaky::RETRY)]
#[daur_std::circuit_breaker]
fn early<'a>(flaky: &'a Flaky, at_once: Option<u32>) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + 'a>> {
    if let Some(answer) = at_once {
        return Box::pin(ready(Ok(answer)));
    }
    Box::pin(async { flaky.ask() })
}

#[daur_std::retry(config = Flaky::RETRY)]
#[daur_std::measure_time]
fn early_hidden(flaky: &Flaky) -> impl Future<Output = Result<u32, Error>> {
    if flaky.log.len() > 1 {
        return ready(Ok(0));
    }
    ready(flaky.ask())
}

#[tokio::test(start_paused = true)]
async fn a_future_may_be_returned_early() {
    let flaky = Flaky::new(2);
    assert_eq!((early(&flaky, Some(1)).await.unwrap(), early(&flaky, None).await.unwrap()), (1, 7));
    assert_eq!(early_hidden(&Flaky::new(2)).await.unwrap(), 7);
    assert_eq!(early_hidden(&Flaky { log: vec![1, 2], ..Flaky::new(2) }).await.unwrap(), 0);
}

/// Fails with something that is not `Send`, and waits after it.
#[daur_std::retry(max_attempts = 3, delay = "10ms", jitter = "none")]
async fn not_send(calls: &AtomicU32) -> Result<u32, Rc<str>> {
    tokio::task::yield_now().await;
    if calls.fetch_add(1, SeqCst) < 2 { Err("not yet".into()) } else { Ok(calls.load(SeqCst)) }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_send_does_not_keep_a_future_from_being_spawned() {
    let task = tokio::spawn(async {
        let calls = AtomicU32::new(0);
        not_send(&calls).await.map_err(|error| error.to_string())
    });
    assert_eq!(task.await.unwrap(), Ok(3));
}

#[test]
fn a_function_within_a_function_may_borrow_and_return_any_result() {
    #[daur_std::retry(max_attempts = 3, delay = "0ms", max_delay = "0ms")]
    fn inner(calls: &Cell<u32>) -> std::io::Result<u32> {
        calls.set(calls.get() + 1);
        if calls.get() < 3 { Err(std::io::ErrorKind::Interrupted)? } else { Ok(calls.get()) }
    }

    let calls = Cell::new(0);
    assert_eq!(inner(&calls).unwrap(), 3);
}

/// Each value has a breaker, a budget and a config of its own, made at run time.
struct Client {
    breaker: SharedBreaker,
    retry: Config,
    budget: StdShared<Budget>,
    asked: u32,
}

impl Client {
    fn new(attempts: u32) -> Self {
        Self {
            breaker: SharedBreaker::try_new(breaker::Config { failures: 1, ..breaker::Config::DEFAULT }).unwrap(),
            retry: Config { max_attempts: Attempts::Limited(attempts), max_delay: Duration::ZERO, ..Config::DEFAULT },
            budget: StdShared::new(Budget::new(budget::Config::DEFAULT)),
            asked: 0,
        }
    }

    #[daur_std::retry(config = self.retry, budget = self.budget)]
    fn ask(&mut self, until: u32) -> Result<u32, Error> {
        self.asked += 1;
        if self.asked < until { Err(Error::Down) } else { Ok(self.asked) }
    }

    #[daur_std::circuit_breaker(breaker = self.breaker)]
    async fn guarded(&self, answer: Result<u32, Error>) -> Result<u32, Error> {
        answer
    }

    const fn shared(&self) -> &SharedBreaker {
        &self.breaker
    }

    #[daur_std::circuit_breaker(breaker = self.shared())]
    fn guarded_too(&self) -> Result<u32, Error> {
        Ok(self.asked)
    }
}

#[tokio::test]
async fn a_method_may_take_its_config_its_budget_and_its_breaker_from_self() {
    let (mut one, mut other) = (Client::new(2), Client::new(5));
    assert!(one.ask(5).is_err());
    assert_eq!((one.asked, other.ask(5).unwrap()), (2, 5));
    assert_eq!(other.budget.with(|budget, _| budget.snapshot().funded), 4);

    assert!(matches!(one.guarded(Err(Error::Down)).await, Err(Error::Down)));
    assert!(matches!((one.guarded(Ok(1)).await, one.guarded_too()), (Err(Error::Refused), Err(Error::Refused))));
    assert_eq!((other.guarded(Ok(1)).await.unwrap(), other.guarded_too().unwrap()), (1, 5));
}

#[daur_std::measure_time("attributes.later")]
fn measured_later() -> impl Future<Output = Result<u8, Error>> {
    async {
        tokio::task::yield_now().await;
        Err(Error::Down)
    }
}

#[tokio::test]
async fn a_future_is_measured_until_it_ends_and_not_until_it_is_made() {
    let later = measured_later();
    let before = PROFILER.with(|profiler, _| profiler.snapshot("attributes.later").is_some());
    later.await.unwrap_err();
    let stats = PROFILER.with(|profiler, _| profiler.snapshot("attributes.later")).unwrap();
    assert_eq!((before, stats.time.count, stats.errors), (false, 1, 1));
}
