//! What an answer is kept under.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ExprClosure, FnArg, ReturnType, Type};

use super::types;
use crate::args::{Args, Flavour, Roots};
use crate::fallback::as_tuple;
use crate::function::{Function, ungrouped};

/// The largest tuple that the host can look up by its parts.
const MOST: usize = 8;

/// How a call is told from others.
pub(super) struct Key {
    pub(super) key_type: TokenStream,
    /// The types in it as they were written.
    pub(super) types: Vec<Type>,
    /// An expression of it; on a host, of what it can be found by.
    pub(super) given: TokenStream,
}

pub(super) fn of(args: &mut Args, roots: &Roots, function: &mut Function, is_named: bool) -> Key {
    match args.take("key") {
        Some(Expr::Closure(closure)) => by_closure(args, roots, function, closure, is_named),
        Some(other) => {
            args.error(other.span(), "`key` must be a closure: `key = |argument, ..| -> Type { .. }`");
            Key { key_type: TokenStream::new(), types: Vec::new(), given: TokenStream::new() }
        }
        None => of_arguments(args, roots, function),
    }
}

/// A closure makes it: of a reference to each argument.
fn by_closure(
    args: &mut Args,
    roots: &Roots,
    function: &mut Function,
    mut closure: ExprClosure,
    is_named: bool,
) -> Key {
    let Roots { root, core, .. } = roots;
    let arity = function.arity();
    if closure.inputs.len() != arity {
        let wanted = if arity == 1 {
            "one parameter, a reference to the argument".to_owned()
        } else {
            format!("{arity} parameters, a reference to each argument")
        };
        args.error(closure.span(), format!("`key` takes {wanted}"));
    }
    if let Some(asyncness) = &closure.asyncness {
        args.error(asyncness.span(), "`key` cannot be async");
    }
    let (key_type, types) = match &closure.output {
        ReturnType::Type(_, given) => {
            if let Some(span) = types::borrowed(given) {
                args.error(span, "a key is kept, so that it cannot borrow from the arguments");
            }
            (quote!(#given), vec![(**given).clone()])
        }
        ReturnType::Default if is_named => (quote!(_), Vec::new()),
        ReturnType::Default => {
            let message = "`key` must say its type, which the cache is made of: `key = |..| -> Type { .. }`";
            args.error(closure.span(), message);
            (quote!(_), Vec::new())
        }
    };
    let arguments = arguments(args, function, "`key` is given a reference to this argument");
    closure.inputs = as_tuple(&closure.inputs);
    let made = quote!(#core::attributes::rescue((#(#arguments,)*), #closure));
    let given = match roots.flavour {
        Flavour::Core => made,
        Flavour::Std => quote!(#root::performance::memoize::Key(#made)),
    };
    Key { key_type, types, given }
}

/// The arguments' tuple, each one owned.
fn of_arguments(args: &mut Args, roots: &Roots, function: &mut Function) -> Key {
    const SAY: &str = "say what is the key: `key = |argument, ..| -> Type { .. }`";
    let mut types = Vec::new();
    for argument in function.inputs() {
        let argument = match argument {
            FnArg::Receiver(receiver) => {
                args.error(receiver.span(), format!("`#[memoize]` does not know what of `self` matters: {SAY}"));
                continue;
            }
            FnArg::Typed(argument) => argument,
        };
        let owned = match ungrouped(&argument.ty) {
            Type::Reference(lent) if lent.mutability.is_some() => {
                let message = format!("an argument that the body may change is no part of a key; {SAY}");
                args.error(argument.ty.span(), message);
                continue;
            }
            Type::Reference(lent) => &*lent.elem,
            owned => owned,
        };
        if let Some(span) = types::hidden(owned) {
            args.error(span, format!("a key's type must be named; {SAY}"));
        } else if let Some(span) = types::borrowed(owned) {
            args.error(span, format!("a key is kept, so that it cannot borrow; {SAY}"));
        } else if roots.flavour == Flavour::Core
            && matches!(ungrouped(owned), Type::Slice(_) | Type::TraitObject(_)) | is_text(owned)
        {
            args.error(argument.ty.span(), format!("without a host, nothing can own a copy of this; {SAY}"));
        } else {
            types.push(owned.clone());
        }
    }
    if function.arity() > MOST {
        args.error(function.name_span(), format!("a key of more than {MOST} arguments is too much; {SAY}"));
    }
    let arguments = arguments(args, function, "this argument is part of the key");
    let parts = types.iter().map(|part| match roots.flavour {
        Flavour::Core => quote!(#part),
        Flavour::Std => quote_spanned!(part.span()=> <#part as ::std::borrow::ToOwned>::Owned),
    });
    let key_type = quote!((#(#parts,)*));
    let given = match roots.flavour {
        Flavour::Core => quote!((#(::core::clone::Clone::clone(#arguments),)*)),
        Flavour::Std => quote!((#(#arguments,)*)),
    };
    Key { key_type, types, given }
}

fn is_text(given: &Type) -> bool {
    matches!(ungrouped(given), Type::Path(path) if path.path.is_ident("str"))
}

fn arguments(args: &mut Args, function: &mut Function, why: &str) -> Vec<TokenStream> {
    function.arguments(&format!("{why}, for which it needs a plain name")).unwrap_or_else(|error| {
        args.errors(error);
        Vec::new()
    })
}
