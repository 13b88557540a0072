//! Signed commands: read, verified, admitted once, and understood.

use daur_core::id::DeviceId;
use daur_core::reliability::limiter::Limiter;
use daur_core::security::keys::{KeyError, Role};
use daur_core::security::permission::Permissions;
use daur_core::security::token::{Claims, Config, Error, Gate, Keys};
use daur_core::text::Text;
use daur_core::time::wall::{self, SetError, Wall};
use daur_core::time::{Duration, Instant, UnixTime};
use daur_core::wire::record::Verdict;

use crate::config;

/// What the node can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum Command {
    /// `report`: say now how you are.
    Report,
    /// `set-interval MS`: read the sensor so often.
    SetInterval(Duration),
    /// `reset-breaker`: try the sensor again at once.
    ResetBreaker,
    /// `restart`: reset the chip.
    Restart,
    /// `set-time MS`: so many milliseconds since 1970 it is. The answer tells what time it is now.
    SetTime(UnixTime),
    /// `hang`: the scripted bus ends no transfer any more, until the watchdog bites.
    #[cfg(not(daur_board))]
    Hang,
    /// `stall MS`: the scripted wire takes nothing for so long.
    #[cfg(not(daur_board))]
    Stall(Duration),
}

impl Command {
    /// Reads a command's text.
    ///
    /// # Errors
    /// [`Verdict::UnknownCommand`] or, if what follows the verb is not allowed, [`Verdict::Invalid`].
    pub fn parse(text: &str) -> Result<Self, Verdict> {
        let mut words = text.split_ascii_whitespace();
        let command = match (words.next(), words.next()) {
            (Some("report"), None) => Self::Report,
            (Some("reset-breaker"), None) => Self::ResetBreaker,
            (Some("restart"), None) => Self::Restart,
            (Some("set-interval"), Some(millis)) => {
                let interval = Duration::from_millis(number(millis)?);
                if !(config::INTERVAL_MIN..=config::INTERVAL_MAX).contains(&interval) {
                    return Err(Verdict::Invalid);
                }
                Self::SetInterval(interval)
            }
            #[cfg(not(daur_board))]
            (Some("hang"), None) => Self::Hang,
            #[cfg(not(daur_board))]
            (Some("stall"), Some(millis)) => Self::Stall(Duration::from_millis(number(millis)?)),
            (Some("set-time"), Some(millis)) => Self::SetTime(UnixTime::from_millis(number(millis)?)),
            (Some("report" | "reset-breaker" | "restart" | "set-interval" | "set-time"), _) => {
                return Err(Verdict::Invalid);
            }
            _ => return Err(Verdict::UnknownCommand),
        };
        if words.next().is_some() { Err(Verdict::Invalid) } else { Ok(command) }
    }

    /// What the signer must be allowed.
    #[must_use]
    pub const fn needs(self) -> Permissions {
        match self {
            Self::Report => Permissions::READ,
            Self::SetInterval(_) | Self::ResetBreaker => Permissions::WRITE,
            // Who sets the time decides which commands have expired, and cannot take it back.
            Self::Restart | Self::SetTime(_) => Permissions::ADMIN,
            #[cfg(not(daur_board))]
            Self::Hang | Self::Stall(_) => Permissions::ADMIN,
        }
    }
}

/// Once for all commands: inlined, each reading of a number is 200 bytes.
#[inline(never)]
fn number(digits: &str) -> Result<u64, Verdict> {
    digits.parse().map_err(|_| Verdict::Invalid)
}

/// A command that is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct Order {
    /// What.
    pub command: Command,
    /// Its counter.
    pub counter: u64,
    /// Who signed it.
    pub user: Text<32>,
    /// Its words.
    pub text: Text<64>,
}

/// A command that is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct Refusal {
    /// Its counter; 0 if its signature does not hold, since then nothing in it does.
    pub counter: u64,
    /// Why.
    pub verdict: Verdict,
    /// Who signed it; nobody if its signature does not hold.
    pub user: Text<32>,
    /// Its words; none if its signature does not hold.
    pub text: Text<64>,
}

impl Refusal {
    /// Of a token in which nothing holds.
    const fn unsigned(verdict: Verdict) -> Self {
        Self { counter: 0, verdict, user: Text::EMPTY, text: Text::EMPTY }
    }
}

/// Decides which commands are run.
///
/// In this order: how many, who signed it, for which device, whether it has expired, for which of the device's lives,
/// whether it is new, whether the signer may. What costs least comes first, and an attacker learns no more than
/// that the signature is wrong.
///
/// A command that may expire is refused while the device has not been told the time, by `set-time`, which is set here.
pub struct Desk {
    keys: Keys<1>,
    gate: Gate,
    limiter: Limiter,
    wall: Wall,
}

impl Desk {
    /// For `device`, whose present life is `nonce`. Nothing is admitted before [`open`](Self::open).
    #[inline]
    #[must_use]
    pub fn new(device: &DeviceId, nonce: u64) -> Self {
        Self {
            keys: Keys::empty(Config::command(device)),
            gate: Gate::new(nonce),
            limiter: Limiter::new(config::COMMANDS),
            wall: Wall::new(wall::Config::DEFAULT),
        }
    }

    /// Admits what is signed with `key`. Apart from [`new`](Self::new), so that the key is absorbed where it stays.
    ///
    /// # Errors
    /// [`KeyError`] if the key is too short.
    pub fn open(&mut self, key: &[u8]) -> Result<(), KeyError> {
        self.keys.add(None, key, Role::Signing)
    }

    /// What time it is, if anybody has told.
    pub fn unix(&mut self, now: Instant) -> Option<UnixTime> {
        self.wall.unix(now)
    }

    /// The command in `token`, if it is to be run.
    ///
    /// # Errors
    /// [`Refusal`], which is what the host is told.
    #[inline(never)]
    pub fn admit(&mut self, token: &str, now: Instant) -> Result<Order, Refusal> {
        if self.limiter.check(now).is_err() {
            return Err(Refusal::unsigned(Verdict::Limited));
        }
        let mut claims = Claims::default();
        match self.keys.verify_into(token, self.wall.unix(now), &mut claims) {
            Ok(()) => self.judge(&claims, now),
            Err(Error::Audience) => Err(Refusal::unsigned(Verdict::WrongDevice)),
            Err(Error::NoClock) => Err(Refusal::unsigned(Verdict::NoClock)),
            Err(Error::Expired | Error::NotYet | Error::Lifetime) => Err(Refusal::unsigned(Verdict::Expired)),
            Err(_) => Err(Refusal::unsigned(Verdict::BadSignature)),
        }
    }

    /// What a command that is signed comes to. Not inlined: it begins when the stack of the verification is free again.
    #[inline(never)]
    fn judge(&mut self, claims: &Claims, now: Instant) -> Result<Order, Refusal> {
        let counter = claims.nonce_and_counter().map_or(0, |(_, counter)| counter);
        let (user, text) = (claims.sub, claims.cmd.unwrap_or(Text::EMPTY));
        let refused = |verdict| Refusal { counter, verdict, user, text };
        let command = claims.cmd.ok_or(Verdict::Invalid).and_then(|text| Command::parse(text.as_str()));
        let needs = command.map_or(Permissions::NONE, Command::needs);
        self.gate.admit(claims, needs).map_err(|error| match error {
            Error::Replayed => refused(Verdict::Replayed),
            Error::Permission => refused(Verdict::Forbidden),
            _ => refused(Verdict::Invalid),
        })?;
        if let Ok(Command::SetTime(unix)) = command {
            self.wall.set(unix, now).map_err(|error| match error {
                SetError::Behind { .. } | SetError::TooFar { .. } => refused(Verdict::Failed),
                _ => refused(Verdict::Invalid),
            })?;
        }
        command.map(|command| Order { command, counter, user, text }).map_err(refused)
    }
}
