//! What the documents say is what is there.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

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
    let block = readme.split("```rust\n").nth(1).expect("README has a block of Rust");
    let block = block.split("```").next().expect("the block ends");
    let readme: String = code(block).concat().split_whitespace().collect();
    let example: String = code(&read("examples/bits.rs")).concat().split_whitespace().collect();
    assert_eq!(readme, example);
}

#[test]
fn every_part_of_the_source_is_in_the_architecture() {
    let page = read("docs/architecture.md");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(source).expect("src can be listed") {
        let entry = entry.expect("src can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown =
            if entry.path().is_dir() { format!("src/{name}/") } else { format!("src/{name}") };
        assert!(
            name == "lib.rs" || page.contains(&shown),
            "{shown} is not in docs/architecture.md"
        );
    }
}

#[test]
fn every_file_of_the_pool_is_in_its_page() {
    let page = read("src/pool/README.md");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pool");
    for entry in fs::read_dir(source).expect("src/pool can be listed") {
        let name = entry.expect("src/pool can be listed").file_name();
        let name = name.to_string_lossy();
        assert!(
            ["mod.rs", "README.md"].contains(&&*name) || page.contains(&format!("`{name}`")),
            "{name} is not in src/pool/README.md"
        );
    }
}
