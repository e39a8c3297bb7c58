//! numpy's arrays, by themselves and in .npz, and pickled batches.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gan_fuzz::read_images_as("faces", bytes));
