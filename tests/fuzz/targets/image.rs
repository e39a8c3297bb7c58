//! Encoded images of every kind. A decoder's panic is an error like others to the tools, but not here, unless
//! it is in the crates that decode complete files of JPEG and WebP.
#![no_main]

use gan::data::image::{SixteenBit, decode_noting, sniff};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let known = sniff(bytes).is_some_and(|format| format.is_read());
    match decode_noting(bytes, SixteenBit::HighByte) {
        Ok((image, _)) => {
            assert!(known, "read, though it is of no kind that is read");
            assert_eq!(image.rgb.len(), 3 * image.width * image.height);
        }
        Err(line) => {
            assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
            let whole = bytes.starts_with(b"\xff\xd8") || bytes.starts_with(b"RIFF");
            assert!(whole || line != "broken: its decoder failed");
        }
    }
});
