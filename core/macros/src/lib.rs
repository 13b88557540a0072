//! The attributes of Daur. Use them through `daur_core` (feature `macros`) or `daur_std`, which re-export them.
//!
//! Each attribute exists twice, since a macro cannot know who re-exports it: the plain one expands to
//! public paths of `daur_core` alone, the one with `_std` to those of `daur_std`, under which it
//! loses that ending.

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

mod args;
mod breaker;
mod fallback;
mod function;
mod measure;
mod retry;

use args::{Args, Flavour};
use function::Function;

/// Makes one part of an attribute: reads `args`, changes `function`.
type Expand = fn(Args, &mut Function) -> syn::Result<()>;

fn expand(name: &'static str, flavour: Flavour, args: TokenStream, item: TokenStream, expand: Expand) -> TokenStream {
    let item = parse_macro_input!(item as ItemFn);
    let mut function = Function::new(item);
    let expanded = Args::parse(name, flavour, args.into()).and_then(|args| expand(args, &mut function));
    match expanded {
        Ok(()) => function.into_tokens().into(),
        Err(error) => {
            // The function as it was, so that its callers do not complain too.
            let (function, error) = (function.into_tokens(), error.into_compile_error());
            quote::quote!(#error #function).into()
        }
    }
}

/// Makes a function that failed again: the loop of `reliability::retry`, written in place.
///
/// For sync and async functions and methods that return a `Result`. The body must be able to run
/// more than once: an argument that it consumes is an error of the compiler's.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `max_attempts` | 3 | a whole number from 1, or `"forever"` |
/// | `delay` | `"1s"` | a duration: the first wait |
/// | `max_delay` | `"60s"` | a duration, not below `delay` |
/// | `strategy` | `"exponential"` | also `"constant"`, `"linear"`, `"fibonacci"`, `"random"` (from `delay` to `max_delay`) |
/// | `factor` | 2 | a whole number from 1, for `"exponential"` |
/// | `jitter` | `"full"` | also `"none"`, `"equal"`, `"decorrelated"`, a percentage such as `"10%"` |
/// | `max_elapsed` | none | a duration: calls and waits together |
/// | `classify` | every error is transient | a function or closure `&E -> retry::Class` |
/// | `time` | `daur_std`: tokio's for async functions, else the operating system's | a static that is a `Clock` and a `Sleep` or `AsyncSleep`; `daur_core` needs it |
/// | `seed` | `daur_std`: the operating system's | a `u64`, the jitter's seed; `daur_core` needs it for everything but `jitter = "none"` |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn retry(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("retry", Flavour::Core, args, item, retry::expand)
}

/// Makes a function that failed again: the loop of `reliability::retry`, written in place.
///
/// For sync and async functions and methods that return a `Result`. The body must be able to run
/// more than once: an argument that it consumes is an error of the compiler's.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `max_attempts` | 3 | a whole number from 1, or `"forever"` |
/// | `delay` | `"1s"` | a duration: the first wait |
/// | `max_delay` | `"60s"` | a duration, not below `delay` |
/// | `strategy` | `"exponential"` | also `"constant"`, `"linear"`, `"fibonacci"`, `"random"` (from `delay` to `max_delay`) |
/// | `factor` | 2 | a whole number from 1, for `"exponential"` |
/// | `jitter` | `"full"` | also `"none"`, `"equal"`, `"decorrelated"`, a percentage such as `"10%"` |
/// | `max_elapsed` | none | a duration: calls and waits together |
/// | `classify` | every error is transient | a function or closure `&E -> retry::Class` |
/// | `time` | tokio's for async functions, else the operating system's | a static that is a `Clock` and a `Sleep` or `AsyncSleep` |
/// | `seed` | the operating system's | a `u64`, the jitter's seed |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn retry_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("retry", Flavour::Std, args, item, retry::expand)
}

/// Puts a circuit breaker in front of a function.
///
/// For sync and async functions and methods that return a `Result`. There is one breaker for the
/// function: a method's is shared by all values of its type. A call that panics or is cancelled
/// records nothing.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `failure_threshold` | 5 | a whole number from 1: failures in a row that open it |
/// | `recovery_timeout` | `"60s"` | a duration: how long it then refuses |
/// | `probes` | 1 | a whole number from 1: calls that it admits afterwards |
/// | `success_threshold` | `probes` | from 1 to `probes`: successes among them that close it |
/// | `probe_lease` | `"30s"` | a duration above zero |
/// | `classify` | every error counts | a function or closure `&E -> retry::Class`; `Class::Ignored` does not count |
/// | `open` | `E::from` | a function or closure that makes the error of a refused call from a `breaker::Open` |
/// | `breaker` | one of its own | a static, instead of all the above but `classify` and `open`: `daur_core` takes any `Shared<Machine = Breaker>`, `daur_std` a `SharedBreaker` |
/// | `time` | `daur_std`: tokio's for async functions, else the operating system's | a static that is a `Clock`; `daur_core` needs it, or `breaker` |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
///
/// The breaker of `daur_core` needs its feature `critical-section`.
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn circuit_breaker(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("circuit_breaker", Flavour::Core, args, item, breaker::expand)
}

/// Puts a circuit breaker in front of a function.
///
/// For sync and async functions and methods that return a `Result`. There is one breaker for the
/// function: a method's is shared by all values of its type. A call that panics or is cancelled
/// records nothing.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `failure_threshold` | 5 | a whole number from 1: failures in a row that open it |
/// | `recovery_timeout` | `"60s"` | a duration: how long it then refuses |
/// | `probes` | 1 | a whole number from 1: calls that it admits afterwards |
/// | `success_threshold` | `probes` | from 1 to `probes`: successes among them that close it |
/// | `probe_lease` | `"30s"` | a duration above zero |
/// | `classify` | every error counts | a function or closure `&E -> retry::Class`; `Class::Ignored` does not count |
/// | `open` | `E::from` | a function or closure that makes the error of a refused call from a `breaker::Open` |
/// | `breaker` | one of its own | a static `SharedBreaker`, instead of all the above but `classify` and `open` |
/// | `time` | tokio's for async functions, else the operating system's | a static that is a `Clock` |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn circuit_breaker_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("circuit_breaker", Flavour::Std, args, item, breaker::expand)
}

/// Measures a function into a profiler: how often, how long, how it ended, how many are under way.
///
/// For sync and async functions and methods. If the return type is a `Result`, an `Err` counts as an
/// error; a panic and a dropped future count as abandoned. Of async functions the time polled is
/// measured too.
///
/// `#[measure_time("name")]` names the operation; without, it has the function's path.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `profiler` | `daur_std`: `monitoring::profiler::PROFILER` | a static `Shared` of a profiler; `daur_core` needs it |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
#[proc_macro_attribute]
pub fn measure_time(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("measure_time", Flavour::Core, args, item, measure::expand)
}

/// Measures a function into a profiler: how often, how long, how it ended, how many are under way.
///
/// For sync and async functions and methods. If the return type is a `Result`, an `Err` counts as an
/// error; a panic and a dropped future count as abandoned. Of async functions the time polled is
/// measured too.
///
/// `#[measure_time("name")]` names the operation; without, it has the function's path.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `profiler` | `monitoring::profiler::PROFILER` | a static `Shared` of a profiler |
/// | `crate` | `::daur_std` | the path of the renamed crate |
#[proc_macro_attribute]
pub fn measure_time_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("measure_time", Flavour::Std, args, item, measure::expand)
}
