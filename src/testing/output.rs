//! What a test prints.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where standard output and error of the process of a test go, both in the order in which they are written.
///
/// A file, and not a pipe: a process that is left behind would keep a pipe open. It has no name, so nothing is
/// left of it, whatever happens.
#[derive(Debug)]
pub(super) struct Output(Option<File>);

/// No more of it than this is shown, from its end.
const LONGEST: u64 = 4 << 20;

impl Output {
    /// A file, or nothing with `--nocapture`: then it goes where that of the test program goes. `cargo nextest`
    /// runs test programs so, and captures all of it itself.
    pub(super) fn new() -> io::Result<Self> {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let variable = std::env::var_os("RUST_TEST_NOCAPTURE");
        let mut arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
        if variable.is_some_and(|value| value != "0")
            || arguments.any(|argument| argument == "--nocapture" || argument == "--no-capture")
        {
            return Ok(Self(None));
        }
        loop {
            let number = FILES.fetch_add(1, Ordering::Relaxed);
            let name = format!("offspring-test-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match OpenOptions::new().read(true).append(true).create_new(true).open(&path) {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    return Ok(Self(Some(file)));
                }
                // Somebody had our number before us, and was killed between these two calls.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }

    /// Prints it as the test program's own: it shows it if the test fails, or if it was asked to.
    #[expect(clippy::print_stdout, reason = "the test program captures it")]
    pub(super) fn show(&self) -> io::Result<()> {
        let Some(mut file) = self.file() else { return Ok(()) };
        let length = file.metadata()?.len();
        let skipped = length.saturating_sub(LONGEST);
        file.seek(SeekFrom::Start(skipped))?;
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes)?;
        if skipped > 0 {
            println!("({skipped} bytes of output are left out here)");
        }
        let text = String::from_utf8_lossy(&bytes);
        print!("{text}");
        if !text.is_empty() && !text.ends_with('\n') {
            println!();
        }
        Ok(())
    }
}
