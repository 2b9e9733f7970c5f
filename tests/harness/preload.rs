//! Libraries of `tests/faults` that stand before the C library in a program that a case starts.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// Makes a library of `tests/faults/NAME.c`, in the directory of the case, which has to remove it.
pub fn compile(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(name);
    let source = source.with_extension("c");
    let library = std::env::temp_dir().join(name).with_extension("so");
    let arguments = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"];
    let mut compiler = Command::new("cc");
    let status = compiler.args(arguments).arg(&library).arg(source).arg("-ldl").status();
    assert!(status.expect("there is a C compiler").success(), "the library is compiled");
    library
}

/// Puts a library before the C library in a program, and before what is there already (`tests/faults/run`).
pub fn put_before(command: &mut Command, library: &Path) {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    command.env("LD_PRELOAD", list);
}

/// A program that is ended when this is dropped: also when the case fails meanwhile.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
