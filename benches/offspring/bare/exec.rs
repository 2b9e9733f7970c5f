//! `posix_spawn` of this same program, which leaves at once: what every exec of it costs.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::time::Instant;

use super::process::Child;
use crate::Outcome;

const BARE_CHILD: &str = "--bare-child";

/// Whether this process is such a child.
pub(crate) fn is_child() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == BARE_CHILD)
}

/// Path, arguments and environment, made once so that no run pays for it.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    arguments: [CString; 2],
    environment: Vec<CString>,
}

impl Program {
    pub(crate) fn this() -> Outcome<Self> {
        let path = CString::new(std::env::current_exe()?.into_os_string().into_vec())?;
        let joined = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec())
        };
        Ok(Self {
            arguments: [path.clone(), CString::new(BARE_CHILD)?],
            environment: std::env::vars_os().map(joined).collect::<Result<_, _>>()?,
            path,
        })
    }

    /// Starts it and waits for its end. In seconds.
    pub(crate) fn start_and_exit(&self) -> Outcome<f64> {
        let begin = Instant::now();
        let pointers = |texts: &[CString]| -> Vec<*mut libc::c_char> {
            let all = texts.iter().map(|text| text.as_ptr().cast_mut());
            all.chain([ptr::null_mut()]).collect()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        let mut pid = 0;
        // SAFETY: the path ends with a zero; both lists end with a null pointer, and what they point to
        // lives in `self` and is only read; no actions and no attributes are given.
        let number = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                self.path.as_ptr(),
                ptr::null(),
                ptr::null(),
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        };
        if number != 0 {
            return Err(io::Error::from_raw_os_error(number).into());
        }
        Child::of(pid).wait()?;
        Ok(begin.elapsed().as_secs_f64())
    }
}
