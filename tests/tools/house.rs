//! What the documents promise of the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// The Rust files of a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true if !path.ends_with("tests") => sources(&path, found),
            false if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") => {
                found.push(path)
            }
            _ => {}
        }
    }
}

/// docs/architecture.md lists the files with unsafe code, all of them and no others.
#[test]
fn unsafe_code_is_listed_with_its_reasons() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let list = text.split_once("## Unsafe code").unwrap().1;
    let list = list.split("\n## ").next().unwrap();
    let mut listed: Vec<&str> = list.split('`').filter(|word| word.ends_with(".rs")).collect();
    listed.sort();
    listed.dedup();
    let mut files = Vec::new();
    ["lib/kernels/src", "lib/gan/src", "tools"]
        .iter()
        .for_each(|folder| sources(&root.join(folder), &mut files));
    let has_unsafe = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        text.lines()
            .any(|line| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|what| line.contains(what)))
    };
    let mut found: Vec<String> = files
        .iter()
        .filter(|file| has_unsafe(file))
        .map(|file| file.strip_prefix(root).unwrap().to_str().unwrap().to_string())
        .collect();
    found.sort();
    assert_eq!(listed, found);
}
