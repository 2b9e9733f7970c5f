//! The attribute `#[offspring::test]`.
//!
//! It reads two things, its own options and the head of the function, and hands both to a
//! `macro_rules!` of offspring (`src/testing/expansion.rs`), which says what they become. So all that is
//! here is reading, for which the compiler's own `proc_macro` is enough.

mod failure;
mod function;
mod opened;
mod options;

use proc_macro::TokenStream;

use failure::Failure;
use function::Function;
use options::Options;

/// Runs a test on every context. Documented where it is exported: `offspring::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match expand(arguments, item.clone()) {
        Ok(expansion) => expansion,
        // The function stays, so that this is the only error.
        Err(failure) => [failure.into_tokens(), item].into_iter().collect(),
    }
}

fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Failure> {
    let options = Options::read(arguments)?;
    let function = Function::read(item)?;
    let contexts = match (&options.contexts, function.takes_context) {
        (Some((span, _)), false) => {
            return Err(Failure::at(
                *span,
                "`contexts` is for a function that is given its context: \
                 `fn name(context: offspring::Context)`",
            ));
        }
        (Some((_, chosen)), true) => chosen.clone(),
        (None, _) => options::all(),
    };
    let panics = function.should_panic || options.should_panic;
    let mut attributes = function.of_test.clone();
    if options.should_panic && !function.should_panic {
        attributes.extend(parse("#[should_panic]")?);
    }
    if let Some(reason) = &options.ignore {
        attributes.extend(parse(&format!("#[ignore = {reason}]"))?);
    }
    let shape = if function.takes_context { "context" } else { "alone" };
    let contexts = contexts.join(" ");
    // The user's own tokens keep their places, so that the compiler points at them.
    let inner: TokenStream = [
        parse(&format!("@{shape}"))?,
        braced(function.name.clone()),
        braced(parse(&format!(
            "timeout_ms: {}, leak_check: {}, should_panic: {panics}",
            options.timeout_ms, options.leak_check
        ))?),
        braced(parse(&contexts)?),
        braced(function.cfgs),
        braced(attributes),
        function.item,
    ]
    .into_iter()
    .collect();
    let offspring = options.offspring.map_or_else(|| parse("::offspring"), Ok)?;
    Ok([offspring, parse("::__test_function!")?, braced(inner)].into_iter().collect())
}

fn braced(tokens: TokenStream) -> TokenStream {
    use proc_macro::{Delimiter, Group, TokenTree};
    TokenTree::Group(Group::new(Delimiter::Brace, tokens)).into()
}

/// Tokens of this crate's own text.
fn parse(text: &str) -> Result<TokenStream, Failure> {
    text.parse().map_err(|_| Failure::here(&format!("offspring: `{text}` is no Rust; a bug")))
}
