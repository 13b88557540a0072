//! Lets only so many calls run at once, and so many wait for a place in the order in which they came.

use core::fmt;
use core::mem;
use core::task::Waker;

use super::timeout::Deadline;
use crate::time::{Duration, Instant};

/// Says how many calls may run, and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// Calls that run at once; at least 1.
    pub max_concurrent: u32,
    /// Calls that wait for a place; at most the bulkhead's `WAITING`. With 0, a call that finds no
    /// place is refused at once.
    pub max_waiting: u32,
    /// How long a call waits at most, more than 0; `None` for as long as the caller wants.
    pub max_wait: Option<Duration>,
}

impl Config {
    /// 25 at once, and nobody waits.
    pub const DEFAULT: Self = Self { max_concurrent: 25, max_waiting: 0, max_wait: None };

    /// Checks the fields for a bulkhead with `places` places to wait in.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self, places: usize) -> Result<(), ConfigError> {
        if self.max_concurrent == 0 {
            return Err(ConfigError::NoConcurrent);
        }
        if self.max_waiting as usize > places {
            return Err(ConfigError::MaxWaiting);
        }
        match self.max_wait {
            Some(Duration::ZERO) => Err(ConfigError::NoWait),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Says which rule a [`Config`] breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_concurrent` is 0.
    NoConcurrent,
    /// `max_waiting` is more than there are places to wait in.
    MaxWaiting,
    /// `max_wait` is 0.
    NoWait,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoConcurrent => "bulkhead: `max_concurrent` is 0; at least 1 is needed",
            Self::MaxWaiting => "bulkhead: `max_waiting` is more than the type's `WAITING` places",
            Self::NoWait => "bulkhead: `max_wait` is 0; with `max_waiting: 0` nobody waits",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says why a call does not get a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// Every place is taken, and every place to wait in.
    Full {
        /// Calls that have a place.
        running: u32,
        /// Calls that wait for one.
        waiting: u32,
    },
    /// No place was free within `max_wait`.
    TimedOut,
    /// The ticket is another bulkhead's.
    Unknown,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full { .. } => "the bulkhead is full: as many calls run and wait as may",
            Self::TimedOut => "the bulkhead had no place in time",
            Self::Unknown => "the ticket is not one of this bulkhead",
        })
    }
}

impl core::error::Error for Refused {}

/// Holds one place; give it back with [`Bulkhead::release`].
///
/// It is not `Copy`, so that no place is given back twice. One that is dropped takes its place with
/// it: the wrappers on the host keep it in a guard.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "hand it to `release`, or its place is lost"]
pub struct Permit(());

/// Stands in line for a place; hand it to [`Bulkhead::claim`] until its turn has come, or to
/// [`Bulkhead::leave`].
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "hand it to `claim` or `leave`, or it blocks the line"]
pub struct Ticket {
    id: u32,
    until: Instant,
}

impl Ticket {
    /// From when on [`Bulkhead::claim`] refuses it, unless its turn has come; [`Instant::MAX`] for never.
    #[must_use]
    pub const fn until(&self) -> Instant {
        self.until
    }
}

/// Says whether a call has a place.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
pub enum Entry {
    /// It has: make it.
    Go(Permit),
    /// It stands in line.
    Wait(Ticket),
}

/// Someone in line.
#[derive(Clone, Debug)]
struct Place {
    id: u32,
    waker: Option<Waker>,
}

impl Place {
    const EMPTY: Self = Self { id: 0, waker: None };
}

/// Lets `max_concurrent` calls run at once and `max_waiting` wait in line (`ResilientExecutor`).
///
/// For what breaks under too many callers at once: a pool, a bus with few buffers, a peer with few
/// connections. To limit calls per time instead, use the [`limiter`](super::limiter). `WAITING` is how many places there are to
/// wait in; with the default, 0, a call that finds no place is refused at once.
///
/// # Rules
/// 1. At most `max_concurrent` calls have a place, counting those whose turn has come and who have
///    not fetched it yet.
/// 2. At most `max_waiting` wait beside them; whoever comes then is refused and told how many there are.
/// 3. First come, first served: a place that becomes free belongs to whoever waits longest, and nobody
///    who comes later gets past, not even by [`try_acquire`](Bulkhead::try_acquire).
/// 4. Whoever leaves the line leaves no gap, and passes a turn that had come on to the next.
/// 5. A call that asks when exactly `max_wait` has passed, and not before, is refused if its turn has
///    not come. A turn that has come is kept, however late it is fetched.
/// 6. A clock that steps backwards gives nobody a place and takes none away.
///
/// # Cost
/// 48 bytes of RAM and 84 of flash on thumbv6m (image `bulkhead_small`) where nobody waits; with 4 places
/// to wait in, 96 bytes of RAM and 560 of flash on thumbv6m (image `bulkhead`): 12 for each. Every call is
/// O(1) while nobody waits, and O(`WAITING`) at worst.
///
/// # Errors
/// [`Refused`], which tells why.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), and keep the call itself outside of `with`; wake there
/// too whom [`release`](Bulkhead::release) and [`leave`](Bulkhead::leave) name. Whoever may be cancelled
/// must then leave, or release; the guards of `daur-std` do it on drop.
///
/// # Example
/// ```
/// use daur_core::reliability::bulkhead::{Bulkhead, Config, Entry};
/// use daur_core::time::Instant;
///
/// let mut bulkhead: Bulkhead<4> = Bulkhead::new(Config { max_concurrent: 1, max_waiting: 4, ..Config::DEFAULT });
/// let now = Instant::ZERO;
/// let Entry::Go(first) = bulkhead.enter(None, now)? else { unreachable!() };
/// let Entry::Wait(second) = bulkhead.enter(None, now)? else { unreachable!() };
///
/// // Nobody to wake: `second` comes back by itself.
/// assert!(bulkhead.release(first, now).is_none());
/// let Entry::Go(second) = bulkhead.claim(second, None, now)? else { unreachable!() };
/// assert!(bulkhead.release(second, now).is_none());
/// assert_eq!(bulkhead.snapshot().admitted, 2);
/// # Ok::<(), daur_core::reliability::bulkhead::Refused>(())
/// ```
///
/// # References
/// M. Nygard, *Release It!*, which has the name from ships.
#[doc(alias = "ResilientExecutor")]
#[derive(Clone, Debug)]
pub struct Bulkhead<const WAITING: usize = 0> {
    max_concurrent: u32,
    max_waiting: u32,
    /// [`Duration::MAX`] for no limit.
    max_wait: Duration,
    /// Permits that are out.
    running: u32,
    /// Those whose turn has come and who have not fetched it; they stand in the line no more.
    called: u32,
    waiting: u32,
    next_id: u32,
    admitted: u32,
    refused: u32,
    timed_out: u32,
    /// The first `waiting` are taken, in the order in which they came.
    line: [Place; WAITING],
}

impl<const WAITING: usize> Bulkhead<WAITING> {
    /// An empty bulkhead.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Bulkhead::try_new`].
    #[must_use]
    pub const fn new(config: Config) -> Self {
        match config.validate(WAITING) {
            Ok(()) => Self::of(config),
            Err(_) => panic!("invalid bulkhead::Config: see Config::validate"),
        }
    }

    /// An empty bulkhead, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says for `WAITING` places.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate(WAITING) {
            Ok(()) => Ok(Self::of(config)),
            Err(error) => Err(error),
        }
    }

    /// An empty bulkhead of a config that has been checked.
    pub(super) const fn of(config: Config) -> Self {
        Self {
            max_concurrent: config.max_concurrent,
            max_waiting: config.max_waiting,
            max_wait: match config.max_wait {
                Some(max_wait) => max_wait,
                None => Duration::MAX,
            },
            running: 0,
            called: 0,
            waiting: 0,
            next_id: 0,
            admitted: 0,
            refused: 0,
            timed_out: 0,
            line: [const { Place::EMPTY }; WAITING],
        }
    }

    /// Asks for a place now, and does not wait.
    ///
    /// # Errors
    /// [`Refused::Full`] if none is free.
    pub fn try_acquire(&mut self, _now: Instant) -> Result<Permit, Refused> {
        if self.has_room() { Ok(self.admit()) } else { Err(self.refuse()) }
    }

    /// Asks for a place, or one in the line; `waker` is for whoever gives a place back.
    ///
    /// # Errors
    /// [`Refused::Full`] if there is neither.
    pub fn enter(&mut self, waker: Option<&Waker>, now: Instant) -> Result<Entry, Refused> {
        if self.has_room() {
            return Ok(Entry::Go(self.admit()));
        }
        if self.waiting >= self.max_waiting {
            return Err(self.refuse());
        }
        let id = self.next_id;
        // There is one: `max_waiting` is at most `WAITING`.
        if let Some(place) = self.line.get_mut(self.waiting as usize) {
            *place = Place { id, waker: waker.cloned() };
            self.waiting += 1;
        }
        self.next_id = id.wrapping_add(1);
        self.invariants();
        Ok(Entry::Wait(Ticket { id, until: now.after(self.max_wait) }))
    }

    /// Asks whether the turn of `ticket` has come; if not, gives it back, and `waker` replaces the one before.
    ///
    /// # Errors
    /// [`Refused::TimedOut`] if it has waited for `max_wait`; it then stands in line no more.
    pub fn claim(&mut self, ticket: Ticket, waker: Option<&Waker>, now: Instant) -> Result<Entry, Refused> {
        let Some(at) = self.position(&ticket) else {
            // A ticket is used up by a refusal and by leaving: one that does not wait has been called.
            if self.called == 0 {
                return Err(Refused::Unknown);
            }
            self.called -= 1;
            return Ok(Entry::Go(self.admit()));
        };
        if Deadline::at(ticket.until).is_over(now) {
            self.remove(at);
            self.timed_out = self.timed_out.saturating_add(1);
            self.invariants();
            return Err(Refused::TimedOut);
        }
        if let (Some(place), Some(waker)) = (self.line.get_mut(at), waker)
            && !place.waker.as_ref().is_some_and(|old| old.will_wake(waker))
        {
            place.waker = Some(waker.clone());
        }
        Ok(Entry::Wait(ticket))
    }

    /// Leaves the line, or passes on the turn that has come: to whom the waker belongs, if it had one.
    ///
    /// Whoever leaves before the turn has come passes nothing on, and the own waker is dropped.
    #[must_use = "wake it, outside of any lock: its turn has come"]
    #[expect(clippy::needless_pass_by_value, reason = "it uses the ticket up")]
    pub fn leave(&mut self, ticket: Ticket, _now: Instant) -> Option<Waker> {
        if let Some(at) = self.position(&ticket) {
            self.remove(at);
            return None;
        }
        self.called = self.called.saturating_sub(1);
        self.call_next()
    }

    /// Gives a place back: it belongs to whoever waits longest now, whose waker this is.
    #[must_use = "wake it, outside of any lock: its turn has come"]
    pub fn release(&mut self, _permit: Permit, _now: Instant) -> Option<Waker> {
        self.running = self.running.saturating_sub(1);
        self.call_next()
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        Snapshot {
            running: self.running + self.called,
            waiting: self.waiting,
            admitted: self.admitted,
            refused: self.refused,
            timed_out: self.timed_out,
        }
    }

    /// Whether a place is free. Nobody waits then: whoever waited would have been called.
    const fn has_room(&self) -> bool {
        self.running + self.called < self.max_concurrent
    }

    fn admit(&mut self) -> Permit {
        self.running += 1;
        self.admitted = self.admitted.saturating_add(1);
        self.invariants();
        Permit(())
    }

    const fn refuse(&mut self) -> Refused {
        self.refused = self.refused.saturating_add(1);
        Refused::Full { running: self.running + self.called, waiting: self.waiting }
    }

    fn call_next(&mut self) -> Option<Waker> {
        let mut waker = None;
        if self.waiting > 0 && self.has_room() {
            self.called += 1;
            waker = self.remove(0);
        }
        self.invariants();
        waker
    }

    fn position(&self, ticket: &Ticket) -> Option<usize> {
        self.line.iter().take(self.waiting as usize).position(|place| place.id == ticket.id)
    }

    /// Takes one out of the line; those behind it move up.
    fn remove(&mut self, at: usize) -> Option<Waker> {
        self.waiting = self.waiting.saturating_sub(1);
        let mut gap = at;
        while gap < self.waiting as usize
            && let Some([empty, next]) = self.line.get_mut(gap..gap.saturating_add(2))
        {
            mem::swap(empty, next);
            gap += 1;
        }
        self.line.get_mut(gap).and_then(|place| place.waker.take())
    }

    fn invariants(&self) {
        debug_assert!(self.running + self.called <= self.max_concurrent);
        debug_assert!(self.waiting <= self.max_waiting && self.max_waiting as usize <= WAITING);
        debug_assert!(self.waiting == 0 || !self.has_room(), "a free place, and somebody waits");
    }
}

/// Shows a [`Bulkhead`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Calls that have a place.
    pub running: u32,
    /// Calls that wait for one.
    pub waiting: u32,
    /// Calls that have had a place, all told.
    pub admitted: u32,
    /// Calls that found neither a place nor one to wait in.
    pub refused: u32,
    /// Calls that waited in vain.
    pub timed_out: u32,
}
