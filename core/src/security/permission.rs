//! What may be granted.

use core::fmt;

/// Holds a set of permissions in one word.
///
/// The seed's permission list. No permission implies another: who may `admin` but not `read`, may not read.
///
/// # Rules
/// 1. A name that is not a permission is refused, never ignored.
/// 2. A set contains another if it has all of its members; every set contains the empty one.
///
/// # Cost
/// Four bytes.
///
/// # Example
/// ```
/// use daur_core::security::permission::Permissions;
///
/// let granted = Permissions::parse("read,write").unwrap();
/// assert!(granted.contains(Permissions::WRITE));
/// assert!(!granted.contains(Permissions::ADMIN));
/// assert!(Permissions::parse("root").is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Permissions(u32);

/// Says that a text names no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownPermission;

impl fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a permission: expected some of read, write, admin, separated by commas")
    }
}

impl core::error::Error for UnknownPermission {}

/// Every permission and its name. Append only: the numbers are stored and sent.
const NAMES: [(Permissions, &str); 3] =
    [(Permissions::READ, "read"), (Permissions::WRITE, "write"), (Permissions::ADMIN, "admin")];

impl Permissions {
    /// Nothing is granted.
    pub const NONE: Self = Self(0);
    /// To see.
    pub const READ: Self = Self(1);
    /// To run commands.
    pub const WRITE: Self = Self(2);
    /// To change who may what, and how the service behaves.
    pub const ADMIN: Self = Self(4);
    /// Everything.
    pub const ALL: Self = Self(7);

    /// The set as a word; what is stored.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of a word; `None` if it has a bit that is no permission.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// Reads names separated by commas; the empty text is the empty set.
    ///
    /// # Errors
    /// [`UnknownPermission`] if a name is not one of them.
    pub fn parse(text: &str) -> Result<Self, UnknownPermission> {
        let mut all = Self::NONE;
        if text.trim().is_empty() {
            return Ok(all);
        }
        for name in text.split(',') {
            all = all.with(Self::by_name(name.trim()).ok_or(UnknownPermission)?);
        }
        Ok(all)
    }

    /// The permission of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(permission, _)| *permission)
    }

    /// The names of the set's members.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(permission, _)| self.contains(*permission)).map(|(_, name)| *name)
    }

    /// Whether all of `needed` is granted.
    #[must_use]
    pub const fn contains(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// Both sets' members.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is granted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Permissions {
    /// The names, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for name in self.names() {
            f.write_str(comma)?;
            f.write_str(name)?;
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Permissions {
    /// A list of names.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_name_that_is_no_permission_is_refused() {
        for text in ["root", "read,", "read,,write", "READ", "read write"] {
            assert_eq!(Permissions::parse(text), Err(UnknownPermission), "{text}");
        }
        assert_eq!(Permissions::from_bits(8), None);
    }

    #[test]
    fn a_set_contains_what_it_has() {
        let set = Permissions::parse(" read, admin ").unwrap();
        assert!(set.contains(Permissions::NONE) && set.contains(set) && set.contains(Permissions::READ));
        assert!(!set.contains(Permissions::WRITE) && !set.contains(Permissions::ALL));
    }

    #[test]
    fn a_set_reads_back_as_printed_and_as_stored() {
        for bits in 0..8 {
            let set = Permissions::from_bits(bits).unwrap();
            assert_eq!(Permissions::parse(&set.to_string()), Ok(set));
            assert_eq!(set.bits(), bits);
        }
    }
}
