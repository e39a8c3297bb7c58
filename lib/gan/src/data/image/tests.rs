//! The goldens and the script that made them with Pillow and torchvision: `tests/golden/image`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::io::hash::hex;

fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/image", name].iter().collect()
}

fn table() -> Value {
    serde_json::from_slice(&fs::read(golden("golden.json")).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// `formula` of make.py.
fn formula(width: usize, height: usize, a: i64) -> Image {
    let mut rgb = Vec::new();
    for (y, x) in (0..height as i64).flat_map(|y| (0..width as i64).map(move |x| (y, x))) {
        for c in 0..3 {
            let wave = (x * (7 + c) + y * (5 - c) * a) % 512;
            let wave = if wave > 255 { 511 - wave } else { wave };
            let edge = if (x * 3 + y * 2) % 97 < 40 { 60 } else { 0 };
            let grain = (x * 31 + y * 17 + c * 13) * (x + 3) % 23;
            rgb.push((wave - edge + grain).clamp(0, 255) as u8);
        }
    }
    Image { width, height, rgb }
}

/// Mean and maximum of |a − b|.
fn difference(a: &[u8], b: &[u8]) -> (f64, u8) {
    assert_eq!(a.len(), b.len());
    let each = || a.iter().zip(b).map(|(&a, &b)| a.abs_diff(b));
    (each().map(f64::from).sum::<f64>() / a.len() as f64, each().max().unwrap())
}

#[test]
fn every_kind_decodes_as_in_pillow() {
    let table = table();
    let kinds = table["decode"].as_object().unwrap();
    assert!(kinds.len() > 40, "{} kinds", kinds.len());
    for (name, expected) in kinds {
        let bytes = fs::read(golden("decode").join(name)).unwrap();
        let image = decode_as(&bytes, SixteenBit::ClipAsPillow).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(expected["size"], serde_json::json!([image.width, image.height]), "{name}");
        match fs::read(golden("decode").join(format!("{name}.rgb"))) {
            Ok(rgb) => {
                let (mean, max) = difference(&image.rgb, &rgb);
                println!("{name}: mean {mean:.3} max {max}");
                assert!(max <= 4 && mean <= 0.6, "{name}: mean {mean}, max {max}");
            }
            Err(_) => assert_eq!(sha256(&image.rgb), expected["sha256"].as_str().unwrap(), "{name}"),
        }
    }
}

#[test]
fn sixteen_bits_give_the_high_byte() {
    let expected: Vec<u8> = formula(23, 17, 3).rgb.chunks(3).flat_map(|p| [p[0]; 3]).collect();
    for name in ["gray16.png", "gray16.tif", "gray16.pgm"] {
        let bytes = fs::read(golden("decode").join(name)).unwrap();
        assert_eq!(decode(&bytes).unwrap().rgb, expected, "{name}");
        assert_ne!(decode_as(&bytes, SixteenBit::ClipAsPillow).unwrap().rgb, expected, "{name}");
    }
}

#[test]
fn broken_images_say_why() {
    let read = |name: &str| fs::read(golden("decode").join(name)).unwrap();
    assert_eq!(decode(b"").unwrap_err(), "empty");
    assert!(decode(b"hello, world, this is text").unwrap_err().starts_with("not an image"));
    for name in
        ["q95.jpg", "progressive.jpg", "rgb.png", "rgb.bmp", "palette.gif", "lossless.webp", "rgb.ppm"]
    {
        let whole = read(name);
        for part in [2, 10] {
            let reason = decode(&whole[..whole.len() - whole.len() / part]).expect_err(name);
            assert!(!reason.is_empty() && !reason.contains('\n'), "{name}: {reason:?}");
        }
    }
    // A file that claims to be enormous must be refused before memory is allocated for it.
    let mut huge = b"P6\n60000 60000\n255\n".to_vec();
    huge.extend([0; 64]);
    assert!(decode(&huge).unwrap_err().contains("512 MiB"), "{:?}", decode(&huge));
    // Gray that would be enormous as RGB, though it is all there.
    huge = b"P4\n14000 14000\n".to_vec();
    huge.extend(vec![0; 1750 * 14_000]);
    assert!(decode(&huge).unwrap_err().contains("512 MiB"), "{:?}", decode(&huge).is_ok());
    huge = b"P6\n70000 1\n255\n".to_vec();
    huge.extend(vec![0; 210_000]);
    assert!(decode(&huge).unwrap_err().contains("65535"), "{:?}", decode(&huge));
}

#[test]
fn resizing_agrees_with_torchvision() {
    let table = table();
    assert_eq!(sha256(&formula(45, 53, 3).rgb), table["formula_sha256"].as_str().unwrap(), "the same inputs");
    for (name, spec) in table["resize"].as_object().unwrap() {
        let number = |i: usize| spec[i].as_u64().map(|n| n as usize);
        let (w, h, a) = (number(0).unwrap(), number(1).unwrap(), number(2).unwrap());
        let fit = Transform {
            crop: number(3),
            size: number(4),
            filter: spec[5].as_str().unwrap().parse().unwrap(),
        };
        let load_image = resize_and_crop(&formula(w, h, a as i64), &fit);
        let expected = fs::read(golden("resize").join(format!("{name}.rgb"))).unwrap();
        assert_eq!((load_image.width, load_image.height), (fit.size.unwrap(), fit.size.unwrap()), "{name}");
        let (mean, max) = difference(&load_image.rgb, &expected);
        println!("{name}: mean {mean:.4} max {max}");
        // The resizer's weights have 16 bits, Pillow's 22; where a filter copies or averages pixels
        // without fractions, nothing may differ.
        let exact = matches!(fit.filter, Filter::Nearest | Filter::Box) || name == "same";
        // Pillow 13 resizes tall images down first, and rounds to bytes in between.
        let bound = if name == "tall" { 0.25 } else { 0.05 };
        assert!(max <= if exact { 0 } else { 1 } && mean <= bound, "{name}: mean {mean}, max {max}");
    }
}

#[test]
fn a_crop_beyond_the_image_takes_what_there_is() {
    let image = formula(10, 6, 1);
    let load_image =
        resize_and_crop(&image, &Transform { crop: Some(100), size: None, filter: Filter::Bilinear });
    assert_eq!((load_image.width, load_image.height), (6, 6));
    assert_eq!(load_image.rgb[..18], image.rgb[6..24], "two columns cut on the left");
}

#[test]
fn bytes_survive_the_round_trip() {
    for x in 0..=255u8 {
        assert_eq!(to_u8(to_unit(x)), x);
    }
    let rounded = |x: f32| ((x + 1.0) * 127.5).round() as u8;
    for halves in 0..=511u16 {
        let x = f32::from(halves) / 255.0 - 1.0;
        for x in [x.next_down().next_down(), x.next_down(), x, x.next_up(), x.next_up().next_up()] {
            assert_eq!(to_u8(x), rounded(x), "{x}");
        }
    }
    assert_eq!((to_unit(0), to_unit(255)), (-1.0, 1.0));
    assert_eq!((to_u8(-7.0), to_u8(7.0), to_u8(f32::NAN)), (0, 255, 0));
}

#[test]
fn gray_is_pillows() {
    let rgb = formula(23, 17, 3);
    let gray = decode(&fs::read(golden("decode").join("gray.png")).unwrap()).unwrap();
    assert_eq!(rgb.to_gray(), gray.to_gray(), "Pillow's convert(\"L\") of the same image");
    let again = Image::from_gray(23, 17, &gray.to_gray());
    assert_eq!(again, gray);
}

#[test]
fn png_brings_back_pixels_and_text() {
    let image = formula(23, 17, 3);
    let text = [("gantools", "seed 0, image 7"), ("Title", "Gesicht № 7 — ü")];
    let file = encode_png(23, 17, 3, &image.rgb, &text);
    assert_eq!(decode(&file).unwrap(), image);
    assert_eq!(file, encode_png(23, 17, 3, &image.rgb, &text), "the same bytes every time");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
    reader.finish().unwrap();
    let info = reader.info();
    assert_eq!(info.uncompressed_latin1_text[0].keyword, "gantools");
    assert_eq!(info.uncompressed_latin1_text[0].text, text[0].1);
    assert_eq!(info.utf8_text[0].get_text().unwrap(), text[1].1);
    let gray = image.to_gray();
    assert_eq!(decode(&encode_png(23, 17, 1, &gray, &[])).unwrap().to_gray(), gray);
}

#[test]
fn a_grid_has_black_lines_around_each_image() {
    let (a, b, c) = ([1u8; 6], [2u8; 6], [3u8; 6]);
    let (w, h, data) = grid(&[&a, &b, &c], 2, 3, 1, 2);
    assert_eq!((w, h), (2 * (2 + 2) + 2, 2 * (3 + 2) + 2));
    let row = |y: usize| &data[y * w..(y + 1) * w];
    assert_eq!(row(0), [0; 10]);
    assert_eq!(row(2), [0, 0, 1, 1, 0, 0, 2, 2, 0, 0]);
    assert_eq!(row(5), [0; 10]);
    assert_eq!(row(7), [0, 0, 3, 3, 0, 0, 0, 0, 0, 0]);
    // torchvision: one image alone is returned as it is; no more columns than images.
    assert_eq!(grid(&[&a], 2, 3, 1, 8), (2, 3, a.to_vec()));
    assert_eq!(grid(&[&a, &b], 2, 3, 1, 8).0, 2 * (2 + 2) + 2);
}
