//! Those who give memory back, in order of what that costs.

use core::fmt;

use super::Level;
use super::monitor::Monitor;
use super::shrink::{Share, Shrink};
use crate::time::{Duration, Instant};

/// Says how much each may hold at which level, and how it grows back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// What one keeps while the level is elevated; less than [`Share::ALL`].
    pub elevated: Share,
    /// What one keeps while it is critical; at most `elevated`.
    pub critical: Share,
    /// How long after it was asked one is asked again, if memory is still short; more than zero.
    pub again: Duration,
    /// How long there must have been room before anything grows back.
    pub calm: Duration,
    /// How much grows back at a time; more than [`Share::NONE`].
    pub step: Share,
    /// The time from one step to the next.
    pub pace: Duration,
}

impl Config {
    /// Half while elevated, a tenth while critical, asked again every 10 s; after 30 s of room a tenth grows back every 5 s.
    pub const DEFAULT: Self = Self {
        elevated: Share::permille(500),
        critical: Share::permille(100),
        again: Duration::from_secs(10),
        calm: Duration::from_secs(30),
        step: Share::permille(100),
        pace: Duration::from_secs(5),
    };

    /// Checks the fields.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        let (elevated, critical) = (self.elevated.as_permille(), self.critical.as_permille());
        if elevated >= 1_000 || critical > elevated {
            return Err(ConfigError::Shares);
        }
        if self.step.as_permille() == 0 {
            return Err(ConfigError::NoStep);
        }
        if self.again.is_zero() {
            return Err(ConfigError::NoPause);
        }
        Ok(())
    }

    const fn keep(&self, level: Level) -> Share {
        match level {
            Level::Normal => Share::ALL,
            Level::Elevated => self.elevated,
            Level::Critical => self.critical,
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
    /// `elevated` is all, or `critical` is more than `elevated`.
    Shares,
    /// `step` is nothing.
    NoStep,
    /// `again` is 0.
    NoPause,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shares => "shrinkers: `elevated` must be less than all, and `critical` at most `elevated`",
            Self::NoStep => "shrinkers: `step` must be more than nothing",
            Self::NoPause => "shrinkers: `again` must be more than 0",
        })
    }
}

impl core::error::Error for ConfigError {}

/// Says that there is no place for another one, and gives it back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<S>(pub S);

impl<S> fmt::Debug for Full<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Full").finish_non_exhaustive()
    }
}

impl<S> fmt::Display for Full<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no place for another shrinker")
    }
}

impl<S> core::error::Error for Full<S> {}

/// Names a shrinker in its [`Shrinkers`]; never given to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Id(u32);

/// Says who is to do what now. Hand in what it freed with [`Shrinkers::done`].
#[derive(Clone, Copy)]
#[must_use = "who is not asked does not give back, and is not asked again soon"]
pub struct Ask<S> {
    /// Who.
    pub id: Id,
    /// Its name.
    pub name: &'static str,
    /// Itself.
    pub shrinker: S,
    /// What it may hold from now on.
    pub keep: Share,
    /// Whether that is more than before.
    pub grows: bool,
}

impl<S> fmt::Debug for Ask<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, keep, grows, .. } = self;
        let mut shown = f.debug_struct("Ask");
        shown.field("id", id).field("name", name).field("keep", keep).field("grows", grows).finish_non_exhaustive()
    }
}

impl<S: Shrink> Ask<S> {
    /// Does it: shrinks or restores, and says how many bytes were freed.
    pub fn carry_out(&self) -> u64 {
        if self.grows {
            self.shrinker.restore(self.keep);
            return 0;
        }
        self.shrinker.shrink(self.keep)
    }
}

#[derive(Clone, Copy)]
struct Entry<S> {
    id: Id,
    shrinker: S,
    /// Asked for whatever the level is.
    demanded: Option<Share>,
    asked_at: Instant,
    shown: Shrinker,
}

impl<S> Entry<S> {
    const fn order(&self) -> (u8, u32) {
        (self.shown.cost, self.id.0)
    }
}

/// Asks up to `N` of those who can give memory back, those first to whom it costs least.
///
/// `S` is a `&'static (dyn Shrink + Sync)` on a device, an `Arc<dyn Shrink + Send + Sync>` on a host. The level comes
/// from a [`Monitor`]. After each of its readings call [`Shrinkers::run`]; or, where they must not be asked under a lock,
/// [`Shrinkers::next`] and [`Shrinkers::done`] by turns until nobody is left.
///
/// # Rules
/// 1. They are asked in order of cost, those of the same cost in order of coming.
/// 2. While the level is elevated, no more are asked than what they freed makes up for what is
///    [wanted](Monitor::wanted); the rest only if the next reading still wants more. While critical or pressure holds, all are asked.
/// 3. Each is asked to keep what the level allows, and never more than it was asked to keep before. It is asked once;
///    again after `again` if memory is still short.
/// 4. What was freed is counted for each.
/// 5. After there has been [room](Monitor::has_room) for `calm`, those who keep least grow back by a `step`, one step
///    with a reading and every `pace`, the dearest first, until all hold all.
/// 6. Each time that memory becomes short again after something has grown, `calm` is doubled, up to 16 times; once all
///    have held all for that long, it is what it was.
/// 7. Without a new reading nothing grows. A clock that steps backwards lets nothing grow.
/// 8. Whoever is removed is not asked; who was being asked counts no more.
///
/// # Cost
/// For four, with the monitor, 424 bytes of RAM and 4,324 of flash on thumbv6m (image `memory_shrinkers`). O(N) to ask one.
///
/// # Errors
/// [`Full`], with the shrinker.
///
/// # Sharing
/// In a [`Shared`](crate::shared::Shared); on a device they are asked under its lock.
///
/// # Example
/// ```
/// use daur_core::performance::memory::{self, Monitor, Resize, Share, Shrinkers, Usage, shrinkers};
/// use daur_core::time::Instant;
/// # use core::cell::Cell;
///
/// let bound = Cell::new(64);
/// let cache = Resize(|keep: Share| {
///     let before = bound.replace(keep.of(64));
///     before.saturating_sub(bound.get()) as u64 * 20
/// });
/// let mut shrinkers: Shrinkers<&_, 4> = Shrinkers::new(shrinkers::Config::DEFAULT);
/// shrinkers.add("cache", 0, &cache).unwrap();
///
/// let mut monitor = Monitor::new(memory::Config::DEFAULT);
/// let now = Instant::from_secs(1);
/// monitor.update(Usage::new(9_000, 10_000), now);
/// assert_eq!(shrinkers.run(&monitor, now), 640);
/// assert_eq!(bound.get(), 32);
/// ```
#[derive(Clone)]
pub struct Shrinkers<S, const N: usize> {
    config: Config,
    entries: [Option<Entry<S>>; N],
    last_id: u32,
    level: Level,
    /// The reading that was last seen, and what was freed since.
    reading: u32,
    freed: u64,
    /// Since when there has been room.
    room: Option<Instant>,
    /// How long there must be: `calm`, or longer after relapses.
    wait: Duration,
    /// Since memory was short, something has grown.
    grown: bool,
    stepped_at: Instant,
    /// Up to what they may grow by now.
    ceiling: Share,
    total: u64,
}

impl<S, const N: usize> Shrinkers<S, N> {
    /// Nobody.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        assert!(config.validate().is_ok(), "invalid shrinkers::Config: see Config::validate");
        Self::nobody(config)
    }

    /// Nobody, if `config` is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub const fn try_new(config: Config) -> Result<Self, ConfigError> {
        match config.validate() {
            Ok(()) => Ok(Self::nobody(config)),
            Err(error) => Err(error),
        }
    }

    const fn nobody(config: Config) -> Self {
        Self {
            config,
            entries: [const { None }; N],
            last_id: 0,
            level: Level::Normal,
            reading: 0,
            freed: 0,
            room: None,
            wait: config.calm,
            grown: false,
            stepped_at: Instant::ZERO,
            ceiling: Share::NONE,
            total: 0,
        }
    }

    /// Adds one whom giving back costs `cost`: 0 for what is got again for nothing.
    ///
    /// # Errors
    /// [`Full`], with the shrinker.
    pub fn add(&mut self, name: &'static str, cost: u8, shrinker: S) -> Result<Id, Full<S>> {
        let Some(place) = self.entries.iter_mut().find(|place| place.is_none()) else { return Err(Full(shrinker)) };
        self.last_id = self.last_id.wrapping_add(1);
        let id = Id(self.last_id);
        let shown = Shrinker { name, cost, keep: Share::ALL, asked: 0, freed: 0 };
        *place = Some(Entry { id, shrinker, demanded: None, asked_at: Instant::ZERO, shown });
        Ok(id)
    }

    /// Removes one and gives it back, if it is still here.
    pub fn remove(&mut self, id: Id) -> Option<S> {
        let place = self.entries.iter_mut().find(|place| place.as_ref().is_some_and(|entry| entry.id == id))?;
        place.take().map(|entry| entry.shrinker)
    }

    /// Has all of them asked, whatever the level is, for what they keep at `level`; at normal, for nothing. They grow
    /// back as ever.
    pub fn demand(&mut self, level: Level) {
        let keep = self.config.keep(level);
        (self.room, self.ceiling) = (None, Share::NONE);
        for entry in self.entries.iter_mut().flatten() {
            entry.demanded = (level != Level::Normal).then_some(keep);
        }
    }

    /// Who is to be asked next, by what `monitor` has read last.
    pub fn next(&mut self, monitor: &Monitor, now: Instant) -> Option<Ask<&S>> {
        self.follow(monitor, now);
        self.next_to_shrink(monitor, now).or_else(|| self.next_to_grow()).and_then(|(id, keep, grows)| {
            let entry = self.entries.iter_mut().flatten().find(|entry| entry.id == id)?;
            entry.demanded = None;
            entry.asked_at = now;
            entry.shown.keep = keep;
            if !grows {
                entry.shown.asked = entry.shown.asked.saturating_add(1);
            }
            Some(Ask { id, name: entry.shown.name, shrinker: &entry.shrinker, keep, grows })
        })
    }

    /// Notes how many bytes the one that was asked has freed.
    pub fn done(&mut self, id: Id, freed: u64) {
        let Some(entry) = self.entries.iter_mut().flatten().find(|entry| entry.id == id) else { return };
        entry.shown.freed = entry.shown.freed.saturating_add(freed);
        self.freed = self.freed.saturating_add(freed);
        self.total = self.total.saturating_add(freed);
    }

    /// Asks whoever is to be asked, one after the other. Says how many bytes that freed.
    pub fn run(&mut self, monitor: &Monitor, now: Instant) -> u64
    where
        S: Shrink,
    {
        let before = self.total;
        while let Some(ask) = self.next(monitor, now) {
            let (id, freed) = (ask.id, ask.carry_out());
            self.done(id, freed);
        }
        self.total.saturating_sub(before)
    }

    /// Takes in what has changed since it was asked last: the level, the reading, whether there is room.
    fn follow(&mut self, monitor: &Monitor, now: Instant) {
        let relapsed = self.level == Level::Normal && monitor.level() != Level::Normal;
        self.level = monitor.level();
        if relapsed && self.grown {
            self.grown = false;
            self.wait = self.wait.times(2).min(self.config.calm.times(16));
        }
        if !monitor.has_room() {
            self.room = None;
            self.ceiling = Share::NONE;
        }
        if monitor.readings() == self.reading {
            return;
        }
        self.reading = monitor.readings();
        self.freed = 0;
        if monitor.has_room() {
            self.step(now);
        }
    }

    /// Lets those who keep least grow, if it is time.
    fn step(&mut self, now: Instant) {
        let room = *self.room.get_or_insert(now);
        if now < room || now.since(room) < self.wait {
            return;
        }
        let least = self.entries.iter().flatten().map(|entry| entry.shown.keep).min().unwrap_or(Share::ALL);
        if least == Share::ALL {
            // All hold all, and have for long enough: what has been is forgotten.
            if now.since(self.stepped_at) >= self.wait {
                self.wait = self.config.calm;
                self.grown = false;
            }
            return;
        }
        if self.grown && (now < self.stepped_at || now.since(self.stepped_at) < self.config.pace) {
            return;
        }
        self.ceiling = Share::permille(least.as_permille() + self.config.step.as_permille());
        self.stepped_at = now;
        self.grown = true;
    }

    fn next_to_shrink(&self, monitor: &Monitor, now: Instant) -> Option<(Id, Share, bool)> {
        let (keep, wanted) = (self.config.keep(self.level), monitor.wanted());
        // What is freed is an estimate; of all, nothing makes up for all.
        let short = wanted == u64::MAX || wanted > self.freed;
        let due = |entry: &&Entry<S>| {
            let again = entry.shown.asked > 0 && now.since(entry.asked_at) < self.config.again;
            entry.demanded.is_some() || short && (entry.shown.keep > keep || !again)
        };
        let entry = self.entries.iter().flatten().filter(due).min_by_key(|entry| entry.order())?;
        let allowed = if short { keep } else { Share::ALL };
        Some((entry.id, entry.demanded.unwrap_or(Share::ALL).min(allowed).min(entry.shown.keep), false))
    }

    fn next_to_grow(&self) -> Option<(Id, Share, bool)> {
        let due = |entry: &&Entry<S>| entry.shown.keep < self.ceiling;
        let entry = self.entries.iter().flatten().filter(due).max_by_key(|entry| entry.order())?;
        Some((entry.id, self.ceiling, true))
    }

    /// Copies out what is worth showing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut shown = Snapshot { shrinkers: 0, shrunk: 0, freed: self.total, wait: self.wait };
        for entry in self.entries.iter().flatten() {
            shown.shrinkers = shown.shrinkers.saturating_add(1);
            shown.shrunk = shown.shrunk.saturating_add(u16::from(entry.shown.keep < Share::ALL));
        }
        shown
    }

    /// Each of them, in no order.
    pub fn shrinkers(&self) -> impl Iterator<Item = Shrinker> + '_ {
        self.entries.iter().flatten().map(|entry| entry.shown)
    }
}

impl<S, const N: usize> fmt::Debug for Shrinkers<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shrinkers").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}

/// Shows [`Shrinkers`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot {
    /// How many there are.
    pub shrinkers: u16,
    /// How many of them hold less than all at present.
    pub shrunk: u16,
    /// Bytes that all of them together say they have freed, with those that are gone.
    pub freed: u64,
    /// How long there must be room before anything grows back.
    pub wait: Duration,
}

/// Shows one of [`Shrinkers`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shrinker {
    /// Its name.
    pub name: &'static str,
    /// What giving back costs.
    pub cost: u8,
    /// What it was last asked to keep.
    pub keep: Share,
    /// How often it was asked to give back.
    pub asked: u32,
    /// Bytes that it says it has freed.
    pub freed: u64,
}
