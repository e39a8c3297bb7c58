//! What torch.save writes, in both containers, and safetensors.
#![no_main]

use gan::io::weights::Tensors;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("weights.pth", bytes, |path| {
        let tensors = Tensors::read(path)?;
        for (name, shape) in [("layer.weight", &[3, 4][..]), ("layer.turned", &[3, 2]), ("layer.half", &[6])] {
            let _ = tensors.get(name, shape);
        }
        Ok(())
    });
});
