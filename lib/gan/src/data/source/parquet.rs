//! Hugging Face's data sets of images: parquet files with a column `image` of encoded files, `struct<bytes,
//! path>`. They are unpacked once into a temporary file, row group by row group.

use std::io::BufReader;
use std::path::Path;

use ::parquet::column::reader::ColumnReader;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length};
use ::parquet::file::serialized_reader::SerializedFileReader;
use bytes::Bytes;

use super::packed::{Member, Packed};
use super::span::{Span, SpanReader};
use super::unpack::Room;
use super::{MAX_ENCODED, PassedOver};
use crate::data::guard::guarded;
use crate::{Error, Result};

pub(super) const MAGIC: &[u8] = b"PAR1";
/// How many rows are in memory at once.
const ROWS: usize = 16;

impl Length for Span {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Span {
    type T = BufReader<SpanReader>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let rest = self.part(start, self.len.saturating_sub(start)).map_err(outside)?;
        Ok(BufReader::new(rest.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let part = self.part(start, length as u64).map_err(outside)?;
        Ok(part.head(length as u64).map_err(outside)?.into())
    }
}

fn outside(e: Error) -> ParquetError {
    ParquetError::EOF(e.to_string())
}

/// The images of some parquet files, in their order.
///
/// # Errors
/// A broken file; no column of images; no room for them unpacked.
pub(super) fn open(input: &Path, files: &[Span]) -> Result<Packed> {
    // The crate checks what it reads by assertions, too.
    let read = guarded(|| read(input, files));
    read.unwrap_or_else(|| Err(Error::file(input, "a broken parquet: fetch it again")))
}

fn read(input: &Path, files: &[Span]) -> Result<Packed> {
    let first = files.first().expect("at least one file");
    let mut room = Room::new(first)?;
    let mut images = Vec::new();
    let mut passed = PassedOver::new();
    for span in files {
        let broken = |e: ParquetError| span.wrong(why(&e.to_string()));
        let reader = SerializedFileReader::new(span.clone()).map_err(broken)?;
        let column = column(reader.metadata(), span)?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(broken)?;
            let ColumnReader::ByteArrayColumnReader(mut values) =
                group.get_column_reader(column).map_err(broken)?
            else {
                return Err(span.wrong("a parquet whose column of images is not of bytes"));
            };
            loop {
                let (mut rows, mut levels): (Vec<ByteArray>, _) = (Vec::new(), Vec::new());
                let read = values.read_records(ROWS, Some(&mut levels), None, &mut rows);
                let (records, ..) = read.map_err(broken)?;
                if records == 0 {
                    break;
                }
                for _ in rows.len()..records {
                    passed.add("without an image (rows)", &span.name.to_string_lossy());
                }
                for row in rows {
                    if row.len() as u64 > MAX_ENCODED {
                        return Err(span.wrong("an image larger than 256 MiB"));
                    }
                    let name = format!("{:06}.{}", images.len(), extension(row.data()));
                    images.push(Member { name, from: room.len, len: row.len() as u64 });
                    room.write(span, row.data())?;
                }
            }
        }
    }
    if images.is_empty() {
        return Err(first.wrong("a parquet without a row that has an image"));
    }
    let changed = files.iter().map(|span| span.stamp.1).max().expect("at least one file");
    let len = files.iter().map(|span| span.stamp.0).sum();
    let mut span = room.into_span(first);
    (span.stamp, span.name) = ((len, changed), input.to_path_buf());
    Ok(Packed::new(span, images, passed))
}

/// The column of images: `X.bytes` beside `X.path`, or one of bytes called image, img or jpg.
fn column(metadata: &ParquetMetaData, span: &Span) -> Result<usize> {
    let schema = metadata.file_metadata().schema_descr();
    let paths: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let of_bytes = |i: &usize| {
        let column = &schema.columns()[*i];
        column.physical_type() == ::parquet::basic::Type::BYTE_ARRAY && column.max_rep_level() == 0
    };
    let structs = |i: &usize| {
        let beside = paths[*i].strip_suffix(".bytes").map(|start| format!("{start}.path"));
        beside.is_some_and(|beside| paths.contains(&beside))
    };
    let plain =
        |i: &usize| ["image", "img", "jpg", "jpeg", "png", "image.bytes"].contains(&paths[*i].as_str());
    let found: Vec<usize> = (0..paths.len()).filter(of_bytes).filter(structs).collect();
    let found =
        if found.is_empty() { (0..paths.len()).filter(of_bytes).filter(plain).collect() } else { found };
    match found.as_slice() {
        [one] => Ok(*one),
        several => {
            // Some have more than one, of which `image` is what they are about.
            let usual = several.iter().find(|&&i| ["image.bytes", "img.bytes"].contains(&paths[i].as_str()));
            usual.copied().ok_or_else(|| {
                let held = paths.join(", ");
                let what =
                    if several.is_empty() { "no column of images" } else { "several columns of images" };
                span.wrong(format!("a parquet with {what} (it has {held}): save its images into a folder"))
            })
        }
    }
}

/// What the reader says, with what to do.
fn why(e: &str) -> String {
    let line = e.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.to_lowercase().contains("disabled feature") {
        true => format!(
            "a parquet in a packing that is not read ({line}): write it again with \
             pyarrow.parquet.write_table(pyarrow.parquet.read_table(F), G)"
        ),
        false => format!("a broken or incomplete parquet ({line}): fetch it again"),
    }
}

/// The usual extension of an encoded image, by its first bytes.
fn extension(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Jpeg) => "jpg",
        Ok(format) => format.extensions_str().first().copied().unwrap_or("image"),
        Err(_) => "image",
    }
}
