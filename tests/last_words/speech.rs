//! What children say, and how they end.

use std::io::Write;

use serde::{Deserialize, Serialize};

/// How a child ends that has said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Abort,
    Exit,
    Fault,
    Kill,
    Panic,
    Return,
    Sleep,
}

pub(crate) fn raise(signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::raise(signal) };
}

/// Writes as C code does: past everything that std knows.
pub(crate) fn write_like_c(bytes: &[u8]) {
    // SAFETY: the pointer and the length are those of a slice.
    let written = unsafe { libc::write(2, bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(usize::try_from(written), Ok(bytes.len()), "a file takes all");
}

#[expect(clippy::exit, reason = "to see what becomes of it")]
pub(crate) fn end(how: End) {
    match how {
        End::Abort => std::process::abort(),
        End::Exit => std::process::exit(3),
        // The first time std's handler only takes itself away.
        End::Fault => (0..2).for_each(|_| raise(libc::SIGSEGV)),
        End::Kill => raise(libc::SIGKILL),
        End::Panic => panic!("the message of the panic"),
        End::Return => {}
        End::Sleep => crate::harness::sleep_for_ever(),
    }
}

/// Says something, and ends.
pub(crate) fn say(text: &str, how: End) {
    eprintln!("{text}");
    end(how);
}

/// Whether the text of an error ends with these lines.
#[track_caller]
pub(crate) fn assert_shows(error: &offspring::Error, lines: &[&str]) {
    let wanted: String = lines.iter().flat_map(|line| ["\n    ", line]).collect();
    for text in [error.to_string(), format!("{error:?}")] {
        let (first, shown) = text.split_once("\nits last words").unwrap_or((&text, "nothing"));
        assert!(shown.ends_with(&format!(":{wanted}")), "{lines:?} is not the end of: {text}");
        assert!(!first.contains(lines[0]), "twice: {text}");
    }
}

/// Writes lines until so much is written: `line 0`, `line 1`, and so on.
pub(crate) fn write_lines(bytes: usize) -> usize {
    let mut stderr = std::io::stderr();
    let (mut written, mut buffer) = (0, Vec::new());
    for line in 0.. {
        buffer.extend_from_slice(format!("line {line}\n").as_bytes());
        if buffer.len() > 64 << 10 || written + buffer.len() >= bytes {
            stderr.write_all(&buffer).expect("a file takes all");
            written += buffer.len();
            buffer.clear();
        }
        if written >= bytes {
            break;
        }
    }
    written
}
