//! Where the attributes may stand, and everything they take.

// Nothing that is expanded asks for leave from these: who forbids them could not have the attributes.
#![forbid(unreachable_code, unused_braces)]
#![forbid(clippy::panic, clippy::needless_return, clippy::unused_async, clippy::redundant_closure_call)]

use std::fmt::Display;

use daur_std::core::reliability::breaker::{Config, Open};
use daur_std::core::reliability::retry::Class;
use daur_std::reliability::breaker::SharedBreaker;
use daur_std::{circuit_breaker, measure_time, retry};

static UPSTREAM: SharedBreaker = SharedBreaker::new(Config::DEFAULT);

#[derive(Debug)]
enum Error {
    Bad,
    Refused {
        #[expect(dead_code, reason = "shown by Debug")]
        open: Open,
    },
}

impl Error {
    fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Error {}

impl From<Open> for Error {
    fn from(open: Open) -> Self {
        Self::Refused { open }
    }
}

fn classify(error: &Error) -> Class {
    if error.is_bad() { Class::Permanent } else { Class::Transient }
}

#[retry(
    max_attempts = 4,
    delay = "100ms",
    strategy = "exponential",
    factor = 3,
    jitter = "10%",
    max_delay = "5s",
    max_elapsed = "1m",
    classify = classify,
    seed = 7,
)]
fn everything(text: &str) -> Result<&str, Error> {
    let head = text.get(..1).ok_or(Error::Bad)?;
    if head == "x" {
        return Err(Error::Bad);
    }
    Ok(head)
}

#[circuit_breaker(breaker = UPSTREAM, classify = |error| if error.is_bad() { Class::Ignored } else { Class::Transient })]
#[retry(max_attempts = "forever", strategy = "random", delay = "1ms", max_delay = "2ms", jitter = "none")]
#[measure_time]
async fn stacked(text: String) -> Result<usize, Error> {
    tokio::task::yield_now().await;
    Ok(text.len())
}

#[circuit_breaker(open = |_| String::from("not asked"))]
fn any_error() -> Result<u8, String> {
    Ok(5)
}

#[circuit_breaker]
fn boxed() -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    Ok("5".parse::<u8>()?)
}

#[measure_time("hidden")]
fn hidden(numbers: &[u8]) -> impl Iterator<Item = u8> + '_ {
    numbers.iter().copied()
}

struct Sensor {
    name: String,
    reads: u32,
}

trait Read {
    async fn read(&mut self) -> Result<u32, Error>;
}

impl Read for Sensor {
    #[retry(delay = "1ms")]
    #[circuit_breaker]
    async fn read(&mut self) -> Result<u32, Error> {
        self.reads += 1;
        Ok(self.reads)
    }
}

impl Sensor {
    #[measure_time]
    #[retry]
    pub(crate) fn name(&self) -> Result<&str, Error> {
        Ok(&self.name)
    }

    #[circuit_breaker]
    #[measure_time]
    fn lent(&mut self) -> Result<&mut u32, Error> {
        Ok(&mut self.reads)
    }

    #[circuit_breaker]
    #[measure_time]
    async fn lent_later(&mut self) -> Result<&mut u32, Error> {
        Ok(&mut self.reads)
    }

    #[retry]
    async fn generic<T>(&self, value: &T) -> Result<T, Error>
    where
        T: Clone + Sync,
    {
        Ok(value.clone())
    }
}

/// A type that is no `Result` but is called one.
struct SearchResult(u32);

#[measure_time]
fn search() -> SearchResult {
    SearchResult(7)
}

#[measure_time("search later")]
#[rustfmt::skip]
async fn search_later() -> SearchResult { SearchResult(8) }

/// What a `macro_rules!` passes on comes in groups that nobody sees.
macro_rules! careful {
    ($name:ident -> $result:ty, $attempts:expr, $delay:literal, $breaker:path) => {
        #[retry(max_attempts = $attempts, delay = $delay)]
        #[circuit_breaker(breaker = $breaker)]
        #[measure_time]
        fn $name() -> $result {
            Ok(5)
        }
    };
}

careful!(passed_on -> Result<u8, Error>, 2, "1ms", UPSTREAM);

/// Not safe to call, and of another ABI, as some handlers are.
#[measure_time("raw")]
unsafe extern "C" fn raw(byte: *const u8) -> u8 {
    // SAFETY: the caller gives a byte that can be read.
    unsafe { *byte }
}

#[measure_time]
fn never() -> ! {
    loop {
        std::thread::park();
    }
}

#[measure_time]
async fn never_later() -> ! {
    loop {
        tokio::task::yield_now().await;
    }
}

/// With an attribute of the body's own.
#[measure_time("inner")]
#[retry]
fn inner() -> Result<u8, Error> {
    #![allow(unused_variables, reason = "that is what is tried here")]
    let unused = 5;
    Ok(5)
}

pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    assert_eq!(everything("abc").unwrap(), "a");
    assert!(everything("x").unwrap_err().is_bad());
    assert_eq!((any_error().unwrap(), boxed().unwrap()), (5, 5));
    assert_eq!(hidden(&[1, 2]).count(), 2);
    assert_eq!((search().0, passed_on().unwrap(), inner().unwrap()), (7, 5, 5));
    let _: fn() -> ! = never; // which would not come back
    drop(never_later());
    // SAFETY: a byte that can be read.
    assert_eq!(unsafe { raw(&9) }, 9);
    runtime.block_on(async {
        // It can be spawned.
        assert_eq!(tokio::spawn(stacked("four".into())).await.unwrap().unwrap(), 4);
        assert_eq!(search_later().await.0, 8);
        let mut sensor = Sensor { name: "t".into(), reads: 0 };
        assert_eq!(sensor.read().await.unwrap(), 1);
        assert_eq!(sensor.name().unwrap(), "t");
        *sensor.lent().unwrap() = 7;
        assert_eq!(*sensor.lent_later().await.unwrap(), 7);
        assert_eq!(sensor.generic(&5).await.unwrap(), 5);
    });
}
