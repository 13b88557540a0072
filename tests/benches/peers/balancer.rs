//! A pick and a report beside `tower`'s balancer, which makes a call of them: over 16 endpoints by load, over 16 and 64
//! by latency.
//!
//! Both read the clock where latency counts; by load alone ours reads the coarse one, which its leases need, and `tower`'s
//! none. Ours is behind a lock, for many threads; `tower`'s is `&mut`, for one task.

use std::convert::Infallible;
use std::future::Ready;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use daur_core::performance::balancer::{Config as BalancerConfig, Latency, PolicyConfig};
use daur_core::time::Clock;
use daur_std::clock::{CoarseClock, StdClock};
use daur_std::performance::balancer::{Config, Endpoints};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};

use crate::harness::{Options, Subject, compare, subject};

const CALLS: u32 = 16_384;

pub(crate) fn run(options: &Options) {
    let pending = |n| {
        tower_over(n, "tower Balance, PendingRequests", |call| {
            PendingRequests::new(call, CompleteOnResponse::default())
        })
    };
    compare(
        options,
        "balancer: pick and report, 16 endpoints by load",
        vec![ours(16, PolicyConfig::LeastLoaded, CoarseClock), pending(16)],
    );
    for (title, n) in [
        ("balancer: pick and report, 16 endpoints by latency", 16),
        ("balancer: pick and report, 64 endpoints by latency", 64),
    ] {
        let peak = tower_over(n, "tower Balance, PeakEwma", |call| {
            PeakEwma::new(call, Duration::from_millis(30), 10e9, CompleteOnResponse::default())
        });
        compare(options, title, vec![ours(n, PolicyConfig::PeakEwma(Latency::DEFAULT), StdClock), peak]);
    }
}

fn ours(n: u32, policy: PolicyConfig, clock: impl Clock + 'static) -> Subject {
    let config = Config { balancer: BalancerConfig { eject: None, ..BalancerConfig::DEFAULT }, policy, breaker: None };
    let endpoints: Endpoints<u32, 64, _> = Endpoints::with_clock(config, clock).expect("a valid config");
    (0..n).for_each(|endpoint| endpoints.add(&endpoint.to_string(), endpoint, 1).expect("room"));
    subject("daur Endpoints", CALLS, move || {
        for _ in 0..CALLS {
            let pick = endpoints.pick().expect("all are available");
            black_box(**pick);
            pick.success();
        }
    })
}

type Call = tower::util::ServiceFn<fn(()) -> Ready<Result<(), Infallible>>>;

fn tower_over<S>(n: u32, name: &'static str, wrap: impl Fn(Call) -> S) -> Subject
where
    S: Service<(), Response = ()> + Load + 'static,
    S::Error: Into<tower::BoxError>,
    S::Metric: std::fmt::Debug,
{
    let call: fn(()) -> Ready<Result<(), Infallible>> = |()| std::future::ready(Ok(()));
    let calls: Vec<S> = (0..n).map(|_| wrap(tower::service_fn(call))).collect();
    let mut balance = Balance::new(ServiceList::new(calls));
    subject(name, CALLS, move || {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..CALLS {
            assert!(balance.poll_ready(&mut context).is_ready());
            let mut answer = pin!(balance.call(()));
            assert!(matches!(answer.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
        }
    })
    .target(1.0)
}
