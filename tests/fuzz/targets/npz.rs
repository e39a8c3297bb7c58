#![no_main]

use gan::metrics::stats::Stats;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("stats.npz", bytes, |path| Stats::read(path).map(drop));
});
