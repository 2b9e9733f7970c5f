//! What all shared memory has in common when it is made: elements, and what is said when the system refuses.

use std::any::type_name;
use std::io;

use offspring_platform::shared::what_ran_out;

use crate::error::{Error, ErrorKind};

/// The error of a system that refuses.
pub(crate) fn refused(doing: &'static str, error: io::Error) -> Error {
    let (what, advice) = match what_ran_out(&error) {
        Some((what, advice)) => (what, Some(advice)),
        None => ("the system has no shared memory for it", None),
    };
    let error = Error::system(doing, error).detail(what);
    match advice {
        Some(advice) => error.advice(advice),
        None => error,
    }
}

/// Elements that can lie in shared memory. Evaluated when a table of them is made.
pub(super) const fn check_element<T>() {
    assert!(size_of::<T>() > 0, "elements without a size need no shared memory");
    assert!(align_of::<T>() <= 4096, "shared memory starts at a page");
}

/// Makes sure that these are whole elements.
pub(super) fn check_whole<T>(doing: &'static str, bytes: usize) -> Result<(), Error> {
    if bytes % size_of::<T>() == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, doing).detail(format!(
        "{bytes} bytes are not a whole number of elements of {} bytes (`{}`)",
        size_of::<T>(),
        type_name::<T>()
    )))
}

/// How many bytes so many elements have.
pub(super) fn bytes_of<T>(doing: &'static str, elements: usize) -> Result<usize, Error> {
    let most = isize::MAX.unsigned_abs();
    elements.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= most).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, doing).detail(format!(
            "{elements} elements of {} bytes are more than any process can address",
            size_of::<T>()
        ))
    })
}
