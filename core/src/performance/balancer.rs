//! Which of several workers gets the next task.

mod any;
mod config;
mod ewma;
mod policy;
mod snapshot;
mod ticket;
mod worker;

pub use any::{Any, PolicyConfig};
pub use config::{Config, ConfigError, Eject};
pub use ewma::{HalfLife, Latency, PeakEwma};
pub use policy::{LeastLoaded, Policy, RoundRobin, Weighted};
pub use snapshot::{Snapshot, State, Worker};
pub use ticket::{Event, NoPlace, Outcome, Refusal, Ticket};

use crate::time::{Duration, Instant};
use worker::{AGES, Slot};

/// Up to so many workers are all compared.
const FEW: u32 = 16;

/// Says which worker gets the next task, counts what each has to do, and leaves out who fails (`LoadBalancer`).
///
/// For several things that can do the same: buses, sensors, worker threads, upstreams. It makes no calls
/// itself: it gives a [`Ticket`] that names a worker, and takes it back with what came of it. For one
/// thing alone that may fail use a [`breaker`](crate::reliability::breaker); each worker may have its own beside this.
///
/// `P` is the policy: [`LeastLoaded`], [`RoundRobin`], [`Weighted`], [`PeakEwma`], so that nobody links those of
/// others; a host that reads it from a file has [`Any`].
///
/// # Rules
/// 1. A worker's load is the tickets of it that are out. Each counts from its pick to its report; one that
///    is not reported for at least `lease`, and never for longer than `lease` and a third.
/// 2. A report counts once. One whose ticket counts no more, since its lease is over or its worker was
///    removed, is counted as late and changes nothing, also if another worker has the place.
/// 3. Whoever is as good is picked in turn.
/// 4. Nobody gets work that is removed, draining, of weight 0, not available, or has `max_load` tickets.
/// 5. `failures` failures in a row eject a worker for `base`, doubled with each ejection in a row up to `max`;
///    a success after it has come back altogether starts that over. Only calls that were picked after its return tell.
/// 6. No more than `max_pct` of the workers are ejected at once; who should be beyond that is spared, and counted.
/// 7. An ejected worker returns exactly at the end of its time, and its share grows from an eighth to the
///    whole within `ramp`: of the picks that fall on it, the others are passed on.
/// 8. While less than `panic_pct` of the workers are not ejected, or none of those can take work, ejected ones
///    count again: too many failures at once tell of something else than workers. With 0 they never do.
/// 9. A clock that steps back ends no lease and no ejection; it lengthens them.
/// 10. The same calls with the same seed give the same workers, on every target.
///
/// # Cost
/// With [`LeastLoaded`] and 4 workers, 408 bytes of RAM and 2,824 of flash on thumbv6m (image `balancer`): 48 for each
/// worker. With [`RoundRobin`], 392 bytes of RAM and 2,676 of flash on thumbv6m (image `balancer_round_robin`); by latency, 520
/// bytes of RAM and 3,620 of flash on thumbv6m (image `balancer_ewma`).
///
/// A pick looks at every worker, and once more for each that is returning and passed over; of more than 16,
/// [`LeastLoaded`] and [`PeakEwma`] look at a few, as long as most places are usable. A report is O(1); what ejects,
/// returns, adds or removes a worker is O(`N`).
///
/// # Errors
/// [`Refusal`] if nobody may be given work, with the moment to come back at.
///
/// # Sharing
/// Put it in a [`Shared`](crate::shared::Shared), and do the task outside of `with`. A task that may be cancelled must then
/// report [`Outcome::Cancelled`]; the guards of `daur-std` do it on drop.
///
/// # Example
/// ```
/// use daur_core::performance::balancer::{Balancer, Config, Eject, Event, LeastLoaded, Outcome};
/// use daur_core::time::{Duration, Instant};
///
/// const CONFIG: Config =
///     Config { eject: Some(Eject { failures: 1, base: Duration::from_secs(30), ..Eject::DEFAULT }), ..Config::DEFAULT };
/// let mut buses: Balancer<3> = Balancer::new(CONFIG, LeastLoaded::new(7));
///
/// let now = Instant::from_secs(1);
/// let (first, second) = (buses.pick(now)?, buses.pick(now)?);
/// assert_eq!((first.worker(), second.worker()), (0, 1));
/// assert_eq!(buses.loads(), [1, 1, 0]);
///
/// assert_eq!(buses.done(first, Outcome::Success, now), None);
/// let until = Instant::from_secs(31);
/// assert_eq!(buses.done(second, Outcome::Failure, now), Some(Event::Ejected { worker: 1, until }));
/// assert_eq!(buses.pick(now)?.worker(), 2);
/// assert_eq!(buses.pick(now)?.worker(), 0); // worker 1 is left out
/// # Ok::<(), daur_core::performance::balancer::Refusal>(())
/// ```
///
/// # References
/// M. Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001; Envoy's outlier detection and
/// panic threshold.
#[doc(alias = "LoadBalancer")]
#[doc(alias = "get_load_balancer")]
#[derive(Clone, Debug)]
pub struct Balancer<const N: usize, P: Policy = LeastLoaded> {
    policy: P,
    slots: [Slot<P::Own>; N],
    eject: Option<Eject>,
    /// A third of the lease, rounded up.
    step: Duration,
    /// A seventh of the ramp.
    ramp_step: Duration,
    /// When the present epoch ends; of no meaning while no ticket is out.
    epoch_end: Instant,
    /// The first moment at which an ejected worker returns, also one that is draining or of weight 0.
    next_return: Instant,
    epoch: u32,
    /// Tickets that are out, by the epoch in which they were picked.
    out: [u32; AGES],
    load: u32,
    max_load: u32,
    /// Workers that may be given work, ejected or not.
    eligible: u32,
    /// Those of them that are ejected.
    ejected: u32,
    /// One above the last place that is taken.
    top: usize,
    panic_pct: u8,
    /// A pick is passing somebody over.
    passing: bool,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Counts {
    picked: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    lost: u64,
    late: u64,
    refused: u64,
    ejections: u64,
    spared: u64,
    panicked: u64,
}

impl Counts {
    const ZERO: Self = Self {
        picked: 0,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        lost: 0,
        late: 0,
        refused: 0,
        ejections: 0,
        spared: 0,
        panicked: 0,
    };
}

impl<const N: usize, P: Policy> Balancer<N, P> {
    const N_FITS: () = assert!(0 < N && N < 65_536, "a balancer has 1 to 65,535 places");

    /// A balancer with the workers that `config` says.
    ///
    /// # Panics
    /// If `config` is invalid: in a `static` or `const`, an error of the compiler. A config that is
    /// read at run time goes to [`Balancer::try_new`].
    #[must_use]
    pub const fn new(config: Config, policy: P) -> Self {
        assert!(config.validate(N).is_ok(), "invalid balancer::Config: see Config::validate");
        Self::of(config, policy)
    }

    /// A balancer with the workers that `config` says, if it is valid.
    ///
    /// # Errors
    /// What [`Config::validate`] says for `N` places.
    pub fn try_new(config: Config, policy: P) -> Result<Self, ConfigError> {
        config.validate(N)?;
        Ok(Self::of(config, policy))
    }

    const fn of(config: Config, policy: P) -> Self {
        const { Self::N_FITS }
        let workers = match config.workers {
            Some(workers) => workers as usize,
            None => N,
        };
        let mut slots = [const { Slot::empty(P::FRESH) }; N];
        let mut rest: &mut [Slot<P::Own>] = &mut slots;
        let mut filled = 0;
        while filled < workers
            && let [first, others @ ..] = rest
        {
            first.present = true;
            first.weight = 1;
            rest = others;
            filled += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "below 65,536")]
        let eligible = workers as u32;
        Self {
            policy,
            slots,
            eject: config.eject,
            step: Duration::from_nanos(config.lease.as_nanos().div_ceil(3)),
            ramp_step: match config.eject {
                Some(eject) => eject.ramp.per(7),
                None => Duration::ZERO,
            },
            epoch_end: Instant::ZERO,
            next_return: Instant::MAX,
            epoch: 0,
            out: [0; AGES],
            load: 0,
            max_load: match config.max_load {
                Some(max_load) => max_load,
                None => u32::MAX,
            },
            eligible,
            ejected: 0,
            top: workers,
            panic_pct: config.panic_pct,
            passing: false,
            counts: Counts::ZERO,
        }
    }

    /// Gives the next task to one of the workers.
    ///
    /// # Errors
    /// [`Refusal::NoneAvailable`] if none may be given work.
    #[doc(alias = "submit_task")]
    #[inline]
    pub fn pick(&mut self, now: Instant) -> Result<Ticket, Refusal> {
        self.pick_where(|_| true, now)
    }

    /// As [`pick`](Self::pick), among those that `usable` says: whose breaker is closed, who has not
    /// been tried yet. It may be asked more than once about a worker.
    ///
    /// # Errors
    /// [`Refusal::NoneAvailable`] if none may be given work.
    pub fn pick_where(&mut self, mut usable: impl FnMut(usize) -> bool, now: Instant) -> Result<Ticket, Refusal> {
        self.poll(now);
        let ticket = self.choose(&mut usable, now).and_then(|worker| self.issue(worker, now));
        self.invariants();
        ticket.ok_or_else(|| {
            self.counts.refused += 1;
            Refusal::NoneAvailable { retry_at: self.first_return(&mut usable) }
        })
    }

    /// Takes a ticket back with what came of its task; tells what this changed.
    #[expect(clippy::needless_pass_by_value, reason = "a report uses its ticket up")]
    pub fn done(&mut self, ticket: Ticket, outcome: Outcome, now: Instant) -> Option<Event> {
        self.poll(now); // its own lease may be over
        let took = ticket.took(now);
        let age = (ticket.epoch as usize) % AGES;
        let counts = self.epoch.wrapping_sub(ticket.epoch) < AGES as u32;
        let slot = self.slots.get_mut(ticket.worker()).filter(|slot| counts && slot.present);
        // A bucket that is empty: the ticket is another balancer's.
        let Some(slot) = slot.filter(|slot| slot.generation == ticket.generation && slot.out[age] > 0) else {
            self.counts.late += 1;
            return None;
        };
        slot.out[age] -= 1;
        slot.load -= 1;
        self.out[age] -= 1;
        self.load -= 1;
        self.policy.report(&mut slot.own, outcome, took, now);
        let tells = !slot.ejected && ticket.picked >= slot.until;
        let mut fails = false;
        match outcome {
            Outcome::Success => {
                self.counts.succeeded += 1;
                if tells {
                    slot.failures = 0;
                    if slot.is_back(self.ramp_step, now) {
                        slot.streak = 0;
                    }
                }
            }
            Outcome::Failure => {
                self.counts.failed += 1;
                if tells {
                    slot.failures = slot.failures.saturating_add(1);
                    fails = true;
                }
            }
            Outcome::Cancelled => self.counts.cancelled += 1,
        }
        let drained = slot.draining && slot.load == 0;
        let ejected = if fails { self.eject_if_due(ticket.worker(), now) } else { None };
        self.invariants();
        if drained { Some(Event::Drained { worker: ticket.worker() }) } else { ejected }
    }

    /// Does what time alone does: ends leases and ejections. Says how many tickets were lost.
    ///
    /// Every verb that is told the time does it too; call it where the change should be seen without one.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> u32 {
        if now < self.next_return && (self.load == 0 || now < self.epoch_end) { 0 } else { self.pass_time(now) }
    }

    /// The moment at which [`Balancer::poll`] has something to do.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        // Whoever may be given no work either way returns unseen.
        let ejected = |slot: &&Slot<P::Own>| slot.ejected && slot.is_eligible();
        let returns = self.slots.iter().filter(ejected).map(|slot| slot.until).min();
        Instant::earliest(returns, self.first_lost(&self.out))
    }

    /// When the oldest of these tickets are lost: as their epoch falls out at the far end.
    fn first_lost(&self, out: &[u32; AGES]) -> Option<Instant> {
        let oldest = (0..AGES as u32).rev().find(|&age| out[self.epoch.wrapping_sub(age) as usize % AGES] > 0);
        oldest.map(|age| self.epoch_end.after(self.step.times(u64::from(AGES as u32 - 1 - age))))
    }

    /// Each worker's tickets that are out; 0 where there is no worker.
    #[doc(alias = "get_loads")]
    #[must_use]
    pub fn loads(&self) -> [u32; N] {
        let mut loads = [0; N];
        for (load, slot) in loads.iter_mut().zip(&self.slots) {
            *load = slot.load;
        }
        loads
    }

    /// The tickets of one worker that are out; 0 if there is none.
    #[must_use]
    pub fn load(&self, worker: usize) -> u32 {
        self.slots.get(worker).map_or(0, |slot| slot.load)
    }

    /// Takes in a worker, and gives its number. Of weight 0 it gets no work until [`set_weight`](Self::set_weight).
    ///
    /// # Errors
    /// [`NoPlace`] if there are `N` already.
    pub fn add(&mut self, weight: u16, now: Instant) -> Result<usize, NoPlace> {
        let (worker, slot) = self.slots.iter_mut().enumerate().find(|(_, slot)| !slot.present).ok_or(NoPlace)?;
        slot.fill(weight, self.policy.fresh(now));
        self.recount();
        Ok(worker)
    }

    /// Lets a worker go at once, and says how many of its tickets are thereby lost; `None` if there is none.
    pub fn remove(&mut self, worker: usize, now: Instant) -> Option<u32> {
        self.poll(now);
        let slot = self.slots.get_mut(worker).filter(|slot| slot.present)?;
        let lost = slot.load;
        for (all, own) in self.out.iter_mut().zip(slot.out) {
            *all -= own;
        }
        self.load -= lost;
        self.counts.lost += u64::from(lost);
        slot.vacate(P::FRESH);
        self.recount();
        Some(lost)
    }

    /// Gives a worker no more work; [`Event::Drained`] now, or with the report of its last ticket, says that
    /// it may be removed without loss. If that one is lost, nobody tells: its [`load`](Self::load) is 0 then.
    pub fn drain(&mut self, worker: usize, now: Instant) -> Option<Event> {
        self.poll(now);
        let slot = self.slots.get_mut(worker).filter(|slot| slot.present)?;
        slot.draining = true;
        let drained = slot.load == 0;
        self.recount();
        drained.then_some(Event::Drained { worker })
    }

    /// Changes a worker's weight; 0 for no work.
    pub fn set_weight(&mut self, worker: usize, weight: u16) {
        if let Some(slot) = self.slots.get_mut(worker).filter(|slot| slot.present) {
            slot.weight = weight;
            self.recount();
        }
    }

    /// Says whether a worker may be given work: that its breaker has opened, or closed.
    pub fn set_available(&mut self, worker: usize, available: bool) {
        if let Some(slot) = self.slots.get_mut(worker) {
            slot.available = available;
        }
    }

    /// Ends a worker's ejection now, and forgets its failures: somebody has mended it.
    pub fn restore(&mut self, worker: usize, now: Instant) {
        self.poll(now);
        if let Some(slot) = self.slots.get_mut(worker) {
            slot.restore();
            self.recount();
        }
    }

    /// Counts a worker as one where a task took so long: it has asked for a pause, or is known to be cold.
    ///
    /// It fades as what was measured does. Says whether the policy looks at latency at all: [`PeakEwma`] does.
    #[doc(alias = "set_penalty")]
    pub fn penalize(&mut self, worker: usize, cost: Duration, now: Instant) -> bool {
        let slot = self.slots.get_mut(worker).filter(|slot| slot.present);
        slot.is_some_and(|slot| self.policy.penalize(&mut slot.own, cost, now))
    }

    /// What is worth showing of one worker; `None` if there is none.
    #[must_use]
    pub fn worker(&self, worker: usize, now: Instant) -> Option<Worker> {
        let slot = self.slots.get(worker).filter(|slot| slot.present)?;
        Some(Worker {
            state: if slot.draining {
                State::Draining
            } else if !slot.available || slot.weight == 0 {
                State::Off
            } else if slot.ejected && now < slot.until {
                State::Ejected { until: slot.until }
            } else {
                match slot.eighths(self.ramp_step, now) {
                    8.. => State::Up,
                    eighths => State::Returning { eighths },
                }
            },
            load: slot.load,
            weight: slot.weight,
            failures: slot.failures,
            ejections: slot.streak,
            expected: self.policy.expects(&slot.own, now),
        })
    }

    /// Copies out what is worth showing, as of the last call.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut workers = 0;
        for slot in &self.slots {
            workers += u32::from(slot.present);
        }
        Snapshot {
            workers,
            ejected: self.ejected,
            load: self.load,
            picked: self.counts.picked,
            succeeded: self.counts.succeeded,
            failed: self.counts.failed,
            cancelled: self.counts.cancelled,
            lost: self.counts.lost,
            late: self.counts.late,
            refused: self.counts.refused,
            ejections: self.counts.ejections,
            spared: self.counts.spared,
            panicked: self.counts.panicked,
        }
    }

    fn choose(&mut self, usable: &mut impl FnMut(usize) -> bool, now: Instant) -> Option<usize> {
        if !self.panics() {
            let chosen = self.choose_among(false, usable, now);
            if chosen.is_some() || self.panic_pct == 0 || self.ejected == 0 {
                return chosen;
            }
        }
        let worker = self.choose_among(true, usable, now)?;
        self.counts.panicked += u64::from(self.slots.get(worker).is_some_and(|slot| slot.ejected));
        Some(worker)
    }

    /// Among those that are not ejected; of them a returning one only within its share, or if there is no other. Or
    /// among all.
    #[inline(never)] // It is most of the balancer's flash, and has two callers.
    fn choose_among(&mut self, all: bool, usable: &mut impl FnMut(usize) -> bool, now: Instant) -> Option<usize> {
        let Self { policy, slots, max_load, ramp_step, passing, .. } = self;
        let slots = slots.get_mut(..self.top)?;
        if *passing {
            // `usable` panicked on a host: what that pick had passed over counts again.
            slots.iter_mut().for_each(|slot| slot.passed = false);
        }
        let few = N <= FEW as usize || self.eligible - if all { 0 } else { self.ejected } <= FEW;
        let mut passed = None;
        let chosen = loop {
            let usable = |index, slot: &Slot<P::Own>| {
                (all || !slot.ejected) && !slot.passed && slot.has_room(*max_load) && usable(index)
            };
            let Some(worker) = policy.choose(slots, few, usable, now) else { break passed };
            let Some(slot) = slots.get_mut(worker) else { break None };
            if all || slot.admits(*ramp_step, now) {
                break Some(worker);
            }
            (slot.passed, *passing) = (true, true);
            passed = passed.or(Some(worker));
        };
        if passed.is_some() {
            slots.iter_mut().for_each(|slot| slot.passed = false);
        }
        *passing = false;
        chosen
    }

    /// Whether so many are ejected that this tells nothing any more.
    const fn panics(&self) -> bool {
        let healthy = (self.eligible - self.ejected) as u64;
        healthy * 100 < self.eligible as u64 * self.panic_pct as u64
    }

    fn issue(&mut self, worker: usize, now: Instant) -> Option<Ticket> {
        if self.load == 0 {
            // Nothing is out that an epoch could end: it begins with this ticket.
            self.epoch_end = now.after(self.step);
        }
        let slot = self.slots.get_mut(worker)?;
        let age = self.epoch as usize % AGES;
        slot.load += 1;
        slot.out[age] += 1;
        self.load += 1;
        self.out[age] += 1;
        self.counts.picked += 1;
        #[expect(clippy::cast_possible_truncation, reason = "N is below 65,536")]
        let worker = worker as u16;
        Some(Ticket { picked: now, generation: slot.generation, epoch: self.epoch, worker })
    }

    fn eject_if_due(&mut self, worker: usize, now: Instant) -> Option<Event> {
        let eject = self.eject?;
        let slot = self.slots.get_mut(worker)?;
        if slot.failures < eject.failures || !slot.is_eligible() {
            return None;
        }
        let more = u64::from(self.ejected) + 1;
        let one_of_several = self.ejected == 0 && self.eligible > 1;
        if !one_of_several && more * 100 > u64::from(self.eligible) * u64::from(eject.max_pct) {
            self.counts.spared += 1;
            return None;
        }
        slot.eject(&eject, now);
        let until = slot.until;
        self.ejected += 1;
        self.next_return = self.next_return.min(until);
        self.counts.ejections += 1;
        Some(Event::Ejected { worker, until })
    }

    #[cold]
    fn pass_time(&mut self, now: Instant) -> u32 {
        let mut lost = 0;
        while self.load > 0 && now >= self.epoch_end {
            self.epoch = self.epoch.wrapping_add(1);
            self.epoch_end = self.epoch_end.after(self.step);
            let age = self.epoch as usize % AGES;
            if self.out[age] > 0 {
                lost += self.out[age];
                self.load -= self.out[age];
                self.out[age] = 0;
                for slot in &mut self.slots {
                    slot.load -= slot.out[age];
                    slot.out[age] = 0;
                }
            }
        }
        self.counts.lost += u64::from(lost);
        if now >= self.next_return {
            for slot in &mut self.slots {
                slot.ejected &= now < slot.until;
            }
            self.recount();
        }
        self.invariants();
        lost
    }

    /// Counts anew who may be given work, after somebody has come, gone, returned or changed.
    fn recount(&mut self) {
        (self.eligible, self.ejected, self.top, self.next_return) = (0, 0, 0, Instant::MAX);
        for (place, slot) in (1..).zip(&self.slots) {
            if slot.present {
                self.top = place;
            }
            if slot.ejected {
                self.next_return = self.next_return.min(slot.until);
            }
            if slot.is_eligible() {
                self.eligible += 1;
                self.ejected += u32::from(slot.ejected);
            }
        }
    }

    /// When the first one can take work again: that returns, or loses a ticket that was one too many.
    #[cold]
    fn first_return(&self, usable: &mut impl FnMut(usize) -> bool) -> Instant {
        let mut first = Instant::MAX;
        for (index, slot) in self.slots.iter().enumerate() {
            if !slot.has_room(u32::MAX) || !usable(index) {
                continue;
            }
            let lost = if slot.load < self.max_load { None } else { self.first_lost(&slot.out) };
            // Where ejected ones count in need, this one lacks room only.
            let returns = (slot.ejected && self.panic_pct == 0).then_some(slot.until);
            if let Some(at) = lost.max(returns) {
                first = first.min(at);
            }
        }
        first
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let mut out = [0; AGES];
            for slot in &self.slots {
                debug_assert_eq!(slot.load, slot.out.iter().sum::<u32>(), "a load is its tickets");
                debug_assert!(slot.present || slot.load == 0, "no load without a worker");
                out.iter_mut().zip(slot.out).for_each(|(all, own)| *all += own);
            }
            debug_assert_eq!(self.out, out);
            debug_assert_eq!(self.load, out.iter().sum::<u32>());
            debug_assert!(self.ejected <= self.eligible);
        }
    }
}
