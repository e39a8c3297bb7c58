//! Counter-based random streams: every number is a function of (seed, stream, index) only.
//!
//! There is no hidden state. So a run can stop and resume anywhere, and image 7 does not depend on whether
//! images 0 to 6 were drawn. The generator is ChaCha with 8 rounds; stream and index are its nonce.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::prelude::*;

/// Normal numbers that a thread draws at once; even, since they come in pairs.
const BLOCK: usize = 1 << 14;

/// The use of the numbers. Streams never overlap. The discriminants decide the numbers of a seed: they never
/// change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The generator's initial weights; index = the layer.
    Generator = 1,
    /// The discriminator's initial weights; index = the layer.
    Discriminator = 2,
    /// The order of the training images; index = the epoch.
    Shuffle = 3,
    /// The latents of D's update; index = the step.
    Noise = 4,
    /// The latents of a run's sample images; index = the image.
    FixedNoise = 5,
    /// The latents of `sample`; index = the image.
    Sample = 6,
    /// The demo faces; index = the face.
    Demo = 7,
    /// The latents of G's update if it draws its own; index = the step.
    FreshNoise = 8,
    /// The augmentation of training images; index = step · 2^16 + index in the batch.
    Augment = 9,
    /// The latents of a generator's score in training, and the real images to compare with; index = the
    /// image.
    Score = 10,
    /// The subsets of KID; index = 2 · subset, + 1 for the second input.
    Subset = 11,
}

/// The random generator of `(seed, stream, index)`, at its first word. `index` is taken modulo 2^56.
pub fn chacha(seed: u64, stream: Stream, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index << 8 | stream as u64);
    rng
}

/// Uniform in the open interval (0, 1): 53 bits, never 0.
pub(crate) fn open_unit(rng: &mut impl RngCore) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
}

/// Fills `out` with standard normal numbers N(0, 1), on the calling thread (Box and Muller 1958, both values
/// of a pair).
pub fn normals(seed: u64, stream: Stream, index: u64, out: &mut [f32]) {
    let mut rng = chacha(seed, stream, index);
    out.chunks_mut(2).for_each(|out| out.copy_from_slice(&normal_pair(&mut rng)[..out.len()]));
}

/// Fills `out` with the numbers of [`normals`], on all threads.
pub fn par_normals(seed: u64, stream: Stream, index: u64, out: &mut [f32]) {
    // The generator can start at any word, and a pair takes four.
    out.par_chunks_mut(BLOCK).enumerate().for_each(|(block, out)| {
        let mut rng = chacha(seed, stream, index);
        rng.set_word_pos((block * BLOCK * 2) as u128);
        out.chunks_mut(2).for_each(|out| out.copy_from_slice(&normal_pair(&mut rng)[..out.len()]));
    });
}

/// The next two normal numbers.
fn normal_pair(rng: &mut ChaCha8Rng) -> [f32; 2] {
    let radius = (-2.0 * open_unit(rng).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * open_unit(rng)).sin_cos();
    [(radius * cos) as f32, (radius * sin) as f32]
}

/// Fills `out` with numbers uniform in [0, 1].
pub fn uniforms(seed: u64, stream: Stream, index: u64, out: &mut [f32]) {
    let mut rng = chacha(seed, stream, index);
    out.iter_mut().for_each(|v| *v = open_unit(&mut rng) as f32);
}

/// A random order of `0..n` (Fisher and Yates).
pub fn permutation(seed: u64, stream: Stream, index: u64, n: usize) -> Vec<usize> {
    let mut rng = chacha(seed, stream, index);
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        // A 64-bit multiply-shift: the bias is below n / 2^64.
        let j = ((rng.next_u64() as u128 * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let mut x = vec![0f32; 200_001];
        normals(7, Stream::Noise, 3, &mut x);
        let n = x.len() as f64;
        let moment = |k: i32| x.iter().map(|&v| (v as f64).powi(k)).sum::<f64>() / n;
        // Five standard errors of each sample moment of N(0, 1).
        assert!(moment(1).abs() < 5.0 / n.sqrt());
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
        assert!(moment(3).abs() < 5.0 * (15.0 / n).sqrt());
        assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt());
    }

    #[test]
    fn uniforms_have_the_moments_of_a_uniform() {
        let mut x = vec![0f32; 200_001];
        uniforms(7, Stream::Generator, 3, &mut x);
        let n = x.len() as f64;
        let moment = |k: i32| x.iter().map(|&v| (v as f64).powi(k)).sum::<f64>() / n;
        for k in 1..=4 {
            // Five standard errors of the mean of u^k: its variance is 1/(2k+1) − 1/(k+1)².
            let exact = 1.0 / (k as f64 + 1.0);
            let error = ((1.0 / (2.0 * k as f64 + 1.0) - exact * exact) / n).sqrt();
            assert!((moment(k) - exact).abs() < 5.0 * error, "{k}: {}", moment(k));
        }
        assert!(x.iter().all(|v| (0.0..=1.0).contains(v)));
    }

    #[test]
    fn a_prefix_does_not_depend_on_the_length() {
        let (mut short, mut long) = ([0f32; 3], [0f32; 64]);
        normals(1, Stream::Sample, 9, &mut short);
        normals(1, Stream::Sample, 9, &mut long);
        assert_eq!(short, long[..3]);
    }

    #[test]
    fn the_blocks_of_many_numbers_are_one_sequence() {
        let mut numbers = vec![0f32; 2 * BLOCK + 3];
        par_normals(1, Stream::Generator, 4, &mut numbers);
        let mut rng = chacha(1, Stream::Generator, 4);
        let sequence: Vec<f32> = (0..BLOCK + 2).flat_map(|_| normal_pair(&mut rng)).collect();
        assert!(numbers == sequence[..numbers.len()]);
        let mut serial = vec![0f32; numbers.len()];
        normals(1, Stream::Generator, 4, &mut serial);
        assert!(serial == numbers);
    }

    #[test]
    fn streams_indices_and_seeds_differ() {
        let draw = |seed, stream, index| {
            let mut x = [0f32; 4];
            normals(seed, stream, index, &mut x);
            x
        };
        let base = draw(0, Stream::Noise, 0);
        assert_ne!(base, draw(1, Stream::Noise, 0));
        assert_ne!(base, draw(0, Stream::Sample, 0));
        assert_ne!(base, draw(0, Stream::Noise, 1));
        assert_eq!(base, draw(0, Stream::Noise, 0));
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_is_unbiased() {
        let mut seen = permutation(5, Stream::Shuffle, 2, 1000);
        assert_ne!(seen, permutation(5, Stream::Shuffle, 3, 1000));
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..1000));
        let mut first = [0u32; 3];
        for epoch in 0..3000 {
            first[permutation(5, Stream::Shuffle, epoch, 3)[0]] += 1;
        }
        assert!(first.iter().all(|&c| (850..1150).contains(&c)), "{first:?}");
    }
}
