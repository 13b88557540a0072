//! What a type that is kept must not hold.

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Lifetime, Type, TypeReference};

/// The first place where a type borrows for less than the program's life, if there is one.
pub(super) fn borrowed(given: &Type) -> Option<Span> {
    #[derive(Default)]
    struct Loans(Option<Span>);
    impl Visit<'_> for Loans {
        fn visit_type_reference(&mut self, lent: &TypeReference) {
            if lent.lifetime.is_none() {
                self.0.get_or_insert(lent.span());
            }
            visit::visit_type_reference(self, lent);
        }

        fn visit_lifetime(&mut self, lifetime: &Lifetime) {
            if lifetime.ident != "static" {
                self.0.get_or_insert(lifetime.span());
            }
        }

        // What these borrow is their callers'.
        fn visit_type_bare_fn(&mut self, _: &syn::TypeBareFn) {}
        fn visit_parenthesized_generic_arguments(&mut self, _: &syn::ParenthesizedGenericArguments) {}
    }
    let mut loans = Loans::default();
    loans.visit_type(given);
    loans.0
}

/// The first place where a type says `Self`, if there is one.
pub(super) fn own(given: &Type) -> Option<Span> {
    #[derive(Default)]
    struct Own(Option<Span>);
    impl Visit<'_> for Own {
        fn visit_ident(&mut self, name: &syn::Ident) {
            if name == "Self" {
                self.0.get_or_insert(name.span());
            }
        }
    }
    let mut own = Own::default();
    own.visit_type(given);
    own.0
}

/// The first place where a type hides another, if there is one.
pub(super) fn hidden(given: &Type) -> Option<Span> {
    #[derive(Default)]
    struct Hidden(Option<Span>);
    impl Visit<'_> for Hidden {
        fn visit_type_impl_trait(&mut self, hidden: &syn::TypeImplTrait) {
            self.0.get_or_insert(hidden.span());
        }
    }
    let mut hidden = Hidden::default();
    hidden.visit_type(given);
    hidden.0
}

/// The same tokens at another place: what is wrong with them is told there.
pub(super) fn respanned(tokens: &TokenStream, span: Span) -> TokenStream {
    let moved = tokens.clone().into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    moved.collect()
}
