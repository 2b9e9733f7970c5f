//! The head of the function under the attribute: its name, its attributes, and whether it is given a
//! context.

use proc_macro::{Delimiter, Group, Spacing, Span, TokenStream, TokenTree};

use crate::failure::Failure;
use crate::opened::Opened;

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
        let mut rest = Opened::new(item);
        let (mut cfgs, mut of_test, mut head) = (Vec::new(), Vec::new(), Vec::new());
        let mut should_panic = false;
        let mut token = rest.next();
        while let Some(TokenTree::Punct(sign)) = &token {
            if sign.as_char() != '#' {
                break;
            }
            let place = sign.span();
            let mut attribute: Vec<TokenTree> = token.into_iter().collect();
            let (name, text) = match rest.next() {
                Some(TokenTree::Group(group)) => {
                    let words: Vec<TokenTree> = Opened::new(group.stream()).collect();
                    let name = path_of(&words);
                    let words: TokenStream = words.into_iter().collect();
                    let text = words.to_string();
                    let mut opened = Group::new(group.delimiter(), words);
                    opened.set_span(group.span());
                    attribute.push(TokenTree::Group(opened));
                    (name, text)
                }
                other => {
                    attribute.extend(other);
                    (String::new(), String::new())
                }
            };
            match name.as_str() {
                "ignore" => of_test.extend(attribute),
                "should_panic" => {
                    should_panic = true;
                    of_test.extend(attribute);
                }
                "cfg_attr" if text.contains("ignore") => of_test.extend(attribute),
                "cfg_attr" if text.contains("should_panic") => {
                    return Err(Failure::at(
                        place,
                        "`should_panic` has to be there always or never: the process of the test \
                         has to know",
                    ));
                }
                // Also of another crate, or twice.
                path if path == "test" || path.ends_with("::test") => {
                    return Err(Failure::at(
                        place,
                        &format!("`#[offspring::test]` makes the tests itself: remove `#[{path}]`"),
                    ));
                }
                "cfg" => {
                    cfgs.extend(attribute.clone());
                    head.extend(attribute);
                }
                _ => head.extend(attribute),
            }
            token = rest.next();
        }
        if matches!(&token, Some(TokenTree::Ident(word)) if word.to_string() == "pub") {
            head.extend(token);
            token = rest.next();
            let restricted = matches!(&token,
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
            if restricted {
                head.extend(token);
                token = rest.next();
            }
        }
        loop {
            let Some(TokenTree::Ident(word)) = &token else {
                return Err(failure(token.as_ref(), "`#[offspring::test]` is for functions"));
            };
            let word = word.to_string();
            match word.as_str() {
                "fn" | "const" => {}
                "async" => {
                    return Err(failure(
                        token.as_ref(),
                        "a test cannot be `async`: offspring brings no runtime; make an ordinary \
                         function, and start the runtime of your choice in it",
                    ));
                }
                "unsafe" | "extern" => {
                    return Err(failure(token.as_ref(), "a test is a safe Rust function"));
                }
                _ => return Err(failure(token.as_ref(), "`#[offspring::test]` is for functions")),
            }
            head.extend(token);
            token = rest.next();
            if word == "fn" {
                break;
            }
        }
        let name = token;
        head.extend(name.clone());
        let parameters = rest.next();
        head.extend(parameters.clone());
        let takes_context = match &parameters {
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                if let Some(own) = receiver(group.stream()) {
                    return Err(Failure::at(
                        own,
                        "a test is a function, and no method: it has no `self`",
                    ));
                }
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
        head.extend(rest.rest());
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

/// What an attribute is called.
fn path_of(words: &[TokenTree]) -> String {
    let is_of_path = |word: &&TokenTree| match word {
        TokenTree::Ident(_) => true,
        TokenTree::Punct(sign) => sign.as_char() == ':',
        _ => false,
    };
    words.iter().take_while(is_of_path).map(ToString::to_string).collect()
}

/// Where there is a `self`: as `&'a mut self`, or in a pattern before the first colon.
fn receiver(tokens: TokenStream) -> Option<Span> {
    let is_before = |token: &TokenTree| !matches!(token, TokenTree::Punct(sign) if matches!(sign.as_char(), ':' | ','));
    let mut words = Opened::new(tokens).take_while(is_before);
    let found =
        words.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "self"));
    found.map(|token| token.span())
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
