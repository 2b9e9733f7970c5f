//! What must not compile: closures that capture, and settings and states that are mixed up.
//!
//! The check is made when a function is instantiated, which `cargo check` does not do. So a small
//! program for each file of `tests/ui` is built, offline, with the versions of our own `Cargo.lock`.
//! The first line of each file says what the compiler must say; the words around it are the
//! compiler's, and change with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// All of what a person is told.
const ADVICE: &str = "this closure captures variables, which do not exist in another process: pass \
                      them as arguments, make them the worker's state with `init`, or share them \
                      (`SharedSlice`)";

/// A package with one program for each file.
struct Fixture {
    directory: PathBuf,
    target: PathBuf,
}

impl Fixture {
    fn make(programs: &[PathBuf]) -> std::io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let this = Self { directory: place.join("ui"), target: place.join("ui-target") };
        fs::create_dir_all(&this.directory)?;
        let mut manifest = format!(
            "[package]\nname = \"ui\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\noffspring = {{ path = {root:?} }}\n"
        );
        for program in programs {
            let line = format!("\n[[bin]]\nname = {:?}\npath = {program:?}\n", name(program));
            manifest.push_str(&line);
        }
        fs::write(this.directory.join("Cargo.toml"), manifest)?;
        fs::copy(root.join("Cargo.lock"), this.directory.join("Cargo.lock"))?;
        Ok(this)
    }

    fn build(&self, program: &Path) -> std::io::Result<Output> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Command::new(cargo)
            .args(["build", "--offline", "--quiet", "--color", "never", "--bin", &name(program)])
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", &self.target)
            .output()
    }

    fn run(&self, program: &Path) -> std::io::Result<Output> {
        Command::new(self.target.join("debug").join(name(program))).output()
    }
}

fn name(program: &Path) -> String {
    program.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What the first line of a program says: the words of an error, or that there is none.
fn wanted(program: &Path) -> Option<String> {
    let text = fs::read_to_string(program).expect("the program can be read");
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix("//! error: ") {
        Some(words) => Some(words.to_owned()),
        None => {
            assert_eq!(first, "//! compiles, and runs", "in {}", program.display());
            None
        }
    }
}

/// The compiler breaks no lines, but our text may be quoted in one of its own.
fn check(fixture: &Fixture, program: &Path) -> Result<(), String> {
    let fail = |why: &str, output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {why}, {}\n{text}", program.display(), output.status))
    };
    let built = fixture.build(program).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&built.stderr);
    let Some(words) = wanted(program) else {
        if !built.status.success() {
            return fail("it does not compile", &built);
        }
        let ran = fixture.run(program).map_err(|error| error.to_string())?;
        return if ran.status.success() { Ok(()) } else { fail("it fails", &ran) };
    };
    if built.status.success() {
        return fail("it compiles", &built);
    }
    if !text.contains(&words) {
        return fail(&format!("no error says `{words}`"), &built);
    }
    if ADVICE.starts_with(&words) {
        if !text.contains(ADVICE) {
            return fail("the advice is not whole", &built);
        }
        let place = format!("{}.rs:", name(program));
        if !text.contains(&place) {
            return fail("the place in the program is not named", &built);
        }
    }
    Ok(())
}

#[test]
fn what_cannot_work_does_not_compile() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut programs: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("the programs are there")
        .map(|entry| entry.expect("the directory can be read").path())
        .collect();
    programs.sort();
    assert!(!programs.is_empty());
    let fixture = Fixture::make(&programs).expect("a package can be made");
    let failures: Vec<String> =
        programs.iter().filter_map(|program| check(&fixture, program).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
