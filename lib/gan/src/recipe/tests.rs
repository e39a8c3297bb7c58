use std::path::Path;

use serde_json::{json, to_value};

use super::parse::{BUILT_IN, TABLES, recipe};
use super::*;
use crate::config::{Key, Range};
use crate::data::augment::Augment;
use crate::nn::adam::AdamConfig;
use crate::nn::model::{Arch, Dcgan, Mlp};
use crate::precision::Precision;
use crate::{Error, Result};

fn parse(text: &str) -> Result<Recipe> {
    recipe(text, Path::new("my.toml"))
}

/// The built-in recipe's TOML with `from` replaced by `to`, and the one-line error that it gives.
fn error_after(from: &str, to: &str) -> String {
    error_in(BUILT_IN[0].1, from, to)
}

fn error_in(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    let line = parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
    assert!(!line.contains('\n') && line.starts_with("my.toml: "), "{line}");
    line
}

#[test]
fn the_built_in_recipes_are_whole() {
    for ((name, text), recipe) in BUILT_IN.iter().zip(built_in()) {
        assert_eq!(parse(text).unwrap(), recipe);
        assert_eq!(*name, recipe.name);
        recipe.model.model((64, 64, 3)).unwrap();
    }
}

#[test]
fn celeba_is_the_tutorial() {
    let r = Recipe::load(DEFAULT).unwrap();
    let [init_std, norm_init_std] = [0.02; 2];
    let model = Arch::Dcgan(Dcgan { nz: 100, ngf: 64, ndf: 64, leaky_slope: 0.2, init_std, norm_init_std });
    assert_eq!(r.model, model);
    assert_eq!(r.optimizer.adam_g(), AdamConfig { lr: 2e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8 });
    assert_eq!(r.optimizer.adam_d(), r.optimizer.adam_g());
    assert_eq!(
        r.schedule,
        Schedule {
            batch_size: 128,
            fresh_noise: false,
            loss: "non-saturating".parse().unwrap(),
            precision: Precision::F32,
            epochs: Some(5),
            steps: None,
        }
    );
    assert_eq!((r.output, r.augment), (Output::default(), None));
    assert_eq!(r.seed, 999);
    // 5,999 images: 46 batches of 128 and one of 111.
    assert_eq!((r.schedule.epoch_steps(5999), r.schedule.total_steps(5999)), (47, 235));
}

#[test]
fn mnist_is_yunjeys_tutorial() {
    let r = Recipe::load("mnist").unwrap();
    let hidden = || vec![256, 256];
    let (hidden_g, hidden_d) = (hidden(), hidden());
    assert_eq!(r.model, Arch::Mlp(Mlp { nz: 64, hidden_g, hidden_d, slope_g: 0.0, slope_d: 0.2 }));
    assert_eq!(r.optimizer.adam_g(), AdamConfig { lr: 2e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8 });
    assert_eq!(r.optimizer.adam_d(), r.optimizer.adam_g());
    assert_eq!(
        r.schedule,
        Schedule {
            batch_size: 100,
            fresh_noise: true,
            loss: "non-saturating".parse().unwrap(),
            precision: Precision::F32,
            epochs: Some(200),
            steps: None,
        }
    );
    assert_eq!(r.schedule.total_steps(60_000), 120_000);
    assert_eq!(r.model.model((28, 28, 1)).unwrap().image_shape(), (28, 28, 1));
}

#[test]
fn cats_are_the_write_ups() {
    let r = Recipe::load("cats").unwrap();
    let (init_std, norm_init_std) = (0.02, 0.0);
    let model = Arch::Dcgan(Dcgan { nz: 30, ngf: 64, ndf: 32, leaky_slope: 0.1, init_std, norm_init_std });
    assert_eq!(r.model, model);
    assert_eq!(r.optimizer, Optimizer { lr_g: 3e-4, lr_d: 2e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8 });
    assert_eq!((r.seed, r.output.sample_every), (84, 55));
    // 527 images: 16 batches of 32 and one of 15, 54 times.
    assert_eq!(
        (r.schedule.batch_size, r.schedule.epoch_steps(527), r.schedule.total_steps(527)),
        (32, 17, 918)
    );
    assert_eq!(
        r.augment.unwrap(),
        Augment {
            flip: 0.0,
            brightness: 0.2,
            contrast: 0.0,
            saturation: 0.2,
            blur: [5, 9],
            blur_sigma: [0.1, 1.2],
        }
    );
}

#[test]
fn fashion_and_mnist_fixed_are_the_write_ups() {
    let r = Recipe::load("fashion").unwrap();
    let two = || vec![256, 256];
    let (hidden_g, hidden_d) = (two(), two());
    assert_eq!(r.model, Arch::Mlp(Mlp { nz: 64, hidden_g, hidden_d, slope_g: 0.2, slope_d: 0.2 }));
    assert_eq!((r.optimizer.lr_g, r.optimizer.lr_d), (1e-4, 1e-4));
    assert_eq!((r.schedule.batch_size, r.schedule.length()), (100, Length::Epochs(200)));

    let r = Recipe::load("mnist-fixed").unwrap();
    let (hidden_g, hidden_d) = (two(), vec![256, 256, 256]);
    assert_eq!(r.model, Arch::Mlp(Mlp { nz: 64, hidden_g, hidden_d, slope_g: 0.0, slope_d: 0.2 }));
    assert_eq!(r.schedule.length(), Length::Epochs(300));
    assert_eq!(r.output.snapshot_epochs, [10, 50, 100, 300]);
    // A shorter run keeps the snapshots within it; a flag that names a later one is an error.
    let shorter = vec![("epochs", json!(60))];
    assert_eq!(r.with(&shorter).unwrap().output.snapshot_epochs, [10, 50]);
    let more = [shorter, vec![("snapshot_epochs", json!([10, 61]))]].concat();
    assert_eq!(r.with(&more).unwrap_err().to_string(), "snapshot_epochs: 61: the run ends after 60 epochs");
}

#[test]
fn changes_and_outputs_out_of_range_are_one_line() {
    let cats = BUILT_IN[1].1;
    for (from, to, wanted) in [
        ("flip = 0.0", "flip = 1.5", "flip: 1.5 is not in 0 to 1"),
        ("blur = [5, 9]", "blur = [5, 8]", "blur: 8 is not an odd number in 1 to 31"),
        ("blur = [5, 9]", "blur = [5]", "blur: invalid length 1, expected an array of length 2"),
        ("[0.1, 1.2]", "[1.2, 0.1]", "blur_sigma: [1.2, 0.1] is not a range"),
        (
            "[0.1, 1.2]",
            "0.1",
            "blur_sigma: invalid type: floating point `0.1`, expected an array of length 2",
        ),
        (
            "saturation = 0.2 ",
            "satruation = 0.2 ",
            "unknown key `satruation` in [augment]; did you mean `saturation`?",
        ),
        ("init_std = 0.02", "init_std = 2", "init_std: 2 is not in 0 to 1"),
        (
            "sample_every = 55",
            "snapshot_epochs = [3, 3]",
            "snapshot_epochs: 3 after 3: name each epoch once, rising",
        ),
        ("sample_every = 55", "snapshot_epochs = [0]", "snapshot_epochs: 0: epochs are counted from 1"),
        ("sample_every = 55", "snapshot_epochs = [55]", "snapshot_epochs: 55: the run ends after 54 epochs"),
        ("epochs = 54", "epochs = 54\nloss = \"minmax\"", "loss: must be one of non-saturating, minimax"),
    ] {
        let line = error_in(cats, from, to);
        assert!(line.contains(wanted), "{line} should have {wanted}");
    }
}

#[test]
fn keys_of_another_architecture_are_refused() {
    let mnist = BUILT_IN[2].1;
    let e = error_in(mnist, "slope_g", "ngf");
    assert_eq!(e, "my.toml: line 14: unknown key `ngf` in [model]: it belongs to arch = \"dcgan\"");
    let e = error_after("leaky_slope", "hidden_d");
    assert!(e.ends_with("unknown key `hidden_d` in [model]: it belongs to arch = \"mlp\""), "{e}");
    for (from, to, wanted) in [
        ("hidden_g = [256, 256]", "hidden_g = 256", "hidden_g: invalid type: integer `256`, expected a list"),
        (
            "hidden_g = [256, 256]",
            "hidden_g = [256, 2.5]",
            "hidden_g: invalid type: floating point `2.5`, expected a whole number",
        ),
        ("hidden_d = [256, 256]", "hidden_d = [256, 0]", "line 13: hidden_d: 0 is not in 1 to 4096"),
        ("slope_d = 0.2", "slope_d = 1", "slope_d: 1 is not at least 0 and below 1"),
        (
            "fresh_noise = true",
            "fresh_noise = 1",
            "fresh_noise: invalid type: integer `1`, expected true or false",
        ),
        (
            "fresh_noise = true",
            "precision = \"f16\"",
            "precision: unknown variant `f16`, expected `f32` or `bf16`",
        ),
        ("arch = \"mlp\"", "", "unknown key `hidden_d` in [model]"),
    ] {
        let line = error_in(mnist, from, to);
        assert!(line.contains(wanted), "{line} should have {wanted}");
    }
    for key in ["ngf", "ndf"] {
        let e = Recipe::load("mnist").unwrap().with(&[(key, json!(3))]).unwrap_err().to_string();
        let names = "nz, hidden_g, hidden_d, slope_g, slope_d";
        assert_eq!(e, format!("{key}: the architecture mlp has no such setting; it has {names}"));
    }
    let changed = Recipe::load("mnist").unwrap().with(&[("nz", json!(3))]).unwrap();
    assert_eq!(changed.model.model((28, 28, 1)).unwrap().latent_size(), 3);
}

#[test]
fn what_is_written_reads_back() {
    for recipe in built_in() {
        let flags = vec![("steps", json!(7)), ("lr_d", json!(1e-5)), ("seed", json!(3))];
        let changed = recipe.with(&flags).unwrap();
        assert_eq!(parse(&recipe.to_toml()).unwrap(), recipe);
        assert_eq!(parse(&changed.to_toml()).unwrap(), changed);
        assert_ne!(changed, recipe);
        let json = serde_json::to_string(&changed).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), changed);
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    assert_eq!(
        error_after("batch_size = 128", "bacth_size = 128"),
        "my.toml: line 27: unknown key `bacth_size` in [schedule]; did you mean `batch_size`?"
    );
    assert!(
        error_after("[optimizer]", "[optimizr]").contains("`optimizr` at the top; did you mean `optimizer`?")
    );
    assert!(error_after("[model]", "nz = 3\n[model]").contains("`nz` at the top: it belongs in [model]"));
    let e = Recipe::load("celba").unwrap_err().to_string();
    assert!(e.contains("did you mean `celeba`?"), "{e}");
}

#[test]
fn missing_keys_wrong_types_and_ranges_are_one_line() {
    for (from, to, wanted) in [
        ("epochs = 5 ", "epochs = 5\nsteps = 5 ", "steps: `epochs` is set, too"),
        ("nz = 100", "nz = \"many\"", "line 12: nz: invalid type: string \"many\", expected a whole number"),
        ("nz = 100", "nz = 1.5", "nz: invalid type: floating point `1.5`, expected a whole number"),
        ("nz = 100", "nz = -1", "nz: -1 is not a whole number"),
        ("nz = 100", "nz = 0", "nz: 0 is not in 1 to 4096"),
        ("lr_g = 2e-4", "lr_g = nan", "lr_g: NaN is not a finite number"),
        ("beta1 = 0.5", "beta1 = 1.0", "beta1: 1 is not at least 0 and below 1"),
        ("\"dcgan\"", "\"dcgna\"", "arch: `dcgna` is not an architecture; there are `dcgan` and `mlp`"),
        ("[model]", "model = 3\n[other]", "`model` is an integer, not a table"),
        ("seed = 999", "seed = ", "line 8: "),
    ] {
        let line = error_after(from, to);
        assert!(line.contains(wanted), "{line} should have {wanted}");
    }
}

#[test]
fn a_flag_out_of_range_is_named() {
    let r = Recipe::load("demo").unwrap();
    let e = r.with(&[("lr_g", json!(2.0))]).unwrap_err();
    assert_eq!(e.to_string(), "lr_g: 2 is not above 0 and at most 1");
    assert!(matches!(e, Error::Argument { name, .. } if name == "lr_g"));
    let e = r.with(&[("epochs", json!(0))]).unwrap_err();
    assert_eq!(e.to_string(), "epochs: 0 is not in 1 to 1000000");
}

#[test]
fn a_recipe_names_only_what_differs_from_the_defaults() {
    let empty = parse("").unwrap();
    assert_eq!(
        empty,
        Recipe { schedule: Schedule { epochs: Some(5), ..Default::default() }, ..Default::default() }
    );
    assert_eq!(parse("[schedule]\nsteps = 7").unwrap().schedule.length(), Length::Steps(7));
    let celeba = Recipe::load("celeba").unwrap();
    let (name, description, seed) = (celeba.name.clone(), celeba.description.clone(), celeba.seed);
    assert_eq!(celeba, Recipe { name, description, seed, ..empty });
    let mlp = parse("[model]\narch = \"mlp\"\nhidden_d = [256, 256, 256]\n[augment]\nflip = 0.5").unwrap();
    assert_eq!(mlp.model, Arch::Mlp(Mlp { hidden_d: vec![256; 3], ..Default::default() }));
    assert_eq!(mlp.augment, Some(Augment { flip: 0.5, ..Default::default() }));
}

/// The recipes that version 0.1 printed before some keys had their present names.
#[test]
fn former_keys_are_read() {
    for recipe in built_in() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/former").join(&recipe.name);
        let text = std::fs::read_to_string(path.with_extension("toml")).unwrap();
        assert!(text.contains("[optimiser]") && text.contains("\nbatch = ") && text.contains("keep_at"));
        let mut former = parse(&text).unwrap();
        former.description = recipe.description.clone();
        assert_eq!(former, recipe);
    }
    assert!(parse("about = \"a\"\ndescription = \"b\"").unwrap_err().to_string().contains("description"));
}

#[test]
fn images_decide_size_and_channels() {
    let part = Recipe::load("demo").unwrap().model;
    assert_eq!(part.model((32, 32, 1)).unwrap().image_shape(), (32, 32, 1));
    assert!(part.model((64, 48, 3)).unwrap_err().to_string().contains("48×64"));
    assert!(part.model((50, 50, 3)).is_err());
}

/// The rows of a table in docs/formats.md; `defaults` has the values.
fn rows(table: &str, keys: &[Key], defaults: serde_json::Value) -> String {
    let row = |key: &Key| {
        let former = key.former.map(|name| format!(" (formerly `{name}`)")).unwrap_or_default();
        let default = match &defaults[key.name] {
            serde_json::Value::Null => String::new(),
            value => format!("`{value}`"),
        };
        let range = if key.range == Range::Any { String::new() } else { key.range.to_string() };
        format!("| `{}`{former} | {default} | {range} |{} |\n", key.name, key.doc)
    };
    format!("| **{table}** | | | |\n{}", keys.iter().map(row).collect::<String>())
}

/// docs/formats.md lists all keys. With GANTOOLS_UPDATE_DOCS=1 this test writes the list.
#[test]
fn the_documented_keys_are_the_keys() {
    let top: Vec<Key> = Recipe::KEYS.iter().filter(|key| !TABLES.contains(&key.name)).copied().collect();
    let expected = [
        "| key | default | range | meaning |\n|---|---|---|---|\n".to_string(),
        rows("at the top", &top, to_value(Recipe::default()).unwrap()),
        rows(
            "[model] with `arch = \"dcgan\"` (the default)",
            Dcgan::KEYS,
            to_value(Dcgan::default()).unwrap(),
        ),
        rows("[model] with `arch = \"mlp\"`", Mlp::KEYS, to_value(Mlp::default()).unwrap()),
        rows("[optimizer]", Optimizer::KEYS, to_value(Optimizer::default()).unwrap()),
        rows("[schedule]", Schedule::KEYS, to_value(Schedule::default()).unwrap()),
        rows("[output]", Output::KEYS, to_value(Output::default()).unwrap()),
        rows("[augment]", Augment::KEYS, to_value(Augment::default()).unwrap()),
    ]
    .concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("documented_keys -->\n").unwrap();
    let (found, tail) = rest.split_once("<!-- end of recipe keys -->").unwrap();
    if std::env::var_os("GANTOOLS_UPDATE_DOCS").is_some() {
        let new = format!("{head}documented_keys -->\n{expected}<!-- end of recipe keys -->{tail}");
        std::fs::write(&path, new).unwrap();
        return;
    }
    assert_eq!(found, expected, "update docs/formats.md: GANTOOLS_UPDATE_DOCS=1");
}
