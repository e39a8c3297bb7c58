use super::*;

fn parse(text: &str) -> Result<Recipe> {
    parse::recipe(text, Path::new("my.toml"))
}

/// The built-in recipe's TOML with `from` replaced by `to`, and the one-line error that it gives.
fn error_after(from: &str, to: &str) -> String {
    let text = BUILT_IN[0].1;
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
        recipe.model.config(64, 64, 3).unwrap();
    }
}

#[test]
fn celeba_is_the_tutorial() {
    let r = Recipe::load(DEFAULT).unwrap();
    assert_eq!(r.model, ModelPart::Dcgan { nz: 100, ngf: 64, ndf: 64, leaky_slope: 0.2 });
    assert_eq!(r.optimiser.generator(), AdamConfig { lr: 2e-4, beta1: 0.5, beta2: 0.999, eps: 1e-8 });
    assert_eq!(r.optimiser.discriminator(), r.optimiser.generator());
    assert_eq!(r.schedule, Schedule { batch: 128, length: Length::Epochs(5) });
    assert_eq!(r.seed, 999);
    // 5,999 pictures: 46 batches of 128 and one of 111.
    assert_eq!((r.schedule.epoch_steps(5999), r.schedule.steps(5999)), (47, 235));
}

#[test]
fn what_is_written_reads_back() {
    for recipe in built_in() {
        let flags = Overrides {
            length: Some(Length::Steps(7)),
            lr_d: Some(1e-5),
            seed: Some(3),
            ..Default::default()
        };
        let changed = recipe.clone().with(&flags).unwrap();
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
        error_after("batch = 128", "bacth = 128"),
        "my.toml: line 25: unknown key `bacth` in [schedule]; did you mean `batch`?"
    );
    assert!(
        error_after("[optimiser]", "[optimizer]")
            .contains("`optimizer` at the top; did you mean `optimiser`?")
    );
    assert!(error_after("[model]", "nz = 3\n[model]").contains("`nz` at the top: it belongs in [model]"));
    let e = Recipe::load("celba").unwrap_err().to_string();
    assert!(e.contains("did you mean `celeba`?"), "{e}");
}

#[test]
fn missing_keys_wrong_types_and_ranges_are_one_line() {
    for (from, to, wanted) in [
        ("nz = 100 ", "", "`nz` is missing in [model]"),
        ("epochs = 5 ", "", "`epochs` is missing in [schedule]"),
        ("epochs = 5 ", "epochs = 5\nsteps = 5 ", "steps: there is `epochs` too"),
        ("nz = 100", "nz = \"many\"", "line 12: nz: a string where a whole number should be"),
        ("nz = 100", "nz = 1.5", "nz: a float where"),
        ("nz = 100", "nz = -1", "nz: -1 is not a whole number"),
        ("nz = 100", "nz = 0", "nz: 0 is not in 1 to 4096"),
        ("lr_g = 2e-4", "lr_g = nan", "lr_g: NaN is not above 0"),
        ("beta1 = 0.5", "beta1 = 1.0", "beta1: 1 is not at least 0 and below 1"),
        ("\"dcgan\"", "\"dcgna\"", "arch: `dcgna` is no architecture"),
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
    let e = r.clone().with(&Overrides { lr_g: Some(2.0), ..Default::default() }).unwrap_err();
    assert_eq!(e.to_string(), "--lr-g: 2 is not above 0 and at most 1");
    let e = r.with(&Overrides { length: Some(Length::Epochs(0)), ..Default::default() }).unwrap_err();
    assert_eq!(e.to_string(), "--epochs: 0 is not in 1 to 1000000");
}

#[test]
fn pictures_decide_size_and_channels() {
    let part = Recipe::load("demo").unwrap().model;
    assert_eq!(part.config(32, 32, 1).unwrap().image_shape(), (32, 32, 1));
    assert!(part.config(64, 48, 3).unwrap_err().to_string().contains("48×64"));
    assert!(part.config(50, 50, 3).is_err());
}
