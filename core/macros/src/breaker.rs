//! `#[circuit_breaker]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::args::{Args, Flavour, Placed, Roots};
use crate::fallback;
use crate::function::Function;

mod mode;

use mode::Mode;

/// `Config::DEFAULT.recovery_timeout`.
const DEFAULT_RECOVERY: u64 = 60_000_000_000;

/// What a config of the attribute's own is made from.
const OF_CONFIG: [&str; 6] =
    ["failure_threshold", "recovery_timeout", "recovery_timeout_max", "probes", "success_threshold", "probe_lease"];

/// What a breaker of the attribute's own is made from.
const OWN: [&str; 14] = [
    "config",
    "failure_threshold",
    "recovery_timeout",
    "recovery_timeout_max",
    "probes",
    "success_threshold",
    "probe_lease",
    "window",
    "failure_pct",
    "min_calls",
    "buckets",
    "slow_call",
    "slow_pct",
    "time",
];

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check_result("circuit_breaker")?;
    let roots = args.roots();
    let (root, core) = (&roots.root, &roots.core);

    let breaker = args.take_place("breaker");
    if breaker.is_some() {
        args.refuse(&OWN, "belongs to the breaker that `breaker` names");
    }
    let own = own(&mut args, &roots, function.is_async(), breaker.is_none());
    let breaker = breaker.map_or_else(|| quote!(__DAUR_BREAKER), |breaker| quote!(#breaker));
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
    let call = function.only_call(core);
    let call = if function.is_async() { quote!(#call.await) } else { call };
    let guarded = quote!(match #root::attributes::admit(&#breaker) {
        ::core::result::Result::Ok(__daur_guard) => {
            let __daur_result = #call;
            #root::attributes::settle(__daur_guard, __daur_result, #classify)
        }
        ::core::result::Result::Err(__daur_open) => ::core::result::Result::Err(#refusal),
    });
    let answered = fallback::around(&mut args, &roots, function, guarded);
    args.finish()?;

    function.wrap(quote!(#own #answered));
    Ok(())
}

/// The static of a function that names no breaker.
fn own(args: &mut Args, roots: &Roots, is_async: bool, needed: bool) -> TokenStream {
    let Roots { root, core, .. } = roots;
    let breaker = quote!(#core::reliability::breaker);
    let config = config(args, core);
    let Mode { mode, machine } = mode::of(args, core, &config);
    let time = args.take_path("time");
    if !needed {
        return TokenStream::new();
    }
    let any_clock = quote!(&'static (dyn #core::time::Clock + ::core::marker::Sync));
    let (clock, now) = match (time, args.flavour) {
        (Some(time), _) => (any_clock, quote!(&#time)),
        (None, Flavour::Std) => {
            let clock = if is_async { quote!(TokioClock) } else { quote!(StdClock) };
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
            static __DAUR_BREAKER: #core::shared::CsShared<#breaker::Breaker<#mode>, #clock> =
                #core::shared::CsShared::new(#machine, #now);
        },
        Flavour::Std => quote! {
            static __DAUR_BREAKER: #root::reliability::breaker::SharedBreaker<#mode, #clock> =
                #root::reliability::breaker::SharedBreaker::of(#machine, #now);
        },
    }
}

/// What decides about opening and closing, apart from the mode.
fn config(args: &mut Args, core: &TokenStream) -> TokenStream {
    let breaker = quote!(#core::reliability::breaker);
    if let Some(path) = args.take_path_of("config", "a const `breaker::Config`") {
        args.refuse(&OF_CONFIG, "belongs to the config that `config` names");
        // If it is wrong, the compiler says so where it stands.
        return quote_spanned! {path.span()=> const {
            let __daur_config: #breaker::Config = #path;
            match #core::attributes::wrong_breaker(&__daur_config) {
                ::core::option::Option::None => __daur_config,
                ::core::option::Option::Some(__daur_text) => ::core::panic!("{}", __daur_text),
            }
        }};
    }
    let mut fields = TokenStream::new();
    let nanos = |nanos: u64| quote!(#core::time::Duration::from_nanos(#nanos));

    if args.span_of("window").is_some() {
        args.refuse(&["failure_threshold"], "counts failures in a row; with a `window` it is `failure_pct` that opens");
    }
    if let Some(failures) = args.take_number("failure_threshold", 1) {
        let failures = failures.value;
        fields.extend(quote!(failures: #failures,));
    }
    let timeout = args.take_duration("recovery_timeout");
    if let Some(Placed { value, span }) = timeout {
        if value == 0 {
            args.error(span, "`recovery_timeout` must be longer than nothing");
        }
        let timeout = nanos(value);
        fields.extend(quote!(recovery_timeout: #timeout,));
    }
    if let Some(max) = args.take_duration("recovery_timeout_max") {
        if max.value < timeout.map_or(DEFAULT_RECOVERY, |timeout| timeout.value) {
            let message = "`recovery_timeout_max` must not be shorter than `recovery_timeout` (60s if it is not given)";
            args.error(max.span, message);
        }
        let max = nanos(max.value);
        fields.extend(quote!(recovery_timeout_max: ::core::option::Option::Some(#max),));
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
