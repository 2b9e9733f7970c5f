//! Programs with a `main` of their own, for cases that are about `main`: the same test program, told by
//! a variable in the environment to be another.
//!
//! Children that are started by exec inherit the variable, and so are the same program too.

use std::process::{Command, ExitCode};

/// Names the program.
const PROGRAM: &str = "OFFSPRING_TEST_PROGRAM";

/// A program, by name.
pub type Program = (&'static str, fn() -> ExitCode);

/// Those of the running test program; see [`set`].
static PROGRAMS: std::sync::OnceLock<&'static [Program]> = std::sync::OnceLock::new();

/// Says which programs there are. To be called before `harness::main`.
pub fn set(programs: &'static [Program]) {
    PROGRAMS.set(programs).expect("programs are set once");
}

/// Runs the program that the environment asks for, if it does.
pub fn run_if_asked() -> Option<ExitCode> {
    let wanted = std::env::var(PROGRAM).ok()?;
    let programs = PROGRAMS.get().copied().unwrap_or_default();
    match programs.iter().find(|(name, _)| *name == wanted) {
        Some((_, program)) => Some(program()),
        None => {
            eprintln!("no program is called {wanted}");
            Some(ExitCode::from(2))
        }
    }
}

/// A command that runs one of the programs.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test program has a path"));
    command.env(PROGRAM, name);
    command
}
