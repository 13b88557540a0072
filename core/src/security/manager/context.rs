//! Who is asking, for code that must know and need not know how it was found out.

use super::Denied;
use crate::security::permission::Permissions;
use crate::security::session::Session;
use crate::security::token::Claims;

/// Names who is asking, and what they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identity<'a> {
    /// The user's name.
    pub user: &'a str,
    /// What is granted.
    pub permissions: Permissions,
}

/// Knows who is asking: what `#[require_auth]` and `#[require_permission]` look for among a function's arguments.
///
/// Verified [`Claims`], a resumed [`Session`], a reference to one, an `Option` of one (nobody has logged in). The
/// proof was given when the value was made: a context is not verified again.
///
/// # Example
/// ```
/// use daur_core::security::manager::{Context, Denied, Identity, require, require_auth};
/// use daur_core::security::permission::Permissions;
///
/// struct Request {
///     user: Option<&'static str>,
/// }
///
/// impl Context for Request {
///     fn identity(&self) -> Option<Identity<'_>> {
///         self.user.map(|user| Identity { user, permissions: Permissions::READ })
///     }
/// }
///
/// assert_eq!(require_auth(&Request { user: None }), Err(Denied::Unauthenticated));
/// assert_eq!(require(&Request { user: Some("alice") }, Permissions::READ), Ok(()));
/// assert_eq!(require(&Request { user: Some("alice") }, Permissions::ADMIN), Err(Denied::Forbidden));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say who is asking",
    label = "not a `Context`",
    note = "pass verified `Claims`, a `Session`, or a type that implements `security::manager::Context`"
)]
pub trait Context {
    /// Who is asking; `None` if nobody has proved to be anybody, and an empty name says the same.
    fn identity(&self) -> Option<Identity<'_>>;

    /// Told of each refusal, for the audit. Does nothing unless it is written.
    fn denied(&self, _why: Denied) {}
}

impl Context for Claims {
    /// `None` for claims without a name, and for those of a single command.
    fn identity(&self) -> Option<Identity<'_>> {
        (!self.sub.is_empty() && self.cmd.is_none())
            .then_some(Identity { user: self.sub.as_str(), permissions: self.permissions })
    }
}

impl Context for Session {
    fn identity(&self) -> Option<Identity<'_>> {
        Some(Identity { user: self.user.as_str(), permissions: self.permissions })
    }
}

impl Context for Identity<'_> {
    fn identity(&self) -> Option<Identity<'_>> {
        Some(*self)
    }
}

impl<T: Context + ?Sized> Context for &T {
    fn identity(&self) -> Option<Identity<'_>> {
        (**self).identity()
    }

    fn denied(&self, why: Denied) {
        (**self).denied(why);
    }
}

impl<T: Context + ?Sized> Context for &mut T {
    fn identity(&self) -> Option<Identity<'_>> {
        (**self).identity()
    }

    fn denied(&self, why: Denied) {
        (**self).denied(why);
    }
}

impl<T: Context> Context for Option<T> {
    fn identity(&self) -> Option<Identity<'_>> {
        self.as_ref()?.identity()
    }

    fn denied(&self, why: Denied) {
        if let Some(context) = self {
            context.denied(why);
        }
    }
}

/// Who is asking; a name that is empty is nobody's.
pub(super) fn identity<C: Context + ?Sized>(context: &C) -> Option<Identity<'_>> {
    context.identity().filter(|identity| !identity.user.is_empty())
}

/// Refuses who has not logged in; the context is told.
///
/// # Errors
/// [`Denied::Unauthenticated`].
pub fn require_auth<C: Context + ?Sized>(context: &C) -> Result<(), Denied> {
    require(context, Permissions::NONE)
}

/// Refuses who has not logged in or lacks one of `needed`; the context is told.
///
/// # Errors
/// [`Denied::Unauthenticated`], [`Denied::Forbidden`].
pub fn require<C: Context + ?Sized>(context: &C, needed: Permissions) -> Result<(), Denied> {
    let why = match identity(context) {
        None => Denied::Unauthenticated,
        Some(identity) if identity.permissions.contains(needed) => return Ok(()),
        Some(_) => Denied::Forbidden,
    };
    context.denied(why);
    Err(why)
}
