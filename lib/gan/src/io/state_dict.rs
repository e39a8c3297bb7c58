//! What a file of weights holds: the names and shapes of its tensors.

/// What a tensor of a file is.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Its name, without the keys of the dictionaries that hold it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it holds floats.
    pub float: bool,
}

/// Named tensors that were saved together.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDict {
    /// The keys that lead to it in the file, joined by points. Empty for the saved object itself.
    pub path: String,
    /// Its tensors.
    pub tensors: Vec<TensorSpec>,
    /// Whether the tensors are in the order in which they were saved. A safetensors file sorts them by name.
    pub ordered: bool,
}

impl StateDict {
    /// The name of a tensor in the file.
    pub fn full_name(&self, name: &str) -> String {
        join(&self.path, name)
    }
}

/// Two names, joined by a point if neither is empty.
pub(crate) fn join(path: &str, name: &str) -> String {
    let point = if path.is_empty() || name.is_empty() { "" } else { "." };
    format!("{path}{point}{name}")
}
