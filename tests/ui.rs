//! What must not compile: closures that capture, settings and states that are mixed up, and `#[offspring::test]`
//! where it has no meaning.
//!
//! The check is made when a function is instantiated, which `cargo check` does not do. So a small
//! program for each file of `tests/ui` is built, offline, with the versions of our own `Cargo.lock`.
//! The first line of each file says what the compiler must say, or that there is a mark, `//~`, in each line about
//! which it must say something; the words around it are the compiler's, and change with it.

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
             [dependencies]\noffspring = {{ path = {root:?}, features = [\"test\"] }}\n"
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

/// What the first line of a program asks for.
enum Wanted {
    Success,
    /// An error with these words, somewhere.
    Error(String),
    /// Errors with this text, each about its line, and no others.
    Errors(Vec<(usize, String)>),
}

fn wanted(program: &Path) -> Wanted {
    let text = fs::read_to_string(program).expect("the program can be read");
    let first = text.lines().next().unwrap_or_default();
    match (first.strip_prefix("//! error: "), first) {
        (Some(words), _) => Wanted::Error(words.to_owned()),
        (None, "//! errors: where they are marked") => {
            let lines = (1..).zip(text.lines());
            let marks =
                lines.filter_map(|(number, line)| Some((number, line.split_once(" //~ ")?.1)));
            Wanted::Errors(marks.map(|(number, text)| (number, text.to_owned())).collect())
        }
        _ => {
            assert_eq!(first, "//! compiles, and runs", "in {}", program.display());
            Wanted::Success
        }
    }
}

/// The errors that the compiler told, each as its text and its line in the program; but for the last one, that
/// there were some.
fn told(program: &Path, output: &str) -> Vec<(usize, String)> {
    let place = format!("{}.rs:", name(program));
    let mut told = Vec::new();
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        let (Some(text), Some(next)) = (line.strip_prefix("error: "), lines.peek()) else {
            continue;
        };
        let number =
            next.split_once(&place).and_then(|(_, rest)| rest.split(':').next()?.parse().ok());
        told.extend(number.map(|number| (number, text.to_owned())));
    }
    told.sort();
    told
}

/// The compiler breaks no lines, but our text may be quoted in one of its own.
fn check(fixture: &Fixture, program: &Path) -> Result<(), String> {
    let fail = |why: &str, output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {why}, {}\n{text}", program.display(), output.status))
    };
    let built = fixture.build(program).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&built.stderr);
    let words = match wanted(program) {
        Wanted::Success if built.status.success() => {
            let ran = fixture.run(program).map_err(|error| error.to_string())?;
            return if ran.status.success() { Ok(()) } else { fail("it fails", &ran) };
        }
        Wanted::Success => return fail("it does not compile", &built),
        _ if built.status.success() => return fail("it compiles", &built),
        Wanted::Errors(marked) => {
            let told = told(program, &text);
            let why = format!("the errors are {told:#?}, and marked are {marked:#?}");
            return if told == marked { Ok(()) } else { fail(&why, &built) };
        }
        Wanted::Error(words) => words,
    };
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
