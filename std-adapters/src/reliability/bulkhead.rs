//! A bulkhead for tasks and threads: places that are given back on drop, and a line to wait in.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use daur_core::reliability::bulkhead::{Bulkhead, Config, ConfigError, Entry, Permit, Refused, Snapshot, Ticket};
use daur_core::shared::Shared;
use daur_core::time::{Clock, Duration, Instant};

use crate::clock::StdClock;
use crate::shared::StdShared;

/// Shares a [`Bulkhead`] between tasks and threads; a clone is the same bulkhead.
///
/// In place of a semaphore: places go to callers in the order in which they came, so many may wait,
/// for so long, and who gets none is told why. Tasks and threads may wait in one line.
///
/// # Rules
/// 1. A place comes back when its [`Guard`] is dropped: at the end, after a panic, with a dropped future.
/// 2. Whoever is dropped while waiting leaves the line, and passes on a turn that had come.
/// 3. Whoever's turn has come is woken, and nobody else.
///
/// # Cost
/// One allocation: the machine (24 bytes for each of the `WAITING` places) and its mutex. To get and give
/// back a place that nobody waits for is one uncontended lock each.
///
/// # Errors
/// [`Refused`], which tells why.
///
/// # Sharing
/// `Clone`, `Send` and `Sync`; cancel-safe by rules 1 and 2. No waker is called under the lock.
///
/// # Example
/// ```
/// use daur_std::core::reliability::bulkhead::Config;
/// use daur_std::reliability::bulkhead::SharedBulkhead;
///
/// let bulkhead = SharedBulkhead::new(Config { max_concurrent: 1, ..Config::DEFAULT })?;
/// let place = bulkhead.try_acquire().expect("nobody else is here");
/// assert!(bulkhead.try_acquire().is_err());
/// drop(place);
/// assert!(bulkhead.try_acquire().is_ok());
/// # Ok::<(), daur_std::core::reliability::bulkhead::ConfigError>(())
/// ```
pub struct SharedBulkhead<const WAITING: usize = 256, C = StdClock> {
    shared: Arc<StdShared<Bulkhead<WAITING>, C>>,
}

impl SharedBulkhead {
    /// An empty bulkhead by the operating system's clock, in which up to 256 may wait.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::with_clock(config, StdClock)
    }
}

impl<const WAITING: usize, C> SharedBulkhead<WAITING, C> {
    /// An empty bulkhead that lives by `clock`.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn with_clock(config: Config, clock: C) -> Result<Self, ConfigError> {
        Ok(Self { shared: Arc::new(StdShared::with_clock(Bulkhead::try_new(config)?, clock)) })
    }
}

impl<const WAITING: usize, C: Clock> SharedBulkhead<WAITING, C> {
    /// Takes a place that is free now.
    ///
    /// # Errors
    /// [`Refused::Full`] if none is.
    pub fn try_acquire(&self) -> Result<Guard<WAITING, C>, Refused> {
        let permit = self.shared.with(Bulkhead::try_acquire)?;
        Ok(self.guard(permit))
    }

    /// Begins to ask for a place, for futures that are written by hand: poll it with
    /// [`Acquire::poll_acquire`]. Others use [`acquire`](Self::acquire).
    pub fn start(&self) -> Acquire<WAITING, C> {
        Acquire { bulkhead: self.clone(), ticket: None }
    }

    /// Waits for a place in line, by the time of tokio.
    ///
    /// Cancel-safe: dropped while it waits, it leaves the line.
    ///
    /// # Errors
    /// [`Refused::Full`] at once, [`Refused::TimedOut`] after `max_wait`.
    #[cfg(feature = "tokio")]
    pub async fn acquire(&self) -> Result<Guard<WAITING, C>, Refused> {
        let mut place = self.start();
        loop {
            // The first poll stands in line, and only then is it known for how long.
            let first = std::future::poll_fn(|context| Poll::Ready(place.poll_acquire(context))).await;
            if let Poll::Ready(place) = first {
                return place;
            }
            let Some(wait) = place.longest_wait() else {
                return place.await;
            };
            if let Ok(place) = tokio::time::timeout(wait.into(), &mut place).await {
                return place;
            }
        }
    }

    /// Waits for a place in line on this thread.
    ///
    /// Do not use it on a thread of tokio's: the wait blocks it.
    ///
    /// # Errors
    /// [`Refused::Full`] at once, [`Refused::TimedOut`] after `max_wait`.
    pub fn acquire_blocking(&self) -> Result<Guard<WAITING, C>, Refused> {
        let waker = thread_waker();
        let context = Context::from_waker(&waker);
        let mut place = self.start();
        loop {
            if let Poll::Ready(place) = place.poll_acquire(&context) {
                return place;
            }
            match place.longest_wait() {
                Some(wait) => thread::park_timeout(wait.into()),
                None => thread::park(),
            }
        }
    }

    /// Makes `call` in a place that is free now, and refuses it if none is.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn call<T>(&self, call: impl FnOnce() -> T) -> Result<T, Refused> {
        let _place = self.try_acquire()?;
        Ok(call())
    }

    /// Awaits `call` in a place that it waits for.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    pub async fn call_async<T>(&self, call: impl Future<Output = T>) -> Result<T, Refused> {
        let _place = self.acquire().await?;
        Ok(call.await)
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.with(|bulkhead, _| bulkhead.snapshot())
    }

    fn guard(&self, permit: Permit) -> Guard<WAITING, C> {
        Guard { bulkhead: self.clone(), permit: Some(permit) }
    }

    fn release(&self, permit: Permit) {
        let next = self.shared.with(|bulkhead, now| bulkhead.release(permit, now));
        next.into_iter().for_each(Waker::wake);
    }
}

impl<const WAITING: usize, C> Clone for SharedBulkhead<WAITING, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<const WAITING: usize, C> fmt::Debug for SharedBulkhead<WAITING, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBulkhead").finish_non_exhaustive()
    }
}

/// A waker that ends this thread's `park`.
pub(crate) fn thread_waker() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Holds a place of a [`SharedBulkhead`], and gives it back on drop.
#[must_use = "dropped, it gives the place back"]
pub struct Guard<const WAITING: usize = 256, C: Clock = StdClock> {
    bulkhead: SharedBulkhead<WAITING, C>,
    permit: Option<Permit>,
}

impl<const WAITING: usize, C: Clock> Drop for Guard<WAITING, C> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.bulkhead.release(permit);
        }
    }
}

impl<const WAITING: usize, C: Clock> fmt::Debug for Guard<WAITING, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// Asks a [`SharedBulkhead`] for a place, and leaves the line on drop.
///
/// It has no timer: where `max_wait` is set, whoever polls it polls it again after
/// [`Acquire::longest_wait`]. Polled after the end, it asks for another place.
#[must_use = "a future does nothing unless it is polled"]
pub struct Acquire<const WAITING: usize = 256, C: Clock = StdClock> {
    bulkhead: SharedBulkhead<WAITING, C>,
    ticket: Option<Ticket>,
}

impl<const WAITING: usize, C: Clock> Acquire<WAITING, C> {
    /// Whether there is a place by now; if not, `context` is woken when there is.
    pub fn poll_acquire(&mut self, context: &Context<'_>) -> Poll<Result<Guard<WAITING, C>, Refused>> {
        let waker = Some(context.waker());
        let ticket = self.ticket.take();
        let entry = self.bulkhead.shared.with(|bulkhead, now| match ticket {
            None => bulkhead.enter(waker, now),
            Some(ticket) => bulkhead.claim(ticket, waker, now),
        });
        match entry {
            Ok(Entry::Go(permit)) => Poll::Ready(Ok(self.bulkhead.guard(permit))),
            Ok(Entry::Wait(ticket)) => {
                self.ticket = Some(ticket);
                Poll::Pending
            }
            Err(refused) => Poll::Ready(Err(refused)),
        }
    }

    /// How long it still waits at most; `None` while it stands in no line, and for ever.
    pub fn longest_wait(&self) -> Option<Duration> {
        let until = self.ticket.as_ref().map(Ticket::until).filter(|until| *until < Instant::MAX)?;
        Some(self.bulkhead.shared.with(|_, now| until - now))
    }
}

impl<const WAITING: usize, C: Clock> Future for Acquire<WAITING, C> {
    type Output = Result<Guard<WAITING, C>, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_acquire(context)
    }
}

impl<const WAITING: usize, C: Clock> Drop for Acquire<WAITING, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let next = self.bulkhead.shared.with(|bulkhead, now| bulkhead.leave(ticket, now));
            next.into_iter().for_each(Waker::wake);
        }
    }
}

impl<const WAITING: usize, C: Clock> fmt::Debug for Acquire<WAITING, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("waiting", &self.ticket.is_some()).finish_non_exhaustive()
    }
}
