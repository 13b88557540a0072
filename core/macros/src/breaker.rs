//! `#[circuit_breaker]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use crate::args::{Args, Flavour, Roots};
use crate::function::Function;

/// What a breaker of the attribute's own is made from.
const OWN: [&str; 6] = ["failure_threshold", "recovery_timeout", "probes", "success_threshold", "probe_lease", "time"];

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check_result("circuit_breaker")?;
    let roots = args.roots();
    let (root, core) = (&roots.root, &roots.core);

    let breaker = args.take_path("breaker");
    if breaker.is_some() {
        for key in OWN {
            if let Some(span) = args.span_of(key) {
                args.error(span, format!("`{key}` belongs to the breaker that `breaker` names"));
            }
        }
    }
    let config = config(&mut args, core);
    let time = args.take_path("time");
    let (breaker, own) = match breaker {
        Some(breaker) => (quote!(#breaker), TokenStream::new()),
        None => (quote!(__DAUR_BREAKER), own(&mut args, &roots, function, time, &config)),
    };
    let classify = args
        .take("classify")
        .map_or_else(|| quote!(|_| #core::reliability::retry::Class::Transient), |given| quote!(#given));
    let refusal = match args.take("open") {
        Some(open) => quote!(#core::attributes::refused(__daur_open, #open)),
        None => {
            // Where the error's type stands, since it is that type which may lack the conversion.
            let span = function.output_span();
            let core = core.clone().into_iter().map(|mut token| {
                token.set_span(span);
                token
            });
            let core = TokenStream::from_iter(core);
            // But this name is known here only, and not where a `macro_rules!` has that type from.
            let open = quote!(__daur_open);
            quote_spanned!(span=> #core::attributes::FromOpen::from_open(#open))
        }
    };
    args.finish()?;

    let call = function.only_call(core);
    let call = if function.is_async() { quote!(#call.await) } else { call };
    function.wrap(quote! {
        #own
        let __daur_guard = match #root::attributes::admit(&#breaker) {
            ::core::result::Result::Ok(__daur_guard) => __daur_guard,
            ::core::result::Result::Err(__daur_open) => {
                return ::core::result::Result::Err(#refusal);
            }
        };
        let __daur_result = #call;
        #root::attributes::settle(__daur_guard, __daur_result, #classify)
    });
    Ok(())
}

fn config(args: &mut Args, core: &TokenStream) -> TokenStream {
    let breaker = quote!(#core::reliability::breaker);
    let mut fields = TokenStream::new();
    let nanos = |nanos: u64| quote!(#core::time::Duration::from_nanos(#nanos));

    if let Some(failures) = args.take_number("failure_threshold", 1) {
        let failures = failures.value;
        fields.extend(quote!(failures: #failures,));
    }
    if let Some(timeout) = args.take_duration("recovery_timeout") {
        let timeout = nanos(timeout.value);
        fields.extend(quote!(recovery_timeout: #timeout,));
    }
    let probes = args.take_number("probes", 1).map_or(1, |probes| probes.value);
    let success_threshold = args.take_number("success_threshold", 1);
    if let Some(threshold) = success_threshold
        && threshold.value > probes
    {
        args.error(threshold.span, format!("`success_threshold` must be from 1 to `probes`, which is {probes}"));
    }
    let threshold = success_threshold.map_or(probes, |threshold| threshold.value);
    fields.extend(quote!(probes: #probes, success_threshold: #threshold,));
    if let Some(lease) = args.take_duration("probe_lease") {
        if lease.value == 0 {
            args.error(lease.span, "`probe_lease` must be longer than a probe takes");
        }
        let lease = nanos(lease.value);
        fields.extend(quote!(probe_lease: #lease,));
    }
    quote!(#breaker::Config { #fields ..#breaker::Config::DEFAULT })
}

/// The static of a function that names no breaker.
fn own(
    args: &mut Args,
    roots: &Roots,
    function: &Function,
    time: Option<syn::Path>,
    config: &TokenStream,
) -> TokenStream {
    let Roots { root, core } = roots;
    let breaker = quote!(#core::reliability::breaker);
    let any_clock = quote!(&'static (dyn #core::time::Clock + ::core::marker::Sync));
    let machine = quote!(#breaker::Breaker::new(#config));
    let (clock, now) = match (time, args.flavour) {
        (Some(time), _) => (any_clock, quote!(&#time)),
        (None, Flavour::Std) => {
            let clock = if function.is_async() { quote!(TokioClock) } else { quote!(StdClock) };
            (quote!(#root::clock::#clock), quote!(#root::clock::#clock))
        }
        (None, Flavour::Core) => {
            args.error(
                Span::call_site(),
                "without a host, `#[circuit_breaker]` needs `time = PATH`, a static that is a `Clock`, \
                 or `breaker = PATH`, a static that shares a `Breaker`",
            );
            return TokenStream::new();
        }
    };
    match args.flavour {
        Flavour::Core => quote! {
            static __DAUR_BREAKER: #core::shared::CsShared<#breaker::Breaker, #clock> =
                #core::shared::CsShared::new(#machine, #now);
        },
        Flavour::Std => quote! {
            static __DAUR_BREAKER: #root::reliability::breaker::SharedBreaker<#breaker::Consecutive, #clock> =
                #root::reliability::breaker::SharedBreaker::of(#machine, #now);
        },
    }
}
