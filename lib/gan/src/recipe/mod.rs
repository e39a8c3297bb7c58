//! Recipes: what a training run needs besides the images, as TOML turned into checked settings.
//!
//! The recipes in `pipelines/` are built in; a recipe may also be a file. It names only what differs from the defaults.
//! An unknown key is an error that names the nearest one. The shard decides the images' size and channels.

mod parse;
mod tables;
#[cfg(test)]
mod tests;

pub use parse::{DEFAULT, Overrides, built_in};
pub use tables::{Length, Optimizer, Output, Recipe, Schedule};
