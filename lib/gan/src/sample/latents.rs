//! The latents of the images to make: drawn, or given row by row; from a file, and to one.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::{CHUNK, latents};
use crate::io::safetensors::{self, Weights, is_finite};
use crate::rng::{Stream, normals};
use crate::{Error, Result};

/// The tensor of a file of latents.
const NAME: &str = "latents";

/// The latents of some images, `[count, nz]`, and what they are, for people and files.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    values: Values,
    count: usize,
    nz: usize,
    about: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// Those of [`Stream::Sample`] under a seed, made when they are asked for.
    Drawn(u64),
    /// `count · nz` numbers.
    Given(Vec<f32>),
}

impl Latents {
    /// The first `count` latents of [`Stream::Sample`] under `seed`, of `nz` numbers each.
    pub fn drawn(seed: u64, count: usize, nz: usize) -> Latents {
        Latents { values: Values::Drawn(seed), count, nz, about: json!({ "seed": seed }) }
    }

    /// Rows of `nz` numbers; `about` is an object.
    pub(super) fn given(rows: Vec<f32>, nz: usize, about: Value) -> Latents {
        Latents { count: rows.len() / nz, values: Values::Given(rows), nz, about }
    }

    /// Reads latents of `nz` numbers: the tensor `latents` of a safetensors file, or its only one, of floats, `[N, nz]` (or
    /// `[N, nz, 1, 1]`, as PyTorch's DCGAN takes them).
    ///
    /// # Errors
    /// One line for each way in which the file is none of latents, or they are not such as the generator takes.
    pub fn read(path: &Path, nz: usize) -> Result<Latents> {
        let weights = Weights::open(path)?;
        let name = the_tensor(path, &weights.shapes())?;
        let (mut tensors, hash) = weights.read()?;
        let about = |what: String| Error::file(path, format!("`{name}` {what}"));
        let tensor = tensors.remove(&name).expect("it was among the shapes");
        let &[count, numbers, ref ones @ ..] = tensor.dims() else {
            return Err(about(format!("has shape {:?}, not [N, {nz}]", tensor.dims())));
        };
        if count == 0 || numbers != nz || ones.iter().any(|&side| side != 1) {
            let what = format!("has shape {:?}; the generator takes latents [N, {nz}]", tensor.dims());
            return Err(about(what));
        }
        if !tensor.dtype().is_float() {
            return Err(about(format!("holds integers ({:?}), not floats", tensor.dtype())));
        }
        if !is_finite(&tensor)? {
            return Err(about("holds a NaN or an infinity".into()));
        }
        let rows = tensor.flatten_all()?.to_vec1()?;
        Ok(Latents::given(rows, nz, json!({ "latents": hash })))
    }

    /// Writes them to `path`, the tensor `latents` in f32, whole or not at all. The same latents give the same bytes.
    /// `force` replaces whatever is there, else a file of latents alone is replaced.
    ///
    /// # Errors
    /// What is there may not be replaced, or the operating system refuses.
    pub fn write(&self, path: &Path, force: bool) -> Result<()> {
        Latents::may_replace(path, force)?;
        let rows = self.rows(0..self.count);
        let tensor = Tensor::from_vec(rows, (self.count, self.nz), &Device::Cpu)?;
        safetensors::write(path, &self.about.to_string(), &[(NAME.to_string(), tensor)])
    }

    /// Whether [`Latents::write`] may write to `path`.
    ///
    /// # Errors
    /// What is there is something else, and `force` is not set.
    pub(super) fn may_replace(path: &Path, force: bool) -> Result<()> {
        let ours = || Weights::open(path).is_ok_and(|file| file.shapes().keys().eq([NAME]));
        if force || !path.exists() || ours() {
            return Ok(());
        }
        Err(Error::file(path, "is there and is no file of latents; name another, or --force to lose it"))
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Numbers of each.
    pub fn nz(&self) -> usize {
        self.nz
    }

    /// What they are: an object for files and `--json`.
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// The first `count` of them.
    ///
    /// # Errors
    /// There are fewer.
    pub fn first(mut self, count: usize) -> Result<Latents> {
        if let Values::Given(rows) = &mut self.values {
            if count > self.count {
                return Err(Error::Invalid(format!("-n {count}: there are {} latents", self.count)));
            }
            rows.truncate(count * self.nz);
        }
        Ok(Latents { count, ..self })
    }

    /// Latent `i`, `nz` numbers. Of drawn ones there is no last; of given ones `i` may not be beyond it.
    ///
    /// # Errors
    /// It is, with `flag`, which named it, in the line.
    pub(super) fn latent(&self, i: u32, flag: &str) -> Result<Vec<f32>> {
        let at = i as usize;
        if matches!(self.values, Values::Given(_)) && at >= self.count {
            let what = format!("{flag}: there is no image {i} among {} latents", self.count);
            return Err(Error::Invalid(what));
        }
        Ok(self.rows(at..at + 1))
    }

    /// A chunk that begins at latent `first`, `[CHUNK, nz]`. What is beyond the end of given ones is 0: an image does
    /// not depend on its neighbors, but on how many there are.
    pub(super) fn chunk(&self, first: usize, device: &Device) -> Result<Tensor> {
        match &self.values {
            Values::Drawn(seed) => latents(*seed, Stream::Sample, first as u64, CHUNK, self.nz, device),
            Values::Given(_) => {
                let mut rows = self.rows(first..self.count.min(first + CHUNK));
                rows.resize(CHUNK * self.nz, 0.0);
                Ok(Tensor::from_vec(rows, (CHUNK, self.nz), device)?)
            }
        }
    }

    fn rows(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        match &self.values {
            Values::Drawn(seed) => {
                let mut rows = vec![0.0; range.len() * self.nz];
                let each = rows.chunks_exact_mut(self.nz).zip(range);
                each.for_each(|(row, i)| normals(*seed, Stream::Sample, i as u64, row));
                rows
            }
            Values::Given(rows) => rows[range.start * self.nz..range.end * self.nz].to_vec(),
        }
    }
}

/// The name of the tensor that holds the latents.
fn the_tensor(path: &Path, shapes: &HashMap<String, Vec<usize>>) -> Result<String> {
    if shapes.contains_key(NAME) {
        return Ok(NAME.into());
    }
    let mut names = shapes.keys();
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let what = format!("has {} tensors and none is `{NAME}`: not a file of latents", shapes.len());
            Err(Error::file(path, what))
        }
    }
}
