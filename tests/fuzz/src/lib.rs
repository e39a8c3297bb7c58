//! What the targets share.

use std::fs;
use std::path::{Path, PathBuf};

use gan::data::source::{Source, Recursion};

/// Has `read` read `bytes` from a file of this name; it is in memory where the system has such a place. An
/// error names the file, in one line.
pub fn read_as(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> Result<(), gan::Error>) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let folder: PathBuf = folder.join(format!("gan-fuzz-{}", std::process::id()));
    let path = folder.join(name);
    fs::create_dir_all(&folder).expect("a folder for the file");
    fs::write(&path, bytes).expect("the file");
    if let Err(e) = read(&path) {
        let line = e.to_string();
        assert!(line.contains(name) && !line.contains('\n'), "{line}");
    }
}

/// Has a source of images read `bytes` from a file of this name, and the first of its images.
pub fn read_images_as(name: &str, bytes: &[u8]) {
    read_as(name, bytes, |path| {
        let source = Source::open(&[path.to_path_buf()], Recursion::Recursive)?;
        source.fingerprint()?;
        for i in 0..source.len().min(16) {
            let _ = source.read(i)?.decode();
        }
        Ok(())
    });
}
