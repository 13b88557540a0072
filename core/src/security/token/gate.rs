//! The device's side of a command token.

use super::{Claims, Error};
use crate::security::permission::Permissions;
use crate::text::Text;

/// Admits each signed command to a device once.
///
/// For a device without a wall clock, where `exp` means nothing: [`Claims::command`] binds a command to one device,
/// one of its lives (the nonce that it drew at boot) and a counter.
///
/// # Rules
/// 1. A command of another life is refused, and so is a counter that is not above the last one.
/// 2. A command without the permission that it needs is refused, and its counter is spent.
///
/// # Cost
/// 16 bytes.
///
/// # Example
/// ```
/// use daur_core::id::DeviceId;
/// use daur_core::security::permission::Permissions;
/// use daur_core::security::token::{Claims, Config, Error, Gate, Keys};
/// use daur_core::text::Text;
///
/// let device = DeviceId::new("boiler-7").unwrap();
/// let keys: Keys<1> = Keys::new(Config::command(&device), None, &[7; 32]).unwrap();
/// let nonce = 0x1234; // drawn at boot and told in `Hello`
///
/// // On the host:
/// let user = Text::new("alice").unwrap();
/// let text = Text::new("set-interval 500").unwrap();
/// let mut buffer = [0; 512];
/// let claims = Claims::command(&device, nonce, 1, user, Permissions::WRITE, text);
/// let token = keys.sign(&claims, &mut buffer).unwrap();
///
/// // On the device:
/// let mut gate = Gate::new(nonce);
/// let claims = keys.verify(token, None).unwrap();
/// assert_eq!(gate.admit(&claims, Permissions::WRITE).unwrap(), "set-interval 500");
/// assert_eq!(gate.admit(&claims, Permissions::WRITE), Err(Error::Replayed));
/// ```
#[derive(Debug)]
pub struct Gate {
    nonce: u64,
    last: u64,
}

impl Gate {
    /// For a device that has just started with this boot nonce.
    #[must_use]
    pub const fn new(nonce: u64) -> Self {
        Self { nonce, last: 0 }
    }

    /// Admits verified claims and gives their command.
    ///
    /// # Errors
    /// [`Error::Missing`] if they are not those of a command, [`Error::Replayed`], [`Error::Permission`].
    pub fn admit(&mut self, claims: &Claims, needed: Permissions) -> Result<Text<64>, Error> {
        let (nonce, counter) = claims.nonce_and_counter().ok_or(Error::Missing)?;
        let command = claims.cmd.ok_or(Error::Missing)?;
        if nonce != self.nonce || counter <= self.last {
            return Err(Error::Replayed);
        }
        self.last = counter;
        if !claims.permissions.contains(needed) {
            return Err(Error::Permission);
        }
        Ok(command)
    }

    /// The highest counter admitted; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DeviceId;

    fn claims(nonce: u64, counter: u64) -> Claims {
        let device = DeviceId::new("d").unwrap();
        Claims::command(&device, nonce, counter, Text::EMPTY, Permissions::WRITE, Text::cut("stop"))
    }

    #[test]
    fn a_command_of_another_life_or_an_old_counter_is_refused() {
        let mut gate = Gate::new(7);
        assert_eq!(gate.admit(&claims(7, 0), Permissions::WRITE), Err(Error::Replayed));
        assert_eq!(gate.admit(&claims(7, 5), Permissions::WRITE), Ok(Text::cut("stop")));
        for (nonce, counter) in [(7, 5), (7, 4), (6, 6), (8, 6)] {
            assert_eq!(gate.admit(&claims(nonce, counter), Permissions::WRITE), Err(Error::Replayed));
        }
        assert_eq!(gate.admit(&claims(7, u64::MAX), Permissions::WRITE), Ok(Text::cut("stop")));
    }

    #[test]
    fn a_command_without_its_permission_is_refused_and_spent() {
        let mut gate = Gate::new(7);
        assert_eq!(gate.admit(&claims(7, 1), Permissions::ADMIN), Err(Error::Permission));
        assert_eq!(gate.admit(&claims(7, 1), Permissions::WRITE), Err(Error::Replayed));
        assert_eq!(gate.admit(&Claims::default(), Permissions::NONE), Err(Error::Missing));
        assert_eq!(gate.last(), 1);
    }
}
