//! Signed claims in a compact text: JSON Web Tokens, HS256 alone.

use core::fmt;

use super::keys::{KeyError, Kid, Role};
use super::permission::Permissions;
use crate::id::DeviceId;
use crate::text::Text;
use crate::time::{Duration, UnixTime};

/// The longest token that is looked at, unless the config says less.
pub const MAX_LEN: usize = 1_024;

/// What a verifier demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longer tokens are refused unread. At most [`MAX_LEN`].
    pub max_len: usize,
    /// How far clocks may differ; at most 60 s. Default: none.
    pub leeway: Duration,
    /// The longest time from `iat` (or now) to `exp`. Default: 24 h.
    pub max_lifetime: Duration,
    /// Whether a token must have `exp`. Default: yes; no on a device without a clock.
    pub require_exp: bool,
    /// Who must have issued the token; also written when signing. Default: anybody with the key.
    pub issuer: Option<Text<32>>,
    /// For whom the token must be. `None` refuses tokens that are for somebody.
    pub audience: Option<Text<32>>,
}

impl Config {
    /// For users of one service.
    pub const DEFAULT: Self = Self {
        max_len: MAX_LEN,
        leeway: Duration::ZERO,
        max_lifetime: Duration::from_secs(24 * 3_600),
        require_exp: true,
        issuer: None,
        audience: None,
    };

    /// For commands to `device`: no clock needed, and for nobody else.
    #[must_use]
    pub fn command(device: &DeviceId) -> Self {
        Self { require_exp: false, audience: Some(Text::cut(device.as_str())), ..Self::DEFAULT }
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Who.
    pub sub: Text<32>,
    /// Until when, in seconds since 1970; at that second it is over.
    pub exp: Option<u64>,
    /// From when, in seconds since 1970.
    pub nbf: Option<u64>,
    /// Issued when, in seconds since 1970.
    pub iat: Option<u64>,
    /// The token's own number.
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
    /// A command to a device: bound to it, to its boot nonce and to a counter.
    #[must_use]
    pub fn command(device: &DeviceId, nonce: u64, counter: u64, user: Text<32>, permissions: Permissions, cmd: Text<64>) -> Self {
        let _ = (device, nonce, counter, user, permissions, cmd);
        todo!()
    }
    /// The boot nonce and the counter of a command's `jti`.
    #[must_use]
    pub fn nonce_and_counter(&self) -> Option<(u64, u64)> { todo!() }
}

/// Says why a token is refused. For the audit; a client is told `unauthenticated` and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// Longer than the config allows, or a claim is longer than its place.
    TooLong,
    /// Not three parts in canonical base64url with a tag of 43 characters.
    Malformed,
    /// The header is not one that this library takes.
    Header,
    /// No key of that name.
    UnknownKey,
    /// The tag is not that of the text.
    Tag,
    /// The payload is not a JSON object of well-formed claims.
    Claims,
    /// A claim that the config demands is missing.
    Missing,
    /// `exp` has come.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYet,
    /// `exp` lies further ahead than tokens may live.
    Lifetime,
    /// The token has a time and this machine has no clock.
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
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { let _ = f; todo!() }
}
impl core::error::Error for Error {}

/// Signs and verifies tokens with up to `N` keys.
pub struct Keys<const N: usize> {
    config: Config,
}

impl<const N: usize> Keys<N> {
    /// A ring with one key, which signs. A token without `kid` is checked with the key that has none.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn new(config: Config, kid: Option<Kid>, secret: &[u8]) -> Result<Self, KeyError> { let _ = (config, kid, secret); todo!() }
    /// Takes one more key; `Role::Signing` makes the present signing key verify only.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn add(&mut self, kid: Option<Kid>, secret: &[u8], role: Role) -> Result<(), KeyError> { let _ = (kid, secret, role); todo!() }
    /// Retires a key.
    ///
    /// # Errors
    /// [`KeyError::NotRemovable`].
    pub fn retire(&mut self, kid: Option<Kid>) -> Result<(), KeyError> { let _ = kid; todo!() }
    /// Writes the token of `claims` to `out`.
    ///
    /// # Errors
    /// [`Error::Buffer`].
    pub fn sign<'o>(&self, claims: &Claims, out: &'o mut [u8]) -> Result<&'o str, Error> { let _ = (claims, out, self.config); todo!() }
    /// Checks a token and reads its claims.
    ///
    /// # Errors
    /// [`Error`]: the first rule that it breaks.
    pub fn verify(&self, token: &str, now: Option<UnixTime>) -> Result<Claims, Error> { let _ = (token, now); todo!() }
}

/// Remembers up to `N` revoked tokens until they would have expired, and from when on a user's tokens count.
pub struct Revoked<const N: usize> { slots: [Option<([u8; 16], u64)>; N], all_before: u64 }

/// Says that no further token can be revoked before one of the revoked ones expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationFull;

impl<const N: usize> Revoked<N> {
    /// Nothing is revoked.
    #[must_use]
    pub const fn new() -> Self { Self { slots: [None; N], all_before: 0 } }
    /// Revokes a token that was verified.
    ///
    /// # Errors
    /// [`RevocationFull`].
    pub fn revoke(&mut self, claims: &Claims, now: UnixTime) -> Result<(), RevocationFull> { let _ = (claims, now, self.slots); todo!() }
    /// Revokes all tokens issued before `iat`.
    pub fn revoke_all_before(&mut self, iat: u64) { self.all_before = iat; }
    /// Refuses revoked claims.
    ///
    /// # Errors
    /// [`Error::Revoked`].
    pub fn check(&self, claims: &Claims) -> Result<(), Error> { let _ = claims; todo!() }
}

/// Admits each signed command to a device once: the device's side of a command token.
pub struct Gate { nonce: u64, last: u64 }

impl Gate {
    /// For a device that has just started with this boot nonce.
    #[must_use]
    pub const fn new(nonce: u64) -> Self { Self { nonce, last: 0 } }
    /// Admits verified claims if they are of this life of the device, newer than the last, and grant `needed`; gives the command.
    ///
    /// # Errors
    /// [`Error::Replayed`], [`Error::Permission`], [`Error::Missing`].
    pub fn admit(&mut self, claims: &Claims, needed: Permissions) -> Result<Text<64>, Error> { let _ = (claims, needed, self.nonce, self.last); todo!() }
    /// The highest counter admitted; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u64 { self.last }
}
