//! When a breaker of the attribute's own opens.

use proc_macro2::TokenStream;
use quote::quote;

use crate::args::{Args, Placed};

/// The most calls that a count window holds: 4 KiB of them.
const MAX_CALLS: u32 = 32_768;

/// A breaker's mode.
pub(super) struct Mode {
    /// Its type.
    pub(super) mode: TokenStream,
    /// A constant breaker of it.
    pub(super) machine: TokenStream,
}

pub(super) fn of(args: &mut Args, core: &TokenStream, config: &TokenStream) -> Mode {
    let breaker = quote!(#core::reliability::breaker);
    let Some(calls) = args.take_number("window", 1) else {
        args.refuse(&["failure_pct", "min_calls"], "belongs to a `window`, which is not given");
        // Asked for, so that they are among those that are allowed.
        let _ = (args.take("failure_pct"), args.take("min_calls"));
        return Mode { mode: quote!(#breaker::Consecutive), machine: quote!(#breaker::Breaker::new(#config)) };
    };
    let Placed { value: calls, span } = calls;
    if calls > MAX_CALLS {
        args.error(span, format!("`window` must be from 1 to {MAX_CALLS} calls"));
    }
    let failure_pct = args.take_number("failure_pct", 1);
    if let Some(percent) = failure_pct.filter(|percent| percent.value > 100) {
        args.error(percent.span, "`failure_pct` must be a whole number from 1 to 100");
    }
    let failure_pct = failure_pct.map_or(50, |percent| u8::try_from(percent.value).unwrap_or(100));
    let min_calls = args.take_number("min_calls", 1);
    if let Some(min) = min_calls.filter(|min| min.value > calls) {
        args.error(min.span, format!("`min_calls` must be from 1 to `window`, which is {calls}"));
    }
    let min_calls = min_calls.map_or(calls.min(10), |min| min.value);
    let words = calls.min(MAX_CALLS).div_ceil(32) as usize;
    Mode {
        mode: quote!(#breaker::CountWindow<#words>),
        machine: quote!(#breaker::Breaker::windowed(
            #config,
            #breaker::Window { calls: #calls, failure_pct: #failure_pct, min_calls: #min_calls },
        )),
    }
}
