//! What is wrong with a use of the attribute, as an error of the compiler at the place.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// A text, and the place that it is about.
pub(crate) struct Failure {
    span: Span,
    text: String,
}

impl Failure {
    pub(crate) fn at(span: Span, text: &str) -> Self {
        Self { span, text: text.to_owned() }
    }

    /// About the attribute as a whole.
    pub(crate) fn here(text: &str) -> Self {
        Self::at(Span::call_site(), text)
    }

    /// `::core::compile_error! { "…" }`, with the place on each token.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let mut tokens = Vec::new();
        for word in ["core", "compile_error"] {
            tokens.push(TokenTree::Punct(Punct::new(':', Spacing::Joint)));
            tokens.push(TokenTree::Punct(Punct::new(':', Spacing::Alone)));
            tokens.push(TokenTree::Ident(Ident::new(word, self.span)));
        }
        tokens.push(TokenTree::Punct(Punct::new('!', Spacing::Alone)));
        let text = TokenTree::Literal(Literal::string(&self.text));
        tokens.push(TokenTree::Group(Group::new(Delimiter::Brace, text.into())));
        for token in &mut tokens {
            token.set_span(self.span);
        }
        tokens.into_iter().collect()
    }
}
