//! Images to features: the networks, and one that is loaded.

use std::path::Path;

use candle_core::Device;
use gan_kernels::{Element, bf16};
use rayon::prelude::*;

use super::{cpu, device, inception, net, squeezenet};
use crate::data::image::Image;
use crate::device::with_layouts_kept;
use crate::io::weights::Tensors;
use crate::named::named_enum;
use crate::precision::Precision;
use crate::{Error, Result};

named_enum! {
    /// The networks whose features are computed.
    pub enum Features {
        /// The FID's Inception-v3: 64, 192, 768 or 2048 features.
        Inception = "inception",
        /// SqueezeNet v1.1, embedded: 512 features.
        Squeezenet = "squeezenet",
    }
}

impl Features {
    /// The possible numbers of features, the usual one last.
    pub(crate) fn choices(self) -> &'static [usize] {
        match self {
            Features::Inception => &inception::DIMS,
            Features::Squeezenet => &[squeezenet::DIMS],
        }
    }

    /// The possible numbers of features, such as `64, 192, 768, 2048`.
    pub(crate) fn choices_in_words(self) -> String {
        self.choices().iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The usual number of features.
    pub fn usual_dims(self) -> usize {
        self.choices()[self.choices().len() - 1]
    }

    /// Checks a number of features.
    ///
    /// # Errors
    /// The network has no such output.
    pub(crate) fn check_dims(self, dims: usize) -> Result<()> {
        if self.choices().contains(&dims) {
            return Ok(());
        }
        Err(Error::argument("dims", format!("{dims}, but {self} has {} features", self.choices_in_words())))
    }
}

/// Images that go through a network together on the CPU. Four are enough to share the loading of each layer's
/// weights, and their maps still fit the cache.
const CHUNK: usize = 4;

/// The same network on slices or on a device's tensors.
pub(crate) enum ExtractorBackend {
    F32(cpu::Cpu<f32>),
    Bf16(cpu::Cpu<bf16>),
    Device(device::DeviceNet),
}

/// A network with its weights.
pub struct Extractor {
    features: Features,
    dims: usize,
    weights: String,
    backend: ExtractorBackend,
}

impl Extractor {
    /// The FID's Inception-v3 with the weights in `file`; `dims` is 64, 192, 768 or 2048.
    ///
    /// # Errors
    /// Another `dims`; weights that are not there, damaged or not Inception's; bf16 on a device other than
    /// the CPU.
    pub fn inception(file: &Path, dims: usize, precision: Precision, device: &Device) -> Result<Extractor> {
        let weights = inception::load(&Tensors::read(file)?)?;
        Extractor::new(Features::Inception, dims, weights, precision, device)
    }

    /// SqueezeNet with its embedded weights.
    ///
    /// # Errors
    /// A device out of memory; bf16 on a device other than the CPU.
    pub fn squeezenet(precision: Precision, device: &Device) -> Result<Extractor> {
        Extractor::new(Features::Squeezenet, squeezenet::DIMS, squeezenet::load()?, precision, device)
    }

    /// A network with loaded weights, `(weights, their hash)`.
    pub(super) fn new(
        features: Features,
        dims: usize,
        (filters, weights): (net::NetworkWeights, String),
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        features.check_dims(dims)?;
        if precision == Precision::Bf16 && !device.is_cpu() {
            return Err(Error::argument("precision", "features on a GPU are f32; bf16 needs the device cpu"));
        }
        let backend = match (device, precision) {
            (Device::Cpu, Precision::F32) => ExtractorBackend::F32(cpu::Cpu::new(filters)),
            (Device::Cpu, Precision::Bf16) => ExtractorBackend::Bf16(cpu::Cpu::new(filters)),
            (device, _) => ExtractorBackend::Device(device::DeviceNet::new(filters, device)?),
        };
        Ok(Extractor { features, dims, weights, backend })
    }

    /// The same network run by another backend.
    #[cfg(test)]
    pub(crate) fn with_backend(&self, backend: ExtractorBackend) -> Extractor {
        Extractor { backend, weights: self.weights.clone(), ..*self }
    }

    /// The network.
    pub fn features(&self) -> Features {
        self.features
    }

    /// The number of features.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The type that the features are computed in.
    pub fn precision(&self) -> Precision {
        match self.backend {
            ExtractorBackend::Bf16(_) => Precision::Bf16,
            ExtractorBackend::F32(_) | ExtractorBackend::Device(_) => Precision::F32,
        }
    }

    /// SHA-256 of the names, shapes and values of the network's weights, whatever the format of their file.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    /// The features of images of any sizes, `[n, dims]`. On a device the images are one batch.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn run(&self, images: &[Image]) -> Result<Vec<f32>> {
        match &self.backend {
            ExtractorBackend::F32(net) => self.chunks(net, images),
            ExtractorBackend::Bf16(net) => self.chunks(net, images),
            ExtractorBackend::Device(_) if images.is_empty() => Ok(Vec::new()),
            ExtractorBackend::Device(net) => {
                let input = net.input(self.prepare(images), self.input().0)?;
                with_layouts_kept(&input.device().clone(), || self.forward(net, input))
            }
        }
    }

    /// The features, a thread taking each chunk of images through all layers: its maps stay in the thread's
    /// cache, and no thread waits at the end of a layer.
    fn chunks<T: Element>(&self, net: &cpu::Cpu<T>, images: &[Image]) -> Result<Vec<f32>> {
        let chunk = |images: &[Image]| {
            let input = self.prepare(images);
            self.forward(net, net.input(input, self.input().0))
        };
        let features: Result<Vec<Vec<f32>>> = images.par_chunks(CHUNK).map(chunk).collect();
        Ok(features?.concat())
    }

    /// The height and width of the network's input, and what writes an image as such.
    fn input(&self) -> (usize, fn(&Image, &mut [f32])) {
        match self.features {
            Features::Inception => (inception::SIZE, inception::prepare),
            Features::Squeezenet => (squeezenet::SIZE, squeezenet::prepare),
        }
    }

    /// The network's input.
    fn prepare(&self, images: &[Image]) -> Vec<f32> {
        let (size, prepare) = self.input();
        let elements = size * size * 3;
        let mut input = vec![0.0; images.len() * elements];
        input.par_chunks_mut(elements).zip(images).for_each(|(out, image)| prepare(image, out));
        input
    }

    /// The network and the global average.
    fn forward<N: net::Net>(&self, net: &N, input: N::Map) -> Result<Vec<f32>> {
        let last = match self.features {
            Features::Inception => inception::forward(net, input, self.dims)?,
            Features::Squeezenet => squeezenet::forward(net, input)?,
        };
        net.mean(&last)
    }
}
