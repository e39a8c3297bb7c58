//! The file of the Inception weights: where it is searched, and its download.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::io::download::{self, Published};
use crate::io::hash;
use crate::progress::Progress;
use crate::{Error, Result};

/// The name of the published file.
const INCEPTION_FILE: &str = "pt_inception-2015-12-05-6726825d.pth";

/// The address of the published file.
pub const INCEPTION_URL: &str = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/\
                                 pt_inception-2015-12-05-6726825d.pth";

/// The published file.
const PUBLISHED: Published = Published {
    url: INCEPTION_URL,
    size: 95_628_359,
    sha256: "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
};

/// Whether the file is the published one, by its SHA-256.
///
/// # Errors
/// The file cannot be read.
pub fn is_published(path: &Path) -> Result<bool> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Ok(length == PUBLISHED.size && hash::of_file(path)? == PUBLISHED.sha256)
}

/// The Inception weights: the file `given`, else that of the environment variable `FID_WEIGHTS`, else the
/// first that exists of torch's hub cache and the cache of gantools; `None` if there is none.
///
/// # Errors
/// A file that is named does not exist.
pub fn find_inception(given: Option<&Path>) -> Result<Option<PathBuf>> {
    find(given, &environment)
}

/// Downloads the published weights into the cache of gantools, and returns their path.
///
/// # Errors
/// The download fails.
pub fn fetch_inception(progress: &dyn Progress) -> Result<PathBuf> {
    let path = own_cache(&environment).ok_or_else(|| missing("HOME, which would have them, is not set"))?;
    download::fetch(PUBLISHED, &path, progress).map_err(|e| {
        let why = e.to_string();
        // The line has the address once.
        let why = why.strip_prefix(INCEPTION_URL).unwrap_or(&why).trim_start_matches(": ");
        missing(&format!("the download failed ({why})"))
    })?;
    Ok(path)
}

/// The error of weights that were not found; `why` they were not downloaded.
pub fn missing(why: &str) -> Error {
    let put = own_cache(&environment).map(|path| format!("put it at {}, or ", path.display()));
    let put = put.unwrap_or_default();
    Error::Invalid(format!(
        "no Inception weights found, and {why}; download {INCEPTION_URL} (96 MB) elsewhere and {put}name it \
         by the environment variable FID_WEIGHTS"
    ))
}

fn environment(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn find(given: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<PathBuf>> {
    let named = given.map(Path::to_path_buf).or_else(|| env("FID_WEIGHTS").map(PathBuf::from));
    let gone = "FID_WEIGHTS names this file, which does not exist";
    match named {
        Some(path) if path.is_file() => Ok(Some(path)),
        Some(path) if given.is_none() => Err(Error::file(path, gone)),
        Some(path) => Err(Error::file(path, format!("no such file of weights; download {INCEPTION_URL}"))),
        None => Ok(candidates(env).into_iter().find(|path| path.is_file())),
    }
}

/// The file in the cache of gantools, into which it is downloaded.
fn own_cache(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    candidates(env).pop().filter(|path| path.parent().is_some_and(|p| p.ends_with("gantools")))
}

/// The paths that are searched, in order; the last is that of the download.
fn candidates(env: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let home = || Some(Path::new(&env("HOME")?).join(".cache"));
    let cache = env("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let torch = env("TORCH_HOME").map(PathBuf::from).or_else(|| cache.as_ref().map(|c| c.join("torch")));
    let mut paths = Vec::new();
    paths.extend(torch.map(|t| t.join("hub/checkpoints").join(INCEPTION_FILE)));
    if let Some(own) = cache.map(|c| c.join("gantools").join(INCEPTION_FILE)) {
        paths.extend([own.with_extension("safetensors"), own]);
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn weights_are_looked_for_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            let root = folder.path().to_path_buf();
            move |name: &str| -> Option<OsString> {
                let value = pairs.iter().find(|(key, _)| *key == name)?.1;
                Some(root.join(value).into_os_string())
            }
        };
        let make = |name: &str| {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), b"x").unwrap();
        };
        let home = env(&[("HOME", "home")]);
        assert_eq!(find(None, &home).unwrap(), None);
        let ours = at("home/.cache/gantools").join(INCEPTION_FILE);

        make(&format!("home/.cache/gantools/{INCEPTION_FILE}"));
        assert_eq!(find(None, &home).unwrap(), Some(ours));
        let hub = format!("home/.cache/torch/hub/checkpoints/{INCEPTION_FILE}");
        make(&hub);
        assert_eq!(find(None, &home).unwrap(), Some(at(&hub)));

        make(&format!("th/hub/checkpoints/{INCEPTION_FILE}"));
        let torch_home = env(&[("HOME", "home"), ("TORCH_HOME", "th")]);
        assert!(find(None, &torch_home).unwrap().unwrap().starts_with(at("th")));
        make(&format!("xdg/torch/hub/checkpoints/{INCEPTION_FILE}"));
        assert!(
            find(None, &env(&[("HOME", "home"), ("XDG_CACHE_HOME", "xdg")]))
                .unwrap()
                .unwrap()
                .starts_with(at("xdg"))
        );

        make("named.pth");
        let named = env(&[("HOME", "home"), ("FID_WEIGHTS", "named.pth")]);
        assert_eq!(find(None, &named).unwrap(), Some(at("named.pth")));
        make("given.pth");
        assert_eq!(find(Some(&at("given.pth")), &named).unwrap(), Some(at("given.pth")));
        // A file that is named but missing is never replaced silently.
        let gone = env(&[("HOME", "home"), ("FID_WEIGHTS", "gone.pth")]);
        assert!(find(None, &gone).unwrap_err().to_string().contains("FID_WEIGHTS"));
        assert!(find(Some(&at("gone.pth")), &named).is_err());
    }

    #[test]
    fn only_the_published_file_is_the_published_file() {
        let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pth/small_zip.pth");
        assert!(!is_published(&small).unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(95_628_359).unwrap();
        assert!(!is_published(file.path()).unwrap());
    }
}
