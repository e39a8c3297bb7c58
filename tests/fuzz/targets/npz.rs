#![no_main]

use gan::stats::Stats;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("stats.npz", bytes, |path| {
        let stats = Stats::read(path)?;
        let _ = stats.features();
        Ok(())
    });
});
