//! Parquet files with a column of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gan_fuzz::read_images_as("faces", bytes));
