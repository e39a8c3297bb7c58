//! Weights: both containers of torch.save, and safetensors.
#![no_main]

use gan::io::weights::Tensors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("weights.pth", bytes, |path| {
        let tensors = Tensors::read(path)?;
        let cases = [("layer.weight", &[3, 4][..]), ("layer.turned", &[3, 2]), ("layer.half", &[6])];
        for (name, shape) in cases {
            let _ = tensors.get(name, shape);
        }
        Ok(())
    });
});
