//! YCbCr to RGB: as Pillow does it where it reads the samples itself, and as libtiff does it where Pillow
//! asks that one.

use super::ifd::{Directory, Tag};

/// Pillow's conversion (its `ConvertYCbCr.c`): fixed point of 6 bits, cut off after a half was added.
pub(super) fn as_in_pillow([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let part = |factor: f64, chroma: u8| (factor * 64.0 * (f64::from(chroma) - 128.0) + 0.5) as i32;
    let y = i32::from(y);
    let red = y + (part(1.402, cr) >> 6);
    let green = y + ((part(-0.34414, cb) + part(-0.71414, cr)) >> 6);
    let blue = y + (part(1.772, cb) >> 6);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

/// libtiff's tables (`TIFFYCbCrToRGBInit`), fixed point of 16 bits, of a file's luma and reference levels.
pub(super) struct Tables {
    y: [i32; 256],
    red_of_cr: [i32; 256],
    blue_of_cb: [i32; 256],
    green_of_cr: [i32; 256],
    green_of_cb: [i32; 256],
}

impl Tables {
    pub(super) fn of(directory: &Directory) -> Result<Tables, String> {
        let luma = directory.fractions(Tag::YCbCrCoefficients).unwrap_or_else(|| vec![0.299, 0.587, 0.114]);
        let levels = directory.fractions(Tag::ReferenceBlackWhite);
        let levels = levels.unwrap_or_else(|| vec![0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        if luma.len() < 3 || levels.len() < 6 || luma[1] == 0.0 {
            return Err("broken: its YCbCr coefficients".into());
        }
        let fixed = |f: f32| (f64::from(f.clamp(0.0, 2.0)) * 65_536.0 + 0.5) as i32;
        let (f1, f3) = (2.0 - 2.0 * luma[0], 2.0 - 2.0 * luma[2]);
        let (d1, d2) = (fixed(f1), -fixed(luma[0] * f1 / luma[1]));
        let (d3, d4) = (fixed(f3), -fixed(luma[2] * f3 / luma[1]));
        let value = |code: i32, black: f32, white: f32, range: f32| {
            let width = if white - black != 0.0 { white - black } else { 1.0 };
            // The black level is a whole number in libtiff.
            let scaled = (code - black as i32) as f32 * range / width;
            scaled.clamp(-4096.0, 4096.0) as i32
        };
        let half = 1 << 15;
        let table = |of: &dyn Fn(i32) -> i32| std::array::from_fn(|i| of(i as i32 - 128));
        let cr = |x: i32| value(x, levels[4] - 128.0, levels[5] - 128.0, 127.0);
        let cb = |x: i32| value(x, levels[2] - 128.0, levels[3] - 128.0, 127.0);
        Ok(Tables {
            y: table(&|x| value(x + 128, levels[0], levels[1], 255.0)),
            red_of_cr: table(&|x| (d1 * cr(x) + half) >> 16),
            blue_of_cb: table(&|x| (d3 * cb(x) + half) >> 16),
            green_of_cr: table(&|x| d2 * cr(x)),
            green_of_cb: table(&|x| d4 * cb(x) + half),
        })
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (y, cb, cr) = (self.y[usize::from(y)], usize::from(cb), usize::from(cr));
        let green = (self.green_of_cb[cb] + self.green_of_cr[cr]) >> 16;
        [y + self.red_of_cr[cr], y + green, y + self.blue_of_cb[cb]].map(|v| v.clamp(0, 255) as u8)
    }

    /// The RGB of a strip or tile of `width × height` pixels whose chroma is shared by `across × down` of
    /// them: blocks of their luma, then Cb and Cr.
    pub(super) fn convert(
        &self,
        data: &[u8],
        [width, height]: [usize; 2],
        [across, down]: [usize; 2],
    ) -> Vec<u8> {
        let block = across * down + 2;
        let mut rgb = Vec::with_capacity(3 * width * height);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let at = (y / down * width.div_ceil(across) + x / across) * block;
            let luma = data[at + y % down * across + x % across];
            rgb.extend(self.rgb(luma, data[at + block - 2], data[at + block - 1]));
        }
        rgb
    }
}

/// Bytes of such a strip or tile.
pub(super) fn packed(width: usize, height: usize, [across, down]: [usize; 2]) -> usize {
    width.div_ceil(across) * height.div_ceil(down) * (across * down + 2)
}
