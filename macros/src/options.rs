//! What stands in the parentheses of the attribute.

use proc_macro::{Delimiter, Ident, Spacing, Span, TokenStream, TokenTree};

use crate::failure::Failure;
use crate::opened::Opened;

const KNOWN: &str = "`contexts(Fork, Spawn, ForkServer, Inline)`, `timeout = \"30s\"`, \
                     `leak_check = false`, `should_panic`, `ignore`, `ignore = \"reason\"` or \
                     `crate = path`";

/// Of one minute, like that of other runners: reached by a deadlock, and by little else.
const DEFAULT_TIMEOUT_MS: u64 = 60_000;

/// The names of the tests that a function becomes, each with its variant of `Context`.
const CONTEXTS: [&str; 4] = ["fork Fork", "spawn Spawn", "fork_server ForkServer", "inline Inline"];

/// The options of one test function.
pub(crate) struct Options {
    /// Where they were chosen, and which.
    pub(crate) contexts: Option<(Span, Vec<&'static str>)>,
    pub(crate) timeout_ms: u64,
    pub(crate) leak_check: bool,
    pub(crate) should_panic: bool,
    /// The reason, as a literal.
    pub(crate) ignore: Option<String>,
    /// The path of offspring, where it is not `::offspring`.
    pub(crate) offspring: Option<TokenStream>,
}

/// Every context there is.
pub(crate) fn all() -> Vec<&'static str> {
    CONTEXTS.to_vec()
}

impl Options {
    pub(crate) fn read(arguments: TokenStream) -> Result<Self, Failure> {
        let mut options = Self {
            contexts: None,
            timeout_ms: DEFAULT_TIMEOUT_MS,
            leak_check: true,
            should_panic: false,
            ignore: None,
            offspring: None,
        };
        let mut seen: Vec<String> = Vec::new();
        for part in parts(arguments) {
            let Some(TokenTree::Ident(name)) = part.first() else {
                let span = part.first().map_or_else(Span::call_site, TokenTree::span);
                return Err(Failure::at(span, &format!("an option begins with its name: {KNOWN}")));
            };
            let text = name.to_string();
            if seen.contains(&text) {
                return Err(Failure::at(name.span(), "this option is there twice"));
            }
            match (text.as_str(), &part[1..]) {
                ("contexts", [TokenTree::Group(list)])
                    if list.delimiter() == Delimiter::Parenthesis =>
                {
                    options.contexts = Some((name.span(), contexts(name, list.stream())?));
                }
                ("timeout", [equals, value]) if is_equals(equals) => {
                    options.timeout_ms = milliseconds(value)?;
                }
                ("leak_check", [equals, TokenTree::Ident(value)]) if is_equals(equals) => {
                    options.leak_check = match value.to_string().as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(Failure::at(value.span(), "use `true` or `false`")),
                    };
                }
                ("should_panic", []) => options.should_panic = true,
                ("ignore", []) => options.ignore = Some("\"\"".to_owned()),
                ("ignore", [equals, TokenTree::Literal(reason)]) if is_equals(equals) => {
                    options.ignore = Some(reason.to_string());
                }
                ("crate", [equals, path @ ..]) if is_equals(equals) && is_path(path) => {
                    options.offspring = Some(path.iter().cloned().collect());
                }
                _ => return Err(Failure::at(name.span(), &form_of(&text))),
            }
            seen.push(text);
        }
        Ok(options)
    }
}

/// What to write instead of an option that is none, or that has another form.
fn form_of(option: &str) -> String {
    let form = match option {
        "contexts" => "this is written `contexts(Fork, Spawn)`, with commas",
        "timeout" => "this is written `timeout = \"30s\"`",
        "leak_check" => "this is written `leak_check = false`",
        "should_panic" => {
            "this is written `should_panic`; what the panic says can be wanted below: \
             `#[should_panic(expected = \"…\")]`"
        }
        "ignore" => "this is written `ignore` or `ignore = \"reason\"`",
        "crate" => {
            "this is written `crate = its_name` or `crate = other::its_name`, without quotes: the path that \
             offspring has here"
        }
        _ => match context(option) {
            Some(chosen) => {
                return format!("contexts are chosen by `contexts({}, …)`", variant(chosen));
            }
            None => return format!("there is no option `{option}`: {KNOWN}"),
        },
    };
    form.to_owned()
}

/// What stands between commas.
fn parts(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    for token in Opened::new(tokens) {
        if matches!(&token, TokenTree::Punct(comma) if comma.as_char() == ',') {
            parts.push(Vec::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(token);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_equals(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(sign) if sign.as_char() == '=')
}

/// `name`, `::name` or `some::name`. The path may have been put there by `$crate`, which is one word.
fn is_path(tokens: &[TokenTree]) -> bool {
    let mut rest = match tokens {
        [one, two, rest @ ..] if is_colons(one, two) => rest,
        all => all,
    };
    loop {
        rest = match rest {
            [TokenTree::Ident(_)] => return true,
            [TokenTree::Ident(_), one, two, rest @ ..] if is_colons(one, two) => rest,
            _ => return false,
        };
    }
}

fn is_colons(one: &TokenTree, two: &TokenTree) -> bool {
    matches!((one, two), (TokenTree::Punct(one), TokenTree::Punct(two))
        if one.as_char() == ':' && one.spacing() == Spacing::Joint && two.as_char() == ':')
}

/// `Fork, Spawn`. Fork may be written `unsafe(Fork)`.
fn contexts(option: &Ident, list: TokenStream) -> Result<Vec<&'static str>, Failure> {
    const USE: &str = "use Fork (or unsafe(Fork)), Spawn, ForkServer or Inline";
    let mut chosen = Vec::new();
    for part in parts(list) {
        let (name, is_promise) = match part.as_slice() {
            [TokenTree::Ident(name)] => (name.clone(), false),
            [TokenTree::Ident(word), TokenTree::Group(inner)] if word.to_string() == "unsafe" => {
                let inner: Vec<TokenTree> = Opened::new(inner.stream()).collect();
                let [TokenTree::Ident(name)] = inner.as_slice() else {
                    return Err(Failure::at(word.span(), USE));
                };
                (name.clone(), true)
            }
            other => {
                let span = other.first().map_or_else(Span::call_site, TokenTree::span);
                return Err(Failure::at(span, USE));
            }
        };
        let Some(found) = context(&name.to_string()) else {
            return Err(Failure::at(name.span(), &format!("there is no context `{name}`: {USE}")));
        };
        if is_promise && variant(found) != "Fork" {
            return Err(Failure::at(name.span(), "only Fork needs a promise: leave out `unsafe`"));
        }
        if chosen.contains(&found) {
            return Err(Failure::at(name.span(), "this context is there twice"));
        }
        chosen.push(found);
    }
    if chosen.is_empty() {
        return Err(Failure::at(option.span(), "at least one context is needed"));
    }
    Ok(chosen)
}

/// The one of `CONTEXTS` that is meant, in any spelling that `Context` itself reads.
fn context(name: &str) -> Option<&'static str> {
    let plain = name.replace('_', "").to_ascii_lowercase();
    CONTEXTS.into_iter().find(|context| variant(context).to_ascii_lowercase() == plain)
}

/// The variant of `Context`.
fn variant(context: &'static str) -> &'static str {
    context.split(' ').nth(1).unwrap_or_default()
}

/// `"30s"`, in milliseconds.
fn milliseconds(value: &TokenTree) -> Result<u64, Failure> {
    let wrong = || {
        Failure::at(
            value.span(),
            "a time limit is a text with a number above 0 and a unit: \"500ms\", \"30s\", \"5min\" or \"1h\"",
        )
    };
    let text = value.to_string();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(wrong)?;
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit) {
        None | Some(0) => Err(wrong()),
        Some(milliseconds) => Ok(milliseconds),
    }
}
