//! `#[retry]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;

use crate::args::{Args, Flavour};
use crate::fallback;
use crate::function::Function;

mod config;

use config::{Config, Source};

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check_result("retry")?;
    let roots = args.roots();
    let (root, core) = (&roots.root, &roots.core);
    let retry = quote!(#core::reliability::retry);

    let config = Config::take(&mut args, core, &retry);
    let classify = args.take("classify").map_or_else(|| quote!(|_| #retry::Class::Transient), |given| quote!(#given));
    let has_seed = args.flavour == Flavour::Std || args.span_of("seed").is_some();
    let seed = seed(&mut args, root, &config);
    let time = time(&mut args, root, function.is_async());
    let funds = args
        .take_place("budget")
        .map_or_else(|| quote!(#core::reliability::budget::Unlimited), |budget| quote!(&#budget));
    let call = function.call(core);
    let (call, sleep) = if function.is_async() {
        (quote!(#call.await), quote!(#core::attributes::AsyncSleep::sleep(&#time, __daur_wait).await))
    } else {
        (call, quote!(#core::attributes::Sleep::sleep(&#time, __daur_wait)))
    };
    let body = Body { call, sleep, classify, seed, time: time.clone() };
    let retried = body.until_it_succeeds(core, &retry);
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

/// What happens in each round.
struct Body {
    call: TokenStream,
    sleep: TokenStream,
    classify: TokenStream,
    seed: TokenStream,
    time: TokenStream,
}

impl Body {
    fn until_it_succeeds(&self, core: &TokenStream, retry: &TokenStream) -> TokenStream {
        let Self { call, sleep, classify, seed, time } = self;
        quote!(loop {
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
        })
    }
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
