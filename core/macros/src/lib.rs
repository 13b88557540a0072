//! The attributes of Daur. Use them through `daur_core` (feature `macros`) or `daur_std`, which re-export them.
//!
//! Each attribute exists twice, since a macro cannot know who re-exports it: the plain one expands to
//! public paths of `daur_core` alone, the one with `_std` to those of `daur_std`, under which it
//! loses that ending.

use proc_macro::TokenStream;
use syn::ItemFn;
use syn::spanned::Spanned;

mod args;
mod breaker;
mod fallback;
mod function;
mod measure;
mod memoize;
mod parallel;
mod require;
mod retry;

use args::{Args, Flavour};
use function::Function;

/// Makes one part of an attribute: reads `args`, changes `function`.
type Expand = fn(Args, &mut Function) -> syn::Result<()>;

fn expand(name: &'static str, flavour: Flavour, args: TokenStream, item: TokenStream, expand: Expand) -> TokenStream {
    let item = match syn::parse::<ItemFn>(item.clone()) {
        Ok(item) => item,
        Err(error) => return refused(name, item, error),
    };
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

/// What is no function with a body, and says so.
fn refused(name: &str, item: TokenStream, error: syn::Error) -> TokenStream {
    let error = if let Ok(function) = syn::parse::<syn::TraitItemFn>(item.clone())
        && function.default.is_none()
    {
        let message = format!("`#[{name}]` needs a body to wrap; it stands on the method in each `impl`");
        syn::Error::new(function.sig.ident.span(), message)
    } else if let Ok(item) = syn::parse::<syn::Item>(item.clone()) {
        syn::Error::new(item.span(), format!("`#[{name}]` stands on a function or a method, and on nothing else"))
    } else {
        error
    };
    let (error, item) = (error.into_compile_error(), proc_macro2::TokenStream::from(item));
    quote::quote!(#error #item).into()
}

/// Makes a function that failed again: the loop of `reliability::retry`, written in place.
///
/// For functions and methods, sync and async, that return a `Result`, and for those that return an
/// `impl Future` or a `Pin<Box<dyn Future>>` of one. The body must be able to run more than once: an
/// argument that it consumes is an error of the compiler's, and what it changes of one stays changed for the
/// next attempt.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `max_attempts` | 3 | a whole number from 1, or `"forever"` |
/// | `delay` | `"1s"` | a duration: the first wait |
/// | `max_delay` | `"60s"` | a duration, not below `delay` |
/// | `strategy` | `"exponential"` | also `"constant"`, `"linear"`, `"fibonacci"`, `"random"` (from `delay` to `max_delay`) |
/// | `factor` | 2 | a whole number from 1, for `"exponential"` |
/// | `jitter` | `"full"` | also `"none"`, `"equal"`, `"decorrelated"`, a percentage such as `"10%"` |
/// | `max_elapsed` | none | a duration above zero: calls and waits together |
/// | `config` | made of the above | a const `retry::Config`, such as `Self::RETRY`, instead of all the above; or one made at run time, such as `self.retry` |
/// | `classify` | every error is transient | a function or closure `&E -> retry::Class`, which may hold a hint when to come back |
/// | `budget` | none | a static that shares a `budget::Budget`, which then pays for each retry; or `self.budget` |
/// | `fallback` | none | see below |
/// | `time` | `daur_std`: tokio's for async functions, else the operating system's | a static that is a `Clock` and a `Sleep` or `AsyncSleep`; `daur_core` needs it |
/// | `seed` | `daur_std`: the operating system's | a `u64`, the jitter's seed; `daur_core` needs it for everything but `jitter = "none"` |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
///
/// `fallback` answers where the function would fail in the end: after the last attempt. It is a
/// closure or the path of a function. It takes the error by value, as `Result::or_else` does, and
/// returns what the function does; if it fails too, it may tell both errors. One that takes more is
/// given a shared reference to each argument, `self` first; then the body must not consume them. A
/// path is asked by its type, so for a function that consumes its arguments write a closure of the
/// error alone. In an async function it may be async: an `async fn`, or a closure written `async
/// |error| ..`. Each use is logged (feature `log`, with the error; `defmt`, without).
///
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn retry(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("retry", Flavour::Core, args, item, retry::expand)
}

/// Makes a function that failed again: the loop of `reliability::retry`, written in place.
///
/// For functions and methods, sync and async, that return a `Result`, and for those that return an
/// `impl Future` or a `Pin<Box<dyn Future>>` of one. The body must be able to run more than once: an
/// argument that it consumes is an error of the compiler's, and what it changes of one stays changed for the
/// next attempt.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `max_attempts` | 3 | a whole number from 1, or `"forever"` |
/// | `delay` | `"1s"` | a duration: the first wait |
/// | `max_delay` | `"60s"` | a duration, not below `delay` |
/// | `strategy` | `"exponential"` | also `"constant"`, `"linear"`, `"fibonacci"`, `"random"` (from `delay` to `max_delay`) |
/// | `factor` | 2 | a whole number from 1, for `"exponential"` |
/// | `jitter` | `"full"` | also `"none"`, `"equal"`, `"decorrelated"`, a percentage such as `"10%"` |
/// | `max_elapsed` | none | a duration above zero: calls and waits together |
/// | `config` | made of the above | a const `retry::Config`, such as `Self::RETRY`, instead of all the above; or one made at run time, such as `self.retry` |
/// | `classify` | every error is transient | a function or closure `&E -> retry::Class`, which may hold a hint when to come back |
/// | `budget` | none | a static that shares a `budget::Budget`, which then pays for each retry; or `self.budget` |
/// | `fallback` | none | see below |
/// | `time` | tokio's for async functions, else the operating system's | a static that is a `Clock` and a `Sleep` or `AsyncSleep` |
/// | `seed` | the operating system's | a `u64`, the jitter's seed |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// `fallback` answers where the function would fail in the end: after the last attempt. It is a
/// closure or the path of a function. It takes the error by value, as `Result::or_else` does, and
/// returns what the function does; if it fails too, it may tell both errors. One that takes more is
/// given a shared reference to each argument, `self` first; then the body must not consume them. A
/// path is asked by its type, so for a function that consumes its arguments write a closure of the
/// error alone. In an async function it may be async: an `async fn`, or a closure written `async
/// |error| ..`. Each use is counted by `attributes::fallbacks` and logged with the error.
///
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn retry_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("retry", Flavour::Std, args, item, retry::expand)
}

/// Puts a circuit breaker in front of a function.
///
/// For functions and methods, sync and async, that return a `Result`, and for those that return an
/// `impl Future` or a `Pin<Box<dyn Future>>` of one. There is one breaker for the function: a method's
/// is shared by all values of its type, a generic function's by all types it is called with, and that of a
/// trait's own body by all that implement the trait, unless `breaker = self.breaker` says otherwise. So its
/// `config` cannot name `Self`. A call that panics or is cancelled records nothing.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `failure_threshold` | 5 | a whole number from 1: failures in a row that open it |
/// | `recovery_timeout` | `"60s"` | a duration: how long it then refuses |
/// | `probes` | 1 | a whole number from 1: calls that it admits afterwards |
/// | `success_threshold` | `probes` | from 1 to `probes`: successes among them that close it |
/// | `recovery_timeout_max` | `recovery_timeout` | a duration: up to there the wait doubles with each opening in a row |
/// | `probe_lease` | `"30s"` | a duration above zero |
/// | `config` | made of the above | a const `breaker::Config`, instead of all the above |
/// | `window` | none: failures in a row | calls from 1 to 32768, such as `100`, or a time, such as `"10s"`: what a rate is counted over |
/// | `failure_pct` | 50 | from 1 to 100: the percentage of failures in the `window` that opens it |
/// | `min_calls` | 10, or `window` | a whole number from 1: with fewer calls there is no rate |
/// | `buckets` | 10 | from 1 to 1024: the parts in which a `window` of time moves on |
/// | `slow_call` | none | a duration above zero: calls in the `window` that take longer are slow |
/// | `slow_pct` | 100 | from 1 to 100: the percentage of slow calls that opens it |
/// | `classify` | every error counts | a function or closure `&E -> retry::Class`; `Class::Ignored` does not count |
/// | `open` | `E::from` | a function or closure that makes the error of a refused call from a `breaker::Open` |
/// | `fallback` | none | see below |
/// | `breaker` | one of its own | a static, or an expression such as `self.breaker`, of any mode, instead of all the above but `classify`, `open` and `fallback`: `daur_core` takes any `Shared<Machine = Breaker>`, `daur_std` a `SharedBreaker` |
/// | `time` | `daur_std`: tokio's for async functions, else the operating system's | a static that is a `Clock`; `daur_core` needs it, or `breaker` |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
///
/// `fallback` answers where the function would fail in the end, by its body or by the open breaker.
/// It is a closure or the path of a function. It takes the error by value, as `Result::or_else` does,
/// and returns what the function does; if it fails too, it may tell both errors. One that takes more
/// is given a shared reference to each argument, `self` first; then the body must not consume them. A
/// path is asked by its type, so for a function that consumes its arguments write a closure of the
/// error alone. In an async function it may be async: an `async fn`, or a closure written `async
/// |error| ..`. Each use is logged (feature `log`, with the error; `defmt`, without).
///
/// The breaker of `daur_core` needs its feature `critical-section`.
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn circuit_breaker(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("circuit_breaker", Flavour::Core, args, item, breaker::expand)
}

/// Puts a circuit breaker in front of a function.
///
/// For functions and methods, sync and async, that return a `Result`, and for those that return an
/// `impl Future` or a `Pin<Box<dyn Future>>` of one. There is one breaker for the function: a method's
/// is shared by all values of its type, a generic function's by all types it is called with, and that of a
/// trait's own body by all that implement the trait, unless `breaker = self.breaker` says otherwise. So its
/// `config` cannot name `Self`. A call that panics or is cancelled records nothing.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `failure_threshold` | 5 | a whole number from 1: failures in a row that open it |
/// | `recovery_timeout` | `"60s"` | a duration: how long it then refuses |
/// | `probes` | 1 | a whole number from 1: calls that it admits afterwards |
/// | `success_threshold` | `probes` | from 1 to `probes`: successes among them that close it |
/// | `recovery_timeout_max` | `recovery_timeout` | a duration: up to there the wait doubles with each opening in a row |
/// | `probe_lease` | `"30s"` | a duration above zero |
/// | `config` | made of the above | a const `breaker::Config`, instead of all the above |
/// | `window` | none: failures in a row | calls from 1 to 32768, such as `100`, or a time, such as `"10s"`: what a rate is counted over |
/// | `failure_pct` | 50 | from 1 to 100: the percentage of failures in the `window` that opens it |
/// | `min_calls` | 10, or `window` | a whole number from 1: with fewer calls there is no rate |
/// | `buckets` | 10 | from 1 to 1024: the parts in which a `window` of time moves on |
/// | `slow_call` | none | a duration above zero: calls in the `window` that take longer are slow |
/// | `slow_pct` | 100 | from 1 to 100: the percentage of slow calls that opens it |
/// | `classify` | every error counts | a function or closure `&E -> retry::Class`; `Class::Ignored` does not count |
/// | `open` | `E::from` | a function or closure that makes the error of a refused call from a `breaker::Open` |
/// | `fallback` | none | see below |
/// | `breaker` | one of its own | a static, or an expression such as `self.breaker`, of a `SharedBreaker` of any mode, instead of all the above but `classify`, `open` and `fallback` |
/// | `time` | tokio's for async functions, else the operating system's | a static that is a `Clock` |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// `fallback` answers where the function would fail in the end, by its body or by the open breaker.
/// It is a closure or the path of a function. It takes the error by value, as `Result::or_else` does,
/// and returns what the function does; if it fails too, it may tell both errors. One that takes more
/// is given a shared reference to each argument, `self` first; then the body must not consume them. A
/// path is asked by its type, so for a function that consumes its arguments write a closure of the
/// error alone. In an async function it may be async: an `async fn`, or a closure written `async
/// |error| ..`. Each use is counted by `attributes::fallbacks` and logged with the error.
///
/// Of several attributes the first one written is the nearest to the body.
#[proc_macro_attribute]
pub fn circuit_breaker_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("circuit_breaker", Flavour::Std, args, item, breaker::expand)
}

/// Measures a function into a profiler: how often, how long, how it ended, how many are under way.
///
/// For functions and methods, sync and async, and those that return an `impl Future` or a
/// `Pin<Box<dyn Future>>`. If the return type is a `Result`, an `Err` counts as an error; a panic and a
/// dropped future count as abandoned. Of async functions the time polled is measured too.
///
/// `#[measure_time("name")]` names the operation; without, it has the function's path: its module and its name.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `profiler` | `daur_std`: `monitoring::profiler::PROFILER` | a static `Shared` of a profiler, or a place that leads to one, such as `self.profiler`; `daur_core` needs it |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
#[proc_macro_attribute]
pub fn measure_time(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("measure_time", Flavour::Core, args, item, measure::expand)
}

/// Measures a function into a profiler: how often, how long, how it ended, how many are under way.
///
/// For functions and methods, sync and async, and those that return an `impl Future` or a
/// `Pin<Box<dyn Future>>`. If the return type is a `Result`, an `Err` counts as an error; a panic and a
/// dropped future count as abandoned. Of async functions the time polled is measured too.
///
/// `#[measure_time("name")]` names the operation; without, it has the function's path: its module and its name.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `profiler` | `monitoring::profiler::PROFILER` | a static `Shared` of a profiler, or a place that leads to one, such as `self.profiler` |
/// | `crate` | `::daur_std` | the path of the renamed crate |
#[proc_macro_attribute]
pub fn measure_time_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("measure_time", Flavour::Std, args, item, measure::expand)
}

/// Lets a function run only for whom has logged in.
///
/// For functions and methods, sync and async, that return a `Result` whose error is `From<manager::Denied>`, and for
/// those that return an `impl Future` or a `Pin<Box<dyn Future>>` of one. It asks a `security::manager::Context`, which
/// one of the arguments must be, before anything of the body runs; of an async function, at its first poll. A function
/// that takes none is an error of the compiler's. Each refusal is told to the context, for the audit.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `context` | the first argument called `context`, `ctx`, `caller` or `claims` | an argument, `self`, or what leads to one's: `self.caller`, `*shared` |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body: write this one last, so that nothing is
/// tried, counted or measured for whom it refuses.
#[proc_macro_attribute]
pub fn require_auth(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("require_auth", Flavour::Core, args, item, require::auth)
}

/// Lets a function run only for whom has logged in.
///
/// For functions and methods, sync and async, that return a `Result` whose error is `From<manager::Denied>`, and for
/// those that return an `impl Future` or a `Pin<Box<dyn Future>>` of one. It asks a `security::manager::Context`, which
/// one of the arguments must be, before anything of the body runs; of an async function, at its first poll. A function
/// that takes none is an error of the compiler's. Each refusal is told to the context, for the audit.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `context` | the first argument called `context`, `ctx`, `caller` or `claims` | an argument, `self`, or what leads to one's: `self.caller`, `*shared` |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body: write this one last, so that nothing is
/// tried, counted or measured for whom it refuses.
#[proc_macro_attribute]
pub fn require_auth_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("require_auth", Flavour::Std, args, item, require::auth)
}

/// Lets a function run only for whom has a permission: `#[require_permission("admin")]`.
///
/// For functions and methods, sync and async, that return a `Result` whose error is `From<manager::Denied>`, and for
/// those that return an `impl Future` or a `Pin<Box<dyn Future>>` of one. It asks a `security::manager::Context`, which
/// one of the arguments must be, before anything of the body runs; of an async function, at its first poll. A function
/// that takes none is an error of the compiler's. Each refusal is told to the context, for the audit.
///
/// All that the text names are needed: `"read, write"`. The compiler refuses a name that is no permission.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `context` | the first argument called `context`, `ctx`, `caller` or `claims` | an argument, `self`, or what leads to one's: `self.caller`, `*shared` |
/// | `scopes` | none: `read`, `write`, `admin` | a const or static table of scopes, a `permission::Scopes`, for dotted names such as `"orders.refund"` |
/// | `crate` | `::daur_core`, `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body: write this one last, so that nothing is
/// tried, counted or measured for whom it refuses.
#[proc_macro_attribute]
pub fn require_permission(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("require_permission", Flavour::Core, args, item, require::permission)
}

/// Lets a function run only for whom has a permission: `#[require_permission("admin")]`.
///
/// For functions and methods, sync and async, that return a `Result` whose error is `From<manager::Denied>`, and for
/// those that return an `impl Future` or a `Pin<Box<dyn Future>>` of one. It asks a `security::manager::Context`, which
/// one of the arguments must be, before anything of the body runs; of an async function, at its first poll. A function
/// that takes none is an error of the compiler's. Each refusal is told to the context, for the audit.
///
/// All that the text names are needed: `"read, write"`. The compiler refuses a name that is no permission.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `context` | the first argument called `context`, `ctx`, `caller` or `claims` | an argument, `self`, or what leads to one's: `self.caller`, `*shared` |
/// | `scopes` | none: `read`, `write`, `admin` | a const or static table of scopes, a `permission::Scopes`, for dotted names such as `"orders.refund"` |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// Of several attributes the first one written is the nearest to the body: write this one last, so that nothing is
/// tried, counted or measured for whom it refuses.
#[proc_macro_attribute]
pub fn require_permission_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("require_permission", Flavour::Std, args, item, require::permission)
}

/// Splits the work of a function among threads: `#[parallelize(num_workers = 4)]`.
///
/// For functions and methods from a slice or a `Vec` (`&[T]`, `&mut [T]`, `Vec<T>`), their first argument, to a `Vec`, a
/// `Result` or an `Option` of one, or nothing. The input is split into as many parts as there are workers, the body runs
/// once for each, and the results are joined in order; of errors, the first one in that order is returned. Other
/// arguments are shared if they are references, and cloned for each part if not. An input of fewer than two items, and a
/// call from within a part, run in place.
///
/// A panic of the body comes out once, after all parts have ended: a text, in front of which stands the range of
/// the part's items, such as `items 4..8: ..`; see `performance::parallel`.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `num_workers` | as many as the machine runs at once | a whole number from 1, a const, or an expression such as `self.workers` |
/// | `on` | `"threads"`, which end with the call | also `"rayon"`: its pool (feature `rayon`) |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// Async functions are refused: their executor would wait for the threads.
///
/// Of several attributes the first one written is the nearest to the body, and so for each part on its own.
#[proc_macro_attribute]
pub fn parallelize_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("parallelize", Flavour::Std, args, item, parallel::expand)
}

/// Keeps what a function has returned, for who calls it again with the same arguments.
///
/// For functions and methods, sync and async, and those that return an `impl Future` or a `Pin<Box<dyn Future>>`. The
/// key is the tuple of all arguments, a reference as a clone of what it leads to, so that without
/// a host a text needs a `key`. What is returned
/// must be `Clone`. Of a `Result` only the value is kept, whose error then need not be; a `None` is an answer.
/// The body runs outside the critical section: callers that meet there all compute, and the last answer is kept.
///
/// The cache is a static, to which a function leads that has the memoized one's name with `_memo`:
/// `fib_memo().with(|cache, now| ..)` lends the `performance::cache::Cache`, to clear it or to see its snapshot.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `maxsize` | 128 | a whole number from 4 to 65536: when it is full, the `policy` chooses what leaves |
/// | `ttl` | none | a duration above zero: how long an answer is good for |
/// | `idle` | none | a duration above zero: how long one is kept that nobody asks for |
/// | `policy` | `"lru"` | also `"sieve"` |
/// | `key` | the arguments' tuple | a closure that says its type and is given a reference to each argument, `self` first: `key = |this, id| -> u32 { *id }` |
/// | `cache_errors` | `false` | `true`: an `Err` is kept as well, whose type must be `Clone` then |
/// | `cache_none` | `true` | `false`: a `None` is not kept |
/// | `memo` | the name with `_memo` | another name; in an `impl`, for a function without `self`: `Self::NAME` |
/// | `cache` | one of its own | a static that shares a `Cache` (any `Shared<Machine = Cache<..>>`), instead of `maxsize`, `ttl`, `idle`, `policy`, `memo` and `time` |
/// | `time` | none | a static that is a `Clock`; `ttl` and `idle` need it |
/// | `crate` | `::daur_core` | the path of the renamed crate |
///
/// A method needs a `key`, since only you know what of `self` matters; and `cache`, if it is one of a trait, where there is
/// no place for another function. So does a generic function, whose types no static can hold. In a generic
/// `impl` one cache serves all types: let the key tell them apart. An argument that the body changes, or that
/// borrows further inside than `&T`, needs a `key` too.
///
/// Of several attributes the first one written is the nearest to the body: a `#[retry]` before this one tries again
/// before the answer is kept, and a `#[measure_time]` after it measures the calls that are answered, too.
///
/// The cache needs the feature `critical-section` of `daur_core`.
///
/// # Example
/// ```ignore
/// #[daur_core::memoize(maxsize = 16, ttl = "10s", time = TIMER)]
/// fn calibration(channel: u8) -> Result<Calibration, bus::Error> {
///     read_eeprom(channel)
/// }
/// ```
#[proc_macro_attribute]
pub fn memoize(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("memoize", Flavour::Core, args, item, memoize::expand)
}

/// Keeps what a function has returned, for who calls it again with the same arguments.
///
/// For functions and methods, sync and async, and those that return an `impl Future` or a `Pin<Box<dyn Future>>`. The
/// key is the tuple of all arguments, a `&str` as a `String`, but a call that is answered
/// allocates nothing. What is returned
/// must be `Clone`. Of a `Result` only the value is kept, whose error then need not be; a `None` is an answer.
/// Callers with the same arguments at the same time, threads and tasks alike, share one computation; one that fails,
/// panics or is dropped passes its turn to the one who has waited longest.
///
/// The cache is a static, to which a function leads that has the memoized one's name with `_memo`:
/// `fib_memo().clear()`, `fib_memo().snapshot()`; see `performance::memoize::Memo`.
///
/// | argument | default | allowed |
/// |---|---|---|
/// | `maxsize` | 128 | a whole number from 1: when it is full, the `policy` chooses what leaves |
/// | `ttl` | none | a duration above zero: how long an answer is good for |
/// | `idle` | none | a duration above zero: how long one is kept that nobody asks for |
/// | `refresh_ahead` | none | a duration below `ttl`: how long before its end one caller computes an answer anew, while all others get the old one |
/// | `policy` | `"lru"` | also `"sieve"` |
/// | `key` | the arguments' tuple | a closure that says its type and is given a reference to each argument, `self` first: `key = |this, id| -> u32 { *id }` |
/// | `cache_errors` | `false` | `true`: an `Err` is kept as well, whose type must be `Clone` then |
/// | `cache_none` | `true` | `false`: a `None` is not kept |
/// | `memo` | the name with `_memo` | another name; in an `impl`, for a function without `self`: `Self::NAME` |
/// | `cache` | one of its own | a static `Memo`, instead of `maxsize`, `ttl`, `idle`, `refresh_ahead`, `policy`, `memo` and `time` |
/// | `time` | `CoarseClock`; tokio's for async functions with a `ttl` or `idle` | a static that is a `Clock` |
/// | `crate` | `::daur_std` | the path of the renamed crate |
///
/// A method needs a `key`, since only you know what of `self` matters; and `cache`, if it is one of a trait, where there is
/// no place for another function. So does a generic function, whose types no static can hold. In a generic
/// `impl` one cache serves all types: let the key tell them apart. An argument that the body changes, or that
/// borrows further inside than `&T`, needs a `key` too.
///
/// Of several attributes the first one written is the nearest to the body: a `#[retry]` before this one tries again
/// before the answer is kept, and a `#[measure_time]` after it measures the calls that are answered, too.
///
/// # Example
/// ```ignore
/// #[daur_std::memoize(maxsize = 1000, ttl = "60s")]
/// async fn quote(symbol: &str) -> Result<u32, Error> {
///     ask(symbol).await
/// }
/// ```
#[proc_macro_attribute]
pub fn memoize_std(args: TokenStream, item: TokenStream) -> TokenStream {
    expand("memoize", Flavour::Std, args, item, memoize::expand)
}
