//! What every input of images has in common.

use std::path::PathBuf;
use std::time::SystemTime;

use super::skipped::SkippedFiles;
use crate::Result;
use crate::data::image::{Image, Notes, SixteenBit, decode_noting};

/// The largest encoded image that is read, in bytes. Each thread may hold one.
pub(super) const MAX_ENCODED: u64 = 256 << 20;

/// How a folder is searched for images. Archives are always searched completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recursion {
    /// At any depth, by the extensions of all supported formats, in upper or lower case. Names that begin
    /// with a dot and `__MACOSX` are ignored.
    Recursive,
    /// As pytorch-fid does: the folder itself, with the extensions bmp jpg jpeg pgm png ppm tif tiff webp in
    /// lower case.
    OneLevel,
}

/// One image as its input stores it.
pub enum RawImage {
    /// The bytes of an encoded file.
    Encoded(Vec<u8>),
    /// Pixels that need no decoding (arrays, IDX, drawn faces).
    Pixels(Image),
}

impl RawImage {
    /// Decodes the image.
    ///
    /// # Errors
    /// Those of [`crate::data::image::decode`].
    pub fn decode(self) -> Result<Image, String> {
        self.decode_noting(SixteenBit::HighByte).map(|(image, _)| image)
    }

    /// Decodes the image. `sixteen` says how 16-bit gray becomes 8-bit; the notes describe unusual files.
    ///
    /// # Errors
    /// Those of [`crate::data::image::decode`].
    pub fn decode_noting(self, sixteen: SixteenBit) -> Result<(Image, Notes), String> {
        match self {
            RawImage::Encoded(bytes) => decode_noting(&bytes, sixteen),
            RawImage::Pixels(image) => Ok((image, Notes::default())),
        }
    }
}

/// The images of one input, ordered by name.
pub(super) trait Input: Send + Sync {
    fn len(&self) -> usize;

    /// The name of image `i` within the input. Folders are separated by `/`.
    fn name(&self, i: usize) -> String;

    /// The name with the path of the input in front, for messages.
    fn full_name(&self, i: usize) -> String;

    fn read(&self, i: usize) -> Result<RawImage>;

    /// Differs between versions of image `i` under the same name. If a change may leave this text as it is,
    /// the second value is the time of the file's last change.
    fn version(&self, i: usize) -> Result<(String, Option<SystemTime>)>;

    /// Width and height, in pixels, where the format has one size for all images (IDX, arrays, batches).
    fn native_size(&self) -> Option<(usize, usize)> {
        None
    }

    /// Whether the format makes all images gray.
    fn is_gray(&self) -> bool {
        false
    }

    /// CelebA's list of splits, where it lies in the input itself: its path and content.
    fn enclosed_list(&self) -> Result<Option<(PathBuf, Vec<u8>)>> {
        Ok(None)
    }

    /// The folder where the search for CelebA's list begins; `None` where the images cannot be CelebA's.
    fn home(&self) -> Option<PathBuf> {
        None
    }
}

/// An input and how it was chosen.
pub(super) struct OpenedInput {
    pub images: Box<dyn Input>,
    /// The name of what was chosen, where the input holds several sets of images.
    pub chosen: Option<String>,
    /// The files of the input that are not among its images.
    pub skipped: SkippedFiles,
}

impl OpenedInput {
    /// All of `images`.
    pub fn all(images: impl Input + 'static) -> OpenedInput {
        OpenedInput { images: Box::new(images), chosen: None, skipped: SkippedFiles::new() }
    }
}
