//! Where the Inception weights are on this machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::io::download::{self, Published};
use crate::io::hash;
use crate::progress::Progress;
use crate::{Error, Result};

/// The name of the published file of the FID Inception weights.
pub const INCEPTION_FILE: &str = "pt_inception-2015-12-05-6726825d.pth";

/// Where that file is published.
pub const INCEPTION_URL: &str = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth";

/// The published file.
const PUBLISHED: Published = Published {
    url: INCEPTION_URL,
    size: 95_628_359,
    sha256: "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
};

/// Whether the file is the published one, byte by byte.
///
/// # Errors
/// The file cannot be read.
pub fn is_published(path: &Path) -> Result<bool> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    Ok(length == PUBLISHED.size && hash::of_file(path)? == PUBLISHED.sha256)
}

/// The Inception weights: the file `given` (a flag's), else that of the environment's `FID_WEIGHTS`, else the first
/// that is there of torch's hub cache and our own cache; `None` if there is none.
///
/// # Errors
/// A file that is named and not there.
pub fn find_inception(given: Option<&Path>) -> Result<Option<PathBuf>> {
    find(given, &environment)
}

/// Fetches the published weights into our own cache, and returns their path.
///
/// # Errors
/// They cannot be fetched: the error tells where to put them by hand.
pub fn fetch_inception(progress: &dyn Progress) -> Result<PathBuf> {
    let place = our_place(&environment).ok_or_else(|| missing("there is no HOME to keep them in"))?;
    match download::fetch(PUBLISHED, &place, progress) {
        Ok(()) => Ok(place),
        // The whole line names the address once.
        Err(e) => {
            let why = e.to_string();
            let why = why.strip_prefix(INCEPTION_URL).unwrap_or(&why).trim_start_matches(": ");
            Err(missing(&format!("they cannot be fetched ({why})")))
        }
    }
}

/// The error of weights that are nowhere; `why` they were not fetched.
pub fn missing(why: &str) -> Error {
    let put = match our_place(&environment) {
        Some(place) => format!("put them at {}, or name them with --weights or FID_WEIGHTS", place.display()),
        None => "name them with --weights or FID_WEIGHTS".to_string(),
    };
    Error::Invalid(format!(
        "no Inception weights found, and {why}. Fetch {INCEPTION_URL} (96 MB) elsewhere and {put}; --features squeezenet needs none"
    ))
}

fn environment(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn find(given: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<PathBuf>> {
    if let Some(path) = given {
        return match path.is_file() {
            true => Ok(Some(path.to_path_buf())),
            false => Err(Error::file(path, format!("no such file of weights; fetch {INCEPTION_URL}"))),
        };
    }
    if let Some(path) = env("FID_WEIGHTS").map(PathBuf::from) {
        return match path.is_file() {
            true => Ok(Some(path)),
            false => Err(Error::file(path, "FID_WEIGHTS names this file, but it is not there")),
        };
    }
    Ok(places(env).into_iter().find(|p| p.is_file()))
}

/// Where we keep what we fetch.
fn our_place(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    places(env).pop().filter(|place| place.parent().is_some_and(|p| p.ends_with("gantools")))
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
        // What is named but not there is never silently replaced by what is.
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
