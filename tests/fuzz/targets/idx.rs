//! IDX, its gzip, and zips of pictures: what they are, their content tells.
#![no_main]

use gan::source::{Source, Walk};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("train-images-idx3-ubyte", bytes, |path| {
        let source = Source::open(&[path.to_path_buf()], Walk::Recursive)?;
        source.fingerprint()?;
        for i in 0..source.len().min(16) {
            let _ = source.read(i)?.decode();
        }
        Ok(())
    });
});
