//! What is noted beside each entry: when it is over, and what it weighs. All in forms whose "nothing" is zero.

use core::marker::PhantomData;

use crate::time::{Duration, Instant};

/// Says what a cache notes beside each entry, and with it what an entry takes.
///
/// Sealed: [`Exact`], [`Coarse`], and [`Idle`] and [`Weighted`] around them are all there are.
pub trait Note: sealed::Note {}

/// Notes when an entry expires, to the nanosecond: 8 bytes. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact;

/// Notes when an entry expires in ticks of 2^`SHIFT` ns: 4 bytes.
///
/// An entry is never over before its time, and less than one tick after it. The default is 1.05 ms, with
/// which a ttl is 26 days (2^31 ticks) at most; `Coarse<30>` counts by 1.07 s, up to 73 years. A longer ttl is no
/// valid [`Config`](super::Config), and in [`insert_with_ttl`](super::Cache::insert_with_ttl) it is cut;
/// but [`Duration::MAX`](crate::time::Duration::MAX) is for ever.
///
/// The ticks are counted from an origin that all entries share, so nothing wraps and what is over stays over,
/// however long nobody looks. The origin has to move on once in 2^31 ticks at most, and back with a clock that steps
/// back behind it: the insertion that needs it walks over all entries once. [`poll`](super::Cache::poll) does
/// it ahead of the need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coarse<const SHIFT: u32 = 20>;

/// Notes also when an entry will have been idle for too long: as many bytes more as `T` takes.
///
/// For [`Config::idle`](super::Config::idle), which it makes valid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle<T = Exact>(PhantomData<T>);

/// Notes also what an entry weighs: 4 bytes more.
///
/// For [`insert_weighted`](super::Cache::insert_weighted) and a limit of the weight of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weighted<T = Exact>(PhantomData<T>);

impl Note for Exact {}
impl<const SHIFT: u32> Note for Coarse<SHIFT> {}
impl<T: sealed::Scale> Note for Idle<T> {}
impl<T: Note> Note for Weighted<T> {}

/// A moment that never comes, in nanoseconds.
pub(super) const NEVER: u64 = u64::MAX;

/// A length of time in nanoseconds, kept inverted, so that "for ever" is zero.
#[derive(Clone, Copy)]
pub(super) struct Span(u64);

impl Span {
    pub(super) const FOREVER: Self = Self(0);

    /// For ever if there is none; at least one nanosecond.
    pub(super) const fn of(time: Option<Duration>) -> Self {
        match time {
            None => Self::FOREVER,
            Some(time) if time.is_zero() => Self(!1),
            Some(time) => Self(!time.as_nanos()),
        }
    }

    pub(super) const fn or_sooner(self, other: Self) -> Self {
        if self.0 > other.0 { self } else { other }
    }

    #[inline]
    pub(super) const fn is_forever(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn is_longer(self, nanos: u64) -> bool {
        self.0 != 0 && !self.0 > nanos
    }

    #[inline]
    pub(super) const fn nanos(self) -> u64 {
        !self.0
    }
}

pub(super) mod sealed {
    use core::fmt::Debug;
    use core::num::{NonZeroU32, NonZeroU64};

    use super::{Coarse, Exact, Idle, NEVER, Weighted};

    /// How a moment is written down. All moments are nanoseconds.
    pub trait Scale {
        /// Not zero, so that an empty place needs no byte of its own to be told from an entry.
        type Stamp: Copy + Ord + Debug + 'static;
        /// What all stamps of a cache are counted from.
        type Origin: Copy + Debug + 'static;
        const ORIGIN: Self::Origin;
        /// The longest time ahead that can be written down, but for [`NEVER`].
        const LONGEST: u64;

        fn stamp(moment: u64, origin: Self::Origin, now: u64) -> Self::Stamp;
        fn is_over(stamp: Self::Stamp, origin: Self::Origin, now: u64) -> bool;
        fn moment(stamp: Self::Stamp, origin: Self::Origin) -> u64;
        /// The same for one that has just been written down.
        #[inline]
        fn moment_of(_moment: u64, stamp: Self::Stamp, origin: Self::Origin) -> u64 {
            Self::moment(stamp, origin)
        }
        /// The origin that `moment` can be counted from, if it is another.
        fn better_origin(moment: u64, origin: Self::Origin, now: u64) -> Option<Self::Origin>;
        /// Another origin, if it will soon be needed.
        fn origin_ahead(origin: Self::Origin, now: u64) -> Option<Self::Origin>;
        fn recount(stamp: Self::Stamp, from: Self::Origin, to: Self::Origin) -> Self::Stamp;
    }

    impl Scale for Exact {
        /// The moment plus one; the maximum is never.
        type Stamp = NonZeroU64;
        type Origin = ();
        const ORIGIN: () = ();
        const LONGEST: u64 = NEVER;

        #[inline]
        fn stamp(moment: u64, (): (), _: u64) -> NonZeroU64 {
            NonZeroU64::MIN.saturating_add(moment)
        }

        #[inline]
        fn is_over(stamp: NonZeroU64, (): (), now: u64) -> bool {
            // The maximum is never: not over even at the last moment there is.
            stamp.get() <= now.min(NEVER - 2) + 1
        }

        #[inline]
        fn moment(stamp: NonZeroU64, (): ()) -> u64 {
            if stamp == NonZeroU64::MAX { NEVER } else { stamp.get() - 1 }
        }

        #[inline]
        fn moment_of(moment: u64, _: NonZeroU64, (): ()) -> u64 {
            moment
        }

        #[inline]
        fn better_origin(_: u64, (): (), _: u64) -> Option<()> {
            None
        }

        #[inline]
        fn origin_ahead((): (), _: u64) -> Option<()> {
            None
        }

        #[inline]
        fn recount(stamp: NonZeroU64, (): (), (): ()) -> NonZeroU64 {
            stamp
        }
    }

    impl<const SHIFT: u32> Coarse<SHIFT> {
        const SHIFT_FITS: () = assert!(1 <= SHIFT && SHIFT <= 32, "a tick of Coarse is 2 ns to 2^32 ns");
        /// The most ticks after the origin; two numbers are left, for the moment plus one and for never.
        const LAST: u32 = u32::MAX - 2;

        #[inline]
        fn ticks(moment: u64) -> u64 {
            const { Self::SHIFT_FITS }
            moment >> SHIFT
        }

        /// The first tick that is not before `moment`.
        #[cfg_attr(target_pointer_width = "64", inline)]
        fn ticks_up(moment: u64) -> u64 {
            Self::ticks(moment) + u64::from(moment & ((1 << SHIFT) - 1) != 0)
        }

        #[cfg_attr(target_pointer_width = "64", inline)]
        #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
        #[expect(clippy::cast_possible_truncation, reason = "LAST at most")]
        fn since(origin: u64, ticks: u64) -> u32 {
            ticks.saturating_sub(origin).min(u64::from(Self::LAST)) as u32
        }

        /// `moment`, no later than the longest time ahead.
        #[inline]
        fn cut(moment: u64, now: u64) -> u64 {
            moment.min(now.saturating_add(<Self as Scale>::LONGEST))
        }
    }

    impl<const SHIFT: u32> Scale for Coarse<SHIFT> {
        /// The ticks after the origin plus one; the maximum is never.
        type Stamp = NonZeroU32;
        type Origin = u64;
        const ORIGIN: u64 = 0;
        const LONGEST: u64 = (1 << 31) << SHIFT;

        #[inline]
        fn stamp(moment: u64, origin: u64, now: u64) -> NonZeroU32 {
            if moment == NEVER {
                return NonZeroU32::MAX;
            }
            NonZeroU32::MIN.saturating_add(Self::since(origin, Self::ticks_up(Self::cut(moment, now))))
        }

        #[inline]
        fn is_over(stamp: NonZeroU32, origin: u64, now: u64) -> bool {
            stamp.get() - 1 <= Self::since(origin, Self::ticks(now))
        }

        #[inline]
        fn moment(stamp: NonZeroU32, origin: u64) -> u64 {
            if stamp == NonZeroU32::MAX {
                return NEVER;
            }
            let ticks = origin + u64::from(stamp.get() - 1);
            if ticks > NEVER >> SHIFT { NEVER } else { ticks << SHIFT }
        }

        #[cfg_attr(target_pointer_width = "64", inline)]
        fn better_origin(moment: u64, origin: u64, now: u64) -> Option<u64> {
            let ticks = Self::ticks(now);
            let ahead = Self::ticks_up(Self::cut(moment, now)).saturating_sub(origin);
            let fits = moment == NEVER || (origin <= ticks && ahead <= u64::from(Self::LAST));
            (!fits).then_some(ticks)
        }

        #[inline]
        fn origin_ahead(origin: u64, now: u64) -> Option<u64> {
            (Self::since(origin, Self::ticks(now)) >= 1 << 30).then(|| Self::ticks(now))
        }

        /// What is over at the new origin stays so, whichever way the clock goes.
        fn recount(stamp: NonZeroU32, from: u64, to: u64) -> NonZeroU32 {
            if stamp == NonZeroU32::MIN || stamp == NonZeroU32::MAX {
                return stamp;
            }
            NonZeroU32::MIN.saturating_add(Self::since(to, from + u64::from(stamp.get() - 1)))
        }
    }

    /// What the cache knows of time when it writes a note: nanoseconds, `idle` for how long.
    #[derive(Clone, Copy)]
    pub struct Times {
        pub end: u64,
        pub idle: u64,
        pub now: u64,
    }

    impl Times {
        /// When the entry is over if nobody uses it again.
        #[inline]
        pub fn due(self) -> u64 {
            self.end.min(self.now.saturating_add(self.idle))
        }
    }

    pub trait Note {
        type Scale: Scale;
        type Stamp: Copy + Debug + 'static;
        /// What all entries weigh together, and may.
        type Load: Load;
        const KEEPS_IDLE: bool;

        fn note(times: Times, origin: Origin<Self>) -> Self::Stamp;
        fn due(stamp: Self::Stamp) -> Due<Self>;
        /// The entry has been used, and is over later.
        fn renew(stamp: &mut Self::Stamp, origin: Origin<Self>, idle: u64, now: u64);
        fn recount(stamp: &mut Self::Stamp, from: Origin<Self>, to: Origin<Self>);
        #[inline]
        fn weight(_: Self::Stamp) -> u32 {
            1
        }
    }

    pub(in super::super) type Origin<T> = <<T as Note>::Scale as Scale>::Origin;
    type Due<T> = <<T as Note>::Scale as Scale>::Stamp;

    impl<T: Scale> Note for T {
        type Scale = T;
        type Stamp = T::Stamp;
        type Load = ();
        const KEEPS_IDLE: bool = false;

        #[inline]
        fn note(times: Times, origin: T::Origin) -> T::Stamp {
            T::stamp(times.end, origin, times.now)
        }

        #[inline]
        fn due(stamp: T::Stamp) -> T::Stamp {
            stamp
        }

        #[inline]
        fn renew(_: &mut T::Stamp, _: T::Origin, _: u64, _: u64) {}

        fn recount(stamp: &mut T::Stamp, from: T::Origin, to: T::Origin) {
            *stamp = T::recount(*stamp, from, to);
        }
    }

    /// `due` is the sooner of `end` and the end of the idle time.
    #[derive(Clone, Copy, Debug)]
    pub struct Both<S> {
        due: S,
        end: S,
    }

    impl<T: Scale> Note for Idle<T> {
        type Scale = T;
        type Stamp = Both<T::Stamp>;
        type Load = ();
        const KEEPS_IDLE: bool = true;

        #[inline]
        fn note(times: Times, origin: T::Origin) -> Both<T::Stamp> {
            Both { due: T::stamp(times.due(), origin, times.now), end: T::stamp(times.end, origin, times.now) }
        }

        #[inline]
        fn due(stamp: Both<T::Stamp>) -> T::Stamp {
            stamp.due
        }

        /// Never to a sooner moment: the clock may have stepped back.
        #[inline]
        fn renew(stamp: &mut Both<T::Stamp>, origin: T::Origin, idle: u64, now: u64) {
            stamp.due = T::stamp(now.saturating_add(idle), origin, now).min(stamp.end).max(stamp.due);
        }

        fn recount(stamp: &mut Both<T::Stamp>, from: T::Origin, to: T::Origin) {
            *stamp = Both { due: T::recount(stamp.due, from, to), end: T::recount(stamp.end, from, to) };
        }
    }

    impl<T: Note> Note for Weighted<T> {
        type Scale = T::Scale;
        type Stamp = (T::Stamp, u32);
        type Load = Total;
        const KEEPS_IDLE: bool = T::KEEPS_IDLE;

        #[inline]
        fn note(times: Times, origin: Origin<T>) -> Self::Stamp {
            (T::note(times, origin), 1)
        }

        #[inline]
        fn due(stamp: Self::Stamp) -> Due<T> {
            T::due(stamp.0)
        }

        #[inline]
        fn renew(stamp: &mut Self::Stamp, origin: Origin<T>, idle: u64, now: u64) {
            T::renew(&mut stamp.0, origin, idle, now);
        }

        fn recount(stamp: &mut Self::Stamp, from: Origin<T>, to: Origin<T>) {
            T::recount(&mut stamp.0, from, to);
        }

        #[inline]
        fn weight(stamp: Self::Stamp) -> u32 {
            stamp.1
        }
    }

    pub trait Load: Copy + Debug + 'static {
        const NONE: Self;
        /// Whether so much more fits in once `less` has left.
        fn fits(self, more: u32, less: u32) -> bool;
        fn change(&mut self, more: u32, less: u32);
        /// The total and the limit, where there are weights.
        fn told(self) -> Option<(u64, u64)>;
    }

    impl Load for () {
        const NONE: Self = ();

        #[inline]
        fn fits(self, _: u32, _: u32) -> bool {
            true
        }

        #[inline]
        fn change(&mut self, _: u32, _: u32) {}

        #[inline]
        fn told(self) -> Option<(u64, u64)> {
            None
        }
    }

    #[derive(Clone, Copy, Debug)]
    pub struct Total {
        weight: u64,
        /// The limit, inverted, so that none is zero.
        withheld: u64,
    }

    impl Total {
        pub const fn limit(self) -> u64 {
            !self.withheld
        }

        pub const fn set_limit(&mut self, limit: u64) {
            self.withheld = !limit;
        }

        pub const fn weight(self) -> u64 {
            self.weight
        }
    }

    impl Load for Total {
        const NONE: Self = Self { weight: 0, withheld: 0 };

        #[inline]
        fn fits(self, more: u32, less: u32) -> bool {
            self.weight.saturating_sub(u64::from(less)).saturating_add(u64::from(more)) <= self.limit()
        }

        #[inline]
        fn change(&mut self, more: u32, less: u32) {
            self.weight = self.weight.saturating_sub(u64::from(less)).saturating_add(u64::from(more));
        }

        #[inline]
        fn told(self) -> Option<(u64, u64)> {
            Some((self.weight, self.limit()))
        }
    }
}

/// The least moment, kept inverted, so that "never" is zero.
#[derive(Clone, Copy)]
pub(super) struct Soonest(u64);

impl Soonest {
    pub(super) const NEVER: Self = Self(0);

    /// Takes `moment` into account, and says whether it is the soonest so far.
    #[inline]
    pub(super) fn lower(&mut self, moment: u64) -> bool {
        let inverted = !moment;
        let sooner = inverted > self.0;
        if sooner {
            self.0 = inverted;
        }
        sooner
    }

    pub(super) const fn moment(self) -> Option<Instant> {
        match self.0 {
            0 => None,
            inverted => Some(Instant::from_nanos(!inverted)),
        }
    }
}
