//! The goldens and the script that made them with torchvision: `tests/golden/augment`.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::data::image::decode;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
const SIZE: (usize, usize, usize) = (17, 23, 3);

fn image() -> Vec<u8> {
    decode(&fs::read(Path::new(GOLDEN).join("image/decode/rgb.png")).unwrap()).unwrap().rgb
}

/// The cats' changes.
fn cats() -> Augment {
    Augment {
        flip: 0.0,
        brightness: 0.2,
        contrast: 0.0,
        saturation: 0.2,
        blur: [5, 9],
        blur_sigma: [0.1, 1.2],
    }
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| a.abs_diff(b)).max().unwrap()
}

#[test]
fn fixed_factors_agree_with_torchvision() {
    let files: Vec<PathBuf> =
        fs::read_dir(Path::new(GOLDEN).join("augment")).unwrap().map(|e| e.unwrap().path()).collect();
    let goldens = files.iter().filter(|file| file.extension().is_some_and(|e| e == "rgb"));
    let mut seen = 0;
    for file in goldens {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let (kind, value) = (name.split('_').next().unwrap(), name.rsplit('_').next().unwrap());
        let (value, mut ours): (f64, _) = (value.parse().unwrap(), image());
        let mut change = |what| enhance(what, value as f32, 3, &mut ours);
        match kind {
            "brightness" => change(Enhance::Brightness),
            "contrast" => change(Enhance::Contrast),
            "saturation" => change(Enhance::Saturation),
            "blur" => gaussian_blur([5, 9], value, SIZE, &mut ours),
            "flip" => flip(SIZE.1, 3, &mut ours),
            other => panic!("{other}"),
        }
        let theirs = fs::read(file).unwrap();
        let difference = largest_difference(&ours, &theirs);
        println!("{name}: {difference}");
        // Pillow cuts off fractions of f32, the blur rounds: a sum in another order may fall on the other
        // side.
        assert!(difference <= 1, "{name}: {difference}");
        // A blur of σ 0.1 is none.
        assert_eq!(image() == theirs, name == "blur_5x9_0.1", "{name}");
        seen += 1;
    }
    assert_eq!(seen, 13);
}

#[test]
fn draws_differ_and_repeat() {
    let draw = |step, place| {
        let mut pixels = image();
        cats().apply(84, step, place, SIZE, &mut pixels);
        pixels
    };
    let first = draw(0, 0);
    assert_eq!(first, draw(0, 0));
    assert_ne!(first, draw(0, 1));
    assert_ne!(first, draw(1, 0));
    assert_ne!(first, image());
}

/// Over many draws the factors fill their range: the brightness of a gray image shows its factor.
#[test]
fn factors_are_uniform_in_their_range() {
    let only = Augment { blur: [1, 1], saturation: 0.0, ..cats() };
    let factors: Vec<f64> = (0..4000)
        .map(|step| {
            let mut pixels = [200];
            only.apply(1, step, 3, (1, 1, 1), &mut pixels);
            f64::from(pixels[0]) / 200.0
        })
        .collect();
    let mean = factors.iter().sum::<f64>() / 4000.0;
    // Five standard errors of a uniform of width 0.4, and half a byte for the fractions cut off.
    assert!((mean - 1.0).abs() < 5.0 * 0.4 / (12f64 * 4000.0).sqrt() + 0.5 / 200.0, "{mean}");
    let (least, largest) = factors.iter().fold((2f64, 0f64), |(a, b), &f| (a.min(f), b.max(f)));
    assert!((0.79..0.81).contains(&least) && (1.19..=1.2).contains(&largest), "{least} {largest}");
}

#[test]
fn half_of_the_images_are_mirrored() {
    let only = Augment { flip: 0.5, brightness: 0.0, saturation: 0.0, blur: [1, 1], ..cats() };
    let (as_is, mut mirrored) = (image(), image());
    flip(SIZE.1, 3, &mut mirrored);
    let mut count = 0;
    for place in 0..400 {
        let mut pixels = image();
        only.apply(1, 0, place, SIZE, &mut pixels);
        assert!(pixels == as_is || pixels == mirrored);
        count += usize::from(pixels == mirrored);
    }
    // Five standard deviations of 400 coins.
    assert!((150..=250).contains(&count), "{count}");
}

#[test]
fn gray_images_are_changed_like_gray_colors() {
    let gray: Vec<u8> = image().chunks_exact(3).map(luma).collect();
    let color: Vec<u8> = gray.iter().flat_map(|&v| [v; 3]).collect();
    for step in 0..8 {
        let (mut a, mut b) = (gray.clone(), color.clone());
        let all = Augment { flip: 0.5, contrast: 0.3, ..cats() };
        all.apply(2, step, 0, (17, 23, 1), &mut a);
        all.apply(2, step, 0, SIZE, &mut b);
        let a: Vec<u8> = a.iter().flat_map(|&v| [v; 3]).collect();
        assert_eq!(a, b);
    }
}

#[test]
fn a_blur_wider_than_the_image_is_refused() {
    cats().check_size(5, 3).unwrap();
    let line = cats().check_size(4, 23).unwrap_err().to_string();
    assert!(line.contains("23×4 are too small for a blur of 5×9"), "{line}");
}
