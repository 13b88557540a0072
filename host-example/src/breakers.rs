//! What an operator does with a breaker by hand.
//!
//! # Rules
//! 1. Breakers go by their program's name, those of models by `model:` and the upstream's.
//! 2. A breaker that is held open refuses everything, one that is held closed refuses nothing and counts nothing, until
//!    it is reset or held otherwise. To do it again changes nothing.
//! 3. What is held stays so until the server ends, and no longer.

use daur_core::reliability::breaker::{Breaker, Mode, State};
use daur_core::time::Instant;

use crate::app::App;
use crate::command::state_name;

/// Says what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Close it and let it judge by itself.
    Reset,
    /// Hold it open.
    Open,
    /// Hold it closed.
    Closed,
}

impl Force {
    /// Its name in paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Open => "force-open",
            Self::Closed => "force-close",
        }
    }

    /// Does it; gives the state that this leads to.
    pub fn apply<M: Mode>(self, breaker: &mut Breaker<M>, now: Instant) -> State {
        match self {
            Self::Reset => breaker.reset(now),
            Self::Open => breaker.force_open(now),
            Self::Closed => breaker.force_closed(now),
        }
        breaker.state()
    }
}

/// What the names of models' breakers begin with.
pub const MODEL: &str = "model:";

/// Does it with the breaker of that name; `None` if there is none.
#[must_use]
pub fn force(app: &App, name: &str, how: Force) -> Option<&'static str> {
    let state = match name.strip_prefix(MODEL) {
        Some(upstream) => app.models.force(upstream, how),
        None => app.commands.force(name, how),
    };
    state.map(state_name)
}

/// When a breaker admits calls again by itself: never, if it is held open.
#[must_use]
pub fn by_itself(retry_at: Instant) -> Option<Instant> {
    (retry_at < Instant::MAX).then_some(retry_at)
}
