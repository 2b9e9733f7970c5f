//! Whether a process lives, and since when: `/proc`.

use std::fs;
use std::io;

/// When a process began, in the ticks of the system; `None` if there is no such process, or it has ended.
pub(crate) fn began(pid: u32) -> io::Result<Option<u64>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        // Without `/proc` nothing can be said.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::exists("/proc/self/stat")? => {
            return Ok(None);
        }
        // It ended between the opening and the reading.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // proc_pid_stat(5): the name, in parentheses, may hold anything. Behind it the state is the first field,
    // and the time of the start the twentieth.
    let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    if let Some("Z" | "X" | "x") = fields.next() {
        return Ok(None);
    }
    let began = fields.nth(18).and_then(|field| field.parse().ok());
    let began = began.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is {text:?}")))?;
    Ok(Some(began))
}
