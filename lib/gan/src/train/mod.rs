//! Training: [`Trainer::step`] is one update of the discriminator and one of the generator, [`Run`] the loop over them,
//! [`folder`] where a run's files go.

mod batch;
pub mod folder;
mod monitor;
pub mod report;
mod run;
mod score;
mod step;
#[cfg(test)]
mod tests;

pub use run::{Estimate, Outcome, Run, SAVE_EVERY};
pub use step::{PendingStep, StepMetrics, Trainer};
