//! Jobs that wait to be done.

use core::fmt;

use crate::time::{Duration, Instant};

mod turns;

pub use turns::{Priority, Turns};

/// Says how a [`Queue`] orders what is in it. Every value works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// How often in a row a more urgent item may be taken ahead of the one that waits longest. With 0 priorities
    /// have no effect.
    pub max_passed: u8,
}

impl Config {
    /// Seven times: of eight items, one is who waits longest.
    pub const DEFAULT: Self = Self { max_passed: 7 };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Gives back an item that did not come in, and says why.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refused<T> {
    /// All places are taken.
    Full(T),
    /// The queue is closed.
    Closed(T),
}

impl<T> Refused<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

// Not derived: an item that is a function has nothing to show.
impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::Closed(_) => "the queue is closed",
        })
    }
}

impl<T> core::error::Error for Refused<T> {}

/// Keeps up to `N` jobs of three priorities until somebody has time for them.
///
/// The device's end of the seed's `get_thread_pool`: interrupts and tasks push, the idle loop pops. `T` is what a job is to
/// you: a `fn()`, or an enum that names the work and what it needs. With threads, use the pool of `daur-std`, which orders its
/// jobs by the same [`Turns`]. For items that are sent on together, use the [batcher](super::batch).
///
/// # Rules
/// 1. Within one priority, first come is first served.
/// 2. The most urgent item is taken. But after `max_passed` times in a row ahead of the one that waits longest, that one is: an
///    item with `m` older ones before it is taken at the `(m + 1) * (max_passed + 1)`-th pop at the latest, whatever comes later.
/// 3. A full or closed queue gives the item back, and counts it as refused.
/// 4. What is in a closed queue still comes out.
/// 5. Every item is accounted for: `pushed == len + popped + cleared`.
/// 6. [`peek`](Self::peek) shows what the next pop takes, and changes nothing.
/// 7. An item has waited from its push to its pop; with a clock that has stepped back meanwhile, not at all.
///
/// # Cost
/// Every verb is O(1), but for [`clear`](Self::clear) and the budget of [`drain`](Self::drain). RAM on a 32-bit target: an item and
/// 20 bytes a place, and 88 for the machine; 16 functions take 472 bytes of RAM and 1,024 of flash on thumbv6m (image `queue`). A
/// `static` with [`Config::DEFAULT`] is all zeros, and lies in `.bss`.
///
/// # Errors
/// [`Refused`] has the item. `N` of 0 or above 65,535 does not compile.
///
/// # Sharing
/// Behind [`Shared`](crate::shared::Shared); pop inside of `with` and do the job outside, or interrupts wait for it.
///
/// # Example
/// ```
/// use daur_core::performance::queue::{Config, Priority, Queue};
/// use daur_core::time::Instant;
///
/// #[derive(Debug, PartialEq)]
/// enum Job {
///     Blink,
///     Send(u32),
/// }
///
/// let mut queue: Queue<Job, 2> = Queue::new(Config::DEFAULT);
/// let now = Instant::from_secs(1);
/// queue.try_push(Job::Blink, Priority::Low, now)?;
/// queue.try_push(Job::Send(7), Priority::High, now)?;
/// let refused = queue.try_push(Job::Send(8), Priority::High, now).unwrap_err();
/// assert_eq!(refused.into_inner(), Job::Send(8));
///
/// // In the idle loop:
/// let later = Instant::from_secs(3);
/// assert_eq!(queue.pop(later), Some(Job::Send(7)));
/// assert_eq!(queue.pop(later), Some(Job::Blink));
/// assert_eq!(queue.pop(later), None);
/// assert_eq!(queue.snapshot().wait_max.as_secs(), 2);
/// # Ok::<(), daur_core::performance::queue::Refused<Job>>(())
/// ```
///
/// # References
/// Ageing, as schedulers have it since CTSS: Silberschatz, *Operating System Concepts*, chapter 5.
#[doc(alias = "get_thread_pool")]
pub struct Queue<T, const N: usize> {
    places: [Place<T>; N],
    /// In the order of [`Priority::ALL`].
    lines: [Line; Priority::COUNT],
    turns: Turns,
    closed: bool,
    /// The places that were in use once and are free.
    free: Link,
    /// Places that have never been in use come after so many.
    fresh: u16,
    len: u16,
    high_water: u16,
    /// The number of the next item; it wraps.
    next: u32,
    pushed: u64,
    popped: u64,
    refused: u64,
    cleared: u64,
    wait_sum: Duration,
    wait_max: Duration,
}

/// A place's index and 1; 0 for none, so that a `static` queue is zeros.
type Link = u16;

struct Place<T> {
    item: Option<T>,
    pushed_at: Instant,
    number: u32,
    next: Link,
}

#[derive(Clone, Copy)]
struct Line {
    first: Link,
    last: Link,
    len: u16,
}

impl<T, const N: usize> Queue<T, N> {
    const N_FITS: () = assert!(0 < N && N <= u16::MAX as usize, "a queue has 1 to 65,535 places");

    /// An empty queue.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        const { Self::N_FITS }
        Self {
            places: [const { Place { item: None, pushed_at: Instant::ZERO, number: 0, next: 0 } }; N],
            lines: [Line { first: 0, last: 0, len: 0 }; Priority::COUNT],
            turns: Turns::new(config.max_passed),
            closed: false,
            free: 0,
            fresh: 0,
            len: 0,
            high_water: 0,
            next: 0,
            pushed: 0,
            popped: 0,
            refused: 0,
            cleared: 0,
            wait_sum: Duration::ZERO,
            wait_max: Duration::ZERO,
        }
    }

    /// Puts `item` behind all of its priority.
    ///
    /// # Errors
    /// [`Refused`] gives it back.
    #[inline]
    #[doc(alias = "submit")]
    pub fn try_push(&mut self, item: T, priority: Priority, now: Instant) -> Result<(), Refused<T>> {
        if self.closed {
            self.refused += 1;
            return Err(Refused::Closed(item));
        }
        let (link, recycled) = if self.free == 0 { (self.fresh.wrapping_add(1), false) } else { (self.free, true) };
        let number = self.next;
        let Some(place) = place(&mut self.places, link) else {
            self.refused += 1;
            return Err(Refused::Full(item));
        };
        if recycled {
            self.free = place.next;
        } else {
            self.fresh = link;
        }
        *place = Place { item: Some(item), pushed_at: now, number, next: 0 };
        if let Some(line) = self.lines.get_mut(priority.index()) {
            match self::place(&mut self.places, line.last) {
                Some(last) => last.next = link,
                None => line.first = link,
            }
            line.last = link;
            line.len = line.len.wrapping_add(1);
        }
        self.next = number.wrapping_add(1);
        self.len = self.len.wrapping_add(1);
        self.high_water = self.high_water.max(self.len);
        self.pushed += 1;
        self.invariants();
        Ok(())
    }

    /// Takes the item whose turn it is.
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let priority = self.turns.take(self.ages())?;
        let (item, pushed_at) = self.unlink(priority)?;
        let waited = now.since(pushed_at);
        self.wait_sum = self.wait_sum + waited;
        self.wait_max = self.wait_max.max(waited);
        self.popped += 1;
        self.invariants();
        Some(item)
    }

    /// The item that the next [`pop`](Self::pop) takes.
    #[must_use]
    pub fn peek(&self) -> Option<&T> {
        let priority = self.turns.peek(self.ages())?;
        self.first(priority)?.item.as_ref()
    }

    /// Pops up to `budget` items and hands each to `each`; how many there were.
    #[inline]
    pub fn drain(&mut self, budget: usize, now: Instant, mut each: impl FnMut(T)) -> usize {
        let mut done = 0;
        while done < budget
            && let Some(item) = self.pop(now)
        {
            each(item);
            done += 1;
        }
        done
    }

    /// Drops all items; how many there were.
    pub fn clear(&mut self) -> usize {
        let mut cleared = 0;
        for priority in Priority::ALL {
            while let Some(item) = self.unlink(priority) {
                cleared += 1;
                // Before it is dropped, which may panic.
                self.cleared += 1;
                drop(item);
            }
        }
        // Whoever was passed over is gone.
        self.turns.reset();
        self.invariants();
        cleared
    }

    /// Refuses every item from now on; those that are in it still come out.
    pub const fn close(&mut self) {
        self.closed = true;
    }

    /// Whether it refuses every item.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Items that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no item waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next push would be refused for want of a place.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len as usize >= N
    }

    /// Items that may wait at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// How long the item that waits longest has done so.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        let firsts = Priority::ALL.into_iter().filter_map(|priority| self.first(priority));
        let oldest = firsts.max_by_key(|place| self.next.wrapping_sub(place.number))?;
        Some(now.since(oldest.pushed_at))
    }

    /// What the queue has done.
    #[must_use]
    pub const fn snapshot(&self) -> Snapshot {
        let [high, normal, low] = self.lines;
        Snapshot {
            len: self.len,
            high: high.len,
            normal: normal.len,
            low: low.len,
            high_water: self.high_water,
            closed: self.closed,
            pushed: self.pushed,
            popped: self.popped,
            refused: self.refused,
            cleared: self.cleared,
            wait_sum: self.wait_sum,
            wait_max: self.wait_max,
        }
    }

    fn first(&self, priority: Priority) -> Option<&Place<T>> {
        let line = self.lines.get(priority.index())?;
        self.places.get(usize::from(line.first).checked_sub(1)?)
    }

    /// What [`Turns`] wants to know.
    fn ages(&self) -> [Option<u32>; Priority::COUNT] {
        Priority::ALL.map(|priority| Some(self.next.wrapping_sub(self.first(priority)?.number)))
    }

    /// Takes the first of a line, and when it came.
    fn unlink(&mut self, priority: Priority) -> Option<(T, Instant)> {
        let line = self.lines.get_mut(priority.index())?;
        let link = line.first;
        let place = place(&mut self.places, link)?;
        let item = place.item.take()?;
        line.first = place.next;
        if line.first == 0 {
            line.last = 0;
        }
        line.len = line.len.wrapping_sub(1);
        place.next = self.free;
        self.free = link;
        self.len = self.len.wrapping_sub(1);
        Some((item, place.pushed_at))
    }

    fn invariants(&self) {
        debug_assert_eq!(self.lines.iter().map(|line| usize::from(line.len)).sum::<usize>(), self.len());
        debug_assert!(self.lines.iter().all(|line| (line.first == 0) == (line.len == 0)));
        debug_assert!(self.len() <= N && self.len <= self.high_water && self.high_water <= self.fresh);
        debug_assert_eq!(self.pushed, self.popped + self.cleared + u64::from(self.len));
    }
}

#[inline]
fn place<T>(places: &mut [Place<T>], link: Link) -> Option<&mut Place<T>> {
    places.get_mut(usize::from(link).checked_sub(1)?)
}

impl<T, const N: usize> fmt::Debug for Queue<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Shows what a [`Queue`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// Items that wait.
    pub len: u16,
    /// Those of high priority.
    pub high: u16,
    /// Those of normal priority.
    pub normal: u16,
    /// Those of low priority.
    pub low: u16,
    /// The most that have waited at once.
    pub high_water: u16,
    /// Whether every item is refused.
    pub closed: bool,
    /// Items that came in.
    pub pushed: u64,
    /// Items that were taken.
    pub popped: u64,
    /// Items that were given back.
    pub refused: u64,
    /// Items that were dropped on request.
    pub cleared: u64,
    /// How long the items that were taken have waited, all together.
    pub wait_sum: Duration,
    /// The longest that one has.
    pub wait_max: Duration,
}

impl Snapshot {
    /// How long an item has waited on average; `None` before the first was taken.
    #[must_use]
    pub const fn wait_mean(&self) -> Option<Duration> {
        match self.wait_sum.as_nanos().checked_div(self.popped) {
            Some(nanos) => Some(Duration::from_nanos(nanos)),
            None => None,
        }
    }
}
