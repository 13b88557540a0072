//! Who is registered, and until when.

use std::fmt;
use std::sync::{Arc, Weak};

use daur_core::performance::memory::shrinkers::{Config, ConfigError, Full, Id};
use daur_core::performance::memory::{Level, Monitor, Share, Shrink, Shrinkers, shrinkers};
use daur_core::time::Instant;

use super::{Inner, SHRINKERS};

/// Holds one who can give back.
pub type Shrinker = Arc<dyn Shrink + Send + Sync>;

/// The machine, of which only copies leave: so that it can be asked under a lock, and they outside of it.
pub(super) struct Registry(Box<Shrinkers<Shrinker, SHRINKERS>>);

/// What is to be done by whom.
pub(super) struct Ask {
    pub(super) id: Id,
    pub(super) name: &'static str,
    pub(super) keep: Share,
    pub(super) grows: bool,
    shrinker: Shrinker,
}

impl Ask {
    pub(super) fn carry_out(&self) -> u64 {
        let Self { id, name, keep, grows, shrinker } = self;
        shrinkers::Ask { id: *id, name, shrinker, keep: *keep, grows: *grows }.carry_out()
    }
}

impl Registry {
    pub(super) fn try_new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self(Box::new(Shrinkers::try_new(config)?)))
    }

    pub(super) fn add(&mut self, name: &'static str, cost: u8, shrinker: Shrinker) -> Result<Id, Full<Shrinker>> {
        self.0.add(name, cost, shrinker)
    }

    pub(super) fn demand(&mut self, level: Level) {
        self.0.demand(level);
    }

    pub(super) fn next(&mut self, monitor: &Monitor, now: Instant) -> Option<Ask> {
        let shrinkers::Ask { id, name, shrinker, keep, grows } = self.0.next(monitor, now)?;
        Some(Ask { id, name, keep, grows, shrinker: Arc::clone(shrinker) })
    }

    pub(super) fn done(&mut self, id: Id, freed: u64) {
        self.0.done(id, freed);
    }

    pub(super) fn snapshot(&self) -> shrinkers::Snapshot {
        self.0.snapshot()
    }

    pub(super) fn shrinkers(&self) -> impl Iterator<Item = shrinkers::Shrinker> + '_ {
        self.0.shrinkers()
    }
}

/// Keeps a shrinker registered: dropped, it is asked no more.
#[must_use = "dropped at once, nobody is registered"]
pub struct Registration {
    id: Id,
    optimizer: Weak<Inner>,
}

impl Registration {
    pub(super) const fn new(id: Id, optimizer: Weak<Inner>) -> Self {
        Self { id, optimizer }
    }

    /// Leaves the shrinker registered for as long as the optimizer lives.
    pub fn keep(mut self) {
        self.optimizer = Weak::new();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(optimizer) = self.optimizer.upgrade() else { return };
        let removed = optimizer.state().registry.0.remove(self.id);
        // Its end is not under the lock: it may be long, and may end other registrations.
        drop(removed);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).finish_non_exhaustive()
    }
}
