//! Images to features: which networks there are, and one that is ready to run.

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
    /// The networks whose features we compute.
    pub enum Features {
        /// The FID's Inception-v3: 64, 192, 768 or 2048 features.
        Inception = "inception",
        /// SqueezeNet v1.1, embedded: 512 features.
        Squeezenet = "squeezenet",
    }
}

impl Features {
    /// The numbers of features that the network has, the usual one last.
    pub fn choices(self) -> &'static [usize] {
        match self {
            Features::Inception => &inception::DIMS,
            Features::Squeezenet => &[squeezenet::DIMS],
        }
    }

    /// The usual number of features.
    pub fn usual_dims(self) -> usize {
        self.choices()[self.choices().len() - 1]
    }

    /// How the Fréchet distance of these features is called: only Inception's is the FID.
    pub fn distance(self) -> &'static str {
        match self {
            Features::Inception => "FID",
            Features::Squeezenet => "FD-SqueezeNet",
        }
    }

    /// How their kernel distance is called: only Inception's is the KID.
    pub fn kernel_distance(self) -> &'static str {
        match self {
            Features::Inception => "KID",
            Features::Squeezenet => "KD-SqueezeNet",
        }
    }
}

/// Images that go through a network together on the CPU. Four are enough to share each layer's weights, and their maps
/// are still few enough.
const CHUNK: usize = 4;

/// The same network on slices or on a device's tensors.
pub(crate) enum ExtractorBackend {
    F32(cpu::Cpu<f32>),
    Bf16(cpu::Cpu<bf16>),
    Device(device::DeviceNet),
}

/// A network that is ready to run.
pub struct Extractor {
    features: Features,
    dims: usize,
    weights: String,
    backend: ExtractorBackend,
}

impl Extractor {
    /// The FID's Inception-v3 with the weights in a file; `dims` is one of [`inception::DIMS`].
    ///
    /// # Errors
    /// Another `dims`; weights that are not there, damaged or not Inception's.
    pub fn inception(
        weights: &Path,
        dims: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Extractor> {
        Extractor::of_inception(&Tensors::read(weights)?, dims, precision, device)
    }

    pub(crate) fn of_inception(
        weights: &Tensors,
        dims: usize,
        precision: Precision,
        device: &Device,
    ) -> Result<Extractor> {
        check_dims(Features::Inception, dims)?;
        let (filters, hash) = inception::load(weights)?;
        Extractor::new(Features::Inception, dims, filters, hash, precision, device)
    }

    /// SqueezeNet with its embedded weights.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn squeezenet(precision: Precision, device: &Device) -> Result<Extractor> {
        let (filters, hash) = squeezenet::load()?;
        Extractor::new(Features::Squeezenet, squeezenet::DIMS, filters, hash, precision, device)
    }

    fn new(
        features: Features,
        dims: usize,
        filters: net::NetworkWeights,
        weights: String,
        precision: Precision,
        device: &Device,
    ) -> Result<Self> {
        if precision == Precision::Bf16 && !device.is_cpu() {
            let what = "--precision bf16: features are f32 on a GPU; leave it out, or add --device cpu";
            return Err(Error::Invalid(what.into()));
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

    /// What the features are computed in.
    pub fn precision(&self) -> Precision {
        match self.backend {
            ExtractorBackend::Bf16(_) => Precision::Bf16,
            ExtractorBackend::F32(_) | ExtractorBackend::Device(_) => Precision::F32,
        }
    }

    /// SHA-256 of the network's weights: of their names, shapes and values, whatever file they came in.
    pub fn weights(&self) -> &str {
        &self.weights
    }

    /// The features of images of any sizes, [n, dims]. On a device the images are one batch.
    ///
    /// # Errors
    /// The device fails.
    pub fn run(&self, images: &[Image]) -> Result<Vec<f32>> {
        match &self.backend {
            ExtractorBackend::F32(net) => self.chunks(net, images),
            ExtractorBackend::Bf16(net) => self.chunks(net, images),
            ExtractorBackend::Device(_) if images.is_empty() => Ok(Vec::new()),
            ExtractorBackend::Device(net) => {
                let input = net.input(self.prepare(images), self.side())?;
                with_layouts_kept(&input.device().clone(), || self.forward(net, input))
            }
        }
    }

    /// The features of chunks of images, each chunk from its first layer to its last on a thread of its own. The maps
    /// of so few images stay near the thread, and nobody waits at the end of a layer.
    fn chunks<T: Element>(&self, net: &cpu::Cpu<T>, images: &[Image]) -> Result<Vec<f32>> {
        let chunk = |images: &[Image]| {
            let input = self.prepare(images);
            self.forward(net, net.input(&input, self.side()))
        };
        let features: Result<Vec<Vec<f32>>> = images.par_chunks(CHUNK).map(chunk).collect();
        Ok(features?.concat())
    }

    /// The height and width of the network's input.
    fn side(&self) -> usize {
        match self.features {
            Features::Inception => inception::SIDE,
            Features::Squeezenet => squeezenet::SIDE,
        }
    }

    /// The network's input.
    fn prepare(&self, images: &[Image]) -> Vec<f32> {
        let prepare = match self.features {
            Features::Inception => inception::prepare,
            Features::Squeezenet => squeezenet::prepare,
        };
        let size = self.side() * self.side() * 3;
        let mut input = vec![0.0; images.len() * size];
        input.par_chunks_mut(size).zip(images).for_each(|(out, image)| prepare(image, out));
        input
    }

    /// Through the network and the global average.
    fn forward<N: net::Net>(&self, net: &N, input: N::Map) -> Result<Vec<f32>> {
        let last = match self.features {
            Features::Inception => inception::forward(net, input, self.dims)?,
            Features::Squeezenet => squeezenet::forward(net, input)?,
        };
        net.mean(&last)
    }
}

/// Checks a number of features against a network.
///
/// # Errors
/// The network has no such output.
pub fn check_dims(features: Features, dims: usize) -> Result<()> {
    if features.choices().contains(&dims) {
        return Ok(());
    }
    let choices: Vec<String> = features.choices().iter().map(usize::to_string).collect();
    Err(Error::Invalid(format!("--dims {dims}: {features} has {} features", choices.join(", "))))
}
