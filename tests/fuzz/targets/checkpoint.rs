//! A generator, ours or another program's.
#![no_main]

use gan::checkpoint;
use gan::device::Device;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("G.safetensors", bytes, |path| {
        let _ = checkpoint::info(path);
        checkpoint::generator(path, &Device::Cpu).map(drop)
    });
});
