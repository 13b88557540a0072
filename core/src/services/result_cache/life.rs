//! How long a result is good.

use core::fmt;

use super::room::part;
use crate::time::{Duration, UnixTime};

/// Says for how long results may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ttl {
    /// The longest, whatever is asked for.
    pub longest: Duration,
    /// By up to so many thousandths a time is cut, each key's by its own share: so that what came in together does not
    /// go together, and is not all computed anew in one moment. 0 to 500.
    pub spread_permille: u16,
}

impl Ttl {
    /// As long as is asked for.
    pub const DEFAULT: Self = Self { longest: Duration::MAX, spread_permille: 0 };

    /// Checks the fields.
    ///
    /// # Errors
    /// [`TtlError`] says which is out of range.
    pub const fn validate(&self) -> Result<(), TtlError> {
        if self.longest.as_millis() == 0 {
            return Err(TtlError::Longest);
        }
        if self.spread_permille > 500 { Err(TtlError::Spread) } else { Ok(()) }
    }

    /// The life of a result that comes in `now` and is asked to be kept for `asked`: `None` if that is less than a millisecond.
    #[must_use]
    pub fn life(&self, key: &[u8], asked: Duration, now: UnixTime) -> Option<Life> {
        let whole = if asked < self.longest { asked } else { self.longest }.as_millis();
        let most = part(whole, self.spread_permille);
        let share = u64::from(share(key));
        // As `most * share >> 16` in more bits than 64.
        let cut = (most >> 16).saturating_mul(share).saturating_add(((most & 0xFFFF) * share) >> 16);
        let left = whole.saturating_sub(cut);
        let created = now.as_millis();
        let expires = created.saturating_add(left);
        (expires > created).then_some(Life { created: now, expires: UnixTime::from_millis(expires) })
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A number of 16 bits by which keys differ (FNV-1a, folded).
fn share(key: &[u8]) -> u16 {
    let hash = key.iter().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    #[expect(clippy::cast_possible_truncation, reason = "folded")]
    let folded = (hash ^ (hash >> 16)) as u16;
    folded
}

/// Says what is wrong with a [`Ttl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TtlError {
    /// `longest` is less than a millisecond.
    Longest,
    /// `spread_permille` is above 500.
    Spread,
}

impl TtlError {
    /// The field's name.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Longest => "longest",
            Self::Spread => "spread_permille",
        }
    }

    /// What is allowed.
    #[must_use]
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Longest => "at least 1ms",
            Self::Spread => "from 0 to 500",
        }
    }
}

impl fmt::Display for TtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is out of range; allowed is {}", self.field(), self.allowed())
    }
}

impl core::error::Error for TtlError {}

/// Says when a kept result came in and when it ends (the TTL of the seed's `ResultCache`).
///
/// # Rules
/// 1. It is fresh while `created <= now < expires`.
/// 2. One of the future was written before the clock was set back. Its age is unknown, so it is not fresh.
/// 3. No result lives longer than [`Ttl::longest`], nor longer than asked; by [`Ttl::spread_permille`] it lives at most that share
///    less, and the same key always the same share.
///
/// # Example
/// ```
/// use daur_core::services::result_cache::{Age, Ttl};
/// use daur_core::time::{Duration, UnixTime};
///
/// let life = Ttl::DEFAULT.life(b"uname", Duration::from_secs(60), UnixTime::from_secs(100)).expect("long enough");
/// assert_eq!(life.at(UnixTime::from_secs(100)), Age::Fresh(Duration::from_secs(60)));
/// assert_eq!(life.at(UnixTime::from_secs(160)), Age::Expired);
/// assert_eq!(life.at(UnixTime::from_secs(99)), Age::Future);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Life {
    /// When it came in.
    pub created: UnixTime,
    /// From when on it is not good any more.
    pub expires: UnixTime,
}

/// Says whether a result is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Age {
    /// It is, for so long.
    Fresh(Duration),
    /// Its time is over.
    Expired,
    /// It is of a time that has not come.
    Future,
}

impl Life {
    /// Whether it is good `now`.
    #[must_use]
    pub const fn at(&self, now: UnixTime) -> Age {
        let now = now.as_millis();
        if now >= self.expires.as_millis() {
            Age::Expired
        } else if now < self.created.as_millis() {
            Age::Future
        } else {
            Age::Fresh(Duration::from_millis(self.expires.as_millis().saturating_sub(now)))
        }
    }
}
