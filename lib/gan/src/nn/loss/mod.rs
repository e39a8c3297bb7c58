//! Losses on logits, with their gradients, by name.

mod cross_entropy;
mod interface;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use cross_entropy::{Minimax, NonSaturating};
pub use interface::{GanLoss, Loss, LossValue, MeanLoss, sigmoid};

/// All losses, the default first.
pub const LOSSES: &[&dyn GanLoss] = &[&NonSaturating, &Minimax];

/// One of [`LOSSES`], written by its name.
#[derive(Clone, Copy, Debug)]
pub struct LossKind(&'static dyn GanLoss);

impl Deref for LossKind {
    type Target = dyn GanLoss;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl Default for LossKind {
    fn default() -> LossKind {
        LossKind(LOSSES[0])
    }
}

impl PartialEq for LossKind {
    fn eq(&self, other: &LossKind) -> bool {
        self.name() == other.name()
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LossKind {
    type Err = String;

    fn from_str(name: &str) -> Result<LossKind, String> {
        let names = || LOSSES.iter().map(|loss| loss.name()).collect::<Vec<_>>().join(", ");
        let found = LOSSES.iter().find(|loss| loss.name() == name);
        found.map(|&loss| LossKind(loss)).ok_or_else(|| format!("must be one of {}", names()))
    }
}

impl Serialize for LossKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for LossKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LossKind, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
