//! When a breaker of the attribute's own opens.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;

use crate::args::{Args, Placed, nanos_of, text, whole_number};

/// The most calls that a count window holds: 4 KiB of them.
const MAX_CALLS: u32 = 32_768;

/// The most buckets that a time window has.
const MAX_BUCKETS: u32 = 1_024;

/// What belongs to a window.
const OF_WINDOW: [&str; 5] = ["failure_pct", "min_calls", "buckets", "slow_call", "slow_pct"];

/// A breaker's mode.
pub(super) struct Mode {
    /// Its type.
    pub(super) mode: TokenStream,
    /// A constant breaker of it.
    pub(super) machine: TokenStream,
}

/// What the calls are counted over.
enum Window {
    Calls(u32),
    Nanos(u64),
}

pub(super) fn of(args: &mut Args, core: &TokenStream, config: &TokenStream) -> Mode {
    let breaker = quote!(#core::reliability::breaker);
    let window = args.take("window");
    if window.is_none() {
        args.refuse(&OF_WINDOW, "belongs to a `window`, which is not given");
    } else if args.span_of("slow_call").is_none() {
        args.refuse(&["slow_pct"], "belongs to a `slow_call`, which is not given");
    }
    let window = window.and_then(|given| extent(args, &given));
    // Asked for without a window too, so that they are among those that are allowed.
    let failure_pct = percent(args, "failure_pct", 50);
    let min_calls = args.take_number("min_calls", 1);
    let buckets = args.take_number("buckets", 1);
    let slow = slow(args, core, &breaker);
    match window {
        None => Mode { mode: quote!(#breaker::Consecutive), machine: quote!(#breaker::Breaker::new(#config)) },
        Some(Window::Calls(calls)) => {
            if let Some(buckets) = buckets {
                args.error(buckets.span, "`buckets` belongs to a `window` of time, such as \"10s\"");
            }
            if let Some(min) = min_calls.filter(|min| min.value > calls) {
                args.error(min.span, format!("`min_calls` must be from 1 to `window`, which is {calls}"));
            }
            let min_calls = min_calls.map_or(calls.min(10), |min| min.value);
            let words = calls.div_ceil(32) as usize;
            let window = quote!(#breaker::Window { calls: #calls, failure_pct: #failure_pct, min_calls: #min_calls });
            made(&breaker, config, &quote!(#breaker::CountWindow<#words>), &quote!(of_calls), &window, slow)
        }
        Some(Window::Nanos(nanos)) => {
            if let Some(buckets) = buckets.filter(|buckets| buckets.value > MAX_BUCKETS) {
                args.error(buckets.span, format!("`buckets` must be from 1 to {MAX_BUCKETS}"));
            }
            let buckets = buckets.map_or(10, |buckets| buckets.value.min(MAX_BUCKETS));
            let bucket = nanos.div_ceil(u64::from(buckets));
            let min_calls = min_calls.map_or(10, |min| min.value);
            let size = buckets as usize;
            let span = quote!(#breaker::Span {
                buckets: #buckets,
                bucket: #core::time::Duration::from_nanos(#bucket),
                failure_pct: #failure_pct,
                min_calls: #min_calls,
            });
            made(&breaker, config, &quote!(#breaker::TimeWindow<#size>), &quote!(of_time), &span, slow)
        }
    }
}

fn made(
    breaker: &TokenStream,
    config: &TokenStream,
    window: &TokenStream,
    slow_of: &TokenStream,
    given: &TokenStream,
    slow: Option<TokenStream>,
) -> Mode {
    let (mode, value) = match slow {
        None => (window.clone(), quote!(<#window>::new(#given))),
        Some(slow) => {
            let mode = quote!(#breaker::Slow<#window>);
            let value = quote!(<#mode>::#slow_of(#given, #slow));
            (mode, value)
        }
    };
    let machine = quote!(#breaker::Breaker::with_mode(#config, #value));
    Mode { mode, machine }
}

/// A number of calls, or a time.
fn extent(args: &mut Args, given: &syn::Expr) -> Option<Window> {
    let allowed = format!("`window` must be from 1 to {MAX_CALLS} calls, or a time such as \"10s\"");
    let window = match text(given) {
        Some(time) => nanos_of(&time).filter(|nanos| *nanos > 0).map(Window::Nanos),
        None => whole_number(given).filter(|calls| (1..=MAX_CALLS).contains(calls)).map(Window::Calls),
    };
    if window.is_none() {
        args.error(given.span(), allowed);
    }
    window
}

fn percent(args: &mut Args, key: &'static str, default: u8) -> u8 {
    let Some(value) = args.take(key) else { return default };
    let percent = whole_number(&value).and_then(|percent| u8::try_from(percent).ok());
    percent.filter(|percent| (1..=100).contains(percent)).unwrap_or_else(|| {
        args.error(value.span(), format!("`{key}` must be a whole number from 1 to 100"));
        default
    })
}

fn slow(args: &mut Args, core: &TokenStream, breaker: &TokenStream) -> Option<TokenStream> {
    let slow_call = args.take_duration("slow_call");
    let slow_pct = percent(args, "slow_pct", 100);
    let Placed { value, span } = slow_call?;
    if value == 0 {
        args.error(span, "`slow_call` must be longer than nothing");
    }
    Some(quote!(#breaker::SlowCalls { slow_call: #core::time::Duration::from_nanos(#value), slow_pct: #slow_pct }))
}
