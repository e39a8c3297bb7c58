//! Facts about encoded images besides their pixels, and counts of them.

use crate::error::counted;

/// Facts about an encoded image besides its pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// Of 16-bit gray: how many of its bits the largest value needs, 1 to 16 (16 where the file itself says
    /// its depth).
    pub gray_bits: Option<u8>,
    /// Of 16-bit gray in a PNG: how many bits are significant by its sBIT chunk.
    pub significant: Option<u8>,
    /// Whether it is of signed, 32-bit or floating-point numbers, which are cut off to 0 to 255 as Pillow
    /// does it.
    pub clamped: bool,
    /// An EXIF orientation other than upright, which is not applied (as Pillow and torchvision do; that of a
    /// TIFF is).
    pub rotated: bool,
}

/// The [`Notes`] of many images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoteCounts {
    gray: u64,
    gray_bits: u8,
    significant: u8,
    clamped: u64,
    rotated: u64,
}

/// 16-bit gray whose values need at most this many bits gives a warning. With 15 an image is merely dark.
const FEW_BITS: u8 = 14;

impl NoteCounts {
    /// Adds the notes of an image.
    pub fn add(&mut self, notes: Notes) {
        if let Some(bits) = notes.gray_bits {
            self.gray += 1;
            self.gray_bits = self.gray_bits.max(bits);
            self.significant = self.significant.max(notes.significant.unwrap_or(0));
        }
        self.clamped += u64::from(notes.clamped);
        self.rotated += u64::from(notes.rotated);
    }

    /// Warnings about a shard of these images. `depth` is the number of bits that 16-bit gray was assumed to
    /// use.
    pub fn lines(&self, depth: Option<u8>) -> Vec<String> {
        let mut lines = Vec::new();
        match depth {
            None if (1..=FEW_BITS).contains(&self.gray_bits) => {
                let bits = self.gray_bits.max(8);
                // The depth that a file states counts where its values agree.
                let depth =
                    if self.significant >= bits && self.significant < 16 { self.significant } else { bits };
                lines.push(format!(
                    "no value of the 16-bit gray ({}) needs more than {} bits, and the high byte was taken: \
                     nearly black; a depth of {depth} keeps the highest 8 bits of {depth}",
                    counted(self.gray, "image"),
                    self.gray_bits,
                ));
            }
            Some(depth) if self.gray == 0 => {
                lines.push(format!("a depth of {depth} changes nothing: no image is 16-bit gray"));
            }
            Some(depth) if self.gray_bits > depth => {
                let most = (1u32 << depth) - 1;
                lines.push(format!(
                    "with a depth of {depth}, values above {most} became 255; the largest needs {} bits",
                    self.gray_bits
                ));
            }
            _ => {}
        }
        if self.clamped > 0 {
            lines.push(format!(
                "{} of signed, 32-bit or floating-point numbers: cut off to 0 to 255, as Pillow does it",
                counted(self.clamped, "image")
            ));
        }
        lines.extend(rotation(self.rotated));
        lines
    }
}

/// A line about `n` images with an EXIF rotation; `None` where there are none.
pub fn rotation(n: u64) -> Option<String> {
    let carry = if n == 1 { "carries" } else { "carry" };
    (n > 0).then(|| {
        format!(
            "{} {carry} an EXIF rotation, which is ignored, as torchvision and Pillow do",
            counted(n, "image")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(notes: &[Notes]) -> NoteCounts {
        let mut tally = NoteCounts::default();
        notes.iter().for_each(|&notes| tally.add(notes));
        tally
    }

    fn gray(bits: u8) -> Notes {
        Notes { gray_bits: Some(bits), ..Notes::default() }
    }

    #[test]
    fn ordinary_images_have_no_lines() {
        assert!(tally(&[Notes::default(), gray(16), gray(3)]).lines(None).is_empty());
        assert!(NoteCounts::default().lines(None).is_empty());
    }

    #[test]
    fn unused_bits_are_told_of_once() {
        let lines = tally(&[gray(11), gray(12), Notes::default()]).lines(None);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("(2 images) needs more than 12 bits")
                && lines[0].contains("a depth of 12 keeps")
        );
        assert!(tally(&[gray(5)]).lines(None)[0].contains("a depth of 8"));
        // A depth that the file states, if no value exceeds it.
        let told = |bits, significant| Notes { significant: Some(significant), ..gray(bits) };
        assert!(tally(&[told(10, 12)]).lines(None)[0].contains("a depth of 12"));
        assert!(tally(&[told(12, 10)]).lines(None)[0].contains("a depth of 12"));
        assert!(tally(&[gray(12)]).lines(Some(12)).is_empty());
        assert!(tally(&[gray(13)]).lines(Some(12))[0].contains("above 4095 became 255"));
        assert!(tally(&[Notes::default()]).lines(Some(12))[0].contains("changes nothing"));
    }

    #[test]
    fn rotations_and_cut_off_numbers_are_counted() {
        let rotated = Notes { rotated: true, ..Notes::default() };
        assert_eq!(tally(&[rotated]).lines(None), [rotation(1).unwrap()]);
        assert!(rotation(12).unwrap().starts_with("12 images carry an EXIF rotation"));
        let clamped = Notes { clamped: true, ..Notes::default() };
        assert!(tally(&[clamped; 3]).lines(None)[0].starts_with("3 images of signed"));
    }
}
