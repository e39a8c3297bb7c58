//! IDX, its gzip, and zips of images, which are recognized by their content.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gan_fuzz::read_images_as("train-images-idx3-ubyte", bytes));
