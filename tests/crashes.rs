//! Functions that crash in every way a process can: each is the right error, never a result, and
//! never a status 0 taken for success.

#![allow(
    clippy::unused_unit,
    reason = "a task that never returns needs it; Rust 1.85's lint disagrees"
)]

mod harness;

/// Makes a case of each deed, and a list of the cases. The file that uses it says what `crash` does.
macro_rules! crashes {
    ($($list:ident on $contexts:expr => { $($name:ident: $deed:ident),* $(,)? })*) => {
        $($(fn $name(context: Context) -> Outcome {
            crash(context, Deed::$deed)
        })*)*
        $(pub(crate) const $list: &[Case] = cases![on $contexts => $($name),*];)*
    };
}

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
