//! The last lines that a process wrote to a captured stream, for the error that says how it ended.
//!
//! A child writes into a file without a name of its own (`platform/src/unix/transcript.rs`). Nobody reads it
//! while all goes well. If a function fails, the child itself takes the excerpt (`own.rs`): later tasks may write,
//! too. If the child ends, whoever learns of it does.

mod own;

use std::time::Duration;

use offspring_platform::transcript::Transcript;
use serde::{Deserialize, Serialize};

pub(crate) use own::{copied, enter, for_copy, own, position};

/// How many bytes of it are in an error, at most.
pub(crate) const LIMIT: usize = 4 << 10;

/// How often those who have nothing else to wait for look whether there is something to give back.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// How the text of a panic begins that the hook of std prints.
const PANIC: &[u8] = b"thread '";

/// A part of a transcript, from one place to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The last lines of what was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// So many bytes before them are left out.
    pub(crate) left_out: u64,
}

impl Excerpt {
    /// Of what was written from this place on. `None` if it cannot be read: whatever it is that is to be told,
    /// it can be told without.
    pub(crate) fn of(transcript: &Transcript, from: u64) -> Option<Self> {
        Self::without(transcript, from, None)
    }

    /// The same, but for what std printed about a panic, which is told anyway.
    pub(crate) fn without(transcript: &Transcript, from: u64, panic: Option<Part>) -> Option<Self> {
        let end = transcript.end().ok()?;
        // The process may have cut it off.
        let from = if from > end { 0 } else { from };
        let panic = panic
            .filter(|part| from <= part.from && part.from < part.to && part.to <= end)
            .filter(|part| is_of_std(transcript, *part));
        // One more than is told: whether it is the end of a line.
        let most = LIMIT + 1;
        let (bytes, all) = match panic {
            None => (transcript.last(from, end, most).ok()?, end - from),
            Some(part) => {
                let after = transcript.last(part.to, end, most).ok()?;
                let before = transcript.last(from, part.from, most - after.len()).ok()?;
                ([before, after].concat(), end - part.to + part.from - from)
            }
        };
        Some(Self::cut(bytes, all))
    }

    /// Of the last bytes of `all`.
    fn cut(mut bytes: Vec<u8>, all: u64) -> Self {
        if bytes.len() > LIMIT {
            let first = &bytes[..bytes.len() / 2];
            let skipped = match first.iter().position(|byte| *byte == b'\n') {
                Some(place) => place + 1,
                // A line that is too long. It does not begin in the middle of a letter.
                None => {
                    1 + bytes[1..].iter().take(3).take_while(|byte| *byte & 0xC0 == 0x80).count()
                }
            };
            bytes.drain(..skipped);
        }
        let left_out = all.saturating_sub(bytes.len() as u64);
        Self { text: String::from_utf8_lossy(&bytes).into_owned(), left_out }
    }
}

/// Whether this is what std's hook prints. What a hook of the program prints may be more than the error has.
fn is_of_std(transcript: &Transcript, part: Part) -> bool {
    let to = part.to.min(part.from + PANIC.len() as u64 + 1);
    let first = transcript.last(part.from, to, PANIC.len() + 1).unwrap_or_default();
    first.trim_ascii_start().starts_with(PANIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8]) -> (String, u64) {
        let last = &bytes[bytes.len().saturating_sub(LIMIT + 1)..];
        let Excerpt { text, left_out } = Excerpt::cut(last.to_vec(), bytes.len() as u64);
        (text, left_out)
    }

    #[test]
    fn what_is_short_is_told_whole() {
        assert_eq!(cut(b""), (String::new(), 0));
        assert_eq!(cut(b"a\nb"), ("a\nb".into(), 0));
        assert_eq!(cut(b"\xff\n"), ("\u{fffd}\n".into(), 0));
        let full = "x".repeat(LIMIT);
        assert_eq!(cut(full.as_bytes()), (full, 0));
    }

    #[test]
    fn what_is_long_begins_with_a_line_or_at_least_with_a_letter() {
        let lines = format!("first\n{}\nlast\n", "x".repeat(LIMIT - 10));
        assert_eq!(cut(lines.as_bytes()), (lines[6..].to_owned(), 6));
        // The line before ends just where the limit is.
        let exact = format!("{}\n{}", "y".repeat(99), "x".repeat(LIMIT));
        assert_eq!(cut(exact.as_bytes()), ("x".repeat(LIMIT), 100));
        let letters = "é".repeat(LIMIT);
        let odd = format!("{letters}.");
        for text in [letters, odd] {
            let (told, left_out) = cut(text.as_bytes());
            assert!(text.ends_with(&told) && told.len() > LIMIT - 4, "{} bytes", told.len());
            assert_eq!(left_out, (text.len() - told.len()) as u64);
        }
    }
}
