//! `#[require_auth]` and `#[require_permission]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, LitStr};

use crate::args::{Args, is_made_at_run_time};
use crate::function::Function;

/// The names by which an argument is taken for the context.
const NAMES: [&str; 4] = ["context", "ctx", "caller", "claims"];

/// What needs no table of scopes.
const PERMISSIONS: [(&str, &str); 3] = [("read", "READ"), ("write", "WRITE"), ("admin", "ADMIN")];

pub(crate) fn auth(mut args: Args, function: &mut Function) -> syn::Result<()> {
    let core = args.roots().core;
    guard(args, function, &core, &quote!(#core::security::permission::Permissions::NONE))
}

pub(crate) fn permission(mut args: Args, function: &mut Function) -> syn::Result<()> {
    let core = args.roots().core;
    let scopes = args.take_path_of("scopes", "a const or a static");
    let needed = match args.take_name() {
        Some(text) => needed(&mut args, &core, scopes.as_ref(), &text),
        None => {
            let message = "`#[require_permission]` needs to know which: `#[require_permission(\"admin\")]`";
            args.error(Span::call_site(), message);
            quote!(#core::security::permission::Permissions::NONE)
        }
    };
    guard(args, function, &core, &needed)
}

/// An expression of the set of permissions that `text` names; the compiler makes it a constant.
fn needed(args: &mut Args, core: &TokenStream, scopes: Option<&syn::Path>, text: &LitStr) -> TokenStream {
    let permissions = quote!(#core::security::permission::Permissions);
    let given = text.value();
    let mut set = quote!(#permissions::NONE);
    for name in given.split(',').map(str::trim) {
        let one = match (PERMISSIONS.iter().find(|(known, _)| *known == name), scopes) {
            (Some((_, known)), _) => {
                let known = syn::Ident::new(known, text.span());
                quote!(#permissions::#known)
            }
            (None, Some(scopes)) if !name.is_empty() => {
                let message = format!("the table has no scope `{name}`");
                quote!(match #scopes.by_name(#name) {
                    ::core::option::Option::Some(__daur_scope) => __daur_scope,
                    ::core::option::Option::None => ::core::panic!(#message),
                })
            }
            _ => {
                let hint = if scopes.is_some() { "" } else { "; for another, name its table: `scopes = PATH`" };
                let message = format!("no permission is called `{name}`: they are `read`, `write`, `admin`{hint}");
                args.error(text.span(), message);
                continue;
            }
        };
        set = quote!(#set.with(#one));
    }
    if scopes.is_some_and(|scopes| scopes.segments.first().is_some_and(|first| first.ident == "Self")) {
        // No item inside can say `Self`.
        return quote!(const { #set });
    }
    quote!({
        const __DAUR_NEEDED: #permissions = #set;
        __DAUR_NEEDED
    })
}

/// Puts the question in front of the body.
fn guard(mut args: Args, function: &mut Function, core: &TokenStream, needed: &TokenStream) -> syn::Result<()> {
    let attribute = args.attribute;
    let given = args.take("context");
    let context = match context(function, attribute, given) {
        Ok(context) => context,
        Err(error) => {
            args.errors(error);
            TokenStream::new()
        }
    };
    if let Err(error) = function.check_guard(attribute) {
        args.errors(error);
    }
    args.finish()?;
    // What is wrong with the context is told where it stands, and what is wrong with the error at the return type.
    let context = quote_spanned!(spanned(&context)=> &#context);
    let error = quote_spanned!(function.output_span()=> #core::attributes::FromDenied::from_denied(__daur_denied));
    function.guard(
        core,
        &quote! {
            if let ::core::result::Result::Err(__daur_denied) = #core::security::manager::require(#context, #needed) {
                return ::core::result::Result::Err(#error);
            }
        },
    );
    Ok(())
}

/// Where the first of some tokens stands.
fn spanned(tokens: &TokenStream) -> Span {
    tokens.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span())
}

/// What says who is asking: as the attribute says, else the first argument of a name that is known for it.
fn context(function: &Function, attribute: &str, given: Option<Expr>) -> syn::Result<TokenStream> {
    let arguments = function.argument_names();
    let Some(given) = given else {
        let found = arguments.iter().find(|name| NAMES.contains(&name.to_string().as_str()));
        return found.map(quote::ToTokens::to_token_stream).ok_or_else(|| {
            let message = format!(
                "`#[{attribute}]` needs to know who is asking: call an argument `context`, `ctx`, `caller` or \
                 `claims`, or say which it is: `context = NAME`, `context = self`"
            );
            syn::Error::new(function.name_span(), message)
        });
    };
    if let Expr::Path(path) = &given
        && let Some(name) = path.path.get_ident()
    {
        if arguments.contains(name) {
            return Ok(name.to_token_stream());
        }
        return Err(syn::Error::new(name.span(), format!("the function has no argument called `{name}`")));
    }
    if is_made_at_run_time(&given) {
        return Ok(quote!((#given)));
    }
    let message = "`context` must be an argument, or lead to one's: `self`, `self.caller`, `request.caller()`";
    Err(syn::Error::new(given.span(), message))
}
