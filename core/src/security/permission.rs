//! What may be granted: three permissions that every service has, and the scopes of its own.

use core::fmt;

/// Holds a set of permissions in one word.
///
/// The seed's permission list. No permission implies another: who may `admin` but not `read`, may not read. The three
/// names here are everybody's; an application's own, such as `reports.read`, are named by its [`Scopes`].
///
/// # Rules
/// 1. A name that is not a permission is refused, never ignored.
/// 2. A set contains another if it has all of its members; every set contains the empty one.
/// 3. A scope has a bit and no name here: it is shown as `scope3` to `scope31` and never read from that.
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
#[doc(alias = "permissions")]
pub struct Permissions(u32);

/// Says that a text names no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnknownPermission;

impl fmt::Display for UnknownPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a permission: expected read, write, admin or a scope of this service, separated by commas")
    }
}

impl core::error::Error for UnknownPermission {}

/// Every permission and its name. Append only: the numbers are stored and sent.
const NAMES: [&str; 3] = ["read", "write", "admin"];

/// Scopes that an application may have: the bits that [`Permissions`] leaves.
pub const MAX_SCOPES: usize = 32 - NAMES.len();
/// What the reader of claims keeps of a text.
const MAX_NAME: usize = 64;

impl Permissions {
    /// Nothing is granted.
    pub const NONE: Self = Self(0);
    /// To see.
    pub const READ: Self = Self(1);
    /// To run commands.
    pub const WRITE: Self = Self(2);
    /// To change who may what, and how the service behaves.
    pub const ADMIN: Self = Self(4);
    /// The three together; no scope.
    pub const ALL: Self = Self(7);

    /// The set as a word; what is stored.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of a word; `None` if it has a bit that is none of the three. With scopes: [`Scopes::from_bits`].
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        Scopes::DEFAULT.from_bits(bits)
    }

    /// Reads names separated by commas; the empty text is the empty set. With scopes: [`Scopes::parse`].
    ///
    /// # Errors
    /// [`UnknownPermission`] if a name is none of the three.
    pub fn parse(text: &str) -> Result<Self, UnknownPermission> {
        Scopes::DEFAULT.parse(text)
    }

    /// The permission of that name, of the three. With scopes: [`Scopes::by_name`].
    #[must_use]
    pub const fn by_name(name: &str) -> Option<Self> {
        Scopes::DEFAULT.by_name(name)
    }

    /// The names of the set's members, of the three. With scopes: [`Scopes::names`].
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Scopes::DEFAULT.names(self)
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

    /// The set's members without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is granted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is to be shown for each member.
    fn shown(self) -> impl Iterator<Item = Shown> {
        (0..32).filter(move |bit| self.0 >> bit & 1 == 1).map(Shown)
    }
}

/// A bit as it is shown: by its name, or as a scope whose name is elsewhere.
struct Shown(u32);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().zip(0..).find(|(_, bit)| *bit == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "scope{}", self.0),
        }
    }
}

impl fmt::Display for Permissions {
    /// The names, separated by commas; a scope as `scope3` to `scope31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for shown in self.shown() {
            f.write_str(comma)?;
            shown.fmt(f)?;
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Permissions {
    /// A list of what is shown.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut list = serializer.serialize_seq(Some(self.0.count_ones() as usize))?;
        for shown in self.shown() {
            list.serialize_element(&format_args!("{shown}"))?;
        }
        list.end()
    }
}

/// Names an application's own permissions: dotted scopes, beside the three that everybody has.
///
/// Give it to [`token::Config::scopes`](super::token::Config::scopes), so that tokens carry the names, and to whatever
/// reads a set from a text. A scope implies nothing: `reports` does not grant `reports.read`.
///
/// # Rules
/// 1. A scope is `[a-z0-9_]+` or several of these with a dot between, and has at most 64 bytes, since more of a name
///    is not read in a token; at most [`MAX_SCOPES`], none twice, none of the three.
/// 2. The first scope is bit 3 of the set, the next bit 4: the list is append-only where sets are stored.
/// 3. A name that is not in the list is refused; in a token, where other services' scopes may stand, it grants nothing.
///
/// # Cost
/// A pointer and a length. Reading a name compares it with each that is as long.
///
/// # Example
/// ```
/// use daur_core::security::permission::{Permissions, Scopes};
///
/// const SCOPES: Scopes = Scopes::new(&["reports.read", "reports.publish"]);
/// const PUBLISH: Permissions = SCOPES.by_name("reports.publish").unwrap();
///
/// let granted = SCOPES.parse("read,reports.publish").unwrap();
/// assert!(granted.contains(PUBLISH) && granted.contains(Permissions::READ));
/// assert!(SCOPES.names(granted).eq(["read", "reports.publish"]));
/// assert!(SCOPES.parse("reports").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    own: &'static [&'static str],
}

/// Says why a list of scopes cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ScopeError {
    /// More than [`MAX_SCOPES`].
    TooMany,
    /// A name is not `[a-z0-9_]+` or several of these with a dot between, or has more than 64 bytes.
    Name,
    /// A name stands twice, or is one of the three that everybody has.
    Duplicate,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "scopes: at most 29 are possible",
            Self::Name => "scopes: a name has at most 64 characters of a-z 0-9 _, and single dots between them",
            Self::Duplicate => "scopes: a name stands twice, or is read, write or admin",
        })
    }
}

impl core::error::Error for ScopeError {}

impl Scopes {
    /// No scopes: the three permissions alone.
    pub const DEFAULT: Self = Self { own: &[] };

    /// The scopes of these names.
    ///
    /// # Panics
    /// If a name cannot be: in a `static` or `const`, an error of the compiler. Names that are read at run time go
    /// to [`Scopes::try_new`].
    #[must_use]
    pub const fn new(names: &'static [&'static str]) -> Self {
        assert!(check(names).is_ok(), "invalid Scopes: see Scopes::try_new");
        Self { own: names }
    }

    /// The scopes of these names, if all of them can be.
    ///
    /// # Errors
    /// [`ScopeError`]: the first rule that one breaks.
    pub const fn try_new(names: &'static [&'static str]) -> Result<Self, ScopeError> {
        match check(names) {
            Ok(()) => Ok(Self { own: names }),
            Err(why) => Err(why),
        }
    }

    /// The permission or scope of that name, alone in its set.
    #[must_use]
    pub const fn by_name(&self, name: &str) -> Option<Permissions> {
        let three = Permissions::ALL.0.count_ones();
        let place = match place(&NAMES, name) {
            Some(place) => place,
            None => match place(self.own, name) {
                Some(place) => place + three,
                None => return None,
            },
        };
        Some(Permissions(1 << (place & 31)))
    }

    /// Reads names separated by commas; the empty text is the empty set.
    ///
    /// # Errors
    /// [`UnknownPermission`] if a name is not one of them.
    pub fn parse(&self, text: &str) -> Result<Permissions, UnknownPermission> {
        let mut all = Permissions::NONE;
        if text.trim().is_empty() {
            return Ok(all);
        }
        for name in text.split(',') {
            all = all.with(self.by_name(name.trim()).ok_or(UnknownPermission)?);
        }
        Ok(all)
    }

    /// The set of a word; `None` if it has a bit that has no name here.
    #[must_use]
    pub const fn from_bits(&self, bits: u32) -> Option<Permissions> {
        if bits & !self.all().0 == 0 { Some(Permissions(bits)) } else { None }
    }

    /// The three and every scope.
    #[must_use]
    pub const fn all(&self) -> Permissions {
        let bits = NAMES.len() + self.own.len();
        Permissions(if bits < 32 { (1 << bits) - 1 } else { u32::MAX })
    }

    /// The names of a set's members; those without a name here are left out.
    pub fn names(&self, of: Permissions) -> impl Iterator<Item = &'static str> {
        let names = NAMES.iter().chain(self.own).copied();
        names.zip(0..).filter(move |(_, bit)| of.0 >> (bit & 31) & 1 == 1).map(|(name, _): (_, u32)| name)
    }
}

impl Default for Scopes {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Where `name` stands in `names`.
const fn place(mut names: &[&str], name: &str) -> Option<u32> {
    let mut at = 0;
    while let Some((first, rest)) = names.split_first() {
        if equal(first.as_bytes(), name.as_bytes()) {
            return Some(at);
        }
        (names, at) = (rest, at + 1);
    }
    None
}

/// Whether two texts are equal; the compiler's own comparison is not `const`.
const fn equal(mut a: &[u8], mut b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    while let (Some((first, a_rest)), Some((second, b_rest))) = (a.split_first(), b.split_first()) {
        if *first != *second {
            return false;
        }
        (a, b) = (a_rest, b_rest);
    }
    true
}

const fn check(mut names: &[&str]) -> Result<(), ScopeError> {
    if names.len() > MAX_SCOPES {
        return Err(ScopeError::TooMany);
    }
    while let Some((name, rest)) = names.split_first() {
        if name.len() > MAX_NAME || !dotted(name.as_bytes()) {
            return Err(ScopeError::Name);
        }
        if place(&NAMES, name).is_some() || place(rest, name).is_some() {
            return Err(ScopeError::Duplicate);
        }
        names = rest;
    }
    Ok(())
}

/// Whether a name is words of `[a-z0-9_]` with single dots between.
const fn dotted(mut name: &[u8]) -> bool {
    let mut word = false;
    while let Some((first, rest)) = name.split_first() {
        word = match *first {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => true,
            b'.' if word => false,
            _ => return false,
        };
        name = rest;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const SCOPES: Scopes = Scopes::new(&["reports.read", "reports.publish", "a_1"]);

    #[test]
    fn rule_1_a_name_that_is_no_permission_is_refused() {
        for text in ["root", "read,", "read,,write", "READ", "read write", "scope3", "reports.read"] {
            assert_eq!(Permissions::parse(text), Err(UnknownPermission), "{text}");
        }
        assert_eq!(Permissions::from_bits(8), None);
    }

    #[test]
    fn rule_2_a_set_contains_what_it_has() {
        let set = Permissions::parse(" read, admin ").unwrap();
        assert!(set.contains(Permissions::NONE) && set.contains(set) && set.contains(Permissions::READ));
        assert!(!set.contains(Permissions::WRITE) && !set.contains(Permissions::ALL));
        assert_eq!(set.without(Permissions::READ.with(Permissions::WRITE)), Permissions::ADMIN);
    }

    #[test]
    fn a_set_reads_back_as_printed_and_as_stored() {
        for bits in 0..8 {
            let set = Permissions::from_bits(bits).unwrap();
            assert_eq!(Permissions::parse(&set.to_string()), Ok(set));
            assert_eq!(set.bits(), bits);
        }
    }

    #[test]
    fn rule_3_a_scope_is_shown_though_its_name_is_elsewhere() {
        let set = SCOPES.parse("write,reports.publish").unwrap();
        assert_eq!(set.to_string(), "write,scope4");
        assert!(set.names().eq(["write"]));
        assert_eq!(Permissions(1 << 31).to_string(), "scope31");
    }

    /// A list that lives as long as the program.
    fn list(names: &[&str]) -> &'static [&'static str] {
        let names: Vec<&'static str> = names.iter().map(|name| &*String::from(*name).leak()).collect();
        Box::leak(names.into_boxed_slice())
    }

    #[test]
    fn scopes_rule_1_only_dotted_names_once_and_no_more_than_there_are_bits() {
        let refused = |names: &[&str]| Scopes::try_new(list(names)).err();
        for bad in ["", ".", "a.", ".a", "a..b", "A", "a b", "a,b", "a-b", "a:b", "ж", "a\0", "a\"b", "read "] {
            assert_eq!(refused(&[bad]), Some(ScopeError::Name), "{bad}");
        }
        let longest = "a".repeat(64);
        assert_eq!((refused(&[&longest]), refused(&[&format!("{longest}a")])), (None, Some(ScopeError::Name)));
        for good in ["a", "a.b", "reports.read", "read.all", "0", "_", "a_b.c_d.e"] {
            assert_eq!(refused(&[good]), None, "{good}");
        }
        assert_eq!(refused(&["a", "b", "a"]), Some(ScopeError::Duplicate));
        for three in ["read", "write", "admin"] {
            assert_eq!(refused(&["a", three]), Some(ScopeError::Duplicate));
        }
        let many: Vec<String> = (0..=MAX_SCOPES).map(|n| format!("s{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(refused(&many), Some(ScopeError::TooMany));
        let most = Scopes::try_new(list(&many[..MAX_SCOPES])).unwrap();
        assert_eq!(most.all().bits(), u32::MAX);
        assert_eq!(most.by_name("s28").map(Permissions::bits), Some(1 << 31));
        assert_eq!(most.names(most.all()).count(), 32);
    }

    #[test]
    fn scopes_rule_2_each_has_its_bit_in_the_order_of_the_list() {
        let bits = |name| SCOPES.by_name(name).map(Permissions::bits);
        let all = ["read", "write", "admin", "reports.read", "reports.publish", "a_1"];
        assert_eq!(all.map(bits), [1, 2, 4, 8, 16, 32].map(Some));
        assert_eq!((SCOPES.all().bits(), Scopes::default().all()), (63, Permissions::ALL));
        assert_eq!(SCOPES.from_bits(63), Some(SCOPES.all()));
        assert_eq!(SCOPES.from_bits(64), None);
        assert!(SCOPES.names(SCOPES.all()).eq(all));
    }

    #[test]
    fn scopes_rule_3_a_name_that_is_not_in_the_list_is_refused() {
        for text in ["reports", "reports.", "reports.read.all", "reports.reaD", "reports.read,root", "scope3", "*"] {
            assert_eq!(SCOPES.parse(text), Err(UnknownPermission), "{text}");
        }
        assert_eq!(SCOPES.parse(""), Ok(Permissions::NONE));
        let both = ["reports.read", "a_1"];
        assert_eq!(SCOPES.parse(&both.join(" , ")).map(Permissions::bits), Ok(40));
    }
}
