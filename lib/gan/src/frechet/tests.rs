use std::path::{Path, PathBuf};

use super::*;
use crate::rng_of_names::uniform;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fid").join(name)
}
