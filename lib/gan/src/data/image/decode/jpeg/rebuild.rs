//! From coefficients to RGB in libjpeg's integer arithmetic, for any sampling.

use super::super::samples::cmyk;
use super::layout::ColorSpace;

/// A component's coefficients.
pub(super) struct Plane<'a> {
    /// Blocks from left to right and top to bottom, each in zigzag order.
    pub blocks: &'a [[i16; 64]],
    /// Blocks in a row, padding included.
    pub blocks_per_row: usize,
    /// In natural order.
    pub quant: &'a [u16; 64],
}

/// A component's samples, without the padding of its blocks.
pub(super) struct ComponentSamples {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

/// Where the zigzag's numbers lie in a block.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Bits behind the point of the DCT's constants.
const CONST_BITS: u32 = 13;
/// Bits behind the point between its two passes.
const PASS1_BITS: u32 = 2;

/// A constant of the DCT with [`CONST_BITS`].
const fn fix(x: f64) -> i32 {
    (x * (1 << CONST_BITS) as f64 + 0.5) as i32
}

/// One pass of the inverse DCT over eight numbers, then a rounded shift (Loeffler, Ligtenberg and Moschytz
/// 1989, as libjpeg's `jidctint.c` has it). Sums of two numbers wrap at 16 bits, and results are cut off
/// there, as in libjpeg-turbo's vector code: that shows where damaged coefficients are too large.
fn pass(c: [i16; 8], shift: u32) -> [i16; 8] {
    let k = |number: i16, constant: f64| i32::from(number).wrapping_mul(fix(constant));
    let sum = |a: usize, b: usize| c[a].wrapping_add(c[b]);
    let low = k(c[2], 0.541196100) + k(c[6], 0.541196100) - k(c[6], 1.847759065);
    let high = k(c[2], 0.541196100) + k(c[6], 0.541196100) + k(c[2], 0.765366865);
    let (first, second) = (k(sum(0, 4), 1.0), k(c[0].wrapping_sub(c[4]), 1.0));
    let even = [first + high, second + low, second - low, first - high];
    let (z3, z4) = (sum(7, 3), sum(5, 1));
    let z5 = k(z3, 1.175875602) + k(z4, 1.175875602);
    let (z3, z4) = (z5 - k(z3, 1.961570560), z5 - k(z4, 0.390180644));
    let z1 = -k(c[7], 0.899976223) - k(c[1], 0.899976223);
    let z2 = -k(c[5], 2.562915447) - k(c[3], 2.562915447);
    let odd = [
        k(c[1], 1.501321110) + z1 + z4,
        k(c[3], 3.072711026) + z2 + z3,
        k(c[5], 2.053119869) + z2 + z4,
        k(c[7], 0.298631336) + z1 + z3,
    ];
    let narrow = |v: i32| (v.wrapping_add(1 << (shift - 1)) >> shift).clamp(-32768, 32767) as i16;
    let mut out = [0; 8];
    for i in 0..4 {
        out[i] = narrow(even[i].wrapping_add(odd[i]));
        out[7 - i] = narrow(even[i].wrapping_sub(odd[i]));
    }
    out
}

impl Plane<'_> {
    /// The samples of a block, rows from top to bottom.
    fn block(&self, number: usize) -> [u8; 64] {
        let mut work = [0; 64];
        for (&coefficient, &at) in self.blocks[number].iter().zip(&ZIGZAG) {
            let at = usize::from(at);
            work[at] = coefficient.wrapping_mul(self.quant[at] as i16);
        }
        for x in 0..8 {
            let column = pass(std::array::from_fn(|y| work[8 * y + x]), CONST_BITS - PASS1_BITS);
            (0..8).for_each(|y| work[8 * y + x] = column[y]);
        }
        let mut out = [0; 64];
        for (out, row) in out.chunks_exact_mut(8).zip(work.chunks_exact(8)) {
            let row = pass(std::array::from_fn(|x| row[x]), CONST_BITS + PASS1_BITS + 3);
            (0..8).for_each(|x| out[x] = row[x].saturating_add(128).clamp(0, 255) as u8);
        }
        out
    }

    /// The first `width` × `height` samples.
    pub(super) fn samples(&self, width: usize, height: usize) -> ComponentSamples {
        let mut data = vec![0; width * height];
        for (row, data) in data.chunks_mut(8 * width).enumerate() {
            for column in 0..width.div_ceil(8) {
                let block = self.block(row * self.blocks_per_row + column);
                for (line, samples) in data.chunks_exact_mut(width).zip(block.chunks_exact(8)) {
                    let line = &mut line[8 * column..width.min(8 * column + 8)];
                    line.copy_from_slice(&samples[..line.len()]);
                }
            }
        }
        ComponentSamples { width, height, data }
    }
}

impl ComponentSamples {
    fn row(&self, y: usize) -> &[u8] {
        &self.data[y.min(self.height - 1) * self.width..][..self.width]
    }

    /// `width` × `height` samples, `factors` times as many in each direction: by a triangle filter where
    /// libjpeg has one (`jdsample.c`), else each sample repeated.
    pub(super) fn enlarged(&self, factors: (usize, usize), width: usize, height: usize) -> Vec<u8> {
        let mut out = vec![0; width * height];
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let near = self.row(y / factors.1);
            let wide = self.width > 2;
            match factors {
                (1, 2) => {
                    let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                    let samples = near.iter().zip(self.neighbor(y)).map(|(&a, &b)| weighted(a, b) + bias);
                    out.iter_mut().zip(samples).for_each(|(out, sum)| *out = (sum >> 2) as u8);
                }
                (2, 1) if wide => {
                    doubled(&near.iter().map(|&v| v.into()).collect::<Vec<u16>>(), [1, 2], 2, out)
                }
                (2, 2) if wide => {
                    let sums = near.iter().zip(self.neighbor(y)).map(|(&a, &b)| weighted(a, b));
                    doubled(&sums.collect::<Vec<u16>>(), [8, 7], 4, out);
                }
                (by, _) => out.iter_mut().enumerate().for_each(|(x, out)| *out = near[x / by]),
            }
        }
        out
    }

    /// Where rows are doubled: the row nearest to row `y` of the result but the one in which that lies.
    fn neighbor(&self, y: usize) -> &[u8] {
        self.row(if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 })
    }
}

/// Three quarters of the near sample, one of the far one; four times that.
fn weighted(near: u8, far: u8) -> u16 {
    3 * u16::from(near) + u16::from(far)
}

/// A row of twice as many samples, each three quarters of the near one and one of the other, with the
/// rounding `bias` of even and odd ones; a sum has `shift` bits more than a sample.
fn doubled(row: &[u16], bias: [u16; 2], shift: u32, out: &mut [u8]) {
    for (x, out) in out.iter_mut().enumerate() {
        let near = row[x / 2];
        let far =
            if x.is_multiple_of(2) { (x / 2).saturating_sub(1) } else { (x / 2 + 1).min(row.len() - 1) };
        *out = ((3 * near + row[far] + bias[x % 2]) >> shift) as u8;
    }
}

/// Components of the image's size as RGB. Of four channels Pillow takes all for Adobe's, whose values are
/// inverted.
pub(super) fn to_rgb(planes: &[Vec<u8>], coding: ColorSpace, width: usize, height: usize) -> Vec<u8> {
    let mut rgb = vec![0; 3 * width * height];
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let at = |plane: usize| planes[plane][i];
        let color = match coding {
            ColorSpace::Gray => [at(0); 3],
            ColorSpace::Rgb => [at(0), at(1), at(2)],
            ColorSpace::YCbCr => from_ycc(at(0), at(1), at(2)),
            ColorSpace::Cmyk => cmyk([0, 1, 2, 3].map(|plane| 255 - at(plane))),
            ColorSpace::Ycck => {
                let [c, m, y] = from_ycc(at(0), at(1), at(2));
                cmyk([c, m, y, 255 - at(3)])
            }
        };
        pixel.copy_from_slice(&color);
    }
    rgb
}

/// ITU-R BT.601 of full range, in the 16 bits of `jdcolor.c`.
fn from_ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const fn fix(x: f64) -> i32 {
        (x * 65536.0 + 0.5) as i32
    }
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((fix(1.40200) * cr + 0x8000) >> 16);
    let g = y + ((-fix(0.34414) * cb + 0x8000 - fix(0.71414) * cr) >> 16);
    let b = y + ((fix(1.77200) * cb + 0x8000) >> 16);
    [r, g, b].map(|v| v.clamp(0, 255) as u8)
}
