//! `fid`, the built binary, end to end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use gan_kernels::{Isa, bf16};

use crate::common::{Done, Sandbox};

#[path = "../../lib/gan/tests/golden/fid/hashed.rs"]
mod hashed;

/// A file or folder of the goldens of other programs.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lib/gan/tests/golden/fid").join(name)
}

/// The hashed Inception weights in a file, the same one in every run.
fn weights() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let folder = env!("CARGO_TARGET_TMPDIR");
        let file = tempfile::NamedTempFile::new_in(folder).unwrap();
        fs::write(&file, hashed::inception_weights(&golden(""))).unwrap();
        let path = format!("{folder}/hashed-inception.safetensors");
        file.persist(&path).unwrap();
        path
    })
}

/// 40 demo faces of 32×32 as a shard, and some images as a folder.
pub fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_faces();
    copy(&golden("a"), &sandbox.path("real"), 0..30);
    sandbox
}

fn copy(from: &Path, to: &Path, range: std::ops::Range<usize>) {
    fs::create_dir(to).unwrap();
    for i in range {
        fs::copy(from.join(format!("{i:04}.png")), to.join(format!("{i:04}.png"))).unwrap();
    }
}

fn value(done: &Done) -> f64 {
    done.line().strip_prefix("FD-SqueezeNet ").expect("the label").parse().expect("a number")
}

#[test]
fn the_number_is_pytorch_fids() {
    let sandbox = Sandbox::new();
    let (a, b) = (golden("a"), golden("stats_b_64.npz"));
    // The network of the statistics follows from their number of features.
    let line = format!("fid {} {} --weights {}", b.display(), a.display(), weights());
    let done = sandbox.run(&line);
    assert_eq!(done.line(), "1.019689");
    for row in [
        "stats_b_64.npz",
        "120 images",
        "inception 64",
        "not the published file",
        "of the 64 features are unknown",
    ] {
        assert!(done.stderr.contains(row), "{}", done.stderr);
    }
    let json = sandbox.run(&format!("{line} --json -q --batch-size 7 --threads 1")).json();
    assert!((json["fid"].as_f64().unwrap() / 1.0196893278 - 1.0).abs() < 1e-6, "{json}");
    assert_eq!((json["n"][1].as_u64(), json["dims"].as_u64()), (Some(120), Some(64)));
    assert_eq!((json["features"].as_str(), json["precision"].as_str()), (Some("inception"), Some("f32")));
    assert_eq!((json["weights"].as_str().unwrap().len(), &json["proved"]), (64, &false.into()));
}

#[test]
fn the_weights_are_also_those_of_the_environment() {
    let sandbox = Sandbox::new();
    let line = format!("fid {} {} -q", golden("stats_b_64.npz").display(), golden("a").display());
    let done: Done = sandbox.command(&line).env("FID_WEIGHTS", weights()).output().unwrap().into();
    assert_eq!(done.line(), "1.019689");
    let none = |variable: &str| -> Done {
        let mut command = sandbox.command(&format!("{line} --offline"));
        command.env_remove("FID_WEIGHTS").env_remove("TORCH_HOME").env_remove("XDG_CACHE_HOME");
        command.env("HOME", sandbox.path("")).env(variable, sandbox.path("")).output().unwrap().into()
    };
    let failed = none("HOME");
    let line = failed.failure(1);
    for part in ["no Inception weights", "--offline", "https://", ".cache/gantools/pt_inception", "--weights"]
    {
        assert!(line.contains(part), "{line}");
    }
    assert!(none("FID_WEIGHTS").failure(1).contains("FID_WEIGHTS"));
}

#[test]
fn statistics_are_saved_once_and_give_what_the_images_give() {
    let sandbox = sandbox();
    let save = "fid --save-stats real real.npz --features squeezenet";
    assert_eq!(sandbox.run(save).line(), "real.npz");
    let first = sandbox.read("real.npz");
    let again = sandbox.run(save);
    assert_eq!(again.line(), "real.npz");
    assert!(again.stderr.contains("up to date"), "{}", again.stderr);
    assert_eq!(sandbox.run(&format!("{save} --force --threads 1")).line(), "real.npz");
    assert!(sandbox.read("real.npz") == first, "the same bytes");

    let direct = value(&sandbox.run("fid real faces-32.safetensors --features squeezenet -q"));
    assert!(direct > 1.0);
    assert_eq!(value(&sandbox.run("fid real.npz faces-32.safetensors -q")), direct);
    assert!(value(&sandbox.run("fid real.npz real -q")) < 1e-6);
    assert_eq!(value(&sandbox.run("fid real.npz real.npz -q")), 0.0);
    let json = sandbox.run("fid real.npz faces-32.safetensors -q --json").json();
    assert!((json["fd_squeezenet"].as_f64().unwrap() - direct).abs() < 1e-5 && json["fid"].is_null());
    assert_eq!((json["n"][0].as_u64(), json["n"][1].as_u64()), (Some(30), Some(40)));

    // One image more, and the statistics are of other images.
    fs::copy(golden("a/0030.png"), sandbox.path("real/0030.png")).unwrap();
    assert!(sandbox.run(save).failure(1).contains(
        "real.npz: already exists and is of other images or features; choose another output, or --force"
    ));
    assert_eq!(sandbox.run(&format!("{save} --force -q --json")).json()["n"], 31);
    assert!(sandbox.read("real.npz") != first);
    assert_eq!(sandbox.names("."), ["faces-32.safetensors", "real", "real.npz"]);
}

/// Converted weights are the same as the original ones.
#[test]
fn weights_are_converted_once() {
    let sandbox = sandbox();
    let convert = format!("fid --convert-weights {} inception.safetensors", weights());
    assert_eq!(sandbox.run(&convert).line(), "inception.safetensors");
    let number = |weights: &str| {
        let line = format!("fid real faces-32.safetensors --dims 64 --weights {weights} --json -q");
        let json = sandbox.run(&line).json();
        (json["fid"].as_f64().unwrap(), json["weights"].clone())
    };
    assert_eq!(number(weights()), number("inception.safetensors"));
    assert!(
        sandbox.run(&convert).failure(1).starts_with(
            "inception.safetensors: already exists and would be replaced; choose another output"
        )
    );
    let refused = sandbox.run("fid --convert-weights faces-32.safetensors other.safetensors");
    assert!(refused.failure(1).starts_with("faces-32.safetensors: no tensor"), "{}", refused.stderr);
    assert_eq!(sandbox.run("fid --convert-weights a b.pth").code, Some(2));
    assert!(!sandbox.path("other.safetensors").exists());
}

/// Parts made one by one, as on many machines, give the statistics of the set.
#[test]
fn statistics_in_parts_add_up() {
    let sandbox = sandbox();
    let save = "fid --features squeezenet --save-stats real";
    assert_eq!(sandbox.run(&format!("{save} whole.npz -q")).line(), "whole.npz");
    for part in 1..=3 {
        sandbox.run(&format!("{save} part{part}.npz --part {part}/3 -q")).line();
    }
    let merged = sandbox.run("fid --merge merged.npz part2.npz part1.npz part3.npz -q --json").json();
    assert_eq!((&merged["path"], &merged["n"]), (&"merged.npz".into(), &30.into()));
    assert!(value(&sandbox.run("fid whole.npz merged.npz -q")) < 1e-9);
    let direct = value(&sandbox.run("fid whole.npz faces-32.safetensors -q"));
    assert!((value(&sandbox.run("fid merged.npz faces-32.safetensors -q")) / direct - 1.0).abs() < 1e-9);
    // They are the set's, which are not made again.
    let again = sandbox.run(&format!("{save} merged.npz"));
    assert!(again.stderr.contains("merged.npz is up to date"), "{}", again.stderr);
    for (line, code, wanted) in [
        (
            "fid --merge merged.npz part1.npz part2.npz",
            1,
            "merged.npz: already exists and would be replaced; choose another output, or --force",
        ),
        ("fid --merge two.npz part1.npz part1.npz", 1, "part1.npz: is of the same images as part1.npz"),
        ("fid --merge two.npz part1.npz real", 1, "real"),
        ("fid --merge two.txt part1.npz part2.npz", 2, "two.txt: statistics are .npz"),
        ("fid --merge two.npz part1.npz", 2, "--merge"),
        ("fid --save-stats real x.npz --part 4/3", 2, "name a part as K/N"),
        ("fid --features squeezenet --save-stats real x.npz --part 1/99", 1, "30 images have no part 1/99"),
        ("fid real part1.npz --part 1/3", 2, "--save-stats"),
    ] {
        let done = sandbox.run(line);
        assert_eq!((done.code, &*done.stdout), (Some(code), ""), "{line}\n{}", done.stderr);
        assert!(done.stderr.contains(wanted), "{line}: {}", done.stderr);
    }
    assert!(!sandbox.path("two.npz").exists() && !sandbox.path("x.npz").exists());
}

/// KID and neighbors beside the distance, in one pass and one line.
#[test]
fn more_numbers_come_from_the_same_features() {
    let sandbox = sandbox();
    let line = "fid real faces-32.safetensors --features squeezenet -q --kid-subset-size 30 --metrics";
    let all = sandbox.run(&format!("{line} fid,kid,prdc"));
    let words: Vec<&str> = all.line().split(' ').collect();
    assert_eq!(words[0], "FD-SqueezeNet");
    let plain = "fid real faces-32.safetensors --features squeezenet -q";
    assert_eq!(format!("FD-SqueezeNet {}", words[1]), sandbox.run(plain).line());
    let json = sandbox.run(&format!("{line} prdc,kid --json")).json();
    assert!(json["fd_squeezenet"].is_null() && json["kid"].is_null(), "a KID is of Inception's features");
    let kid = json["kd_squeezenet"]["mean"].as_f64().unwrap();
    assert_eq!(
        format!("KD-SqueezeNet-subset-30 {kid:.6} ± {:.6}", json["kd_squeezenet"]["std"].as_f64().unwrap()),
        words[2..6].join(" ")
    );
    assert_eq!(
        (&json["kd_squeezenet"]["subset"], &json["kd_squeezenet"]["subsets"]),
        (&30.into(), &100.into())
    );
    assert_eq!(json["proved"], true);
    assert_eq!((json["prdc"][0]["k"].as_u64(), json["prdc"][1]["k"].as_u64()), (Some(3), Some(5)));
    // Drawn faces are nowhere near photographs, and images are where they are themselves.
    assert!(kid > 1.0 && json["prdc"][1]["precision"].as_f64().unwrap() < 0.5, "{json}");
    let same = sandbox.run("fid real real --features squeezenet -q --metrics prdc --json").json();
    assert_eq!(same["prdc"][0]["coverage"], 1.0);
    sandbox.run("fid --features squeezenet --save-stats real real.npz -q").line();
    for line in ["real.npz faces-32.safetensors --metrics kid", "real real.npz --metrics prdc"] {
        let refused = sandbox.run(&format!("fid {line}"));
        assert!(refused.failure(1).starts_with("real.npz: statistics without images; "));
    }
    let twice = sandbox.run(&format!("{line} kid,kid"));
    assert_eq!(twice.code, Some(2), "{}", twice.stderr);
}

#[test]
fn threads_change_nothing_and_batches_only_noise() {
    let sandbox = sandbox();
    let line = "fid real faces-32.safetensors --features squeezenet --json";
    let one = sandbox.run(&format!("{line} --threads 1 -q"));
    let two = sandbox.run(&format!("{line} --threads 2"));
    // All but the time that it took.
    let result = |done: &Done| {
        let mut json = done.json();
        assert!(json["seconds"].take().as_f64().unwrap() > 0.0);
        json
    };
    assert_eq!(result(&one), result(&two));
    assert_eq!(one.stderr, "");
    assert!(two.stderr.contains("are few for 512 features"), "{}", two.stderr);
    // Photographs of 64×64 against drawn faces of 32×32.
    assert!(two.stderr.contains("warning: real is 64×64, faces-32.safetensors is 32×32"), "{}", two.stderr);
    assert_eq!(one.json()["sizes"], serde_json::json!([[[64, 64], [64, 64]], [[32, 32], [32, 32]]]));
    let (one, odd) = (one.json(), sandbox.run(&format!("{line} --batch-size 3")).json());
    let (one, odd) = (one["fd_squeezenet"].as_f64().unwrap(), odd["fd_squeezenet"].as_f64().unwrap());
    assert!((one / odd - 1.0).abs() < 1e-5, "{one} and {odd}");
}

#[test]
fn sixteen_bit_gray_is_reported() {
    let sandbox = sandbox();
    fs::create_dir(sandbox.path("deep")).unwrap();
    let deep = image::ImageBuffer::from_fn(32, 32, |x, y| image::Luma([(x * 2000 + y) as u16]));
    for name in ["a.png", "b.png"] {
        deep.save(sandbox.path("deep").join(name)).unwrap();
    }
    let done = sandbox.run("fid real deep --features squeezenet");
    assert!(done.code == Some(0) && done.stderr.contains("deep: 16-bit gray is clipped to 255 in 2 images"));
    assert!(!sandbox.run("fid real real --features squeezenet").stderr.contains("16-bit"));
}

#[test]
fn a_zip_and_a_shard_are_their_images() {
    let sandbox = sandbox();
    let mut zip = b"".to_vec();
    store(&mut zip, &sandbox, "real");
    sandbox.write("real.zip", zip);
    assert_eq!(value(&sandbox.run("fid real real.zip --features squeezenet -q")), 0.0);
    // The golden images are 64×64 already, so that a shard of them holds the same pixels.
    assert_eq!(sandbox.run("prep real -o real.safetensors -q").line(), "real.safetensors");
    assert_eq!(value(&sandbox.run("fid real real.safetensors --features squeezenet -q")), 0.0);
    assert_eq!(sandbox.run("prep real -o f32.safetensors --dtype f32 -q").line(), "f32.safetensors");
    assert_eq!(value(&sandbox.run("fid real f32.safetensors --features squeezenet -q")), 0.0);
    assert_eq!(sandbox.run("prep real -o gray.safetensors --gray -q").line(), "gray.safetensors");
    assert!(value(&sandbox.run("fid real gray.safetensors --features squeezenet -q")) > 1.0);
}

/// Appends a zip of a folder's files, stored.
fn store(zip: &mut Vec<u8>, sandbox: &Sandbox, folder: &str) {
    let mut directory = Vec::new();
    let names = sandbox.names(folder);
    for name in &names {
        let data = sandbox.read(format!("{folder}/{name}"));
        let size = (data.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32(&data).to_le_bytes());
        common.extend(size.iter().chain(&size));
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((zip.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        zip.extend(b"PK\x03\x04");
        zip.extend(common);
        zip.extend(name.as_bytes());
        zip.extend(data);
    }
    let (start, count) = (zip.len() as u32, (names.len() as u16).to_le_bytes());
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend(count.iter().chain(&count));
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    })
}

#[test]
fn the_second_input_may_come_from_a_pipe() {
    let sandbox = sandbox();
    sandbox.run("fid --save-stats real real.npz --features squeezenet -q").line();
    let want = sandbox.run("fid real.npz faces-32.safetensors -q").line().to_string();
    assert_eq!(sandbox.run_with("fid real.npz -q", "faces-32.safetensors\n").line(), want);
    assert_eq!(sandbox.run_with("fid real.npz -q", "{\"path\":\"faces-32.safetensors\"}\n").line(), want);
    assert_eq!(
        sandbox.shell("prep --demo 40 --size 32 -o faces-32.safetensors -q | fid real.npz -q").line(),
        want
    );
    assert!(sandbox.run("fid real.npz -q").failure(1).contains("stdin is empty"));
    #[cfg(target_os = "linux")]
    assert!(sandbox.run_on_terminal("fid real.npz").failure(2).contains("fid A B"));
}

#[test]
fn a_dry_run_measures_and_makes_nothing() {
    let sandbox = sandbox();
    let done = sandbox.run("fid real faces-32.safetensors --features squeezenet --dry-run");
    assert!(done.line().starts_with("70 images to measure, about "), "{}", done.line());
    let json = sandbox.run("fid --save-stats real r.npz --features squeezenet --dry-run --json").json();
    assert_eq!(json["images"], 30);
    assert!(json["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(sandbox.names("."), ["faces-32.safetensors", "real"]);
}

#[test]
fn inputs_that_do_not_match_are_one_line() {
    let sandbox = sandbox();
    sandbox.run("fid --save-stats real s.npz --features squeezenet -q").line();
    fs::copy(golden("stats_b_64.npz"), sandbox.path("i.npz")).unwrap();
    let fails = |line: &str, what: &str| {
        let done = sandbox.run(line);
        assert!(done.failure(1).contains(what), "{line}: {}", done.stderr);
    };
    fails(
        "fid s.npz i.npz",
        "i.npz: has 64 features of an unknown network, but s.npz has 512 squeezenet features",
    );
    fails(
        "fid s.npz real --features inception",
        "--features: inception, but s.npz has 512 squeezenet features",
    );
    fails("fid i.npz real --dims 2048", "--dims: 2048, but i.npz has 64 features of an unknown network");
    fails("fid real real --features squeezenet --dims 64", "--dims: 64, but squeezenet has 512 features");
    fails("fid real real --dims 512", "--dims: 512, but inception has 64, 192, 768, 2048 features");
    fails("fid real real --dims 100", "--dims: 100, but inception has 64, 192, 768, 2048 features");
    fails(
        "fid real real --features squeezenet --weights w.pth",
        "--weights w.pth: SqueezeNet's weights are built in",
    );
    fails("fid real real --weights w.pth", "w.pth: no such file of weights");
    fails(
        "fid i.npz real --weights s.npz",
        "s.npz: a zip of numpy arrays (.npz), not what torch.save writes",
    );
    fails("fid i.npz real --weights faces-32.safetensors", "no tensor `Conv2d_1a_3x3.conv.weight`");
    fails("fid nowhere real", "nowhere: No such file or folder");
    fails("fid --save-stats s.npz t.npz", "s.npz: already statistics; name images");
    fails(
        "fid --save-stats real no/t.npz --features squeezenet",
        "no: no such folder: make it first (mkdir -p no)",
    );
    sandbox.write("empty.npz", "");
    fails("fid empty.npz real", "empty.npz: not an .npz file");
    fs::create_dir(sandbox.path("none")).unwrap();
    fails("fid s.npz none", "none: ");
    sandbox.write("real/broken.png", "\u{89}PNG");
    fails("fid s.npz real", "broken.png: ");
    copy(&golden("a"), &sandbox.path("one"), 0..1);
    fails("fid s.npz one", "one: 1 image; fid needs at least 2 images in each input");
    if cfg!(not(feature = "cuda")) {
        fails("fid s.npz real --device cuda", "--device: cuda: this build has no CUDA");
    }
    assert_eq!(
        sandbox.names("."),
        ["empty.npz", "faces-32.safetensors", "i.npz", "none", "one", "real", "s.npz"]
    );
}

#[test]
fn other_weights_do_not_compare() {
    let sandbox = sandbox();
    let save = format!("fid --save-stats real i.npz --dims 64 -q --weights {}", weights());
    assert_eq!(sandbox.run(&save).line(), "i.npz");
    // The same weights but for one value.
    let mut other = fs::read(weights()).unwrap();
    let header = 8 + u64::from_le_bytes(other[..8].try_into().unwrap()) as usize;
    other[header + 1] ^= 1;
    sandbox.write("other.safetensors", other);
    let done = sandbox.run("fid i.npz real --weights other.safetensors");
    assert!(done.failure(1).contains("i.npz: made with other weights than those loaded"), "{}", done.stderr);
    sandbox.run("fid --save-stats real j.npz --dims 64 -q --weights other.safetensors").line();
    assert!(
        sandbox
            .run("fid i.npz j.npz")
            .failure(1)
            .contains("j.npz: made with other inception weights than i.npz (--force")
    );
    assert_eq!(sandbox.run("fid i.npz j.npz --force -q").code, Some(0));
}

#[test]
fn wrong_usage_is_exit_2() {
    let sandbox = sandbox();
    for line in [
        "fid",
        "fid --save-stats real",
        "fid --save-stats real out",
        "fid real real --dims 0",
        "fid real real --features vgg",
        "fid real real --batch-size 0",
        "fid a b c",
    ] {
        let done = sandbox.run(line);
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{line}: {}", done.stderr);
    }
    assert!(sandbox.run("fid").failure(2).contains("fid A B"));
    let help = sandbox.run("fid --help");
    assert_eq!(help.code, Some(0));
    for flag in [
        "--save-stats",
        "--batch-size",
        "--dims",
        "--device",
        "--features",
        "--weights",
        "--dry-run",
        "--threads",
    ] {
        assert!(help.stdout.contains(flag), "{flag}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let sandbox = sandbox();
    let mut child =
        sandbox.command("fid real real --features squeezenet -q").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn bf16_goes_through_the_chain_and_says_so() {
    // Elsewhere f32 is used, see the test below.
    if Isa::best::<bf16>() == Isa::Plain {
        return;
    }
    let sandbox = Sandbox::with_faces();
    let small = "--recipe demo --batch 16 --nz 6 --ngf 8 --ndf 8 --steps 3 --precision bf16 -q";
    for (out, threads) in [("one", 1), ("two", 2)] {
        sandbox.run(&format!("train faces-32.safetensors {small} --threads {threads} -o {out}")).line();
    }
    assert!(sandbox.read("one/state.safetensors") == sandbox.read("two/state.safetensors"));
    assert!(String::from_utf8(sandbox.read("one/recipe.toml")).unwrap().contains("precision = \"bf16\""));

    let sample = "sample one/G.safetensors -n 40 -q";
    sandbox.run(&format!("{sample} -o full")).line();
    sandbox.run(&format!("{sample} -o half --precision bf16")).line();
    let line = "fid full half --features squeezenet -q";
    let full = sandbox.run(line).line().to_string();
    let half = sandbox.run(&format!("{line} --precision bf16")).line().to_string();
    let number = |line: &str, name: &str| line.strip_prefix(name).unwrap().trim().parse::<f64>().unwrap();
    let (full, half) = (number(&full, "FD-SqueezeNet "), number(&half, "FD-SqueezeNet-bf16 "));
    // The same latents through the same weights: far closer than two sets of images are.
    let apart = sandbox.run("fid full faces-32.safetensors --features squeezenet -q").line().to_string();
    let apart = number(&apart, "FD-SqueezeNet ");
    assert!(full > 0.0 && full < 0.05 * apart && half < 0.05 * apart, "{full} {half} {apart}");

    sandbox.run("fid --save-stats full full.npz --features squeezenet --precision bf16 -q").line();
    let mixed = sandbox.run("fid full.npz half --features squeezenet");
    assert!(mixed.stderr.contains("in bf16"), "{}", mixed.stderr);
    assert!(mixed.line().starts_with("FD-SqueezeNet-bf16 "));
}

#[test]
fn without_instructions_for_bf16_everything_is_f32_and_says_so() {
    let sandbox = Sandbox::with_faces();
    // The best instruction set of many processors; on others the plain one.
    let run = |line: &str| -> Done {
        sandbox.command(line).env("GANTOOLS_ISA", "avx2").output().expect("it starts").into()
    };
    let small = "--recipe demo --batch-size 16 --nz 6 --ngf 8 --ndf 8 --steps 3";
    for precision in ["f32", "bf16"] {
        let warns = |done: &Done| {
            assert_eq!(done.stderr.contains("no bf16 instructions"), precision == "bf16", "{}", done.stderr);
        };
        let flags = format!("--precision {precision}");
        warns(&run(&format!("train faces-32.safetensors {small} {flags} -o {precision}")));
        let sampled = run(&format!("sample f32/G.safetensors -n 8 {flags} -o {precision}-fakes"));
        assert_eq!(sampled.line(), format!("{precision}-fakes"));
        warns(&sampled);
        let score = run(&format!("fid faces-32.safetensors f32-fakes --features squeezenet {flags}"));
        assert!(score.line().starts_with("FD-SqueezeNet "), "{}", score.line());
        warns(&score);
    }
    let same = |a: &str, b: &str| assert!(sandbox.read(a) == sandbox.read(b), "{a} and {b} differ");
    same("f32-fakes/000000.png", "bf16-fakes/000000.png");
}

#[test]
fn an_unknown_instruction_set_is_refused() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("prep --demo 4 --size 32 -o faces.safetensors");
    let done: Done = command.env("GANTOOLS_ISA", "avx3").output().expect("it starts").into();
    assert!(done.failure(1).starts_with("GANTOOLS_ISA: \"avx3\" is none of plain, neon,"), "{}", done.stderr);
}
