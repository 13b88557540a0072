//! The arguments of an attribute, each with its place in the source.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Path, Token};

/// Which crate re-exports the attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Core,
    Std,
}

/// `key = value`.
struct Arg {
    key: Ident,
    value: Expr,
}

impl Parse for Arg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // `crate` is a keyword.
        let key = Ident::parse_any(input)?;
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(key.span(), format!("`{key}` needs a value: `{key} = ..`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { key, value: ungrouped(input.parse()?) })
    }
}

/// The expression itself where a `macro_rules!` has passed it on as `$e:expr`, in a group that nobody sees.
fn ungrouped(mut given: Expr) -> Expr {
    while let Expr::Group(group) = given {
        given = *group.expr;
    }
    given
}

/// A text in front, or `key = value`.
enum Item {
    Name(LitStr),
    Arg(Arg),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(LitStr) { input.parse().map(Self::Name) } else { input.parse().map(Self::Arg) }
    }
}

/// What stands in an attribute's parentheses. Each value is taken once; [`Args::finish`] refuses the rest.
pub(crate) struct Args {
    pub(crate) attribute: &'static str,
    pub(crate) flavour: Flavour,
    name: Option<LitStr>,
    args: Vec<Arg>,
    asked: Vec<&'static str>,
    errors: Option<syn::Error>,
}

impl Args {
    pub(crate) fn parse(attribute: &'static str, flavour: Flavour, tokens: TokenStream) -> syn::Result<Self> {
        let items = Punctuated::<Item, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut parsed = Self { attribute, flavour, name: None, args: Vec::new(), asked: Vec::new(), errors: None };
        for item in items {
            match item {
                Item::Name(name)
                    if matches!(attribute, "measure_time" | "require_permission") && parsed.name.is_none() =>
                {
                    parsed.name = Some(name);
                }
                Item::Name(name) => parsed.error(name.span(), "a text stands here alone: expected `argument = value`"),
                Item::Arg(arg) if parsed.args.iter().any(|known| known.key == arg.key) => {
                    parsed.error(arg.key.span(), format!("`{}` is given twice", arg.key));
                }
                Item::Arg(arg) => parsed.args.push(arg),
            }
        }
        Ok(parsed)
    }

    /// Notes an error; all of them are reported together by [`Args::finish`].
    pub(crate) fn error(&mut self, span: Span, message: impl std::fmt::Display) {
        self.errors(syn::Error::new(span, message));
    }

    /// Likewise.
    pub(crate) fn errors(&mut self, error: syn::Error) {
        match &mut self.errors {
            Some(errors) => errors.combine(error),
            None => self.errors = Some(error),
        }
    }

    /// Reports what was wrong so far, and the arguments that nobody has asked for.
    pub(crate) fn finish(mut self) -> syn::Result<()> {
        for arg in std::mem::take(&mut self.args) {
            let allowed = self.asked.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let message = format!("`#[{}]` has no argument `{}`; it has {allowed}", self.attribute, arg.key);
            self.error(arg.key.span(), message);
        }
        self.errors.map_or(Ok(()), Err)
    }

    pub(crate) fn take_name(&mut self) -> Option<LitStr> {
        self.name.take()
    }

    /// Where an argument stands, if it is there and not taken yet.
    pub(crate) fn span_of(&self, key: &str) -> Option<Span> {
        self.args.iter().find(|arg| arg.key == key).map(|arg| arg.key.span())
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<Expr> {
        self.asked.push(key);
        let place = self.args.iter().position(|arg| arg.key == key)?;
        Some(self.args.remove(place).value)
    }

    pub(crate) fn take_path(&mut self, key: &'static str) -> Option<Path> {
        self.take_path_of(key, "a static")
    }

    /// The path of what `kind` says.
    pub(crate) fn take_path_of(&mut self, key: &'static str, kind: &str) -> Option<Path> {
        match self.take(key)? {
            Expr::Path(path) if path.qself.is_none() => Some(path.path),
            other => {
                self.error(other.span(), format!("`{key}` must be the path of {kind}"));
                None
            }
        }
    }

    /// What can be borrowed: a static, or an expression such as `self.breaker`.
    pub(crate) fn take_place(&mut self, key: &'static str) -> Option<Expr> {
        let given = self.take(key)?;
        if matches!(&given, Expr::Path(path) if path.qself.is_none()) || is_made_at_run_time(&given) {
            return Some(given);
        }
        self.error(
            given.span(),
            format!("`{key}` must be the path of a static, or lead to one: `self.{key}`, `{key}()`"),
        );
        None
    }

    /// Refuses each of `keys` that is there: they would be given twice.
    pub(crate) fn refuse(&mut self, keys: &[&'static str], why: &str) {
        for key in keys {
            if let Some(span) = self.span_of(key) {
                self.error(span, format!("`{key}` {why}"));
                self.args.retain(|arg| arg.key != key);
            }
        }
    }

    /// A whole number of at least `min`.
    pub(crate) fn take_number(&mut self, key: &'static str, min: u32) -> Option<Placed<u32>> {
        let value = self.take(key)?;
        self.number(key, min, &value)
    }

    pub(crate) fn number(&mut self, key: &str, min: u32, value: &Expr) -> Option<Placed<u32>> {
        let number = whole_number(value).filter(|number| *number >= min);
        if number.is_none() {
            self.error(value.span(), format!("`{key}` must be a whole number from {min} to 4294967295"));
        }
        number.map(|number| Placed { value: number, span: value.span() })
    }

    /// A duration, in nanoseconds.
    pub(crate) fn take_duration(&mut self, key: &'static str) -> Option<Placed<u64>> {
        let value = self.take(key)?;
        let nanos = text(&value).and_then(|text| nanos_of(&text));
        if nanos.is_none() {
            let message =
                format!("`{key}` must be a text of a whole number and one of ns, us, ms, s, m, h, such as \"100ms\"");
            self.error(value.span(), message);
        }
        nanos.map(|nanos| Placed { value: nanos, span: value.span() })
    }

    /// The path under which the expansion finds the re-exporting crate, and in it `daur_core`.
    pub(crate) fn roots(&mut self) -> Roots {
        let given = self.take_path("crate").map(ToTokens::into_token_stream);
        match self.flavour {
            Flavour::Core => {
                let root = given.unwrap_or_else(|| quote!(::daur_core));
                Roots { core: root.clone(), root, flavour: self.flavour }
            }
            Flavour::Std => {
                let root = given.unwrap_or_else(|| quote!(::daur_std));
                Roots { core: quote!(#root::core), root, flavour: self.flavour }
            }
        }
    }
}

/// Where the expansion finds things.
pub(crate) struct Roots {
    /// The crate that re-exports the attribute.
    pub(crate) root: TokenStream,
    /// `daur_core`.
    pub(crate) core: TokenStream,
    pub(crate) flavour: Flavour,
}

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// Whether an expression leads to what a method or a function has at hand.
pub(crate) const fn is_made_at_run_time(given: &Expr) -> bool {
    matches!(given, Expr::Field(_) | Expr::MethodCall(_) | Expr::Call(_) | Expr::Index(_) | Expr::Unary(_))
}

pub(crate) fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

pub(crate) fn whole_number(value: &Expr) -> Option<u32> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) => int.base10_parse().ok(),
        _ => None,
    }
}

/// As `daur_core::time::Duration` reads it.
pub(crate) fn nanos_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let nanos: u64 = match unit.trim_start() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_core_reads_them() {
        for (text, nanos) in [("100ms", 100_000_000), (" 2 h", 7_200_000_000_000), ("0s", 0), ("7ns", 7)] {
            assert_eq!(nanos_of(text), Some(nanos), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "5 weeks", "18446744073709551615h", "1s2"] {
            assert_eq!(nanos_of(text), None, "{text}");
        }
    }
}
