//! What a thread of the pool does.

use std::cell::RefCell;
use std::sync::Arc;

use super::jobs::{Id, Jobs, Next};
use super::sync::thread_local;
use super::task::Tally;

struct Here {
    jobs: Arc<Jobs>,
    tally: Arc<Tally>,
}

thread_local! {
    /// The pool that this thread belongs to.
    #[allow(clippy::missing_const_for_thread_local, reason = "the macro of loom takes no const block")]
    static HERE: RefCell<Option<Here>> = RefCell::new(None);
}

/// Runs jobs until there will be no more.
pub(super) fn work(jobs: &Arc<Jobs>, tally: &Arc<Tally>, seat: usize) {
    HERE.with(|here| *here.borrow_mut() = Some(Here { jobs: jobs.clone(), tally: tally.clone() }));
    let mut searching = false;
    while let Next::Job(entry) = jobs.next(&mut searching) {
        jobs.run(entry, tally);
    }
    HERE.with(|here| *here.borrow_mut() = None);
    jobs.leave(seat);
}

/// The jobs of the pool, and where this thread counts what it does for it, if it is one of its workers.
pub(super) fn here(pool: Id) -> Option<(Arc<Jobs>, Arc<Tally>)> {
    let find = |here: &RefCell<Option<Here>>| {
        let here = here.borrow();
        here.as_ref().filter(|here| here.jobs.id == pool).map(|here| (here.jobs.clone(), here.tally.clone()))
    };
    HERE.try_with(find).ok().flatten()
}
