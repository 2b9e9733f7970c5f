//! Functions that crash in every way a process can: each is the right error, never a result, and
//! never a status 0 taken for success.

mod harness;

mod crashes {
    pub(crate) mod list;
    pub(crate) mod pool;
    pub(crate) mod process;
}

fn main() -> std::process::ExitCode {
    harness::main(&[
        crashes::process::CRASHES_ON_ALL,
        crashes::process::CRASHES_ON_PROCESSES,
        crashes::process::OTHERS_ON_ALL,
        crashes::process::OTHERS_ON_PROCESSES,
        crashes::pool::CRASHES_ON_ALL,
        crashes::pool::CRASHES_ON_PROCESSES,
        crashes::pool::OTHERS_ON_PROCESSES,
    ])
}
