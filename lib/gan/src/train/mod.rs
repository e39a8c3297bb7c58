//! Training: [`Trainer::step`] updates the discriminator and the generator once, [`Run`] is the loop over
//! steps, and [`RunDir`] the directory of its files.

mod diagnostics;
mod loader;
mod metrics;
mod monitor;
mod report;
mod run;
mod run_dir;
mod saver;
mod score;
mod setup;
#[cfg(test)]
mod tests;
mod trainer;

pub use metrics::Metrics;
pub use run::{Estimate, Outcome, Run};
pub use run_dir::RunDir;
pub use saver::SAVE_EVERY;
pub use trainer::{PendingStep, StepMetrics, Trainer};
