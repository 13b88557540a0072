//! Arguments as keys: kept as a tuple of what they own, and found by a tuple of references.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// What an answer is kept under: a type of its own, so that a tuple can be found by its parts. Where the attribute's
/// `key` makes it, wrap the same to ask for it: `Key(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<K>(pub K);

impl<K: Hash> Hash for Key<K> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// What an answer can be found by: a tuple of references to the arguments, or the [`Key`] itself.
pub trait Arguments<K> {
    /// What a key can be borrowed as.
    type Lent: Hash + Eq + ?Sized;

    /// The arguments as that.
    fn lent(&self) -> &Self::Lent;

    /// The arguments as a key.
    fn own(self) -> Key<K>;
}

impl<K: Hash + Eq> Arguments<K> for Key<K> {
    type Lent = Self;

    fn lent(&self) -> &Self {
        self
    }

    fn own(self) -> Self {
        self
    }
}

impl Arguments<()> for () {
    type Lent = Key<()>;

    fn lent(&self) -> &Key<()> {
        &Key(())
    }

    fn own(self) -> Key<()> {
        Key(())
    }
}

macro_rules! arguments {
    ($Parts:ident: $($part:ident $Owned:ident $at:tt),+) => {
        /// The parts of a key, kept or not.
        pub trait $Parts<$($part: ?Sized),+> {
            /// The parts.
            fn parts(&self) -> ($(&$part,)+);
        }

        impl<$($part: ?Sized),+> $Parts<$($part),+> for ($(&$part,)+) {
            #[inline]
            fn parts(&self) -> ($(&$part,)+) {
                *self
            }
        }

        impl<$($part: ?Sized, $Owned: Borrow<$part>),+> $Parts<$($part),+> for Key<($($Owned,)+)> {
            #[inline]
            fn parts(&self) -> ($(&$part,)+) {
                ($(self.0.$at.borrow(),)+)
            }
        }

        impl<$($part: Hash + ?Sized),+> Hash for dyn $Parts<$($part),+> + '_ {
            /// As a tuple hashes.
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                let parts = self.parts();
                $(parts.$at.hash(state);)+
            }
        }

        impl<$($part: Eq + ?Sized),+> PartialEq for dyn $Parts<$($part),+> + '_ {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.parts() == other.parts()
            }
        }

        impl<$($part: Eq + ?Sized),+> Eq for dyn $Parts<$($part),+> + '_ {}

        impl<'x, $($part: ?Sized + 'x, $Owned: Borrow<$part> + 'x),+> Borrow<dyn $Parts<$($part),+> + 'x>
            for Key<($($Owned,)+)>
        {
            #[inline]
            fn borrow(&self) -> &(dyn $Parts<$($part),+> + 'x) {
                self
            }
        }

        impl<'x, $($part: Hash + Eq + ToOwned + ?Sized),+> Arguments<($($part::Owned,)+)> for ($(&'x $part,)+) {
            type Lent = dyn $Parts<$($part),+> + 'x;

            #[inline]
            fn lent(&self) -> &Self::Lent {
                self
            }

            fn own(self) -> Key<($($part::Owned,)+)> {
                Key(($(self.$at.to_owned(),)+))
            }
        }
    };
}

arguments!(Parts1: A1 O1 0);
arguments!(Parts2: A1 O1 0, A2 O2 1);
arguments!(Parts3: A1 O1 0, A2 O2 1, A3 O3 2);
arguments!(Parts4: A1 O1 0, A2 O2 1, A3 O3 2, A4 O4 3);
arguments!(Parts5: A1 O1 0, A2 O2 1, A3 O3 2, A4 O4 3, A5 O5 4);
arguments!(Parts6: A1 O1 0, A2 O2 1, A3 O3 2, A4 O4 3, A5 O5 4, A6 O6 5);
arguments!(Parts7: A1 O1 0, A2 O2 1, A3 O3 2, A4 O4 3, A5 O5 4, A6 O6 5, A7 O7 6);
arguments!(Parts8: A1 O1 0, A2 O2 1, A3 O3 2, A4 O4 3, A5 O5 4, A6 O6 5, A7 O7 6, A8 O8 7);
