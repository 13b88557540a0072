//! The function that an attribute stands on.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{AttrStyle, ItemFn, ReturnType, Type};

/// A function whose body is about to be wrapped.
pub(crate) struct Function {
    item: ItemFn,
    body: Option<TokenStream>,
}

impl Function {
    pub(crate) const fn new(item: ItemFn) -> Self {
        Self { item, body: None }
    }

    pub(crate) fn is_async(&self) -> bool {
        self.item.sig.asyncness.is_some()
    }

    pub(crate) fn name(&self) -> String {
        self.item.sig.ident.to_string()
    }

    /// Refuses what no attribute can wrap.
    pub(crate) fn check(&self, attribute: &str) -> syn::Result<()> {
        match &self.item.sig.constness {
            Some(constness) => {
                let message = format!("`#[{attribute}]` cannot stand on a `const fn`: it reads a clock");
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

    pub(crate) fn returns_result(&self) -> bool {
        match &self.item.sig.output {
            ReturnType::Type(_, returned) => match ungrouped(returned) {
                Type::Path(path) => {
                    path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result"))
                }
                _ => false,
            },
            ReturnType::Default => false,
        }
    }

    /// Whether the return type is `!`.
    pub(crate) fn never_returns(&self) -> bool {
        matches!(&self.item.sig.output, ReturnType::Type(_, returned) if matches!(ungrouped(returned), Type::Never(_)))
    }

    /// Where the return type stands, or would.
    pub(crate) fn output_span(&self) -> Span {
        match &self.item.sig.output {
            ReturnType::Default => self.item.sig.ident.span(),
            ReturnType::Type(_, returned) => returned.span(),
        }
    }

    /// The return type, unless it hides one (`impl Trait`), which cannot be named inside.
    fn output(&self) -> Option<TokenStream> {
        struct Hidden(bool);
        impl Visit<'_> for Hidden {
            fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
                self.0 = true;
            }
        }
        match &self.item.sig.output {
            ReturnType::Default => Some(quote!(())),
            ReturnType::Type(_, returned) => {
                let mut hidden = Hidden(false);
                hidden.visit_type(returned);
                (!hidden.0).then(|| returned.to_token_stream())
            }
        }
    }

    /// An expression that runs the body once and gives what it returns; `?` and `return` stay inside.
    /// For an async function it is a future, not yet awaited.
    pub(crate) fn call(&self) -> TokenStream {
        let body = &self.item.block;
        match (self.is_async(), self.output()) {
            (false, None) => quote!((|| #body)()),
            (false, Some(output)) => quote!((|| -> #output #body)()),
            (true, None) => quote!(async #body),
            // Tells the compiler the block's type, which cannot be written; `?` needs it.
            (true, Some(output)) => quote!(async {
                if false {
                    let __daur_never: #output = loop {};
                    return __daur_never;
                }
                #body
            }),
        }
    }

    /// As [`Function::call`], where it is the only one: what the body borrows from its arguments may
    /// then leave it.
    pub(crate) fn only_call(&self, core: &TokenStream) -> TokenStream {
        let body = &self.item.block;
        match (self.is_async(), self.output()) {
            (true, _) => self.call(),
            (false, None) => quote!(#core::attributes::once(|| #body)),
            (false, Some(output)) => quote!(#core::attributes::once(|| -> #output #body)),
        }
    }

    /// Replaces the body by `body`.
    pub(crate) fn wrap(&mut self, body: TokenStream) {
        self.body = Some(body);
    }

    pub(crate) fn into_tokens(self) -> TokenStream {
        let Some(body) = self.body else { return self.item.into_token_stream() };
        let ItemFn { attrs, vis, sig, .. } = &self.item;
        let (outer, inner): (Vec<_>, Vec<_>) = attrs.iter().partition(|attr| matches!(attr.style, AttrStyle::Outer));
        quote! {
            #(#outer)*
            #[allow(
                unreachable_code,
                unused_braces,
                clippy::diverging_sub_expression,
                clippy::empty_loop,
                clippy::needless_return,
                clippy::redundant_closure_call,
                clippy::redundant_async_block,
                clippy::unused_async,
                reason = "an attribute has wrapped the body"
            )]
            #vis #sig {
                #(#inner)*
                #body
            }
        }
    }
}

/// The type itself where a `macro_rules!` has passed it on as `$t:ty`, in a group that nobody sees.
fn ungrouped(mut given: &Type) -> &Type {
    loop {
        given = match given {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            other => return other,
        };
    }
}
