//! Where the Inception weights are on this machine.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The name of the published file of the FID Inception weights.
pub const INCEPTION_FILE: &str = "pt_inception-2015-12-05-6726825d.pth";

/// Where that file is published.
pub const INCEPTION_URL: &str = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth";

/// Size in bytes and SHA-256 of the published file.
const PUBLISHED: (u64, &str) =
    (95_628_359, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2");

/// Whether the file is the published one, byte by byte.
///
/// # Errors
/// The file cannot be read.
pub fn is_published(path: &Path) -> Result<bool> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.len() != PUBLISHED.0 {
        return Ok(false);
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path)(e)),
        }
    }
    Ok(crate::source::hex(&hash.finalize()) == PUBLISHED.1)
}

/// The Inception weights: the file `given` (a flag's), else that of the environment's `FID_WEIGHTS`, else the first
/// that is there of torch's hub cache and our own cache.
///
/// # Errors
/// None is there: the error tells what to fetch and where to put it.
pub fn find_inception(given: Option<&Path>) -> Result<PathBuf> {
    find(given, &|name| env::var_os(name).filter(|value| !value.is_empty()))
}

pub(super) fn find(given: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    if let Some(path) = given {
        return match path.is_file() {
            true => Ok(path.to_path_buf()),
            false => Err(Error::file(path, format!("no such file of weights; fetch {INCEPTION_URL}"))),
        };
    }
    if let Some(path) = env("FID_WEIGHTS").map(PathBuf::from) {
        return match path.is_file() {
            true => Ok(path),
            false => Err(Error::file(path, "FID_WEIGHTS names this file, but it is not there")),
        };
    }
    let places = places(env);
    if let Some(found) = places.iter().find(|p| p.is_file()) {
        return Ok(found.clone());
    }
    let put = match places.last() {
        Some(ours) => format!("put it at {}, or name it with --weights or FID_WEIGHTS", ours.display()),
        None => "name it with --weights or FID_WEIGHTS".to_string(),
    };
    Err(Error::Invalid(format!(
        "no Inception weights found: fetch {INCEPTION_URL} (96 MB) and {put}; --features squeezenet needs none"
    )))
}

/// Where the file may lie, in the order in which it is looked for; the last is the place we propose.
fn places(env: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let cache = env("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".cache")));
    let torch = env("TORCH_HOME").map(PathBuf::from).or_else(|| cache.as_ref().map(|c| c.join("torch")));
    let mut places = Vec::new();
    places.extend(torch.map(|t| t.join("hub/checkpoints").join(INCEPTION_FILE)));
    if let Some(ours) = cache.map(|c| c.join("gantools").join(INCEPTION_FILE)) {
        places.push(ours.with_extension("safetensors"));
        places.push(ours);
    }
    places
}
