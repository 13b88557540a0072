//! What goes when room is short.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Says how full a store may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Room {
    /// The most bytes that the store may take; not zero.
    pub cap: u64,
    /// Of the cap, in thousandths: what is above it makes results go. Between `low_permille` and 1,000.
    pub high_permille: u16,
    /// So far down they go then, so that not every result that comes in pays for one that goes. Not zero.
    pub low_permille: u16,
    /// So many bytes below what comes in they go at most at once, so that nobody waits long for it.
    pub step: u64,
    /// Results asked for since the hand last passed that one pass spares; then they go like all others.
    pub spare: u32,
}

impl Room {
    /// 64 MiB, high water at 875 and low water at 844 thousandths; 2 MiB at once, and 256 results spared.
    pub const DEFAULT: Self = Self { cap: 64 << 20, high_permille: 875, low_permille: 844, step: 2 << 20, spare: 256 };

    /// Checks the fields, also against each other.
    ///
    /// # Errors
    /// [`RoomError`] says which is out of range.
    pub const fn validate(&self) -> Result<(), RoomError> {
        if self.cap == 0 {
            return Err(RoomError::Cap);
        }
        if self.high_permille > 1_000 || self.high_permille < self.low_permille {
            return Err(RoomError::High);
        }
        if self.low_permille == 0 { Err(RoomError::Low) } else { Ok(()) }
    }

    /// What is above this makes results go.
    #[must_use]
    pub const fn high(&self) -> u64 {
        part(self.cap, self.high_permille)
    }

    /// So far down they go.
    #[must_use]
    pub const fn low(&self) -> u64 {
        part(self.cap, self.low_permille)
    }

    /// How many bytes have to be freed before `incoming` ones come to `used` ones: none up to the high water, then all above the
    /// low one, but no more than `incoming` and a step.
    #[must_use]
    pub const fn to_free(&self, used: u64, incoming: u64) -> u64 {
        let after = used.saturating_add(incoming);
        if after <= self.high() {
            return 0;
        }
        let most = incoming.saturating_add(self.step);
        let above = after.saturating_sub(self.low());
        let above = if above < most { above } else { most };
        // What is not there cannot be freed.
        if above < used { above } else { used }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// So many thousandths of `whole`, rounded down. In 64 bits: with 128, it would be most of what the policy takes on a Cortex-M0.
pub(super) const fn part(whole: u64, permille: u16) -> u64 {
    let permille = permille as u64;
    (whole / 1_000).saturating_mul(permille).saturating_add(whole % 1_000 * permille / 1_000)
}

/// Says what is wrong with a [`Room`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RoomError {
    /// `cap` is zero.
    Cap,
    /// `high_permille` is above 1,000 or below `low_permille`.
    High,
    /// `low_permille` is zero.
    Low,
}

impl RoomError {
    /// The field's name.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Cap => "cap",
            Self::High => "high_permille",
            Self::Low => "low_permille",
        }
    }

    /// What is allowed.
    #[must_use]
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Cap | Self::Low => "at least 1",
            Self::High => "from low_permille to 1000",
        }
    }
}

impl fmt::Display for RoomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is out of range; allowed is {}", self.field(), self.allowed())
    }
}

impl core::error::Error for RoomError {}

/// Remembers which results have been asked for, without a lock: a store of a byte.
///
/// Results have numbers that only go up, as rows have; two that are a multiple of `N` apart share a mark.
///
/// # Sharing
/// `&self` everywhere. Who reads at the same time as another clears may lose a mark or leave one, which costs a look-up and no
/// wrong answer.
#[derive(Debug)]
pub struct Marks<const N: usize>([AtomicU8; N]);

impl<const N: usize> Marks<N> {
    /// No result has been asked for.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU8::new(0) }; N])
    }

    /// The result of this number has been asked for.
    pub fn touch(&self, number: u64) {
        if let Some(mark) = self.of(number) {
            mark.store(1, Relaxed);
        }
    }

    /// A result comes in under this number.
    pub fn reset(&self, number: u64) {
        if let Some(mark) = self.of(number) {
            mark.store(0, Relaxed);
        }
    }

    /// Whether it has been asked for since this was last asked.
    pub fn take(&self, number: u64) -> bool {
        self.of(number).is_some_and(|mark| {
            let touched = mark.load(Relaxed) != 0;
            mark.store(0, Relaxed);
            touched
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than N")]
    fn of(&self, number: u64) -> Option<&AtomicU8> {
        self.0.get(number.checked_rem(N as u64)? as usize)
    }
}

impl<const N: usize> Default for Marks<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Says what becomes of a result under the hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// It goes.
    Evict,
    /// It stays for this turn.
    Spare,
}

/// Goes over the results from the oldest to the newest, and chooses who goes: the size policy of the seed's `ResultCache`.
///
/// For stores whose reads should write nothing: an order of use would have to be written with each look-up. Whoever keeps the results asks for those
/// [`after`](Self::after) the hand in the order of their numbers, and for each of them for the [`Verdict`].
///
/// # Rules
/// 1. A result that nobody has asked for since the hand last passed it goes; one that was asked for is spared, once.
/// 2. Where nobody asks, the oldest go first.
/// 3. A pass ends: after [`Room::spare`] results were spared in it, all go.
/// 4. The hand goes on where it stood, and at the end begins with the oldest again.
/// 5. Nothing goes up to the high water; above it as much as comes in goes, and on the way to the low water a
///    step more ([`Room::to_free`]).
///
/// # Cost
/// A mark is a byte. With 64 of them and [`Room`],
/// 104 bytes of RAM and 2,116 of flash on thumbv6m (image `result_room`). O(1) for each result that the hand passes.
///
/// # Sharing
/// One hand, of who writes; [`Marks`] are shared with all who read.
///
/// # Example
/// ```
/// use daur_core::services::result_cache::{Hand, Marks, Verdict};
///
/// let (mut hand, marks) = (Hand::new(), Marks::<16>::new());
/// marks.touch(1);
/// let mut pass = hand.pass(256);
/// assert_eq!(pass.judge(1, &marks), Verdict::Spare);
/// assert_eq!(pass.judge(2, &marks), Verdict::Evict);
/// assert_eq!(hand.after(), Some(2));
/// ```
///
/// # References
/// Zhang et al., "SIEVE is Simpler than LRU" (NSDI 2024).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Hand {
    /// The last number that it has passed; none at the beginning of a turn.
    at: Option<u64>,
}

impl Hand {
    /// Stands before the oldest.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: None }
    }

    /// The next result is the first after this number; `None`: the first of all.
    #[must_use]
    pub const fn after(&self) -> Option<u64> {
        self.at
    }

    /// Begins to free room, and spares up to `spare` results meanwhile.
    pub const fn pass(&mut self, spare: u32) -> Pass<'_> {
        Pass { hand: self, spare }
    }
}

/// The hand while it frees room.
#[derive(Debug)]
pub struct Pass<'h> {
    hand: &'h mut Hand,
    spare: u32,
}

impl Pass<'_> {
    /// The next result is the first after this number; `None`: the first of all.
    #[must_use]
    pub const fn after(&self) -> Option<u64> {
        self.hand.at
    }

    /// Whether the result of this number goes.
    pub fn judge<const N: usize>(&mut self, number: u64, marks: &Marks<N>) -> Verdict {
        self.hand.at = Some(number);
        if marks.take(number) && self.spare > 0 {
            self.spare = self.spare.saturating_sub(1);
            return Verdict::Spare;
        }
        Verdict::Evict
    }

    /// There is no result after the hand: it begins with the oldest. False if it stood there already, so there is none at all.
    pub const fn turn(&mut self) -> bool {
        self.hand.at.take().is_some()
    }
}
