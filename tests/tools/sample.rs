//! `sample`, the built binary, end to end.

use std::fs;
use std::io::Cursor;

use crate::common::Place;

/// A folder with a generator of 32×32 in it, `G.safetensors`.
fn place() -> Place {
    let place = Place::with_faces();
    let small = "--recipe demo --batch 16 --nz 6 --ngf 4 --ndf 3 --steps 3 -q";
    assert_eq!(
        place.run(&format!("train faces-32.safetensors {small}")).line(),
        "runs/faces-32/G.safetensors"
    );
    place
}

/// A PNG's `gantools` text.
fn text(png: &[u8]) -> serde_json::Value {
    let at = png.windows(13).position(|w| w == b"tEXtgantools\0").expect("a text chunk");
    let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
    serde_json::from_slice(&png[at + 13..at + 4 + length]).expect("JSON")
}

#[test]
fn pictures_depend_on_the_seed_and_their_index_alone() {
    let place = place();
    let done = place.run("sample G.safetensors -n 70");
    assert_eq!(done.line(), "fakes/");
    let names = place.names("fakes");
    assert_eq!(names.len(), 71);
    assert_eq!((&*names[0], &*names[1], &*names[70]), (".gantools.json", "000000.png", "000069.png"));
    for (flags, count) in [
        ("-n 70 --batch 1 --threads 1", 70),
        ("-n 70 --batch 50 --threads 2", 70),
        ("-n 5 --threads 2", 5),
        ("-n 33 --batch 7", 33),
    ] {
        assert_eq!(place.run(&format!("sample G.safetensors {flags} -o other -q")).line(), "other");
        assert_eq!(place.names("other").len(), count + 1, "of this run alone");
        for name in place.names("other").iter().filter(|n| n.ends_with(".png")) {
            assert!(
                place.read(format!("other/{name}")) == place.read(format!("fakes/{name}")),
                "{name}: {flags}"
            );
        }
    }
    place.run("sample G.safetensors -n 2 --seed 1 -o other -q").line();
    assert!(place.read("other/000000.png") != place.read("fakes/000000.png"));
    assert!(place.read("fakes/000000.png") != place.read("fakes/000001.png"));
    assert_eq!(place.names("."), ["G.safetensors", "faces-32.safetensors", "fakes", "other", "runs"]);
}

#[test]
fn a_picture_says_where_it_is_from() {
    let place = place();
    let json = place.run("sample G.safetensors -n 3 --seed 8 --json -q").json();
    assert_eq!((&json["path"], &json["count"], &json["seed"]), (&"fakes/".into(), &3.into(), &8.into()));
    let png = place.read("fakes/000002.png");
    let about = text(&png);
    assert_eq!((&about["seed"], &about["index"]), (&8.into(), &2.into()));
    assert_eq!(about["generator"], json["generator"]);
    assert_eq!(about["generator"].as_str().unwrap().len(), 64);
    let picture = image::ImageReader::new(Cursor::new(png)).with_guessed_format().unwrap().decode().unwrap();
    assert_eq!((picture.width(), picture.height(), picture.color()), (32, 32, image::ColorType::Rgb8));
}

#[test]
fn a_grid_is_the_first_64() {
    let place = place();
    place.run("sample G.safetensors -n 100 --batch 32 --grid grid.png -q").line();
    let grid = image::open(place.path("grid.png")).unwrap().to_rgb8();
    assert_eq!(grid.dimensions(), (8 * 34 + 2, 8 * 34 + 2));
    let last = image::open(place.path("fakes/000063.png")).unwrap().to_rgb8();
    let corner = image::imageops::crop_imm(&grid, 7 * 34 + 2, 7 * 34 + 2, 32, 32).to_image();
    assert_eq!(corner, last);
    let done = place.run("sample G.safetensors --grid fakes/grid.png -q");
    assert!(done.failure(1).starts_with("fakes/grid.png: --grid may not be inside fakes/"));
}

#[test]
fn a_folder_is_replaced_only_if_sample_made_all_of_it() {
    let place = place();
    place.run("sample G.safetensors -n 4 -q").line();
    place.run("sample G.safetensors -n 2 -q").line();
    assert_eq!(place.names("fakes"), [".gantools.json", "000000.png", "000001.png"]);
    place.write("fakes/face.png", "mine");
    let done = place.run("sample G.safetensors -n 2 -q");
    assert!(
        done.failure(1)
            .starts_with("fakes/: holds face.png, which `sample` did not put there; it is not replaced")
    );
    assert_eq!(place.read("fakes/face.png"), b"mine");
    fs::create_dir(place.path("photos")).unwrap();
    place.write("photos/000000.png", "mine");
    let done = place.run("sample G.safetensors -n 2 -o photos -q");
    assert!(done.failure(1).starts_with("photos: holds what `sample` did not make"));
    assert_eq!(place.read("photos/000000.png"), b"mine");
    place.run("sample G.safetensors -n 2 -o photos -q --force").line();
    assert_eq!(place.names("photos"), [".gantools.json", "000000.png", "000001.png"]);
    assert!(!place.names(".").iter().any(|n| n.starts_with('.')), "no temporary folder is left");
}

#[test]
fn the_generator_comes_through_the_pipe() {
    let place = place();
    assert_eq!(place.run_with("sample -n 2 -q", "runs/faces-32/G.safetensors\n").line(), "fakes/");
    assert_eq!(place.run_with("sample -n 2 -q", "{\"path\":\"G.safetensors\"}\n").line(), "fakes/");
    let chain = place.shell(
        "train faces-32.safetensors --recipe demo --ngf 4 --ndf 4 --steps 1 -q --json | sample -n 3 -q -o a",
    );
    assert_eq!(chain.line(), "a");
    // What came before failed: so does the chain, and the folder is as it was.
    let before = place.read("a/000000.png");
    let chain = place.shell("train none.safetensors -q | sample -n 3 -q -o a");
    assert_eq!(chain.code, Some(1));
    assert!(
        chain.stderr.contains("sample: stdin is empty: what came before in the pipe failed"),
        "{}",
        chain.stderr
    );
    assert_eq!(place.read("a/000000.png"), before);
    let help = place.shell("sample --help | head -1");
    assert_eq!((help.line().is_empty(), &*help.stderr), (false, ""));
    let closed = place.shell("sample G.safetensors -n 1 -q | true; echo \"${PIPESTATUS[0]}\"");
    assert_eq!((closed.line(), &*closed.stderr), ("0", ""));
}

/// Without a generator and with a terminal for stdin, `sample` says what it wants and does not wait.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_not_read() {
    let done = Place::new().run_on_terminal("sample");
    assert!(done.failure(2).starts_with("name a generator: sample G.safetensors"), "{}", done.stderr);
}

/// A `state_dict` of the PyTorch tutorial's generator, saved by PyTorch as safetensors, with the pictures that PyTorch
/// makes: tested in the library. Here: the binary takes it, and says what it is.
#[test]
fn pytorchs_generator_is_understood() {
    let place = Place::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/lib/gan/tests/golden/pytorch_generator.safetensors");
    fs::copy(golden, place.path("theirs.safetensors")).unwrap();
    assert_eq!(place.run("sample theirs.safetensors -n 2 -q").line(), "fakes/");
    assert_eq!(image::image_dimensions(place.path("fakes/000001.png")).unwrap(), (64, 64));
    for line in ["sample --info theirs.safetensors", "sample theirs.safetensors --info"] {
        let info = place.run(line);
        assert_eq!(info.code, Some(0), "{}", info.stderr);
        assert!(info.stdout.contains("DCGAN 64×64×3, nz 6, ngf 4"), "{}", info.stdout);
    }
}

#[test]
fn errors_are_one_line_that_names_the_file_or_flag() {
    let place = place();
    let whole = place.read("G.safetensors");
    place.write("cut.safetensors", &whole[..whole.len() - 7]);
    place.write("foreign.safetensors", "PK\x03\x04 not at all weights");
    place.write("file", "a file");
    for (flags, wanted) in [
        ("none.safetensors", "none.safetensors: No such file"),
        ("cut.safetensors", "cut.safetensors: is cut short"),
        ("foreign.safetensors", "foreign.safetensors: is not a safetensors file"),
        ("runs", "runs: is a folder"),
        ("faces-32.safetensors", "faces-32.safetensors: is a shard of pictures, not weights"),
        ("runs/faces-32/D.safetensors", "D.safetensors: is a discriminator, not a generator"),
        ("runs/faces-32/state.safetensors", "state.safetensors: is a run's state, not a generator"),
        ("G.safetensors -o file", "file: is a file; name a folder"),
        ("G.safetensors -o .", ".: is the folder that you are in"),
        ("G.safetensors -o none/fakes", "none/fakes: No such file"),
        ("G.safetensors --grid none/grid.png", "none/grid.png: No such file"),
        ("", "stdin is empty"),
    ] {
        let done = place.run(&format!("sample {flags} -n 2"));
        assert!(done.failure(1).contains(wanted), "{flags}: {}", done.stderr);
    }
    for usage in ["-n 0", "--batch 0", "--no-such-flag", "a b"] {
        let done = place.run(&format!("sample {usage}"));
        assert_eq!((done.code, &*done.stdout), (Some(2), ""), "{usage}");
    }
    assert!(!place.path("fakes").exists());
    assert!(!place.names(".").iter().any(|n| n.starts_with('.')), "no temporary folder is left");
}
