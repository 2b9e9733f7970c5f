//! entry

mod harness;

fn main() -> std::process::ExitCode {
    harness::main(&[])
}
