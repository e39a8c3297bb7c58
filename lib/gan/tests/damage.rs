//! Every file that the tools read, damaged: each byte changed, each length cut. The result is an error that
//! names the file, or that of a sound file; never a panic, a hang, or far more memory than the size of the
//! file.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use candle_core::Device;
use gan::Error;
use gan::checkpoint;
use gan::checkpoint::foreign::LayoutHints;
use gan::data::image::{Filter, Transform, encode_png};
use gan::data::shard::{self, Dtype, Shard};
use gan::data::source::{Recursion, Source};
use gan::io::weights::Tensors;
use gan::metrics::frechet::Gaussian;
use gan::metrics::stats::Stats;
use gan::progress::Silent;
use gan::recipe::Recipe;
use gan::sample::Latents;
use gan::train::{Run, RunDir};
use tempfile::TempDir;

/// The largest allocation while reading: every file here has less than 32 kB, and write buffers have 1 MiB.
const MOST: usize = 4 << 20;
/// The same for images, whose pixels take what their header says before they are read: the most that
/// README.md allows.
const MOST_IMAGE: usize = 512 << 20;

thread_local! {
    /// The largest allocation of this thread.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The allocator of the system, which records the largest request.
struct Noting;

// SAFETY: everything is the system allocator's doing.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

/// Names the case when a panic comes through it.
struct Case<'a>(&'a str, String);

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {}", self.0, self.1);
        }
    }
}

/// Reads a file.
type Reader<'a> = &'a dyn Fn(&Path) -> Result<(), Error>;

/// Reads `bytes` as the file `path`, and checks the result; no allocation may be larger than [`MOST`].
fn try_one(path: &Path, bytes: &[u8], read: Reader, case: String) -> Result<(), String> {
    try_within(MOST, path, bytes, read, case)
}

/// The same with another bound.
fn try_within(most: usize, path: &Path, bytes: &[u8], read: Reader, case: String) -> Result<(), String> {
    // A new file each time: some file systems write one that was emptied to the disk at once.
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    let case = Case(path.file_name().unwrap().to_str().unwrap(), case);
    LARGEST.set(0);
    let result = read(path).map_err(|e| e.to_string());
    let largest = LARGEST.get();
    assert!(largest <= most, "asked for {largest} bytes for a file of {}", bytes.len());
    if let Err(line) = &result {
        assert!(line.contains(&path.display().to_string()) && !line.contains('\n'), "{line}");
    }
    drop(case);
    result
}

/// How byte `at` of a file is changed: in one bit and in all, or (`just chaos`) in each bit.
fn masks(at: usize) -> Vec<u8> {
    let bits = if std::env::var_os("GANTOOLS_CHAOS").is_some() { 0..8 } else { at % 8..at % 8 + 1 };
    bits.map(|bit| 1 << bit).chain([0xFF]).collect()
}

/// Tries `whole`, then with each of its first `header` bytes changed, then cut to every length. Returns the
/// places of the bytes that did not matter.
fn damage(path: &Path, whole: &[u8], header: usize, read: Reader) -> Vec<usize> {
    try_one(path, whole, read, "whole".into()).unwrap();
    let (mut tried, mut passed) = (0, Vec::new());
    for at in 0..header.min(whole.len()) {
        for mask in masks(at) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= mask;
            if try_one(path, &bytes, read, format!("byte {at} ^ {mask:#04x}")).is_ok() {
                passed.push(at);
            }
            tried += 1;
        }
    }
    for length in 0..whole.len() {
        let cut = try_one(path, &whole[..length], read, format!("cut to {length}"));
        assert!(cut.is_err(), "{}: cut to {length} it is read", path.display());
        tried += 1;
    }
    eprintln!("{}: {tried} tries", path.file_name().unwrap().to_string_lossy());
    passed
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A folder with four images of 4×4 in it.
fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4u8 {
        let pixels: Vec<u8> = (0..48).map(|k| k * 5 + i).collect();
        fs::write(folder.path().join(format!("{i}.png")), encode_png(4, 4, 3, &pixels, &[])).unwrap();
    }
    folder
}

fn make_shard(folder: &TempDir, dtype: Dtype) -> PathBuf {
    let path = folder.path().join("small-4.safetensors");
    let fit = Transform { crop: None, size: Some(4), filter: Filter::Bilinear };
    let options =
        shard::ShardOptions { fit, gray: false, dtype, strict: true, ..shard::ShardOptions::default() };
    let source = Source::open(&[folder.path().to_path_buf()], Recursion::Recursive).unwrap();
    shard::make(&path, &source, &options, &Silent, &AtomicBool::new(false)).unwrap();
    path
}

/// A run of two steps of an MLP as small as can be; returns its folder.
fn make_run(folder: &TempDir) -> PathBuf {
    let toml = Recipe::load("mnist").unwrap().to_toml();
    let small = toml.lines().map(|line| match line.split_once(" = ").map(|(key, _)| key.trim()) {
        Some("nz") => "nz = 2\n".to_string(),
        Some(key @ ("hidden_g" | "hidden_d")) => format!("{key} = [3]\n"),
        Some("batch") => "batch = 4\n".into(),
        Some("epochs") => "steps = 2\n".into(),
        _ => format!("{line}\n"),
    });
    let recipe = folder.path().join("small.toml");
    fs::write(&recipe, small.collect::<String>()).unwrap();
    let recipe = Recipe::load(recipe.to_str().unwrap()).unwrap();
    let shard = Shard::open(&make_shard(folder, Dtype::U8)).unwrap();
    let run = RunDir::create(Some(&folder.path().join("run")), shard.path(), false).unwrap();
    let stop = AtomicBool::new(false);
    Run::new(&recipe, &shard, &Device::Cpu).unwrap().train(&run, &stop, &Silent).unwrap();
    run.path().to_path_buf()
}

/// Reads all images of a source.
fn read_source(path: &Path) -> Result<(), Error> {
    let source = Source::open(&[path.to_path_buf()], Recursion::Recursive)?;
    source.fingerprint()?;
    for i in 0..source.len() {
        source.read(i)?.decode().map_err(|what| Error::file(source.name(i), what))?;
    }
    Ok(())
}

#[test]
fn shards() {
    for dtype in [Dtype::U8, Dtype::F32] {
        let folder = images();
        let whole = fs::read(make_shard(&folder, dtype)).unwrap();
        let path = folder.path().join("damaged.safetensors");
        let read = |path: &Path| {
            let shard = Shard::open(path)?;
            let mut all = vec![0.0; shard.len() * 48];
            shard.gather(&(0..shard.len()).collect::<Vec<_>>(), &mut all);
            let _ = shard.header_info();
            Ok(())
        };
        damage(&path, &whole, whole.len(), &read);
        damage(&path, &whole, 0, &|path| checkpoint::info(path, &LayoutHints::default()).map(drop));
    }
}

#[test]
fn checkpoints() {
    let folder = images();
    let run = make_run(&folder);
    let damaged = folder.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    // There is a hash of all its bytes: no change passes.
    let state = fs::read(run.join("state.safetensors")).unwrap();
    let read = |_: &Path| checkpoint::state(&damaged).map(drop);
    let passed = damage(&damaged.join("state.safetensors"), &state, state.len(), &read);
    assert!(passed.is_empty(), "{passed:?}");
    let generator = fs::read(run.join("G.safetensors")).unwrap();
    let read = |path: &Path| checkpoint::generator(path, &LayoutHints::default(), &Device::Cpu).map(drop);
    let passed = damage(&damaged.join("G.safetensors"), &generator, generator.len(), &read);
    // Without our key in its metadata it is another program's, which has no hash.
    let key = generator.windows(8).position(|window| window == b"gantools").unwrap();
    assert!(passed.iter().all(|at| (key..key + 8).contains(at)), "{passed:?}");
    // Its header alone is read.
    let header = generator.iter().rposition(|&byte| byte == b'}').unwrap() + 1;
    damage(&damaged.join("G.safetensors"), &generator, header, &|path| {
        checkpoint::info(path, &LayoutHints::default()).map(drop)
    });
}

/// Weights of other programs have no hash.
#[test]
fn foreign_weights() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(golden("pth/small.safetensors")).unwrap();
    let read = |path: &Path| Tensors::read(path)?.get("layer.weight", &[3, 4]).map(drop);
    damage(&folder.path().join("weights.safetensors"), &whole, whole.len(), &read);
    let read = |path: &Path| match checkpoint::generator(path, &LayoutHints::default(), &Device::Cpu) {
        Err(e) if e.to_string().contains("not a generator that is known") => Ok(()),
        other => other.map(drop),
    };
    damage(&folder.path().join("small.safetensors"), &whole, whole.len(), &read);
    for file in ["small_zip.pth", "small_legacy.pth"] {
        let whole = fs::read(golden("pth").join(file)).unwrap();
        let read = |path: &Path| Tensors::read(path)?.get("layer.weight", &[3, 4]).map(drop);
        damage(&folder.path().join(file), &whole, whole.len(), &read);
    }
}

/// Generators that other programs saved, in each container.
#[test]
fn foreign_generators() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| checkpoint::generator(path, &LayoutHints::default(), &Device::Cpu).map(drop);
    for file in ["legacy.pt", "mlp_leaky.pth", "spectral_parametrized.safetensors"] {
        let whole = fs::read(golden("foreign").join(file)).unwrap();
        damage(&folder.path().join(file), &whole, whole.len(), &read);
    }
    // With objects of Python beside the tensors, and with programs in their place.
    for file in ["lightning.ckpt", "module.pth"] {
        let whole = fs::read(golden("foreign").join(file)).unwrap();
        let path = folder.path().join(file);
        for at in (0..whole.len()).step_by(3) {
            for mask in masks(at) {
                let mut bytes = whole.to_vec();
                bytes[at] ^= mask;
                let _ = try_one(&path, &bytes, &read, format!("byte {at} ^ {mask:#04x}"));
            }
            let _ = try_one(&path, &whole[..at], &read, format!("cut to {at}"));
        }
    }
}

#[test]
fn latents() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("z.safetensors");
    Latents::from_seed(1, 3, 5).write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    damage(&path, &whole, whole.len(), &|path| Latents::read(path, 5).map(drop));
}

#[test]
fn statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.npz");
    let sigma = (0..16).map(|i| if i % 5 == 0 { 2.0 } else { 0.5 }).collect();
    let stats = Stats { gaussian: Gaussian { mu: vec![1.0, 2.0, 3.0, 4.0], sigma }, meta: None };
    stats.write(&path, SystemTime::now()).unwrap();
    let read = |path: &Path| Stats::read(path).map(drop);
    let whole = fs::read(&path).unwrap();
    damage(&path, &whole, whole.len(), &read);
    for name in ["stored.npz", "compressed.npz", "fortran.npz"] {
        let whole = fs::read(golden("npz").join(name)).unwrap();
        if Stats::read(&golden("npz").join(name)).is_ok() {
            damage(&path, &whole, whole.len(), &read);
        }
    }
}

#[test]
fn idx_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut idx = vec![0, 0, 8, 3];
    idx.extend([3u32, 5, 4].iter().flat_map(|n| n.to_be_bytes()));
    idx.extend(0..60);
    damage(&folder.path().join("train-images-idx3-ubyte"), &idx, idx.len(), &read_source);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&idx).unwrap();
    let gzip = gzip.finish().unwrap();
    damage(&folder.path().join("train-images-idx3-ubyte.gz"), &gzip, gzip.len(), &read_source);
}

#[test]
fn zips() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faces.zip");
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        for name in ["a/1.png", "a/2.png"] {
            zip.start_file(name, options).unwrap();
            zip.write_all(&encode_png(4, 4, 3, &[7; 48], &[])).unwrap();
        }
        let whole = zip.finish().unwrap().into_inner();
        damage(&path, &whole, whole.len(), &read_source);
    }
}

/// Compressed data may request memory before they are read: a window of Zstandard, a dictionary of LZMA. The
/// largest that are accepted are those of the strongest settings of zstd and xz.
const MOST_PACKED: usize = 256 << 20;

/// Archives, arrays and batches, of every packing and type. Most have no checksum: a change
/// shows in the images or not at all.
#[test]
fn containers_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let mut kinds = 0;
    for entry in fs::read_dir(golden("containers")).unwrap() {
        let golden = entry.unwrap().path();
        let name = golden.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::read(&golden).unwrap();
        if name == "make.py" || name == "want.json" || read_source(&golden).is_err() {
            continue;
        }
        kinds += 1;
        let path = folder.path().join(&name);
        // Of long ones the beginning and the end, and a few places between them.
        let places = (0..whole.len()).filter(|&at| at < 600 || at + 300 > whole.len() || at % 61 == 0);
        let mut tried = 0;
        for at in places {
            for mask in masks(at) {
                let mut bytes = whole.to_vec();
                bytes[at] ^= mask;
                let case = format!("byte {at} ^ {mask:#04x}");
                let _ = try_within(MOST_PACKED, &path, &bytes, &read_source, case);
                tried += 1;
            }
            let case = format!("cut to {at}");
            let _ = try_within(MOST_PACKED, &path, &whole[..at], &read_source, case);
            tried += 1;
        }
        eprintln!("{name}: {tried} tries");
    }
    assert!(kinds > 40, "{kinds}");
}

#[test]
fn images_of_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds/image");
    let entries =
        |folder: &Path, step| fs::read_dir(folder).unwrap().map(move |entry| (entry.unwrap().path(), step));
    // The fuzzer's are of more kinds; a fifth of their bytes will do.
    let all = entries(&golden("image/decode"), 1).chain(entries(&seeds, 5));
    for (golden, step) in all {
        let whole = fs::read(&golden).unwrap();
        let Ok(_) = gan::data::image::decode(&whole) else { continue };
        let path = folder.path().join(golden.file_name().unwrap());
        let mut tried = 0;
        for at in (0..whole.len()).step_by(step) {
            for mask in masks(at) {
                let mut bytes = whole.to_vec();
                bytes[at] ^= mask;
                let case = format!("byte {at} ^ {mask:#04x}");
                let _ = try_within(MOST_IMAGE, &path, &bytes, &read_source, case);
                tried += 1;
            }
            // Some formats have an end that is not missed.
            let case = format!("cut to {at}");
            let _ = try_within(MOST_IMAGE, &path, &whole[..at], &read_source, case);
            tried += 1;
        }
        eprintln!("{}: {tried} tries", path.file_name().unwrap().to_string_lossy());
    }
}

#[test]
fn recipes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    for name in ["celeba", "cats", "mnist"] {
        let whole = Recipe::load(name).unwrap().to_toml();
        // Without [augment]. Cut between two keys a recipe is valid: missing keys have their defaults.
        let end = whole.find("[augment]").unwrap_or(whole.len());
        let whole = whole[..end].trim_end();
        let read = |path: &Path| Recipe::load(path.to_str().unwrap()).map(drop);
        for at in 0..whole.len() {
            for mask in masks(at) {
                let mut bytes = whole.as_bytes().to_vec();
                bytes[at] ^= mask;
                let _ = try_one(&path, &bytes, &read, format!("{name}: byte {at} ^ {mask:#04x}"));
            }
            let _ = try_one(&path, &whole.as_bytes()[..at], &read, format!("{name}: cut to {at}"));
        }
    }
}

/// What the fuzzer starts from, and what it found (`just fuzz`).
#[test]
fn the_fuzzers_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |path: &Path| Tensors::read(path)?.get("layer.weight", &[3, 4]).map(drop);
    let generator =
        |path: &Path| checkpoint::generator(path, &LayoutHints::default(), &Device::Cpu).map(drop);
    let readers: [(&str, &str, Reader); 9] = [
        ("shard", "x-4.safetensors", &|path| Shard::open(path).map(drop)),
        ("npz", "stats.npz", &|path| Stats::read(path).map(drop)),
        ("idx", "train-images-idx3-ubyte", &read_source),
        ("tar", "faces", &read_source),
        ("array", "faces", &read_source),
        ("parquet", "faces", &read_source),
        ("pth", "weights.pth", &weights),
        ("recipe", "my.toml", &|path| Recipe::load(path.to_str().unwrap()).map(drop)),
        ("checkpoint", "G.safetensors", &generator),
    ];
    for (target, name, read) in readers {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds").join(target);
        let mut tried = 0;
        for seed in fs::read_dir(&seeds).unwrap().map(|entry| entry.unwrap().path()) {
            let case = seed.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = fs::read(&seed).unwrap();
            let _ = try_within(MOST_PACKED, &folder.path().join(name), &bytes, read, case);
            tried += 1;
        }
        assert!(tried > 1, "{target} has no seeds");
    }
}
