#![no_main]

use gan::recipe::Recipe;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    gan_fuzz::read_as("my.toml", bytes, |path| {
        let recipe = Recipe::load(path.to_str().expect("UTF-8"))?;
        // What it is written as is the same recipe.
        let text = recipe.to_toml();
        gan_fuzz::read_as("again.toml", text.as_bytes(), |again| {
            let again = Recipe::load(again.to_str().expect("UTF-8")).expect("our own");
            assert_eq!(again.to_toml(), text);
            Ok(())
        });
        Ok(())
    });
});
