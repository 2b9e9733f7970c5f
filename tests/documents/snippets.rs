//! Every block of Rust in the documents is compiled: as a doctest, or as a part of a program that has the same text.

use std::fs;
use std::path::Path;

use super::{read, sources};

/// The lines of code, without what only the example has: its head, and what it prints.
fn code(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//!"))
        .filter(|line| !line.starts_with("println!"))
        .collect()
}

#[test]
fn the_code_in_the_readme_is_the_example() {
    let readme = read("README.md");
    let (_, block) = blocks(&readme).remove(0);
    let readme: String = code(block).concat().split_whitespace().collect();
    let example: String = code(&read("examples/bits.rs")).concat().split_whitespace().collect();
    assert_eq!(readme, example);
}

/// Blocks of Rust: what stands behind "rust" in the line before, and the text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    // What is between fences is every second part.
    for block in page.split("```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').expect("code begins on a line of its own");
        if let Some(options) = kind.strip_prefix("rust") {
            found.push((options, text));
        }
    }
    found
}

/// Code without comments, without what a formatter may change, and without what it prints.
fn bare(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        // An example in the documentation of the library counts.
        let line = line.strip_prefix("//! ").or(line.strip_prefix("/// ")).unwrap_or(line);
        line.split("//").next().unwrap_or_default()
    });
    let lines = lines.filter(|line| !line.starts_with("println!"));
    lines.flat_map(str::chars).filter(|c| !c.is_whitespace() && *c != ',').collect()
}

#[test]
fn every_block_of_rust_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["tests/snippets", "tests/user", "examples", "src/logging"];
    let compiled: Vec<String> = folders
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .map(|file| bare(&fs::read_to_string(file).expect("it can be read")))
        .collect();
    let library = read("src/lib.rs");
    let mut pages = vec![(root.join("README.md"), "README.md".to_owned())];
    for entry in fs::read_dir(root.join("docs")).expect("docs can be listed") {
        let path = entry.expect("docs can be listed").path();
        let name = format!("docs/{}", path.file_name().expect("a name").to_string_lossy());
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push((path, name));
        }
    }
    let mut count = 0;
    for (path, name) in pages {
        let page = fs::read_to_string(path).expect("the page can be read");
        let is_doctest = library.contains(&format!("include_str!(\"../{name}\")"));
        for (options, text) in blocks(&page) {
            count += 1;
            assert!(!options.contains("ignore"), "{name} has a block that is ignored:\n{text}");
            let compiled = is_doctest || compiled.iter().any(|file| file.contains(&bare(text)));
            assert!(compiled, "{name}: nothing compiles\n{text}");
        }
    }
    assert!(count >= 19, "only {count} blocks were found");
}

#[test]
fn no_example_in_the_library_is_ignored() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    for file in sources {
        let text = fs::read_to_string(&file).expect("it can be read");
        let found = text.lines().map(str::trim_start).find(|line| {
            let line = line.trim_start_matches(['/', '!']).trim_start();
            line.starts_with("```") && line.contains("ignore")
        });
        assert_eq!(found, None, "in {}", file.display());
    }
}
