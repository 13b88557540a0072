//! One computation for all who ask for the same answer at the same time.
//!
//! Whoever asks first leads; the others wait in a queue of wakers, so that threads and tasks wait for each other. A
//! leader that fails hands its turn to the first in the queue and to nobody else; one that leaves the queue with the
//! turn in its hand passes it on.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Wake, Waker};

use super::sync::{Arc, COMPUTING, Mutex, Thread, current, park};

/// A computation that is under way, or waits for one who goes on with it.
pub(super) struct Flight<V> {
    state: Mutex<State<V>>,
}

struct State<V> {
    stage: Stage<V>,
    /// Who waits, the first one first, by ascending numbers.
    queue: VecDeque<(u64, Waker)>,
    last: u64,
}

enum Stage<V> {
    /// Somebody computes.
    Led,
    /// The one of this number is to go on.
    Handed(u64),
    /// Whoever asks next is to go on.
    Vacant,
    /// Here is the answer.
    Over(V),
}

/// What waiting came to.
enum Turn<V> {
    Answer(V),
    Lead,
}

impl<V> Flight<V> {
    /// A flight with a leader.
    pub(super) fn led() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { stage: Stage::Led, queue: VecDeque::new(), last: 0 }) })
    }

    /// Of the caller's only wakers and clones of values run under this lock; each change is whole before them.
    fn with<R>(&self, f: impl FnOnce(&mut State<V>) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, value: V) {
        let queue = self.with(|state| {
            state.stage = Stage::Over(value);
            mem::take(&mut state.queue)
        });
        for (_, waker) in queue {
            waker.wake();
        }
    }

    /// The leader gives up.
    fn fail(&self) {
        if let Some(waker) = self.with(State::hand_over) {
            waker.wake();
        }
    }

    /// The one of this number waits no longer.
    fn quit(&self, number: u64) {
        let (wake, _gone) = self.with(|state| {
            if matches!(state.stage, Stage::Handed(to) if to == number) {
                return (state.hand_over(), None);
            }
            let place = state.queue.binary_search_by_key(&number, |&(number, _)| number);
            (None, place.ok().and_then(|place| state.queue.remove(place)))
        });
        if let Some(waker) = wake {
            waker.wake();
        }
    }

    /// Looks whether the waiting is over, and queues up if it is not.
    fn poll(&self, number: &mut Option<u64>, context: &Context<'_>) -> Poll<Turn<V>>
    where
        V: Clone,
    {
        let waker = context.waker().clone();
        let (poll, _former) = self.with(|state| {
            match &state.stage {
                Stage::Over(value) => return (Poll::Ready(Turn::Answer(value.clone())), Some(waker)),
                Stage::Handed(to) if Some(*to) == *number => {}
                Stage::Vacant => {}
                Stage::Led | Stage::Handed(_) => return (Poll::Pending, state.queue_up(number, waker)),
            }
            state.stage = Stage::Led;
            (Poll::Ready(Turn::Lead), Some(waker))
        });
        if poll.is_ready() {
            *number = None;
        }
        poll
    }
}

impl<V> State<V> {
    /// Gives the turn to the first in the queue, who is to be woken.
    fn hand_over(&mut self) -> Option<Waker> {
        let first = self.queue.pop_front();
        self.stage = first.as_ref().map_or(Stage::Vacant, |&(number, _)| Stage::Handed(number));
        first.map(|(_, waker)| waker)
    }

    /// Takes a place in the queue, or keeps it with a new waker. Returns the one that is not needed.
    fn queue_up(&mut self, number: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let place = number.and_then(|own| self.queue.binary_search_by_key(&own, |&(number, _)| number).ok());
        if let Some((_, former)) = place.and_then(|place| self.queue.get_mut(place)) {
            return Some(mem::replace(former, waker));
        }
        self.last += 1;
        *number = Some(self.last);
        self.queue.push_back((self.last, waker));
        None
    }
}

/// Where flights are listed and answers are kept, for one key.
pub(super) trait Home {
    type Value: Clone;

    /// Looks for the answer, then for a flight, and lists a new one where there is neither.
    fn board(&self) -> Step<Self::Value>;

    /// Looks for the answer on behalf of a new leader. If there is one, the flight is listed no longer; if there is
    /// none, and no other flight either, it is listed.
    fn resume(&self, flight: &Arc<Flight<Self::Value>>) -> Option<Self::Value>;

    /// Keeps the answer if the flight is still listed, and lists it no longer.
    fn land(&self, flight: &Arc<Flight<Self::Value>>, value: Self::Value);

    /// Somebody leaves a flight that is not over; the last one takes it from the list.
    fn leave(&self, flight: Arc<Flight<Self::Value>>);
}

/// What a caller finds.
pub(super) enum Step<V> {
    /// The answer.
    Hit(V),
    /// The answer, and that it is up to this caller to renew it.
    Renew(V, Arc<Flight<V>>),
    /// That it is up to this caller.
    Lead(Arc<Flight<V>>),
    /// That somebody else computes.
    Join(Arc<Flight<V>>),
}

/// A caller's part in a flight. Dropped early, it leaves its place to the next one.
struct Seat<'h, H: Home> {
    home: &'h H,
    /// `None` once it has nothing to leave.
    flight: Option<Arc<Flight<H::Value>>>,
    leads: bool,
    number: Option<u64>,
}

impl<'h, H: Home> Seat<'h, H> {
    const fn leading(home: &'h H, flight: Arc<Flight<H::Value>>) -> Self {
        Self { home, flight: Some(flight), leads: true, number: None }
    }

    const fn waiting(home: &'h H, flight: Arc<Flight<H::Value>>) -> Self {
        Self { home, flight: Some(flight), leads: false, number: None }
    }

    /// The answer, or `None` when this one is to lead.
    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<H::Value>> {
        let Some(flight) = &self.flight else { return Poll::Ready(None) };
        match flight.poll(&mut self.number, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Turn::Answer(value)) => {
                self.flight = None;
                Poll::Ready(Some(value))
            }
            Poll::Ready(Turn::Lead) => {
                self.leads = true;
                let found = self.home.resume(flight);
                if let Some(value) = &found {
                    flight.answer(value.clone());
                    self.flight = None;
                }
                Poll::Ready(found)
            }
        }
    }

    fn address(&self) -> usize {
        self.flight.as_ref().map_or(0, address)
    }

    /// Keeps the answer and gives it to all who wait.
    fn end<E>(mut self, result: Result<H::Value, E>, former: Option<H::Value>) -> Result<H::Value, E> {
        let value = match (result, former) {
            (Ok(value), _) => value,
            (Err(_), Some(former)) => return Ok(former),
            (Err(error), None) => return Err(error),
        };
        if let Some(flight) = &self.flight {
            self.home.land(flight, value.clone());
            // Nobody joins any more, so alone is alone.
            if Arc::strong_count(flight) > 1 {
                flight.answer(value.clone());
            }
            self.flight = None;
        }
        Ok(value)
    }
}

impl<H: Home> Drop for Seat<'_, H> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        if self.leads {
            flight.fail();
        } else if let Some(number) = self.number {
            flight.quit(number);
        }
        self.home.leave(flight);
    }
}

fn address<V>(flight: &Arc<Flight<V>>) -> usize {
    let flight: &Flight<V> = flight;
    std::ptr::from_ref(flight).addr()
}

/// Marks that this thread computes for the flight at an address, until it is dropped.
struct Computing;

impl Computing {
    fn mark(address: usize) -> Self {
        // A thread that is about to end has no list any more; then nothing can be told.
        let _ = COMPUTING.try_with(|addresses| addresses.borrow_mut().push(address));
        Self
    }

    /// Whether this thread is inside the computation that it would have to wait for.
    fn is_inside<V>(flight: &Arc<Flight<V>>) -> bool {
        let address = address(flight);
        COMPUTING.try_with(|addresses| addresses.borrow().contains(&address)).unwrap_or(false)
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        let _ = COMPUTING.try_with(|addresses| addresses.borrow_mut().pop());
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Parks the thread until the future is done.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(std::sync::Arc::new(Unpark(current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        park();
    }
}

/// The answer at `home`, or what `compute` makes of it; who asks meanwhile waits.
pub(super) fn run<H: Home, E>(home: &H, compute: impl FnOnce() -> Result<H::Value, E>) -> Result<H::Value, E> {
    let (seat, former) = match home.board() {
        Step::Hit(value) => return Ok(value),
        Step::Renew(value, flight) => (Seat::leading(home, flight), Some(value)),
        Step::Lead(flight) => (Seat::leading(home, flight), None),
        Step::Join(flight) if Computing::is_inside(&flight) => {
            drop(Seat::waiting(home, flight));
            return compute();
        }
        Step::Join(flight) => {
            let mut seat = Seat::waiting(home, flight);
            if let Some(value) = block_on(poll_fn(|context| seat.poll(context))) {
                return Ok(value);
            }
            (seat, None)
        }
    };
    let computing = Computing::mark(seat.address());
    let result = compute();
    drop(computing);
    seat.end(result, former)
}

/// As [`run`], for tasks.
pub(super) async fn run_async<H: Home, E, F>(home: &H, compute: impl FnOnce() -> F) -> Result<H::Value, E>
where
    F: Future<Output = Result<H::Value, E>>,
{
    let (seat, former) = match home.board() {
        Step::Hit(value) => return Ok(value),
        Step::Renew(value, flight) => (Seat::leading(home, flight), Some(value)),
        Step::Lead(flight) => (Seat::leading(home, flight), None),
        Step::Join(flight) if Computing::is_inside(&flight) => {
            drop(Seat::waiting(home, flight));
            return compute().await;
        }
        Step::Join(flight) => {
            let mut seat = Seat::waiting(home, flight);
            if let Some(value) = poll_fn(|context| seat.poll(context)).await {
                return Ok(value);
            }
            (seat, None)
        }
    };
    let address = seat.address();
    let future = {
        let _computing = Computing::mark(address);
        compute()
    };
    let mut future = pin!(future);
    let result = poll_fn(|context| {
        let _computing = Computing::mark(address);
        future.as_mut().poll(context)
    })
    .await;
    seat.end(result, former)
}
