//! The function that an attribute stands on.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{AttrStyle, Block, FnArg, GenericArgument, Ident, ItemFn, Pat, Path, PathArguments, ReturnType, Stmt, Type};

/// How a function gives what it returns.
enum Kind {
    /// At once.
    Sync,
    /// `async fn`.
    Async,
    /// As a future that its type shows: `-> impl Future<Output = ..>`, or one that the given path (`Box`) has pinned.
    Future { output: Box<Type>, pinned: Option<Path> },
}

/// A function whose body is about to be wrapped.
pub(crate) struct Function {
    item: ItemFn,
    kind: Kind,
    wrapped: Option<TokenStream>,
    beside: TokenStream,
}

impl Function {
    pub(crate) fn new(item: ItemFn) -> Self {
        let kind = match &item.sig.output {
            _ if item.sig.asyncness.is_some() => Kind::Async,
            ReturnType::Type(_, returned) => future_of(returned).unwrap_or(Kind::Sync),
            ReturnType::Default => Kind::Sync,
        };
        Self { item, kind, wrapped: None, beside: TokenStream::new() }
    }

    pub(crate) const fn is_async(&self) -> bool {
        !matches!(self.kind, Kind::Sync)
    }

    pub(crate) fn name(&self) -> String {
        self.item.sig.ident.unraw().to_string()
    }

    /// Refuses what no attribute can wrap.
    pub(crate) fn check(&self, attribute: &str) -> syn::Result<()> {
        self.check_const(attribute, "it reads a clock")
    }

    /// Refuses a `const fn`, and says why.
    pub(crate) fn check_const(&self, attribute: &str, why: &str) -> syn::Result<()> {
        match &self.item.sig.constness {
            Some(constness) => {
                let message = format!("`#[{attribute}]` cannot stand on a `const fn`: {why}");
                Err(syn::Error::new(constness.span(), message))
            }
            None => Ok(()),
        }
    }

    /// Refuses a function that does not seem to return a `Result`.
    pub(crate) fn check_result(&self, attribute: &str) -> syn::Result<()> {
        self.check(attribute)?;
        if self.returns_result() {
            return Ok(());
        }
        let message = format!(
            "`#[{attribute}]` needs a function that returns a `Result` \
             (or an alias of it whose name ends in `Result`)"
        );
        Err(syn::Error::new(self.output_span(), message))
    }

    /// Refuses what cannot be asked who calls it.
    pub(crate) fn check_guard(&self, attribute: &str) -> syn::Result<()> {
        self.check_const(attribute, "who calls is known at run time")?;
        self.check_result(attribute)
    }

    pub(crate) fn returns_result(&self) -> bool {
        match self.returned().map(ungrouped) {
            Some(Type::Path(path)) => {
                path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result"))
            }
            _ => false,
        }
    }

    /// Whether the return type is called `Option`.
    pub(crate) fn returns_option(&self) -> bool {
        matches!(self.returned().map(ungrouped), Some(Type::Path(path)) if
            path.path.segments.last().is_some_and(|last| last.ident == "Option"))
    }

    /// Whether the return type is `!`.
    pub(crate) fn never_returns(&self) -> bool {
        matches!(self.returned().map(ungrouped), Some(Type::Never(_)))
    }

    /// The type of what the body gives in the end, if it is not `()`.
    pub(crate) fn returned(&self) -> Option<&Type> {
        match (&self.kind, &self.item.sig.output) {
            (Kind::Future { output, .. }, _) | (_, ReturnType::Type(_, output)) => Some(output),
            (_, ReturnType::Default) => None,
        }
    }

    /// Where that type stands, or would.
    pub(crate) fn output_span(&self) -> Span {
        self.returned().map_or_else(|| self.item.sig.ident.span(), syn::spanned::Spanned::span)
    }

    /// That type, unless it hides one (`impl Trait`), which cannot be named inside.
    pub(crate) fn output(&self) -> Option<TokenStream> {
        struct Hidden(bool);
        impl Visit<'_> for Hidden {
            fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
                self.0 = true;
            }
        }
        let Some(returned) = self.returned() else { return Some(quote!(())) };
        let mut hidden = Hidden(false);
        hidden.visit_type(returned);
        (!hidden.0).then(|| returned.to_token_stream())
    }

    /// Where it says that it is async.
    pub(crate) fn async_span(&self) -> Span {
        self.item.sig.asyncness.map_or_else(|| self.item.sig.output.span(), |asyncness| asyncness.span())
    }

    pub(crate) fn return_type(&self) -> &ReturnType {
        &self.item.sig.output
    }

    pub(crate) const fn visibility(&self) -> &syn::Visibility {
        &self.item.vis
    }

    /// Where it says that it is generic over types or constants.
    pub(crate) fn generics(&self) -> Vec<Span> {
        let generic = |parameter: &syn::GenericParam| match parameter {
            syn::GenericParam::Lifetime(_) => None,
            syn::GenericParam::Type(_) | syn::GenericParam::Const(_) => Some(parameter.span()),
        };
        self.item.sig.generics.params.iter().filter_map(generic).collect()
    }

    /// The attributes that say when it is there at all.
    pub(crate) fn conditions(&self) -> Vec<&syn::Attribute> {
        self.item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
    }

    pub(crate) fn has_receiver(&self) -> bool {
        self.item.sig.receiver().is_some()
    }

    pub(crate) fn inputs(&mut self) -> impl Iterator<Item = &mut FnArg> {
        self.item.sig.inputs.iter_mut()
    }

    /// Where the function's name stands.
    pub(crate) fn name_span(&self) -> Span {
        self.item.sig.ident.span()
    }

    /// The names of the arguments that have plain ones, `self` among them.
    pub(crate) fn argument_names(&self) -> Vec<Ident> {
        let name = |argument: &FnArg| match argument {
            FnArg::Receiver(receiver) => Some(Ident::new("self", receiver.self_token.span)),
            FnArg::Typed(argument) => match &*argument.pat {
                Pat::Ident(pat) => Some(pat.ident.clone()),
                _ => None,
            },
        };
        self.item.sig.inputs.iter().filter_map(name).collect()
    }

    /// How many arguments there are, `self` among them.
    pub(crate) fn arity(&self) -> usize {
        self.item.sig.inputs.len()
    }

    /// A shared reference to each argument; `&self` and other references as they are, though shared. What has no
    /// plain name is refused with `message`.
    pub(crate) fn arguments(&mut self, message: &str) -> syn::Result<Vec<TokenStream>> {
        self.item
            .sig
            .inputs
            .iter_mut()
            .enumerate()
            .map(|(place, argument)| {
                let argument = match argument {
                    FnArg::Receiver(receiver) => {
                        let this = receiver.self_token;
                        // `&self`, and `self: &Self` as well.
                        let is_lent = matches!(ungrouped(&receiver.ty), Type::Reference(_));
                        return Ok(if is_lent { quote!(&*#this) } else { quote!(&#this) });
                    }
                    FnArg::Typed(argument) => argument,
                };
                if let Pat::Wild(wild) = &*argument.pat {
                    // It has no name, and nobody misses it.
                    let name = Ident::new(&format!("__daur_argument_{place}"), wild.underscore_token.span);
                    *argument.pat = syn::parse_quote!(#name);
                }
                match (&*argument.pat, ungrouped(&argument.ty)) {
                    (Pat::Ident(pat), Type::Reference(_)) if pat.subpat.is_none() && pat.by_ref.is_none() => {
                        let name = &pat.ident;
                        Ok(quote!(&*#name))
                    }
                    (Pat::Ident(pat), _) if pat.subpat.is_none() && pat.by_ref.is_none() => {
                        let name = &pat.ident;
                        Ok(quote!(&#name))
                    }
                    (pattern, _) => Err(syn::Error::new(pattern.span(), message)),
                }
            })
            .collect()
    }

    /// An expression that runs the body once and gives what it returns; `?` and `return` stay inside.
    /// For an async function it is a future, not yet awaited.
    pub(crate) fn call(&self, core: &TokenStream) -> TokenStream {
        let body = self.body();
        match (&self.kind, self.output()) {
            (Kind::Sync, None) => quote!((|| #body)()),
            (Kind::Sync, Some(output)) => quote!((|| -> #output #body)()),
            (Kind::Future { .. }, _) => self.future(|given| quote!((#given)())),
            (Kind::Async, None) => quote!(async #body),
            (Kind::Async, _) if self.never_returns() => quote!(async #body),
            // Tells the compiler the block's type, which cannot be written; `?` needs it.
            (Kind::Async, Some(output)) => quote!(async {
                if false {
                    return #core::attributes::never::<#output>();
                }
                #body
            }),
        }
    }

    /// As [`Function::call`], where it is the only one: what the body borrows from its arguments may
    /// then leave it.
    pub(crate) fn only_call(&self, core: &TokenStream) -> TokenStream {
        let body = self.body();
        match (&self.kind, self.output()) {
            (Kind::Async, _) => self.call(core),
            (Kind::Future { .. }, _) => self.future(|given| quote!(#core::attributes::once(#given))),
            (Kind::Sync, None) => quote!(#core::attributes::once(|| #body)),
            (Kind::Sync, Some(output)) => quote!(#core::attributes::once(|| -> #output #body)),
        }
    }

    /// The body as a block. A lone expression gets new braces: the compiler finds its old ones needless.
    pub(crate) fn body(&self) -> TokenStream {
        match self.item.block.stmts.as_slice() {
            [Stmt::Expr(lone, None)] => quote!({ #lone }),
            _ => self.item.block.to_token_stream(),
        }
    }

    /// The body of a function that returns a future. One that returns early is a closure for `call`, or it
    /// would return from the future which it stands in.
    fn future(&self, call: impl FnOnce(TokenStream) -> TokenStream) -> TokenStream {
        let body = self.body();
        if !returns_early(&self.item.block) {
            return quote!(#body);
        }
        match (&self.kind, &self.item.sig.output) {
            (Kind::Future { pinned: Some(_), .. }, ReturnType::Type(_, pinned)) => call(quote!(|| -> #pinned #body)),
            _ => call(quote!(|| #body)),
        }
    }

    /// Puts statements in front of the body, which may return: of a future, when it is first polled.
    pub(crate) fn guard(&mut self, core: &TokenStream, statements: &TokenStream) {
        self.wrapped = Some(match &self.kind {
            Kind::Sync | Kind::Async => {
                let body = self.body();
                quote!(#statements #body)
            }
            Kind::Future { .. } => {
                let call = self.only_call(core);
                quote!(#statements ::core::future::IntoFuture::into_future(#call).await)
            }
        });
    }

    /// Puts an item in front of the function.
    pub(crate) fn beside(&mut self, item: TokenStream) {
        self.beside.extend(item);
    }

    /// Replaces the body by `body`.
    pub(crate) fn wrap(&mut self, body: TokenStream) {
        self.wrapped = Some(body);
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        let Some(body) = self.wrapped else { return self.item.into_token_stream() };
        let ItemFn { attrs, vis, sig, .. } = &self.item;
        let beside = &self.beside;
        let body = match &self.kind {
            Kind::Sync | Kind::Async => body,
            Kind::Future { pinned: None, .. } => quote!(async move { #body }),
            Kind::Future { pinned: Some(pinned), .. } => quote!(#pinned::pin(async move { #body })),
        };
        let (outer, inner): (Vec<_>, Vec<_>) = attrs.iter().partition(|attr| matches!(attr.style, AttrStyle::Outer));
        quote! {
            #beside
            #(#outer)*
            #vis #sig {
                #(#inner)*
                #body
            }
        }
    }
}

/// The type itself where a `macro_rules!` has passed it on as `$t:ty`, in a group that nobody sees.
pub(crate) fn ungrouped(mut given: &Type) -> &Type {
    loop {
        given = match given {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            other => return other,
        };
    }
}

/// Whether there is a `return` that leaves the block itself.
fn returns_early(block: &Block) -> bool {
    struct Returns(bool);
    impl Visit<'_> for Returns {
        fn visit_expr_return(&mut self, _: &syn::ExprReturn) {
            self.0 = true;
        }

        // A `return` in there leaves something else.
        fn visit_expr_closure(&mut self, _: &syn::ExprClosure) {}
        fn visit_expr_async(&mut self, _: &syn::ExprAsync) {}
        fn visit_item(&mut self, _: &syn::Item) {}
    }
    let mut returns = Returns(false);
    returns.visit_block(block);
    returns.0
}

/// What `impl Future<Output = ..>` and `Pin<Box<dyn Future<Output = ..>>>` give.
fn future_of(returned: &Type) -> Option<Kind> {
    if let Type::ImplTrait(hidden) = ungrouped(returned) {
        return output_of(&hidden.bounds).map(|output| Kind::Future { output, pinned: None });
    }
    let (_, boxed) = only_argument(returned, "Pin")?;
    let (mut pinned, object) = only_argument(boxed, "Box")?;
    let Type::TraitObject(object) = ungrouped(object) else { return None };
    let output = output_of(&object.bounds)?;
    if let Some(last) = pinned.segments.last_mut() {
        last.arguments = PathArguments::None;
    }
    Some(Kind::Future { output, pinned: Some(pinned) })
}

/// The path of a type called `name`, and its only argument.
fn only_argument<'a>(given: &'a Type, name: &str) -> Option<(Path, &'a Type)> {
    let Type::Path(path) = ungrouped(given) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(argument) if arguments.args.len() == 1 => Some((path.path.clone(), argument)),
        _ => None,
    }
}

/// The `Output` of a bound that is a `Future`.
fn output_of<'a>(bounds: impl IntoIterator<Item = &'a syn::TypeParamBound>) -> Option<Box<Type>> {
    bounds.into_iter().find_map(|bound| {
        let syn::TypeParamBound::Trait(bound) = bound else { return None };
        let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(output) if output.ident == "Output" => Some(Box::new(output.ty.clone())),
            _ => None,
        })
    })
}
