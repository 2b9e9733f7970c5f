//! Tokens as somebody wrote them, though a `macro_rules!` has put them there.
//!
//! What `$visibility:vis`, `$value:expr` and the like insert arrives in a group without delimiters. Where the
//! attribute looks for a word, such a group is in the way.

use proc_macro::{Delimiter, TokenStream, TokenTree, token_stream};

/// Tokens one by one, those in groups without delimiters in the place of these groups.
pub(crate) struct Opened {
    /// What is left of the groups that were opened, the innermost last.
    left: Vec<token_stream::IntoIter>,
}

impl Opened {
    pub(crate) fn new(tokens: TokenStream) -> Self {
        Self { left: vec![tokens.into_iter()] }
    }

    /// All that were not asked for, as they are: in types and expressions, such groups say what belongs together.
    pub(crate) fn rest(self) -> TokenStream {
        self.left.into_iter().rev().flatten().collect()
    }
}

impl Iterator for Opened {
    type Item = TokenTree;

    fn next(&mut self) -> Option<TokenTree> {
        loop {
            match self.left.last_mut()?.next() {
                None => drop(self.left.pop()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::None => {
                    self.left.push(group.stream().into_iter());
                }
                Some(token) => return Some(token),
            }
        }
    }
}
