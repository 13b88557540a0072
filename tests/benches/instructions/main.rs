//! The instructions of the machines' hot operations on a host, counted by callgrind.
//!
//! Counted, not timed: two runs agree to within a handful, whatever else the machine does. Each benchmark is [`RUNS`]
//! operations in a row on a machine that was set up before; what the table holds is one of them. `.ci/instructions`
//! runs it and compares it with `tests/benches/instructions.txt`. Needs valgrind and `gungraun-runner`.

#![allow(missing_docs, reason = "what the attributes make of the benchmarks has none")]

use std::hint::black_box;

use daur_core::monitoring::histogram::{Auto, Full};
use daur_core::performance::balancer::{self, Balancer, LeastLoaded, Outcome};
use daur_core::performance::batch::{self, Batcher};
use daur_core::performance::cache::{self, Cache, Sieve};
use daur_core::performance::queue::{self, Priority, Queue};
use daur_core::reliability::breaker::{self, Breaker, CountWindow, Window};
use daur_core::reliability::bulkhead::{self, Bulkhead, Entry};
use daur_core::reliability::executor::{self, Admit, Executor};
use daur_core::reliability::limiter::{self, Limiter};
use daur_core::reliability::retry::{self, Attempts, Class, Retry};
use daur_core::rng::Rng;
use daur_core::security::keys::HmacKey;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{self, Claims, Keys};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, UnixTime};
use gungraun::{library_benchmark, library_benchmark_group, main};

/// Operations of one benchmark.
const RUNS: u32 = 1_000;
const NOW: Instant = Instant::from_secs(100);

/// Calls `f` so often, and gives back what is not to be dropped within the count.
#[inline]
fn times<T>(mut machine: T, mut f: impl FnMut(&mut T, u32)) -> T {
    for run in 0..RUNS {
        f(&mut machine, black_box(run));
    }
    machine
}

type Lru<const N: usize> = Box<Cache<u64, u64, N>>;

/// A full cache with the keys below `N`.
fn full<const N: usize>() -> Lru<N> {
    let ttl = Some(Duration::from_secs(3_600));
    let mut cache = Box::new(Cache::new(cache::Config { ttl, ..cache::Config::DEFAULT }));
    (0..N as u64).for_each(|key| _ = cache.insert(key, key, NOW));
    cache
}

/// And an order to ask for them in.
fn asked<const N: usize>() -> (Lru<N>, Vec<u64>) {
    let mut rng = Rng::new(1);
    (full(), (0..RUNS).map(|_| rng.at_most(N as u64 - 1)).collect())
}

#[library_benchmark]
#[bench::n(asked())]
fn cache_lru_hit_1024((cache, keys): (Lru<1_024>, Vec<u64>)) -> (Lru<1_024>, Vec<u64>) {
    times((cache, keys), |(cache, keys), run| _ = black_box(cache.get(&keys[run as usize], NOW)))
}

#[library_benchmark]
#[bench::n(asked())]
fn cache_lru_hit_65536((cache, keys): (Lru<65_536>, Vec<u64>)) -> (Lru<65_536>, Vec<u64>) {
    times((cache, keys), |(cache, keys), run| _ = black_box(cache.get(&keys[run as usize], NOW)))
}

#[library_benchmark]
#[bench::n(full())]
fn cache_lru_miss_1024(cache: Lru<1_024>) -> Lru<1_024> {
    times(cache, |cache, run| _ = black_box(cache.get(&(u64::from(run) + 2_000), NOW)))
}

#[library_benchmark]
#[bench::n(full())]
fn cache_lru_insert_evict_1024(cache: Lru<1_024>) -> Lru<1_024> {
    times(cache, |cache, run| _ = black_box(cache.insert(u64::from(run) + 2_000, 1, NOW)))
}

#[library_benchmark]
#[bench::n(full())]
fn cache_lru_insert_evict_65536(cache: Lru<65_536>) -> Lru<65_536> {
    times(cache, |cache, run| _ = black_box(cache.insert(u64::from(run) + 70_000, 1, NOW)))
}

type Sieved = Box<Cache<u64, u64, 1_024, Sieve>>;

fn sieved() -> Sieved {
    let ttl = Some(Duration::from_secs(3_600));
    let mut cache = Box::new(Cache::new(cache::Config { ttl, ..cache::Config::DEFAULT }));
    (0..1_024).for_each(|key| _ = cache.insert(key, key, NOW));
    cache
}

#[library_benchmark]
#[bench::n(sieved())]
fn cache_sieve_hit_1024(cache: Sieved) -> Sieved {
    times(cache, |cache, run| _ = black_box(cache.get(&u64::from(run.wrapping_mul(769) % 1_024), NOW)))
}

#[library_benchmark]
#[bench::n(sieved())]
fn cache_sieve_insert_evict_1024(cache: Sieved) -> Sieved {
    times(cache, |cache, run| _ = black_box(cache.insert(u64::from(run) + 2_000, 1, NOW)))
}

#[library_benchmark]
#[bench::n(Queue::new(queue::Config::DEFAULT))]
fn queue_push_and_pop(queue: Queue<u32, 16>) -> Queue<u32, 16> {
    times(queue, |queue, run| {
        _ = black_box(queue.try_push(run, Priority::Normal, NOW));
        black_box(queue.pop(NOW));
    })
}

#[library_benchmark]
#[bench::n(Balancer::new(balancer::Config::DEFAULT, LeastLoaded::new(7)))]
fn balancer_pick_and_done_of_8(balancer: Balancer<8>) -> Balancer<8> {
    times(balancer, |balancer, _| {
        if let Ok(ticket) = balancer.pick(NOW) {
            black_box(balancer.done(ticket, Outcome::Success, NOW));
        }
    })
}

#[library_benchmark]
#[bench::n(Batcher::new(batch::Config::DEFAULT))]
fn batch_push_of_16(batcher: Batcher<u32, 16>) -> Batcher<u32, 16> {
    times(batcher, |batcher, run| _ = black_box(batcher.push(run, NOW)))
}

#[library_benchmark]
#[bench::n(Breaker::new(breaker::Config::DEFAULT))]
fn breaker_acquire_and_success(breaker: Breaker) -> Breaker {
    times(breaker, |breaker, _| {
        if let Ok(permit) = breaker.try_acquire(NOW) {
            black_box(breaker.on_success(permit, NOW));
        }
    })
}

#[library_benchmark]
#[bench::n(Breaker::windowed(breaker::Config::DEFAULT, Window::DEFAULT))]
fn breaker_window_acquire_and_success(breaker: Breaker<CountWindow<128>>) -> Breaker<CountWindow<128>> {
    times(breaker, |breaker, _| {
        if let Ok(permit) = breaker.try_acquire(NOW) {
            black_box(breaker.on_success(permit, NOW));
        }
    })
}

#[library_benchmark]
#[bench::n(Limiter::new(limiter::Config { burst: 2_000, ..limiter::Config::DEFAULT }))]
fn limiter_check(limiter: Limiter) -> Limiter {
    times(limiter, |limiter, _| _ = black_box(limiter.check(NOW)))
}

#[library_benchmark]
#[bench::n(Retry::new(retry::Config { max_attempts: Attempts::Forever, ..retry::Config::DEFAULT }, 7, NOW))]
fn retry_next_wait(retry: Retry) -> Retry {
    times(retry, |retry, _| _ = black_box(retry.on_failure(Class::Transient, NOW)))
}

#[library_benchmark]
#[bench::n(Bulkhead::new(bulkhead::Config { max_waiting: 4, ..bulkhead::Config::DEFAULT }))]
fn bulkhead_enter_and_release(bulkhead: Bulkhead<4>) -> Bulkhead<4> {
    times(bulkhead, |bulkhead, _| {
        if let Ok(Entry::Go(permit)) = bulkhead.enter(None, NOW) {
            black_box(bulkhead.release(permit, NOW));
        }
    })
}

#[library_benchmark]
#[bench::n(Executor::new(executor::Config::DEFAULT, 7))]
fn executor_run_of_one_success(executor: Executor) -> Executor {
    times(executor, |executor, _| {
        let mut run = executor.start(NOW);
        if let Admit::Go { permit, .. } = executor.admit(&mut run, NOW) {
            executor.on_success(&mut run, permit, NOW);
        }
        black_box(run.finish::<u32, u32>(Ok(1), None, NOW).attempts);
    })
}

#[library_benchmark]
#[bench::n(Box::new(Auto::new()))]
fn histogram_record_auto(histogram: Box<Auto<64>>) -> Box<Auto<64>> {
    times(histogram, |histogram, run| histogram.record(u64::from(run) * 1_000))
}

#[library_benchmark]
#[bench::n(Box::new(Full::new()))]
fn histogram_record_full(histogram: Box<Full>) -> Box<Full> {
    times(histogram, |histogram, run| histogram.record(u64::from(run) * 1_000))
}

struct Signed {
    keys: Keys<1>,
    claims: Claims,
    token: String,
}

fn signed() -> Signed {
    let config =
        token::Config { issuer: Some(Text::cut("daur")), audience: Some(Text::cut("host")), ..token::Config::DEFAULT };
    let keys = Keys::new(config, None, &[7; 32]).expect("a key of 32 bytes");
    let claims = Claims {
        sub: Text::cut("alice"),
        iat: Some(1_900_000_000),
        exp: Some(1_900_003_600),
        permissions: Permissions::WRITE,
        ..Claims::default()
    };
    let token = keys.sign(&claims, &mut [0; 512]).expect("it fits").to_owned();
    Signed { keys, claims, token }
}

#[library_benchmark]
#[bench::n(signed())]
fn token_sign(signed: Signed) -> Signed {
    times(signed, |signed, _| _ = black_box(signed.keys.sign(&signed.claims, &mut [0; 512])))
}

#[library_benchmark]
#[bench::n(signed())]
fn token_verify(signed: Signed) -> Signed {
    let now = Some(UnixTime::from_secs(1_900_000_000));
    times(signed, |signed, _| _ = black_box(signed.keys.verify(&signed.token, now).expect("it is good")))
}

#[library_benchmark]
#[bench::n(signed())]
fn token_hmac(signed: Signed) -> Signed {
    times(signed, |signed, _| _ = black_box(HmacKey::new(&[7; 32]).tag(&[signed.token.as_bytes()])))
}

library_benchmark_group!(
    name = performance,
    benchmarks = [
        cache_lru_hit_1024,
        cache_lru_hit_65536,
        cache_lru_miss_1024,
        cache_lru_insert_evict_1024,
        cache_lru_insert_evict_65536,
        cache_sieve_hit_1024,
        cache_sieve_insert_evict_1024,
        queue_push_and_pop,
        balancer_pick_and_done_of_8,
        batch_push_of_16
    ]
);
library_benchmark_group!(
    name = reliability,
    benchmarks = [
        breaker_acquire_and_success,
        breaker_window_acquire_and_success,
        limiter_check,
        retry_next_wait,
        bulkhead_enter_and_release,
        executor_run_of_one_success
    ]
);
library_benchmark_group!(name = monitoring, benchmarks = [histogram_record_auto, histogram_record_full]);
library_benchmark_group!(name = security, benchmarks = [token_sign, token_verify, token_hmac]);

main!(library_benchmark_groups = [performance, reliability, monitoring, security]);
