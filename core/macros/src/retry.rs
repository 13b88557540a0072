//! `#[retry]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned;

use crate::args::{Args, Flavour, Placed, is_made_at_run_time, text};
use crate::fallback;
use crate::function::Function;

/// `Config::DEFAULT.max_delay`.
const DEFAULT_MAX_DELAY: u64 = 60_000_000_000;
/// `Config::DEFAULT.initial_delay`.
const DEFAULT_DELAY: u64 = 1_000_000_000;

/// What belongs to a config of the attribute's own.
const OWN: [&str; 7] = ["max_attempts", "delay", "max_delay", "max_elapsed", "factor", "strategy", "jitter"];

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check_result("retry")?;
    let roots = args.roots();
    let (root, core) = (&roots.root, &roots.core);
    let retry = quote!(#core::reliability::retry);

    let config = match args.take("config") {
        Some(given) => {
            args.refuse(&OWN, "belongs to the config that `config` names");
            named(&mut args, given)
        }
        None => config(&mut args, core, &retry),
    };
    let classify = args.take("classify").map_or_else(|| quote!(|_| #retry::Class::Transient), |given| quote!(#given));
    let has_seed = args.flavour == Flavour::Std || args.span_of("seed").is_some();
    let seed = seed(&mut args, root, &config);
    let time = time(&mut args, root, function.is_async());
    let funds = args
        .take_place("budget")
        .map_or_else(|| quote!(#core::reliability::budget::Unlimited), |budget| quote!(&#budget));
    let call = function.call();
    let (call, sleep) = if function.is_async() {
        (quote!(#call.await), quote!(#core::attributes::AsyncSleep::sleep(&#time, __daur_wait).await))
    } else {
        (call, quote!(#core::attributes::Sleep::sleep(&#time, __daur_wait)))
    };
    let retried = quote!(loop {
        __daur_run.begin();
        // In a block of its own: an error need not be `Send` for a future that waits after it.
        let __daur_wait = {
            let __daur_result = #call;
            match __daur_result {
                ::core::result::Result::Ok(__daur_value) => {
                    __daur_run.on_success();
                    break ::core::result::Result::Ok(__daur_value);
                }
                ::core::result::Result::Err(__daur_error) => {
                    let __daur_class = #core::attributes::class_of(&__daur_error, #classify);
                    let __daur_now = #core::time::Clock::now(&#time);
                    match __daur_run.on_failure(__daur_class, || #seed, __daur_now) {
                        #retry::Decision::Retry { after } => after,
                        #retry::Decision::Stop { .. } => break ::core::result::Result::Err(__daur_error),
                    }
                }
            }
        };
        #sleep;
    });
    let answered = fallback::around(&mut args, &roots, function, retried);
    args.finish()?;

    let config = config.checked(core, &retry, has_seed);
    function.wrap(quote! {
        let mut __daur_run = #retry::Run::new(
            #config,
            #funds,
            #core::time::Clock::now(&#time),
        );
        #answered
    });
    Ok(())
}

fn seed(args: &mut Args, root: &TokenStream, config: &Config) -> TokenStream {
    match (args.take("seed"), args.flavour) {
        (Some(seed), _) => quote!(#seed),
        (None, Flavour::Std) => quote!(#root::rng::os_seed()),
        (None, Flavour::Core) => {
            let needed = match config.source {
                Source::Inline { random: true } => "or `jitter = \"none\"`",
                Source::RunTime => "where the config is made at run time",
                Source::Inline { random: false } | Source::Const(_) => return quote!(0),
            };
            let message =
                "without a host, `#[retry]` needs `seed = ..` (a u64 that no other device has, such as its id)";
            args.error(Span::call_site(), format!("{message} {needed}"));
            quote!(0)
        }
    }
}

/// What the waits are waited on.
fn time(args: &mut Args, root: &TokenStream, is_async: bool) -> TokenStream {
    match (args.take_place("time"), args.flavour) {
        (Some(time), _) => quote!(#time),
        (None, Flavour::Std) if is_async => quote!(#root::clock::TokioClock),
        (None, Flavour::Std) => quote!(#root::clock::StdClock),
        (None, Flavour::Core) => {
            let delay = if is_async { "an `AsyncSleep`" } else { "a `Sleep`" };
            args.error(
                Span::call_site(),
                format!("without a host, `#[retry]` needs `time = PATH`: a static that is a `Clock` and {delay}"),
            );
            quote!(())
        }
    }
}

/// Where a config is from.
enum Source {
    /// The attribute's arguments. Whether a wait depends on chance.
    Inline { random: bool },
    /// The path of a constant.
    Const(syn::Path),
    /// An expression such as `self.retry`.
    RunTime,
}

struct Config {
    tokens: TokenStream,
    source: Source,
}

impl Config {
    /// A constant of it where it can be; if that is wrong, the compiler says so where it stands.
    fn checked(&self, core: &TokenStream, retry: &TokenStream, has_seed: bool) -> TokenStream {
        let Self { tokens: config, source } = self;
        match source {
            Source::Inline { .. } => quote!(const { #config.checked() }),
            Source::RunTime => quote!(#config),
            Source::Const(path) => {
                let checked = quote_spanned! {config.span()=> {
                    let __daur_config: #retry::Config = #config;
                    match #core::attributes::wrong_retry(&__daur_config, #has_seed) {
                        ::core::option::Option::None => __daur_config,
                        ::core::option::Option::Some(__daur_text) => ::core::panic!("{}", __daur_text),
                    }
                }};
                // Only a const of its own is looked at when nothing is built, and only in the other can a
                // `Self` or a type parameter stand.
                if may_be_generic(path) {
                    quote!(const #checked)
                } else {
                    quote!({ const __DAUR_RETRY: #retry::Config = #checked; __DAUR_RETRY })
                }
            }
        }
    }
}

fn named(args: &mut Args, given: Expr) -> Config {
    let tokens = given.to_token_stream();
    let source = match given {
        Expr::Path(path) if path.qself.is_none() => Source::Const(path.path),
        given if is_made_at_run_time(&given) => Source::RunTime,
        other => {
            let message = "`config` must be the path of a const `retry::Config`, or lead to one: `self.retry`";
            args.error(other.span(), message);
            Source::RunTime
        }
    };
    Config { tokens, source }
}

/// Whether a path may begin with `Self` or a type parameter.
fn may_be_generic(path: &syn::Path) -> bool {
    path.leading_colon.is_none()
        && path.segments.len() > 1
        && path.segments.first().is_some_and(|first| first.ident.to_string().starts_with(char::is_uppercase))
}

fn config(args: &mut Args, core: &TokenStream, retry: &TokenStream) -> Config {
    let mut fields = TokenStream::new();

    if let Some(value) = args.take("max_attempts") {
        if text(&value).as_deref() == Some("forever") {
            fields.extend(quote!(max_attempts: #retry::Attempts::Forever,));
        } else if text(&value).is_some() {
            args.error(value.span(), "`max_attempts` must be a whole number from 1, or \"forever\"");
        } else if let Some(Placed { value, .. }) = args.number("max_attempts", 1, &value) {
            fields.extend(quote!(max_attempts: #retry::Attempts::Limited(#value),));
        }
    }

    let delay = args.take_duration("delay");
    let max_delay = args.take_duration("max_delay");
    let (delay_nanos, max_nanos) = (
        delay.map_or(DEFAULT_DELAY, |delay| delay.value),
        max_delay.map_or(DEFAULT_MAX_DELAY, |max_delay| max_delay.value),
    );
    if delay_nanos > max_nanos
        && let Some(Placed { span, .. }) = max_delay.or(delay)
    {
        let message = match max_delay {
            Some(_) => "`max_delay` must not be shorter than `delay` (1s if it is not given)",
            None => "a `delay` above 60s needs a `max_delay` that is not shorter",
        };
        args.error(span, message);
    }
    let nanos = |nanos: u64| quote!(#core::time::Duration::from_nanos(#nanos));
    let (delay_tokens, max_tokens) = (nanos(delay_nanos), nanos(max_nanos));
    fields.extend(quote!(initial_delay: #delay_tokens, max_delay: #max_tokens,));
    if let Some(Placed { value, span }) = args.take_duration("max_elapsed") {
        if value == 0 {
            args.error(span, "`max_elapsed` must be longer than nothing; leave it out for no limit");
        }
        let limit = nanos(value);
        fields.extend(quote!(max_elapsed: ::core::option::Option::Some(#limit),));
    }

    let factor = args.take_number("factor", 1);
    let strategy = args.take("strategy");
    let name = strategy.as_ref().map_or_else(|| Some("exponential".into()), text);
    let strategy_tokens = match name.as_deref() {
        Some("constant") => quote!(Constant),
        Some("linear") => quote!(Linear),
        Some("fibonacci") => quote!(Fibonacci),
        Some("random") => quote!(Random { min: #delay_tokens, max: #max_tokens }),
        Some("exponential") => {
            let factor = factor.map_or(2, |factor| factor.value);
            quote!(Exponential { factor: #factor })
        }
        _ => {
            let span = strategy.as_ref().map_or_else(Span::call_site, Spanned::span);
            args.error(
                span,
                "`strategy` must be \"constant\", \"linear\", \"exponential\", \"fibonacci\" or \"random\"",
            );
            quote!(Constant)
        }
    };
    fields.extend(quote!(strategy: #retry::Strategy::#strategy_tokens,));
    if let (Some(factor), Some("constant" | "linear" | "fibonacci" | "random")) = (factor, name.as_deref()) {
        args.error(factor.span, "`factor` belongs to `strategy = \"exponential\"`");
    }

    let jitter = args.take("jitter");
    let jitter_text = jitter.as_ref().map_or_else(|| Some("full".into()), text);
    let percent = |text: &str| text.strip_suffix('%')?.parse::<u8>().ok().filter(|percent| *percent <= 100);
    let jitter_tokens = match jitter_text.as_deref() {
        Some("none") => quote!(None),
        Some("full") => quote!(Full),
        Some("equal") => quote!(Equal),
        Some("decorrelated") => quote!(Decorrelated),
        Some(text) if percent(text).is_some() => {
            let percent = percent(text);
            quote!(Factor(#percent))
        }
        _ => {
            let span = jitter.as_ref().map_or_else(Span::call_site, Spanned::span);
            let allowed =
                "`jitter` must be \"none\", \"full\", \"equal\", \"decorrelated\" or a percentage up to \"100%\"";
            args.error(span, allowed);
            quote!(None)
        }
    };
    fields.extend(quote!(jitter: #retry::Jitter::#jitter_tokens,));

    let random = jitter_text.as_deref() != Some("none") || name.as_deref() == Some("random");
    Config { tokens: quote!(#retry::Config { #fields ..#retry::Config::DEFAULT }), source: Source::Inline { random } }
}
