//! An image whose channels are written by several operations, each in its place: a concatenation without
//! copies.

use std::iter::once;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::Element;

/// A matrix `[pixels, channels]` that is being written.
#[derive(Debug)]
pub struct Channels<T> {
    data: Vec<T>,
    pixels: usize,
    /// Whether a channel is written.
    written: Vec<bool>,
}

impl<T: Element> Channels<T> {
    /// Room for `pixels` of `channels` each.
    pub fn new(pixels: usize, channels: usize) -> Channels<T> {
        Channels { data: Vec::with_capacity(pixels * channels), pixels, written: vec![false; channels] }
    }

    /// The number of channels.
    pub fn count(&self) -> usize {
        self.written.len()
    }

    /// All elements, of which the caller writes the channels `ranges` and no others.
    ///
    /// # Safety
    /// These channels of every pixel are written before [`Channels::finish`].
    ///
    /// # Panics
    /// If some of these channels are written already or do not exist, or there are not `pixels`.
    pub(crate) unsafe fn all(
        &mut self,
        pixels: usize,
        ranges: impl IntoIterator<Item = Range<usize>>,
    ) -> &mut [MaybeUninit<T>] {
        assert_eq!(pixels, self.pixels, "channels: numbers of pixels differ");
        let new = self.written.iter().all(|written| !written);
        for range in ranges {
            let channels = &mut self.written[range];
            assert!(channels.iter().all(|written| !written), "channels: written twice");
            channels.fill(true);
        }
        let room = &mut self.data.spare_capacity_mut()[..self.pixels * self.written.len()];
        // In tests, elements that are not written are NaN.
        if cfg!(test) && new {
            room.fill(MaybeUninit::new(T::from_f32(f32::NAN)));
        }
        room
    }

    /// Copies channels from `x` `[pixels, n]`; the first goes to `first`.
    ///
    /// # Panics
    /// See [`Channels::finish`]; also if `x` has another number of pixels.
    pub fn copy(&mut self, first: usize, x: &[T], n: usize) {
        let count = self.count();
        // SAFETY: n channels of every pixel are written.
        let out = unsafe { self.all(x.len() / n.max(1), once(first..first + n)) };
        for (out, x) in out.chunks_exact_mut(count).zip(x.chunks_exact(n)) {
            out[first..first + n].iter_mut().zip(x).for_each(|(out, &x)| *out = MaybeUninit::new(x));
        }
    }

    /// The matrix.
    ///
    /// # Panics
    /// If a channel is not written.
    pub fn finish(mut self) -> Vec<T> {
        assert!(self.written.iter().all(|&written| written), "channels: not all are written");
        // SAFETY: there is room for all elements, and all are written.
        unsafe { self.data.set_len(self.pixels * self.written.len()) };
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

    #[test]
    fn parts_lie_side_by_side() {
        let (a, b) = (random(700 * 3, 1), random(700 * 2, 2));
        let mut both = Channels::new(700, 5);
        both.copy(3, &b, 2);
        both.copy(0, &a, 3);
        let both = both.finish();
        for (i, pixel) in both.chunks_exact(5).enumerate() {
            assert_eq!((&pixel[..3], &pixel[3..]), (&a[3 * i..][..3], &b[2 * i..][..2]));
        }
        assert_eq!(both.len(), 700 * 5);
    }

    #[test]
    #[should_panic(expected = "not all are written")]
    fn a_missing_channel_is_refused() {
        let mut some = Channels::new(1, 3);
        some.copy(1, &[1.0], 1);
        some.finish();
    }

    #[test]
    #[should_panic(expected = "written twice")]
    fn a_channel_is_written_once() {
        let mut some = Channels::new(1, 3);
        some.copy(0, &[1.0, 2.0], 2);
        some.copy(1, &[1.0], 1);
    }
}
