//! Gives the targets what is kept in `corpus/`, without libFuzzer, on any compiler: `bash fuzz/replay`.

use std::path::Path;
use std::{env, fs, io};

use offspring_fuzz::targets::ALL;

fn main() -> io::Result<()> {
    let asked: Vec<String> = env::args().skip(1).collect();
    for name in &asked {
        assert!(ALL.iter().any(|(target, _)| target == name), "there is no target {name}");
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in ALL {
        if !asked.is_empty() && !asked.iter().any(|one| one == name) {
            continue;
        }
        let text = fs::read_to_string(corpus.join(name))
            .map_err(|error| io::Error::new(error.kind(), format!("corpus/{name}: {error}")))?;
        let (mut inputs, mut bytes) = (0, 0);
        for line in text.lines() {
            // The last one that is named is the one that ended the program, however it ended.
            eprintln!("{name} {line}");
            let input =
                from_hex(line).ok_or_else(|| io::Error::other(format!("{name}: {line}")))?;
            run(&input);
            inputs += 1;
            bytes += input.len();
        }
        assert!(inputs > 0, "there is no input for {name}");
        println!("{name}: {inputs} inputs, {bytes} bytes");
    }
    Ok(())
}

/// The bytes of a line.
fn from_hex(line: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    line.as_bytes().chunks(2).map(pair).collect()
}
