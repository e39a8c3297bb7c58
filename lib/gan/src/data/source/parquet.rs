//! Hugging Face's data sets of images: parquet files with a column `image` of encoded files, `struct<bytes,
//! path>`. Their images are copied once into a temporary file.

use std::io::BufReader;
use std::path::Path;

use ::parquet::column::reader::ColumnReader;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length};
use ::parquet::file::serialized_reader::SerializedFileReader;
use bytes::Bytes;

use super::compression::TempFile;
use super::file_set::{Member, StoredImages};
use super::file_slice::{FileSlice, FileSliceReader};
use super::input::{MAX_ENCODED, OpenedInput};
use super::skipped::SkippedFiles;
use crate::data::guard::guarded;
use crate::{Error, Result};

/// The number of rows in memory at once.
const ROWS: usize = 16;

impl Length for FileSlice {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for FileSlice {
    type T = BufReader<FileSliceReader>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let rest = self.slice(start, self.len.saturating_sub(start)).map_err(outside)?;
        Ok(BufReader::new(rest.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let part = self.slice(start, length as u64).map_err(outside)?;
        Ok(part.head(length as u64).map_err(outside)?.into())
    }
}

fn outside(e: Error) -> ParquetError {
    ParquetError::EOF(e.to_string())
}

/// The images of parquet files, in their order.
///
/// # Errors
/// A broken file; no column of images; a full disk.
pub(super) fn open(input: &Path, files: &[FileSlice]) -> Result<OpenedInput> {
    // The crate checks some of what it reads by assertions.
    let read = guarded(|| read(input, files));
    read.unwrap_or_else(|| Err(Error::file(input, "a broken parquet: fetch it again")))
}

fn read(input: &Path, files: &[FileSlice]) -> Result<OpenedInput> {
    let first = files.first().expect("at least one file");
    let mut temporary = TempFile::new(first)?;
    let (mut images, mut skipped) = (Vec::new(), SkippedFiles::new());
    for file in files {
        let broken = |e: ParquetError| file.error(why(&e.to_string()));
        let reader = SerializedFileReader::new(file.clone()).map_err(broken)?;
        let column = column(reader.metadata(), file)?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(broken)?;
            let ColumnReader::ByteArrayColumnReader(mut values) =
                group.get_column_reader(column).map_err(broken)?
            else {
                return Err(file.error("a parquet whose column of images is not of bytes"));
            };
            loop {
                let (mut rows, mut levels): (Vec<ByteArray>, _) = (Vec::new(), Vec::new());
                let read = values.read_records(ROWS, Some(&mut levels), None, &mut rows);
                let (records, ..) = read.map_err(broken)?;
                if records == 0 {
                    break;
                }
                for _ in rows.len()..records {
                    skipped.add("without an image (rows)", &file.name.to_string_lossy());
                }
                for row in rows {
                    if row.len() as u64 > MAX_ENCODED {
                        return Err(file.error("an image larger than 256 MiB"));
                    }
                    let name = format!("{:06}.{}", images.len(), extension(row.data()));
                    images.push(Member { name, from: temporary.len, len: row.len() as u64 });
                    temporary.write(row.data())?;
                }
            }
        }
    }
    if images.is_empty() {
        return Err(first.error("a parquet without a row that has an image"));
    }
    let mut file = temporary.finish();
    file.name = input.to_path_buf();
    file.version.changed = files.iter().filter_map(|file| file.version.changed).max();
    Ok(OpenedInput { skipped, ..OpenedInput::all(StoredImages { file, images }) })
}

/// The column of images: `X.bytes` beside `X.path`, or a column of bytes called image, img or jpg.
fn column(metadata: &ParquetMetaData, file: &FileSlice) -> Result<usize> {
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
    let is_one = |i: usize, names: &[&str]| names.contains(&paths[i].as_str());
    let plain = |i: &usize| is_one(*i, &["image", "img", "jpg", "jpeg", "png", "image.bytes"]);
    let mut found: Vec<usize> = (0..paths.len()).filter(of_bytes).filter(structs).collect();
    if found.is_empty() {
        found = (0..paths.len()).filter(of_bytes).filter(plain).collect();
    }
    if let [one] = found[..] {
        return Ok(one);
    }
    // Of several columns `image` is the usual one.
    let usual = found.iter().copied().find(|&i| is_one(i, &["image.bytes", "img.bytes"]));
    usual.ok_or_else(|| {
        let (what, held) = (if found.is_empty() { "no column" } else { "several columns" }, paths.join(", "));
        file.error(format!("a parquet with {what} of images (it has {held}): save its images into a folder"))
    })
}

/// The reader's error, and what to do.
fn why(e: &str) -> String {
    let line = e.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.to_lowercase().contains("disabled feature") {
        true => format!(
            "a parquet whose compression is not read ({line}): write it again with \
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
