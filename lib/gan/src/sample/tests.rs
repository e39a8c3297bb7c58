use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rayon::ThreadPoolBuilder;

use super::*;
use crate::checkpoint::Generator;
use crate::data::image;
use crate::nn::model::{Arch, Dcgan, ModelConfig};
use crate::progress::Silent;

const CPU: Device = Device::Cpu;

fn generator() -> Generator {
    let config = ModelConfig {
        size: 32,
        channels: 3,
        arch: Arch::Dcgan(Dcgan { nz: 7, ngf: 4, ndf: 4, ..Default::default() }),
    };
    let model = config;
    Generator::new(&model, model.generator(2, &CPU).unwrap(), None, "beef".into())
}

static GO: AtomicBool = AtomicBool::new(false);

fn sampler(generator: &Generator, batch_size: usize) -> Sampler<'_> {
    Sampler::new(generator, &CPU, batch_size, &GO, &Silent)
}

fn some(count: usize) -> Latents {
    Latents::from_seed(5, count, 7)
}

fn run(generator: &Generator, latents: &Latents, out: &Path) -> Result<()> {
    write_folder(&sampler(generator, 128), latents, out, None, false)
}

/// Every file of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |e: fs::DirEntry| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap());
    fs::read_dir(folder).unwrap().map(|e| entry(e.unwrap())).collect()
}

#[test]
fn a_latent_is_a_function_of_seed_and_index() {
    let rows = |seed, first, count| -> Vec<Vec<f32>> {
        latents(seed, Stream::Sample, first, count, 7, &CPU).unwrap().to_vec2().unwrap()
    };
    let all = rows(1, 0, 9);
    assert_eq!(rows(1, 4, 3), all[4..7]);
    assert_ne!(rows(2, 0, 9), all);
    assert_ne!(all[0], all[1]);
}

#[test]
fn an_image_does_not_depend_on_count_batch_or_threads() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    run(&generator, &some(70), &out).unwrap();
    let all = files(&out);
    assert_eq!(all.len(), 71, "the images and the marker");
    assert_ne!(all["000000.png"], all["000001.png"]);
    for (count, batch, threads) in [(70, 1, 1), (70, 33, 2), (3, 64, 2), (41, 1000, 1)] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| write_folder(&sampler(&generator, batch), &some(count), &out, None, false)).unwrap();
        let others = files(&out);
        assert_eq!(others.len(), count + 1, "of one run alone");
        for name in others.keys().filter(|n| n.ends_with("png")) {
            assert_eq!(others[name], all[name], "{name} of {count} in batches of {batch} on {threads}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_sample_did_not_make_is_kept() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    let refused = || {
        let before = files(&out);
        let line = run(&generator, &some(2), &out).unwrap_err().to_string();
        assert_eq!(files(&out), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        line
    };
    fs::create_dir(&out).unwrap();
    run(&generator, &some(3), &out).expect("an empty folder is replaced");

    fs::write(out.join("000003.png"), b"mine").unwrap();
    assert!(refused().contains("already exists and holds 000003.png, which `sample` did not make"));
    fs::remove_file(out.join("000003.png")).unwrap();
    fs::write(out.join("notes.txt"), b"mine").unwrap();
    assert!(refused().contains("holds notes.txt, which `sample` did not make"));
    fs::remove_file(out.join(".gantools.json")).unwrap();
    assert!(refused().contains("already exists and was not made by `sample`"));

    let forced = |out: &Path| write_folder(&sampler(&generator, 64), &some(2), out, None, true);
    forced(&out).unwrap();
    assert_eq!(files(&out).len(), 3);
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, b"a file").unwrap();
    let line = forced(&out).unwrap_err().to_string();
    assert!(line.contains("is a file"), "{line}");
    let here = std::env::current_dir().unwrap();
    let line = forced(&here).unwrap_err().to_string();
    assert!(line.contains("is the current folder"), "{line}");
}

#[test]
fn a_stop_or_an_error_leaves_what_was_there() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    run(&generator, &some(3), &out).unwrap();
    let before = files(&out);
    let stop = AtomicBool::new(true);
    let stopped =
        write_folder(&Sampler::new(&generator, &CPU, 64, &stop, &Silent), &some(9), &out, None, false);
    assert!(matches!(stopped, Err(Error::Stopped)));
    let refused = |grid: &Path| {
        let grid = Some(grid);
        write_folder(&sampler(&generator, 64), &some(9), &out, grid, false).unwrap_err().to_string()
    };
    let line = refused(&folder.path().join("none/grid.png"));
    assert!(line.contains("none: no such folder"), "{line}");
    let inside = out.join("grid.png");
    let wanted = format!("{} is inside {}, a folder of images only", inside.display(), out.display());
    assert_eq!(refused(&inside), format!("grid: {wanted}"));
    let line = check_outside("save_latents", &inside, &out).unwrap_err().to_string();
    assert_eq!(line, format!("save_latents: {wanted}"));
    assert_eq!(files(&out), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_link_to_a_folder_stays_a_link() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    run(&generator, &some(3), &real).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    run(&generator, &some(2), &link).unwrap();
    assert!(link.is_symlink());
    assert_eq!(files(&real).len(), 3);
}

#[test]
fn renames_exchange_folders_where_nothing_better_can() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    for path in [&a, &b] {
        fs::create_dir(path).unwrap();
        fs::write(path.join(path.file_name().unwrap()), b"").unwrap();
    }
    output_dir::exchange_by_renames(&a, &b).unwrap();
    assert!(a.join("b").exists() && b.join("a").exists());
    fs::remove_dir_all(&a).unwrap();
    assert!(output_dir::exchange_by_renames(&a, &b).is_err());
    assert!(b.join("a").exists(), "undone");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

/// The bytes of an image file as RGB.
fn pixels(png: &[u8]) -> Vec<u8> {
    image::decode(png).unwrap().rgb
}

#[test]
fn latents_come_back_from_their_file_and_make_the_same_images() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let (out, saved) = (folder.path().join("fakes"), folder.path().join("z.safetensors"));
    run(&generator, &some(70), &out).unwrap();
    some(70).write(&saved).unwrap();
    let (images, bytes) = (files(&out), fs::read(&saved).unwrap());
    let back = Latents::read(&saved, 7).unwrap();
    assert_eq!(back.count(), 70);
    // Written again: the same rows of another provenance.
    let again = folder.path().join("again.safetensors");
    write_folder(&sampler(&generator, 1), &back, &out, None, false).unwrap();
    back.write(&again).unwrap();
    for (name, png) in files(&out).iter().filter(|(name, _)| name.ends_with("png")) {
        assert_eq!(pixels(png), pixels(&images[name]), "{name}");
    }
    let data = |bytes: &[u8]| bytes[bytes.len() - 70 * 7 * 4..].to_vec();
    assert_eq!(data(&fs::read(&again).unwrap()), data(&bytes));
    some(70).write(&saved).unwrap();
    assert_eq!(fs::read(&saved).unwrap(), bytes, "the same bytes every time");
    assert_eq!(back.clone().first(3).unwrap().count(), 3);
    assert_eq!(back.first(71).unwrap_err().to_string(), "count: 71: there are 70 latents");
}

#[test]
fn files_that_hold_no_latents_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("z.safetensors");
    let line = |tensors: &[(&str, Tensor)]| {
        let tensors: Vec<_> = tensors.iter().map(|(name, t)| (name.to_string(), t.clone())).collect();
        crate::io::safetensors::write(&path, "{}", &tensors).unwrap();
        let line = Latents::read(&path, 7).unwrap_err().to_string();
        line.strip_prefix(&format!("{}: ", path.display())).expect("the path first").to_string()
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &CPU).unwrap();
    let number = |v: f32| Tensor::full(v, (2, 7), &CPU).unwrap();
    let whole = Tensor::zeros((2, 7), candle_core::DType::I64, &CPU).unwrap();
    for (tensors, expected) in [
        (vec![("latents", zeros(&[2, 8]))], "`latents` has shape [2, 8]; the generator takes latents [N, 7]"),
        (vec![("z", zeros(&[2, 7, 2]))], "`z` has shape [2, 7, 2]; the generator takes latents [N, 7]"),
        (vec![("z", zeros(&[7]))], "`z` has shape [7]; the generator takes latents [N, 7]"),
        (vec![("z", zeros(&[0, 7]))], "`z` has shape [0, 7]; the generator takes latents [N, 7]"),
        (vec![("a", number(0.0)), ("b", number(0.0))], "has 2 tensors and none is `latents`"),
        (vec![], "has 0 tensors and none is `latents`"),
        (vec![("latents", number(f32::NAN))], "`latents` holds a NaN or an infinity"),
        (vec![("z", number(f32::INFINITY))], "`z` holds a NaN or an infinity"),
        (vec![("z", whole)], "`z` holds integers (I64), not floats"),
    ] {
        let line = line(&tensors);
        assert!(line.starts_with(expected), "{line}");
    }
    // What PyTorch's DCGAN takes; the tensor of that name where there are others.
    let tensors = [("latents".to_string(), zeros(&[2, 7, 1, 1])), ("more".to_string(), number(f32::NAN))];
    crate::io::safetensors::write(&path, "{}", &tensors).unwrap();
    assert_eq!(Latents::read(&path, 7).unwrap().count(), 2);
}

#[test]
fn latents_replace_latents_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("z.safetensors");
    let check = |force| Latents::check_output(&path, force).map_err(|e| e.to_string());
    check(false).unwrap();
    some(4).write(&path).unwrap();
    check(false).unwrap();
    fs::write(&path, b"mine").unwrap();
    assert!(check(false).unwrap_err().contains("already exists and is not a file of latents"));
    check(true).unwrap();
    let generator =
        [("main.0.weight".to_string(), Tensor::zeros((2, 3), candle_core::DType::F32, &CPU).unwrap())];
    crate::io::safetensors::write(&path, "{}", &generator).unwrap();
    assert!(check(false).is_err());
}

#[test]
fn an_image_file_replaces_images_of_sample_alone() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let write = |name: &str, force| {
        let out = folder.path().join(name);
        let format = OutputFormat::of(&out).unwrap();
        let written = write_sheet(&sampler(&generator, 64), &some(2), &out, format, &[0, 1], force);
        written.map_err(|e| e.to_string())
    };
    for name in ["a.png", "a.gif", "a.apng"] {
        write(name, false).unwrap();
        write(name, false).unwrap();
        fs::write(folder.path().join(name), b"mine").unwrap();
        let line = write(name, false).unwrap_err();
        assert!(line.ends_with(&format!("{name}: already exists and was not made by `sample`")), "{line}");
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"mine");
        write(name, true).unwrap();
    }
    let grid = folder.path().join("photo.png");
    fs::write(&grid, image::encode_png(1, 1, 1, &[0], &[])).unwrap();
    let out = folder.path().join("fakes");
    let line =
        write_folder(&sampler(&generator, 64), &some(2), &out, Some(&grid), false).unwrap_err().to_string();
    assert!(line.ends_with("photo.png: already exists and was not made by `sample`"), "{line}");
}

#[test]
fn an_interpolation_begins_and_ends_with_the_images_themselves() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let out = folder.path().join("fakes");
    run(&generator, &some(70), &out).unwrap();
    let all = files(&out);
    let interpolation = Interpolation::new(&[69, 3, 10], 101).unwrap().latents(&some(1)).unwrap();
    run(&generator, &interpolation, &out).unwrap();
    let frames = files(&out);
    assert_eq!(frames.len(), 102);
    for (frame, image) in [(0, 69), (50, 3), (100, 10)] {
        let frame = pixels(&frames[&format!("{frame:06}.png")]);
        assert_eq!(frame, pixels(&all[&format!("{image:06}.png")]), "image {image}");
    }
}

#[test]
fn one_file_holds_all_frames() {
    let (folder, generator) = (tempfile::tempdir().unwrap(), generator());
    let interpolation = Interpolation::new(&[1, 2], 5).unwrap();
    let latents = interpolation.latents(&some(1)).unwrap();
    let make = |name: &str| {
        let out = folder.path().join(name);
        let (sampler, format) = (sampler(&generator, 128), OutputFormat::of(&out).unwrap());
        write_sheet(&sampler, &latents, &out, format, &interpolation.order(), false).unwrap();
        fs::read(&out).unwrap()
    };
    let row = image::decode(&make("row.png")).unwrap();
    assert_eq!((row.width, row.height), (5 * 34 + 2, 36));
    use ::image::AnimationDecoder;
    use ::image::codecs::{gif::GifDecoder, png::PngDecoder};
    use std::io::Cursor;
    let gif = GifDecoder::new(Cursor::new(make("interpolation.GIF"))).unwrap().into_frames();
    assert_eq!(gif.collect_frames().unwrap().len(), 8, "there and back");
    let apng =
        PngDecoder::new(Cursor::new(make("interpolation.apng"))).unwrap().apng().unwrap().into_frames();
    let apng = apng.collect_frames().unwrap();
    assert_eq!(apng.len(), 8);
    for (frame, at) in apng.iter().zip(interpolation.order()) {
        let cell = ::image::RgbImage::from_raw(row.width as u32, row.height as u32, row.rgb.clone()).unwrap();
        let cell = ::image::imageops::crop_imm(&cell, at as u32 * 34 + 2, 2, 32, 32).to_image();
        let rgb: Vec<u8> = frame.buffer().chunks_exact(4).flat_map(|p| p[..3].to_vec()).collect();
        assert_eq!(rgb, cell.into_raw(), "frame {at}");
    }
    assert_eq!(OutputFormat::of(Path::new("fakes/")), None);
}
