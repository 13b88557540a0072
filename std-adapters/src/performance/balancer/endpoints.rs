//! Calls spread over endpoints.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use daur_core::performance::balancer::{
    Any, Balancer, Config as BalancerConfig, ConfigError as BalancerError, Event, HalfLife, Outcome, PolicyConfig,
    Refusal, Snapshot, State, Ticket, Worker,
};
use daur_core::reliability::breaker::{
    self, Breaker, Config as BreakerConfig, ConfigError as BreakerError, ModeConfig, Permit,
};
use daur_core::reliability::retry::Class;
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};
use serde::Serialize;

use crate::clock::StdClock;
use crate::reliability::breaker::HostMode;
use crate::rng::os_seed;
use crate::shared::StdShared;

/// Says how calls are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Limits, leases, ejection. Its `workers` is left alone: endpoints are added by name.
    pub balancer: BalancerConfig,
    /// Who gets the next call.
    pub policy: PolicyConfig,
    /// A breaker for each endpoint; `None` for no breakers.
    pub breaker: Option<(BreakerConfig, ModeConfig)>,
}

impl Config {
    /// The least loaded one, with ejection as in [`BalancerConfig::DEFAULT`], and no breakers.
    pub const DEFAULT: Self =
        Self { balancer: BalancerConfig::DEFAULT, policy: PolicyConfig::LeastLoaded, breaker: None };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// One of the balancer.
    Balancer(BalancerError),
    /// One of the policy.
    Policy(HalfLife),
    /// One of the breakers.
    Breaker(BreakerError),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balancer(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Breaker(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Gives back an endpoint that was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError<T> {
    /// There are as many as there are places.
    NoPlace(T),
    /// There is one of this name.
    Known(T),
}

impl<T> fmt::Display for AddError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPlace(_) => "the balancer has no place for another endpoint",
            Self::Known(_) => "the balancer has an endpoint of this name",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for AddError<T> {}

/// Says why no call succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure<E> {
    /// Every call that was made failed; this is the last one's error.
    Error {
        /// The call's error.
        error: E,
        /// Endpoints that were asked.
        asked: usize,
    },
    /// No endpoint could be asked.
    NoneAvailable {
        /// The first moment to ask again at; see [`Refusal`].
        retry_at: Instant,
    },
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { error, asked } => write!(f, "{error} (the last of {asked} endpoints)"),
            Self::NoneAvailable { .. } => f.write_str("no endpoint is available: the call was not made"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for Failure<E> {}

/// Names one of the endpoints, and is whatever they are made of: an address, a client, a URL.
#[derive(Debug)]
pub struct Endpoint<T> {
    name: String,
    value: T,
}

impl<T> Endpoint<T> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T> Deref for Endpoint<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

struct Place<T> {
    endpoint: Arc<Endpoint<T>>,
    breaker: Option<Box<Breaker<HostMode>>>,
}

struct Inner<T, const N: usize> {
    balancer: Box<Balancer<N, Any>>,
    places: Vec<Option<Place<T>>>,
    /// Drained, and to be dropped when the lock is free again.
    left: Vec<Place<T>>,
}

/// Spreads calls over endpoints that can do the same, and leaves out those that fail (`LoadBalancer`).
///
/// Over upstreams, replicas, connections: `T` is whatever a call needs of one. A breaker for each is
/// an option beside the balancer's ejection: it counts by rate or slowness, and probes before it trusts.
/// For tasks on threads use [`LoadBalancer`](super::LoadBalancer).
///
/// # Rules
/// 1. An endpoint is picked as the [`Balancer`] says, among those whose breaker admits a call.
/// 2. A [`Pick`] that is dropped without a report, with a future or in a panic, gives load and permit back and
///    counts for nothing else. One that is leaked counts until its lease is over.
/// 3. [`call`](Self::call) asks each endpoint at most once, and at most `tries` of them: the next one after a transient
///    failure only. [`Class::TransientAfter`] counts as a penalty for that endpoint.
/// 4. A removed endpoint gets no more calls; a drained one is removed with the report of its last one, or with the end of
///    that one's lease.
///
/// # Cost
/// One allocation of about 100 bytes for each of the `N` places, and one for each endpoint, and for its breaker. A pick
/// and a report are one uncontended lock each, and O(`N`) as in the core, and read the clock: by load alone
/// [`CoarseClock`](crate::clock::CoarseClock) will do, at a third less a call.
///
/// # Errors
/// [`Refusal`] and [`Failure`].
///
/// # Sharing
/// `&self` everywhere; cancel-safe by rule 2. The lock is not held during a call.
///
/// # Example
/// ```
/// use daur_std::core::reliability::retry::Class;
/// use daur_std::performance::balancer::{Config, Endpoints};
///
/// let upstreams: Endpoints<&str> = Endpoints::try_new(Config::DEFAULT)?;
/// upstreams.add("a", "http://a.example", 1)?;
/// upstreams.add("b", "http://b.example", 1)?;
///
/// let answer = upstreams.call_blocking(2, |_| Class::Transient, |upstream| match upstream.name() {
///     "a" => Err("down"),
///     _ => Ok(upstream.len()),
/// });
/// assert_eq!(answer, Ok(16));
/// assert_eq!(upstreams.snapshot().endpoints[0].worker.failures, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "LoadBalancer")]
pub struct Endpoints<T, const N: usize = 64, C = StdClock> {
    shared: StdShared<Inner<T, N>, C>,
    breaker: Option<(BreakerConfig, ModeConfig)>,
}

impl<T, const N: usize> Endpoints<T, N> {
    /// No endpoints yet, by the operating system's clock.
    ///
    /// # Errors
    /// [`ConfigError`] if `config` is invalid.
    pub fn try_new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, StdClock)
    }
}

impl<T, const N: usize, C: Clock> Endpoints<T, N, C> {
    /// No endpoints yet, by `clock`.
    ///
    /// # Errors
    /// [`ConfigError`] if `config` is invalid.
    pub fn with_clock(config: Config, clock: C) -> Result<Self, ConfigError> {
        if let Some((breaker, mode)) = config.breaker {
            Breaker::<HostMode>::try_any(breaker, mode, 0).map_err(ConfigError::Breaker)?;
        }
        let policy = Any::try_new(config.policy, os_seed()).map_err(ConfigError::Policy)?;
        let empty = BalancerConfig { workers: Some(0), ..config.balancer };
        let balancer = Box::new(Balancer::try_new(empty, policy).map_err(ConfigError::Balancer)?);
        let places = (0..N).map(|_| None).collect();
        Ok(Self {
            shared: StdShared::with_clock(Inner { balancer, places, left: Vec::new() }, clock),
            breaker: config.breaker,
        })
    }

    /// Adds an endpoint. Of weight 0 it gets no calls until [`set_weight`](Self::set_weight).
    ///
    /// # Errors
    /// [`AddError`] with the endpoint.
    pub fn add(&self, name: &str, value: T, weight: u16) -> Result<(), AddError<T>> {
        let breaker = self.breaker.and_then(|(config, mode)| Breaker::try_any(config, mode, os_seed()).ok());
        self.with(|inner, now| {
            if inner.find(name).is_some() {
                return Err(AddError::Known(value));
            }
            let Ok(worker) = inner.balancer.add(weight, now) else { return Err(AddError::NoPlace(value)) };
            let endpoint = Arc::new(Endpoint { name: name.to_owned(), value });
            inner.places[worker] = Some(Place { endpoint, breaker: breaker.map(Box::new) });
            Ok(())
        })
    }

    /// Removes an endpoint at once; reports of calls that are under way count for nothing.
    pub fn remove(&self, name: &str) -> Option<Arc<Endpoint<T>>> {
        self.with(|inner, now| {
            let worker = inner.find(name)?;
            inner.balancer.remove(worker, now);
            Some(inner.places[worker].take()?.endpoint)
        })
    }

    /// Gives an endpoint no more calls, and removes it with the report of its last one: now, if it has none.
    /// Says whether there was one of this name.
    pub fn drain(&self, name: &str) -> bool {
        self.with(|inner, now| {
            let worker = inner.find(name);
            if let Some(event) = worker.and_then(|worker| inner.balancer.drain(worker, now)) {
                inner.on_event(event, now);
            }
            worker.is_some()
        })
    }

    /// Changes an endpoint's weight; 0 for no calls. Says whether there was one of this name.
    pub fn set_weight(&self, name: &str, weight: u16) -> bool {
        self.with_named(name, |inner, worker| inner.balancer.set_weight(worker, weight))
    }

    /// Says whether an endpoint may be called: what a health check found. Says whether there was one of this name.
    pub fn set_available(&self, name: &str, available: bool) -> bool {
        self.with_named(name, |inner, worker| inner.balancer.set_available(worker, available))
    }

    /// Ends an endpoint's ejection now, and closes its breaker: somebody has mended it. Says whether there was one of
    /// this name.
    pub fn restore(&self, name: &str) -> bool {
        self.with(|inner, now| {
            let worker = inner.find(name);
            if let Some(worker) = worker {
                inner.balancer.restore(worker, now);
                if let Some(breaker) = inner.places[worker].as_mut().and_then(|place| place.breaker.as_mut()) {
                    breaker.reset(now);
                }
            }
            worker.is_some()
        })
    }

    /// Does `act` with an endpoint's breaker: holds it open or closed by hand, say. `None` if there is no endpoint of this
    /// name, or it has none.
    pub fn with_breaker<R>(&self, name: &str, act: impl FnOnce(&mut Breaker<HostMode>, Instant) -> R) -> Option<R> {
        self.with(|inner, now| {
            let worker = inner.find(name)?;
            let breaker = inner.places[worker].as_mut()?.breaker.as_mut()?;
            Some(act(breaker, now))
        })
    }

    /// Endpoints.
    pub fn len(&self) -> usize {
        self.with(|inner, _| inner.places.iter().flatten().count())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Picks an endpoint for one call.
    ///
    /// # Errors
    /// [`Refusal::NoneAvailable`] if none may be called.
    pub fn pick(&self) -> Result<Pick<'_, T, N, C>, Refusal> {
        self.pick_except(&[])
    }

    /// Calls one endpoint after the other until one answers; at most `tries` of them, and at least one, each once.
    ///
    /// # Errors
    /// [`Failure::Error`] with the last call's, or [`Failure::NoneAvailable`].
    pub async fn call<R, E, F: Future<Output = Result<R, E>>>(
        &self,
        tries: usize,
        classify: impl Fn(&E) -> Class,
        mut call: impl FnMut(Arc<Endpoint<T>>) -> F,
    ) -> Result<R, Failure<E>> {
        let mut run = Run::new(tries);
        loop {
            let pick = run.pick(self)?;
            let result = call(pick.shared()).await;
            if let Some(end) = run.settle(pick, result, &classify) {
                return end;
            }
        }
    }

    /// As [`call`](Self::call), on this thread.
    ///
    /// # Errors
    /// [`Failure::Error`] with the last call's, or [`Failure::NoneAvailable`].
    pub fn call_blocking<R, E>(
        &self,
        tries: usize,
        classify: impl Fn(&E) -> Class,
        mut call: impl FnMut(&Endpoint<T>) -> Result<R, E>,
    ) -> Result<R, Failure<E>> {
        let mut run = Run::new(tries);
        loop {
            let pick = run.pick(self)?;
            let result = call(&pick);
            if let Some(end) = run.settle(pick, result, &classify) {
                return end;
            }
        }
    }

    /// Copies out what is worth showing at this moment.
    pub fn snapshot(&self) -> EndpointsSnapshot {
        self.with(|inner, now| {
            let show = |(index, place): (usize, &Option<Place<T>>)| {
                let Place { endpoint, breaker } = place.as_ref()?;
                Some(EndpointSnapshot {
                    name: endpoint.name.clone(),
                    worker: inner.balancer.worker(index, now)?,
                    breaker: breaker.as_ref().map(|breaker| breaker.snapshot_at(now)),
                })
            };
            EndpointsSnapshot {
                all: inner.balancer.snapshot(),
                endpoints: inner.places.iter().enumerate().filter_map(show).collect(),
            }
        })
    }

    /// Does `act` under the lock, after what time alone does: an endpoint whose last call was lost leaves too, and what it is
    /// made of ends outside of the lock.
    fn with<R>(&self, act: impl FnOnce(&mut Inner<T, N>, Instant) -> R) -> R {
        let (left, result) = self.shared.with(|inner, now| {
            if inner.balancer.poll(now) > 0 {
                inner.part_from_drained(now);
            }
            let result = act(inner, now);
            (std::mem::take(&mut inner.left), result)
        });
        drop(left);
        result
    }

    fn with_named(&self, name: &str, change: impl FnOnce(&mut Inner<T, N>, usize)) -> bool {
        self.with(|inner, _| {
            let worker = inner.find(name);
            if let Some(worker) = worker {
                change(inner, worker);
            }
            worker.is_some()
        })
    }

    fn pick_except(&self, asked: &[Arc<Endpoint<T>>]) -> Result<Pick<'_, T, N, C>, Refusal> {
        self.pick_among(|endpoint| !asked.iter().any(|asked| Arc::ptr_eq(asked, endpoint)))
    }

    /// As [`pick`](Self::pick), among those that `usable` says: who has not been asked yet, or does not want to be left
    /// alone. It runs under the lock, and may be asked more than once about an endpoint.
    ///
    /// # Errors
    /// [`Refusal::NoneAvailable`] if none may be called.
    pub fn pick_where(&self, usable: impl Fn(&Endpoint<T>) -> bool) -> Result<Pick<'_, T, N, C>, Refusal> {
        self.pick_among(|endpoint| usable(endpoint))
    }

    fn pick_among(&self, among: impl Fn(&Arc<Endpoint<T>>) -> bool) -> Result<Pick<'_, T, N, C>, Refusal> {
        self.with(|inner, now| {
            let Inner { balancer, places, .. } = inner;
            let usable = |worker: usize| {
                let place = places.get(worker).and_then(Option::as_ref);
                place.is_some_and(|place| place.admits(now) && among(&place.endpoint))
            };
            let ticket = match balancer.pick_where(usable, now) {
                Ok(ticket) => ticket,
                Err(refusal) => {
                    // A breaker may admit earlier than an ejection ends; not one of an endpoint that is off.
                    let mut retry_at = refusal.retry_at();
                    for (worker, place) in places.iter().enumerate() {
                        let shown = balancer.worker(worker, now);
                        let off = shown.is_none_or(|shown| matches!(shown.state, State::Off | State::Draining));
                        if let Some(place) = place.as_ref().filter(|place| !off && among(&place.endpoint)) {
                            let admits = place.breaker.as_ref().and_then(|breaker| breaker.snapshot_at(now).retry_at);
                            retry_at = admits.map_or(retry_at, |admits| admits.min(retry_at));
                        }
                    }
                    return Err(Refusal::NoneAvailable { retry_at });
                }
            };
            let place = places.get_mut(ticket.worker()).and_then(Option::as_mut);
            // It is there and admits a call: it has just said so under this very lock.
            let Some(place) = place else { return Err(Refusal::NoneAvailable { retry_at: now }) };
            let permit = place.breaker.as_mut().and_then(|breaker| breaker.try_acquire(now).ok());
            let endpoint = Arc::clone(&place.endpoint);
            Ok(Pick { endpoints: self, endpoint, out: Some((ticket, permit)) })
        })
    }

    fn settle(
        &self,
        endpoint: &Arc<Endpoint<T>>,
        ticket: Ticket,
        permit: Option<Permit>,
        outcome: Outcome,
        penalty: Option<Duration>,
    ) -> Option<Event> {
        self.with(|inner, now| {
            let worker = ticket.worker();
            let place = inner.places.get_mut(worker).and_then(Option::as_mut);
            // The place may be another's by now, whose breaker knows nothing of this permit.
            let place = place.filter(|place| Arc::ptr_eq(&place.endpoint, endpoint));
            let is_there = place.is_some();
            if let Some((breaker, permit)) = place.and_then(|place| place.breaker.as_mut()).zip(permit) {
                match outcome {
                    Outcome::Success => _ = breaker.on_success(permit, now),
                    Outcome::Failure => _ = breaker.on_failure(permit, now),
                    Outcome::Cancelled => breaker.cancel(permit, now),
                }
            }
            let event = inner.balancer.done(ticket, outcome, now);
            if let Some(penalty) = penalty.filter(|_| is_there) {
                inner.balancer.penalize(worker, penalty, now);
            }
            if let Some(event) = event {
                inner.on_event(event, now);
            }
            event
        })
    }
}

impl<T, const N: usize, C> fmt::Debug for Endpoints<T, N, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

impl<T> Place<T> {
    fn admits(&self, now: Instant) -> bool {
        let Some(breaker) = &self.breaker else { return true };
        breaker.fast().admits || breaker.snapshot_at(now).retry_at.is_none()
    }
}

impl<T, const N: usize> Inner<T, N> {
    fn find(&self, name: &str) -> Option<usize> {
        self.places.iter().position(|place| place.as_ref().is_some_and(|place| place.endpoint.name == name))
    }

    /// Removes those whose draining has ended without a report.
    fn part_from_drained(&mut self, now: Instant) {
        for worker in 0..self.places.len() {
            let shown = self.balancer.worker(worker, now);
            if shown.is_some_and(|shown| shown.state == State::Draining && shown.load == 0) {
                self.on_event(Event::Drained { worker }, now);
            }
        }
    }

    fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Drained { worker } => {
                self.balancer.remove(worker, now);
                self.left.extend(self.places[worker].take());
            }
            Event::Ejected { worker, .. } => {
                if let Some(Some(place)) = self.places.get(worker) {
                    ejected(&place.endpoint.name);
                }
            }
            _ => {}
        }
    }
}

#[cfg(feature = "tracing")]
fn ejected(name: &str) {
    tracing::warn!(name, "an endpoint failed too often and is left out");
}

#[cfg(not(feature = "tracing"))]
fn ejected(_name: &str) {}

/// Holds one endpoint for one call; dropped without a report, it counts as cancelled.
#[must_use = "dropped, it cancels the call"]
pub struct Pick<'a, T, const N: usize = 64, C: Clock = StdClock> {
    endpoints: &'a Endpoints<T, N, C>,
    endpoint: Arc<Endpoint<T>>,
    out: Option<(Ticket, Option<Permit>)>,
}

impl<T, const N: usize, C: Clock> Pick<'_, T, N, C> {
    /// The endpoint, for a task that outlives this guard's borrow.
    pub fn shared(&self) -> Arc<Endpoint<T>> {
        Arc::clone(&self.endpoint)
    }

    /// The call succeeded; tells what that changed.
    pub fn success(mut self) -> Option<Event> {
        self.settle(Outcome::Success, None)
    }

    /// The call failed; tells what that changed.
    pub fn failure(mut self) -> Option<Event> {
        self.settle(Outcome::Failure, None)
    }

    /// The call failed, and the endpoint asks to be left alone for so long: the policies by latency see to it.
    pub fn failure_after(mut self, penalty: Duration) -> Option<Event> {
        self.settle(Outcome::Failure, Some(penalty))
    }

    fn settle(&mut self, outcome: Outcome, penalty: Option<Duration>) -> Option<Event> {
        let (ticket, permit) = self.out.take()?;
        self.endpoints.settle(&self.endpoint, ticket, permit, outcome, penalty)
    }
}

impl<T, const N: usize, C: Clock> Deref for Pick<'_, T, N, C> {
    type Target = Endpoint<T>;

    fn deref(&self) -> &Endpoint<T> {
        &self.endpoint
    }
}

impl<T, const N: usize, C: Clock> Drop for Pick<'_, T, N, C> {
    fn drop(&mut self) {
        self.settle(Outcome::Cancelled, None);
    }
}

impl<T, const N: usize, C: Clock> fmt::Debug for Pick<'_, T, N, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick").field("endpoint", &self.endpoint.name).finish_non_exhaustive()
    }
}

/// One call over several endpoints.
struct Run<T, E> {
    tries: usize,
    asked: Vec<Arc<Endpoint<T>>>,
    last: Option<E>,
}

impl<T, E> Run<T, E> {
    const fn new(tries: usize) -> Self {
        Self { tries, asked: Vec::new(), last: None }
    }

    fn pick<'a, const N: usize, C: Clock>(
        &mut self,
        endpoints: &'a Endpoints<T, N, C>,
    ) -> Result<Pick<'a, T, N, C>, Failure<E>> {
        let pick = endpoints.pick_except(&self.asked).map_err(|refusal| match self.last.take() {
            Some(error) => Failure::Error { error, asked: self.asked.len() },
            None => Failure::NoneAvailable { retry_at: refusal.retry_at() },
        })?;
        self.asked.push(pick.shared());
        Ok(pick)
    }

    fn settle<R, const N: usize, C: Clock>(
        &mut self,
        pick: Pick<'_, T, N, C>,
        result: Result<R, E>,
        classify: impl Fn(&E) -> Class,
    ) -> Option<Result<R, Failure<E>>> {
        let error = match result {
            Ok(value) => {
                pick.success();
                return Some(Ok(value));
            }
            Err(error) => error,
        };
        let again = match classify(&error) {
            Class::Transient => {
                pick.failure();
                true
            }
            Class::TransientAfter(hint) => {
                pick.failure_after(hint);
                true
            }
            Class::Permanent => {
                pick.failure();
                false
            }
            // Dropped, it is cancelled.
            Class::Ignored => false,
        };
        if again && self.asked.len() < self.tries {
            self.last = Some(error);
            return None;
        }
        Some(Err(Failure::Error { error, asked: self.asked.len() }))
    }
}

/// Shows one endpoint at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointSnapshot {
    /// Its name.
    pub name: String,
    /// Its load and health.
    pub worker: Worker,
    /// Its breaker, if there is one.
    pub breaker: Option<breaker::Snapshot>,
}

/// Shows [`Endpoints`] at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointsSnapshot {
    /// Totals.
    pub all: Snapshot,
    /// Each of them, in the order of their places.
    pub endpoints: Vec<EndpointSnapshot>,
}
