//! `#[measure_time]`.

use proc_macro2::Span;
use quote::quote;

use crate::args::{Args, Flavour};
use crate::function::Function;

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check("measure_time")?;
    let roots = args.roots();
    let (root, core) = (&roots.root, &roots.core);

    let name = match args.take_name() {
        Some(name) if name.value().is_empty() => {
            args.error(name.span(), "an operation needs a name");
            quote!("")
        }
        Some(name) => quote!(#name),
        None => {
            let name = function.name();
            quote!(::core::concat!(::core::module_path!(), "::", #name))
        }
    };
    let profiler = match (args.take_place("profiler"), args.flavour) {
        (Some(profiler), _) => quote!(#profiler),
        (None, Flavour::Std) => quote!(#root::monitoring::profiler::PROFILER),
        (None, Flavour::Core) => {
            args.error(
                Span::call_site(),
                "without a host, `#[measure_time]` needs `profiler = PATH`: a static that shares a `Profiler`",
            );
            quote!(())
        }
    };
    args.finish()?;

    let profile = quote!(#core::monitoring::profiler);
    // By the type and not by its name: not everything that is called a result is a `Result`.
    let outcome = if function.never_returns() {
        quote!(|_| #profile::Outcome::Success)
    } else {
        quote!(|__daur_result| {
            use #core::attributes::AnyReturned as _;
            #core::attributes::Returned(__daur_result).outcome()
        })
    };
    let call = function.only_call(core);
    if function.never_returns() && !function.is_async() {
        function.wrap(quote! {
            let __daur_call = #profile::time(&#profiler, #name);
            #call
        });
        return Ok(());
    }
    function.wrap(if function.is_async() {
        quote!(#profile::measured(&#profiler, #name, #call, #outcome).await)
    } else {
        quote! {
            let __daur_call = #profile::time(&#profiler, #name);
            let __daur_result = #call;
            __daur_call.finish(#core::attributes::outcome_of(&__daur_result, #outcome));
            __daur_result
        }
    });
    Ok(())
}
