//! The wall time of a device: set by a signed command, known by its answer.

use std::sync::Arc;

use daur_core::id::DeviceId;
use daur_core::security::keys::derive_device_key;
use daur_core::security::permission::Permissions;
use daur_core::security::token::{self, Claims, Keys};
use daur_core::text::Text;
use daur_core::time::{Duration, Instant, UnixTime, WallClock};
use daur_core::wire::frame::{Downlink, MAX_DOWNLINK, MAX_DOWNLINK_ENCODED};
use daur_core::wire::record::Verdict;

use super::registry::{Config, Reply, SendError};
use crate::clock::SystemWallClock;

/// The first schema whose devices may know the time.
const KEEPS_TIME: u16 = 5;

/// A device so far behind the host is told again.
const BEHIND: i64 = 10_000;

/// Who signs what nobody has asked for, with all permissions: which one it needs is the device's to say.
const HOST: &str = "host";

/// What is known of a device's wall time in its present life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It keeps none, or nobody could tell it.
    #[default]
    None,
    /// It has not been told, or has not answered: it is told again from then on.
    Unknown { tell_at: Instant },
    /// It has been told by the command of this counter.
    Told { counter: u64, at: Instant },
    /// Its wall time is so many milliseconds ahead of its own clock.
    Known { offset_ms: i64, told_at: Instant },
}

/// Tells a device the time, and knows by its answers and its frames what time it is there.
///
/// A frame says when it was made on the device's clock, so one answer is enough for a whole life, however its
/// clock drifts.
#[derive(Default)]
pub(super) struct DeviceTime {
    /// Its schema has a time, and answers mean what they say.
    keeps: bool,
    state: State,
    /// Of the last frame: when it was made, and when it came, here and there.
    last: Option<(i64, Instant)>,
    ahead_ms: Option<i64>,
}

impl DeviceTime {
    /// A life has begun, on a device of this schema; `able` if it can be told.
    pub(super) fn on_life(&mut self, schema: u16, able: bool) {
        let keeps = schema >= KEEPS_TIME;
        let state = if keeps && able { State::Unknown { tell_at: Instant::ZERO } } else { State::None };
        *self = Self { keeps, state, ..Self::default() };
    }

    pub(super) fn on_disconnected(&mut self) {
        if let State::Told { .. } = self.state {
            self.state = State::Unknown { tell_at: Instant::ZERO };
        }
    }

    /// A frame that was made at `at_ms` on the device's clock.
    pub(super) fn on_frame(&mut self, at_ms: u64, now: Instant) {
        let at_ms = whole(at_ms);
        self.last = Some((at_ms, now));
        if let State::Known { offset_ms, .. } = self.state {
            self.ahead_ms = unix_ms().map(|host| offset_ms.saturating_add(at_ms).saturating_sub(whole(host)));
        }
    }

    /// Whether it is time to tell the device, by a command of this counter.
    pub(super) fn is_due(&mut self, config: &Config, now: Instant) -> bool {
        match self.state {
            State::None => false,
            State::Unknown { tell_at } => tell_at <= now,
            State::Told { at, .. } => {
                // No answer: it may be lost, and so may the device's time for it.
                if now.since(at) >= config.reply_timeout {
                    self.state = State::Unknown { tell_at: now + config.tell_time_every };
                }
                false
            }
            State::Known { told_at, .. } => {
                self.ahead_ms.is_some_and(|ahead| ahead < -BEHIND) && now.since(told_at) >= config.tell_time_every
            }
        }
    }

    pub(super) fn on_told(&mut self, counter: u64, now: Instant) {
        self.state = State::Told { counter, at: now };
    }

    /// Whether commands need not wait for an answer that is due.
    pub(super) fn is_settled(&self) -> bool {
        match self.state {
            State::None | State::Known { .. } => true,
            State::Unknown { tell_at } => tell_at > Instant::ZERO,
            State::Told { .. } => false,
        }
    }

    /// Takes the answer to what the host itself has said, made at `at_ms` on the device's clock; whether it is one.
    pub(super) fn on_reply(&mut self, reply: &Reply, at_ms: u64, retry: Duration, now: Instant) -> bool {
        let millis = reply.message.strip_prefix("time is ").filter(|_| self.keeps);
        let shown = millis.and_then(|millis| millis.parse::<u64>().ok());
        let told = matches!(self.state, State::Told { counter, .. } if [0, counter].contains(&reply.counter));
        if let Some(unix) = shown {
            // Whoever has asked: a command that has expired is told the time as well.
            let offset_ms = whole(unix).saturating_sub(whole(at_ms));
            self.state = State::Known { offset_ms, told_at: now };
            self.on_frame(at_ms, now);
        } else if told {
            self.state = match reply.verdict {
                Verdict::Limited => State::Unknown { tell_at: now + retry },
                _ => State::None,
            };
        } else if reply.verdict == Verdict::NoClock {
            // It does not know what it was taken to know: commands have no end until it is told again.
            self.state = State::Unknown { tell_at: now + retry };
        }
        told
    }

    /// How far the device's wall time is ahead of the host's, by its last frame; `None` if it does not know the time.
    pub(super) fn ahead_ms(&self) -> Option<i64> {
        matches!(self.state, State::Known { .. }).then_some(self.ahead_ms).flatten()
    }

    /// The second at which a command that is signed now expires, if the device can judge it.
    ///
    /// By the later of the two clocks. What the device has kept while the line was down makes its own look late.
    pub(super) fn expiry(&self, lifetime: Duration, now: Instant) -> Option<u64> {
        let State::Known { offset_ms, .. } = self.state else { return None };
        let (at_ms, came) = self.last?;
        let there = offset_ms.saturating_add(at_ms).saturating_add(whole(now.since(came).as_millis()));
        let unix = u64::try_from(there).unwrap_or(0).max(unix_ms().unwrap_or(0));
        Some(unix.saturating_add(lifetime.as_millis()).div_ceil(1_000))
    }
}

fn whole(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

fn unix_ms() -> Option<u64> {
    SystemWallClock.unix_now().map(UnixTime::as_millis)
}

/// Signs commands to one device.
pub(super) struct Signer {
    device: DeviceId,
    keys: Keys<1>,
}

impl Signer {
    /// # Errors
    /// [`SendError::NoKey`] if there is no fleet key, or one that is too short.
    pub(super) fn new(fleet_key: Option<&Arc<[u8]>>, device: DeviceId) -> Result<Self, SendError> {
        let fleet_key = fleet_key.ok_or(SendError::NoKey)?;
        let key = derive_device_key(fleet_key, &device);
        let keys = Keys::new(token::Config::command(&device), None, &key).map_err(|_| SendError::NoKey)?;
        Ok(Self { device, keys })
    }

    /// The line that carries a command of `user`.
    ///
    /// # Errors
    /// [`SendError::TooLong`].
    pub(super) fn line(
        &self,
        (nonce, counter): (u64, u64),
        (user, permissions): (Text<32>, Permissions),
        command: Text<64>,
        exp: Option<u64>,
    ) -> Result<Vec<u8>, SendError> {
        let claims = Claims { exp, ..Claims::command(&self.device, nonce, counter, user, permissions, command) };
        let mut text = [0; MAX_DOWNLINK];
        let token = self.keys.sign(&claims, &mut text).map_err(|_| SendError::TooLong)?;
        let mut line = vec![0; MAX_DOWNLINK_ENCODED];
        let len = Downlink::Command { token }.encode(&mut line).map_err(|_| SendError::TooLong)?;
        line.truncate(len);
        Ok(line)
    }

    /// The line that tells the time. It does not expire: the device cannot judge that yet.
    pub(super) fn time(&self, nonce: u64, counter: u64) -> Option<Vec<u8>> {
        let command = Text::cut(&format!("set-time {}", unix_ms()?));
        self.line((nonce, counter), (Text::cut(HOST), Permissions::ALL), command, None).ok()
    }
}
