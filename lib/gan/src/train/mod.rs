//! Training: [`Trainer::step`] is one update of the discriminator and one of the generator.

mod step;

pub use step::{StepReport, Trainer};
