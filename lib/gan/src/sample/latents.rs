//! The latents of the images to make.

use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::{CHUNK, draw};
use crate::io::safetensors::{self, Weights, is_finite};
use crate::io::{check_overwrite, check_place};
use crate::rng::Stream;
use crate::{Error, Result};

/// The tensor of a file of latents.
const NAME: &str = "latents";

/// The latents of some images, `[count, nz]`, and where they are from.
#[derive(Debug, Clone, PartialEq)]
pub struct Latents {
    values: Values,
    count: usize,
    /// Numbers of each latent.
    pub(super) nz: usize,
    provenance: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// Those of [`Stream::Sample`] under a seed, drawn when they are needed.
    Seed(u64),
    /// `count · nz` numbers.
    Rows(Vec<f32>),
}

impl Latents {
    /// The first `count` latents of [`Stream::Sample`] under `seed`, of `nz` numbers each.
    pub fn from_seed(seed: u64, count: usize, nz: usize) -> Latents {
        Latents { values: Values::Seed(seed), count, nz, provenance: json!({ "seed": seed }) }
    }

    /// Latents of `nz` numbers each, row by row; `provenance` is an object.
    pub(super) fn from_rows(rows: Vec<f32>, nz: usize, provenance: Value) -> Latents {
        Latents { count: rows.len() / nz, values: Values::Rows(rows), nz, provenance }
    }

    /// Reads latents of `nz` numbers each: the tensor `latents` of a safetensors file, or its only tensor, of
    /// floats, `[N, nz]` (or `[N, nz, 1, 1]`, the input of PyTorch's DCGAN).
    ///
    /// # Errors
    /// The file cannot be read, or holds no such tensor, a NaN or an infinity.
    pub fn read(path: &Path, nz: usize) -> Result<Latents> {
        let weights = Weights::open(path)?;
        let shapes = weights.shapes();
        let Some(name) = shapes.keys().find(|name| *name == NAME || shapes.len() == 1) else {
            let what = format!("has {} tensors and none is `{NAME}`: not a file of latents", shapes.len());
            return Err(Error::file(path, what));
        };
        let (mut tensors, hash) = weights.read()?;
        let refuse = |what: String| Error::file(path, format!("`{name}` {what}"));
        let tensor = tensors.remove(name).expect("its shape was read");
        let shape = tensor.dims();
        if shape.len() < 2 || shape[0] == 0 || shape[1] != nz || shape[2..].iter().any(|&n| n != 1) {
            return Err(refuse(format!("has shape {shape:?}; the generator takes latents [N, {nz}]")));
        }
        if !tensor.dtype().is_float() {
            return Err(refuse(format!("holds integers ({:?}), not floats", tensor.dtype())));
        }
        if !is_finite(&tensor)? {
            return Err(refuse("holds a NaN or an infinity".into()));
        }
        let rows = tensor.flatten_all()?.to_vec1()?;
        Ok(Latents::from_rows(rows, nz, json!({ "latents": hash })))
    }

    /// Writes them to `path`, the tensor `latents` in f32, complete or not at all. The same latents give the
    /// same bytes.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        let tensor = Tensor::from_vec(self.rows(0..self.count), (self.count, self.nz), &Device::Cpu)?;
        safetensors::write(path, &self.provenance.to_string(), &[(NAME.to_string(), tensor)])
    }

    /// Checks that latents may be written to `path`: nothing is there, or a file of latents, or `force`.
    ///
    /// # Errors
    /// [`Error::Exists`]; no file can be made there.
    pub fn check_output(path: &Path, force: bool) -> Result<()> {
        check_place(path)?;
        check_overwrite(path, force, || {
            let is_latents = Weights::open(path).is_ok_and(|file| file.shapes().keys().eq([NAME]));
            Ok((!is_latents).then(|| "is not a file of latents".into()))
        })
    }

    /// The number of latents.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where they are from: an object for files and `--json`.
    pub fn provenance(&self) -> &Value {
        &self.provenance
    }

    /// [`Latents::provenance`] with more keys.
    pub(super) fn provenance_with<const N: usize>(&self, more: [(&str, Value); N]) -> Value {
        let mut provenance = self.provenance.clone();
        more.into_iter().for_each(|(key, value)| provenance[key] = value);
        provenance
    }

    /// The first `count` of them.
    ///
    /// # Errors
    /// There are fewer.
    pub fn first(mut self, count: usize) -> Result<Latents> {
        if let Values::Rows(rows) = &mut self.values {
            if count > self.count {
                return Err(Error::argument("count", format!("{count}: there are {} latents", self.count)));
            }
            rows.truncate(count * self.nz);
        }
        Ok(Latents { count, ..self })
    }

    /// Latent `i`, `nz` numbers. Drawn latents have no last one.
    ///
    /// # Errors
    /// There is no latent `i`; the error is about `argument`, which asked for it.
    pub(super) fn latent(&self, i: u32, argument: &str) -> Result<Vec<f32>> {
        let i = i as usize;
        if matches!(self.values, Values::Rows(_)) && i >= self.count {
            let what = format!("there is no image {i} among {} latents", self.count);
            return Err(Error::argument(argument, what));
        }
        Ok(self.rows(i..i + 1))
    }

    /// The chunk that begins at latent `first`, `[CHUNK, nz]`. Beyond the end of given rows it is 0: an image
    /// does not depend on its neighbors, but on their number.
    pub(super) fn chunk(&self, first: usize, device: &Device) -> Result<Tensor> {
        let mut rows = self.rows(first..first + CHUNK);
        rows.resize(CHUNK * self.nz, 0.0);
        Ok(Tensor::from_vec(rows, (CHUNK, self.nz), device)?)
    }

    /// The latents of a range; given ones end with the last.
    fn rows(&self, range: Range<usize>) -> Vec<f32> {
        match &self.values {
            Values::Seed(seed) => draw(*seed, Stream::Sample, range.start as u64, range.len(), self.nz),
            Values::Rows(rows) => rows[range.start * self.nz..range.end.min(self.count) * self.nz].to_vec(),
        }
    }
}
