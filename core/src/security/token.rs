//! Signed claims in a compact text: JSON Web Tokens, HS256 alone.

use core::fmt;

use super::keys::{HmacKey, KeyError, Kid, MIN_KEY_LEN, Role, same, wipe};
use super::permission::{Permissions, Scopes};
use crate::id::DeviceId;
use crate::text::Text;
use crate::time::{Duration, UnixTime};

mod base64;
mod claims;
mod gate;
mod header;
mod json;
mod revoked;

use base64::{Bad, Writer};
pub use gate::Gate;
pub use revoked::{RevokeError, Revoked};

/// The longest token that is looked at, unless the config says less.
pub const MAX_LEN: usize = 1_024;
/// The most that clocks may be allowed to differ.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// Characters of a tag.
const TAG_CHARS: usize = 43;

/// Sets what a verifier demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longer tokens are refused unread. At most [`MAX_LEN`].
    pub max_len: usize,
    /// How far clocks may differ; at most [`MAX_LEEWAY`]. Default: not at all.
    pub leeway: Duration,
    /// The longest time from `iat` (without it, from now) to `exp`. Default: 24 h.
    pub max_lifetime: Duration,
    /// Whether a token must have `exp`. Default: yes; no on a device without a clock.
    pub require_exp: bool,
    /// Who must have issued the token; written by `sign` too. Default: whoever has the key.
    pub issuer: Option<Text<32>>,
    /// For whom the token must be; written by `sign` too. `None` refuses a token that is for somebody.
    pub audience: Option<Text<32>>,
    /// Names the permissions in tokens. A name that is not among them grants nothing. Default: the three alone.
    pub scopes: Scopes,
}

/// Says which setting cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_len` is above [`MAX_LEN`].
    MaxLen,
    /// `leeway` is above [`MAX_LEEWAY`].
    Leeway,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxLen => "max_len must be at most 1024",
            Self::Leeway => "leeway must be at most 60s",
        })
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// For users of one service.
    pub const DEFAULT: Self = Self {
        max_len: MAX_LEN,
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_secs(24 * 3_600),
        require_exp: true,
        issuer: None,
        audience: None,
        scopes: Scopes::DEFAULT,
    };

    /// For commands to `device`: no clock needed, and for nobody else.
    #[must_use]
    pub fn command(device: &DeviceId) -> Self {
        Self { require_exp: false, audience: Some(Text::cut(device.as_str())), ..Self::DEFAULT }
    }

    /// Whether the settings can be.
    ///
    /// # Errors
    /// [`ConfigError`]: the first that cannot. [`Keys`] then uses the nearest that can.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.max_len > MAX_LEN {
            return Err(ConfigError::MaxLen);
        }
        if self.leeway.as_nanos() > MAX_LEEWAY.as_nanos() {
            return Err(ConfigError::Leeway);
        }
        Ok(())
    }
}

/// Holds what a token says.
///
/// Texts have fixed places; a token whose claim is longer is refused, never cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Claims {
    /// Who.
    pub sub: Text<32>,
    /// Until when, in seconds since 1970; at that second it is over.
    pub exp: Option<u64>,
    /// From when, in seconds since 1970.
    pub nbf: Option<u64>,
    /// Issued when, in seconds since 1970.
    pub iat: Option<u64>,
    /// The token's own number; in the token, 32 lower-case hexadecimal digits.
    pub jti: Option<[u8; 16]>,
    /// Issued by.
    pub iss: Option<Text<32>>,
    /// For whom.
    pub aud: Option<Text<32>>,
    /// What is granted.
    pub permissions: Permissions,
    /// The one command that it allows, on a device.
    pub cmd: Option<Text<64>>,
}

impl Claims {
    /// What a user may from `now` on, for `lifetime` (cut to whole seconds): the claims of the seed's
    /// `generate_token(user, permissions)`, to be given to [`Keys::sign`].
    ///
    /// `jti` is 128 random bits; by it the token is revoked.
    ///
    /// # Errors
    /// [`Error::TooLong`] if the name has more than 32 bytes.
    #[doc(alias = "generate_token")]
    pub fn for_user(
        name: &str,
        permissions: Permissions,
        now: UnixTime,
        lifetime: Duration,
        jti: [u8; 16],
    ) -> Result<Self, Error> {
        let iat = now.as_secs();
        Ok(Self {
            sub: Text::new(name).map_err(|_| Error::TooLong)?,
            exp: Some(iat.saturating_add(lifetime.as_secs())),
            iat: Some(iat),
            jti: Some(jti),
            permissions,
            ..Self::default()
        })
    }

    /// A command to a device: bound to it, to its boot nonce and to a counter that starts at 1. See [`Gate`].
    #[must_use]
    pub fn command(
        device: &DeviceId,
        nonce: u64,
        counter: u64,
        user: Text<32>,
        permissions: Permissions,
        cmd: Text<64>,
    ) -> Self {
        let jti = (u128::from(nonce) << 64) | u128::from(counter);
        Self {
            sub: user,
            jti: Some(jti.to_be_bytes()),
            aud: Some(Text::cut(device.as_str())),
            permissions,
            cmd: Some(cmd),
            ..Self::default()
        }
    }

    #[inline(never)]
    fn clear(&mut self) {
        *self = Self::default();
    }

    /// The boot nonce and the counter of a command's `jti`.
    #[must_use]
    pub fn nonce_and_counter(&self) -> Option<(u64, u64)> {
        let jti = u128::from_be_bytes(self.jti?);
        Some(((jti >> 64) as u64, jti as u64))
    }
}

/// Says why a token is refused. For the audit: a client is told `unauthenticated` and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The token is longer than the config allows, or a claim longer than its place.
    TooLong,
    /// Not three parts, the last of 43 characters.
    Malformed,
    /// The header is not one that is taken here.
    Header,
    /// No key of that name.
    UnknownKey,
    /// The tag is not that of the text.
    Tag,
    /// The payload is not a JSON object of well-formed claims.
    Claims,
    /// A claim is missing that is demanded.
    Missing,
    /// `exp` has come.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYet,
    /// `exp` lies further ahead than a token may live.
    Lifetime,
    /// The token has `exp` or `nbf` and there is no clock to hold it against.
    NoClock,
    /// Issued by somebody else.
    Issuer,
    /// For somebody else.
    Audience,
    /// Revoked.
    Revoked,
    /// (Signing) The buffer is too small.
    Buffer,
    /// A command that was given before, or in another life of the device.
    Replayed,
    /// The permission that the command needs is not granted.
    Permission,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token or one of its claims is too long",
            Self::Malformed => "not a token: three parts, the last of 43 characters",
            Self::Header => "the token's header is not HS256 without extensions",
            Self::UnknownKey => "the token names a key that is not here",
            Self::Tag => "the token's tag is wrong",
            Self::Claims => "the token's claims are malformed",
            Self::Missing => "the token lacks a claim that is demanded",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Lifetime => "the token lives longer than tokens may",
            Self::NoClock => "the token has times and there is no clock",
            Self::Issuer => "the token was issued by somebody else",
            Self::Audience => "the token is for somebody else",
            Self::Revoked => "the token was revoked",
            Self::Buffer => "the token does not fit into its buffer",
            Self::Replayed => "the command was given before or in another life of the device",
            Self::Permission => "the command needs a permission that is not granted",
        })
    }
}

impl core::error::Error for Error {}

struct Slot {
    kid: Option<Kid>,
    header: [u8; header::LEN],
    header_len: u8,
    signing: bool,
    key: HmacKey,
}

impl Slot {
    fn header(&self) -> &[u8] {
        self.header.get(..usize::from(self.header_len)).unwrap_or_default()
    }
}

/// Signs and verifies tokens with up to `N` keys: the seed's `TokenManager`.
///
/// For users of a service, and for commands to devices (with [`Gate`]). Keys come and go while tokens live: add the
/// new one as [`Role::Signing`], retire the old one when its last token has expired.
///
/// # Rules
/// 1. A token is three parts and no longer than `max_len`; the header is ours byte for byte, or one that a strict
///    scanner accepts: `HS256`, no `crit`, no `b64`, no name twice, no type but `JWT`. Other members, also `jku`, `jwk`,
///    `x5u` and `x5c`, are passed over: nothing is fetched, and no key comes from a token.
/// 2. `kid` chooses the key; a token without one is checked with the key that has none; no other key is tried. A key
///    has at least 32 bytes; one signs, the others verify only; a retired one is forgotten.
/// 3. The tag's 43 characters are compared in constant time before anything of the payload is looked at.
/// 4. Claims are read strictly: no name twice in any spelling, no float rounded, no fault in what is ignored. A
///    permission that has no name in `scopes` is not granted.
/// 5. `exp == now` is expired; a token lives at most `max_lifetime`; without a clock a token with `exp` or `nbf` is refused.
/// 6. [`Revoked`] is asked by the caller, after `verify`.
///
/// # Cost
/// About 160 bytes a key; no allocation; time linear in `max_len`. `verify` costs one HMAC with its key absorbed and
/// one pass over the text.
///
/// # Errors
/// [`Error`] names the first rule that a token breaks.
///
/// # Sharing
/// Verifying takes `&self`: share it by reference, or behind an `Arc`.
///
/// # Example
/// ```
/// use daur_core::security::permission::Permissions;
/// use daur_core::security::token::{Claims, Config, Error, Keys};
/// use daur_core::time::{Duration, UnixTime};
///
/// let keys: Keys<2> = Keys::new(Config::DEFAULT, None, b"a key of at least thirty-two bytes").unwrap();
/// let (now, hour) = (UnixTime::from_secs(1_800_000_000), Duration::from_secs(3_600));
/// let may = Permissions::READ.with(Permissions::WRITE);
/// let jti = [7; 16]; // from a source of entropy
/// let claims = Claims::for_user("user_1", may, now, hour, jti).unwrap();
/// let mut buffer = [0; 256];
/// let token = keys.sign(&claims, &mut buffer).unwrap();
/// assert_eq!(keys.verify(token, Some(now)), Ok(claims));
/// assert_eq!(keys.verify(token, Some(UnixTime::from_secs(1_800_003_600))), Err(Error::Expired));
/// assert_eq!(keys.verify(token, None), Err(Error::NoClock));
/// ```
///
/// # References
/// RFC 7515, RFC 7519, RFC 8725. The attacks of `tests/golden/tokens.txt` get the same verdicts on the host and in QEMU.
#[doc(alias = "TokenManager")]
pub struct Keys<const N: usize> {
    config: Config,
    slots: [Option<Slot>; N],
}

impl<const N: usize> Keys<N> {
    /// A ring without a key, which neither signs nor verifies until [`add`](Self::add) gives it one: for a device, where
    /// it is made in its place so.
    #[inline]
    #[must_use]
    pub fn empty(mut config: Config) -> Self {
        // Out of range settings are brought to the border of what is safe: a machine must not panic.
        config.max_len = config.max_len.min(MAX_LEN);
        config.leeway = config.leeway.min(MAX_LEEWAY);
        Self { config, slots: [const { None }; N] }
    }

    /// A ring with one key, which signs.
    ///
    /// # Errors
    /// [`KeyError::TooShort`]; [`KeyError::Full`] for `N == 0`.
    pub fn new(config: Config, kid: Option<Kid>, secret: &[u8]) -> Result<Self, KeyError> {
        let mut made = Ok(Self::empty(config));
        if let Ok(keys) = &mut made
            && let Err(error) = keys.add(kid, secret, Role::Signing)
        {
            made = Err(error);
        }
        made
    }

    /// Takes one more key; one that signs makes the present signing key verify only.
    ///
    /// # Errors
    /// [`KeyError`]; nothing changed then.
    #[inline(never)]
    pub fn add(&mut self, kid: Option<Kid>, secret: &[u8], role: Role) -> Result<(), KeyError> {
        if secret.len() < MIN_KEY_LEN {
            return Err(KeyError::TooShort);
        }
        if self.slot(kid).is_some() {
            return Err(KeyError::Duplicate);
        }
        let free = self.slots.iter().position(Option::is_none).ok_or(KeyError::Full)?;
        let mut header = [0; header::LEN];
        let mut out = Writer::new(&mut header);
        header::write(kid.as_ref(), &mut out);
        // 26 + 8 + 16 + 2 bytes are at most 70 characters.
        let header_len =
            out.written().ok().and_then(|text| u8::try_from(text.len()).ok()).ok_or(KeyError::InvalidKid)?;
        let signing = role == Role::Signing;
        if signing {
            self.slots.iter_mut().flatten().for_each(|slot| slot.signing = false);
        }
        if let Some(place) = self.slots.get_mut(free) {
            *place = Some(Slot { kid, header, header_len, signing, key: HmacKey::new(secret) });
        }
        Ok(())
    }

    /// Forgets a key: what it has signed is refused from now on.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], [`KeyError::Signing`].
    pub fn retire(&mut self, kid: Option<Kid>) -> Result<(), KeyError> {
        let place = self.slots.iter_mut().find(|slot| slot.as_ref().is_some_and(|slot| slot.kid == kid));
        let place = place.ok_or(KeyError::Unknown)?;
        if place.as_ref().is_some_and(|slot| slot.signing) {
            return Err(KeyError::Signing);
        }
        *place = None;
        Ok(())
    }

    /// Writes the token of `claims` to `out`, with the config's issuer and audience where the claims name none. A
    /// permission that has no name in the config's scopes is left out: nobody could read it.
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` is too small; [`Error::TooLong`] if no verifier of this config would take it.
    #[doc(alias = "generate_token")]
    pub fn sign<'o>(&self, claims: &Claims, out: &'o mut [u8]) -> Result<&'o str, Error> {
        let slot = self.slots.iter().flatten().find(|slot| slot.signing).ok_or(Error::UnknownKey)?;
        let mut out = Writer::new(out);
        out.raw(slot.header());
        out.raw(b".");
        out.begin();
        claims::write(claims, &self.config, &mut out);
        out.encode();
        let tag = slot.key.tag(&[out.written()?]);
        out.raw(b".");
        out.raw(&base64::tag(&tag));
        let token = out.finish()?;
        if token.len() > self.config.max_len {
            return Err(Error::TooLong);
        }
        core::str::from_utf8(token).map_err(|_| Error::Buffer)
    }

    /// Checks a token and reads its claims.
    ///
    /// # Errors
    /// [`Error`]: the first rule that it breaks.
    #[doc(alias = "verify_token")]
    pub fn verify(&self, token: &str, now: Option<UnixTime>) -> Result<Claims, Error> {
        let mut claims = Claims::default();
        self.verify_into(token, now, &mut claims)?;
        Ok(claims)
    }

    /// The same, into claims that the caller has: on a device each copy of them is 256 bytes of stack. What was in them
    /// is gone, and of a token that is refused nothing is in them.
    ///
    /// # Errors
    /// [`Error`]: the first rule that it breaks.
    pub fn verify_into(&self, token: &str, now: Option<UnixTime>, claims: &mut Claims) -> Result<(), Error> {
        claims.clear();
        let checked = self.check(token, now, claims);
        if checked.is_err() {
            claims.clear();
        }
        checked
    }

    #[inline(never)]
    fn check(&self, token: &str, now: Option<UnixTime>, claims: &mut Claims) -> Result<(), Error> {
        if token.len() > self.config.max_len {
            return Err(Error::TooLong);
        }
        let parts = Parts::of(token.as_bytes()).ok_or(Error::Malformed)?;
        let ours = self.slots.iter().flatten().find(|slot| slot.header() == parts.header);
        let slot = match ours {
            Some(slot) => slot,
            None => self.slot(header::scan(parts.header)?).ok_or(Error::UnknownKey)?,
        };
        // Both spellings are canonical, so equal characters mean equal tags and nothing else does.
        let mut tag = slot.key.tag(&[parts.signed]);
        let mut characters = base64::tag(&tag);
        let right = same(&characters, parts.tag);
        // Left on the stack, the tag of a forged text would be what its forger lacks.
        wipe(&mut tag);
        wipe(&mut characters);
        if !right {
            return Err(Error::Tag);
        }
        let times = claims::read(parts.payload, &self.config.scopes, claims)?;
        self.admit(claims, times, now)
    }

    /// Whether the claims hold here and now.
    fn admit(&self, claims: &Claims, times: claims::Times, now: Option<UnixTime>) -> Result<(), Error> {
        if self.config.issuer.is_some_and(|issuer| claims.iss != Some(issuer)) {
            return Err(Error::Issuer);
        }
        if claims.aud != self.config.audience {
            return Err(Error::Audience);
        }
        if times.exp.is_none() && self.config.require_exp {
            return Err(Error::Missing);
        }
        let Some(now) = now.map(UnixTime::as_millis) else {
            return if times.exp.is_some() || times.nbf.is_some() { Err(Error::NoClock) } else { Ok(()) };
        };
        let leeway = self.config.leeway.as_millis();
        if let Some(exp) = times.exp {
            if now.saturating_sub(leeway) >= exp.millis {
                return Err(Error::Expired);
            }
            let from = claims.iat.map_or(now, |iat| iat.saturating_mul(1_000));
            if exp.millis.saturating_sub(from) > self.config.max_lifetime.as_millis() {
                return Err(Error::Lifetime);
            }
        }
        let ahead = |at: u64, leeway: u64| at > now.saturating_add(leeway);
        // A clock that was set back a little must not lock out whoever has just logged in.
        let issued_ahead = claims.iat.is_some_and(|iat| ahead(iat.saturating_mul(1_000), MAX_LEEWAY.as_millis()));
        if issued_ahead || times.nbf.is_some_and(|nbf| ahead(nbf.millis, leeway)) {
            return Err(Error::NotYet);
        }
        Ok(())
    }

    fn slot(&self, kid: Option<Kid>) -> Option<&Slot> {
        self.slots.iter().flatten().find(|slot| slot.kid == kid)
    }
}

/// The parts of a token.
struct Parts<'t> {
    signed: &'t [u8],
    header: &'t [u8],
    payload: &'t [u8],
    tag: &'t [u8],
}

impl<'t> Parts<'t> {
    fn of(token: &'t [u8]) -> Option<Self> {
        let (signed, dotted) = token.split_at_checked(token.len().checked_sub(TAG_CHARS + 1)?)?;
        let (dot, tag) = dotted.split_first()?;
        let middle = signed.iter().position(|c| *c == b'.')?;
        let (header, payload) = signed.split_at_checked(middle)?;
        let (_, payload) = payload.split_first()?;
        // Dots in the tag would fail its comparison; one more in the payload must not get that far.
        if *dot != b'.' || header.is_empty() || payload.is_empty() || payload.contains(&b'.') {
            return None;
        }
        Some(Self { signed, header, payload, tag })
    }
}

#[cfg(test)]
mod tests;
