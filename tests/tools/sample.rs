//! `sample`, the built binary, end to end.

use std::fs;
use std::io::Cursor;

use crate::common::Sandbox;

/// A folder with a generator of 32×32 in it, `G.safetensors`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_faces();
    let small = "--recipe demo --batch 16 --nz 6 --ngf 4 --ndf 3 --steps 3 -q";
    assert_eq!(
        sandbox.run(&format!("train faces-32.safetensors {small}")).line(),
        "runs/faces-32/G.safetensors"
    );
    sandbox
}

/// A PNG's `gantools` text.
fn text(png: &[u8]) -> serde_json::Value {
    let at = png.windows(13).position(|w| w == b"tEXtgantools\0").expect("a text chunk");
    let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
    serde_json::from_slice(&png[at + 13..at + 4 + length]).expect("JSON")
}

#[test]
fn images_depend_on_the_seed_and_their_index_alone() {
    let sandbox = sandbox();
    let done = sandbox.run("sample G.safetensors -n 70");
    assert_eq!(done.line(), "fakes/");
    let names = sandbox.names("fakes");
    assert_eq!(names.len(), 71);
    assert_eq!((&*names[0], &*names[1], &*names[70]), (".gantools.json", "000000.png", "000069.png"));
    for (flags, count) in [
        ("-n 70 --batch-size 1 --threads 1", 70),
        ("-n 70 --batch-size 50 --threads 2", 70),
        ("-n 5 --threads 2", 5),
        // The old spelling.
        ("-n 33 --batch 7", 33),
    ] {
        assert_eq!(sandbox.run(&format!("sample G.safetensors {flags} --out other -q")).line(), "other");
        assert_eq!(sandbox.names("other").len(), count + 1, "of this run alone");
        for name in sandbox.names("other").iter().filter(|n| n.ends_with(".png")) {
            assert!(
                sandbox.read(format!("other/{name}")) == sandbox.read(format!("fakes/{name}")),
                "{name}: {flags}"
            );
        }
    }
    sandbox.run("sample G.safetensors -n 2 --seed 1 -o other -q").line();
    assert!(sandbox.read("other/000000.png") != sandbox.read("fakes/000000.png"));
    assert!(sandbox.read("fakes/000000.png") != sandbox.read("fakes/000001.png"));
    assert_eq!(sandbox.names("."), ["G.safetensors", "faces-32.safetensors", "fakes", "other", "runs"]);
}

#[test]
fn an_image_says_where_it_is_from() {
    let sandbox = sandbox();
    let json = sandbox.run("sample G.safetensors -n 3 --seed 8 --json -q").json();
    assert_eq!((&json["path"], &json["count"], &json["seed"]), (&"fakes/".into(), &3.into(), &8.into()));
    let png = sandbox.read("fakes/000002.png");
    let about = text(&png);
    assert_eq!((&about["seed"], &about["index"]), (&8.into(), &2.into()));
    assert_eq!(about["generator"], json["generator"]);
    assert_eq!(about["generator"].as_str().unwrap().len(), 64);
    let image = image::ImageReader::new(Cursor::new(png)).with_guessed_format().unwrap().decode().unwrap();
    assert_eq!((image.width(), image.height(), image.color()), (32, 32, image::ColorType::Rgb8));
}

#[test]
fn a_grid_is_the_first_64() {
    let sandbox = sandbox();
    sandbox.run("sample G.safetensors -n 100 --batch-size 32 --grid grid.png -q").line();
    let grid = image::open(sandbox.path("grid.png")).unwrap().to_rgb8();
    assert_eq!(grid.dimensions(), (8 * 34 + 2, 8 * 34 + 2));
    let last = image::open(sandbox.path("fakes/000063.png")).unwrap().to_rgb8();
    let corner = image::imageops::crop_imm(&grid, 7 * 34 + 2, 7 * 34 + 2, 32, 32).to_image();
    assert_eq!(corner, last);
    let done = sandbox.run("sample G.safetensors --grid fakes/grid.png -q");
    assert_eq!(done.failure(1), "--grid: fakes/grid.png is inside fakes/, a folder of images only");
}

#[test]
fn a_folder_is_replaced_only_if_sample_made_all_of_it() {
    let sandbox = sandbox();
    sandbox.run("sample G.safetensors -n 4 -q").line();
    sandbox.run("sample G.safetensors -n 2 -q").line();
    assert_eq!(sandbox.names("fakes"), [".gantools.json", "000000.png", "000001.png"]);
    sandbox.write("fakes/face.png", "mine");
    let done = sandbox.run("sample G.safetensors -n 2 -q");
    assert_eq!(
        done.failure(1),
        "fakes/: already exists and holds face.png, which `sample` did not make; choose another output, or \
         --force to replace it"
    );
    assert_eq!(sandbox.read("fakes/face.png"), b"mine");
    fs::create_dir(sandbox.path("photos")).unwrap();
    sandbox.write("photos/000000.png", "mine");
    let done = sandbox.run("sample G.safetensors -n 2 -o photos -q");
    assert!(
        done.failure(1).starts_with("photos: already exists and was not made by `sample`; choose another")
    );
    assert_eq!(sandbox.read("photos/000000.png"), b"mine");
    sandbox.run("sample G.safetensors -n 2 -o photos -q --force").line();
    assert_eq!(sandbox.names("photos"), [".gantools.json", "000000.png", "000001.png"]);
    assert!(!sandbox.names(".").iter().any(|n| n.starts_with('.')), "no temporary folder is left");
}

#[test]
fn the_generator_comes_through_the_pipe() {
    let sandbox = sandbox();
    assert_eq!(sandbox.run_with("sample -n 2 -q", "runs/faces-32/G.safetensors\n").line(), "fakes/");
    assert_eq!(sandbox.run_with("sample -n 2 -q", "{\"path\":\"G.safetensors\"}\n").line(), "fakes/");
    let chain = sandbox.shell(
        "train faces-32.safetensors --recipe demo --ngf 4 --ndf 4 --steps 1 -q --json | sample -n 3 -q -o a",
    );
    assert_eq!(chain.line(), "a");
    // The previous command failed: so does the chain, and the folder is unchanged.
    let before = sandbox.read("a/000000.png");
    let chain = sandbox.shell("train none.safetensors -q | sample -n 3 -q -o a");
    assert_eq!(chain.code, Some(1));
    assert!(
        chain.stderr.contains("sample: stdin is empty: the previous command in the pipe failed"),
        "{}",
        chain.stderr
    );
    assert_eq!(sandbox.read("a/000000.png"), before);
    let help = sandbox.shell("sample --help | head -1");
    assert_eq!((help.line().is_empty(), &*help.stderr), (false, ""));
    let closed = sandbox.shell("sample G.safetensors -n 1 -q | true; echo \"${PIPESTATUS[0]}\"");
    assert_eq!((closed.line(), &*closed.stderr), ("0", ""));
}

/// Without a generator and with a terminal for stdin, `sample` says what it needs and does not wait.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_not_read() {
    let done = Sandbox::new().run_on_terminal("sample");
    assert!(done.failure(2).starts_with("name a generator: sample G.safetensors"), "{}", done.stderr);
}

/// A `state_dict` of the PyTorch tutorial's generator, saved by PyTorch as safetensors, with the images that
/// PyTorch makes: tested in the library. Here: the binary takes it, and says what it is.
#[test]
fn pytorchs_generator_is_understood() {
    let sandbox = Sandbox::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/lib/gan/tests/golden/pytorch_generator.safetensors");
    fs::copy(golden, sandbox.path("theirs.safetensors")).unwrap();
    assert_eq!(sandbox.run("sample theirs.safetensors -n 2 -q").line(), "fakes/");
    assert_eq!(image::image_dimensions(sandbox.path("fakes/000001.png")).unwrap(), (64, 64));
    for line in ["sample --info theirs.safetensors", "sample theirs.safetensors --info"] {
        let info = sandbox.run(line);
        assert_eq!(info.code, Some(0), "{}", info.stderr);
        assert!(info.stdout.contains("DCGAN 64×64×3, nz 6, hidden [32, 16, 8, 4]"), "{}", info.stdout);
    }
}

#[test]
fn errors_are_one_line_that_names_the_file_or_flag() {
    let sandbox = sandbox();
    let whole = sandbox.read("G.safetensors");
    sandbox.write("cut.safetensors", &whole[..whole.len() - 7]);
    sandbox.write("foreign.safetensors", "PK\x03\x04 not at all weights");
    sandbox.write("file", "a file");
    for (flags, wanted) in [
        ("none.safetensors", "none.safetensors: No such file"),
        ("cut.safetensors", "cut.safetensors: is cut short"),
        ("foreign.safetensors", "foreign.safetensors: a damaged zip; fetch it again"),
        ("file", "file: is neither a safetensors file nor what torch.save writes"),
        ("G.safetensors --slope 0.2", "--slope: is for generators of other programs; G.safetensors is none"),
        ("runs", "runs: is a folder"),
        ("faces-32.safetensors", "faces-32.safetensors: is a shard of images, not weights"),
        ("runs/faces-32/D.safetensors", "D.safetensors: is a discriminator, not a generator"),
        ("runs/faces-32/state.safetensors", "state.safetensors: is a run's state, not a generator"),
        ("G.safetensors -o file", "file: is a file: name a folder"),
        ("G.safetensors -o .", ".: is the current folder or holds it: name another folder"),
        ("G.safetensors -o none/fakes", "none: no such folder: make it first"),
        ("G.safetensors -o file/fakes", "file/fakes: file is not a folder"),
        ("G.safetensors --grid none/grid.png", "none: no such folder: make it first"),
        ("nothing.safetensors --save-latents none/z", "none: no such folder: make it first"),
        ("", "stdin is empty"),
    ] {
        let done = sandbox.run(&format!("sample {flags} -n 2"));
        assert!(done.failure(1).contains(wanted), "{flags}: {}", done.stderr);
    }
    for (usage, wanted) in [
        ("-n 0", "--count 0: not a whole number from 1 to 1000000"),
        ("-n -1", "--count -1: not a whole number from 1 to 1000000"),
        ("--batch-size 0", "--batch-size 0: not a whole number from 1 to 65536"),
        ("--seed -1", "--seed -1: not a whole number from 0 to 18446744073709551615"),
        ("--seed 1e3", "--seed 1e3: not a whole number from 0 to 18446744073709551615"),
        ("--slope -1", "--slope -1: -1 is not in 0 to 1"),
        ("--eps -1", "--eps -1: -1 is not in 0 to 1000"),
        ("--padding 0,-1", "--padding -1: not a whole number from 0 to 256"),
        ("--last relu", "possible values: tanh, sigmoid, none"),
        ("--no-such-flag", "unexpected argument"),
        ("a b", "unexpected argument"),
        (
            "G.safetensors -n 2 -o x.png",
            "-o x.png: is a file: name a folder (--interpolate, --expr, --nearest and --grid make files)",
        ),
        ("G.safetensors -o x.MP4", "-o x.MP4: .mp4 is not supported: name a folder\n"),
        (
            "G.safetensors --interpolate 1,2 -o walk.mp4",
            "-o walk.mp4: .mp4 is not supported: name a folder, or a .png, .gif or .apng\n",
        ),
        (
            "G.safetensors --interpolate 1,2 -o x.webp",
            ".webp is not supported: name a folder, or a .png, .gif or .apng",
        ),
        (
            "G.safetensors --interpolate 1,2 -o x.jpg",
            ".jpg is not supported: name a folder, or a .png, .gif or .apng",
        ),
    ] {
        let done = sandbox.run(&format!("sample {usage}"));
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{usage}: {}", done.stderr);
        assert!(done.stderr.contains(wanted), "{usage}: {}", done.stderr);
    }
    // Other extensions are of folders.
    assert_eq!(sandbox.run("sample G.safetensors -n 1 -o run.v2 -q").line(), "run.v2");
    fs::remove_dir_all(sandbox.path("run.v2")).unwrap();
    assert!(!sandbox.path("fakes").exists());
    assert!(!sandbox.names(".").iter().any(|n| n.starts_with('.')), "no temporary folder is left");
}

fn rgb(sandbox: &Sandbox, name: &str) -> image::RgbImage {
    image::open(sandbox.path(name)).unwrap_or_else(|e| panic!("{name}: {e}")).to_rgb8()
}

/// Cell `i` of a row of images of 32×32.
fn cell(row: &image::RgbImage, i: u32) -> image::RgbImage {
    image::imageops::crop_imm(row, i * 34 + 2, 2, 32, 32).to_image()
}

#[test]
fn an_interpolation_goes_from_image_to_image() {
    let sandbox = sandbox();
    sandbox.run("sample G.safetensors --seed 4 -q").line();
    let done = sandbox.run("sample G.safetensors --seed 4 --interpolate 7,63,2 --frames 9 -o walk --json -q");
    let json = done.json();
    assert_eq!((&json["path"], &json["count"], &json["seed"]), (&"walk".into(), &9.into(), &4.into()));
    assert_eq!(sandbox.names("walk").len(), 10);
    for (frame, image) in [(0, 7), (4, 63), (8, 2)] {
        let (frame, image) = (format!("walk/{frame:06}.png"), format!("fakes/{image:06}.png"));
        assert_eq!(rgb(&sandbox, &frame), rgb(&sandbox, &image), "{frame}");
    }
    let about = text(&sandbox.read("walk/000003.png"));
    assert_eq!(about["interpolate"], serde_json::json!([7, 63, 2]));
    assert_eq!((&about["index"], &about["frames"]), (&3.into(), &9.into()));

    let row = "sample G.safetensors --seed 4 --interpolate 7,63,2 --frames 9 -o row.png -q";
    assert_eq!(sandbox.run(row).line(), "row.png");
    let row = rgb(&sandbox, "row.png");
    assert_eq!(row.dimensions(), (9 * 34 + 2, 36));
    (0..9).for_each(|i| assert_eq!(cell(&row, i), rgb(&sandbox, &format!("walk/{i:06}.png"))));
    // 16 frames by default; forward and back, or round.
    for (flags, out, frames) in [
        ("--interpolate 1,2", "walk.gif", 30),
        ("--interpolate 1,2,1 --frames 5", "round.gif", 4),
        ("--interpolate 1,2", "walk.apng", 30),
    ] {
        assert_eq!(sandbox.run(&format!("sample G.safetensors {flags} -o {out} -q")).line(), out);
        let file = sandbox.read(out);
        let found = match out.ends_with("gif") {
            true => file.windows(3).filter(|w| w == b"\x21\xf9\x04").count(),
            false => file.windows(4).filter(|w| w == b"fcTL").count(),
        };
        assert_eq!(found, frames, "{out}");
        let again = sandbox.run(&format!("sample G.safetensors {flags} -o again.{out} -q --threads 1"));
        assert!(sandbox.read(again.line()) == file, "{out}: the same bytes");
    }
    // An interpolation is a folder like any other; a grid shows its first 64.
    sandbox.run("sample G.safetensors --interpolate 1,2 --grid grid.png -q").line();
    assert_eq!(
        (sandbox.names("fakes").len(), rgb(&sandbox, "grid.png").dimensions()),
        (17, (8 * 34 + 2, 2 * 34 + 2))
    );
}

#[test]
fn a_sum_of_images_is_shown_beside_its_terms() {
    let sandbox = sandbox();
    sandbox.run("sample G.safetensors -n 10 -q").line();
    let flags = ["--expr", "mean(3, 7) - 9 + 0.5*2", "--json", "-q", "--save-latents", "z.safetensors"];
    let mut command = sandbox.command("sample G.safetensors");
    let json = crate::common::Done::from(command.args(flags).output().unwrap()).json();
    assert_eq!((&json["path"], &json["count"]), (&"expr.png".into(), &4.into()));
    assert_eq!(json["expr"], "mean(3, 7) - 9 + 0.5*2");
    let about = text(&sandbox.read("expr.png"));
    assert_eq!((&about["expr"], &about["generator"]), (&json["expr"], &json["generator"]));
    let row = rgb(&sandbox, "expr.png");
    assert_eq!(row.dimensions(), (4 * 34 + 2, 36));
    assert_eq!(cell(&row, 1), rgb(&sandbox, "fakes/000009.png"));
    assert_eq!(cell(&row, 2), rgb(&sandbox, "fakes/000002.png"));
    // The result is the image of its latent; -1 is an expression, too.
    sandbox.run("sample G.safetensors --latents z.safetensors -o sum -q").line();
    assert_eq!(cell(&row, 3), rgb(&sandbox, "sum/000003.png"));
    sandbox.run("sample G.safetensors --expr -1*-1.0 -o one.png -q").line();
    assert_eq!(cell(&rgb(&sandbox, "one.png"), 1), rgb(&sandbox, "fakes/000001.png"));
}

#[test]
fn saved_latents_make_the_same_images() {
    let sandbox = sandbox();
    sandbox.run("sample G.safetensors -n 70 --seed 9 --save-latents z.safetensors -q").line();
    let json = sandbox.run("sample G.safetensors --latents z.safetensors -o again --json -q").json();
    assert_eq!((&json["count"], &json["seed"]), (&70.into(), &serde_json::Value::Null));
    assert_eq!(json["latents"].as_str().unwrap().len(), 64, "the file's hash");
    for i in 0..70 {
        let name = format!("{i:06}.png");
        assert_eq!(
            rgb(&sandbox, &format!("again/{name}")),
            rgb(&sandbox, &format!("fakes/{name}")),
            "{name}"
        );
    }
    assert_eq!(text(&sandbox.read("again/000000.png"))["latents"], json["latents"]);
    let bytes = sandbox.read("z.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let latents = tensors.tensor("latents").unwrap();
    assert_eq!((latents.dtype(), latents.shape()), (safetensors::Dtype::F32, &[70, 6][..]));
    // A part of them; an interpolation between them; the same file again.
    sandbox.run("sample G.safetensors --latents z.safetensors -n 3 -o some -q").line();
    assert_eq!(sandbox.names("some").len(), 4);
    sandbox.run("sample G.safetensors --latents z.safetensors --interpolate 69,0 -o walk.png -q").line();
    assert_eq!(cell(&rgb(&sandbox, "walk.png"), 0), rgb(&sandbox, "fakes/000069.png"));
    sandbox.run("sample G.safetensors -n 70 --seed 9 --save-latents z.safetensors --threads 1 -q").line();
    assert!(sandbox.read("z.safetensors") == bytes, "the same bytes");
}

#[test]
fn images_are_shown_beside_their_nearest() {
    let sandbox = sandbox();
    sandbox.run("sample G.safetensors -n 10 -q").line();
    let done = sandbox.run("sample G.safetensors --nearest faces-32.safetensors -n 10 --json");
    let json = done.json();
    assert_eq!((&json["path"], &json["count"]), (&"nearest.png".into(), &10.into()));
    assert_eq!(done.stderr.lines().count(), 11, "a table: {}", done.stderr);
    let grid = rgb(&sandbox, "nearest.png");
    assert_eq!(grid.dimensions(), (8 * 66 + 2, 2 * 34 + 2));
    let shard = sandbox.read("faces-32.safetensors");
    let shard = safetensors::SafeTensors::deserialize(&shard).unwrap();
    let faces: Vec<&[u8]> = shard.tensor("images").unwrap().data().chunks_exact(32 * 32 * 3).collect();
    let rms = |a: &[u8], b: &[u8]| {
        let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        (sum / a.len() as f64).sqrt()
    };
    for (i, pair) in json["pairs"].as_array().unwrap().iter().enumerate() {
        let (x, y) = (i as u32 % 8 * 66 + 2, i as u32 / 8 * 34 + 2);
        let half = |x| image::imageops::crop_imm(&grid, x, y, 32, 32).to_image();
        let (left, right) = (half(x), half(x + 32));
        assert_eq!(left, rgb(&sandbox, &format!("fakes/{i:06}.png")));
        let nearest = pair["nearest"].as_u64().unwrap() as usize;
        assert_eq!(right.as_raw(), faces[nearest]);
        let best = faces.iter().map(|face| rms(&left, face)).fold(f64::INFINITY, f64::min);
        assert!((pair["rms"].as_f64().unwrap() - best).abs() < 1e-9, "{pair}, but {best}");
        assert_eq!(text(&sandbox.read("nearest.png"))["nearest"][i], pair["nearest"]);
    }
    let other = "sample G.safetensors --nearest faces-32.safetensors -n 10 --threads 1 -q -o other.png";
    let other = sandbox.run(other);
    assert_eq!((other.line(), &*other.stderr), ("other.png", ""));
    assert!(sandbox.read("other.png") == sandbox.read("nearest.png"));
}

#[test]
fn modes_that_do_not_go_together_are_refused() {
    let sandbox = sandbox();
    sandbox.run("prep --demo 9 --size 64 -o faces-64.safetensors -q").line();
    sandbox.run("prep --demo 9 --size 32 --gray -o gray.safetensors -q").line();
    let whole = sandbox.read("faces-32.safetensors");
    sandbox.write("cut.safetensors", &whole[..whole.len() - 7]);
    sandbox.write("foreign", "PK\x03\x04 not at all latents");
    sandbox.write("note.png", "mine");
    sandbox.run("sample G.safetensors -n 3 --save-latents z.safetensors -q").line();
    let nan = f32::NAN.to_le_bytes();
    let mut latents = sandbox.read("z.safetensors");
    let at = latents.len() - 4;
    latents[at..].copy_from_slice(&nan);
    sandbox.write("nan.safetensors", &latents);
    sandbox
        .run("train faces-32.safetensors --recipe demo --nz 5 --ngf 4 --ndf 3 --steps 1 -o five -q")
        .line();
    // G.safetensors is a link to the newest now.
    let generator = "runs/faces-32/G.safetensors";
    let before = sandbox.names(".");
    for (flags, wanted) in [
        ("--interpolate 3", "--interpolate: name two or more images, such as 3,7"),
        ("--interpolate 3,4,5 --frames 2", "--frames: 2 is fewer than the 3 images to interpolate"),
        ("--interpolate 0,3 --latents z.safetensors", "--interpolate: there is no image 3 among 3 latents"),
        ("--expr 3 --latents z.safetensors", "--expr: there is no image 3 among 3 latents"),
        ("-n 4 --latents z.safetensors", "--count: 4: there are 3 latents"),
        ("--latents none", "none: No such file"),
        ("--latents foreign", "foreign: is not a safetensors file"),
        ("--latents cut.safetensors", "cut.safetensors: is cut short"),
        ("--latents faces-32.safetensors", "faces-32.safetensors: `images` has shape [40, 32, 32, 3]"),
        ("--latents G.safetensors", "tensors and none is `latents`: not a file of latents"),
        ("--latents nan.safetensors", "nan.safetensors: `latents` holds a NaN or an infinity"),
        (
            "--save-latents G.safetensors",
            "G.safetensors: already exists and is not a file of latents; choose another output",
        ),
        ("--save-latents fakes/z", "--save-latents: fakes/z is inside fakes/, a folder of images only"),
        ("--save-latents none/z -o x.png --expr 1", "none: no such folder: make it first"),
        ("--nearest none", "none: No such file"),
        ("--nearest cut.safetensors", "cut.safetensors: is cut short"),
        ("--nearest G.safetensors", "G.safetensors: is not a shard: it has no tensor `images`"),
        ("--nearest faces-64.safetensors", "has images of 64×64×3, but the generator makes 32×32×3"),
        ("--nearest gray.safetensors", "has images of 32×32×1, but the generator makes 32×32×3"),
        ("--nearest faces-32.safetensors -n 4097", "--nearest: at most 4096 images, not 4097: set -n"),
        ("--interpolate 1,2 -o none/x.gif", "none: no such folder: make it first"),
        (
            "--interpolate 1,2 -o note.png",
            "note.png: already exists and was not made by `sample`; choose another",
        ),
        ("--grid note.png", "note.png: already exists and was not made by `sample`; choose another output"),
    ] {
        let done = sandbox.run(&format!("sample {generator} -q {flags}"));
        assert!(done.failure(1).contains(wanted), "{flags}: {}", done.stderr);
    }
    let done = sandbox.run("sample five/G.safetensors --latents z.safetensors -q");
    assert_eq!(
        done.failure(1),
        "z.safetensors: `latents` has shape [3, 6]; the generator takes latents [N, 5]"
    );
    let done = sandbox.run("sample z.safetensors -q");
    assert!(done.failure(1).starts_with("z.safetensors: holds latents, not weights"), "{}", done.stderr);
    for (flags, wanted) in [
        ("--expr 1 -o fakes", "-o fakes: --expr and --nearest make one image: name a .png"),
        ("--nearest faces-32.safetensors -o x.gif", "-o x.gif: --expr and --nearest make one image"),
        ("--interpolate 1,2 -o x.gif --grid g.png", "-o x.gif: is one file, and --grid needs a folder"),
        ("--interpolate 1,2 --expr 1", "cannot be used with"),
        ("--interpolate 1,2 --nearest faces-32.safetensors", "cannot be used with"),
        ("--interpolate 1,2 -n 3", "cannot be used with"),
        ("--interpolate 1,x", "--interpolate x: not a whole number from 0 to 4294967295"),
        ("--frames 3", "--interpolate"),
        ("--expr 1 --nearest faces-32.safetensors", "cannot be used with"),
        ("--expr 1 -n 3", "cannot be used with"),
        ("--expr 1 --grid g.png", "cannot be used with"),
        ("--nearest faces-32.safetensors --grid g.png", "cannot be used with"),
        ("--latents z.safetensors --seed 3", "cannot be used with"),
        ("--expr mean(1,2", "column 9: expected `,` or `)`, found the end"),
        ("--expr 2*3", "column 2: an image needs a factor here"),
    ] {
        let done = sandbox.run(&format!("sample {generator} {flags}"));
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{flags}: {}", done.stderr);
        assert!(done.stderr.contains(wanted), "{flags}: {}", done.stderr);
    }
    assert_eq!(sandbox.names("."), before, "nothing is left behind");
}
