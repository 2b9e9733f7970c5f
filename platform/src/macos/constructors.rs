//! The functions that run before `main`.

/// Runs the constructors of the program that come after `current`, for a process that will not return from
/// it.
///
/// Does nothing here: since 2021 the linker keeps the list in a form of its own (`__init_offsets`), and dyld
/// says nothing about its order. Who fills a registry before `main` finds it without what comes later.
pub fn run_later_than(_current: extern "C" fn()) {}
