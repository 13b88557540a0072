//! `#[parallelize]`.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, FnArg, Ident, Pat, ReturnType, Type};

use crate::args::{Args, Placed, is_made_at_run_time, text};
use crate::function::{Function, ungrouped};

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check_const("parallelize", "it starts threads")?;
    let root = args.roots().root;
    let workers = workers(&mut args, &root);
    let parallel = match args.take("on").map(|on| (text(&on), on.span())) {
        None => quote!(#root::performance::parallel),
        Some((Some(on), _)) if on == "threads" => quote!(#root::performance::parallel),
        // Where it is written, since the module may not be there.
        Some((Some(on), span)) if on == "rayon" => quote_spanned!(span=> #root::performance::parallel::rayon),
        Some((_, span)) => {
            args.error(span, "`on` must be \"threads\", or \"rayon\", which needs the feature `rayon` of `daur-std`");
            TokenStream::new()
        }
    };
    if function.is_async() {
        let message = "`#[parallelize]` cannot stand on an async function, whose executor would wait for the threads: \
                       call a plain function, by `spawn_blocking`";
        args.error(function.async_span(), message);
    }
    let mut arguments = Arguments::default();
    for argument in function.inputs() {
        if let Err(error) = arguments.take(argument) {
            args.errors(error);
        }
    }
    let Some((input, part)) = arguments.input else {
        if !arguments.is_refused {
            let message = "`#[parallelize]` splits the first argument, a slice or a `Vec`: there is none";
            args.error(function.name_span(), message);
        }
        return args.finish();
    };
    args.finish()?;

    let (own, body) = (&arguments.own, function.body());
    let result = match function.return_type() {
        ReturnType::Type(_, output) if function.output().is_some() => {
            // The closure has no return type, in which lifetimes left out would be others than the function's.
            quote_spanned!(output.span()=> #parallel::map_parts::<_, #output>)
        }
        _ => quote!(#parallel::map_parts),
    };
    function.wrap(quote! {
        #result(#input, #workers, |#part| {
            #(#own)*
            #body
        })
    });
    Ok(())
}

/// How many threads, as an expression.
fn workers(args: &mut Args, root: &TokenStream) -> TokenStream {
    let key = "num_workers";
    match args.take(key) {
        None => quote!(#root::performance::parallel::workers()),
        Some(given) if matches!(given, Expr::Path(_)) || is_made_at_run_time(&given) => given.to_token_stream(),
        Some(given) => match args.number(key, 1, &given) {
            Some(Placed { value, span }) => {
                let mut value = proc_macro2::Literal::u32_unsuffixed(value);
                value.set_span(span);
                quote!(#value)
            }
            None => TokenStream::new(),
        },
    }
}

/// What becomes of the function's arguments.
#[derive(Default)]
struct Arguments {
    /// What is split, and the pattern of one part.
    input: Option<(Ident, Pat)>,
    /// Whether what would have been split is wrong.
    is_refused: bool,
    /// Gives a part what it may consume.
    own: Vec<TokenStream>,
}

impl Arguments {
    fn take(&mut self, argument: &mut FnArg) -> syn::Result<()> {
        let argument = match argument {
            FnArg::Receiver(receiver) => {
                return match ungrouped(&receiver.ty) {
                    Type::Reference(lent) if lent.mutability.is_none() => Ok(()),
                    _ => Err(syn::Error::new(
                        receiver.span(),
                        "`#[parallelize]` shares `self` among the workers: it must be `&self`",
                    )),
                };
            }
            FnArg::Typed(argument) => argument,
        };
        let whole = argument.pat.clone();
        let lent = match ungrouped(&argument.ty) {
            Type::Reference(lent) => Some(lent.mutability.is_some()),
            _ => None,
        };
        let name = match &mut *argument.pat {
            Pat::Wild(_) if self.input.is_some() => return Ok(()),
            Pat::Ident(pat) if pat.subpat.is_none() && pat.by_ref.is_none() => {
                // It is the part's that may change.
                pat.mutability = None;
                pat.ident.clone()
            }
            pattern => {
                self.is_refused = self.input.is_none();
                let message = "`#[parallelize]` hands this argument to each worker, for which it needs a plain name";
                return Err(syn::Error::new(pattern.span(), message));
            }
        };
        if self.input.is_none() {
            self.input = Some((name, *whole));
            return Ok(());
        }
        match lent {
            Some(true) => Err(syn::Error::new(
                argument.ty.span(),
                "`#[parallelize]` shares this argument among the workers: it must be a `&`, or `Clone`; \
                 only the first one is split",
            )),
            Some(false) => Ok(()),
            None => {
                // A name that starts so is not used.
                if !name.to_string().starts_with('_') {
                    self.own.push(quote!(let #whole = ::core::clone::Clone::clone(&#name);));
                }
                Ok(())
            }
        }
    }
}
