//! Tars, packed in four ways or not, and zips of entries packed in any way.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gan_fuzz::read_images_as("faces", bytes));
