//! The head of the function under the attribute: its name, its attributes, and whether it is given a
//! context.

use proc_macro::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::failure::Failure;

/// One test function.
pub(crate) struct Function {
    /// Its name, with the place where it stands.
    pub(crate) name: TokenStream,
    /// Whether it has a parameter, which the compiler checks to be a context.
    pub(crate) takes_context: bool,
    /// `#[should_panic]` is among `of_test`.
    pub(crate) should_panic: bool,
    /// `#[cfg(…)]`, which what is made beside the function needs as well.
    pub(crate) cfgs: TokenStream,
    /// `#[ignore]` and `#[should_panic]`, which belong to the tests that the function becomes.
    pub(crate) of_test: TokenStream,
    /// The function without those.
    pub(crate) item: TokenStream,
}

impl Function {
    pub(crate) fn read(item: TokenStream) -> Result<Self, Failure> {
        let mut rest = item.into_iter().peekable();
        let (mut cfgs, mut of_test, mut head) = (Vec::new(), Vec::new(), Vec::new());
        let mut should_panic = false;
        while matches!(rest.peek(), Some(TokenTree::Punct(sign)) if sign.as_char() == '#') {
            let attribute: Vec<TokenTree> = rest.by_ref().take(2).collect();
            let text = attribute.last().map(ToString::to_string).unwrap_or_default();
            let inner = text.trim_start_matches('[').trim_start();
            let name = inner.split(|letter: char| !is_of_name(letter)).next().unwrap_or_default();
            match name {
                "ignore" => of_test.extend(attribute),
                "should_panic" => {
                    should_panic = true;
                    of_test.extend(attribute);
                }
                "cfg_attr" if inner.contains("ignore") => of_test.extend(attribute),
                "cfg_attr" if inner.contains("should_panic") => {
                    return Err(failure(
                        attribute.first(),
                        "`should_panic` has to be there always or never: the process of the test \
                         has to know",
                    ));
                }
                "test" => {
                    return Err(failure(
                        attribute.first(),
                        "`#[offspring::test]` makes the tests itself: remove `#[test]`",
                    ));
                }
                "cfg" => {
                    cfgs.extend(attribute.clone());
                    head.extend(attribute);
                }
                _ => head.extend(attribute),
            }
        }
        if matches!(rest.peek(), Some(TokenTree::Ident(word)) if word.to_string() == "pub") {
            head.extend(rest.next());
            let restricted = matches!(rest.peek(),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
            if restricted {
                head.extend(rest.next());
            }
        }
        loop {
            let Some(token) = rest.next() else {
                return Err(failure(None, "`#[offspring::test]` is for functions"));
            };
            head.push(token.clone());
            let TokenTree::Ident(word) = &token else {
                return Err(failure(Some(&token), "`#[offspring::test]` is for functions"));
            };
            match word.to_string().as_str() {
                "fn" => break,
                "async" => {
                    return Err(failure(
                        Some(&token),
                        "a test cannot be `async`: offspring brings no runtime; make an ordinary \
                         function, and start the runtime of your choice in it",
                    ));
                }
                "unsafe" | "extern" => {
                    return Err(failure(Some(&token), "a test is a safe Rust function"));
                }
                "const" => {}
                _ => return Err(failure(Some(&token), "`#[offspring::test]` is for functions")),
            }
        }
        let name = rest.next();
        head.extend(name.clone());
        let parameters = rest.next();
        head.extend(parameters.clone());
        let takes_context = match &parameters {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                match count(group.stream()) {
                    0 => false,
                    1 => true,
                    _ => {
                        return Err(failure(
                            parameters.as_ref(),
                            "a test is given nothing but its context: `(context: offspring::Context)`",
                        ));
                    }
                }
            }
            other => return Err(failure(other.as_ref(), "a test cannot be generic")),
        };
        head.extend(rest);
        Ok(Self {
            name: name.into_iter().collect(),
            takes_context,
            should_panic,
            cfgs: cfgs.into_iter().collect(),
            of_test: of_test.into_iter().collect(),
            item: head.into_iter().collect(),
        })
    }
}

fn failure(token: Option<&TokenTree>, text: &str) -> Failure {
    match token {
        Some(token) => Failure::at(token.span(), text),
        None => Failure::here(text),
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// How many parameters there are: commas, but not those between `<` and `>`, and not a last one.
fn count(tokens: TokenStream) -> usize {
    let (mut count, mut depth, mut pending, mut arrow) = (0, 0usize, false, false);
    for token in tokens {
        if let TokenTree::Punct(sign) = &token {
            match sign.as_char() {
                '<' => depth += 1,
                '>' if !arrow => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    count += usize::from(pending);
                    pending = false;
                    continue;
                }
                _ => {}
            }
            arrow = sign.as_char() == '-' && sign.spacing() == Spacing::Joint;
        } else {
            arrow = false;
        }
        pending = true;
    }
    count + usize::from(pending)
}
