#![no_main]

use gan::checkpoint;
use gan::data::shard::Shard;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("x-4.safetensors", bytes, |path| {
        let _ = checkpoint::info(path, &gan::checkpoint::foreign::LayoutHints::default());
        let shard = Shard::open(path)?;
        let size = shard.height() * shard.width() * shard.channels();
        let (mut bytes, mut floats) = (vec![0; size], vec![0.0; size]);
        for i in 0..shard.len() {
            shard.pixels(i, &mut bytes);
            shard.gather(&[i], &mut floats);
        }
        Ok(())
    });
});
