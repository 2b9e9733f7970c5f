//! The table: what the outcome must be, by point and way.

use offspring::{Error, ErrorKind, Exit, Phase, TaskError};

use crate::fuse::{FAILURE, LEFT, Point, SAYS, Way};

/// How a process ends, by way; `None` if it lives on.
pub(crate) fn end(way: Way) -> Option<i32> {
    Some(match way {
        Way::Kill | Way::Stop => -libc::SIGKILL,
        Way::Abort => -libc::SIGABRT,
        Way::Crash => -libc::SIGSEGV,
        Way::Success => 0,
        Way::Failure => FAILURE,
        Way::Leave => LEFT,
        Way::Panic => return None,
    })
}

/// How it ends if this happens in `main`, or in a destructor: a panic ends it like any program.
pub(crate) fn end_of_program(way: Way) -> i32 {
    end(way).unwrap_or(101)
}

/// A status, or a signal as a negative number.
pub(crate) fn number_of(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal { signal, .. } => -signal,
        other => panic!("{other:?} is how a process ended"),
    }
}

/// How often a task has had its effect that met its fate there.
pub(crate) fn effects(point: Point) -> u64 {
    match point {
        Point::Decoding | Point::Beginning => 0,
        Point::Middle | Point::DroppingArgument | Point::Encoding | Point::DroppingResult => 1,
    }
}

/// A task that met this fate: one of this index fails, having begun, and the error says how.
pub(crate) fn task(error: &TaskError, index: u64, way: Way) {
    assert_eq!((error.index(), error.phase()), (index, Phase::Started), "{error:?}");
    assert!(error.pid().is_some() && error.worker().is_some(), "{error:?}");
    own(error, way, ErrorKind::Died);
}

/// A worker, or its task, met this fate.
pub(crate) fn own(error: &Error, way: Way, died: ErrorKind) {
    if let Some(end) = end(way) {
        assert_eq!(error.kind(), died, "{error:?}");
        assert_eq!(error.exit().map(number_of), Some(end), "{error:?}");
    } else {
        assert_eq!(error.panic().map(offspring::Panic::message), Some(SAYS), "{error:?}");
        let kind = if died == ErrorKind::Died { ErrorKind::Panicked } else { died };
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}
