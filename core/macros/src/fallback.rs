//! The argument `fallback` of `#[retry]` and `#[circuit_breaker]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprClosure, Pat, ReturnType, Type};

use crate::args::{Args, Flavour, Roots};
use crate::function::Function;

/// Wraps `outcome`, an expression that gives the function's `Result`, if there is a `fallback`.
pub(crate) fn around(args: &mut Args, roots: &Roots, function: &mut Function, outcome: TokenStream) -> TokenStream {
    let Roots { root, core, .. } = roots;
    let answer = match args.take("fallback") {
        None => return outcome,
        Some(Expr::Path(path)) => by_path(args, core, function, &path),
        Some(Expr::Closure(closure)) => by_closure(args, core, function, closure),
        Some(other) => {
            args.error(other.span(), "`fallback` must be the path of a function, or a closure: `|error| ..`");
            return outcome;
        }
    };
    let name = function.name();
    let name = quote!(::core::concat!(::core::module_path!(), "::", #name));
    let (count, counted) = match args.flavour {
        Flavour::Core => (TokenStream::new(), name),
        Flavour::Std => {
            let uses = quote!(#root::attributes::Uses);
            (quote!(static __DAUR_USES: #uses = #uses::new(#name);), quote!(&__DAUR_USES))
        }
    };
    quote! {
        match #outcome {
            ::core::result::Result::Ok(__daur_value) => ::core::result::Result::Ok(__daur_value),
            ::core::result::Result::Err(__daur_error) => {
                {
                    use #root::attributes::AnyCause as _;
                    #count
                    #root::attributes::Cause(&__daur_error).note(#counted);
                }
                #answer
            }
        }
    }
}

/// A function says itself whether it wants the arguments: its type does.
fn by_path(args: &mut Args, core: &TokenStream, function: &mut Function, path: &syn::ExprPath) -> TokenStream {
    let arguments = arguments(args, function);
    let answer = quote!(#core::attributes::rescue_by(__daur_error, (#(#arguments,)*), #path));
    if function.is_async() {
        // Asked by the type as well: a future, or what it would give.
        quote!({
            use #core::attributes::LaterAnswer as _;
            #core::attributes::Answer(#answer).given().await
        })
    } else {
        answer
    }
}

/// A closure's parameters are there to be counted.
fn by_closure(args: &mut Args, core: &TokenStream, function: &mut Function, mut closure: ExprClosure) -> TokenStream {
    let count = closure.inputs.len();
    let all = function.arity() + 1;
    if count != 1 && count != all {
        let wanted = match all {
            1 => "one parameter, the error: the function has no arguments".to_owned(),
            _ => format!("one parameter, the error, or {all}: the error and a reference to each argument"),
        };
        args.error(closure.span(), format!("`fallback` takes {wanted}"));
        return quote!(::core::result::Result::Err(__daur_error));
    }
    let later = closure.asyncness.is_some() || matches!(*closure.body, Expr::Async(_));
    if later && !function.is_async() {
        args.error(closure.span(), "`fallback` cannot be async: the function is not");
    }
    if !later
        && matches!(closure.output, ReturnType::Default)
        && let Some(output) = function.output()
    {
        let body = &closure.body;
        *closure.body = syn::parse_quote!({ #body });
        closure.output = syn::parse_quote!(-> #output);
    }
    // One tuple instead of several parameters, so that one function can call them all.
    let given = if count == 1 {
        quote!(__daur_error)
    } else {
        let arguments = arguments(args, function);
        closure.inputs = as_tuple(&closure.inputs);
        quote!((__daur_error, #(#arguments,)*))
    };
    let answer = quote!(#core::attributes::rescue(#given, #closure));
    if later { quote!(#answer.await) } else { answer }
}

pub(crate) fn as_tuple(inputs: &Punctuated<Pat, syn::Token![,]>) -> Punctuated<Pat, syn::Token![,]> {
    let (patterns, types): (Vec<Pat>, Vec<Type>) = inputs
        .iter()
        .map(|input| match input {
            Pat::Type(typed) => ((*typed.pat).clone(), (*typed.ty).clone()),
            other => (other.clone(), syn::parse_quote!(_)),
        })
        .unzip();
    let tuple = syn::PatType {
        attrs: Vec::new(),
        pat: Box::new(syn::parse_quote!((#(#patterns,)*))),
        colon_token: syn::token::Colon::default(),
        ty: Box::new(syn::parse_quote!((#(#types,)*))),
    };
    Punctuated::from_iter([Pat::Type(tuple)])
}

fn arguments(args: &mut Args, function: &mut Function) -> Vec<TokenStream> {
    let message = "`fallback` is given a reference to this argument, which needs a plain name for that; \
                   a closure of the error alone is given none: `fallback = |error| ..`";
    function.arguments(message).unwrap_or_else(|error| {
        args.errors(error);
        Vec::new()
    })
}
