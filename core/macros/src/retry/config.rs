//! The config of `#[retry]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Expr;
use syn::spanned::Spanned;

use crate::args::{Args, Placed, is_made_at_run_time, text};

/// `Config::DEFAULT.max_delay`.
const DEFAULT_MAX_DELAY: u64 = 60_000_000_000;
/// `Config::DEFAULT.initial_delay`.
const DEFAULT_DELAY: u64 = 1_000_000_000;

/// What belongs to a config of the attribute's own.
const OWN: [&str; 7] = ["max_attempts", "delay", "max_delay", "max_elapsed", "factor", "strategy", "jitter"];

/// Where a config is from.
pub(super) enum Source {
    /// The attribute's arguments. Whether a wait depends on chance.
    Inline { random: bool },
    /// The path of a constant.
    Const(syn::Path),
    /// An expression such as `self.retry`.
    RunTime,
}

/// A `retry::Config`.
pub(super) struct Config {
    tokens: TokenStream,
    pub(super) source: Source,
}

impl Config {
    pub(super) fn take(args: &mut Args, core: &TokenStream, retry: &TokenStream) -> Self {
        match args.take("config") {
            Some(given) => {
                args.refuse(&OWN, "belongs to the config that `config` names");
                named(args, given)
            }
            None => inline(args, core, retry),
        }
    }

    /// A constant of it where it can be; if that is wrong, the compiler says so where it stands.
    pub(super) fn checked(&self, core: &TokenStream, retry: &TokenStream, has_seed: bool) -> TokenStream {
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

fn inline(args: &mut Args, core: &TokenStream, retry: &TokenStream) -> Config {
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

    let (strategy, strategy_draws) = strategy(args, &delay_tokens, &max_tokens);
    let (jitter, jitter_draws) = jitter(args);
    fields.extend(quote!(strategy: #retry::Strategy::#strategy, jitter: #retry::Jitter::#jitter,));
    Config {
        tokens: quote!(#retry::Config { #fields ..#retry::Config::DEFAULT }),
        source: Source::Inline { random: strategy_draws || jitter_draws },
    }
}

/// The variant, and whether it depends on chance.
fn strategy(args: &mut Args, delay: &TokenStream, max_delay: &TokenStream) -> (TokenStream, bool) {
    let factor = args.take_number("factor", 1);
    let strategy = args.take("strategy");
    let name = strategy.as_ref().map_or_else(|| Some("exponential".into()), text);
    let tokens = match name.as_deref() {
        Some("constant") => quote!(Constant),
        Some("linear") => quote!(Linear),
        Some("fibonacci") => quote!(Fibonacci),
        Some("random") => quote!(Random { min: #delay, max: #max_delay }),
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
    if let (Some(factor), Some("constant" | "linear" | "fibonacci" | "random")) = (factor, name.as_deref()) {
        args.error(factor.span, "`factor` belongs to `strategy = \"exponential\"`");
    }
    (tokens, name.as_deref() == Some("random"))
}

/// The variant, and whether it depends on chance.
fn jitter(args: &mut Args) -> (TokenStream, bool) {
    let jitter = args.take("jitter");
    let name = jitter.as_ref().map_or_else(|| Some("full".into()), text);
    let percent = |text: &str| text.strip_suffix('%')?.parse::<u8>().ok().filter(|percent| *percent <= 100);
    let tokens = match name.as_deref() {
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
    (tokens, name.as_deref() != Some("none"))
}
