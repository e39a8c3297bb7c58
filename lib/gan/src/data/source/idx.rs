//! IDX files, MNIST's format, gzipped or not: a big-endian header (0, 0, type, number of dimensions, then
//! each dimension as u32) and the data. Images have type 8 (unsigned bytes) and three dimensions: number,
//! rows, columns. Source: yann.lecun.com/exdb/mnist.

use std::io::{BufRead, BufReader, Read};

use super::array::{ArrayBlock, ArrayLayout, AxisOrder, ImageArray};
use super::compression::{Compression, TempFile};
use super::file_slice::FileSlice;
use crate::Result;

const HEADER: u64 = 16;

/// The first bytes of a file, decompressed; fewer where it is shorter or broken.
fn header(file: &FileSlice) -> Result<Vec<u8>> {
    match gzip(file)? {
        Some(gzip) => Ok(gzip.head(file, HEADER)),
        None => file.head(HEADER),
    }
}

fn gzip(file: &FileSlice) -> Result<Option<Compression>> {
    let is_gzip = file.head(2)? == [0x1F, 0x8B];
    Ok(is_gzip.then_some(Compression::Gzip))
}

/// Whether a file is IDX of any type: by its content, or a gzip whose name says so.
pub(super) fn is_idx(file: &FileSlice) -> Result<bool> {
    let by_name = file.name.to_string_lossy().ends_with("ubyte.gz");
    Ok(by_name || matches!(header(file)?[..], [0, 0, 0x08 | 0x09 | 0x0B..=0x0E, 1..=8, ..]))
}

/// The images of an IDX file.
///
/// # Errors
/// The file is broken, of another type, or of another size than its header says; a full disk.
pub(super) fn open(file: &FileSlice) -> Result<ImageArray> {
    let mut header = header(file)?;
    if header.len() < 4 {
        return Err(file.error("cut short, or a broken gzip: fetch it again"));
    }
    let (kind, dimensions) = (header[2], header[3]);
    if header[..4] != [0, 0, 8, 3] {
        return Err(file.error(format!(
            "IDX of type {kind} and {dimensions} dimensions, not of images (8 and 3: …-images-idx3-ubyte)"
        )));
    }
    header.resize(HEADER as usize, 0);
    let dimension = |i: usize| u32::from_be_bytes(header[4 * i..][..4].try_into().expect("four bytes"));
    let [count, height, width] = [1, 2, 3].map(dimension);
    let stride = u64::from(width) * u64::from(height);
    let bytes = stride.checked_mul(count.into()).and_then(|n| n.checked_add(HEADER));
    let Some(bytes) = bytes.filter(|_| stride > 0) else {
        return Err(file.error(format!("IDX of {count} images of {width}×{height} pixels")));
    };
    if count == 0 {
        return Err(file.error("no images in it"));
    }
    let content = match gzip(file)? {
        // One byte more shows that the content is too long.
        Some(gzip) => {
            let mut reader = gzip.reader(BufReader::with_capacity(1 << 16, file.reader())).take(bytes + 1);
            TempFile::fill(file, &mut reader, bytes + 1, "gzip")?
        }
        None => file.clone(),
    };
    if content.len != bytes {
        let what = if content.len < bytes { "cut short" } else { "trailing bytes" };
        return Err(file.error(format!("{what}: {count} images of {width}×{height} need {bytes} bytes")));
    }
    let (width, height) = (width as usize, height as usize);
    let layout = ArrayLayout { width, height, channels: 1, order: AxisOrder::ChannelsLast };
    let block = ArrayBlock::new(content.slice(HEADER, bytes - HEADER)?, count as usize, stride);
    ImageArray::of_bytes(&file.name, vec![block], layout)
}

/// Whether two files have the same content, decompressed. A file that cannot be read equals no other.
pub(super) fn is_same(a: &FileSlice, b: &FileSlice) -> bool {
    let open = |file: &FileSlice| -> Result<BufReader<Box<dyn Read>>> {
        Ok(BufReader::new(match gzip(file)? {
            Some(gzip) => gzip.reader(BufReader::new(file.reader())),
            None => Box::new(file.reader()),
        }))
    };
    let (Ok(mut a), Ok(mut b)) = (open(a), open(b)) else { return false };
    loop {
        let (Ok(x), Ok(y)) = (a.fill_buf(), b.fill_buf()) else { return false };
        let n = x.len().min(y.len());
        if n == 0 {
            return x.len() == y.len();
        }
        if x[..n] != y[..n] {
            return false;
        }
        a.consume(n);
        b.consume(n);
    }
}
