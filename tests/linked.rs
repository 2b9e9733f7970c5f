//! However a program is linked, its functions have names in its children; those of a library that it loads have none,
//! and it is told so.
//!
//! The programs of `tests/linked` are built for it, offline, with the versions of our own `Cargo.lock`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package with a program, a library that is loaded, and who loads it.
const MANIFEST: &str = r#"
[package]
name = "linked"
edition = "2024"

[workspace]

[lib]
name = "library"
path = "{sources}/library.rs"
crate-type = ["cdylib"]

[[bin]]
name = "program"
path = "{sources}/program.rs"

[[bin]]
name = "host"
path = "{sources}/host.rs"

[dependencies]
# As in tests/ui.rs, so that it is built once for both.
offspring = { path = "{root}", features = ["test"] }
"#;

/// That package, with a copy for each test: they may run at the same time, in processes of their own.
struct Fixture {
    directory: PathBuf,
    target: PathBuf,
}

impl Fixture {
    fn make(test: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = place.join(format!("linked-{test}"));
        fs::create_dir_all(&directory).expect("a directory");
        let sources = root.join("tests/linked");
        let text = |path: &Path| path.to_str().expect("our own path is text").to_owned();
        let manifest =
            MANIFEST.replace("{sources}", &text(&sources)).replace("{root}", &text(root));
        fs::write(directory.join("Cargo.toml"), manifest).expect("a manifest");
        fs::copy(root.join("Cargo.lock"), directory.join("Cargo.lock")).expect("a lock file");
        Self { directory, target: place.join("ui-target") }
    }

    /// `cargo rustc … -- <flags>`; the flags are for that one alone, and not for what it is linked with.
    fn build(&self, what: &[&str], flags: &[&str]) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["rustc", "--offline", "--quiet", "--color", "never"]).args(what);
        command.arg("--").args(flags);
        command.current_dir(&self.directory).env("CARGO_TARGET_DIR", &self.target);
        // Where another C library is tested, this is for the machine's own: the one that can load libraries.
        command.env_remove("CARGO_BUILD_TARGET");
        let built = command.output().expect("cargo runs");
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{what:?} is not built: {errors}");
    }

    fn built(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }
}

/// What a program prints that ends well.
fn output(command: &mut Command) -> String {
    let ended = command.output().expect("it was built");
    let (said, errors) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{}\n--- said\n{said}\n--- errors\n{errors}", ended.status);
    said.into_owned()
}

const CONTEXTS: [&str; 4] = ["inline", "fork", "spawn", "forkserver"];

/// Whether what has the whole C library in it can be linked here. Distributions have that in a package of its own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn has_static_libc() -> bool {
    let found = Command::new("cc").arg("-print-file-name=libc.a").output();
    let there = found.is_ok_and(|found| found.stdout.starts_with(b"/"));
    if !there {
        let required = std::env::var_os("OFFSPRING_REQUIRE_ALL").is_some();
        assert!(!required, "OFFSPRING_REQUIRE_ALL is set, and there is no libc.a");
        println!("not tested: programs with all of the C library in them (there is no libc.a)");
    }
    there
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn programs_of_every_kind_name_their_functions() {
    // What stands in the head of an ELF file.
    const FIXED: u8 = 2;
    const MOVABLE: u8 = 3;
    let dynamic = [("pic", "-crt-static", MOVABLE), ("static", "-crt-static", FIXED)];
    let whole = [("pic", "+crt-static", MOVABLE), ("static", "+crt-static", FIXED)];
    let whole = whole.into_iter().filter(|_| has_static_libc());

    let fixture = Fixture::make("program");
    for (model, libc, kind) in dynamic.into_iter().chain(whole) {
        let flags = [format!("-Crelocation-model={model}"), format!("-Ctarget-feature={libc}")];
        fixture.build(&["--bin", "program"], &flags.each_ref().map(String::as_str));
        let program = fixture.built("program");
        assert_eq!(fs::read(&program).expect("it was built")[16], kind, "{flags:?}");
        let said = output(&mut Command::new(&program));
        assert_eq!(said.lines().collect::<Vec<_>>(), CONTEXTS, "{flags:?}");
    }
}

#[test]
fn functions_of_a_library_that_was_loaded_are_refused() {
    let fixture = Fixture::make("library");
    fixture.build(&["--lib"], &[]);
    fixture.build(&["--bin", "host"], &[]);
    let name = format!("{}library{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let said = output(Command::new(fixture.built("host")).arg(fixture.built(&name)));
    let mut lines = said.lines();
    for context in CONTEXTS {
        for what in ["process", "initialiser", "task", "map"] {
            let line = lines.next().unwrap_or_default();
            if (context, what) == ("fork", "initialiser") {
                // It is inherited and needs no name.
                assert_eq!(line, "fork initialiser: it ran");
                continue;
            }
            let told = line.strip_prefix(&format!("{context} {what}: Invalid: could not "));
            let told = told.unwrap_or_else(|| panic!("not about the {what} on {context}: {line}"));
            let why = "the function is not part of the program itself";
            assert!(told.contains(why), "{line}");
            assert!(told.ends_with("; call it from a function of the program"), "{line}");
        }
    }
    // So are these. And the program that has loaded it has children as before.
    assert_eq!(lines.collect::<Vec<_>>(), ["closures: it ran", "and its own run"]);
}
