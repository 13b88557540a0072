//! Which of those that may be given work gets it.

use core::cmp::Ordering;

use super::worker::Slot;
use crate::rng::Rng;
use crate::time::Instant;

/// Decides which worker gets the next task.
///
/// Sealed: [`LeastLoaded`], [`RoundRobin`], [`Weighted`], [`PeakEwma`](super::PeakEwma), and
/// [`Any`](super::Any) of them by a config that is read at run time. Whoever wants a say of his own has
/// [`pick_where`](super::Balancer::pick_where) and the weights.
pub trait Policy: sealed::Policy {}

pub(super) mod sealed {
    use super::Slot;
    use crate::performance::balancer::Outcome;
    use crate::time::{Duration, Instant};

    /// What a balancer asks of its policy.
    pub trait Policy {
        /// What it keeps of each worker.
        type Own: Copy + core::fmt::Debug;
        /// Of one that is there from the first and has done nothing yet.
        const FRESH: Self::Own;
        /// Of one that comes now.
        fn fresh(&self, _now: Instant) -> Self::Own {
            Self::FRESH
        }
        /// One of those that are `usable`, as if it were given the task. `few`: it is worth looking at
        /// all of them.
        fn choose(
            &mut self,
            slots: &mut [Slot<Self::Own>],
            few: bool,
            usable: impl FnMut(usize, &Slot<Self::Own>) -> bool,
            now: Instant,
        ) -> Option<usize>;
        /// A task of this length has ended.
        fn report(&self, _own: &mut Self::Own, _outcome: Outcome, _took: Duration, _now: Instant) {}
        /// Counts a worker as one where a task took so long: whether the policy looks at that at all.
        fn penalize(&self, _own: &mut Self::Own, _cost: Duration, _now: Instant) -> bool {
            false
        }
        /// How long a task is expected to take, if the policy has an opinion.
        fn expects(&self, _own: &Self::Own, _now: Instant) -> Option<Duration> {
            None
        }
    }
}

/// As many draws before everybody is looked at: where most are usable, two are found within a few.
const DRAWS: u32 = 12;

/// A cost as a fraction: the numerator, and the denominator, which is not 0. Where denominators differ, the numerator
/// has no more than 48 bits.
pub(super) type Cost = (u64, u16);

fn compare(a: Cost, b: Cost) -> Ordering {
    if a.1 == b.1 {
        // Most often: then there is nothing to multiply.
        return a.0.cmp(&b.0);
    }
    // A load has 33 bits and a weight 16.
    (a.0 * u64::from(b.1)).cmp(&(b.0 * u64::from(a.1)))
}

/// The usable one of the lowest cost; of several the next in turn.
pub(super) fn lowest<X>(
    turn: &mut u16,
    slots: &[Slot<X>],
    mut usable: impl FnMut(usize, &Slot<X>) -> bool,
    cost: impl Fn(&Slot<X>) -> Cost,
) -> Option<usize> {
    let from = usize::from(*turn);
    let mut best: Option<(usize, Cost)> = None;
    for (index, slot) in slots.iter().enumerate() {
        if !usable(index, slot) {
            continue;
        }
        let cost = cost(slot);
        let better = best.is_none_or(|(held, held_cost)| match compare(cost, held_cost) {
            Ordering::Less => true,
            // Those from `turn` on come before those that have had theirs.
            Ordering::Equal => held < from && index >= from,
            Ordering::Greater => false,
        });
        if better {
            best = Some((index, cost));
        }
    }
    let (index, _) = best?;
    *turn = after(index);
    Some(index)
}

/// The cheaper of two that chance draws among the usable ones; the lowest of all if chance finds no two.
pub(super) fn lower_of_two<X>(
    turn: &mut u16,
    rng: &mut Rng,
    slots: &[Slot<X>],
    mut usable: impl FnMut(usize, &Slot<X>) -> bool,
    cost: impl Fn(&Slot<X>) -> Cost,
) -> Option<usize> {
    let last = (slots.len() as u64).saturating_sub(1);
    let mut first: Option<(usize, Cost)> = None;
    for _ in 0..DRAWS {
        let index = usize::try_from(rng.at_most(last)).unwrap_or(0);
        let Some(slot) = slots.get(index) else { continue };
        if first.is_some_and(|(first, _)| first == index) || !usable(index, slot) {
            continue;
        }
        let cost = cost(slot);
        match first {
            None => first = Some((index, cost)),
            Some((_, other)) if compare(cost, other).is_lt() => return Some(index),
            Some((other, _)) => return Some(other),
        }
    }
    lowest(turn, slots, usable, cost)
}

#[expect(clippy::cast_possible_truncation, reason = "a balancer has at most 65,535 places")]
const fn after(index: usize) -> u16 {
    (index as u16).wrapping_add(1)
}

/// Picks the worker with the fewest tasks for its weight; of several the next in turn.
///
/// Among up to 16 workers it compares all of them, among more two that chance draws, which is nearly as
/// even and costs the same however many there are. A worker of weight 2 counts as loaded with 4 tasks as
/// one of weight 1 with 2.
///
/// It takes 18 bytes, and nothing for each worker.
#[derive(Clone, Debug)]
pub struct LeastLoaded {
    rng: Rng,
    turn: u16,
}

impl LeastLoaded {
    /// `seed` decides what chance draws among more than 16 workers: give each client another one, or
    /// they all go to the same workers at the same time.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), turn: 0 }
    }
}

impl Policy for LeastLoaded {}

impl sealed::Policy for LeastLoaded {
    type Own = ();
    const FRESH: () = ();

    fn choose(
        &mut self,
        slots: &mut [Slot<()>],
        few: bool,
        usable: impl FnMut(usize, &Slot<()>) -> bool,
        _now: Instant,
    ) -> Option<usize> {
        self.choose_of(slots, few, usable)
    }
}

impl LeastLoaded {
    pub(super) fn choose_of<X>(
        &mut self,
        slots: &[Slot<X>],
        few: bool,
        usable: impl FnMut(usize, &Slot<X>) -> bool,
    ) -> Option<usize> {
        let cost = |slot: &Slot<X>| (u64::from(slot.load) + 1, slot.weight);
        if few {
            lowest(&mut self.turn, slots, usable, cost)
        } else {
            lower_of_two(&mut self.turn, &mut self.rng, slots, usable, cost)
        }
    }
}

/// Picks one after the other, whatever they are doing. A weight of 0 leaves a worker out; others count alike.
///
/// It takes 2 bytes, and nothing for each worker.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    turn: u16,
}

impl RoundRobin {
    /// Begins with worker 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { turn: 0 }
    }
}

impl Policy for RoundRobin {}

impl sealed::Policy for RoundRobin {
    type Own = ();
    const FRESH: () = ();

    fn choose(
        &mut self,
        slots: &mut [Slot<()>],
        _few: bool,
        usable: impl FnMut(usize, &Slot<()>) -> bool,
        _now: Instant,
    ) -> Option<usize> {
        self.choose_of(slots, usable)
    }
}

impl RoundRobin {
    pub(super) fn choose_of<X>(
        &mut self,
        slots: &[Slot<X>],
        mut usable: impl FnMut(usize, &Slot<X>) -> bool,
    ) -> Option<usize> {
        let turn = usize::from(self.turn);
        let mut places = slots.iter().enumerate();
        let next = places.clone().skip(turn).find(|&(index, slot)| usable(index, slot));
        let (index, _) = next.or_else(|| places.by_ref().take(turn).find(|&(index, slot)| usable(index, slot)))?;
        self.turn = after(index);
        Some(index)
    }
}

/// Picks each worker as often as its weight says, evenly spread, whatever they are doing.
///
/// Of as many picks as the weights add up to, each worker gets exactly its weight, in whatever row these
/// picks stand, as long as the same workers may be given work. With weights 5, 1, 1 the order is a a b a c a a.
///
/// It takes 8 bytes for each worker and looks at all of them.
///
/// # References
/// The smooth weighted round robin of nginx.
#[derive(Clone, Debug, Default)]
pub struct Weighted(());

impl Weighted {
    /// Begins with the heaviest worker.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

/// What is due to a worker: grows by its weight with each pick, and falls by all weights when it is picked.
pub(super) trait Due {
    fn due(&mut self) -> &mut i64;
}

impl Due for i64 {
    fn due(&mut self) -> &mut i64 {
        self
    }
}

impl Policy for Weighted {}

impl sealed::Policy for Weighted {
    type Own = i64;
    const FRESH: i64 = 0;

    fn choose(
        &mut self,
        slots: &mut [Slot<i64>],
        _few: bool,
        usable: impl FnMut(usize, &Slot<i64>) -> bool,
        _now: Instant,
    ) -> Option<usize> {
        Self::choose_of(slots, usable)
    }
}

impl Weighted {
    pub(super) fn choose_of<X: Due>(
        slots: &mut [Slot<X>],
        mut usable: impl FnMut(usize, &Slot<X>) -> bool,
    ) -> Option<usize> {
        let mut all = 0;
        let mut best: Option<(usize, i64)> = None;
        for (index, slot) in slots.iter_mut().enumerate() {
            if !usable(index, slot) {
                continue;
            }
            let weight = i64::from(slot.weight);
            all += weight;
            let due = slot.own.due();
            *due = due.saturating_add(weight);
            if best.is_none_or(|(_, most)| *due > most) {
                best = Some((index, *due));
            }
        }
        let (index, _) = best?;
        if let Some(slot) = slots.get_mut(index) {
            let due = slot.own.due();
            *due = due.saturating_sub(all);
        }
        Some(index)
    }
}
