//! `#[memoize]`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, Path};

use crate::args::{Args, Flavour, Placed, Roots, text};
use crate::function::Function;

mod key;
mod types;

use key::Key;

/// What a cache of the attribute's own is made from.
const OWN: [&str; 7] = ["maxsize", "ttl", "idle", "refresh_ahead", "policy", "memo", "time"];

/// The seed's.
const MAX_SIZE: u32 = 128;

pub(crate) fn expand(mut args: Args, function: &mut Function) -> syn::Result<()> {
    function.check_const("memoize", "it keeps what it has returned")?;
    let roots = args.roots();
    let core = &roots.core;

    let named = args.take_place("cache");
    if named.is_some() {
        args.refuse(&OWN, "belongs to the cache that `cache` names");
    }
    let kept = Kept::of(&mut args, function);
    let key = key::of(&mut args, &roots, function, named.is_some());
    let own = named.is_none().then(|| own(&mut args, &roots, function, &kept, &key));
    let ttl = own.as_ref().map_or_else(|| quote!(::core::option::Option::None), |own| own.ttl.clone());
    args.finish()?;

    let memo = match (&named, &own) {
        (Some(named), _) => quote!(&#named),
        (None, Some(own)) => own.asked(function),
        (None, None) => TokenStream::new(),
    };
    let computed = kept.computed(core, function);
    let Key { given, .. } = key;
    let outcome = match (roots.flavour, function.is_async()) {
        (Flavour::Core, _) => quote! {{
            let __daur_memo = #memo;
            let __daur_key = #given;
            match #core::attributes::recall(__daur_memo, &__daur_key) {
                ::core::option::Option::Some(__daur_kept) => ::core::result::Result::Ok(__daur_kept),
                ::core::option::Option::None => {
                    let __daur_computed = #computed;
                    #core::attributes::remember(__daur_memo, __daur_key, __daur_computed, #ttl)
                }
            }
        }},
        (Flavour::Std, is_async) => {
            let root = &roots.root;
            let ask = if is_async {
                quote!(#root::performance::memoize::Memo::computed_later(__daur_memo, &__daur_key, async { #computed }).await)
            } else {
                quote!(#root::performance::memoize::Memo::computed(__daur_memo, &__daur_key, || #computed))
            };
            quote! {{
                let __daur_memo = #memo;
                // The arguments' loan ends here: a future that holds it could not be sent.
                match #root::performance::memoize::Memo::found(__daur_memo, #given) {
                    ::core::result::Result::Ok(__daur_kept) => ::core::result::Result::Ok(__daur_kept),
                    ::core::result::Result::Err(__daur_key) => #ask,
                }
            }}
        }
    };
    function.wrap(kept.given(core, outcome));
    if let Some(own) = own {
        function.beside(own.companion);
    }
    Ok(())
}

/// What is kept of what the body returns. In between, `Ok` is what is kept, and `Err` what is not.
enum Kept {
    /// The value of a `Result`, whose errors need not be `Clone` then.
    Value,
    /// The value of an `Option`.
    Some,
    /// All of it, unless its type is a `Result` and it is an `Err`.
    Good,
    /// All of it.
    All,
}

impl Kept {
    fn of(args: &mut Args, function: &Function) -> Self {
        if function.never_returns() {
            args.error(function.output_span(), "`#[memoize]` needs a function that returns");
        } else if let Some(output) = function.returned() {
            if let Some(span) = types::borrowed(output) {
                let message =
                    "`#[memoize]` keeps what the function returns, so that it cannot borrow from the arguments";
                args.error(span, message);
            } else if function.output().is_none() {
                args.error(
                    output.span(),
                    "`#[memoize]` keeps what the function returns, whose type must be named for that",
                );
            }
        }
        let errors = flag(args, "cache_errors", false);
        let none = flag(args, "cache_none", true);
        if let Some(Placed { value: false, span }) = none
            && !function.returns_option()
        {
            args.error(span, "`cache_none` is about a function that returns an `Option`");
        }
        let all = errors.is_some_and(|errors| errors.value);
        if none.is_some_and(|none| !none.value) {
            Self::Some
        } else if all {
            Self::All
        } else if function.returns_result() {
            Self::Value
        } else {
            Self::Good
        }
    }

    /// The type of what is kept.
    fn of_type(&self, core: &TokenStream, function: &Function) -> TokenStream {
        let output = function.output().unwrap_or_else(|| quote!(()));
        match self {
            Self::Value | Self::Some => {
                let span = function.output_span();
                let core = types::respanned(core, span);
                quote_spanned!(span=> <#output as #core::attributes::Fallible>::Value)
            }
            Self::Good | Self::All => output,
        }
    }

    /// Runs the body.
    fn computed(&self, core: &TokenStream, function: &Function) -> TokenStream {
        let call = function.only_call(core);
        let call = if function.is_async() { quote!(#call.await) } else { call };
        match self {
            Self::Value => call,
            Self::Some => quote!(::core::option::Option::ok_or(#call, ())),
            Self::Good => quote!({
                let __daur_result = #call;
                #core::attributes::good(__daur_result, |__daur_result| {
                    use #core::attributes::AnyReturned as _;
                    #core::attributes::Returned(__daur_result).outcome()
                })
            }),
            Self::All => quote!(#core::attributes::all(#call)),
        }
    }

    /// Makes what the function returns of what was kept or computed.
    fn given(&self, core: &TokenStream, outcome: TokenStream) -> TokenStream {
        match self {
            Self::Value => outcome,
            Self::Some => quote!(::core::result::Result::ok(#outcome)),
            Self::Good | Self::All => quote!(#core::attributes::whole(#outcome)),
        }
    }
}

fn flag(args: &mut Args, key: &'static str, usual: bool) -> Option<Placed<bool>> {
    let given = args.take(key)?;
    match &given {
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => Some(Placed { value: flag.value, span: flag.span }),
        other => {
            args.error(other.span(), format!("`{key}` must be `true` or `false`; it is `{usual}` if it is not given"));
            None
        }
    }
}

/// The cache of a function that names none.
struct Own {
    /// The function that leads to it.
    companion: TokenStream,
    memo: Memo,
    /// How long what it returns is kept, as an `Option`, where the cache does not know.
    ttl: TokenStream,
}

/// What the companion is called.
struct Memo {
    name: syn::Ident,
    of_self: bool,
}

impl Own {
    fn asked(&self, function: &Function) -> TokenStream {
        let name = &self.memo.name;
        if self.memo.of_self || function.has_receiver() { quote!(Self::#name()) } else { quote!(#name()) }
    }
}

fn own(args: &mut Args, roots: &Roots, function: &Function, kept: &Kept, key: &Key) -> Own {
    let Roots { root, core, flavour } = roots;
    let memo = memo(args, function);
    let size = size(args, *flavour);
    let policy = policy(args, core, *flavour, size);
    let ttl = longer_than_nothing(args, "ttl");
    let idle = longer_than_nothing(args, "idle");
    let ahead = if *flavour == Flavour::Std { ahead(args, ttl) } else { None };
    let time = args.take_path("time");
    let ages = ttl.or(idle);
    if let (Flavour::Core, Some(age), None) = (flavour, ages, &time) {
        let message =
            "without a host, `#[memoize]` needs `time = PATH`, a static that is a `Clock`, to know what is over";
        args.error(age.span, message);
    }
    for span in function.generics() {
        let message = "`#[memoize]` keeps what it returns in a static, which cannot be generic: memoize a function of \
                       the types that are wanted, or name a static: `cache = PATH`";
        args.error(span, message);
    }
    let output = function.returned().filter(|_| !function.never_returns());
    for span in output.into_iter().chain(&key.types).filter_map(types::own) {
        args.error(span, "`#[memoize]` keeps this in a static, which does not know `Self`: write the type's name");
    }

    let duration = |age: Placed<u64>| {
        let nanos = age.value;
        quote!(::core::option::Option::Some(#core::time::Duration::from_nanos(#nanos)))
    };
    let none = quote!(::core::option::Option::None);
    let ttl_of = ttl.map(duration);
    let mut ages_of = ttl_of.as_ref().map_or_else(TokenStream::new, |ttl| quote!(__daur_config.ttl = #ttl;));
    if let Some(idle) = idle.map(duration) {
        ages_of.extend(quote!(__daur_config.idle = #idle;));
    }
    if let Some(ahead) = ahead.map(duration) {
        ages_of.extend(quote!(__daur_config.refresh_ahead = #ahead;));
    }
    let size = size.value;
    let (key_type, kept_type) = (&key.key_type, kept.of_type(core, function));
    let path = function.name();
    let path = quote!(::core::concat!(::core::module_path!(), "::", #path));
    let (returned, body, ttl) = match flavour {
        Flavour::Core => {
            let cache = quote!(#core::performance::cache);
            let size = proc_macro2::Literal::u32_unsuffixed(size);
            let noted = idle.map(|_| quote!(, #cache::Fast, #cache::Idle));
            let machine = quote!(#cache::Cache<#key_type, #kept_type, #size, #policy #noted>);
            // Without the ttl in it, the static is all zeros, which takes no flash.
            let (config, ttl) = if idle.is_some() {
                (quote!({ let mut __daur_config = #cache::Config::DEFAULT; #ages_of __daur_config }), none)
            } else {
                (quote!(#cache::Config::DEFAULT), ttl_of.unwrap_or(none))
            };
            let (clock, clock_type, now) = match time.filter(|_| ages.is_some()) {
                None => (TokenStream::new(), quote!(#core::time::Instant), quote!(#core::time::Instant::ZERO)),
                Some(time) => (
                    quote! {
                        struct __DaurClock;
                        impl #core::time::Clock for __DaurClock {
                            fn now(&self) -> #core::time::Instant {
                                #core::time::Clock::now(&#time)
                            }
                        }
                    },
                    quote!(__DaurClock),
                    quote!(__DaurClock),
                ),
            };
            let returned = quote!(impl #core::shared::Shared<Machine = #machine> + ::core::marker::Sync + use<>);
            let body = quote! {
                #clock
                static __DAUR_MEMO: #core::shared::CsShared<#machine, #clock_type> =
                    #core::shared::CsShared::new(#cache::Cache::new(#config), #now);
            };
            (returned, body, ttl)
        }
        Flavour::Std => {
            let memoize = quote!(#root::performance::memoize);
            let size = proc_macro2::Literal::u32_unsuffixed(size);
            let clock = match (&time, ages) {
                (Some(_), _) => quote!(&'static (dyn #core::time::Clock + ::core::marker::Sync)),
                (None, Some(_)) if function.is_async() => quote!(#root::clock::TokioClock),
                (None, _) => quote!(#root::clock::CoarseClock),
            };
            let now = time.map_or_else(|| clock.clone(), |time| quote!(&#time));
            let memo = quote!(#memoize::Memo<#key_type, #kept_type, #policy, #clock>);
            let body = quote! {
                static __DAUR_MEMO: #memo = #memoize::Memo::with_clock(
                    #path,
                    { let mut __daur_config = #memoize::Config::DEFAULT; __daur_config.max_size = #size; #ages_of __daur_config },
                    #now,
                );
            };
            (memo, body, none)
        }
    };
    // What a type lacks is told where it stands.
    let checks = key.types.iter().map(|part| {
        let core = types::respanned(core, part.span());
        let part = match flavour {
            Flavour::Core => quote!(#part),
            Flavour::Std => quote_spanned!(part.span()=> <#part as ::std::borrow::ToOwned>::Owned),
        };
        quote_spanned!(part.span()=> #core::attributes::key_part::<#part>())
    });
    let output_span = function.output_span();
    let core_there = types::respanned(core, output_span);
    let kept_there = quote_spanned!(output_span=> #core_there::attributes::kept::<#kept_type>());
    let (name, vis, conditions) = (&memo.name, function.visibility(), function.conditions());
    let doc = format!("What `{}` has returned, as far as it is kept.", function.name());
    let companion = quote! {
        #(#conditions)*
        #[doc = #doc]
        #[must_use]
        #vis fn #name() -> &'static (#returned) {
            const _: fn() = || {
                #(#checks;)*
                #kept_there
            };
            #body
            &__DAUR_MEMO
        }
    };
    Own { companion, memo, ttl }
}

fn memo(args: &mut Args, function: &Function) -> Memo {
    let usual = format_ident!("{}_memo", function.name(), span = function.name_span());
    let Some(given) = args.take("memo") else { return Memo { name: usual, of_self: false } };
    let named = |path: &Path| match path.segments.iter().collect::<Vec<_>>().as_slice() {
        _ if path.leading_colon.is_some() => None,
        [name] if name.arguments.is_none() => Some(Memo { name: name.ident.clone(), of_self: false }),
        [of, name] if of.ident == "Self" && name.arguments.is_none() => {
            Some(Memo { name: name.ident.clone(), of_self: true })
        }
        _ => None,
    };
    let memo = match &given {
        Expr::Path(path) if path.qself.is_none() => named(&path.path),
        _ => None,
    };
    memo.unwrap_or_else(|| {
        args.error(
            given.span(),
            "`memo` must be a name for the function that leads to the cache; in an `impl`, `Self::NAME`",
        );
        Memo { name: usual, of_self: false }
    })
}

fn size(args: &mut Args, flavour: Flavour) -> Placed<u32> {
    let usual = Placed { value: MAX_SIZE, span: Span::call_site() };
    let size = args.take_number("maxsize", 1).unwrap_or(usual);
    if flavour == Flavour::Core && !(4..=65_536).contains(&size.value) {
        args.error(size.span, "without a host, `maxsize` must be from 4 to 65536");
        return usual;
    }
    size
}

/// The policy's type.
fn policy(args: &mut Args, core: &TokenStream, flavour: Flavour, size: Placed<u32>) -> TokenStream {
    let policy = match args.take("policy").map(|given| (text(&given), given.span())) {
        None => quote!(Lru),
        Some((Some(name), _)) if name == "lru" => quote!(Lru),
        Some((Some(name), _)) if name == "sieve" => quote!(Sieve),
        Some((_, span)) => {
            args.error(span, "`policy` must be \"lru\" or \"sieve\"");
            quote!(Lru)
        }
    };
    // The host's cache is made of parts of 256.
    let is_small = flavour == Flavour::Std || size.value <= 256;
    let index = if is_small { quote!(::core::primitive::u8) } else { quote!(::core::primitive::u16) };
    quote!(#core::performance::cache::#policy<#index>)
}

/// How long before the end of its time an answer is computed anew.
fn ahead(args: &mut Args, ttl: Option<Placed<u64>>) -> Option<Placed<u64>> {
    let ahead = longer_than_nothing(args, "refresh_ahead")?;
    if ttl.is_none_or(|ttl| ttl.value <= ahead.value) {
        args.error(ahead.span, "`refresh_ahead` needs a `ttl` that is longer");
    }
    Some(ahead)
}

fn longer_than_nothing(args: &mut Args, key: &'static str) -> Option<Placed<u64>> {
    let given = args.take_duration(key)?;
    if given.value == 0 {
        args.error(given.span, format!("`{key}` must be longer than nothing"));
    }
    Some(given)
}
