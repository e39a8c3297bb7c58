//! A generator, of gantools or another program, in any container.
#![no_main]

use gan::checkpoint;
use gan::device::Device;
use gan::checkpoint::foreign::LayoutHints;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("G.safetensors", bytes, |path| {
        let _ = checkpoint::info(path, &LayoutHints::default());
        checkpoint::generator(path, &LayoutHints::default(), &Device::Cpu).map(drop)
    });
});
